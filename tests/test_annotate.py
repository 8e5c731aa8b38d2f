"""``gitexp label``, ``note`` and ``rm``, and what the shell offers at TAB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import Project
from recording import record


def labels(project: Project, ref: str) -> list[str]:
    found: list[str] = json.loads(project.gitexp("list", ref, "--json"))[0]["labels"]
    return found


def test_labels_come_and_go_and_the_commit_stays(project: Project) -> None:
    made = [record(project, labels=("old",)), record(project)]
    head = project.git("rev-parse", "HEAD")
    assert (
        project.gitexp("label", "exp-1", "2", "+conv", "+wide")
        == "exp-1: conv, old, wide\nexp-2: conv, wide\n"
    )
    assert project.gitexp("label", "1", "-old", "-wide", "+new") == "exp-1: conv, new\n"
    assert project.gitexp("label", "1..2") == "exp-1: conv, new\nexp-2: conv, wide\n"
    assert labels(project, "1") == ["conv", "new"]
    assert project.gitexp("list", "--where", "label = wide", "--json") == project.gitexp(
        "list", "2", "--json"
    )
    assert project.git("rev-parse", "HEAD", "exp-1^{}").split() == [head, made[0].id]
    project.fsck()


def test_a_label_that_starts_like_an_option_is_removed_all_the_same(project: Project) -> None:
    record(project, labels=("hard", "h", "rm"))
    assert project.gitexp("label", "1", "-hard", "--remove", "rm") == "exp-1: h\n"


def test_removing_what_is_not_there_says_so_and_changes_nothing(project: Project) -> None:
    record(project, labels=("conv",))
    done = project.run("label", "1", "-nothing", "+conv")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "exp-1: conv\n",
        "exp-1 has no label 'nothing'\n",
    )
    assert project.git("for-each-ref", "refs/notes") == ""


def test_a_bad_label_or_ref_changes_nothing(project: Project) -> None:
    record(project)
    assert "cannot be a label" in project.error("label", "1", "+good", "+a b")
    assert "at once" in project.error("label", "1", "+a", "-a")
    assert "which experiment?" in project.error("label", "+a")
    assert "no experiment 'exp-9'" in project.error("label", "1", "9", "+a", code=3)
    assert project.git("for-each-ref", "refs/notes") == ""


def test_notes_are_kept_in_order(project: Project) -> None:
    record(project)
    project.gitexp("note", "1", "first", "thought")
    project.write("why.txt", "second\nthought\n")
    project.gitexp("note", "1", "-F", "why.txt")
    assert json.loads(project.gitexp("show", "1", "--json"))["notes"] == [
        "first thought",
        "second\nthought",
    ]
    assert project.gitexp("list", "--where", "note ~ 'second'", "-c", "started").count("exp-1") == 1
    assert "needs a text" in project.error("note", "1")
    assert "given twice" in project.error("note", "1", "x", "-F", "why.txt")
    assert "no experiment" in project.error("note", "7", "x", code=3)


def test_what_rm_takes_away_its_own_words_bring_back(project: Project) -> None:
    made = [record(project), record(project, advance=False)]
    undo = project.gitexp("rm", "1", "2")
    assert project.tags() == []
    assert json.loads(project.gitexp("list", "--json")) == []
    for line in undo.splitlines():
        project.git(*line.split()[1:])
    assert project.tags() == ["exp-1", "exp-2"]
    assert project.git("rev-parse", "exp-2^{}") == made[1].id
    project.gitexp("rm", "2")
    assert record(project).name == "exp-3"  # a name is never given twice


def test_rm_takes_all_or_nothing(project: Project) -> None:
    made = record(project)
    project.git("update-ref", "refs/gitexp/remotes/origin/exp-8", record(project).tag)
    project.git("tag", "-d", "exp-2")
    assert "nothing was removed" in project.error("rm", "1", "origin/exp-8")
    assert "no experiment 'exp-9'" in project.error("rm", "1", "9", code=3)
    assert project.git("rev-parse", "exp-1") == made.tag


def completions(project: Project, line: str) -> list[str]:
    words = line.split(" ")
    env = {
        "_GITEXP_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    code = "from gitexp.cli import cli; cli(prog_name='gitexp')"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **env}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        capture_output=True,
        text=True,
        env=environment,
    )
    return [item.split(",", 1)[1] for item in done.stdout.splitlines() if item]


def test_the_shell_completes_experiments_params_and_metrics(project: Project) -> None:
    record(project, {"lr": 1, "log_every": 5}, {"loss": 1.0, "rmse": 2.0})
    record(project)
    assert completions(project, "gitexp show e") == ["exp-2", "exp-1"]
    assert completions(project, "gitexp label exp-1..") == [
        "exp-1..exp-2",
        "exp-1..exp-1",
        "exp-1..best:",
        "exp-1..worst:",
    ]
    assert completions(project, "gitexp show best:l") == ["best:loss"]
    assert completions(project, "gitexp best r") == ["rmse"]
    assert completions(project, "gitexp curve r") == ["rmse"]
    assert completions(project, "gitexp list --sort l") == ["labels", "loss", "log_every", "lr"]
    assert completions(project, "gitexp list --columns lr,r") == ["lr,rmse"]


def test_completion_is_silent_where_there_is_nothing(empty: Project) -> None:
    assert completions(empty, "gitexp show e") == []
