#!/usr/bin/env bash
# safetensors 0.8.0: the metadata stand in the file in an order that differs each time, so the same tensors with the same metadata of
# some entries, saved twice, have two hashes, and a data tool that hashes files (DVC, Git LFS) stores the model again.
# Seen: saved 20 times with 6 entries: more than one hash; with one entry: 1 hash
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cat >script.py <<'END'
import hashlib

import numpy as np
from safetensors.numpy import save

tensors = {"weight": np.arange(4.0)}
metadata = {name: "1" for name in ("format", "epoch", "step", "loss", "seed", "commit")}


def hashes(metadata):
    return len({hashlib.sha256(save(tensors, metadata=metadata)).digest() for _ in range(20)})


some, one = hashes(metadata), hashes({"format": "np"})
few = "1 hash" if some == 1 else "more than one hash"
print(f"saved 20 times with {len(metadata)} entries: {few}; with one entry: {one} hash")
assert some > 1 and one == 1
END
venv/bin/python script.py
