"""What comes to an experiment after it was recorded: late metrics, and what people edit in MLflow's
pages.

A commit never changes, so it becomes a line in the experiment's git notes, which ``gitexp push``
and ``pull`` exchange: a label, a note, late values of gitexp's own where it is one, else
``{"mlflow": {...}}`` with tags, a name or a stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitexp.formats import late_values
from gitexp.formats import mlflow_words as convert
from gitexp.formats.experiment import MetricPoint
from gitexp.integrations.mlflow import contents
from gitexp.repo import Repo
from gitexp.runs import deferred
from gitexp.store import names, notes

_SECONDS = 0.3  # a loop that logs late writes few notes, not one for each value
_late: dict[str, list[MetricPoint]] = {}


def of_tags(repo: Repo, commit: str, tags: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Return the events for tags of an experiment that are set, or removed where they are None.

    Raises:
        UsageError: a label cannot be one.
    """
    rest = dict(tags)
    events: list[dict[str, Any]] = []
    if convert.LABELS in rest:
        said = rest.pop(convert.LABELS) or ""
        given = (
            convert.labels({convert.LABELS: said})
            or said.strip("[]").replace('"', " ").replace(",", " ").split()
        )
        wanted = {names.check_label(word) for word in given}
        experiment = contents.of_commit(repo, commit)
        has = {*experiment.labels} if experiment else set()
        events += [{"label": f"+{word}"} for word in sorted(wanted - has)]
        events += [{"label": f"-{word}"} for word in sorted(has - wanted)]
    text = rest.get(convert.NOTE)
    if text and text.strip():
        events.append({"note": text.strip()})
    if name := rest.pop(convert.NAME, None):
        events.append({"mlflow": {"name": name}})
    if rest:
        events.append({"mlflow": {"tags": rest}})
    return events


def of_params(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the event for params that came after the recording: what they stand for, and how
    MLflow spelt them."""
    return {
        "params": {key: convert.param_value(text) for key, text in texts.items()},
        "mlflow": {"params": dict(texts)},
    }


def add_late_metrics(repo: Repo, commit: str, points: Iterable[MetricPoint]) -> None:
    """Write metric values that came after the recording, a moment later and many at once."""
    key = f"late {repo.state_dir} {commit}"
    _late.setdefault(key, []).extend(points)
    deferred.later(key, lambda: _write(repo, commit, key), _SECONDS)


def settle(repo: Repo, commit: str | None = None) -> None:
    """Write now what waits, for one experiment or for all of a repository."""
    for key in [key for key in _late if key.startswith(f"late {repo.state_dir} {commit or ''}")]:
        deferred.settle(key)


def _write(repo: Repo, commit: str, key: str) -> None:
    points = _late.pop(key, [])
    if points:
        notes.add(repo, [commit], [late_values.event(points)])
