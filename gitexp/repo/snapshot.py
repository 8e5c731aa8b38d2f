"""The work tree at one moment, as a tree object: tracked files as they are on disk, and the
untracked sources.

Made on a private copy of the index, so the user's index, stash and files stay as they are. Ignored
files never enter, and of the untracked ones those that are too large, too many or look like a
secret stay out and are named.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gitexp.formats.errors import GitError, RepositoryError
from gitexp.formats.settings import Settings
from gitexp.repo import Head, Repo, collector, files, untracked
from gitexp.repo.process import joined
from gitexp.repo.untracked import Refused

_TRIES = 5
OUTPUTS = ".gitexp/outputs.json"  # in an experiment's tree: what its command wrote, with hashes
_LIST = ("ls-files", "-z", "-v", "-c", "-o", "-m", "-d", "--exclude-standard")
_LISTINGS = 20
_OUTPUTS = "gitexp-outputs"  # in git_dir: what commands wrote, and how it looked then
# never sources, whatever .gitignore says
NEVER = frozenset(("__pycache__", ".ipynb_checkpoints", ".DS_Store"))
_LOST = "git has lost its content; to see the damage: git fsck"
_EDITED = "a submodule with edits of its own; commit them inside it"
_OF_SLURM = re.compile(r"slurm-\d+(_\d+)?\.out")
_SPECIAL = "a FIFO, a socket or a device is in its place; it is recorded as it was committed"


class Listed(NamedTuple):
    """Paths of a work tree; ``assumed`` are marked assume-unchanged, ``previous`` lie below
    ``.gitexp/``, where an earlier experiment's are."""

    changed: list[str]
    untracked: list[str]
    assumed: list[str]
    previous: list[str]


@dataclass(frozen=True)
class Snapshot:
    """A work tree at one moment."""

    tree: str  # hash of the tree object
    head: Head  # where HEAD pointed
    index: Path  # the private index that holds the tree, kept for adding results
    changed: tuple[str, ...] = ()  # tracked paths that differed from the index
    taken: tuple[str, ...] = ()  # untracked paths that entered
    left_out: tuple[tuple[str, str], ...] = ()  # ``(path, why)`` for those that did not
    # paths whose staged content is neither HEAD's nor the disk's
    staged_apart: tuple[str, ...] = ()
    # identifies the user's index file as it was (None: there was none)
    index_stamp: tuple[int, ...] | None = None
    assumed: bool = False  # whether entries marked assume-unchanged were looked at all the same
    # tracked paths below ``.gitexp/``, which belong to an earlier experiment
    previous: tuple[str, ...] = ()
    # tracked paths that an earlier experiment's command wrote, unchanged since
    outputs: tuple[str, ...] = ()
    project: str = ""  # the folder of the project that it was taken for, see ``Repo.project``


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
    seen, composed, unread = _looked(repo, env, head)
    if assumed := seen.assumed:
        edit(repo, env, "--no-assume-unchanged", paths=assumed)
        seen = _listed_again(repo, env)
    # the user is in the middle of composing a commit
    composed &= {*seen.changed, *seen.untracked}
    lost: set[str] = set()
    add = add_by_git
    for left in reversed(range(_TRIES)):
        changed, taken, left_out = _chosen(repo, settings, seen, results)
        try:
            add(repo, env, changed + taken)
            edited = _inside_submodules(repo, env)
            tree = repo.line("write-tree", env=env)
            break
        except GitError as error:  # a file went or changed under git's hands
            from gitexp.repo import retry

            lost |= retry.mended(repo, env, error, changed + taken, is_last=not left)
            add = retry.add_as_read if left == 1 else add
            seen = _listed_again(repo, env)
    left_out += [*((path, _EDITED) for path in edited), *unread, *((path, _LOST) for path in lost)]
    noted = repo.project + OUTPUTS
    kept = noted in seen.previous and noted not in changed
    return Snapshot(
        tree,
        head,
        index,
        changed=tuple(path for path in changed if not _is_submodule(repo, path)),
        taken=tuple(taken),
        left_out=tuple(left_out),
        staged_apart=tuple(path for path in sorted(composed) if not _is_submodule(repo, path)),
        index_stamp=stamp,
        assumed=bool(assumed),
        previous=tuple(seen.previous),
        outputs=_earlier_outputs(repo, env) if kept else (),
        project=repo.project,
    )


