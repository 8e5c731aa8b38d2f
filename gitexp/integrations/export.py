"""Experiments as tables for other tools: one row for each experiment, or one for each value that
was ever logged.

The columns are those of ``gitexp.experiments()``. Files are read through one git process, and
points stream: what is written was never in memory whole. What cannot be read (a file that a partial
clone lacks, a metrics.csv that is none) is told in ``unread``, and the rest is there.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitexp.formats import frames, message, metrics, params, result_files
from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import Experiment, MetricPoint
from gitexp.formats.extras import needed
from gitexp.repo import Repo
from gitexp.store.histories import Unread, file_of, files_of, points_of

if TYPE_CHECKING:
    import pyarrow as pa

FACTS = (
    "name", "id", "status", "started", "duration", "author", "branch", "group", "labels", "subject",
)  # fmt: skip
POINT = ("name", "id", "metric", "value", "timestamp", "step")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# a row as gitexp writes it, of a name without a quote; the time in seconds and what is beyond them
_ROW = (
    r'(?m)^"([^"\r\n]*)",(-?(?:0|[1-9]\d{0,17})(?:\.\d+)?(?:e[-+]\d{1,3})?|nan|-?inf),'
    r"([1-9]\d{8,10})(\d{3}),(0|-?[1-9]\d{0,17})\r\n"
)
_LONG = 2**20  # characters
_ROWS = 100_000  # of a row group: some MB in memory
_WHOLE = 2**63 - 1


def columns(experiments: Sequence[Experiment]) -> list[str]:
    """Return the names of the columns: facts, then ``params.*`` and ``metrics.*`` in the order of
    their first appearance."""
    names = {
        kind: dict.fromkeys(chain.from_iterable(getattr(item, kind) for item in experiments))
        for kind in ("params", "metrics")
    }
    return [*FACTS, *(f"{kind}.{name}" for kind, some in names.items() for name in some)]


def value(experiment: Experiment, column: str) -> Any:
    """Return what an experiment has in a column, None where it has nothing."""
    family, _, name = column.partition(".")
    if family in ("params", "metrics") and name:
        found: Mapping[str, Any] = getattr(experiment, family)
        return found.get(name)
    return getattr(experiment, column)


def moment(timestamp: int) -> datetime | None:
    """Return ms since the epoch as a time, None where no calendar reaches."""
    try:
        return _EPOCH + timedelta(milliseconds=timestamp)
    except OverflowError:
        return None


def point_cells(
    repo: Repo, experiments: Sequence[Experiment], unread: Unread
) -> Iterator[tuple[object, ...]]:
    """Yield the cells of a CSV file's row for each logged value; those of a file in which nothing
    is odd as they stand there."""
    seconds = functools.cache(
        lambda at: message.format_time(_EPOCH + timedelta(seconds=int(at))).partition(".")[0]
    )
    for item, files in files_of(repo, experiments, "metrics"):
        data = files.get(frames.path(item) or "", b"")
        rows = data.decode("utf-8", "replace")[len(metrics.HEADER) :]
        whole = data.startswith(metrics.HEADER) and rows.endswith("\n") and "\ufffd" not in rows
        if (found := _found(rows) if whole else None) is not None:
            for name, number, at, ms, step in found:
                yield item.name, item.id, name, number, f"{seconds(at)}.{ms}Z", step
            continue
        for point in points_of(item, files, unread):
            cells = (point.name, repr(point.value), text(moment(point.timestamp)), point.step)
            yield item.name, item.id, *cells


def _found(rows: str) -> Iterable[tuple[str, ...]] | None:
    """Return the cells of rows, None where one is odd; those of many are not held at once."""
    if len(rows) < _LONG:
        found = re.findall(_ROW, rows)
        return found if len(found) == rows.count("\n") else None
    count = sum(1 for _ in re.finditer(_ROW, rows))
    each = (match.groups() for match in re.finditer(_ROW, rows))
    return each if count == rows.count("\n") else None


def records(
    repo: Repo, experiments: Sequence[Experiment], with_points: bool, unread: Unread
) -> Iterator[dict[str, Any]]:
    """Yield everything about each experiment, params nested as in their file; with every logged
    value where that is wanted."""
    none: Iterable[tuple[Experiment, dict[str, bytes]]] = ((item, {}) for item in experiments)
    read = files_of(repo, experiments, "metrics") if with_points else none
    for (item, files), (_, logged) in zip(files_of(repo, experiments, "params"), read):
        facts = {
            name: getattr(item, name)
            for name in (*FACTS, "email", "parent", "command", "notes", "files", "extra")
        }
        facts |= {"params": _nested(item, files), "metrics": item.metrics}
        if with_points:
            facts["history"] = [
                {"metric": name, "value": number, "timestamp": moment(at), "step": step}
                for name, number, at, step in points_of(item, logged, unread)
            ]
        yield facts


def text(value: Any) -> str:
    """Return a cell of a CSV file: numbers with full precision, lists and mappings as JSON, nothing
    for None."""
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(message.portable(value), ensure_ascii=False)
    if isinstance(value, datetime):
        return message.format_time(value)
    return "" if value is None else str(value)


# -- Parquet ---------------------------------------------------------------------------------------


def write_parquet(experiments: Sequence[Experiment], target: Path) -> None:
    """Write one row for each experiment.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    pa, pq = arrow()
    arrays, fields = [], []
    for name in columns(experiments):
        cells = [value(item, name) for item in experiments]
        kind, convert = _column(pa, name, cells)
        fields.append(pa.field(name, kind))
        arrays.append(pa.array([None if one is None else convert(one) for one in cells], kind))
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), target)


