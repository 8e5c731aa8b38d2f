"""The disposable cache: one SQLite row for each experiment, so that a warm ``list`` is one look at
the refs and one query.

Git is the truth. A file that is missing, corrupt, of another schema or on a disk that cannot be
written is built anew, at worst in memory. What the last look at the refs saw lies in it too
(``ref_scan.py``): where the next one sees the same, nothing is done, and else only what is new is
read (``index_update.py``). Tables are made of blocks of columns (``blocks.py``).
"""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gitexp.formats import message
from gitexp.formats.errors import RepositoryError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo
from gitexp.store import index_schema, ref_scan
from gitexp.store.ref_scan import GATHERED, REMOTES, TAGS

if TYPE_CHECKING:
    from gitexp.store.index_update import Progress

_COLUMNS = (
    'ref.name, tag.id, tag."commit", tag.author, tag.email, tag.subject, tag.summary, tag.labels,'
    " tag.notes, tag.marks, tag.alias"
)
FILE = "index.sqlite"  # below .git/gitexp
PATIENCE = 30.0  # seconds for another process to finish building
_T = TypeVar("_T")
# what reading garbage can raise: a page is spoilt, a table gone, or a cell is not what it should be
_SPOILT = (
    sqlite3.DatabaseError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)


class Index:
    """All experiments of a repository, up to date as of its making.

    Attributes:
        lost: the names of tags whose objects are gone or damaged.
    """

    def __init__(self, repo: Repo, progress: Progress | None = None) -> None:
        self.repo = repo
        self.lost: list[str] = []
        self._progress = progress
        self._db = self._opened(repo.state_dir / FILE)

    def _opened(self, path: Path) -> sqlite3.Connection:
        """Return the cache, brought up to date; where its file cannot be used, one in memory for
        this once."""
        if not path.exists() and ref_scan.is_empty(self.repo, ref_scan.look(self.repo)):
            return self._updated(None)
        for _ in range(2):
            try:
                self.repo.make_state_dir()
                return self._updated(path)
            # a spoilt file can say anything
            except (sqlite3.Error, OSError, RepositoryError, ValueError, TypeError) as error:
                if "locked" in str(error):  # somebody is at work on it
                    break
                with suppress(OSError):
                    path.unlink()
        return self._updated(None)

    def _updated(self, path: Path | None) -> sqlite3.Connection:
        db = sqlite3.connect(
            ":memory:" if path is None else path, timeout=PATIENCE, isolation_level=None
        )
        try:
            index_schema.prepare(db)
            if db.execute("SELECT seen FROM state").fetchone()[0] != ref_scan.look(self.repo):
                from gitexp.store import index_update

                self.lost = index_update.catch_up(db, self.repo, self._progress)
                self.repo.share()
        except BaseException:
            db.close()
            raise
        return db

    def select(
        self,
        where: str = "1",
        values: Sequence[Any] = (),
        order: str = "",
        limit: int | None = None,
        everybody: bool = False,
    ) -> list[Experiment]:
        """Return the experiments for which the SQL expression ``where`` holds, newest first unless
        ``order`` says else.

        The expression sees the columns of ``tag`` and ``ref``; ``tag.summary`` is JSON.
        """
        wanted = _query(_COLUMNS, where, values, order, limit, everybody)
        return self._read(lambda db: [_experiment(self.repo, row) for row in db.execute(*wanted)])

    def rows(
        self,
        columns: str,
        where: str = "1",
        values: Sequence[Any] = (),
        order: str = "",
        everybody: bool = False,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the given columns (SQL) of the experiments that match."""
        return iter(self._rows(*_query(columns, where, values, order, None, everybody)))

    def columns(
        self,
        facts: Collection[str],
        where: str = "1",
        values: Sequence[Any] = (),
        order: str = "",
        limit: int | None = None,
        everybody: bool = False,
    ) -> dict[str, Sequence[Any]]:
        """Return the experiments that match as columns of one length: ``name``, and those of
        ``columns.unpack``."""
        from gitexp.store import blocks

        wanted = _query(
            "tag.number AS number, ref.name AS name", where, values, order, limit, everybody
        )
        make = functools.partial(_experiment, self.repo)
        return self._read(lambda db: blocks.read(db, *wanted, facts, make))

    @property
    def seen(self) -> bytes:
        """What the refs were when it was brought up to date, as ``ref_scan.look`` has it."""
        return bytes(self._rows("SELECT seen FROM state")[0][0])

    def named(self, name: str) -> Experiment | None:
        """Return the experiment that this clone calls ``name``, by its first or second name."""
        known = name.encode("utf-8", "replace").decode()
        # a tag here first, and for OWNER/exp-7 of mine exp-7
        one = "tag.number = (SELECT number FROM ref AS other WHERE other.name = ?"
        for where, values in (
            (f"{one} AND other.remote = '') AND ref.remote = ''", [known]),
            (f"{one} ORDER BY ref DESC LIMIT 1) AND ref.name = ?", [known, known]),
            ("tag.alias = ?", [known]),
            ("ref.ref IN (?, ?)", [f"{REMOTES}{known}", f"{GATHERED}{known}"]),
        ):
            found = self.select(where, values, "ref.mine DESC", everybody=True, limit=1)
            if found:
                return found[0]
        return None

    def at(self, commit: str) -> Experiment | None:
        """Return the experiment that a commit is, by my own name for it if I have one."""
        found = self.select('tag."commit" = ?', [commit], "ref.mine DESC", 1, everybody=True)
        return found[0] if found else None

    def names(self) -> list[str]:
        """Return all names, newest experiment first."""
        return [row[0] for row in self.rows("ref.name", everybody=True)]

    def keys(self, kind: str) -> list[str]:
        """Return the names of all ``params`` or ``metrics`` that any experiment ever had,
        sorted."""
        asked = "SELECT name FROM key WHERE kind = ? ORDER BY name"
        return [row[0] for row in self._rows(asked, [kind])]

    def count(self, where: str = "1", values: Sequence[Any] = (), everybody: bool = False) -> int:
        """Return how many experiments match."""
        return int(next(self.rows("count(*)", where, values, everybody=everybody))[0])

    def knows(self, remote: str) -> bool:
        """Whether anything that lies on a remote was ever seen."""
        return bool(self._rows("SELECT 1 FROM ref WHERE remote = ? LIMIT 1", [remote]))

    def gathered_by_others(self) -> set[str]:
        """Return the tags that other clones' gathering branches carry, as far as they were
        pulled."""
        from gitexp.store import index_update

        query, values = index_update.theirs(self.repo)
        found = self._rows(f"SELECT id FROM tag WHERE number IN ({query})", values)
        return {row[0] for row in found}

    def unpushed(self, remote: str) -> list[Experiment]:
        """Return my experiments that were never seen on a remote, oldest first, each once."""
        there = "SELECT 1 FROM ref AS there WHERE there.number = ref.number AND there.remote = ?"
        lacking = f"SELECT number FROM ref WHERE ref >= ? AND mine AND NOT EXISTS ({there})"
        mine = [row[0] for row in self._rows(lacking, [TAGS, remote])]
        of_them = "tag.number IN (SELECT value FROM json_each(?))"
        found = self.select(of_them, [json.dumps(mine)]) if mine else []
        return list({item.tag: item for item in reversed(found)}.values())

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._read(lambda db: db.execute(sql, values).fetchall())

    def _read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what ``read`` finds; where the tables hold what no index would, what it finds in
        ones that are made anew, in memory. The file goes, for the next reader to write another."""
        try:
            return read(self._db)
        except _SPOILT as error:
            self._db.close()
            self._db = self._updated(None)
            if "locked" not in str(error):
                with suppress(OSError):
                    (self.repo.state_dir / FILE).unlink()
            return read(self._db)


def is_damaged(path: Path) -> bool:
    """Whether an index file is no sound database."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return bool(db.execute("PRAGMA quick_check").fetchone()[0] != "ok")
    except sqlite3.Error:
        return True


def _query(
    columns: str, where: str, values: Sequence[Any], order: str, limit: int | None, everybody: bool
) -> tuple[str, list[Any]]:  # fmt: skip
    """Return the SQL query for experiments, and its values."""
    mine = "" if everybody else "AND ref.mine"
    by = f"{order}, " if order else ""
    sql = (
        f"SELECT {columns} FROM tag CROSS JOIN ref ON ref.number = tag.number WHERE tag.started IS"
        f" NOT NULL {mine} AND ({where}) ORDER BY {by}tag.started DESC, tag.id DESC LIMIT ?"
    )
    return sql, [*values, -1 if limit is None else limit]


def _experiment(repo: Repo, row: tuple[Any, ...]) -> Experiment:
    name, tag, commit, author, email, subject, summary, labels, texts, marks, alias = row
    found = message.Tag(commit, name, author, email, subject, json.loads(summary), summary)
    given, written, events = (
        () if text == "[]" else json.loads(text) for text in (labels, texts, marks)
    )  # most have none
    value = message.experiment(name, tag, found, tuple(given), tuple(written), repo)
    if not events:
        return value
    from dataclasses import replace

    return replace(value, extra={**value.extra, "events": events}, alias=alias)
