"""Where an experiment's own files lie in the tree, so that none of the user's is ever overwritten.

``params.yml`` and ``metrics.csv`` at the top are the usual places. One that gitexp did not write is
the user's: if it says just what is to be recorded, it is the record; else ours goes into
``.gitexp/``.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gitexp.formats import environment, message
from gitexp.formats.errors import GitError, GitexpError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, dvc_pointers, files
from gitexp.repo.files import read_bytes, read_mapping
from gitexp.repo.snapshot import Snapshot, is_behind_link, stamp

if TYPE_CHECKING:
    from gitexp.store.index import Index

PARAMS, METRICS, FOLDER = "params.yml", "metrics.csv", ".gitexp"
OUTPUT = f"{FOLDER}/output.log"  # what a command printed
ARTIFACTS = f"{FOLDER}/artifacts"  # where those that have no place in the work tree go
PICTURES = ".pictures"  # beside a lab book, with its name
_PENDING = "gitexp-results"  # in git_dir, since each work tree has its own


class Places(NamedTuple):
    """Paths in the tree."""

    params: str = PARAMS
    metrics: str = METRICS
    # those of them that are the user's own files and already hold the record
    as_they_are: tuple[str, ...] = ()


def ours(
    repo: Repo, outputs: frozenset[str] = frozenset(), project: str | None = None
) -> frozenset[str]:
    """Return those of the usual places that gitexp may write: nothing is there, or what it wrote
    itself.

    Args:
        outputs: paths that the recorded command wrote, whose content is in the record.
        project: the folder of the experiment's project; None is that of ``repo``.
    """
    write_pending(repo)
    written = _written(repo)
    folder = repo.project if project is None else project
    usual = (folder + PARAMS, folder + METRICS)
    return frozenset(
        {
            folder + environment.PATH,
            *(path for path in usual if path in outputs or _is_ours(repo, path, written)),
        }
    )


def of_experiment(experiment: Experiment) -> list[str]:
    """Return the files and the folder that hold an experiment's results and outputs; all else is
    code."""
    outputs = map(str, experiment.extra.get("outputs", ()))
    return sorted({*experiment.files.values(), *outputs, experiment.inside(FOLDER)})


def of_all(index: Index, experiments: Sequence[Experiment]) -> set[str]:
    """Return what ``of_experiment`` gives for these, and for those of other projects."""
    own = {path for item in experiments for path in of_experiment(item)}
    return own | of_other_projects(index, experiments[0]) if experiments else own


def of_other_projects(index: Index, experiment: Experiment) -> set[str]:
    """Return what ``of_experiment`` gives for the experiments of other projects: in the tree of
    this one it is no code either."""
    others = "json_extract(tag.summary, '$.project') IS NOT ?"
    found = index.select(others, [experiment.extra.get("project")], everybody=True)
    return {path for item in found for path in of_experiment(item)}


def is_own(path: str) -> bool:
    """Whether a path lies in the folder of gitexp's own files, of the top or of a project."""
    return FOLDER in path.split("/")


def holds(own: Collection[str], path: str) -> bool:
    """Whether a path, or a folder that it lies in, is among ``own``."""
    return any(one in own for one in dvc_pointers.upwards(path))


def code_pathspec(without: Iterable[str], paths: Iterable[str] = ()) -> list[str]:
    """Return the git pathspecs for all, or the given paths, but not for those ``without``."""
    wanted = [f":(top,literal){path}" for path in paths] or [":(top)"]
    return [*wanted, *(f":(top,exclude,literal){path}" for path in sorted(set(without)))]


def texts(repo: Repo) -> list[str]:
    """Return the files of the work tree that hold a text made from experiments, or for agents (a
    leaderboard, the lab book), and the folders of its pictures: they change with every experiment,
    and are no code."""
    marked = ("grep", "-l", "-z", "-F", "--untracked", "-e", "<!-- gitexp:", "--", "*.md")
    paths = repo.entries(*marked, ok=(0, 1, 128))
    return [*paths, *(path.removesuffix(".md") + PICTURES for path in paths)]


