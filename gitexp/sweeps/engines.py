"""Where trials run: existing engines by name, each seen as "submit a job, get a future".

    loky     worker processes on this machine, one executor for each slot: a worker that dies takes
        no other trial with it
    dask     a Dask cluster (``--address tcp://...``), or one started here
    ray      a Ray cluster (``--address auto``), or one started here
    slurm    each trial a SLURM job, through submitit

Loky and SLURM share a disk with the driver. The others get the snapshot as a git bundle and hand
back bytes; no code is pickled, only this package's own functions by name and plain values.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from gitexp.formats.errors import UsageError, did_you_mean
from gitexp.formats.extras import needed
from gitexp.repo import Repo
from gitexp.runs import worktree
from gitexp.sweeps import worker as trial
from gitexp.sweeps.clusters import Dask, Ray
from gitexp.sweeps.slurm import Slurm
from gitexp.sweeps.worker import Job, Result


class Engine(Protocol):
    """Runs jobs."""

    size: int  # how many at once, never more than was asked for
    room: int | None  # how many the machines that were found could take, where that is known
    watches: bool  # whether a trial's folder can be read while it grows

    def submit(self, job: Job, folder: Path) -> Future[Result]: ...
    def stop(self, job: Job, folder: Path, why: str) -> None: ...
    def unqueue(self, job: Job) -> None:
        """Take a job out of the queue that it waits in; one that runs goes on."""

    def release(self, job: Job) -> None:
        """Give the place free that an ended job had: whoever wanted something of it has it."""

    def close(self) -> None: ...


def start(
    name: str, repo: Repo, commit: str, jobs: int, address: str | None = None, outlive: bool = False
) -> Engine:
    """Start an engine, ready to run the snapshot at ``commit``; ``outlive``: what it is given is to
    run without the driver, too. Raises UsageError or MissingExtraError."""
    if name not in ENGINES:
        raise UsageError(
            f"there is no engine '{name}'.{did_you_mean(name, ENGINES)} There are"
            f" {', '.join(ENGINES)}"
        )
    if not hasattr(jobs, "__index__") or jobs < 1:
        raise UsageError(f"--jobs must be a whole number from 1, not {jobs}")
    if address and name == "loky":
        raise UsageError("engine loky has no --address; it is for dask, ray and slurm")
    if outlive and name == "ray":
        raise UsageError(
            "engine ray ends the trials with their driver, and --workers-push cannot help that; use"
            " dask or slurm"
        )
    return ENGINES[name](repo, commit, jobs, address, outlive)


class Loky:
    """Processes on this machine, each with a work tree of its own that is reset between trials."""

    watches = True
    room: int | None = None

    def __init__(self, repo: Repo, commit: str, jobs: int, *_: object) -> None:
        # joblib's own copy, where it is all there is, imports NumPy in each process
        package = "loky" if find_spec("loky") else "joblib.externals.loky"
        self._loky = needed(f"{package}.process_executor", "engine loky", "sweep")
        self.size = jobs
        self._stack = contextlib.ExitStack()
        try:
            places = (worktree.checkout(repo, commit, "sweep") for _ in range(jobs))
            self._places = [self._stack.enter_context(place) for place in places]
        except BaseException:
            self._stack.close()
            raise
        self._workers: list[Any] = [None] * jobs
        self._free = list(reversed(range(jobs)))
        self._slots: dict[str, int] = {}  # of what was submitted

    def submit(self, job: Job, folder: Path) -> Future[Result]:
        slot = self._slots[job.key] = self._free.pop()
        if self._workers[slot] is None:
            self._workers[slot] = self._loky.ProcessPoolExecutor(
                max_workers=1, timeout=None, initializer=trial.begin_local_worker
            )
        done: Future[Result] = self._workers[slot].submit(
            trial.run, job, str(self._places[slot]), str(folder), slot
        )
        done.add_done_callback(lambda ended: self._let_go(slot, ended))
        return done

    def stop(self, job: Job, folder: Path, why: str) -> None:
        trial.ask_to_stop(folder, why)

    def unqueue(self, job: Job) -> None:
        """Nothing waits."""

    def close(self) -> None:
        for worker in self._workers:
            if worker is not None:
                worker.shutdown(wait=True, kill_workers=True)
        self._stack.close()

    def _let_go(self, slot: int, ended: Future[Result]) -> None:
        # a broken executor takes no more work
        if ended.cancelled() or isinstance(ended.exception(), RuntimeError):
            broken, self._workers[slot] = self._workers[slot], None
            broken.shutdown(wait=False, kill_workers=True)

    def release(self, job: Job) -> None:
        self._free.append(self._slots.pop(job.key))


_Start = Callable[[Repo, str, int, str | None, bool], Engine]
ENGINES: dict[str, _Start] = {"loky": Loky, "dask": Dask, "ray": Ray, "slurm": Slurm}
