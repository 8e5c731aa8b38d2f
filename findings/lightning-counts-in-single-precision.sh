#!/usr/bin/env bash
# lightning 2.6.6: self.log makes a float32 of all that is no tensor of floats (Python's numbers, tensors of integers), so counts above
# 16,777,216 are rounded: the tokens of five steps are one number in metrics.csv, and a Unix time moves in steps of 128 s, unsaid.
# Seen: logged 1000000001 to 1000000005, metrics.csv has {'1000000000.0'}; of ten times, 30 s apart, it has 3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check lightning==2.6.6 torch==2.13.0
cat >script.py <<'END'
import csv
import logging
import warnings

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

warnings.simplefilter("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        self.log("tokens", 1_000_000_001 + index % 5)
        self.log("time", 1_790_000_000 + 30 * index)
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


trainer = lightning.Trainer(
    max_epochs=1, logger=CSVLogger("."), log_every_n_steps=1, accelerator="cpu",
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(Model(), DataLoader(torch.ones(10, 1)))
with open(f"{trainer.logger.log_dir}/metrics.csv") as table:
    rows = list(csv.DictReader(table))
tokens, times = {row["tokens"] for row in rows}, {row["time"] for row in rows}
print(
    f"logged 1000000001 to 1000000005, metrics.csv has {tokens};"
    f" of ten times, 30 s apart, it has {len(times)}"
)
assert (len(rows), tokens, len(times)) == (10, {"1000000000.0"}, 3), rows
END
venv/bin/python script.py 2>/dev/null | tail -n 1
