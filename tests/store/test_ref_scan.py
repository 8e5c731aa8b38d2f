"""Looking at the refs without git sees what git sees: whatever happened to them, a warm index says
what a new one would."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from gitexp.repo import Repo
from gitexp.store import ref_scan
from gitexp.store.index import Index
from recording import record


class Counted(Repo):
    """A repository that remembers which git commands were run."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.calls: list[str] = []

    def git(self, *args: str, **options: Any) -> bytes:
        self.calls.append(args[0])
        return super().git(*args, **options)


def counted(project: Project) -> Counted:
    """Return the repository as a new process would find it."""
    repo = Repo.discover(project.root)
    return Counted(repo.root, repo.git_dir, repo.common_dir, repo.object_format)


def calls(project: Project) -> list[str]:
    """Return the git commands that bringing the index up to date took."""
    repo = counted(project)
    Index(repo)
    return repo.calls


def content(root: Path) -> tuple[list[Any], ...]:
    """Return all that an index knows, as a new process would find it."""
    index = Index(Repo.discover(root))
    tables = (
        "SELECT ref, name, id, mine, remote FROM ref JOIN tag USING (number) ORDER BY 1",
        'SELECT id, "commit", summary, labels, notes, marks FROM tag ORDER BY 1',
        "SELECT * FROM note",
    )
    return tuple(index._rows(sql) for sql in tables)


def settle(project: Project) -> None:
    """Make a new packed-refs as old as it will be soon: one that is very young is never trusted."""
    file = project.root / ".git/packed-refs"
    if file.exists() and time.time() - file.stat().st_mtime < 1800:
        then = file.stat().st_mtime_ns - 3600 * 10**9
        os.utime(file, ns=(then, then))


@pytest.fixture
def recorded(project: Project) -> Project:
    """A repository with two packed experiments, a loose one, and an index that knows them."""
    for lr in (0.1, 0.2):
        record(project, {"lr": lr})
    project.git("pack-refs", "--all")
    settle(project)
    record(project, {"lr": 0.3})
    Index(Repo.discover(project.root))
    return project


def test_a_warm_index_asks_git_for_nothing(recorded: Project) -> None:
    assert calls(recorded) == []


def test_one_more_experiment_costs_one_reading_of_its_tag(recorded: Project) -> None:
    record(recorded, {"lr": 0.4})
    assert calls(recorded) == ["cat-file"]
    assert calls(recorded) == []


def test_packing_costs_one_list_and_nothing_after_it(recorded: Project) -> None:
    recorded.git("pack-refs", "--all")
    assert calls(recorded) == ["for-each-ref"]
    settle(recorded)
    assert calls(recorded) == ["for-each-ref"]
    assert calls(recorded) == []


def test_a_packed_file_that_is_very_young_is_not_trusted(recorded: Project) -> None:
    """On a coarse clock it could be replaced without a trace."""
    os.utime(recorded.root / ".git/packed-refs")
    assert calls(recorded) == ["for-each-ref"]
    assert calls(recorded) == ["for-each-ref"]


_NOTE = ("notes", "--ref", "gitexp")


@pytest.mark.parametrize(
    "happens",
    [
        [("update-ref", "-d", "refs/tags/exp-3")],  # a small file goes
        [("update-ref", "-d", "refs/tags/exp-1")],  # out of the packed file
        [("update-ref", "refs/tags/exp-3", "exp-1")],  # moves
        # moves over a packed one, and goes
        [("update-ref", "refs/tags/exp-1", "exp-2"), ("update-ref", "-d", "refs/tags/exp-1")],
        [
            ("update-ref", "refs/tags/exp-1", "exp-2"),
            ("pack-refs", "--all"),
            ("update-ref", "refs/tags/exp-1", "exp-3"),
        ],
        [
            ("pack-refs", "--all", "--no-prune"),
            ("update-ref", "refs/tags/exp-3", "exp-1"),
            ("update-ref", "-d", "refs/tags/exp-3"),
        ],
        [
            ("update-ref", "refs/tags/bob/exp-1", "exp-1"),
            ("update-ref", "-d", "refs/tags/exp-1"),
            ("pack-refs",),
        ],
        [("tag", "light"), ("tag", "-a", "v1", "-m", "one"), ("tag", "-d", "light"), ("gc", "-q")],
        [
            ("update-ref", "refs/gitexp/remotes/origin/exp-1", "exp-2"),
            ("update-ref", "-d", "refs/gitexp/remotes/origin/exp-1"),
        ],
        [
            (*_NOTE, "add", "-m", '{"label":"+a"}', "exp-1^{}"),
            (*_NOTE, "append", "-m", '{"label":"+b"}', "exp-1^{}"),
            ("pack-refs", "--all"),
        ],
        [
            (*_NOTE, "add", "-m", '{"label":"+a"}', "exp-2^{}"),
            ("pack-refs", "--all"),
            (*_NOTE, "remove", "exp-2^{}"),
        ],
        [
            (*_NOTE, "add", "-m", '{"label":"+a"}', "exp-2^{}"),
            ("update-ref", "-d", "refs/notes/gitexp"),
        ],
    ],
)
def test_after_whatever_happens_to_refs_a_warm_index_says_what_a_new_one_would(
    recorded: Project, happens: list[tuple[str, ...]]
) -> None:
    for args in happens:
        recorded.git(*args)
        settle(recorded)
        warm = content(recorded.root)
        shutil.move(recorded.root / ".git/gitexp/index.sqlite", recorded.root / "kept")
        assert warm == content(recorded.root)
        shutil.move(recorded.root / "kept", recorded.root / ".git/gitexp/index.sqlite")


