#!/usr/bin/env bash
# mlflow 3.17.2: `mlflow migrate-filestore`, the way from the folder mlruns to SQLite, moves nothing at all when one run has a value
# that was logged twice within a millisecond (a loop that counts right answers does that); the SQLite store itself passes over
# the second one.
# Seen: 2 values in the files, the migration exits 1 with "UNIQUE constraint failed", runs in the new database: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mlflow==3.17.2
cat >script.py <<'END'
import logging
import pathlib
import subprocess
import sys
import time

import mlflow

logging.disable(logging.INFO)
old = mlflow.MlflowClient(pathlib.Path("mlruns").absolute().as_uri())
old.create_run("0")
run = old.create_run("0").info.run_id
now = int(time.time() * 1000)
for _ in range(2):
    old.log_metric(run, "right", 1.0, timestamp=now)
logged = len(old.get_metric_history(run, "right"))
command = [str(pathlib.Path(sys.executable).parent / "mlflow"), "migrate-filestore"]
done = subprocess.run(
    [*command, "--source", "mlruns", "--target", "sqlite:///new.db"], capture_output=True, text=True
)
why = "UNIQUE constraint failed"
runs = mlflow.MlflowClient("sqlite:///new.db").search_runs(["0"])
print(
    f"{logged} values in the files, the migration exits {done.returncode} with"
    f' "{why}", runs in the new database: {len(runs)}'
)
assert (logged, done.returncode, len(runs)) == (2, 1, 0) and why in done.stderr
END
MLFLOW_DISABLE_TELEMETRY=true MLFLOW_ALLOW_FILE_STORE=true venv/bin/python -W ignore script.py 2>log
