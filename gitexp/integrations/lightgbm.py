"""LightGBM: ``lightgbm.train(..., callbacks=[GitexpCallback()])``, or ``LGBMRegressor().fit(...,
callbacks=[...])``.

Metrics are called like in MLflow (``valid_0-l2``), one point a round. LightGBM never says that a
training stopped: its last round ends a run of the callback's own, and after early stopping
``gitexp.end_run()``, the next training with a callback or the end of Python.
"""

from __future__ import annotations

from typing import Any

from gitexp.integrations.training import Training


class GitexpCallback:
    """Logs a training; the options are those of ``gitexp.start_run``, for where no run is going
    on."""

    order = 20  # before early stopping (30), which ends the round by an exception
    before_iteration = False

    def __init__(self, **options: Any) -> None:
        self._training = Training(options, left="finished")

    def __call__(self, env: Any) -> None:
        if env.iteration == env.begin_iteration:
            given = {name: value for name, value in env.params.items() if value is not None}
            self._training.begin(given)
        told = env.evaluation_result_list or []
        results = {f"{one[0]}-{one[1]}": one[2] for one in told}
        results |= {f"{one[0]}-{one[1]}-stdv": one[4] for one in told if len(one) > 4}  # of cv
        self._training.log(results, step=env.iteration)
        if env.iteration == env.end_iteration - 1:
            self._training.end()
