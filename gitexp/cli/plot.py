"""Curves in a terminal: a plot in braille dots, two by four to a character, and a line of blocks;
small enough to need no library, and they work over ssh."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby, starmap
from operator import itemgetter
from string import ascii_letters

# Unicode, "Braille Patterns": bit by column and row
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BARS = "▁▂▃▄▅▆▇█"
Point = tuple[float, float]


def thinned(points: Iterable[Point], keep: int = 2_000) -> list[Point]:
    """Return some thousands of the points, whatever their number: the first, the last, and the
    extremes of equal stretches."""
    kept: list[Point] = []
    stretch: list[Point] = []
    ends: list[Point] = []
    length = 2
    gaps: list[Point] = []
    for point in points:
        ends[1:] = [point]
        if not math.isfinite(point[1]):
            gaps = [*gaps, point] if len(gaps) < keep else gaps
            continue
        stretch.append(point)
        if len(stretch) == length:
            kept += _extremes(stretch)
            stretch = []
        if len(kept) >= 2 * keep:
            kept = [
                extreme for at in range(0, len(kept), 4) for extreme in _extremes(kept[at : at + 4])
            ]
            length *= 2
    return sorted({*ends, *kept, *stretch, *gaps}, key=itemgetter(0))


def lines(
    curves: Mapping[str, Sequence[Point]], columns: int, rows: int
) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Yield for each line of the plot the label of its y axis, and its characters with the name of
    the curve that each is of.

    Points that are no finite numbers are gaps.
    """
    whole = {
        name: [
            [*stretch]
            for finite, stretch in groupby(points, lambda point: all(map(math.isfinite, point)))
            if finite
        ]
        for name, points in curves.items()
    }
    xs, ys = (
        [point[axis] for parts in whole.values() for part in parts for point in part] or [0.0]
        for axis in (0, 1)
    )
    (left, right), (low, high) = (min(xs), max(xs)), (min(ys), max(ys))

    def dot(x: float, y: float) -> tuple[int, int]:
        return _scaled(x, left, right, columns * 2), _scaled(y, low, high, rows * 4)

    cells: dict[tuple[int, int], tuple[int, str]] = {}
    letters: dict[tuple[int, int], tuple[str, str]] = {}
    for (name, parts), mark in zip(whole.items(), marks(curves)):
        for x, y in chain.from_iterable(_joined([*starmap(dot, part)]) for part in parts):
            at = (x // 2, rows - 1 - y // 4)
            cells[at] = (cells.get(at, (0, ""))[0] | _DOTS[x % 2][3 - y % 4], name)
        if parts and len(curves) > 1:
            letters[at] = (mark, name)
    drawn: dict[tuple[int, int], tuple[str, str | None]] = {
        at: (chr(0x2800 + dots), name) for at, (dots, name) in cells.items()
    }
    drawn |= letters
    for row in range(rows):
        label = high if row == 0 else low if row == rows - 1 else None
        text = "" if label is None else f"{label:.5g}"
        yield text, [drawn.get((x, row), (" ", None)) for x in range(columns)]


def sparkline(values: Sequence[float], width: int) -> str:
    """Return a small curve of the values in one line of block characters; nothing for fewer than
    two."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    size = max(1, len(finite) / width)
    kept = [finite[int(at * size)] for at in range(min(width, len(finite)))]
    low, high = min(kept), max(kept)
    span = (high - low) or 1.0
    return "".join(_BARS[int((value - low) / span * (len(_BARS) - 1))] for value in kept)


def marks(names: Iterable[str]) -> list[str]:
    """Return the letter that stands at the end of each curve, so that colour is not all that tells
    them apart."""
    return [ascii_letters[at % len(ascii_letters)] for at, _ in enumerate(names)]


def _extremes(points: Sequence[Point]) -> list[Point]:
    low, high = min(points, key=lambda point: point[1]), max(points, key=lambda point: point[1])
    return sorted({low, high})


def _scaled(value: float, low: float, high: float, size: int) -> int:
    if high <= low:
        return (size - 1) // 2
    return round((value / 2 - low / 2) / (high / 2 - low / 2) * (size - 1))


def _joined(points: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the dots of the line through the points."""
    for (x, y), (to_x, to_y) in zip(points, points[1:] or points):
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        for step in range(steps + 1):
            yield round(x + (to_x - x) * step / steps), round(y + (to_y - y) * step / steps)
