"""``gitexp show``, ``best`` and ``curve``: one experiment whole, the best one, and how a metric
went."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby
from operator import itemgetter
from typing import Any

import click

from gitexp.cli import completion, output, pager, plot
from gitexp.cli.list import record
from gitexp.cli.opened import Selection, chosen, opened, where_option
from gitexp.formats import environment, late_values, message, metrics, params, result_files
from gitexp.formats.errors import NotFoundError, did_you_mean
from gitexp.formats.experiment import Experiment, MetricPoint
from gitexp.formats.settings import Settings
from gitexp.repo import Repo, dvc_pointers
from gitexp.repo.snapshot import readable
from gitexp.store import artifacts, conditions, notes, query, reference, result_paths
from gitexp.store import record as store
from gitexp.store.index import Index

_COLOURS = ("cyan", "yellow", "magenta", "green", "red", "blue")
_ROWS = 15
_STEP = re.compile(r"(.*/)(-?\d+)(\.\w+)")
_STEPS = 3  # files that differ in their step alone and are shown one by one


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
        if (
            direction
            and point.value == point.value
            and (self.best is None or metrics.is_better(direction, point.value, self.best))
        ):
            self.best, self.best_step = point.value, point.step


@click.command("show")
@click.argument("ref", default="@", shell_complete=completion.refs)
@output.whole_option
@output.output_options
@pager.paged
def show_command(ref: str, whole: bool, form: str | None) -> None:
    """Show everything about the experiment REF (default: the latest).

    \b
    Examples:
      gitexp show exp-5
      gitexp show best:rmse --json
    """
    _, settings, index = opened()
    _show(index, settings, reference.resolve(index, ref, settings), whole, form)


@click.command("best")
@click.argument("metric", shell_complete=completion.metrics)
@click.option("--max", "way", flag_value="max", help="Higher is better.")
@click.option("--min", "way", flag_value="min", help="Lower is better.")
@where_option
@output.whole_option
@output.output_options
@pager.paged
def best_command(
    metric: str, way: str | None, where: str | None, whole: bool, form: str | None
) -> None:
    """Show the experiment with the best last value of METRIC.

    Whether lower or higher is better is told by --min or --max, by [tool.gitexp.metrics] in
    pyproject.toml, or by the metric's name (loss, rmse, accuracy, auc, ...).

    \b
    Example:
      gitexp best rmse --where 'group = sweep-1'
    """
    _, settings, index = opened()
    key = query.find_metric(index, metric)
    found = query.best(index, key, settings.metrics, way=way, where=query.where(index, where))
    if found is None:
        raise NotFoundError(
            f"no experiment that fits has a value of '{key.name}'; to see what there is: gitexp"
            " list"
        )
    _show(index, settings, found, whole, form)


@click.command("curve")
@click.argument(
    "refs",
    nargs=-1,
    required=True,
    metavar="[REF]... METRIC",
    shell_complete=completion.refs_or_metrics,
)
@click.option(
    "--rows",
    type=click.IntRange(min=3, max=200),
    default=_ROWS,
    show_default=True,
    help="Height of the plot in lines.",
)
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
    experiments = chosen(index, settings, Selection(given or ([] if where else ["@"]), where))
    metric = query.find_metric(index, name).name
    if form:
        points = (
            (item.name, *point[1:])
            for item in experiments
            for point in _points(repo, item)
            if point.name == metric
        )
        output.print_records(form, ("name", "value", "timestamp", "step"), list(points))
        return
    curves = {item.name: _curve(repo, item, metric) for item in experiments}
    for item in experiments:
        if not curves[item.name]:
            hint = (
                did_you_mean(metric, item.metrics)
                or f" It has: {', '.join(sorted(item.metrics)) or 'none'}"
            )
            output.say(f"{item.name} has no metric '{output.clean(metric)}'.{output.clean(hint)}")
    if not any(curves.values()):
        raise NotFoundError(
            f"there is nothing to plot: no metric '{metric}' in"
            f" {message.some([item.name for item in experiments])}"
        )
    _plot(metric, {name: points for name, points in curves.items() if points}, rows)


# -- show ------------------------------------------------------------------------------------------


def _show(
    index: Index, settings: Settings, experiment: Experiment, whole: bool, form: str | None
) -> None:
    repo = index.repo
    text = store.full_message(repo, experiment.id)
    outputs = artifacts.outputs(repo, experiment)
    written = {item.path for item in outputs}
    facts = {
        **record(experiment),
        "note": message.body(text),
        "files": [item for item in _changed(repo, experiment) if item["path"] not in written],
        "outputs": [item._asdict() for item in outputs],
        "artifacts": [
            path for path in experiment.extra.get("artifacts", ()) if path not in written
        ],
        "environment": _environment(experiment),
        "inputs": conditions.texts(experiment.extra, "inputs"),
        "data": _data(repo, experiment),
        "trailers": message.trailers(text),
    }
    courses = _courses(repo, experiment, settings)
    if form == "json":
        facts["params"] = params.nested(facts["params"])  # as params.yml has them
        output.print_json(
            {**facts, "history": {name: vars(course) for name, course in courses.items()}}
        )
    elif form:
        flat = {name: value for name, value in facts.items() if name not in ("params", "metrics")}
        values = {
            f"{family}.{name}": value
            for family in query.KINDS
            for name, value in facts[family].items()
        }
        output.print_records(
            form,
            ("field", "value"),
            [[name, output.exact(value)] for name, value in {**flat, **values}.items()],
        )
    else:
        if resumed := facts["trailers"].get("Resumes"):
            facts["trailers"]["Resumes"] = _named(index, resumed)
        origin = _at(index, experiment.parent or "")
        own = {path for item in (experiment, *origin) for path in result_paths.of_experiment(item)}
        facts["files"] = [
            item
            for item in facts["files"]
            if item["path"] not in own and not result_paths.is_own(item["path"])
        ]
        output.print_lines(_page(experiment, facts, courses, settings, whole), whole)


def _named(index: Index, text: str) -> str:
    """Return ``COMMIT`` or ``COMMIT@STEP`` with the experiment's name, where it is known here."""
    commit, at, step = text.partition("@")
    found = _at(index, commit)
    return f"{found[0].name if found else commit}{at}{step}"


