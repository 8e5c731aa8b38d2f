"""The work tree at one moment, as a tree object: tracked files as they are on disk, and the
untracked sources.

Made on a private copy of the index, so the user's index, stash and files stay as they are. Ignored
files never enter, and of the untracked ones those that are too large, too many or look like a
secret stay out and are named.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitexp.formats.errors import GitError, RepositoryError
from gitexp.formats.settings import Settings
from gitexp.repo import Head, Repo, collector, dvc_pointers, secrets
from gitexp.repo.files import read_mapping

_TRIES = 5
OUTPUTS = ".gitexp/outputs.json"  # in an experiment's tree: what its command wrote, with hashes
BY_DVC = "kept by DVC"
OVER = "over the limit of"
_LISTINGS = 20
_OUTPUTS = "gitexp-outputs"  # in git_dir: what commands wrote, and how it looked then
# never sources, whatever .gitignore says
NEVER = frozenset(("__pycache__", ".ipynb_checkpoints", ".DS_Store"))
_OF_SLURM = re.compile(r"slurm-\d+(_\d+)?\.out")
Listed = tuple[list[str], list[str], list[str], list[str]]
_NO_LFS = "which is not set up here: git lfs install, with git-lfs on the PATH"
_SPECIAL = "a FIFO, a socket or a device is in its place; it is recorded as it was committed"
_BEHIND = "beyond a symbolic link"  # git's words
_PASSING = (
    "No such file",
    "Unable to process",
    "short read",
    "lstat",
    "unable to index",
    "invalid object",
    _BEHIND,
)


@dataclass(frozen=True)
class Snapshot:
    """A work tree at one moment.

    Attributes:
        tree: hash of the tree object.
        head: where HEAD pointed.
        index: the private index that holds the tree, kept for adding results.
        changed: tracked paths that differed from the index.
        taken: untracked paths that entered.
        left_out: ``(path, why)`` for those that did not.
        staged_apart: paths whose staged content is neither HEAD's nor the disk's.
        index_stamp: identifies the user's index file as it was (None: there was none).
        assumed: whether entries marked assume-unchanged were looked at all the same.
        previous: tracked paths below ``.gitexp/``, which belong to an earlier experiment.
        outputs: tracked paths that an earlier experiment's command wrote, unchanged since.
        project: the folder of the project that it was taken for, see ``Repo.project``.
    """

    tree: str
    head: Head
    index: Path
    changed: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    staged_apart: tuple[str, ...] = ()
    index_stamp: tuple[int, ...] | None = None
    assumed: bool = False
    previous: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    project: str = ""


def take(
    repo: Repo,
    settings: Settings,
    index: Path,
    results: frozenset[str] = frozenset(),
    head: Head | None = None,
) -> Snapshot:
    """Write the work tree's present state as a tree object.

    Args:
        index: where the private index is to lie (its folder exists).
        results: paths that the experiment itself will write; never taken as sources.
        head: where HEAD points, where the caller knows it.

    Raises:
        RepositoryError: git cannot read the work tree or write objects.
    """
    head = head or repo.head()
    stamp = copy_index(repo, index)
    env = {"GIT_INDEX_FILE": str(index)}
    was_assumed = False
    lost: set[str] = set()
    seen, composed, unread = _looked(repo, env, head)
    for attempt in range(_TRIES):
        if attempt:
            seen = _listed_again(repo, env)
        if assumed := seen[2]:
            was_assumed = True
            _edit(repo, env, "--no-assume-unchanged", paths=assumed)
            seen = _listed_again(repo, env)
        changed, untracked, _, previous = seen
        changed = _without_outputs(repo, changed)
        submodules = {path for path in changed if (repo.root / path / ".git").exists()}
        if attempt == 0:
            # the user is in the middle of composing a commit
            staged_apart = composed & {*changed, *untracked} - submodules
        changed, taken, left_out = _chosen(repo, settings, changed, untracked, results)
        add = changed + taken
        try:
            if attempt == _TRIES - 1:
                _add_as_read(repo, env, add)
            elif add:
                _edit(repo, env, "--add", "--remove", "--replace", paths=add)
            left_out += [
                (path, "a submodule with edits of its own; commit them inside it")
                for path in _inside_submodules(repo, env)
            ]
            tree = repo.line("write-tree", env=env)
            break
        except GitError as error:  # a file went or changed under git's hands
            if attempt == _TRIES - 1 or not _passes(error):
                raise
            lost |= _mended(repo, env, error, add)
    kept = tuple(path for path in changed if path not in submodules)
    left_out += unread
    left_out += [(path, "git has lost its content; to see the damage: git fsck") for path in lost]
    noted = repo.project + OUTPUTS
    return Snapshot(
        tree,
        head,
        index,
        kept,
        tuple(taken),
        tuple(left_out),
        tuple(sorted(staged_apart)),
        stamp,
        was_assumed,
        tuple(previous),
        _earlier_outputs(repo, env) if noted in previous and noted not in changed else (),
        repo.project,
    )


def on_disk(repo: Repo, settings: Settings) -> Snapshot:
    """Take what a run would begin from, were it started now; no filter of the repository's runs."""
    folder = repo.make_state_dir(f"diff-{os.getpid()}-{time.time_ns()}")
    try:
        return take(repo.distrusting(), settings, folder / "index", head=repo.found_at)
    finally:
        with suppress(OSError):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()


