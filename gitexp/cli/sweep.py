"""``gitexp sweep``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gitexp.cli import completion, output, sweep_file, sweep_progress
from gitexp.cli.declare import argument, option
from gitexp.cli.options import Sectioned
from gitexp.formats.errors import UsageError
from gitexp.formats.message import parse_seconds, some
from gitexp.repo import Repo
from gitexp.sweeps import driver, driver_push, search
from gitexp.sweeps import plan as plans
from gitexp.sweeps import space as spaces
from gitexp.sweeps.engines import ENGINES
from gitexp.sweeps.plan import Frozen, Plan

_ENDINGS = (".yml", ".yaml")  # of a sweep file
_SECTIONS = {
    "given": "What is tried",
    "timeout": "Each trial",
    "jobs": "Where and how many at once",
    "group": "The sweep as a whole",
    "json": "The table at the end",
}
_RUNNING = ("jobs", "engine", "address", "push")  # what is no part of the plan
_EXAMPLES = """
gitexp sweep -p lr=0.1,0.01 -p depth=2,4 --minimize rmse -- python train.py
gitexp sweep -j 4 -p 'lr=log(1e-5,1e-1)' -s random -n 30 -- python train.py
gitexp sweep --resume sweep-1124-7c3a
"""


class _Sweep(Sectioned):
    """Takes options after a sweep file, too, as they would be a program's own after a program."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # unset: an empty tuple in click 8.1, no tuple in later ones
        command = self.make_parser(ctx).parse_args([*args])[0].get("command")
        if command and isinstance(command, tuple) and command[0].endswith(_ENDINGS):
            ctx.allow_interspersed_args = args[: -len(command)][-1:] != ["--"]
        return super().parse_args(ctx, args)


@click.command(
    "sweep",
    cls=_Sweep,
    sections=_SECTIONS,
    examples=_EXAMPLES,
    context_settings={"allow_interspersed_args": False},
)
@option(
    "-p, --param K=VALUES...", "A param and its values, as above; once for each param.", "given"
)
@option(
    "-s, --search",
    "How points are chosen: every combination (grid, the default) or -n of them.",
    type=click.Choice(search.SEARCHES),
)
@option("-n, --trials N", "How many points; for all searches but grid.")
@option("--minimize METRIC", "The metric to go by; the table is sorted by it.")
@option("--maximize METRIC", "The same, where more is better.")
@option("--repeat N", "Run each point with N seeds ({seed}, or GITEXP_SEED).")
@option("--seed N", "The first seed, also of the search (default: 0).", type=int)
@option("--prune", "Stop a trial whose metric so far is worse than the median's.", default=None)
@option("--timeout TIME", "Kill a trial after 90s, 10m or 2h.")
@option(
    "--retries N", "Run a failed trial again, up to N times (default: 0).", type=click.IntRange(0)
)
@option(
    "--link PATH...",
    "Data that git does not hold: a path of the work tree to link into the trials'.",
)
@option("--append/--no-append", "Add --key value for params without a placeholder (default: yes).")
@option("-j, --jobs N", "How many trials run at once, on every engine (default: 1).")
@option(
    "--engine", "Where trials run (default: loky, this machine).", type=click.Choice(list(ENGINES))
)
@option("--address URL", "The Dask scheduler or Ray cluster.")
@option("--group NAME", "The name of the sweep.")
@option("--dry-run", "Print the commands of the trials that are known beforehand, and run nothing.")
@option("--resume GROUP", "Continue a sweep: run what is missing, from its own snapshot.")
@option("--again", "With --resume: run failed trials again.")
@option(
    "--push [REMOTE]",
    "Send the trials to REMOTE (default: as git push), in batches, as they come in.",
)
@option(
    "--workers-push [REMOTE]",
    "Workers push their trials to REMOTE themselves, so that those outlive this process.",
)
@argument("[COMMAND]...", shell_complete=completion.files, type=click.UNPROCESSED)
@output.output_options
def sweep_command(
    resume: str | None, again: bool, dry_run: bool, form: str | None, **asked: Any
) -> int:
    """Run a command with many params, each trial from the same snapshot, and record each as an
    experiment.

    COMMAND may also be a file, sweep.yml, which holds all of this. What a param's values may be:

    \b
      lr=0.1,0.01             these values
      'depth=range(2,8,2)'    2, 4 and 6, as Python's range
      'wd=log(1e-5,1e-2)'     anything between, in log scale
      'wd=log(1e-5,1e-2,4)'   4 points of that, which a grid needs
      'drop=uniform(0,0.5)'   anything between; with ,4 as above

    A trial gets its values in placeholders like {lr}; a param without one is appended as --lr 0.1.
    They are in the environment, too, as JSON in GITEXP_PARAMS. Metrics are what the command logs
    with gitexp, writes into files or prints, as with gitexp run.

    A snapshot is taken once, at the start, and each trial runs in a work tree of its own, so
    you can go on working. Ctrl-C lets the running trials end, Ctrl-C twice stops them; --resume
    runs what is missing. Exit code 0: all were run, even if some failed. 1: all failed, or not all
    could be recorded or pushed. 130: stopped before the end.
    """
    if again and not resume:
        raise UsageError("--again goes with --resume GROUP")
    if resume and dry_run:
        raise UsageError("--dry-run shows the trials of a new sweep; leave out --resume")
    repo = Repo.discover()
    options = _options(repo, **asked)
    running = {name: options.pop(name) for name in _RUNNING if name in options}
    frozen = _resumed(repo, resume, options) if resume else _frozen(repo, dry_run, **options)
    if frozen is None:  # --dry-run
        return 0
    line = sweep_progress.Line(frozen)
    ready = driver.Driver(repo, frozen, again=again, report=line.show, warn=line.warn, **running)
    _say_snapshot(frozen)
    if ready.unused and "jobs" not in running:
        room = f"there is room for {ready.unused + 1} trials at once"
        output.say(f"{room}; one runs at a time without --jobs")
    done = ready.run()
    line.end()
    return sweep_progress.print_result(done, form)


