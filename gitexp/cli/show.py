"""``gitexp show`` and ``best``: one experiment whole, and the best one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import groupby
from typing import Any

import click

from gitexp.cli import output, pager
from gitexp.cli.curve import Course, courses_of
from gitexp.cli.declare import argument, option
from gitexp.cli.list import as_json
from gitexp.cli.opened import in_reach, opened, where_option
from gitexp.formats import environment, message, metrics, params
from gitexp.formats.errors import NotFoundError
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import readable
from gitexp.formats.settings import Settings
from gitexp.repo import Repo, dvc_pointers
from gitexp.store import artifacts, conditions, connectivity, notes, query, reference, result_paths
from gitexp.store.index import Index

_STEP = re.compile(r"(.*/)(-?\d+)(\.\w+)")
_STEPS = 3  # files that differ in their step alone and are shown one by one
# trailers that are shown by another name
_SAID = {"Inputs", "Data", "Data-Stale", "Id", "Status", "Started", "Duration", "Command", "Group",
         "Source", "Source-Store", "Code"}  # fmt: skip


@click.command("show")
@argument("[REF]", default="@")
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
@argument("METRIC")
@option("--max", "Higher is better.", "way", flag_value="max")
@option("--min", "Lower is better.", "way", flag_value="min")
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
    condition = in_reach(index, query.where(index, where))
    found = query.best(index, key, settings.metrics, way=way, where=condition)
    if found is None:
        raise NotFoundError(
            f"no experiment that fits has a value of '{key.name}'; to see what there is: gitexp"
            " list"
        )
    _show(index, settings, found, whole, form)


def _show(
    index: Index, settings: Settings, experiment: Experiment, whole: bool, form: str | None
) -> None:
    repo = index.repo
    text = connectivity.full_message(repo, experiment.id)
    outputs = artifacts.outputs(repo, experiment)
    written = {item.path for item in outputs}
    facts = {
        **as_json(experiment),
        "note": message.body(text),
        "files": [item for item in _changed(repo, experiment) if item["path"] not in written],
        "outputs": [item._asdict() for item in outputs],
        "artifacts": [one for one in experiment.extra.get("artifacts", ()) if one not in written],
        "environment": _environment(experiment),
        "inputs": conditions.texts(experiment.extra, "inputs"),
        "data": _data(repo, experiment),
        "trailers": message.trailers(text),
    }
    courses = courses_of(repo, experiment, settings)
    if form == "json":
        facts["params"] = params.nested(facts["params"])  # as params.yml has them
        history = {name: vars(course) for name, course in courses.items()}
        output.print_json({**facts, "history": history})
    elif form:
        rows = [[name, value] for name, value in facts.items() if name not in query.KINDS]
        for family in query.KINDS:
            rows += [[f"{family}.{name}", value] for name, value in facts[family].items()]
        output.print_records(form, ("field", "value"), rows)
    else:
        if resumed := facts["trailers"].get("Resumes"):
            facts["trailers"]["Resumes"] = _named(index, resumed)
        origin = index.at(experiment.parent or "")
        both = [item for item in (experiment, origin) if item]
        own = {path for item in both for path in result_paths.of_experiment(item)}
        theirs = [one for one in facts["files"] if not result_paths.is_own(one["path"])]
        facts["files"] = [one for one in theirs if one["path"] not in own]
        output.print_lines(_page(experiment, facts, courses, settings, whole), whole)


def _named(index: Index, text: str) -> str:
    """Return ``COMMIT`` or ``COMMIT@STEP`` with the experiment's name, where it is known here."""
    commit, at, step = text.partition("@")
    found = index.at(commit)
    return f"{found.name if found else commit}{at}{step}"


def _page(
    experiment: Experiment,
    facts: Mapping[str, Any],
    courses: Mapping[str, Course],
    settings: Settings,
    whole: bool,
) -> Iterator[str]:
    """Yield the lines of what ``show`` tells people."""
    yield from _head(experiment, facts)
    values = {
        name: "null" if value is None else output.number(value)
        for name, value in experiment.params.items()
    }
    outputs = [
        [output.clean(item["path"]), item["hash"][:10], readable(item["size"])]
        for item in facts["outputs"]
    ]
    changed = [f"{item['change']} {output.clean(item['path'])}" for item in facts["files"]]
    notes = [line for text in (facts["note"], *experiment.notes) for line in text.splitlines()]
    inputs = output.fitted_table(
        ["", "hash", "size", ""], _input_rows(facts), [False, False, True, False], whole
    )
    for title, lines in (
        ("params", _pairs(values)),
        ("metrics", _metric_lines(experiment, courses, settings)),
        ("inputs and data", inputs),
        (
            "outputs",
            output.fitted_table(["", "hash", "size"], outputs, [False, False, True], whole),
        ),
        ("code changed since the parent", [*_by_step(changed)]),
        ("artifacts", [*_by_step([*map(output.clean, facts["artifacts"])])]),
        ("notes", [short for line in notes for short in _wrapped(output.clean(line), whole)]),
    ):
        if lines:
            yield ""
            yield output.styled(title, bold=True)
            yield from (f"  {line}".rstrip() for line in lines)


