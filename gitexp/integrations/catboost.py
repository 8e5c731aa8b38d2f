"""CatBoost: ``model.fit(..., callbacks=[GitexpCallback(model)])``, while it trains on the CPU;
``log(model)`` afterwards anywhere.

``gitexp.autolog()`` logs it with MLflow. CatBoost takes no callbacks on the GPU. Metrics are called
``validation-RMSE``, one point for each iteration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitexp.integrations.training import Training, as_typed, curves
from gitexp.runs.run import Run


class GitexpCallback:
    """Logs a training; the options are those of ``gitexp.start_run``, for where no run is active.

    CatBoost never says that a training stopped: the last iteration ends a run of the callback's
    own, and after early stopping ``gitexp.end_run()``, the next training with a callback or the end
    of Python.

    Args:
        model: gives the params, which CatBoost does not tell a callback.
    """

    def __init__(self, model: Any = None, **options: Any) -> None:
        self._training = Training(options, left="finished")
        self._model = model
        self._counts: dict[str, int] = {}  # of the values so far: some iterations are not evaluated

    def after_iteration(self, info: Any) -> bool:
        """Log one iteration; CatBoost calls it, and stops where it returns False."""
        params = {} if self._model is None else self._model.get_params()
        if info.iteration == 1:
            self._training.begin(params)
            self._counts = {}
        found = curves(info.metrics)
        new = {name: row[-1] for name, row in found.items() if len(row) != self._counts.get(name)}
        self._counts = {name: len(row) for name, row in found.items()}
        self._training.log(new, step=info.iteration - 1)
        names = ("iterations", "n_estimators", "num_boost_round", "num_trees")
        rounds = [params[name] for name in names if name in params]
        if rounds and info.iteration == rounds[0]:
            self._training.end()
        return True


def log(model: Any, run: Run) -> None:
    """Log a trained model's params, all of them, and what its evaluation said of each iteration."""
    run.log_params({name: as_typed(value) for name, value in model.get_all_params().items()})
    for name, step, value in history(model):
        run.log_metric(name, value, step)


def history(model: Any, period: int | None = None) -> Iterator[tuple[str, int, float]]:
    """Yield the evaluations of a trained model: name, iteration, value.

    Args:
        period: the ``metric_period``, where ``fit`` was told it and the model was not.
    """
    each = period or model.get_params().get("metric_period") or 1
    last = model.get_all_params()["iterations"] - 1
    for name, values in curves(model.get_evals_result()).items():
        for number, value in enumerate(values):
            yield name, min(number * each, last), value
