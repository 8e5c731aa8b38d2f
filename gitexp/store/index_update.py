"""What brings the tables of the index up to date with the refs: the one module that writes them.

A tag object never changes, so a row never goes stale; catching up adds what is new, drops what is
gone, and follows the notes. What others' gathering branches carry has no ref of its own here, and
becomes rows all the same.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from gitexp.formats import late_values, message, result_files
from gitexp.formats.experiment import last_judged
from gitexp.repo import Object, Repo
from gitexp.repo.files import read_text
from gitexp.store import clone, gathering, notes, ref_scan
from gitexp.store.ref_scan import REMOTES, TAGS

# all below: 0 follows /
_GATHERED = f"ref >= '{gathering.SEEN}' AND ref < '{gathering.SEEN[:-1]}0'"
_REFS = (  # those that git has here
    f"SELECT ref, id FROM ref JOIN tag USING (number) WHERE NOT ({_GATHERED}) UNION ALL SELECT ref,"
    " id FROM tip"
)
_FALSE = f"{TAGS}refs/"  # a tag that git filter-repo makes of a ref which is none
Progress = Callable[[int, int], None]


def catch_up(db: sqlite3.Connection, repo: Repo, progress: Progress | None) -> list[str]:
    """Bring all tables to what the refs and notes say now; return the names of tags that git has
    lost."""
    # at most 64 MB, where the keys of 100,000 experiments come in no order
    db.execute("PRAGMA cache_size = -64000")
    db.execute("BEGIN IMMEDIATE")
    try:
        seen, removed, added = _changes(db, repo)
        lost = _follow(db, repo, removed, added, progress)
        # what comes back is a ref as before, and only a look at all of them finds it
        db.execute("UPDATE state SET seen = ?", [b"" if lost else seen])
        db.execute("COMMIT")
        return lost
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _changes(db: sqlite3.Connection, repo: Repo) -> tuple[bytes, dict[str, str], dict[str, str]]:
    """Look at the refs again, now that nobody else writes, so that the cache only ever goes
    forward.

    Return what was seen, and the refs that were removed and that were added since the last update;
    one that moved is both.
    """
    before = db.execute("SELECT seen FROM state").fetchone()[0]
    seen = ref_scan.look(repo)
    lines = ref_scan.added(before, seen)
    if lines is None:
        now = _by_ref(ref_scan.ask(repo).splitlines())
        old = dict(db.execute(_REFS))
        # somebody writes just now, and the next reader looks again
        seen = seen if ref_scan.look(repo) == seen else b""
    else:
        now = _by_ref(lines)
        old = {
            ref: oid
            for one in now
            for ref, oid in db.execute(f"SELECT * FROM ({_REFS}) WHERE ref = ?", [one])
        }
    removed = {ref: oid for ref, oid in old.items() if now.get(ref) != oid}
    return seen, removed, {ref: oid for ref, oid in now.items() if old.get(ref) != oid}


def _by_ref(lines: Iterable[bytes]) -> dict[str, str]:
    """Return ``{ref: hash}`` for lines ``hash ref``, in the order of the refs; their bytes are
    anybody's."""
    pairs = (line.decode("utf-8", "replace").split(" ", 1) for line in lines)
    return dict(sorted((ref, oid) for oid, ref in pairs))


