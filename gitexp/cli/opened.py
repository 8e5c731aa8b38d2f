"""What reading commands begin with: the repository here, its settings and the index of its
experiments."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from gitexp.cli import completion
from gitexp.formats import settings
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.store import query
from gitexp.store.index import Index

Command = TypeVar("Command", bound=Callable[..., Any])
_WORTH_TELLING = 2_000  # experiments that take some tenths of a second to index


fetch_option = click.option(
    "--fetch", is_flag=True, help="First fetch tags and history, which CI checkouts lack."
)


def where_option(function: Command) -> Command:
    """Give a command ``--where``, and ``--only-with``, which says the same in fewer words; it gets
    both as ``where``."""

    @functools.wraps(function)
    def joined(*args: Any, where: str | None, only_with: str | None, **rest: Any) -> Any:
        having = [f"not {_quoted(name)} is missing" for name in query.split(only_with)]
        conditions = [*having, f"({where})"] if where and where.strip() and having else having
        return function(*args, where=" and ".join(conditions) or where, **rest)

    only_with = click.option(
        "--only-with",
        metavar="KEY,...",
        shell_complete=completion.keys,
        help="Only experiments that have these: metrics (any), params (any), rmse.",
    )
    option = click.option(
        "--where",
        "-w",
        metavar="CONDITION",
        shell_complete=completion.keys,
        help="Only experiments that match; see gitexp list --help.",
    )
    return cast(Command, option(only_with(joined)))


def metric_option(text: str, required: bool = False) -> Callable[[Command], Command]:
    """Return ``--metric`` with this help."""
    return click.option(
        "--metric",
        "-m",
        metavar="METRIC",
        required=required,
        shell_complete=completion.metrics,
        help=text,
    )


everybody_option = click.option(
    "--all",
    "-a",
    "everybody",
    is_flag=True,
    help="Everybody's experiments, including those on remotes.",
)


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def opened(fetch: bool = False) -> tuple[Repo, Settings, Index]:
    """Open the repository that the working directory lies in, where wanted after a fetch of its
    tags and history."""
    repo = Repo.discover()
    if fetch:
        from gitexp.store.remote import transport

        transport.complete(repo)
    return repo, settings.load(repo.root, repo.project), Index(repo, _progress)


def _progress(done: int, total: int) -> None:
    terminal = sys.__stderr__  # now, where talk for people waits for the pager
    if total >= _WORTH_TELLING and terminal and terminal.isatty():
        click.echo(
            f"\rindexing {done:,} of {total:,} experiments" if done < total else "\r\x1b[K",
            terminal,
            nl=False,
        )
