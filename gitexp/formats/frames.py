"""``metrics.csv`` by pandas' parser, where nothing in it is odd; else by ``metrics.read``."""

from __future__ import annotations

import io
import re
import warnings
from typing import IO, TYPE_CHECKING

from gitexp.formats import metrics, result_files
from gitexp.formats.experiment import Experiment

if TYPE_CHECKING:
    import pandas as pd


def read(file: bytes | IO[bytes]) -> pd.DataFrame | None:
    """Return the columns name (a category), value, timestamp (ms), step; None if a row is odd."""
    import pandas as pd

    file = io.BytesIO(file) if isinstance(file, bytes) else file
    if file.readline() != metrics.HEADER:
        return None
    version = tuple(int(part) for part in pd.__version__.split(".")[:2])
    exact = {} if version >= (3, 1) else {"float_precision": "round_trip"}
    with warnings.catch_warnings():  # of cells that are odd
        warnings.simplefilter("ignore")
        try:
            frame: pd.DataFrame = pd.read_csv(
                file, names=[*metrics.COLUMNS], header=None,
                dtype={"name": "category"},
                keep_default_na=False, na_values={"value": ["nan"]}, **exact,
            )  # type: ignore[call-overload]  # fmt: skip
        except (ValueError, OverflowError):
            return None
    whole = isinstance(frame.index, pd.RangeIndex)  # a fifth column would make the first the index
    kinds = [frame[name].dtype.kind for name in ("value", "timestamp", "step")]
    if not whole or kinds not in (["i", "i", "i"], ["f", "i", "i"]):
        return None
    times = frame["timestamp"]
    timely = times.between(0, metrics.END_OF_TIME - 1) & ~times.between(10**8, 10**11 - 1)
    return frame if timely.all() else None


def path(experiment: Experiment) -> str | None:
    """Return the path of the CSV file that holds all of an experiment's metrics, if one does."""
    paths = result_files.paths(experiment.files)
    alone = len(paths) == 1 and paths[0].endswith(".csv") and not experiment.extra.get("events")
    return paths[0] if alone else None


def gathered(data: bytes) -> tuple[bytes, dict[str, float]] | None:
    """Return what ``metrics.gather`` would of a file's points; None where a row is odd."""
    import numpy as np

    start = len(metrics.HEADER)
    if data.startswith(metrics.HEADER[:-1] + b"\r\n"):
        data = metrics.HEADER + data[start + 1 :]
    frame = read(data)
    if frame is None:
        return None
    if b'"' not in data:
        data = metrics.HEADER + re.sub(rb"(?m)^([^,\r\n]*),", rb'"\1",', data[start:])
    if b"\r" not in data:
        data = metrics.HEADER + data[start:].replace(b"\n", b"\r\n")
    count = len(frame)
    text = np.frombuffer(data, "u1")
    ends, quotes = np.flatnonzero(text == ord("\n")) + 1, np.flatnonzero(text == ord('"'))
    if data[-1:] != b"\n" or (len(ends), len(quotes)) != (count + 1, 2 * count):
        return None
    # each row starts with a name in quotes and ends with CRLF
    named = (quotes[::2] == ends[:-1]) & (text[quotes[1::2] + 1] == ord(","))
    if not (named & (text[ends[1:] - 2] == ord("\r"))).all():
        return None
    # whole numbers that are written in another way
    odd = any(mark in data for mark in (b" ", b"\t", b"+"))
    if odd and len(re.findall(rb",\d+,-?\d+\r\n", data)) != count:
        return None
    newest_first = frame.iloc[::-1].groupby("name", sort=False, observed=True)["step"]
    last = [int(at) for at in newest_first.idxmax().sort_values()]
    ended = b"".join([metrics.HEADER, *(data[ends[at] : ends[at + 1]] for at in last)])
    values = metrics.last_values(metrics.read(io.BytesIO(ended)))
    return data, {name: values[name] for name in frame["name"].unique()}
