#!/usr/bin/env bash
# dagshub 0.7.3: DAGsHubLogger writes a list in the hyperparameters to params.yml as text.
# Seen: {'layers': '[64, 32]', 'lr': 0.1}, so who reads the file back gets a str where a list was logged.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dagshub==0.7.3 'setuptools<81'
cat >script.py <<'END'
import yaml
from dagshub.logger import DAGsHubLogger

logger = DAGsHubLogger(hparams_path="params.yml", metrics_path="metrics.csv")
logger.log_hyperparams({"layers": [64, 32], "lr": 0.1})
logger.save()
logger.close()
read = yaml.safe_load(open("params.yml"))
print(read)
assert read == {"layers": "[64, 32]", "lr": 0.1}, read
END
venv/bin/python script.py
