"""The metric histories of many experiments, thinned so that they fit into one file.

Thinned by LTTB ("largest triangle three buckets", S. Steinarsson, *Downsampling Time Series for
Visual Representation*, 2013): the first and last points stay, and of each bucket between them the
point that spans the largest triangle with its neighbours, which keeps the peaks that a mean would
flatten. NaN and infinities count as gaps, of which the first stays wherever one is.
"""

from __future__ import annotations

import json
import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from gitexp.formats.errors import FormatError, NotFoundError
from gitexp.formats.experiment import Experiment, MetricPoint
from gitexp.repo import Repo
from gitexp.store import histories

if TYPE_CHECKING:
    import pandas as pd

METHOD = "LTTB (largest triangle three buckets)"
# points in one report: 1,000 experiments with five metrics of 200 steps stay whole
BUDGET = 1_000_000
_FEWEST, _MOST = 20, 2_000  # points of one curve
_ROWS, _MANY = 50_000, 500  # about how many rows, of how many experiments, are parsed as one
# steps, milliseconds since the first point, values
Series = tuple[list[int], list[int], list[float]]


class Json(str):
    """A value as JSON already: as Python's objects, points would take ten times the memory."""


def collect(
    repo: Repo,
    experiments: Sequence[Experiment],
    budget: int = BUDGET,
    known: dict[Any, Part] | None = None,
) -> dict[str, Any]:
    """Return the curves: for each experiment ``{metric: [steps, times, values]}``, steps and times
    as differences, as ``Json``.

    A curve of one point is left out: the table has it. ``stats`` has the least, greatest and mean
    value of all points, those that were left out included. ``all`` and ``kept`` count points, so
    that the page can say it.

    Args:
        known: what earlier calls read; it is brought up to date.
    """
    many = max(1, sum(len(item.metrics) for item in experiments))
    limit = max(_FEWEST, min(_MOST, budget // many))
    seen = known or {}
    # a run that goes on has no commit, and is read each time
    keys = [
        (item.id, limit, len(item.extra.get("events", ()))) if item.id else None
        for item in experiments
    ]
    parts = [seen.get(key) or Part() for key in keys]
    todo = [at for at, key in enumerate(keys) if key not in seen]
    for at, name, course in _courses(repo, experiments, todo):
        thin = lttb(course, limit)
        part = parts[at]
        part.stats[name] = _stats(course[2])
        part.all, part.kept = part.all + len(course[0]), part.kept + len(thin[0])
        kept = [*map(_differences, thin[:2]), [*map(_short, thin[2])]]
        part.curves.append(f"{json.dumps(name)}:{json.dumps(kept, separators=(',', ':'))}")
    if known is not None:
        known.clear()
        known.update({key: part for key, part in zip(keys, parts) if key})
    return {
        "experiments": [Json(f"{{{','.join(part.curves)}}}") for part in parts],
        "stats": [part.stats for part in parts],
        "all": sum(part.all for part in parts),
        "kept": sum(part.kept for part in parts),
        "limit": limit,
        "method": METHOD,
    }


@dataclass
class Part:
    """What is known of one experiment: its curves as members of a JSON object, and how many points
    they had and have."""

    curves: list[str] = field(default_factory=list)
    stats: dict[str, Any] = field(default_factory=dict)
    all: int = 0
    kept: int = 0


def _courses(
    repo: Repo, experiments: Sequence[Experiment], todo: Sequence[int]
) -> Iterator[tuple[int, str, Series]]:
    """Yield each curve of some experiments, as the experiment's place, the metric and the curve:
    recorded ones many at once, and active runs one by one."""
    import pandas as pd

    recorded, size = [at for at in todo if experiments[at].id], 1
    while recorded:
        some = recorded[:size]
        table = histories.together(repo, [experiments[at] for at in some], [])
        owners = table["experiment"].cat.codes.to_numpy(int)
        yield from ((some[at], name, course) for at, name, course in _series(table, owners))
        recorded = recorded[size:]
        size = max(1, min(_MANY, _ROWS * len(some) // (len(table) + 1)))
    for at in (at for at in todo if not experiments[at].id):
        # a file that cannot be read; the others are still worth a page
        with suppress(FormatError, NotFoundError):
            table = pd.DataFrame(experiments[at].points(), columns=[*MetricPoint._fields])
            yield from ((at, name, course) for _, name, course in _series(table, 0))


def _series(table: pd.DataFrame, owners: Any) -> Iterator[tuple[int, str, Series]]:
    """Yield the curves of more than one point in a table, by their steps, with the number and the
    metric that each is of; ``owners`` is the number of each row."""
    import numpy as np
    import pandas as pd

    codes, names = pd.factorize(table["name"], sort=True)
    curve = owners * len(names) + codes
    order = np.lexsort((table["step"].to_numpy(float), curve))
    edges = [0, *(np.flatnonzero(np.diff(curve[order])) + 1).tolist(), len(order)]
    steps, times, values = (table[key].to_numpy()[order] for key in ("step", "timestamp", "value"))
    for start, end in pairwise(edges):
        if end - start > 1:
            owner, name = divmod(int(curve[order[start]]), len(names))
            part = slice(start, end)
            moments = times[part] - times[part].min()
            course = (steps[part].tolist(), moments.tolist(), values[part].tolist())
            yield owner, str(names[name]), course


def lttb(series: Series, limit: int) -> Series:
    """Return a series thinned to about ``limit`` points."""
    steps, times, values = series
    if len(values) <= limit:
        return series
    finite = [at for at, value in enumerate(values) if math.isfinite(value)]
    if len(finite) < 3 or limit < 3:
        chosen = [*range(limit - 1), len(values) - 1]
    else:
        thin = _largest_triangles(
            [steps[at] for at in finite], [values[at] for at in finite], min(limit, len(finite))
        )
        kept = [finite[at] for at in thin]
        gaps = (at for at in range(len(values) - 1, -1, -1) if not math.isfinite(values[at]))
        first = {bisect(kept, at): at for at in gaps}  # of those between two points that stay
        chosen = sorted([*kept, *first.values()])
    return [steps[at] for at in chosen], [times[at] for at in chosen], [values[at] for at in chosen]


def _largest_triangles(x: Sequence[float], y: Sequence[float], limit: int) -> list[int]:
    """Return the places of the points that stay."""
    count = len(x)
    width = (count - 2) / (limit - 2)
    chosen, last = [0], 0
    for bucket in range(limit - 2):
        start, end = int(bucket * width) + 1, int((bucket + 1) * width) + 1
        after = slice(end, min(int((bucket + 2) * width) + 1, count))
        if bucket == limit - 3:
            after = slice(count - 1, count)
        size = after.stop - after.start
        from_x, from_y = x[last], y[last]
        across, up = from_x - sum(x[after]) / size, sum(y[after]) / size - from_y
        areas = [
            abs(across * (there - from_y) - (from_x - here) * up)
            for here, there in zip(x[start:end], y[start:end])
        ]
        last = start + areas.index(max(areas))
        chosen.append(last)
    return [*chosen, count - 1]


def _stats(values: Sequence[float]) -> list[float] | None:
    """Return the least, the greatest and the mean; None where nothing is finite."""
    finite = [value for value in values if math.isfinite(value)]
    return [min(finite), max(finite), math.fsum(finite) / len(finite)] if finite else None


def _differences(numbers: Sequence[int]) -> list[int]:
    """Return the first number and what each one is above the one before: mostly the same, so they
    compress well."""
    return [number - before for before, number in zip([0, *numbers], numbers)]


def _short(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
