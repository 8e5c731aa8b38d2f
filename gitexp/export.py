"""Experiments as tables for other tools: one row for each experiment, or one for each value that was ever logged.

The columns are those of ``gitexp.experiments()``. Files are read through one git process, and points stream: what is written
was never in memory whole. What cannot be read (a file that a partial clone lacks, a metrics.csv that is none) is told in
``unread``, and the rest is there.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitexp import frames, late, message, metrics, params, series
from gitexp.errors import FormatError
from gitexp.experiment import Experiment, MetricPoint
from gitexp.extras import needed
from gitexp.repo import Repo

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FACTS = ("name", "id", "status", "started", "duration", "author", "branch", "group", "labels", "subject")
POINT = ("name", "id", "metric", "value", "timestamp", "step")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ROWS = 100_000  # of a row group: some MB in memory
_WHOLE = 2**63 - 1
Unread = list[tuple[str, str]]  # an experiment's name, and why a file of it is missing


def columns(experiments: Iterable[Experiment]) -> list[str]:
    """Return the names of the columns: facts, then ``params.*`` and ``metrics.*`` in the order of their first appearance."""
    seen: dict[str, dict[str, None]] = {"params": {}, "metrics": {}}
    for item in experiments:
        for family, names in seen.items():
            names.update(dict.fromkeys(getattr(item, family)))
    return [*FACTS, *(f"{family}.{name}" for family, names in seen.items() for name in names)]


def value(experiment: Experiment, column: str) -> Any:
    """Return what an experiment has in a column, None where it has nothing."""
    family, _, name = column.partition(".")
    if family in ("params", "metrics") and name:
        found: Mapping[str, Any] = getattr(experiment, family)
        return found.get(name)
    return getattr(experiment, column)


def points(repo: Repo, experiments: Sequence[Experiment], unread: Unread) -> Iterator[tuple[Experiment, MetricPoint]]:
    """Yield every logged value of every experiment, in the order of the experiments and of their files."""
    for item, files in _files(repo, experiments, "metrics"):
        yield from ((item, point) for point in _points(item, files, unread))


def histories(repo: Repo, experiments: Sequence[Experiment], unread: Unread) -> pd.DataFrame:
    """Return every logged value of every experiment: experiment, name, value, timestamp (ms) and step.

    The files in which nothing is odd are parsed as one.
    """
    import pandas as pd

    plain: dict[int, bytes] = {}
    odd: dict[int, pd.DataFrame] = {}

    def slowly(at: int, files: Mapping[str, bytes]) -> None:
        odd[at] = pd.DataFrame(_points(experiments[at], files, unread), columns=[*MetricPoint._fields])

    for at, (item, files) in enumerate(_files(repo, experiments, "metrics")):
        data = files.get(frames.path(item) or "", b"")
        if data.startswith(metrics.HEADER) and data.endswith(b"\n"):
            plain[at] = data[len(metrics.HEADER) :]
        else:
            slowly(at, files)
    counts = [rows.count(b"\n") for rows in plain.values()]
    text = b"".join([metrics.HEADER, *plain.values()])
    frame = frames.read(text, "category")
    if frame is None or sum(counts) != len(frame) or text.count(b"\r") != text.count(b"\r\n"):
        for at, rows in plain.items():
            slowly(at, {frames.path(experiments[at]) or "": metrics.HEADER + rows})
        plain, counts, frame = {}, [], None
    tables = [*([] if frame is None else [frame]), *odd.values()]
    sizes = [*counts, *map(len, odd.values())]
    return _joined([item.name for item in experiments], tables, [*plain, *odd], sizes)


def _joined(names: list[str], tables: list[pd.DataFrame], places: list[int], sizes: list[int]) -> pd.DataFrame:
    """Return tables as one, in the order of the experiments: ``sizes[i]`` rows are those of ``names[places[i]]``."""
    import numpy as np
    import pandas as pd

    empty = pd.DataFrame(columns=[*MetricPoint._fields])
    joined = tables[0] if len(tables) == 1 else pd.concat(tables or [empty], ignore_index=True)
    owners = pd.Categorical.from_codes(np.repeat(np.array(places, int), np.array(sizes, int)), pd.Index(names, dtype="str"))
    joined.insert(0, "experiment", pd.Series(owners))
    joined["name"] = joined["name"].astype("category")
    return joined if len(tables) == 1 else joined.sort_values("experiment", kind="stable", ignore_index=True)


def _points(item: Experiment, files: Mapping[str, bytes], unread: Unread) -> Iterator[MetricPoint]:
    try:
        yield from series.of(item.files, functools.partial(_file, files))
        yield from late.points(item.extra.get("events", ()))
    except FormatError as error:
        unread.append((item.name, str(error)))


def moment(timestamp: int) -> datetime | None:
    """Return ms since the epoch as a time, None where no calendar reaches."""
    try:
        return _EPOCH + timedelta(milliseconds=timestamp)
    except OverflowError:
        return None


def records(repo: Repo, experiments: Sequence[Experiment], with_points: bool, unread: Unread) -> Iterator[dict[str, Any]]:
    """Yield everything about each experiment, params nested as in their file; with every logged value where that is wanted."""
    stream = _grouped(points(repo, experiments, unread)) if with_points else iter(())
    ahead = next(stream, None)
    for item, files in _files(repo, experiments, "params"):
        facts = {name: getattr(item, name) for name in (*FACTS, "email", "parent", "command", "notes", "files", "extra")}
        facts |= {"params": _nested(item, files), "metrics": item.metrics}
        if with_points:
            is_here = ahead is not None and ahead[0] is item
            facts["history"] = ahead[1] if ahead and is_here else []
            ahead = next(stream, None) if is_here else ahead
        yield facts


def portable(value: Any) -> Any:
    """Return a value as every reader of JSON takes it: times as text in UTC, NaN and infinities as "nan", "inf" and "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, datetime):
        return message.format_time(value)
    if isinstance(value, Mapping):
        return {str(key): portable(item) for key, item in value.items()}
    return [portable(item) for item in value] if isinstance(value, (list, tuple)) else value