def _follow(
    db: sqlite3.Connection,
    repo: Repo,
    removed: Mapping[str, str],
    added: Mapping[str, str],
    progress: Progress | None,
) -> list[str]:
    """Bring all tables up to date with the refs that were removed and added; return the names of
    tags whose objects are gone or damaged, which have no row until they are back."""
    db.executemany("DELETE FROM ref WHERE ref = ?", [(ref,) for ref in removed])
    db.executemany("DELETE FROM tip WHERE ref = ?", [(ref,) for ref in removed])
    ours = {ref: tag for ref, tag in added.items() if ref.startswith((TAGS, REMOTES))}
    tags = [(tag, ref) for ref, tag in ours.items() if not ref.startswith(_FALSE)]
    tips = [(ref, oid) for ref, oid in added.items() if ref not in ours]
    db.executemany("INSERT INTO tip VALUES (?, ?)", tips)
    known = _known(db, (tag for tag, _ in tags))
    # exp-9 before exp-10: so they also lie, and are read, on disk
    in_time = sorted(tags, key=lambda item: (len(item[1]), item[1]))
    fresh = [tag for tag in dict(in_time) if tag not in known]
    lost = _read_tags(db, fresh, repo.objects(fresh), progress)
    names = [ref.removeprefix(TAGS) for tag, ref in tags if tag in lost]
    tags = [item for item in tags if item[0] not in lost]
    _name(db, repo, tags)
    before, now = (
        {ref: oid for ref, oid in refs.items() if ref.startswith(gathering.SEEN)}
        for refs in (removed, added)
    )
    doubled = removed or len(fresh) < len(tags)
    fresh += _gather(db, repo, before, now)
    if doubled or before or db.execute(f"SELECT 1 FROM tip WHERE {_GATHERED}").fetchone():
        _tell_apart(db, repo)
    if removed.keys() - added.keys() or any(ref.startswith((TAGS, REMOTES)) for ref in removed):
        db.execute("DELETE FROM tag WHERE number NOT IN (SELECT number FROM ref)")
    _read_notes(db, repo, notes.REF in {*removed, *added}, fresh)
    return names


def _known(db: sqlite3.Connection, tags: Iterable[str]) -> dict[str, int]:
    """Return ``{hash: number}`` of the tags that have a row; of many, those of others too."""
    tags = {*tags}
    if len(tags) > 500:
        return dict(db.execute("SELECT id, number FROM tag"))
    return dict(
        row for tag in tags for row in db.execute("SELECT id, number FROM tag WHERE id = ?", [tag])
    )


def _name(db: sqlite3.Connection, repo: Repo, tags: Sequence[tuple[str, str]]) -> None:
    """Add refs under the names that people see: ``exp-7``, ``origin/exp-7``, and ``bob/exp-7`` for
    ``origin/bob/exp-7``; a remote's one whose short name another tag has keeps its full name.

    One clone's branch can carry two experiments of one name, where jobs in CI share it: the later
    one gets its hash added.
    """
    row = "INSERT OR REPLACE INTO ref VALUES (?, ?, ?, ?, ?)"
    config = read_text(repo.common_dir / "config")
    # remotes are told from what follows by the first slash, but for those that have one themselves
    slashed = re.findall(r'(?m)^\s*\[remote "(.+/.+)"\]', config)
    numbers = _known(db, (tag for tag, _ in tags))
    ours: list[tuple[str, str, int, bool, str]] = []

    def is_another(column: str, value: str, number: int) -> bool:
        asked = f"SELECT 1 FROM ref WHERE {column} = ? AND number != ?"
        return db.execute(asked, [value, number]).fetchone() is not None

    for tag, ref in tags:
        number = numbers[tag]
        if ref.startswith(TAGS):
            ours.append((ref, ref.removeprefix(TAGS), number, True, ""))
            continue
        if ref.startswith(gathering.SEEN) and is_another("ref", ref, number):
            ref = f"{ref}-{tag[:7]}"
        full = ref.removeprefix(REMOTES).removeprefix(gathering.SEEN)
        of = [remote for remote in slashed if full.startswith(f"{remote}/")]
        remote = max(of, key=len, default=full.partition("/")[0])
        short = full[len(remote) + 1 :]
        name = short if "/" in short and not is_another("name", short, number) else full
        db.execute(row, [ref, name, number, False, remote])
    db.executemany(row, ours)


