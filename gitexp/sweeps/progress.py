"""How far a sweep is: what is done, the best so far, and how long the rest may take."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gitexp.formats import metrics
from gitexp.formats.experiment import Experiment
from gitexp.sweeps import schedule
from gitexp.sweeps.plan import Plan
from gitexp.sweeps.worker import PRUNED


@dataclass(frozen=True)
class Progress:
    """How far a sweep is: ``best`` is the best value so far, ``bests`` how it came to be; ``left``
    in seconds, where known."""

    total: int
    done: int
    running: int
    failed: int
    best: Experiment | None
    bests: tuple[float, ...]
    left: float | None
    last: Experiment | None
    stopping: int


class Standing:
    """Adds up trials as they end."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._durations: list[float] = []
        self._best: Experiment | None = None
        self._bests: list[float] = []
        self._last: Experiment | None = None

    def note(self, experiment: Experiment) -> None:
        """Take down a trial that is done."""
        self._last = experiment
        if experiment.duration is not None:
            self._durations.append(experiment.duration)
        plan = self._plan
        value = schedule.objective(plan, experiment)
        if value is None or plan.direction is None or experiment.status != "finished":
            return
        best = schedule.objective(plan, self._best) if self._best else None
        if best is None or metrics.is_better(plan.direction, value, best):
            self._best, best = experiment, value
        self._bests.append(best)

    def progress(
        self, done: Collection[Experiment], total: int, running: int, size: int, stopping: int
    ) -> Progress:
        """Return how far it is.

        Args:
            total: how many trials there are in all.
            size: how many run at once.
            stopping: how often an end was asked for.
        """
        failed = sum(item.status != "finished" and PRUNED not in item.labels for item in done)
        mean = sum(self._durations) / len(self._durations) if self._durations else None
        left = None if mean is None else mean * (total - len(done)) / size
        return Progress(
            total,
            len(done),
            running,
            failed,
            self._best,
            tuple(self._bests),
            left,
            self._last,
            stopping,
        )
