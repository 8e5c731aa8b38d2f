"""Experiments as columns: in blocks of some hundred, which the index keeps, and as lists of one
length.

Parsing 10,000 summaries takes ten times as long as reading them from blocks. So each column of a
block is a piece of bytes. Numbers lie eight bytes each, behind a letter for each that says what it
is, as ``struct`` has it. Of everything else the distinct values lie there, texts as lines and
others as JSON, behind a byte for each experiment that says which is its own. Nothing is lost on the
way: the columns are the same in whichever blocks the experiments lie. No spoilt byte can do more
here than raise an error.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from gitexp.formats.experiment import Experiment
from gitexp.store import notes

FACTS = (  # the first nine are those of gitexp.experiments()
    "id", "status", "started", "duration", "author", "branch", "group", "labels", "subject",
    "alias", "email", "notes", "because", "verdict", "command", "failure", "proof",
)  # fmt: skip
FAMILIES = ("params", "metrics")
_NUMBERS, _TEXTS, _OTHERS = "numbers", "texts", "others"  # the kinds of cells
_WHOLE, _FLOAT, _NONE = "q", "d", "x"  # letters of numbers: as struct has them, or none
_MISSING = 255
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Cell(NamedTuple):
    """One column of a block."""

    family: str
    name: str
    kind: str
    data: bytes


def pack(rows: Sequence[tuple[int, Experiment]]) -> bytes:
    """Return a block: the columns of up to 255 experiments (a byte says which of their values),
    which lie in the order of their numbers.

    It is a line of JSON that says which they are and how long, and then their bytes.
    """
    found: dict[tuple[str, str], dict[int, Any]] = {("", name): {} for name in ("number", *FACTS)}
    for at in reversed(range(len(rows))):  # the newest say first which columns there are
        number, experiment = rows[at]
        found["", "number"][at] = number
        for name in FACTS:
            if (value := _fact(experiment, name)) is not None:
                found["", name][at] = value
        for family in FAMILIES:
            for name, value in getattr(experiment, family).items():
                found.setdefault((family, name), {})[at] = value
    cells = [_packed(family, name, values, len(rows)) for (family, name), values in found.items()]
    head = [[cell.family, cell.name, cell.kind, len(cell.data)] for cell in cells]
    return b"\n".join([_encode(head).encode(), b"".join(cell.data for cell in cells)])


def unpack(
    blocks: dict[int, bytes], wanted: Sequence[int], facts: Collection[str] = FACTS
) -> dict[str, Sequence[Any]]:
    """Return the columns of the experiments that have the ``wanted`` numbers, an element for each.

    Args:
        blocks: all that hold one of them, by ``number // index_schema.SIZE``; emptied on the way.
        facts: those of ``FACTS`` that are wanted.

    Returns:
        ``facts``, then ``params.NAME`` and ``metrics.NAME`` in the order in which they first
        appear: lists, or arrays of numbers of one kind. None is where there is none. ``started`` is
        in milliseconds.

    Raises:
        ValueError, TypeError, LookupError: a block is spoilt, or does not hold what it should.
    """
    if not wanted:
        return {name: [] for name in facts}
    cells = [
        {(cell.family, cell.name): cell for cell in _cells(blocks.pop(at), {"number", *facts})}
        for at in sorted(blocks)
    ]
    sizes = [len(known["", "number"].data) // 9 for known in cells]
    numbers = _column([known.pop(("", "number")) for known in cells], sizes)
    newest_first = [*wanted] == [*reversed(numbers)]  # as a whole table lies
    if not newest_first:
        place = {number: at for at, number in enumerate(numbers)}
        if not place.keys() >= {*wanted}:
            raise ValueError("the blocks of the index do not hold what they should")
        choose = itemgetter(*(place[number] for number in wanted), 0)  # of one it gives no tuple
    found: dict[str, Sequence[Any]] = {}
    order = {}
    for family, name in dict.fromkeys(
        [*(("", name) for name in facts), *chain.from_iterable(reversed(cells))]
    ):
        pieces = [known.pop((family, name), None) for known in cells]
        column = _column(pieces, sizes)
        column = column[::-1] if newest_first else [*choose(column)[:-1]]
        first = next((at for at, value in enumerate(column) if value is not ...), None)
        if family and first is None:
            continue
        if any(map(_has_gaps, pieces, sizes)):
            column = [None if value is ... else value for value in column]
        full = f"{family}.{name}" if family else name
        found[full] = column
        order[full] = ("", *FAMILIES).index(family), first if family else 0
    for name in {"labels", "notes"} & found.keys():
        found[name] = [*map(tuple, found[name])]
    return {name: found[name] for name in sorted(found, key=order.__getitem__)}


def _cells(block: bytes, facts: Collection[str]) -> Iterator[Cell]:
    """Yield the columns of a block, of its facts those that are wanted."""
    head, _, data = block.partition(b"\n")
    start = 0
    for family, name, kind, length in json.loads(head):
        if family or name in facts:
            yield Cell(family, name, kind, data[start : start + length])
        start += length
    if start != len(data):
        raise ValueError("a block of the index is torn")


def _fact(experiment: Experiment, name: str) -> Any:
    """Return what an experiment is, in a form that JSON has; None where it is not known."""
    if name == "started":
        return round(experiment.started.timestamp() * 1000)
    if name == "proof":
        return notes.verdict(experiment.extra.get("events", ()))
    return getattr(experiment, name)


def _packed(family: str, name: str, values: dict[int, Any], size: int) -> Cell:
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


def _column(cells: Sequence[Cell | None], sizes: Sequence[int]) -> Sequence[Any]:
    """Return the values of blocks, ``...`` where an experiment has none; an array where all are
    whole numbers, or all floats."""
    for letter in (_WHOLE, _FLOAT):
        if all(_is_plain(cell, size, letter) for cell, size in zip(cells, sizes)):
            whole = b"".join(cell.data[size:] for cell, size in zip(cells, sizes) if cell)
            column = array(letter, whole)
            if sys.byteorder == "big":
                column.byteswap()
            return column
    return [*chain.from_iterable(map(_values, cells, sizes))]


def _is_plain(cell: Cell | None, size: int, letter: str) -> bool:
    """Whether a piece of a column is numbers of one kind, without gaps."""
    if cell is None or cell.kind != _NUMBERS or len(cell.data) != 9 * size:
        return False
    return cell.data.startswith(letter.encode() * size)


def _has_gaps(cell: Cell | None, size: int) -> bool:
    return not cell or (_NONE.encode() if cell.kind == _NUMBERS else b"\xff") in cell.data[:size]


def _values(cell: Cell | None, size: int) -> Sequence[Any]:
    if cell is None:
        return [...] * size
    if cell.kind == _NUMBERS:
        letters = cell.data[:size].decode()
        if len(cell.data) != 9 * size or not {*letters} <= {_WHOLE, _FLOAT, _NONE}:
            raise ValueError("a block of the index is torn")
        values = struct.unpack("<" + letters.replace(_NONE, _WHOLE), cell.data[size:])
        if _NONE not in letters:
            return values
        return [... if letter == _NONE else one for letter, one in zip(letters, values)]
    codes, text = cell.data[:size], cell.data[size:].decode()
    distinct = text.split("\n") if cell.kind == _TEXTS else json.loads(text)
    if len(codes) != size or type(distinct) is not list:
        raise ValueError("a block of the index is torn")
    known = {**dict(enumerate(distinct)), _MISSING: ...}
    return [*map(known.__getitem__, codes)]


def _kind(value: Any) -> str:
    """Return how ``struct`` writes a number, empty for what is not a plain number."""
    if type(value) is int:
        return _WHOLE if -(2**63) <= value < 2**63 else ""
    return _FLOAT if type(value) is float else ""
