"""Runs of the real trackers under ``gitexp run``, by scripts that know nothing of gitexp."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

import gitexp
from conftest import Project

WANDB_AND_EVENTS = """
import wandb
from tensorboardX import SummaryWriter
run = wandb.init(mode="offline", project="p", config={"lr": 0.1, "model": {"depth": 3}},
                 tags=["two words"], notes="why", settings=wandb.Settings(silent=True))
writer = SummaryWriter("runs/a")
for i in range(4):
    run.log({"loss": 1 / (i + 3), "val": {"acc": i}}, step=i)
    writer.add_scalar("loss", 1 / (i + 3), i)
    writer.add_scalar("only", i, i)
run.finish()
writer.close()
"""
LIVE = """
from dvclive import Live
with Live() as live:
    live.log_param("lr", 0.1)
    for i in range(3):
        live.log_metric("train/loss", 1 / (i + 1))
        live.next_step()
"""
MLFLOW = """
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
with mlflow.start_run(run_name="x"):
    mlflow.log_params({"lr": 0.1, "by": "me"})
    for i in range(3):
        mlflow.log_metric("loss", 1 / (i + 1), step=i)
    mlflow.set_tag("stage", "dev")
"""


def train(project: Project, *packages: str, script: str) -> str:
    """Run a script under gitexp; returns what it said."""
    for package in packages:
        if not find_spec(package):
            pytest.skip(f"{package} is not installed")
    project.write("train.py", script)
    done = project.run("run", "--", sys.executable, "train.py")
    assert done.returncode == 0, done.stderr
    return done.stderr


def steps(name: str, metric: str) -> list[tuple[int, float]]:
    return [(p.step, p.value) for p in gitexp.get(name).points() if p.name == metric]


@pytest.mark.slow
def test_a_training_that_wandb_and_tensorboard_both_log_is_one_set_of_metrics(
    project: Project,
) -> None:
    said = train(project, "wandb", "tensorboardX", script=WANDB_AND_EVENTS)
    found = gitexp.get("exp-1")
    assert found.params == {"lr": 0.1, "model.depth": 3}
    assert found.metrics == pytest.approx({"loss": 1 / 6, "val.acc": 3, "only": 3})
    assert steps("exp-1", "loss") == [(i, 1 / (i + 3)) for i in range(4)]
    assert found.labels == ("two-words",)
    assert "why" in project.git("log", "-1", "--format=%B", "exp-1")
    assert "metrics: 3 from wandb/" in said
    assert "not kept" not in said
    # importing them later joins what is recorded, and what they left is no source of the next run
    for tool, place in (("wandb", "wandb"), ("tensorboard", "runs")):
        done = project.run("import", tool, place)
        assert "1 run recorded already, nothing new" in done.stderr
    project.gitexp("log", "-M", "a=1")
    files = project.git("ls-tree", "-r", "--name-only", "exp-2")
    assert "wandb" not in files
    assert "tfevents" not in files


@pytest.mark.slow
def test_dvclive_in_a_plain_repository(project: Project) -> None:
    project.commit()
    said = train(project, "dvclive", script=LIVE)
    found = gitexp.get("exp-1")
    assert (found.params, [*found.metrics]) == ({"lr": 0.1}, ["train/loss"])
    assert steps("exp-1", "train/loss") == [(0, 1), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert "the command set up DVC here (.dvc, .dvcignore)" in said
    assert ".dvc" not in project.git("ls-tree", "-r", "--name-only", "exp-1").split()
    assert "1 run recorded already, nothing new" in project.run("import", "dvc").stderr
    # of what it left nothing becomes the next run's
    project.write("other.py", "print('nothing')")
    project.run("run", "--", sys.executable, "other.py")
    assert gitexp.get("exp-2").params == {}
    files = project.git("ls-tree", "-r", "--name-only", "exp-2")
    assert "dvc" not in files


@pytest.mark.slow
def test_a_stray_database_of_mlflow_is_read_and_said(project: Project) -> None:
    said = train(project, "mlflow", script=MLFLOW)
    found = gitexp.get("exp-1")
    assert found.params == {"lr": 0.1, "by": "me"}
    assert steps("exp-1", "loss") == [(0, 1), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert "metrics: 1 from mlflow.db · params: 2 (mlflow.db 2)" in said
    assert found.extra["tags"]["stage"] == "dev"
    assert "1 run recorded already" in project.run("import", "mlflow", "mlflow.db").stderr
    # the next run has its own values alone, though the database holds both
    project.write("train.py", MLFLOW.replace("0.1", "0.5"))
    project.run("run", "--", sys.executable, "train.py")
    assert gitexp.get("exp-2").params["lr"] == 0.5
    assert len(steps("exp-2", "loss")) == 3


PIPELINE = """\
stages:
  train:
    cmd: python fit.py
    deps: [fit.py]
    params: [lr]
    metrics:
    - eval/scores.json: {cache: false}
    plots:
    - course.csv: {cache: false}
