"""What was tried, why, and what came of it: ``gitexp tried``, ``keep``, ``discard``, ``tree`` and
``book``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from gitexp.cli import output, pager
from gitexp.cli.declare import FILE, POSITIVE, argument, option
from gitexp.cli.files import write_file
from gitexp.cli.markdown import escaped, keep_block
from gitexp.cli.opened import (
    Selection,
    asked_for,
    everybody_option,
    metric_option,
    nothing,
    opened,
    where_option,
)
from gitexp.cli.options import param_option
from gitexp.compare import lineage
from gitexp.compare.lineage import Step
from gitexp.formats import params
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import one_line, own_subject
from gitexp.repo import Repo, snapshot
from gitexp.store import notes, query, reference, result_paths

if TYPE_CHECKING:
    from gitexp.compare.tried import Match

_PICTURE = re.compile(r"(.*?)(?:/(\d+))?\.(?:png|jpe?g|gif|svg|webp)", re.IGNORECASE)
_MOST = 4  # pictures of one experiment
_REFS = argument("REF...", "refs")
_BECAUSE = option("--because TEXT", "The reason, in any words.")
_METRIC = metric_option("The metric to follow (default: what most of them have).")


@click.command("tried")
@option("--like REF", "Look for what is like this experiment, instead of the work tree as it is.")
@param_option("A param of the run that you have in mind.")
@option("--because TEXT", "Its reason.")
@option("-n, --limit N", "At most N of them.", type=POSITIVE, default=5)
@output.output_options
@pager.paged
def tried_command(
    like: str | None, given: dict[str, Any], because: str | None, limit: int, form: str | None
) -> None:
    """Show what was tried already: earlier experiments that are most like the work tree as it is.

    They are compared by the lines and functions that they changed, their params and their reasons.
    gitexp run asks the same, and says so where something almost equal was discarded.

    \b
    Examples:
      gitexp tried -p lr=0.1
      gitexp tried --like exp-7
    """
    from gitexp.compare import tried

    if like and (given or because):
        raise UsageError("--like takes the params and the reason of that experiment; leave one out")
    repo, settings, index = opened()
    if like:
        found = tried.like(index, reference.resolve(index, like, settings), limit)
    else:
        tree = snapshot.on_disk(repo, settings).tree
        found = tried.like_tree(index, tree, params.flatten(given), because, limit)
    if form:
        headers = ("likeness", "name", "verdict", "verdict_because", "because", "metrics")
        output.print_records(form, headers, [_tried(match) for match in found])
        return
    if not found:
        output.say("nothing similar was tried")
    rows = [
        [f"{100 * likeness:.0f} %", item.name, output.clean(_told(item))]
        for item, likeness in found
    ]
    output.print_table(["", "", ""], rows, [True, False, False])


def _tried(match: Match) -> list[Any]:
    """Return likeness, name, verdict, its reason, the run's own reason and metrics."""
    item = match.experiment
    why = item.judged.get("because")
    return [round(match.likeness, 3), item.name, item.verdict, why, item.because, item.metrics]


def _told(item: Experiment) -> str:
    """Return what people said of an experiment, and its first metrics."""
    why = f"“{item.because}”" if item.because else own_subject(item)
    said = [output.values(item.metrics, 2), output.verdict(item) or "", why]
    return one_line(" · ".join(filter(None, said)))


@click.command("keep")
@_REFS
@_BECAUSE
def keep_command(refs: tuple[str, ...], because: str | None) -> None:
    """Mark experiments as kept, and say why. The last verdict counts.

    \b
    Example:
      gitexp keep exp-7 --because 'better on both sets'
    """
    _judge(refs, "kept", because)


@click.command("discard")
@_REFS
@_BECAUSE
def discard_command(refs: tuple[str, ...], because: str | None) -> None:
    """Mark experiments as discarded, and say why. Nothing of them is lost.

    gitexp list leaves them out, unless --discarded or --all-verdicts asks for them; gitexp keep
    takes it back. Verdicts are git notes, which gitexp push and pull bring to others.

    \b
    Example:
      gitexp discard exp-8 --because 'diverges after 2k steps'
    """
    _judge(refs, "discarded", because)


