"""Where trials run: existing engines by name, each seen as "submit a job, get a future".

    loky     worker processes on this machine, one executor for each slot: a worker that dies takes
        no other trial with it
    dask     a Dask cluster (``--address tcp://...``), or one started here
    ray      a Ray cluster (``--address auto``), or one started here
    slurm    each trial a SLURM job, through submitit

Only loky shares a disk with the driver for sure. The others get the snapshot as a git bundle and
hand back bytes; no code is pickled, only this package's own functions by name and plain values.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from gitexp.formats.errors import UsageError, did_you_mean
from gitexp.formats.extras import needed
from gitexp.repo import Repo
from gitexp.runs import journal, worktree
from gitexp.sweeps import slurm
from gitexp.sweeps import worker as trial
from gitexp.sweeps.worker import Job

Result = dict[str, bytes] | None  # None: the files lie in the driver's folder already
_ANSWER = 120  # seconds that a cluster has to say what it knows; Ray starts a process for it
_LOOK = 0.5  # seconds between two looks for results on the disk
_ASK = 5.0  # seconds between two questions to SLURM's queue, one for all jobs
_PATIENCE = 60.0  # seconds that a job has to end when it was cancelled
_TIMES = 3  # that a trial is sent again, where what it needs was lost
_DAY = 24 * 60  # minutes
_KEPT = 30 * 86400  # seconds; what waits in a queue for another sweep needs its files
_IS_THERE = "lambda: __import__('importlib.util').util.find_spec('gitexp') is not None"


class Engine(Protocol):
    """Runs jobs.

    Attributes:
        size: how many at once, never more than was asked for.
        room: how many the machines that were found could take; None where nobody knows.
        watches: whether a trial's folder can be read while it grows.
    """

    size: int
    room: int | None
    watches: bool

    def submit(self, job: Job, folder: Path) -> Future[Result]: ...
    def stop(self, job: Job, folder: Path, why: str) -> None: ...
    def close(self) -> None: ...


def start(
    name: str, repo: Repo, commit: str, jobs: int, address: str | None = None, outlive: bool = False
) -> Engine:
    """Start an engine, ready to run the snapshot at ``commit``.

    Args:
        outlive: what was handed to it is to run without the driver, too.

    Raises:
        UsageError: there is no engine of that name, or it cannot be reached.
        MissingExtraError: its package is not installed.
    """
    if name not in ENGINES:
        raise UsageError(
            f"there is no engine '{name}'.{did_you_mean(name, ENGINES)} There are"
            f" {', '.join(ENGINES)}"
        )
    if jobs < 1:
        raise UsageError(f"--jobs must be 1 or more, not {jobs}")
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

    def __init__(
        self, repo: Repo, commit: str, jobs: int, _address: str | None, _outlive: bool
    ) -> None:
        self._loky = needed("joblib.externals.loky.process_executor", "engine loky", "sweep")
        self.size = jobs
        self._stack = contextlib.ExitStack()
        try:
            self._places = [
                self._stack.enter_context(worktree.checkout(repo, commit, "sweep"))
                for _ in range(jobs)
            ]
        except BaseException:
            self._stack.close()
            raise
        self._workers: list[Any] = [None] * jobs
        self._free = list(reversed(range(jobs)))

    def submit(self, job: Job, folder: Path) -> Future[Result]:
        slot = self._free.pop()
        if self._workers[slot] is None:
            self._workers[slot] = self._loky.ProcessPoolExecutor(
                max_workers=1, timeout=None, initializer=trial.live_with_the_driver
            )
        done: Future[Result] = self._workers[slot].submit(
            trial.run, job, str(self._places[slot]), str(folder), slot
        )
        done.add_done_callback(lambda ended: self._let_go(slot, ended))
        return done

    def stop(self, job: Job, folder: Path, why: str) -> None:
        trial.ask_to_stop(folder, why)

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
        self._free.append(slot)


class Dask:
    """A Dask cluster. Trials go straight to it: through joblib's backend a task costs three times
    as much."""

    watches = False

    def __init__(
        self, repo: Repo, commit: str, jobs: int, address: str | None, outlive: bool
    ) -> None:
        self._distributed = distributed = needed("distributed", "engine dask", "dask")
        try:
            if address:
                _knock(address)
            self._client = (
                distributed.Client(address, timeout=_ANSWER)
                if address
                else distributed.Client(
                    processes=False, n_workers=1, threads_per_worker=jobs, dashboard_address=None
                )
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"no Dask scheduler answers at {address}: {error}; start one: dask scheduler"
            ) from None
        try:
            self._check()
            threads = sum(self._client.nthreads().values())
            if not threads:
                raise UsageError(
                    f"the Dask scheduler at {address} has no workers; start some: dask worker"
                    f" {address}"
                )
            self.room: int | None = threads if address else None
            self.size = jobs if outlive else min(jobs, threads)
            self._tasks: dict[str, Any] = {}  # of those that outlive the driver
            self._stopped: set[str] = set()
            self._closing = False
            self._bytes = _bundle(repo, commit)
            self._bundle = self._spread()
            self._commit = remote_commit(repo, commit)
        except BaseException:
            self.close()
            raise

    def submit(self, job: Job, folder: Path) -> Future[Result]:
        done: Future[Result] = Future()
        done.set_running_or_notify_cancel()
        self._send(job, done, 0)
        return done

    def _send(self, job: Job, done: Future[Result], times: int) -> None:
        if times or self._bundle.status != "finished":  # all workers that had it are gone
            self._bundle = self._spread()
        # the same again, for another driver, is one task where it runs still
        what = zlib.crc32(repr((job.point, job.seed)).encode())
        key = f"gitexp-{job.key}-{what:x}{f'-{times}' if times else ''}"
        task = self._client.submit(
            trial.run_away, _away(job, self._commit), self._bundle, key=key, pure=False, retries=0
        )
        if job.outlet:
            # else the scheduler would drop it with its client
            self._distributed.fire_and_forget(task)
            self._tasks[job.key] = task
        task.add_done_callback(lambda ended: self._take(ended, job, done, times))

    def _take(self, ended: Any, job: Job, done: Future[Result], times: int) -> None:
        """Hand a result on. A trial that nobody cancelled lost the bundle with its last holder
        (Dask keeps one copy), and is sent again."""
        if (
            ended.cancelled()
            and job.key not in self._stopped
            and times < _TIMES
            and not self._closing
        ):
            try:
                self._send(job, done, times + 1)
            except Exception as error:  # there is no cluster any more
                done.set_exception(error)
        else:
            _copy(ended.result, done)

    def stop(self, job: Job, folder: Path, why: str) -> None:
        self._stopped.add(job.key)
        runs = any(self._client.run(trial.stop, job.key, why).values())
        if not runs and (task := self._tasks.get(job.key)):
            self._client.cancel([task], force=True)

    def close(self) -> None:
        self._closing = True
        self._client.close()

    def _spread(self) -> Any:
        """Give the bundle to every worker, once."""
        return self._client.scatter(self._bytes, broadcast=True, hash=False, timeout=_ANSWER)

    def _check(self) -> None:
        """Say now that gitexp is missing somewhere: a scheduler or worker that cannot unpickle a
        task hangs without a word."""
        ask = f"({_IS_THERE})()"
        answers = {
            "the scheduler": self._client.run_on_scheduler(eval, ask),
            **self._client.run(eval, ask),
        }
        if missing := [where for where, there in answers.items() if not there]:
            raise UsageError(
                f"gitexp is not installed on {', '.join(missing)} of the Dask cluster; install it"
                " there: pip install gitexp"
            )


class Ray:
    """A Ray cluster, with Ray's own futures (joblib's backend gives results only in order)."""

    watches = False

    def __init__(
        self, repo: Repo, commit: str, jobs: int, address: str | None, _outlive: bool
    ) -> None:
        self._ray = ray = needed("ray", "engine ray", "ray")
        try:
            here: dict[str, Any] = {} if address else {"num_cpus": jobs, "include_dashboard": False}
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level="error",
                ignore_reinit_error=True,
                **here,
            )
        except Exception as error:  # Ray has no one class for what can go wrong there
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            raise UsageError(
                f"no Ray cluster answers at {address or 'this machine'}: {why}; start one: ray"
                " start --head"
            ) from None
        try:
            if address:
                self._check(address)
            self.room: int | None = int(ray.cluster_resources().get("CPU", 0)) if address else None
            self.size = jobs if not self.room else min(jobs, self.room)
            self._run = ray.remote(max_retries=0)(trial.run_away)
            self._bundle = ray.put(_bundle(repo, commit))
            self._commit = remote_commit(repo, commit)
        except BaseException:
            self.close()
            raise
        self._tasks: dict[str, Any] = {}

    def submit(self, job: Job, folder: Path) -> Future[Result]:
        task = self._tasks[job.key] = self._run.remote(_away(job, self._commit), self._bundle)
        done: Future[Result] = task.future()
        return done

    def stop(self, job: Job, folder: Path, why: str) -> None:
        self._ray.cancel(self._tasks[job.key])

    def close(self) -> None:
        self._ray.shutdown()

    def _check(self, address: str) -> None:
        """Say now that gitexp is missing somewhere: a task that cannot be unpickled there would
        fail for each trial anew."""
        strategies = needed("ray.util.scheduling_strategies", "engine ray", "ray")
        # of no module, so it travels by value
        ask = self._ray.remote(num_cpus=0, max_retries=0)(eval(_IS_THERE, {}))
        nodes = {
            node["NodeID"]: node["NodeManagerAddress"]
            for node in self._ray.nodes()
            if node["Alive"]
        }
        there_only = {
            name: strategies.NodeAffinitySchedulingStrategy(name, soft=False) for name in nodes
        }
        tasks = {
            name: ask.options(scheduling_strategy=there).remote()
            for name, there in there_only.items()
        }
        try:
            there = dict(zip(tasks, self._ray.get(list(tasks.values()), timeout=_ANSWER)))
        except self._ray.exceptions.GetTimeoutError:
            raise UsageError(
                f"the workers of the Ray cluster at {address} do not answer within {_ANSWER} s;"
                " see: ray status"
            ) from None
        if missing := sorted({where for name, where in nodes.items() if not there[name]}):
            raise UsageError(
                f"gitexp is not installed on {', '.join(missing)} of the Ray cluster; install it"
                " there: pip install gitexp"
            )


class Slurm:
    """SLURM through submitit: a job for each trial, with what sbatch's own variables
    (SBATCH_PARTITION, ...) ask for.

    The repository must lie on a disk that the nodes share, as usual there, and so the snapshot's
    bundle lies there once for all jobs. The address ``local`` runs the jobs here, to try it.
    """

    watches = False
    room: int | None = None

    def __init__(
        self, repo: Repo, commit: str, jobs: int, address: str | None, _outlive: bool
    ) -> None:
        submitit = needed("submitit", "engine slurm", "slurm")
        _sweep_out(repo, commit)
        self._folder = repo.make_state_dir("submitit", f"{commit[:12]}-{secrets.token_hex(4)}")
        self._alive = journal.hold(self._folder)
        self._tasks: dict[str, tuple[Any, Future[Result]]] = {}
        self._told: dict[str, float] = {}  # when a job was asked to end
        self._gone: set[str] = set()  # jobs that the queue had no more at the last look
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self.size = jobs
        try:
            self._submitit = submitit.AutoExecutor(folder=self._folder, cluster=address or "slurm")
            self._bundle = self._folder / "snapshot.bundle"
            self._bundle.write_bytes(_bundle(repo, commit))
            self._commit = remote_commit(repo, commit)
            self._watcher.start()
        except BaseException as error:
            self.close()
            if isinstance(error, RuntimeError):
                raise UsageError(f"SLURM cannot be used here: {error}") from None
            raise

    def submit(self, job: Job, folder: Path) -> Future[Result]:
        minutes = int(job.timeout // 60) + 2 if job.timeout else _DAY  # submitit's own default is 5
        self._submitit.update_parameters(timeout_min=minutes)
        work = (trial.run_from_file, _away(job, self._commit), str(self._bundle), str(folder))
        task = self._submitit.submit(*work)
        (folder / trial.JOB).write_text(f"{self._submitit.cluster} {task.job_id}")
        done: Future[Result] = Future()
        done.set_running_or_notify_cancel()
        self._tasks[job.key] = task, done
        return done

    def stop(self, job: Job, folder: Path, why: str) -> None:
        if found := self._tasks.get(job.key):
            self._told[job.key] = time.monotonic()
            found[0].cancel(check=False)

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

    def _watch(self) -> None:
        """Take results as they appear on the disk, with one look at the folder for all jobs, and
        ask the queue now and then."""
        ask = 0.0
        while not self._closing.wait(_LOOK):
            try:
                there = {*os.listdir(self._folder)}
            except OSError:
                continue
            tasks = list(self._tasks.items())
            for key, (task, _) in tasks:
                if task.paths.result_pickle.name in there or (
                    self._submitit.cluster == "local" and task.done()
                ):
                    self._end(key, task.result)
            if tasks and time.monotonic() >= ask and self._submitit.cluster == "slurm":
                self._look_at_queue({key: task.job_id for key, (task, _) in tasks})
                ask = time.monotonic() + _ASK

    def _look_at_queue(self, jobs: dict[str, str]) -> None:
        """Give up the jobs that neither the queue has, at two looks, nor a result; one that is
        requeued is in it still."""
        queued = slurm.queued()
        for key, number in jobs.items():
            overdue = time.monotonic() - self._told.get(key, math.inf) > _PATIENCE
            gone = queued is not None and number not in queued
            if overdue or (gone and key in self._gone):
                self._end(key, functools.partial(_lost, slurm.fate(number)))
            (self._gone.add if gone else self._gone.discard)(key)

    def _end(self, key: str, result: Callable[[], Result]) -> None:
        if found := self._tasks.pop(key, None):
            _copy(result, found[1])


def _lost(why: str) -> Result:
    raise trial.LostError(why)


ENGINES: dict[str, Callable[[Repo, str, int, str | None, bool], Engine]] = {
    "loky": Loky,
    "dask": Dask,
    "ray": Ray,
    "slurm": Slurm,
}


def remote_commit(repo: Repo, commit: str) -> str:
    """Return a commit of the same tree without history, so that its bundle holds the files of one
    moment and no more."""
    tree = repo.line("rev-parse", f"{commit}^{{tree}}")
    who = "gitexp <gitexp> 0 +0000"
    return repo.write_object(
        "commit",
        f"tree {tree}\nauthor {who}\ncommitter {who}\n\nthe snapshot of a sweep\n".encode(),
    )


def _bundle(repo: Repo, commit: str) -> bytes:
    ref = "refs/gitexp/sweeping"
    with repo.lock():
        repo.update_refs(
            [f"update {ref} {remote_commit(repo, commit)}"], "gitexp: bundle of a sweep"
        )
        try:
            return repo.git("bundle", "create", "-", ref)
        finally:
            repo.update_refs([f"delete {ref}"], "gitexp: bundle of a sweep")


def _knock(address: str) -> None:
    """Raise OSError at once where nobody listens: Dask's client tries again and again until its
    time is up."""
    where = urlsplit(address)
    if where.hostname and where.port:
        socket.create_connection((where.hostname, where.port), timeout=_ANSWER).close()


def cancel_queued(top: Path) -> list[str]:
    """Cancel the SLURM jobs that a driver that was killed left in the queue, and return their
    numbers; those that run are left alone.

    Args:
        top: where the sweep's trials are journaled.
    """
    cancelled = []
    for note in top.glob(f"*/{trial.JOB}"):
        cluster, _, number = note.read_text().partition(" ")
        if (
            cluster == "slurm"
            and number.isdigit()
            and not trial.is_over(note.parent)
            and not trial.runs(note.parent)
        ):
            with contextlib.suppress(OSError):
                subprocess.run(["scancel", number], check=False, capture_output=True)
                cancelled.append(number)
    return cancelled


def _sweep_out(repo: Repo, commit: str) -> None:
    """Remove what a driver of this sweep that was killed left behind of its jobs, and what is too
    old to be anybody's."""
    for folder in repo.make_state_dir("submitit").iterdir():
        old = time.time() - folder.stat().st_mtime > _KEPT
        if (old or folder.name.startswith(commit[:12])) and not journal.is_alive(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _away(job: Job, commit: str) -> Job:
    from dataclasses import replace

    if job.links:
        raise UsageError(
            "--link is for engine loky; on other machines the path would mean something else"
        )
    return replace(job, commit=commit)


def _copy(result: Callable[[], Result], target: Future[Result]) -> None:
    try:
        target.set_result(result())
    except BaseException as error:
        target.set_exception(error)
