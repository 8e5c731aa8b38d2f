"""A work tree that trials share, one after the other, and that each of them finds as if it were
new.

What the last trial changed is told from the files themselves, by what ``lstat`` says of each: a
listing is taken when the work tree is clean and compared before the next trial. git's own word
would not do: a trial may have run ``git update-index --skip-worktree``, or have left an empty
folder, of which ``git status`` says nothing; and asking costs a process. What is new goes; where
anything else changed, git writes the files again, by the index as it was when they were written.

A listing may miss a change within the same tick of the file system's clock. So one of files that
were written just now does not count, and git looks at them itself before the next trial.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from gitexp.repo import Repo
from gitexp.runs import journal, worktree

# nanoseconds, well above the tick of the file systems that have fractions of a second
_TICK = 50 * 10**6
_COARSE = 2 * 10**9  # of those that have none
Sign = tuple[int, ...]


class Place:
    """A work tree of ours, for one trial at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._repo = Repo.discover(root)
        self._git_dir = self._repo.git_dir
        self._pristine = self._git_dir / "gitexp-index"  # the index as it was after the last reset
        self._commit: str | None = None
        # what lay there then; None where that cannot be relied on
        self._known: dict[str, Sign] | None = None

    def tidy(self, commit: str) -> None:
        """Bring it to a commit, with nothing in it of what ran here before.

        Raises:
            GitError: git cannot do it.
        """
        if commit != self._commit or self._known is None or not self._swept(self._known):
            self._reset(commit)

    def _swept(self, known: dict[str, Sign]) -> bool:
        """Remove what is new, and return whether that was all."""
        try:
            found = dict(_listed(self.root, self._git_dir))
            if any(found.get(path) != sign for path, sign in known.items()):
                return False
            for path in found.keys() - known.keys():
                _remove(path)
        except OSError:
            return False
        return True

    def _reset(self, commit: str) -> None:
        # of a git that was killed with its trial
        (self._git_dir / "index.lock").unlink(missing_ok=True)
        if self._pristine.exists():  # flags that a trial set in its index hide no change from git
            _copy(self._pristine, self._git_dir / "index")
        worktree.reset(self._repo, self.root, commit)
        _copy(self._git_dir / "index", self._pristine)
        known = dict(_listed(self.root, self._git_dir))
        # those are never written in place
        written = [sign for path, sign in known.items() if Path(path).parent != self._git_dir]
        self._commit, self._known = commit, None if _are_young(written, self._git_dir) else known


def _listed(root: Path, git_dir: Path) -> Iterator[tuple[str, Sign]]:
    """Yield each path of a work tree with what changes when it does; of a folder, only what kind of
    thing it is counts."""
    for path in (git_dir / "HEAD", git_dir / "index"):
        yield str(path), _sign(os.lstat(path))
    todo = [str(root)]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                found = os.lstat(entry.path)
                if not stat.S_ISDIR(found.st_mode):
                    yield entry.path, _sign(found)
                elif entry.path != str(git_dir):
                    yield entry.path, (found.st_mode,)
                    todo.append(entry.path)


def _sign(found: os.stat_result) -> Sign:
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode


def _are_young(signs: Iterable[Sign], folder: Path) -> bool:
    """Whether a file might be changed once more without another time, by the clock of its file
    system."""
    probe = folder / "gitexp-now"
    probe.touch()
    now = probe.stat().st_mtime_ns
    newest = max((max(sign[:2]) for sign in signs if len(sign) > 1), default=0)
    return newest > now - (_TICK if now % 10**9 else _COARSE)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):  # it went with its folder
            os.unlink(path)


def _copy(source: Path, target: Path) -> None:
    """Copy an index in one step, with its time: by that git knows which files it must not believe
    unseen."""
    part = target.with_name(f"{target.name}.new")
    shutil.copy2(source, part)
    os.replace(part, target)


_PREFIX = "gitexp-worker-"
_mine: list[tuple[Path, IO[Any]]] = []


def make_home() -> Path:
    """Return a new folder for as long as this process lives."""
    _remove_orphans()
    home = Path(tempfile.mkdtemp(prefix=_PREFIX))
    _mine.append((home, journal.hold(home)))
    work = home / "work"
    work.mkdir()
    return work


def _remove_orphans() -> None:
    for home in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, AttributeError):
            mine = home.lstat().st_uid == os.getuid() and not home.is_symlink()
            if mine and (home / "alive").exists() and not journal.is_alive(home):
                shutil.rmtree(home, ignore_errors=True)


@atexit.register
def _leave() -> None:
    for home, held in _mine:
        held.close()
        shutil.rmtree(home, ignore_errors=True)


def _forget() -> None:
    """In a forked child: they are the parent's."""
    _mine.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
