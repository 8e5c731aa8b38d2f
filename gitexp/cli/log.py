"""``gitexp log``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from gitexp.cli import options as shared
from gitexp.cli import output
from gitexp.cli.declare import PATH, gathered, option
from gitexp.formats import metrics, params, settings
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import STATUSES, MetricPoint
from gitexp.repo import Repo
from gitexp.runs import log
from gitexp.runs.details import Details
from gitexp.store import names, result_paths


@click.command("log")
@shared.params_options("A param; dots nest, values are typed as in YAML (1e-3, true, [1, 2]).")
@option("-M, --metric K=V[@STEP]...", "A metric, nan and inf included.", "measured")
@option(
    "--metrics-file FILE...", "Metrics from CSV (Name,Value,Timestamp,Step) or JSON.", type=PATH
)
@option("-m, --message TEXT", "The subject (default: the name, metrics and params).", "title")
@gathered(Details, "details", shared.recording_options)
@option("--artifact PATH...", "A file to keep, even if git ignores it.", "artifacts", type=PATH)
@option("--status", "How the run ended.", type=click.Choice(STATUSES), default="finished")
@option("--dry-run", "Print what would be committed, and what would be left out and why.")
def log_command(
    given: dict[str, Any],
    params_file: tuple[Path, ...],
    measured: tuple[str, ...],
    metrics_file: tuple[Path, ...],
    artifacts: tuple[Path, ...],
    details: Details,
    status: str,
    dry_run: bool,
) -> None:
    """Record the work tree as it is now, with its params and metrics, as one commit and one tag.

    \b
    gitexp log --param lr=0.01 --metric rmse=18.2
    gitexp log --params-file params.yaml --metrics-file metrics.csv -m "Wider"

    Tracked files enter as they are on disk, and untracked ones that are not ignored, too large or
    secret-looking.
    """
    repo = Repo.discover()
    measures = given or params_file or measured or metrics_file or artifacts or dry_run
    if not (measures or details.title or details.note or details.labels or details.name):
        raise UsageError(
            "nothing to record: give --metric, --param or -m; to see experiments: gitexp list"
        )
    known = settings.load(repo.root, repo.project)
    entry = log.check(
        repo,
        given=given,
        params_files=params_file,
        points=[*map(parse_metric, measured)],
        metrics_files=metrics_file,
        artifacts=artifacts,
        limit=known.max_file_size,
    )
    if details.name:
        names.check_name(repo, details.name)
    if dry_run:
        _show_plan(repo, known, entry)
        return
    recorded, shot = log.record_work_tree(
        repo, entry, details, known=known, status=status, talk=shared.talk()
    )
    shared.report(recorded, shot)
    options = {result_paths.PARAMS: "--params-file", result_paths.METRICS: "--metrics-file"}
    for name, called in options.items():
        path = repo.project + name
        if path not in recorded.experiment.files.values():
            what = "is yours and stays as it is; to record what it says"
            output.say(f"{path} {what}: {called} {path}")


def parse_metric(text: str) -> MetricPoint:
    """Read ``name=value`` or ``name=value@step``; raise UsageError."""
    name, sign, rest = text.rpartition("=") if text.count("=") > 1 else text.partition("=")
    if not sign or not name.strip():
        raise UsageError(
            f"'{text}' is not metric=value; write for example rmse=18.2 or loss=0.5@100"
        )
    value, at, step = rest.partition("@")
    if at and not step.lstrip("-").isdigit():
        raise UsageError(f"the step of metric '{name}' must be a whole number, not '{step}'")
    name = metrics.check_name(name.strip())
    number, now = metrics.parse_number(name, value), int(time.time() * 1000)
    return MetricPoint(name, number, now, int(step) if at else 0)


def _show_plan(repo: Repo, known: settings.Settings, entry: log.Entry) -> None:
    with log.taken(repo, known, entry) as (shot, places):
        click.echo("would record:")
        given = {"artifact": sorted(entry.artifacts), "to DVC": sorted(entry.large)}
        for kind, paths in {"changed": shot.changed, "untracked": shot.taken, **given}.items():
            for path in paths:
                click.echo(f"  {kind:<10} {output.clean(path)}")
        results = {places.params: params.dump(entry.params), places.metrics: entry.metrics}
        for path, content in results.items():
            click.echo(f"  {'result':<10} {path}")
            for line in content.decode().splitlines()[:20]:
                click.echo(f"             {output.clean(line)}")
        for path, why in shot.left_out:
            click.echo(f"would leave out: {output.clean(path)} ({why})")
        click.echo("nothing was recorded (--dry-run)")
