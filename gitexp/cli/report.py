"""``gitexp report``, one HTML file that compares experiments, and ``gitexp plot``, one chart of
them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import click

from gitexp.cli import completion, output
from gitexp.cli.opened import everybody_option, fetch_option, metric_option, opened, where_option
from gitexp.formats.errors import GateError, NotFoundError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.store import query, reference
from gitexp.store.index import Index

Command = TypeVar("Command", bound=Callable[..., Any])
_KINDS = ("curves", "scatter", "parallel", "importance", "bars")
_FORMS = (".png", ".svg", ".pdf", ".html")
_ROWS = 20  # of a Markdown report


def selection(function: Command) -> Command:
    """Give a command REF..., ``--where``, ``--sort`` and ``--all``."""
    for option in (
        everybody_option,
        click.option(
            "--sort",
            "-s",
            metavar="KEY,...",
            shell_complete=completion.keys,
            help="Sort by these; a metric sorts best first.",
        ),
        where_option,
        click.argument("refs", nargs=-1, metavar="[REF]...", shell_complete=completion.refs),
    ):
        function = option(function)
    return function


@click.command("report")
@selection
@click.option(
    "--output",
    "-o",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="The file to write (default: report.html).",
)
@click.option(
    "--title", default="", help="The page's title (default: the name of the repository's folder)."
)
@click.option(
    "--forest",
    is_flag=True,
    help="Also rank the params with a random forest (slow; needs scikit-learn).",
)
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
@click.option(
    "--md", "markdown", is_flag=True, help="Print a Markdown table instead, for a pull request."
)
@click.option(
    "--against",
    metavar="REF",
    shell_complete=completion.refs,
    help="With --md: how far each metric is from this experiment's.",
)
@fetch_option
def report_command(
    refs: tuple[str, ...],
    where: str | None,
    sort: str | None,
    everybody: bool,
    target: Path | None,
    title: str,
    forest: bool,
    show: bool,
    markdown: bool,
    against: str | None,
    fetch: bool,
) -> None:
    """Write one HTML file that compares experiments: all, or those named.

    It is self-contained and works offline, from a disk, an e-mail or a web server: a table to
    filter and sort, experiments side by side, curves, parallel coordinates, scatter, importance of
    params, and the difference between two in code, notebooks, data and packages. A link copied from
    it reproduces the view.

    \b
    Examples:
      gitexp report --open
      gitexp report --where 'started > 7d' -o week.html
      gitexp report exp-3 exp-7 --md --against best:rmse
    """
    if not markdown:
        from gitexp.report import page

        page.needs()
    repo, settings, index = opened(fetch)
    found = chosen(index, settings, refs, where, sort, everybody, current=True)
    if markdown:
        if target or show:
            raise UsageError(
                "--md prints to stdout, so it goes without -o and --open; to keep it: gitexp report"
                " --md > report.md"
            )
        base = reference.resolve(index, against, settings) if against else None
        click.echo(_markdown(found, base, settings))
        return
    if against:
        raise UsageError("--against belongs to --md; the page compares whatever is selected in it")
    path = target or Path("report.html")
    if not refs and not where:
        from gitexp.runs import unrecorded

        found = [*unrecorded.runs(repo), *found]
    size = write_page(repo, settings, found, path, title, forest=forest)
    output.say(f"wrote {path}: {output.counted(len(found), 'experiment')}, {size / 1e6:.1f} MB")
    if show:
        click.launch(str(path.resolve()))


@click.command("plot")
@click.argument("kind", type=click.Choice(_KINDS))
@selection
@metric_option("The metric to draw.", required=True)
@click.option(
    "-x",
    "x",
    metavar="KEY",
    shell_complete=completion.keys,
    help="The param or metric on the x axis of a scatter.",
)
@click.option("--log", is_flag=True, help="Draw the metric on a logarithmic axis.")
@click.option(
    "--output",
    "-o",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write; its ending sets the format: .png, .svg, .pdf or .html.",
)
def plot_command(
    kind: str,
    refs: tuple[str, ...],
    where: str | None,
    sort: str | None,
    everybody: bool,
    metric: str,
    x: str | None,
    log: bool,
    target: Path,
) -> None:
    """Write one chart of experiments: all, or those named.

    KIND is curves (the metric's history, a line each), scatter (against -x), parallel (coordinates:
    all params that vary), importance (of the params for the metric) or bars. As .html it is a
    report that opens at the chart.

    \b
    Examples:
      gitexp plot curves exp-3 exp-7 -m loss --log -o loss.png
      gitexp plot scatter -m rmse -x lr -o rates.svg
    """
    from gitexp.report import chart, page

    form = target.suffix.lower()
    if form not in _FORMS:
        raise UsageError(
            f"'{target.name}' must end with one of {', '.join(_FORMS)}, which sets the format"
        )
    (page if form == ".html" else chart).needs()
    repo, settings, index = opened()
    name = query.find_metric(index, metric).name
    axis = query.find_key(index, x) if x else None
    if axis and axis.family == "attribute":
        raise UsageError(f"'{x}' is neither a param nor a metric; -x takes one of these")
    found = chosen(index, settings, refs, where, sort, everybody, current=True)
    if form == ".html":
        place = {
            "view": kind,
            "metric": name,
            "y": f"m.{name}",
            "color": f"m.{name}" if kind == "parallel" else "",
            "log": "1" if log else "",
        }
        start = urlencode({**place, "x": f"{axis.family[0]}.{axis.name}" if axis else ""})
        write_page(repo, settings, found, target, "", start, forest=kind == "importance")
    else:
        write_file(
            target, chart.draw(kind, found, name, axis.name if axis else None, form[1:], log)
        )
    output.say(f"wrote {target}")


def chosen(
    index: Index,
    settings: Settings,
    refs: Sequence[str],
    where: str | None,
    sort: str | None,
    everybody: bool,
    current: bool = False,
) -> list[Experiment]:
    """Return the experiments that a command is about: those named, for which the condition holds;
    newest first, or sorted.

    Args:
        current: leave out those that a later one resumed, unless they are named.

    Raises:
        NotFoundError: there is none.
    """
    condition = query.where(index, where)
    if refs:
        names = [experiment.name for experiment in reference.resolve_many(index, refs, settings)]
        condition = condition.within(
            "({}) AND ref.name IN (SELECT value FROM json_each(?))", output.exact(names)
        )
    if current and not refs:
        condition, _ = query.current(index, condition, everybody)
    order = query.order(query.sort(index, sort, settings.metrics))
    found = index.select(
        condition.text,
        [*condition.values, *order.values],
        order.text,
        everybody=everybody or bool(refs),
    )
    if not found:
        raise NotFoundError("no experiment fits; to see what there is: gitexp list")
    if refs and not sort:
        found.sort(key=lambda item: names.index(item.name))
    return found


def write_page(
    repo: Repo,
    settings: Settings,
    experiments: Sequence[Experiment],
    path: Path,
    title: str,
    start: str = "",
    forest: bool = False,
) -> int:
    """Write a report and return its size in bytes."""
    from gitexp.report import data, page

    page.needs()
    text = page.render(data.collect(repo, settings, experiments, title, start, forest))
    return write_file(path, text.encode())


def pair_address(a: Experiment, b: Experiment) -> str:
    """Return what a report of two opens with: the difference between them."""
    return urlencode({"view": "diff", "sel": f"{quote(a.name, safe='')},{quote(b.name, safe='')}"})


def write_file(path: Path, data: bytes) -> int:
    """Write a file whole or not at all and return its size; raise UsageError where that is not
    possible."""
    real = Path(os.path.realpath(path))
    if real.is_relative_to(
        os.path.realpath(path.parent)
    ):  # a link stays one, but leads nowhere else
        path = real
    part = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and not path.is_file():  # a device, as /dev/null, is written to
            path.write_bytes(data)
            return len(data)
        part.unlink(missing_ok=True)
        with open(part, "xb") as file:  # which writes through no link
            file.write(data)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(
            f"{path} cannot be written: {error.strerror}; choose another place with -o"
        ) from None
    return len(data)


def keep_block(file: Path, name: str, content: str, check: bool, call: str) -> None:
    """Bring a block of ours in a text file up to date; the rest of the file stays.

    Args:
        name: what the comments around it call it, ``leaderboard rmse``.
        check: write nothing, and raise GateError where it is not up to date.
        call: the command that writes it.
    """
    try:
        if file.exists() and not file.is_file():
            raise UsageError(f"{file} is no plain file; name one that is")
        text = file.read_bytes().decode() if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read as text: {error}") from None
    new = with_block(text, name, content)
    if check:
        if new != text:
            raise GateError(f"{file} is out of date; to bring it up to date: {call}")
    elif new == text:
        output.say(f"{file} is up to date")
    else:
        write_file(file, new.encode("utf-8", "replace"))
        output.say(f"wrote {file}")


def with_block(text: str, name: str, content: str) -> str:
    """Return a file's text with a block of ours replaced; one that has none gets it at the end."""
    name = re.sub(r"-{2,}|[<>]", "-", name)  # what would end the comment
    start, end = f"<!-- gitexp:{name} -->", f"<!-- /gitexp:{name.partition(' ')[0]} -->"
    block = f"{start}\n{content}\n{end}"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda _: block, text, count=1)
    return f"{text.rstrip()}\n\n{block}\n" if text.strip() else f"{block}\n"


