"""``gitexp sweep``."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gitexp.cli import completion, output
from gitexp.errors import UsageError, did_you_mean
from gitexp.repo import Repo
from gitexp.sweeping import driver, recipe, search, summary
from gitexp.sweeping import plan as plans
from gitexp.sweeping import space as spaces
from gitexp.sweeping.engine import ENGINES
from gitexp.sweeping.function import aim, below
from gitexp.sweeping.plan import Frozen, Plan

_SHOWN = 10
_STOPPING = ("stopping after the running trials; Ctrl-C again stops them", "stopping the running trials")
_BARS = "▁▂▃▄▅▆▇█"


@click.command("sweep", context_settings={"allow_interspersed_args": False})
@click.option(
    "-p",
    "--param",
    "given",
    multiple=True,
    metavar="K=VALUES",
    shell_complete=completion.given_params,
    help="A param: A,B,C or range(2,8,2), log(1e-5,1e-2), uniform(0,1).",
)
@click.option("-s", "--search", type=click.Choice(search.SEARCHES), help="How points are chosen (default: grid).")
@click.option("-n", "--trials", type=click.IntRange(1), help="How many points; for all searches but grid.")
@click.option("--minimize", metavar="METRIC", shell_complete=completion.metrics, help="The metric to go by.")
@click.option("--maximize", metavar="METRIC", shell_complete=completion.metrics, help="The metric to go by.")
@click.option("--repeat", type=click.IntRange(1), help="Run each point with so many seeds ({seed}, or GITEXP_SEED).")
@click.option("--seed", type=int, help="The first seed, also of the search (default: 0).")
@click.option("--prune", is_flag=True, default=None, help="Stop a trial whose metric so far is worse than the median's.")
@click.option("--timeout", metavar="TIME", help="Kill a trial after 90s, 10m or 2h.")
@click.option("--retries", type=click.IntRange(0), help="Run a failed trial again, so many times (default: 0).")
@click.option("-j", "--jobs", type=click.IntRange(1), help="How many trials run at once, on every engine (default: 1).")
@click.option("--engine", type=click.Choice(list(ENGINES)), help="Where trials run (default: loky, this machine).")
@click.option("--address", metavar="URL", help="The Dask scheduler or Ray cluster.")
@click.option("--group", metavar="NAME", help="What the sweep is called.")
@click.option(
    "--link", "links", multiple=True, metavar="PATH", help="Data that git does not hold: a path of the work tree to link into the trials'."
)
@click.option("--append/--no-append", default=None, help="Add --key value for params without a placeholder (default: yes).")
@click.option("--resume", metavar="GROUP", help="Go on with a sweep: run what is missing, from its own snapshot.")
@click.option("--again", is_flag=True, help="With --resume: run failed trials again.")
@click.option("--dry-run", is_flag=True, help="Print the commands of the trials that are known beforehand, and run nothing.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, shell_complete=completion.files)
@output.output_options
def sweep_command(
    given: tuple[str, ...],
    links: tuple[str, ...],
    resume: str | None,
    again: bool,
    dry_run: bool,
    form: str | None,
    command: tuple[str, ...],
    **options: Any,
) -> int:
    """Run a command with many params, each trial from the same snapshot, and record each as an experiment.

    \b
    gitexp sweep -j 2 -p lr=0.1,0.01 -p 'depth=range(2,8,2)' -- python train.py
    gitexp sweep -p 'lr=log(1e-5,1e-1)' -s tpe -n 30 --minimize rmse -- ./train.py
    gitexp sweep sweep.yml
    gitexp sweep --resume sweep-1124-7c3a

    The work tree is snapshot once, at the start, and each trial runs in a work tree of its own, so you can go on working. Params
    fill placeholders like {lr}; those that have none are appended as --lr 0.1. They are in the environment too, as JSON in
    GITEXP_PARAMS. Ctrl-C lets the running trials end, Ctrl-C twice stops them; --resume runs what is missing.
    """
    repo = Repo.discover()
    told = _from_file(command[0], given) if _is_file(command) else {"command": command, "space": spaces.parse(given) if given else {}}
    options = {**told, **{name: value for name, value in options.items() if value is not None}}
    running = {name: options.pop(name) for name in ("jobs", "engine", "address") if name in options}
    if again and not resume:
        raise UsageError("--again goes with --resume GROUP")
    if resume:
        frozen = _resumed(repo, resume, options)
    else:
        group = options.pop("group", None)
        plan = plans.check(_plan(repo, links, options))
        if dry_run:
            return _print_commands(plan)
        _check_search(plan)
        frozen = plans.freeze(repo, plan, group)
    line = _Line(frozen)
    ready = driver.Driver(repo, frozen, again=again, report=line.show, **running)
    _say_snapshot(frozen)
    if ready.unused and "jobs" not in running:
        output.say(f"there is room for {ready.unused + 1} trials at once; one runs at a time without --jobs")
    done = ready.run()
    line.end()
    return _print_result(done, form)


def _plan(repo: Repo, links: tuple[str, ...], options: dict[str, Any]) -> Plan:
    if not options["space"]:
        spaces.parse([])
    objective, direction = aim(options.pop("minimize", None), options.pop("maximize", None))
    if "timeout" in options:
        options["timeout"] = parse_time(str(options["timeout"]))
    return Plan(
        objective=objective, direction=direction, directory=below(repo), links=tuple(_link(repo, path) for path in links), **options
    )


def _check_search(plan: Plan) -> None:
    """Say what is wrong with a search before anything is frozen."""
    search.make(plan.search, plan.space, trials=plan.trials, seed=plan.seed, direction=plan.direction, prune=plan.prune)


def _resumed(repo: Repo, group: str, options: dict[str, Any]) -> Frozen:
    allowed = {"command", "space", "trials", "timeout", "retries"}
    changed = {name: value for name, value in options.items() if value}
    if odd := sorted({*changed} - allowed | {*changed} & {"command", "space"}):
        names = ", ".join({"space": "--param", "command": "a command"}.get(name, f"--{name}") for name in odd)
        raise UsageError(f"--resume goes on with the plan of '{group}', which {names} would change; start a new sweep for that")
    frozen = plans.load(repo, group)
    changed = {name: parse_time(str(value)) if name == "timeout" else value for name, value in changed.items()}
    return replace(frozen, plan=replace(frozen.plan, **changed))


def _is_file(command: tuple[str, ...]) -> bool:
    return len(command) == 1 and command[0].endswith((".yml", ".yaml")) and Path(command[0]).is_file()


def _from_file(file: str, given: tuple[str, ...]) -> dict[str, Any]:
    """Read a sweep file; what the command line says wins."""
    said = recipe.read(Path(file))
    return {**said, "space": {**said["space"], **(spaces.parse(given) if given else {})}}


def _link(repo: Repo, path: str) -> tuple[str, str]:
    target = Path(path).absolute()
    if not target.exists() or repo.root not in target.parents:
        raise UsageError(f"--link {path}: there is no such file or folder in the work tree")
    return target.relative_to(repo.root).as_posix(), str(target)


def parse_time(text: str) -> float:
    """Return seconds for ``90``, ``90s``, ``10m`` or ``2h``; raise UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match or float(match[1]) == 0:
        raise UsageError(f"'{text}' is no time; write for example 90s, 10m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _print_commands(plan: Plan) -> int:
    import shlex

    if plan.search == "grid":
        points = list(spaces.grid(plan.space))
    elif plan.search == "random":
        points = list(spaces.at_random(plan.space, plan.trials or 0, plan.seed))
    else:
        raise UsageError(f"search {plan.search} chooses its points from results, so none is known beforehand")
    for point in points:
        for seed in range(plan.seed, plan.seed + plan.repeat):
            click.echo(output.clean(shlex.join(plans.fill(plan, point, seed))))
    output.say(f"{len(points) * plan.repeat} trials; nothing was run (--dry-run)")
    return 0


def _say_snapshot(frozen: Frozen) -> None:
    shot = frozen.shot
    if frozen.told:
        output.say(f"warning: {output.clean(frozen.told)}")
    if shot and shot.taken:
        output.say(f"untracked files taken: {', '.join(map(output.clean, shot.taken[:8]))}{' ...' if len(shot.taken) > 8 else ''}")
    if shot and shot.left_out:
        paths = [output.clean(path) for path, _ in shot.left_out]
        output.say(
            f"left out: {', '.join(paths[:8])}{' ...' if len(paths) > 8 else ''}; ignored files are not in the trials either: --link PATH"
        )
    output.say(f"sweep {frozen.group}; to go on with it later: gitexp sweep --resume {frozen.group}")


class _Line:
    """The progress: one line that is written over on a terminal, else a line for each trial."""

    def __init__(self, frozen: Frozen) -> None:
        self._plan = frozen.plan
        self._terminal = sys.stderr.isatty()
        self._last: driver.Progress | None = None

    def show(self, now: driver.Progress) -> None:
        before, self._last = self._last, now
        if self._terminal:
            text = _progress(self._plan, now)
            width = (output.terminal_width() or 80) - 1
            click.echo(f"\r\x1b[K{text[:width]}", err=True, nl=False)
            return
        if now.stopping > (before.stopping if before else 0):
            output.say(_STOPPING[min(now.stopping, 2) - 1])
        if now.last and (before is None or before.last is not now.last) and now.done:
            output.say(f"{now.done}/{now.total} {_described(self._plan, now)}")

    def end(self) -> None:
        if self._terminal and self._last:
            click.echo(err=True)


def _described(plan: Plan, now: driver.Progress) -> str:
    item = now.last
    assert item is not None
    point = ", ".join(f"{name}={output.number(value)}" for name, value in item.extra["sweep"]["point"].items())
    value = item.metrics.get(plan.objective) if plan.objective else None
    result = f"{plan.objective}={output.number(value)}" if value is not None else ""
    why = "" if item.status == "finished" else f"{item.status}: {item.extra.get('error', '')}"
    return output.clean(" ".join(filter(None, [item.name, result, f"({point})", why])))


def _progress(plan: Plan, now: driver.Progress) -> str:
    parts = [f"{now.done}/{now.total} done", f"{now.running} running"]
    if now.failed:
        parts.append(f"{now.failed} failed")
    if now.best and plan.objective:
        parts.append(f"best {plan.objective}={output.number(now.best.metrics[plan.objective])} ({now.best.name}) {_curve(now.bests)}")
    if now.stopping:
        parts.append(_STOPPING[min(now.stopping, 2) - 1])
    elif now.left is not None and now.done < now.total:
        parts.append(f"{output.duration(now.left)} left")
    return output.clean(" · ".join(parts))


def _curve(values: tuple[float, ...], size: int = 12) -> str:
    shown = [values[at * len(values) // size] for at in range(size)] if len(values) > size else list(values)
    low, high = min(shown), max(shown)
    return "".join(_BARS[round((value - low) / (high - low) * 7) if high > low else 0] for value in shown)


def _print_result(done: driver.Done, form: str | None) -> int:
    plan = done.frozen.plan
    rows = summary.ranked(plan, done.experiments)
    names = [name for name in plan.space if len({repr(row.point.get(name)) for row in rows}) > 1] or list(plan.space)
    aimed = [plan.objective, *(["std"] if plan.repeat > 1 else [])] if plan.objective else []
    headers = ["experiment", *aimed, *names, "status"]
    if form:
        table = [
            [row.experiments[0].name, *[row.mean, row.spread][: len(aimed)], *(row.point.get(name) for name in names), _status(row)]
            for row in rows
        ]
        output.print_records(form, headers, table)
    elif rows:
        cells = [
            [
                f"{row.experiments[0].name}{f' +{len(row.experiments) - 1}' if len(row.experiments) > 1 else ''}",
                *([_mean(row)] if aimed else []),
                *(output.number(row.point.get(name)) for name in names),
                _status(row),
            ]
            for row in rows[:_SHOWN]
        ]
        shown = ["experiment", *aimed[:1], *names, "status"]
        for line in output.text_table(shown, cells, [False, *[True] * (len(shown) - 2), False]):
            click.echo(line)
        if len(rows) > _SHOWN:
            output.say(f"{len(rows) - _SHOWN} more; all of them: gitexp list --where 'group = {done.frozen.group}'")
        shares = summary.importance(plan, rows)
        if shares:
            click.echo("importance: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    return _say_problems(done, rows)


def _say_problems(done: driver.Done, rows: list[summary.Row]) -> int:
    plan, group = done.frozen.plan, done.frozen.group
    for problem in done.problems:
        output.say(f"warning: {problem}; it waits on disk for gitexp sweep --resume {group}")
    silent = [item for item in done.experiments if item.status == "finished" and plan.objective and plan.objective not in item.metrics]
    if silent and plan.objective:
        known = {name for item in silent for name in item.metrics}
        hint = did_you_mean(plan.objective, known) or (f" It gave {', '.join(sorted(known)[:5])}" if known else " It gave none at all")
        output.say(f"warning: {len(silent)} trials gave no metric '{plan.objective}'.{hint}")
    failed = [item for item in done.experiments if item.status == "failed" or item.extra.get("error", "").startswith("timed out")]
    if failed:
        output.say(
            f"{len(failed)} failed; to see why: gitexp show {failed[-1].name}; to run them again: gitexp sweep --resume {group} --again"
        )
    if done.missing:
        output.say(f"{done.missing} trials were not run; to run them: gitexp sweep --resume {group}")
    return 130 if done.missing and not done.problems else 1 if done.problems or (rows and len(failed) == len(done.experiments)) else 0


def _mean(row: summary.Row) -> str:
    if row.mean is None:
        return ""
    return output.number(row.mean) + (f" ± {row.spread:.2g}" if row.spread is not None else "")


def _status(row: summary.Row) -> str:
    return ", ".join(sorted({"pruned" if "pruned" in item.labels else item.status for item in row.experiments}))
