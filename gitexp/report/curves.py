"""The metric histories of many experiments, thinned so that they fit into one file.

Thinned by LTTB ("largest triangle three buckets", S. Steinarsson, *Downsampling Time Series for
Visual Representation*, 2013): the first and last points stay, and of each bucket between them the
point that spans the largest triangle with its neighbours, which keeps the peaks that a mean would
flatten. NaN and infinities count as gaps, of which the first stays wherever one is.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Any

from gitexp.formats import late_values, metrics
from gitexp.formats import result_files as series
from gitexp.formats.errors import FormatError, NotFoundError
from gitexp.formats.experiment import Experiment, MetricPoint
from gitexp.repo import Repo, blobs

METHOD = "LTTB (largest triangle three buckets)"
# points in one report: 1,000 experiments with five metrics of 200 steps stay whole
BUDGET = 1_000_000
_FEWEST, _MOST = 20, 2_000  # points of one curve
# steps, milliseconds since the first point, values
Series = tuple[list[int], list[int], list[float]]


def collect(repo: Repo, experiments: Sequence[Experiment], budget: int = BUDGET) -> dict[str, Any]:
    """Return the curves: for each experiment ``{metric: [steps, times, values]}``, steps and times
    as differences.

    A curve of one point is left out: the table has it. ``stats`` has the least, greatest and mean
    value of all points, those that were left out included. ``all`` and ``kept`` count points, so
    that the page can say it.
    """
    files = {at: series.paths(item.files) for at, item in enumerate(experiments)}
    names = {
        at: f"{experiments[at].id}:{paths[0]}"
        for at, paths in files.items()
        if experiments[at].id and len(paths) == 1 and paths[0].endswith(".csv")
    }
    found: list[dict[str, Any]] = [{} for _ in experiments]
    stats: list[dict[str, Any]] = [{} for _ in experiments]
    many = max(1, sum(len(item.metrics) for item in experiments))
    limit = max(_FEWEST, min(_MOST, budget // many))
    total = kept = 0
    usual = (
        (
            at,
            chain(
                metrics.read(io.BytesIO(data or b"")),
                late_values.points(experiments[at].extra.get("events", ())),
            ),
        )
        for at, (_, data) in zip(names, blobs.contents(repo, names.values()))
    )
    # history in other forms
    adopted = (
        (at, experiments[at].points()) for at, paths in files.items() if paths and at not in names
    )
    for at, points in chain(usual, adopted):
        for name, course in _series(points).items():
            thin = lttb(course, limit)
            total, kept = total + len(course[0]), kept + len(thin[0])
            stats[at][name] = _stats(course[2])
            found[at][name] = [
                _differences(thin[0]),
                _differences(thin[1]),
                [_short(value) for value in thin[2]],
            ]
    return {
        "experiments": found,
        "stats": stats,
        "all": total,
        "kept": kept,
        "limit": limit,
        "method": METHOD,
    }


def lttb(series: Series, limit: int) -> Series:
    """Return a series thinned to about ``limit`` points."""
    steps, times, values = series
    finite = [at for at, value in enumerate(values) if math.isfinite(value)]
    if len(values) <= limit or len(finite) < 3 or limit < 3:
        chosen: Sequence[int] = (
            range(len(values)) if len(values) <= limit else [*range(limit - 1), len(values) - 1]
        )
    else:
        chosen = _largest_triangles(
            [steps[at] for at in finite], [values[at] for at in finite], min(limit, len(finite))
        )
        ends = [-1, *(finite[at] for at in chosen), len(values)]
        gaps = (_gap(values, start + 1, end) for start, end in pairwise(ends))
        chosen = sorted({*ends[1:-1], *(at for at in gaps if at is not None)})
    return [steps[at] for at in chosen], [times[at] for at in chosen], [values[at] for at in chosen]


def _gap(values: Sequence[float], start: int, end: int) -> int | None:
    return next((at for at in range(start, end) if not math.isfinite(values[at])), None)


def _largest_triangles(x: Sequence[float], y: Sequence[float], limit: int) -> list[int]:
    count = len(x)
    width = (count - 2) / (limit - 2)
    chosen, last = [0], 0
    for bucket in range(limit - 2):
        start, end = int(bucket * width) + 1, int((bucket + 1) * width) + 1
        after = (
            range(end, min(int((bucket + 2) * width) + 1, count))
            if bucket < limit - 3
            else range(count - 1, count)
        )
        mean_x, mean_y = (
            sum(x[at] for at in after) / len(after),
            sum(y[at] for at in after) / len(after),
        )
        from_x, from_y = x[last], y[last]
        across, up = from_x - mean_x, mean_y - from_y
        last = max(
            range(start, end), key=lambda at: abs(across * (y[at] - from_y) - (from_x - x[at]) * up)
        )
        chosen.append(last)
    return [*chosen, count - 1]


def _series(points: Iterable[MetricPoint]) -> dict[str, Series]:
    found: dict[str, Series] = {}
    try:
        for name, value, timestamp, step in points:
            steps, times, values = found.setdefault(name, ([], [], []))
            steps.append(step)
            times.append(timestamp)
            values.append(value)
    # a file that somebody else wrote; the other experiments are still worth a page
    except (FormatError, NotFoundError):
        return {}
    return {name: _ordered(course) for name, course in found.items() if len(course[0]) > 1}


def _ordered(series: Series) -> Series:
    steps, times, values = series
    if any(later < earlier for earlier, later in pairwise(steps)):
        order = sorted(range(len(steps)), key=steps.__getitem__)
        steps, times, values = (
            [steps[at] for at in order],
            [times[at] for at in order],
            [values[at] for at in order],
        )
    first = min(times)
    return steps, [moment - first for moment in times], values


def _stats(values: Sequence[float]) -> list[float] | None:
    finite = [value for value in values if math.isfinite(value)]
    return [min(finite), max(finite), math.fsum(finite) / len(finite)] if finite else None


def _differences(numbers: Sequence[int]) -> list[int]:
    """Return the first number and what each one is above the one before: mostly the same, so they
    compress well."""
    return [number - before for before, number in zip([0, *numbers], numbers)]


def _short(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
