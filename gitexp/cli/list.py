"""``gitexp list``: all experiments, or those that are asked for, as a table.

On a terminal it shows what fits and what tells them apart, and says what it left out. Into a pipe
goes everything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

import click

from gitexp.cli import completion, output, pager
from gitexp.cli.opened import Selection, among, opened, selection
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import format_time, one_line, own_subject, some
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.store import notes, query
from gitexp.store.index import Index
from gitexp.store.query import Key, Sql

_WIDEST = 40  # columns of the terminal for one cell
_MARKS = {"same": " (verified)", "drifted": " (drifted)"}  # what `gitexp reproduce` found
_NARROW = 20  # of one cell before the last numbers, where not all columns have room
_LAST = ("because", "subject")  # text, which may be long
_NAMED = 12  # columns that a line on stderr names


class Column(NamedTuple):
    """One column of a table for people."""

    header: str
    cells: list[str]
    right: bool = False


@click.command("list")
@selection
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="At most N of them.")
@click.option(
    "--columns",
    "-c",
    metavar="KEY,...",
    shell_complete=completion.keys,
    help="Show the name and these columns.",
)
@click.option("--all-columns", is_flag=True, help="Show every column, however wide.")
@click.option(
    "--only-varying/--no-only-varying",
    default=None,
    help="Hide metrics that are the same in all, params wherever they are (on a terminal).",
)
@click.option(
    "--group-by",
    "-g",
    metavar="KEY,...",
    shell_complete=completion.keys,
    help="One row for each group: n, and mean ± sample std of its metrics.",
)
@click.option("--discarded", is_flag=True, help="Only those that were discarded.")
@click.option("--all-verdicts", is_flag=True, help="Those that were discarded, too.")
@click.option("--all-resumed", is_flag=True, help="Those that a later run resumed, too.")
@output.output_options
@pager.paged
def list_command(
    asked: Selection,
    limit: int | None,
    columns: str | None,
    all_columns: bool,
    only_varying: bool | None,
    group_by: str | None,
    discarded: bool,
    all_verdicts: bool,
    all_resumed: bool,
    form: str | None,
) -> None:
    """List experiments, newest first.

    Active and dead runs (status running, dead) stand above them, unless REF, --where, --discarded
    or --group-by asks for experiments.

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
      not metrics is missing             has any metric; also: --only-with metrics
      'odd name' = 'some text'           quotes, for names and for text
    Attributes: name, alias (second name), id (commit), status, started (date),
    duration, labels (label), group, branch, author, email, subject (message),
    notes, because, verdict (kept, discarded), command, failure (the last line
    of a traceback, or the exit code). Discarded ones are left out, unless they
    are asked for.

    \b
    Examples:
      gitexp list --where 'lr < 0.1 and label = conv' --sort rmse -n 10
      gitexp list --where 'status = failed'
      gitexp list --group-by model.depth,lr --sort rmse
      gitexp list --columns started,rmse,lr --csv > experiments.csv
    """
    repo, settings, index = opened()
    runs = _runs(repo)
    condition, everybody, left = _condition(
        index, settings, asked, discarded, all_verdicts, all_resumed
    )
    keys = query.sort(index, asked.sort, settings.metrics)
    narrowed = bool(asked.refs) or asked.where is not None or discarded
    chosen = (
        [query.find_key(index, name) for name in query.split(columns)]
        if columns is not None
        else None
    )
    if group_by is not None:
        from gitexp.cli import groups

        by = [query.find_key(index, name) for name in query.split(group_by)]
        found = index.select(*condition, everybody=everybody)
        groups.show(found, by, keys, limit, chosen, all_columns, form)
        return
    order = query.order(keys)
    found = index.select(
        condition.text, [*condition.values, *order.values], order.text, limit, everybody
    )
    if not narrowed:
        found = [*runs, *found][:limit]
    if form == "json":
        output.print_json([_picked(item, chosen) if chosen else record(item) for item in found])
    elif form == "csv":
        _print_csv(found, chosen)
    elif not found:
        output.say(_nothing(index, narrowed or left > 0, everybody))
    else:
        varying = sys.stdout.isatty() and form is None if only_varying is None else only_varying
        pinned = [key for key, _ in keys]
        shown, hidden = _columns(found, chosen, pinned, all_columns, varying)
        _print_table(found, shown, pinned, all_columns, form, hidden)


def _condition(
    index: Index,
    settings: Settings,
    asked: Selection,
    discarded: bool,
    all_verdicts: bool,
    all_resumed: bool,
) -> tuple[Sql, bool, int]:
    """Return the condition for what was asked for, whether it looks at everybody's, and how many
    that were discarded or resumed it leaves out; say on stderr what it leaves out."""
    refs, project, everybody = asked.refs, index.repo.project, asked.everybody
    condition = query.where(index, asked.where)
    if refs:
        condition, _ = among(index, settings, condition, refs)
        everybody = True
    elif everybody:
        condition = condition.within(query.ONCE)
    if project and not everybody:
        condition, others = query.of_project(index, condition, project)
        if others:
            said = f"{output.counted(others, 'experiment')} of other projects left out (--all)"
            output.say(said)
    left = 0
    if not refs and not all_verdicts:
        condition, left = query.judged(index, condition, discarded, everybody)
    if left:
        output.say(f"{left} discarded {'is' if left == 1 else 'are'} left out (--all-verdicts)")
    if not refs and not all_resumed:
        condition, resumed = query.current(index, condition, everybody)
        left += resumed
        if resumed:
            are = "is" if resumed == 1 else "are"
            output.say(f"{resumed} that a later run resumed {are} left out (--all-resumed)")
    return condition, everybody, left


def _columns(
    found: Sequence[Experiment],
    chosen: Sequence[Key] | None,
    sorted_by: Sequence[Key],
    everything: bool,
    varying: bool,
) -> tuple[list[Key], str | None]:
    """Return the columns of the table, and what to say of those that are the same in all."""
    if chosen:
        return list(dict.fromkeys([query.attribute("name"), *chosen])), None
    usual = _usual(found, everything)
    shown = [*usual, *(key for key in sorted_by if key not in usual)]
    if varying and not everything:
        return _only_varying(found, shown, sorted_by)
    return shown, None


def _runs(repo: Repo) -> list[Experiment]:
    """Return the runs that are not recorded yet, newest first, and mention the dead ones on stderr;
    what looks at runs is loaded only where there are some."""
    runs = repo.state_dir / "runs"
    if not (runs.is_dir() and any(runs.iterdir())):
        return []
    from gitexp.runs import unrecorded

    found = unrecorded.runs(repo)
    if count := sum(run.status == "dead" for run in found):
        output.say(
            f"{count} dead run{'s' if count > 1 else ''}; to record"
            f" {'them' if count > 1 else 'it'}: gitexp recover"
        )
    return found


def record(experiment: Experiment) -> dict[str, Any]:
    """Return what programs get to know of an experiment."""
    facts = {name: plain(query.attribute(name).of(experiment)) for name in query.ATTRIBUTES}
    return {
        **facts,
        "parent": experiment.parent,
        "params": dict(experiment.params),
        "metrics": dict(experiment.metrics),
    }


def _texts(key: Key, experiments: Sequence[Experiment], now: datetime) -> list[str]:
    """Return the experiments' values as a table shows them to people."""
    if key.family != "attribute":
        return output.numbers([key.of(item) for item in experiments])
    return [_attribute_text(key, item, now) for item in experiments]


