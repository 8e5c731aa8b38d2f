"""How much each param seems to matter for a metric: its correlation, and its share in a random
forest.

Both are hints, not proof: they see only the values that were tried. The correlation is Spearman's
(ranks) for numbers and the correlation ratio, without a sign, for words. The forest needs
scikit-learn, and is left out without it.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitexp.formats.experiment import Experiment

_FEWEST = 3  # experiments; fewer correlate with anything
_FOR_A_FOREST = 8
_MOST = 2_000


class Importance(NamedTuple):
    """What one param says about the metric: ``correlation`` from -1 to 1, ``forest`` a share of
    1."""

    param: str
    correlation: float
    forest: float | None


def importance(
    experiments: Sequence[Experiment], metric: str, forest: bool = True
) -> list[Importance]:
    """Return the params that vary, the most important first; empty where too few experiments have
    the metric.

    Args:
        forest: with their shares in a random forest, whose import alone takes seconds.
    """
    having = [item for item in experiments if _plain(item.metrics.get(metric)) is not None]
    usable = having[:_MOST]
    if len(usable) < _FEWEST:
        return []
    import pandas as pd

    target = pd.Series([float(item.metrics[metric]) for item in usable])
    columns = {
        name: [_plain(item.params.get(name)) for item in usable]
        for name in dict.fromkeys(name for item in usable for name in item.params)
    }
    varying = {name: values for name, values in columns.items() if len(set(values)) > 1}
    shares = _forest(varying, target) if forest else {}
    found = [
        Importance(name, _correlation(values, target), shares.get(name))
        for name, values in varying.items()
    ]
    found.sort(key=lambda one: -(abs(one.correlation) if one.forest is None else one.forest))
    return found


def _plain(value: Any) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):  # a whole number may be larger than any float
        return float(value) if abs(value) <= sys.float_info.max else None
    return str(value)


def _numeric(values: Sequence[float | str | None]) -> bool:
    return all(value is None or isinstance(value, float) for value in values)


def _correlation(values: Sequence[float | str | None], target: Any) -> float:
    import pandas as pd

    if _numeric(values):
        column = pd.Series([*values], dtype=float)
        both = column.notna()
        return _finite(column[both].rank().corr(target[both].rank()))
    groups = target.groupby(pd.Series([str(value) for value in values]))
    spread = float(((target - target.mean()) ** 2).sum())
    between = float((groups.size() * (groups.mean() - target.mean()) ** 2).sum())
    telling = spread and len(groups) < len(values)
    return _finite(math.sqrt(max(0.0, between / spread))) if telling else 0.0


def _finite(value: float) -> float:
    return round(float(value), 4) if math.isfinite(value) else 0.0


def _forest(columns: Mapping[str, Sequence[float | str | None]], target: Any) -> dict[str, float]:
    few = len(target) < _FOR_A_FOREST or target.nunique() < 2 or not columns
    if few or importlib.util.find_spec("sklearn") is None:
        return {}
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor

    matrix = np.column_stack([_numbers(values) for values in columns.values()])
    forest = RandomForestRegressor(n_estimators=50, max_depth=8, random_state=0)
    shares = forest.fit(matrix, target.to_numpy()).feature_importances_
    return {name: round(float(share), 4) for name, share in zip(columns, shares)}


def _numbers(values: Sequence[float | str | None]) -> list[float]:
    """Return values as numbers that a tree can split at: words by their order, what is missing
    below all."""
    if not _numeric(values):
        known = sorted({str(value) for value in values})
        values = [float(known.index(one)) if isinstance(one, str) else one for one in values]
    numbers = [one for one in values if isinstance(one, float)]
    lowest = min(numbers, default=0.0)
    return [one if isinstance(one, float) else lowest - 1 for one in values]
