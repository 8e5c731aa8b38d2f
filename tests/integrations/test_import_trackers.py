"""What trackers leave on disk becomes experiments, each once; a cut or foreign file is named and
stops nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from test_import_runs import imported

import gitexp
from conftest import Project
from gitexp.formats.errors import UsageError
from gitexp.formats.trackers.tools import TOOLS
from tracker_files import WRITERS

PARAMS = {"lr": 0.1, "model.depth": 3}
NAN = float("nan")
SEEN: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "sacred": (
        {**PARAMS, "seed": 1, "weights": [1.0, 2.0]},
        {"loss": 0.25, "acc": NAN, "result": 0.5},
    ),
    "trackio": (PARAMS, {"loss": 0.5, "val.acc": 1, "last": NAN}),
    "goodseed": ({**PARAMS, "fast": True}, {"loss": math.inf}),
    "comet": (PARAMS, {"loss": 0.5, "acc": NAN}),
    "clearml": (PARAMS, {"loss/train": 0.5, "best": 0.5}),
    "neptune": (PARAMS, {"train/loss": 0.5, "best": 0.5}),
    "ray": (PARAMS, {"loss": NAN, "val.acc": 0.9}),
    "catboost": ({}, {"learn/RMSE": 1.0, "learn/MAE": 1.5, "test/RMSE": 2.0, "test/MAE": 2.5}),
}


def files(place: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in place.rglob("*")}


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_a_run_comes_with_params_and_metrics_and_only_once(
    project: Project, tmp_path: Path, tool: str
) -> None:
    place = tmp_path / "left"
    WRITERS[tool](place)
    before = files(place)
    names = imported(project, tool, str(place))
    assert names == (["exp-1", "exp-2"] if tool == "sacred" else ["exp-1"])
    assert files(place) == before
    found = gitexp.get("exp-1")
    params, metrics = SEEN[tool]
    assert found.params == params
    assert found.metrics == pytest.approx(metrics, nan_ok=True)
    assert (found.status, found.started.year) == ("finished", 2026) or tool == "catboost"


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_a_cut_or_foreign_file_is_named_and_stops_nothing(
    project: Project, tmp_path: Path, tool: str
) -> None:
    place = tmp_path / "left"
    WRITERS[tool](place)
    file = next(path for path in sorted(place.rglob("*")) if is_read(path))
    whole = file.read_bytes()
    for name, data in {
        "a": whole[:40],
        "b": b"",
        "c": b"[1]",
        "d": b'{"x": 1}',
        "e": b"\xff",
    }.items():
        other = tmp_path / "left" / name / file.name
        other.parent.mkdir()
        other.write_bytes(data)
    done = project.run("import", tool, str(place))
    assert done.returncode == 0, done.stderr
    assert "exp-1" in done.stdout
    for name in "abcde":
        assert f"not read: {place}/{name}/{file.name}: " in done.stderr
    assert "Traceback" not in done.stderr


def is_read(path: Path) -> bool:
    endings = (
        ".db",
        ".sqlite",
        "run.json",
        "task.json",
        "data-1.log",
        "result.json",
        "training.json",
    )
    return path.is_file() and (path.name.endswith(endings) or path.name.startswith("58a60"))


def test_a_killed_run_is_killed_and_says_what_is_missing(project: Project, tmp_path: Path) -> None:
    WRITERS["sacred"](tmp_path / "left")
    done = project.run("import", "sacred", str(tmp_path / "left"))
    assert gitexp.get("exp-2").status == "killed"
    assert "no metrics.json is there" in done.stderr


def test_from_python_and_without_files(project: Project, tmp_path: Path) -> None:
    WRITERS["ray"](tmp_path / "left")
    (made,) = gitexp.import_runs("ray", tmp_path / "left", repo=project.root).experiments
    assert json.loads(json.dumps(made.params)) == PARAMS
    with pytest.raises(UsageError, match=r"there is no run.json below .*; give the folder"):
        gitexp.import_runs("sacred", tmp_path / "left", repo=project.root)
