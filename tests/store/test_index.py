"""The index is disposable: whatever befalls its file, the answer is what git says."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Project
from gitexp.repo import Repo
from gitexp.repo import process as process_module
from gitexp.store import record as store
from gitexp.store import ref_scan
from gitexp.store.index import Index
from gitexp.store.index_schema import VERSION
from recording import record


@pytest.fixture
def recorded(project: Project) -> Project:
    """A repository with three experiments and an index that knows them."""
    for lr in (0.1, 0.2, 0.3):
        record(project, {"lr": lr}, {"rmse": 10 * lr})
    assert names(project) == ["exp-3", "exp-2", "exp-1"]
    return project


def names(project: Project) -> list[str]:
    """Return what a new process would find."""
    return Index(Repo.discover(project.root)).names()


def file(project: Project) -> Path:
    """Return where the index lies."""
    return project.root / ".git/gitexp/index.sqlite"


def test_a_deleted_index_is_built_again(recorded: Project) -> None:
    file(recorded).unlink()
    assert names(recorded) == ["exp-3", "exp-2", "exp-1"]
    assert file(recorded).exists()


@pytest.mark.parametrize("kept", [0, 1, 50, 100, 4096, 8192, 20_000])
def test_a_truncated_index_is_built_again(recorded: Project, kept: int) -> None:
    os.truncate(file(recorded), kept)
    assert names(recorded) == ["exp-3", "exp-2", "exp-1"]
    assert names(recorded) == ["exp-3", "exp-2", "exp-1"]


@pytest.mark.parametrize("start", [0, 16, 60, 100, 4096, 8192, 12_288, 20_480])
def test_an_index_full_of_garbage_is_built_again(recorded: Project, start: int) -> None:
    data = file(recorded).read_bytes()
    file(recorded).write_bytes(data[:start] + b"\xa5garbage" * ((len(data) - start) // 8))
    assert names(recorded) == ["exp-3", "exp-2", "exp-1"]
    assert Index(Repo.discover(recorded.root)).keys("params") == ["lr"]


def test_an_index_of_a_newer_schema_is_built_again(recorded: Project) -> None:
    with sqlite3.connect(file(recorded)) as db:
        db.executescript(
            f"DROP TABLE tag; CREATE TABLE tag(other); CREATE VIEW more AS SELECT 1; PRAGMA user_version = {VERSION + 1}"
        )
    assert names(recorded) == ["exp-3", "exp-2", "exp-1"]


def test_an_index_that_lacks_its_tables_is_built_again(recorded: Project) -> None:
    with sqlite3.connect(file(recorded)) as db:
        db.executescript("DROP TABLE state; DROP TABLE ref")
    assert names(recorded) == ["exp-3", "exp-2", "exp-1"]


@pytest.mark.parametrize("column", ["summary", "labels", "notes", "marks"])
@pytest.mark.parametrize("garbage", [b"\xa5\xa5", "{", "{}", 5])
def test_garbage_in_a_readable_index_is_no_answer(
    recorded: Project, column: str, garbage: object
) -> None:
    """SQLite finds nothing wrong with it, nor does the list of refs: only who reads the cell
    can."""
    with sqlite3.connect(file(recorded)) as db:
        db.execute(f"UPDATE tag SET {column} = ?", [garbage])
    repo = Repo.discover(recorded.root)
    assert [item.params["lr"] for item in Index(repo).select()] == [0.3, 0.2, 0.1]
    assert [*Index(repo).columns([])["params.lr"]] == [0.3, 0.2, 0.1]
    assert [item.params["lr"] for item in Index(repo).select()] == [0.3, 0.2, 0.1]


def test_a_condition_on_garbage_is_asked_again(recorded: Project) -> None:
    with sqlite3.connect(file(recorded)) as db:
        db.execute("UPDATE tag SET summary = substr(summary, 1, 40)")
    found = recorded.gitexp(
        "list", "--where", "lr > 0.1", "--sort", "lr", "--columns", "lr", "--csv"
    )
    assert found.split() == ["lr", "0.2", "0.3"]


def test_an_index_that_loses_a_table_under_a_reader_is_built_again(recorded: Project) -> None:
    found = Index(Repo.discover(recorded.root))
    with sqlite3.connect(file(recorded)) as db:
        db.execute("DROP TABLE ref")
    assert found.names() == ["exp-3", "exp-2", "exp-1"]
    assert names(recorded) == ["exp-3", "exp-2", "exp-1"]


def test_an_index_that_is_a_folder_is_read_around(recorded: Project) -> None:
    file(recorded).unlink()
    file(recorded).mkdir()
    assert names(recorded) == ["exp-3", "exp-2", "exp-1"]


def test_where_no_index_can_be_written_it_is_read_without_one(recorded: Project) -> None:
    """As on a read-only disk: the folder cannot even be made."""
    file(recorded).parent.rename(recorded.root / ".git/away")
    file(recorded).parent.write_text("in the way")
    assert names(recorded) == ["exp-3", "exp-2", "exp-1"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_an_index_that_may_only_be_read_still_answers_when_it_is_out_of_date(
    recorded: Project,
) -> None:
    record(recorded, {"lr": 0.4})
    file(recorded).chmod(0o444)
    file(recorded).parent.chmod(0o555)
    try:
        assert names(recorded) == ["exp-4", "exp-3", "exp-2", "exp-1"]
    finally:
        file(recorded).parent.chmod(0o755)


def test_an_index_that_somebody_holds_is_not_thrown_away(
    recorded: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(recorded, {"lr": 0.4})
    before = file(recorded).stat().st_ino
    holder = sqlite3.connect(file(recorded), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr("gitexp.store.index.PATIENCE", 0.1)
    assert names(recorded) == ["exp-4", "exp-3", "exp-2", "exp-1"]
    holder.execute("ROLLBACK")
    assert file(recorded).stat().st_ino == before


def test_eight_processes_at_once_agree(recorded: Project) -> None:
    for lr in range(20):
        record(recorded, {"lr": lr})
    file(recorded).unlink()
    program = "from gitexp.store.index import Index; from gitexp.repo import Repo; print(Index(Repo.discover()).count())"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=recorded.root,
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    assert [process.communicate()[0] for process in started] == ["23\n"] * 8
    assert not list(file(recorded).parent.glob("index.sqlite-*"))


def test_an_update_with_an_old_list_takes_nothing_back(
    recorded: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes update at once, and the one that looked first writes last."""
    look = ref_scan.look

    def slow(repo: Repo) -> bytes:
        found = look(repo)
        if "exp-4" not in recorded.tags():
            record(recorded, {"lr": 0.4})
            names(recorded)
        return found

    monkeypatch.setattr("gitexp.store.ref_scan.look", slow)
    assert names(recorded) == ["exp-4", "exp-3", "exp-2", "exp-1"]
    assert names(recorded) == ["exp-4", "exp-3", "exp-2", "exp-1"]


