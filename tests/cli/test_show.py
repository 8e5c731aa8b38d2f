"""``gitexp show``, ``best`` and ``curve``."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from itertools import pairwise

import pytest

from conftest import Project
from gitexp.cli import plot
from recording import record

START = datetime(2026, 1, 31, 10, 0, tzinfo=timezone.utc)


def test_show_tells_everything(project: Project) -> None:
    parent = project.git("rev-parse", "HEAD")
    project.write("train.py", "print('better')\n")
    made = record(
        project, {"lr": 0.1, "opt": "adam"}, {"rmse": [20.0, 18.0, 19.0], "n": 5}, START,
        labels=("conv",), duration=75.2, title="Wider",
        note="First look.", group="g", command="python train.py", trailers={"Host": "box"},
    )  # fmt: skip
    project.gitexp("note", "1", "looks good")
    lines = project.gitexp("show", "exp-1", env={"TZ": "UTC"}).splitlines()
    assert lines == [
        f"exp-1  {made.short}  finished",
        "Wider",
        "",
        "started  2026-01-31 10:00:00 +0000 (2026-01-31), took 1m15s",
        "author   Ada <ada@example.org>",
        f"commit   {made.id}",
        f"parent   {parent}",
        "branch   main",
        "command  python train.py",
        "group    g",
        "labels   conv",
        "ran on   Python 3.11.7, 1 package (.gitexp/requirements.txt)",
        "host     box",
        "",
        "params",
        "  lr   0.1",
        "  opt  adam",
        "",
        "metrics",
        "        last  best              points",
        "  rmse    19  18 (min, step 1)       3",
        "  n        5                         1",
        "",
        "code changed since the parent",
        "  M train.py",
        "",
        "notes",
        "  First look.",
        "  looks good",
    ]


def test_show_as_json(project: Project) -> None:
    record(project, {"model.depth": 3}, {"rmse": [2.0, float("nan")]})
    shown = json.loads(project.gitexp("show", "--json"))
    assert shown["params"] == {"model": {"depth": 3}}
    assert shown["metrics"] == {"rmse": "nan"}
    assert shown["history"] == {
        "rmse": {"points": 2, "last": "nan", "last_step": 1, "best": 2.0, "best_step": 0}
    }
    assert {"change": "A", "path": "params.yml"} in shown["files"]
    assert "params.model.depth,3" in project.gitexp("show", "--csv")


def test_show_of_a_root_commit(empty: Project) -> None:
    empty.write("train.py", "1\n")
    record(empty, {"lr": 1})
    assert "A train.py" in empty.gitexp("show")


def test_show_of_nothing(project: Project) -> None:
    assert (
        project.error("show", code=3)
        == "there is no experiment yet; record one: gitexp run -- COMMAND"
    )
    record(project)
    assert (
        project.error("show", "exp-2", code=3)
        == "there is no experiment 'exp-2'. Did you mean 'exp-1'?"
    )


def test_best_goes_by_name_settings_and_options(project: Project) -> None:
    for rmse, size in ((2.0, 10), (1.0, 30), (3.0, 20)):
        record(project, {}, {"rmse": rmse, "size": size})
    assert project.gitexp("best", "rmse").startswith("exp-2 ")
    assert project.gitexp("best", "rmse", "--max").startswith("exp-3 ")
    assert project.gitexp("best", "rmse", "--where", "size < 25").startswith("exp-1 ")
    assert "Say --min or --max" in project.error("best", "size")
    assert project.gitexp("best", "size", "--min").startswith("exp-1 ")
    project.write(".gitexp.toml", '[metrics]\nsize = "max"\n')
    assert project.gitexp("best", "size").startswith("exp-2 ")
    assert "Did you mean 'rmse'" in project.error("best", "rmsee", code=3)
    assert "no experiment that fits" in project.error(
        "best", "rmse", "--where", "size > 99", code=3
    )


def test_curve_plots_without_any_library(project: Project) -> None:
    record(project, {}, {"loss": [1.0, 0.5, 0.25, 0.125], "acc": 1})
    record(project, {}, {"loss": [2.0, 1.0, float("nan"), 0.0]})
    shown = project.gitexp("curve", "1", "2", "loss", "--rows", "5").splitlines()
    assert shown[0] == "loss"
    assert shown[1].split()[0] == "2"
    assert shown[5].split()[0] == "0"
    assert shown[6].split() == ["0", "3"]
    assert shown[7:] == ["a  exp-1: 1 → 0.125", "b  exp-2: 2 → 0"]
    assert project.gitexp("curve", "loss").splitlines()[-1] == "a  exp-2: 2 → 0"
    rows = project.gitexp("curve", "1..2", "loss", "--csv").splitlines()
    assert (rows[0], len(rows)) == ("name,value,timestamp,step", 9)


def test_curve_says_what_is_missing(project: Project) -> None:
    record(project, {}, {"loss": 1})
    record(project, {}, {"acc": 1})
    done = project.run("curve", "1", "2", "loss")
    assert (done.returncode, done.stderr) == (0, "no metric 'loss' in exp-2\n")
    assert "Did you mean 'loss'" in project.error("curve", "1", "los", code=3)
    asked: list[tuple[str, ...]] = [
        ("curve", "2", "loss", *form) for form in ((), ("--json",), ("--csv",), ("--md",))
    ]
    kinds = ("curves", "scatter", "parallel", "importance", "bars")
    asked += [("plot", kind, "2", "-m", "loss", "-x", "acc", "-o", "a.svg") for kind in kinds]
    for call in [*asked, ("plot", "bars", "2", "-m", "loss", "-o", "a.html")]:
        said = project.error(*call, code=3)
        assert said == "none of these experiments has a metric 'loss'. There are: acc"
    assert "no experiment has a metric '1'" in project.error("curve", "loss", "1", code=3)


def test_a_curve_without_a_finite_value_is_not_drawn(project: Project) -> None:
    record(project, {}, {"loss": [math.inf] * 5})
    record(project, {}, {"loss": [1.0, math.inf]})
    done = project.run("curve", "1", "loss")
    assert (done.stdout, done.returncode) == ("loss\na  exp-1: inf → inf\n", 0)
    assert "nothing to draw" in done.stderr
    said = project.error("plot", "curves", "1", "-m", "loss", "-o", "chart.svg")
    assert said.endswith("has a history of 'loss' in finite numbers")


@pytest.mark.parametrize(
    "values", [[], [5.0], [5.0, 5.0], [math.inf, 1.0, math.nan], [1e308, -1e308]]
)
def test_any_curve_can_be_drawn(values: list[float]) -> None:
    drawn = list(plot.lines({"x": list(enumerate(values)), "y": []}, 20, 4))
    assert [len(cells) for _, cells in drawn] == [20] * 4


def test_thinning_keeps_little_and_the_extremes() -> None:
    points = [(float(at), math.sin(at) * (9 if at == 123_456 else 1)) for at in range(200_000)]
    thin = plot.thinned(points, keep=500)
    assert 400 < len(thin) < 1500
    assert {points[0], points[123_456], points[-1]} <= set(thin)
    assert max(after[0] - before[0] for before, after in pairwise(thin)) < 2000
