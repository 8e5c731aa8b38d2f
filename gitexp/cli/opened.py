"""What reading commands begin with: the repository here, its settings and the index of its
experiments."""

from __future__ import annotations

import sys

import click

from gitexp.formats import settings
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.store.index import Index
from gitexp.store.remote import transport

_WORTH_TELLING = 2_000  # experiments that take some tenths of a second to index


fetch_option = click.option(
    "--fetch", is_flag=True, help="First bring tags and history, which CI's checkouts lack."
)


def opened(fetch: bool = False) -> tuple[Repo, Settings, Index]:
    """Open the repository that the working directory lies in, where wanted after a fetch of its
    tags and history."""
    repo = Repo.discover()
    if fetch:
        transport.complete(repo)
    return repo, settings.load(repo.root), Index(repo, _progress)


def _progress(done: int, total: int) -> None:
    terminal = sys.__stderr__  # now, where talk for people waits for the pager
    if total >= _WORTH_TELLING and terminal and terminal.isatty():
        click.echo(
            f"\rindexing {done:,} of {total:,} experiments" if done < total else "\r\x1b[K",
            terminal,
            nl=False,
        )
