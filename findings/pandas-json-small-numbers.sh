#!/usr/bin/env bash
# pandas 3.1.1: to_json cuts numbers behind the tenth decimal place, not digit: a p-value or loss of 3e-11 is written as 0.0, 1.4e-10 as
# 1e-10, and the far smaller 3e-16 is written exactly. double_precision=15, the most that it takes, still writes 1.2345e-14 as 1.2e-14.
# Seen: {1.4e-10: 1e-10, 3e-11: 0.0, 3e-16: 3e-16}; with double_precision=15: {1.2345e-14: 1.2e-14}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pandas==3.1.1
cat >script.py <<'END'
import json

import pandas


def written(values, **options):
    text = pandas.DataFrame({"loss": values}).to_json(orient="records", **options)
    return dict(zip(values, (row["loss"] for row in json.loads(text))))


usual = written([1.4e-10, 3e-11, 3e-16])
most = written([1.2345e-14], double_precision=15)
print(f"{usual}; with double_precision=15: {most}")
assert usual == {1.4e-10: 1e-10, 3e-11: 0.0, 3e-16: 3e-16}, usual
assert most == {1.2345e-14: 1.2e-14}, most
END
venv/bin/python script.py
