"""Rows of names and values, of a table or of JSON Lines, as points of metrics."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from gitexp.formats import metrics, params
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.metric_names import is_metric

STEPS = (
    "step", "epoch", "iter", "iteration", "global_step", "training_iteration", "round", "episode",
    "generation", "fold",
)  # fmt: skip
TIMESTEPS = ("total_timesteps", "time/total_timesteps")  # of stable-baselines3
_TIMES = ("_timestamp", "timestamp", "datetime", "date")
_BOOKKEEPING = frozenset((*STEPS, *_TIMES, "_step", "_runtime", *TIMESTEPS))
_NO_VALUE = frozenset(("", "na", "none", "null", "-"))
_OF_METRICS = ("", "metric", "metrics", "metric_name", "measure", "name", "key", "tag")
_OF_VALUES = frozenset(("value", "values", "0"))
_OF_SCORES = frozenset(("score", "result"))  # or those of a model or sample that has a name
_OF_PARTS = ("split", "phase", "mode", "stage", "subset", "set", "dataset")
_OF_SEVERAL = frozenset(("fold", "seed", "run", "trial"))  # trainings, each with its steps
_PART = r"(?i)train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?|eval(?:uation)?|dev"


Item = TypeVar("Item")


class _Columns(NamedTuple):
    """Which columns hold the time, a part of the data, the name of a metric, and values."""

    times: list[str]
    parts: list[str]
    metric: str | None
    values: list[str]


def read(rows: Iterable[Mapping[str, Any]]) -> tuple[list[MetricPoint], list[str]]:
    """Return the points of rows of ``{name: value}``, and the names of values that are no numbers;
    a gap is no value, a row without a step gets its number.

    What a metric has of training and validation, by a column that says so, is told apart. Where its
    steps go back, in a file that a training appended to, it was gone over again.
    """
    flat = [params.flatten(row) for row in rows]
    found = steps(flat)
    text: dict[str, None] = {}
    series: dict[str, dict[str, list[MetricPoint]]] = {}
    for at, (row, step) in enumerate(zip(flat, found)):
        columns = _columns(tuple(row))
        stamp, part_of = _stamp(row, columns.times), _part_of(row, columns.parts)
        part, named = str(row[part_of]) if part_of else "", _named(row, columns)
        for name, value in named or ((name, row[name]) for name in columns.values):
            if (number := as_number(value)) is None:
                gap = value is None or (isinstance(value, str) and value.lower() in _NO_VALUE)
                text.update({} if gap or name == part_of else {name: None})
                continue
            some = series.setdefault(name, {}).setdefault(part, [])
            place = (len(some) if named else at) if step is None else step
            some.append(MetricPoint(name, number, stamp, place))
    several = text or _OF_SEVERAL & {name.lower() for row in flat for name in row}
    once = not several and not _of_several(flat, found)
    points: list[MetricPoint] = []
    for name, parts in series.items():
        for part, some in () if re.search(r"[\r\n\0]", name) else parts.items():
            called = f"{part}/{name}" if part and len(parts) > 1 else name
            kept = _last_pass(some) if once else some
            points += (point._replace(name=called) for point in kept) if called != name else kept
    return points, [name for name in text if "\n" not in name]


def below(
    header: Sequence[str], rows: Iterable[Sequence[str]], decimal: bool, lost: list[Sequence[str]]
) -> Iterator[Mapping[str, str]]:
    """Yield the rows below a header, and below each later one of whoever appended to the file;
    those of another width go to ``lost``.

    Args:
        decimal: whether a comma in a number is a decimal one.
    """
    for row in rows:
        cells = [_with_point(cell.strip()) if decimal else cell.strip() for cell in row]
        if cells and "" != cells[0] == header[0] and all(as_number(one) is None for one in cells):
            header = cells
        elif len(cells) == len(header):
            yield dict(zip(header, cells))
        else:
            lost += [cells] if cells else []


def steps(rows: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Return the steps of rows: of those with the same names what the first column of whole numbers
    says that never goes back, else the first one; None where there is none."""
    kinds: dict[frozenset[str], list[int]] = {}
    for at, row in enumerate(rows):
        kinds.setdefault(frozenset(filter(is_counter, row)), []).append(at)
    found: list[int | None] = [None] * len(rows)
    for names, places in kinds.items():
        called = {n.rpartition("/")[2]: n for n in names if n.endswith("/total_timesteps")}
        called.update({name.lower(): name for name in names})
        counters = filter(called.__contains__, ("_step", "total_timesteps", *STEPS))
        columns = {n: [as_number(rows[at][called[n]]) for at in places] for n in counters}
        whole = {name: column for name, column in columns.items() if _are_whole(column)}
        growing = {name: column for name, column in whole.items() if _grows(column)}
        changing = [one for n, one in growing.items() if len({*one}) > 1 and n != "fold"]
        chosen = (changing or [*growing.values()] or [*whole.values()] or [[]])[0]
        for at, step in zip(places, chosen):
            found[at] = None if step is None else int(step)
    return found


