#!/usr/bin/env bash
# scikit-learn 1.9.1: the param_ columns of a search's cv_results_ are of one NumPy type, so the grid [1, 0.5] of max_features is
# listed as 1.0 and 0.5. The forest was fitted with 1, one feature for each split; 1.0 means all of them. `params` beside it has the 1.
# Seen: listed 1.0, fitted 1; features of a forest with max_features=1.0: 8, with 1: 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check scikit-learn==1.9.1
cat >script.py <<'END'
from sklearn.datasets import make_regression
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import GridSearchCV

x, y = make_regression(40, 8, random_state=0)
forest = RandomForestRegressor(n_estimators=2, random_state=0)
search = GridSearchCV(forest, {"max_features": [1, 0.5]}, cv=2).fit(x, y)
listed = search.cv_results_["param_max_features"][0].item()
fitted = search.cv_results_["params"][0]["max_features"]


def features(value):
    return forest.set_params(max_features=value).fit(x, y).estimators_[0].max_features_


print(
    f"listed {listed}, fitted {fitted}; features of a forest with max_features={listed}:"
    f" {features(listed)}, with {fitted}: {features(fitted)}"
)
assert (str(listed), str(fitted)) == ("1.0", "1")
assert (features(listed), features(fitted)) == (8, 1)
END
venv/bin/python script.py
