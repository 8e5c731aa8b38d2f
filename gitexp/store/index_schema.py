"""The tables of the index: how its file is laid out, and made ready whatever lies there."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

VERSION = 9
SIZE = 250  # experiments in a block: at most 255, see columns.py, which a list need not load
_SCHEMA = f"""
    CREATE TABLE state(seen BLOB);
    INSERT INTO state VALUES (x'');
    CREATE TABLE tip(ref TEXT PRIMARY KEY, id TEXT) WITHOUT ROWID;
    CREATE TABLE note("commit" TEXT PRIMARY KEY, blob TEXT) WITHOUT ROWID;
    CREATE TABLE ref(ref TEXT PRIMARY KEY, name TEXT, number INTEGER, mine INTEGER,
                     remote TEXT) WITHOUT ROWID;
    CREATE INDEX ref_number ON ref(number, remote, mine, name);
    CREATE INDEX ref_name ON ref(name);
    CREATE TABLE tag(number INTEGER PRIMARY KEY, id TEXT UNIQUE, "commit" TEXT, author TEXT,
                     email TEXT, subject TEXT, summary TEXT, started TEXT,
                     labels TEXT, resumes TEXT, notes TEXT, marks TEXT, verdict TEXT, alias TEXT);
    CREATE INDEX tag_started ON tag(started, id);
    CREATE INDEX tag_verdict ON tag(verdict) WHERE verdict IS NOT NULL;
    CREATE INDEX tag_resumes ON tag(resumes) WHERE resumes IS NOT NULL;
    CREATE INDEX tag_alias ON tag(alias) WHERE alias IS NOT NULL;
    CREATE INDEX tag_commit ON tag("commit");
    CREATE TABLE key(kind TEXT, name TEXT, PRIMARY KEY(kind, name)) WITHOUT ROWID;
    CREATE TABLE block(number INTEGER PRIMARY KEY, data BLOB);
    CREATE TRIGGER added AFTER INSERT ON tag BEGIN
        DELETE FROM block WHERE number = new.number / {SIZE}; END;
    CREATE TRIGGER changed AFTER UPDATE ON tag BEGIN
        DELETE FROM block WHERE number = new.number / {SIZE}; END;
    CREATE TRIGGER removed AFTER DELETE ON tag BEGIN
        DELETE FROM block WHERE number = old.number / {SIZE}; END;
    PRAGMA user_version = {VERSION};
"""


def _matches(pattern: str, value: Any) -> bool | None:
    return None if value is None else re.search(pattern, str(value), re.IGNORECASE) is not None


def prepare(db: sqlite3.Connection) -> None:
    """Set the connection up, and make the tables anew where they are missing or of another
    version."""
    # of a new file: a row lies on one page, and reading all takes a sixth less
    db.execute("PRAGMA page_size = 16384")
    db.execute("PRAGMA synchronous = OFF")  # a cache that a power cut spoils is built again
    db.create_function("regexp", 2, _matches)  # what SQL's REGEXP calls
    if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
        db.execute("BEGIN EXCLUSIVE")
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:  # nobody made it meanwhile
            for (table,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall():
                db.execute(f'DROP TABLE "{table}"')
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
        db.execute("COMMIT")