def _options(
    repo: Repo, given: tuple[str, ...], command: tuple[str, ...], **options: Any
) -> dict[str, Any]:
    """Return what was said on the command line, which wins, and in a sweep file, by the names of
    the options: ``command``, ``space``, and of the others those that were said."""
    for name in ("push", "workers_push"):
        # the option without a remote, and what stands after it
        if not command and _is_file((options[name] or "",)):
            command, options[name] = (options[name],), ""
    told = _told(command)
    told["space"] = {**told.get("space", {}), **(spaces.parse(given) if given else {})}
    told |= {name: value for name, value in options.items() if value is not None}
    if "timeout" in told:
        told["timeout"] = parse_seconds(str(told["timeout"]))
    for name in ("push", "workers_push"):
        if name in told:
            told[name] = driver_push.remote(repo, told[name])
    return told


def _frozen(
    repo: Repo, dry_run: bool, link: tuple[str, ...], group: str | None = None, **options: Any
) -> Frozen | None:
    """Freeze a new sweep; None where its commands are just to be printed."""
    if not options["space"]:
        spaces.parse([])
    links = tuple(_link(repo, path) for path in link)
    plan = plans.check(plans.of_options(repo, links=links, **options))
    if dry_run:
        _print_commands(plan)
        return None
    search.make(plan)  # says what is wrong with it before anything is frozen
    return plans.freeze(repo, plan, group)


def _resumed(repo: Repo, group: str, options: dict[str, Any]) -> Frozen:
    changed = {name: value for name, value in options.items() if value not in ((), {})}
    if odd := sorted({*changed} - {"trials", "timeout", "retries"}):
        called = {"space": "--param", "command": "a command"}
        names = ", ".join(called.get(name, f"--{name.replace('_', '-')}") for name in odd)
        raise UsageError(
            f"--resume continues the plan of '{group}', which {names} would change; start a new"
            " sweep for that"
        )
    frozen = plans.load(repo, group)
    return replace(frozen, plan=replace(frozen.plan, **changed))


def _is_file(command: tuple[str, ...]) -> bool:
    word = command[0] if len(command) == 1 else ""
    return word.endswith(_ENDINGS) and Path(word).is_file()


def _told(command: tuple[str, ...]) -> dict[str, Any]:
    """Return what a sweep file says, where it stands for the command; raise UsageError where there
    is none of that name, or more was said."""
    context = click.get_current_context()
    if not (context.allow_interspersed_args or _is_file(command)):
        return {"command": command}
    name, *more = command
    if not Path(name).is_file():
        raise UsageError(f"there is no file {name}; check the path of the sweep file")
    if more:
        raise UsageError(f"{name} already says what to run; leave out: {shlex.join(more)}")
    return sweep_file.read(Path(name), context.command.params)


def _link(repo: Repo, path: str) -> tuple[str, str]:
    """Return where in the work tree a path lies, and its place on this machine."""
    target = Path(path).absolute()
    if not target.exists() or repo.root not in target.parents:
        raise UsageError(f"--link {path}: there is no such file or folder in the work tree")
    return target.relative_to(repo.root).as_posix(), str(target)


def _print_commands(plan: Plan) -> None:
    points = search.known_points(plan)
    if points is None:
        raise UsageError(
            f"search {plan.search} chooses its points from results, so none is known beforehand"
        )
    for point in points:
        for seed in range(plan.seed, plan.seed + plan.repeat):
            click.echo(output.clean(shlex.join(plans.fill(plan, point, seed))))
    output.say(f"{output.counted(len(points) * plan.repeat, 'trial')}; nothing was run (--dry-run)")


def _say_snapshot(frozen: Frozen) -> None:
    shot = frozen.shot
    if frozen.told:
        output.warn(frozen.told)
    if shot and shot.taken:
        output.say(f"untracked files taken: {some(shot.taken, 8)}")
    if shot and shot.left_out:
        paths = output.clean(some([path for path, _ in shot.left_out], 8))
        output.say(f"left out: {paths}; ignored files are not in the trials either: --link PATH")
    output.say(f"sweep {frozen.group}; to continue it later: gitexp sweep --resume {frozen.group}")
