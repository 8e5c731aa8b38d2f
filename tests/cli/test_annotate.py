"""``gitexp label``, ``note`` and ``rm``, and what the shell offers at TAB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Project
from gitexp.repo import Repo
from gitexp.store import notes
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
    assert project.gitexp("label", "1", "--", "+all", "-h") == "exp-1: all\n"
    assert "no label 'x'" in project.run("label", "1", "--", "-x").stderr
    assert "gitexp label 1 +y" in project.error("label", "1", "y", code=3)
    assert "+1" not in project.error("label", "y", "1", code=3)


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


def noted(project: Project) -> list[str]:
    found: list[str] = json.loads(project.gitexp("show", "1", "--json"))["notes"]
    return found


def test_a_note_is_edited_and_removed_and_its_history_stays(project: Project) -> None:
    record(project)
    for text in ("first", "second", "third"):
        project.gitexp("note", "1", text)
    project.gitexp("note", "1", "--edit", "third,", "better")
    project.write("one.txt", "1st\n")
    project.gitexp("note", "1", "--edit", "--number", "1", "-F", "one.txt")
    assert noted(project) == ["1st", "second", "third, better"]
    project.gitexp("note", "1", "--edit", "third, best")
    project.gitexp("note", "1", "--remove", "--number", "2")
    assert noted(project) == ["1st", "third, best"]
    assert '"note": "second"' in project.git("log", "-p", "refs/notes/gitexp")
    project.gitexp("note", "1", "--remove")
    assert noted(project) == ["1st"]


def test_edits_of_two_clones_read_alike_in_whichever_order_their_lines_are_merged() -> None:
    lines = [
        b'{"at": "2026-01-01", "note": "old"}',
        b'{"at": "2026-01-01", "note": "of the same moment"}',
        b'{"at": "2026-01-02", "note": "new", "replaces": "2026-01-01"}',
        b'{"at": "2026-01-03", "note": "last"}',
        b'{"at": "2026-01-04", "replaces": "2026-01-03"}',
    ]
    both = [notes.parse(b"\n".join(some)) for some in (lines, lines[::-1])]
    assert both[0] == both[1]
    # of two notes of one moment, none is lost
    assert len(both[0].texts) == 2
    assert "new" in both[0].texts
    assert "last" not in both[0].texts


def test_a_note_that_is_not_there_is_neither_edited_nor_removed(project: Project) -> None:
    record(project, note="of the commit")
    assert "exp-1 has no note that was added later" in project.error("note", "1", "--remove")
    project.gitexp("note", "1", "one")
    assert "exp-1 has 1 note" in project.error("note", "1", "--edit", "--number", "2", "x")
    assert "no terminal" in project.error("note", "1", "--edit")
    assert "leave one out" in project.error("note", "1", "--remove", "x")
    assert "--edit or --remove" in project.error("note", "1", "--number", "1", "x")
    assert notes.events_of(
        Repo.discover(project.root), project.git("rev-parse", "exp-1^{}")
    ).texts == ("one",)
    project.gitexp("note", "1", "two")
    assert "has 2 notes that were" in project.error("note", "1", "--remove", "--number", "5")


def test_experiments_are_labelled_and_removed_by_a_condition(project: Project) -> None:
    for status in ("failed", "finished", "failed"):
        record(project, status=status)
    done = project.gitexp("label", "--where", "status = failed", "+broken")
    assert done == "exp-3: broken\nexp-1: broken\n"
    refused = project.error("rm", "--where", "label = broken")
    assert "removes 2 experiments (exp-3, exp-1), and nobody is here to ask" in refused
    assert len(project.tags()) == 3
    undo = project.gitexp("rm", "--where", "label = broken", "--yes")
    assert project.tags() == ["exp-2"]
    subprocess.run(["sh", "-e"], input=undo, text=True, cwd=project.root, check=True)
    assert project.tags() == ["exp-1", "exp-2", "exp-3"]
    assert "no experiment matches" in project.error("rm", "--where", "status = killed", code=3)
    assert "which experiment?" in project.error("rm")


def test_rm_asks_at_a_terminal_before_a_condition_removes_anything(project: Project) -> None:
    terminal = pytest.importorskip("terminal")
    record(project, status="failed")
    for answer, left in (("n", ["exp-1"]), ("y", [])):
        asked = terminal.Terminal(
            project.root, sys.executable, "-m", "gitexp", "rm", "--where", "status = failed"
        )
        asked.until("Remove 1 experiment (exp-1)?")
        asked.type(f"{answer}\n")
        asked.done(130 if left else 0)
        asked.close()
        assert project.tags() == left


def test_a_note_is_edited_in_the_users_editor(project: Project) -> None:
    terminal = pytest.importorskip("terminal")
    record(project)
    project.gitexp("note", "1", "too high")
    command = (sys.executable, "-m", "gitexp", "note", "1", "--edit")
    screen = terminal.Terminal(project.root, *command, EDITOR="sed -i s/high/low/", VISUAL="")
    screen.done()
    screen.close()
    assert noted(project) == ["too low"]


def test_the_line_that_undoes_rm_works_when_it_is_typed(project: Project) -> None:
    record(project, name="a;b&$(c)'d")
    undo = project.gitexp("rm", "a;b&$(c)'d")
    subprocess.run(["sh", "-e"], input=undo, text=True, cwd=project.root, check=True)
    assert project.tags() == ["a;b&$(c)'d"]
    above = project.root.parent
    undo = project.gitexp("-C", project.root.name, "rm", "@", cwd=above)
    subprocess.run(["sh", "-e"], input=undo, text=True, cwd=above, check=True)
    assert project.tags() == ["a;b&$(c)'d"]


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
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **env}
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


def test_a_renamed_experiment_has_two_names_and_one_row(project: Project) -> None:
    made = record(project, {"lr": 1}, {"rmse": 2.0})
    record(project)
    tags = project.git("for-each-ref", "refs/tags")
    assert project.gitexp("rename", "1", "baseline") == "exp-1, also called baseline\n"
    assert project.git("for-each-ref", "refs/tags") == tags
    rows = json.loads(project.gitexp("list", "--json"))
    assert [(row["name"], row["alias"]) for row in rows] == [("exp-2", None), ("exp-1", "baseline")]
    assert "exp-1 (baseline)" in project.gitexp("list")
    for ref in ("baseline", "exp-1", "1"):
        assert json.loads(project.gitexp("show", ref, "--json"))["id"] == made.id
    assert json.loads(project.gitexp("list", "baseline..2", "--json")) == rows
    assert json.loads(project.gitexp("list", "--where", "alias = baseline", "--json")) == rows[1:]
    assert completions(project, "gitexp show b") == ["baseline", "best:rmse"]
    project.gitexp("rename", "baseline", "baseline-v2")
    said = project.error("show", "baseline", code=3)
    assert "no experiment 'baseline'. Did you mean 'baseline-v2'?" in said
    project.gitexp("verify", "baseline-v2")
    project.gitexp("rename", "baseline-v2", "exp-1")
    assert "no experiment 'baseline-v2'" in project.error("show", "baseline-v2", code=3)


def test_a_second_name_is_no_others(project: Project) -> None:
    record(project, name="first")
    record(project)
    project.gitexp("rename", "exp-1", "good")
    for taken in ("exp-1", "good", "main", "HEAD", "exp-9", "a b"):
        project.error("rename", "first", taken)
    assert "is a name of exp-1" in project.error("log", "--name", "good", "-M", "a=1")


def test_a_name_that_two_clones_gave_is_the_first_ones(project: Project) -> None:
    made = [record(project), record(project)]
    repo = Repo.discover(project.root)
    notes.add(repo, [made[1].id], [{"alias": "best", "at": "2026-01-01"}])
    notes.add(repo, [made[0].id], [{"alias": "best", "at": "2026-01-02"}])
    rows = json.loads(project.gitexp("list", "--json"))
    assert [row["alias"] for row in rows] == ["best", f"best-{made[0].id[:7]}"]
    assert json.loads(project.gitexp("show", "best", "--json"))["name"] == "exp-2"
    assert json.loads(project.gitexp("show", rows[1]["alias"], "--json"))["name"] == "exp-1"
    project.gitexp("rename", "2", "exp-2")
    assert json.loads(project.gitexp("show", "best", "--json"))["name"] == "exp-1"


def test_a_second_name_goes_along_with_push_and_pull(project: Project, tmp_path: Path) -> None:
    project.git("init", "-q", "--bare", str(tmp_path / "remote"))
    project.git("remote", "add", "origin", str(tmp_path / "remote"))
    record(project)
    project.gitexp("rename", "1", "baseline")
    project.gitexp("push", "origin")
    project.git("clone", "-q", str(tmp_path / "remote"), str(tmp_path / "other"))
    other = Project(tmp_path / "other")
    other.git("config", "user.name", "Bob")
    other.git("config", "user.email", "bob@example.org")
    other.gitexp("pull", "origin")
    assert json.loads(other.gitexp("show", "baseline", "--json"))["alias"] == "baseline"
    rows = json.loads(other.gitexp("list", "--all", "--json"))
    assert [row["alias"] for row in rows] == ["baseline"]
