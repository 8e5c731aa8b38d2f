"""XGBoost: ``xgboost.train(..., callbacks=[GitexpCallback()])``, or
``XGBRegressor(callbacks=[GitexpCallback()])``.

Params are the booster's own, read back from it; metrics are called like in MLflow
(``validation_0-rmse``), one point a round.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import xgboost

from gitexp.formats import params
from gitexp.integrations.training import Training, curves

_SET = frozenset((  # of all that a configuration holds, what people set
    "learning_rate", "max_depth", "max_leaves", "min_child_weight", "gamma", "subsample",
    "colsample_bytree", "colsample_bylevel", "colsample_bynode", "reg_lambda", "reg_alpha",
    "max_bin", "max_delta_step", "grow_policy", "tree_method", "num_parallel_tree",
    "sampling_method", "monotone_constraints", "interaction_constraints",
    "rate_drop", "skip_drop", "one_drop", "sample_type", "normalize_type",  # of DART
    "feature_selector",  # of the linear booster, and of objectives:
    "scale_pos_weight", "num_class", "quantile_alpha", "huber_slope", "tweedie_variance_power",
    "lambdarank_pair_method", "lambdarank_num_pair_per_sample", "aft_loss_distribution",
))  # fmt: skip


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
        for name, row in [*rows.items()]:
            if isinstance(row, tuple):  # of cv
                rows[name], rows[f"{name}-std"] = row
        self._training.log(rows, step=epoch)
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
    parts = ("gradient_booster", "objective", "learner_model_param")
    found = {
        name: _value(text)
        for name, text in _leaves([learner[part] for part in parts])
        if name in _SET and text not in ("", "()", "[]")
    }
    if not found.get("num_class"):  # of other objectives
        found.pop("num_class", None)
    return {
        "objective": learner["objective"]["name"],
        "booster": learner["gradient_booster"]["name"],
        "seed": _value(learner["generic_param"]["seed"]),
        **found,
    }


def _leaves(config: Any) -> Iterator[tuple[Any, Any]]:
    """Yield all names and texts, wherever a kind of booster has them."""
    for name, item in config.items() if isinstance(config, dict) else enumerate(config):
        if isinstance(item, (dict, list)):
            yield from _leaves(item)
        else:
            yield name, item


def _value(text: str) -> Any:
    with suppress(ValueError):
        return params.short(json.loads(text))
    return text
