"""PyTorch Lightning: ``Trainer(logger=GitexpLogger())``, of the package ``lightning`` or
``pytorch_lightning``.

Under distributed training rank 0 alone logs.
"""

from __future__ import annotations

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

    @property
    def name(self) -> str:
        return "gitexp"

    @property
    def version(self) -> str:
        """Name the run, so that each has a folder of its own for checkpoints."""
        return self._run_id() or ""

    @rank_zero_only
    def _run_id(self) -> str:
        return self._training.run_id

    @rank_zero_only
    def log_hyperparams(
        self, params: Mapping[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        self._training.log_params(vars(params) if isinstance(params, Namespace) else params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # Lightning adds it to each row
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        self._training.log(values, step=step or 0)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if status == "success":
            self._training.trained()
        else:
            self._training.fail()
