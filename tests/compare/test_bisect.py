"""Bisecting and attributing: the right commit and the right causes, in no more runs than needed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from conftest import Project
from gitexp.repo import Repo
from gitexp.runs import worktree

PYTHON = sys.executable
TRAIN = """
import random, sys
open({runs!r}, "a").write("run\\n")
from model import value
lr = next((float(word) for before, word in zip(sys.argv, sys.argv[1:]) if before == "--lr"), 0.0)
open("metrics.csv", "w").write(f"Name,Value,Timestamp,Step\\nrmse,{{value + lr}},0,0\\n")
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A file that gets one line for each time that the training really ran."""
    return tmp_path / "runs"


@pytest.fixture
def history(project: Project, runs: Path) -> Project:
    """Ten commits, of which the seventh made rmse worse and the fifth does not run; experiments at
    both ends."""
    project.commit("first", train_py=TRAIN.format(runs=str(runs)), model_py="value = 10\n")
    project.gitexp("run", "--no-advance", "--", PYTHON, "train.py")
    for at in range(2, 11):
        text = (
            "raise SystemExit('broken')\n"
            if at == 5
            else f"value = {10 if at < 7 else 20}\n# {at}\n"
        )
        project.commit(f"change {at}", model_py=text)
    project.gitexp("run", "--no-advance", "--", PYTHON, "train.py")
    runs.unlink()
    return project


def test_the_commit_is_found_and_shown(history: Project, runs: Path) -> None:
    """In a handful of runs, without touching the user's files or the user's own bisect state."""
    history.write("model.py", "the user's present work")
    done = history.run("bisect", "--metric", "rmse", "--max", "15", "exp-1", "exp-2", "--yes")
    assert done.returncode == 0, done.stderr
    assert "change 7" in done.stdout
    assert "+value = 20" in done.stdout
    assert 2 <= len(runs.read_text().splitlines()) <= 5
    assert (history.root / "model.py").read_text() == "the user's present work"
    assert not (history.root / ".git" / "BISECT_LOG").exists()
    assert len(history.git("worktree", "list").splitlines()) == 1
    assert worktree.leftovers(Repo.discover()) == []
    assert history.git("for-each-ref", "refs/bisect") == ""


def test_params_of_the_environment_are_named_since_runs_take_ours(project: Project) -> None:
    text = "import os, gitexp\nlr = float(os.environ.get('LR', 1))\n"
    project.commit("first", train_py=f"{text}gitexp.log_param('lr', lr)\nprint('rmse:', lr)\n")
    for at in (1, 3):
        project.commit(f"change {at}", README_md=f"{at}\n")
        project.run("run", "--no-advance", "--", PYTHON, "train.py", env={"LR": str(at)})
    found = "(lr): where an environment variable sets them, set it as it was for"
    bisect = ("bisect", "--metric", "rmse", "--max", "2", "--yes")
    assert f"{found} exp-2" in project.run(*bisect, "exp-1", "exp-2").stderr
    project.run("run", "--no-advance", "--", PYTHON, "train.py", "--lr=3", env={"LR": "3"})
    assert found not in project.run(*bisect, "exp-1", "exp-3").stderr


def test_recorded_experiments_answer_without_running(project: Project, runs: Path) -> None:
    """Each commit's experiment is there already, one of them several times."""
    project.commit(train_py=TRAIN.format(runs=str(runs)), model_py="value = 10\n")
    for at in range(1, 7):
        # of another size each time: Python's cache tells sources apart by size and second
        project.write("model.py", f"value = {10 if at < 4 else 20}\n{'#' * at}\n")
        project.gitexp("run", "-m", f"change {at}", "--", PYTHON, "train.py")
    runs.unlink()
    done = project.run("bisect", "--metric", "rmse", "--max", "15", "exp-1", "exp-6", "--yes")
    assert "change 4" in done.stdout
    assert "recorded" in done.stderr
    assert not runs.exists()


def test_repeats_fill_up_with_runs_and_show_the_interval(history: Project, runs: Path) -> None:
    done = history.run(
        "bisect", "--metric", "rmse", "--max", "15", "--repeats", "3", "exp-1", "exp-2", "--yes"
    )
    assert "change 7" in done.stdout
    assert "(10 to 10 in 3), run" in done.stderr
    assert len(runs.read_text().splitlines()) >= 6