def test_what_is_removed_or_renamed_is_followed(recorded: Project) -> None:
    repo = Repo.discover(recorded.root)
    gone = Index(repo).named("exp-2")
    assert gone is not None
    (back,) = store.remove(repo, [gone])
    assert names(recorded) == ["exp-3", "exp-1"]
    recorded.git(*back.split()[1:])
    recorded.git("update-ref", "refs/gitexp/remotes/origin/exp-9", gone.tag)
    assert sorted(names(recorded)) == ["exp-1", "exp-2", "exp-3", "origin/exp-9"]
    assert [item.name for item in Index(repo).select()] == ["exp-3", "exp-2", "exp-1"]
    found = Index(repo).named("origin/exp-9")
    assert found is not None
    assert found.id == gone.id


def test_other_tags_are_no_experiments(recorded: Project) -> None:
    recorded.git("tag", "light")
    recorded.git("tag", "-a", "v1.0", "-m", "a release")
    recorded.git(
        "tag",
        "-a",
        "odd",
        "-m",
        'odd\n\n{"gitexp":1,"status":"finished","started":"2026-01-01T00:00:00.000Z","metrics":{"x":NaN}}',
    )
    assert names(recorded) == ["exp-3", "exp-2", "exp-1"]


def test_loose_tags_are_packed_when_they_pile_up(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitexp.store.record._LOOSE", 3)
    for lr in range(5):
        record(project, {"lr": lr})
    assert (project.root / ".git/packed-refs").read_text().count("refs/tags/exp-") == 4
    assert names(project) == ["exp-5", "exp-4", "exp-3", "exp-2", "exp-1"]


@pytest.mark.parametrize(
    "off", [None, ("gc.auto", "0"), ("maintenance.auto", "false"), "maintenance = false"]
)
def test_objects_are_packed_beside_the_runs_unless_somebody_says_no(
    project: Project, monkeypatch: pytest.MonkeyPatch, off: tuple[str, str] | str | None
) -> None:
    monkeypatch.setattr("gitexp.store.record._LOOSE", 3)
    project.git("config", "gc.auto", "6700")
    project.git("config", "--global", "maintenance.auto", "true")
    if isinstance(off, tuple):
        project.git("config", *off)
    elif off:
        project.write(".gitexp.toml", off)
    for lr in range(4):
        record(project, {"lr": lr})
    for process in process_module._left:
        process.wait()
    assert len([*(project.root / ".git/objects/pack").glob("*.pack")]) == (off is None)
    project.fsck()


def test_large_packs_are_left_as_they_are(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitexp.store.record._LOOSE", 3)
    monkeypatch.setattr("gitexp.store.record._LARGE", 1)
    project.git("config", "--global", "maintenance.auto", "true")
    project.commit("start", a="1")
    project.git("repack", "-q", "-a", "-d")
    (before,) = (project.root / ".git/objects/pack").glob("*.pack")
    for lr in range(4):
        record(project, {"lr": lr})
    for process in process_module._left:
        process.wait()
    assert before.exists()
    assert len([*before.parent.glob("*.pack")]) == 2
    project.fsck()


def test_progress_is_told_to_the_end(recorded: Project) -> None:
    file(recorded).unlink()
    told: list[tuple[int, int]] = []
    Index(Repo.discover(recorded.root), lambda done, total: told.append((done, total)))
    assert told == [(3, 3)]
