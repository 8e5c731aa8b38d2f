"""Run an experiment again and say whether it comes out the same; where it does not, say what
differs.

A second run tells noise from change: a result that differs from itself was never fixed by a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from gitexp.compare import diff, rerun, venv
from gitexp.compare.gate import Allowance, parse_allowance
from gitexp.formats import environment, message
from gitexp.formats.errors import CannotRunError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, content
from gitexp.runs import worktree
from gitexp.store import conditions, connectivity, notes

ENVIRONMENTS = ("current", "recorded")
_NOISE = 3  # a drift within so many times the distance of two equal runs is no more than noise


@dataclass(frozen=True)
class Compared:
    """A metric as it was recorded and as it came out; None where there is none."""

    name: str
    recorded: float | None
    now: float | None
    same: bool


class Difference(NamedTuple):
    """Something that is not as it was recorded: ``kind`` is python, package, hardware, gpu or
    data."""

    kind: str
    name: str
    recorded: str | None
    now: str | None


@dataclass(frozen=True)
class Verdict:
    """How a reproduction ended."""

    same: bool  # every metric is within its tolerance
    metrics: tuple[Compared, ...]
    differences: tuple[Difference, ...] = ()  # what is not as it was recorded, whatever the verdict
    reasons: tuple[str, ...] = ()  # why it drifted, in sentences; empty where it did not
    # what the new run was recorded as, where that was asked for
    experiment: Experiment | None = None
    kept: Path | None = None  # the work tree, where the user wanted to keep it

    @property
    def exact(self) -> bool:
        """Whether every metric is the very same number, without any tolerance."""
        return all(diff.same(item.recorded, item.now) for item in self.metrics)


def parse_tolerance(text: str) -> tuple[str | None, Allowance]:
    """Read ``rmse=1e-6``, ``rmse=1%``, or one for all metrics, ``1%``; raise UsageError."""
    name, sign, amount = text.rpartition("=")
    with suppress(UsageError):
        if name.strip() or not sign:
            return name.strip() or None, parse_allowance(amount)
    raise UsageError(
        f"'{text}' is not a tolerance; write rmse=1e-6, rmse=1%, or 1% for all metrics"
    )


def reproduce(
    repo: Repo,
    experiment: Experiment,
    tolerances: Mapping[str | None, Allowance],
    *,
    env: str = "current",
    record: bool = False,
    keep: bool = False,
    brought: Sequence[str] = (),
    shown: TextIO | None = None,
    told: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """Run an experiment's command at its commit and compare every metric; the outcome is kept as a
    note on it.

    Args:
        brought: files of the user's work tree, from its top, that it reads and nobody declared:
            copied as declared ones are.
        told: takes what is being done, where that is not to be expected.

    Raises:
        CannotRunError: it could not be run, so there is no verdict.
        NotFoundError: a tolerance is for a metric that it has not.
    """
    todo = replace(rerun.task(repo, experiment), brought=tuple(brought))
    if all(name.startswith("system.") for name in experiment.metrics):
        raise CannotRunError(
            f"{experiment.name} has no metric, so there is nothing to compare; by hand: gitexp"
            f" checkout {experiment.name}"
        )
    for name in filter(None, tolerances):
        experiment.metric(name)
    with worktree.checkout(repo, experiment.id, "reproduce", keep) as tree:
        python = None
        if env == "recorded":
            told("building the recorded environment")
            python = venv.build(todo.requirements, tree.parent / "env", repo.root, tree, shown)
        origin = experiment if record else None
        first = rerun.execute(repo, tree, todo, python=python, shown=shown, reproduces=origin)
        compared = compare(experiment.metrics, first.metrics, tolerances)
        same = all(item.same for item in compared)
        if first.lacking and not same:
            raise CannotRunError(
                f"{experiment.name} came out differently, which proves nothing: {first.lacking}"
            )
        # where it drifted, say why: run it again, since two equal runs that differ are noise
        differences = tuple(differing(repo, experiment, todo, first))
        reasons: tuple[str, ...] = ()
        if not same:
            told(f"{experiment.name} drifted; running it once more, to tell noise from change")
            content.reset(repo, tree, experiment.id)
            again = rerun.execute(repo, tree, todo, python=python, shown=shown)
            noise = distances(first.metrics, again.metrics)
            reasons = tuple(
                explained(compared, noise, differences, experiment.extra.get("seed"), env, brought)
            )
    kept = tree if keep else None
    verdict = Verdict(same, compared, differences, reasons, first.experiment, kept)
    notes.add(repo, [experiment.id], [{"verified": _event(verdict, env, tolerances)}])
    return verdict


def compare(
    recorded: Mapping[str, float],
    now: Mapping[str, float],
    tolerances: Mapping[str | None, Allowance],
) -> tuple[Compared, ...]:
    """Compare every metric but ``system.*``; one that is only on one side is not the same."""
    everywhere = tolerances.get(None, Allowance())
    found = []
    for name in dict.fromkeys([*recorded, *now]):
        if name.startswith("system."):
            continue
        a, b = recorded.get(name), now.get(name)
        near = False
        if a is not None and b is not None:
            near = diff.same(a, b) or abs(b - a) <= tolerances.get(name, everywhere).of(a)
        found.append(Compared(name, a, b, near))
    return tuple(found)


def differing(
    repo: Repo, experiment: Experiment, todo: rerun.Task, ran: rerun.Ran
) -> Iterable[Difference]:
    """Yield what was not as it was recorded."""
    before, now = (
        environment.parse_requirements(text) for text in (todo.requirements, ran.requirements)
    )
    for name in sorted({*before, *now}) if before else ():
        if before.get(name) != now.get(name):
            kind = "python" if name == "python" else "package"
            yield Difference(kind, name, before.get(name), now.get(name))
    for name, hashed in todo.inputs.items():
        if ran.inputs.get(name) != hashed:
            yield Difference("data", name, hashed, ran.inputs.get(name))
    said = message.trailers(connectivity.full_message(repo, experiment.id))
    stale = experiment.extra.get("data_stale")
    for path in stale if isinstance(stale, list) else ():
        name = f"{path} (was not committed in DVC)"
        yield Difference("data", name, None, "what its pointer says")
    here = {"hardware": environment.hardware(), "gpu": conditions.current().get("gpu")}
    for kind, recorded in (("hardware", said.get("Hardware")), ("gpu", said.get("GPU"))):
        if recorded != here[kind] and (recorded or kind == "gpu"):
            yield Difference(kind, kind, recorded, here[kind])


def distances(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return how far two runs of the very same are apart, for each metric on which they are."""
    return {
        name: abs(other[name] - value)
        for name, value in one.items()
        if not name.startswith("system.") and not diff.same(value, other.get(name, value))
    }


