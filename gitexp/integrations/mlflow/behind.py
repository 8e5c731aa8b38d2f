"""What lies behind MLflow's runs: a run of gitexp that goes on, here or in another process, or an
experiment in git. What MLflow is told goes there, too.

A commit never changes, so what comes to an experiment becomes a line in its git notes, which
``gitexp push`` and ``pull`` exchange: a label, a note, late values of gitexp's own where it is one,
else ``{"mlflow": {...}}`` with tags, a name or a stage.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from gitexp.formats import late_values, result_files
from gitexp.formats import mlflow_words as convert
from gitexp.formats.errors import GitexpError, NotFoundError
from gitexp.formats.experiment import MetricPoint
from gitexp.integrations.mlflow import artifacts, contents, database, runs, uris
from gitexp.integrations.mlflow.sync import Follower
from gitexp.integrations.mlflow.tables import Tables
from gitexp.repo import Repo
from gitexp.runs import deferred, journal
from gitexp.store import names, notes

_SECONDS = 0.3  # a loop that logs late writes few notes, not one for each value
_late: dict[str, list[MetricPoint]] = {}


@contextmanager
def errors() -> Iterator[None]:
    """Hand gitexp's errors on as MLflow's, which its callers know how to show."""
    try:
        yield
    except GitexpError as error:
        raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from error


class Behind:
    """The runs and experiments of one repository, by MLflow's ids of them."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        self.runs = runs.of(repo)  # of this process
        self.root = uris.root_uri(repo)  # below which MLflow's artifacts lie
        self._follower = Follower(repo)
        self.path = self._follower.path  # of MLflow's database
        self._inside = threading.local()

    def catch_up(self) -> None:
        """Bring the database up to date, where nobody looks at it already."""
        if getattr(self._inside, "depth", 0) == 0:
            with errors():
                self._follower.catch_up()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Bring the database up to date, and let it be as long as somebody looks at it."""
        self.catch_up()
        self._inside.depth = getattr(self._inside, "depth", 0) + 1
        try:
            yield
        finally:
            self._inside.depth -= 1

    def of(self, run_id: str) -> tuple[runs.Running | None, str | None]:
        """Return the run that goes on behind MLflow's, joined where another process owns it, or the
        commit of a recorded one."""
        if running := self.runs.find(run_id):
            return running, None
        folder, commit = self._row(run_id)
        if not folder:
            return None, commit
        path = journal.folder_of(self.repo, folder)
        return self.runs.join(run_id, path) if (path / "run.json").exists() else None, None

    def link(self, running: runs.Running, addresses: dict[str, str]) -> None:
        """Have the run's files, at paths in its tree, lie at MLflow's addresses, where these are
        ours."""
        for tree, address in addresses.items():
            if self._is_ours(address) and not running.run.silent:
                artifacts.link(running.run.folder, tree, address)

    def fill(self, run_id: str, tree: str, address: str) -> None:
        """See to it that an address of ours has the files of its run, or model."""
        if self.runs.find(run_id) or not self._is_ours(address):
            return
        folder, commit = self._row(run_id)
        with errors():
            if folder:
                artifacts.show(journal.folder_of(self.repo, folder), tree, address)
            elif commit:
                artifacts.fill(self.repo, commit, tree, address)

    def take_up(self, run_id: str, commit: str, found: Any, experiment: str) -> runs.Running:
        """Begin a run that goes on where a recorded one ended, with its params and metrics, on the
        code of now; ``found`` is what MLflow has of it."""
        _write_late_values(self.repo, commit)
        old = contents.of_commit(self.repo, commit)
        if old is None:
            raise NotFoundError(f"the experiment {commit[:10]} was removed meanwhile")
        wanted = [*contents.paths(old), *result_files.paths(old.files, "params")]
        (read,) = contents.read(self.repo, [old], [wanted])
        running = self.runs.begin(experiment, None)
        with suppress(GitexpError):
            running.run.log_points(read.points())
            running.run.log_params(read.params())
        facts = {
            "run": run_id,
            "experiment": experiment,
            "name": found.info.run_name,
            "user": found.info.user_id,
            "end": None,
            "tags": dict(found.data.tags),
            **self.linked(run_id),
        }
        self.runs.add(running, {**read.run_facts, **facts}, follows=old.name)
        with database.reading(self.path) as db:
            asked = "SELECT model_id, artifact_location FROM logged_models WHERE source_run_id = ?"
            models = {uris.model_files(model): at for model, at in db.execute(asked, [run_id])}
        for tree, address in models.items():
            artifacts.fill(self.repo, commit, tree, address)
        self.link(running, {uris.RUN_FILES: found.info.artifact_uri, **models})
        return running

    # -- what is told ------------------------------------------------------------------------------

    def tell(
        self,
        run_id: str,
        live: Callable[[runs.Running], object],
        events: Callable[[str], list[dict[str, Any]]],
    ) -> None:
        """Tell the run that goes on, or note events with the experiment that was recorded."""
        running, commit = self.of(run_id)
        if running:
            live(running)
        elif commit:
            with errors():
                _write_late_values(self.repo, commit)  # since the run is read again from its notes
                notes.add(self.repo, [commit], events(commit))

    def tag(self, run_id: str, tags: dict[str, str | None]) -> None:
        """Set tags, or remove those that are None."""
        if tags:
            self.tell(
                run_id,
                lambda run: run.set_tags(tags),
                lambda commit: _of_tags(self.repo, commit, tags),
            )

    def log_params(self, run_id: str, texts: dict[str, str]) -> None:
        """Log params: what they stand for, and how MLflow spelt them."""
        late = {
            "params": {key: convert.param_value(text) for key, text in texts.items()},
            "mlflow": {"params": texts},
        }
        self.tell(run_id, lambda run: run.log_params(texts), lambda _: [late])

    def log_late(self, run_id: str, commit: str, points: list[MetricPoint]) -> None:
        """Log metric values of a recorded run: git gets them a moment later, and many at once."""
        key = _key(self.repo, commit)
        _late.setdefault(key, []).extend(points)
        with errors():
            deferred.later(key, lambda: _write(self.repo, commit, key), _SECONDS)
        with database.writing(self.path) as db:
            Tables(db, self.root).put_metrics(run_id, points)

    def stage(self, stage: str, run_id: str) -> None:
        """Note that a run was deleted in MLflow, or restored."""
        event = {"mlflow": {"stage": stage}}
        self.tell(run_id, lambda run: run.set_stage(stage), lambda _: [event])

    def stage_all(self, stage: str, experiment_id: str) -> None:
        """Note that an MLflow experiment was deleted, or restored, with all its runs."""
        with database.reading(self.path) as db:
            rows = db.execute(
                'SELECT run_uuid, folder, "commit" FROM gitexp_run JOIN runs USING (run_uuid)'
                " WHERE experiment_id = ?",
                [experiment_id],
            ).fetchall()
        for run, folder, _ in rows:
            if folder:
                self.stage(stage, run)
        with errors():
            commits = [commit for _, folder, commit in rows if not folder]
            notes.add(self.repo, commits, [{"mlflow": {"stage": stage}}])

    def keep_linked(self, run_id: str | None) -> None:
        """Keep the datasets and models of a run with it."""
        if run_id and (linked := self.linked(run_id)):
            self.tell(
                run_id,
                lambda run: run.change(lambda known: known.update(linked)),
                lambda _: [{"mlflow": linked}],
            )

    def linked(self, run_id: str) -> dict[str, Any]:
        """Return ``{"tables": ...}``, the datasets and models of a run; empty where it has none."""
        with database.reading(self.path) as db:
            found = Tables(db, self.root).linked(run_id)
        return {"tables": found} if found else {}

    def _row(self, run_id: str) -> tuple[str | None, str | None]:
        """Return the folder of a run that goes on, and the commit of one that was recorded."""
        self.catch_up()
        with database.reading(self.path) as db:
            asked = 'SELECT folder, "commit" FROM gitexp_run WHERE run_uuid = ?'
            found: tuple[str | None, str | None] | None = db.execute(asked, [run_id]).fetchone()
        return found or (None, None)

    def _is_ours(self, address: str) -> bool:
        return address.startswith(f"{self.root}/")


def _key(repo: Repo, commit: str) -> str:
    return f"late {repo.state_dir} {commit}"


def _write_late_values(repo: Repo, commit: str) -> None:
    """Write now what came late for an experiment, and waits."""
    deferred.end_now(_key(repo, commit))


def _write(repo: Repo, commit: str, key: str) -> None:
    if points := _late.pop(key, []):
        notes.add(repo, [commit], [late_values.event(points)])


def _of_tags(repo: Repo, commit: str, tags: Mapping[str, str | None]) -> list[dict[str, Any]]:
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
