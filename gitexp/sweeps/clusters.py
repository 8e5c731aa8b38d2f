"""Dask and Ray: trials on machines that may share no disk with the driver."""

from __future__ import annotations

import functools
import socket
import zlib
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gitexp.formats.errors import UsageError
from gitexp.formats.extras import needed
from gitexp.repo import Repo, content, trees
from gitexp.sweeps import worker as trial
from gitexp.sweeps.worker import Job, Result
from gitexp.sweeps.worktrees import BUNDLED

_ANSWER = 120  # seconds that a cluster has to say what it knows; Ray starts a process for it
_TIMES = 3  # that a trial is sent again, where what it needs was lost
_IS_THERE = "lambda: __import__('importlib.util').util.find_spec('gitexp') is not None"


class _Cluster:
    """What both have in common: what travels, and what must be there."""

    watches = False
    room: int | None = None

    def __init__(self, repo: Repo, commit: str) -> None:
        self._bytes = bundle(repo, commit)
        self._commit = remote_commit(repo, commit)
        self._home = str(repo.root) if content.needs_more_than_git(repo) else ""

    def release(self, job: Job) -> None:
        """The cluster sees to its places itself."""

    def unqueue(self, job: Job) -> None:
        """What waits goes on waiting, as on any cluster of processes."""

    def _away(self, job: Job) -> Job:
        """Return a trial as a machine gets it that has no clone of the repository."""
        if job.links:
            raise UsageError(
                "--link is for engines loky and slurm; on other machines the path would mean"
                " something else"
            )
        return replace(job, commit=self._commit, home=self._home)

    def _require(self, missing: Iterable[str]) -> None:
        """Raise UsageError where gitexp is missing, or each trial would fail anew, or hang."""
        if where := ", ".join(sorted({*missing})):
            raise UsageError(
                f"gitexp is not installed on {where} of the {type(self).__name__} cluster; install"
                " it there: pip install gitexp"
            )


class Dask(_Cluster):
    """A Dask cluster, without joblib's backend, by which a task costs three times as much."""

    def __init__(
        self, repo: Repo, commit: str, jobs: int, address: str | None, outlive: bool
    ) -> None:
        self._distributed = distributed = needed("distributed", "engine dask", "dask")
        try:
            if address:
                _check_listening(address)
            here = {"processes": False, "n_workers": 1, "threads_per_worker": jobs}
            where = {"timeout": _ANSWER} if address else {"dashboard_address": None, **here}
            self._client = distributed.Client(address, **where)
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
            self.room = threads if address else None
            self.size = jobs if outlive else min(jobs, threads)
            self._tasks: dict[str, Any] = {}  # of those that outlive the driver
            self._stopped: set[str] = set()
            self._closing = False
            super().__init__(repo, commit)
            self._bundle = self._spread()
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
            trial.run_without_clone, self._away(job), self._bundle, key=key, pure=False, retries=0
        )
        if job.push_to:
            # else the scheduler would drop it with its client
            self._distributed.fire_and_forget(task)
            self._tasks[job.key] = task
        task.add_done_callback(lambda ended: self._take(ended, job, done, times))

    def _take(self, ended: Any, job: Job, done: Future[Result], times: int) -> None:
        """Hand a result on; a trial that lost the bundle with its last holder is sent again."""
        wanted = job.key not in self._stopped and not self._closing
        if ended.cancelled() and wanted and times < _TIMES:
            try:
                self._send(job, done, times + 1)
            except Exception as error:  # there is no cluster any more
                done.set_exception(error)
        else:
            trial.complete(ended.result, done)

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
        ask = f"({_IS_THERE})()"
        answers = {"the scheduler": self._client.run_on_scheduler(eval, ask)}
        answers.update(self._client.run(eval, ask))
        self._require(where for where, there in answers.items() if not there)


class Ray(_Cluster):
    """A Ray cluster, with Ray's own futures (joblib's backend gives results only in order)."""

    def __init__(self, repo: Repo, commit: str, jobs: int, address: str | None, *_: object) -> None:
        self._ray = ray = needed("ray", "engine ray", "ray")
        try:
            here: dict[str, Any] = {} if address else {"num_cpus": jobs, "include_dashboard": False}
            quiet = {"log_to_driver": False, "logging_level": "error", "ignore_reinit_error": True}
            ray.init(address=address, **quiet, **here)
        except Exception as error:  # Ray has no one class for what can go wrong there
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            raise UsageError(
                f"no Ray cluster answers at {address or 'this machine'}: {why}; start one: ray"
                " start --head"
            ) from None
        try:
            if address:
                self._check(address)
            self.room = int(ray.cluster_resources().get("CPU", 0)) if address else None
            self.size = jobs if not self.room else min(jobs, self.room)
            self._run = ray.remote(max_retries=0)(trial.run_without_clone)
            super().__init__(repo, commit)
            self._bundle = ray.put(self._bytes)
        except BaseException:
            self.close()
            raise
        self._tasks: dict[str, Any] = {}

    def submit(self, job: Job, folder: Path) -> Future[Result]:
        task = self._tasks[job.key] = self._run.remote(self._away(job), self._bundle)
        done: Future[Result] = task.future()
        return done

    def stop(self, job: Job, folder: Path, why: str) -> None:
        self._ray.cancel(self._tasks[job.key])

    def close(self) -> None:
        self._ray.shutdown()

    def _check(self, address: str) -> None:
        strategies = needed("ray.util.scheduling_strategies", "engine ray", "ray")
        # of no module, so it travels by value
        ask = self._ray.remote(num_cpus=0, max_retries=0)(eval(_IS_THERE, {}))
        only = functools.partial(strategies.NodeAffinitySchedulingStrategy, soft=False)
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        tasks = [ask.options(scheduling_strategy=only(node["NodeID"])).remote() for node in nodes]
        try:
            answers = self._ray.get(tasks, timeout=_ANSWER)
        except self._ray.exceptions.GetTimeoutError:
            raise UsageError(
                f"the workers of the Ray cluster at {address} do not answer within {_ANSWER} s;"
                " see: ray status"
            ) from None
        self._require(
            node["NodeManagerAddress"] for node, is_there in zip(nodes, answers) if not is_there
        )


def remote_commit(repo: Repo, commit: str) -> str:
    """Return a commit of the same tree without history: its bundle holds no more."""
    tree = repo.line("rev-parse", f"{commit}^{{tree}}")
    return trees.bare_commit(repo, tree, None, "the snapshot of a sweep")


def bundle(repo: Repo, commit: str) -> bytes:
    """Return the files of a commit as a git bundle, without history."""
    why = "gitexp: bundle of a sweep"
    with repo.lock():
        repo.update_refs([f"update {BUNDLED} {remote_commit(repo, commit)}"], why)
        try:
            return repo.git("bundle", "create", "-", BUNDLED)
        finally:
            repo.update_refs([f"delete {BUNDLED}"], why)


def _check_listening(address: str) -> None:
    """Raise OSError at once where nobody listens: Dask's client would try for long."""
    where = urlsplit(address)
    if where.hostname and where.port:
        socket.create_connection((where.hostname, where.port), timeout=_ANSWER).close()