def _head(experiment: Experiment, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an experiment is called, and what is known of it in a word or two."""
    colour = {"finished": "green", "failed": "red", "killed": "yellow"}[experiment.status]
    status = output.styled(experiment.status, fg=colour)
    yield f"{output.styled(experiment.name, bold=True)}  {experiment.short}  {status}"
    if title := message.own_subject(experiment):
        yield output.clean(title)
    ago = output.ago(experiment.started, datetime.now(timezone.utc))
    when = f"{experiment.started.astimezone():%Y-%m-%d %H:%M:%S %z} ({ago})"
    if experiment.duration is not None:
        when += f", took {output.duration(experiment.duration)}"
    shown = {
        "also called": experiment.alias,
        "started": when,
        "because": experiment.because,
        "verdict": output.verdict(experiment),
        "score": _score(experiment),
        "author": experiment.author + (f" <{experiment.email}>" if experiment.email else ""),
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


def _score(experiment: Experiment) -> str | None:
    """Return what the last judge said of an experiment."""
    events = [one["score"] for one in experiment.extra.get("events", ()) if one.get("score")]
    if not events or not isinstance(events[-1], dict):
        return None
    said = events[-1]
    command, commit = said.get("command"), str(said.get("by"))[:10]
    by = f"{command} of {commit}" if command else commit
    if isinstance(said.get("faults"), list) and said["faults"]:
        return f"does not count: {message.some([*map(str, said['faults'])])} (by {by})"
    return f"judged.* count (by {by})" if command else f"protected files are as in {commit}"


def _data(repo: Repo, experiment: Experiment) -> list[dict[str, Any]]:
    """Return what DVC tracks there; ``stale`` where the run did not have what its pointer says."""
    stale = experiment.extra.get("data_stale")
    apart = set(map(str, stale)) if isinstance(stale, list) else set()
    names = ("hash", "size", "files", "pointer")
    return [
        {"path": path, **{name: getattr(item, name) for name in names}, "stale": path in apart}
        for path, item in dvc_pointers.of_experiment(repo, experiment).items()
    ]


def _input_rows(facts: Mapping[str, Any]) -> list[list[str]]:
    """Return path, hash, size and a remark of each declared input, and of what DVC tracks."""
    rows = [[path, hashed, "", ""] for path, hashed in facts["inputs"].items()]
    for item in facts["data"]:
        size = readable(item["size"])
        files = "" if item["files"] is None else f" in {item['files']:,} files"
        stale = "changed since, not committed in DVC" if item["stale"] else ""
        rows.append([item["path"], item["hash"], size + files, stale])
    return [[*map(output.clean, row)] for row in rows]


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
    if not isinstance(tags, Mapping):
        return None
    return ", ".join(f"{name}={value}" for name, value in tags.items())


def _metric_lines(
    experiment: Experiment, courses: Mapping[str, Course], settings: Settings
) -> list[str]:
    """Return a line for each metric: its last value, its best one with the step, its points."""
    rows = []
    for name in experiment.metrics or courses:
        course = courses.get(name, Course())
        last = experiment.metrics.get(name, course.last)
        last_text, best = output.numbers([last, course.best])
        if course.best is None or course.points < 2:
            best = ""
        else:
            best += f" ({metrics.direction(name, settings.metrics)}, step {course.best_step})"
        rows.append([output.clean(name), last_text, best, str(course.points)])
    headers, right = ["", "last", "best", "points"], [False, True, False, True]
    return output.fitted_table(headers, rows, right, whole=True)


def _wrapped(text: str, whole: bool) -> list[str]:
    """Return prose in lines that end between words where the terminal does."""
    room = output.terminal_width()
    if whole or room is None or output.width(text) <= room - 2:
        return [text]
    import textwrap

    return textwrap.wrap(text, max(room - 2, 1))


def _by_step(lines: Sequence[str]) -> Iterator[str]:
    """Yield lines, files of many steps (``images/NAME/STEP.png``) as one."""
    for key, group in groupby(lines, lambda line: _STEP.sub(r"\1…\3", line)):
        some = [*group]
        yield from some if len(some) <= _STEPS else [f"{key} ({len(some):,} files)"]


def _pairs(values: Mapping[str, Any]) -> list[str]:
    rows = [[output.clean(name), output.clean(str(value))] for name, value in values.items()]
    return output.text_table(["", ""], rows)


def _changed(repo: Repo, experiment: Experiment) -> list[dict[str, str]]:
    """Return the files that differ from the commit that the run started from, and how: A, M, D or
    T."""
    how = ("--root", "-r", "--no-commit-id", "--no-renames", "--name-status", "-z")
    fields = repo.git("diff-tree", *how, experiment.id).split(b"\0")
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
    who = f"{event.get('at', '')} by {event.get('by', '')} on {said.get('host', 'unknown')}"
    return f"{said['verdict']}{tolerance}{why} ({who})"


def _environment(experiment: Experiment) -> str | None:
    """Return one line about what it ran on: the Python version, and the number of packages."""
    try:
        text = experiment.read(environment.PATH).decode("utf-8", "replace")
    except NotFoundError:
        return None
    versions = environment.parse_requirements(text)
    python = f"Python {versions.pop('python')}, " if "python" in versions else ""
    return f"{python}{output.counted(len(versions), 'package')} ({environment.PATH})"
