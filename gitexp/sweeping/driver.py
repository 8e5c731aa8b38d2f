"""The sweep's driver: asks the search, feeds the engine, and is the only one that writes git, as results stream in.

An engine may run a task twice; a trial is keyed by its place in the sweep and its attempt, and the first result counts. What ended while
nobody could record it lies in ``.git/gitexp/sweeps/<group>/`` until the sweep is resumed.
"""

from __future__ import annotations

import io
import math
import queue
import secrets
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gitexp import batch, environment, journal, leftover, message, metrics, recovery, run
from gitexp import command as commands
from gitexp.errors import GitexpError, UsageError
from gitexp.experiment import Experiment
from gitexp.index import Index
from gitexp.repo import Repo
from gitexp.sweeping import engine as engines
from gitexp.sweeping import plan as plans
from gitexp.sweeping import search as searches
from gitexp.sweeping import trial as trials
from gitexp.sweeping.engine import Engine, Result
from gitexp.sweeping.plan import Frozen, Plan
from gitexp.sweeping.search import Asked
from gitexp.sweeping.space import Point
from gitexp.sweeping.trial import Job

INTERRUPTED = ("interrupted", "the sweep was killed")  # trials that ended so count as not run
_LOOK = 0.2  # seconds


@dataclass(frozen=True)
class Progress:
    """How far a sweep is: ``best`` is the best value so far, ``bests`` how it came to be; ``left`` in seconds, where known."""

    total: int
    done: int
    running: int
    failed: int
    best: Experiment | None
    bests: tuple[float, ...]
    left: float | None
    last: Experiment | None
    stopping: int


@dataclass(frozen=True)
class Done:
    """What came of a sweep.

    Attributes:
        experiments: the last attempt of each trial, in the order of the trials; those of earlier rounds included.
        missing: how many trials were not run to their end.
        problems: what could not be recorded, and why.
    """

    frozen: Frozen
    experiments: tuple[Experiment, ...]
    missing: int
    problems: tuple[str, ...]


@dataclass
class _Round:
    """One point with the trials of its seeds."""

    asked: Asked
    left: int
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Trial:
    index: int
    round: _Round
    seed: int
    attempt: int = 0


