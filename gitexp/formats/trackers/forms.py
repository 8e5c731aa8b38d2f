"""How trackers spell values: numbers, times, JSON Lines and SQLite, as their readers share it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.found import Unread

if TYPE_CHECKING:
    import sqlite3

_WORDS = {"nan", "infinity", "-infinity", "inf", "-inf"}


def number(value: object) -> float | None:
    """Return a metric's value; None for no number. Tools spell NaN and infinities as text."""
    if isinstance(value, (bool, int, float)):
        return int(value) if isinstance(value, bool) else value
    return float(value) if isinstance(value, str) and value.strip().lower() in _WORDS else None


def points(rows: Iterable[tuple[str, object, float, float]]) -> list[MetricPoint]:
    """Return the points of rows (name, value, ms, step), without those whose value is no number."""
    return [
        MetricPoint(name, found, int(ms), int(step))
        for name, value, ms, step in rows
        if (found := number(value)) is not None
    ]


def typed(kind: str | None, text: Any) -> Any:
    """Return the value that a text stands for, by the type that the tool notes beside it."""
    types: dict[str | None, Callable[[str], Any]] = {"int": int, "float": float}
    types["bool"] = lambda text: text.lower() in ("true", "1")
    try:
        return types.get(kind, str)(text or "")
    except ValueError:
        return text


def status(exit_code: int | None) -> str:
    """Return how a run ended; None is the exit code of one that was killed."""
    return "killed" if exit_code is None else "failed" if exit_code else "finished"


def cut(path: Path, why: str | None) -> tuple[Unread, ...]:
    """Return what is to be said of a run whose file is not whole, nothing where it is."""
    return (Unread(str(path), why),) if why else ()


def seconds(text: str) -> float:
    """Return an ISO time in seconds since 1970; without a zone it is UTC."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def span(points: Sequence[MetricPoint], started: float) -> float | None:
    """Return the seconds from the start to the last point."""
    last = max((point.timestamp for point in points), default=0) / 1000
    return last - started if last > started else None


def nested(flat: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """Return params with dots in their names where the tool has another mark."""
    return {name.replace(mark, "."): value for name, value in flat.items()}


def mapping(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file; raises FormatError where it holds something else."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} is cut, or no JSON: {error}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{path.name} holds no JSON object")
    return value


def lines(path: Path, text: str) -> tuple[list[Any], tuple[Unread, ...]]:
    """Return the values of JSON Lines up to a torn one, and what is to be said of that."""
    values: list[Any] = []
    for at, line in enumerate(text.splitlines(), 1):
        try:
            values += [json.loads(line)] if line.strip() else []
        except (ValueError, RecursionError):
            return values, (Unread(str(path), f"read up to line {at}, which is cut or no JSON"),)
    return values, ()


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of a database, since reading writes files beside it; raises FormatError."""
    import shutil
    import sqlite3
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gitexp-") as folder:
        copy = Path(folder, path.name)
        shutil.copyfile(path, copy)
        journal = path.with_name(f"{path.name}-wal")
        if journal.exists():
            shutil.copyfile(journal, copy.with_name(journal.name))
        with closing(sqlite3.connect(copy)) as connection:
            try:
                yield connection
            except sqlite3.Error as error:
                raise FormatError(f"it is cut, or another database: {error}") from None
