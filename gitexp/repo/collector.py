"""Makes objects again that a ``git gc`` removed while they were being recorded.

An object is written before a ref holds it, and a collector that prunes at once (``--prune=now``)
takes what no ref held when it began, also after the ref was made. So whoever records remembers what
was made, waits for such a collector to end once the refs are there, and looks whether all is left.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gitexp.formats.errors import GitError
from gitexp.repo import files
from gitexp.repo.process import joined
from gitexp.repo.repository import Repo

_PATIENCE = 60.0  # seconds for a collector to end
_TRIES = 5
_LOST = (  # what git says of an object that is not there
    "missing",
    "invalid object",
    "nonexistent object",
    "not a valid",
    "does not point",
    "bad object",
    "bad tree object",
    "not a tree object",
    "unable to read tree",
)


@dataclass
class Guard:
    """What must be there in the end."""

    # of a snapshot, which it can be made of again; None where there is none
    index: Path | None = None
    tree: str = ""  # of that snapshot
    made: dict[str, Callable[[], str]] = field(default_factory=dict)


@contextmanager
def guarded(repo: Repo) -> Iterator[Guard]:
    """Have all objects that are written meanwhile there at the end, when refs hold them.

    Raises:
        GitError: they are taken away again and again, or the files that they held have changed.
    """
    guard, before = Guard(), repo.made
    repo.made = guard.made if before is None else before
    was_at_work = _at_work(repo)
    try:
        yield guard
    finally:
        repo.made = before
    if was_at_work or _at_work(repo):
        _wait(repo)
        if guard.index and guard.index.exists():
            _restore(repo, guard.index, guard.tree)
    for _ in range(_TRIES):
        if not (gone := _missing(repo, guard.made)):
            return
        for oid in gone:
            guard.made[oid]()
    raise GitError("git's objects vanish as they are written; try again when `git gc` is done")


def has_taken(error: GitError) -> bool:
    """Whether git failed since an object is not there."""
    return any(word in error.stderr for word in _LOST)


def mend(repo: Repo, env: Mapping[str, str]) -> list[str]:
    """Take files whose content is lost into an index again, as they are in the work tree; returns
    those that are not there either, and go."""
    paths: dict[str, list[str]] = {}
    for entry in repo.entries("ls-files", "-s", "-z", env=env):
        about, _, path = entry.partition("\t")
        mode, oid, _ = about.split(" ")
        if mode != "160000":
            paths.setdefault(oid, []).append(path)
    lost = [path for oid in repo.absent([*paths]) for path in paths[oid]]
    stdin = joined(lost)
    if lost:
        repo.git("update-index", "-z", "--force-remove", "--stdin", stdin=stdin, env=env)
        repo.git("update-index", "-z", "--add", "--remove", "--stdin", stdin=stdin, env=env)
    return [path for path in lost if not os.path.lexists(repo.root / path)]


def _restore(repo: Repo, index: Path, tree: str) -> None:
    env = {"GIT_INDEX_FILE": str(index)}
    mend(repo, env)
    if repo.line("write-tree", env=env) != tree:
        raise GitError(
            "`git gc` took files of the snapshot away, and they have changed since; try again"
        )


def _missing(repo: Repo, made: Mapping[str, object]) -> list[str]:
    objects = f"{repo.common_dir}/objects"
    return repo.absent(
        [oid for oid in made if not os.path.exists(f"{objects}/{oid[:2]}/{oid[2:]}")]
    )


def _at_work(repo: Repo) -> str:
    """Return the process id and host of the collector that is at work here, as git notes them; ""
    where there is none."""
    return files.read_text(repo.common_dir / "gc.pid")


def _wait(repo: Repo) -> None:
    """Wait for a collector to end that takes at once what no ref holds. The next one sees our
    refs."""
    first, end = _at_work(repo), time.monotonic() + _PATIENCE
    while first and _prunes_at_once(repo, first) and time.monotonic() < end:
        time.sleep(0.02)
        if _at_work(repo) != first:
            return


def _prunes_at_once(repo: Repo, collector: str) -> bool:
    """Whether a collector of this machine is alive, and was told or set to another time than the
    usual two weeks."""
    pid, _, host = collector.partition(" ")
    if host.strip() != platform.node():
        return False
    try:
        command = Path("/proc", pid, "cmdline").read_bytes().lower()
    except OSError:
        return False
    return b"prune" in command or "gc.pruneexpire" in repo.told