def _looked(
    repo: Repo, env: dict[str, str], head: Head
) -> tuple[Listed, set[str], list[tuple[str, str]]]:
    """Return what is listed, the paths that are staged, and ``(folder, why)`` for what cannot be
    read."""
    said: list[str] = []
    with _listed(repo, env, said) as listed, _staged(repo, env, head) as staged:  # at the same time
        try:
            seen = listed()
        except GitError:
            seen = _listed_again(repo, env)
        composed = staged()
    unread = re.findall(r"could not open directory '(.*)': (.*)", "\n".join(said))
    return seen, composed, [(path, f"it cannot be read: {why}") for path, why in unread]


def _edit(repo: Repo, env: dict[str, str], *options: str, paths: list[str]) -> None:
    """Change the entries of some paths in the private index."""
    repo.git("update-index", "-z", *options, "--stdin", stdin=_joined(paths), env=env)


def _without_outputs(repo: Repo, changed: list[str]) -> list[str]:
    """Return changed paths without those that an earlier command wrote and nobody changed since."""
    if changed and (ended := {*left_outputs(repo)}):
        ended &= outputs_of(repo).keys()
        return [path for path in changed if path not in ended]
    return changed


def _chosen(
    repo: Repo,
    settings: Settings,
    changed: list[str],
    untracked: list[str],
    results: frozenset[str],
) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Return what enters the tree, of the changed paths and of the untracked ones, and
    ``(path, why)`` for what does not."""
    sources = [path for path in _sources(repo, untracked) if path not in results]
    taken, left_out = permitted(repo, settings, sources)
    if repo.distrusted:
        unknown = _by_filter(repo, [*changed, *taken])
        left_out += [
            (path, f"its filter '{name}' is a program that .git/config names")
            for path, name in unknown.items()
        ]
        changed, taken = (
            [path for path in paths if path not in unknown] for paths in (changed, taken)
        )
    special = [path for path in changed if _is_special(repo.root / path)]
    left_out += [(path, _SPECIAL) for path in special]
    return [path for path in changed if path not in special], taken, left_out


def _passes(error: GitError) -> bool:
    """Whether git failed over a work tree or an object store that is just being changed, so that
    another try may do."""
    # a negative code: killed by SIGBUS, where a file that it had mapped was cut
    return error.returncode < 0 or any(word in error.stderr for word in _PASSING)


def _mended(repo: Repo, env: dict[str, str], error: GitError, add: list[str]) -> set[str]:
    """Undo what stopped git, for another try; return the paths whose content git has lost."""
    Path(f"{env['GIT_INDEX_FILE']}.lock").unlink(missing_ok=True)  # a killed git's
    lost = {*collector.mend(repo, env)} if "invalid object" in error.stderr else set()
    if _BEHIND in error.stderr:  # a link took the place of their folder
        gone = [path for path in add if is_behind_link(repo.root, path)]
        _edit(repo, env, "--force-remove", paths=gone)
    return lost


def _is_special(path: Path) -> bool:
    """Whether a FIFO, a socket or a device lies there, which git takes as nothing at all."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode))


