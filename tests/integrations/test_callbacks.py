"""The callbacks that need no MLflow: a real training with each library becomes an experiment, or
joins the run that is going on.

The trainings are those of docs/libraries.md, as they are written there, where the page shows one.
"""

from __future__ import annotations

import math
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

import gitexp
from conftest import Project
from gitexp.formats import params

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
PAGE = (Path(__file__).parents[2] / "docs/libraries.md").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"^### ([^\n]+)\n\n```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """A run that a failing test left open must not become the next test's."""
    yield
    gitexp.end_run("killed")


def shown(project: Project, library: str) -> gitexp.Experiment:
    """Run what the page shows for a library, as it is written there, and return the experiment that
    it made."""
    runpy.run_path(str(project.write("train.py", SHOWN[library])), run_name="__main__")
    gitexp.end_run()  # as Python does when it exits
    return gitexp.get("@")


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


def test_each_script_of_the_page_is_run_here() -> None:
    assert SHOWN.keys() == {
        "Keras",
        "PyTorch Lightning",
        "XGBoost",
        "LightGBM",
        "CatBoost",
        "Hugging Face",
        "Optuna",
    }
    assert PAGE.count("```python") == len(SHOWN)


def test_xgboost(project: Project) -> None:
    pytest.importorskip("xgboost")
    made = shown(project, "XGBoost")
    assert made.params["learning_rate"] == 0.1
    assert (made.params["max_depth"], made.params["objective"]) == (3, "reg:squarederror")
    assert steps(made, "train-rmse") == [*range(20)]
    assert falls(made, "train-rmse")


def test_xgboost_scikit_learn_model_with_early_stopping(project: Project) -> None:
    xgboost = pytest.importorskip("xgboost")
    from gitexp.integrations.xgboost import GitexpCallback

    x, y = data()
    noise = np.random.default_rng(1).normal(size=64)
    model = xgboost.XGBRegressor(
        n_estimators=50, early_stopping_rounds=2, callbacks=[GitexpCallback()]
    )
    model.fit(x, y, eval_set=[(x, noise)], verbose=False)
    made = gitexp.get("@")
    assert made.metrics["best_iteration"] == model.best_iteration
    assert len(steps(made, "validation_0-rmse")) < 50


@pytest.mark.parametrize(
    "given",
    [
        {"booster": "dart", "rate_drop": 0.1, "max_depth": 2},
        {"booster": "gblinear", "learning_rate": 0.1, "reg_alpha": 0.5},
        {"colsample_bylevel": 0.5, "num_parallel_tree": 2, "monotone_constraints": "(1,0,-1)"},
        {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]},
    ],
)
def test_xgboost_params_of_each_kind(project: Project, given: dict[str, Any]) -> None:
    xgboost = pytest.importorskip("xgboost")
    from gitexp.integrations.xgboost import GitexpCallback

    xgboost.train(given, xgboost.DMatrix(*data()), 1, callbacks=[GitexpCallback()])
    assert given.items() <= gitexp.get("@").params.items()


def test_cross_validation_has_means_and_deviations(project: Project) -> None:
    xgboost = pytest.importorskip("xgboost")
    lightgbm = pytest.importorskip("lightgbm")
    from gitexp.integrations import lightgbm as other
    from gitexp.integrations import xgboost as ours

    x, y = data()
    table = xgboost.cv({}, xgboost.DMatrix(x, y), 2, nfold=2, callbacks=[ours.GitexpCallback()])
    given = {"verbose": -1, "min_data_in_leaf": 5}
    callbacks = [other.GitexpCallback()]
    again = lightgbm.cv(
        given, lightgbm.Dataset(x, y), 2, nfold=2, stratified=False, callbacks=callbacks
    )
    last = table.iloc[-1]
    assert gitexp.get(1).metrics["test-rmse"] == pytest.approx(last["test-rmse-mean"])
    assert gitexp.get(1).metrics["test-rmse-std"] == pytest.approx(last["test-rmse-std"])
    assert gitexp.get(2).metrics["valid-l2"] == pytest.approx(again["valid l2-mean"][-1])
    assert gitexp.get(2).metrics["valid-l2-stdv"] == pytest.approx(again["valid l2-stdv"][-1])


