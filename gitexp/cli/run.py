"""``gitexp run``."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gitexp.cli import completion, output
from gitexp.cli import options as shared
from gitexp.cli.declare import argument, gathered, option
from gitexp.formats import environment, params, settings
from gitexp.formats.errors import GitexpError, UsageError, not_started
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import some
from gitexp.repo import Repo
from gitexp.runs import active, journal, parsed, start
from gitexp.runs import command as commands
from gitexp.runs.details import Details
from gitexp.runs.run import Run

# EX_CANTCREAT: the command did well, its experiment was to be signed, and is not in git
_UNSIGNED = 73


@click.command(
    "run", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False}
)
@shared.params_options("A param; wins over those from files and from the command.")
@option(
    "--args/--no-args",
    "Take the options, assignments and config files of the command as params (default: yes).",
    "from_args",
    default=True,
)
@option(
    "--parser-params/--no-parser-params",
    "Take the params that the command's own parser ends up with, defaults included (default: yes).",
)
@option("-m, --message TEXT", "The subject.", "title")
@gathered(Details, "details", shared.recording_options)
@option(
    "--resume REF",
    "Go on from this experiment (exp-3@50: its step 50), with its params, curves and checkpoints.",
)
@option("--artifact GLOB...", "Files that the command writes, to keep even if git ignores them.")
@option("--metrics-file GLOB...", "Files that the command writes, to read metrics from.")
@option(
    "--stdout/--no-stdout",
    "Read metrics from what the command prints (default: where no file gave any).",
)
@option("--system-metrics", "Sample processor, memory and GPU as system.* metrics.")
@option(
    "--notify WHAT...",
    "Whom to notify at the end: bell, webhook:VARIABLE (which holds the address) or a command.",
)
@option(
    "--notify-when CONDITION...",
    "Notify earlier, too: at 'loss < 0.2', nan, or 'silent 10m' (no row and no output).",
)
@shared.judge_options
@option("--all-ranks", "Record each process that srun, mpirun or torchrun starts, not only rank 0.")
@argument("COMMAND...", shell_complete=completion.files, type=click.UNPROCESSED)
def run_command(all_ranks: bool, command: tuple[str, ...], **asked: Any) -> int:
    """Snapshot the work tree, run a command, and record it as an experiment, however it ends.

    \b
    gitexp run -- python train.py --lr 0.01

    Params come from --param, --params-file, the command's own arguments and config files, and, with
    their defaults, from its parser (argparse, click, Typer, Fire, tyro, absl, Hydra);
    metrics from what the command logs with gitexp, writes into files (CSV, JSON, YAML, TOML) or
    prints. Its output is shown and kept, and its exit code is passed on, also where the run could
    not be recorded: a line says so, and `gitexp recover` records it later (73: the command
    succeeded, but its experiment was to be signed).
    """
    # srun starts one of us for each process of a training
    if not all_ranks and active.is_other_rank() and os.name == "posix":
        _become(command)
    return _run(command, **asked)


def _run(
    command: tuple[str, ...],
    given: dict[str, Any],
    params_file: tuple[Path, ...],
    from_args: bool,
    system_metrics: bool,
    notify: tuple[str, ...],
    judge: str | None,
    trusted: str | None,
    details: Details,
    resume: str | None,
    **changed: Any,
) -> int:
    repo = Repo.discover()
    known, reads = _changed(repo, settings.load(repo.root, repo.project), **changed)
    told = _to_notify(notify, known)
    if changed["notify_when"] and not told:
        raise UsageError("--notify-when needs --notify: bell, webhook:VARIABLE or a command")
    by = shared.agreed_judge(repo, judge, trusted)
    files = {str(file): params.load_file(file) for file in params_file}
    files |= parsed.config_files(command) if from_args else {}
    live = start.begin(repo, details, command=list(command), talk=shared.talk(), resume=resume)
    if live.told:
        output.warn(live.told)
    live.read_arguments(files, from_args)
    if reads:
        live.set_condition("reads", reads)
    with _watched(live, told, known, command):
        try:
            if given:
                live.log_params(given)
            _mention_tried(repo, live, details.because)
            ended = commands.execute(live, repo, command, system_metrics, known=known)
        except UsageError:
            live.discard()
            raise
        except BaseException:
            live.end("killed", "interrupted")
            _notify(told, live, "killed", "interrupted")
            raise
        jobs = _jobs(live, repo, ended, known, given)
        if jobs is not None:
            live.discard()
        else:
            live.end(ended.status, ended.error)
        _notify(told, live, ended.status, ended.error)
    _say_recorded(repo, live, ended, jobs, changed["artifact"])
    score = shared.judged(repo, live.experiment, by) if by and live.experiment else None
    signs = known.sign if details.sign is None else details.sign
    if not ended.code and live.unrecorded and signs:
        return _UNSIGNED
    return ended.code or int(bool(score and score.faults))


def _say_recorded(
    repo: Repo,
    live: Run,
    ended: commands.Ended,
    jobs: Sequence[Experiment] | None,
    artifact: tuple[str, ...],
) -> None:
    """Print what was recorded, and where its metrics were found."""
    try:
        for job in jobs or ():
            click.echo(f"{job.name} {job.short}")
        if live.recorded and live.snapshot:
            shared.report(live.recorded, live.snapshot)
            _say_missing(repo, live.recorded.kept, artifact)
        if ended.found and jobs is None:
            output.say(ended.found)
    except OSError:  # nobody takes it: a full disk, or `| head`; what counts is the command's code
        output.discard_rest()


def _say_missing(repo: Repo, kept: Collection[str], artifact: tuple[str, ...]) -> None:
    """Say which globs fit nothing that was kept."""
    from gitexp.runs.outputs_kept import matches

    globs = {glob: _from_top(repo, (glob,)) for glob in artifact}
    unmet = [glob for glob in globs if not any(matches(path, globs[glob]) for path in kept)]
    if unmet:
        unmet_here = f"--artifact {some(unmet)} kept no file, as seen from this folder"
        output.say(f"{unmet_here}; what git tracks is in the experiment anyway")


def _from_top(repo: Repo, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return globs relative to the top of the repository: each as meant from the working directory,
    then as written."""
    from glob import escape

    here, top = (escape(str(folder)) for folder in (Path.cwd(), repo.root))
    seen = [os.path.relpath(os.path.join(here, pattern), top) for pattern in patterns]
    return tuple(dict.fromkeys([*seen, *patterns]))


