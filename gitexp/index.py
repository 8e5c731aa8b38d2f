"""The disposable cache: one SQLite row for each experiment, so that a warm ``list`` is one look at the refs and one query.

Git is the truth. A tag object never changes, so a row never goes stale; an update adds what is new, drops what is gone,
and follows the notes. What others' gathering branches carry has no ref of its own here, and becomes rows all the same. A
file that is missing, corrupt, of another schema or on a disk that cannot be written is built anew, at worst in memory. What
the last look at the refs saw lies in the file too (``listing.py``): where the next one sees the same, nothing is done;
where a few refs are new, they alone are read; and git is asked for all only where refs went or were packed meanwhile. So a
reading costs the same at a hundred experiments and at a hundred thousand. The summary has everything; beside it lie its
values as ``columns.py`` packs them.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

from gitexp import clone, gathering, late, listing, message, notes
from gitexp.columns import Packer, names_of, unpack
from gitexp.errors import RepositoryError
from gitexp.experiment import Experiment
from gitexp.listing import REMOTES, TAGS
from gitexp.repo import Object, Repo

VERSION = 4
_SCHEMA = f"""
    CREATE TABLE state(seen BLOB);
    INSERT INTO state VALUES (x'');
    CREATE TABLE tip(ref TEXT PRIMARY KEY, id TEXT) WITHOUT ROWID;
    CREATE TABLE note("commit" TEXT PRIMARY KEY, blob TEXT) WITHOUT ROWID;
    CREATE TABLE ref(ref TEXT PRIMARY KEY, name TEXT, tag TEXT, mine INTEGER, remote TEXT) WITHOUT ROWID;
    CREATE INDEX ref_tag ON ref(tag, remote, mine, name);
    CREATE INDEX ref_name ON ref(name);
    CREATE TABLE tag(id TEXT PRIMARY KEY, "commit" TEXT, author TEXT, email TEXT, subject TEXT, summary TEXT, started TEXT,
                     shape INTEGER, numbers BLOB, rest TEXT, labels TEXT, notes TEXT, marks TEXT);
    CREATE INDEX tag_started ON tag(started, id);
    CREATE INDEX tag_commit ON tag("commit");
    CREATE TABLE shape(number INTEGER PRIMARY KEY, text TEXT UNIQUE);
    CREATE TABLE key(kind TEXT, name TEXT, PRIMARY KEY(kind, name)) WITHOUT ROWID;
    PRAGMA user_version = {VERSION};
