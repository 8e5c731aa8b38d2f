"""A run that is going on, as files: ``.git/gitexp/runs/<id>/``, written so that nothing logged is lost.

    run.json      who, when, which command, which snapshot; written anew when something of it changes
    params.yml    the params so far; replaced atomically
    metrics.csv   append-only, one write for each call: the row is in the kernel when the call returns, so it survives
                  SIGKILL; a thread syncs it to the disk once a second, so a power cut takes one second at most
    artifacts/    copies of what was logged, at the path that they will have in the tree
    index         the private git index that holds the snapshot
    alive         locked by the owner as long as it lives; no process id to be mistaken for another's

Faults of the machine (disk full, folder gone) never stop a training: one warning, and rows wait in memory for better times.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
import warnings
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gitexp import metrics, params
from gitexp.errors import GitexpError
from gitexp.experiment import MetricPoint
from gitexp.repo import Repo

SYNC_SECONDS = 1.0
_MAX_WAITING = 1_000_000  # rows kept in memory while the disk takes none
_fdatasync = getattr(os, "fdatasync", os.fsync)


class Journal:
    """One run's folder, open for writing by its owner or by a process that joined it."""

    def __init__(self, folder: Path, owner: bool = False) -> None:
        self.folder = folder
        self.lost = 0
        self._waiting: list[bytes] = []
        self._lock = threading.Lock()
        self._warned = False
        self._dirty = False
        self._closed = threading.Event()
        self._alive = hold(folder) if owner else None
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._fd = os.open(folder / "metrics.csv", flags, 0o666)
        if owner and os.fstat(self._fd).st_size == 0:
            os.write(self._fd, metrics.HEADER)
        if owner:
            threading.Thread(target=_sync_regularly, args=(weakref.ref(self), self._closed), daemon=True, name="gitexp-sync").start()

    @classmethod
    def create(cls, repo: Repo, run_id: str) -> Journal:
        """Make a new run's folder; raise RepositoryError where that is not allowed."""
        import portalocker  # noqa: F401  now, since between the folder and its lock there should be no time

        return cls(repo.make_state_dir("runs", run_id), owner=True)

    # -- writing -------------------------------------------------------------------------------------------------

    def append(self, row: bytes) -> None:
        """Write metric rows; on the disk (the kernel's side of it) when this returns."""
        if self._waiting:
            self._later(row)
            return
        try:
            written = os.write(self._fd, row)
        except OSError as error:
            self._later(row, error)
            return
        if written != len(row):
            self._later(row[written:])
        self._dirty = True

    def write_params(self, values: Mapping[str, Any]) -> None:
        """Replace the params."""
        self._write("params.yml", params.dump(values))

    def write_facts(self, facts: Mapping[str, Any], owner: bool = True) -> None:
        """Replace what is known of the run; a process that joined it writes a file of its own."""
        self._write("run.json" if owner else f"joined-{os.getpid()}.json", json.dumps(facts, ensure_ascii=False).encode())

    def write_artifact(self, path: str, content: bytes | Path) -> None:
        """Keep a copy of an artifact under its path in the tree."""
        target = self.folder / "artifacts" / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)
        except OSError as error:
            self.warn(f"artifact {path} was not kept", error)

    def warn(self, what: str, error: BaseException) -> None:
        """Say once that the machine fails us; the training goes on."""
        if not self._warned:
            self._warned = True
            why = getattr(error, "strerror", None) or str(error)
            warnings.warn(f"gitexp: {what}: {why}; the run goes on, and what can be kept is kept", RuntimeWarning, stacklevel=4)

    def flush(self) -> None:
        """Try again to write the rows that the disk did not take."""
        with self._lock:
            while self._waiting:
                try:
                    written = os.write(self._fd, self._waiting[0])
                except OSError as error:
                    self.warn("metrics could not be written", error)
                    return
                rest = self._waiting[0][written:]
                self._waiting[:1] = [rest] if rest else []

    def close(self) -> int:
        """Write what waits, let go of the files, and return how many rows could not be kept."""
        if self._closed.is_set():
            return self.lost
        self.flush()
        self._closed.set()
        self.lost += len(self._waiting)
        with contextlib.suppress(OSError):
            os.close(self._fd)
        return self.lost

    def release(self) -> None:
        """Stop being the run's owner: from now on it counts as dead, unless its folder is gone."""
        if self._alive is not None:
            self._alive.close()
            self._alive = None

    def forget_ownership(self) -> None:
        """In a forked child: let the parent alone hold the lock (closing a copy does not release it)."""
        self.release()

    def sync(self) -> None:
        """Have the disk itself take what the kernel holds."""
        if self._dirty and not self._closed.is_set():
            self._dirty = False
            with contextlib.suppress(OSError):
                _fdatasync(self._fd)
            if self._waiting:
                self.flush()

    def _later(self, row: bytes, error: OSError | None = None) -> None:
        with self._lock:
            if len(self._waiting) < _MAX_WAITING:
                self._waiting.append(row)
            else:
                self.lost += 1
        if error is not None:
            self.warn("metrics could not be written", error)
        elif len(self._waiting) % 100 == 0:
            self.flush()

    def _write(self, name: str, data: bytes) -> None:
        part = self.folder / f"{name}.{os.getpid()}.new"
        try:
            part.write_bytes(data)
            os.replace(part, self.folder / name)
        except OSError as error:
            self.warn(f"{name} could not be written", error)