@dataclass
class _Running:
    trial: _Trial
    job: Job
    folder: Path
    offset: int = 0
    stopped: bool = False


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
        report: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        plan = frozen.plan
        self.repo, self.frozen, self._report = repo, frozen, report
        self._folder = plans.folder(repo, frozen)
        try:
            self._alive = journal.hold(self._folder)
        except Exception as error:
            raise UsageError(f"the sweep '{frozen.group}' is going on in another process; wait for it, or stop it there") from error
        self._engine: Engine | None = None
        try:
            self._recover()
            self._known = {plans.key(_said(item)["point"], _said(item)["seed"]): item for item in _recorded(repo, frozen)}
            self._closed = {key: item for key, item in self._known.items() if not _open(item, again)}
            self._search, points = _search(plan, self._closed.values(), jobs)
            self._total = points * plan.repeat
            self._engine = engines.start(engine, repo, frozen.commit, jobs, address)
            if plan.prune and not self._engine.watches:
                raise UsageError(f"--prune reads metrics while trials run, which engine {engine} does not allow; use loky")
        except BaseException:
            self._alive.close()
            if self._engine:
                self._engine.close()
            if frozen.shot:  # just made for this
                plans.drop(repo, frozen)
            raise
        self._next_index = (
            0 if plan.search in searches.OWN else 1 + max((_said(item)["index"] for item in self._known.values()), default=-1)
        )
        self._waiting = deque(self._unfinished())
        self._running: dict[str, _Running] = {}
        self._ended: queue.SimpleQueue[tuple[str, Future[Result]]] = queue.SimpleQueue()
        self._presses = 0
        self._next_look = 0.0
        self._problems: list[str] = []
        self._durations: list[float] = []
        self._best: Experiment | None = None
        self._bests: list[float] = []
        self._last: Experiment | None = None
        for item in sorted(self._closed.values(), key=lambda item: item.started):
            self._note(item)

    @property
    def unused(self) -> int:
        """How many more trials the machines that were found could run at once."""
        return max(0, (self._engine.room or 0) - self._engine.size) if self._engine else 0

    def run(self) -> Done:
        """Run what is to run; returns early after Ctrl-C, with everything recorded that came to an end."""
        assert self._engine is not None
        try:
            with self._interrupts():
                while self._fed() or self._running:
                    self._tell()
                    self._wait()
                self._tell()
        finally:
            for item in self._running.values():
                trials.ask_to_stop(item.folder, INTERRUPTED[0])
            self._engine.close()
            for item in self._running.values():
                leftover.kill(item.folder)
            self._alive.close()
        if not self._problems:
            shutil.rmtree(self._folder, ignore_errors=True)
        found = sorted(self._known.values(), key=lambda item: _said(item)["index"])
        missing = max(0, self._total - len(self._closed)) if self._presses or self._problems else 0
        return Done(self.frozen, tuple(found), missing, tuple(self._problems))

    # -- what runs next ------------------------------------------------------------------------------------------

    def _fed(self) -> bool:
        """Start what there is room for; whether anything runs or may run yet."""
        assert self._engine is not None
        while not self._presses and len(self._running) < self._engine.size:
            trial = self._next()
            if trial is None:
                break
            self._start(trial)
        return bool(self._running)

    def _next(self) -> _Trial | None:
        while not self._waiting:
            asked = self._search.ask()
            if asked is None:
                return None
            self._waiting.extend(self._seeds(asked))
        return self._waiting.popleft()

    def _seeds(self, asked: Asked) -> list[_Trial]:
        """Return the trials of a point, without those that are recorded already."""
        plan = self.frozen.plan
        first, self._next_index = self._next_index, self._next_index + plan.repeat
        asked_for = _Round(asked, 0)
        todo = []
        for at in range(plan.repeat):
            seed = plan.seed + at
            known = self._closed.get(plans.key(asked.point, seed))
            if known is None:
                todo.append(_Trial(first + at, asked_for, seed))
            elif (value := _value(plan, known)) is not None:
                asked_for.values.append(value)
        asked_for.left = len(todo)
        if not todo:
            self._search.tell(asked, asked_for.values)
        return todo

    def _unfinished(self) -> Iterator[_Trial]:
        """Yield the missing trials of points that a search once chose itself and that were run with some of their seeds only."""
        if self.frozen.plan.search in searches.OWN:
            return
        points: dict[str, Point] = {plans.key(_said(item)["point"], 0): _said(item)["point"] for item in self._closed.values()}
        for point in points.values():
            if any(plans.key(point, self.frozen.plan.seed + at) not in self._closed for at in range(self.frozen.plan.repeat)):
                yield from self._seeds(Asked(point))

    def _start(self, trial: _Trial) -> None:
        assert self._engine is not None
        job = self._job(trial)
        folder = self._folder / f"{trial.index}.{secrets.token_hex(3)}"
        folder.mkdir()
        self._running[job.key] = _Running(trial, job, folder)
        done = self._engine.submit(job, folder)
        done.add_done_callback(lambda ended: self._ended.put((job.key, ended)))

    def _job(self, trial: _Trial) -> Job:
        plan, point = self.frozen.plan, trial.round.asked.point
        command = plans.fill(plan, point, trial.seed)
        sweep = {"tree": self.frozen.tree, "index": trial.index, "point": point, "seed": trial.seed, "attempt": trial.attempt or None}
        facts = {
            **self.frozen.facts,
            "id": secrets.token_hex(8),
            "command": environment.redact("python" if word == trials.PYTHON else word for word in command),
            "directory": plan.directory,
            "group": self.frozen.group,
            "advance": False,
            "beside": "a sweep",
            "apart": True,
            "extra": {
                **self.frozen.facts.get("conditions", {}),
                "sweep": {name: value for name, value in sweep.items() if value is not None},
            },
        }
        return Job(
            key=f"{self.frozen.group}/{trial.index}.{trial.attempt}",
            commit=self.frozen.commit,
            command=command,
            params=plans.recorded_params(plan, point, trial.seed),
            point=point,
            seed=trial.seed,
            facts=facts,
            directory=plan.directory,
            timeout=plan.timeout,
            links=plan.links,
        )

    # -- what has ended ------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait for a trial to end, and take with it all that ended by now: recording costs the same for many as for one."""
        ended: list[_Running] = []
        with suppress(queue.Empty):
            ended += self._ended_one(*self._ended.get(timeout=_LOOK))
            while len(ended) < batch.SIZE:
                ended += self._ended_one(*self._ended.get_nowait())
        if ended and not self._search.learns:
            self._fed()  # the next ones need no result of these, so they run while these are recorded
        for item, experiment in self._record(ended):
            self._take(item, experiment)
            self._tell()
        if self._presses > 1:
            for item in self._running.values():
                self._stop(item, INTERRUPTED[0])
        elif self.frozen.plan.prune and time.monotonic() >= self._next_look:  # also where trials end all the time
            self._next_look = time.monotonic() + _LOOK
            for item in self._running.values():
                self._watch(item)

    def _ended_one(self, key: str, ended: Future[Result]) -> Iterator[_Running]:
        """Yield the trial that ended, with all that is known of it in its folder."""
        item = self._running.pop(key, None)
        if item is None:  # an engine ran it twice
            return
        error = ended.exception() if not ended.cancelled() else None
        files = ended.result() if error is None and not ended.cancelled() else None
        if files:
            trials.unpack(files, item.folder)
        if not trials.is_over(item.folder):
            _bury(item, error)
        if self.frozen.plan.prune:  # others are judged by all that it logged, also by what came after the last look
            self._watch(item, ended=True)
        yield item

    def _take(self, item: _Running, experiment: Experiment) -> None:
        """Go on from what became of a trial: run it again, or tell the search."""
        plan, trial = self.frozen.plan, item.trial
        self._known[plans.key(trial.round.asked.point, trial.seed)] = experiment
        if _open(experiment, again=False):  # interrupted
            return
        if experiment.status != "finished" and trials.PRUNED not in experiment.labels and trial.attempt < plan.retries:
            self._waiting.appendleft(_Trial(trial.index, trial.round, trial.seed, trial.attempt + 1))
            return
        self._closed[plans.key(trial.round.asked.point, trial.seed)] = experiment
        self._note(experiment)
        value = _value(plan, experiment)
        if value is not None:
            trial.round.values.append(value)
        trial.round.left -= 1
        if trial.round.left == 0:
            self._search.tell(trial.round.asked, trial.round.values)

    def _record(self, items: Sequence[_Running], new: bool = True) -> Iterator[tuple[_Running, Experiment]]:
        """Record trials, together where that is possible, so that what is wrong with one keeps no other away.

        Args:
            new: none of them was tried before; what failed may have failed after it was recorded, and is looked up then.
        """
        problem: object = "it is recorded, but that did not come to its end"
        for unknown in (new, False):  # `git gc --prune=now` beside us takes what nothing points to yet
            try:
                made = recovery.record_beside(self.repo, [item.folder for item in items], new=unknown)
            except (GitexpError, OSError) as error:
                problem = error
                continue
            if len(made) == len(items):
                yield from zip(items, made)
                return
            break
        if len(items) > 1:
            for item in items:
                yield from self._record([item], new=False)
        else:
            self._problems.append(f"trial {items[0].trial.index} could not be recorded: {problem}")

    def _recover(self) -> None:
        """Record what ended when nobody was there to record it, and clear what was killed in the middle."""
        for folder in sorted(item for item in self._folder.iterdir() if item.is_dir()):
            if trials.is_over(folder):
                recovery.recover(self.repo, folder)
            else:
                leftover.kill(folder)
                journal.delete(folder)

    # -- watching ------------------------------------------------------------------------------------------------

    def _watch(self, item: _Running, ended: bool = False) -> None:
        """Tell the search what a trial logged since the last look, and stop the trial where the search gives it up."""
        with suppress(OSError), open(item.folder / "metrics.csv", "rb") as file:
            file.seek(item.offset)
            rows = file.read()
            rows = rows[: rows.rfind(b"\n") + 1]
            header = b"" if item.offset == 0 else metrics.HEADER
            item.offset += len(rows)
            for point in metrics.read(io.BytesIO(header + rows)):
                judged = point.name == self.frozen.plan.objective and not item.stopped
                if judged and self._search.should_prune(item.trial.round.asked, point.step, point.value) and not ended:
                    self._stop(item, trials.PRUNED)

    def _stop(self, item: _Running, why: str) -> None:
        assert self._engine is not None
        if not item.stopped:
            item.stopped = True
            self._engine.stop(item.job, item.folder, why)

    @contextmanager
    def _interrupts(self) -> Iterator[None]:
        """Ctrl-C once: start nothing more. Twice: end the running trials. A third time: leave at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def pressed(number: int, frame: Any) -> None:
            self._presses += 1
            if self._presses > 2:
                raise KeyboardInterrupt

        old = {number: signal.signal(number, pressed) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    # -- telling -------------------------------------------------------------------------------------------------

    def _note(self, experiment: Experiment) -> None:
        self._last = experiment
        if experiment.duration is not None:
            self._durations.append(experiment.duration)
        plan = self.frozen.plan
        value = _value(plan, experiment)
        if value is None or plan.direction is None or experiment.status != "finished":
            return
        best = _value(plan, self._best) if self._best else None
        if best is None or metrics.is_better(plan.direction, value, best):
            self._best, best = experiment, value
        self._bests.append(best)

    def _tell(self) -> None:
        done = len(self._closed)
        failed = sum(item.status != "finished" and trials.PRUNED not in item.labels for item in self._closed.values())
        mean = sum(self._durations) / len(self._durations) if self._durations else None
        size = self._engine.size if self._engine else 1
        left = None if mean is None else mean * (self._total - done) / size
        self._report(
            Progress(self._total, done, len(self._running), failed, self._best, tuple(self._bests), left, self._last, self._presses)
        )


def _search(plan: Plan, closed: Any, jobs: int) -> tuple[searches.Search, int]:
    rounds: dict[str, list[Experiment]] = {}
    for item in closed:
        rounds.setdefault(plans.key(_said(item)["point"], 0), []).append(item)
    history = []
    for items in rounds.values():
        values = [value for item in items if (value := _value(plan, item)) is not None and item.status == "finished"]
        if len(items) >= plan.repeat and values:
            history.append((_said(items[0])["point"], sum(values) / len(values)))
    return searches.make(
        plan.search,
        plan.space,
        trials=plan.trials,
        tried=len(rounds),
        seed=plan.seed,
        direction=plan.direction,
        prune=plan.prune,
        history=history,
        several=jobs > 1,
    )


def _recorded(repo: Repo, frozen: Frozen) -> list[Experiment]:
    """Return the group's experiments that this very snapshot gave, oldest first."""
    found = Index(repo).select("json_extract(tag.summary, '$.group') = ?", [frozen.group], order="tag.started")
    return [item for item in found if isinstance(_said(item), dict) and _said(item).get("tree") == frozen.tree]


