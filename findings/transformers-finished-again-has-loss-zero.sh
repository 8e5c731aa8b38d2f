#!/usr/bin/env bash
# transformers 5.24.0: a training that was over and is started again from its last checkpoint (a job that a cluster requeues) has nothing
# to do, and reports a train_loss of 0.0, the sum of no steps: in the log, to the trackers, and over the true one in train_results.json.
# Seen: train_results.json: train_loss 1.5 after the training, 0.0 after it was started again
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0 accelerate==1.15.0 torch==2.13.0
cat >script.py <<'END'
import json
from pathlib import Path

import torch
from transformers import Trainer, TrainingArguments


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, labels=None):
        return {"loss": self.weight.sum() * 0 + 1.5, "logits": x}


options = TrainingArguments(
    "out", max_steps=8, per_device_train_batch_size=1, report_to=[], use_cpu=True, save_steps=4,
    disable_tqdm=True,
)
rows = [{"x": torch.ones(1), "labels": torch.ones(1)}] * 8
losses = []
for again in (False, True):
    trainer = Trainer(Model(), options, train_dataset=rows)
    trainer.save_metrics("train", trainer.train(resume_from_checkpoint=again).metrics)
    losses.append(json.loads(Path("out", "train_results.json").read_text())["train_loss"])
    assert trainer.state.log_history[-1]["train_loss"] == losses[-1]
print(
    f"train_results.json: train_loss {losses[0]} after the training,"
    f" {losses[1]} after it was started again"
)
assert losses == [1.5, 0.0], losses
END
venv/bin/python script.py 2>/dev/null | tail -n 1
