"""What reading commands begin with: the repository here, its settings and the index of its
experiments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import click

from gitexp.cli import completion, output
from gitexp.cli.declare import Command, argument, gathered, option, together
from gitexp.formats import settings
from gitexp.formats.errors import NotFoundError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.store import query, reference
from gitexp.store.index import Index
from gitexp.store.query import Sql

_WORTH_TELLING = 2_000  # experiments that take some tenths of a second to index


fetch_option = option(
    "--fetch", "First fetch tags and history, which CI checkouts lack.", is_eager=True
)


def _with_only(context: click.Context, _: click.Parameter, where: str | None) -> str | None:
    """Return ``--where`` with what ``--only-with`` says, which is read before it."""
    names = query.split(context.params.pop("only_with", None))
    # what is wrong is to be said of what was typed, unless what is there comes only now
    if names and not (context.resilient_parsing or context.params.get("fetch")):
        index = opened()[2]
        query.where(index, where)
        for name in names:
            query.find_key(index, name)
    having = ["not '{}' is missing".format(name.replace("'", "''")) for name in names]
    conditions = [*having, f"({where})"] if where and where.strip() and having else having
    return " and ".join(conditions) or where


# a command gets both as ``where``; the second says the same as the first in fewer words
where_option = together(
    option(
        "-w, --where CONDITION",
        "Only experiments that match; see gitexp list --help.",
        shell_complete=completion.keys,
        callback=_with_only,
    ),
    option(
        "--only-with KEY,...",
        "Only experiments that have these: metrics (any), params (any), rmse.",
        is_eager=True,
    ),
)


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


# a command gets REF..., ``--where``, ``--sort`` and ``--all`` as ``asked``
selection = gathered(
    Selection,
    "asked",
    argument("[REF]...", "refs"),
    where_option,
    option("-s, --sort KEY[:asc|desc],...", "Sort by these; a metric sorts best first."),
    everybody_option,
)


def opened(fetch: bool = False) -> tuple[Repo, Settings, Index]:
    """Open the repository that the working directory lies in, where wanted after a fetch of its
    tags and history."""
    repo = Repo.discover()
    if fetch:
        from gitexp.store.remote import transport

        transport.complete(repo)
    return repo, settings.load(repo.root, repo.project), Index(repo, _progress)


def asked_for(index: Index, settings: Settings, asked: Selection) -> tuple[Sql, bool, list[str]]:
    """Return the condition for what a command is about, whether it looks at everybody's
    experiments, and the names of those that were named; without names see ``in_reach``."""
    condition = query.where(index, asked.where)
    if asked.refs:
        names = [one.name for one in reference.resolve_many(index, asked.refs, settings)]
        # several refs, of a remote's tag and of its owner's, may have one name
        named = (
            "({}) AND ref.ref IN (SELECT min(ref) FROM ref WHERE name IN (SELECT value FROM"
            " json_each(?)) GROUP BY number)"
        )
        return condition.within(named, output.exact(names)), True, names
    return in_reach(index, condition, asked.everybody), asked.everybody, []


def in_reach(index: Index, condition: Sql, everybody: bool = False) -> Sql:
    """Return a condition for what a command looks at that is given no names, see
    ``query.in_reach``; say on stderr what other projects have."""
    condition, others = query.in_reach(index, condition, everybody)
    if others:
        params = click.get_current_context().command.params
        widens = any("--all" in one.opts for one in params)
        way = (
            "to include them: --all" if widens else "at the repository's top, the command takes all"
        )
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
    condition, everybody, names = asked_for(index, settings, asked)
    if current and not names:
        condition, _ = query.current(index, condition, everybody)
    order = query.order(query.sort(index, asked.sort, settings.metrics))
    values = [*condition.values, *order.values]
    found = index.select(condition.text, values, order.text, everybody=everybody)
    if not found:
        raise NotFoundError(nothing(index, bool(asked.refs or asked.where), everybody))
    if names and not asked.sort:
        found.sort(key=lambda item: names.index(item.name))
    return found


def nothing(index: Index, asked: bool, everybody: bool) -> str:
    """Return why there is no experiment, and what to do; ``asked``: it was asked for some only."""
    if asked:
        return "no experiment matches; to see them all: gitexp list"
    if not everybody and index.count(everybody=True):
        return "no experiment of yours here yet; to see all: gitexp list --all"
    if index.repo.is_shallow:
        return "no experiment is in this shallow clone; to bring them: git fetch --unshallow --tags"
    return (
        "no experiment yet; to record one: gitexp run -- COMMAND, or gitexp log --param lr=0.1"
        " --metric rmse=18.2"
    )


def _progress(done: int, total: int) -> None:
    terminal = sys.__stderr__  # now, where talk for people waits for the pager
    if total >= _WORTH_TELLING and terminal and terminal.isatty():
        said = f"\rindexing {done:,} of {total:,} experiments" if done < total else "\r\x1b[K"
        click.echo(said, terminal, nl=False)
