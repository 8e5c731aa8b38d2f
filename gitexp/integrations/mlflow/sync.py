"""The database follows git and the runs that are going on, so that MLflow sees every experiment,
whoever recorded it.

What git says is found by the tag objects, which never change: new ones are read, in bulk and with
one git process, those that are gone are removed, and where notes were added the run is read again.
Runs that are going on are followed by their journals: only the rows that were added are read. Where
nothing changed, a few looks at the file system say so.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitexp.formats import late_values, message, metrics, params
from gitexp.formats import mlflow_words as convert
from gitexp.formats.errors import GitexpError
from gitexp.formats.experiment import STATUSES, Experiment, MetricPoint
from gitexp.integrations.mlflow import database, run_file, uris
from gitexp.integrations.mlflow.tables import ACTIVE, DELETED, Row, Tables, read_json
from gitexp.repo import Repo
from gitexp.runs import journal
from gitexp.store.index import Index
from gitexp.store.notes import REF as NOTES

_ID = re.compile(r"[0-9A-Za-z_-]{1,32}")
_COLUMNS = (
    "ref.name, ref.mine, tag.id, tag.\"commit\", json_extract(tag.summary, '$.id'),"
    " json_extract(tag.summary, '$.mlflow.run'), tag.started, tag.labels || tag.notes || tag.marks"
)
_TICK = 50_000_000  # ns within which a file system may give two changes the same time
_MANY = 400  # experiments for which one query is better than many marks in it


@dataclass(frozen=True)
class Found:
    """An experiment that stands for an MLflow run."""

    run: str
    name: str
    mine: bool
    tag: str
    commit: str
    id: str | None
    started: str
    marks: str


class Follower:
    """Brings one repository's database up to date."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        self.path = database.prepare(repo)
        self._root = uris.root_uri(repo)
        self._lock = threading.Lock()
        self._refs: tuple[int, ...] = ()
        self._stamps: dict[str, str] = {}

    def catch_up(self) -> None:
        """Bring the database up to date with git, and with the runs that are going on."""
        with self._lock:
            _, stamps, refs = self._looked_at()
            if refs and refs == self._refs and stamps == self._stamps:
                return
            with database.writing(self.path) as db:
                # Only now, when nobody else can add to the database: a run in it that is not on the
                # list has ended.
                folders, stamps, refs = self._looked_at()
                tables = Tables(db, self._root)
                recorded = (
                    self._follow_git(tables)
                    if refs != self._refs or not refs or self._stamps.keys() - stamps.keys()
                    else set()
                )
                for name, folder in folders.items():
                    if stamps[name] != self._stamps.get(name):
                        self._follow(tables, folder, stamps[name], recorded)
                self._forget(tables, folders.keys())
            self._refs, self._stamps = refs, stamps

    def _looked_at(self) -> tuple[dict[str, Path], dict[str, str], tuple[int, ...]]:
        """Return the folders of runs, what changes when they do, and what changes when git does: in
        this order, since a run is in git before its folder goes."""
        folders = {folder.name: folder for folder in journal.folders(self.repo)}
        return folders, {name: _stamp(folder) for name, folder in folders.items()}, _refs(self.repo)

    # -- from git ----------------------------------------------------------------------------------

    def _follow_git(self, tables: Tables) -> set[str]:
        """Read what is new, remove what is gone, and return the ids of all runs that are
        recorded."""
        index = Index(self.repo)
        wanted = _chosen(index)
        asked = "SELECT run_uuid, tag, marks, folder FROM gitexp_run WHERE tag IS NOT NULL"
        known = {run: facts for run, *facts in tables.db.execute(asked)}
        for run in known.keys() - wanted.keys():
            if known[run][2] is None:
                tables.remove(run)
        fresh = [
            found
            for run, found in wanted.items()
            if known.get(run, ())[:2] != [found.tag, found.marks]
        ]
        self._read(tables, index, fresh)
        return {found.id for found in wanted.values() if found.id}

    def _read(self, tables: Tables, index: Index, fresh: list[Found]) -> None:
        if not fresh:
            return
        experiments = [(found, value, _paths(value)) for found, value in _experiments(index, fresh)]
        names = [name for *_, wanted in experiments for name in wanted.values()]
        with uris.lenient(self.repo) as repo:
            contents = repo.objects(names)
            for found, value, wanted in experiments:
                data = {kind: item.data for kind in wanted if (item := next(contents))}
                write_experiment(tables, found.run, value, data)
                # a partial clone may get the rest; many are not read again and again
                whole = len(data) == len(wanted) or len(fresh) > _MANY
                tables.db.execute(
                    'INSERT OR REPLACE INTO gitexp_run(run_uuid, folder, tag, "commit", marks)'
                    " VALUES (?, NULL, ?, ?, ?)",
                    [found.run, found.tag, found.commit, found.marks if whole else ""],
                )
        if not self._refs:  # the first look: SQLite then sorts by metrics in a moment
            tables.db.execute("PRAGMA analysis_limit = 400")
            tables.db.execute("ANALYZE")

    # -- from the runs that are going on -----------------------------------------------------------

    def _follow(self, tables: Tables, folder: Path, stamp: str, recorded: set[str]) -> None:
        facts = journal.all_facts(folder)
        if "snapshot" not in facts or facts.get("id") in recorded:
            return
        known = run_file.read(folder)
        run = _safe_id(known.get("run"), facts["id"])
        before = tables.db.execute(
            "SELECT rows, stamp FROM gitexp_run WHERE run_uuid = ? AND folder = ?",
            [run, folder.name],
        ).fetchone()
        if run != facts["id"] and tables.has_run(facts["id"]):
            tables.remove(facts["id"])  # seen before MLflow joined it
        if before is None or before[1] != stamp.partition(" ")[0]:
            self._follow_facts(tables, folder, run, facts, known)
        rows = before[0] if before else 0
        points, end = journal.points(folder, rows)
        tables.put_metrics(run, points)
        tables.db.execute(
            "INSERT INTO gitexp_run(run_uuid, folder, rows, stamp) VALUES (?, ?, ?, ?) ON"
            " CONFLICT(run_uuid) DO UPDATE SET folder = excluded.folder, rows = excluded.rows,"
            " stamp = excluded.stamp",
            [run, folder.name, end, stamp.partition(" ")[0]],
        )

    def _follow_facts(
        self, tables: Tables, folder: Path, run: str, facts: dict[str, Any], known: dict[str, Any]
    ) -> None:
        start = int(message.parse_time(facts["started"]).timestamp() * 1000)
        status = "RUNNING" if journal.is_alive(folder) else "KILLED"
        if facts.get("status") in STATUSES:
            status = convert.run_status(facts["status"])
        seconds = facts.get("duration")
        end = start + int(seconds * 1000) if seconds else _modified(folder)
        title = facts.get("name") or facts.get("title") or f"run {facts['id'][:8]}"
        command = facts.get("command")
        name = _text(known.get("name")) or title
        own = {
            convert.NOTE: facts.get("note") or None,
            "gitexp.parent": facts["snapshot"].get("commit"),
        }
        row = Row(
            run,
            name,
            _text(known.get("user")) or self.repo.author.partition(" <")[0],
            status,
            _moment(known.get("start"), start),
            _moment(known.get("end"), None if status == "RUNNING" else end),
            _stage(known),
            _text(known.get("experiment")) or facts.get("group") or convert.DEFAULT,
        )
        if not known:
            own |= {convert.NAME: name, convert.USER: row.user}
            own |= {convert.SOURCE: " ".join(command)} if command else {}
        given = known.get("given") or ()  # by the command line alone: MLflow may log them otherwise
        logged = _params(journal.logged_params(folder), known)
        texts = {key: text for key, text in logged.items() if key not in given}
        _put(tables, row, {**own, **_texts(known.get("tags"))}, texts, known)

    def _forget(self, tables: Tables, folders: Iterable[str]) -> None:
        """Let go of runs whose folder is gone and that no experiment took the place of: they were
        discarded."""
        rows = tables.db.execute(
            "SELECT run_uuid, folder, tag FROM gitexp_run WHERE folder IS NOT NULL"
        ).fetchall()
        for run, folder, tag in rows:
            if folder in folders:
                continue
            if tag is None:
                tables.remove(run)
            else:  # one that was taken up again, and then discarded: it is what it was
                tables.db.execute(
                    "UPDATE gitexp_run SET folder = NULL, marks = '' WHERE run_uuid = ?", [run]
                )
                self._refs = ()


