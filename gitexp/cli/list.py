"""``gitexp list``: all experiments, or those that are asked for, as a table.

On a terminal it shows what fits and what tells them apart, and says what it left out. Into a pipe goes everything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

import click

from gitexp import grouping, notes, query, reference
from gitexp.cli import completion, output, pager
from gitexp.cli.opened import opened
from gitexp.errors import UsageError
from gitexp.experiment import Experiment
from gitexp.grouping import Group, Spread
from gitexp.index import Index
from gitexp.message import format_time, own_subject
from gitexp.query import Key, Sort
from gitexp.repo import Repo

_WIDEST = 40  # columns of the terminal for one cell
_MARKS = {"same": " (verified)", "drifted": " (drifted)"}  # what `gitexp reproduce` found
_NAMED = 12  # columns that a line on stderr names


class Column(NamedTuple):
    """One column of a table for people."""

    header: str
    cells: list[str]
    right: bool = False


@click.command("list")
@click.argument("refs", nargs=-1, metavar="[REF]...", shell_complete=completion.refs)
@click.option("--where", "-w", metavar="CONDITION", shell_complete=completion.keys, help="Only those for which it holds; see above.")
@click.option(
    "--sort", "-s", metavar="KEY[:asc|desc],...", shell_complete=completion.keys, help="Sort by these; a metric sorts best first."
)
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="At most N of them.")
@click.option("--columns", "-c", metavar="KEY,...", shell_complete=completion.keys, help="Show the name and these columns.")
@click.option("--all-columns", is_flag=True, help="Show every column, however wide.")
@click.option(
    "--only-varying/--no-only-varying", default=None, help="Hide params and metrics that are the same in all (default: on a terminal)."
)
@click.option(
    "--group-by",
    "-g",
    metavar="KEY,...",
    shell_complete=completion.keys,
    help="One row for each group: n, and mean ± sample std of its metrics.",
)
@click.option("--all", "-a", "everybody", is_flag=True, help="Everybody's experiments, those on remotes included.")
@output.output_options
@pager.paged
def list_command(
    refs: tuple[str, ...], where: str | None, sort: str | None, limit: int | None, columns: str | None, all_columns: bool,
    only_varying: bool | None, group_by: str | None, everybody: bool, form: str | None,
) -> None:  # fmt: skip
    """List experiments, newest first.

    REF is an experiment or a range: exp-5, 5, @, best:rmse, exp-3..exp-7.

    \b
    CONDITION compares params, metrics and attributes with values:
      lr < 0.1 and rmse <= 18.2          = != < <= > >=
      group in (a, b) or not label = old
      message ~ '^try'                   a regular expression, in any case
      params.loss = mse                  where a param and a metric share a name
      started > 2d                       started after the moment 2 days ago
      started = 2026-01-31               on that day; also today, yesterday
      depth is missing                   what is missing matches nothing else
      'odd name' = 'some text'           quotes, for names and for text
    Attributes: name, id (commit), status, started (date), duration, labels
    (label), group, branch, author, email, subject (message), notes, command.

    \b
    Examples:
      gitexp list --where 'lr < 0.1 and label = conv' --sort rmse -n 10
      gitexp list --group-by model.depth,lr --sort rmse
      gitexp list --columns started,rmse,lr --csv > experiments.csv
    """
    repo, settings, index = opened()
    _mention_dead_runs(repo)
    condition = query.where(index, where)
    if refs:
        names = [experiment.name for experiment in reference.resolve_many(index, refs, settings)]
        condition = condition.within("({}) AND ref.name IN (SELECT value FROM json_each(?))", output.exact(names))
        everybody = True
    elif everybody:
        condition = condition.within(query.ONCE)
    keys = query.sort(index, sort, settings.metrics)
    chosen = [query.find_key(index, name) for name in query.split(columns)] if columns is not None else None
    if group_by is not None:
        by = [query.find_key(index, name) for name in query.split(group_by)]
        groups = grouping.group(index.select(*condition, everybody=everybody), by)
        _print_groups(_sorted(groups, by, keys)[:limit], by, chosen, all_columns, form)
        return
    order = query.order(keys)
    found = index.select(condition.text, [*condition.values, *order.values], order.text, limit, everybody)
    if form == "json":
        output.print_json([_picked(item, chosen) if chosen else record(item) for item in found])
    elif form == "csv":
        _print_csv(found, chosen)
    elif not found:
        output.say(_nothing(index, where is not None or bool(refs), everybody))
    else:
        varying = sys.stdout.isatty() and form is None if only_varying is None else only_varying
        shown = [query.attribute("name"), *chosen] if chosen else _usual(found, all_columns)
        if varying and not chosen and not all_columns:
            shown = _only_varying(found, shown)
        _print_table(found, shown, [key for key, _ in keys], all_columns, form)


def _mention_dead_runs(repo: Repo) -> None:
    """Say on stderr that runs wait to be recovered; what looks at runs is loaded only where there are some."""
    runs = repo.state_dir / "runs"
    if runs.is_dir() and any(runs.iterdir()):
        from gitexp.recovery import dead_runs

        if count := len(dead_runs(repo)):
            output.say(f"{count} dead run{'s' if count > 1 else ''}; to record {'them' if count > 1 else 'it'}: gitexp recover")


def record(experiment: Experiment) -> dict[str, Any]:
    """Return what programs get to know of an experiment."""
    facts = {name: _plain(query.attribute(name).of(experiment)) for name in query.ATTRIBUTES}
    return {**facts, "parent": experiment.parent, "params": dict(experiment.params), "metrics": dict(experiment.metrics)}


def value_text(key: Key, experiment: Experiment, now: datetime) -> str:
    """Return an experiment's value as a table shows it to people."""
    value = key.of(experiment)
    if key.full == "name":
        mark = _MARKS.get(notes.verdict(experiment.extra.get("events", ())) or "", "")
        return output.clean(str(value)) + mark
    if key.full == "started":
        return output.ago(value, now)
    if key.full == "duration":
        return output.duration(value)
    if key.full == "id":
        return experiment.short
    if key.full == "subject":
        return output.clean(own_subject(experiment))
    return output.clean(", ".join(value)) if key.kind == "set" else output.number(value)


