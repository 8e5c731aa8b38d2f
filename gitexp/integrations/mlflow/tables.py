"""Runs as rows of MLflow's tables, written in bulk: the way of MLflow's own classes takes
milliseconds for each row.

Only the tables of runs, metrics, datasets and models, whose columns have been the same for years;
where a column is not there, its value is left out.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gitexp.formats import mlflow_words as convert
from gitexp.formats.experiment import MetricPoint

ACTIVE, DELETED = "active", "deleted"
_LARGEST = 2**63 - 1
_RUN = """
    INSERT INTO runs(name, user_id, status, start_time, end_time, lifecycle_stage, deleted_time,
        run_uuid, experiment_id, artifact_uri, source_type, source_name, entry_point_name,
        source_version)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'UNKNOWN', '', '', '')
    ON CONFLICT(run_uuid) DO UPDATE SET name = excluded.name, user_id = excluded.user_id,
        status = excluded.status, start_time = excluded.start_time, end_time = excluded.end_time,
        lifecycle_stage = excluded.lifecycle_stage,
        deleted_time = CASE lifecycle_stage WHEN excluded.lifecycle_stage
            THEN coalesce(deleted_time, excluded.deleted_time) ELSE excluded.deleted_time END
"""
_LATEST = """
    INSERT INTO latest_metrics(run_uuid, key, value, timestamp, step, is_nan)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT(key, run_uuid) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp,
        step = excluded.step, is_nan = excluded.is_nan
    WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)
"""
_OF_MODELS = "model_id IN (SELECT model_id FROM logged_models WHERE source_run_id = :run)"
_LINKED = {  # tables that hold more of a run: which rows are its own
    "inputs": "source_id = :run OR destination_id = :run",
    "datasets": "dataset_uuid IN (SELECT source_id FROM inputs WHERE destination_id = :run)",
    "input_tags": "input_uuid IN (SELECT input_uuid FROM inputs WHERE destination_id = :run)",
    "logged_models": "source_run_id = :run",
    "logged_model_params": _OF_MODELS,
    "logged_model_tags": _OF_MODELS,
    "logged_model_metrics": "run_id = :run",
}

_HERE = ("experiment_id", "artifact_location", "source_run_id")  # columns that mean one clone's own


class Row(NamedTuple):
    """One run as MLflow's table has it; times in ms since the epoch."""

    id: str
    name: str
    user: str
    status: str
    start: int
    end: int | None
    stage: str
    experiment: str

    def told(self, said: Any) -> Row:
        """Return the row as MLflow says it, as far as what it says has the right form: it comes
        from anybody's remote."""
        if not isinstance(said, dict):
            return self
        texts = ("name", "user", "experiment")
        known = {key: said[key] for key in texts if isinstance(said.get(key), str) and said[key]}
        for key in ("start", "end"):
            if type(said.get(key)) is int and abs(said[key]) < 2**62:  # which a database holds
                known[key] = said[key]
        if said.get("stage") in (ACTIVE, DELETED):
            known["stage"] = said["stage"]
        return self._replace(**known)


def experiment_id(name: str) -> int:
    """Return the id of an MLflow experiment: the same in every clone, so that addresses of pages
    keep their meaning."""
    return 0 if name == convert.DEFAULT else int(hashlib.sha256(name.encode()).hexdigest()[:12], 16)