def _at(index: Index, commit: str) -> list[Experiment]:
    return index.select('tag."commit" = ?', [commit], "ref.mine DESC", 1, everybody=True)


def _page(
    experiment: Experiment,
    facts: Mapping[str, Any],
    courses: Mapping[str, Course],
    settings: Settings,
    whole: bool,
) -> Iterator[str]:
    """Yield the lines of what ``show`` tells people."""
    yield from _head(experiment, facts)
    yield from _values(experiment, courses, settings)
    if rows := _input_rows(facts):
        yield from _titled(
            "inputs and data",
            _table(["", "hash", "size", ""], rows, [False, False, True, False], whole),
        )
    if facts["outputs"]:
        outputs = [
            [output.clean(item["path"]), item["hash"][:10], readable(item["size"])]
            for item in facts["outputs"]
        ]
        yield from _titled(
            "outputs", _table(["", "hash", "size"], outputs, [False, False, True], whole)
        )
    changed = [f"{item['change']} {output.clean(item['path'])}" for item in facts["files"]]
    for title, lines in (
        ("code changed since the parent", changed),
        ("artifacts", [*map(output.clean, facts["artifacts"])]),
    ):
        if lines:
            yield from _titled(title, [*_by_step(lines)])
    texts = [text for text in (facts["note"], *experiment.notes) if text]
    if texts:
        yield from _titled(
            "notes",
            [
                line
                for text in texts
                for long in text.splitlines()
                for line in _wrapped(output.clean(long), whole)
            ],
        )


