"""Experiments for tests to read: recorded through the library, in some 30 ms each, without the
command line."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from gitexp.formats import metrics as metric_files
from gitexp.formats import settings
from gitexp.formats.experiment import Experiment
from gitexp.formats.params import nest
from gitexp.repo import Repo, snapshot
from gitexp.store import record as store
from gitexp.store import result_paths

REQUIREMENTS = "# Python 3.11.7 (CPython, linux, x86_64)\nnumpy==1.26.4\n"


class HasRoot(Protocol):
    """A ``Project`` of conftest.py, or anything else that knows where its repository lies."""

    root: Path


def record(
    project: HasRoot,
    params: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    started: datetime | None = None,
    **draft: Any,
) -> Experiment:
    """Record the work tree as it is, with these params and metrics, and return the experiment.

    Args:
        params: flat or nested; dotted names nest.
        metrics: ``{"rmse": 18.2, "loss": [0.9, 0.5]}``; a list is a series with steps from 0.
        started: now, unless it is said.
        draft: any other field of ``store.Draft``: labels, status, group, title, duration, name,
            note, command, advance...
    """
    repo = Repo.discover(project.root)
    free = result_paths.ours(repo)
    start = started or datetime.now(timezone.utc)
    index = repo.make_state_dir() / f"index.{secrets.token_hex(4)}"
    try:
        taken = snapshot.take(repo, settings.load(repo.root), index, free)
        points = metric_files.from_mapping(metrics or {}, int(start.timestamp() * 1000))
        fields: dict[str, Any] = {
            "files": result_paths.choose(free),
            "requirements": REQUIREMENTS,
            **draft,
        }
        last = metric_files.last_values(points)
        whole = store.Draft(
            secrets.token_hex(8),
            nest((params or {}).items()),
            metric_files.gather(points)[0],
            last,
            start,
            **fields,
        )
        return store.record(repo, taken, whole).experiment
    finally:
        index.unlink(missing_ok=True)
