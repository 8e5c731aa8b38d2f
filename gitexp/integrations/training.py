"""The run that a training library's callback logs to: the one that is going on, else one of its own
for that training.

The callbacks beside this module need nothing but the library itself. They are for those who do not
want MLflow, whose autologgers (``gitexp.autolog()``) log more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gitexp.runs import active
from gitexp.runs.run import Run


class Training:
    """A run for the time of one training.

    Args:
        options: those of ``gitexp.start_run``, for a run of its own.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._run: Run | None = None
        self._own = False

    def begin(self, params: Mapping[str, Any]) -> None:
        """Join the current run, or start one, and log the params.

        A run that an earlier training of the same callback left open, because its library never
        said that it stopped, is ended.
        """
        self.end()
        going_on = active.active_run()
        self._own = going_on is None
        self._run = going_on or active.start_run(**self._options)
        self._run.log_params(params)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log params that are known later."""
        if self._run is None:
            self.begin(params)
        else:
            self._run.log_params(params)

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Log the metrics of one step: all that are real numbers, and nothing else of what the
        library says."""
        if self._run is None:
            self.begin({})
            assert self._run is not None
        self._run.log_metrics(
            {name: value for name, value in metrics.items() if _is_number(value)}, step=step
        )

    def end(self) -> None:
        """End the run if it is this training's own; one that somebody else started goes on."""
        if self._own and self._run is not None:
            self._run.end()
        self._run, self._own = None, False


def curves(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``{"validation-RMSE": values}``, one value for each iteration, of what a library
    says of evaluations."""
    return {
        f"{data}-{name}": values
        for data, found in metrics.items()
        for name, values in found.items()
        if len(values)
    }


def short(value: float) -> float:
    """Return a 32-bit float as people write it: 0.1 for 0.100000001."""
    return float(f"{value:.7g}") if math.isfinite(value) else value


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str)
