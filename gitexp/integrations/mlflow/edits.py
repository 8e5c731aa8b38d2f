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
from gitexp.repo import Repo
from gitexp.runs import deferred
from gitexp.store import names, notes
from gitexp.store.index import Index

_SECONDS = 0.3  # a loop that logs late writes few notes, not one for each value
_late: dict[str, list[MetricPoint]] = {}


def of_tags(tags: Mapping[str, str | None], labels: Iterable[str]) -> list[dict[str, Any]]:
    """Return the events for tags that are set, or removed where they are None.

    Args:
        labels: those that the experiment has now.

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
        events += [{"label": f"+{word}"} for word in sorted(wanted - {*labels})]
        events += [{"label": f"-{word}"} for word in sorted({*labels} - wanted)]
    text = rest.get("mlflow.note.content")
    if text and text.strip():
        events.append({"note": text.strip()})
    name = rest.pop("mlflow.runName", None)
    if name:
        events.append({"mlflow": {"name": name}})
    if rest:
        events.append({"mlflow": {"tags": rest}})
    return events


def labels(repo: Repo, commit: str) -> tuple[str, ...]:
    """Return the labels that an experiment has now."""
    found = Index(repo).select('tag."commit" = ?', [commit], everybody=True)
    return found[0].labels if found else ()


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
