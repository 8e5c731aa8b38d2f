"""``gitexp import mlflow``: the runs of a local store, a database or a server.

A local store is read as it lies there. MLflow's own client writes where it reads (folders, a
default experiment), refuses databases of other versions, and no longer opens folders (``mlruns``).
The tables and files have been the same since MLflow 1, and an SQLite file is opened read-only. A
server is asked over its REST API. So MLflow need not be installed.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from gitexp.formats import message, params
from gitexp.formats import mlflow_words as convert
from gitexp.formats.errors import FormatError, GitexpError, NotFoundError, UsageError, did_you_mean
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers import found
from gitexp.formats.trackers.found import Found, Progress, Run, Unread, files_in


@dataclass(frozen=True)
class Stored:
    """A run as a store has it; times in ms since the epoch, ``end`` None while it goes on.

    A server also names its metrics, and gives deleted runs where they are asked for.
    """

    id: str
    experiment: str
    name: str
    status: str
    start: int
    end: int | None
    user: str
    artifacts: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: tuple[str, ...] = ()
    deleted: bool = False


class Store(NamedTuple):
    """How a store is read."""

    where: str
    runs: Callable[[], Iterator[Stored | Unread]]  # yields those that are not deleted
    points: Callable[[str], Iterator[MetricPoint]]  # yields the metrics of one
    # returns the folder of a run's artifacts: the given one where they are brought from elsewhere
    fetch: Callable[[Stored, Path], Path | None]


def find(
    store: Store,
    experiment: str | None = None,
    artifacts: Path | None = None,
    progress: Progress = lambda done, total: None,
    over: bool = False,
) -> Iterator[Found]:
    """Yield the runs of a store that are over, oldest first; raise NotFoundError where it has no
    such experiment.

    Args:
        experiment: the name of an MLflow experiment, for its runs alone.
        artifacts: a folder for artifacts that have to be brought here; None leaves artifacts out.
        over: whoever wrote them has ended, so one without an end was killed.
    """
    stored: list[Stored] = []
    experiments: set[str] = set()
    for item in store.runs():
        if isinstance(item, Unread):
            yield item
            continue
        experiments.add(item.experiment)
        if experiment in (None, item.experiment):
            stored.append(item)
    if experiment is not None and experiment not in experiments:
        raise NotFoundError(
            f"{store.where} has no runs in an experiment"
            f" '{experiment}'.{did_you_mean(experiment, experiments)}"
        )
    names = {item.id: item.name for item in stored}
    parents = {item.tags[convert.PARENT] for item in stored if convert.PARENT in item.tags}
    for at, item in enumerate(sorted(stored, key=lambda item: (item.start, item.id))):
        progress(at, len(stored))
        if convert.status(item.status) is None and not over:
            why = f"it is {item.status.lower()}; import again when it is over"
            yield Unread(f"mlflow {item.name}", why)
        else:
            yield _run(store, item, _group(item, names, parents), artifacts)
    progress(len(stored), len(stored))


def on_disk(uri: str, since: float = 0) -> Store:
    """Return how a local store is read: ``sqlite:///mlflow.db``, the path of such a file, or of a
    folder like ``mlruns``; runs that began before ``since`` are left out. Raises UsageError."""
    path, of_sqlite = Path(re.sub(r"^sqlite:/{0,3}", "", uri)), uri.startswith("sqlite:")
    if path.is_file() and (of_sqlite or found.is_database(path)):
        return _database(path, int(since * 1000))
    folder = local(uri)
    if folder and folder.is_dir():
        return _folder(folder, since)
    if "://" in uri and not of_sqlite:
        kind = message.one_line(uri.partition(":")[0])
        raise UsageError(
            f"a store of the kind {kind} is read through a server: mlflow server"
            " --backend-store-uri URI, then give http://localhost:5000"
        )
    what = f"file '{path}'" if of_sqlite else f"store at '{uri}'"
    raise UsageError(
        f"there is no {what}; give a folder like mlruns, sqlite:///mlflow.db, or http://HOST:5000"
    )


def _run(store: Store, item: Stored, group: str | None, artifacts: Path | None) -> Run:
    tags = item.tags
    source, ours = tags.get(convert.SOURCE, ""), tags.get(convert.ID)
    kept, partly = _artifacts(store, item, artifacts) if artifacts else ({}, ())
    own = ("mlflow.", convert.OURS)
    more = {key: value for key, value in tags.items() if not key.startswith(own)}
    if source and not ours:  # without its arguments, so it is not a command to be run again
        more = {"script": source, **more}
    return Run(
        item.id,
        kind="mlflow",
        where=store.where,
        title=item.name if item.name != tags.get("gitexp.name") else "",
        started=found.moment(item.start / 1000),
        points=store.points(item.id),
        params={convert.name(key): convert.param_value(text) for key, text in item.params.items()},
        status=convert.status(item.status) or "killed",
        duration=(item.end - item.start) / 1000 if item.end and item.end >= item.start else None,
        note=tags.get(convert.NOTE, ""),
        labels=convert.labels(tags),
        group=tags.get("gitexp.group") or group,
        author=found.person(tags.get(convert.USER) or item.user, tags.get("gitexp.email", "")),
        command=source if ours and source != "gitexp" else None,
        commit=tags.get(convert.COMMIT),
        artifacts=kept,
        tags=more,
        ours=ours,
        partly=partly,
    )


def _group(item: Stored, names: Mapping[str, str], parents: set[str]) -> str | None:
    """Return the group: of nested runs the outer one's name, else that of the experiment."""
    if item.id in parents:
        return item.name
    parent = item.tags.get(convert.PARENT)
    return names.get(parent, parent) if parent else convert.group(item.experiment)


