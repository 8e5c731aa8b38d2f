"""What a sweep searches: for each param the values that it may take, as people write them and back.

lr=0.1,0.01          these values                    depth=range(2,8,2)    2, 4, 6, as Python's
range
wd=log(1e-5,1e-2)    anything between, in log scale  drop=uniform(0,0.5)   anything between
wd=log(1e-5,1e-2,4)  as before; a grid takes 4 points of it
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitexp.formats import params
from gitexp.formats.errors import UsageError, did_you_mean

Point = dict[str, Any]  # one value for each param, flat names
MAX_GRID = 100_000


@dataclass(frozen=True)
class Choices:
    """One of these values; of a ``range``, which are in order."""

    values: tuple[Any, ...] | range

    def grid(self) -> Sequence[Any]:
        return self.values

    def sample(self, rng: random.Random) -> Any:
        return rng.choice(self.values)

    def written(self) -> Any:
        return repr(self.values) if isinstance(self.values, range) else list(self.values)


@dataclass(frozen=True)
class Interval:
    """Any number from ``low`` to ``high``; ``points`` is how many of them a grid takes."""

    low: float
    high: float
    log: bool = False
    points: int | None = None

    def grid(self) -> Sequence[float] | None:
        if self.points is None:
            return None
        return tuple(self._at(at / max(1, self.points - 1)) for at in range(self.points))

    def sample(self, rng: random.Random) -> float:
        return self._at(rng.random())

    def written(self) -> str:
        count = "" if self.points is None else f",{self.points}"
        return f"{'log' if self.log else 'uniform'}({self.low!r},{self.high!r}{count})"

    def _at(self, part: float) -> float:
        """Return the number at a part of the way, with six digits: people read and type it."""
        if self.log:
            value = math.exp(math.log(self.low) + part * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + part * (self.high - self.low)
        return min(max(float(f"{value:.6g}"), self.low), self.high)


Form = Choices | Interval
Space = Mapping[str, Form]
_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)
_ARGUMENTS = {"range": (1, 3), "log": (2, 3), "uniform": (2, 3)}


def parse(assignments: Iterable[str]) -> dict[str, Form]:
    """Read ``lr=0.1,0.01`` and the like; raises UsageError."""
    found: dict[str, Form] = {}
    for text in assignments:
        name, sign, values = text.partition("=")
        name = name.strip()
        if not sign or not name:
            raise UsageError(
                f"'{text}' is not name=values; write for example -p lr=0.1,0.01 or -p"
                " 'depth=range(2,8,2)'"
            )
        if name in found:
            raise UsageError(
                f"param '{name}' is given twice; write all its values at once: -p {name}=A,B"
            )
        found[name] = _form(name, values)
    return _checked(found)


def from_mapping(values: Mapping[str, Any]) -> dict[str, Form]:
    """Read a space as Python and YAML write it: lists, Python's ``range``, or text like
    ``log(1e-5,1e-2)``; raises UsageError."""
    found: dict[str, Form] = {}
    for name, value in params.flatten(values).items():
        if isinstance(value, range):
            found[name] = _steps(name, [value.start, value.stop, value.step])
        elif isinstance(value, str):
            found[name] = _form(name, value) if _CALL.fullmatch(value) else Choices((value,))
        elif isinstance(value, (Choices, Interval)):
            found[name] = value
        else:
            value = params.listed_as_written(value) if hasattr(value, "tolist") else value
            value = params.plain(value) if isinstance(value, (set, frozenset)) else value
            several = isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping))
            found[name] = Choices(tuple(map(params.plain, value if several else [value])))
    return _checked(found)


def written(space: Space) -> dict[str, Any]:
    """Return what ``from_mapping`` reads, as plain values."""
    return {name: form.written() for name, form in space.items()}


def grid(space: Space) -> Iterator[Point]:
    """Yield every combination, the last param changing fastest; raises UsageError where a param has
    no finite number of values, or there are too many combinations."""
    columns = []
    for name, form in space.items():
        values = form.grid()
        if values is None:
            raise UsageError(
                f"a grid needs a number of points for '{name}': write {form.written()[:-1]},4), or"
                " search at random: --search random --trials 20"
            )
        columns.append(values)
    if math.prod(map(len, columns)) > MAX_GRID:
        raise UsageError(
            f"the grid has {math.prod(map(len, columns)):,} points, more than {MAX_GRID:,}; search"
            " at random: --search random --trials N"
        )
    return (dict(zip(space, values)) for values in itertools.product(*columns))


def at_random(space: Space, count: int, seed: int) -> Iterator[Point]:
    """Yield up to ``count`` different random points, the same ones for the same seed."""
    rng = random.Random(seed)
    if not any(isinstance(form, Interval) for form in space.values()):
        count = min(count, math.prod(len(form.grid() or ()) for form in space.values()))
    seen: set[str] = set()
    while len(seen) < count:
        point = {name: form.sample(rng) for name, form in space.items()}
        if repr(point) not in seen:
            seen.add(repr(point))
            yield point


def _form(name: str, text: str) -> Form:
    if call := _CALL.fullmatch(text):
        kind = call[1]
        if kind in _ARGUMENTS:
            arguments = [params.parse_value(item) for item in _split(name, call[2])]
            fewest, most = _ARGUMENTS[kind]
            numbers = all(type(item) in (int, float) and math.isfinite(item) for item in arguments)
            if not fewest <= len(arguments) <= most or not numbers:
                raise UsageError(
                    f"param '{name}': {kind}(...) takes {fewest} to {most} numbers, not '{call[2]}'"
                )
            return _steps(name, arguments) if kind == "range" else _interval(name, kind, arguments)
        if hint := did_you_mean(kind, _ARGUMENTS):
            raise UsageError(f"param '{name}': there is no {kind}(...).{hint}")
    return Choices(tuple(params.parse_value(item) for item in _split(name, text)))


def _steps(name: str, arguments: list[Any]) -> Choices:
    if any(type(item) is not int for item in arguments):
        raise UsageError(
            f"param '{name}': range(...) is for whole numbers; for others: uniform(0,1), or"
            " uniform(0,1,5) in a grid"
        )
    start, stop, step = ([0, *arguments, 1] if len(arguments) == 1 else [*arguments, 1])[:3]
    if step == 0 or not range(start, stop, step):
        raise UsageError(
            f"param '{name}': range({start},{stop},{step}) is empty; the end is not part of it, as"
            " in Python"
        )
    return Choices(range(start, stop, step))


def _interval(name: str, kind: str, arguments: list[Any]) -> Interval:
    low, high, points = [*arguments, None][:3]
    if not low < high:
        raise UsageError(
            f"param '{name}': {kind}({low},{high}) must go from a smaller to a larger number"
        )
    if kind == "log" and low <= 0:
        raise UsageError(f"param '{name}': log({low},{high}) must start above 0")
    if points is not None and (type(points) is not int or points < 2):
        raise UsageError(
            f"param '{name}': the number of points of {kind}(...) must be a whole number from 2,"
            f" not {points}"
        )
    return Interval(float(low), float(high), kind == "log", points)


def _split(name: str, text: str) -> list[str]:
    """Split at the commas that stand in no bracket and no quotes."""
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and not parts[-1].strip():
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in ")}]":
            depth -= 1
        if char == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += char
    values = [part.strip() for part in parts]
    if depth or quote or not all(values):
        raise UsageError(
            f"param '{name}': '{text}' has an empty value or an open bracket or quote; write for"
            f" example {name}=0.1,0.01"
        )
    return values


def _checked(space: dict[str, Form]) -> dict[str, Form]:
    if not space:
        raise UsageError(
            "there is nothing to search; give params with their values: -p lr=0.1,0.01"
        )
    params.nest((name, 0) for name in space)  # names that cannot stand beside each other
    for name, form in space.items():
        values = form.grid() if isinstance(form, Choices) else (0,)
        if not values:
            raise UsageError(f"param '{name}' has no values")
        if isinstance(values, tuple) and len({*map(repr, values)}) < len(values):
            raise UsageError(
                f"param '{name}' has the same value twice; to run each point several times:"
                " --repeat 2"
            )
    return space
