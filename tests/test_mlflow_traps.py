"""What goes wrong between MLflow and git unless somebody minds it: a test for each trap, with the real MLflow."""

from __future__ import annotations

import pytest

from gitexp import run
from gitexp.repo import Repo
from mlflow_scripts import Training

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mlflow")]

SEARCH = """
    import mlflow
    import numpy as np
    mlflow.sklearn.autolog(log_models=False)
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import GridSearchCV

    X = np.array([[float(i), float(i % 3)] for i in range(40)])
    y = np.array([i > 20 for i in range(40)])
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)
    search.fit(X, y)
    X_val, y_val = X[::2], y[::2]
    accuracy_score(y_val, search.predict(X_val))
"""


def test_a_grid_search_is_one_experiment_and_its_trials_are_grouped_children(training: Training) -> None:
    pytest.importorskip("sklearn")
    training.run(SEARCH)
    found = training.experiments()
    (whole,) = [item for item in found.values() if "best_C" in item["params"]]
    assert training.project.git("rev-parse", "HEAD") == whole["id"]
    assert "accuracy_score_X_val" in whole["metrics"], "what is computed after fit belongs to the search"
    trials = [item for item in found.values() if item is not whole]
    assert sorted(item["params"]["C"] for item in trials) == [0.1, 1.0]
    assert len({item["group"] for item in trials}) == 1
    assert all("mean_test_score" in item["metrics"] for item in trials)
    training.project.fsck()


def test_a_grid_search_inside_a_run_that_goes_on_is_that_run(training: Training) -> None:
    pytest.importorskip("sklearn")
    training.project.write("train.py", "")
    outer = run.begin(Repo.discover(training.project.root))
    training.run(SEARCH, name="train.py", GITEXP_RUN=str(outer.folder))
    assert outer.end() is not None
    found = training.experiments()
    (whole,) = [item for item in found.values() if "best_C" in item["params"]]
    assert training.project.git("rev-parse", "HEAD") == whole["id"]
    assert "accuracy_score_X_val" in whole["metrics"]
    assert sorted(item["params"]["C"] for item in found.values() if item is not whole) == [0.1, 1.0]
