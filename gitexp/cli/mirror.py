"""Experiments onto an MLflow server: what ``gitexp push --mlflow`` and ``gitexp export mlflow``
have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from gitexp.cli import output
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo

if TYPE_CHECKING:
    from gitexp.integrations.mlflow.client import Login

_NAMED = 5  # failures that are told one by one


class Target(NamedTuple):
    """An MLflow server, what to log in with, and what to do where it refuses that."""

    uri: str
    who: Login | None
    advice: str = ""


def mirror(
    repo: Repo,
    experiments: Sequence[Experiment],
    to: Target,
    artifacts: bool,
    place: str | None = None,
) -> int:
    """Mirror experiments to a server, and say what was done.

    Returns:
        the exit code: 1 where some could not be mirrored.
    """
    from gitexp.integrations.mlflow.client import Server
    from gitexp.integrations.mlflow.mirror import mirror as mirrored

    try:
        with Server(to.uri, to.who, to.advice) as server, _bar(len(experiments)) as bar:
            done = mirrored(
                repo,
                server,
                experiments,
                artifacts=artifacts,
                otherwise=place,
                progress=lambda _, __: bar.update(1),
            )
    except KeyboardInterrupt:
        output.say("what is missing goes there when the same command is run again")
        raise
    counts = [
        (done.created, "new"),
        (done.completed, "completed"),
        (done.updated, "updated"),
        (done.unchanged, "there already"),
    ]
    told = ", ".join(f"{len(names):,} {what}" for names, what in counts if names) or "nothing"
    output.say(f"mirrored to {to.uri}: {told}")
    for name, why in done.failed[:_NAMED]:
        output.say(f"{name} was not mirrored: {output.clean(why)}")
    if len(done.failed) > _NAMED:
        output.say(f"and {len(done.failed) - _NAMED:,} more were not mirrored")
    return 1 if done.failed else 0


def target(repo: Repo, uri: str | None) -> Target:
    """Return the MLflow server to mirror to: the one named, that of MLFLOW_TRACKING_URI, or that of
    a DagsHub remote.

    Raises:
        UsageError: none is known.
    """
    from gitexp.integrations import dagshub_remote
    from gitexp.integrations.mlflow import client as server

    host = dagshub_remote.usable_host(os.environ)
    usual = os.environ.get("MLFLOW_TRACKING_URI", "")
    # a local store of MLflow's is no server
    usual = usual if usual.startswith(("http://", "https://")) else ""
    home = dagshub_remote.find(repo, host) if host and not (uri or usual) else None
    named = uri or usual or (home.mlflow if home else None)
    if not named:
        raise UsageError(
            "which MLflow server? Write its address, for example http://localhost:5000, set"
            " MLFLOW_TRACKING_URI, or make DagsHub a remote: gitexp remote dagshub OWNER/REPO"
        )
    address, who = server.address(named), server.login(named, os.environ)
    if who is None and host and f"{address}/".startswith(f"{host}/"):
        token = dagshub_remote.token(host, os.environ)
        if token is None:
            return Target(address, None, dagshub_remote.NO_TOKEN)
        return Target(
            address,
            server.Login(dagshub_remote.username(token, os.environ), token),
            "the token may have expired: dagshub login",
        )
    return Target(address, who)


@contextmanager
def _bar(length: int) -> Iterator[click._termui_impl.ProgressBar[int]]:
    """Yield a progress bar on stderr, which draws nothing where that is not a terminal."""
    with click.progressbar(
        length=length,
        label="mirroring",
        file=sys.stderr,
        show_pos=True,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        yield bar
