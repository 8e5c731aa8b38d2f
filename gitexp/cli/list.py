"""``gitexp list``: all experiments, or those that are asked for, as a table.

On a terminal it shows what fits and what tells them apart, and says what it left out. Into a pipe
goes everything.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import click

from gitexp import runs
from gitexp.cli import output, pager
from gitexp.cli.declare import option
from gitexp.cli.opened import Selection, asked_for, nothing, opened, selection
from gitexp.cli.table import NAMED, WIDEST, Column, flat, headers_of, print_columns, texts
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import own_subject_of, portable, some
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.store import columns, query
from gitexp.store.index import Index
from gitexp.store.query import Key, Sql

_MARKS = {"same": " (verified)", "drifted": " (drifted)"}  # what `gitexp reproduce` found
_LAST = ("because", "subject")  # text, which may be long
_USUAL = (
    "status", "started", "duration", "labels", "group", "verdict", "failure", *_LAST, "alias",
    "proof",
)  # fmt: skip


class Table:
    """Experiments as columns: runs that are not recorded yet, and those of the index below."""

    def __init__(
        self, runs: Sequence[Experiment], columns: dict[str, Sequence[Any]], limit: int | None
    ) -> None:
        self._runs = runs[:limit]
        count = None if limit is None else limit - len(self._runs)
        self._columns = {name: column[:count] for name, column in columns.items()}
        started = [item / 1000 for item in self._columns["started"]]
        utc = itertools.repeat(timezone.utc)
        self._columns["started"] = [*map(datetime.fromtimestamp, started, utc)]
        self.size = len(self._runs) + len(started)

    def of(self, key: Key) -> list[Any]:
        """Return the values of a key, None where there is none."""
        column = self._columns.get(key.full) or [None] * (self.size - len(self._runs))
        return [*map(key.of, self._runs), *column]

    def attribute(self, name: str) -> list[Any]:
        """Return the values of an attribute."""
        return self.of(query.attribute(name))

    def any_of(self, name: str) -> bool:
        """Whether any experiment has this attribute."""
        return any(self.attribute(name))

    def values(self, family: str) -> list[Key]:
        """Return the ``params`` or ``metrics`` that there are, in the order of their first
        appearance."""
        ours = (name for run in self._runs for name in getattr(run, family))
        theirs = (name for name in self._columns if name.startswith(f"{family}."))
        names = [*ours, *(name.partition(".")[2] for name in theirs)]
        return [query.value_key(family, name) for name in dict.fromkeys(names)]

    def names(self) -> list[str]:
        """Return the names, with the second one and what `gitexp reproduce` found."""
        marks = [""] * len(self._runs) + [_MARKS.get(item, "") for item in self._columns["proof"]]
        return [
            output.clean(f"{name} ({alias})" if alias else name) + mark
            for name, alias, mark in zip(self.attribute("name"), self.attribute("alias"), marks)
        ]

    def subjects(self) -> list[str]:
        """Return the subjects that somebody wrote, empty where gitexp made them up."""
        return [*map(own_subject_of, self.attribute("name"), self.attribute("subject"))]


@click.command("list")
@selection
@option("-n, --limit N", "At most N of them.")
@option("-c, --columns KEY,...", "Show the name and these columns.", "names")
@option("--all-columns", "Show every column, however wide.")
@option(
    "--only-varying/--no-only-varying",
    "Hide metrics that are the same in all, and params that never vary (on a terminal).",
)
@option(
    "-g, --group-by KEY,...", "One row for each group: n, and mean ± sample std of its metrics."
)
@option("--discarded", "Only those that were discarded.")
@option("--all-verdicts", "Include those that were discarded.")
@option("--all-resumed", "Include those that a later run resumed.")
@output.output_options
@pager.paged
def list_command(asked: Selection, **how: Any) -> None:
    """List experiments, newest first.

    Active and dead runs (status running, dead) are listed above them, unless REF, --where,
    --discarded or --group-by asks for experiments.

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
    _list(asked, **how)


