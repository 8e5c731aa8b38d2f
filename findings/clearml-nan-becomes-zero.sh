#!/usr/bin/env bash
# clearml 2.1.12, offline: NaN and infinity are stored as 0.0, so a training that diverged looks perfect.
# Seen: [0.5, 0.0, 0.0]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check clearml==2.1.12 'setuptools<81'
cat >script.py <<'END'
import json
import pathlib

from clearml import Task

Task.set_offline(True)
task = Task.init("demo", "train", auto_connect_frameworks=False, auto_resource_monitoring=False)
for step, value in enumerate([0.5, float("nan"), float("inf")]):
    task.get_logger().report_scalar("loss", "train", value, step)
task.close()
rows = []
for path in pathlib.Path(".").rglob("metrics.jsonl"):
    for line in path.read_text().splitlines():
        rows += [row for row in json.loads(line) if row.get("metric") == "loss"]
values = [row["value"] for row in sorted(rows, key=lambda row: row["iter"])]
print(values)
assert values == [0.5, 0.0, 0.0], values
END
HOME=$folder venv/bin/python script.py
