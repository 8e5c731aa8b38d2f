"""``gitexp ui``: the experiments in MLflow's pages."""

from __future__ import annotations

import signal
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from gitexp.cli import output
from gitexp.repo import Repo


@click.command("ui")
@click.option("--port", type=click.IntRange(1, 65535), help="Listen there; a free port unless it is said.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def ui_command(port: int | None, no_browser: bool) -> None:
    """Show all experiments in MLflow's pages, on this machine only, until Ctrl-C or SIGTERM.

    Needs the extra: pip install 'gitexp[mlflow]'. MLflow's telemetry is off.

    \b
    Examples:
      gitexp ui
      gitexp ui --port 5000 --no-browser
    """
    from gitexp.errors import GitexpError
    from gitexp.integrations.mlflow.ui import served

    try:
        with _signals_stop_it(), served(Repo.discover(), port) as (address, server):
            click.echo(address)
            output.say("Ctrl-C stops it")
            if not no_browser:
                webbrowser.open(address)
            code = server.wait()
    except KeyboardInterrupt:  # the way to stop it, and no failure
        output.say("stopped")
        return
    raise GitexpError(f"MLflow's server ended with exit code {code}; .git/gitexp/mlflow/server.log says why")


@contextmanager
def _signals_stop_it() -> Iterator[None]:
    """Have what ends a program (SIGTERM, a closed terminal) end the server too. Only the first counts, so that it is ended whole."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

    def stop(_number: int, _frame: Any) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
