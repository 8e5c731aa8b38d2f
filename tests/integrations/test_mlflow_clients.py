"""Unchanged clients of MLflow: what each logs is the same on MLflow's SQLite store, on ``gitexp:``
and under ``gitexp run``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from mlflow_scripts import Training

pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mlflow")]

CLIENTS = {
    "skorch": """
        import mlflow, numpy, torch
        from skorch import NeuralNetRegressor
        from skorch.callbacks import MlflowLogger
        torch.manual_seed(1)
        x = numpy.linspace(0, 1, 40, dtype="float32").reshape(-1, 1)
        with mlflow.start_run(run_name="skorch"):
            net = NeuralNetRegressor(torch.nn.Linear(1, 1), max_epochs=3, lr=0.1, verbose=0, callbacks=[MlflowLogger(terminate_after_train=False)])
            net.fit(x, 2 * x)
            mlflow.log_params({"lr": 0.1, "module": "Linear"})
    """,
    "ignite": """
        import torch
        from ignite.engine import Events, create_supervised_trainer
        from ignite.handlers.mlflow_logger import MLflowLogger, OptimizerParamsHandler
        torch.manual_seed(1)
        model = torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer = create_supervised_trainer(model, optimizer, torch.nn.MSELoss())
        logger = MLflowLogger()
        logger.log_params({"seed": 1, "lr": 0.1, "long": "x" * 300})
        logger.attach_output_handler(trainer, event_name=Events.ITERATION_COMPLETED, tag="training", output_transform=lambda loss: {"loss": loss})
        logger.attach(trainer, log_handler=OptimizerParamsHandler(optimizer), event_name=Events.ITERATION_COMPLETED(every=2))
        x = torch.linspace(0, 1, 8).reshape(-1, 1)
        trainer.run([(x, 2 * x)] * 4, max_epochs=2)
        logger.close()
    """,
    "sklearn": """
        import mlflow
        from sklearn.linear_model import Ridge
        from sklearn.metrics import mean_squared_error
        from sklearn.model_selection import cross_val_score
        mlflow.autolog(log_models=False, log_model_signatures=False)
        x, y = [[float(at), at % 3.0] for at in range(30)], [2.0 * at for at in range(30)]
        with mlflow.start_run(run_name="ridge"):
            model = Ridge(alpha=0.5).fit(x, y)
            mlflow.log_metric("mse", mean_squared_error(y, model.predict(x)))
            mlflow.log_metrics({f"fold_{at}": score for at, score in enumerate(cross_val_score(Ridge(), x, y, cv=3))})
    """,
}

LOOK = """
    import json, sys
    import mlflow
    mlflow.set_tracking_uri(sys.argv[1])
    client = mlflow.MlflowClient()
    ours = ("gitexp.", "mlflow.source.", "mlflow.user")
    told = []
    for run in mlflow.search_runs(search_all_experiments=True, output_format="list", order_by=["attributes.start_time ASC"]):
        tags = {key: text for key, text in run.data.tags.items() if not key.startswith(ours)}
        tags.pop("mlflow.runName", None)
        histories = {key: [(round(item.value, 6) if "dur" not in key else 0, item.step) for item in client.get_metric_history(run.info.run_id, key)] for key in run.data.metrics}
        inputs = sorted((item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs)
        files = sorted(item.path for item in client.list_artifacts(run.info.run_id))
        told.append((run.info.status, run.data.params, histories, sorted(tags), inputs, files))
    print(json.dumps(told, sort_keys=True))
"""


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_logs_the_same_everywhere(client: str, training: Training, tmp_path: Path) -> None:
    pytest.importorskip(client)
    theirs = f"sqlite:///{tmp_path / 'theirs.db'}"
    script = CLIENTS[client]
    training.run(script, MLFLOW_TRACKING_URI=theirs)
    wanted = json.loads(training.run(LOOK, theirs, name="look.py").out)
    training.project.git("clean", "-fdxq", "--exclude=*.py")
    assert wanted
    assert wanted[0][2], "it logged metrics"
    training.run(script)
    assert json.loads(training.run(LOOK, "gitexp:.", name="look.py").out) == wanted
    assert len(training.experiments()) == len(wanted)
    training.project.write("train.py", dedent(script))
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    training.project.gitexp("run", "--", sys.executable, "train.py", env=quiet)
    both = json.loads(training.run(LOOK, "gitexp:.", name="look.py").out)
    assert both[len(wanted) :] == wanted
