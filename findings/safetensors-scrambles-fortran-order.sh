#!/usr/bin/env bash
# safetensors 0.8.0: save and save_file write a NumPy array as it lies in memory, and load reads rows first: an array in Fortran order
# (contiguous, as its docs ask; transposed weights, scikit-learn's components) comes back with its values in other places. 0.7.0 did not.
# Seen: of [[0, 1, 2], [3, 4, 5]] 0.8.0 loads [[0, 3, 1], [4, 2, 5]], 0.7.0 [[0, 1, 2], [3, 4, 5]]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >script.py <<'END'
import numpy
from safetensors.numpy import load, save

weights = numpy.asfortranarray([[0, 1, 2], [3, 4, 5]])
assert weights.flags.f_contiguous and weights.tolist() == [[0, 1, 2], [3, 4, 5]]
print(load(save({"weights": weights}))["weights"].tolist())
END
"${PYTHON:-python3}" -m venv venv
for release in 0.7.0 0.8.0; do
  venv/bin/pip install --quiet --disable-pip-version-check safetensors==$release numpy==2.4.6
  venv/bin/python script.py >"$release"
done
old=$(cat 0.7.0) new=$(cat 0.8.0)
echo "of [[0, 1, 2], [3, 4, 5]] 0.8.0 loads $new, 0.7.0 $old"
[ "$new" = "[[0, 3, 1], [4, 2, 5]]" ]
[ "$old" = "[[0, 1, 2], [3, 4, 5]]" ]
