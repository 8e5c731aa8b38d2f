"""ClearML's offline sessions (2.1.12): ``task.json``, and ``metrics.jsonl`` with lists.

Each line is a list of values; a single one has the metric ``Summary`` and the smallest step there
is. ClearML stores NaN and infinities as 0.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitexp.formats.errors import FormatError
from gitexp.formats.trackers.found import (
    Row,
    Run,
    lines,
    mapping,
    moment,
    nested,
    points,
    span,
    typed,
)

_SCALAR = "training_stats_scalar"
_SINGLE = -(2**31)


def read(path: Path) -> Iterator[Run]:
    """Yield the task of a session."""
    task = mapping(path)
    if "offline_folder" not in task and not str(task.get("id", "")).startswith("offline-"):
        raise FormatError("it is not an offline session of ClearML")
    file = path.with_name("metrics.jsonl")
    rows, cut = lines(file, file.read_text("utf-8", "replace") if file.exists() else "")
    found = points(_value(item) for row in rows for item in row if item.get("type") == _SCALAR)
    started = min((point.timestamp for point in found), default=path.stat().st_mtime * 1000) / 1000
    params = {
        f"{section}/{name}".removeprefix("General/"): typed(item.get("type"), item.get("value"))
        for section, items in task.get("hyperparams", {}).items()
        for name, item in items.items()
    }
    yield Run(
        task["id"],
        task.get("name") or task["id"],
        moment(started),
        found,
        nested(params, "/"),
        duration=span(found, started),
        note=task.get("comment") or "",
        labels=tuple(task.get("tags") or ()),
        group=task.get("project_name"),
        commit=(task.get("script") or {}).get("version_num") or None,
        partly=cut,
    )


def _value(item: dict[str, Any]) -> Row:
    single = item["metric"] == "Summary" and item["iter"] == _SINGLE
    name = item["variant"] if single else f"{item['metric']}/{item['variant']}"
    return name, item.get("value"), item["timestamp"], 0 if single else item["iter"]
