"""SwanLab's runs (0.10.3): ``run-ID.swanlab``, a log in LevelDB's format as W&B's, behind another
header, with protobuf messages of its own; the config lies in ``files/config.yaml``.

Columns of the class SYSTEM are what SwanLab measures by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gitexp.formats import params
from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.found import Run, cut, mapping, moment, span
from gitexp.formats.trackers.protobuf import Message, logged

_HEADER = b":SWL\xd6\xe1\x02"
_START, _END, _COLUMN, _SCALAR = 10, 11, 12, 13  # kinds of a record
_SYSTEM = 2
_STATUSES = {1: "finished", 2: "failed", 3: "killed"}


def read(path: Path) -> Iterator[Run]:
    """Yield the run of a log."""
    start, end = Message(), Message()
    points: list[MetricPoint] = []
    own: set[str] = set()
    for record in logged(path, _HEADER):
        start = record.message(_START) if _START in record else start
        end = record.message(_END) if _END in record else end
        if _COLUMN in record and record.message(_COLUMN).whole(1) == _SYSTEM:
            own.add(record.message(_COLUMN).text(3))
        elif _SCALAR in record:
            one = record.message(_SCALAR)
            value, at = one.message(5).double(1), int(one.message(4).time() * 1000)
            points.append(MetricPoint(one.text(1), value, at, one.whole(2)))
    if not start.text(10):
        raise FormatError("no run begins in it, as after a killed training")
    config, facts = path.parent / "files/config.yaml", path.parent / "files/swanlab-metadata.json"
    given = params.load_file(config) if config.exists() else {}
    told = mapping(facts) if facts.exists() else {}
    points = [point for point in points if point.name not in own]
    started, ended = start.message(12).time(), end.message(3).time()
    endless = "it has no end; SwanLab keeps what was logged last in memory"
    yield Run(
        f"{start.text(1)}/{start.text(10)}",
        start.text(4) or start.text(10),
        moment(started),
        points,
        {name: item.get("value") for name, item in given.items()},
        _STATUSES.get(end.whole(1), "killed"),
        ended - started if ended else span(points, started),
        start.text(5),
        tuple(start.texts(6)),
        start.text(7) or None,
        command=told.get("runtime", {}).get("command"),
        commit=told.get("git", {}).get("commit"),
        tags={"project": start.text(1)},
        partly=cut(path, None if ended else endless),
    )
