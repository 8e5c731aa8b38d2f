"""Neptune's runs: offline ones (1.14.0), ``.neptune/offline/run__ID__.../data-N.log``, JSON Lines
of what was assigned and logged; and those of its exporter, ``RUN_part_N.parquet``, of its last
schema.

A number that was assigned outside of ``parameters`` is a result. Paths below ``monitoring`` and
``sys`` are Neptune's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.extras import needed
from gitexp.formats.trackers.found import Run, Unread, lines, moment, number, span

_OWN = ("monitoring", "sys", "source_code")


@dataclass
class _Facts:
    """What was assigned and logged; ``at`` is the time of the first, in seconds."""

    id: str
    at: float = 0.0
    assigned: dict[str, Any] = field(default_factory=dict)
    points: list[MetricPoint] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    partly: tuple[Unread, ...] = ()


def read(path: Path) -> Iterator[Run]:
    """Yield the run of a folder, or of a file of the exporter's and its further parts."""
    facts = _exported(path) if path.suffix == ".parquet" else _offline(path)
    given: dict[str, Any] = {}
    for name, value in facts.assigned.items():
        top, _, rest = name.partition("/")
        result = number(value)
        if top == "parameters" or (top not in _OWN and result is None):
            given[(rest if top == "parameters" else name).replace("/", ".")] = value
        elif top not in _OWN and result is not None:
            facts.points.append(MetricPoint(name, result, int(facts.at * 1000), 0))
    title = facts.assigned.get("sys/name")
    yield Run(
        facts.id,
        title if title and title != "Untitled" else facts.id.rpartition("/")[2][:10],
        moment(facts.at),
        facts.points,
        given,
        "failed" if facts.assigned.get("sys/failed") else "finished",
        facts.assigned.get("sys/running_time") or span(facts.points, facts.at),
        facts.assigned.get("sys/description") or "",
        tuple(facts.labels),
        partly=facts.partly,
    )


def _offline(path: Path) -> _Facts:
    files = sorted(path.parent.glob("data-*.log"), key=lambda file: (len(file.name), file.name))
    rows, cut = lines(path, "\n".join(file.read_text("utf-8", "replace") for file in files))
    if not rows:
        raise FormatError("nothing is logged in it, as after a killed training")
    id = path.parent.name.partition("__")[2] or path.parent.name
    facts = _Facts(id.partition("__")[0], rows[0]["at"], partly=cut)
    for row in rows:
        item, name = row["obj"], "/".join(row["obj"]["path"])
        if item["type"] in ("AssignFloat", "AssignInt", "AssignBool", "AssignString"):
            facts.assigned[name] = item["value"]
        elif item["type"] == "AddStrings" and name == "sys/tags":
            facts.labels += item["values"]
        elif item["type"] == "LogFloats" and item["path"][0] not in _OWN:
            for index, one in enumerate(item["values"]):
                step = index if one["step"] is None else one["step"]
                at = int(one["ts"] * 1000)
                facts.points.append(MetricPoint(name, one["value"], at, int(step)))
    return facts


def _exported(path: Path) -> _Facts:
    parquet = needed("pyarrow.parquet", "reading Neptune's exports", "parquet")
    stem = path.name.removesuffix("0.parquet")
    count = sum(file.name.startswith(stem) for file in path.parent.iterdir())
    facts = _Facts("")
    for part in range(count):
        try:
            rows = parquet.read_table(path.with_name(f"{stem}{part}.parquet")).to_pylist()
        except (OSError, ValueError) as error:
            raise FormatError(f"part {part} is missing, cut or no Parquet: {error}") from None
        for row in rows:
            facts.id = f"{row['project_id']}/{row['run_id']}"
            name, kind = row["attribute_path"], row["attribute_type"]
            if kind == "float_series" and name.partition("/")[0] not in _OWN:
                at = int(row["timestamp"].timestamp() * 1000)
                facts.points.append(MetricPoint(name, row["float_value"], at, int(row["step"])))
            elif name == "sys/tags":
                facts.labels += row["string_set_value"]
            elif kind in ("float", "int", "string", "bool", "datetime"):
                facts.assigned[name] = row[f"{kind}_value"]
    begun = facts.assigned.get("sys/creation_time")
    first = min((point.timestamp for point in facts.points), default=0) / 1000
    facts.at = begun.timestamp() if isinstance(begun, datetime) else first
    return facts