def _list(
    asked: Selection,
    limit: int | None,
    names: str | None,
    all_columns: bool,
    only_varying: bool | None,
    group_by: str | None,
    form: str | None,
    **verdicts: bool,
) -> None:
    repo, settings, index = opened()
    runs = _runs(repo)
    condition, everybody, left = _condition(index, settings, asked, verdicts)
    keys = query.sort(index, asked.sort, settings.metrics)
    narrowed = bool(asked.refs) or asked.where is not None or verdicts["discarded"]
    runs = [] if narrowed else runs
    chosen = [query.find_key(index, name) for name in query.split(names)]
    if group_by is not None:
        from gitexp.cli import groups

        by = [query.find_key(index, name) for name in query.split(group_by)]
        found = index.select(*condition, everybody=everybody)
        groups.show(found, by, keys, limit, chosen, all_columns, form)
        return
    order = query.order(keys)
    what = condition.text, [*condition.values, *order.values], order.text, limit, everybody
    if form == "json":
        _print_json([*runs, *index.select(*what)][:limit], chosen)
        return
    pinned = [key for key, _ in keys]
    wanted = {*_USUAL, *(key.name for key in (*chosen, *pinned))}
    facts = [name for name in columns.FACTS if all_columns or form == "csv" or name in wanted]
    table = Table(runs, index.columns(facts, *what), limit)
    if form == "csv":
        _print_csv(table, chosen)
    elif not table.size:
        if narrowed or not left:  # else it was said what is left out, and how to see it
            output.say(nothing(index, narrowed, everybody))
    else:
        varying = sys.stdout.isatty() and form is None if only_varying is None else only_varying
        shown = (
            [query.attribute("name"), *chosen] if chosen else [*_usual(table, all_columns), *pinned]
        )
        shown, hidden = [*dict.fromkeys(shown)], None
        if varying and not chosen and not all_columns:
            shown, hidden = _only_varying(table, shown, pinned)
        if form == "md":
            _print_markdown(table, shown)
        else:
            _print_table(table, shown, pinned, all_columns, hidden)


def _condition(
    index: Index, settings: Settings, asked: Selection, verdicts: Mapping[str, bool]
) -> tuple[Sql, bool, int]:
    """Return the condition for what was asked for, whether it looks at everybody's, and how many
    that were discarded or resumed it leaves out; say on stderr what it leaves out."""
    condition, everybody, names = asked_for(index, settings, asked)
    if index.lost:
        output.say(f"git has lost {some(index.lost)}; to see what may help: gitexp doctor")
    judged = resumed = 0
    if not names and not verdicts["all_verdicts"]:
        condition, judged = query.judged(index, condition, verdicts["discarded"], everybody)
    if not names and not verdicts["all_resumed"]:
        condition, resumed = query.current(index, condition, everybody)
    for count, what, called in (
        (judged, "discarded", "--all-verdicts"),
        (resumed, "that a later run resumed", "--all-resumed"),
    ):
        if count:
            output.say(f"left out: {count} {what} ({called})")
    return condition, everybody, judged + resumed


def _runs(repo: Repo) -> list[Experiment]:
    """Return the runs that are not recorded yet, newest first, and mention the dead ones on stderr;
    what looks at runs is loaded only where there are some."""
    folder = repo.state_dir / runs.FOLDER
    if not (folder.is_dir() and any(folder.iterdir())):
        return []
    from gitexp.runs import unrecorded

    found = unrecorded.runs(repo)
    if count := sum(run.status == "dead" for run in found):
        them = "them" if count > 1 else "it"
        output.say(f"{output.counted(count, 'dead run')}; to record {them}: gitexp recover")
    return found


