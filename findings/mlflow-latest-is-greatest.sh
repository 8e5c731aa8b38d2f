#!/usr/bin/env bash
# mlflow 3.17.2, SQLite: of two values of a metric with one step and one millisecond, the greater is the latest whatever
# came last, the history gives them by value, and a value that was logged twice so is there once.
# Seen: latest 0.9 though 0.1 came last; history [0.1, 0.9]; 0.5 logged twice is [0.5]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mlflow==3.17.2
cat >script.py <<'END'
from mlflow import MlflowClient

client = MlflowClient("sqlite:///runs.db")
run = client.create_run("0").info.run_id


def log(name, values):
    for value in values:
        client.log_metric(run, name, value, timestamp=1_000, step=3)
    return [metric.value for metric in client.get_metric_history(run, name)]


history, twice = log("loss", [0.9, 0.1]), log("accuracy", [0.5, 0.5])
latest = client.get_run(run).data.metrics["loss"]
print(f"latest {latest} though 0.1 came last; history {history}; 0.5 logged twice is {twice}")
assert (latest, history, twice) == (0.9, [0.1, 0.9], [0.5])
END
venv/bin/python script.py 2>/dev/null
