"""What ``gitexp export`` writes for other trackers is read by those trackers' own packages, and by
``gitexp import``, as it was logged."""

from __future__ import annotations

import json
import math
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import gitexp
from conftest import Project

PARAMS = {"lr": 0.01, "deep": {"er": 2}, "on": True, "name": "adam"}
VALUES = [(0, 0.5), (5, math.nan), (10, 0.25)]


@pytest.fixture
def logged(project: Project) -> Project:
    """A repository with one experiment of three values."""
    project.commit("start", train_py="x = 1")
    with gitexp.start_run(PARAMS, group="night", labels=["paper"], note="a note") as run:
        for step, value in VALUES:
            run.log_metric("val/loss", value, step)
    return project


def come_back(logged: Project, tool: str, place: Path) -> gitexp.Experiment:
    """Import what was exported as a second experiment, and compare what every tool keeps."""
    logged.gitexp("import", tool, str(place))
    found = gitexp.get("exp-2")
    assert found.params == {"lr": 0.01, "deep.er": 2, "on": True, "name": "adam"}
    points = [(point.name, point.step, str(point.value)) for point in found.points()]
    assert points == [("val/loss", step, str(value)) for step, value in VALUES]
    before = [point.timestamp for point in gitexp.get("exp-1").points()]
    assert [point.timestamp for point in found.points()] == pytest.approx(before, abs=2)
    return found


@pytest.mark.slow
def test_event_files_come_back(logged: Project) -> None:
    pytest.importorskip("tensorboard")
    logged.gitexp("export", "tensorboard", "-o", "../runs")
    assert come_back(logged, "tensorboard", logged.root.parent / "runs").status == "finished"
    said = logged.error("export", "tensorboard", "-o", "../runs", code=2)
    assert "runs is a folder already" in said


@pytest.mark.slow
def test_event_files_hold_the_times_of_the_experiment_and_not_of_the_export(
    project: Project,
) -> None:
    pytest.importorskip("tensorboard")
    gitexp.log({"lr": 1}, {"loss": 1.0})
    with gitexp.start_run() as run:
        run.log_metric("loss", 2.0)
    time.sleep(1.1)
    project.gitexp("export", "tensorboard", "-o", "../runs")
    project.gitexp("import", "tensorboard", "../runs")
    for made, found in ((1, 3), (2, 4)):
        before, after = gitexp.get(made), gitexp.get(found)
        assert after.metrics == before.metrics
        assert after.duration == (before.duration and pytest.approx(before.duration, abs=0.1))
        assert abs(after.started - before.started).total_seconds() < 0.9


@pytest.mark.slow
def test_runs_of_wandb_come_back(logged: Project) -> None:
    pytest.importorskip("wandb")
    logged.gitexp("export", "wandb", "-o", "../logs", "--project", "mine")
    found = come_back(logged, "wandb", logged.root.parent / "logs" / "wandb")
    assert (found.group, found.labels, found.subject) == ("night", ("paper",), "exp-1")


@pytest.mark.slow
def test_a_project_of_trackio_comes_back_and_grows_once(logged: Project) -> None:
    pytest.importorskip("trackio")
    folder = logged.root.parent / "trackio"
    for said in ("added 1 experiment", "added 0 experiments; 1 were there already"):
        done = logged.run("export", "trackio", "--project", "mine", "-o", str(folder))
        assert said in done.stderr
    assert come_back(logged, "trackio", folder).group == "night"


def entities(crate: Path, *types: str) -> Sequence[dict[str, object]]:
    graph = json.loads((crate / "ro-crate-metadata.json").read_text())["@graph"]
    return [item for item in graph if item["@type"] in types]


def test_a_crate_says_who_ran_what_with_which_result(logged: Project) -> None:
    rocrate = pytest.importorskip("rocrate.rocrate")
    crate = logged.root.parent / "crate"
    logged.gitexp("export", "crate", "exp-1", "-o", str(crate))
    assert rocrate.ROCrate(crate).name.startswith("exp-1: ")
    (action,) = entities(crate, "CreateAction")
    assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
    values = {str(item["@id"]): item["value"] for item in entities(crate, "PropertyValue")}
    assert values["#param/deep.er"] == 2
    assert values["#metric/val/loss"] == 0.25
    assert (crate / "metrics.csv").read_bytes() == gitexp.get("exp-1").read("metrics.csv")
    with zipfile.ZipFile(crate / "code.zip") as code:
        assert code.read("train.py") == b"x = 1"