"""
FIT = """
import json, os, yaml
lr = yaml.safe_load(open("params.yaml"))["lr"]
os.makedirs("eval", exist_ok=True)
json.dump({"auc": {"macro": lr}}, open("eval/scores.json", "w"))
open("course.csv", "w").write("epoch,loss\\n0,2\\n1,1\\n")
"""


@pytest.mark.slow
def test_a_pipeline_of_dvc(project: Project) -> None:
    pytest.importorskip("dvc", reason="DVC is not installed")
    project.commit(**{"dvc.yaml": PIPELINE, "fit.py": FIT, "params.yaml": "lr: 0.5\n"})
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q"], cwd=project.root, check=True)
    project.commit()
    for number, command in enumerate((["repro"], ["repro"], ["exp", "run"]), 1):
        done = project.run("run", "--", *dvc, *command)
        assert done.returncode == 0, done.stderr
        found = gitexp.get(f"exp-{number}")
        assert found.params == {"lr": 0.5}
        # the second has nothing to do, and DVC's metrics are as they were
        wanted = {"auc.macro": 0.5} if number > 1 else {"auc.macro": 0.5, "loss": 1}
        assert {**found.metrics, "loss": 1} == {**wanted, "loss": 1}
        files = project.git("ls-tree", "-r", "--name-only", f"exp-{number}").split()
        assert not {"params.yml", "metrics.csv"} & {*files}
        assert {"params.yaml", "dvc.lock", "eval/scores.json"} <= {*files}
        assert "not kept" not in done.stderr
    assert project.git("status", "--porcelain") == "?? course.csv"  # the first run's


LIGHTNING = """
import logging, warnings, torch
warnings.filterwarnings("ignore"); logging.getLogger("lightning").setLevel(logging.ERROR)
import lightning as L
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
class Net(L.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__(); self.save_hyperparameters(); self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, at):
        loss = self.layer(batch[0]).mean() ** 2
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.lr)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.rand(8, 2)), 4)
L.Trainer(max_epochs=3, logger=[CSVLogger("."), TensorBoardLogger("tb")], enable_checkpointing=False, accelerator="cpu",
          enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1).fit(Net(), data)
"""
TRAINER = """
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
model = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=16, n_positions=8))
rows = [{"input_ids": torch.arange(8), "labels": torch.arange(8)}] * 8
options = TrainingArguments("out", max_steps=3, logging_steps=1, report_to=[], use_cpu=True,
                            per_device_train_batch_size=2, disable_tqdm=True, save_strategy="no")
trainer = Trainer(model, options, train_dataset=rows)
trainer.train(); trainer.save_state()
"""

KERAS = """
import os; os.environ["KERAS_BACKEND"] = "torch"
import keras, numpy
model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse", metrics=["mae"])
model.fit(numpy.ones((8, 2)), numpy.ones(8), epochs=3, verbose=2,
          callbacks=[keras.callbacks.CSVLogger("training.log")])
"""
TRACKIO = """
import trackio
trackio.init(project="p", config={"lr": 0.1}, embed=False)
for i in range(3):
    trackio.log({"loss": 1 / (i + 1)})
trackio.finish()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("packages", "script", "metric", "params"),
    [
        ("lightning torch", LIGHTNING, "train_loss", {"lr": 0.1}),
        ("transformers torch", TRAINER, "loss", {}),
        ("keras torch", KERAS, "mae", {}),
        ("trackio", TRACKIO, "loss", {"lr": 0.1}),
    ],
)
def test_files_of_training_libraries(
    project: Project, packages: str, script: str, metric: str, params: dict[str, float]
) -> None:
    train(project, *packages.split(), script=script)
    assert len(steps("exp-1", metric)) == 3
    assert gitexp.get("exp-1").params == params
    assert "hp_metric" not in gitexp.get("exp-1").metrics  # a placeholder of Lightning's