def _markdown(
    experiments: Sequence[Experiment], base: Experiment | None, settings: Settings
) -> str:
    """Return the report as Markdown: a table of the first experiments, and how far their metrics
    are from the base's."""
    shown = experiments[:_ROWS]
    metrics = list(dict.fromkeys(name for item in shown for name in item.metrics))
    params = [
        name
        for name in dict.fromkeys(name for item in shown for name in item.params)
        if len({repr(item.params.get(name)) for item in shown}) > 1
    ]
    headers = ["experiment", "status", *metrics, *params, "duration"]
    rows = []
    for item in shown:
        values = [measured(item, name, base, settings) for name in metrics]
        rows.append(
            [
                item.name,
                item.status,
                *values,
                *(output.number(item.params.get(name)) for name in params),
                output.duration(item.duration),
            ]
        )
    count = output.counted(len(experiments), "experiment")
    lines = [
        f"### {count}" + (f", against {escaped(base.name)}" if base else ""),
        "",
        table(headers, rows),
    ]
    if len(experiments) > len(shown):
        lines += ["", f"The first {len(shown)} of them; all are in `gitexp report`."]
    return "\n".join(lines)


def measured(item: Experiment, metric: str, base: Experiment | None, settings: Settings) -> str:
    """Return a metric's value, with its distance from the base's and a mark for better or worse
    where that is known."""
    from gitexp.formats.metrics import direction, is_better

    value = item.metrics.get(metric)
    before = base.metrics.get(metric) if base and base.id != item.id else None
    if value is None or before is None or value == before:
        return output.number(value)
    way = direction(metric, settings.metrics)
    better = is_better(way, value, before) if way else None
    mark = {True: " ✓", False: " ✗", None: ""}[better]
    return f"{output.number(value)} ({value - before:+.3g}{mark})"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose cells are text, whatever they hold."""
    return output.markdown(
        [escaped(cell) for cell in headers], [[escaped(cell) for cell in row] for row in rows]
    )


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is: no tag, link, picture or end of a comment in it."""
    plain = output.clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{char}" if char in "\\`*[]" else char for char in plain)