def _gather(
    db: sqlite3.Connection, repo: Repo, before: dict[str, str], now: dict[str, str]
) -> list[str]:
    """Follow the gathering branches: add what they gathered since, and return the tags that are
    new."""
    fresh: list[str] = []
    for branch in {*before, *now}:
        goes_on, carried = False, list[gathering.Carried]()
        if branch in now:
            goes_on, carried = gathering.read(repo, now[branch], before.get(branch))
        if not goes_on:
            # all below: 0 follows /
            db.execute("DELETE FROM ref WHERE ref > ? AND ref < ?", [f"{branch}/", f"{branch}0"])
            if branch in now and branch in before:
                carried = gathering.read(repo, now[branch])[1]
        known = _known(db, (item.tag for item in carried))
        new = {item.tag: item.data for item in carried if item.tag not in known}
        _read_tags(db, list(new), (Object(tag, "tag", data) for tag, data in new.items()))
        _name(db, repo, [(item.tag, f"{branch}/{item.name}") for item in carried])
        fresh += new
    return fresh


def _tell_apart(db: sqlite3.Connection, repo: Repo) -> None:
    """Settle which tags here are mine. ``git fetch`` takes others' tags along where their names are
    free, so one that another clone gathered is mine only where the same person made it; and it
    brings my own as OWNER/exp-7 beside exp-7, which stays the one."""
    query, values = theirs(repo)
    here = [TAGS, f"{TAGS[:-1]}0"]
    db.execute("UPDATE ref SET mine = 1 WHERE ref >= ? AND ref < ? AND NOT mine", here)
    db.execute(
        "UPDATE ref SET mine = 0 WHERE ref >= ? AND ref < ? AND name GLOB '*/*' AND EXISTS ("
        "SELECT 1 FROM ref AS other WHERE other.number = ref.number AND other.remote = ''"
        " AND substr(ref.name, -length(other.name) - 1) = '/' || other.name)",
        here,
    )
    if db.execute(f"{query} LIMIT 1", values).fetchone():
        email = repo.committer.rpartition(" <")[2][:-1]
        foreign = "SELECT 1 FROM tag WHERE tag.number = ref.number AND tag.email != ?"
        db.execute(
            f"UPDATE ref SET mine = 0 WHERE mine AND number IN ({query}) AND EXISTS ({foreign})",
            [*values, email],
        )


def theirs(repo: Repo) -> tuple[str, list[str]]:
    """Return the SQL query, and its values, for the numbers of the tags that other clones
    gathered."""
    known = clone.load(repo)
    owners = known.owners.items() if known else ()
    own = [f"{gathering.SEEN}{remote}/{given}/" for remote, (_, given) in owners]
    query = "SELECT number FROM ref WHERE ref >= ? AND ref < ?"
    query += " AND NOT (ref >= ? AND ref < ?)" * len(own)
    # all below: 0 follows /
    return query, [end for prefix in (gathering.SEEN, *own) for end in (prefix, f"{prefix[:-1]}0")]


def _read_tags(
    db: sqlite3.Connection,
    tags: Sequence[str],
    objects: Iterable[Object | None],
    progress: Progress | None = None,
) -> list[str]:
    """Add a row for each tag object, an empty one for what is not an experiment; return those that
    are not there."""
    known: set[tuple[str, ...]] = set()
    lost: list[str] = []

    def row(at: int, tag: str, item: Object | None) -> tuple[Any, ...]:
        if progress and (at % 200 == 0 or at == len(tags)):
            progress(at, len(tags))
        found = message.parse_tag(item.data) if item and item.kind == "tag" else None
        if item is None:
            lost.append(tag)
        if found is None:
            return tag, None, None, None, None, None, None, "[]", None
        summary, resumes = found.summary, found.summary.get("resumes")
        names = (*summary.get("params", ()), "\n", *summary.get("metrics", ()))
        if names not in known:  # those of one script have the same
            known.add(names)
            _note_names(db, summary)
        said = (found.commit, found.author, found.email, found.subject, found.line)
        labels = json.dumps(sorted({*summary["labels"]})) if "labels" in summary else "[]"
        resumes = resumes if isinstance(resumes, str) else None
        return tag, *said, summary["started"], labels, resumes

    insert = f"INSERT OR IGNORE INTO tag VALUES (NULL{', ?' * 9}, '[]', '[]', NULL, NULL)"
    db.executemany(insert, map(row, range(1, len(tags) + 1), tags, objects))
    db.executemany("DELETE FROM tag WHERE id = ?", [(tag,) for tag in lost])
    return lost


