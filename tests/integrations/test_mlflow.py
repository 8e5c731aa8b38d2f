"""MLflow logs, gitexp commits: real MLflow in processes of its own, in real repositories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.integrations.mlflow import plugin
from mlflow_scripts import Training
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
    assert (
        done.out.split()[0]
        == project.git("rev-parse", "exp-1^{commit}")
        == project.git("rev-parse", "HEAD")
    )
    assert shown["params"] == {"lr": 0.1, "zip": "01234", "rate": 0.0001}
    assert shown["metrics"] == {"loss": 1 / 3, "late": 5.0}, (
        "what came after the end is in the experiment"
    )
    assert "'rate': '1e-4'" in done.out
    assert project.git("show", "exp-1:.gitexp/artifacts/notes/a.txt") == "hello"
    project.fsck()


@pytest.mark.parametrize("command", ["python3 train.py", "bash train.sh"])
def test_however_a_command_is_spelled_mlflow_finds_the_repository(
    project: Project, tmp_path: Path, command: str
) -> None:
    project.write(
        "train.py", "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('loss', 0.5)\n"
    )
    project.write(
        "train.sh",
        f"code=$PWD; mkdir '{tmp_path}/else%where'; cd '{tmp_path}/else%where'; exec python $code/train.py\n",
    )
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    done = project.run("run", "--", *command.split(), env=env, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    (shown,) = json.loads(project.gitexp("list", "--json"))
    assert shown["metrics"] == {"loss": 0.5}
    assert not project.git("status", "--short"), "nothing is left about"


def test_where_mlflow_stands_without_gitexp_its_address_stays_its_own(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "lib/python3.12/site-packages/mlflow-3.17.2.dist-info").mkdir(parents=True)
    train = tmp_path / "bin/train"
    train.parent.mkdir()
    train.write_text('#!/bin/sh\necho "address: $MLFLOW_TRACKING_URI"\n')
    train.chmod(0o755)
    assert "address: \n" in project.gitexp("run", "--", str(train))
    (tmp_path / "lib/python3.12/site-packages/gitexp-1.dist-info").mkdir()
    assert f"address: gitexp:{project.root}\n" in project.gitexp("run", "--", str(train))
    assert "address: gitexp:/other\n" in project.gitexp(
        "run", "--", str(train), env={"MLFLOW_TRACKING_URI": "gitexp:/other"}
    )


def test_a_script_that_left_the_repository_still_means_it(
    training: Training, tmp_path: Path
) -> None:
    training.run(
        f"import os, mlflow\nos.chdir({str(tmp_path)!r})\nwith mlflow.start_run():\n    mlflow.log_metric('a', 1)\n"
    )
    (shown,) = training.experiments().values()
    assert shown["metrics"] == {"a": 1.0}


def test_inside_gitexp_run_the_first_mlflow_run_is_the_run_of_the_command(project: Project) -> None:
    project.write(
        "train.py",
        "import mlflow\nwith mlflow.start_run():\n    mlflow.log_param('lr', 0.1)\n    mlflow.log_metric('loss', 0.5)\n",
    )
    done = project.run(
        "run",
        "--",
        sys.executable,
        "train.py",
        env={"MLFLOW_DISABLE_TELEMETRY": "true"},
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stderr
    (shown,) = json.loads(project.gitexp("list", "--json"))
    assert (shown["params"], shown["metrics"]) == ({"lr": 0.1}, {"loss": 0.5})
    assert project.git("rev-parse", "HEAD") == project.git("rev-parse", "exp-1^{commit}")


WORDED = """
import mlflow
with mlflow.start_run() as run:
    mlflow.log_param("batch", 32)
    mlflow.log_params({"layers": [1, 2, 3], "big": 1000, "model.lr": 0.1, "error_score": float("nan")})
    print(mlflow.get_run(run.info.run_id).data.params)
    try:
        mlflow.log_param("batch", 64)
    except mlflow.MlflowException as error:
        print(error)