def _changed(
    repo: Repo,
    known: settings.Settings,
    artifact: tuple[str, ...],
    metrics_file: tuple[str, ...],
    parser_params: bool | None,
    stdout: bool | None,
    notify_when: tuple[str, ...],
) -> tuple[settings.Settings, dict[str, Any]]:
    """Return the settings with what the command line says otherwise, and what of that says where
    metrics are, as whoever runs the command again has to know."""
    reads = {"metrics_files": [*_from_top(repo, metrics_file)], "stdout": stdout}
    known = replace(
        known,
        outputs=(*known.outputs, *_from_top(repo, artifact)),
        parser_params=known.parser_params if parser_params is None else parser_params,
        notify_when=notify_when or known.notify_when,
    )
    said = {name: told for name, told in reads.items() if told not in (None, [])}
    return settings.reading(known, reads), said


def _jobs(
    live: Run, repo: Repo, ended: commands.Ended, known: settings.Settings, given: dict[str, Any]
) -> list[Experiment] | None:
    """Record the jobs of a Hydra multirun; where that fails, they are one run, as is a command
    without jobs (None)."""
    try:
        from gitexp.runs import multirun

        jobs = multirun.record(live, repo, ended, known, given)
    except (GitexpError, OSError) as error:
        output.warn(f"the jobs are recorded as one run: {error}")
        return None
    if jobs == []:
        output.say("the jobs of a multirun were recorded as MLflow's runs")
    if jobs:
        group = output.clean(str(jobs[0].group))
        output.say(f"{len(jobs)} jobs of a multirun, beside the branch; their group is {group}")
    return jobs


def _to_notify(given: tuple[str, ...], known: settings.Settings) -> tuple[str, ...]:
    """Return who is to be notified; a command in the settings is refused, since whoever wrote the
    repository would have it run."""
    if not (given or known.notify or known.notify_when):
        return ()
    from gitexp.runs import notify

    for target in known.notify:
        if target != notify.BELL and not target.startswith("webhook:"):
            raise UsageError(
                "the setting 'notify' takes bell and webhook:VARIABLE; a command is given on the"
                " command line: --notify COMMAND"
            )
    targets = given or known.notify
    notify.check(targets)
    notify.check_when(known.notify_when)
    return targets


def _watched(
    live: Run, targets: tuple[str, ...], known: settings.Settings, command: tuple[str, ...]
) -> AbstractContextManager[None]:
    if not targets:
        return nullcontext()
    from gitexp.runs import notify

    shown = output.clean(" ".join(environment.redact(list(command))))[:80]
    return notify.watcher(live.folder, targets, known.notify_when, shown)


def _notify(targets: tuple[str, ...], live: Run, status: str, error: str | None) -> None:
    if not targets:
        return
    from gitexp.runs import notify

    item = live.experiment
    made = {"name": item.name, "id": item.id} if item else {"name": None, "id": None}
    measured = dict(item.metrics) if item else {}
    facts = {**made, "status": status, "error": error, "metrics": measured}
    for fault in notify.tell(targets, facts):
        output.warn(fault)
    if notify.BELL in targets:
        click.echo("\a", nl=False, err=True)


def _mention_tried(repo: Repo, live: Run, because: str | None) -> None:
    """Say in a line that something almost equal was discarded; a fault of that is none of the
    run's."""
    if live.snapshot is None or not repo.tip("refs/notes/gitexp"):
        return
    from gitexp.compare import tried
    from gitexp.store.index import Index

    with suppress(GitexpError, OSError, ValueError):
        values = params.flatten(journal.read_params(live.folder))
        match = tried.discarded_like(Index(repo), live.snapshot.tree, values, because)
        if match:
            why = match.experiment.judged.get("because")
            said = f"almost equal to {match.experiment.name}, which was discarded"
            output.say(said + (f": {str(why)[:200]}" if why else ""))


def _become(command: tuple[str, ...]) -> None:
    """Run the command in our place, without a record."""
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise not_started(command[0], error.strerror) from None
