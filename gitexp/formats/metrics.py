"""``metrics.csv``: one row for each logged value, in the format of DagsHub's client.

Source of the format: ``dagshub.logger.DAGsHubLogger`` (dagshub 0.7). The header ends with LF; rows
are written by ``csv.writer(quoting=QUOTE_NONNUMERIC)``, so they end with CRLF, text is quoted and
numbers are not. We write the same bytes, and read whatever the csv module can read. Everything
streams: a file of a million rows is never held as objects.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from gitexp.formats.errors import FormatError, UsageError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.metric_names import better_by_name

HEADER = b"Name,Value,Timestamp,Step\n"
COLUMNS = ("name", "value", "timestamp", "step")
END_OF_TIME = 253_402_300_800_000  # the year 10000, in ms; nobody's clock shows it
_CHUNK = 2**20  # bytes
_MARKS = b'"",,,\r\n'  # what a row of ours has beside its name and numbers
_NO_MARKS = bytes({*range(256)} - {*_MARKS})
_MOST_BITS, _MOST_DIGITS = 1_023, 300  # of a whole number; a larger one is a double
_NUMBER = r"(?i)[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|[-+]?\.?(?:nan|inf|infinity)"


def double(value: float) -> float:
    """Return a metric's value as a double; an int that is too large for one is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def number(name: str, value: Any) -> float:
    """Return a metric's value as an int or float, NaN and infinities too; NumPy, torch and JAX
    scalars are taken through ``.item()``. Raises UsageError for all that is not one real number."""
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]
    if isinstance(value, int):  # Python writes none of more than 4,300 digits
        return int(value) if value.bit_length() <= _MOST_BITS else double(value)
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        try:
            return number(name, value.item())
        except (ValueError, RuntimeError, TypeError):
            form = f"an array of shape {tuple(getattr(value, 'shape', ''))}"
            raise UsageError(f"metric '{name}' must be one number, not {form}") from None
    if not isinstance(value, (str, bytes, complex)) and hasattr(value, "__float__"):
        return float(value)
    raise UsageError(f"metric '{name}' must be a number, not {_described(value)}")


def parse_number(name: str, text: str) -> float:
    """Return the number that ``text`` spells; raise UsageError that names the metric."""
    cleaned = text.strip()
    if not re.fullmatch(_NUMBER, cleaned):
        raise UsageError(f"metric '{name}' must be a number, not '{text}'")
    if cleaned.lstrip("+-").isdigit() and len(cleaned) <= _MOST_DIGITS:
        return int(cleaned)
    return float(re.sub(r"\.(?=[nNiI])", "", cleaned))


def check_name(name: Any) -> str:
    """Return a metric's name, stripped; raises UsageError if it is no text on one line."""
    if not isinstance(name, str):
        raise UsageError(f"a metric's name must be text, not {_described(name)}")
    if not name.strip() or "\n" in name or "\r" in name or "\0" in name:
        raise UsageError(f"{name!r} cannot be a metric's name; use text on one line")
    return name.strip().encode("utf-8", "replace").decode()  # the system's own text may be no UTF-8


def format_row(name: str, value: float, timestamp: int, step: int) -> str:
    """Return one row, the bytes that DagsHub's client would write for the same values."""
    quoted = name.replace('"', '""') if '"' in name else name
    return f'"{quoted}",{value!r},{timestamp},{step}\r\n'


def gather(points: Iterable[MetricPoint]) -> tuple[bytes, dict[str, float]]:
    """Return a whole ``metrics.csv`` and the last value of each metric."""
    file = io.BytesIO()
    last = write(file, points)
    return file.getvalue(), last


def write(file: BinaryIO, points: Iterable[MetricPoint]) -> dict[str, float]:
    """Write a whole ``metrics.csv``, holding no points; returns each metric's last value."""
    file.write(HEADER)

    def written() -> Iterator[MetricPoint]:
        for point in points:
            file.write(format_row(*point).encode())
            yield point

    return last_values(written())