def test_a_search_that_cannot_be_says_why(history: Project) -> None:
    assert "say what is good" in history.error(
        "bisect", "--metric", "rmse", "exp-1", "exp-2", "--yes"
    )
    done = history.run("bisect", "--metric", "rmse", "--max", "15", "exp-2", "exp-1", "--yes")
    assert done.returncode == 2
    assert "exp-2 has rmse=20" in done.stderr
    assert (
        "no metric 'r2'"
        in history.run("bisect", "--metric", "r2", "--max", "1", "exp-1", "exp-2", "--yes").stderr
    )
    assert (
        "--yes" in history.run("bisect", "--metric", "rmse", "--max", "15", "exp-1", "exp-2").stderr
    )


def test_no_commit_is_blamed_for_what_the_command_or_the_data_did(
    project: Project, runs: Path, tmp_path: Path
) -> None:
    """The good experiment's code is asked first, as the bad one was run."""
    data = tmp_path / "data.txt"
    data.write_text("10")
    reading = f"value = float(open({str(data)!r}).read())\n"
    project.commit(train_py=TRAIN.format(runs=str(runs)), model_py=reading)
    call = ("run", "--no-advance", "--input", str(data), "--", PYTHON, "train.py")
    project.gitexp(*call)
    for at in (1, 2):
        project.commit(f"docs {at}", README=str(at))
    project.gitexp(*call, "--lr", "9")
    data.write_text("20")
    project.gitexp(*call)
    for bad in ("exp-2", "exp-3"):
        done = project.run("bisect", "-m", "rmse", "--max", "15", "exp-1", bad, "--yes")
        assert done.returncode == 2
        assert "no commit made it worse" in done.stderr
        assert f"gitexp why exp-1 {bad} -m rmse" in done.stderr
        assert "docs" not in done.stdout


def test_a_change_is_taken_apart(project: Project, runs: Path) -> None:
    """Code did 5, the option 2, the params file 1.5, and one more option that does nothing 0."""
    script = TRAIN.format(runs=str(runs)).replace(
        "value + lr", "value + lr + yaml.safe_load(open('params.yaml'))['model']['bias']"
    )
    project.commit(
        _gitignore="__pycache__/\n",
        train_py="import yaml\n" + script,
        model_py="value = 10\n",
        params_yaml="model:\n  bias: 1.0\n  name: a\n",
    )
    project.gitexp("run", "--", PYTHON, "train.py", "--lr", "1")
    project.commit(model_py="value = 15.0\n", params_yaml="model:\n  bias: 2.5\n  name: a\n")
    project.gitexp("run", "--", PYTHON, "train.py", "--lr", "3", "--seed", "1")
    runs.unlink()
    rows = json.loads(project.gitexp("why", "exp-1", "exp-2", "--yes", "--json"))
    found = {row["what"]: row["change"] for row in rows}
    assert found == {
        "exp-1": None,
        "code: model.py": 5,
        "model.bias: 1.0 -> 2.5": 1.5,
        "lr: 1 -> 3": 2,
        "seed: none -> 1": 0,
        "together, and noise": 0,
        "exp-2": 8.5,
    }
    assert len(runs.read_text().splitlines()) == 5
    runs.unlink()
    rows = json.loads(project.gitexp("why", "exp-1", "exp-2", "--yes", "--json", "--budget", "3"))
    assert [row["change"] for row in rows] == [None, 5, 3.5, 0, 8.5]
    assert len(runs.read_text().splitlines()) == 3
    assert project.git("status", "--porcelain") == ""


def test_a_single_difference_needs_no_run(project: Project, runs: Path) -> None:
    project.commit(train_py=TRAIN.format(runs=str(runs)), model_py="value = 10\n")
    project.gitexp("run", "--", PYTHON, "train.py", "--lr", "1")
    project.gitexp("run", "--", PYTHON, "train.py", "--lr", "2")
    runs.unlink()
    shown = project.gitexp("why", "exp-1", "exp-2", "--yes")
    assert "lr: 1 -> 2" in shown
    assert "nothing else differs" in shown
    assert not runs.exists()
    project.gitexp("run", "--", PYTHON, "train.py", "--lr", "2")
    assert (
        "nothing that gitexp can try differs"
        in project.run("why", "exp-2", "exp-3", "--yes").stderr
    )
