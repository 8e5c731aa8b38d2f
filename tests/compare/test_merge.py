"""Experiments merged: code by git, params by name, and the best of what is kept in few runs."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from conftest import Project
from recording import record

TRAIN = """import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--depth", type=int, default=3)
args = parser.parse_args()
parts = {file.name: float(file.read_text()) for file in pathlib.Path("parts").iterdir()}
gain = sum(parts.values()) + (args.lr == 0.2) + (args.depth == 4) * 0.5
if parts.get("a") and parts.get("b"):
    gain -= 0.25
print(f"loss={10 - gain}")
"""


@pytest.fixture
def base(project: Project) -> Project:
    """exp-1, the code that all others change."""
    project.write("parts/none", "0\n")
    project.commit("parts", train_py=TRAIN)
    record(project, {}, {"loss": 10.0}, command="python train.py", advance=False)
    return project


def planted(project: Project, files: dict[str, str], loss: float, words: str = "") -> str:
    """Record an experiment of these files over the base, and put the work tree back."""
    for path, text in files.items():
        project.write(path, text)
    command = f"python train.py {words}".strip()
    made = record(project, {}, {"loss": loss}, command=command, advance=False)
    project.git("checkout", "-q", "--", ".")
    project.git("clean", "-qfd")
    return made.name


def test_code_and_params_are_merged_run_and_recorded_on_a_merge_commit(base: Project) -> None:
    planted(base, {"parts/a": "1\n"}, 9.0, "--depth 4")
    planted(base, {"parts/b": "2\n"}, 7.0, "--lr 0.2")
    done = base.run("merge", "2", "3", "--yes")
    assert done.stdout.startswith("exp-4 "), done.stderr
    assert (
        "exp-4: loss=5.75 (exp-1 has 10; its changes, each measured alone, add up to 6:"
        " better than that by 0.25)"
    ) in done.stderr
    parents = base.git("log", "-1", "--format=%P", "exp-4^").split()
    assert parents == [base.git("rev-parse", f"exp-{at}^{{commit}}") for at in (2, 3)]
    assert base.git("show", "exp-4:parts/a", "exp-4:parts/b") == "1\n2"
    shown = json.loads(base.gitexp("show", "exp-4", "--json"))
    assert shown["command"].split() == ["python", "train.py", "--depth", "4", "--lr", "0.2"]
    assert "merges exp-2, exp-3" in base.gitexp("tree")
    assert "- merges: exp-2, exp-3" in base.gitexp("book")
    assert base.git("status", "--porcelain") == ""
    assert base.git("worktree", "list").count("\n") == 0
    base.fsck()


def test_a_program_that_the_experiments_rewrote_may_still_be_run(base: Project) -> None:
    base.write("run.sh", "echo\n").chmod(0o755)
    base.commit()
    for part in "ab":
        base.write(f"parts/{part}", "1\n")
        base.write("run.sh", f"echo {part}\n")
        rewrote = {"outputs": ["run.sh"]}
        command = "python train.py"
        record(base, {}, {"loss": 9.0}, command=command, extra=rewrote, advance=False)
        base.git("checkout", "-q", "--", ".")
        base.git("clean", "-qfd")
    base.gitexp("merge", "2", "3", "--yes")
    assert base.git("ls-tree", "exp-4", "run.sh").startswith("100755 ")


def test_three_are_merged_over_what_they_have_in_common(base: Project) -> None:
    for at, part in enumerate("bcd"):
        planted(base, {f"parts/{part}": f"{at + 1}\n"}, 9.0 - at)
    row = json.loads(base.gitexp("merge", "2", "3", "4", "--yes", "--json"))[0]
    assert (row["merges"], row["expected"], row["value"]) == (["exp-2", "exp-3", "exp-4"], 4, 4)


def test_a_conflict_is_named_and_nothing_is_run(base: Project) -> None:
    planted(base, {"parts/a": "1\n"}, 9.0, "--lr 0.3")
    planted(base, {"parts/a": "2\n"}, 8.0)
    planted(base, {}, 9.0, "--lr 0.2")
    assert "both change parts/a" in base.run("merge", "2", "3", "--yes").stderr
    done = base.run("merge", "2", "4", "--yes")
    assert done.returncode == 1
    assert "which lr? --lr 0.3 in exp-2, --lr 0.2 in exp-4; say it" in done.stderr
    assert len(base.tags()) == 4
    base.gitexp("merge", "2", "4", "--yes", "-p", "lr=0.2")
    assert json.loads(base.gitexp("show", "exp-5", "--json"))["metrics"] == {"loss": 8.0}


def test_params_files_are_merged_by_param_where_lines_are_in_the_way(project: Project) -> None:
    read = (
        "import yaml; v = yaml.safe_load(open('params.yaml')); print(f\"loss={v['a'] + v['b']}\")"
    )
    project.write("params.yaml", "a: 5\nb: 5\n")
    project.commit("params", train_py=read)
    record(project, {}, {"loss": 10.0}, command="python train.py", advance=False)
    planted(project, {"params.yaml": "a: 4\nb: 5\n"}, 9.0)
    planted(project, {"params.yaml": "a: 5\nb: 3\n"}, 8.0)
    row = json.loads(project.gitexp("merge", "2", "3", "--yes", "--json"))[0]
    assert (row["expected"], row["value"]) == (7, 7)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("2",), "two experiments or more"),
        ((), "two experiments or more"),
        (("2", "3", "--all-kept"), "two experiments or more"),
        (("2", "3"), "to run this command: gitexp merge 2 3 --yes"),
        (("2", "3", "-p", "lr=1 2"), "to run this command: gitexp merge 2 3 -p 'lr=1 2' --yes"),
        (("2", "2", "--yes"), "two experiments or more"),
    ],
)
def test_what_cannot_be_merged_is_said(base: Project, args: tuple[str, ...], why: str) -> None:
    planted(base, {"parts/a": "1\n"}, 9.0)
    planted(base, {"parts/b": "1\n"}, 9.0)
    assert why in base.run("merge", *args).stderr
    assert len(base.tags()) == 3


@pytest.mark.slow
def test_the_best_of_what_is_kept_is_found_in_two_runs_for_each(
    base: Project, tmp_path: Path
) -> None:
    """Planted: gains in files of their own, some of two in one file, some that spoil another."""
    count = int(os.environ.get("TESTS_KEPT", "8"))
    dice = random.Random(5)
    groups: dict[str, float] = {}
    for at in range(count):
        gain = round(dice.uniform(0.1, 2.0), 3)
        group = f"part{at // 2 if at % 8 < 2 else f'{at}x'}"  # a quarter shares a file with another
        groups[group] = max(groups.get(group, 0.0), gain)
        planted(base, {f"parts/{group}": f"{gain}\n"}, 10 - gain)
    planted(base, {"parts/a": "0.2\n"}, 9.8)
    planted(base, {"parts/b": "0.1\n"}, 9.9)  # together 0.05, so a alone is better
    best = 10 - sum(groups.values()) - 0.2
    kept = [f"exp-{at}" for at in range(2, count + 4)]
    base.gitexp("keep", *kept)
    name = base.gitexp("merge", "--all-kept", "--yes").split()[0]
    got = json.loads(base.gitexp("show", name, "--json"))["metrics"]["loss"]
    assert 10 - got >= 0.95 * (10 - best)
    assert len(base.tags()) - 1 - len(kept) <= 2 * len(kept)


def test_a_params_file_behind_a_filter_is_merged_as_it_reads_and_kept_as_git_keeps_it(
    project: Project,
) -> None:
    project.git("config", "filter.turned.clean", "rev")
    project.git("config", "filter.turned.smudge", "rev")
    project.write(".gitattributes", "params.yaml filter=turned\n")
    read = (
        "import yaml; v = yaml.safe_load(open('params.yaml')); print(f\"loss={sum(v.values())}\")"
    )
    project.write("params.yaml", "first: 5\nsecond: 5\n")
    project.commit("params", train_py=read)
    record(project, {}, {"loss": 10.0}, command="python train.py", advance=False)
    planted(project, {"params.yaml": "first: 4\nsecond: 5\n"}, 9.0)
    planted(project, {"params.yaml": "first: 5\nsecond: 3\n"}, 8.0)
    row = json.loads(project.gitexp("merge", "2", "3", "--yes", "--json"))[0]
    assert row["value"] == 7
    assert project.git("cat-file", "blob", "exp-4:params.yaml") == "4 :tsrif\n3 :dnoces"


def test_a_params_file_that_cannot_be_read_is_nothing_to_merge(project: Project) -> None:
    project.write("params.yaml", "- 1\n")
    project.commit("params", train_py="print('loss=1')")
    record(project, {}, {"loss": 10.0}, command="python train.py", advance=False)
    planted(project, {"params.yaml": "- 2\n"}, 9.0)
    planted(project, {"params.yaml": "- 3\n"}, 8.0)
    done = project.run("merge", "2", "3", "--yes")
    assert done.returncode == 1
    said = "exp-2 and exp-3 both change params.yaml, which cannot be read: params.yaml must hold a"
    assert said in done.stderr.splitlines()[-1]
    assert project.tags() == ["exp-1", "exp-2", "exp-3"]


def test_a_merge_that_cannot_be_recorded_waits_for_recover(base: Project) -> None:
    base.write(".gitattributes", "metrics.csv filter=refusing\n")
    base.commit("attributes")
    record(base, {}, {"loss": 10.0}, command="python train.py", advance=False)
    planted(base, {"parts/a": "1\n"}, 9.0)
    planted(base, {"parts/b": "2\n"}, 8.0)
    base.git("config", "filter.refusing.clean", "false")
    base.git("config", "filter.refusing.required", "true")
    done = base.run("merge", "3", "4", "--yes")
    assert done.returncode == 125
    assert "it waits on disk for `gitexp recover`" in done.stderr
    base.git("config", "--remove-section", "filter.refusing")
    base.gitexp("recover")
    made = json.loads(base.gitexp("show", "exp-5", "--json"))
    assert made["metrics"] == {"loss": 7.25}
    assert "Gitexp-Merges" in base.git("log", "-1", "--format=%B", "exp-5")