def read(
    stream: BinaryIO, where: str = "metrics.csv", warnings: list[str] | None = None
) -> Iterator[MetricPoint]:
    """Yield the points of a ``metrics.csv``, whoever wrote it.

    The columns are found by their names, in any order and case; Timestamp and Step may be missing
    (0). Spreadsheets put semicolons or tabs between them, and commas into numbers. Times may be in
    ms or seconds since the epoch or ISO 8601; steps that are no whole numbers become the places of
    their rows. A torn last row, which a killed process leaves, is dropped; so is a row whose value
    is no number. Both are told in ``warnings``.

    Raises:
        FormatError: there is no header with the columns Name and Value, or the text is not UTF-8.
    """
    import csv

    said = warnings if warnings is not None else []
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        lines = _whole_lines(text, said, where)
        first = next(lines, "")
        mark = next((mark for mark in ",;\t" if {*COLUMNS[:2]} <= {*_cells(first, mark)}), ",")
        header = _cells(first, mark)
        if not header:
            return
        if not {*COLUMNS[:2]} <= {*header}:
            raise FormatError(f"{where} has no header 'Name,Value,Timestamp,Step'")
        at = [header.index(column) if column in header else -1 for column in COLUMNS]
        odd: list[str] = []
        steps = _Steps()
        for row in csv.reader(lines, delimiter=mark):
            if mark != ",":  # a comma is a decimal point there
                row = [row[0], *(cell.replace(",", ".") for cell in row[1:])] if row else row
            try:
                called = row[at[0]]
                number = parse_cell(row[at[1]])
                timestamp = milliseconds(row[at[2]]) if at[2] >= 0 else 0
                step = steps.whole(called, row[at[3]]) if at[3] >= 0 else 0
                yield MetricPoint(called, number, timestamp, step)
            except (IndexError, ValueError, OverflowError):
                odd += [mark.join(row)] if row else []
        if odd:
            rows = f"{len(odd)} row{'s' if len(odd) > 1 else ''} without a readable number left out"
            said.append(f"{where}: {rows}, the first: {odd[0][:80]}")
        if steps.fractional:
            said.append(f"{where}: steps like {steps.fractional} are no whole numbers; counted")
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{where} cannot be read as CSV: {error}") from None
    finally:
        text.detach()


class _Steps:
    """The steps of a file; where one is no whole number (``fractional`` is the first such, as it
    stands there), the rows of its metric are counted."""

    def __init__(self) -> None:
        self.fractional = ""
        self._next: dict[str, int] = {}

    def whole(self, name: str, text: str) -> int:
        """Return the step of a row."""
        value = parse_cell(text or "0")  # exact, also beyond 2**53
        if value != int(value):
            self.fractional = self.fractional or text
            self._next.setdefault(name, 0)
        if name not in self._next:
            return int(value)
        self._next[name] += 1
        return self._next[name] - 1


def milliseconds(text: str) -> int:
    """Return a time, a number of ms or seconds or ISO 8601, as ms since 1970; 0 for none."""
    from datetime import datetime

    try:
        value = float(text or 0)
    except ValueError:
        with suppress(ValueError):
            moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
            return int(moment.timestamp() * 1000)
        return 0
    ms = int(value * 1000 if 10**8 <= value < 10**11 else value)
    return ms if 0 <= ms < END_OF_TIME else 0


def _cells(line: str, mark: str) -> list[str]:
    import csv

    return [cell.strip().lower() for cell in next(csv.reader([line], delimiter=mark), [])]


def last_values(points: Iterable[MetricPoint]) -> dict[str, float]:
    """Return each metric's value at its highest step; of equal steps, the later row's."""
    values: dict[str, float] = {}
    steps: dict[str, int] = {}
    for name, value, _timestamp, step in points:
        if step >= steps.get(name, step):
            values[name] = value
            steps[name] = step
    return values


def last_in(path: Path) -> dict[str, float]:
    """Return the last value of each metric in a file; raises FileNotFoundError."""
    with open(path, "rb") as file:
        return last_of(file)