def _said(experiment: Experiment) -> Mapping[str, Any]:
    said: Mapping[str, Any] = experiment.extra.get("sweep", {})
    return said


def _open(experiment: Experiment, again: bool) -> bool:
    """Whether a recorded trial is still to be run: it was interrupted, or failed and is wanted again."""
    if experiment.status == "finished" or trials.PRUNED in experiment.labels:
        return False
    return again or experiment.extra.get("error") in INTERRUPTED


def _value(plan: Plan, experiment: Experiment) -> float | None:
    value = experiment.metrics.get(plan.objective) if plan.objective else None
    return None if value is None or math.isnan(value) or trials.PRUNED in experiment.labels else value


def _bury(item: _Running, error: BaseException | None) -> None:
    """Finish the folder of a trial whose worker could not."""
    leftover.kill(item.folder)
    facts = journal.facts(item.folder) or {**item.job.facts, "started": message.format_time(datetime.now(timezone.utc))}
    live = run.Run(None, item.folder, facts, journal.Journal(item.folder, owner=True))
    if not (item.folder / "params.yml").exists():
        live.log_params(item.job.params)
    if (item.folder / "output.log").exists():
        commands.keep_output(live)
    died = error is None or not isinstance(error, (GitexpError, OSError))
    why = "the worker died" if died else f"the worker could not run it: {error}"
    if item.stopped:
        why = INTERRUPTED[0]
    live.end("killed" if died else "failed", message.one_line(why)[:500])