def write_experiment(tables: Tables, run: str, value: Experiment, data: dict[str, bytes]) -> None:
    """Write an experiment as an MLflow run.

    Args:
        data: its ``metrics.csv``, its face, its ``params.yml`` and its commit, each empty where it
            has none or it is not needed.
    """
    known = read_json(data.get("face", b""))
    changes = [
        event["mlflow"]
        for event in value.extra.get("events", ())
        if isinstance(event.get("mlflow"), dict)
    ]
    given = value.extra.get("mlflow")
    body = message.body(data.get("commit", b"").decode("utf-8", "replace").partition("\n\n")[2])
    tags = convert.tags(value, body=body)
    if known:  # what MLflow said of it, and what nobody could know before its end
        git = convert.COMMIT, convert.BRANCH
        own = {key: tags[key] for key in tags if key in git or key.startswith(convert.OURS)}
        note = {convert.NOTE: tags.get(convert.NOTE)}
        tags = _texts({**note, **_texts(known.get("tags")), **own})
        if value.notes:
            tags[convert.NOTE] = "\n\n".join(value.notes)
    name, stage = _text(known.get("name")) or value.name, _stage(known)
    for change in changes:
        edited = change.get("tags")
        tags |= edited if isinstance(edited, dict) else {}
        name = _text(change.get("name")) or name
        stage = change["stage"] if change.get("stage") in (ACTIVE, DELETED) else stage
    start = int(value.started.timestamp() * 1000)
    end = _moment(known.get("end"), start + int((value.duration or 0) * 1000))
    group = (
        _text(known.get("experiment"))
        or _text(given.get("experiment") if isinstance(given, dict) else None)
        or value.group
        or convert.DEFAULT
    )
    if tables.has_run(run):
        tables.empty(run)
    flat = dict(value.params)
    if "params" in data:
        with suppress(GitexpError):
            flat = params.flatten(params.load(data["params"]))
    texts = _params(flat, known)
    for change in changes:  # as they were spelt, not what they stand for
        texts |= _texts(change.get("params"))
    row = Row(
        run,
        name,
        _text(known.get("user")) or value.author,
        convert.run_status(value.status),
        _moment(known.get("start"), start),
        end,
        stage,
        group,
    )
    _put(tables, row, {**tags, convert.NAME: name}, texts, known, *changes)
    latest = metrics.latest_of(data.get("metrics", b""))
    if latest is None:  # another form, or not in this clone
        latest = [MetricPoint(key, number, end, 0) for key, number in value.metrics.items()]
    tables.put_latest(run, latest)
    tables.put_metrics(run, late_values.points(value.extra.get("events", ())))


