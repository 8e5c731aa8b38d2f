"""Why two experiments differ: their differences tried one at a time on top of the first, in a work
tree of its own.

What the single changes do not add up to, they do together. Where that is worth a run, and the
budget has one left, pairs are tried too: first those of which one part could not be run alone (an
option that only the new code knows), then those that did most.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gitexp.compare.ablation import Factor, Graft
from gitexp.formats import message
from gitexp.formats.errors import CannotRunError, GateError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.repo import Repo, content
from gitexp.runs import worktree

_ENOUGH = 0.01  # the share of the change that may stay unexplained before pairs are tried


@dataclass(frozen=True)
class Part:
    """What one factor did, or two did together beyond what each did alone."""

    factors: tuple[Factor, ...]
    # the metric with nothing else changed, None where that could not be run; ``why`` says why
    value: float | None
    change: float | None  # what it did to the metric, None where that is not known
    why: str = ""

    @property
    def text(self) -> str:
        """What differs."""
        if len(self.factors) == 1:
            return self.factors[0].text
        return f"together: {' + '.join(factor.short for factor in self.factors)}"


@dataclass(frozen=True)
class Attribution:
    """A change of a metric, taken apart."""

    before: float  # before and after: the recorded values
    after: float
    # what the parts add to: the first experiment as measured here, or as recorded where its data is
    # not here any more
    base: float
    parts: tuple[Part, ...]
    runs: int  # how many times the command was run

    @property
    def rest(self) -> float:
        """What the parts do not add up to: what was not tried, what more than two do together, and
        noise."""
        terms = [self.after, -self.base, *(-(part.change or 0.0) for part in self.parts)]
        rest = sum(terms)
        rounding = math.isfinite(rest) and abs(rest) <= 1e-12 * max(map(abs, terms))
        return 0.0 if rounding else rest


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
    """Try each difference alone, then pairs, in at most ``budget`` runs.

    Raises:
        NotFoundError: one of them has no such metric.
        GateError: nothing that could be tried differs.
        CannotRunError: the first experiment's command cannot be run.
    """
    before, after = a.metric(metric), b.metric(metric)
    graft = Graft(repo, settings, a, b)
    inputs = graft.inputs()
    factors = _within(graft.factors(), budget)
    everything = [*([inputs] if inputs else []), *factors]
    if not everything:
        raise GateError(
            f"nothing that gitexp can try differs between {a.name} and {b.name}; see: gitexp diff"
            f" {a.name} {b.name}"
        )
    if len(everything) == 1:
        only = Part((everything[0],), after, after - before, "nothing else differs")
        return Attribution(before, after, before, (only,), 0)
    with worktree.checkout(repo, a.id, "why") as tree:
        if lacking := content.advice(content.missing(repo, tree), repo.root):
            told(lacking)
        trials = _Trials(graft, tree, metric, budget, shown, told)
        told(f"{a.name} again")
        base = trials.run(())
        parts: list[Part] = []
        above = 0.0  # what the data that lies here did, which all runs have in them
        if inputs:
            parts.append(_of_inputs(graft, inputs, before, base))
            above = parts[0].change or 0.0
        parts += [trials.part((factor,), base) for factor in factors]
        found = Attribution(before, after, base - above, tuple(parts), trials.runs)
        untold = inputs is not None and parts[0].change is None  # the rest holds what the data did
        for pair in _pairs(parts[1 if inputs else 0 :], untold):
            enough = _ENOUGH * abs(found.after - found.base)
            if trials.runs >= budget or not abs(found.rest) > enough:
                break
            alone = sum(part.change or 0.0 for part in pair)
            both = (*pair[0].factors, *pair[1].factors)
            parts.append(trials.part(both, base + alone))
            found = Attribution(before, after, base - above, tuple(parts), trials.runs)
    return found


@dataclass
class _Trials:
    """Runs within a budget."""

    graft: Graft
    tree: Path
    metric: str
    budget: int
    shown: TextIO | None
    told: Callable[[str], None]
    runs: int = 0

    def run(self, factors: tuple[Factor, ...]) -> float:
        self.runs += 1
        return self.graft.measured(self.tree, factors, self.metric, self.shown)

    def part(self, factors: tuple[Factor, ...], base: float) -> Part:
        """Return what factors do beyond ``base``, the metric without them."""
        if self.runs >= self.budget:
            return Part(factors, None, None, "not tried: over the budget")
        self.told(f"{self.graft.a.name} with {' and '.join(factor.text for factor in factors)}")
        try:
            value = self.run(factors)
        except CannotRunError as error:
            return Part(factors, None, None, str(error))
        return Part(factors, value, value - base)


def _of_inputs(graft: Graft, inputs: Factor, before: float, base: float) -> Part:
    """Return what the declared inputs did. Those of the first experiment are gone where the
    second's lie in their place."""
    owner = graft.whose_inputs(inputs.names)
    if owner is graft.b:
        return Part((inputs,), base, base - before, f"{graft.a.name} run with it; all below too")
    why = (
        f"{graft.b.name}'s is not here" if owner else "neither's is here: all was run with what is"
    )
    return Part((inputs,), None, None, f"not tried: {why}")


def _pairs(parts: list[Part], only_failed: bool) -> list[tuple[Part, Part]]:
    """Return the pairs worth a try, the most promising first: where one could not be run alone,
    then those that did most."""
    tried = (part for part in parts if not part.why.startswith("not tried"))
    usable = [part for part in tried if part.factors[0].kind != "command"]

    def worth(pair: tuple[Part, Part]) -> tuple[int, float]:
        failed = sum(part.change is None for part in pair)
        return failed, sum(abs(part.change or 0.0) for part in pair)

    pairs = [one for one in itertools.combinations(usable, 2) if not only_failed or worth(one)[0]]
    return sorted(pairs, key=worth, reverse=True)


def _within(factors: Iterator[Factor], budget: int) -> list[Factor]:
    """Take params together where there are more factors than runs."""
    found = list(factors)
    single = [factor for factor in found if factor.kind == "param"]
    if len(found) + 1 <= budget or len(single) < 2:
        return found
    names = tuple(name for factor in single for name in factor.names)
    together = Factor("params", names, f"params: {message.some([item.text for item in single])}")
    return [*(factor for factor in found if factor.kind != "param"), together]
