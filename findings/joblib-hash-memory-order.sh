#!/usr/bin/env bash
# joblib 1.6.0: the hash of an array depends on its order in memory, so equal arrays (==) have two, and a Memory
# cache computes again. Seen: equal: True, same hash: False, calls: 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check joblib==1.6.0 numpy==2.4.6
cat >script.py <<'END'
import joblib
import numpy

a = numpy.arange(6.0).reshape(2, 3)
b = numpy.asfortranarray(a)
calls = []


@joblib.Memory("cache", verbose=0).cache
def total(array):
    with open("calls", "a") as file:
        file.write("x")
    return array.sum()


total(a), total(b)
equal, same = bool((a == b).all()), joblib.hash(a) == joblib.hash(b)
calls = len(open("calls").read())
print(f"equal: {equal}, same hash: {same}, calls: {calls}")
assert equal and not same and calls == 2
END
venv/bin/python script.py
