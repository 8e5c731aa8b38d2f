#!/usr/bin/env bash
# comet-ml 3.58.8, offline: a metric that is logged without a step gets the step of whatever was logged before it.
# Seen: [('loss', 100), ('accuracy', 100)] though accuracy was logged without one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check comet-ml==3.58.8 'setuptools<81'
cat >script.py <<'END'
import json
import pathlib
import zipfile

from comet_ml import OfflineExperiment

experiment = OfflineExperiment(
    project_name="demo", offline_directory="out", auto_metric_logging=False, log_env_details=False
)
experiment.log_metric("loss", 0.5, step=100)
experiment.log_metric("accuracy", 0.9)
experiment.end()
(path,) = pathlib.Path("out").glob("*.zip")
lines = zipfile.ZipFile(path).read("messages.json").decode().splitlines()
metrics = [m["payload"]["metric"] for m in map(json.loads, lines) if m["type"] == "metric_msg"]
steps = [(m["metricName"], m["step"]) for m in metrics if m["metricName"] in ("loss", "accuracy")]
print(steps)
assert steps == [("loss", 100), ("accuracy", 100)], steps
END
COMET_API_KEY= venv/bin/python script.py 2>&1 | grep -v COMET
