#!/usr/bin/env bash
# trackio 0.43.0: a run that is resumed keeps its metrics, but its config becomes what the new init was given: a continued training
# that names no config, or only what is new, deletes the hyperparameters of the run.
# Seen: {'lr': 0.1, 'layers': 3}, resumed with a config: {'epochs': 5}, without: {}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check trackio==0.43.0
cat >script.py <<'END'
import contextlib

import trackio


def train(**options):
    with contextlib.redirect_stdout(None):
        trackio.init(project="demo", name="run", **options)
        trackio.log({"loss": 0.5})
        trackio.finish()
    (run,) = trackio.Api().runs("demo")
    return {name: value for name, value in run.config.items() if not name.startswith("_")}


first = train(config={"lr": 0.1, "layers": 3})
second = train(config={"epochs": 5}, resume="must")
third = train(resume="must")
print(f"{first}, resumed with a config: {second}, without: {third}")
assert (first, second, third) == ({"lr": 0.1, "layers": 3}, {"epochs": 5}, {})
END
TRACKIO_DIR="$PWD/runs" venv/bin/python script.py
