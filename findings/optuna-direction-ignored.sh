#!/usr/bin/env bash
# optuna 5.0.0: create_study(direction="maximize", load_if_exists=True) of a study that is there already returns it with the direction
# that it has, and neither an error nor a warning says so: best_trial of the accuracies is then the worst. Not said in its docs either.
# Seen: asked for MAXIMIZE, got MINIMIZE with 0 warnings; best value of [0.5, 0.9, 0.7]: 0.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check optuna==5.0.0
cat >script.py <<'END'
import logging
import warnings

import optuna

optuna.logging.disable_default_handler()
place = {"study_name": "accuracy", "storage": "sqlite:///study.db"}
optuna.create_study(**place)  # as a first try, or another script, left it
said = []
handler = logging.Handler(logging.WARNING)
handler.emit = said.append
logging.getLogger("optuna").addHandler(handler)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    study = optuna.create_study(**place, direction="maximize", load_if_exists=True)
accuracies = [0.5, 0.9, 0.7]
study.optimize(lambda trial: accuracies[trial.number], n_trials=3)
said += caught
print(
    f"asked for MAXIMIZE, got {study.direction.name} with {len(said)} warnings;"
    f" best value of {accuracies}: {study.best_value}"
)
assert (study.direction.name, said, study.best_value) == ("MINIMIZE", [], 0.5)
END
venv/bin/python script.py