def write_points(rows: Iterable[tuple[Experiment, MetricPoint]], target: Path) -> None:
    """Write one row for each point, some at a time; raise MissingExtraError where pyarrow is not
    installed."""
    pa, pq = arrow()
    kinds = (*[pa.string()] * 3, pa.float64(), pa.timestamp("ms", tz="UTC"), pa.int64())
    schema = pa.schema([pa.field(name, kind) for name, kind in zip(POINT, kinds)])
    cells = (
        (item.name, item.id, _sound(name), metrics.double(number), moment(at), _whole(step))
        for item, (name, number, at, step) in rows
    )
    with pq.ParquetWriter(target, schema) as writer:
        while chunk := [*islice(cells, _ROWS)]:
            arrays = [pa.array(column, kind) for column, kind in zip(zip(*chunk), kinds)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def arrow() -> tuple[Any, Any]:
    """Return what Parquet is written with; raise MissingExtraError where it is not installed."""
    pa, pq = (needed(one, "writing Parquet", "parquet") for one in ("pyarrow", "pyarrow.parquet"))
    return pa, pq


def _column(pa: Any, name: str, cells: Sequence[Any]) -> tuple[pa.DataType, Callable[[Any], Any]]:
    """Return the type of a column, and what makes a cell of that type: numbers where all are, else
    text."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if name == "started":
        return pa.timestamp("ms", tz="UTC"), lambda cell: cell
    if name == "labels":
        return pa.list_(pa.string()), list
    if name == "duration" or name.startswith("metrics."):
        return pa.float64(), metrics.double
    if kinds == {bool}:
        return pa.bool_(), bool
    if kinds == {int} and all(abs(cell) <= _WHOLE for cell in cells if cell is not None):
        return pa.int64(), int
    if kinds and kinds <= {int, float}:
        return pa.float64(), metrics.double
    return pa.string(), lambda cell: _sound(text(cell))


def _whole(step: int) -> int | None:
    return step if abs(step) <= _WHOLE else None


def _sound(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


# -- files of experiments --------------------------------------------------------------------------


def _nested(experiment: Experiment, files: Mapping[str, bytes]) -> Any:
    """Return the params as their file has them; where it cannot be read or they are several, as the
    summary does."""
    paths = result_files.paths(experiment.files, "params")
    if len(paths) == 1:
        with suppress(FormatError):
            return params.load(file_of(files, paths[0]), paths[0])
    return dict(experiment.params)
