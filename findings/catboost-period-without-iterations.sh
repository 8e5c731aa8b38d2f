#!/usr/bin/env bash
# catboost 1.2.10: with metric_period, get_evals_result() has a value for each evaluated iteration, and nothing says which these
# were: best_iteration_ points behind the list's end, and a callback is told the last value again and again as if it were new.
# Seen: 4 values for 10 iterations, best_iteration_ 9; the callback was told [1, 1, 1, 2, 2, 2, 3, 3, 3, 4] values
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check catboost==1.2.10
cat >script.py <<'END'
import numpy
from catboost import CatBoostRegressor

x = numpy.random.RandomState(0).rand(50, 3)
told = []


class Callback:
    def after_iteration(self, info):
        told.append(len(info.metrics["validation"]["RMSE"]))
        return True


model = CatBoostRegressor(
    iterations=10, metric_period=3, depth=2, learning_rate=0.1, verbose=False, allow_writing_files=False
)
model.fit(x, x.sum(1), eval_set=(x, x.sum(1)), callbacks=[Callback()])
values = model.get_evals_result()["validation"]["RMSE"]
print(
    f"{len(values)} values for {model.tree_count_} iterations, best_iteration_ {model.best_iteration_};"
    f" the callback was told {told} values"
)
assert (len(values), model.best_iteration_, told) == (4, 9, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4])
END
venv/bin/python script.py
