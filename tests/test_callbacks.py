"""The callbacks that need no MLflow: a real training with each library becomes an experiment, or joins the run that is going on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gitexp
from conftest import Project

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
ROUNDS = 4


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """A run that a failing test left open must not become the next test's."""
    yield
    gitexp.end_run("killed")


def data() -> tuple[Any, Any]:
    """Return 64 points of a plane with noise: X of shape (64, 3), y of shape (64,)."""
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 3))
    return x, x @ [1.0, -2.0, 0.5] + random.normal(scale=0.1, size=64)


def steps(experiment: gitexp.Experiment, name: str) -> list[int]:
    """Return the steps at which a metric was logged."""
    history = experiment.history()
    return [int(step) for step in history[history.name == name].step]


def falls(experiment: gitexp.Experiment, name: str) -> bool:
    """Whether a loss ended lower than it began, as that of a real training does."""
    values = experiment.history().query("name == @name").value.to_list()
    return len(values) > 1 and values[-1] < values[0]


def test_xgboost(project: Project) -> None:
    xgboost = pytest.importorskip("xgboost")
    from gitexp.integrations.xgboost import GitexpCallback

    x, y = data()
    matrix = xgboost.DMatrix(x, y)
    booster = xgboost.train(
        {"eta": 0.1, "max_depth": 3}, matrix, ROUNDS, evals=[(matrix, "train")], verbose_eval=False, callbacks=[GitexpCallback()]
    )
    made = gitexp.get("@")
    assert made.params["learning_rate"] == 0.1
    assert (made.params["max_depth"], made.params["objective"]) == (3, "reg:squarederror")
    assert steps(made, "train-rmse") == [0, 1, 2, 3]
    assert falls(made, "train-rmse")
    assert made.metrics["train-rmse"] == pytest.approx(float(booster.eval(matrix).rpartition(":")[2]), rel=1e-4)


def test_xgboost_scikit_learn_model_with_early_stopping(project: Project) -> None:
    xgboost = pytest.importorskip("xgboost")
    from gitexp.integrations.xgboost import GitexpCallback

    x, y = data()
    noise = np.random.default_rng(1).normal(size=64)
    model = xgboost.XGBRegressor(n_estimators=50, early_stopping_rounds=2, callbacks=[GitexpCallback()])
    model.fit(x, y, eval_set=[(x, noise)], verbose=False)
    made = gitexp.get("@")
    assert made.metrics["best_iteration"] == model.best_iteration
    assert len(steps(made, "validation_0-rmse")) < 50


def test_lightgbm(project: Project) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from gitexp.integrations.lightgbm import GitexpCallback

    x, y = data()
    train = lightgbm.Dataset(x, y)
    settings = {"objective": "l2", "learning_rate": 0.2, "min_data_in_leaf": 5, "verbose": -1}
    lightgbm.train(settings, train, ROUNDS, valid_sets=[train], callbacks=[GitexpCallback()])
    made = gitexp.get("@")
    assert (made.status, made.params["learning_rate"], made.params["num_iterations"]) == ("finished", 0.2, ROUNDS)
    assert steps(made, "training-l2") == [0, 1, 2, 3]
    assert falls(made, "training-l2")


def test_lightgbm_that_stopped_early_is_ended_by_the_next_training(project: Project) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from gitexp.integrations.lightgbm import GitexpCallback

    x, y = data()
    noise = np.random.default_rng(1).normal(size=64)
    callback = GitexpCallback()
    for _ in range(2):
        train, valid = lightgbm.Dataset(x, y), lightgbm.Dataset(x, noise)
        stop = lightgbm.early_stopping(1, verbose=False)
        lightgbm.train({"verbose": -1, "min_data_in_leaf": 5}, train, 50, valid_sets=[valid], callbacks=[callback, stop])
    assert project.tags() == ["exp-1"]
    gitexp.end_run()
    assert project.tags() == ["exp-1", "exp-2"]
    assert gitexp.get("exp-1").metrics == gitexp.get("exp-2").metrics


def test_catboost(project: Project) -> None:
    catboost = pytest.importorskip("catboost")
    from gitexp.integrations import catboost as ours

    x, y = data()
    model = catboost.CatBoostRegressor(iterations=ROUNDS, depth=2, verbose=False, allow_writing_files=False)
    model.fit(x, y, eval_set=(x, y), callbacks=[ours.GitexpCallback(model)])
    made = gitexp.get("@")
    assert (made.params["depth"], made.status) == (2, "finished")
    assert steps(made, "validation-RMSE") == [0, 1, 2, 3]
    assert falls(made, "learn-RMSE")
    with gitexp.start_run() as run:
        ours.log(model, run)
    assert gitexp.get("@").metrics["validation-RMSE"] == pytest.approx(made.metrics["validation-RMSE"])
    assert gitexp.get("@").params["l2_leaf_reg"] == model.get_all_params()["l2_leaf_reg"]


