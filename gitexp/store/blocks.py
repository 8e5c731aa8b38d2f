"""The blocks of columns that the index keeps: made when a table is asked for first, and gone when
one of their rows changes.

Only who reads a table pays for them, and after one more experiment only the block that it lies in
is made again, at any number. Triggers drop a block with the change itself (``index_schema.py``),
so there is none that is out of date.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from gitexp.formats.experiment import Experiment
from gitexp.store.columns import pack, unpack
from gitexp.store.index_schema import SIZE

_ROWS = (
    "SELECT number, '' AS name, id, \"commit\", author, email, subject, summary, labels, notes,"
    " marks, alias FROM tag WHERE number >= ? AND number < ? AND started IS NOT NULL"
)
Make = Callable[[tuple[Any, ...]], Experiment]


def read(
    db: sqlite3.Connection,
    query: str,
    values: Sequence[Any],
    facts: Collection[str],
    make: Make,
) -> dict[str, Sequence[Any]]:
    """Return the columns of the experiments whose ``number`` and ``name`` a query yields: names,
    and those of ``columns.unpack``; ``make`` makes an experiment of a row."""
    db.execute("BEGIN")  # rows and blocks as of one moment
    try:  # two texts are there sooner than many rows
        texts = db.execute(
            f"SELECT json_group_array(number), json_group_array(name) FROM ({query})", values
        ).fetchone()
        numbers, names = map(json.loads, texts)
        wanted = {number // SIZE for number in numbers}
        found = _kept(db, wanted)
        made = {number: _made(db, number, make) for number in wanted - {*found}}
        version = _version(db)
    finally:
        db.execute("ROLLBACK")
    if made:
        _keep(db, made, version)
    found |= made
    return {"name": names, **unpack(found, numbers, facts)}


def _kept(db: sqlite3.Connection, wanted: Collection[int]) -> dict[int, bytes]:
    """Return the wanted blocks that are there, by their numbers."""
    return dict(
        db.execute(
            "SELECT number, data FROM block WHERE number IN (SELECT value FROM json_each(?))",
            [json.dumps([*wanted])],
        )
    )


def _made(db: sqlite3.Connection, number: int, make: Make) -> bytes:
    rows = db.execute(f"{_ROWS} ORDER BY number", [number * SIZE, (number + 1) * SIZE])
    return pack([(row[0], make(row[1:])) for row in rows])


def _keep(db: sqlite3.Connection, made: Mapping[int, bytes], version: int) -> None:
    """Keep blocks, unless somebody writes just now, or did since they were made, or nobody may."""
    patience = db.execute("PRAGMA busy_timeout").fetchone()[0]
    db.execute("PRAGMA busy_timeout = 0")
    with suppress(sqlite3.OperationalError):
        db.execute("BEGIN IMMEDIATE")
        if _version(db) == version:
            db.executemany("INSERT OR REPLACE INTO block VALUES (?, ?)", made.items())
        db.execute("COMMIT")
    if db.in_transaction:
        db.execute("ROLLBACK")
    db.execute(f"PRAGMA busy_timeout = {patience:d}")


def _version(db: sqlite3.Connection) -> int:
    """Return what changes when another connection changes the file."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])