# -- reading -------------------------------------------------------------------------------------------------------------


def facts(folder: Path, name: str = "run.json") -> dict[str, Any]:
    """Return what the owner wrote of a run; empty where nothing readable was written."""
    try:
        known = json.loads((folder / name).read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def all_facts(folder: Path) -> dict[str, Any]:
    """Return what is known of a run, with what the processes that joined it added."""
    known = facts(folder)
    for file in sorted(folder.glob("joined-*.json")):
        for key, value in facts(folder, file.name).items():
            if key in ("trailers", "extra"):
                known[key] = params.merge(known.get(key, {}), value)
            elif key == "labels":
                known[key] = sorted({*known.get(key, []), *value})
            elif key == "children":
                known[key] = [*known.get(key, []), *value]
            elif value and not known.get(key):
                known[key] = value
    return known


def read_params(folder: Path) -> dict[str, Any]:
    """Return the params that a run has logged so far."""
    try:
        return params.load((folder / "params.yml").read_bytes())
    except (OSError, GitexpError):
        return {}


def points(folder: Path) -> Iterator[MetricPoint]:
    """Yield the metric rows that a run has logged so far."""
    with contextlib.suppress(FileNotFoundError), open(folder / "metrics.csv", "rb") as file:
        yield from metrics.read(file)


def trim(path: Path) -> bool:
    """Cut a torn last row off a journaled ``metrics.csv``, and return whether there was one."""
    try:
        with open(path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 65536))
            tail = file.read()
            keep = size - len(tail) + tail.rfind(b"\n") + 1
            if keep < size:
                file.truncate(keep)
            return keep < size
    except OSError:
        return False


def artifacts(folder: Path) -> dict[str, Path]:
    """Return ``{path in the tree: file}`` for what a run has logged."""
    top = folder / "artifacts"
    return {file.relative_to(top).as_posix(): file for file in sorted(top.rglob("*")) if file.is_file()}


def folders(repo: Repo) -> list[Path]:
    """Return the folders of all runs, dead or alive, oldest first."""
    try:
        found = [entry for entry in (repo.state_dir / "runs").iterdir() if entry.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda entry: (facts(entry).get("started", ""), entry.name))


def hold(folder: Path) -> Any:
    """Lock a folder as its owner, for as long as the file that is returned stays open."""
    import portalocker

    file = open(folder / "alive", "ab")  # noqa: SIM115  the caller keeps it open
    portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
    return file


def is_alive(folder: Path) -> bool:
    """Whether the process that owns a run still lives: it holds a lock that ends with it."""
    import portalocker

    try:
        with open(folder / "alive", "rb") as file:
            portalocker.lock(file, portalocker.LOCK_SH | portalocker.LOCK_NB)
            return False
    except portalocker.LockException:
        return True
    except OSError:  # no such file: killed before it had one, or just being made
        return time.time() - _created(folder) < 2


def delete(folder: Path) -> None:
    """Remove a run's folder: what it held is recorded.

    Moved aside first, in one step, so that a killed process leaves no half folder among the runs. What such a one left aside
    goes with the next.
    """
    aside = folder.parent.with_name("ended")
    with contextlib.suppress(OSError):
        aside.mkdir(exist_ok=True)
        folder.rename(aside / folder.name)
    shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # where it could not be moved


def _created(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _sync_regularly(journal: weakref.ref[Journal], closed: threading.Event) -> None:
    while not closed.wait(SYNC_SECONDS):
        here = journal()
        if here is None:
            return
        here.sync()
        del here
