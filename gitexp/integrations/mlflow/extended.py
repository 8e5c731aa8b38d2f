"""MLflow's own store as both of ours extend it: they hear of the params that are logged, and the
tables get the course of a metric from git when somebody asks for it. The first look at ten thousand
experiments needs the latest values alone, and few are ever looked at closer.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from gitexp.formats import result_files
from gitexp.formats.errors import FormatError, NotFoundError
from gitexp.formats.experiment import MetricPoint
from gitexp.integrations.mlflow import contents, database, uris
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
_TAKEN = 'UPDATE gitexp_run SET rows = 0 WHERE run_uuid = ? AND "commit" = ?'


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


def around(
    kind: Any,
    names: Iterable[str],
    before: Callable[[Any, Any], None] | None = None,
    after: Callable[[Any, Any], None] | None = None,
) -> None:
    """Give a store methods of MLflow's with what is done before or after them, which takes the
    first argument too."""
    for name in names:
        setattr(kind, name, _around(getattr(SqlAlchemyStore, name), before, after))


def _around(
    method: Callable[..., Any],
    before: Callable[[Any, Any], None] | None,
    after: Callable[[Any, Any], None] | None,
) -> Callable[..., Any]:
    signature = inspect.signature(method)

    def both(self: Any, *args: Any, **named: Any) -> Any:
        first = signature.bind(self, *args, **named).args[1]
        if before:
            before(self, first)
        answer = method(self, *args, **named)
        if after:
            after(self, first)
        return answer

    return both


around(
    ExtendedStore,
    _READERS,
    before=lambda store, runs: store.take_in([runs] if isinstance(runs, str) else [*(runs or ())]),
)


def take_in(repo: Repo, path: Path, runs: Iterable[str]) -> None:
    """Add all metric values of runs to the database at ``path``, where they lack; what is not what
    its name says has none.

    Raises:
        NotFoundError: they are not in this clone.
    """
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
                    Tables(db, "").put_metrics(run, result_files.of(item.files, found.file))
                db.execute(_TAKEN, [run, item.id])
