"""What is to be run of a sweep: the points that its search gives, with the seeds of each, without
what git holds already.

A trial's number counts up in the order in which points were asked for. Searches of our own give the
same points again, so that a trial keeps its number when the sweep is resumed; where the search
learns, numbers go on after the highest.
"""

from __future__ import annotations

import math
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitexp.formats import environment
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo
from gitexp.store.index import Index
from gitexp.sweeps import plan as plans
from gitexp.sweeps import search as searches
from gitexp.sweeps import worker_push
from gitexp.sweeps.plan import Frozen, Plan
from gitexp.sweeps.search import Asked
from gitexp.sweeps.space import Point
from gitexp.sweeps.worker import INTERRUPTED, PRUNED, PYTHON, Job
from gitexp.sweeps.worker_push import PushTarget


@dataclass
class Round:
    """A point with the trials of its seeds: how many are left, and the others' objectives."""

    asked: Asked
    left: int = 0
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Trial:
    """One time that the command is to be run; ``attempt`` counts from 0."""

    index: int
    round: Round
    seed: int
    attempt: int = 0


class Schedule:
    """Says what comes next, and learns what came of it: of each trial the last attempt is
    ``known``, by what makes two of them the same, and ``closed`` if it need not run any more."""

    def __init__(self, plan: Plan, recorded: Iterable[Experiment], again: bool, jobs: int) -> None:
        self._plan = plan
        said = ((sweep_facts(item), item) for item in recorded)
        self.known = {plans.key(facts["point"], facts["seed"]): item for facts, item in said}
        self.closed = {key: item for key, item in self.known.items() if not is_open(item, again)}
        self.search, points = search_with_history(plan, self.closed.values(), jobs)
        self.total = points * plan.repeat
        highest = max((sweep_facts(item)["index"] for item in self.known.values()), default=-1)
        self._next_index = 0 if plan.search in searches.OWN else highest + 1
        self._waiting = deque(self._unfinished())

    def next(self) -> Trial | None:
        """Return the trial that comes next, None where there is none (yet)."""
        while not self._waiting:
            asked = self.search.ask()
            if asked is None:
                return None
            self._waiting.extend(self._seeds(asked))
        return self._waiting.popleft()

    def take(self, trial: Trial, experiment: Experiment) -> bool:
        """Have a trial run again, or tell the search what became of it; whether it is done."""
        plan, key = self._plan, plans.key(trial.round.asked.point, trial.seed)
        self.known[key] = experiment
        if is_open(experiment, again=False):  # interrupted
            return False
        failed = experiment.status != "finished" and PRUNED not in experiment.labels
        if failed and trial.attempt < plan.retries:
            self._waiting.appendleft(Trial(trial.index, trial.round, trial.seed, trial.attempt + 1))
            return False
        self.closed[key] = experiment
        value = objective(plan, experiment)
        if value is not None:
            trial.round.values.append(value)
        trial.round.left -= 1
        if trial.round.left == 0:
            self.search.tell(trial.round.asked, trial.round.values)
        return True

    def _seeds(self, asked: Asked) -> list[Trial]:
        """Return the trials of a point, without those that are recorded already."""
        plan = self._plan
        first, self._next_index = self._next_index, self._next_index + plan.repeat
        asked_for = Round(asked)
        todo = []
        for at in range(plan.repeat):
            key = plans.key(asked.point, plan.seed + at)
            known = self.closed.get(key)
            if known is None:
                todo.append(Trial(first + at, asked_for, plan.seed + at, self._attempt(key)))
            elif (value := objective(plan, known)) is not None:
                asked_for.values.append(value)
        asked_for.left = len(todo)
        if not todo:
            self.search.tell(asked, asked_for.values)
        return todo

    def _attempt(self, key: str) -> int:
        """Return the number of a trial's next attempt: one more where the last was pushed."""
        known = self.known.get(key)
        if known is None or self._plan.workers_push is None or is_open(known, again=False):
            return 0
        return 1 + int(sweep_facts(known).get("attempt") or 0)

    def _unfinished(self) -> Iterator[Trial]:
        """Yield the missing trials of points that a search chose and that lack some seeds."""
        plan = self._plan
        if plan.search in searches.OWN:
            return
        for items in by_point(self.closed.values()).values():
            point: Point = sweep_facts(items[0])["point"]
            seeds = range(plan.seed, plan.seed + plan.repeat)
            if any(plans.key(point, seed) not in self.closed for seed in seeds):
                yield from self._seeds(Asked(point))


