"""``gitexp report``, one HTML file that compares experiments, and ``gitexp plot``, one chart of
them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

import click

from gitexp.cli import output
from gitexp.cli.declare import FILE, argument, option
from gitexp.cli.files import write_file
from gitexp.cli.markdown import escaped, measured, table, varying
from gitexp.cli.opened import Selection, chosen, fetch_option, metric_option, opened, selection
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.store import query, reference

_KINDS = ("curves", "scatter", "parallel", "importance", "bars")
_FORMS = (".png", ".svg", ".pdf", ".html")
_ROWS = 20  # of a Markdown report


@click.command("report")
@selection
@option("-o, --output", "The file to write (default: report.html).", "target", type=FILE)
@option(
    "--title TEXT", "The page's title (default: the name of the repository's folder).", default=""
)
@option("--forest", "Also rank the params with a random forest (slow; needs scikit-learn).")
@option("--open", "Open it in the browser.", "show")
@option("--md", "Print a Markdown table instead, for a pull request.", "markdown")
@option("--against REF", "With --md: how far each metric is from this experiment's.")
@fetch_option
def report_command(
    asked: Selection,
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
    found = chosen(index, settings, asked, current=True)
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
    if not asked.refs and not asked.where:
        from gitexp.runs import unrecorded

        found = [*unrecorded.runs(repo), *found]
    size = write_page(repo, settings, found, path, title, forest=forest)
    output.say(f"wrote {path}: {output.counted(len(found), 'experiment')}, {size / 1e6:.1f} MB")
    if show:
        click.launch(str(path.resolve()))


@click.command("plot")
@argument("KIND", type=click.Choice(_KINDS))
@selection
@metric_option("The metric to draw.", required=True)
@option("-x KEY", "The param or metric on the x axis of a scatter.", "x")
@option("--log", "Draw the metric on a logarithmic axis.")
@option(
    "-o, --output",
    "The file to write; its ending sets the format: .png, .svg, .pdf or .html.",
    "target",
    type=FILE,
    required=True,
)
def plot_command(
    kind: str, asked: Selection, metric: str, x: str | None, log: bool, target: Path
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
    found = chosen(index, settings, asked, current=True)
    having = query.having(found, name)
    if form == ".html":
        place = {"view": kind, "metric": name, "y": f"m.{name}", "log": "1" if log else ""}
        place["color"] = f"m.{name}" if kind == "parallel" else ""
        place["x"] = f"{axis.family[0]}.{axis.name}" if axis else ""
        start = urlencode(place)
        write_page(repo, settings, found, target, "", start, forest=kind == "importance")
    else:
        drawn = chart.draw(kind, having, name, axis.name if axis else None, form[1:], log)
        write_file(target, drawn)
    output.say(f"wrote {target}")


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
    return write_file(path, text.encode("utf-8", "replace"))


def pair_address(a: Experiment, b: Experiment) -> str:
    """Return what a report of two opens with: the difference between them."""
    return urlencode({"view": "diff", "sel": f"{quote(a.name, safe='')},{quote(b.name, safe='')}"})


def _markdown(
    experiments: Sequence[Experiment], base: Experiment | None, settings: Settings
) -> str:
    """Return the report as Markdown: a table of the first experiments, and how far their metrics
    are from the base's."""
    shown = experiments[:_ROWS]
    metrics = list(dict.fromkeys(name for item in shown for name in item.metrics))
    params = varying(shown)
    headers = ["experiment", "status", *metrics, *params, "duration"]
    rows = []
    given = output.number_rows([[*map(item.params.get, params)] for item in shown])
    for item, values in zip(shown, given):
        found = [measured(item, name, base, settings) for name in metrics]
        rows.append([item.name, item.status, *found, *values, output.duration(item.duration)])
    count = output.counted(len(experiments), "experiment")
    title = f"### {count}" + (f", against {escaped(base.name)}" if base else "")
    lines = [title, "", table(headers, rows)]
    if len(experiments) > len(shown):
        lines += ["", f"The first {len(shown)} of them; all are in `gitexp report`."]
    return "\n".join(lines)
