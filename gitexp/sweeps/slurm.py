"""SLURM through submitit: each trial a job, in a work tree of the repository that the nodes share.

What becomes of jobs is asked of ``squeue`` and ``scontrol``: they work without accounting, which
``sacct`` needs.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import Any

from gitexp.formats.errors import UsageError
from gitexp.formats.extras import needed
from gitexp.repo import Repo, files
from gitexp.runs import journal, resume, worktree
from gitexp.sweeps import worker as trial
from gitexp.sweeps.worker import Job, Result

_LOOK = 0.5  # seconds between two looks for results on the disk
_ASK = 5.0  # seconds between two questions to SLURM's queue, one for all jobs
_DAY = 24 * 60  # minutes
_WARNED = 120  # seconds; submitit asks for a warning 90 s before the limit
_KEPT = 30 * 86400  # seconds; what waits in a queue for another sweep needs its files
_PATIENCE = 60.0  # seconds for a busy controller's answer, and for a cancelled job to end
_END_REASONS = {
    "CANCELLED": "its SLURM job was cancelled",
    "TIMEOUT": "it ran into SLURM's time limit",
    "DEADLINE": "it ran into SLURM's deadline",
    "NODE_FAIL": "its SLURM node failed",
    "BOOT_FAIL": "its SLURM node did not boot",
    "OUT_OF_MEMORY": "it ran out of the memory that its SLURM job has",
    "PREEMPTED": "its SLURM job was preempted",
}


class Slurm:
    """SLURM through submitit: a job for each trial, with what sbatch's own variables
    (SBATCH_PARTITION, ...) ask for. Nodes share the repository's disk; the address ``local`` runs
    the jobs here, to try it."""

    watches = True
    room: int | None = None

    def __init__(self, repo: Repo, commit: str, jobs: int, address: str | None, *_: object) -> None:
        submitit = needed("submitit", "engine slurm", "slurm")
        _remove_leftovers(repo, commit)
        self._repo = repo
        self._folder = repo.make_state_dir("submitit", f"{commit[:12]}-{secrets.token_hex(4)}")
        self._alive = journal.hold(self._folder)
        self._tasks: dict[str, tuple[Any, Future[Result]]] = {}
        self._told: dict[str, float] = {}  # when a job was asked to end
        self._unqueued: set[str] = set()
        self._gone: set[str] = set()  # jobs that the queue had no more at the last look
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self.size = jobs
        try:
            self._submitit = submitit.AutoExecutor(folder=self._folder, cluster=address or "slurm")
            self._watcher.start()
        except BaseException as error:
            self.close()
            if isinstance(error, RuntimeError):
                raise UsageError(f"SLURM cannot be used here: {error}") from None
            raise

    def submit(self, job: Job, folder: Path) -> Future[Result]:
        self._submitit.update_parameters(timeout_min=_minutes(job))
        task = self._submitit.submit(run_as_job, job, str(self._repo.root), str(folder))
        note = f"{self._submitit.cluster} {task.job_id}"
        files.replace(folder, folder / trial.JOB, note.encode())
        done: Future[Result] = Future()
        done.set_running_or_notify_cancel()
        self._tasks[job.key] = task, done
        return done

    def stop(self, job: Job, folder: Path, why: str) -> None:
        if trial.runs(folder):
            trial.ask_to_stop(folder, why)
        elif found := self._tasks.get(job.key):
            self._told[job.key] = time.monotonic()
            found[0].cancel(check=False)

    def unqueue(self, job: Job) -> None:
        found = self._tasks.get(job.key)
        if found and job.key not in self._unqueued and self._submitit.cluster == "slurm":
            self._unqueued.add(job.key)
            _ask("scancel", "--state=PENDING", found[0].job_id)

    def release(self, job: Job) -> None:
        """Each job has a place of its own."""

    def close(self) -> None:
        for key, (task, _) in list(self._tasks.items()):
            self._told[key] = time.monotonic()
            task.cancel(check=False)
        # until they ended, or the watcher gives them up
        while self._tasks and self._watcher.is_alive():
            time.sleep(_LOOK)
        self._closing.set()
        self._alive.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        for place in worktree.leftovers(self._repo):  # of jobs that were killed
            worktree.remove(self._repo, place)

    def _watch(self) -> None:
        """Take results as they appear on the disk, and ask the queue now and then."""
        ask = 0.0
        while not self._closing.wait(_LOOK):
            try:
                there = {*os.listdir(self._folder)}
            except OSError:
                continue
            tasks = list(self._tasks.items())
            cluster = self._submitit.cluster
            for key, (task, _) in tasks:
                ended = task.paths.result_pickle.name in there
                if ended or (cluster == "local" and task.done()):
                    self._end(key, task.result)
            if tasks and time.monotonic() >= ask and cluster == "slurm":
                self._look_at_queue({key: task.job_id for key, (task, _) in tasks})
                ask = time.monotonic() + _ASK

    def _look_at_queue(self, jobs: dict[str, str]) -> None:
        """Give up jobs without a result that the queue lacks at two looks."""
        waiting = queued()
        for key, number in jobs.items():
            overdue = time.monotonic() - self._told.get(key, math.inf) > _PATIENCE
            gone = waiting is not None and number not in waiting
            if overdue or (gone and key in self._gone):
                self._end(key, functools.partial(_lost, end_reason(number)))
            (self._gone.add if gone else self._gone.discard)(key)

    def _end(self, key: str, result: Callable[[], Result]) -> None:
        if found := self._tasks.pop(key, None):
            trial.complete(result, found[1])


def _minutes(job: Job) -> int:
    """Return the limit of a trial's SLURM job; submitit's own default is 5."""
    return int(job.timeout // 60) + 2 if job.timeout else _DAY


def run_as_job(job: Job, root: str, folder: str) -> None:
    """Run a trial in a work tree of the repository's and in the driver's folder, on a disk shared
    with the driver: all is there for a later driver, or for the job itself where it is requeued."""
    where = Path(folder)
    if where.exists():  # else its sweep is over
        _clear(where)
        _end_when_warned(where, _minutes(job))
        with worktree.checkout(Repo.discover(root), job.commit, "sweep") as place:
            trial.run(job, str(place), folder)


def _end_when_warned(where: Path, minutes: int) -> None:
    """Have the trial come to an end, and be recorded, where SLURM warns that it will end the job
    (``sbatch --signal``, which submitit asks for). submitit itself gives up a job without
    checkpoints, and takes each warning of a short one for that of its time limit."""
    late = time.monotonic() + 60 * minutes - _WARNED

    def warned(number: int, frame: FrameType | None) -> None:
        preempted, job = time.monotonic() < late, os.environ.get("SLURM_JOB_ID", "")
        if preempted and _ask("scontrol", "requeue", job) is not None:
            sys.exit("to be run again")
        trial.ask_to_stop(where, _END_REASONS["PREEMPTED" if preempted else "TIMEOUT"])

    for number in (signal.SIGUSR1, signal.SIGUSR2):
        if callable(signal.getsignal(number)):  # submitit's
            signal.signal(number, warned)


def _clear(where: Path) -> None:
    """Leave only the rows of a requeued job: it goes on from its checkpoint, or begins again."""
    rows, facts = where / "metrics.csv", journal.all_facts(where)
    journal.trim(rows)
    if facts.get("inherited"):
        os.replace(resume.merged(where, facts), rows)
    for path in where.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in (rows.name, trial.JOB, trial.STOP):
            path.unlink()


def _lost(why: str) -> Result:
    raise trial.LostError(why)


def queued() -> set[str] | None:
    """Return the numbers of this user's jobs in the queue; None where SLURM does not answer."""
    said = _ask("squeue", "--noheader", f"--user={os.getuid()}", "--format=%i")
    return None if said is None else {*said.split()}


