"""Folders that trials run in: a work tree that they share one after the other, each as if it were
new, and a worker's folder on its own machine.

A worker's folder is removed when it ends, and that of one that was killed by the next that makes
one: a lock in each says whether its worker lives, so nothing is taken from one that does.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from gitexp.formats.errors import GitError, GitexpError
from gitexp.repo import Repo, content, files
from gitexp.runs import journal, worktree


class SharedWorktree:
    """A work tree of ours, for one trial at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._repo = Repo.discover(root)
        self._pristine = self._repo.git_dir / "gitexp-index"  # as it was after the last reset
        self._stamp: tuple[int, ...] | None = None  # of the index since then

    def tidy(self, commit: str) -> None:
        """Bring it to a commit, with nothing in it of what ran here before; raises GitError."""
        index = self._repo.git_dir / "index"
        # of a git that was killed with its trial
        index.with_name("index.lock").unlink(missing_ok=True)
        ran = self._pristine.exists()  # any trial
        is_there = files.read_bytes(index.with_name("HEAD")) == f"{commit}\n".encode()
        if ran and is_there and files.stamp(index) == self._stamp and self._swept():
            return
        if ran:  # flags that a trial set in its index hide no change from git
            _copy(self._pristine, index)
        is_linked = self._repo.git_dir != self._repo.common_dir
        if ran or not (is_there and is_linked):  # else it was made at this commit a moment ago
            content.reset(self._repo, self.root, commit)
        _copy(index, self._pristine)
        self._stamp = files.stamp(index)

    def _swept(self) -> bool:
        """Remove what the last trial added; False where it did more, which a reset undoes."""
        if (self.root / ".gitmodules").exists():  # whose files git does not list
            return False
        how = ("-z", "-t", "--modified", "--deleted", "--others", "--directory")
        found = [line.split(" ", 1) for line in self._repo.entries("ls-files", *how)]
        added = [self.root / path for mark, path in found if mark == "?"]
        # behind a link may lie what git took for tracked files
        if len(added) < len(found) or any(path.is_symlink() for path in added):
            return False
        with suppress(OSError):
            for path in added:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            return True
        return False


def _copy(source: Path, target: Path) -> None:
    """Copy an index in one step, with its time, by which git knows what to look at again."""
    part = target.with_name(f"{target.name}.new")
    shutil.copy2(source, part)
    os.replace(part, target)


BUNDLED = "refs/gitexp/sweeping"  # in a bundle, the snapshot
_PREFIX = "gitexp-worker-"
_mine = ExitStack()  # folders, which end with this process
atexit.register(_mine.close)
_parents: list[ExitStack] = []
if hasattr(os, "register_at_fork"):  # in a forked child they are the parent's
    os.register_at_fork(after_in_child=lambda: _parents.append(_mine.pop_all()))


def make_home() -> Path:
    """Return a new folder for as long as this process lives."""
    for orphan in orphans(_PREFIX):
        shutil.rmtree(orphan, ignore_errors=True)
    home = Path(tempfile.mkdtemp(prefix=_PREFIX))
    _mine.callback(shutil.rmtree, home, ignore_errors=True)
    _mine.enter_context(journal.hold(home))
    work = home / "work"
    work.mkdir()
    return work


def orphans(prefix: str) -> Iterator[Path]:
    """Yield this user's temporary folders whose owner was killed: nobody holds their lock."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError, AttributeError):
            mine = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if mine and (folder / "alive").exists() and not journal.is_alive(folder):
                yield folder


_free: defaultdict[str, list[Path]] = defaultdict(list)  # by the repository that they are of


def take(commit: str, bundle: bytes, home: str = "") -> Path:
    """Return a free work tree: of the user's repository if seen and needed, else of a clone."""
    place = _free[home].pop() if _free[home] else _linked_or_cloned(commit, home)
    repo = Repo.discover(place)
    if repo.resolve(commit) is None:
        file = place.with_name("bundle")
        file.write_bytes(bundle)
        try:
            repo.git("fetch", "--quiet", str(file), f"+{BUNDLED}:{BUNDLED}")
        finally:
            file.unlink()
        if repo.resolve(commit) is None:
            raise GitError(f"the bundle does not hold the snapshot {commit[:10]}")
    return place


def _linked_or_cloned(commit: str, home: str) -> Path:
    with suppress(GitexpError):
        seen = Repo.discover(home) if home else None
        if seen and seen.resolve(commit):
            return _mine.enter_context(worktree.checkout(seen, commit, "sweep"))
    place = make_home()
    make_repository(place, commit)
    return place


def make_repository(place: Path, commit: str) -> None:
    """Make a repository in a folder that can hold this commit."""
    form = "sha256" if len(commit) == 64 else "sha1"
    git = Repo(place, place / ".git", place / ".git", form).git
    git("init", "--quiet", f"--object-format={form}")


def give_back(place: Path, home: str) -> None:
    """Let the next trial of this worker have a work tree."""
    _free[home].append(place)
