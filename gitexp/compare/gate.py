"""Whether an experiment is good enough: against another one, or against fixed bounds, for CI, where
the answer is an exit code."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from gitexp.formats.errors import NotFoundError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.metric_names import known_direction
from gitexp.formats.settings import Settings
from gitexp.store import query, reference
from gitexp.store.index import Index


class Allowance(NamedTuple):
    """How far a metric may be off: an amount, or (``relative``) a share of what it was."""

    amount: float = 0.0
    relative: bool = False

    def __str__(self) -> str:
        return f"{100 * self.amount:g}%" if self.relative else f"{self.amount:g}"

    def of(self, before: float) -> float:
        """Return the amount, where the metric was so much."""
        return self.amount * abs(before) if self.relative else self.amount


class Verdict(NamedTuple):
    """What a gate found."""

    metric: str
    name: str
    value: float
    baseline: str | None
    before: float | None
    # how much worse the value is than ``before``; negative where it is better, None without a
    # baseline
    worse_by: float | None
    failures: tuple[str, ...]  # why it does not pass, empty where it does


def parse_allowance(text: str) -> Allowance:
    """Read ``1%``, ``0.02`` or ``1e-6``; raise UsageError for anything else."""
    match = re.fullmatch(r"(?i)\s*((?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(%?)\s*", text)
    if not match or math.isinf(float(match[1])):
        raise UsageError(
            f"'{text}' is not an allowance; write a share like 1%, or an amount like 0.02"
        )
    return Allowance(float(match[1]) / (100 if match[2] else 1), bool(match[2]))


def check(
    metric: str,
    way: str | None,
    candidate: Experiment,
    baseline: Experiment | None,
    allowance: Allowance,
    low: float | None,
    high: float | None,
) -> Verdict:
    """Judge a candidate.

    Args:
        way: ``min`` or ``max``, the better direction of the metric; needed with a baseline.
        low, high: the bounds that the value must keep.

    Raises:
        NotFoundError: one of the experiments has no such metric.
        UsageError: nobody knows which way is better, or the baseline's value is no number.
    """
    value = candidate.metric(metric)
    failures = ["it is not a number"] if math.isnan(value) else []
    failures += [f"it is below {low:g}"] if low is not None and value < low else []
    failures += [f"it is above {high:g}"] if high is not None and value > high else []
    before = worse_by = None
    if baseline:
        way = way or known_direction(metric, {}, "Say --direction min or max, or ")
        before = baseline.metric(metric)
        if not math.isfinite(before):
            raise UsageError(
                f"{baseline.name} has {metric}={before}, which nothing can be measured against;"
                " choose another with --against"
            )
        worse_by = value - before if way == "min" else before - value
        # 1% of 100 is 1, whatever the last bit says
        if worse_by > allowance.of(before) + 1e-12 * abs(before):
            failures.append(
                f"it is worse than {baseline.name} ({before:.6g}) by {_amount(worse_by, before)},"
                f" and {allowance} is allowed"
            )
    against = baseline.name if baseline else None
    return Verdict(metric, candidate.name, value, against, before, worse_by, tuple(failures))


def candidate_of(
    index: Index, metric: str | None, against: str | None
) -> tuple[Experiment, Experiment]:
    """Return the newest experiment with the metric, where one is named, and the newest one at all,
    of those that HEAD's history has, or that started there, and ``against`` has not.

    Raises:
        NotFoundError: there is none.
    """
    base = index.repo.resolve(against) if against and index.named(against) is None else None
    commits = _history(index, "HEAD", *([f"^{base}"] if base else []))
    found, last = _newest(index, metric, lambda item: item.id in commits or item.parent in commits)
    if found is None or last is None:
        raise NotFoundError(
            f"no experiment{_having(metric)} in HEAD's history"
            + (f" that {against} has not" if base else "")
            + "; name one, as in: gitexp gate exp-5 --metric rmse --max 18"
        )
    return found, last


def baseline_of(
    index: Index, ref: str, metric: str | None, candidate: Experiment, settings: Settings
) -> Experiment:
    """Return what ``ref`` means: an experiment, or for a branch or commit the newest experiment
    with the metric in its history.

    Raises:
        NotFoundError: there is no such thing, or no experiment in its history.
    """
    is_name = index.named(ref) is not None or re.match(r"@|(best|worst):", ref)
    commit = None if is_name else index.repo.resolve(ref)
    if commit is None:
        return reference.resolve(index, ref, settings)
    commits = _history(index, commit)
    found, _ = _newest(index, metric, lambda item: item.id in commits and item.id != candidate.id)
    if found is None:
        raise NotFoundError(
            f"no experiment{_having(metric)} in the history of '{ref}'; in CI, fetch all of it and"
            " its tags (fetch-depth: 0)"
        )
    return found


def _having(metric: str | None) -> str:
    return f" with '{metric}'" if metric else ""


def _history(index: Index, *revisions: str) -> frozenset[str]:
    return frozenset(index.repo.git("rev-list", *revisions, ok=(0, 128)).decode().split())


def _newest(
    index: Index, metric: str | None, fits: Callable[[Experiment], bool]
) -> tuple[Experiment | None, Experiment | None]:
    """Return the newest experiment that fits and has the metric, and the newest that fits."""
    condition, _ = query.in_reach(index, query.EVERYTHING.within(query.ONCE), False)
    found = [*filter(fits, index.select(*condition, everybody=True))]
    having = (item for item in found if metric is None or metric in item.metrics)
    return next(having, None), next(iter(found), None)


def _amount(worse_by: float, before: float) -> str:
    percent = 100 * worse_by / abs(before) if before else math.inf
    return f"{worse_by:.4g}" + (f" ({percent:.3g}%)" if percent < 1000 else "")
