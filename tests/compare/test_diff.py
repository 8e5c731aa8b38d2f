"""``gitexp diff``: what differs between two experiments, or between one and the work tree, and
nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project
from gitexp.formats import environment
from recording import REQUIREMENTS, record

CODE = "def f(x):\n    return x\n\n\nif __name__ == '__main__':\n    print(f(1))\n"


@pytest.fixture
def two(project: Project) -> Project:
    """Two experiments that differ in everything that can differ."""
    project.write("old/name.py", CODE)
    project.write("model.bin", b"\0\1\2")
    record(
        project,
        {"lr": 0.1, "depth": 3, "net": {"act": "relu"}, "seed": 1},
        {"rmse": [3, 2], "acc": 0.5, "steps": 7},
        command="python train.py",
    )
    project.write("train.py", "print('training')\nprint('more')\n")
    project.write("model.bin", b"\0\1\3")
    (project.root / "README.md").unlink()
    project.write("new/name.py", project.git("show", "HEAD:old/name.py") + "\n")
    (project.root / "old/name.py").unlink()
    record(
        project,
        {"lr": 0.2, "net": {"act": "tanh", "bias": True}, "seed": 1},
        {"rmse": [2.5, 1.5], "acc": 0.25, "f1": 0.125, "steps": 7},
        command="python train.py --lr 0.2",
        requirements=REQUIREMENTS.replace("1.26.4", "2.1.0") + "scipy==1.14.0\n",
        artifacts={".gitexp/artifacts/roc.txt": b"curve\n", ".gitexp/output.log": b"2 s\n"},
    )
    return project


def test_all_that_differs_is_told_as_people_read_it(two: Project) -> None:
    short = [two.git("rev-parse", "--short=10", f"exp-{at}^{{}}") for at in (1, 2)]
    assert (
        two.gitexp("diff", "exp-1", "exp-2")
        == f"""\
exp-1 ({short[0]}) -> exp-2 ({short[1]})

params
            exp-1  exp-2
  depth     3             removed
  lr        0.1    0.2
  net.act   relu   tanh
  net.bias         true   added

metrics
        exp-1  exp-2  difference        %
  acc     0.5   0.25       -0.25  -50.00%  worse
  f1           0.125                       added
  rmse      2    1.5        -0.5  -25.00%  better

code
     file                         +   -
  D  README.md                   +0  -1
  M  model.bin (binary)
  R  old/name.py -> new/name.py  +0  -0
  M  train.py                    +1  -0

artifacts
     file                        +   -
  A  .gitexp/artifacts/roc.txt  +1  -0

environment
         exp-1   exp-2
  numpy  1.26.4  2.1.0
  scipy          1.14.0  added

command
  exp-1  python train.py
  exp-2  python train.py --lr 0.2
