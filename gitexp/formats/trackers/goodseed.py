"""goodseed (0.4.0): an SQLite database for each run, ``projects/PROJECT/runs/ID.sqlite``.

Paths below ``monitoring`` and ``sys`` are the tool's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.forms import database, nested, seconds, span
from gitexp.formats.trackers.found import Run, moment, shown

_OWN = ("monitoring/", "sys/", "source_code/")
_POINTS = """
    SELECT path, y, ts, step FROM metric_points JOIN metric_series ON id = series_id
    ORDER BY path, step
"""
_TYPES: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "bool": lambda text: text.lower() in ("true", "1"),
}


def read(path: Path) -> Iterator[Run]:
    """Yield the run of a database."""
    with database(path) as connection:
        meta = dict(connection.execute("SELECT key, value FROM run_meta"))
        rows = connection.execute("SELECT path, type_tag, value FROM configs").fetchall()
        points = [
            MetricPoint(name, value, int(stamp * 1000), int(step))
            for name, value, stamp, step in connection.execute(_POINTS)
            if not name.startswith(_OWN)
        ]
    values = {name: _TYPES.get(tag, str)(text) for name, tag, text in rows if text is not None}
    started = seconds(meta["created_at"])
    params = {name: value for name, value in values.items() if not name.startswith(_OWN)}
    yield Run(
        "goodseed",
        f"{meta.get('project')}/{meta['run_id']}@{meta['created_at']}",
        shown(path),
        str(values.get("sys/name") or meta["run_id"]),
        moment(started),
        points,
        nested(params, "/"),
        {"finished": "finished", "failed": "failed"}.get(meta.get("status", ""), "killed"),
        span(points, started),
        note=str(values.get("sys/description") or ""),
        labels=_labels(values.get("sys/tags")),
    )


def _labels(text: Any) -> tuple[str, ...]:
    try:
        return tuple(map(str, json.loads(text))) if text else ()
    except (ValueError, TypeError):
        return tuple(str(text).split(","))