"""
_COLUMNS = 'ref.name, tag.id, tag."commit", tag.author, tag.email, tag.subject, tag.summary, tag.labels, tag.notes, tag.marks'
_GATHERED = f"ref >= '{gathering.SEEN}' AND ref < '{gathering.SEEN[:-1]}0'"  # all below: 0 follows /
_REFS = f"SELECT ref, tag AS id FROM ref WHERE NOT ({_GATHERED}) UNION ALL SELECT ref, id FROM tip"  # those that git has here
PATIENCE = 30.0  # seconds for another process to finish building
Progress = Callable[[int, int], None]
_T = TypeVar("_T")
_SPOILT = (ValueError, TypeError, LookupError, AttributeError, RecursionError)  # what decoding garbage can raise


class Index:
    """All experiments of a repository, up to date as of its making."""

    def __init__(self, repo: Repo, progress: Progress | None = None) -> None:
        self.repo = repo
        self._progress = progress
        self._db = self._opened(repo.state_dir / "index.sqlite")

    def _opened(self, path: Path) -> sqlite3.Connection:
        """Return the cache, brought up to date; where its file cannot be used, one in memory for this once."""
        if not path.exists() and listing.is_empty(self.repo, listing.look(self.repo)):
            return self._updated(None)
        for _ in range(2):
            try:
                self.repo.make_state_dir()
                return self._updated(path)
            except (sqlite3.Error, OSError, RepositoryError, ValueError, TypeError) as error:  # a spoilt file can say anything
                if "locked" in str(error):  # somebody is at work on it
                    break
                with suppress(OSError):
                    path.unlink()
        return self._updated(None)

    def _updated(self, path: Path | None) -> sqlite3.Connection:
        db = sqlite3.connect(":memory:" if path is None else path, timeout=PATIENCE, isolation_level=None)
        try:
            _prepare(db)
            _update(db, self.repo, self._progress)
        except BaseException:
            db.close()
            raise
        return db

    def select(
        self, where: str = "1", values: Sequence[Any] = (), order: str = "", limit: int | None = None, everybody: bool = False
    ) -> list[Experiment]:
        """Return the experiments for which the SQL expression ``where`` holds, newest first unless ``order`` says else.

        The expression sees the columns of ``tag`` and ``ref``; ``tag.summary`` is JSON.
        """
        wanted = (_COLUMNS, where, values, order, limit, everybody)
        return self._decoded(lambda rows: [self._experiment(row) for row in rows], *wanted)

    def rows(
        self, columns: str, where: str = "1", values: Sequence[Any] = (), order: str = "", limit: int | None = None, everybody: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the given columns (SQL) of the experiments that match."""
        mine = "" if everybody else "AND ref.mine"
        by = f"{order}, " if order else ""
        sql = (
            f"SELECT {columns} FROM tag CROSS JOIN ref ON ref.tag = tag.id WHERE tag.summary IS NOT NULL {mine} AND ({where})"
            f" ORDER BY {by}tag.started DESC, tag.id DESC LIMIT ?"
        )
        return iter(self._query(sql, [*values, -1 if limit is None else limit]))

    def named(self, name: str) -> Experiment | None:
        """Return the experiment that this clone calls ``name``."""
        known = name.encode("utf-8", "replace").decode()
        for where, values in (
            ("ref.ref = (SELECT ref FROM ref AS other WHERE other.name = ? ORDER BY ref DESC LIMIT 1)", [known]),  # refs/tags first
            ("ref.ref IN (?, ?)", [f"{REMOTES}{known}", f"{gathering.SEEN}{known}"]),
        ):
            found = self.select(where, values, everybody=True, limit=1)
            if found:
                return found[0]
        return None

    def names(self, everybody: bool = True) -> list[str]:
        """Return all names, newest experiment first."""
        return [row[0] for row in self.rows("ref.name", everybody=everybody)]

    def keys(self, kind: str) -> list[str]:
        """Return the names of all ``params`` or ``metrics`` that any experiment ever had, sorted."""
        return [row[0] for row in self._query("SELECT name FROM key WHERE kind = ? ORDER BY name", [kind])]

    def count(self, where: str = "1", values: Sequence[Any] = (), everybody: bool = False) -> int:
        """Return how many experiments match."""
        return int(next(self.rows("count(*)", where, values, everybody=everybody))[0])

    def columns(self, where: str, values: Sequence[Any], order: str = "", everybody: bool = False) -> dict[str, Any]:
        """Return the experiments that match as columns, lists or arrays of one length.

        These are name, id, author, subject, started (text), labels (tuples), and those of ``columns.unpack``.
        """
        wanted = 'ref.name, tag."commit", tag.author, tag.subject, tag.started, tag.labels, tag.shape, tag.numbers, tag.rest'

        def decode(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
            *found, labels, shapes, numbers, rest = zip(*rows) if rows else ((),) * 9
            sets = {text: tuple(json.loads(text)) for text in set(labels)}
            first = dict(zip(("name", "id", "author", "subject", "started"), found))
            known = dict(self._query("SELECT number, text FROM shape", []))
            return {**first, "labels": [sets[text] for text in labels], **unpack(shapes, numbers, rest, known)}

        return self._decoded(decode, wanted, where, values, order, None, everybody)

    def knows(self, remote: str) -> bool:
        """Whether anything that lies on a remote was ever seen."""
        return bool(self._query("SELECT 1 FROM ref WHERE remote = ? LIMIT 1", [remote]))

    def gathered_by_others(self) -> set[str]:
        """Return the tags that other clones' gathering branches carry, as far as they were pulled."""
        return {row[0] for row in self._query(*_theirs(self.repo))}

    def unpushed(self, remote: str) -> list[Experiment]:
        """Return my experiments that were never seen on a remote, oldest first, each once."""
        there = "SELECT 1 FROM ref AS there WHERE there.tag = ref.tag AND there.remote = ?"
        tags = [row[0] for row in self._query(f"SELECT tag FROM ref WHERE ref >= ? AND mine AND NOT EXISTS ({there})", [TAGS, remote])]
        found = self.select("tag.id IN (SELECT value FROM json_each(?))", [json.dumps(tags)]) if tags else []
        return list({item.tag: item for item in reversed(found)}.values())

    def _decoded(self, decode: Callable[[list[tuple[Any, ...]]], _T], *wanted: Any) -> _T:
        """Return what ``decode`` makes of rows; where they hold what no index would, that of rows which are made anew."""
        rows = list(self.rows(*wanted))
        try:
            return decode(rows)
        except _SPOILT:
            self._renew()
            return decode(list(self.rows(*wanted)))

    def _query(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:  # a page is spoilt, a table gone, or a cell that should be JSON is none
            self._renew(keep="locked" in str(error))
            return self._db.execute(sql, values).fetchall()

    def _renew(self, keep: bool = False) -> None:
        """Go on with an index in memory, made anew; drop the file, for the next reader to write another."""
        self._db.close()
        self._db = self._updated(None)
        with suppress(OSError):
            if not keep:
                (self.repo.state_dir / "index.sqlite").unlink()

    def _experiment(self, row: tuple[Any, ...]) -> Experiment:
        name, tag, commit, author, email, subject, summary, labels, texts, marks = row
        found = message.Tag(commit, name, author, email, subject, json.loads(summary), summary)
        value = message.experiment(name, tag, found, tuple(json.loads(labels)), tuple(json.loads(texts)), self.repo)
        events = json.loads(marks)
        return value if not events else _marked(value, events)


def is_damaged(path: Path) -> bool:
    """Whether an index file is no sound database."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return bool(db.execute("PRAGMA quick_check").fetchone()[0] != "ok")
    except sqlite3.Error:
        return True


def display_name(ref: str) -> str:
    """Return what people call the experiment at a ref: ``exp-7``, ``origin/exp-7``, and ``bob/exp-7`` for ``origin/bob/exp-7``."""
    if ref.startswith(TAGS):
        return ref.removeprefix(TAGS)
    remote, _, name = _full_name(ref).partition("/")
    return name if "/" in name else f"{remote}/{name}"


def _full_name(ref: str) -> str:
    return ref.removeprefix(REMOTES).removeprefix(gathering.SEEN)


def _marked(experiment: Experiment, events: list[dict[str, Any]]) -> Experiment:
    from dataclasses import replace

    return replace(experiment, extra={**experiment.extra, "events": events})


def _matches(pattern: str, value: Any) -> bool | None:
    return None if value is None else re.search(pattern, str(value), re.IGNORECASE) is not None


def _prepare(db: sqlite3.Connection) -> None:
    """Set the connection up, and make the tables anew where they are missing or of another version."""
    db.execute("PRAGMA page_size = 16384")  # of a new file: a row lies on one page, and reading all takes a sixth less
    db.execute("PRAGMA synchronous = OFF")  # a cache that a power cut spoils is built again
    db.execute("PRAGMA cache_size = -64000")  # at most 64 MB, where the keys of 100,000 experiments come in no order
    db.create_function("regexp", 2, _matches)  # what SQL's REGEXP calls
    if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
        db.execute("BEGIN EXCLUSIVE")
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:  # nobody made it meanwhile
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                db.execute(f'DROP TABLE "{table}"')
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
        db.execute("COMMIT")


def _update(db: sqlite3.Connection, repo: Repo, progress: Progress | None) -> None:
    if db.execute("SELECT seen FROM state").fetchone()[0] == listing.look(repo):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        seen, removed, added = _changes(db, repo)
        _follow(db, repo, removed, added, progress)
        db.execute("UPDATE state SET seen = ?", [seen])
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _changes(db: sqlite3.Connection, repo: Repo) -> tuple[bytes, dict[str, str], dict[str, str]]:
    """Look at the refs again, now that nobody else writes, so that the cache only ever goes forward.

    Return what was seen, and the refs that were removed and that were added since the last update; one that moved is both.
    """
    before = db.execute("SELECT seen FROM state").fetchone()[0]
    seen = listing.look(repo)
    lines = listing.added(before, seen)
    if lines is None:
        now = _by_ref(listing.ask(repo).splitlines())
        old = dict(db.execute(_REFS))
        seen = seen if listing.look(repo) == seen else b""  # somebody writes just now, and the next reader looks again
    else:
        now = _by_ref(lines)
        old = {ref: oid for one in now for ref, oid in db.execute(f"SELECT * FROM ({_REFS}) WHERE ref = ?", [one])}
    removed = {ref: oid for ref, oid in old.items() if now.get(ref) != oid}
    return seen, removed, {ref: oid for ref, oid in now.items() if old.get(ref) != oid}


def _by_ref(lines: Iterable[bytes]) -> dict[str, str]:
    """Return ``{ref: hash}`` for lines ``hash ref``, in the order of the refs; their bytes are anybody's."""
    pairs = (line.decode("utf-8", "replace").split(" ", 1) for line in lines)
    return dict(sorted((ref, oid) for oid, ref in pairs))


def _follow(db: sqlite3.Connection, repo: Repo, removed: Mapping[str, str], added: Mapping[str, str], progress: Progress | None) -> None:
    """Bring all tables up to date with the refs that were removed and added."""
    db.executemany("DELETE FROM ref WHERE ref = ?", [(ref,) for ref in removed])
    db.executemany("DELETE FROM tip WHERE ref = ?", [(ref,) for ref in removed])
    tags = [(tag, ref) for ref, tag in added.items() if ref.startswith((TAGS, REMOTES))]
    db.executemany("INSERT INTO tip VALUES (?, ?)", [item for item in added.items() if not item[0].startswith((TAGS, REMOTES))])
    known = _known(db, {tag for tag, _ in tags})
    in_time = sorted(tags, key=lambda item: (len(item[1]), item[1]))  # exp-9 before exp-10: so they also lie, and are read, on disk
    fresh = [tag for tag in dict(in_time) if tag not in known]
    _read_tags(db, fresh, repo.objects(fresh), progress)
    _name(db, tags)
    before, now = ({ref: oid for ref, oid in refs.items() if ref.startswith(gathering.SEEN)} for refs in (removed, added))
    fresh += _gather(db, repo, before, now)
    if before or db.execute(f"SELECT 1 FROM tip WHERE {_GATHERED}").fetchone():
        _tell_apart(db, repo)
    if removed.keys() - added.keys() or any(ref.startswith((TAGS, REMOTES)) for ref in removed):
        db.execute("DELETE FROM tag WHERE id NOT IN (SELECT tag FROM ref)")
    _read_notes(db, repo, notes.REF in {*removed, *added}, fresh)


def _known(db: sqlite3.Connection, tags: set[str]) -> set[str]:
    if len(tags) > 500:
        return tags & {row[0] for row in db.execute("SELECT id FROM tag")}
    return {tag for tag in tags if db.execute("SELECT 1 FROM tag WHERE id = ?", [tag]).fetchone()}


def _name(db: sqlite3.Connection, tags: Iterable[tuple[str, str]]) -> None:
    """Add refs under the names that people see; a remote's one whose short name another tag has keeps its full name.

    One clone's branch can carry two experiments of one name, where jobs in CI share it: the later one gets its hash added.
    """
    row = "INSERT OR REPLACE INTO ref VALUES (?, ?, ?, ?, ?)"
    ours: list[tuple[str, str, str, bool, str]] = []
    for tag, ref in tags:
        if ref.startswith(TAGS):
            ours.append((ref, display_name(ref), tag, True, ""))
            continue
        if ref.startswith(gathering.SEEN) and db.execute("SELECT 1 FROM ref WHERE ref = ? AND tag != ?", [ref, tag]).fetchone():
            ref = f"{ref}-{tag[:7]}"
        name, remote = display_name(ref), _full_name(ref).partition("/")[0]
        if db.execute("SELECT 1 FROM ref WHERE name = ? AND tag != ?", [name, tag]).fetchone():
            name = _full_name(ref)
        db.execute(row, [ref, name, tag, False, remote])
    db.executemany(row, ours)


def _gather(db: sqlite3.Connection, repo: Repo, before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Follow the gathering branches: add what they gathered since, and return the tags that are new."""
    fresh: list[str] = []
    for branch in {*before, *now}:
        goes_on, carried = gathering.read(repo, now[branch], before.get(branch)) if branch in now else (False, [])
        if not goes_on:
            db.execute("DELETE FROM ref WHERE ref > ? AND ref < ?", [f"{branch}/", f"{branch}0"])  # all below: 0 follows /
            carried = gathering.read(repo, now[branch])[1] if branch in now and branch in before else carried
        known = _known(db, {item.tag for item in carried})
        new = {item.tag: item.data for item in carried if item.tag not in known}
        _read_tags(db, list(new), (Object(tag, "tag", data) for tag, data in new.items()), None)
        _name(db, ((item.tag, f"{branch}/{item.name}") for item in carried))
        fresh += new
    return fresh


def _tell_apart(db: sqlite3.Connection, repo: Repo) -> None:
    """Settle which tags here are mine. ``git fetch`` takes others' tags along where their names are free, so one that another
    clone gathered is mine only where the same person made it."""
    theirs, values = _theirs(repo)
    db.execute("UPDATE ref SET mine = 1 WHERE ref >= ? AND ref < ? AND NOT mine", [TAGS, f"{TAGS[:-1]}0"])
    if db.execute(f"{theirs} LIMIT 1", values).fetchone():
        email = repo.committer.rpartition(" <")[2][:-1]
        foreign = "SELECT 1 FROM tag WHERE tag.id = ref.tag AND tag.email != ?"
        db.execute(f"UPDATE ref SET mine = 0 WHERE mine AND tag IN ({theirs}) AND EXISTS ({foreign})", [*values, email])


def _theirs(repo: Repo) -> tuple[str, list[str]]:
    """Return the SQL query, and its values, for the tags that other clones gathered."""
    known = clone.load(repo)
    own = [f"{gathering.SEEN}{remote}/{given}/" for remote, (_, given) in known.owners.items()] if known else []
    query = "SELECT tag FROM ref WHERE ref >= ? AND ref < ?" + " AND NOT (ref >= ? AND ref < ?)" * len(own)
    return query, [value for prefix in (gathering.SEEN, *own) for value in (prefix, f"{prefix[:-1]}0")]  # all below: 0 follows /


def _read_tags(db: sqlite3.Connection, tags: list[str], objects: Iterable[Object | None], progress: Progress | None) -> None:
    marks = ", ".join("?" * 11)
    db.executemany(f"INSERT OR IGNORE INTO tag VALUES ({marks}, '[]', '[]')", _rows(db, tags, objects, progress))


def _rows(
    db: sqlite3.Connection, tags: list[str], objects: Iterable[Object | None], progress: Progress | None
) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each tag object, an empty one for what is no experiment."""
    packer = Packer()
    shapes: dict[str, int] = {}
    for at, (tag, item) in enumerate(zip(tags, objects), 1):
        if progress and (at % 200 == 0 or at == len(tags)):
            progress(at, len(tags))
        found = message.parse_tag(item.data) if item and item.kind == "tag" else None
        if found is None:
            yield (tag, *[None] * 9, "[]")
            continue
        summary = found.summary
        shape, numbers, rest = packer.pack(summary)
        number = shapes.get(shape) or shapes.setdefault(shape, _number(db, shape))
        labels = json.dumps(sorted({*summary["labels"]})) if "labels" in summary else "[]"
        started = summary["started"]
        yield tag, found.commit, found.author, found.email, found.subject, found.line, started, number, numbers, rest, labels


def _number(db: sqlite3.Connection, shape: str) -> int:
    """Return a shape's number, and note the names that it uses."""
    db.execute("INSERT OR IGNORE INTO shape(text) VALUES (?)", [shape])
    keys = [(family, name) for family, found in names_of(shape).items() for name in found]
    db.executemany("INSERT OR IGNORE INTO key VALUES (?, ?)", keys)
    return int(db.execute("SELECT number FROM shape WHERE text = ?", [shape]).fetchone()[0])


def _read_notes(db: sqlite3.Connection, repo: Repo, changed: bool, fresh: Iterable[str]) -> None:
    """Bring labels and notes up to date for the commits whose note changed, and for those that are new here."""
    todo: dict[str, str] = {}
    if changed:
        old, new = dict(db.execute('SELECT "commit", blob FROM note')), notes.read(repo)
        todo = {commit: new.get(commit, repo.zero) for commit in {*old, *new} if old.get(commit) != new.get(commit)}
        db.executemany('DELETE FROM note WHERE "commit" = ?', [(commit,) for commit in todo])
        db.executemany("INSERT INTO note VALUES (?, ?)", [(commit, new[commit]) for commit in todo if commit in new])
    if db.execute("SELECT 1 FROM note").fetchone():
        noted = 'SELECT "commit", blob FROM tag JOIN note USING ("commit") WHERE tag.id = ?'
        todo.update(row for tag in fresh for row in db.execute(noted, [tag]))
    for commit, item in zip(todo, repo.objects(todo.values())):
        note = notes.parse(item.data if item else b"")
        for tag, summary, marks in db.execute('SELECT id, summary, marks FROM tag WHERE "commit" = ?', [commit]).fetchall():
            values = [note.labels(json.loads(summary).get("labels", [])), note.texts, note.events]
            db.execute("UPDATE tag SET labels = ?, notes = ?, marks = ? WHERE id = ?", [*map(json.dumps, values), tag])
            if late.is_any(note.events) or late.is_any(json.loads(marks)):
                _add_late(db, repo, tag, note.events)


def _add_late(db: sqlite3.Connection, repo: Repo, tag: str, events: Sequence[Mapping[str, Any]]) -> None:
    """Bring an experiment's row to what its tag and the values that came late say together."""
    item = next(repo.objects([tag]))
    found = message.parse_tag(item.data) if item else None
    if found is None:
        return
    recorded, files = found.summary.get("metrics", {}), found.summary.get("files", {})
    last = late.last(recorded, events, lambda: repo.read_points(found.commit, files))
    added = {"params": {**found.summary.get("params", {}), **late.params(events)}, "metrics": last}
    line = message.summary_line({**found.summary, **{family: values for family, values in added.items() if values}})
    shape, numbers, rest = Packer().pack(json.loads(line))
    db.execute("UPDATE tag SET summary = ?, shape = ?, numbers = ?, rest = ? WHERE id = ?", [line, _number(db, shape), numbers, rest, tag])
