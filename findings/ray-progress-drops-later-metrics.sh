#!/usr/bin/env bash
# ray 2.60.0, Tune: progress.csv of a trial has the columns of its first report; metrics that come later are dropped
# without a word. result.json beside it has them.
# Seen: progress.csv: accuracy False, result.json: accuracy True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'ray[tune]==2.60.0'
cat >script.py <<'END'
import csv
import json
import pathlib

from ray import tune


def train(config):
    tune.report({"loss": 1.0})
    tune.report({"loss": 0.5, "accuracy": 0.9})


place = str(pathlib.Path("out").resolve())
tune.Tuner(train, run_config=tune.RunConfig(storage_path=place, name="x", verbose=0)).fit()
(table,) = pathlib.Path(place).rglob("progress.csv")
in_table = "accuracy" in next(csv.reader(open(table)))
in_json = any("accuracy" in json.loads(line) for line in open(table.parent / "result.json"))
print(f"progress.csv: accuracy {in_table}, result.json: accuracy {in_json}")
assert in_json and not in_table
END
RAY_USAGE_STATS_ENABLED=0 HOME=$folder venv/bin/python script.py
