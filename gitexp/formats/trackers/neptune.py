"""Neptune's offline runs (1.14.0): ``.neptune/offline/run__ID__.../data-N.log``.

They are JSON Lines of what was assigned and logged. A number that was assigned outside of
``parameters`` is a result. Paths below ``monitoring`` and ``sys`` are Neptune's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.forms import lines, number, span
from gitexp.formats.trackers.found import Run, moment, shown

_ASSIGNED = ("AssignFloat", "AssignInt", "AssignBool", "AssignString")
_OWN = ("monitoring", "sys", "source_code")


def read(path: Path) -> Iterator[Run]:
    """Yield the run of a folder."""
    files = sorted(path.parent.glob("data-*.log"), key=lambda file: (len(file.name), file.name))
    rows, cut = lines(path, "\n".join(file.read_text("utf-8", "replace") for file in files))
    if not rows:
        raise FormatError("nothing is logged in it; a killed training leaves such")
    id = path.parent.name.split("__")[1] if "__" in path.parent.name else path.parent.name
    assigned: dict[tuple[str, ...], Any] = {}
    points: list[MetricPoint] = []
    labels: list[str] = []
    for row in rows:
        item, place = row["obj"], tuple(row["obj"]["path"])
        if item["type"] in _ASSIGNED and place[0] in ("parameters", "sys"):
            assigned[place] = item["value"]
        elif item["type"] == "AddStrings" and place == ("sys", "tags"):
            labels += item["values"]
        elif place[0] not in _OWN:
            points += _points(item, row["at"], "/".join(place))
    started = rows[0]["at"]
    params = {
        ".".join(place[1:]): value for place, value in assigned.items() if place[0] == "parameters"
    }
    name, note = assigned.get(("sys", "name")), assigned.get(("sys", "description"))
    failed = assigned.get(("sys", "failed"))
    status = "failed" if failed else "finished"
    title = name if name and name != "Untitled" else id[:10]
    yield Run(
        "neptune",
        id,
        shown(path),
        title,
        moment(started),
        points,
        params,
        status,
        span(points, started),
        note or "",
        tuple(labels),
        partly=cut,
    )


def _points(item: dict[str, Any], at: float, name: str) -> Iterator[MetricPoint]:
    if item["type"] == "LogFloats":
        for index, one in enumerate(item["values"]):
            step = one["step"]
            yield MetricPoint(
                name, one["value"], int(one["ts"] * 1000), int(index if step is None else step)
            )
    elif item["type"] in _ASSIGNED and (value := number(item["value"])) is not None:
        yield MetricPoint(name, value, int(at * 1000), 0)