def last_of(file: BinaryIO, where: str = "metrics.csv") -> dict[str, float]:
    """Return each metric's last value in a file, our own rows fast; raises FormatError."""
    last: dict[bytes, tuple[int, bytes]] = {}
    plain = file.readline() == HEADER
    with suppress(ValueError, OverflowError):
        while plain and (rows := file.read(_CHUNK) + file.readline()):
            names, values, _, steps = columns(rows)
            ats = [*map(int, steps)]
            pairs = zip(names, zip(ats, values))
            # mostly the steps rise, and of each name the last row is the newest
            for name, at in dict(pairs).items() if ats == sorted(ats) else pairs:
                if name not in last or at[0] >= last[name][0]:
                    last[name] = at
        if plain:
            return {
                name[1:-1].decode(): parse_cell(value.decode()) for name, (_, value) in last.items()
            }
    file.seek(0)
    return last_values(read(file, where))


def columns(rows: bytes) -> tuple[Sequence[bytes], ...]:
    """Return the four columns of rows, names in their quotes; raises ValueError for rows that are
    not as ``format_row`` writes them, of names without quotes and commas."""
    marks = rows.translate(None, _NO_MARKS)
    *cells, torn = rows.replace(b"\r\n", b",").split(b",")
    found = cells[0::4], cells[1::4], cells[2::4], cells[3::4]
    # each name stands alone between quotes at the start of its row
    if (
        torn
        or marks != _MARKS * (len(marks) // len(_MARKS))
        or any(name[:1] != b'"' or name[-1:] != b'"' for name in {*found[0]})
        or not (b"".join(found[2]) or b"0").isdigit()
    ):
        raise ValueError("not as gitexp writes them")
    return found


def check_mapping(values: object) -> None:
    """Raise UsageError for what is no mapping of metrics."""
    if not hasattr(values, "items"):
        kind = type(values).__name__
        raise UsageError(f"metrics must be a mapping like {{'loss': 0.3}}, not {kind}")


def from_mapping(values: Mapping[str, Any], timestamp: int) -> list[MetricPoint]:
    """Return the points of ``{"rmse": 18.2, "loss": [0.9, 0.5], "acc": {10: 0.5}}``; steps of a
    list are from 0."""
    check_mapping(values)
    return [
        MetricPoint(check_name(name), number(name, item), timestamp, at)
        for name, value in values.items()
        for at, item in _series(value)
    ]


def _series(value: Any) -> Iterable[tuple[int, Any]]:
    if isinstance(value, Mapping) and value and all(type(step) is int for step in value):
        return value.items()
    return enumerate(value if isinstance(value, (list, tuple)) else [value])


def parse_cell(text: str) -> float:
    """Return the number in a cell of anybody's file; raises ValueError or OverflowError."""
    try:
        return within(int(text))
    except ValueError:
        if text.strip() in ("True", "False"):  # DagsHub's client writes booleans as they are
            return int(text.strip() == "True")
        return float(text.strip().lstrip(".") if text.strip().lower() in (".nan", ".inf") else text)


def within(number: float) -> float:
    """Return a number as SQLite holds it, large whole ones as floats; raises OverflowError."""
    if isinstance(number, bool):
        return int(number)
    return number if isinstance(number, float) or -(2**63) <= number < 2**63 else float(number)


def _whole_lines(text: Iterable[str], said: list[str], where: str) -> Iterator[str]:
    """Yield the lines, but for a torn last one: without its end, and with fewer columns."""
    columns = None
    for line in text:
        if columns is None:
            columns = min(3, max(map(line.count, ",;\t")))
        if not line.endswith(("\n", "\r")) and max(map(line.count, ",;\t")) < columns:
            said.append(f"{where}: the last row is torn and was left out")
            return
        yield line


def _described(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {value!r}"
    return "None" if value is None else f"{type(value).__name__} {value!r}"[:80]


def is_better(direction: str, new: float, old: float) -> bool | None:
    """Return whether ``new`` beats ``old`` (min or max is better); None on a tie or NaN."""
    if math.isnan(new) or math.isnan(old) or new == old:
        return None
    return (new < old) == (direction == "min")


def direction(name: str, settings: Mapping[str, str]) -> str | None:
    """Return ``min`` or ``max``, what is better of a metric, by settings or name; else None."""
    return settings.get(name) or better_by_name(name)
