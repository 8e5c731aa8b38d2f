#!/usr/bin/env bash
# optuna 5.0.0: a pruned trial has a value, the last one that it reported, though its objective returned none.
# Seen: PRUNED 0.5 {0: 0.9, 1: 0.5}; best_trial passes it over, but the column value of trials_dataframe has it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check optuna==5.0.0 pandas==3.0.0
cat >script.py <<'END'
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(trial):
    if trial.number:
        trial.report(0.9, 0)
        trial.report(0.5, 1)
        raise optuna.TrialPruned()
    return 1.0


study = optuna.create_study()
study.optimize(objective, n_trials=2)
pruned = study.trials[1]
print(pruned.state.name, pruned.value, pruned.intermediate_values)
assert pruned.state.name == "PRUNED" and pruned.value == 0.5
assert study.best_value == 1.0
assert list(study.trials_dataframe()["value"]) == [1.0, 0.5]
END
venv/bin/python script.py