def _head(experiment: Experiment, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an experiment is called, and what is known of it in a word or two."""
    colour = {"finished": "green", "failed": "red", "killed": "yellow"}[experiment.status]
    yield (
        f"{output.styled(experiment.name, bold=True)}  {experiment.short} "
        f" {output.styled(experiment.status, fg=colour)}"
    )
    if title := message.own_subject(experiment):
        yield output.clean(title)
    took = (
        f", took {output.duration(experiment.duration)}" if experiment.duration is not None else ""
    )
    when = (
        f"{experiment.started.astimezone():%Y-%m-%d %H:%M:%S %z}"
        f" ({output.ago(experiment.started, datetime.now(timezone.utc))}){took}"
    )
    shown = {
        "also called": experiment.alias,
        "started": when,
        "because": experiment.because,
        "verdict": output.verdict(experiment),
        "score": _score(experiment),
        "author": (
            f"{experiment.author} <{experiment.email}>" if experiment.email else experiment.author
        ),
        "commit": experiment.id,
        "parent": experiment.parent,
        "branch": experiment.branch,
        "command": experiment.command,
        "group": experiment.group,
        "labels": ", ".join(experiment.labels),
        "ran on": facts["environment"],
        "reproduced": _reproduced(experiment),
        "source": _source(experiment),
        "code": experiment.extra.get("code"),
        "tags": _tags(experiment),
        **{name.lower(): value for name, value in facts["trailers"].items() if name not in _SAID},
    }
    yield ""
    yield from _pairs({name: value for name, value in shown.items() if value})


def _values(
    experiment: Experiment, courses: Mapping[str, Course], settings: Settings
) -> Iterator[str]:
    """Yield the params and the metrics."""
    if experiment.params:
        yield from _titled(
            "params",
            _pairs(
                {
                    key: "null" if value is None else output.number(value)
                    for key, value in experiment.params.items()
                }
            ),
        )
    if courses or experiment.metrics:
        yield from _titled("metrics", _metric_lines(experiment, courses, settings))


def _score(experiment: Experiment) -> str | None:
    """Return what the last judge said of an experiment."""
    events = [one["score"] for one in experiment.extra.get("events", ()) if one.get("score")]
    if not events or not isinstance(events[-1], dict):
        return None
    said = events[-1]
    faults = (
        message.some([*map(str, said["faults"])]) if isinstance(said.get("faults"), list) else ""
    )
    verdict = f"does not count: {faults}" if faults else "judged.* count"
    command, commit = said.get("command"), str(said.get("by"))[:10]
    if not (faults or command):
        return f"protected files are as in {commit}"
    return f"{verdict} (by {f'{command} of ' if command else ''}{commit})"


def _data(repo: Repo, experiment: Experiment) -> list[dict[str, Any]]:
    """Return what DVC tracks there; ``stale`` where the run did not have what its pointer says."""
    stale = experiment.extra.get("data_stale")
    apart = set(map(str, stale)) if isinstance(stale, list) else set()
    return [
        {
            "path": path,
            "hash": item.hash,
            "size": item.size,
            "files": item.files,
            "pointer": item.pointer,
            "stale": path in apart,
        }
        for path, item in dvc_pointers.of_experiment(repo, experiment).items()
    ]


def _input_rows(facts: Mapping[str, Any]) -> list[list[str]]:
    rows = [
        [output.clean(path), output.clean(hashed), "", ""]
        for path, hashed in facts["inputs"].items()
    ]
    for item in facts["data"]:
        size = "" if item["size"] is None else readable(item["size"])
        files = "" if item["files"] is None else f" in {item['files']:,} files"
        rows.append(
            [
                output.clean(item["path"]),
                item["hash"],
                size + files,
                "changed since, not committed in DVC" if item["stale"] else "",
            ]
        )
    return rows


_SAID = {
    "Inputs",
    "Data",
    "Data-Stale",
    "Id",
    "Status",
    "Started",
    "Duration",
    "Command",
    "Group",
    "Source",
    "Source-Store",
    "Code",
}


def _source(experiment: Experiment) -> str | None:
    """Return one line about where an imported experiment came from."""
    source = experiment.extra.get("source")
    if not isinstance(source, Mapping):
        return None
    if source.get("kind") == "git":
        return "this commit of history, adopted by gitexp import git"
    where = f" in {source['where']}" if source.get("where") else ""
    return f"{source.get('kind')} {source.get('id')}{where}"


def _tags(experiment: Experiment) -> str | None:
    """Return what another tool said of an imported experiment."""
    tags = experiment.extra.get("tags")
    return (
        ", ".join(f"{name}={value}" for name, value in tags.items())
        if isinstance(tags, Mapping)
        else None
    )


def _metric_lines(
    experiment: Experiment, courses: Mapping[str, Course], settings: Settings
) -> list[str]:
    rows = []
    for name in experiment.metrics or courses:
        course = courses.get(name, Course())
        last = experiment.metrics.get(name, course.last)
        last_text, best_text = output.numbers([last, course.best])
        way = metrics.direction(name, settings.metrics)
        best = (
            f"{best_text} ({way}, step {course.best_step})"
            if course.best is not None and course.points > 1
            else ""
        )
        rows.append(
            [
                output.clean(name),
                last_text,
                best,
                str(course.points),
            ]
        )
    return output.text_table(["", "last", "best", "points"], rows, [False, True, False, True])


def _table(headers: list[str], rows: list[list[str]], right: list[bool], whole: bool) -> list[str]:
    return output.text_table(headers, output.fitted(headers, rows, whole, indent=2), right)


def _wrapped(text: str, whole: bool) -> list[str]:
    """Return prose in lines that end between words where the terminal does."""
    room = output.terminal_width()
    if whole or room is None or output.width(text) <= room - 2:
        return [text]
    import textwrap

    return textwrap.wrap(text, max(room - 2, 1))


def _titled(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield ""
    yield output.styled(title, bold=True)
    yield from (f"  {line}".rstrip() for line in lines)


def _by_step(lines: Sequence[str]) -> Iterator[str]:
    """Yield lines, files of many steps (``images/NAME/STEP.png``) as one."""
    for key, group in groupby(lines, lambda line: _STEP.sub(r"\1…\3", line)):
        some = [*group]
        yield from some if len(some) <= _STEPS else [f"{key} ({len(some):,} files)"]


def _pairs(values: Mapping[str, Any]) -> list[str]:
    names = [output.clean(name) for name in values]
    size = max(map(output.width, names))
    return [
        f"{name}{' ' * (size - output.width(name))}  {output.clean(str(value))}"
        for name, value in zip(names, values.values())
    ]


def _changed(repo: Repo, experiment: Experiment) -> list[dict[str, str]]:
    """Return the files that differ from the commit that the run started from, and how: A, M, D or
    T."""
    fields = repo.git(
        "diff-tree",
        "--root",
        "-r",
        "--no-commit-id",
        "--no-renames",
        "--name-status",
        "-z",
        experiment.id,
    ).split(b"\0")
    return [
        {"change": change.decode(), "path": os.fsdecode(path)}
        for change, path in zip(fields[0::2], fields[1::2])
    ]


def _reproduced(experiment: Experiment) -> str | None:
    """Return one line about the last ``gitexp reproduce``: how it ended, why, by whom and where."""
    event = notes.last_reproduced(experiment.extra.get("events", ()))
    if event is None:
        return None
    said = event["verified"]
    tolerance = f" within {said['tolerance']}" if said.get("tolerance") else ""
    reasons = said.get("reasons")
    why = f": {reasons[0]}" if isinstance(reasons, list) and reasons else ""
    return (
        f"{said['verdict']}{tolerance}{why} ({event.get('at', '')} by {event.get('by', '')} on"
        f" {said.get('host', 'unknown')})"
    )


def _environment(experiment: Experiment) -> str | None:
    """Return one line about what it ran on: the Python version, and the number of packages."""
    try:
        versions = environment.parse_requirements(
            experiment.read(environment.PATH).decode("utf-8", "replace")
        )
    except NotFoundError:
        return None
    python = f"Python {versions.pop('python')}, " if "python" in versions else ""
    return (
        f"{python}{len(versions)} package{'' if len(versions) == 1 else 's'} ({environment.PATH})"
    )


def _courses(repo: Repo, experiment: Experiment, settings: Settings) -> dict[str, Course]:
    courses: dict[str, Course] = {}
    ways: dict[str, str | None] = {}
    for point in _points(repo, experiment):
        course = courses.get(point.name)
        if course is None:
            course = courses[point.name] = Course()
            ways[point.name] = metrics.direction(point.name, settings.metrics)
        course.add(point, ways[point.name])
    return courses


# -- curve -----------------------------------------------------------------------------------------


def _points(repo: Repo, experiment: Experiment) -> Iterator[MetricPoint]:
    """Yield all points of an experiment's metrics, as git hands them out: a file of any size needs
    little memory."""
    paths = result_files.paths(experiment.files)
    warnings: list[str] = []
    if paths in ([result_paths.METRICS], [f"{result_paths.FOLDER}/{result_paths.METRICS}"]):
        asked = ("cat-file", "blob", f"{experiment.id}:{paths[0]}")
        with repo.stream(*asked) as stream:
            if not stream.peek(1):  # type: ignore[attr-defined]
                repo.git(*asked)  # raises what is wrong, unless the file is empty
            where = f"{paths[0]} of {experiment.name}"
            yield from metrics.read(stream, where, warnings)  # type: ignore[arg-type]
    else:
        yield from result_files.of(experiment.files, experiment.read, warnings)
    yield from late_values.points(experiment.extra.get("events", ()))
    for warning in warnings:
        output.say(output.clean(warning))


def _curve(repo: Repo, experiment: Experiment, metric: str) -> list[plot.Point]:
    """Return (step, value); where nobody counted steps, (row, value)."""
    by_step = plot.thinned(
        (point.step, point.value) for point in _points(repo, experiment) if point.name == metric
    )
    if by_step and by_step[0][0] < by_step[-1][0]:
        return by_step
    return plot.thinned(
        enumerate(point.value for point in _points(repo, experiment) if point.name == metric)
    )


def _plot(metric: str, curves: Mapping[str, Sequence[plot.Point]], rows: int) -> None:
    colours = dict(zip(curves, _COLOURS * len(curves)))
    columns = (output.terminal_width() or 80) - 12
    click.echo(output.styled(output.clean(metric), bold=True))
    for label, cells in plot.lines(curves, max(columns, 10), rows):
        runs = (
            ("".join(char for char, _ in run), name)
            for name, run in groupby(cells, key=itemgetter(1))
        )
        drawn = "".join(
            text if name is None else output.styled(text, fg=colours[name]) for text, name in runs
        )
        click.echo(f"{label:>10} {drawn}".rstrip())
    steps = [point[0] for points in curves.values() for point in points]
    click.echo(
        f"{'':>10} {min(steps):<{max(columns, 10) // 2}g}{max(steps):>{max(columns, 10) // 2}g}"
    )
    for (name, points), mark in zip(curves.items(), plot.marks(curves)):
        course = f"{output.number(points[0][1])} → {output.number(points[-1][1])}"
        click.echo(f"{output.styled(mark, fg=colours[name])}  {output.clean(name)}: {course}")