def test_lightgbm(project: Project) -> None:
    pytest.importorskip("lightgbm")
    made = shown(project, "LightGBM")
    assert (made.status, made.params["learning_rate"], made.params["num_iterations"]) == (
        "finished",
        0.2,
        20,
    )
    assert steps(made, "training-l2") == [*range(20)]
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
        lightgbm.train(
            {"verbose": -1, "min_data_in_leaf": 5},
            train,
            50,
            valid_sets=[valid],
            callbacks=[callback, stop],
        )
    assert project.tags() == ["exp-1"]
    gitexp.end_run()
    assert project.tags() == ["exp-1", "exp-2"]
    assert gitexp.get("exp-1").metrics == gitexp.get("exp-2").metrics


def test_lightgbm_trainings_with_a_callback_each_are_experiments_of_their_own(
    project: Project,
) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from gitexp.integrations.lightgbm import GitexpCallback

    x, y = data()
    noise = np.random.default_rng(1).normal(size=64)
    for rate in (0.5, 0.4, 0.3):
        callbacks = [
            GitexpCallback(labels=[f"lr{rate}"]),
            lightgbm.early_stopping(1, verbose=False),
        ]
        lightgbm.train(
            {"verbose": -1, "min_data_in_leaf": 5, "learning_rate": rate},
            lightgbm.Dataset(x, y),
            50,
            valid_sets=[lightgbm.Dataset(x, noise)],
            callbacks=callbacks,
        )
    gitexp.end_run()
    made = [gitexp.get(number) for number in (1, 2, 3)]
    assert [item.labels for item in made] == [
        (f"lr{item.params['learning_rate']}",) for item in made
    ]
    assert [item.status for item in made] == ["finished"] * 3
    assert all(steps(item, "valid_0-l2")[0] == 0 for item in made)


def test_catboost(project: Project) -> None:
    pytest.importorskip("catboost")
    made = shown(project, "CatBoost")
    assert (made.params["depth"], made.status) == (2, "finished")
    assert steps(made, "learn-RMSE") == [*range(20)]
    assert falls(made, "learn-RMSE")


@pytest.mark.parametrize(("period", "evaluated"), [(1, [0, 1, 2, 3]), (2, [0, 2, 3])])
def test_catboost_logged_afterwards(project: Project, period: int, evaluated: list[int]) -> None:
    catboost = pytest.importorskip("catboost")
    from gitexp.integrations import catboost as ours

    x, y = data()
    model = catboost.CatBoostRegressor(
        iterations=4, depth=2, learning_rate=0.1, verbose=False, metric_period=period
    )  # as its own files have it, too
    model.fit(x, y, eval_set=(x, y), callbacks=[ours.GitexpCallback(model)])
    with gitexp.start_run() as run:
        ours.log(model, run)
    told = gitexp.get(1).history().query("name == 'validation-RMSE'")[["step", "value"]]
    assert told.step.to_list() == evaluated
    assert told.value.to_list() == model.get_evals_result()["validation"]["RMSE"]
    files = gitexp.import_runs("catboost", project.root / "catboost_info")
    assert (steps(files.experiments[0], "test/RMSE"), files.unread) == (evaluated, ())
    made = gitexp.get(2)
    assert made.params["learning_rate"] == 0.1
    assert steps(made, "validation-RMSE") == evaluated
    assert made.metrics["validation-RMSE"] == pytest.approx(
        model.get_evals_result()["validation"]["RMSE"][-1]
    )
    assert made.params["l2_leaf_reg"] == model.get_all_params()["l2_leaf_reg"]