def as_json(experiment: Experiment) -> dict[str, Any]:
    """Return what programs get to know of an experiment."""
    facts = {name: portable(query.attribute(name).of(experiment)) for name in query.ATTRIBUTES}
    values = {"params": dict(experiment.params), "metrics": dict(experiment.metrics)}
    return {**facts, "parent": experiment.parent, **values}


def _texts(table: Table, key: Key, now: datetime) -> list[str]:
    if key.full == "name":
        return table.names()
    if key.full == "subject":
        return [*map(output.clean, table.subjects())]
    return texts(key, table.of(key), lambda moment: output.ago(moment, now))


# -- which columns ---------------------------------------------------------------------------------


def _usual(table: Table, everything: bool) -> list[Key]:
    """Return the columns that have something to say: name and time, metrics, params, and the
    message if it is the user's own.

    Why they failed is a column where none of them finished.
    """
    last = ["failure", *_LAST]
    if everything:
        first = [name for name in query.ATTRIBUTES if name not in last]
    else:
        statuses = {*table.attribute("status")}
        first = ["name"] + ["status"] * (statuses != {"finished"}) + ["started"]
        first += filter(table.any_of, ("duration", "labels", "group", "verdict"))
        last = ["failure"] if "finished" not in statuses and table.any_of("failure") else []
        last += ["because"] if table.any_of("because") else []
        last += ["subject"] if any(table.subjects()) else []
    return [
        *map(query.attribute, first),
        *table.values("metrics"),
        *table.values("params"),
        *map(query.attribute, last),
    ]


def _only_varying(
    table: Table, keys: Sequence[Key], pinned: Sequence[Key]
) -> tuple[list[Key], str | None]:
    """Leave out the metrics that are the same in all experiments, and the params that are the same
    wherever they are; return what is left, and what to say of the others."""
    if table.size < 2:
        return list(keys), None
    same: dict[Key, str] = {}
    for key in keys:
        if key.family == "attribute" or key in pinned:
            continue
        values = table.of(key)
        given = [value for value in values if value is not None]
        compared = given if key.family == "params" and given else values
        if all(repr(value) == repr(compared[0]) for value in compared):
            same[key] = f"{output.clean(key.name)}={output.number(compared[0])[:WIDEST]}"
    hidden = f"the same wherever they are: {some([*same.values()], NAMED)}" if same else None
    return [key for key in keys if key not in same], hidden


# -- printing --------------------------------------------------------------------------------------


def _print_markdown(table: Table, keys: Sequence[Key]) -> None:
    cells = [[output.clean(output.exact(flat(item))) for item in table.of(key)] for key in keys]
    output.print_records("md", headers_of(keys), [*zip(*cells)])


def _print_table(
    table: Table, keys: Sequence[Key], pinned: Sequence[Key], whole: bool, hidden: str | None
) -> None:
    headers = headers_of(keys)
    now = datetime.now(timezone.utc)
    columns = []
    for key, header in zip(keys, headers):
        kinds = {*map(type, table.of(key))} - {int, float, bool, type(None)}
        numeric = not kinds or key.full == "duration"
        columns.append(Column(header, _texts(table, key, now), numeric))
    print_columns(
        columns, [headers[keys.index(key)] for key in pinned if key in keys], whole, hidden
    )


def _print_json(found: Sequence[Experiment], chosen: Sequence[Key]) -> None:
    if not chosen:
        output.print_json([*map(as_json, found)])
        return
    keys = [query.attribute("name"), *chosen]
    named = [*zip(["name", *headers_of(chosen)], keys)]
    output.print_json([{name: portable(key.of(item)) for name, key in named} for item in found])


def _print_csv(table: Table, chosen: Sequence[Key]) -> None:
    values = [*table.values("params"), *table.values("metrics")]
    given = chosen or [*map(query.attribute, query.ATTRIBUTES), *values]
    headers = headers_of(given) if chosen else [key.full for key in given]
    rows = [*zip(*(map(flat, table.of(key)) for key in given))]
    output.print_records("csv", headers, rows)
