"""The course of metrics, which MLflow's tables get from git when somebody asks for it: the first
look at ten thousand experiments needs the latest values alone, and few are ever looked at closer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from gitexp.formats import result_files
from gitexp.formats.errors import GitexpError
from gitexp.integrations.mlflow import database
from gitexp.integrations.mlflow.tables import Tables
from gitexp.repo import Repo
from gitexp.store.index import Index

_READERS = (
    "get_metric_history",
    "get_metric_history_bulk",
    "get_max_step_for_metric",
    "get_metric_history_bulk_interval_from_steps",
    "get_metric_history_bulk_interval",
)
_LACKING = 'SELECT "commit" FROM gitexp_run WHERE run_uuid = ? AND folder IS NULL AND rows IS NULL'


def take_in(repo: Repo, path: Path, runs: Iterable[str]) -> None:
    """Add all metric values of runs to the database at ``path``, where they lack."""
    with database.reading(path) as db:
        lacking = [run for run in runs if db.execute(_LACKING, [run]).fetchone()]
    if not lacking:
        return
    index = Index(repo)
    with database.writing(path) as db:
        for run in lacking:
            for (commit,) in db.execute(_LACKING, [run]).fetchall():
                if _read(Tables(db, ""), index, run, commit):
                    db.execute("UPDATE gitexp_run SET rows = 0 WHERE run_uuid = ?", [run])


def _read(tables: Tables, index: Index, run: str, commit: str) -> bool:
    """Add the values that a commit has; return whether they could be read."""
    for value in index.select('tag."commit" = ?', [commit], everybody=True, limit=1):
        try:
            read = result_files.of(value.files, lambda path: index.repo.read_file(commit, path))
            tables.put_metrics(run, read)
        except GitexpError:  # not in this clone, or not what its name says
            return False
    return True


def _asking(name: str) -> Callable[..., Any]:
    read = getattr(SqlAlchemyStore, name)

    def asked(self: Any, *args: Any, **named: Any) -> Any:
        runs = args[0] if args else named["run_id" if "run_id" in named else "run_ids"]
        self.take_in(runs if isinstance(runs, list) else [runs])
        return read(self, *args, **named)

    return asked


class Histories(SqlAlchemyStore):
    """MLflow's store that has the course of a metric as soon as it is asked for."""

    def take_in(self, runs: list[str]) -> None:
        """See to it that the database has all metric values of runs."""
        raise NotImplementedError


for _name in _READERS:
    setattr(Histories, _name, _asking(_name))
