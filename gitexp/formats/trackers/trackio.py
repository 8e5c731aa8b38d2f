"""trackio (0.43.0): one SQLite database for each project, ``PROJECT.db``, with JSON in the rows of
``metrics`` and ``configs``.

It notes no end of a run, so every run counts as finished.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from gitexp.formats import params
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.found import Run, database, moment, points, seconds, span

_METRICS = "SELECT run_id, run_name, timestamp, step, metrics FROM metrics ORDER BY id"


def read(path: Path) -> Iterator[Run]:
    """Yield the runs of a project."""
    with database(path) as connection:
        found_configs = connection.execute("SELECT run_id, config FROM configs")
        configs = {id: json.loads(text) for id, text in found_configs}
        rows = connection.execute(_METRICS).fetchall()
    found: dict[str, list[MetricPoint]] = {}
    names: dict[str, str] = {}
    begun: dict[str, float] = {}
    for id, name, stamp, step, text in rows:
        names[id], at = name, seconds(stamp)
        begun[id] = min(at, begun.get(id, at))
        logged = params.flatten(json.loads(text)).items()
        values = points((key, value, at * 1000, step) for key, value in logged)
        found.setdefault(id, []).extend(values)
    for id, name in names.items():
        config = configs.get(id, {})
        started = seconds(config["_Created"]) if config.get("_Created") else begun[id]
        yield Run(
            id,
            name,
            moment(started),
            found[id],
            {key: value for key, value in config.items() if not key.startswith("_")},
            duration=span(found[id], started),
            group=config.get("_Group"),
        )