def choose(free: frozenset[str], same: frozenset[str] = frozenset(), project: str = "") -> Places:
    """Return where the files go.

    Args:
        free: the places that gitexp may write, from ``ours`` at the time of the snapshot.
        same: files of the user's that say just what is to be recorded.
        project: the folder of the experiment's project.
    """
    usual = (project + PARAMS, project + METRICS)
    places = [
        path if path in free or path in same else f"{project}{FOLDER}/{name}"
        for name, path in zip((PARAMS, METRICS), usual)
    ]
    return Places(
        places[0], places[1], tuple(path for path in usual if path in same and path not in free)
    )


def to_write(
    repo: Repo, places: Places, contents: Mapping[str, bytes | Path], snapshot: Snapshot
) -> list[str]:
    """Return the paths of what only the commit will have: results, artifacts below ``.gitexp/``,
    and pointers to large ones.

    The other artifacts are files of the work tree already.
    """
    return [
        path
        for path in contents
        if path in (places.params, places.metrics)
        or is_own(path)
        or _is_new_pointer(repo, snapshot, path)
    ]


def note_pending(repo: Repo, commit: str, paths: Sequence[str], snapshot: Snapshot) -> None:
    """Note what ``write_back`` will write once the branch has moved onto ``commit``, and how each
    file looks until then."""
    write = {path: stamp(repo.root, path) for path in paths}
    gone = {path: stamp(repo.root, path) for path in snapshot.previous if path not in paths}
    note = {"commit": commit, "write": write, "remove": gone}
    with suppress(OSError):
        (repo.git_dir / _PENDING).write_text(json.dumps(note))


def has_pending(repo: Repo) -> bool:
    """Whether a writer was killed, or is at work, between moving the branch and writing its
    results."""
    return (repo.git_dir / _PENDING).exists()


def write_pending(repo: Repo) -> None:
    """Write what a killed writer still owed the work tree; a file that anybody touched since then
    stays as it is."""
    if has_pending(repo):
        with repo.lock():
            finish(repo)


