"""``gitexp import mlflow``: the runs of a local store, a database or a server.

A local store is read as it lies there. MLflow's own client writes where it reads (folders, a
default experiment), refuses databases of other versions, and no longer opens folders (``mlruns``).
The tables and files have been the same since MLflow 1, and an SQLite file is opened read-only. A
server is asked over its REST API. So MLflow need not be installed.
"""

from __future__ import annotations

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
from gitexp.formats.trackers.found import (
    Found,
    Progress,
    Run,
    Unread,
    files_in,
    moment,
    person,
    shown,
)

_PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Stored:
    """A run as a store has it; times in ms since the epoch."""

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


class Store(NamedTuple):
    """How a store is read.

    Attributes:
        runs: yields the runs that are not deleted.
        points: yields the metrics of one.
        fetch: returns the folder that holds a run's artifacts, after bringing them there (into the
            given one) where they are elsewhere.
    """

    where: str
    runs: Callable[[], Iterator[Stored | Unread]]
    points: Callable[[str], Iterator[MetricPoint]]
    fetch: Callable[[Stored, Path], Path | None]


def find(
    store: Store,
    experiment: str | None = None,
    artifacts: Path | None = None,
    progress: Progress = lambda done, total: None,
    over: bool = False,
) -> Iterator[Found]:
    """Yield the runs of a store that are over, oldest first.

    Args:
        over: whoever wrote them has ended, so one without an end was killed.
        experiment: the name of an MLflow experiment, for its runs alone.
        artifacts: a folder for artifacts that have to be brought here; None leaves artifacts out.

    Raises:
        NotFoundError: it has no experiment of that name.
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
    parents = {item.tags[_PARENT] for item in stored if _PARENT in item.tags}
    for at, item in enumerate(sorted(stored, key=lambda item: (item.start, item.id))):
        progress(at, len(stored))
        if convert.status(item.status) is None and not over:
            yield Unread(
                f"mlflow {item.name}", f"it is {item.status.lower()}; import again when it is over"
            )
        else:
            yield _run(store, item, _group(item, names, parents), artifacts)
    progress(len(stored), len(stored))


def on_disk(uri: str, since: float = 0) -> Store:
    """Return how a local store is read: ``sqlite:///mlflow.db``, the path of such a file, or of a
    folder like ``mlruns``.

    Args:
        since: seconds since 1970; runs that began before are left out.

    Raises:
        UsageError: there is none.
    """
    if uri.startswith("sqlite:") or _is_database(Path(uri)):
        path = Path(re.sub(r"^sqlite:/{0,3}", "", uri) if uri.startswith("sqlite:") else uri)
        if not path.is_file():
            raise UsageError(
                f"there is no file '{path}'; give MLflow's database as sqlite:///PATH, a folder"
                " like mlruns, or http://HOST:5000"
            )
        return _database(path, int(since * 1000))
    folder = Path(url2pathname(unquote(urlsplit(uri).path)) if uri.startswith("file:") else uri)
    if folder.is_dir():
        return _folder(folder, since)
    if "://" in uri:
        kind = message.one_line(uri.partition(":")[0])
        raise UsageError(
            f"a store of the kind {kind} is read through a server: mlflow server"
            " --backend-store-uri URI, then give http://localhost:5000"
        )
    raise UsageError(
        f"there is no store at '{uri}'; give a folder like mlruns, sqlite:///mlflow.db, or"
        " http://HOST:5000"
    )


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(15) == b"SQLite format 3"


def _run(store: Store, item: Stored, group: str | None, artifacts: Path | None) -> Run:
    tags = item.tags
    source = tags.get(convert.SOURCE, "")
    kept, partly = _artifacts(store, item, artifacts) if artifacts else ({}, ())
    ours = tags.get(convert.ID)
    # without its arguments, so it is not a command to be run again
    said = {} if ours or not source else {"script": source}
    return Run(
        "mlflow",
        item.id,
        store.where,
        title=item.name if item.name != tags.get("gitexp.name") else "",
        started=moment(item.start / 1000),
        points=store.points(item.id),
        params={
            convert.name(key): convert.param_value(value) for key, value in item.params.items()
        },
        status=convert.status(item.status) or "killed",
        duration=(item.end - item.start) / 1000 if item.end and item.end >= item.start else None,
        note=tags.get(convert.NOTE, ""),
        labels=convert.labels(tags),
        group=tags.get("gitexp.group") or group,
        author=person(tags.get(convert.USER) or item.user, tags.get("gitexp.email", "")),
        command=source if ours and source != "gitexp" else None,
        commit=tags.get(convert.COMMIT),
        artifacts=kept,
        tags={
            **said,
            **{
                key: value
                for key, value in tags.items()
                if not key.startswith(("mlflow.", convert.OURS))
            },
        },
        ours=ours,
        partly=partly,
    )


def _group(item: Stored, names: Mapping[str, str], parents: set[str]) -> str | None:
    """Return the group: nested runs and the one that they are nested in share its name, others that
    of their experiment."""
    if item.id in parents:
        return item.name
    parent = item.tags.get(_PARENT)
    return names.get(parent, parent) if parent else convert.group(item.experiment)


def _artifacts(
    store: Store, item: Stored, place: Path
) -> tuple[dict[str, Path], tuple[Unread, ...]]:
    try:
        folder = store.fetch(item, place / item.id)
    except GitexpError as error:
        return {}, (Unread(f"mlflow {item.name}", str(error)),)
    if folder is None or not folder.is_dir():
        return {}, ()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path for path in files}, ()


def here(item: Stored, _: Path) -> Path | None:
    """Return the folder of artifacts that lie on this machine."""
    uri = item.artifacts
    return (
        Path(url2pathname(unquote(urlsplit(uri).path)))
        if uri.startswith("file:")
        else None
        if "://" in uri or not uri
        else Path(uri)
    )


# -- an SQLite file --------------------------------------------------------------------------------


def _database(path: Path, since: int) -> Store:
    import sqlite3

    def ask(sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
                yield from db.execute(sql, values)
        except sqlite3.Error as error:
            raise FormatError(f"{path} cannot be read as MLflow's database: {error}") from None

    def pairs(table: str) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        sql = f"SELECT run_uuid, key, value FROM {table} JOIN runs USING (run_uuid)"
        for run, key, value in ask(f"{sql} WHERE start_time >= ?", since):
            found.setdefault(run, {})[key] = str(value)
        return found

    def runs() -> Iterator[Stored]:
        given, tags = pairs("params"), pairs("tags")
        sql = (
            "SELECT run_uuid, experiments.name, runs.name, status, start_time, end_time, user_id,"
            " artifact_uri, source_version FROM runs JOIN experiments USING (experiment_id) WHERE"
            " runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'"
            " AND start_time >= ?"
        )
        for id, experiment, name, status, start, end, user, artifacts, version in ask(sql, since):
            known = tags.get(id, {})
            if version:
                known.setdefault(convert.COMMIT, version)
            called = known.get(convert.NAME) or name or id[:8]
            yield Stored(
                id,
                experiment,
                called,
                status,
                start or 0,
                end,
                user or "",
                artifacts or "",
                given.get(id, {}),
                known,
            )

    def points(run: str) -> Iterator[MetricPoint]:
        sql = (
            "SELECT key, value, is_nan, timestamp, step FROM metrics WHERE run_uuid = ? ORDER BY"
            " key, step, timestamp"
        )
        for key, value, is_nan, timestamp, step in ask(sql, run):
            yield MetricPoint(
                convert.name(key), convert.metric_value(value, bool(is_nan)), timestamp, step
            )

    return Store(shown(path), runs, points, here)


# -- a folder of files -----------------------------------------------------------------------------


def _folder(root: Path, since: float) -> Store:
    folders: dict[str, Path] = {}

    def runs() -> Iterator[Stored | Unread]:
        metas = [
            folder / "meta.yaml"
            for folder in sorted(root.iterdir())
            if folder.name != ".trash" and (folder / "meta.yaml").is_file()
        ]
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
            for file in sorted(meta.parent.glob("*/meta.yaml")):
                try:
                    if file.stat().st_mtime < since:
                        continue
                    known = params.load_file(file)
                    if known.get("lifecycle_stage", "active") != "active" or (
                        "run_id" not in known and "run_uuid" not in known
                    ):
                        continue
                    if int(known.get("start_time") or 0) < since * 1000:
                        continue
                    yield _of_folder(file.parent, experiment, known)
                    folders[file.parent.name] = file.parent
                except (FormatError, OSError, ValueError, TypeError) as error:
                    yield Unread(str(file.parent), str(error))

    def points(run: str) -> Iterator[MetricPoint]:
        folder = folders[run] / "metrics"
        for path in files_in(folder, "*")[0]:
            name = convert.name(path.relative_to(folder).as_posix())
            with open(path, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    fields = line.split()
                    try:
                        point = MetricPoint(
                            name,
                            float(fields[1]),
                            int(fields[0]),
                            int(fields[2]) if len(fields) > 2 else 0,
                        )
                    except (ValueError, IndexError):  # the last line of a process that was killed
                        continue
                    yield point._replace(value=convert.metric_value(point.value))

    return Store(shown(root), runs, points, lambda item, _: folders[item.id] / "artifacts")


# as numbers, mlflow/protos/service.proto
_STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}


def _of_folder(folder: Path, experiment: str, known: Mapping[str, Any]) -> Stored:
    tags = _texts(folder / "tags")
    status = known.get("status", "FINISHED")
    name = tags.get(convert.NAME) or str(known.get("run_name") or folder.name[:8])
    if known.get("source_version"):
        tags.setdefault(convert.COMMIT, str(known["source_version"]))
    end = known.get("end_time")
    return Stored(
        folder.name,
        experiment,
        name,
        _STATUSES.get(status, str(status)),
        int(known.get("start_time") or 0),
        int(end) if end else None,
        str(known.get("user_id") or ""),
        "",
        _texts(folder / "params"),
        tags,
    )


def _texts(folder: Path) -> dict[str, str]:
    """Return ``{name: text}`` of a folder that holds a file for each; names with slashes lie in
    folders."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_text(encoding="utf-8", errors="replace").rstrip("\n")
        )
        for path in files_in(folder, "*")[0]
    }
