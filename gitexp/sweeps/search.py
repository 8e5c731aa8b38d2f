"""Which point comes next. Grid and random search are our own (Optuna's grid sampler takes 102 ms a
trial at 400 points); the rest is Optuna's, with no database: the study's history is told anew from
the experiments in git (0.14 ms each).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gitexp.formats.errors import UsageError, did_you_mean
from gitexp.formats.extras import needed
from gitexp.sweeps import space as spaces
from gitexp.sweeps.plan import Plan
from gitexp.sweeps.space import Choices, Form, Point

OWN = ("grid", "random")
SEARCHES = (*OWN, "tpe", "cmaes")
_DRAWS = 50  # of points that are known already, before a space counts as used up
STARTUP = 5  # trials that run to their end before any is pruned


@dataclass(frozen=True)
class Asked:
    """A point to try, and the search's own word for it."""

    point: Point
    token: Any = None


class Search:
    """Gives points that are known from the start, and learns nothing from results.

    Attributes:
        learns: whether the next point depends on the results so far.
    """

    learns = False

    def __init__(self, points: Iterable[Point]) -> None:
        self._points: Iterator[Point] = iter(points)

    def ask(self) -> Asked | None:
        """Return the next point; None where there is none, or none yet."""
        point = next(self._points, None)
        return None if point is None else Asked(point)

    def tell(self, asked: Asked, values: Sequence[float]) -> None:
        """Give each repeat's result; none or NaN: it failed, or was pruned if it had reported."""

    def should_prune(self, asked: Asked, step: int, value: float) -> bool:
        """Whether a trial that has come to this value is to be ended."""
        return False


def make(
    plan: Plan, history: Iterable[tuple[Point, float]] = (), tried: int = 0, several: bool = False
) -> tuple[Search, int]:
    """Return the plan's search, and how many points it will have tried in the end.

    Args:
        history: points with their values from before.
        tried: how many points were tried before, which a search that learns counts among its
            ``trials``.
        several: whether trials run beside each other.

    Raises:
        UsageError: there is no such search, or it needs more to be said.
    """
    name, trials = plan.search, plan.trials
    if name not in SEARCHES:
        raise UsageError(
            f"there is no search '{name}'.{did_you_mean(name, SEARCHES)} There are"
            f" {', '.join(SEARCHES)}"
        )
    if name == "grid" and trials is not None:
        raise UsageError(
            "a grid runs every point; --trials is for the other searches: --search random"
        )
    if name != "grid" and not (trials and trials > 0):
        raise UsageError(f"search {name} needs a number of points: --trials 50")
    points = known_points(plan)
    total = len(points) if points is not None else trials or 0
    if points is not None and not plan.prune:
        return Search(points), total
    if plan.direction is None:
        raise UsageError(
            f"{'--prune' if plan.prune else f'search {name}'} needs a metric to go by: --minimize"
            " rmse or --maximize accuracy"
        )
    if points is not None:
        return Optuna(plan, points, total, plan.seed), total
    study = Optuna(plan, None, max(0, total - tried), plan.seed + tried, several)
    for point, value in history:
        study.learn(point, value)
    return study, total


def known_points(plan: Plan) -> list[Point] | None:
    """Return all points of a search of our own; None for one that learns."""
    if plan.search == "grid":
        return list(spaces.grid(plan.space))
    if plan.search == "random":
        return list(spaces.at_random(plan.space, plan.trials or 0, plan.seed))
    return None


class Optuna(Search):
    """A study in memory; with ``points`` it only judges which of them to prune."""

    def __init__(
        self, plan: Plan, points: list[Point] | None, budget: int, seed: int, several: bool = False
    ) -> None:
        super().__init__(points or ())
        self.learns = points is None
        wants = f"search {plan.search}" if self.learns else "--prune"
        self._optuna = optuna = needed("optuna", wants, "sweep")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = plan.space
        self._forms = {name: _distribution(optuna, form) for name, form in plan.space.items()}
        self._left = budget
        self._seen: dict[str, float] = {}  # points asked for or told, with their values
        pruners = optuna.pruners
        self._study = optuna.create_study(
            direction=f"{plan.direction}imize",
            sampler=_sampler(optuna, plan.search, seed, several),
            pruner=pruners.MedianPruner(STARTUP) if plan.prune else pruners.NopPruner(),
        )

    def ask(self) -> Asked | None:
        if self._left <= 0:
            return None
        self._left -= 1
        for _ in range(_DRAWS):
            if not self.learns:
                self._study.enqueue_trial(self._coded(next(self._points)) or {})
            found = self._study.ask(self._forms)
            point = dict(found.params)
            for name, form in self._space.items():
                if isinstance(form, Choices):
                    point[name] = form.values[point[name]]
            name = json.dumps(point, sort_keys=True)
            if name not in self._seen or not self.learns:
                self._seen[name] = math.nan
                return Asked(point, found)
            self._tell(found, self._seen[name])  # its result is known, so it costs no trial
        return None

    def tell(self, asked: Asked, values: Sequence[float]) -> None:
        mean = sum(values) / len(values) if values else math.nan
        self._seen[json.dumps(asked.point, sort_keys=True)] = mean
        if asked.token is None:  # a point of an earlier study, now complete
            self.learn(asked.point, mean)
        else:
            self._tell(asked.token, mean)

    def should_prune(self, asked: Asked, step: int, value: float) -> bool:
        if math.isnan(value):
            return False
        asked.token.report(value, step)
        return bool(asked.token.should_prune())

    def _tell(self, token: Any, value: float) -> None:
        state = self._optuna.trial.TrialState
        if not math.isnan(value):
            self._study.tell(token, value)
        else:
            reported = bool(self._study.trials[token.number].intermediate_values)
            self._study.tell(token, state=state.PRUNED if reported else state.FAIL)

    def learn(self, point: Point, value: float) -> None:
        """Take in a point of an earlier study, with what it reached."""
        self._seen[json.dumps(point, sort_keys=True)] = value
        coded = self._coded(point)
        if coded and not math.isnan(value):
            make = self._optuna.trial.create_trial
            self._study.add_trial(make(params=coded, distributions=self._forms, value=value))

    def _coded(self, point: Point) -> dict[str, Any] | None:
        """Return a point in Optuna's terms; None outside of the space, which may have changed."""
        coded: dict[str, Any] = {}
        for name, form in self._space.items():
            if name not in point:
                return None
            value = point[name]
            if isinstance(form, Choices):
                coded |= {name: form.values.index(value)} if value in form.values else {}
            elif type(value) in (int, float) and form.low <= value <= form.high:
                coded[name] = value
        return coded if len(coded) == len(self._space) else None


def _sampler(optuna: Any, name: str, seed: int, several: bool) -> Any:
    if name == "cmaes":
        needed("cmaes", "search cmaes", "sweep")
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if name == "tpe":
        import warnings

        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, constant_liar=several)
    return optuna.samplers.RandomSampler(seed=seed)


def _distribution(optuna: Any, form: Form) -> Any:
    kinds = optuna.distributions
    if isinstance(form, Choices):  # by their places, since a value may be a list
        if isinstance(form.values, range):
            return kinds.IntDistribution(0, len(form.values) - 1)
        return kinds.CategoricalDistribution(range(len(form.values)))
    return kinds.FloatDistribution(form.low, form.high, log=form.log)
