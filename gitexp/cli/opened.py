"""What reading commands begin with: the repository here, its settings and the index of its
experiments."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import click

from gitexp.cli import completion, output
from gitexp.cli.declare import Command, argument, option, together
from gitexp.formats import settings
from gitexp.formats.errors import NotFoundError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.store import query, reference
from gitexp.store.index import Index
from gitexp.store.query import Sql

_WORTH_TELLING = 2_000  # experiments that take some tenths of a second to index


fetch_option = option("--fetch", "First fetch tags and history, which CI checkouts lack.")


def where_option(function: Command) -> Command:
    """Give a command ``--where``, and ``--only-with``, which says the same in fewer words; it gets
    both as ``where``."""

    @functools.wraps(function)
    def joined(*args: Any, where: str | None, only_with: str | None, **rest: Any) -> Any:
        names = (name.replace("'", "''") for name in query.split(only_with))
        having = [f"not '{name}' is missing" for name in names]
        conditions = [*having, f"({where})"] if where and where.strip() and having else having
        return function(*args, where=" and ".join(conditions) or where, **rest)

    only_with = option(
        "--only-with KEY,...",
        "Only experiments that have these: metrics (any), params (any), rmse.",
    )
    condition = option(
        "-w, --where CONDITION",
        "Only experiments that match; see gitexp list --help.",
        complete=completion.keys,
    )
    return together(condition, only_with)(cast(Command, joined))


def metric_option(text: str, required: bool = False) -> Callable[[Command], Command]:
    """Return ``--metric`` with this help."""
    return option("-m, --metric METRIC", text, required=required)


everybody_option = option(
    "-a, --all",
    "Everybody's experiments, of all projects, including those on remotes.",
    "everybody",
)


class Selection(NamedTuple):
    """The experiments that a command is about: those named, for which the condition holds."""

    refs: Sequence[str] = ()
    where: str | None = None
    sort: str | None = None
    everybody: bool = False


def selection(function: Command) -> Command:
    """Give a command REF..., ``--where``, ``--sort`` and ``--all``; it gets them as ``asked``."""

    @functools.wraps(function)
    def joined(
        *args: Any,
        refs: Sequence[str],
        where: str | None,
        sort: str | None,
        everybody: bool,
        **rest: Any,
    ) -> Any:
        return function(*args, asked=Selection(refs, where, sort, everybody), **rest)

    by = option("-s, --sort KEY[:asc|desc],...", "Sort by these; a metric sorts best first.")
    declared = together(argument("[REF]...", "refs"), where_option, by, everybody_option)
    return declared(cast(Command, joined))


def opened(fetch: bool = False) -> tuple[Repo, Settings, Index]:
    """Open the repository that the working directory lies in, where wanted after a fetch of its
    tags and history."""
    repo = Repo.discover()
    if fetch:
        from gitexp.store.remote import transport

        transport.complete(repo)
    return repo, settings.load(repo.root, repo.project), Index(repo, _progress)


def among(
    index: Index, settings: Settings, condition: Sql, refs: Sequence[str]
) -> tuple[Sql, list[str]]:
    """Return a condition that holds only for the experiments that are named, and their names."""
    names = [experiment.name for experiment in reference.resolve_many(index, refs, settings)]
    named = "({}) AND ref.name IN (SELECT value FROM json_each(?))"
    return condition.within(named, output.exact(names)), names


def in_reach(index: Index, condition: Sql, everybody: bool = False) -> Sql:
    """Return a condition for what a command looks at that is given no names, see
    ``query.in_reach``; say on stderr what other projects have."""
    condition, others = query.in_reach(index, condition, everybody)
    if others:
        widens = "everybody" in click.get_current_context().params
        way = "--all" if widens else "called at the top of the repository, it takes them"
        output.say(f"{output.counted(others, 'experiment')} of other projects left out ({way})")
    return condition


def chosen(
    index: Index, settings: Settings, asked: Selection, current: bool = False
) -> list[Experiment]:
    """Return the experiments that a command is about, newest first, or sorted.

    Args:
        current: leave out those that a later one resumed, unless they are named.

    Raises:
        NotFoundError: there is none.
    """
    refs, where, sort, everybody = asked
    condition = query.where(index, where)
    if refs:
        condition, names = among(index, settings, condition, refs)
    else:
        condition = in_reach(index, condition, everybody)
        if current:
            condition, _ = query.current(index, condition, everybody)
    order = query.order(query.sort(index, sort, settings.metrics))
    found = index.select(
        condition.text,
        [*condition.values, *order.values],
        order.text,
        everybody=everybody or bool(refs),
    )
    if not found:
        raise NotFoundError("no experiment fits; to see what there is: gitexp list")
    if refs and not sort:
        found.sort(key=lambda item: names.index(item.name))
    return found


def _progress(done: int, total: int) -> None:
    terminal = sys.__stderr__  # now, where talk for people waits for the pager
    if total >= _WORTH_TELLING and terminal and terminal.isatty():
        click.echo(
            f"\rindexing {done:,} of {total:,} experiments" if done < total else "\r\x1b[K",
            terminal,
            nl=False,
        )
