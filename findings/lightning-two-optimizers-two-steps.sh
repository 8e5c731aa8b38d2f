#!/usr/bin/env bash
# lightning 2.6.6: with two optimizers (a GAN) "step" has two meanings in one run: metrics.csv counts batches, the checkpoints' names and
# max_steps count each optimizer's step. The row of a checkpoint is not that of its name, and max_steps=20 trains on 10 batches.
# Seen: max_steps=20: metrics.csv ends at step 9, of 10 batches, and the checkpoint after it is step=20
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
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

warnings.simplefilter("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.both = torch.nn.ModuleList([torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)])

    def training_step(self, batch, index):
        for optimizer, layer in zip(self.optimizers(), self.both):
            optimizer.zero_grad()
            self.manual_backward(layer(batch).sum())
            optimizer.step()
        self.log("batch", float(index))

    def configure_optimizers(self):
        return [torch.optim.SGD(layer.parameters(), 0.1) for layer in self.both]


trainer = lightning.Trainer(
    max_steps=20, logger=CSVLogger("."), log_every_n_steps=1, accelerator="cpu",
    callbacks=[ModelCheckpoint("checkpoints", "{step}", every_n_train_steps=1)],
    enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(Model(), DataLoader(torch.ones(50, 1)))
with open(f"{trainer.logger.log_dir}/metrics.csv") as table:
    last = list(csv.DictReader(table))[-1]
(name,) = (path.stem for path in Path("checkpoints").iterdir())
step, batches = int(last["step"]), int(float(last["batch"])) + 1
print(
    f"max_steps=20: metrics.csv ends at step {step}, of {batches} batches,"
    f" and the checkpoint after it is {name}"
)
assert (step, batches, name) == (9, 10, "step=20"), (step, batches, name)
END
venv/bin/python script.py 2>/dev/null | tail -n 1
