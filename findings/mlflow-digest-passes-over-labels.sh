#!/usr/bin/env bash
# mlflow 3.17.2: the digest by which mlflow.data and log_input tell a data set from its next version does not look at columns of
# truth values or times, nor at values below row 10,000, so a set with every label turned round is the same data set to MLflow.
# Seen: the same digest with other labels: True, other times: True, other values from row 10,000: True, another text: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mlflow==3.17.2
cat >script.py <<'END'
import mlflow
import numpy as np
import pandas as pd

rows = np.arange(20_000)
first = pd.DataFrame(
    {
        "value": rows * 0.5,
        "label": rows % 2 == 0,
        "time": pd.date_range("2026-01-01", periods=len(rows), freq="h"),
        "text": "a",
    }
)


def same(**columns):
    second = first.assign(**columns)
    assert not second.equals(first)
    digests = [mlflow.data.from_pandas(data, source="data.csv").digest for data in (first, second)]
    return digests[0] == digests[1]


seen = {
    "other labels": same(label=~first["label"]),
    "other times": same(time=first["time"] + pd.Timedelta("1D")),
    "other values from row 10,000": same(value=first["value"].where(rows < 10_000, -1.0)),
    "another text": same(text="b"),
}
print("the same digest with", ", ".join(f"{what}: {is_same}" for what, is_same in seen.items()))
assert list(seen.values()) == [True, True, True, False]
END
MLFLOW_DISABLE_TELEMETRY=true venv/bin/python -W ignore script.py
