#!/usr/bin/env bash
# lightgbm 4.7.0: a saved model lists the parameters that it was trained with, and Booster(model_file=...).params reads them, in six digits.
# A learning rate that a search drew is not the one in the model, which cannot be found or trained again by what it says of itself.
# Seen: trained with learning_rate 0.012345678901, the model says 0.0123457; trained again by that, it predicts the same: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check lightgbm==4.7.0 numpy==2.4.6
cat >script.py <<'END'
import lightgbm
import numpy

x = numpy.random.RandomState(0).rand(200, 3)
rate = 0.012345678901


def train(**params):
    fixed = {"verbose": -1, "seed": 0, "deterministic": True, "num_threads": 1}
    return lightgbm.train(fixed | params, lightgbm.Dataset(x, x.sum(1)), 50)


model = train(learning_rate=rate)
assert (model.predict(x) == train(learning_rate=rate).predict(x)).all()
model.save_model("model.txt")
said = lightgbm.Booster(model_file="model.txt").params["learning_rate"]
same = bool((model.predict(x) == train(learning_rate=said).predict(x)).all())
print(
    f"trained with learning_rate {rate}, the model says {said};"
    f" trained again by that, it predicts the same: {same}"
)
assert (said, same) == (0.0123457, False)
END
venv/bin/python script.py 2>warnings
