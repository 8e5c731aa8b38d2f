"""Experiments as columns: in blocks of some hundred, which the index keeps, and as the columns of a
DataFrame.

Parsing 10,000 summaries takes ten times as long as pandas takes to read the whole table from a
file. So each column of a block is a piece of bytes. Numbers lie as NumPy takes them, eight bytes
each, behind a letter for each that says what it is. Of everything else the distinct values lie
there, texts as lines and others as JSON, behind a byte for each experiment that says which is its
own: so pandas has few values to look at. Nothing is lost on the way: the columns are the same in
whichever blocks the experiments lie. No spoilt byte can do more here than raise an error.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FACTS = ("id", "status", "started", "duration", "author", "branch", "group", "labels", "subject")
FAMILIES = ("params", "metrics")
_NUMBERS, _TEXTS, _OTHERS = "numbers", "texts", "others"  # the kinds of cells
# the letters of numbers: as struct has them, or there is none
_WHOLE, _FLOAT, _NONE = "q", "d", "x"
_WIDTH = 9  # bytes for each number
_MISSING = 255
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Row(NamedTuple):
    """What a block is made of: an experiment's row in the index. ``labels`` and ``summary`` are
    JSON."""

    number: int
    id: str
    author: str
    subject: str
    labels: str
    summary: str


class Cell(NamedTuple):
    """One column of a block."""

    family: str
    name: str
    kind: str
    data: bytes


class Coded(NamedTuple):
    """A column whose values may repeat: an experiment's is ``values[code]``."""

    values: list[Any]
    codes: Array


_Piece = tuple["Cell | None", int]  # a block's cell of one column, if it has one, and its size


def pack(rows: Sequence[Row]) -> bytes:
    """Return a block: the columns of up to 256 experiments (a byte says which of their values),
    which lie in the order of their numbers.

    It is a line of JSON that says which they are and how long, and then their bytes.
    """
    found: dict[tuple[str, str], dict[int, Any]] = {("", name): {} for name in ("number", *FACTS)}
    summaries = json.loads(f"[{','.join(row.summary for row in rows)}]")
    labels = json.loads(f"[{','.join(row.labels for row in rows)}]")
    for at in reversed(range(len(rows))):  # the newest say first which columns there are
        (number, commit, author, subject, _, _), summary = rows[at], summaries[at]
        known = {
            "number": number,
            "id": commit,
            "author": author,
            "subject": subject,
            "labels": labels[at],
        }
        facts = {**summary, **known, "started": _milliseconds(summary["started"])}
        for name in ("number", *FACTS):
            found["", name][at] = facts.get(name)
        for family in FAMILIES:
            for name, value in summary.get(family, {}).items():
                found.setdefault((family, name), {})[at] = value
    cells = [_packed(family, name, values, len(rows)) for (family, name), values in found.items()]
    head = [[cell.family, cell.name, cell.kind, len(cell.data)] for cell in cells]
    return b"\n".join([_encode(head).encode(), b"".join(cell.data for cell in cells)])