def _put(
    tables: Tables, row: Row, tags: dict[str, Any], texts: dict[str, str], *saying: dict[str, Any]
) -> None:
    """Write all of a run but its metrics; the last of ``saying`` that names datasets and models
    names all that there are. A tag that was removed is None."""
    at = tables.put_run(row)
    tables.put_tags(row.id, _texts(tags))
    tables.put_params(row.id, texts)
    linked = [item["tables"] for item in saying if isinstance(item.get("tables"), dict)]
    if linked:
        tables.put_linked(row.id, at, linked[-1])


def _chosen(index: Index) -> dict[str, Found]:
    """Return the experiment that stands for each run: one's own before others', and the latest
    where a run was taken up again."""
    best: dict[str, Found] = {}
    for name, mine, tag, commit, own, run, started, marks in index.rows(_COLUMNS, everybody=True):
        found = Found(
            _safe_id(run, _safe_id(own, commit[:32])),
            name,
            bool(mine),
            tag,
            commit,
            own if isinstance(own, str) else None,
            started,
            hashlib.sha256(f"{name} {marks}".encode()).hexdigest(),
        )
        other = best.get(found.run)
        if other is None or (found.mine, found.started, found.name) > (
            other.mine,
            other.started,
            other.name,
        ):
            best[found.run] = found
    return best