# -- which columns ---------------------------------------------------------------------------------------------------------


def _usual(experiments: Sequence[Experiment], everything: bool) -> list[Key]:
    """Return the columns that have something to say: name and time, metrics, params, and the message if it is the user's own."""
    has = {
        "status": any(item.status != "finished" for item in experiments),
        "started": True,
        "subject": any(own_subject(item) for item in experiments),
        **{name: any(query.attribute(name).of(item) for item in experiments) for name in ("duration", "labels", "group")},
    }
    names = [name for name in query.ATTRIBUTES if name != "subject"] if everything else ["status", "started", "duration", "labels", "group"]
    before = [query.attribute(name) for name in names if everything or has[name]]
    last = [query.attribute("subject")] if everything or has["subject"] else []
    return [
        *([] if everything else [query.attribute("name")]),
        *before,
        *_values(experiments, "metrics"),
        *_values(experiments, "params"),
        *last,
    ]


def _values(experiments: Iterable[Experiment], family: str) -> list[Key]:
    """Return the params or metrics that the experiments have, in the order of their first appearance."""
    return [Key(family, name) for name in dict.fromkeys(name for item in experiments for name in getattr(item, family))]


def _only_varying(experiments: Sequence[Experiment], keys: Sequence[Key]) -> list[Key]:
    """Leave out the params and metrics that are the same in all experiments, and say so on stderr."""
    if len(experiments) < 2:
        return list(keys)
    same = [key for key in keys if key.family != "attribute" and len({repr(key.of(item)) for item in experiments}) == 1]
    if same:
        known = [f"{output.clean(key.name)}={output.number(key.of(experiments[0]))[:_WIDEST]}" for key in same]
        output.say(f"the same in all: {_some(known)} (--no-only-varying shows them)")
    return [key for key in keys if key not in same]


def _headers(keys: Sequence[Key]) -> list[str]:
    """Return a header for each key: its bare name, unless a param and a metric share it."""
    names = [key.name for key in keys]
    return [output.clean(key.full if names.count(key.name) > 1 else key.name) for key in keys]


# -- printing --------------------------------------------------------------------------------------------------------------


def _print_table(experiments: Sequence[Experiment], keys: Sequence[Key], pinned: Sequence[Key], whole: bool, form: str | None) -> None:
    headers = _headers(keys)
    if form == "md":
        output.print_records(form, headers, [[output.clean(output.exact(_flat(key.of(item)))) for key in keys] for item in experiments])
        return
    now = datetime.now(timezone.utc)
    columns = []
    for key, header in zip(keys, headers):
        numeric = key.full == "duration" or all(isinstance(key.of(item), (int, float, type(None))) for item in experiments)
        columns.append(Column(header, [value_text(key, item, now) for item in experiments], numeric))
    _print_columns(columns, [headers[keys.index(key)] for key in pinned if key in keys], whole)


def _print_columns(columns: list[Column], pinned: Sequence[str], whole: bool) -> None:
    """Print the columns that fit, the first and the ``pinned`` before all others, and name on stderr those that do not."""
    room = output.terminal_width()
    if room is not None and not whole:
        columns = [column._replace(cells=[_clipped(cell) for cell in column.cells]) for column in columns]
        columns, dropped = _fitting(columns, pinned, room)
        if dropped:
            output.say(f"no room for: {_some(dropped)} (--columns picks, --all-columns shows all)")
    rows = list(zip(*(column.cells for column in columns)))
    lines = output.text_table([column.header for column in columns], rows, [column.right for column in columns])
    click.echo("\n".join([output.styled(lines[0], bold=True), *lines[1:]]))