"""
    )


def test_json_says_the_same_for_programs(two: Project) -> None:
    found = json.loads(two.gitexp("diff", "1", "2", "--json"))
    assert found["params"][0] == {"name": "depth", "kind": "removed", "a": 3, "b": None}
    assert {
        "name": "rmse",
        "a": 2.0,
        "b": 1.5,
        "difference": -0.5,
        "percent": -25.0,
        "better": True,
    } in found["metrics"]
    assert {
        "path": "new/name.py",
        "status": "renamed",
        "added": 0,
        "removed": 0,
        "old_path": "old/name.py",
    } in found["code"]
    assert found["command"] == ["python train.py", "python train.py --lr 0.2"]
    assert "same_params" not in found
    whole = json.loads(two.gitexp("diff", "1", "2", "--json", "--same"))
    assert (whole["same_params"], whole["same_metrics"]) == ({"seed": 1}, {"steps": 7})


def test_python_gets_the_same_as_values(two: Project) -> None:
    found = gitexp.diff("exp-1", "exp-2")
    assert [(item.name, item.a, item.b) for item in found.params if item.kind == "changed"] == [
        ("lr", 0.1, 0.2),
        ("net.act", "relu", "tanh"),
    ]
    assert next(item for item in found.metrics if item.name == "acc").better is False
    assert {item.path: item.binary for item in found.code}["model.bin"]
    assert not gitexp.diff("exp-1", "exp-1").differs


def test_python_takes_numbers_as_get_does_and_says_what_is_no_experiment(two: Project) -> None:
    assert gitexp.diff(1, 2) == gitexp.diff("exp-1", gitexp.get(2)) == gitexp.diff("1", 2)
    wrong: Any
    for wrong in (None, 1.5, {}):
        with pytest.raises(gitexp.UsageError, match="is no experiment; give its name"):
            gitexp.diff(wrong)


def test_markdown_is_tables(two: Project) -> None:
    lines = two.gitexp("diff", "1", "2", "--md").splitlines()
    assert lines[0] == "## exp-1 -> exp-2"
    assert [line for line in lines if line.startswith("### ")] == [
        "### Params",
        "### Metrics",
        "### Code",
        "### Artifacts",
        "### Environment",
        "### Command",
    ]


def test_the_other_way_round_everything_is_reversed(two: Project) -> None:
    there, back = (
        json.loads(two.gitexp("diff", *pair, "--json")) for pair in (("1", "2"), ("2", "1"))
    )
    assert [(item["name"], item["a"], item["b"]) for item in back["params"]] == [
        (item["name"], item["b"], item["a"]) for item in there["params"]
    ]
    assert [item["difference"] for item in back["metrics"]] == [
        item["difference"] and -item["difference"] for item in there["metrics"]
    ]


def test_a_patch_of_the_code_can_be_applied_and_holds_no_results(
    two: Project, tmp_path: Path
) -> None:
    patch = tmp_path / "code.patch"
    patch.write_text(two.gitexp("diff", "1", "2", "--code"))
    assert "metrics.csv" not in patch.read_text()
    two.git("checkout", "-q", "exp-1")
    two.git("apply", "--index", str(patch))
    assert two.gitexp("diff", "exp-2", "--code") == ""
    assert two.gitexp("diff", "1", "2", "--code", "--path", "train.py").count("diff --git") == 1


def test_two_sides_can_be_said_as_a_range(two: Project) -> None:
    whole = two.gitexp("diff", "1", "2", "--json")
    assert two.gitexp("diff", "exp-1..exp-2", "--json") == whole
    assert two.gitexp("diff", "best:acc..@", "--json") == whole
    assert "no experiment 'exp-9'" in two.error("diff", "1", "exp-9", code=3)


def test_nothing_that_differs_is_said_and_the_exit_code_tells_on_request(two: Project) -> None:
    assert two.gitexp("diff", "1", "1", "--exit-code").splitlines()[1:] == ["no difference"]
    two.gitexp("diff", "1", "2", "--exit-code", code=1)
    two.gitexp("diff", "1", "2", "--exit-code", "--code", "--path", "nothing", code=0)


@pytest.fixture
def one(project: Project) -> Project:
    """An experiment on what this interpreter has."""
    record(project, {"lr": 0.2}, {"rmse": 2}, requirements=environment.requirements())
    return project


def test_the_work_tree_is_compared_as_it_is_and_stays_so(one: Project) -> None:
    assert "no difference" in one.gitexp("diff")
    one.write("train.py", "print('edited')\n")
    one.write("untracked.py", "1\n")
    one.write("params.yml", "lr: 0.5\n")
    one.git("add", "-N", "untracked.py")
    before = one.git("status", "--porcelain"), one.git("stash", "list"), one.git("ls-files", "-s")
    found = json.loads(one.gitexp("diff", "--json"))
    assert found["b"] == "work tree"
    assert {item["path"]: item["status"] for item in found["code"]} == {
        "train.py": "changed",
        "untracked.py": "added",
    }
    assert {"name": "lr", "kind": "changed", "a": 0.2, "b": 0.5} in found["params"]
    assert (
        one.git("status", "--porcelain"),
        one.git("stash", "list"),
        one.git("ls-files", "-s"),
    ) == before


def test_untracked_files_that_no_run_would_take_are_named(one: Project) -> None:
    one.write(
        "key.pem",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----\n",
    )
    done = one.run("diff")
    assert "not compared: key.pem" in done.stderr
    assert "no difference but in files that were not compared" in done.stdout


@pytest.mark.parametrize(
    ("a", "b", "shown"),
    [
        (0.01, 0.25, "+0.24  x25"), (1.0, 1.5, "+50.00%"), (1e-9, 5000.0, "+5000"),
        (1e-9, -5000.0, "-5000"), (1.0, 9999.0, "x9999"), (-2.0, 18.0, "+20"),
        (0.0, 1.0, "+1"), (1e-320, 1.0, "+1"),
    ],
)  # fmt: skip
def test_a_large_share_is_readable(project: Project, a: float, b: float, shown: str) -> None:
    for value in (a, b):
        record(project, {}, {"m": value})
    assert project.gitexp("diff", "1", "2").splitlines()[-1].endswith(f"  {shown}")


@pytest.mark.parametrize(
    ("a", "b", "percent"),
    [
        (0.0, 1.0, None),
        (-2.0, -1.0, 50.0),
        (math.inf, 1.0, None),
        (math.nan, 1.0, None),
        (1e-300, 1e300, None),
    ],
)
def test_metrics_of_any_value_are_compared(
    project: Project, a: float, b: float, percent: float | None
) -> None:
    record(project, {}, {"loss": a})
    record(project, {}, {"loss": b})
    (found,) = gitexp.diff("1", "2").metrics
    assert found.percent == percent or math.isinf(found.percent or 0)
    assert "loss" in project.gitexp("diff", "1", "2")


def test_values_that_say_the_same_do_not_differ(project: Project) -> None:
    record(project, {"a": 1, "b": [1, 2.0], "c": True, "d": None}, {"loss": math.nan})
    record(project, {"a": 1.0, "b": [1.0, 2], "c": 1, "d": "null"}, {"loss": math.nan})
    assert [(item.name, item.a, item.b) for item in gitexp.diff("1", "2").params] == [
        ("c", True, 1),
        ("d", None, "null"),
    ]
    assert gitexp.diff("1", "2").metrics == ()


@pytest.mark.parametrize("text", ['"yes" he said', "[unclosed", "{", "'"])
def test_text_that_only_begins_like_yaml_is_compared(project: Project, text: str) -> None:
    for value in ("plain", text):
        record(project, {"prompt": value}, {"a": 1})
    assert f"prompt  plain  {text!r}\n" in project.gitexp("diff", "exp-1", "exp-2")


def test_numbers_that_round_alike_are_told_apart(project: Project) -> None:
    record(project, {"lr": 0.1}, {"loss": 0.12345678})
    record(project, {"lr": 0.1 + 1e-12}, {"loss": 0.12345679})
    printed = project.gitexp("diff", "1", "2")
    assert "0.12345678" in printed
    assert "0.12345679" in printed
    assert "0.100000000001" in printed


def test_text_of_old_experiments_cannot_draw_on_the_terminal(project: Project) -> None:
    record(project, {"name": "\x1b[31mred\x1b]0;title\x07"})
    record(project, {"name": "a|b\n# c"})
    assert "\x1b" not in project.gitexp("diff", "1", "2")
    assert "\n# c" not in project.gitexp("diff", "1", "2", "--md")
