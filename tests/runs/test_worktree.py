"""Temporary work trees leave nothing behind, and never touch the user's files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Project
from gitexp.repo import Repo, content
from gitexp.runs import worktree


def test_a_work_tree_has_the_commits_files_and_is_gone_afterwards(project: Project) -> None:
    """It is called like the project, and git knows it no more at the end."""
    first = project.git("rev-parse", "HEAD")
    project.commit(train_py="print('other')\n")
    project.write("notes.txt", "mine")
    before = (project.root / ".git" / "index").read_bytes()
    with worktree.checkout(Repo.discover(), first, "test") as path:
        assert path.name == project.root.name
        assert (path / "train.py").read_text() == "print('training')\n"
        assert not (path / "notes.txt").exists()
        assert project.git("rev-parse", "HEAD", cwd=path) == first
    assert not path.parent.exists()
    assert len(project.git("worktree", "list").splitlines()) == 1
    assert (project.root / ".git" / "index").read_bytes() == before
    assert project.git("status", "--porcelain") == "?? notes.txt"


def test_it_is_removed_after_an_interrupt(project: Project) -> None:
    """Ctrl-C inside leaves neither folder nor entry."""
    with (
        pytest.raises(KeyboardInterrupt),
        worktree.checkout(Repo.discover(), "HEAD", "test") as path,
    ):
        raise KeyboardInterrupt
    assert not path.exists()
    assert len(project.git("worktree", "list").splitlines()) == 1


def test_reset_takes_away_what_a_run_left(project: Project) -> None:
    """Changed, untracked and ignored files are gone, so that the next run starts as if in a new
    one."""
    first = project.git("rev-parse", "HEAD")
    project.commit(train_py="print('other')\n", _gitignore="cache/\n")
    repo = Repo.discover()
    with worktree.checkout(repo, "HEAD", "test") as path:
        (path / "train.py").write_text("changed")
        (path / "model.bin").write_text("left")
        (path / "cache").mkdir()
        (path / "cache" / "x").write_text("left")
        content.reset(repo, path, first)
        assert sorted(item.name for item in path.iterdir()) == [".git", "README.md", "train.py"]
        assert (path / "train.py").read_text() == "print('training')\n"


def test_a_sparse_checkout_gives_a_whole_work_tree(project: Project) -> None:
    """What the user does not have checked out may still be needed to run an older commit."""
    project.write("lib/a.py", "a")
    project.commit()
    project.git("sparse-checkout", "set", "other")
    assert not (project.root / "lib").exists()
    with worktree.checkout(Repo.discover(), "HEAD", "test") as path:
        assert (path / "lib" / "a.py").exists()


def test_a_kept_one_stays_and_is_no_leftover(project: Project) -> None:
    repo = Repo.discover()
    with worktree.checkout(repo, "HEAD", "test", keep=True) as path:
        pass
    assert (path / "train.py").exists()
    assert worktree.leftovers(repo) == []
    project.git("worktree", "remove", str(path))
    assert worktree.leftovers(repo) == [path.parent], "what lay beside it is nobody's any more"
    worktree.remove(repo, path.parent)
    assert not path.parent.exists()
    assert len(project.git("worktree", "list").splitlines()) == 1


def test_that_of_a_killed_process_is_a_leftover(project: Project) -> None:
    """SIGKILL leaves the folder; only then is it a leftover, and it can be removed whole."""
    code = (
        "from gitexp.runs import worktree; from gitexp.repo import Repo\n"
        "with worktree.checkout(Repo.discover(), 'HEAD', 'test') as path:\n"
        "    print(path, flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    path = Path(process.stdout.readline().strip())
    repo = Repo.discover()
    assert worktree.leftovers(repo) == []
    process.kill()
    process.communicate()
    assert worktree.leftovers(repo) == [path.parent]
    worktree.remove(repo, path.parent)
    assert worktree.leftovers(repo) == []
    assert not path.parent.exists()
    assert len(project.git("worktree", "list").splitlines()) == 1
