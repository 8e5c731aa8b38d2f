"""How far a sweep is: what is done, the best so far, and how long the rest may take."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gitexp.formats import metrics
from gitexp.formats.experiment import Experiment
from gitexp.sweeps import schedule
from gitexp.sweeps.plan import Plan
from gitexp.sweeps.worker import PRUNED


@dataclass(frozen=True)
class Progress:
    """How far a sweep is."""

    total: int = 0
    done: int = 0
    running: int = 0
    size: int = 1  # how many trials run at once
    failed: int = 0
    best: Experiment | None = None  # so far
    bests: tuple[float, ...] = ()  # how its value came to be
    last: Experiment | None = None
    stopping: int = 0  # how often an end was asked for
    durations: tuple[int, float] = (0, 0.0)  # how many took known times, and seconds in all

    @property
    def left(self) -> float | None:
        """The seconds that the rest may take; None where no duration is known."""
        count, seconds = self.durations
        return seconds / count * (self.total - self.done) / self.size if count else None

    def with_trial(self, plan: Plan, experiment: Experiment) -> Progress:
        """Return how far it is with a trial that is done."""
        good = experiment.status == "finished"
        best, bests = self.best, self.bests
        value = schedule.objective(plan, experiment)
        if value is not None and plan.direction is not None and good:
            before = schedule.objective(plan, best) if best else None
            if before is None or metrics.is_better(plan.direction, value, before):
                best, before = experiment, value
            bests = (*bests, before)
        count, seconds = self.durations
        if experiment.duration is not None:
            count, seconds = count + 1, seconds + experiment.duration
        failed = self.failed + (not good and PRUNED not in experiment.labels)
        known = replace(self, best=best, bests=bests, durations=(count, seconds))
        return replace(known, done=self.done + 1, failed=failed, last=experiment)
