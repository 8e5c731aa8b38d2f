#!/usr/bin/env bash
# pandas 3.1.1: read_json takes text that JSON quotes, and that to_json wrote from text, for numbers if all of a column can be: the runs
# "001" and "010" are 1 and 10. A whole number in a column whose name ends in _at or _time (the step best_at) becomes a date of 1971.
# Seen: run [1, 10], best_at ['1971-08-02', '1971-11-26']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pandas==3.1.1
cat >script.py <<'END'
import io

import pandas

runs = pandas.DataFrame({"run": ["001", "010"], "best_at": [50_000_000, 60_000_000]})
text = runs.to_json(orient="records")
assert '"001"' in text and "50000000" in text, text
read = pandas.read_json(io.StringIO(text), orient="records")
run = read["run"].tolist()
best_at = [str(time.date()) for time in read["best_at"]]
print(f"run {run}, best_at {best_at}")
assert (run, best_at) == ([1, 10], ["1971-08-02", "1971-11-26"])
END
venv/bin/python script.py 2>warnings
