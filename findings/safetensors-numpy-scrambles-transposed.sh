#!/usr/bin/env bash
# safetensors 0.8.0: safetensors.numpy saves an array that is not in C order (a transposed weight, what scikit-learn's PCA gives) in
# the order of its memory and without a word; load has the right shape with the numbers in other places. 0.7.0 wrote it right,
# and safetensors.torch refuses such a tensor.
# Seen: [[0, 3], [1, 4], [2, 5]] comes back as [[0, 1], [2, 3], [4, 5]]; with ascontiguousarray as it was
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cat >script.py <<'END'
import numpy as np
from safetensors.numpy import load_file, save_file


def back(array):
    save_file({"weight": array}, "model.safetensors")
    return load_file("model.safetensors")["weight"].tolist()


weight = np.arange(6).reshape(2, 3).T
scrambled, right = back(weight), back(np.ascontiguousarray(weight))
print(f"{weight.tolist()} comes back as {scrambled}; with ascontiguousarray as it was")
assert scrambled == [[0, 1], [2, 3], [4, 5]] and right == weight.tolist()
END
venv/bin/python script.py
