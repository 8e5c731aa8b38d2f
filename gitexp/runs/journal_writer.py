"""Writes a run's folder (``journal.py`` says what is in it), so that nothing logged is lost.

Faults of the machine (disk full, folder gone) never stop a training: there is one warning, what the
folder does not take goes elsewhere (``fallback.py``) or waits in memory, and the end says what was
not kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gitexp.formats import metrics, params
from gitexp.formats.errors import RepositoryError
from gitexp.repo import Repo, files, locks
from gitexp.runs import FOLDER, fallback, journal

_MAX_WAITING = 1_000_000  # rows kept in memory while the disk takes none
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_HERE = os.path.dirname(__file__)
_NAMES = {"params.yml": "the newest params", "run.json": "how it ended"}
_fdatasync = getattr(os, "fdatasync", os.fsync)


class Journal:
    """One run's folder, open for writing by its owner or by a process that joined it."""

    def __init__(self, folder: Path, owner: bool = False) -> None:
        self.folder = folder
        self.lost = 0
        self._waiting: deque[bytes] = deque()
        self._begun = 0  # bytes of the first of them that are written already
        self._unwritten: dict[str, bytes] = {}
        self._unkept: list[str] = []
        self._aside = False  # whether rows go to the spare place
        self._spared: set[str] = set()  # the files that lie there
        self._lock = threading.Lock()
        self._warned = False
        self._dirty = False
        self._closed = threading.Event()
        self.name = folder.name  # of the run, for who logs into it after its end
        self._late = False  # whether somebody did
        self._owner = owner
        self._params: dict[str, Any] = {}
        self._stamp: tuple[int, ...] | None = None  # of params.yml as we know it
        self._alive = journal.hold(folder) if owner else None
        self._unsynced = False  # whether run.json is only the kernel's yet
        try:
            self._fd = os.open(folder / "metrics.csv", _FLAGS, 0o666)
            if owner and os.fstat(self._fd).st_size == 0:
                os.write(self._fd, metrics.HEADER)
        except OSError as error:  # whose traceback would keep the lock for whoever looks at it
            place = None if owner else fallback.fallback_folder(folder)
            if place is None:
                self.release()
                raise
            self._fd, self._aside = os.open(place / fallback.ROWS, _FLAGS, 0o600), True
            self.warn("metrics could not be written", error)
        told = (weakref.ref(self), self._closed)
        self._syncing = threading.Thread(
            target=_sync_regularly, args=told, daemon=True, name="gitexp-sync"
        )
        if owner:
            self._syncing.start()

    @classmethod
    def create(cls, repo: Repo, run_id: str) -> Journal:
        """Make a new run's folder; raise RepositoryError where that is not allowed."""
        folder = repo.make_state_dir(FOLDER, run_id)
        try:
            return cls(folder, owner=True)
        except OSError as error:
            journal.delete(folder)
            raise RepositoryError(f"no run can begin: {journal.refused(folder, error)}") from None

    # -- writing -----------------------------------------------------------------------------------

    def append(self, row: bytes) -> None:
        """Write metric rows; on the disk (the kernel's side of it) when this returns."""
        written = 0
        if self._alive is None:
            self._hold_too()
        if not self._waiting:
            try:
                written = os.write(self._fd, row)
                ended = not (self._owner or os.fstat(self._fd).st_nlink)
            except OSError:
                ended = False
            if written == len(row) and not ended:
                self._dirty = True
                return
        if self._over():
            return
        with self._lock:
            if not self._waiting:
                self._begun = written
            if len(self._waiting) < _MAX_WAITING:
                self._waiting.append(row)
            else:
                self.lost += 1
        if len(self._waiting) % 100 == 1:
            self.flush()

    def add_params(self, values: Mapping[str, Any]) -> None:
        """Lay params over those that are there by now, whichever process logged them."""
        if self._over():
            return
        self._hold_too()
        with self.alone("params"):
            if (found := files.stamp(self.folder / "params.yml")) != self._stamp:
                self._params = params.joined(self._params, journal.logged_params(self.folder))
            self._params = params.joined(self._params, values)
            self._write("params.yml", lambda: params.dump(self._params))
            self._stamp = files.stamp(self.folder / "params.yml") or found

    @contextlib.contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Have no other process change this meanwhile, where the folder takes a lock."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError, RepositoryError):
                stack.callback(stack.enter_context(locks.Held(self.folder / f"{what}.lock")).drop)
            yield

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Replace what is known of the run; a process that joined it writes a file of its own."""
        if self._over():
            return
        name = "run.json" if self._owner else f"joined-{os.getpid()}.json"
        self._write(name, lambda: json.dumps(facts).encode())  # ASCII: file names are any bytes
        self._unsynced = True

    def write_artifact(self, path: str, content: bytes | Path) -> None:
        """Keep a copy of an artifact under its path in the tree."""
        if self._over():
            return
        if error := self._put(f"artifacts/{path}", content):
            self._unkept.append(f"the artifact {path}")
            self.warn(f"artifact {path} was not kept", error)

    def next_step(self, folder: str) -> int:
        """Return the number after those that the files in a folder of artifacts have."""
        there = next(os.walk(self.folder / "artifacts" / folder), ((), (), ()))[2]
        spared = (name for name in self._spared if os.path.dirname(name) == f"artifacts/{folder}")
        stems = (Path(name).stem for name in (*there, *spared))
        return max((int(stem) for stem in stems if stem.isdecimal()), default=-1) + 1

    def warn(self, what: str, error: BaseException) -> None:
        """Say once that the machine fails us; the training goes on."""
        if not self._warned:
            self._warned = True
            _say(f"gitexp: {what}: {_why(error)}; the run goes on, and what can be kept is kept")

    def _over(self) -> bool:
        """Whether the run has ended, here or by its owner, who removes its files; says once that
        what is logged into it now is lost."""
        try:
            over = self._closed.is_set() or not (self._owner or os.fstat(self._fd).st_nlink)
        except OSError:  # as a write will say
            over = False
        if over and not self._late:
            self._late = True
            _say(
                f"gitexp: run {self.name} has ended; what is logged into it now is lost; start"
                " another with gitexp.start_run()"
            )
        return over

    def silence(self) -> None:
        """Have no more warnings: the training is over, and its end says what is missing."""
        self._warned = True

    def say_unkept(self) -> None:
        """Say at the end what could not be kept, if anything."""
        if unkept := self.unkept():
            _say(f"gitexp: these could not be saved: {', '.join(unkept)}")

    def say(self, *texts: str) -> None:
        """Say at the end what people should know of the experiment."""
        for text in texts:
            _say(f"gitexp: {text}")

    def say_unrecorded(self, error: BaseException) -> None:
        """Say at the end that the run is only in its folder, and what is not even there."""
        missing = f", all but {', '.join(unkept)}" if (unkept := self.unkept()) else ""
        _say(
            f"gitexp: the run could not be recorded: {_why(error)}; it waits on disk for `gitexp"
            f" recover`{missing}"
        )

    def flush(self) -> None:
        """Try again to write the rows that the disk did not take."""
        with self._lock:
            while self._waiting:
                row = self._waiting[0]
                try:
                    self._begun += os.write(self._fd, row[self._begun :])
                except OSError as error:
                    self.warn("metrics could not be written", error)
                    if self._use_fallback():
                        continue
                    break
                if self._begun >= len(row):
                    self._begun = 0
                    self._waiting.popleft()

    def unkept(self) -> list[str]:
        """Return what could not be kept so far, in words."""
        rows = self.lost + len(self._waiting)
        counted = [f"{rows:,} metric row{'s' if rows != 1 else ''}"] if rows else []
        return [*counted, *(_NAMES.get(name, name) for name in self._unwritten), *self._unkept]

    def close(self) -> None:
        """Write what waits, and let go of the files."""
        if self._closed.is_set():
            return
        self.flush()
        self._closed.set()
        # one that Python's exit ends needs a library, and aborts where no file can be opened
        if self._syncing.is_alive():
            self._syncing.join(timeout=5)
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._fd = -1  # another file's number from now on
        # where open files are what lacks, there is one more now
        for name, data in [*self._unwritten.items()]:
            self._write(name, lambda data=data: data)  # type: ignore[misc]
        if not self._owner:
            self.release()

    def release(self) -> None:
        """Stop holding the run: without another who does, it counts as dead from now on."""
        if self._alive is not None:
            self._alive.close()
            self._alive = None

    def _hold_too(self) -> None:
        """Keep a run alive whose owner may die: what this process logs is to be recorded too."""
        if self._alive or self._owner or self._closed.is_set():
            return
        with contextlib.suppress(OSError):
            self._alive = journal.hold(
                self.folder, f"{journal.ALIVE}-{os.getpid()}-{os.urandom(4).hex()}"
            )

    def forget_ownership(self) -> None:
        """In a forked child: let the parent alone hold the lock."""
        self._lock = threading.Lock()
        self._waiting.clear()  # the parent's
        self._owner = False
        self.release()

    def sync(self) -> None:
        """Have the disk itself take what the kernel holds."""
        if self._dirty and not self._closed.is_set():
            self._dirty = False
            with contextlib.suppress(OSError):
                _fdatasync(self._fd)
        if self._unsynced and not self._closed.is_set():
            self._unsynced = False
            with contextlib.suppress(OSError), open(self.folder / "run.json", "rb") as file:
                os.fsync(file.fileno())
        if self._waiting and not self._closed.is_set():
            self.flush()
        if self._owner:
            with contextlib.suppress(OSError):
                os.utime(self.folder / journal.ALIVE)

    def _use_fallback(self) -> bool:
        """Have rows go to the spare place; False where there is none, or they do already."""
        if self._aside or self._closed.is_set():
            return False
        with contextlib.suppress(OSError, ImportError):
            if place := fallback.fallback_folder(self.folder):
                fd = os.open(place / fallback.ROWS, _FLAGS, 0o600)
                os.dup2(fd, self._fd, inheritable=False)
                os.close(fd)
                self._begun = 0  # what the folder has of this row is torn, and will be cut off
                self._aside = True
        return self._aside

    def _write(self, name: str, make: Callable[[], bytes]) -> None:
        try:
            data = make()
        # yaml is imported at its first use, which takes a file and memory
        except (OSError, ImportError, MemoryError) as error:
            self._unkept.append(_NAMES.get(name, name))
            self.warn(f"{name} could not be written", error)
            return
        self._unwritten.pop(name, None)
        if refused := self._put(name, data):
            self._unwritten[name] = data
            self.warn(f"{name} could not be written", refused)

    def _put(self, name: str, content: bytes | Path) -> Exception | None:
        """Write a file into the folder or the spare place; returns why neither took it."""
        try:
            files.replace(self.folder, self.folder / name, content)
        except (OSError, MemoryError) as error:
            try:
                place = fallback.fallback_folder(self.folder)
                if place is None:
                    return error
                files.replace(place, place / name, content)
            except (OSError, ImportError, MemoryError):
                return error
            self._spared.add(name)
            self.warn(f"{name} could not be written", error)
        else:
            if name in self._spared:
                self._spared.discard(name)
                fallback.forget(self.folder, name)
        return None


def _say(text: str) -> None:
    """Warn at the line of the user's that called us."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and os.path.dirname(frame.f_code.co_filename).startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RuntimeWarning, stacklevel=level)


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _sync_regularly(owned: weakref.ref[Journal], closed: threading.Event) -> None:
    while not closed.wait(journal.SYNC_SECONDS):
        here = owned()
        if here is None:
            return
        here.sync()
        del here
