"""What a sweep found: its points ranked, and which params mattered."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gitexp.formats.experiment import Experiment
from gitexp.store.groups import spread
from gitexp.sweeps import schedule
from gitexp.sweeps.driver import Done
from gitexp.sweeps.plan import Plan
from gitexp.sweeps.space import Point

if TYPE_CHECKING:
    import pandas as pd

_ENOUGH = 8  # points from which importance says anything
_GROUPS = 5  # of the values of a param


@dataclass(frozen=True)
class Row:
    """A point, the experiments of its seeds, and the objective's mean and deviation."""

    point: Point
    experiments: tuple[Experiment, ...]
    mean: float | None
    spread: float | None


def ranked(plan: Plan, experiments: Iterable[Experiment]) -> list[Row]:
    """Return a row for each point: the best first, those without a value last."""
    rows = [_row(plan, items) for items in schedule.by_point(experiments).values()]
    sign = -1 if plan.direction == "max" else 1
    return sorted(rows, key=lambda row: (row.mean is None, sign * (row.mean or 0.0)))


def metrics(rows: Iterable[Row]) -> list[str]:
    """Return the names of all metrics, in the order in which they were logged."""
    return [
        *dict.fromkeys(name for row in rows for item in row.experiments for name in item.metrics)
    ]


def mean(row: Row, metric: str) -> float | None:
    """Return the mean of a metric over a point's seeds; None where none of them has it."""
    values = [item.metrics[metric] for item in row.experiments if metric in item.metrics]
    return spread(values).mean if values else None


def importance(plan: Plan, rows: Sequence[Row]) -> dict[str, float]:
    """Return how much of the objective's variation each param explains, the largest first; empty
    for too few points. Params that act only together need the random forest of `gitexp report`."""
    told = [row for row in rows if row.mean is not None and math.isfinite(row.mean)]
    varied = [name for name in plan.space if len({repr(row.point.get(name)) for row in told}) > 1]
    if len(told) < _ENOUGH or not varied or len({row.mean for row in told}) < 2:
        return {}
    values = [row.mean for row in told if row.mean is not None]
    shares = {name: _explained([row.point.get(name) for row in told], values) for name in varied}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def frame(done: Done) -> pd.DataFrame:
    """Return a DataFrame of trials: name, trial, seed, status, duration, params and metrics."""
    import pandas as pd

    rows = []
    for item in done.experiments:
        said = item.extra["sweep"]
        trial = {"name": item.name, "trial": said["index"], "seed": said["seed"]}
        ended = {"status": item.status, "duration": item.duration}
        rows.append({**trial, **ended, **said["point"], **item.metrics})
    result = pd.DataFrame(rows)
    result.attrs["group"] = done.frozen.group
    return result


def _row(plan: Plan, items: list[Experiment]) -> Row:
    values = schedule.reached(plan, items)
    found = spread(values) if values else None
    point = items[0].extra["sweep"]["point"]
    return Row(point, tuple(items), found and found.mean, found and found.std)


def _explained(given: Sequence[Any], values: Sequence[float]) -> float:
    """Return the share of the variation of the values' ranks that a param explains: by its groups,
    less what they would by chance (epsilon squared), or as it rises or falls."""
    ranks = _ranks(values)
    numbers = all(type(item) in (int, float) for item in given)
    grouped = _grouped(_ranks(given)) if numbers else [repr(item) for item in given]
    groups: dict[Any, list[float]] = {}
    for group, rank in zip(grouped, ranks):
        groups.setdefault(group, []).append(rank)
    middle = statistics.fmean(ranks)
    whole = sum((rank - middle) ** 2 for rank in ranks)
    within = sum(
        (rank - statistics.fmean(group)) ** 2 for group in groups.values() for rank in group
    )
    spare = len(ranks) - len(groups)
    explained = 1 - within / whole * (len(ranks) - 1) / spare if spare else 0.0
    monotonic = statistics.correlation(_ranks(given), ranks) ** 2 if numbers else 0.0
    return max(0.0, explained, monotonic)


def _grouped(ranks: Sequence[float]) -> list[float]:
    """Return the group of each: its value where there are few, else one of about equal groups."""
    few = len({*ranks}) <= _GROUPS
    return [*ranks] if few else [(rank * _GROUPS) // len(ranks) for rank in ranks]


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, ties sharing theirs."""
    order = sorted(values)
    places: dict[float, list[int]] = {}
    for at, value in enumerate(order):
        places.setdefault(value, []).append(at)
    return [statistics.fmean(places[value]) for value in values]
