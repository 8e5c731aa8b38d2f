"""``gitexp import``: history, and the runs of other tools, become experiments."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from gitexp.cli import output
from gitexp.cli.declare import argument, option
from gitexp.formats import metrics, settings
from gitexp.formats.trackers import tools
from gitexp.formats.trackers.found import Commit, Found, Progress, Run
from gitexp.formats.trackers.tools import Tool
from gitexp.integrations.importers import record
from gitexp.repo import Repo
from gitexp.store.index import Index

_SHOWN = 50  # of what could not be read
Find = Callable[[Path, Progress], Iterable[Found]]
Search = Callable[[Repo, record.Known, Progress], Iterable[Found]]


@click.group("import")
def import_command() -> None:
    """Import experiments from old commits, or from the runs of other tools.

    Importing again adds only what is new. Branches, files and tags stay as they are; nothing of
    what is read is run. What cannot be read is listed at the end, and the rest is imported.
    """


_dry_run = option("--dry-run", "Print what would be imported, and record nothing.")


@import_command.command("git", short_help="Commits that hold results.")
@option("--path GLOB...", "Only files whose path fits, such as 'models/*' (repeatable).", "paths")
@option("--since DATE", "Only commits after it, as git takes dates: 2025-01-31, '3 weeks ago'.")
@option("--remotes", "Also look at remote branches, not only local ones.")
@_dry_run
def git_command(paths: tuple[str, ...], since: str | None, remotes: bool, dry_run: bool) -> None:
    """Give each commit that holds results a tag: history by DagsHub's logger, DVC or dvclive.

    Those are the commits of any local branch that changed a file whose name ends in metrics.csv
    (columns Name, Value, Timestamp, Step), metrics.json or .yaml, params.yml, .yaml or .json, or
    dvclive's plots/metrics/*.tsv. The commits stay as they are.

    \b
    Examples:
      gitexp import git --dry-run
      gitexp import git --path 'models/*' --since 2024-01-01
    """
    from gitexp.integrations.importers import git_history

    _import(
        lambda repo, known, progress: git_history.find(
            repo, known.commits, paths=paths, since=since, remotes=remotes, progress=progress
        ),
        dry_run,
        "no commit of any branch changed a file like metrics.csv or params.yml",
    )


@import_command.command("dvc", short_help="Experiments of DVC (dvc exp).")
@_dry_run
def dvc_command(dry_run: bool) -> None:
    """Give each experiment of DVC (dvc exp) a tag, on the commit that DVC made for it.

    Params and metrics are those that dvc.yaml names, and dvclive's. DVC need not be installed, and
    its own experiments stay.

    \b
    Example:
      gitexp import dvc --dry-run
    """
    from gitexp.integrations.importers import dvc_experiments

    _import(
        lambda repo, known, progress: dvc_experiments.find(repo, known.commits, progress),
        dry_run,
        "there is no experiment below refs/exps",
    )


@import_command.command("mlflow", short_help="Runs of an MLflow server, database or folder.")
@argument("[URI]")
@option("--experiment NAME", "Only the runs of this MLflow experiment.")
@option("--artifacts", "Also keep artifacts, up to the setting max_file_size each.")
@_dry_run
def mlflow_command(uri: str | None, experiment: str | None, artifacts: bool, dry_run: bool) -> None:
    """Import the runs of MLflow at URI: a server, a database file or a folder of runs.

    Without URI it is the server of MLFLOW_TRACKING_URI, or of a remote on DagsHub. MLflow need not
    be installed.

    A run becomes a child of the commit that MLflow noted for it, where that is in this repository.
    Nested runs share a group. Runs that are still active are skipped.

    \b
    Examples:
      gitexp import mlflow http://localhost:5000
      gitexp import mlflow sqlite:///mlflow.db --experiment housing
      gitexp import mlflow mlruns --artifacts
    """
    from gitexp.formats.trackers import mlflow

    with ExitStack() as stack:
        repo = Repo.discover()
        if uri is None or uri.startswith(("http://", "https://")):
            from gitexp.cli.sync import target
            from gitexp.integrations.importers.mlflow_server import on_server
            from gitexp.integrations.mlflow.client import Server

            to = target(repo, uri)
            store = on_server(
                stack.enter_context(Server(to.uri, to.who, to.advice)),
                settings.load(repo.root, repo.project).max_file_size,
            )
        else:
            store = mlflow.on_disk(uri)
        place = None
        if artifacts and not dry_run:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gitexp-")))
        _import(
            lambda repo, known, progress: mlflow.find(store, experiment, place, progress),
            dry_run,
            f"{store.where} has no runs",
        )


_FOLDER = click.Path(exists=True, path_type=Path)


@import_command.command("wandb", short_help="Runs in a folder of Weights & Biases.")
@argument("DIR", "folder", type=_FOLDER)
@_dry_run
def wandb_command(folder: Path, dry_run: bool) -> None:
    """Import the runs that Weights & Biases keeps in DIR, the folder `wandb` beside a script.

    A run becomes a child of its git commit, with its diff.patch applied, where that commit is in
    this repository. Metrics, config, summary, tags, notes and group come along; media do not.

    \b
    Example:
      gitexp import wandb wandb
    """
    from gitexp.formats.trackers import wandb

    _import_from(wandb.find, folder, dry_run)


@import_command.command("tensorboard", short_help="Event files of TensorBoard.")
@argument("DIR", "folder", type=_FOLDER)
@_dry_run
def tensorboard_command(folder: Path, dry_run: bool) -> None:
    """Import the runs of TensorBoard's event files in DIR: scalars and hparams.

    Each folder with event files is a run. They know nothing of the code, so each stands on its own,
    without a parent.

    \b
    Example:
      gitexp import tensorboard runs
    """
    from gitexp.formats.trackers import tensorboard

    _import_from(tensorboard.find, folder, dry_run)


def _tracker_command(name: str, tool: Tool) -> click.Command:
    """Return the command of a tool of the table."""

    def read(place: Path, dry_run: bool) -> None:
        _import_from(partial(tools.find, name), place, dry_run)

    read.__doc__ = f"""{tool.title} become experiments; PATH is {tool.where}, or one file of it.

    The tool {"has to" if tool.needed else "need not"} be installed.

    \b
    Example:
      gitexp import {name} {tool.example}
    """
    named = click.command(name, short_help=f"{tool.title}.")
    return named(argument("PATH", "place", type=_FOLDER)(_dry_run(read)))


for _name, _tool in tools.TOOLS.items():
    import_command.add_command(_tracker_command(_name, _tool))


def _import_from(find: Find, place: Path, dry_run: bool) -> None:
    """Import the runs that a tool left at a place."""
    _import(lambda repo, known, progress: find(place, progress), dry_run, f"{place} has no runs")


def _import(search: Search, dry_run: bool, nothing: str) -> None:
    """Search, record (or show), and say how it went."""
    repo = Repo.discover()
    limit = settings.load(repo.root, repo.project).max_file_size
    index = Index(repo)
    known = record.Known(index)
    outcome = record.Outcome()
    line = output.Progress()

    def show(done: int, total: int | None) -> None:
        line.show(f"{done:,} of {total:,} looked at" if total else f"{done:,} read")

    found = record.new(search(repo, known, show), known, outcome)
    count = 0
    try:
        if dry_run:
            count = _print_plan(found, line)
        else:
            first = last = ""
            for experiment in record.record(index, found, outcome, limit, show):
                line.clear()
                words = experiment.name, experiment.short, output.clean(experiment.subject)
                click.echo(" ".join(words).rstrip())
                first, last, count = first or experiment.name, experiment.name, count + 1
    finally:
        line.clear()
    for item in outcome.unread[:_SHOWN]:
        output.say(f"not read: {item.what}: {item.why}")
    if len(outcome.unread) > _SHOWN:
        output.say(f"not read: {len(outcome.unread) - _SHOWN:,} more")
    if outcome.known:
        runs = output.counted(outcome.known, "run")
        output.say(f"{runs} recorded already" + ("" if count else ", nothing new"))
    made = output.counted(count, "experiment")
    if not count and not outcome.known and not outcome.unread:
        output.say(f"nothing to import: {nothing}")
    elif count and dry_run:
        output.say(f"{made} would be imported; nothing was recorded (--dry-run)")
    elif count:
        output.say(f"{made} imported" + (f", {first} to {last}" if count > 1 else ""))


def _print_plan(found: Iterator[Commit | Run], line: output.Progress) -> int:
    rows = []
    for item in found:
        values = item.last if isinstance(item, Commit) else metrics.last_values(item.points)
        shown = [str(len(item.params)), output.values(values, 4), output.clean(item.title)]
        rows.append([item.id[:10], f"{item.started.astimezone():%Y-%m-%d %H:%M}", *shown])
    line.clear()
    if rows:
        output.print_table(["source", "started", "params", "metrics", "title"], rows)
    return len(rows)
