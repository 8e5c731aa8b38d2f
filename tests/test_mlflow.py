"""MLflow logs, gitexp commits: real MLflow in processes of its own, in real repositories."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from gitexp.cli.ui import _signals_stop_it
from mlflow_scripts import Training, until
from recording import record
from warm import DEADLINE

pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mlflow")]


SCRIPT = """
import mlflow
mlflow.set_tracking_uri("gitexp:.")
with mlflow.start_run() as run:
    mlflow.log_params({"lr": 0.1, "zip": "01234", "rate": "1e-4"})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.set_tag("team", "blue")
    mlflow.log_text("hello", "notes/a.txt")
mlflow.MlflowClient().log_metric(run.info.run_id, "late", 5.0)
found = mlflow.get_run(run.info.run_id)
print(found.data.tags["mlflow.source.git.commit"], found.data.params, found.data.metrics)
"""


def test_an_mlflow_run_is_an_experiment_whose_commit_mlflow_knows(training: Training) -> None:
    project = training.project
    done = training.run(SCRIPT)
    (shown,) = training.experiments().values()
    assert done.out.split()[0] == project.git("rev-parse", "exp-1^{commit}") == project.git("rev-parse", "HEAD")
    assert shown["params"] == {"lr": 0.1, "zip": "01234", "rate": 0.0001}
    assert shown["metrics"] == {"loss": 1 / 3, "late": 5.0}, "what came after the end is in the experiment"
    assert "'rate': '1e-4'" in done.out
    assert project.git("show", "exp-1:.gitexp/artifacts/notes/a.txt") == "hello"
    project.fsck()


def test_inside_gitexp_run_the_first_mlflow_run_is_the_run_of_the_command(project: Project) -> None:
    project.write(
        "train.py", "import mlflow\nwith mlflow.start_run():\n    mlflow.log_param('lr', 0.1)\n    mlflow.log_metric('loss', 0.5)\n"
    )
    done = project.run("run", "--", sys.executable, "train.py", env={"MLFLOW_DISABLE_TELEMETRY": "true"}, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    (shown,) = json.loads(project.gitexp("list", "--json"))
    assert (shown["params"], shown["metrics"]) == ({"lr": 0.1}, {"loss": 0.5})
    assert project.git("rev-parse", "HEAD") == project.git("rev-parse", "exp-1^{commit}")


def test_the_pages_show_experiments_that_mlflow_never_saw_and_take_edits_until_they_are_ended(project: Project) -> None:
    project.write("train.py", "x = 1\n")
    record(project, {"lr": 0.1}, {"rmse": [3.0, 2.0]}, group="small")
    record(project, {"lr": 0.2}, {"rmse": 1.5})
    command = [sys.executable, "-m", "gitexp", "ui", "--no-browser"]
    with subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as pages:
        try:
            assert pages.stdout is not None
            assert pages.stderr is not None
            api = f"{pages.stdout.readline().strip()}/api/2.0/mlflow"
            assert api.startswith("http://127.0.0.1:"), pages.stderr.read() if pages.poll() is not None else api
            groups = _asked(f"{api}/experiments/search", {"max_results": 10})["experiments"]
            wanted = {"experiment_ids": [group["experiment_id"] for group in groups], "max_results": 10}
            runs = {run["info"]["run_name"]: run for run in _asked(f"{api}/runs/search", wanted)["runs"]}
            edited = {"run_id": runs["exp-1"]["info"]["run_id"]}
            _asked(f"{api}/runs/set-tag", {**edited, "key": "mlflow.note.content", "value": "the best so far"})
            _asked(f"{api}/runs/set-tag", {**edited, "key": "gitexp.labels", "value": "good, keep"})
            with pytest.raises(urllib.error.HTTPError) as refused:
                _asked(f"{api}/runs/create", {"experiment_id": "0"})
            why = refused.value.read().decode()
        finally:
            pages.send_signal(signal.SIGTERM)
            try:
                pages.wait(DEADLINE)
            finally:
                pages.kill()
    assert pages.returncode == 0
    assert "small" in {group["name"] for group in groups}
    shown = {name: (_pairs(run["data"]["params"]), _pairs(run["data"]["metrics"])) for name, run in runs.items()}
    assert shown == {"exp-1": ({"lr": "0.1"}, {"rmse": 2.0}), "exp-2": ({"lr": "0.2"}, {"rmse": 1.5})}
    assert "records no runs" in why, "the server's snapshot would not be of what ran"
    found = {item["name"]: item for item in json.loads(project.gitexp("list", "--json"))}
    assert (found["exp-1"]["notes"], found["exp-1"]["labels"]) == (["the best so far"], ["good", "keep"])
    assert project.tags() == ["exp-1", "exp-2"]
    until(lambda: not _servers_of(project))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_first_signal_ends_the_pages_and_later_ones_do_not_disturb_that(name: str) -> None:
    number = getattr(signal, name)
    with pytest.raises(KeyboardInterrupt), _signals_stop_it():
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _servers_of(project: Project) -> list[Path]:
    """Return the processes of MLflow's servers of a repository, where the system tells."""
    mark = f"gitexp:{project.root}\0".encode()
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            found += [file.parent] if mark in file.read_bytes() else []
    return found


def _asked(address: str, what: dict[str, object]) -> dict[str, list[dict[str, Any]]]:
    ask = urllib.request.Request(address, json.dumps(what).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(ask, timeout=DEADLINE) as answer:
        found: dict[str, list[dict[str, Any]]] = json.load(answer)
        return found


def _pairs(items: list[dict[str, object]]) -> dict[object, object]:
    return {item["key"]: item["value"] for item in items}


AUTOLOGGED = """
import gitexp, mlflow
gitexp.autolog()
mlflow.sklearn.autolog(log_models=False)
from sklearn.linear_model import Ridge
Ridge(alpha=0.5).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
"""


def test_one_line_records_what_scikit_learn_trains_without_mlflows_own_store(training: Training) -> None:
    pytest.importorskip("sklearn")
    project = training.project
    project.write("mlruns/0/meta.yaml", "plain: MLflow\n")
    training.run(AUTOLOGGED, MLFLOW_TRACKING_URI="")
    (shown,) = training.experiments().values()
    assert shown["params"]["alpha"] == 0.5
    assert "training_r2_score" in shown["metrics"]
    assert "mlruns/0/meta.yaml" not in project.git("ls-tree", "-r", "--name-only", "exp-1").split()
