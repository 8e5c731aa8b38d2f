"""What was logged after an experiment was recorded: values that came too late for its commit, which
never changes.

They are events in its git notes, ``{"metrics": [[name, value, ms, step], ...]}`` and ``{"params":
{name: value}}``. Notes come from anybody's remote: what has another form is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any

from gitexp.formats import metrics
from gitexp.formats.errors import GitexpError
from gitexp.formats.experiment import MetricPoint

_PLAIN = (str, int, float, bool, type(None))


def event(points: Iterable[MetricPoint]) -> dict[str, Any]:
    """Return the event that adds points to an experiment; as JSON, NaN and the like as text."""
    plain = (
        (name, value if abs(value) < float("inf") else str(float(value)), at, step)
        for name, value, at, step in points
    )
    return {"metrics": [[*row] for row in plain]}


def points(events: Iterable[Mapping[str, Any]]) -> Iterator[MetricPoint]:
    """Yield the metric values that notes add to an experiment."""
    for item in events:
        rows = item.get("metrics")
        for row in rows if isinstance(rows, list) else ():
            try:
                name, value, *at = row
                timestamp, step = map(int, at)
                point = MetricPoint(metrics.check_name(name), float(value), timestamp, step)
                name.encode()
            except (TypeError, ValueError, OverflowError, GitexpError):
                continue
            if max(abs(point.timestamp), abs(point.step)) < 2**63:
                yield point


def params(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the params that notes add to an experiment, flat."""
    found: dict[str, Any] = {}
    for item in events:
        values = item.get("params")
        some = values.items() if isinstance(values, dict) else ()
        for name, value in some:
            if all(isinstance(x, _PLAIN) for x in (value if type(value) is list else [value])):
                found[name] = value
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except ValueError:  # half a surrogate pair can be neither stored nor printed
        return {}
    return found


def last(
    recorded: Mapping[str, Any],
    events: Iterable[Mapping[str, Any]],
    course: Callable[[], Iterable[MetricPoint]],
) -> dict[str, Any]:
    """Return the last value of each metric with those that came late; ``course`` gives the recorded
    points, and is asked where a metric has late and recorded values."""
    added = [*points(events)]
    names = {point.name for point in added}
    before: list[MetricPoint] = []
    if names & recorded.keys():
        with suppress(GitexpError):  # not in this clone
            before = [point for point in course() if point.name in names]
    return {**recorded, **metrics.last_values(chain(before, added))}


def is_any(events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether anything came late."""
    return any("metrics" in item or "params" in item for item in events)
