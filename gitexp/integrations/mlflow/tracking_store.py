"""MLflow's tracking store whose truth is git: MLflow's own SQL store over the disposable database,
and beside each thing that it is told, the same for the gitexp run behind it.

Metrics do not touch the database when they are logged: they go into the run's journal, one write
each, and the database follows when somebody reads. All else goes into both. Before anything is
read, the database catches up with git.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from mlflow.entities import Metric, RunInfo, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE
from mlflow.utils.validation import _validate_metric

from gitexp.formats import mlflow_words as convert
from gitexp.formats import params as flat
from gitexp.formats.experiment import MetricPoint
from gitexp.integrations.mlflow import database, extended, run_file, uris
from gitexp.integrations.mlflow.behind import Behind, errors
from gitexp.integrations.mlflow.extended import ExtendedStore, around, points, take_in
from gitexp.integrations.mlflow.tables import ACTIVE, DELETED, Tables, experiment_id
from gitexp.repo import Repo
from gitexp.runs import deferred, journal

SERVER = "_MLFLOW_SERVER_FILE_STORE"  # MLflow sets it in its server's processes
_AUTOLOGGED = "mlflow.autologging"
_MODELS = "mlflow.log-model.history"


def open_store(uri: str) -> Any:
    """Return the tracking store for ``gitexp:.``.

    Raises:
        MlflowException: there is no repository.
    """
    with errors():
        repo = uris.repository(uri)
        return extended.open_apart(repo) if extended.is_apart(repo) else GitStore(repo)


class GitStore(ExtendedStore):
    """The experiments of one repository, and its active runs."""

    ManagedSessionMaker: Any

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        self._behind = Behind(repo)
        with database.quiet():
            super().__init__(f"sqlite:///{self._behind.path}", self._behind.root)
        self._session = self.ManagedSessionMaker
        self.ManagedSessionMaker = self._caught_up
        if hasattr(os, "register_at_fork"):
            engine = weakref.ref(self.engine)
            os.register_at_fork(after_in_child=lambda: _let_go(engine()))

    @classmethod
    def _get_or_create_engine(cls, db_uri: str) -> Any:
        engine = super()._get_or_create_engine(db_uri)
        if not sqlalchemy.event.contains(engine, "connect", _fast):
            sqlalchemy.event.listen(engine, "connect", _fast)
        return engine

    @contextmanager
    def _caught_up(self, read_only: bool = True) -> Iterator[Any]:
        """MLflow's session; the outermost one begins with what git and the journals say now."""
        with self._behind.looking(), self._session(read_only=read_only) as session:
            yield session

    def take_in(self, runs: list[str]) -> None:
        """Bring the database up to date, and all metric values of runs into it."""
        self._behind.catch_up()
        with errors():
            take_in(self.repo, self._behind.path, runs)

    # -- experiments and runs ----------------------------------------------------------------------

    def create_experiment(
        self, name: str, artifact_location: str | None = None, tags: Any = None
    ) -> str:
        made = super().create_experiment(name, artifact_location, tags)
        wanted = experiment_id(name)
        with database.writing(self._behind.path) as db:
            # deleted, and its name given again
            if db.execute("SELECT 1 FROM experiments WHERE experiment_id = ?", [wanted]).fetchone():
                return str(made)
            for table in ("experiments", "experiment_tags"):
                db.execute(
                    f"UPDATE {table} SET experiment_id = ? WHERE experiment_id = ?", [wanted, made]
                )
            if not artifact_location:
                db.execute(
                    "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                    [f"{self.artifact_root_uri}/{wanted}", wanted],
                )
        return str(wanted)

    def create_run(
        self, experiment_id: str, user_id: str, start_time: int, tags: Any, run_name: str
    ) -> Any:
        """Begin a run: the snapshot of the work tree is taken now."""
        if os.environ.get(SERVER):
            raise MlflowException(
                "this server shows the experiments of a git repository and records no runs; set"
                f" MLFLOW_TRACKING_URI to gitexp:{self.repo.root} where the training runs",
                INVALID_STATE,
            )
        experiment = self.get_experiment(experiment_id)
        self._check_experiment_is_active(experiment)
        experiment_id = experiment.experiment_id  # None means the default one
        given = {tag.key: tag.value for tag in tags or ()}
        # the commit before the experiment: not what ran
        if head := given.pop(convert.COMMIT, None):
            given["gitexp.parent"] = head
        # perhaps another process's
        parent = self._behind.of(given[convert.PARENT])[0] if convert.PARENT in given else None
        with errors():
            running = self._behind.runs.begin(experiment.name, given.get(convert.PARENT), parent)
        if running.parent and (known := run_file.read(running.parent.folder).get("run")):
            given.setdefault(convert.PARENT, known)
        try:
            pairs = [RunTag(*item) for item in given.items()]
            made = super().create_run(experiment_id, user_id, start_time, pairs, run_name)
        except BaseException:
            if running.ours:
                running.run.discard()
            raise
        live = running.run
        facts = {
            "run": made.info.run_id,
            "experiment": experiment.name,
            "name": made.info.run_name,
            "user": user_id,
            "start": start_time,
            "given": [] if running.ours else [*flat.flatten(journal.logged_params(live.folder))],
            "tags": dict(made.data.tags),
        }
        self._behind.runs.add(running, facts, parent=given.get(convert.PARENT))
        if given.get(convert.NOTE):
            live.set_note(given[convert.NOTE])
        self._behind.link(running, {uris.RUN_FILES: made.info.artifact_uri})
        return made

    def update_run_info(
        self, run_id: str, run_status: int | None, end_time: int | None, run_name: str | None
    ) -> RunInfo:
        """Follow a change of status: a terminal one ends the run, RUNNING takes a recorded one up
        again."""
        running, commit = self._behind.of(run_id)
        name = RunStatus.to_string(run_status) if run_status is not None else ""
        if name == "RUNNING" and running:
            running.go_on()
        elif name == "RUNNING" and commit and not os.environ.get(SERVER):
            found = self.get_run(run_id)
            at = self.get_experiment(found.info.experiment_id).name
            with errors():
                running = self._behind.take_up(run_id, commit, found, at)
        elif commit:
            # it has its status for good: an atexit handler may call FINISHED what an exception
            # ended
            run_status = end_time = None
        info: RunInfo = super().update_run_info(run_id, run_status, end_time, run_name)
        if run_name:
            self._behind.tag(run_id, {convert.NAME: run_name})
        if running and run_status is not None and RunStatus.is_terminated(run_status):
            running.change(
                lambda known: known.update({"end": end_time, **self._behind.linked(run_id)})
            )
            running.end(name)
        return info

    def get_run(self, run_id: str) -> Any:
        found = super().get_run(run_id)
        running = self._behind.runs.find(run_id)
        if running and running.finished and running.ours and _AUTOLOGGED not in found.data.tags:
            # whoever looks at a finished run wants its commit; autologging looks before it scores
            deferred.end_now(running.run.id)
            found = super().get_run(run_id)
        self._behind.fill(run_id, uris.RUN_FILES, found.info.artifact_uri)
        return found

    # -- what is logged ----------------------------------------------------------------------------

    def log_metric(self, run_id: str, metric: Metric) -> None:
        if metric.model_id is not None:
            super().log_metric(run_id, metric)
        else:
            self._log_metrics(run_id, [metric])

    def log_batch(self, run_id: str, metrics: Any, params: Any, tags: Any) -> None:
        few = len(metrics) <= convert.METRICS_AT_ONCE
        of_run = all(metric.model_id is None for metric in metrics) and not params and not tags
        if few and of_run and self._behind.runs.find(run_id):
            self._log_metrics(run_id, metrics, batch=True)
        else:
            super().log_batch(run_id, metrics, params, tags)

    def _log_metrics(self, run_id: str, metrics: Any, batch: bool = False) -> None:
        _validate(metrics, batch or len(metrics) > 1)
        said = points(dict.fromkeys(metrics))
        running, commit = self._behind.of(run_id)
        if any(metric.model_id is not None for metric in metrics):
            said = self._new_points(run_id, said)
        if running and not running.deleted:
            running.log_points(said)
            return
        with self.ManagedSessionMaker() as session:
            self._check_run_is_active(self._get_run(run_uuid=run_id, session=session))
        if commit and said:
            self._behind.log_late(run_id, commit, said)

    def _new_points(self, run_id: str, said: list[MetricPoint]) -> list[MetricPoint]:
        """Return the points that the run has not yet: ``log_model`` says the run's metrics once
        more, as the model's."""
        self.take_in([run_id])
        with database.reading(self._behind.path) as db:
            tables = Tables(db, self.artifact_root_uri)
            return [point for point in said if not tables.has_metric(run_id, point)]

    def _params_logged(self, run_id: str, texts: dict[str, str]) -> None:
        self._behind.log_params(run_id, texts)

    def set_tag(self, run_id: str, tag: Any) -> None:
        super().set_tag(run_id, tag)
        if tag.key != convert.NAME:  # update_run_info was called for it
            self._behind.tag(run_id, {tag.key: tag.value})

    def _set_tags(self, run_id: str, tags: Any) -> None:
        super()._set_tags(run_id, tags)
        self._behind.tag(run_id, {tag.key: tag.value for tag in tags if tag.key != convert.NAME})

    def delete_tag(self, run_id: str, key: str) -> None:
        super().delete_tag(run_id, key)
        self._behind.tag(run_id, {key: None})

    def record_logged_model(self, run_id: str, mlflow_model: Any) -> None:
        super().record_logged_model(run_id, mlflow_model)
        self._behind.tag(run_id, {_MODELS: super().get_run(run_id).data.tags.get(_MODELS)})

    def _log_model_metrics(self, run_id: str, metrics: Any, *args: Any, **kwargs: Any) -> None:
        super()._log_model_metrics(run_id, metrics, *args, **kwargs)
        if any(metric.model_id is not None for metric in metrics):
            self._behind.keep_linked(run_id)

    def create_logged_model(self, experiment_id: str, *args: Any, **kwargs: Any) -> Any:
        model = super().create_logged_model(experiment_id, *args, **kwargs)
        self._behind.keep_linked(model.source_run_id)
        if model.source_run_id and (running := self._behind.of(model.source_run_id)[0]):
            self._behind.link(running, {uris.model_files(model.model_id): model.artifact_location})
        return model

    def get_logged_model(self, model_id: str, *args: Any, **kwargs: Any) -> Any:
        model = super().get_logged_model(model_id, *args, **kwargs)
        if model.source_run_id:
            self._behind.fill(
                model.source_run_id, uris.model_files(model_id), model.artifact_location
            )
        return model

    def _more_of(self, model_id: str) -> None:
        model = super().get_logged_model(model_id, allow_deleted=True)
        self._behind.keep_linked(model.source_run_id)


