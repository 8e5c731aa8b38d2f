#!/usr/bin/env bash
# lightning 2.6.6: a checkpoint whose name has a metric, {val_loss:.2f}, and that is saved before the metric was ever there is named after
# 0, without a warning: by its name the checkpoint from before the first validation is the best of all. Later ones have a stale value.
# Seen: step=5 is called val_loss=0.00 before any validation, step=10 and step=15 are called 1.00 (of step 8)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check lightning==2.6.6 torch==2.13.0
cat >script.py <<'END'
import logging
import warnings
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

warnings.simplefilter("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        return self.layer(batch).sum()

    def validation_step(self, batch, index):
        self.log("val_loss", 1.0 + self.current_epoch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


checkpoint = ModelCheckpoint(
    "checkpoints", "{step}-{val_loss:.2f}", every_n_train_steps=5, save_top_k=-1
)
trainer = lightning.Trainer(
    max_epochs=2, logger=False, callbacks=[checkpoint], accelerator="cpu", num_sanity_val_steps=0,
    enable_progress_bar=False, enable_model_summary=False,
)
data = DataLoader(torch.ones(8, 1))
trainer.fit(Model(), data, data)
names = sorted(path.stem for path in Path("checkpoints").iterdir())
assert names == ["step=10-val_loss=1.00", "step=15-val_loss=1.00", "step=5-val_loss=0.00"], names
print(
    "step=5 is called val_loss=0.00 before any validation,"
    " step=10 and step=15 are called 1.00 (of step 8)"
)
END
venv/bin/python script.py 2>/dev/null | tail -n 1