class Tables:
    """MLflow's tables in one open transaction."""

    def __init__(self, db: sqlite3.Connection, root: str) -> None:
        self.db = db
        self._root = root
        self._experiments: dict[str, int] = {}
        self._columns: dict[str, tuple[str, ...]] = {}

    def experiment(self, name: str) -> int:
        """Return the id of an experiment, made if it is not there."""
        name = name[:256]
        if name not in self._experiments:
            found = self.db.execute(  # by its id where it was renamed
                "SELECT experiment_id FROM experiments WHERE name = ? OR experiment_id = ?"
                " ORDER BY name = ? DESC",
                [name, experiment_id(name), name],
            ).fetchone()
            self._experiments[name] = found[0] if found else self._new_experiment(name)
        return self._experiments[name]

    def has_run(self, run: str) -> bool:
        """Whether there is such a run."""
        asked = "SELECT 1 FROM runs WHERE run_uuid = ?"
        return self.db.execute(asked, [run]).fetchone() is not None

    def put_run(self, row: Row) -> int:
        """Insert or update a run and return the id of its experiment."""
        known = self.db.execute(
            "SELECT experiment_id FROM runs WHERE run_uuid = ?", [row.id]
        ).fetchone()
        at = known[0] if known else self.experiment(row.experiment)
        deleted = int(time.time() * 1000) if row.stage == DELETED else None
        facts = (row.name[:250], row.user[:256], row.status, row.start, row.end, row.stage)
        place = f"{self._root}/{at}/{row.id}/artifacts"
        self.db.execute(_RUN, [*facts, deleted, row.id, at, place])
        return int(at)

    def put_texts(self, run: str, tags: Mapping[str, str], params: Mapping[str, str]) -> None:
        """Set tags, and add params: those that are there stay as MLflow wrote them."""
        told = [(run, key[:250], text[: convert.TAG_LENGTH]) for key, text in tags.items()]
        given = [(run, key[:250], text[: convert.PARAM_LENGTH]) for key, text in params.items()]
        columns = "(run_uuid, key, value) VALUES (?, ?, ?)"
        self.db.executemany(f"INSERT OR REPLACE INTO tags{columns}", told)
        self.db.executemany(f"INSERT OR IGNORE INTO params{columns}", given)

    def put_metrics(self, run: str, points: Iterable[MetricPoint]) -> None:
        """Add metric values, and follow the latest ones."""
        rows = [_metric_row(run, point) for point in points]
        self.db.executemany(
            "INSERT OR IGNORE INTO metrics(run_uuid, key, value, timestamp, step, is_nan) VALUES"
            " (?, ?, ?, ?, ?, ?)",
            rows,
        )
        # the last of each name is the one of the highest step, then time, then value
        latest = {row[1]: row for row in sorted(rows, key=lambda row: (row[4], row[3], row[2]))}
        self.db.executemany(_LATEST, latest.values())

    def put_latest(self, run: str, points: Iterable[MetricPoint]) -> None:
        """Add the latest value of each metric alone."""
        self.db.executemany(_LATEST, [_metric_row(run, point) for point in points])

    def has_metric(self, run: str, point: MetricPoint) -> bool:
        """Whether a run has this very value."""
        same = "(run_uuid, key, value, timestamp, step, is_nan) = (?, ?, ?, ?, ?, ?)"
        found = self.db.execute(f"SELECT 1 FROM metrics WHERE {same}", _metric_row(run, point))
        return found.fetchone() is not None

    def put_linked(self, run: str, experiment: int, linked: Mapping[str, Any]) -> None:
        """Add what ``linked`` returned of a run, perhaps in another clone; what is no such thing is
        passed over."""
        models: set[str] = set()
        for table in _LINKED:
            rows = linked.get(table)
            for row in rows if isinstance(rows, list) else []:
                if not isinstance(row, dict) or not _belongs(table, row, run, models):
                    continue
                row = {**row, "experiment_id": experiment, "source_run_id": run}
                if table == "logged_models":
                    models.add(row["model_id"])
                    row["artifact_location"] = (
                        f"{self._root}/{experiment}/models/{row['model_id']}/artifacts"
                    )
                self._insert(table, row)

    def linked(self, run: str) -> dict[str, list[dict[str, Any]]]:
        """Return the datasets, inputs and models of a run, as rows by their tables."""
        found = {}
        for table, condition in _LINKED.items():
            rows = self.db.execute(f"SELECT * FROM {table} WHERE {condition}", {"run": run})
            columns = enumerate(item[0] for item in rows.description)
            kept = [(at, name) for at, name in columns if name not in _HERE]
            found[table] = [
                {name: row[at] for at, name in kept if row[at] is not None}
                for row in rows.fetchall()
            ]
        return {table: rows for table, rows in found.items() if rows}

    def empty(self, run: str) -> None:
        """Remove what belongs to a run, but not its own row, so that traces and the like keep their
        run."""
        for table in reversed(_LINKED):
            if table != "datasets":  # which runs share
                self.db.execute(f"DELETE FROM {table} WHERE {_LINKED[table]}", {"run": run})
        for table in ("metrics", "latest_metrics", "params", "tags"):
            self.db.execute(f"DELETE FROM {table} WHERE run_uuid = ?", [run])

    def remove(self, run: str) -> None:
        """Remove a run."""
        self.empty(run)
        self.db.execute("DELETE FROM runs WHERE run_uuid = ?", [run])
        self.db.execute("DELETE FROM gitexp_run WHERE run_uuid = ?", [run])

    def _new_experiment(self, name: str) -> int:
        now = int(time.time() * 1000)
        at = experiment_id(name)
        self.db.execute(
            "INSERT INTO experiments(experiment_id, name, artifact_location, lifecycle_stage,"
            " creation_time, last_update_time, workspace) VALUES (?, ?, ?, ?, ?, ?, 'default')",
            [at, name, f"{self._root}/{at}", ACTIVE, now, now],
        )
        return at

    def _insert(self, table: str, row: Mapping[str, Any]) -> None:
        names = [
            name
            for name in self._columns_of(table)
            if isinstance(row.get(name), (str, int, float, bool))
        ]
        marks = ", ".join("?" for _ in names)
        self.db.execute(
            f"INSERT OR IGNORE INTO {table}({', '.join(names)}) VALUES ({marks})",
            [row[name] for name in names],
        )

    def _columns_of(self, table: str) -> tuple[str, ...]:
        if table not in self._columns:
            self._columns[table] = tuple(
                item[1] for item in self.db.execute(f"PRAGMA table_info({table})")
            )
        return self._columns[table]


def _metric_row(run: str, point: MetricPoint) -> tuple[Any, ...]:
    number, is_nan = convert.metric_row(point.value)
    time, step = (max(-_LARGEST, min(item, _LARGEST)) for item in (point.timestamp, point.step))
    return run, point.name, number, time, step, is_nan


def _belongs(table: str, row: Mapping[str, Any], run: str, models: set[str]) -> bool:
    """Whether a row may come with a run: it comes from anybody's remote, and must not speak for
    other runs."""
    if table == "inputs":
        return run in (row.get("source_id"), row.get("destination_id"))
    if table == "logged_models":
        return isinstance(row.get("model_id"), str) and row["model_id"].replace("-", "").isalnum()
    if table in ("logged_model_params", "logged_model_tags"):
        return row.get("model_id") in models
    return table != "logged_model_metrics" or row.get("run_id") == run
