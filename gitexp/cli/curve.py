"""``gitexp curve``: how a metric went, drawn in the terminal; and how each metric of an experiment
went, for ``show``."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import click

from gitexp.cli import completion, output, pager, plot
from gitexp.cli.declare import argument, option
from gitexp.cli.opened import Selection, chosen, opened, where_option
from gitexp.formats import late_values, message, metrics, result_files
from gitexp.formats.experiment import Experiment, MetricPoint
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.store import query, result_paths

_COLOURS = ("cyan", "yellow", "magenta", "green", "red", "blue")


@dataclass
class Course:
    """How one metric went: the number of its points, its last value and the best one with its
    step."""

    points: int = 0
    last: float | None = None
    last_step: int = 0
    best: float | None = None
    best_step: int | None = None

    def add(self, point: MetricPoint, direction: str | None) -> None:
        self.points += 1
        if self.last is None or point.step >= self.last_step:
            self.last, self.last_step = point.value, point.step
        if direction is None or point.value != point.value:
            return
        if self.best is None or metrics.is_better(direction, point.value, self.best):
            self.best, self.best_step = point.value, point.step


@click.command("curve")
@argument("[REF]... METRIC", "refs", shell_complete=completion.refs_or_metrics, required=True)
@option("--rows N", "Height of the plot in lines.", type=click.IntRange(3, 200), default=15)
@where_option
@output.output_options
@pager.paged
def curve_command(refs: tuple[str, ...], rows: int, where: str | None, form: str | None) -> None:
    """Plot in the terminal how METRIC developed in the experiments REF (default: those of
    --where, else the latest).

    \b
    Examples:
      gitexp curve rmse
      gitexp curve exp-3 exp-7 loss
      gitexp curve exp-3..exp-7 loss --csv > loss.csv
    """
    repo, settings, index = opened()
    *given, name = refs
    metric = query.find_metric(index, name).name
    experiments = chosen(index, settings, Selection(given or ([] if where else ["@"]), where))
    having = query.having(experiments, metric)
    if lacking := [item.name for item in experiments if metric not in item.metrics]:
        output.say(f"no metric '{metric}' in {message.some(lacking)}")
    if form:
        each = ((item.name, point) for item in having for point in _of(repo, item, metric))
        values = [(name, *point[1:]) for name, point in each]
        output.print_records(form, ("name", "value", "timestamp", "step"), values)
        return
    curves = {item.name: _curve(repo, item, metric) for item in having}
    _plot(metric, {name: points for name, points in curves.items() if points}, rows)


def courses_of(repo: Repo, experiment: Experiment, settings: Settings) -> dict[str, Course]:
    """Return how each metric of an experiment went."""
    courses: dict[str, Course] = defaultdict(Course)
    way = functools.cache(lambda name: metrics.direction(name, settings.metrics))
    for point in _points(repo, experiment):
        courses[point.name].add(point, way(point.name))
    return dict(courses)


def _points(repo: Repo, experiment: Experiment) -> Iterator[MetricPoint]:
    """Yield all points of an experiment's metrics, as git hands them out: a file of any size needs
    little memory."""
    paths = result_files.paths(experiment.files)
    warnings: list[str] = []
    if paths in ([result_paths.METRICS], [f"{result_paths.FOLDER}/{result_paths.METRICS}"]):
        with repo.open_file(experiment.id, paths[0]) as file:
            where = f"{paths[0]} of {experiment.name}"
            yield from metrics.read(file, where, warnings)  # type: ignore[arg-type]
    else:
        yield from result_files.points_of(experiment.files, experiment.read, warnings)
    yield from late_values.points(experiment.extra.get("events", ()))
    for warning in warnings:
        output.say(warning)


def _of(repo: Repo, experiment: Experiment, metric: str) -> Iterator[MetricPoint]:
    return (point for point in _points(repo, experiment) if point.name == metric)


def _curve(repo: Repo, experiment: Experiment, metric: str) -> list[plot.Point]:
    """Return (step, value); where nobody counted steps, (row, value)."""
    by_step = plot.thinned((one.step, one.value) for one in _of(repo, experiment, metric))
    if by_step and by_step[0][0] < by_step[-1][0]:
        return by_step
    return plot.thinned(enumerate(one.value for one in _of(repo, experiment, metric)))


def _plot(metric: str, curves: Mapping[str, Sequence[plot.Point]], rows: int) -> None:
    colours = dict(zip(curves, _COLOURS * len(curves)))
    columns = max((output.terminal_width() or 80) - 12, 10)
    click.echo(output.styled(output.clean(metric), bold=True))
    if any(math.isfinite(value) for points in curves.values() for _, value in points):
        _draw(curves, colours, columns, rows)
    else:
        output.say("no value is a finite number, so there is nothing to draw")
    for (name, points), mark in zip(curves.items(), plot.marks(curves)):
        course = f"{output.number(points[0][1])} → {output.number(points[-1][1])}"
        click.echo(f"{output.styled(mark, fg=colours[name])}  {output.clean(name)}: {course}")


def _draw(
    curves: Mapping[str, Sequence[plot.Point]], colours: Mapping[str, str], columns: int, rows: int
) -> None:
    for label, cells in plot.lines(curves, columns, rows):
        drawn = ""
        for name, run in groupby(cells, key=itemgetter(1)):
            text = "".join(char for char, _ in run)
            drawn += text if name is None else output.styled(text, fg=colours[name])
        click.echo(f"{label:>10} {drawn}".rstrip())
    steps = [point[0] for points in curves.values() for point in points]
    half = columns // 2
    click.echo(f"{'':>10} {min(steps):<{half}g}{max(steps):>{half}g}")