def end_reason(job: str) -> str:
    """Return in words how a job ended that left the queue; SLURM forgets it in minutes."""
    shown = _ask("scontrol", "--oneliner", "show", "job", job) or ""
    found = re.search(r"\bJobState=(\w+)", shown) or re.match(
        r"\s*(\w+)", _ask("sacct", "-nXP", "-o", "State", "-j", job) or ""
    )
    return _END_REASONS.get(found[1] if found else "", "its SLURM job ended without a result")


def _ask(*command: str) -> str | None:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def cancel_queued(top: Path) -> list[str]:
    """Cancel the SLURM jobs that a killed driver left in the queue, and return their numbers; those
    that run are left alone. ``top`` is where the sweep's trials are journaled."""
    cancelled = []
    for note in top.glob(f"*/{trial.JOB}"):
        cluster, _, number = note.read_text().partition(" ")
        begun = trial.is_over(note.parent) or trial.runs(note.parent)
        if cluster == "slurm" and number.isdigit() and not begun:
            with contextlib.suppress(OSError):
                subprocess.run(["scancel", number], check=False, capture_output=True)
                cancelled.append(number)
    return cancelled


def _remove_leftovers(repo: Repo, commit: str) -> None:
    """Remove what killed drivers of this sweep left of their jobs, and what is too old."""
    for folder in repo.make_state_dir("submitit").iterdir():
        old = time.time() - folder.stat().st_mtime > _KEPT
        if (old or folder.name.startswith(commit[:12])) and not journal.is_alive(folder):
            shutil.rmtree(folder, ignore_errors=True)