def test_keras_with_early_stopping(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("keras")
    made = shown(project, "Keras")
    assert made.params["optimizer.learning_rate"] == 0.01
    assert (made.params["epochs"], made.params["parameters"]) == (20, 650)
    epochs = len(steps(made, "loss"))
    assert steps(made, "val_loss") == [*range(epochs)]
    assert made.metrics["stopped_epoch"] == epochs - 1 < 19
    assert falls(made, "loss")


def test_keras_tells_what_an_optimizer_is_made_of(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    from gitexp.integrations.keras import GitexpCallback

    x, y = data()
    made = []
    for momentum in (0.5, 0.9):
        rate = keras.optimizers.schedules.ExponentialDecay(0.123456789, 10, 0.9)
        inner = keras.optimizers.SGD(rate, momentum=momentum)
        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.LossScaleOptimizer(inner), "mse")
        model.fit(x, y, verbose=0, callbacks=[GitexpCallback()])
        made.append(dict(gitexp.get("@").params))
    sgd, loss_scale = "optimizer.inner_optimizer", "optimizer.name"
    assert made[0][f"{sgd}.learning_rate.initial_learning_rate"] == 0.123456789
    assert (made[0][f"{sgd}.class_name"], made[0][loss_scale]) == ("SGD", "loss_scale_optimizer")
    assert {name for name in made[0] if made[0][name] != made[1][name]} == {f"{sgd}.momentum"}


def test_lightning(project: Project) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("lightning")
    made = shown(project, "PyTorch Lightning")
    assert made.params["lr"] == 0.01
    assert len(steps(made, "loss")) == 3
    assert falls(made, "loss")


def test_lightning_evaluates_in_the_run_of_its_training(project: Project) -> None:
    """Each logger has its folder for checkpoints, and a second fit of one is a second experiment."""
    torch = pytest.importorskip("torch")
    lightning = pytest.importorskip("lightning")
    from gitexp.integrations.lightning import GitexpLogger

    base: Any = lightning.LightningModule

    class Line(base):
        def __init__(self, lr: float) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(3, 1)

        def training_step(self, batch: Any, _: int) -> Any:
            return self.layer(batch[0]).pow(2).mean()

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val_loss", self.training_step(batch, 0))

        def test_step(self, batch: Any, number: int) -> None:
            self.log("test_loss", self.training_step(batch, 0))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

    x = torch.utils.data.TensorDataset(torch.ones(8, 3))
    loader = torch.utils.data.DataLoader(x, batch_size=4)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    kept = []
    for lr in (0.1, 0.2):
        trainer = lightning.Trainer(max_epochs=1, logger=GitexpLogger(), **quiet)
        model = Line(lr)
        trainer.validate(model, loader, verbose=False)
        trainer.fit(model, loader, loader)
        trainer.test(model, loader, verbose=False)
        kept.append(Path(trainer.checkpoint_callback.best_model_path))
    assert kept[0].parent != kept[1].parent
    assert all(path.exists() for path in kept)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(model, loader, loader)
    with gitexp.start_run() as run:
        run.log_metric("mine", 1)
    first, second = gitexp.get(1), gitexp.get(2)
    assert (first.params, second.params) == ({"lr": 0.1}, {"lr": 0.2})
    assert steps(first, "val_loss") == [0, 1]
    assert steps(first, "test_loss") == steps(second, "test_loss") == [2]
    assert (first.status, second.status, *gitexp.get(4).metrics) == ("finished", "finished", "mine")
    assert (gitexp.get(3).params, "test_loss" in gitexp.get(3).metrics) == ({"lr": 0.2}, False)


def test_huggingface_evaluates_in_the_run_of_its_training(project: Project) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from gitexp.integrations.huggingface import GitexpCallback

    config = transformers.BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    words = torch.randint(2, 30, (8, 8))
    examples = [{"input_ids": one, "labels": (one == 7).any().long()} for one in words]
    trainer = transformers.Trainer(
        transformers.BertForSequenceClassification(config),
        transformers.TrainingArguments(
            "out",
            max_steps=2,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            lr_scheduler_type="cosine_with_restarts",
            lr_scheduler_kwargs={"num_cycles": 2},
        ),
        train_dataset=examples,
        eval_dataset=examples,
        callbacks=[GitexpCallback()],
    )
    trainer.evaluate()
    trainer.train()
    last = trainer.evaluate()["eval_loss"]
    tested = trainer.predict(examples).metrics["test_loss"]
    gitexp.end_run()
    made = gitexp.get(project.tags()[-1])
    assert project.tags() == ["exp-1"]
    assert made.params == {
        "model.type": "bert", "learning_rate": 5e-5, "num_train_epochs": 3.0, "max_steps": 2,
        "per_device_train_batch_size": 8, "seed": 42, "weight_decay": 0.0, "save_strategy": "no",
        "lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs.num_cycles": 2,
    }  # fmt: skip
    assert steps(made, "eval_loss") == [0, 2]
    assert (made.metrics["eval_loss"], made.metrics["test_loss"]) == (last, tested)


def test_huggingface_says_no_loss_of_a_training_that_was_over(project: Project) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from gitexp.integrations.huggingface import GitexpCallback

    class Model(torch.nn.Linear):  # type: ignore[name-defined]
        def forward(self, x: Any) -> dict[str, Any]:
            return {"loss": super().forward(x).sum() * 0 + 1.5}

    options = transformers.TrainingArguments(
        "out", max_steps=2, save_steps=2, report_to="none", disable_tqdm=True, use_cpu=True
    )
    for again in (False, True):
        trainer = transformers.Trainer(
            Model(1, 1), options, train_dataset=[{"x": torch.ones(1)}] * 16,
            callbacks=[GitexpCallback()],
        )  # fmt: skip
        said = trainer.train(resume_from_checkpoint=again)
        assert said.training_loss == (0.0 if again else 1.5)
    gitexp.end_run()
    first, second = gitexp.get(1).metrics, gitexp.get(2).metrics
    assert (first["train_loss"], "train_loss" in second) == (1.5, False)
    assert "train_runtime" in second


def test_huggingface(project: Project) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    made = shown(project, "Hugging Face")
    assert made.params["model.type"] == "bert"
    assert (made.params["learning_rate"], made.params["num_train_epochs"]) == (0.01, 2)
    assert steps(made, "loss") == [4, 8, 12, 16]
    assert "train_runtime" in made.metrics


def test_optuna(project: Project) -> None:
    pytest.importorskip("optuna")
    made = shown(project, "Optuna")
    assert (made.name, made.group) == ("exp-3", "parabola")
    assert made.metrics["loss"] == pytest.approx((made.params["x"] - 0.3) ** 2)


def test_optuna_records_each_trial_beside_the_branch(project: Project) -> None:
    optuna = pytest.importorskip("optuna")
    from gitexp.integrations.optuna import GitexpCallback

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name="plane", direction="minimize", sampler=optuna.samplers.RandomSampler(seed=1)
    )
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


