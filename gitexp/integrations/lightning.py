"""PyTorch Lightning: ``Trainer(logger=GitexpLogger())``, of the package ``lightning`` or
``pytorch_lightning``.

Under distributed training rank 0 alone logs.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

try:
    from lightning.pytorch.loggers.logger import Logger
    from lightning.pytorch.utilities import rank_zero_only
except ImportError:
    from pytorch_lightning.loggers.logger import Logger
    from pytorch_lightning.utilities import rank_zero_only

from gitexp.integrations.training import Training


class GitexpLogger(Logger):
    """Logs what a LightningModule logs; the options are those of ``gitexp.start_run``, for where no
    run is going on."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._training = Training(options)
        self._params: dict[str, Any] = {}
        self._before: dict[str, Any] = {}  # of the training that ended, until the next one begins
        self._version = os.urandom(4).hex()

    @property
    def name(self) -> str:
        return "gitexp"

    @property
    def version(self) -> str:
        """Give each logger a folder of its own for checkpoints."""
        return self._version

    @rank_zero_only
    def log_hyperparams(
        self, params: Mapping[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        given = dict(vars(params) if isinstance(params, Namespace) else params)
        self._params |= given
        if self._before.keys().isdisjoint(given):  # else they may be those of another training
            self._training.log_params(given)

    @rank_zero_only
    def log_graph(self, model: Any, *args: Any, **kwargs: Any) -> None:
        """Lightning asks for it as each fit and each evaluation begins, after the params."""
        self._before = {}
        if getattr(model.trainer.state, "fn", None) == "fit":
            self._training.begin(self._params)
        elif self._training.go_on():
            self._training.log_params(self._params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # Lightning adds it to each row
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        self._training.log(values, step=step or 0)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self._before, self._params = self._params, {}
        if status == "success":
            self._training.trained()
        else:
            self._training.fail()