def test_keras_with_early_stopping(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    from gitexp.integrations.keras import GitexpCallback

    x, y = data()
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
    stop = keras.callbacks.EarlyStopping(monitor="loss", min_delta=1e9, patience=2)
    model.fit(x, y, epochs=9, batch_size=16, verbose=0, callbacks=[GitexpCallback(labels=["keras"]), stop])
    made = gitexp.get("@")
    assert made.labels == ("keras",)
    assert made.params["optimizer.learning_rate"] == pytest.approx(0.05)
    assert (made.params["epochs"], made.params["parameters"]) == (9, model.count_params())
    assert steps(made, "loss") == [0, 1, 2]
    assert made.metrics["stopped_epoch"] == 2
    assert falls(made, "loss")


def test_lightning(project: Project) -> None:
    pytest.importorskip("lightning")
    import lightning
    import torch

    from gitexp.integrations.lightning import GitexpLogger

    class Plane(lightning.LightningModule):
        def __init__(self, lr: float) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(3, 1)

        def training_step(self, batch: Any, _: int) -> Any:
            loss = torch.nn.functional.mse_loss(self.layer(batch[0])[:, 0], batch[1])
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.hparams["lr"])

    tensors = [torch.tensor(array, dtype=torch.float32) for array in data()]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), batch_size=16)
    trainer = lightning.Trainer(
        max_epochs=2, logger=GitexpLogger(), log_every_n_steps=1, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", default_root_dir=project.root,
    )  # fmt: skip
    trainer.fit(Plane(lr=0.1), loader)
    made = gitexp.get("@")
    assert made.params["lr"] == 0.1
    assert steps(made, "loss") == [*range(8)]
    assert falls(made, "loss")


def test_huggingface(project: Project) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    import torch

    from gitexp.integrations.huggingface import GitexpCallback

    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=2
    )
    rows = [{"input_ids": torch.tensor([1, 2 + at % 2]), "labels": torch.tensor(at % 2)} for at in range(16)]
    arguments = transformers.TrainingArguments(
        output_dir=str(project.root / "out"), num_train_epochs=2, per_device_train_batch_size=8, learning_rate=0.01, logging_steps=1,
        save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    transformers.Trainer(model, arguments, train_dataset=rows, callbacks=[GitexpCallback()]).train()
    made = gitexp.get("@")
    assert made.params["model.type"] == "bert"
    assert (made.params["learning_rate"], made.params["num_train_epochs"]) == (0.01, 2)
    assert steps(made, "loss") == [1, 2, 3, 4]
    assert "train_runtime" in made.metrics


def test_optuna_records_each_trial_beside_the_branch(project: Project) -> None:
    optuna = pytest.importorskip("optuna")
    from gitexp.integrations.optuna import GitexpCallback

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(study_name="plane", direction="minimize", sampler=optuna.samplers.RandomSampler(seed=1))
    before = project.git("rev-parse", "HEAD")

    def objective(trial: Any) -> float:
        if trial.number == 1:
            raise ValueError("a bad point")
        return float((trial.suggest_float("x", -1, 1) - 0.3) ** 2)

    study.optimize(objective, n_trials=3, catch=ValueError, callbacks=[GitexpCallback("loss")])
    frame = gitexp.experiments(sort="started")
    assert sorted(frame.status) == ["failed", "finished", "finished"]
    assert {*frame.group} == {"plane"}
    assert gitexp.get("best:loss").params["x"] == study.best_params["x"]
    assert project.git("rev-parse", "HEAD") == before


def test_a_training_inside_a_run_joins_it_and_leaves_it_open(project: Project) -> None:
    xgboost = pytest.importorskip("xgboost")
    from gitexp.integrations.xgboost import GitexpCallback

    x, y = data()
    with gitexp.start_run(params={"mine": 1}) as run:
        matrix = xgboost.DMatrix(x, y)
        xgboost.train({}, matrix, 1, evals=[(matrix, "train")], verbose_eval=False, callbacks=[GitexpCallback()])
        run.log_metric("after", 1.0)
    assert project.tags() == ["exp-1"]
    made = gitexp.get("exp-1")
    assert made.params["mine"] == 1
    assert {"train-rmse", "after"} <= {*made.metrics}