def test_optuna_tells_steps_times_and_all_values(project: Project) -> None:
    optuna = pytest.importorskip("optuna")
    from gitexp.integrations.optuna import GitexpCallback

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def pruned(trial: Any) -> float:
        trial.suggest_float("x", -1, 1)
        for step in (10, 20):
            trial.report(1 / step, step)
        raise optuna.TrialPruned

    study = optuna.create_study()
    study.optimize(pruned, n_trials=1, callbacks=[GitexpCallback("loss", labels="mine")])
    made = gitexp.get(1)
    assert (steps(made, "loss.intermediate"), made.labels) == ([10, 20], ("mine", "pruned"))
    late = study.trials[0].datetime_start.astimezone() - made.started
    assert (0 <= late.total_seconds() < 0.001, made.duration is not None) == (True, True)
    for names, given in ((["acc", "size"], ()), (None, ()), (None, "loss")):
        several = optuna.create_study(directions=["maximize", "minimize"])
        if names:
            several.set_metric_names(names)
        several.optimize(lambda trial: (1.0, 2.0), n_trials=1, callbacks=[GitexpCallback(given)])
    assert [dict(gitexp.get(number).metrics) for number in (2, 3, 4)] == [
        {"acc": 1, "size": 2},
        {"value_0": 1, "value_1": 2},
        {"loss_0": 1, "loss_1": 2},
    ]