def _artifacts(
    store: Store, item: Stored, place: Path
) -> tuple[dict[str, Path], tuple[Unread, ...]]:
    """Return a run's artifacts, ``{name: file}``, and why they could not be brought here."""
    try:
        folder = store.fetch(item, place / item.id)
    except GitexpError as error:
        return {}, (Unread(f"mlflow {item.name}", str(error)),)
    if folder is None or not folder.is_dir():
        return {}, ()
    return {path.relative_to(folder).as_posix(): path for path in files_in(folder, "*")[0]}, ()


def local(uri: str) -> Path | None:
    """Return the path on this machine that an address names, None where it names another place."""
    if uri.startswith("file:"):
        return Path(url2pathname(unquote(urlsplit(uri).path)))
    return None if "://" in uri or not uri else Path(uri)


# -- an SQLite file --------------------------------------------------------------------------------

_RUNS = """
    SELECT run_uuid, experiments.name, runs.name, source_version, status, IFNULL(start_time, 0),
        end_time, IFNULL(user_id, ''), IFNULL(artifact_uri, '')
    FROM runs JOIN experiments USING (experiment_id)
    WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
        AND start_time >= ?
"""
_POINTS = """
    SELECT key, value, is_nan, timestamp, step FROM metrics WHERE run_uuid = ?
    ORDER BY key, step, timestamp
"""


def _database(path: Path, since: int) -> Store:
    import sqlite3

    def ask(sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
                yield from db.execute(sql, values)
        except sqlite3.Error as error:
            raise FormatError(f"{path} cannot be read as MLflow's database: {error}") from None

    def pairs(table: str) -> dict[str, dict[str, str]]:
        values: dict[str, dict[str, str]] = {}
        sql = f"SELECT run_uuid, key, value FROM {table} JOIN runs USING (run_uuid)"
        for run, key, value in ask(f"{sql} WHERE start_time >= ?", since):
            values.setdefault(run, {})[key] = str(value)
        return values

    def runs() -> Iterator[Stored]:
        given, tags = pairs("params"), pairs("tags")
        for id, experiment, name, version, status, start, end, user, at in ask(_RUNS, since):
            values, known = given.get(id, {}), tags.get(id, {})
            if version:
                known.setdefault(convert.COMMIT, version)
            called = known.get(convert.NAME) or name or id[:8]
            yield Stored(id, experiment, called, status, start, end, user, at, values, known)

    def points(run: str) -> Iterator[MetricPoint]:
        for key, value, is_nan, *at in ask(_POINTS, run):
            yield MetricPoint(convert.name(key), convert.metric_value(value, bool(is_nan)), *at)

    return Store(found.shown(path), runs, points, lambda item, _: local(item.artifacts))


# -- a folder of files -----------------------------------------------------------------------------


def _folder(root: Path, since: float) -> Store:
    folders: dict[str, Path] = {}

    def runs() -> Iterator[Stored | Unread]:
        places = (path / "meta.yaml" for path in sorted(root.iterdir()) if path.name != ".trash")
        metas = [meta for meta in places if meta.is_file()]
        if not metas:
            raise UsageError(
                f"{root} is not an MLflow folder: none of its folders holds a meta.yaml"
            )
        for meta in metas:
            experiment = meta.parent.name
            try:
                experiment = str(params.load_file(meta).get("name", experiment))
            except FormatError as error:
                yield Unread(str(meta), str(error))
            for name in sorted(glob.glob("*/meta.yaml", root_dir=meta.parent)):
                file = meta.parent / name
                try:
                    if stored := _of_folder(file, experiment, since):
                        folders[stored.id] = file.parent
                        yield stored
                except (FormatError, OSError, ValueError, TypeError) as error:
                    yield Unread(str(file.parent), str(error))

    def points(run: str) -> Iterator[MetricPoint]:
        folder = folders[run] / "metrics"
        for path in files_in(folder, "*")[0]:
            name = convert.name(path.relative_to(folder).as_posix())
            with open(path, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    try:
                        at, text, step = [*line.split(), "0"][:3]
                        value = convert.metric_value(float(text))
                        yield MetricPoint(name, value, int(at), int(step))
                    except ValueError:  # the last line of a process that was killed
                        continue

    return Store(found.shown(root), runs, points, lambda item, _: folders[item.id] / "artifacts")


# as numbers, mlflow/protos/service.proto
_STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}


def _of_folder(meta: Path, experiment: str, since: float) -> Stored | None:
    """Return the run of a folder, None where it was deleted, began before ``since``, or is none."""
    known = params.load_file(meta) if meta.stat().st_mtime >= since else {}
    is_run = "run_id" in known or "run_uuid" in known
    if not is_run or known.get("lifecycle_stage", "active") != "active":
        return None
    start = int(known.get("start_time") or 0)
    if start < since * 1000:
        return None
    folder = meta.parent
    tags, given = _texts(folder / "tags"), _texts(folder / "params")
    name = tags.get(convert.NAME) or str(known.get("run_name") or folder.name[:8])
    if known.get("source_version"):
        tags.setdefault(convert.COMMIT, str(known["source_version"]))
    status, end = known.get("status", "FINISHED"), int(known.get("end_time") or 0) or None
    status, user = _STATUSES.get(status, str(status)), str(known.get("user_id") or "")
    return Stored(folder.name, experiment, name, status, start, end, user, "", given, tags)


def _texts(folder: Path) -> dict[str, str]:
    """Return ``{name: text}`` of a folder with a file for each, also in folders below it."""
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8", "replace").rstrip("\n")
        for path in files_in(folder, "*")[0]
    }