def test_an_experiment_recorded_while_git_lists_is_seen_by_the_next_reader(
    recorded: Project,
) -> None:
    class Slow(Repo):
        def git(self, *args: str, **options: Any) -> bytes:
            found = super().git(*args, **options)
            if args[0] == "for-each-ref" and "exp-4" not in recorded.tags():
                record(recorded, {"lr": 0.4})
            return found

    recorded.git("pack-refs", "--all")
    repo = Repo.discover(recorded.root)
    Index(Slow(repo.root, repo.git_dir, repo.common_dir, repo.object_format))
    assert Index(repo).names() == ["exp-4", "exp-3", "exp-2", "exp-1"]


def test_a_linked_work_tree_sees_the_same(recorded: Project, tmp_path: Path) -> None:
    recorded.git("worktree", "add", "-q", str(tmp_path / "linked"))
    record(Project(tmp_path / "linked"), {"lr": 0.4})
    assert Index(Repo.discover(tmp_path / "linked")).names() == ["exp-4", "exp-3", "exp-2", "exp-1"]
    assert calls(recorded) == []


@pytest.mark.parametrize("name", ["exp-größer", "a@b", "exp-1~"])
def test_an_odd_name_is_for_git_to_judge(recorded: Project, name: str) -> None:
    """It may be spelled in two ways on one file system, or be no ref at all, like an editor's
    backup."""
    (recorded.root / ".git/refs/tags" / name).write_bytes(
        (recorded.root / ".git/refs/tags/exp-3").read_bytes()
    )
    found = Index(Repo.discover(recorded.root)).names()
    assert sorted(found) == sorted({"exp-1", "exp-2", "exp-3", *([] if "~" in name else [name])})
    record(recorded, {"lr": 0.5})
    assert "exp-4" in Index(Repo.discover(recorded.root)).names()


def test_a_symbolic_ref_is_for_git_to_judge(recorded: Project) -> None:
    recorded.git("symbolic-ref", "refs/tags/latest", "refs/tags/exp-1")
    assert sorted(Index(Repo.discover(recorded.root)).names()) == [
        "exp-1",
        "exp-2",
        "exp-3",
        "latest",
    ]
    recorded.git("symbolic-ref", "refs/tags/latest", "refs/tags/exp-2")
    known = Index(Repo.discover(recorded.root)).named("latest")
    assert known is not None
    assert known.params["lr"] == 0.2


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_out_of_the_refs_is_not_followed(recorded: Project, tmp_path: Path) -> None:
    (recorded.root / ".git/refs/tags/away").symlink_to(tmp_path, target_is_directory=True)
    assert ref_scan.look(Repo.discover(recorded.root)).startswith(b"listed\n")
    assert Index(Repo.discover(recorded.root)).names() == ["exp-3", "exp-2", "exp-1"]


def test_where_refs_are_a_reftable_git_is_asked(recorded: Project) -> None:
    (recorded.root / ".git/reftable").mkdir()
    assert ref_scan.look(Repo.discover(recorded.root)).startswith(b"listed\n")
    assert Index(Repo.discover(recorded.root)).names() == ["exp-3", "exp-2", "exp-1"]
    assert calls(recorded) == ["for-each-ref"]


def test_a_repository_without_experiments_gets_no_index(project: Project) -> None:
    project.git("pack-refs", "--all")
    assert Index(Repo.discover(project.root)).names() == []
    assert not (project.root / ".git/gitexp").exists()