def test_a_training_after_one_that_raised_joins_nothing(project: Project) -> None:
    """Of another library, too; and what the user himself has begun goes on."""
    xgboost = pytest.importorskip("xgboost")
    from gitexp.integrations.training import Training
    from gitexp.integrations.xgboost import GitexpCallback

    base: Any = xgboost.callback.TrainingCallback

    class Breaks(base):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            raise ValueError("the disk is full")

    matrix = xgboost.DMatrix(*data())
    for rate in (0.5, 0.3):
        callbacks = [GitexpCallback(), Breaks()]
        with pytest.raises(ValueError, match="full"):
            xgboost.train({"learning_rate": rate}, matrix, 2, callbacks=callbacks)
    logger = Training({})
    logger.log_params({"learning_rate": 0.1})  # as Lightning begins
    logger.fail()
    logger.log_params({"learning_rate": 0.2})
    logger.end()
    frame = gitexp.experiments(sort="started")
    assert frame["params.learning_rate"].to_list() == [0.5, 0.3, 0.1, 0.2]
    assert frame.status.to_list() == ["failed"] * 3 + ["finished"]
    with gitexp.start_run(), pytest.raises(ValueError, match="full"):
        xgboost.train({}, matrix, 2, callbacks=[GitexpCallback(), Breaks()])
    assert gitexp.get("@").name == "exp-5"


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        ("", "failed", None),
        ("sys.exit(0)", "finished", None),
        ("raise ValueError('boom')", "failed", "ValueError: boom"),
    ],
)
def test_how_python_exits_tells_of_a_training_without_an_end(
    project: Project, end: str, status: str, error: str | None
) -> None:
    """Nothing told means that the training raised, and somebody caught it."""
    begin = (
        "import sys\nfrom gitexp.integrations.training import Training\nTraining({}).begin({})\n"
    )
    project.write("train.py", f"{begin}{end}\n")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "train.py"], cwd=project.root, env=env, check=False)
    made = gitexp.get("@")
    assert (made.status, made.failure) == (status, error)


def test_a_metric_with_a_value_for_each_class_is_logged_by_class(project: Project) -> None:
    """As that of Keras' F1Score is, by default."""
    torch = pytest.importorskip("torch")
    from gitexp.integrations.training import Training

    training = Training({})
    training.begin({})
    odd = {"one": torch.ones(1), "square": torch.ones(2, 2), "large": np.ones(1000), "word": "x"}
    training.log({"f1": np.array([0.5, 0.25]), "ap": torch.tensor([0.5, 1.0]), **odd}, 3)
    training.end()
    assert gitexp.get(1).metrics == {
        "f1.0": 0.5, "f1.1": 0.25, "ap.0": 0.5, "ap.1": 1.0, "one": 1.0,
    }  # fmt: skip


def test_trainings_of_several_threads_at_once_share_a_run(project: Project) -> None:
    from gitexp.integrations.training import Training

    one, other = Training({}), Training({})
    one.begin({"lr": 1})
    with ThreadPoolExecutor(1) as pool:
        pool.submit(other.begin, {"depth": 2}).result()
        one.log({"loss": 1.0}, 0)
        pool.submit(other.end).result()
    one.log({"loss": 0.5}, 1)
    one.end()
    assert project.tags() == ["exp-1"]
    assert gitexp.get(1).params == {"lr": 1, "depth": 2}
    assert steps(gitexp.get(1), "loss") == [0, 1]