def _add_as_read(repo: Repo, env: dict[str, str], paths: list[str]) -> None:
    """Add files to an index as one reading finds them: some of them change again and again, and git
    gives up on a file that changes under its hands."""
    from gitexp.repo import filters

    files = [path for path in paths if (repo.root / path).is_file()]
    by = filters.changed(repo, files)
    entries, others = b"", []
    for path in paths:
        try:
            status = os.lstat(repo.root / path)
            if not stat.S_ISREG(status.st_mode) or is_behind_link(repo.root, path):
                raise OSError
            data = (repo.root / path).read_bytes()
        except OSError:
            others.append(path)
            continue
        mode = b"100755" if status.st_mode & stat.S_IXUSR else b"100644"
        oid = filters.blob(repo, path, data, by.get(path)).encode()
        entries += b"%s %s\t%s\0" % (mode, oid, os.fsencode(path))
    for more, stdin in (
        (("--add", "--remove", "--replace", "--stdin"), _joined(others)),
        (("--add", "--replace", "--index-info"), entries),
    ):
        repo.git("update-index", "-z", *more, stdin=stdin, env=env)


def copy_index(repo: Repo, target: Path) -> tuple[int, ...] | None:
    """Give the user's index a second name, and return what identifies it (None where there is none
    yet).

    git writes an index beside and moves it into its place, so what has this name stays as it is,
    and what is written under it changes nothing of the user's. A copy, where there must be one,
    keeps the modification time: git compares it with those of the files to know which entries may
    have changed within the same tick, and with a newer one it misses them.
    """
    source = repo.git_dir / "index"
    try:
        before = index_stamp(repo)
        link_or_copy(source, target)
    except FileNotFoundError:
        target.unlink(missing_ok=True)
        return None
    except OSError as error:
        raise RepositoryError(
            f"{source} cannot be copied: {error.strerror}; check permissions and disk space"
        ) from None
    return before


def link_or_copy(source: Path, target: Path) -> None:
    """Give an index a second name; where the file system has no such names, copy it with its time.
    Raises OSError."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        import shutil

        shutil.copy2(source, target)


def index_stamp(repo: Repo) -> tuple[int, ...] | None:
    """Return what changes whenever the user's index is written; None where there is no index."""
    try:
        status = os.stat(repo.git_dir / "index")
    except FileNotFoundError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


@contextmanager
def _listed(
    repo: Repo, env: dict[str, str], said: list[str] | None = None
) -> Iterator[Callable[[], Listed]]:
    """Yield what waits for the changed, the untracked and the assumed-unchanged paths, and those of
    an earlier experiment."""
    options = ("-z", "-v", "-c", "-o", "-m", "-d", "--exclude-standard")
    with repo.beside("ls-files", *options, env=env, said=said) as found:
        yield lambda: _sorted(found(), f"{repo.project}.gitexp/")


def _listed_again(repo: Repo, env: dict[str, str]) -> Listed:
    """List once more, until no file is cut under git's hands, which kills it (SIGBUS)."""
    for attempt in range(_LISTINGS):
        try:
            with _listed(repo, env) as listed:
                return listed()
        except GitError as error:
            if error.returncode >= 0 or attempt == _LISTINGS - 1:
                raise
    raise AssertionError


def _sorted(output: bytes, own: str) -> Listed:
    changed: dict[str, None] = {}
    untracked: list[str] = []
    assumed: list[str] = []
    previous: dict[str, None] = {}
    earlier = b"H " + os.fsencode(own)
    for entry in output.split(b"\0"):
        # nearly all of them: unchanged
        if entry.startswith(b"H ") and not entry.startswith(earlier):
            continue
        mark, path = entry[:1], os.fsdecode(entry[2:])
        if mark == b"?":
            untracked.append(path)
        elif mark in (b"C", b"R", b"M", b"c", b"r", b"m"):  # changed, removed, unmerged
            changed[path] = None
        elif mark == b"h":
            assumed.append(path)
        if mark != b"?" and path.startswith(own):
            previous[path] = None
    return list(changed), untracked, assumed, list(previous)


@contextmanager
def _staged(repo: Repo, env: dict[str, str], head: Head) -> Iterator[Callable[[], set[str]]]:
    """Yield what waits for the paths that are staged with other content than HEAD has."""
    if head.commit is None:
        yield set
        return
    options = ("--cached", "--name-only", "--no-renames", "-z")
    with repo.beside("diff-index", *options, head.commit, env=env) as compared:

        def finished() -> set[str]:
            try:
                return {os.fsdecode(path) for path in compared().split(b"\0") if path}
            except GitError as error:
                if collector.has_taken(error):  # of HEAD's commit, which keeps no other from us
                    return set()
                raise

        yield finished


