#!/usr/bin/env bash
# polars 2.1.0: a history of metrics as trackers give it, a dict or a line of JSON a step, loses every metric that first comes after
# row 100, and one that was whole numbers until then is cut to whole numbers from there on, though strict=True, the default,
# promises an error for a value of another type. pandas 3.1.1 has all.
# Seen: polars columns ['step', 'reward'], last reward 0; read_ndjson columns ['step', 'loss']; pandas: val_loss 0.5, reward 0.75
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check polars==2.1.0 pandas==3.1.1
cat >script.py <<'END'
import json

import pandas as pd
import polars as pl

steps = range(300)
late = {step: {"val_loss": 0.5} if step >= 200 else {} for step in steps}
rows = [{"step": step, "reward": 1 if step < 150 else 0.75, **late[step]} for step in steps]
with open("history.jsonl", "w") as file:
    file.writelines(json.dumps({"step": step, "loss": 0.25, **late[step]}) + "\n" for step in steps)
made, read = pl.DataFrame(rows, strict=True), pl.read_ndjson("history.jsonl")
print(f"polars columns {made.columns}, last reward {made['reward'][-1]}", end="; ")
print(f"read_ndjson columns {read.columns}", end="; ")
whole = pd.DataFrame(rows).iloc[-1]
print(f"pandas: val_loss {whole['val_loss']}, reward {whole['reward']}")
assert made.columns == ["step", "reward"] and made["reward"][-1] == 0
assert read.columns == ["step", "loss"]
assert (whole["val_loss"], whole["reward"]) == (0.5, 0.75)
END
venv/bin/python script.py
