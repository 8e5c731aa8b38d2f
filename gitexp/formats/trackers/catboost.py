"""CatBoost's ``catboost_info`` (1.2.10): ``catboost_training.json`` holds all iterations.

It notes no time but the seconds that passed, so the start is counted back from the file's own time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitexp.formats.errors import FormatError
from gitexp.formats.trackers.found import Row, Run, cut, mapping, moment, points


def read(path: Path) -> Iterator[Run]:
    """Yield the training of a folder."""
    whole = mapping(path)
    rows, meta = whole.get("iterations"), whole.get("meta")
    if not rows or not meta:
        raise FormatError("it holds no iteration")
    passed = rows[-1]["passed_time"]
    started = path.stat().st_mtime - passed
    id = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    count = meta.get("iteration_count", 0)
    done = rows[-1]["iteration"] + 1  # not all are evaluated
    lacking = f"{done} of {count} iterations: stopped early, or killed"
    yield Run(
        id,
        meta.get("name") or path.parent.name,
        moment(started),
        points(_values(rows, meta, started)),
        duration=passed,
        partly=cut(path, lacking if done < count else None),
    )


def _values(rows: list[dict[str, Any]], meta: dict[str, Any], started: float) -> Iterator[Row]:
    """Yield the values of ``learn`` and ``test``; those of several sets follow one another."""
    for row in rows:
        for kind in ("learn", "test"):
            names = [item["name"] for item in meta[f"{kind}_metrics"]]
            called = [f"{one}/{name}" for one in meta[f"{kind}_sets"] for name in names]
            for name, value in zip(called, row.get(kind, ())):
                yield name, value, (started + row["passed_time"]) * 1000, row["iteration"]
