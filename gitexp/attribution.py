"""Why two experiments differ: their differences tried one at a time on top of the first, in a work tree of its own.

A param is changed where it stands, in the command line and in YAML files called params; code is all other files at once;
packages are the two recorded environments, built anew. What single changes do not add up to, they do together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from gitexp import command, conditions, difference, params, rebuild, rerun, worktree
from gitexp.errors import CannotRunError, FormatError, GateError, NotFoundError, UsageError
from gitexp.experiment import Experiment
from gitexp.repo import Repo
from gitexp.settings import Settings

_PARAMS_FILE = re.compile(r"(.*/)?params?\.ya?ml")


@dataclass(frozen=True)
class Factor:
    """Something that differs: ``kind`` is param, params (several at once), code, packages or data."""

    kind: str
    names: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Part:
    """What one factor did: the metric with it alone changed, None where that could not be run, and why."""

    factor: Factor
    value: float | None
    why: str = ""


@dataclass(frozen=True)
class Attribution:
    """A change of a metric, taken apart.

    Attributes:
        before, after: the recorded values.
        base: the first experiment's value as measured here, which the parts are compared with.
        runs: how many times the command was run.
    """

    metric: str
    before: float
    after: float
    base: float
    parts: tuple[Part, ...]
    runs: int

    @property
    def rest(self) -> float:
        """What the parts do not add up to: what they do together, and noise."""
        return self.after - self.base - sum(part.value - self.base for part in self.parts if part.value is not None)


def attribute(
    repo: Repo,
    settings: Settings,
    a: Experiment,
    b: Experiment,
    metric: str,
    *,
    budget: int = 10,
    shown: TextIO | None = None,
    told: Callable[[str], None] = lambda text: None,
) -> Attribution:
    """Try each difference alone, in at most ``budget`` runs.

    Raises:
        UsageError: one of them has no such metric.
        GateError: nothing that could be tried differs.
        CannotRunError: the first experiment's command cannot be run.
    """
    for experiment in (a, b):
        if metric not in experiment.metrics:
            raise UsageError(f"{experiment.name} has no metric '{metric}'; it has {', '.join(experiment.metrics) or 'none'}")
    before, after = a.metrics[metric], b.metrics[metric]
    trial = _Trial(repo, settings, a, b)
    factors = _within(trial.factors(), budget)
    if not factors:
        raise GateError(f"nothing that gitexp can try differs between {a.name} and {b.name}; see: gitexp diff {a.name} {b.name}")
    if len(factors) == 1 and factors[0].kind != "data":
        return Attribution(metric, before, after, before, (Part(factors[0], after, "nothing else differs"),), 0)
    runs = 1
    with worktree.checkout(repo, a.id, "why") as tree:
        told(f"{a.name} again")
        base = trial.measured(tree, None, metric, shown)
        parts = []
        for factor in factors:
            if factor.kind == "data" or runs >= budget:
                parts.append(Part(factor, None, "only the present data is here" if factor.kind == "data" else "not tried: over the budget"))
                continue
            told(f"{a.name} with {factor.text}")
            runs += 1
            try:
                parts.append(Part(factor, trial.measured(tree, factor, metric, shown)))
            except CannotRunError as error:
                parts.append(Part(factor, None, str(error)))
    return Attribution(metric, before, after, base, tuple(parts), runs)


class _Trial:
    """The two experiments, and what it takes to lay a part of the second over the first."""

    def __init__(self, repo: Repo, settings: Settings, a: Experiment, b: Experiment) -> None:
        self.repo, self.a, self.b = repo, a, b
        self.diff = difference.compare(repo, settings, a, b)
        self.todo, self.other = rerun.task(repo, a), rerun.task(repo, b)
        self.pythons: dict[str, Path] = {}
        files = {file.path for file in self.diff.code if _PARAMS_FILE.fullmatch(file.path) and file.status == "changed"}
        self.params_files = sorted({*files, *{a.files.get("params", "")} & {b.files.get("params", "")}} - {""})
        self.code = [file for file in self.diff.code if file.path not in self.params_files]
        self.options_a, self.options_b = _options(self.todo.words), _options(self.other.words)

    def factors(self) -> Iterator[Factor]:
        """Yield what differs."""
        if self.diff.environment:
            changes = [f"{change.name} {change.a or 'none'} -> {change.b or 'none'}" for change in self.diff.environment]
            yield Factor("packages", tuple(change.name for change in self.diff.environment), f"packages: {_some(changes)}")
        if self.code:
            paths = tuple(file.path for file in self.code)
            yield Factor("code", paths, f"code: {_some(paths)}")
        values_a, values_b = (self._values(experiment) for experiment in (self.a, self.b))
        for name in dict.fromkeys([*values_a, *values_b]):
            if not difference.same(values_a.get(name), values_b.get(name)) or (name in values_a) != (name in values_b):
                yield Factor("param", (name,), f"{name}: {values_a.get(name, 'none')} -> {values_b.get(name, 'none')}")
        if self._positional(self.options_a) != self._positional(self.options_b):
            yield Factor("command", (), f"command: {self.other.shown}")
        inputs_a, inputs_b = (conditions.texts(experiment.extra, "inputs") for experiment in (self.a, self.b))
        changed = tuple(name for name in inputs_a if inputs_b.get(name, inputs_a[name]) != inputs_a[name])
        if changed and not set(changed) <= {file.path for file in self.code}:
            yield Factor("data", changed, f"data: {_some(changed)}")

    def measured(self, tree: Path, factor: Factor | None, metric: str, shown: TextIO | None) -> float:
        """Run the first experiment with one factor taken from the second, and return the metric."""
        worktree.reset(self.repo, tree, self.a.id)
        todo, kind = self.todo, factor.kind if factor else ""
        if factor and kind in ("param", "params"):
            todo = replace(todo, words=self._mixed(set(factor.names)))
            self._write_params(tree, factor.names)
        elif kind == "command":
            todo = self.other
        elif kind == "code":
            self._take_code(tree)
        python = self._python(tree, self.other if kind == "packages" else self.todo, shown) if self.diff.environment else None
        value = rerun.execute(self.repo, tree, todo, python=python, shown=shown).metrics.get(metric)
        if value is None:
            raise CannotRunError(f"it logs no metric '{metric}'")
        return value

    def _values(self, experiment: Experiment) -> dict[str, Any]:
        """Return the params that can be changed: the options of the command, and those in files that the run reads."""
        words = self.todo.words if experiment is self.a else self.other.words
        values: dict[str, Any] = {}
        for path in self.params_files:
            values.update(params.flatten(_loaded(self.repo, experiment, path)))
        return {**values, **{name: value for name, value, _ in command.options(words[1:]) if name is not None}}

    def _mixed(self, names: set[str]) -> tuple[str, ...]:
        """Return the first command with the words of the second for some options."""
        theirs = {name: words for name, words in self.options_b if name in names}
        words = [theirs.pop(name, ()) if name in names else words for name, words in self.options_a]
        return tuple(word for group in [*words, *theirs.values()] for word in group)

    def _write_params(self, tree: Path, names: Sequence[str]) -> None:
        for path in self.params_files:
            mine, theirs = (_loaded(self.repo, experiment, path) for experiment in (self.a, self.b))
            flat = params.flatten(theirs)
            if not any(name in flat or name in params.flatten(mine) for name in names):
                continue
            kept = {name: value for name, value in params.flatten(mine).items() if name not in names}
            (tree / path).write_bytes(params.dump(params.nest([*kept.items(), *((name, flat[name]) for name in names if name in flat)])))

    def _take_code(self, tree: Path) -> None:
        gone = [path for file in self.code for path in (file.old_path, file.path if file.status == "removed" else None) if path]
        there = [file.path for file in self.code if file.status != "removed"]
        for words, paths in ((("rm", "-q", "-f", "--ignore-unmatch"), gone), (("checkout", "--quiet", self.b.id), there)):
            if paths:
                self.repo.git("--literal-pathspecs", *words, "--", *paths, cwd=tree)

    def _python(self, tree: Path, todo: rerun.Task, shown: TextIO | None) -> Path:
        if todo.name not in self.pythons:
            place = tree.parent / f"env-{len(self.pythons)}"
            self.pythons[todo.name] = rebuild.build(todo.requirements, place, self.repo.root, tree, shown)
        return self.pythons[todo.name]

    @staticmethod
    def _positional(options: Sequence[tuple[str | None, tuple[str, ...]]]) -> list[tuple[str, ...]]:
        return [words for name, words in options if name is None]


def _options(words: Sequence[str]) -> list[tuple[str | None, tuple[str, ...]]]:
    return [(None, (words[0],)), *((name, written) for name, _, written in command.options(words[1:]))]


def _loaded(repo: Repo, experiment: Experiment, path: str) -> Mapping[str, Any]:
    try:
        return params.load(repo.read_file(experiment.id, path), path)
    except (FormatError, NotFoundError):
        return {}


def _within(factors: Iterator[Factor], budget: int) -> list[Factor]:
    """Take params together where there are more factors than runs."""
    found = list(factors)
    single = [factor for factor in found if factor.kind == "param"]
    if len(found) + 1 <= budget or len(single) < 2:
        return found
    together = Factor(
        "params", tuple(name for factor in single for name in factor.names), f"params: {_some([item.text for item in single])}"
    )
    return [*(factor for factor in found if factor.kind != "param"), together]


def _some(texts: Sequence[str], most: int = 3) -> str:
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
