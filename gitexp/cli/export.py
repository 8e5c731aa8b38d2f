"""``gitexp export``: experiments for other tools. gitexp holds nobody's data captive."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

import click

from gitexp.cli import output, sync
from gitexp.cli.declare import PATH, argument, option, together
from gitexp.cli.files import new_file
from gitexp.cli.opened import Selection, chosen, opened, selection
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import portable
from gitexp.integrations import export, other_logs
from gitexp.repo import Repo
from gitexp.store import histories


@click.group("export")
def export_command() -> None:
    """Write experiments for other tools: CSV, Parquet, JSON, an MLflow server, the logs of
    TensorBoard, W&B and trackio, or an RO-Crate.

    All experiments are written, or those that are named or chosen with --where, newest first.

    \b
    Examples:
      gitexp export csv > experiments.csv
      gitexp export parquet --metrics -o history.parquet
      gitexp export mlflow http://localhost:5000
    """


_file_options = together(
    output.renamed("-m", "--metrics", "points"),
    option("--metrics", "Every value that was logged, not only the last of each metric.", "points"),
    option("-o, --output", "The file to write (default: standard output).", "target", type=PATH),
    option("-f, --force", "Overwrite an existing file."),
)


@export_command.command("csv", short_help="Write CSV, a row for each experiment or logged value.")
@selection
@_file_options
def export_csv(asked: Selection, points: bool, target: Path | None, force: bool) -> None:
    """Write CSV: a row for each experiment, or with --metrics one for each logged value.

    The columns are those of gitexp.experiments(), or name, id, metric, value, timestamp and step.
    Numbers keep their full precision; times are UTC; lists are JSON.

    \b
    Examples:
      gitexp export csv --where 'label = paper' -o paper.csv
      gitexp export csv --metrics best:rmse | head
    """
    with _exporting(asked, target) as (repo, found, unread), _opened(target, force) as file:
        headers: Sequence[str] = export.POINT if points else export.columns(found)
        rows = (
            export.point_cells(repo, found, unread)
            if points
            else ([export.text(export.value(item, name)) for name in headers] for item in found)
        )
        lines = chain([headers], rows)
        while chunk := [*islice(lines, 10_000)]:  # Python may have been told not to buffer
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(chunk)
            file.write(text.getvalue())


@export_command.command("json", short_help="Write JSON with everything about each experiment.")
@selection
@_file_options
def export_json(asked: Selection, points: bool, target: Path | None, force: bool) -> None:
    """Write JSON: a list with everything about each experiment, one on each line.

    Params are nested as they were logged; labels, notes and files are there. With --metrics each
    has its whole history. Numbers keep their full precision; NaN and infinities are the strings
    "nan", "inf" and "-inf".

    \b
    Example:
      gitexp export json exp-3..exp-7 --metrics -o some.json
    """
    with _exporting(asked, target) as (repo, found, unread), _opened(target, force) as file:
        before = "[\n"
        for item in export.records(repo, found, points, unread):
            file.write(before + json.dumps(portable(item), ensure_ascii=False))
            before = ",\n"
        file.write("\n]\n")


@export_command.command("parquet", short_help="Write Parquet, for DuckDB, pandas and the like.")
@selection
@_file_options
def export_parquet(asked: Selection, points: bool, target: Path | None, force: bool) -> None:
    """Write Parquet, for DuckDB, pandas and the like: columns and rows as in CSV, with types.

    Numbers are numbers, times are times, labels are lists. A param that is a number here and a text
    there is text. Needs the extra parquet.

    \b
    Examples:
      gitexp export parquet -o experiments.parquet
      gitexp export parquet --metrics -o history.parquet
    """
    if target is None:
        raise UsageError(
            "Parquet cannot be printed; name a file: gitexp export parquet -o experiments.parquet"
        )
    export.arrow()
    with _exporting(asked, target) as (repo, found, unread), new_file(target, force) as part:
        if points:
            export.write_points(histories.points(repo, found, unread), part)
        else:
            export.write_parquet(found, part)


@export_command.command("mlflow", short_help="Mirror experiments to an MLflow server.")
@argument("URI")
@selection
@option("--artifacts", "Also store the artifacts that were logged.")
@option(
    "--experiment NAME", "MLflow's experiment for those without a group (default: the repository)."
)
def export_mlflow(uri: str, asked: Selection, artifacts: bool, experiment: str | None) -> int:
    """Mirror experiments to the MLflow server at URI, as runs.

    Params, every value of every metric, status, start and end, labels and notes go there, and as
    the code link the experiment's own commit. A group is an MLflow experiment. Doing it twice
    changes nothing; labels and notes are brought up to date; what was interrupted is completed.

    To log in, what MLflow itself reads: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD,
    MLFLOW_TRACKING_TOKEN, or ~/.mlflow/credentials.

    \b
    Examples:
      gitexp export mlflow http://localhost:5000
      gitexp export mlflow https://mlflow.example.org exp-3..exp-7 --artifacts
    """
    repo, settings, index = opened()
    found = chosen(index, settings, asked)
    return sync.mirror(repo, found, sync.target(repo, uri), artifacts, experiment)


_folder = option("-o, --output", "A new folder.", "target", required=True, type=PATH)
_project = option("--project NAME", "The project (default: the repository's name).")


@export_command.command("tensorboard", short_help="Write TensorBoard's event files.")
@selection
@_folder
def export_tensorboard(asked: Selection, target: Path) -> None:
    """Write a log folder for TensorBoard: scalars and hparams, a folder for each experiment.

    Event files hold 32 bits of a number, and only numbers, truth values and text as params. Labels
    and notes stay here. Needs pip install 'gitexp[tensorboard]'.

    \b
    Example:
      gitexp export tensorboard -o runs && tensorboard --logdir runs
    """
    with _folder_of(asked, target) as (_, _, records, part):
        other_logs.write_tensorboard(records, part)


@export_command.command("wandb", short_help="Write offline runs of Weights & Biases.")
@selection
@_folder
@_project
def export_wandb(asked: Selection, target: Path, project: str | None) -> None:
    """Write an offline run of Weights & Biases for each experiment; `wandb sync` sends them.

    Params, every value of every metric, group, labels (as tags) and notes go there. A run's id is
    the beginning of the commit's hash. W&B has one row for each step: of several values of one
    metric at a step the last one stays. Needs pip install 'gitexp[wandb]'.

    \b
    Example:
      gitexp export wandb -o logs && wandb sync logs/wandb/offline-run-*
    """
    with _folder_of(asked, target) as (repo, _, records, part):
        other_logs.write_wandb(records, part, project or repo.root.name)


@export_command.command("trackio", short_help="Add experiments to a project of trackio.")
@selection
@_project
@option(
    "-o, --output",
    "The folder of trackio's databases (default: trackio's own).",
    "target",
    type=PATH,
)
def export_trackio(asked: Selection, target: Path | None, project: str | None) -> None:
    """Add a run for each experiment to a project of trackio; doing it twice adds nothing.

    Params, groups and every value of every metric go there. Needs pip install 'gitexp[trackio]'.

    \b
    Example:
      gitexp export trackio --project mine && trackio show --project mine
    """
    with _exporting(asked, None) as (repo, found, unread):
        records = export.records(repo, found, True, unread)
        there = other_logs.write_trackio(records, target, project or repo.root.name)
        said = f"added {output.counted(len(found) - there, 'experiment')}"
        output.say(f"{said}; {there:,} were there already" if there else said)


@export_command.command("crate", short_help="Write an RO-Crate of one experiment.")
@argument("REF")
@_folder
def export_crate(ref: str, target: Path) -> None:
    """Write an RO-Crate of one experiment, for a paper's archive.

    The folder has the code as code.zip, the params, metrics and artifacts, and
    ro-crate-metadata.json, which says in schema.org's words who ran what when, with which params
    and to which results (profile: Process Run Crate). Needs pip install 'gitexp[crate]'.

    \b
    Example:
      gitexp export crate best:rmse -o crate
    """
    with _folder_of(Selection((ref,)), target) as (repo, found, records, part):
        if len(found) != 1:
            raise UsageError(f"{ref} names {len(found):,} experiments; a crate is of one")
        other_logs.write_crate(repo, found[0], next(records), part)


@contextmanager
def _exporting(
    asked: Selection, target: Path | None
) -> Iterator[tuple[Repo, Sequence[Experiment], histories.Unread]]:
    """Yield the experiments that are asked for, and a list for those that cannot be read; then tell
    what was written, and exit with 1 where something is missing."""
    repo, settings, index = opened()
    found = chosen(index, settings, asked)
    unread: histories.Unread = []
    yield repo, found, unread
    if target:
        output.say(f"wrote {target}: {output.counted(len(found), 'experiment')}")
    for name, why in unread:
        output.say(f"the values of {name} are missing: {why}")
    if unread:
        raise click.exceptions.Exit(1)


@contextmanager
def _folder_of(
    asked: Selection, target: Path
) -> Iterator[tuple[Repo, Sequence[Experiment], Iterator[other_logs.Record], Path]]:
    """Yield records of experiments and the folder to write them to, which is there whole or not at
    all."""
    with (
        _exporting(asked, target) as (repo, found, unread),
        new_file(target, False, folder=True) as part,
    ):
        part.mkdir(parents=True)
        yield repo, found, export.records(repo, found, True, unread), part


@contextmanager
def _opened(target: Path | None, force: bool) -> Iterator[TextIO]:
    """Yield a file to write text to; stdout where there is no target."""
    if target is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="\n")
        yield sys.stdout
        return
    with (
        new_file(target, force) as part,
        open(part, "w", encoding="utf-8", errors="replace", newline="\n") as file,
    ):
        yield file
