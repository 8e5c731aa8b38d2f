"""The store of processes that record nothing themselves: ranks other than 0 of a distributed
training, and commands that gitexp runs only to look at them (``gitexp reproduce``, trials of a
sweep). MLflow works there as ever, on a copy of the database that is thrown away; what is logged
also goes into the run that the command belongs to.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from gitexp.formats import mlflow_words as convert
from gitexp.integrations.mlflow import database
from gitexp.integrations.mlflow.extended import ExtendedStore, points, take_in
from gitexp.repo import Repo
from gitexp.runs import active, run


def is_apart(repo: Repo) -> bool:
    """Whether this process must not record."""
    folder = os.environ.get(run.JOIN)
    return active.is_other_rank() or (
        folder is not None
        and Path(folder).parent.parent != repo.state_dir
        and Path(folder).exists()
    )


def open_apart(repo: Repo) -> Any:
    """Return a store on a copy of the database."""
    folder = tempfile.mkdtemp(prefix="gitexp-mlflow-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, "tracking.sqlite")
    with (
        closing(sqlite3.connect(path)) as copy,
        closing(sqlite3.connect(database.prepare(repo))) as source,
    ):
        source.backup(copy)
    return ApartStore(repo, path)


class ApartStore(ExtendedStore):
    """MLflow's own store, which tells the run that this process belongs to."""

    def __init__(self, repo: Repo, path: Path) -> None:
        self._repo, self._path = repo, path
        super().__init__(f"sqlite:///{path}", path.with_name("artifacts").as_uri())

    def take_in(self, runs: list[str]) -> None:
        """Bring all metric values of runs into the copy."""
        take_in(self._repo, self._path, runs)

    def _log_metrics(self, run_id: str, metrics: Any) -> None:
        super()._log_metrics(run_id, metrics)
        outer = active.active_run()
        if outer is not None and not outer.silent:
            outer.log_points(points(metrics))

    def _params_logged(self, run_id: str, texts: dict[str, str]) -> None:
        outer = active.active_run()
        if outer is not None and not outer.silent:
            outer.log_params({key: convert.param_value(text) for key, text in texts.items()})
