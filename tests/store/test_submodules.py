"""``gitexp checkout --recurse-submodules``: submodules come along, by git's own command, and nothing
in them is lost."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import Project
from recording import record


@pytest.fixture
def nested(project: Project, tmp_path: Path) -> Project:
    """Three experiments: exp-1 has no submodule, exp-2 one with another inside, exp-3 that at its
    next commit, which is nowhere else."""
    record(project, {}, {"m": 1})
    deep, lib = (Project(tmp_path / name) for name in ("deep", "lib"))
    for one in (deep, lib):
        one.root.mkdir()
        one.git("init", "-q")
        one.commit(a_py="1")
    lib.git("submodule", "add", "-q", str(deep.root), "deep")
    lib.git("commit", "-qm", "deep")
    project.git("submodule", "add", "-q", str(lib.root), "li b")
    project.git("submodule", "update", "-q", "--init", "--recursive")
    record(project, {}, {"m": 2})
    (project.root / "li b/deep/a.py").write_text("2")
    project.git("commit", "-qam", "2", cwd=project.root / "li b/deep")
    project.git("commit", "-qam", "2", cwd=project.root / "li b")
    record(project, {}, {"m": 3})
    return project


def places(project: Project) -> str:
    """Where the submodules are, and on which branch."""
    inside = project.root / "li b"
    return project.git("submodule", "status", "--recursive") + project.git("branch", cwd=inside)


def test_they_come_along_and_its_line_brings_them_back(nested: Project) -> None:
    before = places(nested)
    done = nested.run("checkout", "exp-2", "--recurse-submodules")
    assert (done.returncode, nested.git("status", "--porcelain")) == (0, ""), done.stderr
    assert (nested.root / "li b/deep/a.py").read_text() == "1"
    undo = done.stderr.partition("to undo it: ")[2]
    assert "git -C 'li b' checkout --recurse-submodules main" in undo
    subprocess.run(["sh", "-c", undo], cwd=nested.root, check=True, capture_output=True)
    assert places(nested) == before
    assert (nested.root / "li b/deep/a.py").read_text() == "2"


def test_without_the_option_those_that_are_elsewhere_are_named(nested: Project) -> None:
    done = nested.run("checkout", "exp-2")
    assert "submodules that are not where the experiment has them: 'li b'; to take" in done.stderr
    assert (nested.root / "li b/deep/a.py").read_text() == "2"
    again = nested.run("checkout", "exp-2", "--recurse-submodules")
    assert "not where" not in again.stderr
    assert nested.git("status", "--porcelain") == ""


@pytest.mark.parametrize("path", ["li b/a.py", "li b/deep/a.py"])
def test_edits_inside_stop_it_and_nothing_changes(nested: Project, path: str) -> None:
    (nested.root / path).write_text("mine")
    before = places(nested), nested.git("rev-parse", "HEAD")
    for more in ([], ["--code-only"], ["--stash"]):
        done = nested.run("checkout", "exp-2", "--recurse-submodules", *more)
        assert (done.returncode, "'li b'; commit them inside it" in done.stderr) == (2, True)
    assert (places(nested), nested.git("rev-parse", "HEAD")) == before
    assert (nested.root / path).read_text() == "mine"


def test_code_alone_and_a_folder_beside_take_them_along_too(
    nested: Project, tmp_path: Path
) -> None:
    nested.gitexp("checkout", "exp-2", "--code-only", "--recurse-submodules")
    assert (nested.root / "li b/deep/a.py").read_text() == "1"
    beside = ("checkout", "exp-2", "--worktree", str(tmp_path / "two"), "--recurse-submodules")
    assert "to undo it: git worktree remove --force" in nested.run(*beside).stderr
    assert (tmp_path / "two/li b/deep/a.py").read_text() == "1"


def test_a_folder_beside_has_those_that_are_here(nested: Project, tmp_path: Path) -> None:
    done = nested.run("checkout", "exp-3", "--worktree", str(tmp_path / "three"))
    assert "submodules" not in done.stderr
    assert (tmp_path / "three/li b/deep/a.py").read_text() == "2"


def test_a_commit_that_is_nowhere_is_said_and_all_else_is_there(
    nested: Project, tmp_path: Path
) -> None:
    nested.git("submodule", "--quiet", "deinit", "--all", "--force")
    shutil.rmtree(nested.root / ".git/modules")
    done = nested.run(
        "checkout", "exp-3", "--worktree", str(tmp_path / "three"), "--recurse-submodules"
    )
    assert done.returncode == 0
    assert "'li b' (git says: " in done.stderr
    assert "to try again: git -C " in done.stderr
    assert (tmp_path / "three/train.py").exists()


def test_one_that_the_experiment_has_not_stays_in_its_folder(nested: Project) -> None:
    before = places(nested)
    done = nested.run("checkout", "exp-1", "--recurse-submodules")
    assert (nested.root / "li b/deep/a.py").read_text() == "2", done.stderr
    assert "submodules that the experiment does not have stay: 'li b'" in done.stderr
    nested.git("checkout", "main")
    assert places(nested) == before
