"""The database follows git and the runs that are going on, so that MLflow sees every experiment,
whoever recorded it.

What git says is found by the tag objects, which never change: new ones are read, in bulk and with
one git process, those that are gone are removed, and where notes were added the run is read again.
Runs that are going on are followed by their journals: only the rows that were added are read. Where
nothing changed, a few looks at the file system say so.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.formats import late_values, message, params, result_files
from gitexp.formats import mlflow_words as convert
from gitexp.formats.errors import GitexpError
from gitexp.formats.experiment import STATUSES, MetricPoint
from gitexp.integrations.mlflow import contents, database, run_file, uris
from gitexp.integrations.mlflow.contents import Contents, texts
from gitexp.integrations.mlflow.tables import ACTIVE, Row, Tables
from gitexp.repo import Repo, files
from gitexp.runs import journal
from gitexp.store import ref_scan
from gitexp.store.index import Index

_ID = re.compile(r"[0-9A-Za-z_-]{1,32}")
_COLUMNS = (
    "ref.name, tag.id, tag.\"commit\", json_extract(tag.summary, '$.id'),"
    " json_extract(tag.summary, '$.mlflow.run'), tag.labels || tag.notes || tag.marks"
)
_MANY = 400  # experiments


class Found(NamedTuple):
    """An experiment that stands for an MLflow run; ``id`` is what gitexp calls that run."""

    run: str
    name: str
    tag: str
    commit: str
    id: Any
    marks: str


class Follower:
    """Brings one repository's database up to date."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        self.path = database.prepare(repo)
        self._root = uris.root_uri(repo)
        self._lock = threading.Lock()
        self._refs = b""
        self._stamps: dict[str, str] = {}

    def catch_up(self) -> None:
        """Bring the database up to date with git, and with the runs that are going on."""
        with self._lock:
            _, stamps, refs = self._looked_at()
            if refs == self._refs and stamps == self._stamps:
                return
            with database.writing(self.path) as db:
                # Only now, when nobody else can add to the database: a run in it that is not on the
                # list has ended.
                folders, stamps, refs = self._looked_at()
                tables = Tables(db, self._root)
                gone = self._gone(tables, folders)
                recorded = self._follow_git(tables) if gone or refs != self._refs else set()
                for name, folder in folders.items():
                    if stamps[name] != self._stamps.get(name):
                        self._follow(tables, folder, stamps[name], recorded)
                self._forget(tables, gone)
            self._refs, self._stamps = refs, stamps

    def _looked_at(self) -> tuple[dict[str, Path], dict[str, str], bytes]:
        """Return the folders of runs, what changes when they do, and what changes when git does: in
        this order, since a run is in git before its folder goes."""
        folders = {folder.name: folder for folder in journal.folders(self.repo)}
        stamps = {name: _stamp(folder) for name, folder in folders.items()}
        return folders, stamps, ref_scan.look(self.repo)

    def _gone(self, tables: Tables, folders: Iterable[str]) -> list[list[str]]:
        """Return ``[folder]`` of each run whose folder is gone. One that was recorded, and taken up
        again, is read from git again: it was recorded once more, or is what it was."""
        rows = tables.db.execute("SELECT folder FROM gitexp_run WHERE folder IS NOT NULL")
        gone = [[folder] for (folder,) in rows.fetchall() if folder not in folders]
        tables.db.executemany(
            "UPDATE gitexp_run SET folder = NULL, marks = '' WHERE folder = ? AND tag IS NOT NULL",
            gone,
        )
        return gone

    def _forget(self, tables: Tables, gone: Iterable[list[str]]) -> None:
        """Remove runs whose folder is gone and that no experiment took the place of: they were
        discarded."""
        for folder in gone:
            left = "SELECT run_uuid FROM gitexp_run WHERE folder = ? AND tag IS NULL"
            for (run,) in tables.db.execute(left, folder).fetchall():
                tables.remove(run)

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
        fresh = {
            found.name: found
            for run, found in wanted.items()
            if known.get(run, ())[:2] != [found.tag, found.marks]
        }
        if fresh:
            self._read(tables, index, fresh)
        return {found.id for found in wanted.values()}

    def _read(self, tables: Tables, index: Index, fresh: dict[str, Found]) -> None:
        named = "ref.name IN (SELECT value FROM json_each(?))"
        experiments = index.select(named, [json.dumps([*fresh])], everybody=True)
        wanted = [contents.paths(item) for item in experiments]
        with uris.lenient(self.repo) as repo:
            for read in contents.read(repo, experiments, wanted):
                found = fresh[read.experiment.name]
                write_experiment(tables, found.run, read)
                # a partial clone may get the rest; many are not read again and again
                marks = found.marks if read.is_whole or len(fresh) > _MANY else ""
                tables.db.execute(
                    'INSERT OR REPLACE INTO gitexp_run(run_uuid, folder, tag, "commit", marks)'
                    " VALUES (?, NULL, ?, ?, ?)",
                    [found.run, found.tag, found.commit, marks],
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
        modified = files.modified(folder / "metrics.csv") // 10**6 or None
        end = start + int(seconds * 1000) if seconds else modified
        end = None if status == "RUNNING" else end
        title = facts.get("name") or facts.get("title") or f"run {facts['id'][:8]}"
        user, group = self.repo.author.partition(" <")[0], facts.get("group") or convert.DEFAULT
        row = Row(run, title, user, status, start, end, ACTIVE, group).told(known)
        own = {
            convert.NOTE: facts.get("note") or None,
            "gitexp.parent": facts["snapshot"].get("commit"),
        }
        if not known:
            command = " ".join(facts.get("command") or ()) or None
            own |= {convert.NAME: row.name, convert.USER: row.user, convert.SOURCE: command}
        given = known.get("given") or ()  # by the command line alone: MLflow may log them otherwise
        spelt = texts(known.get("params"))
        logged = params.flatten(journal.logged_params(folder))
        said = {
            name: spelt.get(name, convert.param_text(value))
            for name, value in logged.items()
            if name not in given
        }
        _put(tables, row, {**own, **texts(known.get("tags"))}, said, known)


def write_experiment(tables: Tables, run: str, found: Contents) -> None:
    """Write an experiment as an MLflow run."""
    value, known, edits = found.experiment, found.run_facts, found.edits
    start = int(value.started.timestamp() * 1000)
    end = start + int((value.duration or 0) * 1000)
    status = convert.run_status(value.status)
    group = value.group or convert.DEFAULT
    row = Row(run, value.name, value.author, status, start, end, ACTIVE, group)
    row = functools.reduce(Row.told, (value.extra.get("mlflow"), known, *edits), row)
    tags = convert.tags(value, body=found.body)
    if known:  # what MLflow said of it, and what nobody could know before its end
        git = convert.COMMIT, convert.BRANCH
        own = {key: tags[key] for key in tags if key in git or key.startswith(convert.OURS)}
        note = {convert.NOTE: tags.get(convert.NOTE)}
        tags = texts({**note, **texts(known.get("tags")), **own})
        if value.notes:
            tags[convert.NOTE] = "\n\n".join(value.notes)
    for edit in edits:
        edited = edit.get("tags")
        tags |= edited if isinstance(edited, dict) else {}
    flat = value.params
    with suppress(GitexpError):
        flat = found.params()
    if tables.has_run(run):
        tables.empty(run)
    _put(tables, row, {**tags, convert.NAME: row.name}, found.spelt(flat), known, *edits)
    paths = result_files.paths(value.files)
    latest = convert.latest_of(found.files.get(paths[0], b"")) if len(paths) == 1 else None
    if latest is None:  # another form, or not in this clone
        latest = [
            MetricPoint(key, number, row.end or end, 0) for key, number in value.metrics.items()
        ]
    tables.put_latest(run, latest)
    tables.put_metrics(run, late_values.points(value.extra.get("events", ())))


def _put(
    tables: Tables, row: Row, tags: dict[str, Any], spelt: dict[str, str], *saying: dict[str, Any]
) -> None:
    """Write all of a run but its metrics; the last of ``saying`` that names datasets and models
    names all that there are. A tag that was removed is None."""
    at = tables.put_run(row)
    tables.put_texts(row.id, texts(tags), spelt)
    linked = [item["tables"] for item in saying if isinstance(item.get("tables"), dict)]
    if linked:
        tables.put_linked(row.id, at, linked[-1])


def _chosen(index: Index) -> dict[str, Found]:
    """Return the experiment that stands for each run: one's own before others', and the latest
    where a run was taken up again."""
    found: dict[str, Found] = {}
    last_is_best = "ref.mine, tag.started, ref.name"
    for name, tag, commit, own, run, said in index.rows(
        _COLUMNS, order=last_is_best, everybody=True
    ):
        marks = hashlib.sha256(f"{name} {said}".encode()).hexdigest()
        run = _safe_id(run, own, commit[:32])
        found[run] = Found(run, name, tag, commit, own, marks)
    return found


def _stamp(folder: Path) -> str:
    """Return what changes when something is logged: first, in one word, for all but metrics."""
    facts, size = [], 0
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name == "metrics.csv":
                size = entry.stat().st_size
            elif entry.name.endswith((".json", ".yml")) or entry.name == run_file.LOCK:
                facts.append((entry.name, entry.stat().st_mtime_ns))
    with suppress(OSError):
        facts.append((uris.RUN_FACTS, (folder / "artifacts" / uris.RUN_FACTS).stat().st_mtime_ns))
    facts.append(("alive", journal.is_alive(folder)))
    return f"{hashlib.sha256(repr(sorted(facts)).encode()).hexdigest()} {size}"


def _safe_id(*candidates: Any) -> str:
    return next(item for item in candidates if isinstance(item, str) and _ID.fullmatch(item))
