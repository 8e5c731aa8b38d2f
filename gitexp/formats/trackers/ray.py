"""Ray Tune's trials (2.60.0): ``result.json``, JSON Lines of reports, in a folder for each.

``progress.csv`` beside it has the columns of the first report alone, so it is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitexp.formats import params
from gitexp.formats.errors import FormatError
from gitexp.formats.trackers.found import Row, Run, lines, moment, points

_OWN = {
    "config", "checkpoint_dir_name", "date", "done", "experiment_tag", "hostname",
    "iterations_since_restore", "node_ip", "pid", "should_checkpoint", "time_since_restore",
    "time_this_iter_s", "time_total_s", "timestamp", "training_iteration", "trial_id",
    "timesteps_total", "episodes_total",
}  # fmt: skip


def read(path: Path) -> Iterator[Run]:
    """Yield the trial of a folder."""
    rows, cut = lines(path, path.read_text("utf-8", "replace"))
    if not rows or not isinstance(rows[0], dict) or "trial_id" not in rows[0]:
        why = "no report of a trial of Ray's is in it; as after a trial that failed at once"
        raise FormatError(why)
    first, last = rows[0], rows[-1]
    started = first["timestamp"] - first.get("time_total_s", 0)
    status = "failed" if (path.parent / "error.txt").exists() else "finished"
    yield Run(
        f"{first['trial_id']}@{first['timestamp']}",
        path.parent.name,
        moment(started),
        points(_values(rows)),
        first.get("config") or {},
        status,
        last["timestamp"] - started,
        group=path.parent.parent.name or None,
        partly=cut,
    )


def _values(rows: list[dict[str, Any]]) -> Iterator[Row]:
    for row in rows:
        logged = {name: value for name, value in row.items() if name not in _OWN}
        for name, value in params.flatten(logged).items():
            yield name, value, row["timestamp"] * 1000, row["training_iteration"]
