#!/usr/bin/env bash
# mlflow 3.17.2: what load_table reads is not what log_table was given, and neither says so. The file has ten decimals, so a small
# p-value is 0; text of digits comes back as numbers, without its zeros; whole numbers below a name that ends in _time or _at
# come back as dates.
# Seen: p 0 for 3e-12, subject 7 for '007', train_time 1971-01-06 08:53:20 for 32000000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mlflow==3.17.2
cat >script.py <<'END'
import logging

import mlflow
import pandas as pd

logging.disable(logging.INFO)
mlflow.set_tracking_uri("sqlite:///runs.db")
logged = pd.DataFrame({"p": [3e-12], "subject": ["007"], "train_time": [32_000_000]})
with mlflow.start_run():
    mlflow.log_table(logged, "table.json")
    loaded = mlflow.load_table("table.json")
(before,), (after,) = logged.to_dict("records"), loaded.to_dict("records")
print(*(f"{name} {after[name]} for {before[name]!r}" for name in logged), sep=", ")
assert after["p"] == 0 and after["subject"] == 7
assert str(after["train_time"]) == "1971-01-06 08:53:20"
END
MLFLOW_DISABLE_TELEMETRY=true venv/bin/python script.py 2>log
