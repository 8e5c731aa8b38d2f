"""XGBoost: ``xgboost.train(..., callbacks=[GitexpCallback()])``, or
``XGBRegressor(callbacks=[GitexpCallback()])``.

Params are the booster's own, read back from it; metrics are called like in MLflow
(``validation_0-rmse``), one point a round.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import xgboost

from gitexp.integrations.training import Training, curves, short

_TREE = (
    "learning_rate", "max_depth", "max_leaves", "min_child_weight", "gamma", "subsample",
    "colsample_bytree", "reg_lambda", "reg_alpha",
    "max_bin", "grow_policy",
)  # fmt: skip


class GitexpCallback(xgboost.callback.TrainingCallback):
    """Logs a training; the options are those of ``gitexp.start_run``, for where no run is going
    on."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._training = Training(options)

    def before_training(self, model: Any) -> Any:
        told = hasattr(model, "save_config")  # not by cv
        self._training.begin(_params(json.loads(model.save_config())) if told else {})
        return model

    def after_iteration(
        self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, Any]]
    ) -> bool:
        rows = {name: values[-1] for name, values in curves(evals_log).items()}
        # cv gives (mean, deviation)
        means = {name: row[0] if isinstance(row, tuple) else row for name, row in rows.items()}
        self._training.log(means, step=epoch)
        return False

    def after_training(self, model: Any) -> Any:
        attributes = model.attributes() if hasattr(model, "attributes") else {}
        if "best_iteration" in attributes:
            names = ("best_iteration", "best_score")
            self._training.log({name: float(attributes[name]) for name in names}, step=0)
        self._training.end()
        return model


def _params(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a booster's configuration, all of it text, says that people set."""
    learner = config["learner"]
    tree = learner["gradient_booster"].get("tree_train_param", {})
    found = {name: _value(tree[name]) for name in _TREE if name in tree}
    return {
        "objective": learner["objective"]["name"],
        "booster": learner["gradient_booster"]["name"],
        "seed": _value(learner["generic_param"]["seed"]),
        **found,
    }


def _value(text: str) -> Any:
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        return short(float(text))
    return text
