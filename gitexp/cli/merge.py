"""``gitexp merge``: what several experiments changed, together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from gitexp.cli import options as shared
from gitexp.cli import output
from gitexp.cli.declare import argument, option
from gitexp.cli.opened import in_reach, metric_option, opened
from gitexp.cli.prove import YES, agreed
from gitexp.compare import lineage, merge
from gitexp.formats import metric_names, metrics, params
from gitexp.formats.errors import GitexpError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.store import query, reference
from gitexp.store.index import Index
from gitexp.store.query import Sql

if TYPE_CHECKING:
    from gitexp.compare.judge import Trusted

_HEADERS = ("name", "id", "merges", "metric", "base", "before", "expected", "value", "better")


@click.command("merge")
@argument("[REF REF...]", "refs")
@option("--all-kept", "Find the best merge of what is kept, in two runs for each.")
@metric_option("The metric to look at (default: what most of them have).")
@shared.param_option("The value of a param that two of them changed.")
@YES
@shared.judge_options
@output.output_options
def merge_command(
    refs: tuple[str, ...],
    all_kept: bool,
    metric: str | None,
    given: dict[str, Any],
    yes: bool,
    judge: str | None,
    trusted: str | None,
    form: str | None,
) -> None:
    """Merge what experiments changed, run it, and record it.

    Code is merged by git, params by name, over the commit that the experiments have in common; the
    new experiment stands on a merge commit of them all. Says what the changes should give together,
    each measured alone, and what they gave. --all-kept adds one kept experiment after the other,
    best first, as long as that helps, and then tries to leave each one out.

    \b
    Examples:
      gitexp merge exp-4 exp-9
      gitexp merge exp-4 exp-9 -p lr=0.3
      gitexp merge --all-kept --metric rmse
    """
    _, settings, index = opened()
    if all_kept == bool(refs) or (refs and len(refs) < 2):
        raise UsageError("name two experiments or more, or use --all-kept")
    kept = Sql("tag.verdict = 'kept'")
    found = (
        index.select(*in_reach(index, kept))
        if all_kept
        else reference.resolve_many(index, refs, settings)
    )
    name = query.find_metric(index, metric).name if metric else lineage.usual(found, settings)
    having = [item for item in found if name in item.metrics]
    if name is None or len(having) < 2 or (refs and len(having) < len(found)):
        raise UsageError("merging takes two experiments or more that have the same metric")
    for item in having:
        agreed(index.repo, item, yes)
    by = shared.agreed_judge(index.repo, judge, trusted)
    find = metric_names.known_direction if all_kept else metrics.direction
    way = find(name, settings.metrics)
    tried = _Tried(index, name, way, params.flatten(given), by, goes_on=all_kept)
    best = merge.best_of(having, name, way or "", tried) if all_kept else tried(having)
    if form:
        output.print_records(form, _HEADERS, tried.rows)
    else:
        click.echo(f"{best.name} {best.short}")


@dataclass
class _Tried:
    """Runs merges, and says of each how it went."""

    index: Index
    metric: str
    way: str | None
    settled: dict[str, Any]
    by: Trusted | None
    goes_on: bool
    rows: list[list[Any]] = field(default_factory=list)

    def __call__(self, items: Sequence[Experiment]) -> Experiment:
        try:
            todo = merge.prepare(self.index, items, self.settled)
            output.say(f"running {todo.todo.name}")
            done = merge.run(self.index.repo, todo, self.metric, sys.stderr, self._judged)
        except GitexpError as error:
            if self.goes_on:
                output.say(f"left out: {error}")
            raise
        self._tell(done)
        return done.experiment

    def _judged(self, item: Experiment) -> dict[str, float]:
        """Return what the judge says of a merge, as ``judged.NAME``; nothing where it does not
        count."""
        if self.by is None:
            return {}
        found = shared.judged(self.index.repo, item, self.by)
        return (
            {} if found.faults else {f"judged.{key}": found.metrics[key] for key in found.metrics}
        )

    def _tell(self, done: merge.Outcome) -> None:
        names = [item.name for item in done.items]
        before = done.base.metrics.get(self.metric) if done.base else None
        better = None
        text = f"{done.experiment.name}: {self.metric}={output.number(done.got)}"
        if done.expected is not None and done.base:
            better = metrics.is_better(self.way, done.got, done.expected) if self.way else None
            off = done.got - done.expected
            close = abs(off) <= 1e-9 * max(abs(done.got), abs(done.expected))
            words = {True: "better than that by", False: "worse than that by", None: "off by"}
            than = "as they did" if close else f"{words[better]} {abs(off):.3g}"
            text += (
                f" ({done.base.name} has {output.number(before)}; its changes, each measured"
                f" alone, add up to {output.number(done.expected)}: {than})"
            )
        output.say(text)
        base = done.base.name if done.base else None
        made = done.experiment
        self.rows.append([made.name, made.id, names, self.metric, base, before, done.expected,
                          done.got, better])  # fmt: skip
