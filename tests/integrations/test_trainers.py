"""The examples as their readers run them: each a real training in a process of its own, and what
becomes of it in git."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project
from gitexp.integrations.mlflow.sync import Follower
from gitexp.repo import Repo

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 900  # seconds, for a machine that is slow and busy
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # MLflow would import everything once more, to find out what a model needs
    "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "TQDM_DISABLE": "1",
    "KERAS_BACKEND": "torch",
}
pytestmark = pytest.mark.slow


class Training:
    """An example that ran in a repository."""

    def __init__(
        self, project: Project, example: str, *needs: str, by_gitexp_run: bool = False
    ) -> None:
        for name in needs:
            if importlib.util.find_spec(name) is None:
                pytest.skip(f"needs {name}")
        self.project = project
        self.text = (EXAMPLES / f"train_{example}.py").read_text()
        self.start = project.commit("before", train_py=self.text)
        command = [
            sys.executable,
            *(["-m", "gitexp", "run", "--", sys.executable] if by_gitexp_run else []),
            "train.py",
        ]
        address = {} if by_gitexp_run else {"MLFLOW_TRACKING_URI": "gitexp:."}
        done = subprocess.run(
            command, cwd=project.root, env={**os.environ, **ENVIRONMENT, **address},
            capture_output=True, text=True, timeout=PATIENCE,
            errors="replace",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.output = done.stdout + done.stderr

    def all(self) -> list[gitexp.Experiment]:
        """Return all experiments, each of which must name what ran: the code of the start, on the
        commit of the start."""
        found = [gitexp.get(name, self.project.root) for name in self.project.tags()]
        for made in found:
            assert made.status == "finished", self.output
            assert made.parent == self.start
            assert self.project.git("show", f"{made.id}:train.py") == self.text.strip()
        if (self.project.root / ".git/gitexp/mlflow/tracking.sqlite").exists():
            assert commits(self.project) == {made.id for made in found}, (
                "each run's source commit is the experiment's own"
            )
        self.project.fsck()
        assert not self.project.git("status", "--porcelain"), (
            "the training left the work tree as the experiment has it"
        )
        return found

    def only(self) -> gitexp.Experiment:
        """Return the one experiment, onto which the branch moved."""
        (made,) = self.all()
        assert self.project.git("rev-parse", "HEAD") == made.id
        return made

    def parent(self) -> tuple[gitexp.Experiment, list[gitexp.Experiment]]:
        """Return the experiment of the search, onto which the branch moved, and its trials, which
        stand beside and share a group."""
        found = self.all()
        (whole,) = (made for made in found if made.id == self.project.git("rev-parse", "HEAD"))
        trials = [made for made in found if made is not whole]
        assert len({made.group for made in trials}) == 1
        assert trials[0].group
        return whole, trials

    def files(self, made: gitexp.Experiment) -> set[str]:
        """Return the last parts of the names of all files in an experiment."""
        return {
            Path(line).name
            for line in self.project.git("ls-tree", "-r", "--name-only", made.id).splitlines()
        }


def commits(project: Project) -> set[str]:
    """Return the commits that MLflow says its runs ran on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        follower = Follower(Repo.discover(project.root))
        follower.catch_up()
    with closing(sqlite3.connect(follower.path)) as db:
        return {
            row[0]
            for row in db.execute("SELECT value FROM tags WHERE key = 'mlflow.source.git.commit'")
        }


def series(made: gitexp.Experiment, name: str) -> list[tuple[int, float]]:
    """Return the steps and values of a metric by their steps: MLflow's autologgers log in batches,
    the last value at times first."""
    history: Any = made.history()
    rows = history[history.name == name]
    return sorted((int(step), float(value)) for step, value in zip(rows.step, rows.value))


def whole(made: gitexp.Experiment, name: str, length: int, start: int = 0) -> list[float]:
    """Return the values of a metric, which must have been logged once at each step."""
    found = series(made, name)
    assert [step for step, _ in found] == [*range(start, start + length)]
    return [value for _, value in found]


def test_a_plain_pytorch_loop_with_one_line_of_ours(project: Project) -> None:
    made = Training(project, "torch", "torch", "sklearn", by_gitexp_run=True).only()
    assert made.params == {"lr": 0.1, "hidden": 64, "epochs": 5}
    accuracy = whole(made, "accuracy", 5)
    assert accuracy[-1] > accuracy[0]
    whole(made, "loss", 5)


