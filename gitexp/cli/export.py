"""``gitexp export``: experiments for other tools. gitexp holds nobody's data captive."""

from __future__ import annotations

import click

from gitexp.cli import mirror
from gitexp.cli.opened import opened
from gitexp.cli.report import chosen, selection


@click.group("export")
def export_command() -> None:
    """Write experiments for other tools: CSV, Parquet, JSON, or an MLflow server."""


@export_command.command("mlflow")
@click.argument("uri")
@selection
@click.option("--artifacts", is_flag=True, help="Store the artifacts that were logged, too.")
@click.option(
    "--experiment", "place", metavar="NAME", help="MLflow's experiment for those without a group (default: the repository's name)."
)
def export_mlflow(
    uri: str, refs: tuple[str, ...], where: str | None, sort: str | None, everybody: bool, artifacts: bool, place: str | None
) -> int:
    """Mirror experiments, all or those named, to the MLflow server at URI."""
    repo, settings, index = opened()
    return mirror.mirror(repo, chosen(index, settings, refs, where, sort, everybody), uri, artifacts, place)