def _judge(refs: Sequence[str], verdict: str, because: str | None) -> None:
    repo, settings, index = opened()
    found = reference.resolve_many(index, refs, settings)
    given = (because or "").strip()
    for item in found:
        before = item.judged
        # the same verdict once more, without a reason, leaves the one that it had
        why = given or (before.get("because") if before.get("verdict") == verdict else None)
        notes.add(repo, [item.id], [{"verdict": verdict, **({"because": why} if why else {})}])
        name = output.clean(item.name)
        click.echo(f"{name}: {verdict}")
        if before.get("because") and before["because"] != why:
            said = f"{name} was {before['verdict']}: {one_line(str(before['because']))}"
            output.say(said)


@click.command("tree")
@_METRIC
@where_option
@everybody_option
@output.output_options
@pager.paged
def tree_command(metric: str | None, where: str | None, everybody: bool, form: str | None) -> None:
    """Show which experiment came from which, what changed, and what that did to the metric.

    An experiment stands below the one that it resumes, else the nearest in the history that its run
    started from. Discarded ones are shown, with their reasons.

    \b
    Example:
      gitexp tree --metric rmse
    """
    steps, name = _steps(metric, where, everybody)
    if form == "json":
        output.print_json([lineage.as_record(step) for step in steps])
        return
    if form:
        rows = [[one[key] for key in _FIELDS] for one in map(lineage.as_record, steps)]
        output.print_records(form, _FIELDS, rows)
        return
    for floors, step in lineage.in_tree(steps):
        bars = "".join("   " if last else "│  " for last in floors[:-1])
        branch = ("└─ " if floors[-1] else "├─ ") if floors else ""
        click.echo(f"{bars}{branch}{output.clean('  '.join(_words(step, name)))}")


_FIELDS = ("name", "origin", "status", "verdict", "verdict_because", "because")


@click.command("book")
@argument("[FILE]", type=FILE)
@_METRIC
@everybody_option
@option("--check", "Write nothing; exit with 1 where FILE is not up to date.")
def book_command(file: Path | None, metric: str | None, everybody: bool, check: bool) -> None:
    """Keep the lab book up to date in FILE, or print it: Markdown, day by day, in UTC.

    Each experiment has its reason, what changed since the one that it came from, what that did to
    the metric, the verdict on it, and its pictures (images that it logged or wrote), of which
    copies lie beside FILE in a folder BOOK.pictures. In FILE it stands between two comments, as a
    leaderboard does; what else is there stays.

    \b
    Examples:
      gitexp book BOOK.md
      gitexp book --metric rmse
    """
    steps, name = _steps(metric, None, everybody)
    steps.sort(key=lambda step: (step.experiment.started, step.experiment.id))
    text = "\n".join(["# Lab book", *_days(steps, name, file)])
    if file is None:
        click.echo(text)
    else:
        if not check:
            _copy_pictures([step.experiment for step in steps], file)
        keep_block(file, "book", text, check)


def _pictures(item: Experiment) -> list[str]:
    """Return the paths of an experiment's pictures, a few; of one with steps the last."""
    lists = [item.extra.get(key) for key in ("artifacts", "outputs")]
    last: dict[str, tuple[int, str]] = {}
    for path in sorted({str(path) for one in lists if isinstance(one, list) for path in one}):
        if match := _PICTURE.fullmatch(path):
            last[match[1]] = max(last.get(match[1], (-1, "")), (int(match[2] or 0), path))
    return [path for _, path in last.values()][:_MOST]


def _place(item: Experiment, path: str, file: Path) -> Path:
    flat = path.removeprefix(f"{result_paths.ARTIFACTS}/").replace("/", "-")
    return file.with_suffix(result_paths.PICTURES) / f"{item.short}-{flat}"


