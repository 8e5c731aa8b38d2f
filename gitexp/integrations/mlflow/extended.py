"""MLflow's own store as both of ours extend it: they hear of the params that are logged, and the
tables get the course of a metric from git when somebody asks for it. The first look at ten thousand
experiments needs the latest values alone, and few are ever looked at closer.

One of the two is here, ``ApartStore``. The other one is ``tracking_store.py``.
"""

from __future__ import annotations

import atexit
import inspect
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from gitexp.formats import mlflow_words as convert
from gitexp.formats import result_files
from gitexp.formats.errors import FormatError, NotFoundError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.message import each
from gitexp.integrations.mlflow import contents, database, uris
from gitexp.integrations.mlflow.tables import Tables
from gitexp.repo import Repo
from gitexp.runs import active
from gitexp.runs.journal import JOIN
from gitexp.store.index import Index

_READERS = (
    "get_metric_history", "get_metric_history_bulk", "get_max_step_for_metric",
    "get_metric_history_bulk_interval_from_steps", "get_metric_history_bulk_interval",
)  # fmt: skip
_LACKING = 'SELECT "commit" FROM gitexp_run WHERE run_uuid = ? AND folder IS NULL AND rows IS NULL'
_TAKEN = 'UPDATE gitexp_run SET rows = 0 WHERE run_uuid = ? AND "commit" = ?'

Act = Callable[[Any, Any], None]  # takes the store, and the first argument of a method


def _none(store: Any, first: Any) -> None:
    """Do nothing."""


class ExtendedStore(SqlAlchemyStore):
    """MLflow's store over a database that ``sync`` fills."""

    def take_in(self, runs: list[str]) -> None:
        """See to it that the database has all metric values of runs."""
        raise NotImplementedError

    def log_param(self, run_id: str, param: Any) -> None:
        super().log_param(run_id, param)
        self._params_logged(run_id, {param.key: str(param.value)})

    def _log_params(self, run_id: str, params: Any) -> None:
        super()._log_params(run_id, params)
        if params:
            self._params_logged(run_id, {param.key: str(param.value) for param in params})

    def _params_logged(self, run_id: str, texts: dict[str, str]) -> None:
        raise NotImplementedError


def points(metrics: Iterable[Any]) -> list[MetricPoint]:
    """Return MLflow's metrics as ours."""
    return [
        MetricPoint(item.key, float(item.value), int(item.timestamp), int(item.step))
        for item in metrics
    ]


def around(kind: Any, names: Iterable[str], before: Act = _none, after: Act = _none) -> None:
    """Give a store methods of MLflow's with what is done before or after them."""
    for name in names:
        setattr(kind, name, _around(getattr(SqlAlchemyStore, name), before, after))


def _around(method: Callable[..., Any], before: Act, after: Act) -> Callable[..., Any]:
    signature = inspect.signature(method)

    def both(self: Any, *args: Any, **named: Any) -> Any:
        first = signature.bind(self, *args, **named).args[1]
        before(self, first)
        answer = method(self, *args, **named)
        after(self, first)
        return answer

    return both


around(ExtendedStore, _READERS, before=lambda store, runs: store.take_in(each(runs)))


def take_in(repo: Repo, path: Path, runs: Iterable[str]) -> None:
    """Add all metric values of runs to the database at ``path``, where they lack; raise
    NotFoundError where they are not in this clone."""
    with database.reading(path) as db:
        lacking = [(run, *row) for run in runs for row in db.execute(_LACKING, [run])]
    if not lacking:
        return
    of_them = 'tag."commit" IN (SELECT value FROM json_each(?))'
    asked = json.dumps([commit for _, commit in lacking])
    experiments = Index(repo).select(of_them, [asked], everybody=True)
    files = [result_files.paths(item.files) for item in experiments]
    with uris.lenient(repo) as beside, database.writing(path) as db:
        for found in contents.read(beside, experiments, files):
            item = found.experiment
            for name in result_files.paths(item.files):
                if name not in found.files:
                    raise NotFoundError(
                        f"'{name}' of {item.name} is not in this clone; to get it: gitexp pull"
                    )
            for run in [run for run, commit in lacking if commit == item.id]:
                with suppress(FormatError):
                    Tables(db, "").put_metrics(run, result_files.points_of(item.files, found.file))
                db.execute(_TAKEN, [run, item.id])


# -- processes that do not record ------------------------------------------------------------------


def is_apart(repo: Repo) -> bool:
    """Whether this process must not record."""
    folder = os.environ.get(JOIN)
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
    with database.reading(path) as copy, database.reading(database.prepare(repo)) as source:
        source.backup(copy)
    return ApartStore(repo, path)


class ApartStore(ExtendedStore):
    """The store of processes that record nothing themselves: ranks other than 0 of a distributed
    training, and commands that gitexp runs only to look at them (``gitexp reproduce``, trials of a
    sweep). MLflow works there as ever, on a copy of the database that is thrown away; what is
    logged also goes into the run that the command belongs to.
    """

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
