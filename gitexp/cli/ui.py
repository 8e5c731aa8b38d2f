"""``gitexp ui``: the experiments in MLflow's pages."""

from __future__ import annotations

import webbrowser

import click

from gitexp.cli import output
from gitexp.repo import Repo


@click.command("ui")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to listen on (default: a free one)."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def ui_command(port: int | None, no_browser: bool) -> None:
    """Show all experiments in MLflow's web UI, on this machine only, until Ctrl-C.

    Needs the extra: pip install 'gitexp[mlflow]'. MLflow's telemetry is off.

    \b
    Examples:
      gitexp ui
      gitexp ui --port 5000 --no-browser
    """
    from gitexp.formats.errors import GitexpError
    from gitexp.integrations.mlflow.ui import served

    try:
        with served(Repo.discover(), port) as (address, server):
            click.echo(address)
            output.say("Ctrl-C stops it")
            if not no_browser:
                webbrowser.open(address)
            code = server.wait()
    except KeyboardInterrupt:  # the way to stop it, and no failure
        output.say("stopped")
        return
    raise GitexpError(
        f"MLflow's server ended with exit code {code}; .git/gitexp/mlflow/server.log says why"
    )
