#!/usr/bin/env bash
# polars 2.1.0: a frame of rows (from_dicts, DataFrame) takes its types and columns from the first 100. A loss that was a whole number
# until then is cut to one from then on (0.5 is 0), though strict=True says that it throws an error, and a metric that comes later is lost.
# Seen: row 101 of 101 was {'step': 100, 'loss': 0.5, 'accuracy': 0.9}, is {'step': 100, 'loss': 0}; as a column strict=True throws
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check polars==2.1.0
cat >script.py <<'END'
import polars

rows = [{"step": step, "loss": 0} for step in range(100)]
rows.append({"step": 100, "loss": 0.5, "accuracy": 0.9})
for frame in (polars.from_dicts(rows, strict=True), polars.DataFrame(rows, strict=True)):
    (last,) = frame[-1:].to_dicts()
    assert last == {"step": 100, "loss": 0}, last
try:
    polars.DataFrame({"loss": [row["loss"] for row in rows]}, strict=True)
except TypeError:
    throws = "throws"
print(f"row 101 of {len(rows)} was {rows[-1]}, is {last}; as a column strict=True {throws}")
END
venv/bin/python script.py
