"""ClearML's offline sessions (2.1.12): ``task.json``, and ``metrics.jsonl`` with lists.

Each line is a list of values; a single one has the metric ``Summary`` and the smallest step there
is. ClearML stores NaN and infinities as 0.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.forms import lines, mapping, nested, number, span
from gitexp.formats.trackers.found import Run, moment, shown

_SINGLE = -(2**31)
_TYPES: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "bool": lambda text: text == "True",
}


def read(path: Path) -> Iterator[Run]:
    """Yield the task of a session."""
    task = mapping(path)
    if "offline_folder" not in task and not str(task.get("id", "")).startswith("offline-"):
        raise FormatError("it is not an offline session of ClearML")
    file = path.with_name("metrics.jsonl")
    rows, cut = lines(file, file.read_text("utf-8", "replace") if file.exists() else "")
    points = [point for row in rows for item in row for point in _point(item)]
    started = min((point.timestamp for point in points), default=path.stat().st_mtime * 1000) / 1000
    params = {
        (name if section == "General" else f"{section}/{name}"): _value(item)
        for section, items in task.get("hyperparams", {}).items()
        for name, item in items.items()
    }
    yield Run(
        "clearml",
        task["id"],
        shown(path),
        task.get("name") or task["id"],
        moment(started),
        points,
        nested(params, "/"),
        duration=span(points, started),
        note=task.get("comment") or "",
        labels=tuple(task.get("tags") or ()),
        group=task.get("project_name"),
        commit=(task.get("script") or {}).get("version_num") or None,
        partly=cut,
    )


def _point(item: dict[str, Any]) -> Iterator[MetricPoint]:
    value = number(item.get("value"))
    if item.get("type") == "training_stats_scalar" and value is not None:
        single = item["metric"] == "Summary" and item["iter"] == _SINGLE
        name = item["variant"] if single else f"{item['metric']}/{item['variant']}"
        yield MetricPoint(name, value, int(item["timestamp"]), 0 if single else int(item["iter"]))


def _value(item: dict[str, Any]) -> Any:
    try:
        return _TYPES.get(item.get("type") or "", str)(item.get("value") or "")
    except ValueError:
        return item.get("value")
