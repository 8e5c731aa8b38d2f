#!/usr/bin/env bash
# gin-config 0.5.0 with NumPy 2: the operative config ("all parameter values used") leaves out what Gin cannot write as a literal, and
# that includes numbers: infinity, NaN and every number of NumPy. A run of that file trains with the default instead, without a word.
# Seen: trained with lr 0.01, clip inf; the operative config has ['train.steps = 5']; a run of it has lr 0.1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check gin-config==0.5.0 numpy==2.4.6
cat >script.py <<'END'
import gin
import numpy


@gin.configurable
def train(lr=0.1, clip=float("inf"), steps=5):
    return float(lr), clip


gin.bind_parameter("train.lr", numpy.geomspace(0.01, 1, 3)[0])
lr, clip = train()
operative = gin.operative_config_str()
lines = [line for line in operative.splitlines() if line and not line.startswith("#")]
gin.clear_config()
gin.parse_config(operative)
again, _ = train()
print(f"trained with lr {lr}, clip {clip}; the operative config has {lines}; a run of it has lr {again}")
assert (lr, clip, lines, again) == (0.01, float("inf"), ["train.steps = 5"], 0.1)
END
venv/bin/python script.py
