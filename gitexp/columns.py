"""Experiments as columns: how the index packs the values of one, and how those of many become columns of a DataFrame.

Parsing 10,000 summaries as JSON takes three times as long as pandas takes to read the whole table from a file. So the
index also keeps each experiment's numbers as eight bytes each, with a ``shape`` that says whose numbers they are; all
experiments of one shape (those of one script, as a rule) are then one block of memory, which NumPy takes as it is. What is
no plain number stays JSON. No spoilt byte can do more here than raise ValueError.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

FACTS = ("status", "branch", "group")  # the texts that come first in each row
FAMILIES = ("params", "metrics")
_NAN = math.nan
_DTYPES = {"d": "<f8", "q": "<i8"}  # by the letters of struct
_Piece = tuple[Sequence[int], Any]  # the places of some experiments, and their values: an array, or a tuple
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Packed(NamedTuple):
    """One experiment's row: ``shape`` is JSON, ``numbers`` the duration and then its numbers, ``rest`` all else as JSON."""

    shape: str
    numbers: bytes
    rest: str


class Packer:
    """Packs summaries; remembers the shapes that it met."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[str, struct.Struct, list[int], list[int]]] = {}

    def pack(self, summary: Mapping[str, Any]) -> Packed:
        """Return what the index keeps of a summary whose types ``message.parse_tag`` has checked."""
        params, metrics = summary.get("params", {}), summary.get("metrics", {})
        values = [*params.values()]
        given = (*params, 0, *metrics, 0, *map(type, values))
        shape, layout, plain, others = self._known.get(given) or self._new(given, params, metrics, [*map(_kind, values)])
        duration, series = summary.get("duration"), metrics.values()
        try:
            numbers = layout.pack(
                _NAN if duration is None else duration,
                *[values[at] for at in plain],
                *[_NAN if value is None else value for value in series],
            )
        except (struct.error, OverflowError):  # a whole number of more than 64 bits
            kinds = [*map(_kind, values)]
            shape, layout, plain, others = self._new((given, *kinds), params, metrics, kinds)
            numbers = layout.pack(_double(duration), *[values[at] for at in plain], *map(_double, series))
        rest = _encode([summary["status"], summary.get("branch"), summary.get("group"), *[values[at] for at in others]])
        return Packed(shape, numbers, rest)

    def _new(
        self, given: Any, params: Iterable[str], metrics: Iterable[str], kinds: Sequence[str]
    ) -> tuple[str, struct.Struct, list[int], list[int]]:
        plain = [at for at, kind in enumerate(kinds) if kind]
        others = [at for at, kind in enumerate(kinds) if not kind]
        shape = _encode([dict(zip(params, kinds)), [*metrics]])
        layout = struct.Struct("<d" + "".join(kinds) + "d" * len([*metrics]))
        self._known[given] = found = (shape, layout, plain, others)
        return found


def names_of(shape: str) -> dict[str, list[str]]:
    """Return the names that the experiments of a shape have, by family."""
    params, metrics = json.loads(shape)
    return {"params": [*params], "metrics": metrics}


def unpack(shapes: Sequence[int], numbers: Sequence[bytes], rest: Sequence[str], known: Mapping[int, str]) -> dict[str, Any]:
    """Return columns of packed experiments: ``FACTS``, ``duration``, then ``params.NAME`` and ``metrics.NAME``.

    Args:
        shapes, numbers, rest: what was packed, one element for each experiment; ``known`` has the shapes by their numbers.

    Returns:
        Arrays of numbers (NaN where there is none) or lists (None where there is none), one element for each experiment; the
        names in the order in which they first appear.

    Raises:
        ValueError: an experiment is not what its shape says.
    """
    import numpy as np

    groups: dict[int, list[int]] = {}
    for place, number in enumerate(shapes):
        groups.setdefault(number, []).append(place)
    pieces: dict[tuple[str, str], list[_Piece]] = {("", name): [] for name in (*FACTS, "duration")}
    for number, places in groups.items():
        block = _block(known[number], [numbers[at] for at in places], [rest[at] for at in places], np)
        for name, values in block.items():
            pieces.setdefault(name, []).append((places, values))
    ordered = [key for family in ("", *FAMILIES) for key in pieces if key[0] == family]
    return {".".join(filter(None, key)): _whole(pieces[key], len(shapes), np) for key in ordered}


def _block(shape: str, numbers: Sequence[bytes], rest: Sequence[str], np: Any) -> dict[tuple[str, str], Any]:
    """Return the columns of experiments of one shape, ``{(family, name): array or tuple}``."""
    params, metrics = json.loads(shape)
    kinds = ["d", *filter(None, params.values()), *("d" for _ in metrics)]
    block = np.frombuffer(b"".join(numbers), [(str(at), _DTYPES[kind]) for at, kind in enumerate(kinds)])
    once = dict.fromkeys(rest)  # most of them are the same
    parsed = dict(zip(once, json.loads(f"[{','.join(once)}]")))
    texts = [*zip(*map(parsed.__getitem__, rest))]
    if len(block) != len(numbers) or len(texts) != len(FACTS) + list(params.values()).count(""):
        raise ValueError("an experiment in the index is not what its shape says")
    plain, others = (block[str(at)] for at in range(len(kinds))), iter(texts)
    found = {("", name): next(others) for name in FACTS}
    found["", "duration"] = next(plain)
    found |= {("params", name): next(plain if kind else others) for name, kind in params.items()}
    return found | {("metrics", name): next(plain) for name in metrics}


def _whole(pieces: Sequence[_Piece], count: int, np: Any) -> Any:
    """Put the pieces of one column together."""
    if len(pieces) == 1 and len(pieces[0][0]) == count:
        return pieces[0][1]
    if any(isinstance(values, tuple) for _, values in pieces):
        listed: list[Any] = [None] * count
        for places, values in pieces:
            for at, value in zip(places, values if isinstance(values, tuple) else values.tolist()):
                listed[at] = value
        return listed
    whole = sum(len(places) for places, _ in pieces) == count and all(values.dtype.kind == "i" for _, values in pieces)
    array = np.zeros(count, "i8") if whole and pieces else np.full(count, np.nan)
    for places, values in pieces:
        array[places] = values
    return array


def _kind(value: Any) -> str:
    """Return how ``struct`` writes a param's value, empty for what is no plain number."""
    if type(value) is int:
        return "q" if -(2**63) <= value < 2**63 else ""
    return "d" if type(value) is float else ""


def _double(value: float | None) -> float:
    """Return the nearest float, NaN for None; a whole number beyond all floats is infinite."""
    try:
        return _NAN if value is None else float(value)
    except OverflowError:
        return math.inf if value and value > 0 else -math.inf
