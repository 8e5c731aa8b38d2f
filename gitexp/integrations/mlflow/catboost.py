"""CatBoost's autologger, which MLflow lacks: made of MLflow's own parts, so that it behaves as the
others do.

It logs after the fit, since CatBoost takes no callbacks on the GPU, and hands a callback the whole
history for each iteration.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import mlflow
from mlflow.entities import Metric
from mlflow.utils.autologging_utils import autologging_integration, get_autologging_config
from mlflow.utils.autologging_utils.safety import _AutologgingSessionManager, safe_patch

from gitexp.formats import mlflow_words as convert
from gitexp.integrations.catboost import history

NAME = "catboost"


@autologging_integration(NAME)  # which looks for each of these options
def autolog(
    log_models: bool = True, exclusive: bool = False, disable: bool = False, silent: bool = False
) -> None:
    """Log what CatBoost trains from now on; the options are those of ``mlflow.autolog``."""
    import catboost

    for kind in ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"):
        safe_patch(NAME, getattr(catboost, kind), "fit", _fit, manage_run=True)


def _fit(original: Callable[..., Any], model: Any, *args: Any, **kwargs: Any) -> Any:
    session = _AutologgingSessionManager.active_session()
    # one of the many fits of a search, which logs itself
    if session is not None and session.integration != NAME:
        return original(model, *args, **kwargs)
    given = {
        name: value for name, value in kwargs.items() if isinstance(value, (bool, int, float, str))
    }
    run: Any = mlflow.active_run()  # MLflow began one where there was none
    mlflow.log_params({**model.get_params(), **given})
    trained = original(model, *args, **kwargs)
    _log_curves(model, run.info.run_id, kwargs.get("metric_period"))
    if get_autologging_config(NAME, "log_models", True):
        mlflow.catboost.log_model(model, name="model")
    return trained


def _log_curves(model: Any, run_id: str, period: int | None) -> None:
    now = int(time.time() * 1000)
    points = [
        Metric(convert.key(name), value, now, step) for name, step, value in history(model, period)
    ]
    best = model.get_best_iteration()
    if best is not None:
        points.append(Metric("best_iteration", best, now, 0))
    for at in range(0, len(points), convert.METRICS_AT_ONCE):
        mlflow.MlflowClient().log_batch(run_id, metrics=points[at : at + convert.METRICS_AT_ONCE])