def test_a_grid_search_of_scikit_learn_is_one_experiment_with_its_trials_as_children(
    project: Project,
) -> None:
    training = Training(project, "sklearn", "sklearn", "mlflow")
    search, trials = training.parent()
    assert sorted(made.params["ridge__alpha"] for made in trials) == [0.1, 1.0, 10.0]
    scores = {made.params["ridge__alpha"]: made.metrics["mean_test_score"] for made in trials}
    assert search.params["cv"] == 3
    assert (
        search.metrics["best_cv_score"]
        == scores[search.params["best_ridge__alpha"]]
        == max(scores.values())
    )
    said = float(training.output.rpartition("mean absolute error:")[2].split()[0])
    assert search.metrics["mean_absolute_error_test_x"] == pytest.approx(said), (
        "what is computed after the fit is in the experiment"
    )
    assert {"MLmodel", "cv_results.csv"} <= training.files(search)


def test_xgboost(project: Project) -> None:
    training = Training(project, "xgboost", "xgboost", "sklearn", "mlflow", by_gitexp_run=True)
    made = training.only()
    assert (made.params["eta"], made.params["max_depth"], made.params["early_stopping_rounds"]) == (
        0.3,
        3,
        5,
    )
    rounds = int(made.metrics["stopped_iteration"]) + 1
    assert rounds < 60, "it stopped early"
    # MLflow says the best round's once more at the end
    curve = whole(made, "valid-logloss", rounds + 1)
    assert min(curve) == curve[-1] == curve[int(made.metrics["best_iteration"])]
    assert len(series(made, "best_iteration")) == 1, (
        "what log_model says once more is not logged twice"
    )
    assert {"MLmodel", "feature_importance_weight.json"} <= training.files(made)


def test_lightgbm(project: Project) -> None:
    training = Training(project, "lightgbm", "lightgbm", "sklearn", "mlflow")
    made = training.only()
    assert (
        made.params["learning_rate"],
        made.params["num_leaves"],
        made.params["num_boost_round"],
    ) == (0.3, 7, 100)
    rounds = int(made.metrics["stopped_iteration"])
    assert rounds < 100, "it stopped early"
    curve = whole(made, "valid_0-multi_logloss", rounds + 1)
    assert min(curve) == curve[-1] < curve[0]
    assert {"MLmodel", "feature_importance_gain.json"} <= training.files(made)


def test_catboost_which_mlflow_has_no_autologger_for(project: Project) -> None:
    training = Training(project, "catboost", "catboost", "sklearn", "mlflow")
    made = training.only()
    assert (made.params["depth"], made.params["learning_rate"], made.params["iterations"]) == (
        4,
        0.1,
        100,
    )
    best = int(made.metrics["best_iteration"])
    curve = whole(made, "validation-RMSE", len(series(made, "learn-RMSE")))
    assert curve[best] == min(curve) < curve[0]
    assert best + 10 < 100, "it stopped early"
    assert {"MLmodel", "model.cb"} <= training.files(made)


def test_keras_on_torch_with_early_stopping(project: Project) -> None:
    training = Training(project, "keras", "keras", "torch", "sklearn", "mlflow", by_gitexp_run=True)
    made = training.only()
    assert (made.params["epochs"], made.params["batch_size"]) == (30, 64)
    assert made.params["optimizer_learning_rate"] == pytest.approx(0.01)
    epochs = len(series(made, "loss"))
    assert 2 < epochs < 30, "it stopped early"
    losses = whole(made, "val_loss", epochs)
    assert min(losses) == losses[-3], "two epochs without an improvement"
    assert {"MLmodel", "model.keras", "model_summary.txt"} <= training.files(made)


def test_lightning(project: Project) -> None:
    training = Training(project, "lightning", "lightning", "torch", "sklearn", "mlflow")
    made = training.only()
    assert (made.params["lr"], made.params["epochs"], made.params["optimizer_name"]) == (
        0.01,
        4,
        "Adam",
    )
    losses = whole(made, "train_loss", 4)
    assert losses[-1] < losses[0]
    whole(made, "val_accuracy", 4)
    assert {"MLmodel", "model_summary.txt"} <= training.files(made)


def test_huggingface(project: Project) -> None:
    made = Training(
        project, "huggingface", "transformers", "accelerate", "torch", "mlflow", by_gitexp_run=True
    ).only()
    assert (made.params["learning_rate"], made.params["num_train_epochs"]) == (0.005, 3)
    assert made.params["hidden_size"] == 32
    assert [step for step, _ in series(made, "loss")] == [*range(4, 37, 4)]
    assert [step for step, _ in series(made, "eval_loss")] == [12, 24, 36]


def test_optuna_with_nested_runs(project: Project) -> None:
    study, trials = Training(project, "optuna", "optuna", "sklearn", "mlflow").parent()
    assert len(trials) == 5
    best = max(trials, key=lambda made: float(made.metrics["r2"]))
    assert study.params == best.params
    assert study.metrics["best_r2"] == best.metrics["r2"]
    for made in trials:
        folds = whole(made, "r2_fold", 3)
        assert made.metrics["r2"] == pytest.approx(sum(folds) / 3)