def finish(repo: Repo) -> None:
    """Do what ``write_pending`` says, for one who holds the lock of all writers."""
    note = repo.git_dir / _PENDING
    try:
        known = json.loads(note.read_bytes())
        commit, write, remove = str(known["commit"]), dict(known["write"]), dict(known["remove"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError):  # torn: killed before the branch had moved
        drop_pending(repo)
        return
    paths = [
        path
        for path in (*write, *remove)
        if ".." not in Path(path).parts and (path in write or is_own(path))
    ]
    here = repo.objects(f"HEAD:{path}" for path in paths)
    there = repo.objects(f"{commit}:{path}" for path in paths)
    written = _written(repo)
    for path, now, then in zip(paths, here, there):
        target = repo.root / path
        untouched = stamp(repo.root, path) == {**write, **remove}[path]
        with suppress(OSError, GitError):
            if untouched and path in remove and now is None:
                target.unlink()
            elif untouched and path in write and now and then and now.id == then.id:
                # as git itself would write it
                data = repo.git("cat-file", "--filters", f"{commit}:{path}")
                _put(repo, path, data)
                if Path(path).name in (PARAMS, METRICS) and not is_own(path):
                    written[path] = repo.hash_of("blob", data)
    _remember(repo, written)
    drop_pending(repo)


def drop_pending(repo: Repo) -> None:
    """Take the note back: all is written, or the branch stays where it is."""
    with suppress(OSError):
        (repo.git_dir / _PENDING).unlink(missing_ok=True)


def write_back(
    repo: Repo, paths: Sequence[str], contents: Mapping[str, bytes | Path], snapshot: Snapshot
) -> list[str]:
    """Write what only the commit has into the work tree after the branch moved onto it; returns
    what could not be written."""
    warnings = []
    written = _written(repo)
    for path in paths:
        target, content = repo.root / path, contents[path]
        try:
            if Path(path).name in (PARAMS, METRICS) and not is_own(path):
                data = content if isinstance(content, bytes) else content.read_bytes()
                written[path] = repo.hash_of("blob", data)
            plain = isinstance(content, bytes) and not target.is_symlink()
            if not plain or read_bytes(target) != content:
                _put(repo, path, content)
        except OSError as error:
            warnings.append(
                f"{path} could not be written into the work tree ({error.strerror}); git checkout"
                f" -- {path}"
            )
    for path in snapshot.previous:
        if path not in paths and not is_behind_link(repo.root, path):
            with suppress(OSError):
                (repo.root / path).unlink()
    _remember(repo, written)
    drop_pending(repo)
    return warnings


def linked(root: Path, paths: Iterable[str]) -> str | None:
    """Return the first symbolic link on the way to one of the paths, at which no file of ours may
    be written; None where there is none."""
    return next((way for way, _ in _ways(paths) if (root / way).is_symlink()), None)


def blocked(root: Path, paths: Sequence[str]) -> str | None:
    """Return why no file of ours may be written at one of the paths (a link, a pipe, a file in the
    place of a folder); None where it may."""
    if link := linked(root, paths):
        return f"'{link}' is a symbolic link, and gitexp writes nothing through one"
    for way, is_file in _ways(paths):
        here = root / way
        if here.exists() and not (here.is_file() if is_file else here.is_dir()):
            return f"'{way}' is not a {'file' if is_file else 'folder'}, which gitexp needs there"
    return None


def _ways(paths: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield the folders on the way to each path, then itself, and whether it is that."""
    for path in map(Path, paths):
        yield from ((way.as_posix(), way == path) for way in (*reversed(path.parents), path))


def _put(repo: Repo, path: str, content: bytes | Path) -> None:
    target = repo.root / path
    if why := blocked(repo.root, [path]):
        raise OSError(errno.ELOOP, why)
    try:
        # not in the work tree, where a killed writer would leave it for the next snapshot
        files.replace(repo.state_dir, target, content)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        files.replace(target.parent, target, content)  # .git lies on another file system


def _is_new_pointer(repo: Repo, snapshot: Snapshot, path: str) -> bool:
    """Whether an artifact is a pointer to data in DVC's cache which the work tree has not, or as it
    was at the start."""
    if not path.endswith(dvc_pointers.SUFFIX):
        return False
    data = read_bytes(repo.root / path)
    if data is None:
        return not (repo.root / path).exists()
    found = next(repo.objects([f"{snapshot.tree}:{path}"]))
    return found is not None and found.id == repo.hash_of("blob", data)


def adopt(repo: Repo, path: str) -> None:
    """Note that the file at a usual place, as it lies there now, is one of an experiment and may be
    replaced."""
    with suppress(OSError, GitexpError), repo.lock():
        data = (repo.root / path).read_bytes()
        _remember(repo, {**_written(repo), path: repo.hash_of("blob", data)})


def _is_ours(repo: Repo, path: str, written: Mapping[str, Any]) -> bool:
    if not os.path.lexists(repo.root / path):
        return True
    data = None if (repo.root / path).is_symlink() else read_bytes(repo.root / path)
    if data is None:
        return False
    oid = repo.hash_of("blob", data)
    if written.get(path) == oid:
        return True
    found = next(repo.objects([f"HEAD:{path}"]))
    if found is None:
        return False
    if found.id not in (oid, repo.line("hash-object", f"--path={path}", "--stdin", stdin=data)):
        return False
    return _wrote(repo, "HEAD", path)


def _wrote(repo: Repo, revision: str, path: str) -> bool:
    """Whether gitexp wrote a file of a commit, or both that a merge mixed."""
    asked = ("log", "-1", "--parents", "--format=%P%n%B", revision, "--", path)
    parents, _, text = repo.git(*asked).decode("utf-8", "replace").partition("\n")
    sides = parents.split()  # those that changed it last
    if len(sides) > 1:
        return all(_wrote(repo, side, path) for side in sides)
    return "Id" in message.trailers(text)


def _written(repo: Repo) -> dict[str, Any]:
    """Return ``{path: hash}`` of what gitexp wrote at the usual places."""
    return read_mapping(repo.state_dir / "written.json")


def _remember(repo: Repo, written: Mapping[str, Any]) -> None:
    with suppress(OSError):
        repo.write_state("written.json", json.dumps(written).encode())
