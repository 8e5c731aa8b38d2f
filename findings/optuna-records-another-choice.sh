#!/usr/bin/env bash
# optuna 5.0.0: suggest_categorical with choices that Python calls equal gives the objective the one that was drawn and records the
# first of them. So best_params has 1 where 1.0 was tried (to a random forest of scikit-learn: one feature instead of all), 0 for False.
# Seen: the objective was given [1.0, 1, 1.0, False, 0, False], recorded were [1, 1, 1, 0, 0, 0]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check optuna==5.0.0
cat >script.py <<'END'
import optuna

optuna.logging.disable_default_handler()
given, recorded = [], []
for choices in ([1, 1.0], [0, False]):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def objective(trial):
        given.append(trial.suggest_categorical("max_features", choices))
        return 0.0

    study.optimize(objective, n_trials=3)
    recorded += [trial.params["max_features"] for trial in study.trials]
print(f"the objective was given {given}, recorded were {recorded}")
assert str(recorded) == "[1, 1, 1, 0, 0, 0]", recorded
assert given == recorded and str(given) != str(recorded), given
END
venv/bin/python script.py
