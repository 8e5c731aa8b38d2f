"""Which experiment came from which, and what changed on the way: the tree that they grow in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitexp.compare.diff import Change, MetricChange, changes, metric_changes
from gitexp.formats.experiment import Experiment
from gitexp.formats.metrics import direction
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.store import result_paths
from gitexp.store.index import Index


@dataclass(frozen=True)
class Step:
    """An experiment, what it came from, and what differs between the two."""

    experiment: Experiment
    # the experiment that it resumes, else the nearest in the history that its run started from
    origin: Experiment | None = None
    params: tuple[Change, ...] = ()
    metrics: Mapping[str, MetricChange] = field(default_factory=dict)
    code: tuple[str, ...] = ()  # the files of code that differ


def steps(index: Index, settings: Settings, experiments: Sequence[Experiment]) -> list[Step]:
    """Return a step for each experiment, in their order."""
    found = origins(index.repo, experiments)
    pairs = [(item, origin) for item in experiments if (origin := found[item.id])]
    own = result_paths.of_all(index, [item for pair in pairs for item in pair])
    own.update(result_paths.texts(index.repo))
    code = changed(index.repo, {item.id: origin.id for item, origin in pairs}, own)
    made = {item.id: Step(item) for item in experiments}
    for item, origin in pairs:
        params = tuple(changes(origin.params, item.params))
        metrics = metric_changes(origin.metrics, item.metrics, settings)
        by_name = {one.name: one for one in metrics}
        made[item.id] = Step(item, origin, params, by_name, code[item.id])
    return [made[item.id] for item in experiments]


def origins(repo: Repo, experiments: Sequence[Experiment]) -> dict[str, Experiment | None]:
    """Return for each commit the experiment that it resumes, else its history's nearest, or
    None."""
    known = {item.id: item for item in experiments}
    listed = repo.git(
        "rev-list", "--topo-order", "--reverse", "--parents", "--ignore-missing", "--stdin",
        stdin="".join(f"{commit}\n" for commit in known).encode(),
    ).decode()  # fmt: skip
    nearest: dict[str, dict[Any, Experiment]] = {}  # of each commit, itself included, by project
    found: dict[str, Experiment | None] = dict.fromkeys(known)
    for line in listed.splitlines():
        commit, *parents = line.split()
        before = [nearest[one] for one in parents if nearest.get(one)]
        near = before[0] if before else {}
        if len(before) > 1:
            near = {key: item for one in reversed(before) for key, item in one.items()}
        if commit in known:
            project = known[commit].extra.get("project")
            found[commit] = near.get(project)
            near = {**near, project: known[commit]}
        nearest[commit] = near
    for item in experiments:
        resumed = known.get(str(item.extra.get("resumes") or item.extra.get("forks")))
        if resumed and resumed.started < item.started:
            found[item.id] = resumed
    return found


def changed(
    repo: Repo, bases: Mapping[str, str], own: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return the files that differ between each commit and its base, without ``own``, which may be
    too many to be named to git."""
    lines = "".join(f"{commit} {base}\n" for commit, base in bases.items()).encode()
    words = repo.entries("diff-tree", "--stdin", "-r", "-z", "--name-only", "--no-renames",
                         stdin=lines)  # fmt: skip
    files: dict[str, list[str]] = {commit: [] for commit in bases}
    here: list[str] = []
    for word in words:
        if word in files:
            here = files[word]
        elif not (result_paths.holds(own, word) or result_paths.is_own(word)):
            here.append(word)
    return {commit: tuple(found) for commit, found in files.items()}


def usual(experiments: Iterable[Experiment], settings: Settings) -> str | None:
    """Return the metric that most have, of those with a known better direction if there are any."""
    count = Counter(name for item in experiments for name in item.metrics)
    known = [name for name in count if direction(name, settings.metrics)]
    return max(known or count, key=lambda name: count[name], default=None)


def in_tree(found: Sequence[Step]) -> Iterator[tuple[tuple[bool, ...], Step]]:
    """Yield the steps as a tree is drawn, oldest first: for each floor above one whether it is the
    last there."""
    below: dict[str, list[Step]] = {}
    for step in sorted(found, key=lambda one: (one.experiment.started, one.experiment.id)):
        below.setdefault(step.origin.id if step.origin else "", []).append(step)
    todo: list[tuple[tuple[bool, ...], Step]] = [((), step) for step in reversed(below.get("", []))]
    while todo:
        floors, step = todo.pop()
        yield floors, step
        rows = below.get(step.experiment.id, [])
        todo += [((*floors, at == len(rows) - 1), row) for at, row in enumerate(rows)][::-1]


def as_record(step: Step) -> dict[str, Any]:
    """Return a step as plain values."""
    return {
        "name": step.experiment.name,
        "id": step.experiment.id,
        "origin": step.origin.name if step.origin else None,
        "because": step.experiment.because,
        "verdict": step.experiment.verdict,
        "verdict_because": step.experiment.judged.get("because"),
        "status": step.experiment.status,
        "metrics": dict(step.experiment.metrics),
        "params_changed": {one.name: [one.a, one.b] for one in step.params},
        "metrics_changed": {name: [one.a, one.b] for name, one in step.metrics.items()},
        "code_changed": list(step.code),
    }
