"""The sweep's driver: asks the search, feeds the engine, and is the only one that writes git, as
results stream in.

An engine may run a task twice; a trial is keyed by its place in the sweep and its attempt, and the
first result counts.
"""

from __future__ import annotations

import queue
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from gitexp.formats.errors import GitexpError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, locks
from gitexp.runs import journal, process_group
from gitexp.store import batch
from gitexp.sweeps import collect, engines, folders, results, schedule, worker_push
from gitexp.sweeps import plan as plans
from gitexp.sweeps import worker as trials
from gitexp.sweeps.driver_push import Pusher, Sent
from gitexp.sweeps.plan import Frozen
from gitexp.sweeps.progress import Progress
from gitexp.sweeps.results import Running
from gitexp.sweeps.schedule import Schedule, Trial
from gitexp.sweeps.worker import Result

_LOOK = 0.2  # seconds


@dataclass(frozen=True)
class Done:
    """What came of a sweep."""

    frozen: Frozen
    experiments: tuple[Experiment, ...]  # the last attempt of each trial, of earlier rounds too
    missing: int  # how many trials were not run to their end
    problems: tuple[str, ...]  # what could not be recorded, and why
    sent: Sent | None = None  # what became of the pushes, where there were any


class Driver:
    """Runs one sweep, once."""

    def __init__(
        self,
        repo: Repo,
        frozen: Frozen,
        *,
        jobs: int = 1,
        engine: str = "loky",
        address: str | None = None,
        again: bool = False,
        push: str | None = None,
        report: Callable[[Progress], None] = lambda _: None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take up a sweep where it stands. Raises UsageError where it cannot be run so, or is going
        on elsewhere; what was frozen just for this is gone again.

        Args:
            again: run failed trials again.
            push: the remote that gets the trials while they come in.
            report, warn: are told how far it is, and what went wrong meanwhile.
        """
        self.repo, self.frozen, self._report, self._warn = repo, frozen, report, warn
        self._folder = folders.make(repo, frozen.group)
        self._alive = self._hold()
        with ExitStack() as undo:
            if frozen.shot:  # just made for this
                undo.callback(plans.drop, repo, frozen)
            undo.callback(self._alive.close)
            recorded = self._take_up(again, jobs)
            outlive = frozen.plan.workers_push is not None
            self._engine = engines.start(engine, repo, frozen.commit, jobs, address, outlive)
            undo.callback(self._engine.close)
            if frozen.plan.prune and not self._engine.watches:
                raise UsageError(
                    f"--prune reads metrics while trials run, which engine {engine} does not"
                    " allow; use loky or slurm"
                )
            self._push_to = collect.open_for(repo, frozen)
            undo.pop_all()
        self._running: dict[str, Running] = {}
        self._ended: queue.SimpleQueue[tuple[str, Future[Result]]] = queue.SimpleQueue()
        self._presses, self._next_look, self._next_record = 0, 0.0, 0.0
        self._problems: list[str] = []
        self._unsent: dict[str, str] = {}  # name of a trial: why its worker could not push it
        self._progress = Progress()
        for item in sorted(self._schedule.closed.values(), key=lambda item: item.started):
            self._progress = self._progress.with_trial(frozen.plan, item)
        self._progress = replace(self._progress, last=None)  # none has run here
        self._pusher = Pusher(repo, push) if push else None
        if self._pusher:
            self._pusher.add(recorded)

    def _hold(self) -> locks.Held:
        """Lock the sweep, so that no other process drives it."""
        try:
            return journal.hold(self._folder)
        except BlockingIOError:
            raise UsageError(
                f"the sweep '{self.frozen.group}' is running in another process; wait for it, or"
                " stop it there"
            ) from None
        except OSError as error:
            raise journal.refused(self._folder, error) from None

    def _take_up(self, again: bool, jobs: int) -> list[Experiment]:
        """Find out where the sweep stands; returns what is recorded of it."""
        if not self.frozen.shot:
            results.wait_for_orphans(self.frozen, self._folder, self._warn)
            if self.frozen.plan.workers_push:
                self._collect()
        results.recover(self.repo, self.frozen, self._folder)
        recorded = schedule.recorded(self.repo, self.frozen)
        self._schedule = Schedule(self.frozen.plan, recorded, again, jobs)
        return recorded

    @property
    def unused(self) -> int:
        """How many more trials the machines that were found could run at once."""
        return max(0, (self._engine.room or 0) - self._engine.size)

    def run(self) -> Done:
        """Run what is to run; returns early after Ctrl-C, with all recorded that ended."""
        with process_group.handling({signal.SIGINT: self._press, signal.SIGTERM: self._press}):
            try:
                while self._fed() or self._running:
                    self._tell()
                    self._wait()
                self._tell()
            finally:
                for item in self._running.values():
                    trials.ask_to_stop(item.folder, trials.INTERRUPTED[0])
                self._engine.close()
                for item in self._running.values():
                    process_group.kill(item.folder)
                self._alive.close()
            if self._push_to:
                self._collect()
            sent = self._pusher.finish() if self._pusher else self._unsent_by_workers()
        if not self._problems:
            shutil.rmtree(self._folder, ignore_errors=True)
        found = sorted(
            self._schedule.known.values(), key=lambda item: schedule.sweep_facts(item)["index"]
        )
        left = max(0, self._schedule.total - len(self._schedule.closed))
        missing = left if self._presses or self._problems else 0
        return Done(self.frozen, tuple(found), missing, tuple(self._problems), sent)

    def _collect(self) -> None:
        """Take in what workers pushed; without the remote the sweep goes on with what is here."""
        try:
            collect.collect(self.repo, self.frozen)
        except GitexpError as error:
            self._warn(f"{error}; what workers pushed meanwhile is not known here")

    def _unsent_by_workers(self) -> Sent | None:
        if not self._unsent:
            return None
        remote = self.frozen.plan.workers_push or ""
        return Sent(remote, 0, "", tuple(self._unsent), next(iter(self._unsent.values())))

    # -- what runs next ----------------------------------------------------------------------------

    def _fed(self) -> bool:
        """Start what there is room for; whether anything runs or may run yet."""
        while not self._presses and len(self._running) < self._engine.size:
            trial = self._schedule.next()
            if trial is None:
                break
            self._start(trial)
        return bool(self._running)

    def _start(self, trial: Trial) -> None:
        job = schedule.job(self.frozen, trial, self._push_to)
        folder = self._folder / f"{trial.index}.{secrets.token_hex(3)}"
        folder.mkdir()
        self._running[job.key] = Running(trial, job, folder)
        done = self._engine.submit(job, folder)
        done.add_done_callback(lambda ended: self._ended.put((job.key, ended)))

    # -- what has ended ----------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait for a trial to end, and record all that ended since the last time: many cost as much
        as one, so that short ones are recorded a few times in a second."""
        ended: list[Running] = []
        with suppress(queue.Empty):
            ended += self._ended_one(*self._ended.get(timeout=_LOOK))
            while len(ended) < batch.SIZE:
                # where the next ones need no result of these, they run meanwhile
                waits = not self._schedule.search.learns and self._fed()
                pause = max(0.0, self._next_record - time.monotonic()) if waits else 0
                ended += self._ended_one(*self._ended.get(timeout=pause))
        self._next_record = time.monotonic() + _LOOK
        for item, experiment in results.record(self.repo, self.frozen, ended, self._problems):
            if self._pusher:
                self._pusher.add([experiment])
            if self._schedule.take(item.trial, experiment):
                self._progress = self._progress.with_trial(self.frozen.plan, experiment)
            self._tell()
        for item in self._running.values() if self._presses else ():
            if self._presses > 1:
                self._stop(item, trials.INTERRUPTED[0])
            elif not self.frozen.plan.workers_push:
                self._engine.unqueue(item.job)
        # also where trials end all the time
        if self._presses < 2 and self.frozen.plan.prune and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK
            for item in self._running.values():
                self._watch(item)

    def _ended_one(self, key: str, ended: Future[Result]) -> Iterator[Running]:
        """Yield the trial that ended, with all that is known of it in its folder."""
        item = self._running.pop(key, None)
        if item is None:  # an engine ran it twice
            return
        error = ended.exception() if not ended.cancelled() else None
        files = ended.result() if error is None and not ended.cancelled() else None
        if files:
            trials.unpack(files, item.folder)
        with suppress(OSError):
            self._unsent[item.job.name] = (item.folder / worker_push.UNSENT).read_text("utf-8")
        try:
            if not trials.is_over(item.folder):
                results.finish_lost(item, error)
        except OSError as fault:
            why = f"trial {item.trial.index} could not be recorded: {fault.strerror}"
            self._problems.append(why)
            return
        finally:
            self._engine.release(item.job)
        # others are judged by all that it logged, also by what came after the last look
        if self.frozen.plan.prune:
            self._watch(item, ended=True)
        yield item

    # -- watching ----------------------------------------------------------------------------------

    def _watch(self, item: Running, ended: bool = False) -> None:
        """Tell the search what a trial logged since the last look, and stop it if that says so."""
        points, item.offset = journal.points(item.folder, item.offset)
        search, asked = self._schedule.search, item.trial.round.asked
        for point in points:
            if point.name == self.frozen.plan.objective and not item.stopped:
                worse = search.should_prune(asked, point.step, point.value)
                if worse and not ended:
                    self._stop(item, trials.PRUNED)

    def _stop(self, item: Running, why: str) -> None:
        if not item.stopped:
            item.stopped = True
            self._engine.stop(item.job, item.folder, why)

    def _press(self, number: int, frame: Any) -> None:
        """Ctrl-C once: start nothing more, and take what waits out of SLURM's queue. Twice: end
        what runs. A third time: leave at once."""
        self._presses += 1
        if self._presses > 2:
            raise KeyboardInterrupt

    # -- telling -----------------------------------------------------------------------------------

    def _tell(self) -> None:
        self._progress = replace(
            self._progress,
            total=self._schedule.total,
            running=len(self._running),
            size=self._engine.size,
            stopping=self._presses,
        )
        self._report(self._progress)
        if self._pusher and (problem := self._pusher.news()):
            self._warn(f"{problem}; the sweep continues, and the push is tried again")