def as_number(value: Any) -> float | None:
    """Return a value as a metric's number, None where it is none; a truth value is 0 or 1, and 93%
    is 93."""
    try:
        if isinstance(value, (bool, int, float)):
            return metrics.within(int(value) if isinstance(value, bool) else value)
        text = value.strip().removesuffix("%") if isinstance(value, str) else None
        return None if text is None else metrics.parse_cell(text)
    except (ValueError, OverflowError):
        return None


def is_counter(name: str) -> bool:
    """Whether a name is one of steps and times, which trackers log beside metrics."""
    return re.split(r"[/.]", name.lower())[-1] in _BOOKKEEPING


def _with_point(cell: str) -> str:
    """Return a number with a decimal comma, 1.234,5, as Python writes it."""
    is_number = "," in cell and re.fullmatch(r"[-+]?[\d.]*,\d+(?:[eE][-+]?\d+)?%?", cell)
    return cell.replace(".", "").replace(",", ".") if is_number else cell


@functools.lru_cache(100)
def _columns(names: tuple[str, ...]) -> _Columns:
    lower = {name: name.lower() for name in names}
    values = [
        name
        for name in names
        if lower[name] not in _BOOKKEEPING and not name.startswith(("config.", "Unnamed: "))
    ]
    return _Columns(
        sorted((n for n in names if lower[n] in _TIMES), key=lambda n: _TIMES.index(lower[n])),
        [name for name in names if lower[name] in _OF_PARTS],
        next((name for name in names if lower[name] in _OF_METRICS), None),
        [name for name in values if name.strip()],
    )


def _part_of(row: Mapping[str, Any], columns: Iterable[str]) -> str | None:
    """Return the column that says of which part of the data a row is."""
    return next((name for name in columns if re.fullmatch(_PART, str(row[name]))), None)


def _named(row: Mapping[str, Any], columns: _Columns) -> list[tuple[str, Any]]:
    """Return ``[("acc", 0.9)]`` for a row that names its metric, ``{"metric": "acc", "value":
    0.9}``, and ``[("cat.f1", 0.9)]`` for one of a DataFrame; nothing for all others."""
    key = columns.metric
    called = None if key is None else row[key]
    if key is None or not isinstance(called, str):
        return []
    if not called or as_number(called) is not None:
        return []
    others = [name for name in columns.values if name != key and name not in columns.parts]
    if len(others) == 1 and (
        key[:1] in ("m", "M")
        or others[0].lower() in _OF_VALUES
        or (others[0].lower() in _OF_SCORES and is_metric(called))
    ):
        return [(called, row[others[0]])]
    return [(f"{called}.{name}", row[name]) for name in others] if key == "" else []


def _last_pass(points: Sequence[MetricPoint]) -> list[MetricPoint]:
    """Return a series without what was gone over again, from a step that was there already."""
    kept: list[MetricPoint] = []
    known: set[int] = set()
    for part in _passes(points, [point.step for point in points]):
        while part[0].step in known and kept and kept[-1].step >= part[0].step:
            del kept[-1]
        kept += part
        known.update(point.step for point in part)
    return kept


def _of_several(flat: Sequence[Mapping[str, Any]], found: Sequence[int | None]) -> bool:
    """Whether rows whose steps begin again are those of several trainings: something else is one
    value in each of them, and not the same in all."""
    parts = _passes(flat, [step or 0 for step in found])
    if len(parts) < 2 or max(map(len, parts)) < 2:
        return False
    tops = [part[0] for part in parts]
    return any(
        len({str(top.get(name)) for top in tops}) > 1
        and all(row.get(name) == part[0].get(name) for part in parts for row in part)
        for name in tops[0]
        if not is_counter(name)
    )


def _passes(items: Sequence[Item], found: Sequence[int]) -> list[list[Item]]:
    """Return the stretches of items whose steps do not go back."""
    parts: list[list[Item]] = []
    before = 0
    for item, step in zip(items, found):
        if not parts or step < before:
            parts.append([])
        parts[-1].append(item)
        before = step
    return parts


def _are_whole(column: Sequence[float | None]) -> bool:
    known = [number for number in column if number is not None]
    return bool(known) and all(number == number // 1 for number in known)


def _grows(column: Sequence[float | None]) -> bool:
    known = (number for number in column if number is not None)
    return all(one <= other for one, other in itertools.pairwise(known))


def _stamp(row: Mapping[str, Any], columns: Iterable[str]) -> int:
    """Return a row's time as ms since 1970, 0 where it has none."""
    with suppress(ValueError, OverflowError):
        for name in columns:
            return metrics.milliseconds(str(row[name] or 0))
    return 0
