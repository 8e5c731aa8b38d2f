"""``gitexp ui``: the experiments in the browser, live, or in MLflow's pages."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable

import click

from gitexp.cli import output
from gitexp.repo import Repo


@click.command("ui")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to listen on (default: a free one)."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--mlflow", is_flag=True, help="Show MLflow's pages (needs the extra mlflow).")
def ui_command(port: int | None, no_browser: bool, mlflow: bool) -> None:
    """Show all experiments and the runs going on, on this machine only, until Ctrl-C.

    The page is the one of gitexp report, and follows what goes on. Labels and notes that are
    written in it become git notes. Whoever has the address can read and write them, so keep it.
    With --mlflow, MLflow's pages, with its telemetry off.

    \b
    Examples:
      gitexp ui
      gitexp ui --mlflow --port 5000 --no-browser
    """

    def opened(address: str) -> None:
        click.echo(address)
        output.say("Ctrl-C stops it")
        if not no_browser:
            webbrowser.open(address)

    try:
        (_mlflow if mlflow else _live)(Repo.discover(), port, opened)
    except KeyboardInterrupt:  # the way to stop it, and no failure
        output.say("stopped")


def _live(repo: Repo, port: int | None, opened: Callable[[str], None]) -> None:
    import threading

    from gitexp.report.server import served

    with served(repo, port) as address:
        opened(address)
        threading.Event().wait()


def _mlflow(repo: Repo, port: int | None, opened: Callable[[str], None]) -> None:
    from gitexp.formats.errors import GitexpError
    from gitexp.integrations.mlflow.ui import served

    with served(repo, port) as (address, server):
        opened(address)
        code = server.wait()
    raise GitexpError(
        f"MLflow's server ended with exit code {code}; .git/gitexp/mlflow/server.log says why"
    )
