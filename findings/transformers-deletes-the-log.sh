#!/usr/bin/env bash
# transformers 5.24.0: with load_best_model_at_end and save_total_limit=1 the last checkpoint is deleted when the training is
# over, and with it the only trainer_state.json that has the whole log: what is on disk ends at the best step.
# Seen: the training logged 12 steps, checkpoint-3 alone is left, and its log ends at step 3
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


class Worse(torch.nn.Module):
    """The longer it trains, the worse it is."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.calls = 0

    def forward(self, x, labels=None):
        self.calls += 1
        return {"loss": self.weight.sum() * 0 + float(self.calls), "logits": x}


options = TrainingArguments(
    "out", max_steps=12, per_device_train_batch_size=1, logging_steps=3, report_to=[], use_cpu=True,
    eval_strategy="steps", eval_steps=3, save_steps=3, load_best_model_at_end=True, save_total_limit=1,
    disable_tqdm=True,
)
rows = [{"x": torch.ones(1), "labels": torch.ones(1)}] * 12
trainer = Trainer(Worse(), options, train_dataset=rows, eval_dataset=rows[:1])
trainer.train()
logged = trainer.state.log_history[-1]["step"]
left = [path.name for path in Path("out").iterdir()]
kept = json.loads(Path("out", left[0], "trainer_state.json").read_text())["log_history"][-1]["step"]
print(f"the training logged {logged} steps, {', '.join(left)} alone is left, and its log ends at step {kept}")
assert (logged, left, kept) == (12, ["checkpoint-3"], 3)
END
venv/bin/python script.py | tail -n 1
