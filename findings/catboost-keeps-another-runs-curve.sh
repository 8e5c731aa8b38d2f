#!/usr/bin/env bash
# catboost 1.2.10: a training without an eval set leaves the test_error.tsv and the test/ events that an earlier one with an
# eval set wrote into the same train_dir, beside its own learn_error.tsv: the two curves in the folder are of two trainings.
# Seen: learn_error.tsv has 3 rows of the second training, test_error.tsv still 6 of the first; its own record: no test set
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check catboost==1.2.10
cat >script.py <<'END'
import json
from pathlib import Path

import numpy
from catboost import CatBoostRegressor

x = numpy.random.RandomState(0).rand(50, 3)
for iterations, data in ((6, (x, x.sum(1))), (3, None)):
    model = CatBoostRegressor(iterations=iterations, verbose=False, train_dir="info")
    model.fit(x, x.sum(1), eval_set=data)
learn, test = (
    len(Path("info", f"{kind}_error.tsv").read_text().splitlines()) - 1 for kind in ("learn", "test")
)
own = json.loads(Path("info", "catboost_training.json").read_text())["meta"]["test_sets"]
print(
    f"learn_error.tsv has {learn} rows of the second training, test_error.tsv still {test} of the"
    f" first; its own record: {'a' if own else 'no'} test set"
)
assert (learn, test, own) == (3, 6, [])
END
venv/bin/python script.py
