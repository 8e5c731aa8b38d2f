#!/usr/bin/env bash
# transformers 5.24.0: a Trainer's log never shows a loss that is NaN, by default: such a step counts as the mean of those
# before it, so a training of which every second step is NaN logs a smooth curve and a finite train_loss.
# Seen: 4 of 8 losses were NaN, logged [0.75, 0.75, 0.75, 0.75], train_loss 0.75
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0 accelerate==1.15.0 torch==2.13.0
cat >script.py <<'END'
import math

import torch
from transformers import Trainer, TrainingArguments


class EverySecondNaN(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.losses = []

    def forward(self, x, labels=None):
        self.losses.append(math.nan if len(self.losses) % 2 else 1.0)
        return {"loss": self.weight.sum() * 0 + self.losses[-1], "logits": x}


options = TrainingArguments(
    "out", max_steps=8, per_device_train_batch_size=1, logging_steps=2, report_to=[], use_cpu=True,
    save_strategy="no", disable_tqdm=True,
)
model = EverySecondNaN()
rows = [{"x": torch.ones(1), "labels": torch.ones(1)}] * 8
trainer = Trainer(model, options, train_dataset=rows)
trainer.train()
wrong = sum(map(math.isnan, model.losses))
logged = [row["loss"] for row in trainer.state.log_history if "loss" in row]
whole = trainer.state.log_history[-1]["train_loss"]
print(f"{wrong} of {len(model.losses)} losses were NaN, logged {logged}, train_loss {whole}")
assert (wrong, logged, whole) == (4, [0.75] * 4, 0.75)
END
venv/bin/python script.py 2>/dev/null | tail -n 1
