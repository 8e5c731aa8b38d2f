"""CatBoost's ``catboost_info`` (1.2.10): ``catboost_training.json`` holds all iterations.

It notes no time but the seconds that passed, so the start is counted back from the file's own time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.forms import mapping, number
from gitexp.formats.trackers.found import Run, Unread, moment, shown


def read(path: Path) -> Iterator[Run]:
    """Yield the training of a folder."""
    whole = mapping(path)
    rows, meta = whole.get("iterations"), whole.get("meta")
    if not rows or not meta:
        raise FormatError("no iteration is in it")
    passed = rows[-1]["passed_time"]
    started = path.stat().st_mtime - passed
    points = [
        point
        for row in rows
        for kind in ("learn", "test")
        for point in _points(row, kind, meta, started)
    ]
    id = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    count = meta.get("iteration_count", 0)
    why = f"{len(rows)} of {count} iterations: stopped early, or killed"
    yield Run(
        "catboost",
        id,
        shown(path),
        meta.get("name") or path.parent.name,
        moment(started),
        points,
        duration=passed,
        partly=(Unread(str(path), why),) if len(rows) < count else (),
    )


def _points(
    row: dict[str, Any], kind: str, meta: dict[str, Any], started: float
) -> Iterator[MetricPoint]:
    """Yield the values of ``learn`` or ``test``; those of several sets follow one another."""
    names, sets = [item["name"] for item in meta[f"{kind}_metrics"]], meta[f"{kind}_sets"]
    called = [f"{one}/{name}" for one in sets for name in names]
    for name, value in zip(called, row.get(kind, ())):
        if (found := number(value)) is not None:
            yield MetricPoint(
                name, found, int((started + row["passed_time"]) * 1000), int(row["iteration"])
            )
