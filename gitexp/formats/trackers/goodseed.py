"""goodseed (0.4.0): an SQLite database for each run, ``projects/PROJECT/runs/ID.sqlite``.

Paths below ``monitoring`` and ``sys`` are the tool's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitexp.formats.trackers import found
from gitexp.formats.trackers.found import Run, seconds, typed

_OWN = ("monitoring/", "sys/", "source_code/")
_POINTS = """
    SELECT path, y, ts * 1000, step FROM metric_points JOIN metric_series ON id = series_id
    ORDER BY path, step
"""


def read(path: Path) -> Iterator[Run]:
    """Yield the run of a database."""
    with found.database(path) as connection:
        meta = dict(connection.execute("SELECT key, value FROM run_meta"))
        rows = connection.execute("SELECT path, type_tag, value FROM configs").fetchall()
        metrics = connection.execute(_POINTS).fetchall()
    values = {name: typed(tag, text) for name, tag, text in rows if text is not None}
    points = found.points(row for row in metrics if not row[0].startswith(_OWN))
    started = seconds(meta["created_at"])
    params = {name: value for name, value in values.items() if not name.startswith(_OWN)}
    yield Run(
        f"{meta.get('project')}/{meta['run_id']}@{meta['created_at']}",
        values.get("sys/name") or meta["run_id"],
        found.moment(started),
        points,
        found.nested(params, "/"),
        {"finished": "finished", "failed": "failed"}.get(meta.get("status", ""), "killed"),
        found.span(points, started),
        note=values.get("sys/description") or "",
        labels=_labels(values.get("sys/tags")),
    )


def _labels(text: Any) -> tuple[str, ...]:
    try:
        return tuple(json.loads(text)) if text else ()
    except (ValueError, TypeError):
        return tuple(str(text).split(","))