def _note_names(db: sqlite3.Connection, summary: Mapping[str, Any]) -> None:
    """Note which params and metrics there are."""
    names = [(family, name) for family in ("params", "metrics") for name in summary.get(family, ())]
    db.executemany("INSERT OR IGNORE INTO key VALUES (?, ?)", names)


def _read_notes(db: sqlite3.Connection, repo: Repo, changed: bool, fresh: Iterable[str]) -> None:
    """Bring labels and notes up to date for the commits whose note changed, and for those that are
    new here."""
    todo: dict[str, str] = {}
    if changed:
        old, new = dict(db.execute('SELECT "commit", blob FROM note')), notes.read(repo)
        todo = {
            commit: new.get(commit, repo.zero)
            for commit in {*old, *new}
            if old.get(commit) != new.get(commit)
        }
        db.executemany('DELETE FROM note WHERE "commit" = ?', [(commit,) for commit in todo])
        db.executemany(
            "INSERT INTO note VALUES (?, ?)",
            [(commit, new[commit]) for commit in todo if commit in new],
        )
    if db.execute("SELECT 1 FROM note").fetchone():
        noted = 'SELECT "commit", blob FROM tag JOIN note USING ("commit") WHERE tag.id = ?'
        todo.update(row for tag in fresh for row in db.execute(noted, [tag]))
    for commit, item in zip(todo, repo.objects(todo.values())):
        note = notes.parse(item.data if item else b"")
        for tag, summary, marks in db.execute(
            'SELECT id, summary, marks FROM tag WHERE "commit" = ?', [commit]
        ).fetchall():
            values = [note.labels(json.loads(summary).get("labels", [])), note.texts, note.events]
            verdict = last_judged(note.events).get("verdict")
            alias = notes.alias(note.events).get("alias") or None
            db.execute(
                "UPDATE tag SET labels = ?, notes = ?, marks = ?, verdict = ?, alias = ?"
                " WHERE id = ?",
                [*map(json.dumps, values), verdict, alias, tag],
            )
            if late_values.is_any(note.events) or late_values.is_any(json.loads(marks)):
                _add_late(db, repo, tag, note.events)
    if todo:
        _tell_aliases_apart(db)


def _tell_aliases_apart(db: sqlite3.Connection) -> None:
    """Of a second name that two experiments got, in two clones, leave the first as it is; each
    other one, and one that is some tag's name, gets a hash added."""
    claims = []
    rows = 'SELECT "commit", number, marks FROM tag WHERE alias IS NOT NULL'
    for commit, number, marks in db.execute(rows).fetchall():
        said = notes.alias(json.loads(marks))
        claims.append((str(said.get("at")), commit, number, said["alias"]))
    first: dict[str, str] = {}
    for _, commit, number, name in sorted(claims):
        taken = db.execute("SELECT 1 FROM ref WHERE name = ?", [name]).fetchone()
        free = not taken and first.setdefault(name, commit) == commit
        shown = name if free else f"{name}-{commit[:7]}"
        db.execute("UPDATE tag SET alias = ? WHERE number = ?", [shown, number])


def _add_late(
    db: sqlite3.Connection, repo: Repo, tag: str, events: Sequence[Mapping[str, Any]]
) -> None:
    """Bring an experiment's row to what its tag and the values that came late say together."""
    item = next(repo.objects([tag]))
    found = message.parse_tag(item.data) if item else None
    if found is None:
        return
    recorded, files = found.summary.get("metrics", {}), found.summary.get("files", {})
    read = partial(repo.read_file, found.commit)
    last = late_values.last(recorded, events, lambda: result_files.points_of(files, read))
    given = {**found.summary.get("params", {}), **late_values.params(events)}
    added = {"params": given, "metrics": last}
    known = {family: values for family, values in added.items() if values}
    line = message.summary_line({**found.summary, **known})
    _note_names(db, added)
    db.execute("UPDATE tag SET summary = ? WHERE id = ?", [line, tag])
