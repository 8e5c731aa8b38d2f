"""The blocks of columns in the index: whatever becomes of them or of their rows, a table holds what
the experiments say."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.formats import message
from gitexp.repo import Repo
from gitexp.store import blocks
from gitexp.store import record as store
from gitexp.store.index import Index
from gitexp.store.index_schema import SIZE
from recording import record

COUNT = 5 * SIZE // 2  # experiments, of which the numbers in the index begin with 1


def file(project: Project) -> Path:
    return project.root / ".git/gitexp/index.sqlite"


def change(project: Project, sql: str, *values: object) -> None:
    """Change the index's file as nobody should."""
    with closing(sqlite3.connect(file(project))) as db, db:
        db.execute(sql, values)


def kept(project: Project) -> list[int]:
    """Return the blocks that lie in the index's file."""
    with closing(sqlite3.connect(file(project))) as db:
        return [row[0] for row in db.execute("SELECT number FROM block ORDER BY number")]


def table(project: Project) -> list[float]:
    """Return a param of all experiments as a table has it, newest first."""
    return list(gitexp.experiments(repo=project.root)["params.lr"])


@pytest.fixture
def many(project: Project) -> Project:
    """A repository with experiments of two blocks and a half, all of them kept."""
    commit = project.git("rev-parse", "HEAD")
    stream = b""
    for at in range(COUNT):
        summary = {
            "status": "finished",
            "started": f"2026-01-01T00:{at // 60:02d}:{at % 60:02d}.000Z",
            "params": {"lr": at},
        }
        text = message.tag_message(f"exp-{at}", summary).encode()
        stream += (
            f"tag exp-{at}\nfrom {commit}\ntagger Ada <ada@example.org> 1767225600 +0000\n".encode()
        )
        stream += b"data %d\n%b\n" % (len(text), text)
    subprocess.run(["git", "fast-import", "--quiet"], cwd=project.root, input=stream, check=True)
    assert table(project) == [*reversed(range(COUNT))]
    assert kept(project) == [0, 1, 2]
    return project


def test_one_more_experiment_takes_one_block_away(many: Project) -> None:
    record(many, {"lr": 0.5})
    Index(Repo.discover(many.root))
    assert kept(many) == [0, 1]
    assert table(many) == [0.5, *reversed(range(COUNT))]
    assert kept(many) == [0, 1, 2]


def test_an_experiment_that_goes_takes_its_block_away(many: Project) -> None:
    repo = Repo.discover(many.root)
    gone = Index(repo).named(f"exp-{SIZE + 5}")
    assert gone is not None
    store.remove(repo, [gone])
    assert table(many) == [at for at in reversed(range(COUNT)) if at != SIZE + 5]
    assert kept(many) == [0, 1, 2]


def test_what_people_and_processes_add_later_is_in_the_table(project: Project) -> None:
    for lr in (1, 2):
        record(project, {"lr": lr})
    assert list(gitexp.experiments()["labels"]) == [(), ()]
    project.gitexp("label", "exp-1", "+good")
    assert list(gitexp.experiments()["labels"]) == [(), ("good",)]


def test_a_filter_needs_only_the_blocks_that_it_finds(many: Project) -> None:
    change(many, "DELETE FROM block")
    assert list(gitexp.experiments(where=f"lr < {SIZE // 2}")["params.lr"]) == [
        *reversed(range(SIZE // 2))
    ]
    assert kept(many) == [0]


@pytest.mark.parametrize(
    "spoil",
    [
        "data = substr(data, 1, length(data) - 1)",
        "data = substr(data, 1, length(data) / 2)",
        "data = substr(data, 2)",
        "data = NULL",
        "data = 5",
        "data = x''",
        "data = 'text'",
        "data = zeroblob(length(data))",
        "data = (SELECT data FROM block AS other WHERE number = 0)",
        "number = number + 5000",
        "number = 7 WHERE number = 1",
    ],
)
def test_spoilt_blocks_are_made_again(many: Project, spoil: str) -> None:
    change(many, f"UPDATE block SET {spoil}")
    assert table(many) == [*reversed(range(COUNT))]
    assert table(many) == [*reversed(range(COUNT))]


def test_an_index_of_the_schema_before_is_built_again(many: Project) -> None:
    """It had no blocks, and packed each experiment by itself."""
    change(many, "DROP TABLE block")
    change(many, "PRAGMA user_version = 4")
    assert table(many) == [*reversed(range(COUNT))]
    assert kept(many) == [0, 1, 2]


def test_where_the_table_of_blocks_is_gone_they_are_read_around(many: Project) -> None:
    change(many, "DROP TABLE block")
    record(many, {"lr": 0.5})
    assert table(many) == [0.5, *reversed(range(COUNT))]
    assert table(many) == [0.5, *reversed(range(COUNT))]


def test_a_block_that_was_overtaken_while_it_was_made_is_not_kept(
    many: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process takes an experiment in, between the reading of the rows and the writing of
    the block."""
    change(many, "DELETE FROM block")
    keep = blocks._keep

    def slow(db: sqlite3.Connection, made: Mapping[int, bytes], version: int) -> None:
        record(many, {"lr": 0.5})
        many.gitexp("list", "--json")  # which makes no blocks
        keep(db, made, version)

    with monkeypatch.context() as patch:
        patch.setattr("gitexp.store.blocks._keep", slow)
        assert table(many) == [*reversed(range(COUNT))]
    assert kept(many) == []
    assert table(many) == [0.5, *reversed(range(COUNT))]


def test_somebody_who_writes_just_now_is_not_waited_for(many: Project) -> None:
    change(many, "DELETE FROM block")
    with closing(sqlite3.connect(file(many), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert table(many) == [*reversed(range(COUNT))]
        writer.execute("ROLLBACK")
    assert kept(many) == []
    assert table(many) == [*reversed(range(COUNT))]
    assert kept(many) == [0, 1, 2]


def test_where_no_index_can_be_written_a_table_is_made_without_one(many: Project) -> None:
    file(many).parent.rename(many.root / ".git/away")
    file(many).parent.write_text("in the way")
    assert table(many) == [*reversed(range(COUNT))]


def test_eight_processes_at_once_agree(many: Project) -> None:
    change(many, "DELETE FROM block")
    program = "import gitexp; print(int(gitexp.experiments()['params.lr'].sum()))"
    words = [sys.executable, "-c", program]
    started = [
        subprocess.Popen(words, cwd=many.root, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    assert [process.communicate()[0] for process in started] == [f"{sum(range(COUNT))}\n"] * 8
    assert table(many) == [*reversed(range(COUNT))]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
