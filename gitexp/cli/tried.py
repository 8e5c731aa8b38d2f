"""``gitexp tried``: earlier experiments that are like what is about to be run."""

from __future__ import annotations

from typing import Any

import click

from gitexp.cli import output, pager
from gitexp.cli.declare import POSITIVE, option
from gitexp.cli.opened import opened
from gitexp.cli.options import param_option
from gitexp.compare import tried
from gitexp.compare.tried import Match
from gitexp.formats import params
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import one_line, own_subject
from gitexp.repo import snapshot
from gitexp.store import reference


@click.command("tried")
@option("--like REF", "Look for what is like this experiment, instead of the work tree as it is.")
@param_option("A param of the run that you have in mind.")
@option("--because TEXT", "Its reason.")
@option("-n, --limit", "How many.", type=POSITIVE, default=5)
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
        output.say("nothing like it was tried")
    rows = [
        [f"{100 * likeness:.0f} %", item.name, output.clean(_told(item))]
        for item, likeness in found
    ]
    output.print_table(["", "", ""], rows, [True, False, False])


def _tried(match: Match) -> list[Any]:
    item = match.experiment
    why = item.judged.get("because")
    return [round(match.likeness, 3), item.name, item.verdict, why, item.because, item.metrics]


def _told(item: Experiment) -> str:
    """Return what people said of an experiment, and its first metrics."""
    said = [
        output.values(item.metrics, 2),
        output.verdict(item) or "",
        f"“{item.because}”" if item.because else own_subject(item),
    ]
    return one_line(" · ".join(filter(None, said)))
