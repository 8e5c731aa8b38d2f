"""What is done of a sweep already: its trials in git, which of them count, and what they tell a
search.

There is no other memory: the history of a study *is* the experiments.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo
from gitexp.store.index import Index
from gitexp.sweeps import plan as plans
from gitexp.sweeps import search as searches
from gitexp.sweeps.plan import Frozen, Plan
from gitexp.sweeps.worker import INTERRUPTED, PRUNED


def recorded(repo: Repo, frozen: Frozen) -> list[Experiment]:
    """Return the group's experiments that this very snapshot gave, oldest first."""
    found = Index(repo).select(
        "json_extract(tag.summary, '$.group') = ?", [frozen.group], order="tag.started"
    )
    return [item for item in found if is_of(said(item), frozen)]


def is_of(facts: Any, frozen: Frozen) -> bool:
    """Whether what an experiment says of its sweep is whole, and of this one."""
    if not isinstance(facts, dict) or facts.get("tree") != frozen.tree:
        return False
    return (
        type(facts.get("index")) is int
        and isinstance(facts.get("point"), dict)
        and type(facts.get("seed")) is int
    )


def said(experiment: Experiment) -> Mapping[str, Any]:
    """Return what an experiment says of its sweep: ``tree``, ``index``, ``point``, ``seed`` and
    ``attempt``; empty where it is of none."""
    facts: Mapping[str, Any] = experiment.extra.get("sweep", {})
    return facts


def key(experiment: Experiment) -> str:
    """Return what makes two trials of one snapshot the same."""
    return plans.key(said(experiment)["point"], said(experiment)["seed"])


def is_open(experiment: Experiment, again: bool) -> bool:
    """Whether a recorded trial is still to be run: it was interrupted, or failed and is wanted
    again."""
    if experiment.status == "finished" or PRUNED in experiment.labels:
        return False
    return again or experiment.extra.get("error") in INTERRUPTED


def value(plan: Plan, experiment: Experiment) -> float | None:
    """Return the objective that a trial reached, None where it has none that counts."""
    found = experiment.metrics.get(plan.objective) if plan.objective else None
    return None if found is None or math.isnan(found) or PRUNED in experiment.labels else found


def search(plan: Plan, closed: Iterable[Experiment], jobs: int) -> tuple[searches.Search, int]:
    """Return the plan's search, told of the trials that are done, and how many points it will give
    in all."""
    rounds: dict[str, list[Experiment]] = {}
    for item in closed:
        rounds.setdefault(plans.key(said(item)["point"], 0), []).append(item)
    history = []
    for items in rounds.values():
        values = [
            reached
            for item in items
            if (reached := value(plan, item)) is not None and item.status == "finished"
        ]
        if len(items) >= plan.repeat and values:
            history.append((said(items[0])["point"], sum(values) / len(values)))
    return searches.make(
        plan.search,
        plan.space,
        trials=plan.trials,
        tried=len(rounds),
        seed=plan.seed,
        direction=plan.direction,
        prune=plan.prune,
        history=history,
        several=jobs > 1,
    )
