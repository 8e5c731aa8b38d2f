"""Hugging Face transformers: ``Trainer(..., callbacks=[GitexpCallback()])``.

Params are the training arguments that are set, and the model's kind; metrics are the trainer's logs
by global step. Only the world's process zero logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from gitexp.integrations.training import Training


class GitexpCallback(TrainerCallback):
    """Logs a training; the options are those of ``gitexp.start_run``, for where no run is going
    on."""

    def __init__(self, **options: Any) -> None:
        self._training = Training(options)

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            config = getattr(model, "config", None)
            kind = {} if config is None else {"model.type": config.model_type}
            self._training.begin({**kind, **_changed(args)})

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if state.is_world_process_zero:
            self._training.log(logs or {}, step=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.end()


def _changed(args: Any) -> dict[str, Any]:
    """Return the training arguments that are not at their default, and the few that always matter:
    there are 120 in all."""
    always = (
        "learning_rate", "num_train_epochs", "per_device_train_batch_size", "seed", "weight_decay",
        "max_steps",
    )  # fmt: skip
    given = args.to_sanitized_dict()
    defaults = {name: field.default for name, field in type(args).__dataclass_fields__.items()}
    paths = ("output_dir", "logging_dir", "run_name", "report_to")
    return {
        name: value
        for name, value in given.items()
        if name in always or (name not in paths and value != defaults.get(name))
    }
