"""What a sweep shows: how far it is while it runs, and at its end the table of the best, and what
to do next."""

from __future__ import annotations

from typing import Any

import click

from gitexp.cli import output, plot
from gitexp.formats.errors import did_you_mean
from gitexp.sweeps import summary, worker
from gitexp.sweeps.driver import Done
from gitexp.sweeps.driver_push import Sent
from gitexp.sweeps.plan import Frozen, Plan
from gitexp.sweeps.progress import Progress

_SHOWN = 10
_MOST_TOLD = 4  # metrics, where none is the one to go by
_STOPPING = (
    "stopping after the running trials; Ctrl-C again stops them",
    "stopping the running trials",
)
_CURVE = 12  # columns of a small curve


class Line:
    """The progress: one line that is written over on a terminal, else a line for each trial."""

    def __init__(self, frozen: Frozen) -> None:
        self._plan = frozen.plan
        self._line = output.Progress()
        self._last: Progress | None = None

    def show(self, now: Progress) -> None:
        before, self._last = self._last, now
        if self._line.on:
            self._line.show(_progress(self._plan, now))
            return
        if now.stopping > (before.stopping if before else 0):
            output.say(_STOPPING[min(now.stopping, 2) - 1])
        if now.done and before is None:
            output.say(f"{now.done}/{now.total} recorded before")
        elif now.last and (before is None or before.last is not now.last) and now.done:
            output.say(f"{now.done}/{now.total} {_described(self._plan, now)}")

    def warn(self, text: str) -> None:
        """Say what went wrong meanwhile, above the line."""
        self._line.clear()
        output.warn(text)

    def end(self) -> None:
        if self._line.on and self._last:
            click.echo(err=True)


def _described(plan: Plan, now: Progress) -> str:
    item = now.last
    assert item is not None
    value = item.metrics.get(plan.objective) if plan.objective else None
    result = f"{plan.objective}={output.number(value)}" if value is not None else ""
    why = "" if item.status == "finished" else f"{item.status}: {item.extra.get('error', '')}"
    point = output.values(item.extra["sweep"]["point"])
    return " ".join(filter(None, [item.name, result, f"({point})", why]))


def _progress(plan: Plan, now: Progress) -> str:
    parts = [f"{now.done}/{now.total} done", f"{now.running} running"]
    if now.failed:
        parts.append(f"{now.failed} failed")
    if now.best and plan.objective:
        best = f"{plan.objective}={output.number(now.best.metrics[plan.objective])}"
        curve = plot.sparkline(now.bests, _CURVE)
        parts.append(f"best {best} ({now.best.name}) {curve}".rstrip())
    if now.stopping:
        parts.append(_STOPPING[min(now.stopping, 2) - 1])
    elif now.left is not None and now.done < now.total:
        parts.append(f"{output.duration(now.left)} left")
    return " · ".join(parts)


def print_result(done: Done, form: str | None) -> int:
    plan = done.frozen.plan
    rows = summary.ranked(plan, done.experiments)
    varying = [name for name in plan.space if len({repr(row.point.get(name)) for row in rows}) > 1]
    names = varying or [*plan.space]
    aimed = [plan.objective, *(["std"] if plan.repeat > 1 else [])] if plan.objective else []
    told = [] if aimed else [name for name in summary.metrics(rows) if name not in names]

    def values(row: summary.Row, told: list[str]) -> list[Any]:
        return [*(summary.mean(row, name) for name in told), *map(row.point.get, names)]

    if form:
        headers = ["experiment", *aimed, *told, *names, "status"]
        table = []
        for row in rows:
            mean = [row.mean, row.spread][: len(aimed)]
            table.append([row.experiments[0].name, *mean, *values(row, told), _status(row)])
        output.print_records(form, headers, table)
    elif rows:
        told = told[:_MOST_TOLD]
        cells = []
        shown = output.number_rows([values(row, told) for row in rows[:_SHOWN]])
        for row, numbers in zip(rows, shown):
            cells.append([_named(row), *[_mean(row)][: len(aimed)], *numbers, _status(row)])
        headers = ["experiment", *aimed[:1], *told, *names, "status"]
        output.print_table(headers, cells, [False, *[True] * (len(headers) - 2), False])
        if len(rows) > _SHOWN:
            all_of_them = f"gitexp list --where 'group = {done.frozen.group}'"
            output.say(f"{len(rows) - _SHOWN} more; all of them: {all_of_them}")
        if shares := summary.importance(plan, rows):
            told = [f"{name} {share:.0%}" for name, share in shares.items()]
            click.echo(f"importance: {', '.join(told)}")
    return _say_problems(done, rows)


def _say_problems(done: Done, rows: list[summary.Row]) -> int:
    plan, group = done.frozen.plan, done.frozen.group
    for problem in done.problems:
        output.warn(f"{problem}; it waits on disk for gitexp sweep --resume {group}")
    finished = [item for item in done.experiments if item.status == "finished"]
    silent = [item for item in finished if plan.objective not in item.metrics]
    if silent and plan.objective:
        known = {name for item in silent for name in item.metrics}
        hint = did_you_mean(plan.objective, known) or (
            f" It gave {', '.join(sorted(known)[:5])}" if known else " It gave none at all"
        )
        trials = output.counted(len(silent), "trial")
        output.warn(f"{trials} gave no metric '{plan.objective}'.{hint}")
    failed = [
        item
        for item in done.experiments
        if item.status != "finished"
        and worker.PRUNED not in item.labels
        and item.extra.get("error") not in worker.INTERRUPTED
    ]
    if failed:
        output.say(
            f"{len(failed)} failed; to see why: gitexp show {failed[-1].name}; to run them again:"
            f" gitexp sweep --resume {group} --again"
        )
    if done.missing:
        missing = output.counted(done.missing, "trial")
        output.say(f"not run: {missing}; to go on: gitexp sweep --resume {group}")
    unsent = _say_sent(done.sent) if done.sent else False
    if done.missing and not done.problems:
        return 130
    return 1 if done.problems or unsent or (rows and len(failed) == len(done.experiments)) else 0


def _say_sent(sent: Sent) -> bool:
    """Say what became of the pushes; whether something is left."""
    if sent.experiments:
        count = output.counted(sent.experiments, "experiment")
        output.say(f"pushed {count} to {sent.remote} as {sent.owner}")
    if sent.left:
        left = output.counted(len(sent.left), "experiment")
        output.warn(
            f"could not push {left} to {sent.remote}: {sent.problem or ''}; to push: gitexp push"
            f" {sent.remote}"
        )
    return bool(sent.left)


def _named(row: summary.Row) -> str:
    """Return the name of a row's first experiment, and how many more it has: ``exp-3 +2``."""
    more = f" +{len(row.experiments) - 1}" if len(row.experiments) > 1 else ""
    return f"{row.experiments[0].name}{more}"


def _mean(row: summary.Row) -> str:
    if row.mean is None:
        return ""
    return output.number(row.mean) + (f" ± {row.spread:.2g}" if row.spread is not None else "")


def _status(row: summary.Row) -> str:
    ends = {"pruned" if "pruned" in item.labels else item.status for item in row.experiments}
    return ", ".join(sorted(ends))
