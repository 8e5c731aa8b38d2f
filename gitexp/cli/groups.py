"""``gitexp list --group-by``: one row for each group of experiments, with the mean and the spread
of its metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gitexp.cli import output
from gitexp.cli.table import Column, flat, headers_of, print_columns
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import portable
from gitexp.store import groups as grouping
from gitexp.store.groups import Group, Spread
from gitexp.store.query import Key, Sort


def show(
    experiments: Sequence[Experiment],
    by: Sequence[Key],
    keys: Sequence[Sort],
    limit: int | None,
    chosen: Sequence[Key],
    whole: bool,
    form: str | None,
) -> None:
    """Print the groups of experiments that agree in the keys ``by``, sorted by ``keys``."""
    groups = _sorted(grouping.group(experiments, by), by, keys)[:limit]
    names = [key.name for key in chosen if key.family == "metrics"] or list(
        dict.fromkeys(name for group in groups for name in group.metrics)
    )
    headers = headers_of(by)
    if form == "json":
        output.print_json([_group_record(group, headers, names) for group in groups])
    elif form is not None:
        parts = [f"{name}.{part}" for name in names for part in Spread._fields]
        rows = [
            [*map(flat, group.values), group.n, *_numbers(group.metrics, names)] for group in groups
        ]
        output.print_records(form, [*headers, "n", *parts], rows)
    elif groups:
        columns = [_keyed(header, groups, at) for at, header in enumerate(headers)]
        columns.append(Column("n", [str(group.n) for group in groups], True))
        columns += [Column(output.clean(name), _spread_texts(groups, name)) for name in names]
        print_columns(columns, ["n", *(output.clean(key.name) for key, _ in keys)], whole)
    else:
        output.say("no experiment fits; to see them all: gitexp list")


def _sorted(groups: list[Group], by: Sequence[Key], keys: Sequence[Sort]) -> list[Group]:
    """Return the groups sorted by their keys or by the means of metrics, missing values and NaN
    last."""
    for key, descending in reversed(keys):
        if key not in by and key.family != "metrics":
            raise UsageError(
                "groups can be sorted by metrics and by what they are grouped by, not by"
                f" '{key.full}'"
            )
        values = {id(group): _group_value(group, by, key) for group in groups}
        known = [group for group in groups if values[id(group)] is not None]
        rest = [group for group in groups if values[id(group)] is None]
        known.sort(key=lambda group: _rank(values[id(group)]), reverse=descending)
        groups = known + rest
    return groups


def _group_value(group: Group, by: Sequence[Key], key: Key) -> Any:
    if key in by:
        return group.values[by.index(key)]
    spread = group.metrics.get(key.name)
    return None if spread is None or spread.mean != spread.mean else spread.mean


def _rank(value: Any) -> tuple[bool, Any]:
    return (False, value) if isinstance(value, (int, float)) else (True, str(value))


def _group_record(group: Group, headers: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    metrics = {name: group.metrics[name]._asdict() for name in names if name in group.metrics}
    return {
        "group": dict(zip(headers, map(portable, group.values))),
        "n": group.n,
        "metrics": metrics,
    }


def _numbers(metrics: Mapping[str, Spread], names: Sequence[str]) -> list[float | None]:
    return [number for name in names for number in metrics.get(name, (None, None, None))]


def _keyed(header: str, groups: Sequence[Group], at: int) -> Column:
    values = [group.values[at] for group in groups]
    numeric = all(isinstance(value, (int, float, type(None))) for value in values)
    return Column(header, [output.number(_text(value)) for value in values], numeric)


def _text(value: Any) -> Any:
    return f"{value.astimezone():%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else flat(value)


def _spread_texts(groups: Sequence[Group], name: str) -> list[str]:
    means = [float(group.metrics[name].mean) if name in group.metrics else None for group in groups]
    return [_spread_text(group, name, mean) for group, mean in zip(groups, output.numbers(means))]


def _spread_text(group: Group, name: str, mean: str) -> str:
    """Return ``18.2 ± 0.31``, with the number of values where not all of the group have one."""
    spread = group.metrics.get(name)
    if spread is None:
        return ""
    if math.isnan(spread.mean):
        return f"nan (not every one of {spread.n} is a number)"
    std = "" if spread.std is None else f" ± {spread.std:.2g}"
    return f"{mean}{std}" + (f" ({spread.n})" if spread.n != group.n else "")