@pytest.mark.parametrize("one_callback", [False, True])
def test_a_training_in_a_callback_of_another_ends_nothing(
    project: Project, one_callback: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outer one's params and curve are its own; trainings that follow are experiments again."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    xgboost = pytest.importorskip("xgboost")
    from gitexp.integrations import keras as for_keras
    from gitexp.integrations import xgboost as for_xgboost

    def train(epochs: int, *callbacks: Any) -> None:
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(*data(), epochs=epochs, verbose=0, callbacks=[*callbacks])

    mine = for_keras.GitexpCallback()

    class Probe(keras.callbacks.Callback):  # type: ignore[name-defined]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            train(1, mine if one_callback else for_keras.GitexpCallback())
            boosted = for_xgboost.GitexpCallback()
            matrix = xgboost.DMatrix(*data())
            xgboost.train({}, matrix, 1, evals=[(matrix, "train")], callbacks=[boosted])

    with pytest.warns(RuntimeWarning, match="within another's callback is not logged"):
        train(4, mine, Probe())
    train(2, for_keras.GitexpCallback())
    assert project.tags() == ["exp-1", "exp-2"]
    outer = gitexp.get(1)
    assert (outer.status, outer.params["epochs"], {*outer.metrics}) == ("finished", 4, {"loss"})
    assert steps(outer, "loss") == [0, 1, 2, 3]
    assert gitexp.get(2).params["epochs"] == 2


def test_a_search_of_trainings_that_stop_by_an_error_is_an_experiment_each(
    project: Project,
) -> None:
    """Though the library is below them all, as in Hugging Face's search with pruned trials."""
    lightgbm = pytest.importorskip("lightgbm")
    from gitexp.integrations.lightgbm import GitexpCallback

    stop = lightgbm.early_stopping(1, verbose=False)
    noise = np.random.default_rng(1).normal(size=64)

    def search(train: Any) -> None:
        for rate in (0.5, 0.4):
            train(rate)

    def train(rate: float) -> None:
        x, y = data()
        lightgbm.train(
            {"verbose": -1, "min_data_in_leaf": 5, "learning_rate": rate}, lightgbm.Dataset(x, y),
            50, valid_sets=[lightgbm.Dataset(x, noise)], callbacks=[GitexpCallback(), stop],
        )  # fmt: skip

    within = FunctionType(search.__code__, {"__name__": "lightgbm.tuner"})
    within(train)
    (lambda: within(train))()  # from deeper down, which is no training inside of another
    gitexp.end_run()
    assert project.tags() == ["exp-1", "exp-2", "exp-3", "exp-4"]


@pytest.mark.parametrize("end", ["kill", "raise", "thread"])
def test_what_comes_after_a_training_that_waits_for_an_evaluation_is_not_its(
    project: Project, end: str
) -> None:
    """It is over: as it ended, for as long as it took, and other trainings have runs of their own."""
    then = {
        "kill": "os.kill(os.getpid(), 9)",
        "raise": "raise ValueError('plot failed')",
        "thread": "thread = Thread(target=train, args=[2]); thread.start(); thread.join()",
    }
    text = (
        "import os, time\nfrom threading import Thread\n"
        "from gitexp.integrations.training import Training\n"
        "def train(lr):\n"
        "    training = Training({})\n"
        "    training.begin({'lr': lr}); training.log({'loss': lr}, 0); training.trained()\n"
        f"train(1)\ntime.sleep(0.5)\n{then[end]}\n"
    )
    subprocess.run([sys.executable, project.write("train.py", text)], capture_output=True)
    project.gitexp("recover")
    made = gitexp.get(1)
    assert (made.status, made.params, made.failure) == ("finished", {"lr": 1}, None)
    assert made.duration is not None
    assert made.duration < 0.4
    assert project.tags() == ["exp-1", "exp-2"][: 2 if end == "thread" else 1]


def test_a_run_that_was_taken_up_again_and_killed_can_be_recovered(project: Project) -> None:
    text = (
        "import os, gitexp\nrun = gitexp.start_run()\n"
        "run.end_later('finished'); run.go_on(); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, project.write("train.py", text)], capture_output=True)
    assert "exp-1" in project.gitexp("recover")
    assert gitexp.get(1).status == "killed"


@pytest.mark.parametrize("value", [0.1, 16777216.0, 0.12345678, 1e-7, math.inf, math.nan])
def test_what_was_held_in_32_bits_is_written_in_as_few_digits_as_tell_it(value: float) -> None:
    held = float(np.float32(value))
    short = params.short(held)
    assert str(np.float32(short)) == str(np.float32(value))
    assert len(repr(short)) <= len(repr(held))


def test_a_training_inside_a_run_joins_it_and_leaves_it_open(project: Project) -> None:
    xgboost = pytest.importorskip("xgboost")
    from gitexp.integrations.xgboost import GitexpCallback

    x, y = data()
    with gitexp.start_run(params={"mine": 1}) as run:
        matrix = xgboost.DMatrix(x, y)
        xgboost.train(
            {},
            matrix,
            1,
            evals=[(matrix, "train")],
            verbose_eval=False,
            callbacks=[GitexpCallback()],
        )
        run.log_metric("after", 1.0)
    assert project.tags() == ["exp-1"]
    made = gitexp.get("exp-1")
    assert made.params["mine"] == 1
    assert {"train-rmse", "after"} <= {*made.metrics}
