"""Entries read from the index itself, and trees made of them, are what git says; and where they
might not be, git is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Project
from gitexp.formats import settings
from gitexp.repo import Repo, entries, snapshot, trees


def _staged(project: Project) -> dict[str, tuple[bytes, str]]:
    lines = project.git("ls-files", "-s", "-z").strip("\0").split("\0")
    return {
        path: (fields.split()[0].encode(), fields.split()[1])
        for fields, _, path in (line.partition("\t") for line in lines)
    }


def test_an_entry_of_the_index_is_the_one_that_git_lists(project: Project) -> None:
    for at in range(1, 40):
        project.write("x" * at, f"{at}")
        project.write(f"folder/{'x' * at}", f"{at} below")
    project.write("bin/straße.sh", "echo").chmod(0o755)
    (project.root / "link").symlink_to("x")
    project.commit()
    data = (project.root / ".git" / "index").read_bytes()
    listed = _staged(project)
    assert len(listed) == 82
    assert {path: entries.find(data, path) for path in listed} == listed
    assert [entries.find(data, path) for path in ("xy", "folder", "older/x", "", "bin")] == [
        None
    ] * 5


def _unmerged(project: Project) -> None:
    project.git("checkout", "-q", "-b", "theirs")
    project.commit(train_py="theirs")
    project.git("checkout", "-q", "main")
    project.commit(train_py="ours")
    project.git("merge", "-q", "theirs", check=False)


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(_unmerged, id="unmerged"),
        pytest.param(
            lambda project: project.git("update-index", "--index-version=4"), id="version 4"
        ),
        pytest.param(
            lambda project: project.git("update-index", "--assume-unchanged", "train.py"),
            id="assumed to be unchanged",
        ),
        pytest.param(lambda project: project.git("update-index", "--split-index"), id="split"),
        pytest.param(lambda project: project.git("rm", "-q", "--cached", "train.py"), id="removed"),
    ],
)
def test_an_entry_that_is_not_plain_is_not_read(
    project: Project, prepare: Callable[[Project], object]
) -> None:
    prepare(project)
    assert entries.find((project.root / ".git" / "index").read_bytes(), "train.py") is None


def _with_a_filter(project: Project) -> None:
    project.git("config", "filter.loud.clean", "tr a-z A-Z")
    project.write(".gitattributes", "*.py filter=loud\n*.txt text\n")
    project.commit()
    project.write("train.py", "changed")
    project.write("notes.txt", "one\r\ntwo\r\n")


def _replaced(project: Project) -> None:
    (project.root / "train.py").unlink()
    project.write("train.py/inside.py", "a folder now")


def _executable(project: Project) -> None:
    project.write("src/deep/run.sh", "echo").chmod(0o755)
    (project.root / "src" / "link").symlink_to("deep")
    project.write("train.py", "changed")


def _composing(project: Project) -> None:
    project.write("train.py", "staged")
    project.git("add", "train.py")
    project.write("README.md", "changed")


CHANGES: dict[str, Callable[[Project], object]] = {
    "nothing": lambda project: None,
    "a change": lambda project: project.write("train.py", "changed"),
    "filters": _with_a_filter,
    "a file that became a folder": _replaced,
    "an executable and a link": _executable,
    "a file that is gone": lambda project: (project.root / "train.py").unlink(),
    "something staged": _composing,
    "history that is packed": lambda project: (
        project.git("gc", "-q"),
        project.write("train.py", "changed"),
    ),
    "an index of version 4": lambda project: (
        project.git("update-index", "--index-version=4"),
        project.write("train.py", "changed"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_snapshot_is_the_tree_that_git_would_write(
    project: Project, tmp_path: Path, change: str
) -> None:
    CHANGES[change](project)
    mine = tmp_path / "index"
    repo = Repo.discover()
    shot = snapshot.take(repo, settings.load(repo.root), mine)
    env = {**os.environ, "GIT_INDEX_FILE": str(tmp_path / "theirs")}
    shutil.copy2(project.root / ".git" / "index", tmp_path / "theirs")
    subprocess.run(["git", "add", "--all"], env=env, check=True)
    wanted = subprocess.run(
        ["git", "write-tree"], env=env, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert shot.tree == wanted
    assert (
        subprocess.run(
            ["git", "write-tree"],
            env={**os.environ, "GIT_INDEX_FILE": str(mine)},
            capture_output=True,
            text=True,
        ).stdout.strip()
        == wanted
    )
    project.fsck()


def test_a_tree_is_edited_without_a_process_only_where_all_that_it_takes_is_loose(
    project: Project,
) -> None:
    repo = Repo.discover()
    commit = project.git("rev-parse", "HEAD")
    tree = project.git("rev-parse", "HEAD^{tree}")
    assert trees.quickly_edited(repo, commit, {}) == tree
    project.git("gc", "-q")
    assert trees.quickly_edited(repo, commit, {}) is None
