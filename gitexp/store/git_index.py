"""The user's index after the branch moved onto an experiment: swapped under git's own
``index.lock``, before or after for any other git.

It is prepared beside, and only linked into place when the refs are locked and checked, so that the
user's git finds the lock for the time of some renames. Inode and time are noted before, so that the
lock of a process that was killed here can be told from another git's, and whoever writes next
finishes what that one left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

from gitexp.formats.errors import GitError
from gitexp.repo import Repo, collector, lock_files, trees
from gitexp.repo.files import link_or_copy
from gitexp.repo.process import joined
from gitexp.repo.snapshot import Snapshot, index_stamp

OWNER = "gitexp-index"  # notes which index.lock is ours


class NextIndex:
    """The index that belongs to the new commit; used under the lock of all writers.

    Args:
        files: what the commit has more than the snapshot, ``{path: hash of the blob, None where it
            goes}``.
        fd: of the writers' lock, which git's own process keeps when this one is killed.
    """

    def __init__(
        self, repo: Repo, snapshot: Snapshot, files: Mapping[str, str | None], fd: int
    ) -> None:
        self._repo, self._snapshot, self._files, self._fd = repo, snapshot, files, fd
        self._index, self._lock, self._owner, self._part = (
            repo.git_dir / name for name in ("index", "index.lock", OWNER, f"{OWNER}.new")
        )
        self._stack = ExitStack()
        self._added: Callable[[], bytes] | None = None
        self._stamp: tuple[int, ...] | None = ()  # the user's index that it was made for
        self._held = False

    def __enter__(self) -> NextIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        if self._held:
            finish(self._repo)
        else:
            _clean(self._repo)

    def begin(self) -> None:
        """Start to prepare it, while something else is done, where the user's index is the one that
        the snapshot was made with."""
        if not self._snapshot.assumed and index_stamp(self._repo) == self._snapshot.index_stamp:
            self._stamp = self._snapshot.index_stamp
            with suppress(FileNotFoundError):
                link_or_copy(self._snapshot.index, self._part)
            self._added = self._stack.enter_context(
                self._adding(
                    (path, trees.mode(oid or "").decode(), oid) for path, oid in self._files.items()
                )
            )

    def why_not(self, tree: str) -> str | None:
        """Finish it for the new commit's tree, and return why the branch must stay where it is, if
        so."""
        try:
            lock_files.wait(self._lock)
        except GitError as error:
            return str(error).partition(";")[0]
        if self._added:
            self._added()
            self._added = None
        elif index_stamp(self._repo) != self._stamp:
            try:
                if why := self._made_anew(tree):
                    return why
            except GitError as error:
                if collector.has_taken(error):
                    return "HEAD's files cannot be read"
                raise
        status = self._part.stat()
        self._owner.write_text(f"{status.st_ino} {status.st_mtime_ns} {tree}")
        return None

    def lock(self) -> bool:
        """Lock the user's index; False where another git has it, or wrote it since ``why_not`` was
        asked."""
        try:
            _link(self._part, self._lock)
        except FileExistsError:
            return False
        self._held = index_stamp(self._repo) == self._stamp
        if not self._held:
            self._lock.unlink()
        return self._held

    def swap(self) -> None:
        """Put it in the place of the user's, which unlocks that."""
        _replace(self._lock, self._index)
        self._held = False

    def _made_anew(self, tree: str) -> str | None:
        """Make it of the user's index as it is now: written by a mere `git status`, or because
        something was staged."""
        repo = self._repo
        self._stamp = index_stamp(repo)
        before = self._snapshot.head.commit or repo.line("mktree", stdin=b"")
        how = ("--raw", "--no-renames", "-z")
        staged = repo.entries("diff-index", "--cached", "--ignore-submodules", *how, before)
        taken = repo.entries("diff-tree", "-r", *how, before, tree)
        coming = {path: at.split(" ")[1:4:2] for at, path in zip(taken[0::2], taken[1::2])}
        for at, path in zip(staged[0::2], staged[1::2]):
            if coming.get(path) != at.split(" ")[1:4:2]:
                return f"'{path}' was staged during the run"
        self._part.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            link_or_copy(self._index, self._part)
        with self._adding((path, mode, oid) for path, (mode, oid) in coming.items()) as added:
            added()
        return None

    def _adding(
        self, entries: Iterator[tuple[str, str, str | None]]
    ) -> AbstractContextManager[Callable[[], bytes]]:
        self._part.with_name(f"{self._part.name}.lock").unlink(missing_ok=True)
        lines = joined(
            f"{mode} {oid}\t{path}" if oid else f"0 {self._repo.zero}\t{path}"
            for path, mode, oid in entries
        )
        command = ("update-index", "-z", "--add", "--replace", "--index-info")
        env = {"GIT_INDEX_FILE": str(self._part)}
        return self._repo.beside(*command, stdin=lines, env=env, pass_fds=[self._fd])


def finish(repo: Repo) -> None:
    """Finish or undo the swap of a writer that was killed: its lock is told by the inode that it
    noted."""
    lock = repo.git_dir / "index.lock"
    try:
        inode, stamp, tree = (repo.git_dir / OWNER).read_text().split()
    except (OSError, ValueError):
        return
    with suppress(OSError, GitError):
        status = lock.stat()
        if (str(status.st_ino), str(status.st_mtime_ns)) == (inode, stamp):
            if repo.line("rev-parse", "-q", "--verify", "HEAD^{tree}", ok=(0, 1, 128)) == tree:
                _replace(lock, repo.git_dir / "index")
            else:
                lock.unlink()
    _clean(repo)


def _clean(repo: Repo) -> None:
    for name in (OWNER, f"{OWNER}.new"):
        (repo.git_dir / name).unlink(missing_ok=True)


def _replace(lock: Path, index: Path) -> None:
    """Move the lock into the index' place; two names of one file, which git had nothing to change
    in, would both stay."""
    if index.exists() and lock.samefile(index):
        lock.unlink()
    else:
        os.replace(lock, index)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name that nobody else has; raise FileExistsError where somebody does."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with open(target, "xb") as file:
            file.write(source.read_bytes())
