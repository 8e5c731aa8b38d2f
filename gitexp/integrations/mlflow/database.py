"""The database that MLflow reads: a copy of what git holds, with MLflow's own tables, which its own
code makes, and two small ones of ours.

One process makes it, under a lock and beside its place, so that nobody ever sees half of one. A
database that another version of MLflow or of this module made, or that was made where the
repository lay before, is set aside and made anew. MLflow takes a second of processor time for its
tables, so empty ones of each of its versions are kept in the user's cache.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from gitexp.repo import Repo, files, locks

VERSION = 4
# folder: below .git/gitexp/runs while it goes on; rows: bytes of its metrics.csv read, NULL of a
# recorded one whose metrics nobody asked for; marks: what notes said of it
_TABLES = """
    CREATE TABLE gitexp_state(made_by TEXT);
    CREATE TABLE gitexp_run(
        run_uuid TEXT PRIMARY KEY, folder TEXT, rows INTEGER, stamp TEXT, tag TEXT,
        "commit" TEXT, marks TEXT);
    CREATE INDEX gitexp_run_folder ON gitexp_run(folder);
"""


def prepare(repo: Repo) -> Path:
    """Return the file of a sound database of this repository, made if need be."""
    path = repo.state_dir / "mlflow" / "tracking.sqlite"
    if _made_by(path) == _maker(repo):
        return path
    repo.make_state_dir("mlflow")
    with locks.Held(path.with_suffix(".lock")):
        if _made_by(path) != _maker(repo):
            for end in ("", "-journal", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.replace(f"{path}{end}", f"{path}.old{end}")
            maker = _maker(repo).replace("'", "''")
            initialize(path, _TABLES, f"INSERT INTO gitexp_state VALUES ('{maker}')")
    return path


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for one transaction: whole, or not at all."""
    with closing(connect(path)) as db, db:
        db.execute("BEGIN IMMEDIATE")
        yield db


def reading(path: Path) -> closing[sqlite3.Connection]:
    """Open the database for looking at it."""
    return closing(connect(path))


def connect(path: Path) -> sqlite3.Connection:
    """Open the database; statements outside of ``writing`` are transactions of their own."""
    db = sqlite3.connect(path, timeout=30, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")  # it can be made anew from git
    return db


def _maker(repo: Repo) -> str:
    return f"gitexp {VERSION}, MLflow {_mlflow()}, in {repo.state_dir}"


def _mlflow() -> str:
    from mlflow.version import VERSION as MLFLOW

    return str(MLFLOW)


def _made_by(path: Path) -> str | None:
    return _said(path, "SELECT made_by FROM gitexp_state")


def _said(path: Path, sql: str) -> str | None:
    """Return the first value that a query finds as text; None where there is none, or no such
    database."""
    if not path.exists():
        return None
    try:
        with closing(connect(path)) as db:
            return str(db.execute(sql).fetchone()[0])
    except (sqlite3.Error, TypeError):
        return None


def initialize(path: Path, *more: str) -> None:
    """Make a database with MLflow's tables and what the scripts ``more`` add, whole or not at all,
    or bring those of an earlier MLflow up to date."""
    import appdirs

    if path.exists():
        _migrate(path)
        return
    template = Path(
        appdirs.user_cache_dir("gitexp"),
        f"mlflow-{re.sub(r'[^0-9A-Za-z.+-]', '_', _mlflow())}.sqlite",
    )
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with suppress(OSError):
            shutil.copyfile(template, part)
        if not _is_sound(part):
            part.unlink(missing_ok=True)
            _migrate(part)
            # a home that cannot be written costs a second for each repository
            with suppress(OSError):
                template.parent.mkdir(parents=True, exist_ok=True)
                files.replace(template.parent, template, part)
        with closing(connect(part)) as db:
            for script in more:
                db.executescript(script)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _is_sound(path: Path) -> bool:
    asked = ("PRAGMA quick_check", "SELECT 'ok' FROM alembic_version")
    return all(_said(path, sql) == "ok" for sql in asked)


def _migrate(path: Path) -> None:
    import sqlalchemy
    from mlflow.store.db import utils

    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    try:
        with quiet():
            if utils._all_tables_exist(engine):
                utils._upgrade_db(engine)
            else:
                utils._initialize_tables(engine)
    finally:
        engine.dispose()


@contextmanager
def quiet() -> Iterator[None]:
    """Spare people the log of dozens of migrations."""
    names = "alembic", "alembic.runtime.migration", "mlflow.store.db.utils"
    before = {logger: logger.level for logger in map(logging.getLogger, names)}
    logging.disable(logging.INFO)  # MLflow's alembic.ini sets levels of its own meanwhile
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for logger, level in before.items():
            logger.setLevel(level)