def _attribute_text(key: Key, experiment: Experiment, now: datetime) -> str:
    value, attribute = key.of(experiment), key.name
    if attribute == "name":
        mark = _MARKS.get(notes.verdict(experiment.extra.get("events", ())) or "", "")
        alias = f" ({experiment.alias})" if experiment.alias else ""
        return output.clean(f"{value}{alias}") + mark
    if attribute == "started":
        return output.ago(value, now)
    if attribute == "duration":
        return output.duration(value)
    if attribute == "id":
        return experiment.short
    if attribute == "because" and value:
        return output.clean(one_line(str(value)))
    if attribute == "subject":
        return output.clean(own_subject(experiment))
    return output.clean(", ".join(value)) if key.kind == "set" else output.number(value)


# -- which columns ---------------------------------------------------------------------------------


def _usual(experiments: Sequence[Experiment], everything: bool) -> list[Key]:
    """Return the columns that have something to say: name and time, metrics, params, and the
    message if it is the user's own.

    Why they failed is a column where none of them finished.
    """
    has = {
        "status": any(item.status != "finished" for item in experiments),
        "started": True,
        "subject": any(own_subject(item) for item in experiments),
        **{
            name: any(map(query.attribute(name).of, experiments))
            for name in ("duration", "labels", "group", "verdict", "because")
        },
    }
    names = (
        [name for name in query.ATTRIBUTES if name not in ("failure", *_LAST)]
        if everything
        else ["status", "started", "duration", "labels", "group", "verdict"]
    )
    before = [query.attribute(name) for name in names if everything or has[name]]
    has["failure"] = any(item.failure for item in experiments) and all(
        item.status != "finished" for item in experiments
    )
    last = [query.attribute(name) for name in ("failure", *_LAST) if everything or has[name]]
    return [
        *([] if everything else [query.attribute("name")]),
        *before,
        *_values(experiments, "metrics"),
        *_values(experiments, "params"),
        *last,
    ]


def _values(experiments: Iterable[Experiment], family: str) -> list[Key]:
    """Return the params or metrics that the experiments have, in the order of their first
    appearance."""
    return [
        query.value_key(family, name)
        for name in dict.fromkeys(name for item in experiments for name in getattr(item, family))
    ]


def _only_varying(
    experiments: Sequence[Experiment], keys: Sequence[Key], pinned: Sequence[Key]
) -> tuple[list[Key], str | None]:
    """Leave out the metrics that are the same in all experiments, and the params that are the same
    wherever they are; return what is left, and what to say of the others."""
    if len(experiments) < 2:
        return list(keys), None
    same: dict[Key, str] = {}
    for key in keys:
        values = [key.of(item) for item in experiments]
        given = [value for value in values if value is not None]
        compared = given if key.family == "params" and given else values
        if key.family != "attribute" and key not in pinned and len({*map(repr, compared)}) == 1:
            same[key] = f"{output.clean(key.name)}={output.number(compared[0])[:_WIDEST]}"
    hidden = f"the same wherever they are: {some([*same.values()], _NAMED)}" if same else None
    return [key for key in keys if key not in same], hidden