def _experiments(index: Index, fresh: list[Found]) -> list[tuple[Found, Experiment]]:
    by_name = {found.name: found for found in fresh}
    if len(fresh) > _MANY:
        values = index.select(everybody=True)
    else:
        marks = ", ".join("?" for _ in fresh)
        values = index.select(f"ref.name IN ({marks})", list(by_name), everybody=True)
    return [(by_name[value.name], value) for value in values if value.name in by_name]


def _paths(value: Experiment) -> dict[str, str]:
    """Return the objects of an experiment that are read.

    What MLflow logged has its description in its face, and the note of another is the body of its
    commit message.
    """
    cut = any(isinstance(item, str) and len(item) > 1000 for item in value.params.values())
    wanted = {
        "metrics": value.files.get("metrics"),
        "face": value.inside(uris.FACE) if "mlflow" in value.extra else None,
        "params": value.files.get("params") if cut else None,
    }
    found = {
        kind: f"{value.id}:{path}" for kind, path in wanted.items() if path and "\n" not in path
    }
    return found if "mlflow" in value.extra else {**found, "commit": value.id}


def _params(flat: dict[str, Any], known: dict[str, Any]) -> dict[str, str]:
    spelt = _texts(known.get("params"))
    return {
        key: spelt.get(key, convert.param_text(value))
        for key, value in params.flatten(flat).items()
    }


def _stamp(folder: Path) -> str:
    """Return what changes when something is logged: first, in one word, for all but metrics."""
    facts, size = [], 0
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name == "metrics.csv":
                size = entry.stat().st_size
            elif entry.name.endswith((".json", ".yml")) or entry.name == "face.lock":
                facts.append((entry.name, entry.stat().st_mtime_ns))
    with suppress(OSError):
        facts.append((uris.FACE, (folder / "artifacts" / uris.FACE).stat().st_mtime_ns))
    facts.append(("alive", journal.is_alive(folder)))
    return f"{hashlib.sha256(repr(sorted(facts)).encode()).hexdigest()} {size}"


def _refs(repo: Repo) -> tuple[int, ...]:
    """Return what changes when a tag, a note or a remote's ref does; empty where that cannot be
    told for sure."""
    stamps = []
    for name in ("packed-refs", "reftable/tables.list"):
        with suppress(OSError):
            stamps.append((repo.common_dir / name).stat().st_mtime_ns)
    for top in ("refs/tags", os.path.dirname(NOTES), "refs/gitexp/remotes"):
        for folder, below, _files in os.walk(repo.common_dir / top):
            below.sort()
            with suppress(OSError):
                stamps.append(os.stat(folder).st_mtime_ns)
    if not stamps or time.time_ns() - max(stamps) < _TICK:
        return ()
    return tuple(stamps)


def _safe_id(*candidates: Any) -> str:
    return next(item for item in candidates if isinstance(item, str) and _ID.fullmatch(item))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> dict[str, str]:
    """Return the texts of a mapping; everything else that somebody may have written there is passed
    over."""
    return (
        {key: text for key, text in value.items() if isinstance(text, str)}
        if isinstance(value, dict)
        else {}
    )


def _moment(said: Any, otherwise: Any) -> Any:
    """Return ms since the epoch that MLflow was told, where it is a number that a database
    holds."""
    return said if type(said) is int and abs(said) < 2**62 else otherwise


def _stage(known: dict[str, Any]) -> str:
    """Return whether a run was deleted in MLflow, as its face says."""
    return DELETED if known.get("stage") == DELETED else ACTIVE


def _modified(folder: Path) -> int | None:
    with suppress(OSError):
        return int((folder / "metrics.csv").stat().st_mtime * 1000)
    return None
