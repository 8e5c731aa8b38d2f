"""Whether something was tried before: earlier experiments whose changes to the code, params or
reasons are alike.

An experiment is a set of features (features.py); what few have counts for more, as in any text
search. They lie in a cache beside the index, a few hundred small numbers for each experiment, and
are worked out once.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from gitexp.compare import features
from gitexp.compare.features import Features
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo
from gitexp.repo.process import chunks
from gitexp.store import result_paths
from gitexp.store.index import Index

if TYPE_CHECKING:
    import sqlite3

ALMOST = 0.9  # from here on two are almost equal
_VERSION = 2
_BATCH = 200  # experiments whose patches are read at once
_DIFF = ("-p", "-U0", "-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
_SCHEMA = f"""
    CREATE TABLE state(seen BLOB);
    INSERT INTO state VALUES (x'');
    CREATE TABLE doc(number INTEGER PRIMARY KEY, "commit" TEXT UNIQUE, norm REAL, code TEXT);
    CREATE TABLE posting(feature INTEGER, doc INTEGER, PRIMARY KEY(feature, doc)) WITHOUT ROWID;
    CREATE TABLE frequency(feature INTEGER PRIMARY KEY, count INTEGER);
    PRAGMA user_version = {_VERSION};
"""


class Match(NamedTuple):
    """An earlier experiment, and how like it is: 1 for an equal one."""

    experiment: Experiment
    likeness: float


def like(index: Index, experiment: Experiment, limit: int = 10) -> list[Match]:
    """Return the experiments that are most like one, itself left out."""
    with _opened(index) as cache:
        facts = features.of_experiment(experiment)
        wanted = [*_code_of(cache, experiment.id), *facts]
        return _ranked(index, cache, wanted, limit, without=experiment.id)


def like_tree(
    index: Index,
    tree: str,
    params: Mapping[str, Any],
    because: str | None = None,
    limit: int = 10,
    only: frozenset[str] | None = None,
) -> list[Match]:
    """Return the experiments that are most like a run of this tree on HEAD.

    Args:
        params: what is given for it, flat; the rest is as in the experiment that HEAD stands on.
        only: the commits of those that count.
    """
    with _opened(index) as cache:
        start, known = _base(index.repo, cache)
        origin = _by_commit(index, [start]).get(start) if known else None
        code: Features = []
        if start:
            own = result_paths.of_experiment(origin) if origin else ()
            code = features.of_patch(_patch(index.repo, start, tree, own))
        code = code or _code_of(cache, start)
        given = {**(origin.params if origin else {}), **params}
        wanted = [*code, *features.facts(given, because or "")]
        return _ranked(index, cache, wanted, limit, only=only)


def _base(repo: Repo, cache: sqlite3.Connection) -> tuple[str, bool]:
    """Return the nearest commit in HEAD's history that is an experiment, else HEAD's, and whether
    it is one."""
    head = (repo.found_at or repo.head()).commit or ""
    if _known(cache, [head]):
        return head, True
    history = repo.git("rev-list", "-n", "1000", "HEAD", ok=(0, 128)).decode().split()
    known = _known(cache, history)
    return next((commit for commit in history if commit in known), head), bool(known)


def _patch(repo: Repo, start: str, tree: str, own: Iterable[str]) -> str:
    listed = repo.entries("diff-tree", "-r", "-z", "--no-renames", "--name-only", start, tree)
    own = {*own}
    if any(path.endswith(".md") for path in listed):  # else none is made from experiments
        own.update(result_paths.texts(repo))
    code = [
        path for path in listed if not (result_paths.holds(own, path) or result_paths.is_own(path))
    ]
    lots = (result_paths.code_pathspec((), lot) for lot in chunks(code))
    patch = b"".join(repo.git("diff-tree", *_DIFF, start, tree, "--", *lot) for lot in lots)
    return patch.decode("utf-8", "replace")


def discarded_like(
    index: Index, tree: str, params: Mapping[str, Any], because: str | None
) -> Match | None:
    """Return the discarded experiment that a run of this tree is almost equal to, None where there
    is none."""
    commits = [row[0] for row in index.rows('tag."commit"', "tag.verdict = 'discarded'")]
    if not commits:
        return None
    for match in like_tree(index, tree, params, because, 3, frozenset(commits)):
        before = match.experiment.params
        same = all(_near(before.get(name), value) for name, value in params.items())
        if same and match.likeness >= ALMOST:
            return match
    return None


# -- the cache -------------------------------------------------------------------------------------


@contextmanager
def _opened(index: Index) -> Iterator[sqlite3.Connection]:
    """Yield the cache, up to date with the index; one that is spoilt or cannot be written is made
    anew, at worst in memory."""
    import sqlite3

    path = index.repo.make_state_dir() / "tried.sqlite"
    for place in (path, path, ":memory:"):
        cache = sqlite3.connect(place, timeout=30, isolation_level=None)
        try:
            _catch_up(cache, index)
            break
        except sqlite3.Error:
            cache.close()
            with suppress(OSError):
                path.unlink()
    try:
        yield cache
    finally:
        cache.close()


def _code_of(cache: sqlite3.Connection, commit: str | None) -> Features:
    """Return what an experiment changed in the code, nothing where it is unknown."""
    row = cache.execute('SELECT code FROM doc WHERE "commit" = ?', [commit]).fetchone()
    return json.loads(row[0]) if row else []


def _known(cache: sqlite3.Connection, commits: Iterable[str]) -> set[str]:
    """Return those of the commits that are in the cache."""
    found = 'SELECT "commit" FROM doc WHERE "commit" IN (SELECT value FROM json_each(?))'
    return {row[0] for row in cache.execute(found, [json.dumps([*commits])])}


def _catch_up(cache: sqlite3.Connection, index: Index) -> None:
    """Add the experiments that are new."""
    cache.execute("PRAGMA synchronous = OFF")
    if cache.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        cache.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} COMMIT;")
    # nothing was seen for certain while the refs are younger than the clock's tick
    if index.seen and cache.execute("SELECT seen FROM state").fetchone()[0] == index.seen:
        return
    there = {row[0] for row in index.rows('tag."commit"', everybody=True)}
    if there - _known(cache, there):
        _add_new(cache, index)
    cache.execute("UPDATE state SET seen = ?", [index.seen])


def _add_new(cache: sqlite3.Connection, index: Index) -> None:
    from gitexp.compare import lineage

    cache.execute("BEGIN IMMEDIATE")
    everybody = list({item.id: item for item in index.select(everybody=True)}.values())
    origins = lineage.origins(index.repo, everybody)
    known = _known(cache, origins)
    # an experiment after the one that it came from
    fresh = sorted((item for item in everybody if item.id not in known), key=lambda x: x.started)
    added: dict[int, set[int]] = {}
    for at in range(0, len(fresh), _BATCH):
        batch = fresh[at : at + _BATCH]
        pairs = [(item, origin.id if (origin := origins[item.id]) else item.parent)
                 for item in batch]  # fmt: skip
        patches = _patches(index.repo, pairs, everybody)
        for item, base in pairs:
            added |= _add(cache, item, features.of_patch(patches.get(item.id, "")), base)
    if added:
        _weigh(cache, added)
    cache.execute("COMMIT")


def _patches(
    repo: Repo, pairs: Sequence[tuple[Experiment, str | None]], everybody: Iterable[Experiment]
) -> dict[str, str]:
    """Return for the commit of each experiment what it changed; those that are not here have
    none."""
    from gitexp.compare import lineage

    own = {path for item in everybody for path in result_paths.of_experiment(item)}
    own.update(result_paths.texts(repo))
    wanted = [(item.id, base) for item, base in pairs if base]
    kinds = repo.kinds(oid for pair in wanted for oid in pair)
    here = {pair[0]: pair[1] for pair in wanted if {kinds[oid] for oid in pair} == {"commit"}}
    code = {path for paths in lineage.changed(repo, here, own).values() for path in paths}
    lines = "".join(f"{commit} {base}\n" for commit, base in here.items()).encode()
    found = dict.fromkeys(here, "")
    for lot in chunks(sorted(code)):
        paths = result_paths.code_pathspec((), lot)
        printed = repo.git("diff-tree", "--stdin", *_DIFF, "--", *paths, stdin=lines).decode(
            "utf-8", "replace"
        )
        pieces = re.split(r"^([0-9a-f]{40,64})$", printed, flags=re.MULTILINE)
        for commit, patch in zip(pieces[1::2], pieces[2::2]):
            found[commit] += patch
    return found


def _add(
    cache: sqlite3.Connection, item: Experiment, code: Features, base: str | None
) -> dict[int, set[int]]:
    """Add one experiment, and return its features by its number; where it changed no code, that of
    the one it came from counts."""
    code = code or _code_of(cache, base)
    found = {*code, *features.of_experiment(item)}
    number = cache.execute(
        'INSERT INTO doc("commit", norm, code) VALUES (?, 0, ?)', [item.id, json.dumps(code)]
    ).lastrowid
    cache.executemany("INSERT INTO posting VALUES (?, ?)", [(key, number) for key in found])
    cache.executemany(
        "INSERT INTO frequency VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
        [(key,) for key in found],
    )
    assert number is not None
    return {number: found}


def _weigh(cache: sqlite3.Connection, fresh: Mapping[int, Iterable[int]]) -> None:
    """Work out how much there is of each new experiment; where many are new of all, since how rare
    it is what they have has changed."""
    total = _total(cache)
    cache.create_function("weight", 2, lambda key, count: features.weight(key, total, count))
    if 10 * len(fresh) > total:
        rows = cache.execute(
            "SELECT total(weight(feature, count)), doc FROM posting JOIN frequency USING (feature)"
            " WHERE feature > 0 GROUP BY doc"
        ).fetchall()
    else:
        one = "SELECT weight(feature, count) FROM frequency WHERE feature = ?"
        rows = [
            (sum(cache.execute(one, [key]).fetchone()[0] for key in keys if key > 0), number)
            for number, keys in fresh.items()
        ]
    cache.executemany("UPDATE doc SET norm = ? WHERE number = ?", rows)


def _total(cache: sqlite3.Connection) -> int:
    return int(cache.execute("SELECT count(*) FROM doc").fetchone()[0])


def _ranked(
    index: Index,
    cache: sqlite3.Connection,
    wanted: Features,
    limit: int,
    without: str | None = None,
    only: frozenset[str] | None = None,
) -> list[Match]:
    """Return the experiments that share most of the features that are wanted, by what those are
    worth."""
    total = _total(cache)
    asked = "SELECT feature, count FROM frequency WHERE feature IN (SELECT value FROM json_each(?))"
    counts = dict(cache.execute(asked, [json.dumps(wanted)]))
    worth = {key: features.weight(key, total, counts.get(key, 1)) for key in wanted}
    mine = sum(value for key, value in worth.items() if key > 0) or sum(worth.values())
    if not mine:
        return []
    allowed = "" if only is None else 'AND "commit" IN (SELECT value FROM json_each(:only))'
    rows = cache.execute(
        'SELECT "commit", shared * shared / (:mine * ifnull(nullif(norm, 0), :mine)) AS likeness'
        " FROM doc JOIN (SELECT doc, sum(value) AS shared FROM json_each(:worth) CROSS JOIN posting"
        " ON feature = CAST(key AS INTEGER) GROUP BY doc) ON doc = number"
        f' WHERE "commit" IS NOT :without {allowed}'
        ' ORDER BY min(likeness, 1) DESC, "commit" DESC LIMIT :most',
        {"mine": mine, "worth": json.dumps(worth), "without": without,
         "only": json.dumps([*(only or ())]), "most": 2 * limit},  # of some the tag may be gone
    ).fetchall()  # fmt: skip
    found = _by_commit(index, [commit for commit, _ in rows])
    return [Match(found[commit], min(1.0, math.sqrt(likeness)))
            for commit, likeness in rows if commit in found][:limit]  # fmt: skip


def _by_commit(index: Index, commits: Sequence[str]) -> dict[str, Experiment]:
    """Return ``{commit: experiment}``, without the commits that are none."""
    where = 'tag."commit" IN (SELECT value FROM json_each(?))'
    found = index.select(where, [json.dumps(commits)], "ref.mine, ref.ref DESC", everybody=True)
    return {item.id: item for item in found}


def _near(a: Any, b: Any) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        with suppress(OverflowError):  # of whole numbers that are larger than any float
            return bool(a == b or 10 * abs(a - b) <= max(abs(a), abs(b)))
    return bool(a == b)