def on_disk(repo: Repo, settings: Settings) -> Snapshot:
    """Take what a run would begin from, were it started now; no filter of the repository's runs."""
    import tempfile

    top = repo.make_state_dir()
    with tempfile.TemporaryDirectory(dir=top, ignore_cleanup_errors=True) as folder:
        return take(repo.distrusting(), settings, Path(folder, "index"), head=repo.found_at)


def _looked(repo: Repo, env: dict[str, str], head: Head) -> tuple[Listed, set[str], Refused]:
    """Return what is listed, the paths that are staged, and ``(folder, why)`` for what cannot be
    read."""
    said: list[str] = []
    compared = ("diff-index", "--cached", "--name-only", "--no-renames", "-z", head.commit or "")
    staged = repo.beside(*compared, env=env) if head.commit else nullcontext(bytes)
    with repo.beside(*_LIST, env=env, said=said) as listed, staged as finished:  # at the same time
        try:
            seen = _sorted(repo, listed())
        except GitError:
            seen = _listed_again(repo, env)
        try:
            composed = {*os.fsdecode(finished()).split("\0")}
        except GitError as error:
            if not collector.has_taken(error):  # of HEAD's commit, which keeps no other from us
                raise
            composed = set()
    unread = re.findall(r"could not open directory '(.*)': (.*)", "\n".join(said))
    return seen, composed, [(path, f"it cannot be read: {why}") for path, why in unread]


def edit(repo: Repo, env: dict[str, str], *options: str, paths: list[str]) -> None:
    """Change the entries of some paths in the private index."""
    if paths:
        repo.git("update-index", "-z", *options, "--stdin", stdin=joined(paths), env=env)


def add_by_git(repo: Repo, env: dict[str, str], paths: list[str]) -> None:
    """Take paths into the private index as they are on disk, or out of it."""
    edit(repo, env, "--add", "--remove", "--replace", paths=paths)


def _chosen(
    repo: Repo, settings: Settings, seen: Listed, results: frozenset[str]
) -> tuple[list[str], list[str], Refused]:
    """Return what enters the tree, of the changed paths and of the untracked ones, and
    ``(path, why)`` for what does not."""
    changed = seen.changed
    sources = [path for path in _sources(repo, seen.untracked) if path not in results]
    taken, left_out = untracked.permitted(repo, settings, sources)
    if repo.distrusted:
        named = untracked.filters(repo, [*changed, *taken])
        unknown = {path: name for path, name in named.items() if name in repo.distrusted}
        why = "its filter '{}' is a program that .git/config names"
        left_out += [(path, why.format(name)) for path, name in unknown.items()]
        changed = [path for path in changed if path not in unknown]
        taken = [path for path in taken if path not in unknown]
    special = [path for path in changed if _is_special(repo.root / path)]
    left_out += [(path, _SPECIAL) for path in special]
    return [path for path in changed if path not in special], taken, left_out


def _is_special(path: Path) -> bool:
    """Whether a FIFO, a socket or a device lies there, which git takes as nothing at all."""
    with suppress(OSError):
        kind = stat.S_IFMT(os.lstat(path).st_mode)
        return kind not in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR)
    return False


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
        files.link_or_copy(source, target)
    except FileNotFoundError:
        target.unlink(missing_ok=True)
        return None
    except OSError as error:
        raise RepositoryError(
            f"{source} cannot be copied to {target.parent}: {error.strerror}; check permissions and"
            " disk space"
        ) from None
    return before


def index_stamp(repo: Repo) -> tuple[int, ...] | None:
    """Return what changes whenever the user's index is written; None where there is no index."""
    return files.stamp(repo.git_dir / "index")


def _listed_again(repo: Repo, env: dict[str, str]) -> Listed:
    """List once more, until no file is cut under git's hands, which kills it (SIGBUS)."""
    for attempt in range(_LISTINGS):
        try:
            return _sorted(repo, repo.git(*_LIST, env=env))
        except GitError as error:
            if error.returncode >= 0 or attempt == _LISTINGS - 1:
                raise
    raise AssertionError


