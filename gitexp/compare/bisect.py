"""Find the commit that made a metric worse: ``git bisect`` in a work tree of its own, asking
recorded experiments first.

The command is that of the bad experiment. A commit counts as measured where an experiment is that
commit, or was run from it without a change, by the same command on the same inputs; only the others
are run, the good experiment's first, since its own command may be what made it good. A commit
that cannot be run is skipped, as git does it.
"""

from __future__ import annotations

import re
import shlex
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gitexp.compare import rerun
from gitexp.formats.errors import CannotRunError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, content
from gitexp.runs import worktree
from gitexp.store import conditions, query
from gitexp.store.index import Index
from gitexp.store.query import Sql


@dataclass(frozen=True)
class Limit:
    """What counts as good: a metric that is at most (or at least) so much."""

    metric: str
    most: float | None = None
    least: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a value is good; NaN is not."""
        return (
            (self.most is None or value <= self.most)
            and (self.least is None or value >= self.least)
            and value == value
        )


@dataclass(frozen=True)
class Step:
    """A commit that was looked at: its values (none where it could not be run), and whether they
    were all recorded already."""

    commit: str
    values: tuple[float, ...]
    recorded: bool
    good: bool | None
    why: str = ""

    @property
    def value(self) -> float | None:
        """The median."""
        return statistics.median(self.values) if self.values else None


def bisect(
    index: Index,
    limit: Limit,
    good: Experiment,
    bad: Experiment,
    *,
    repeats: int = 1,
    shown: TextIO | None = None,
    told: Callable[[Step], None] = lambda step: None,
) -> tuple[str, ...]:
    """Return the first commit between two experiments at which the limit does not hold, or those
    among which it is where the rest could not be run.

    Args:
        repeats: how many values to have of each commit; their median counts.
        told: is called after each commit.

    Raises:
        UsageError: the first is not good, or the last not bad; or the first's code is bad, too,
            with the command and the inputs of the last.
        NotFoundError: one of them has no such metric.
        CannotRunError: no command was recorded.
    """
    repo = index.repo
    todo = rerun.task(repo, bad)
    for experiment, wanted in ((good, True), (bad, False)):
        value = experiment.metric(limit.metric)
        if limit.holds(value) != wanted:
            raise UsageError(
                f"{experiment.name} has {limit.metric}={value}, which is"
                f" {'bad' if wanted else 'good'}; the good one comes first"
            )
    with worktree.checkout(repo, bad.id, "bisect") as tree:
        own = good.command == bad.command and _recorded(index, good.id, todo, limit.metric)
        if not own:
            step = _measured(index, tree, good.id, todo, limit, repeats, shown)
            told(step)
            if step.good is False:
                raise UsageError(
                    f"the code of {good.name}, run as {bad.name} was, has"
                    f" {limit.metric}={step.value:.6g}, so no commit made it worse; what did:"
                    f" gitexp why {good.name} {bad.name} -m {shlex.quote(limit.metric)}"
                )
        inside = Repo.discover(tree)
        said = inside.line("bisect", "start", "--no-checkout", bad.id, good.id)
        while not (ends := _ends(said)):
            commit = inside.line("rev-parse", "BISECT_HEAD")
            step = _measured(index, tree, commit, todo, limit, repeats, shown)
            told(step)
            word = "skip" if step.good is None else "good" if step.good else "bad"
            said = inside.line("bisect", word, commit, ok=(0, 2))
    return ends


def _ends(said: str) -> tuple[str, ...]:
    """Return the commits that git bisect ends with, none while it goes on."""
    if match := re.search(r"^([0-9a-f]{40,64}) is the first bad commit", said, re.MULTILINE):
        return (match[1],)
    if "only 'skip'ped commits left" in said or "only skipped commits left" in said:
        return tuple(re.findall(r"^([0-9a-f]{40,64})$", said, re.MULTILINE))
    return ()


def _measured(
    index: Index,
    tree: Path,
    commit: str,
    todo: rerun.Task,
    limit: Limit,
    repeats: int,
    shown: TextIO | None,
) -> Step:
    values = _recorded(index, commit, todo, limit.metric)[:repeats]
    known = len(values)
    why = ""
    try:
        while len(values) < repeats:
            content.reset(index.repo, tree, commit)
            ran = rerun.execute(index.repo, tree, todo, shown=shown)
            if ran.misread:
                raise CannotRunError(str(ran.lacking))
            values.append(ran.metric(limit.metric))
    except CannotRunError as error:
        why = str(error)
    good = limit.holds(statistics.median(values)) if values else None
    return Step(commit, tuple(values), known == len(values) and bool(values), good, why)


def _recorded(index: Index, commit: str, todo: rerun.Task, metric: str) -> list[float]:
    """Return the values of the metric in experiments with this commit's code, by the same command,
    on the same inputs."""
    of_it = "tag.\"commit\" = ? OR json_extract(tag.summary, '$.parent') = ?"
    where = Sql(of_it, (commit, commit)).within(query.ONCE)
    return [
        item.metrics[metric]
        for item in index.select(*where, everybody=True)
        if item.status == "finished" and metric in item.metrics and item.command == todo.shown
        if all(
            hashed == todo.inputs.get(path, hashed)
            for path, hashed in conditions.texts(item.extra, "inputs").items()
        )
        if item.id == commit or rerun.ran_code_of(index.repo, commit, item)
    ]