def headers_of(keys: Sequence[Key]) -> list[str]:
    """Return a header for each key: its bare name, unless a param and a metric share it."""
    names = [key.name for key in keys]
    return [output.clean(key.full if names.count(key.name) > 1 else key.name) for key in keys]


# -- printing --------------------------------------------------------------------------------------


def _print_table(
    experiments: Sequence[Experiment],
    keys: Sequence[Key],
    pinned: Sequence[Key],
    whole: bool,
    form: str | None,
    hidden: str | None,
) -> None:
    headers = headers_of(keys)
    if form == "md":
        output.print_records(
            form,
            headers,
            [
                [output.clean(output.exact(flat(key.of(item)))) for key in keys]
                for item in experiments
            ],
        )
        return
    now = datetime.now(timezone.utc)
    columns = []
    for key, header in zip(keys, headers):
        kinds = {type(key.of(item)) for item in experiments} - {int, float, bool, type(None)}
        numeric = not kinds or key.full == "duration"
        columns.append(Column(header, _texts(key, experiments, now), numeric))
    print_columns(
        columns, [headers[keys.index(key)] for key in pinned if key in keys], whole, hidden
    )


def print_columns(
    columns: list[Column], pinned: Sequence[str], whole: bool, hidden: str | None = None
) -> None:
    """Print the columns that fit, the first and the ``pinned`` in any case, and say in one line on
    stderr what is ``hidden`` and what had no room."""
    said = [hidden] if hidden else []
    room = output.terminal_width()
    if room is not None and not whole:
        columns = [
            column._replace(cells=[_clipped(cell) for cell in column.cells]) for column in columns
        ]
        columns, dropped = _fitting(columns, pinned, room)
        if dropped:
            said.append(f"no room for: {some(dropped, _NAMED)}")
    rows = list(zip(*(column.cells for column in columns)))
    lines = output.text_table(
        [column.header for column in columns], rows, [column.right for column in columns]
    )
    click.echo("\n".join([output.styled(lines[0], bold=True), *lines[1:]]))
    if said:
        output.say(f"{'; '.join(said)} (--columns picks, --all-columns shows all)")


def _fitting(
    columns: list[Column], pinned: Sequence[str], room: int
) -> tuple[list[Column], list[str]]:
    sizes = _sizes(columns)
    if sum(sizes) > room + 2:
        numbers = max((at for at, column in enumerate(columns) if column.right), default=0)
        columns = [
            column._replace(cells=[_clipped(cell, _NARROW) for cell in column.cells])
            if 0 < at < numbers
            else column
            for at, column in enumerate(columns)
        ]
        sizes = _sizes(columns)
    first = sorted(range(len(columns)), key=lambda at: (at > 0, columns[at].header not in pinned))
    kept, left = set(), room + 2
    for at in first:
        if at == 0 or columns[at].header in pinned or sizes[at] <= left:
            kept.add(at)
            left -= sizes[at]
    return [columns[at] for at in sorted(kept)], [
        column.header for at, column in enumerate(columns) if at not in kept
    ]


def _sizes(columns: Sequence[Column]) -> list[int]:
    return [max(map(output.width, (column.header, *column.cells))) + 2 for column in columns]


def _print_csv(experiments: Sequence[Experiment], chosen: Sequence[Key] | None) -> None:
    given = chosen or [
        *map(query.attribute, query.ATTRIBUTES),
        *_values(experiments, "params"),
        *_values(experiments, "metrics"),
    ]
    headers = [key.full for key in given] if chosen is None else headers_of(given)
    output.print_records(
        "csv", headers, [[flat(key.of(item)) for key in given] for item in experiments]
    )


def _picked(experiment: Experiment, keys: Sequence[Key]) -> dict[str, Any]:
    return {
        "name": experiment.name,
        **{header: plain(key.of(experiment)) for key, header in zip(keys, headers_of(keys))},
    }


def plain(value: Any) -> Any:
    return (
        format_time(value)
        if isinstance(value, datetime)
        else list(value)
        if isinstance(value, tuple)
        else value
    )


def flat(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, tuple) else plain(value)


def _nothing(index: Index, asked: bool, everybody: bool) -> str:
    if asked:
        return "no experiment fits; to see them all: gitexp list"
    if not everybody and index.count(everybody=True):
        return "no experiment of yours yet; to see those on remotes: gitexp list --all"
    if index.repo.is_shallow:
        return "no experiment is in this shallow clone; to bring them: git fetch --unshallow --tags"
    return (
        "no experiment yet; to record one: gitexp run -- COMMAND, or gitexp log --param lr=0.1"
        " --metric rmse=18.2"
    )


def _clipped(text: str, most: int = _WIDEST) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