_OF_MODELS = (
    "finalize_logged_model", "log_logged_model_params", "set_logged_model_tags",
    "delete_logged_model_tag", "delete_logged_model",
)  # fmt: skip
_AFTER: tuple[tuple[tuple[str, ...], extended.Act], ...] = (
    (("log_inputs", "log_outputs"), lambda store, run: store._behind.keep_linked(run)),
    (_OF_MODELS, GitStore._more_of),
    (("delete_run",), lambda store, run: store._behind.stage(DELETED, run)),
    (("restore_run",), lambda store, run: store._behind.stage(ACTIVE, run)),
    (("delete_experiment",), lambda store, at: store._behind.stage_all(DELETED, at)),
    (("restore_experiment",), lambda store, at: store._behind.stage_all(ACTIVE, at)),
)
for names, after in _AFTER:
    around(GitStore, names, after=after)


def _validate(metrics: Any, batch: bool) -> None:
    """Have MLflow refuse what it refuses; in a batch it says which one it was, even in a batch of
    one."""
    for at, metric in enumerate(metrics):
        if isinstance(metric.step, int) and abs(metric.step) >= 2**63:
            raise MlflowException(f"the step {metric.step} is larger than SQLite can hold")
        path = f"metrics[{at}]" if batch else ""
        _validate_metric(metric.key, metric.value, metric.timestamp, metric.step, path=path)


def _fast(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = OFF")


def _let_go(engine: Any) -> None:
    """In a forked child: SQLite's connections must not be shared with the parent."""
    if engine is not None:
        engine.dispose(close=False)
