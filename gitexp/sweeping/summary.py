"""What a sweep found: its points ranked, and which params mattered."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gitexp.experiment import Experiment
from gitexp.sweeping.driver import Done
from gitexp.sweeping.plan import Plan, key
from gitexp.sweeping.space import Point
from gitexp.sweeping.trial import PRUNED

if TYPE_CHECKING:
    import pandas as pd

_ENOUGH = 8  # points from which importance says anything
_FOREST = 30  # points from which a random forest does


@dataclass(frozen=True)
class Row:
    """A point with the experiments of its seeds; ``mean`` and ``spread`` (standard deviation) of the objective."""

    point: Point
    experiments: tuple[Experiment, ...]
    mean: float | None
    spread: float | None


def ranked(plan: Plan, experiments: Iterable[Experiment]) -> list[Row]:
    """Return a row for each point: the best first, those without a value last."""
    points: dict[str, list[Experiment]] = {}
    for item in experiments:
        points.setdefault(key(item.extra["sweep"]["point"], 0), []).append(item)
    rows = [_row(plan, items) for items in points.values()]
    sign = -1 if plan.direction == "max" else 1
    return sorted(rows, key=lambda row: (row.mean is None, sign * (row.mean or 0.0)))


def importance(plan: Plan, rows: Sequence[Row]) -> dict[str, float]:
    """Return for each param how much of the objective's variation it explains, the largest first; empty for too few points.

    With scikit-learn and enough points, the importances of a random forest (which see params that act together); else
    the square of the rank correlation, and for values without an order the correlation ratio.
    """
    told = [row for row in rows if row.mean is not None and math.isfinite(row.mean)]
    varied = [name for name in plan.space if len({repr(row.point.get(name)) for row in told}) > 1]
    if len(told) < _ENOUGH or not varied or len({row.mean for row in told}) < 2:
        return {}
    values = [row.mean for row in told if row.mean is not None]
    shares = _forest(varied, told, values) if len(told) >= _FOREST else None
    if shares is None:
        shares = {name: _explained([row.point.get(name) for row in told], values) for name in varied}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def frame(done: Done) -> pd.DataFrame:
    """Return a DataFrame, one row for each trial: name, trial, seed, status, duration, then its params and metrics."""
    import pandas as pd

    rows = []
    for item in done.experiments:
        said = item.extra["sweep"]
        row: dict[str, Any] = {"name": item.name, "trial": said["index"], "seed": said["seed"], "status": item.status}
        row |= {"duration": item.duration, **said["point"], **item.metrics}
        rows.append(row)
    result = pd.DataFrame(rows)
    result.attrs["group"] = done.frozen.group
    return result


def _row(plan: Plan, items: list[Experiment]) -> Row:
    good = [item for item in items if item.status == "finished" and PRUNED not in item.labels]
    values = [item.metrics[plan.objective] for item in good if plan.objective in item.metrics] if plan.objective else []
    values = [value for value in values if not math.isnan(value)]
    spread = statistics.stdev(values) if len(values) > 1 else None
    return Row(items[0].extra["sweep"]["point"], tuple(items), statistics.fmean(values) if values else None, spread)


def _explained(given: Sequence[Any], values: Sequence[float]) -> float:
    if all(type(item) in (int, float) for item in given):
        return statistics.correlation(_ranks(given), _ranks(values)) ** 2
    groups: dict[str, list[float]] = {}
    ranks = _ranks(values)
    for item, rank in zip(given, ranks):
        groups.setdefault(repr(item), []).append(rank)
    middle = statistics.fmean(ranks)
    between = sum(len(group) * (statistics.fmean(group) - middle) ** 2 for group in groups.values())
    return between / sum((rank - middle) ** 2 for rank in ranks)


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, ties sharing theirs."""
    order = sorted(values)
    places: dict[float, list[int]] = {}
    for at, value in enumerate(order):
        places.setdefault(value, []).append(at)
    return [statistics.fmean(places[value]) for value in values]


def _forest(names: Sequence[str], rows: Sequence[Row], values: Sequence[float]) -> dict[str, float] | None:
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError:
        return None
    columns: list[list[float]] = []
    owners: list[str] = []
    for name in names:
        given = [row.point.get(name) for row in rows]
        if all(type(item) in (int, float) for item in given):
            columns.append(_ranks([item for item in given if item is not None]))
            owners.append(name)
        else:
            for choice in dict.fromkeys(map(repr, given)):
                columns.append([float(repr(item) == choice) for item in given])
                owners.append(name)
    forest = RandomForestRegressor(n_estimators=100, random_state=0).fit([list(row) for row in zip(*columns)], _ranks(values))
    shares = dict.fromkeys(names, 0.0)
    for name, share in zip(owners, forest.feature_importances_):
        shares[name] += float(share)
    return shares
