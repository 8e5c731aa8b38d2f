"""Sacred's FileStorageObserver (0.8.7): a folder for each run.

It holds ``run.json``, ``config.json`` and ``metrics.json``. Arrays in the config are mappings with
``py/object``, and keys that are numbers begin with ``json://``; a killed run says RUNNING for ever,
one that Ctrl-C stopped INTERRUPTED.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitexp.formats.trackers.found import Row, Run, cut, files_in, mapping, moment, points, seconds

_NO_METRICS = "no metrics.json is there; Sacred writes it after about 10 s"
_STATUSES = {"COMPLETED": "finished", "FAILED": "failed"}


def read(path: Path) -> Iterator[Run]:
    """Yield the run of a folder."""
    run = mapping(path)
    beside = files_in(path.parent, "*")[0]
    config, metrics = (
        next((mapping(file) for file in beside if file.name == f"{name}.json"), None)
        for name in ("config", "metrics")
    )
    started = seconds(run["start_time"])
    end = run.get("stop_time") or run.get("heartbeat")
    name = run.get("experiment", {}).get("name") or path.parent.name
    yield Run(
        f"{name}@{run['start_time']}",
        f"{name} {path.parent.name}",
        moment(started),
        points(_values(metrics or {}, run, seconds(end) if end else started)),
        {key: _value(value) for key, value in (config or {}).items() if key != "__annotations__"},
        _STATUSES.get(run.get("status", ""), "killed"),
        seconds(end) - started if end else None,
        note=run.get("meta", {}).get("options", {}).get("--comment") or "",
        artifacts={file.name: file for file in beside if file.name in run.get("artifacts", ())},
        partly=cut(path, None if metrics is not None else _NO_METRICS),
    )


def _values(metrics: dict[str, Any], run: dict[str, Any], end: float) -> Iterator[Row]:
    for name, series in metrics.items():
        for step, stamp, value in zip(series["steps"], series["timestamps"], series["values"]):
            yield name, _value(value), seconds(stamp) * 1000, step
    if "result" not in metrics:
        yield "result", _value(run.get("result")), end * 1000, 0


def _value(value: Any) -> Any:
    """Return what jsonpickle was given: NumPy's scalars and arrays, and whole numbers as keys."""
    if isinstance(value, list):
        return [_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "py/object" in value:
        return value.get("values", value.get("value"))
    return {key.removeprefix("json://"): _value(item) for key, item in value.items()}
