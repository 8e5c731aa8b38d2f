"""``gitexp export``: experiments for other tools. gitexp holds nobody's data captive."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from gitexp.cli import output, sync
from gitexp.cli.opened import opened
from gitexp.cli.report import chosen, selection
from gitexp.formats.errors import GitexpError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.integrations import export
from gitexp.repo import Repo
from gitexp.store import histories

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group("export")
def export_command() -> None:
    """Write experiments for other tools: CSV, Parquet, JSON, or an MLflow server.

    All experiments are written, or those that are named or chosen with --where, newest first.

    \b
    Examples:
      gitexp export csv > experiments.csv
      gitexp export parquet --metrics -o history.parquet
      gitexp export mlflow http://localhost:5000
    """


def _file_options(function: Command) -> Command:
    """Give a command ``--metrics``, ``--output`` and ``--force``."""
    for option in (
        click.option("--force", "-f", is_flag=True, help="Overwrite an existing file."),
        click.option(
            "--output",
            "-o",
            "target",
            type=click.Path(path_type=Path),
            help="The file to write (default: standard output).",
        ),
        click.option(
            "--metrics",
            "points",
            is_flag=True,
            help="Every value that was logged, not only the last of each metric.",
        ),
        output.renamed("-m", "--metrics", "points"),
    ):
        function = option(function)
    return function


@export_command.command("csv", short_help="Write CSV, a row for each experiment or logged value.")
@selection
@_file_options
def export_csv(
    refs: tuple[str, ...],
    where: str | None,
    sort: str | None,
    everybody: bool,
    points: bool,
    target: Path | None,
    force: bool,
) -> int:
    """Write CSV: a row for each experiment, or with --metrics one for each logged value.

    The columns are those of gitexp.experiments(), or name, id, metric, value, timestamp and step.
    Numbers keep their full precision; times are UTC; lists are JSON.

    \b
    Examples:
      gitexp export csv --where 'label = paper' -o paper.csv
      gitexp export csv --metrics best:rmse | head
    """
    repo, found = _chosen(refs, where, sort, everybody)
    unread: histories.Unread = []
    with _opened(target, force) as file:
        writer = csv.writer(file, lineterminator="\n")
        if points:
            writer.writerow(export.POINT)
            rows = export.point_cells(repo, found, unread)
            while chunk := [*islice(rows, 10_000)]:  # Python may have been told not to buffer
                text = io.StringIO()
                csv.writer(text, lineterminator="\n").writerows(chunk)
                file.write(text.getvalue())
        else:
            headers = export.columns(found)
            writer.writerow(headers)
            writer.writerows(
                [export.text(export.value(item, name)) for name in headers] for item in found
            )
    return _said(found, target, unread)


@export_command.command("json", short_help="Write JSON with everything about each experiment.")
@selection
@_file_options
def export_json(
    refs: tuple[str, ...],
    where: str | None,
    sort: str | None,
    everybody: bool,
    points: bool,
    target: Path | None,
    force: bool,
) -> int:
    """Write JSON: a list with everything about each experiment, one on each line.

    Params are nested as they were logged; labels, notes and files are there. With --metrics each
    has its whole history. Numbers keep their full precision; NaN and infinities are the strings
    "nan", "inf" and "-inf".

    \b
    Example:
      gitexp export json exp-3..exp-7 --metrics -o some.json
    """
    repo, found = _chosen(refs, where, sort, everybody)
    unread: histories.Unread = []
    with _opened(target, force) as file:
        before = "[\n"
        for item in export.records(repo, found, points, unread):
            file.write(before + json.dumps(export.portable(item), ensure_ascii=False))
            before = ",\n"
        file.write("\n]\n")
    return _said(found, target, unread)


@export_command.command("parquet", short_help="Write Parquet, for DuckDB, pandas and the like.")
@selection
@_file_options
def export_parquet(
    refs: tuple[str, ...],
    where: str | None,
    sort: str | None,
    everybody: bool,
    points: bool,
    target: Path | None,
    force: bool,
) -> int:
    """Write Parquet, for DuckDB, pandas and the like: columns and rows as in CSV, with types.

    Numbers are numbers, times are times, labels are lists. A param that is a number here and a text
    there is text. Needs pip install 'gitexp[parquet]'.

    \b
    Examples:
      gitexp export parquet -o experiments.parquet
      gitexp export parquet --metrics -o history.parquet
    """
    if target is None:
        raise UsageError(
            "Parquet is nothing for a terminal; say where to: gitexp export parquet -o"
            " experiments.parquet"
        )
    export.arrow()
    repo, found = _chosen(refs, where, sort, everybody)
    unread: histories.Unread = []
    with _written(target, force) as part:
        if points:
            export.write_points(histories.points(repo, found, unread), part)
        else:
            export.write_parquet(found, part)
    return _said(found, target, unread)


@export_command.command("mlflow", short_help="Mirror experiments to an MLflow server.")
@click.argument("uri")
@selection
@click.option("--artifacts", is_flag=True, help="Also store the artifacts that were logged.")
@click.option(
    "--experiment",
    "place",
    metavar="NAME",
    help="MLflow's experiment for those without a group (default: the repository).",
)
def export_mlflow(
    uri: str,
    refs: tuple[str, ...],
    where: str | None,
    sort: str | None,
    everybody: bool,
    artifacts: bool,
    place: str | None,
) -> int:
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
    repo, found = _chosen(refs, where, sort, everybody)
    return sync.mirror(repo, found, sync.target(repo, uri), artifacts, place)


def _chosen(
    refs: tuple[str, ...], where: str | None, sort: str | None, everybody: bool
) -> tuple[Repo, Sequence[Experiment]]:
    repo, settings, index = opened()
    return repo, chosen(index, settings, refs, where, sort, everybody)


def _said(experiments: Sequence[Experiment], target: Path | None, unread: histories.Unread) -> int:
    """Tell what was written and what could not be read, and return the exit code: 1 where something
    is missing."""
    if target:
        output.say(
            f"wrote {target}: {len(experiments):,} experiment{'s' if len(experiments) != 1 else ''}"
        )
    for name, why in unread:
        output.say(f"the values of {name} are missing: {output.clean(why)}")
    return 1 if unread else 0


@contextmanager
def _opened(target: Path | None, force: bool) -> Iterator[TextIO]:
    """Yield a file to write text to; stdout where there is no target."""
    if target is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="\n")
        yield sys.stdout
        return
    with (
        _written(target, force) as part,
        open(part, "w", encoding="utf-8", errors="replace", newline="\n") as file,
    ):
        yield file


@contextmanager
def _written(target: Path, force: bool) -> Iterator[Path]:
    """Yield a new file beside ``target``, which takes its place when all went well.

    Raises:
        UsageError: there is such a file already, and ``force`` was not said.
    """
    if target.exists() and (not force or target.is_dir()):
        raise UsageError(
            f"{target} is there already; to write over it: --force"
            if target.is_file()
            else f"{target} is a folder; name a file"
        )
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        yield part
        os.replace(part, target)
    except OSError as error:
        raise GitexpError(
            f"{target} cannot be written: {error.strerror}; check the folder and the disk"
        ) from None
    finally:
        part.unlink(missing_ok=True)
