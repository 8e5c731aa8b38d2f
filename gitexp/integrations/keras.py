"""Keras 3, on any of its backends: ``model.fit(..., callbacks=[GitexpCallback()])``.

Params are those of the fit and the optimizer's settings; metrics are Keras' logs, one point for
each epoch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import keras

from gitexp.integrations.training import Training, as_typed


class GitexpCallback(keras.callbacks.Callback):
    """Logs a training; the options are those of ``gitexp.start_run``, for where no run is going
    on."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._training = Training(options)
        self._epochs = 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._epochs = 0
        optimizer = self.model.optimizer  # None where a model trains by steps of its own
        params = {
            "epochs": self.params.get("epochs"),
            "steps_per_epoch": self.params.get("steps"),
            "parameters": self.model.count_params(),
            "optimizer": _settings(optimizer.get_config() if optimizer else {}),
        }
        self._training.begin(params)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epochs = epoch + 1
        self._training.log(logs or {}, step=epoch)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._epochs < self.params.get("epochs", 0):  # early stopping
            self._training.log({"stopped_epoch": self._epochs - 1}, step=0)
        self._training.end()


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a configuration, and those of a schedule or an inner optimizer in
    it, as people wrote them: a rate of 0.01 is 0.009999999776482582 in 32 bits."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            inner = _settings(value)
            found |= inner if key == "config" else {key: inner}
        elif key == "name" and isinstance(value, str):  # adam_1 is the second one of the process
            found[key] = re.sub(r"_\d+$", "", value)
        elif isinstance(value, (str, int, float)) and key not in ("module", "registered_name"):
            found[key] = as_typed(value)
    return found