"""


def test_the_scripts_word_on_a_param_wins_over_the_command_line(project: Project) -> None:
    project.write("train.py", WORDED)
    said = [
        "batch=auto",
        "--big",
        "1_000",
        "model.lr=0.1,0.2",
        "--layers",
        "1",
        "2",
        "3",
        "--only",
        "5",
    ]
    out = project.gitexp(
        "run", "--", sys.executable, "train.py", *said, env={"MLFLOW_DISABLE_TELEMETRY": "true"}
    )
    assert "'batch': '32'" in out
    assert "Changing param values is not allowed" in out, (
        "twice in the script is MLflow's error as ever"
    )
    (shown,) = json.loads(project.gitexp("list", "--json"))
    assert shown["params"] == {
        "batch": 32, "layers": [1, 2, 3], "big": 1000, "model.lr": 0.1, "error_score": "nan",
        "only": 5,
    }  # fmt: skip
    project.gitexp("verify", "exp-1")


def test_the_oldest_mlflow_is_the_same_for_pip_for_ci_and_for_us() -> None:
    oldest = ".".join(map(str, plugin.OLDEST))
    root = Path(__file__).parents[2]
    assert f'"mlflow>={oldest}"' in (root / "pyproject.toml").read_text()
    assert f"'mlflow=={oldest}.*'" in (root / ".ci/run").read_text()


def test_the_control_of_mlflows_own_tests_is_mlflows_own_store(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_broken.py").write_text("import nothing_there\n")
    asked = "    mlflow.set_tracking_uri(f'sqlite:///{tmp_path}/a.db')\n    assert mlflow.get_tracking_uri()[:6] == 'sqlite'\n"
    (tmp_path / "tests/test_it.py").write_text(f"import mlflow\ndef test_it(tmp_path):\n{asked}")
    command = [
        sys.executable,
        str(Path(__file__).parents[1] / "upstream_mlflow.py"),
        str(tmp_path),
        "--continue-on-collection-errors",
    ]
    for options, end in ([], "1 failed"), (["--control"], "1 passed"):
        done = subprocess.run(
            [*command, *options, "tests"],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert end in done.stdout
        assert "1 error" in done.stdout, "one that cannot be imported is pytest's to report"


AUTOLOGGED = """
import gitexp, mlflow
gitexp.autolog()
mlflow.sklearn.autolog(log_models=False)
from sklearn.linear_model import Ridge
Ridge(alpha=0.5).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
"""


def test_one_line_records_what_scikit_learn_trains_without_mlflows_own_store(
    training: Training,
) -> None:
    pytest.importorskip("sklearn")
    project = training.project
    project.write("mlruns/0/meta.yaml", "plain: MLflow\n")
    training.run(AUTOLOGGED, MLFLOW_TRACKING_URI="")
    (shown,) = training.experiments().values()
    assert shown["params"]["alpha"] == 0.5
    assert "training_r2_score" in shown["metrics"]
    assert "mlruns/0/meta.yaml" not in project.git("ls-tree", "-r", "--name-only", "exp-1").split()


def test_each_job_of_a_multirun_is_the_mlflow_run_that_it_makes(project: Project) -> None:
    pytest.importorskip("hydra")
    project.commit(
        train_py="""import hydra, mlflow
from hydra.core.config_store import ConfigStore
ConfigStore.instance().store("config", {"lr": 0, "batch": "auto"})

@hydra.main(version_base=None, config_path=None, config_name="config")
def main(config):
    if config.lr == 3:
        return
    with mlflow.start_run():
        mlflow.log_param("batch", 32)
        mlflow.log_metric("loss", config.lr * 2)
        mlflow.log_text(str(config.lr), "lr.txt")

main()
"""
    )
    environ = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    words = ("run", "--", sys.executable, "train.py", "--multirun", "lr=1,2,3")
    project.gitexp(*words, env=environ)
    found = {name: gitexp.get(name) for name in project.tags()}
    assert sorted(
        (item.metrics.get("loss", 0), *item.params.values()) for item in found.values()
    ) == [
        (0, "auto", 3),
        (2, 32),
        (4, 32),
    ]
    for name, item in found.items():
        if "loss" in item.metrics:
            assert project.git("show", f"{name}:.gitexp/artifacts/lr.txt") in ("1", "2")
            assert "parent" not in item.extra["mlflow"]
