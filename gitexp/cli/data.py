"""The one question about data: may changed data be committed in DVC before it is recorded?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from gitexp.cli import output
from gitexp.repo.dvc import listed
from gitexp.repo.dvc_status import Stale, Talk


def talk() -> Talk:
    """Return how to talk with the user, who is asked only at a terminal."""
    return Talk(
        _ask if sys.stdin.isatty() and sys.stderr.isatty() else None,
        lambda text: output.say(output.clean(text)),
    )


def _ask(found: Sequence[Stale]) -> bool:
    output.say(
        f"changed since the last dvc commit: {output.clean(listed(item.path for item in found))}"
    )
    said = click.confirm(
        "Run `dvc commit` for changed data before each recording? (asked once)",
        default=True,
        err=True,
    )
    output.say(
        "kept for this clone; to say it for everybody, or otherwise: dvc_commit ="
        f" {'true' if said else 'false'} in .gitexp.toml"
    )
    return said
