"""Keras 3, on any of its backends: ``model.fit(..., callbacks=[GitexpCallback()])``.

Params are those of the fit and the optimizer's settings; metrics are Keras' logs, one point for
each epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from gitexp.integrations.training import Training


class GitexpCallback(keras.callbacks.Callback):
    """Logs a training; the options are those of ``gitexp.start_run``, for where no run is going
    on."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._training = Training(options)
        self._epochs = 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._epochs = 0
        params = {
            "epochs": self.params.get("epochs"),
            "steps_per_epoch": self.params.get("steps"),
            "parameters": self.model.count_params(),
        }
        for key, value in self.model.optimizer.get_config().items():
            if isinstance(value, (str, int, float, bool)):
                params[f"optimizer.{key}"] = value
        self._training.begin(params)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epochs = epoch + 1
        self._training.log(logs or {}, step=epoch)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._epochs < self.params.get("epochs", 0):  # early stopping
            self._training.log({"stopped_epoch": self._epochs - 1}, step=0)
        self._training.end()