def job(frozen: Frozen, trial: Trial, push_to: PushTarget | None = None) -> Job:
    """Return a trial as a worker gets it."""
    plan, point = frozen.plan, trial.round.asked.point
    command = plans.fill(plan, point, trial.seed)
    sweep = {"tree": frozen.tree, "index": trial.index, "point": point, "seed": trial.seed}
    if trial.attempt:
        sweep["attempt"] = trial.attempt
    facts = {
        **frozen.facts,
        "id": secrets.token_hex(8),
        "command": environment.redact("python" if word == PYTHON else word for word in command),
        "directory": plan.directory,
        "group": frozen.group,
        "advance": False,
        "beside": "a sweep",
        "apart": True,
        "extra": {**frozen.facts.get("conditions", {}), "sweep": sweep},
    }
    return Job(
        key=f"{frozen.group}/{trial.index}.{trial.attempt}",
        commit=frozen.commit,
        command=command,
        params=plans.recorded_params(plan, point, trial.seed),
        point=point,
        seed=trial.seed,
        facts=facts,
        directory=plan.directory,
        timeout=plan.timeout,
        links=plan.links,
        name=worker_push.name_of(frozen.group, trial.index, trial.attempt),
        push_to=push_to,
    )


def recorded(repo: Repo, frozen: Frozen) -> list[Experiment]:
    """Return the group's experiments that this very snapshot gave, oldest first."""
    of_group = "json_extract(tag.summary, '$.group') = ?"
    found = Index(repo).select(of_group, [frozen.group], order="tag.started")
    return [item for item in found if is_of(sweep_facts(item), frozen)]


def is_of(facts: Any, frozen: Frozen) -> bool:
    """Whether what an experiment says of its sweep is whole, and of this one."""
    if not isinstance(facts, dict) or facts.get("tree") != frozen.tree:
        return False
    kinds = [type(facts.get(name)) for name in ("index", "point", "seed")]
    return kinds == [int, dict, int]


def sweep_facts(experiment: Experiment) -> Mapping[str, Any]:
    """Return an experiment's ``tree``, ``index``, ``point``, ``seed``, ``attempt`` in a sweep."""
    facts: Mapping[str, Any] = experiment.extra.get("sweep", {})
    return facts


def is_open(experiment: Experiment, again: bool) -> bool:
    """Whether a recorded trial is still to be run: interrupted, or failed and wanted again."""
    if experiment.status == "finished" or PRUNED in experiment.labels:
        return False
    return again or experiment.extra.get("error") in INTERRUPTED


def objective(plan: Plan, experiment: Experiment) -> float | None:
    """Return the objective that a trial reached, None where it has none that counts."""
    found = experiment.metrics.get(plan.objective) if plan.objective else None
    return None if found is None or math.isnan(found) or PRUNED in experiment.labels else found


def reached(plan: Plan, experiments: Iterable[Experiment]) -> list[float]:
    """Return the objectives that the finished ones of some trials reached."""
    found = [objective(plan, item) for item in experiments if item.status == "finished"]
    return [value for value in found if value is not None]


def by_point(experiments: Iterable[Experiment]) -> dict[str, list[Experiment]]:
    """Return the trials of each point, one for each of its seeds."""
    found: dict[str, list[Experiment]] = {}
    for item in experiments:
        found.setdefault(plans.key(sweep_facts(item)["point"], 0), []).append(item)
    return found


def search_with_history(
    plan: Plan, closed: Iterable[Experiment], jobs: int
) -> tuple[searches.Search, int]:
    """Return the plan's search, told of what is done, and how many points it gives in all."""
    rounds = by_point(closed)
    history = []
    for items in rounds.values():
        values = reached(plan, items)
        if len(items) >= plan.repeat and values:
            history.append((sweep_facts(items[0])["point"], sum(values) / len(values)))
    return searches.make(plan, history, tried=len(rounds), several=jobs > 1)
