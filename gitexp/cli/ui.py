"""``gitexp ui``: the experiments in the browser, live, or in MLflow's pages."""

from __future__ import annotations

import time
import webbrowser
from collections.abc import Callable

import click

from gitexp.cli import output
from gitexp.cli.declare import POSITIVE, option
from gitexp.formats.errors import GitexpError, UsageError
from gitexp.repo import Repo


@click.command("ui")
@option("--port N", "The port to listen on (default: a free one).", type=click.IntRange(1, 65535))
@option("--no-browser", "Only print the address.")
@option("--pull SECONDS", "Fetch what others push, this often, and show it.", type=POSITIVE)
@option("--mlflow", "Show MLflow's pages (needs the extra mlflow).")
def ui_command(port: int | None, no_browser: bool, pull: int | None, mlflow: bool) -> None:
    """Show all experiments and the runs going on, on this machine only, until Ctrl-C.

    The page is the one of gitexp report, and follows what goes on. Labels, notes and verdicts
    that are written in it become git notes, and it can delete tags and bring them back. Anyone
    with the address can do the same, so keep it to yourself. --mlflow shows MLflow's pages instead,
    with its telemetry off.

    \b
    Examples:
      gitexp ui
      gitexp ui --pull 60
      gitexp ui --mlflow --port 5000 --no-browser
    """
    if mlflow and pull:
        raise UsageError("--pull belongs to the page of gitexp; leave --mlflow out")

    def opened(address: str) -> None:
        click.echo(address)
        output.say("Ctrl-C stops it")
        if not no_browser:
            webbrowser.open(address)

    try:
        if mlflow:
            _mlflow(Repo.discover(), port, opened)
        else:
            _live(Repo.discover(), port, opened, pull)
    except KeyboardInterrupt:  # the way to stop it, and no failure
        output.say("stopped")


def _live(repo: Repo, port: int | None, opened: Callable[[str], None], pull: int | None) -> None:
    from gitexp.report.server import served

    with served(repo, port, everybody=pull is not None) as address:
        opened(address)
        said = ""
        while True:
            problem = _pulled(repo) if pull else ""
            if problem != said and problem:
                output.say(f"nothing was pulled: {problem}; it is tried again")
            said = problem
            time.sleep(pull or 3600)


def _pulled(repo: Repo) -> str:
    """Bring what others pushed, without its data; return why that failed, or nothing."""
    from gitexp.store.remote import sync

    try:
        sync.pull(repo, data=False)
    except GitexpError as error:
        return str(error)
    return ""


def _mlflow(repo: Repo, port: int | None, opened: Callable[[str], None]) -> None:
    from gitexp.integrations.mlflow.ui import served

    with served(repo, port) as (address, server):
        opened(address)
        code = server.wait()
    raise GitexpError(
        f"MLflow's server ended with exit code {code}; .git/gitexp/mlflow/server.log says why"
    )
