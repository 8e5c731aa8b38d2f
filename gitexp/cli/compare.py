"""Experiments measured against each other: ``gitexp compare``, ``gitexp leaderboard`` and ``gitexp
gate``."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitexp.cli import options as shared
from gitexp.cli import output, pager
from gitexp.cli.declare import FILE, NUMBER, POSITIVE, argument, option
from gitexp.cli.markdown import escaped, keep_block, table, varying
from gitexp.cli.opened import (
    Selection,
    chosen,
    everybody_option,
    fetch_option,
    metric_option,
    opened,
    where_option,
)
from gitexp.cli.table import texts
from gitexp.formats import metric_names, metrics
from gitexp.formats.errors import GateError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.store import query, reference
from gitexp.store.query import Key

if TYPE_CHECKING:
    from gitexp.compare.judge import Trusted
    from gitexp.repo import Repo

_ABOUT = ("status", "started", "duration", "author", "labels", "group", "branch", "id")


@click.command("compare")
@argument("[REF REF...]", "refs")
@where_option
@option("--same", "Also show what is the same in all.")
@output.whole_option
@output.output_options
@pager.paged
def compare_command(
    refs: tuple[str, ...], where: str | None, same: bool, whole: bool, form: str | None
) -> None:
    """Show experiments side by side: what differs between them, one column each.

    The best value of each metric is marked with a star where it is known which way is better. For
    the code, see gitexp diff; for more of everything, gitexp report.

    \b
    Examples:
      gitexp compare exp-3 exp-7 best:rmse
      gitexp compare exp-3..exp-9 --csv
      gitexp compare --where 'group = sweep-1'
    """
    _, settings, index = opened()
    found = chosen(index, settings, Selection(refs, where)) if refs or where else []
    if len(found) < 2:
        raise UsageError("to compare takes two experiments or more: gitexp compare exp-3 exp-7")
    keys = [query.attribute(name) for name in _ABOUT]
    keys += [
        Key(kind, name)
        for kind in ("params", "metrics")
        for name in dict.fromkeys(name for item in found for name in getattr(item, kind))
    ]
    differing = [key for key in keys if same or len({repr(key.of(item)) for item in found}) > 1]
    names = [item.name for item in found]
    if form in ("json", "csv"):
        values = [[key.full, *(_plain(key.of(item)) for item in found)] for key in differing]
        output.print_records(form, ["key", *names], values)
        return
    rows = [[key.name, *_shown(key, found, settings)] for key in differing]
    if form == "md":
        click.echo(table(["", *names], rows))
    else:
        headers = ["", *map(output.clean, names)]
        cells = output.fitted(headers, [[*map(output.clean, row)] for row in rows], whole)
        output.print_lines(output.text_table(headers, _with_titles(differing, cells)), whole)
    if len(differing) < len(keys):
        output.say(f"{len(keys) - len(differing)} more are the same in all (--same shows them)")


@click.command("leaderboard")
@argument("[FILE]", type=FILE)
@metric_option("The metric to rank by.", required=True)
@where_option
@option("-n, --limit N", "At most N of them.", type=POSITIVE, default=10)
@everybody_option
@option("--check", "Write nothing; exit with 1 where FILE is not up to date.")
@pager.paged
def leaderboard_command(
    file: Path | None, metric: str, where: str | None, limit: int, everybody: bool, check: bool
) -> None:
    """Keep a table of the best experiments up to date in FILE, or print it.

    The table stands between two comments, <!-- gitexp:leaderboard METRIC --> and <!--
    /gitexp:leaderboard -->. Put them where it should be; a file without them gets it at its end.

    \b
    Examples:
      gitexp leaderboard --metric rmse README.md
      gitexp leaderboard --metric rmse README.md --check
    """
    _, settings, index = opened()
    name = query.find_metric(index, metric).name
    metric_names.known_direction(name, settings.metrics)
    found = chosen(index, settings, Selection((), where, f"metrics.{name}", everybody))
    having = [item for item in found if item.metrics.get(name, math.nan) == item.metrics.get(name)]
    board = _board(having[:limit], name)
    if file is None:
        click.echo(board)
        return
    keep_block(file, f"leaderboard {name}", board, check)


@click.command("gate")
@argument("[REF]")
@metric_option("The metric that counts.", required=True)
@option(
    "--against REF|BRANCH",
    "What it is measured against: an experiment, or the newest in a branch's history.",
)
@option(
    "--max-regression AMOUNT", "How much worse it may be: 1%, or an amount like 0.02.", default="0"
)
@option("--min VALUE", "Fail below this value.", "low", type=NUMBER)
@option("--max VALUE", "Fail above this value.", "high", type=NUMBER)
@option(
    "--direction",
    "Which way is better, where neither the settings nor its name say so.",
    type=click.Choice(["min", "max"]),
)
@shared.judge_options
@fetch_option
@output.output_options
def gate_command(
    ref: str | None,
    metric: str,
    against: str | None,
    max_regression: str,
    low: float | None,
    high: float | None,
    direction: str | None,
    judge: str | None,
    trusted: str | None,
    fetch: bool,
    form: str | None,
) -> None:
    """Check that an experiment is no worse than another one, and exit with 1 where it is: for CI.

    REF is, by default, the newest experiment with METRIC in HEAD's history that --against lacks.
    With --trusted, one whose protected files differ from that commit's fails; with --judge, the
    metric is what that commit's judge says, not what the experiment does.

    \b
    Examples:
      gitexp gate --metric rmse --max-regression 1% --against origin/main
      gitexp gate exp-7 --metric accuracy --min 0.9
      gitexp gate 7 -m score --min 0.9 --judge 'python eval.py' --trusted main
    """
    from gitexp.compare import gate

    if against is None and low is None and high is None:
        raise UsageError(
            "a gate needs something to compare with: --against REF, --min VALUE or --max VALUE"
        )
    allowance = gate.parse_allowance(max_regression)
    repo, settings, index = opened(fetch)
    by = shared.agreed_judge(repo, judge, trusted)
    name = metric if judge else query.find_metric(index, metric).name
    logged = None if judge else name
    # which two are compared
    if ref:
        candidate = reference.resolve(index, ref, settings)
    else:
        candidate, last = gate.candidate_of(index, logged, against)
        if last.id != candidate.id and last.status != "finished":
            output.warn(f"{last.name}, which is newer and {last.status}, has no '{name}'")
    baseline = gate.baseline_of(index, against, logged, candidate, settings) if against else None
    if by:
        candidate = _scored(repo, candidate, by)
        baseline = baseline and _scored(repo, baseline, by)
    # is it good enough?
    way = direction or metrics.direction(name, settings.metrics)
    verdict = gate.check(name, way, candidate, baseline, allowance, low, high)
    if form:
        headers = ("metric", "experiment", "value", "against", "before", "worse_by", "passed")
        output.print_records(form, headers, [(*verdict[:6], not verdict.failures)])
    elif not verdict.failures:
        value, before = output.numbers([verdict.value, verdict.before])
        against_text = f", {verdict.baseline} has {before}" if baseline else ""
        click.echo(output.clean(f"passed: {verdict.name} has {name}={value}{against_text}"))
    if verdict.failures:
        why = "; ".join(verdict.failures)
        raise GateError(f"{verdict.name} has {name}={verdict.value:.6g}: {why}")


def _scored(repo: Repo, item: Experiment, by: Trusted) -> Experiment:
    """Return an experiment with the metrics that the judge gives it; raise GateError where they do
    not count."""
    from gitexp.compare import judge

    found = judge.score(repo, item, by, sys.stderr)
    if why := judge.score_problem(item, found):
        raise GateError(why)
    return item if by.command is None else replace(item, metrics=found.metrics)


def _board(experiments: Sequence[Experiment], metric: str) -> str:
    params = varying(experiments)
    headers = ["#", "experiment", metric, *params, "author", "date"]
    values = [[item.metrics[metric], *map(item.params.get, params)] for item in experiments]
    rows = [
        [str(at), item.name, *shown, item.author, f"{item.started:%Y-%m-%d}"]
        for at, (item, shown) in enumerate(zip(experiments, output.number_rows(values)), 1)
    ]
    return table(headers, rows) if rows else f"No experiment has {escaped(metric)} yet."


def _shown(key: Key, experiments: Sequence[Experiment], settings: Settings) -> list[str]:
    values = [key.of(item) for item in experiments]
    way = metrics.direction(key.name, settings.metrics) if key.family == "metrics" else None
    numbers = [value for value in values if isinstance(value, (int, float)) and value == value]
    best = (min if way == "min" else max)(numbers) if way and len(set(numbers)) > 1 else None
    marks = (" ★" if best is not None and value == best else "" for value in values)
    spelt = texts(key, values, lambda moment: f"{moment.astimezone():%Y-%m-%d %H:%M}")
    return [f"{text}{mark}" for text, mark in zip(spelt, marks)]


def _with_titles(keys: Sequence[Key], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Put a line with the kind's name before the params, and before the metrics."""
    titled: list[list[str]] = []
    for at, (key, row) in enumerate(zip(keys, rows)):
        if key.family != "attribute" and (at == 0 or keys[at - 1].family != key.family):
            titled.append([output.styled(key.family, bold=True), *("" for _ in row[1:])])
        titled.append(list(row))
    return titled


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