def explained(
    compared: Sequence[Compared],
    noise: Mapping[str, float],
    differences: Sequence[Difference],
    seed: Any,
    env: str,
    brought: Sequence[str] = (),
) -> Iterable[str]:
    """Yield why it drifted: noise, what differs, or that nothing known does."""
    drifted = [item for item in compared if not item.same]
    noisy = [item for item in drifted if item.name in noise]
    if noisy:
        worst = noisy[0]
        how = (
            "although a seed was set: something else is random (threads, GPU kernels, hash order:"
            " PYTHONHASHSEED)"
            if seed
            else "a seed is not fixed; call gitexp.seed_everything(0) at the start"
        )
        yield f"two equal runs differ ({worst.name} by {noise[worst.name]:.3g}): {how}"
    if all(_only_noise(item, noise) for item in drifted):
        return
    if noisy:
        yield "but that noise is smaller than the drift, so something else changed too"
    groups = {
        "data": "input data changed",
        "python": "another Python",
        "package": "other package versions",
        "gpu": "another GPU or driver",
        "hardware": "other hardware",
    }
    for kind, text in groups.items():
        if found := [_shown(item) for item in differences if item.kind == kind]:
            hint = "; to run with those recorded: --env recorded"
            hinted = kind == "package" and env == "current"
            yield f"{text}: {message.some(found, 5)}{hint if hinted else ''}"
    if brought:
        yield f"{', '.join(brought)} may have changed since then: it was not declared as an input"
    elif not differences:
        yield (
            "nothing that was recorded differs: an input that is not declared (--input), the"
            " network or the clock plays a part"
        )


def _only_noise(item: Compared, noise: Mapping[str, float]) -> bool:
    if item.recorded is None or item.now is None:
        return False
    return abs(item.now - item.recorded) <= _NOISE * noise.get(item.name, 0.0)


def _shown(item: Difference) -> str:
    if item.kind == "data":
        return item.name if item.now else f"{item.name} (not there)"
    name = "" if item.kind == item.name else f"{item.name} "
    return f"{name}{item.recorded or 'none'} -> {item.now or 'none'}"


def _event(
    verdict: Verdict, env: str, tolerances: Mapping[str | None, Allowance]
) -> dict[str, Any]:
    """Return the note on it; of metrics that drifted, ``{name: [recorded, now]}``."""
    drifted = [item for item in verdict.metrics if not item.same]
    facts = {
        "verdict": "drifted" if drifted else "same",
        "env": env,
        "host": environment.host(),
        "drifted": {one.name: message.portable([one.recorded, one.now]) for one in drifted},
        "reasons": list(verdict.reasons),
    }
    if verdict.same and not verdict.exact:
        facts["tolerance"] = ", ".join(
            f"{name}={amount}" if name else str(amount) for name, amount in tolerances.items()
        )
    return {key: value for key, value in facts.items() if value}