def _fitting(columns: list[Column], pinned: Sequence[str], room: int) -> tuple[list[Column], list[str]]:
    sizes = [max(map(output.width, (column.header, *column.cells))) + 2 for column in columns]
    first = sorted(range(len(columns)), key=lambda at: (at > 0, columns[at].header not in pinned))
    kept, left = set(), room + 2
    for at in first:
        if at == 0 or sizes[at] <= left:
            kept.add(at)
            left -= sizes[at]
    return [columns[at] for at in sorted(kept)], [column.header for at, column in enumerate(columns) if at not in kept]


def _print_csv(experiments: Sequence[Experiment], chosen: Sequence[Key] | None) -> None:
    given = chosen or [*map(query.attribute, query.ATTRIBUTES), *_values(experiments, "params"), *_values(experiments, "metrics")]
    headers = [key.full for key in given] if chosen is None else _headers(given)
    output.print_records("csv", headers, [[_flat(key.of(item)) for key in given] for item in experiments])


def _picked(experiment: Experiment, keys: Sequence[Key]) -> dict[str, Any]:
    return {"name": experiment.name, **{header: _plain(key.of(experiment)) for key, header in zip(keys, _headers(keys))}}


def _plain(value: Any) -> Any:
    return format_time(value) if isinstance(value, datetime) else list(value) if isinstance(value, tuple) else value


def _flat(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, tuple) else _plain(value)


def _nothing(index: Index, asked: bool, everybody: bool) -> str:
    if asked:
        return "no experiment fits; to see them all: gitexp list"
    if not everybody and index.count(everybody=True):
        return "no experiment of yours yet; to see those on remotes: gitexp list --all"
    return "no experiment yet; to record one: gitexp run -- COMMAND, or gitexp log --param lr=0.1 --metric rmse=18.2"


def _clipped(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


# -- groups ----------------------------------------------------------------------------------------------------------------


def _sorted(groups: list[Group], by: Sequence[Key], keys: Sequence[Sort]) -> list[Group]:
    """Return the groups sorted by their keys or by the means of metrics, missing values and NaN last."""
    for key, descending in reversed(keys):
        if key not in by and key.family != "metrics":
            raise UsageError(f"groups can be sorted by metrics and by what they are grouped by, not by '{key.full}'")
        values = {id(group): _group_value(group, by, key) for group in groups}
        known = [group for group in groups if values[id(group)] is not None]
        rest = [group for group in groups if values[id(group)] is None]
        groups = sorted(known, key=lambda group: _rank(values[id(group)]), reverse=descending) + rest
    return groups


def _group_value(group: Group, by: Sequence[Key], key: Key) -> Any:
    if key in by:
        return group.values[by.index(key)]
    spread = group.metrics.get(key.name)
    return None if spread is None or spread.mean != spread.mean else spread.mean


def _rank(value: Any) -> tuple[bool, Any]:
    return (False, value) if isinstance(value, (int, float)) else (True, str(value))


def _print_groups(groups: list[Group], by: Sequence[Key], chosen: Sequence[Key] | None, whole: bool, form: str | None) -> None:
    names = [key.name for key in chosen or () if key.family == "metrics"] or list(
        dict.fromkeys(name for group in groups for name in group.metrics)
    )
    headers = _headers(by)
    if form == "json":
        output.print_json([_group_record(group, headers, names) for group in groups])
    elif form is not None:
        parts = [f"{name}.{part}" for name in names for part in Spread._fields]
        rows = [[*map(_flat, group.values), group.n, *_numbers(group.metrics, names)] for group in groups]
        output.print_records(form, [*headers, "n", *parts], rows)
    elif groups:
        keyed = [
            Column(header, [output.number(_text(group.values[at])) for group in groups], _numeric(groups, at))
            for at, header in enumerate(headers)
        ]
        spreads = [Column(output.clean(name), [_spread_text(group, name) for group in groups]) for name in names]
        _print_columns([*keyed, Column("n", [str(group.n) for group in groups], True), *spreads], ["n"], whole)
    else:
        output.say("no experiment fits; to see them all: gitexp list")


def _group_record(group: Group, headers: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    metrics = {name: group.metrics[name]._asdict() for name in names if name in group.metrics}
    return {"group": dict(zip(headers, map(_plain, group.values))), "n": group.n, "metrics": metrics}


def _numbers(metrics: Mapping[str, Spread], names: Sequence[str]) -> list[float | None]:
    return [number for name in names for number in metrics.get(name, (None, None, None))]


def _numeric(groups: Sequence[Group], at: int) -> bool:
    return all(isinstance(group.values[at], (int, float, type(None))) for group in groups)


def _text(value: Any) -> Any:
    return (
        f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
        if isinstance(value, datetime)
        else ", ".join(value)
        if isinstance(value, tuple)
        else value
    )


def _spread_text(group: Group, name: str) -> str:
    """Return ``18.2 ± 0.31``, with the number of values where not all of the group have one."""
    spread = group.metrics.get(name)
    if spread is None:
        return ""
    std = "" if spread.std is None else f" ± {spread.std:.2g}"
    return f"{output.number(float(spread.mean))}{std}" + (f" ({spread.n})" if spread.n != group.n else "")
