"""The run that a training library's callback logs to: the one that is going on, else one of its own
for that training.

The callbacks beside this module need nothing but the library itself. They are for those who do not
want MLflow, whose autologgers (``gitexp.autolog()``) log more.
"""

from __future__ import annotations

import atexit
import struct
import sys
import warnings
from collections.abc import Iterator, Mapping
from threading import current_thread
from traceback import walk_stack
from types import CodeType, FrameType
from typing import Any

from gitexp.formats import params
from gitexp.runs import active, deferred, exit_status
from gitexp.runs.run import Run

_MOST_CLASSES = 100
_EVALUATED = 60.0  # seconds after a training in which an evaluation is its own
_LIBRARIES = frozenset(
    ["catboost", "keras", "lightgbm", "lightning", "pytorch_lightning", "transformers", "xgboost"]
)
_unended: Training | None = None  # the last one with a run of its own


class Training:
    """A run for the time of one training.

    Args:
        options: those of ``gitexp.start_run``, for a run of its own.
        left: how a training ended whose end the library never said, as it does not after an error.
    """

    def __init__(self, options: Mapping[str, Any], left: str = "failed") -> None:
        self._options, self._left = options, left
        self._run: Run | None = None
        self._own: Run | None = None
        self._warned = False  # of trainings within its own
        self._trained = False  # in the run, which is not there for an evaluation alone
        # of its own run: how it ends where the library is silent, who trains, and from where
        self._ends, self._thread = left, current_thread()
        self._calls: list[CodeType] = []

    def begin(self, params: Mapping[str, Any]) -> None:
        """Join the current run, or start one, and log the params.

        A run that this or another callback began for an earlier training of this thread, and never
        ended, is ended; one in which this one has only evaluated goes on. A training that a
        callback of such a training begins is not logged: its params and losses are not those of the
        run, which goes on.
        """
        if self._trained or not self.go_on():
            self._start(self._left)
        self._ends, self._trained = self._left, True
        self.log_params(params)

    def go_on(self) -> bool:
        """Take back ``trained``: an evaluation begins. Return whether a run of our own goes on."""
        run = self._own if self._run is self._own else None
        return run is not None and (run.going_on or run.go_on())

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log params that are known later."""
        self._going_on().log_params(params)

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Log the metrics of one step: all that are real numbers, or have one for each class, and
        nothing else of what the library says."""
        run = self._going_on()
        run.log_metrics(dict(_numbers(metrics)), step=step)
        deferred.postpone(run.id)

    def evaluates(self) -> None:
        """Have a run that is trained wait longer."""
        if self._run:
            deferred.postpone(self._run.id)

    def end(self) -> None:
        """End the run if it is this training's own; one that somebody else started goes on."""
        if self._own and self._run is self._own:
            self._own.end()
            self._own = None
        self._run = self._run and self._own  # that of the outer training, if it has this callback

    def trained(self) -> None:
        """End the run when nothing came for a minute, with the next one or when Python exits: what
        is evaluated after the training belongs to it."""
        if self._own and self._run is self._own:
            self._own.end_later("finished", quiet=_EVALUATED)
        self._run = self._run and self._own

    def fail(self) -> None:
        """Let go of the run, which ends with the error when Python exits, or with the next
        training."""
        if self._run is self._own:
            self._ends, self._run = "failed", None
        self._run = self._run and self._own

    def _going_on(self) -> Run:
        return self._start("finished") if self._run is None or self._run.ended else self._run

    def _start(self, left: str) -> Run:
        global _unended
        calls, last, thread = _calls(), _unended, current_thread()
        if last and last._own and (last._thread is thread or not last._thread.is_alive()):
            outer = len(last._calls)
            if last._own.going_on and 0 < outer < len(calls) and calls[:outer] == last._calls:
                said = "a training within another's callback is not logged; to log what you want"
                told = f"gitexp: {said} of it: gitexp.log_metric"
                if not last._warned:
                    warnings.warn(told, RuntimeWarning, stacklevel=3)
                last._warned = True
                self._run = Run(None, None, {})
                return self._run
            if not deferred.end_now(last._own.id):
                last._own.end(last._ends)
        joined = active.active_run()
        self._run = run = joined or active.start_run(**self._options)
        self._own, self._trained = None if joined else run, False
        if not joined:
            _unended, self._ends, self._thread, self._calls = self, left, thread, calls
        return run


@atexit.register
def _end_at_exit() -> None:
    """End a run whose training raised what was caught; where Python exits through an error, the
    run is ended with it."""
    error = getattr(sys, "last_value", None) or exit_status.uncaught()
    if _unended and _unended._own and _unended._own.going_on and error is None:
        _unended._own.end(_unended._ends)


def _calls() -> list[CodeType]:
    """Return the calls that led to the training that calls us back, the first one first."""
    frames = [frame for frame, _ in walk_stack(None)]
    while frames and not _is_library(frames[0]):
        del frames[0]
    while len(frames) > 1 and _is_library(frames[1]):
        del frames[0]
    return [frame.f_code for frame in reversed(frames)]


def _is_library(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _LIBRARIES


def curves(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``{"validation-RMSE": values}``, one value for each iteration, of what a library
    says of evaluations."""
    return {
        f"{data}-{name}": values
        for data, found in metrics.items()
        for name, values in found.items()
        if len(values)
    }


def as_typed(value: Any) -> Any:
    """Return a float that a library held in 32 bits as people wrote it, anything else as it is."""
    if not isinstance(value, float) or not abs(value) < 1e38:
        return value
    is_narrow = value == struct.unpack("f", struct.pack("f", value))[0]
    return params.short(value) if is_narrow else value


def _numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in metrics.items():
        if len(getattr(value, "shape", ())) == 1 and 1 < len(value) <= _MOST_CLASSES:
            yield from _numbers({f"{name}.{at}": item for at, item in enumerate(value)})
        elif _is_number(value):
            yield name, value


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):  # the last one is PyTorch's
        return False
    return not isinstance(value, str)