def is_never(name: str) -> bool:
    """Whether a file or folder of this name is neither a source nor an output: a cache, or what
    SLURM writes of a job."""
    return name in NEVER or _OF_SLURM.fullmatch(name) is not None


def _sources(repo: Repo, untracked: list[str]) -> list[str]:
    """Return untracked paths without caches, environments and what earlier commands wrote."""
    known = read_mapping(repo.git_dir / _OUTPUTS)
    marks = ("/pyvenv.cfg", "/conda-meta/history")
    environments = tuple(
        f"{path.removesuffix(mark)}/" for path in untracked for mark in marks if path.endswith(mark)
    )
    return [
        path
        for path in untracked
        if not any(map(is_never, path.split("/")))
        and not path.startswith(environments)
        and not (path in known and known[path] == stamp(repo.root, path))
    ]


def _earlier_outputs(repo: Repo, env: dict[str, str]) -> tuple[str, ...]:
    """Return the paths that an earlier command wrote, where the private index holds that still, or
    they were removed."""
    known = outputs_of(repo)
    if not known:
        return ()
    listed = repo.git("ls-files", "-s", "-z", env=env).split(b"\0")
    held = {os.fsdecode(path): about for about, _, path in (at.partition(b"\t") for at in listed)}
    return tuple(
        path
        for path, oid in known.items()
        if path not in held or held[path].split(b" ")[1].decode() == oid
    )


def outputs_of(repo: Repo) -> dict[str, str]:
    """Return what the command of the experiment at HEAD wrote: paths and hashes."""
    return read_mapping(repo.root / repo.project / OUTPUTS)


def left_outputs(repo: Repo) -> list[str]:
    """Return the paths that commands wrote, and that nobody changed since."""
    known = read_mapping(repo.git_dir / _OUTPUTS)
    return [path for path, look in known.items() if look == stamp(repo.root, path)]


def remember_outputs(repo: Repo, paths: Iterable[str]) -> None:
    """Note that a command wrote these paths: until somebody else changes them they are no
    sources."""
    if not (paths := [*paths]):
        return
    known = read_mapping(repo.git_dir / _OUTPUTS)
    known = {path: look for path, look in known.items() if os.path.lexists(repo.root / path)}
    known.update({path: look for path in paths if (look := stamp(repo.root, path))})
    (repo.git_dir / _OUTPUTS).write_text(json.dumps(known))


def stamp(root: Path, path: str) -> list[int] | None:
    """Return what changes whenever a file is written; None where there is none, or it lies behind a
    link."""
    try:
        status = os.lstat(root / path)
    except OSError:
        return None
    if is_behind_link(root, path):
        return None
    return [status.st_mtime_ns, status.st_size, status.st_ino]


def _inside_submodules(repo: Repo, env: dict[str, str]) -> list[str]:
    """Return the submodules that hold edits of their own, which their HEAD has not."""
    if not (repo.root / ".gitmodules").exists():
        return []
    found = repo.git("diff-files", "-z", "--name-only", "--ignore-submodules=none", env=env).split(
        b"\0"
    )
    return [
        path for path in map(os.fsdecode, found) if path and (repo.root / path / ".git").exists()
    ]


def is_behind_link(root: Path, path: str) -> bool:
    """Whether a folder on the way to a path is a symbolic link: for git there is no such file."""
    return any((root / folder).is_symlink() for folder in Path(path).parents)


