"""Repositories inside other tools of git: partial clones, Git LFS, git-annex, rewritten history. Nothing is simulated."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from conftest import Project
from recording import record


@pytest.fixture
def remote(tmp_path: Path) -> Project:
    """An empty remote."""
    made = Project(tmp_path / "remote.git")
    made.root.mkdir()
    made.git("init", "-q", "--bare")
    return made


@pytest.fixture
def partial(project: Project, remote: Project, tmp_path: Path) -> Project:
    """A clone without files of a remote that has two experiments and a note."""
    remote.git("config", "uploadpack.allowFilter", "true")
    project.git("remote", "add", "origin", remote.root.as_uri())
    project.git("push", "-q", "-u", "origin", "main")
    record(project, {"lr": 1}, {"rmse": 3}, advance=False)
    project.commit("better", train_py="print('better')\n")
    record(project, {"lr": 2}, {"rmse": 2}, advance=False)
    project.gitexp("note", "exp-1", "the first of all")
    project.gitexp("push")
    clone = Project(tmp_path / "partial")
    project.git("clone", "-q", "--filter=blob:none", remote.root.as_uri(), str(clone.root))
    return clone


def test_a_pull_brings_a_partial_clone_what_reading_needs(partial: Project) -> None:
    partial.gitexp("pull")
    for words in (["list", "--all"], ["status"], ["push"], ["show", "origin/exp-2"], ["doctor"]):
        partial.gitexp(*words)
    assert "the first of all" in partial.gitexp("show", "origin/exp-1")
    partial.gitexp("note", "origin/exp-1", "seen")
    assert "nothing new" in partial.gitexp("pull")


def test_notes_that_came_without_their_content_are_mended_by_what_is_said(partial: Project) -> None:
    """As git's own fetch brings them, or an older gitexp did."""
    partial.git("fetch", "-q", "origin", "refs/notes/gitexp:refs/notes/gitexp", "refs/tags/exp-1:refs/tags/exp-1")
    typed(partial, partial.error("list"))
    assert "exp-1" in partial.gitexp("list")
    assert "the first of all" in partial.gitexp("show", "exp-1")


def test_a_hint_in_a_partial_clone_works_when_it_is_typed(partial: Project) -> None:
    partial.gitexp("pull")
    words = ["diff", "origin/exp-1", "origin/exp-2", "--code"]
    typed(partial, partial.error(*words))
    assert "better" in partial.gitexp(*words)


def test_a_pull_brings_folders_where_a_clone_has_none(partial: Project, remote: Project, tmp_path: Path) -> None:
    clone = Project(tmp_path / "treeless")
    remote.git("clone", "-q", "--filter=tree:0", remote.root.as_uri(), str(clone.root))
    clone.gitexp("pull")
    assert "exp-1" in clone.gitexp("list", "--all")
    assert "the first of all" in clone.gitexp("show", "origin/exp-1")


def test_the_hint_of_an_import_works_when_it_is_typed(project: Project, tmp_path: Path) -> None:
    for value in "ab":
        project.commit(value, metrics_csv=f"Name,Value,Timestamp,Step\nloss,{ord(value)},1,1\n")
    project.git("config", "uploadpack.allowFilter", "true")
    clone = Project(tmp_path / "partial")
    project.git("clone", "-q", "--filter=blob:none", project.root.as_uri(), str(clone.root))
    done = clone.run("import", "git")
    typed(clone, done.stdout + done.stderr)
    clone.gitexp("import", "git")
    assert len(clone.tags()) == 2


def test_a_filter_that_is_not_set_up_lets_nothing_large_in(project: Project) -> None:
    """An attribute alone makes git store the whole file, in every clone for ever."""
    project.commit("lfs", **{"_gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    project.write("model.bin", bytes(11_000_000))
    for process in (None, "git-lfs-that-is-nowhere filter-process"):
        if process:
            project.git("config", "filter.lfs.process", process)
        done = project.run("log", "--metric", "loss=1", "--no-advance")
        assert done.returncode == 0
        assert "over the limit of 10.0 MB; .gitattributes gives it to Git LFS, which is not set up here" in done.stderr
        assert "model.bin" not in project.git("ls-tree", "--name-only", project.tags()[-1])


def typed(project: Project, text: str) -> None:
    """Type the command that a hint ends with."""
    hints = re.findall(r"(?:: |\? )((?:git|gitexp) [-\w/.= :]+)", text)
    assert hints, text
    for words in map(shlex.split, hints):
        if words[0] == "gitexp":
            project.gitexp(*words[1:])
        else:
            done = subprocess.run(words, cwd=project.root, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