def text(value: Any) -> str:
    """Return a cell of a CSV file: numbers with full precision, lists and mappings as JSON, nothing for None."""
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(portable(value), ensure_ascii=False)
    return "" if value is None else message.format_time(value) if isinstance(value, datetime) else str(value)


# -- Parquet ---------------------------------------------------------------------------------------------------------------


def write_parquet(experiments: Sequence[Experiment], target: Path) -> None:
    """Write one row for each experiment.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    pa, pq = arrow()
    arrays, fields = [], []
    for name in columns(experiments):
        kind, convert = _column(pa, name, [value(item, name) for item in experiments])
        fields.append(pa.field(name, kind))
        arrays.append(pa.array([None if (cell := value(item, name)) is None else convert(cell) for item in experiments], kind))
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), target)


def write_points(rows: Iterable[tuple[Experiment, MetricPoint]], target: Path) -> None:
    """Write one row for each point, some at a time; raise MissingExtraError where pyarrow is not installed."""
    pa, pq = arrow()
    kinds = (pa.string(), pa.string(), pa.string(), pa.float64(), pa.timestamp("ms", tz="UTC"), pa.int64())
    schema = pa.schema([pa.field(name, kind) for name, kind in zip(POINT, kinds)])
    with pq.ParquetWriter(target, schema) as writer:
        lists: list[list[Any]] = [[] for _ in POINT]

        def flush() -> None:
            writer.write_table(pa.Table.from_arrays([pa.array(cells, kind) for cells, kind in zip(lists, kinds)], schema=schema))
            for cells in lists:
                cells.clear()

        for item, point in rows:
            cells = (item.name, item.id, _sound(point.name), _double(point.value), moment(point.timestamp), _whole(point.step))
            for at, cell in enumerate(cells):
                lists[at].append(cell)
            if len(lists[0]) >= _ROWS:
                flush()
        flush()


def arrow() -> tuple[Any, Any]:
    """Return what Parquet is written with; raise MissingExtraError where it is not installed."""
    return needed("pyarrow", "writing Parquet", "parquet"), needed("pyarrow.parquet", "writing Parquet", "parquet")


def _column(pa: Any, name: str, cells: Sequence[Any]) -> tuple[pa.DataType, Callable[[Any], Any]]:
    """Return the type of a column, and what makes a cell of that type: numbers where all are, else text."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if name == "started":
        return pa.timestamp("ms", tz="UTC"), lambda cell: cell
    if name == "labels":
        return pa.list_(pa.string()), list
    if name == "duration" or name.startswith("metrics."):
        return pa.float64(), _double
    if kinds == {bool}:
        return pa.bool_(), bool
    if kinds == {int} and all(abs(cell) <= _WHOLE for cell in cells if cell is not None):
        return pa.int64(), int
    if kinds and kinds <= {int, float}:
        return pa.float64(), _double
    return pa.string(), lambda cell: _sound(text(cell))


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _whole(value: int) -> int | None:
    return value if abs(value) <= _WHOLE else None


def _sound(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


# -- files of experiments --------------------------------------------------------------------------------------------------


def _files(repo: Repo, experiments: Sequence[Experiment], kind: str) -> Iterator[tuple[Experiment, dict[str, bytes]]]:
    """Yield the params or metrics files of each experiment by their paths, without those that this clone lacks."""
    wanted = [[path for path in series.paths(item.files, kind) if "\n" not in path] for item in experiments]
    objects = repo.objects(f"{item.id}:{path}" for item, paths in zip(experiments, wanted) for path in paths)
    for item, paths in zip(experiments, wanted):
        found = zip(paths, [next(objects) for _ in paths])
        yield item, {path: blob.data for path, blob in found if blob is not None and blob.kind == "blob"}


def _file(files: Mapping[str, bytes], path: str) -> bytes:
    if path not in files:
        raise FormatError(f"its {message.one_line(path)} is not in this clone; to get it: git fetch --refetch")
    return files[path]


def _nested(experiment: Experiment, files: Mapping[str, bytes]) -> Any:
    """Return the params as their file has them; where it cannot be read or they are several, as the summary does."""
    paths = series.paths(experiment.files, "params")
    try:
        return params.load(_file(files, paths[0]), paths[0]) if len(paths) == 1 else dict(experiment.params)
    except FormatError:
        return dict(experiment.params)


def _grouped(rows: Iterable[tuple[Experiment, MetricPoint]]) -> Iterator[tuple[Experiment, list[dict[str, Any]]]]:
    from itertools import groupby

    for _, some in groupby(rows, lambda row: id(row[0])):
        item, first = next(some)
        yield (
            item,
            [
                {"metric": name, "value": number, "timestamp": moment(at), "step": step}
                for name, number, at, step in (first, *(point for _, point in some))
            ],
        )