def permitted(
    repo: Repo, settings: Settings, untracked: list[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Sort untracked paths into those that may enter and ``(path, why)`` for those that may not."""
    why_not = _rules(repo, settings, untracked)
    taken: list[str] = []
    left_out: list[tuple[str, str]] = []
    sizes: dict[str, int] = {}
    large: dict[str, int] = {}
    for path in untracked:
        try:
            status = os.lstat(repo.root / path)
        except OSError:  # gone meanwhile
            continue
        reason = next(filter(None, (rule(path, status) for rule in why_not)), None)
        if reason:
            left_out.append((path, reason))
        elif _matches(path, settings.include):
            taken.append(path)
        else:
            (large if status.st_size > settings.max_file_size else sizes)[path] = status.st_size
    # a large file may enter where LFS turns it into a pointer
    for_lfs = [path for path, name in _filters(repo, list(large)).items() if name == "lfs"]
    lacks = bool(for_lfs) and not repo.filter_program("lfs")
    by_lfs = {*for_lfs} if not lacks else set[str]()
    limit = readable(settings.max_file_size)
    hint = f"; .gitattributes gives it to Git LFS, {_NO_LFS}" if lacks else ""
    left_out += [
        (
            path,
            f"{readable(size)}, {OVER} {limit}{hint if path in for_lfs else ''}",
        )
        for path, size in large.items()
        if path not in by_lfs
    ]
    scanned, refused = _small_enough(repo, settings, sizes, by_lfs)
    return [*taken, *scanned], sorted(left_out + refused)


def _small_enough(
    repo: Repo, settings: Settings, sizes: Mapping[str, int], by_lfs: set[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return which files of these sizes enter, and ``(path, why)`` of the others: none of too many,
    and none that looks like a secret."""
    total = sum(sizes.values())
    if len(sizes) > settings.max_untracked_files or total > settings.max_untracked_size:
        why = (
            f"one of {len(sizes):,} untracked files with {readable(total)} in all; is a folder of"
            " outputs not ignored?"
        )
        return [*by_lfs], [(path, why) for path in sizes]
    wanted = [*sizes, *by_lfs]
    if not settings.scan_secrets or not wanted:
        return wanted, []
    found = risky(repo, wanted)
    refused = [(path, f"may be a secret: {why}") for path, why in found.items()]
    return [path for path in wanted if path not in found], refused


def risky(repo: Repo, paths: Sequence[str]) -> dict[str, str]:
    """Return ``{path: why}`` for those untracked files that may be secrets."""
    return secrets.find(repo.root, paths, repo.make_state_dir() / "scanned.json")


Rule = Callable[[str, os.stat_result], str | None]


def _rules(repo: Repo, settings: Settings, untracked: list[str]) -> list[Rule]:
    """Return what keeps an untracked file out whatever its size: each gives the reason, or None."""
    by_dvc = dvc_pointers.here(repo) if untracked else {}

    def kept_by_dvc(path: str, status: os.stat_result) -> str | None:
        held = dvc_pointers.holder(by_dvc, path) if by_dvc else None
        return f"{BY_DVC}, see {held.pointer}" if held else None

    def of_mlflow(path: str, status: os.stat_result) -> str | None:
        found = _of_mlflow(path) and not _matches(path, settings.include)
        said = "MLflow's own store; set MLFLOW_TRACKING_URI=gitexp:. to keep its runs here"
        return said if found else None

    def unfit(path: str, status: os.stat_result) -> str | None:
        if path.endswith("/"):
            return "a git repository of its own"
        if _matches(path, settings.exclude):
            return "excluded by the settings"
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            return "not a regular file"
        readable_here = stat.S_ISLNK(status.st_mode) or os.access(repo.root / path, os.R_OK)
        return None if readable_here else "not readable"

    return [kept_by_dvc, of_mlflow, unfit]


def _of_mlflow(path: str) -> bool:
    """Whether MLflow wrote a path by its own defaults: other runs' results, which change while a
    run goes on."""
    folder, _, name = path.rpartition("/")
    return "mlruns" in folder.split("/") or name in (
        "mlflow.db",
        "mlflow.db-journal",
        "mlflow.db-wal",
        "mlflow.db-shm",
    )


def _by_filter(repo: Repo, paths: list[str]) -> dict[str, str]:
    """Return ``{path: filter}`` for those that only a distrusted filter could turn into what git
    has of them."""
    return {path: name for path, name in _filters(repo, paths).items() if name in repo.distrusted}


def _filters(repo: Repo, paths: list[str]) -> dict[str, str]:
    if not paths:
        return {}
    fields = repo.git("check-attr", "-z", "--stdin", "filter", stdin=_joined(paths)).split(b"\0")
    return {
        os.fsdecode(path): os.fsdecode(value) for path, value in zip(fields[0::3], fields[2::3])
    }


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(
        fnmatch.fnmatchcase(path, pattern) or path.startswith(pattern.rstrip("/") + "/")
        for pattern in patterns
    )


def readable(size: float) -> str:
    """Return a number of bytes for people: ``12.3 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def _joined(paths: list[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)
