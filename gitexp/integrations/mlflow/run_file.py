"""What MLflow knows of a run beyond params and metrics: tags, experiment, parent, datasets, models,
params that git holds as numbers and MLflow wrote otherwise. One JSON file among the run's
artifacts, so that it is committed with the experiment, survives a kill, and the database can be
made from git alone, in any clone.

Several processes may add to it (forked workers, the server), so each change reads it, under a lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gitexp.integrations.mlflow import uris
from gitexp.repo import files, locks

LOCK = "face.lock"  # as older versions call it


def read(folder: Path) -> dict[str, Any]:
    """Return what MLflow says of an active run in ``folder``; empty where MLflow knows nothing of
    it."""
    return files.read_mapping(folder / "artifacts" / uris.RUN_FACTS)


def change(folder: Path, by: Callable[[dict[str, Any]], object]) -> None:
    """Have ``by`` change what MLflow says of an active run."""
    target = folder / "artifacts" / uris.RUN_FACTS
    with locks.Held(folder / LOCK):
        known = read(folder)
        by(known)
        files.replace(folder, target, json.dumps(known, ensure_ascii=False, indent=1).encode())


def claim(folder: Path) -> bool:
    """Make a run MLflow's, and return whether it was nobody's before: only the first of several
    joins the run that goes on."""
    try:
        (folder / "mlflow").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
