"""A snapshot is the tree that git would write."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Project
from gitexp.formats import settings
from gitexp.repo import Repo, snapshot


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