def unpack(blocks: Mapping[int, bytes], wanted: Sequence[int]) -> dict[str, Array | Coded]:
    """Return the columns of the experiments that have the ``wanted`` numbers, an element for each.

    Args:
        blocks: all that hold one of them, by ``number // tables.SIZE``.

    Returns:
        ``FACTS``, then ``params.NAME`` and ``metrics.NAME`` in the order in which they first
            appear. Numbers are arrays, NaN
        where there is none; of others, None is where there is none. ``started`` is in milliseconds.

    Raises:
        ValueError, TypeError, LookupError: a block is spoilt, or does not hold what it should.
    """
    import numpy as np

    if not wanted:
        return dict.fromkeys(FACTS, np.zeros(0))
    cells = [
        {(cell.family, cell.name): cell for cell in _cells(blocks[at])} for at in sorted(blocks)
    ]
    sizes = [len(known["", "number"].data) // _WIDTH for known in cells]
    numbers = _numbers([(known.pop(("", "number")), size) for known, size in zip(cells, sizes)])[1]
    asked = np.array(wanted, numbers.dtype)
    places = np.searchsorted(numbers, asked)
    if not np.array_equal(numbers.take(places, mode="clip"), asked):
        raise ValueError("the blocks of the index do not hold what they should")
    every = len({*wanted}) == len(numbers)
    found: dict[str, Any] = {}
    order = {}
    column: Any
    for family, name in dict.fromkeys(
        [*(("", name) for name in FACTS), *chain.from_iterable(reversed(cells))]
    ):
        pieces = [(known.get((family, name)), size) for known, size in zip(cells, sizes)]
        numeric = {cell.kind for cell, _ in pieces if cell} == {_NUMBERS}
        column, there = _array(pieces, places) if numeric else _coded(pieces, places, every)
        if not family or there.any():
            full = f"{family}.{name}" if family else name
            found[full] = (
                Coded([*map(tuple, column.values)], column.codes) if full == "labels" else column
            )
            order[full] = ("", *FAMILIES).index(family), int(there.argmax()) if family else 0
    return {name: found[name] for name in sorted(found, key=order.__getitem__)}


def _cells(block: bytes) -> Iterator[Cell]:
    """Yield the columns of a block."""
    head, _, data = block.partition(b"\n")
    start = 0
    for family, name, kind, length in json.loads(head):
        yield Cell(family, name, kind, data[start : start + length])
        start += length
    if start != len(data):
        raise ValueError("a block of the index is torn")


def _packed(family: str, name: str, values: dict[int, Any], size: int) -> Cell:
    if family == "metrics" or (family, name) == ("", "duration"):
        values = {at: _double(value) for at, value in values.items()}
    kinds = {at: _kind(value) for at, value in values.items()}
    if all(kinds.values()):
        letters = "".join(kinds.get(at, _NONE) for at in range(size))
        numbers = struct.pack(
            "<" + letters.replace(_NONE, _WHOLE), *(values.get(at, 0) for at in range(size))
        )
        return Cell(family, name, _NUMBERS, letters.encode() + numbers)
    are_lines = all(type(value) is str and "\n" not in value for value in values.values())
    texts = values if are_lines else {at: _encode(value) for at, value in values.items()}
    distinct = {text: code for code, text in enumerate(dict.fromkeys(texts.values()))}
    codes = bytes(distinct[texts[at]] if at in texts else _MISSING for at in range(size))
    whole = "\n".join(distinct) if are_lines else f"[{','.join(distinct)}]"
    return Cell(family, name, _TEXTS if are_lines else _OTHERS, codes + whole.encode())


def _array(pieces: Sequence[_Piece], places: Array) -> tuple[Array, Array]:
    """Return a column of numbers, and where it has one."""
    import numpy as np

    letters, whole, floats = (array[places] for array in _numbers(pieces))
    there = letters != ord(_NONE)
    if len(places) and (letters == ord(_WHOLE)).all():
        return whole, there
    floats = np.where(letters == ord(_WHOLE), whole, floats)
    floats[~there] = np.nan
    return floats, there


def _numbers(pieces: Sequence[_Piece]) -> tuple[Array, Array, Array]:
    """Return the letters of all, and their bytes as whole numbers and as floats."""
    import numpy as np

    if any(cell and len(cell.data) != _WIDTH * size for cell, size in pieces):
        raise ValueError("a block of the index is torn")
    letters = b"".join(cell.data[:size] if cell else _NONE.encode() * size for cell, size in pieces)
    numbers = b"".join(cell.data[size:] if cell else bytes(8 * size) for cell, size in pieces)
    return (
        np.frombuffer(letters, "u1"),
        np.frombuffer(numbers, "<i8"),
        np.frombuffer(numbers, "<f8"),
    )


def _coded(pieces: Sequence[_Piece], places: Array, every: bool) -> tuple[Coded, Array]:
    """Return a column of anything, and where it has something; ``every`` says that all experiments
    of the blocks are wanted."""
    import numpy as np

    sizes = [size for _, size in pieces]
    marks, parts = zip(*(_values(cell, size) for cell, size in pieces))
    mark = np.frombuffer(b"".join(marks), "u1").astype(int)
    ends = np.cumsum([*map(len, parts)])
    codes = np.where(mark == _MISSING, -1, mark + np.repeat(ends - [*map(len, parts)], sizes))
    if (codes >= np.repeat(ends, sizes)).any() or not {*map(type, parts)} <= {list}:
        raise ValueError("a block of the index is torn")
    codes, values = codes[places], [*chain.from_iterable(parts)]
    if not every:  # what the others have must not decide of which type the column is
        used, codes = np.unique(codes, return_inverse=True)
        values = [values[at] for at in used if at >= 0]
        codes = codes - (len(used) - len(values))
    there = codes >= 0
    return Coded(values if there.all() else [*values, None], codes), there  # -1 is the last


def _values(cell: Cell | None, size: int) -> tuple[bytes, list[Any]]:
    """Return which value each experiment has, and the values."""
    if cell is None:
        return bytes([_MISSING]) * size, []
    if cell.kind == _NUMBERS:  # where others are among them in another block
        letters, whole, floats = (array.tolist() for array in _numbers([(cell, size)]))
        values = [
            one if letter == ord(_WHOLE) else other
            for letter, one, other in zip(letters, whole, floats)
        ]
        return bytes(
            _MISSING if letter == ord(_NONE) else at for at, letter in enumerate(letters)
        ), values
    text = cell.data[size:].decode()
    return cell.data[:size], text.split("\n") if cell.kind == _TEXTS else json.loads(text)


def _kind(value: Any) -> str:
    """Return how ``struct`` writes a number, empty for what is not a plain number."""
    if type(value) is int:
        return _WHOLE if -(2**63) <= value < 2**63 else ""
    return _FLOAT if type(value) is float else ""


def _double(value: float | None) -> float:
    """Return the nearest float, NaN for None; a whole number beyond all floats is infinite."""
    try:
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.inf if value and value > 0 else -math.inf


def _milliseconds(text: str) -> int:
    """Return a time of a summary as milliseconds since 1970."""
    return round(datetime.fromisoformat(f"{text[:-1]}+00:00").timestamp() * 1000)
