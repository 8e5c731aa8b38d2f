"""The history that a training library writes: fastai's CSVLogger (2.8.12), skorch (1.4.0), Keras'
CSVLogger (3.15.1), Lightning's (2.6.6), ultralytics (8.4.190) and transformers (5.24.0).

It notes no times but the file's own; params are those in a file of their usual name beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitexp.formats import params, readers
from gitexp.formats.errors import FormatError
from gitexp.formats.trackers.found import Run, cut, moment


def read(path: Path) -> Iterator[Run]:
    """Yield the training of a history."""
    data, stamp = path.read_bytes(), path.stat().st_mtime
    found = readers.read_metrics(path.name, data)
    if found.form == "names and values":
        raise FormatError("it has names and values, and no rows of epochs")
    now = int(stamp * 1000)
    points = [point._replace(timestamp=point.timestamp or now) for point in found.points]
    if not points:
        raise FormatError("no value is logged in it")
    given: dict[str, Any] = {}
    for name in readers.PARAMS_FILES:
        if (beside := path.parent / name).is_file():
            given = params.merge(given, params.load_file(beside))
    yield Run(
        hashlib.sha256(data).hexdigest()[:16],
        f"{path.parent.name}/{path.name}",
        moment(min(point.timestamp for point in points) / 1000),
        points,
        given,
        partly=cut(path, found.cut),
        kind="history",
    )
