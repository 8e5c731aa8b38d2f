"""Hugging Face transformers: ``Trainer(..., callbacks=[GitexpCallback()])``.

Params are the training arguments that are set, and the model's kind; metrics are the trainer's logs
by global step. Only the world's process zero logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from transformers import TrainerCallback

from gitexp.integrations.training import Training


class GitexpCallback(TrainerCallback):
    """Logs a training; the options are those of ``gitexp.start_run``, for where no run is going
    on."""

    def __init__(self, **options: Any) -> None:
        self._training = Training(options)
        self._begun = -1  # the step

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self._begun = state.global_step
            config = getattr(model, "config", None)
            kind = {} if config is None else {"model.type": config.model_type}
            self._training.begin({**kind, **_changed(args)})

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            values = dict(logs or {})
            if state.global_step == self._begun:  # of no steps, as after a last checkpoint: 0.0
                values.pop("train_loss", None)
            self._training.log(values, step=state.global_step)

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.evaluates()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training.trained()

    def on_predict(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any], **kwargs: Any
    ) -> None:
        self.on_log(args, state, control, metrics)


def _changed(args: Any) -> dict[str, Any]:
    """Return the training arguments that are not at their default, and the few that always matter:
    there are 120 in all."""
    always = (
        "learning_rate", "num_train_epochs", "per_device_train_batch_size", "seed", "weight_decay",
        "max_steps",
    )  # fmt: skip
    never = ("output_dir", "logging_dir", "run_name", "report_to", "disable_tqdm")
    plain = args.to_dict()
    return {
        field.name: plain[field.name]
        for field in fields(args)
        if field.name in always
        or (field.name not in never and _is_set(getattr(args, field.name), field))
    }


def _is_set(value: Any, field: Any) -> bool:
    """Whether an argument is another than its default, which may be filled in as an empty one."""
    default = None if field.default is MISSING else field.default
    empty = value in (None, "") or value is False or value in ([], {})
    filled_in = is_dataclass(value) and not any(
        _is_set(getattr(value, part.name), part) for part in fields(value)
    )
    return value != default and (bool(default) or not empty) and not filled_in
