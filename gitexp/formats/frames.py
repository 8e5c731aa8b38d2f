"""``metrics.csv`` by pandas' parser, for files in which nothing is odd; ``metrics.read`` is for all
others."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING

from gitexp.formats import metrics
from gitexp.formats.experiment import Experiment

if TYPE_CHECKING:
    import pandas as pd


def read(data: bytes, names: str = "str") -> pd.DataFrame | None:
    """Return the columns name, value, timestamp (ms) and step; None where a row is odd.

    Args:
        names: the type of the column ``name``, ``str`` or ``category``.
    """
    import pandas as pd

    if not data.startswith(metrics.HEADER):
        return None
    version = tuple(int(part) for part in pd.__version__.split(".")[:2])
    exact = {} if version >= (3, 1) else {"float_precision": "round_trip"}
    with warnings.catch_warnings():  # of cells that are odd
        warnings.simplefilter("ignore")
        try:
            frame: pd.DataFrame = pd.read_csv(
                io.BytesIO(data), names=[*metrics.COLUMNS], header=0, low_memory=False,
                dtype={"name": names, "timestamp": "int64", "step": "int64"},
                keep_default_na=False, na_values={"value": ["nan"]}, **exact,
            )  # type: ignore[call-overload]  # fmt: skip
        except (ValueError, OverflowError):
            return None
    whole = isinstance(frame.index, pd.RangeIndex)  # a fifth column would make the first the index
    times = frame["timestamp"]
    timely = (times.between(0, metrics.END_OF_TIME - 1) & ~times.between(10**8, 10**11 - 1)).all()
    return frame if whole and timely and frame["value"].dtype.kind in "if" else None


def path(experiment: Experiment) -> str | None:
    """Return the path of the one CSV file that holds all metrics of an experiment; None if others
    do."""
    paths = [path for key, path in experiment.files.items() if key.partition(".")[0] == "metrics"]
    alone = len(paths) == 1 and paths[0].endswith(".csv") and not experiment.extra.get("events")
    return paths[0] if alone else None


def gathered(data: bytes) -> tuple[bytes, dict[str, float]] | None:
    """Return what ``metrics.gather`` would of a file's points; None where a row is odd."""
    frame = read(data, "category")
    rows = data[len(metrics.HEADER) :]
    if frame is None or not rows.endswith(b"\n") or rows.count(b"\n") != len(frame):
        return None
    if b'"' not in rows:
        rows = re.sub(rb"(?m)^([^,\r\n]*),", rb'"\1",', rows)
    if b"\r" not in rows:
        rows = rows.replace(b"\n", b"\r\n")
    # each row has one, but two quotes, and the first no line before it
    marks = (b"\r\n", b'"', b'",', b'\n"')
    if [rows.count(mark) for mark in marks] != [
        len(frame),
        2 * len(frame),
        len(frame),
        len(frame) - 1,
    ] or rows[:1] != b'"':
        return None
    if len(re.findall(rb",\d+,-?\d+\r\n", rows)) != len(frame):  # a step of 3.0 is written as 3
        return None
    newest_first = frame.iloc[::-1].groupby("name", sort=False, observed=True)["step"]
    last = [int(at) for at in newest_first.idxmax().sort_values()]
    lines = rows.split(b"\n")
    chosen = io.BytesIO(metrics.HEADER + b"".join(lines[at] + b"\n" for at in last))
    values = metrics.last_values(metrics.read(chosen))
    return metrics.HEADER + rows, {name: values[name] for name in frame["name"].unique()}
