"""Comet's offline experiments (comet-ml 3.58.8): ``KEY.zip``.

It holds ``experiment.json`` and ``messages.json``, which is JSON Lines. A killed training leaves
an empty zip. Names that begin with ``sys.`` and the param ``curr_step`` are Comet's own.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gitexp.formats.errors import FormatError
from gitexp.formats.trackers.found import Row, Run, lines, moment, nested, points

_LARGEST = 10**9  # bytes of messages


def read(path: Path) -> Iterator[Run]:
    """Yield the experiment of a zip."""
    try:
        with zipfile.ZipFile(path) as whole:
            if whole.getinfo("messages.json").file_size > _LARGEST:
                raise FormatError("its messages are larger than 1 GB")
            facts = json.loads(whole.read("experiment.json"))
            messages, cut = lines(path, whole.read("messages.json").decode("utf-8", "replace"))
    except (zipfile.BadZipFile, KeyError):
        why = "it is empty, cut or no offline experiment of Comet's, as after a killed training"
        raise FormatError(why) from None
    said = [(item["type"], item["payload"]) for item in messages]
    given = [item["param"] for kind, item in said if kind == "parameter_msg"]
    params = {item["paramName"]: item["paramValue"] for item in given}
    params.pop("curr_step", None)
    others = {item["key"]: item["value"] for kind, item in said if kind == "log_other"}
    id, started = facts["offline_id"], facts["start_time"] / 1000
    stop = facts.get("stop_time")
    yield Run(
        id,
        others.get("Name") or id[:10],
        moment(started),
        points(_values(item for kind, item in said if kind == "metric_msg")),
        nested(params, "|"),
        duration=stop / 1000 - started if stop else None,
        labels=tuple(facts.get("tags") or ()),
        partly=cut,
    )


def _values(said: Iterable[dict[str, Any]]) -> Iterator[Row]:
    for item in said:
        metric, name = item["metric"], item["metric"]["metricName"]
        if not name.startswith("sys.") and name != "process duration":
            yield name, metric["metricValue"], item["local_timestamp"], metric["step"] or 0