def _copy_pictures(experiments: Sequence[Experiment], file: Path) -> None:
    """Write the pictures that do not lie beside the book yet: commits never change."""
    places = {f"{item.id}:{path}": place for item in experiments for path in _pictures(item)
              if not (place := _place(item, path, file)).exists()}  # fmt: skip
    folder = file.with_suffix(result_paths.PICTURES)
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link; remove it, the book's pictures are written there")
    if places:
        folder.mkdir(exist_ok=True)
        for place, found in zip(places.values(), Repo.discover().objects(places)):
            if found and not found.data.startswith(b"version https://git-lfs"):
                write_file(place, found.data)


def _days(steps: Sequence[Step], metric: str | None, file: Path | None) -> Iterator[str]:
    # UTC, so that --check says the same to everybody
    for day, group in groupby(steps, lambda one: one.experiment.started.date()):
        rows = list(group)
        count = Counter(step.experiment.verdict for step in rows)
        told = [f"{count[what]} {what}" for what in ("kept", "discarded") if count[what]]
        yield f"\n## {day}\n\n{', '.join([f'Experiments: {len(rows)}', *told])}."
        for step in rows:
            item = step.experiment
            title = f": {subject}" if (subject := own_subject(item)) else ""
            yield f"\n### {escaped(item.name + title)}\n"
            facts = {
                "because": item.because,
                "from": step.origin.name if step.origin and not item.extra.get("merges") else None,
                "merges": _merged(item),
                "changed": ", ".join(_changed(step)),
                metric or "": _measured(step, metric),
                "status": None if item.status == "finished" else item.status,
                "failure": item.failure,
                "verdict": output.verdict(item),
                "notes": "; ".join(item.notes),
                "run": f"{item.started:%H:%M} UTC by {item.author}, {item.short}",
            }
            pictures = _pictures(item)
            if not file:
                facts["pictures"] = ", ".join(pictures)
            for name, text in facts.items():
                if text:
                    yield f"- {escaped(name)}: {escaped(one_line(text))}"
            if file and pictures:
                places = [_place(item, path, file).relative_to(file.parent) for path in pictures]
                yield "\n" + "\n".join(f"![]({quote(place.as_posix())})" for place in places)


def _steps(metric: str | None, where: str | None, everybody: bool) -> tuple[list[Step], str | None]:
    """Return the steps of the experiments that are asked for, and the metric to follow."""
    _, settings, index = opened()
    condition, _, _ = asked_for(index, settings, Selection((), where, everybody=everybody))
    found = index.select(*condition, everybody=everybody)
    if not found:
        output.say(nothing(index, where is not None, everybody))
    name = query.find_metric(index, metric).name if metric else lineage.usual(found, settings)
    return lineage.steps(index, settings, found), name


def _words(step: Step, metric: str | None) -> Iterator[str]:
    item = step.experiment
    yield item.name
    if item.status != "finished":
        yield item.status
    if metric and metric in item.metrics:
        yield f"{metric}={_measured(step, metric)}"
    yield from _changed(step)
    if merged := _merged(item):
        yield f"merges {merged}"
    if item.because:
        yield f"“{one_line(item.because)}”"
    if verdict := output.verdict(item):
        yield f"[{one_line(verdict)}]"


def _merged(item: Experiment) -> str:
    names = item.extra.get("merges")
    return ", ".join(map(str, names)) if isinstance(names, dict) else ""


def _changed(step: Step) -> Iterator[str]:
    for one in step.params:
        before, now = (text or "none" for text in output.numbers([one.a, one.b]))
        yield f"{one.name}: {before} → {now}"
    if step.code:
        yield f"code: {', '.join(step.code[:3])}" + (" …" if len(step.code) > 3 else "")


def _measured(step: Step, metric: str | None) -> str:
    if metric is None or metric not in step.experiment.metrics:
        return ""
    text = output.number(step.experiment.metrics[metric])
    change = step.metrics.get(metric)
    if not change or change.difference is None:
        return text
    mark = {True: " better", False: " worse", None: ""}[change.better]
    return f"{text} ({change.difference:+.3g}{mark})"
