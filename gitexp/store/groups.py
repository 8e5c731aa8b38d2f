"""Experiments that agree in some keys, with the mean and the spread of their metrics: what repeats
and seeds are for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitexp.formats.experiment import Experiment
from gitexp.store.query import Key


class Spread(NamedTuple):
    """The mean of ``n`` values and their sample standard deviation, None for a single one."""

    mean: float
    std: float | None
    n: int


class Group(NamedTuple):
    """Experiments that agree in the keys that they are grouped by."""

    values: tuple[Any, ...]
    n: int
    metrics: Mapping[str, Spread]


def group(experiments: Iterable[Experiment], keys: Sequence[Key]) -> list[Group]:
    """Return the groups, in the order of their first member; a value of 1 and one of 1.0 are the
    same."""
    members: dict[tuple[str, ...], list[Experiment]] = {}
    for experiment in experiments:
        values = tuple(_identity(key.of(experiment)) for key in keys)
        members.setdefault(values, []).append(experiment)
    return [_grouped(found, keys) for found in members.values()]


def spread(values: Sequence[float]) -> Spread:
    """Return mean and sample standard deviation; NaN among the values makes them NaN."""
    n = len(values)
    if math.isfinite(values[0]) and all(value == values[0] for value in values):
        # rounding would give them a spread
        return Spread(float(values[0]), 0.0 if n > 1 else None, n)
    mean = sum(values) / n
    if math.isinf(mean):  # finite values may add up to more than a float holds
        mean = sum(value / n for value in values)
    if n < 2:
        return Spread(mean, None, n)
    # hypot scales, where squares of large values would overflow
    root = (n - 1) ** 0.5
    std = math.hypot(*(value - mean for value in values)) / root
    if math.isinf(std):
        std = math.hypot(*(value / root - mean / root for value in values))
    return Spread(mean, std, n)


def _grouped(members: list[Experiment], keys: Sequence[Key]) -> Group:
    names = dict.fromkeys(name for member in members for name in member.metrics)
    spreads = {
        name: spread([float(member.metrics[name]) for member in members if name in member.metrics])
        for name in names
    }
    return Group(tuple(key.of(members[0]) for key in keys), len(members), spreads)


def _identity(value: Any) -> str:
    return repr(float(value)) if type(value) is int and abs(value) < 2**53 else repr(value)