def _sorted(repo: Repo, output: bytes) -> Listed:
    own = f"{repo.project}.gitexp/"
    earlier = b"H " + os.fsencode(own)
    found: tuple[dict[str, None], ...] = ({}, {}, {}, {})  # a conflict lists a path thrice
    changed, others, assumed, previous = found
    kinds = {b"?": others, b"h": assumed}
    kinds |= dict.fromkeys((b"C", b"R", b"M", b"c", b"r", b"m"), changed)  # or removed, unmerged
    for entry in output.split(b"\0"):
        # nearly all of them: unchanged
        if entry.startswith(b"H ") and not entry.startswith(earlier):
            continue
        mark, path = entry[:1], os.fsdecode(entry[2:])
        if mark in kinds:
            kinds[mark][path] = None
        if mark != b"?" and path.startswith(own):
            previous[path] = None
    # what an earlier command wrote, and nobody changed since, is no change
    ended = {*left_outputs(repo)} & outputs_of(repo).keys() if changed else ()
    for path in changed.keys() & {*ended}:
        del changed[path]
    return Listed(*map(list, found))


def is_never(name: str) -> bool:
    """Whether a file or folder of this name is neither a source nor an output: a cache, or what
    SLURM writes of a job."""
    return name in NEVER or _OF_SLURM.fullmatch(name) is not None


def _sources(repo: Repo, paths: list[str]) -> list[str]:
    """Return untracked paths without caches, environments and what earlier commands wrote."""
    known = files.read_mapping(repo.git_dir / _OUTPUTS)
    marks = ("/pyvenv.cfg", "/conda-meta/history")
    environments = tuple(
        f"{path.removesuffix(mark)}/" for path in paths for mark in marks if path.endswith(mark)
    )
    return [
        path
        for path in paths
        if not any(map(is_never, path.split("/")))
        and not path.startswith(environments)
        and not (path in known and known[path] == stamp(repo.root, path))
    ]


def _earlier_outputs(repo: Repo, env: dict[str, str]) -> tuple[str, ...]:
    """Return the paths that an earlier command wrote, where the private index holds that still, or
    they were removed."""
    known = outputs_of(repo)
    listed = repo.entries("ls-files", "-s", "-z", env=env) if known else ()
    held = {path: about.split(" ")[1] for about, _, path in (at.partition("\t") for at in listed)}
    return tuple(path for path, oid in known.items() if held.get(path, oid) == oid)


def outputs_of(repo: Repo) -> dict[str, str]:
    """Return what the command of the experiment at HEAD wrote: paths and hashes."""
    return files.read_mapping(repo.root / repo.project / OUTPUTS)


def left_outputs(repo: Repo) -> list[str]:
    """Return the paths that commands wrote, and that nobody changed since."""
    known = files.read_mapping(repo.git_dir / _OUTPUTS)
    return [path for path, look in known.items() if look == stamp(repo.root, path)]


def remember_outputs(repo: Repo, paths: Iterable[str]) -> None:
    """Note that a command wrote these paths: until somebody else changes them they are no
    sources."""
    if not (paths := [*paths]):
        return
    with repo.lock():  # commands that end beside each other both add to it
        known = files.read_mapping(repo.git_dir / _OUTPUTS)
        known = {path: look for path, look in known.items() if os.path.lexists(repo.root / path)}
        known.update({path: look for path in paths if (look := stamp(repo.root, path))})
        files.replace(repo.git_dir, repo.git_dir / _OUTPUTS, json.dumps(known).encode())


def stamp(root: Path, path: str) -> list[int] | None:
    """Return what changes whenever a file is written; None where there is none, or it lies behind a
    link."""
    with suppress(OSError):
        status = os.lstat(root / path)
        return None if is_behind_link(root, path) else [*files.looks(status)]
    return None


def _inside_submodules(repo: Repo, env: dict[str, str]) -> list[str]:
    """Return the submodules that hold edits of their own, which their HEAD has not."""
    if not (repo.root / ".gitmodules").exists():
        return []
    how = ("-z", "--name-only", "--ignore-submodules=none")
    return [path for path in repo.entries("diff-files", *how, env=env) if _is_submodule(repo, path)]


def _is_submodule(repo: Repo, path: str) -> bool:
    return (repo.root / path / ".git").exists()


def is_behind_link(root: Path, path: str) -> bool:
    """Whether a folder on the way to a path is a symbolic link: for git there is no such file."""
    return any((root / folder).is_symlink() for folder in Path(path).parents)
