"""``gitexp list --group-by``: one row for each group of experiments, with the mean and the spread
of its metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    names = [key.name for key in chosen if key.family == "metrics"]
    names = names or list(dict.fromkeys(name for group in groups for name in group.metrics))
    headers = headers_of(by)
    if form == "json":
        output.print_json([_record(group, headers, names) for group in groups])
    elif form is not None:
        parts = [f"{name}.{part}" for name in names for part in Spread._fields]
        numbers = [
            [number for name in names for number in group.metrics.get(name, (None, None, None))]
            for group in groups
        ]
        rows = [[*map(flat, one.values), one.n, *found] for one, found in zip(groups, numbers)]
        output.print_records(form, [*headers, "n", *parts], rows)
    elif groups:
        columns = [
            _column(header, [group.values[at] for group in groups])
            for at, header in enumerate(headers)
        ]
        columns.append(Column("n", [str(group.n) for group in groups], True))
        columns += [Column(output.clean(name), _spreads(groups, name)) for name in names]
        print_columns(columns, ["n", *(output.clean(key.name) for key, _ in keys)], whole)
    else:
        output.say("no experiment matches; to see them all: gitexp list")


def _sorted(groups: list[Group], by: Sequence[Key], keys: Sequence[Sort]) -> list[Group]:
    """Return the groups sorted by their keys or by the means of metrics, missing values and NaN
    last."""
    for key, descending in reversed(keys):
        if key not in by and key.family != "metrics":
            raise UsageError(
                "groups can be sorted by metrics and by what they are grouped by, not by"
                f" '{key.full}'"
            )
        known, rest = [], []
        for group in groups:
            spread = group.metrics.get(key.name)
            value = group.values[by.index(key)] if key in by else spread and spread.mean
            if value is None or value != value:
                rest.append(group)
            else:
                number = isinstance(value, (int, float))
                known.append((not number, value if number else str(value), group))
        known.sort(key=lambda item: item[:2], reverse=descending)
        groups = [*(item[2] for item in known), *rest]
    return groups


def _record(group: Group, headers: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    metrics = {name: group.metrics[name]._asdict() for name in names if name in group.metrics}
    by = dict(zip(headers, map(portable, group.values)))
    return {"group": by, "n": group.n, "metrics": metrics}


def _column(header: str, values: Sequence[Any]) -> Column:
    numeric = all(isinstance(value, (int, float, type(None))) for value in values)
    cells = [
        f"{value.astimezone():%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else flat(value)
        for value in values
    ]
    return Column(header, output.numbers(cells), numeric)


def _spreads(groups: Sequence[Group], name: str) -> list[str]:
    """Return ``18.2 ± 0.31`` for each group, with the number of values where not all of it have
    one."""
    found = [group.metrics.get(name) for group in groups]
    means = output.numbers([spread and float(spread.mean) for spread in found])
    texts = []
    for group, spread, mean in zip(groups, found, means):
        if spread is None:
            texts.append("")
        elif math.isnan(spread.mean):
            texts.append(f"nan (not every one of {spread.n} is a number)")
        else:
            std = "" if spread.std is None else f" ± {spread.std:.2g}"
            texts.append(mean + std + (f" ({spread.n})" if spread.n != group.n else ""))
    return texts
