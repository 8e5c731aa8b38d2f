#!/usr/bin/env bash
# torchmetrics 1.9.0: binary metrics take logits, and tell them from probabilities by a value outside of 0 to 1, in each batch anew. In a
# batch without one, 0.2 and 0.4 are probabilities below the threshold instead of logits above it: the accuracy depends on the batch size.
# Seen: accuracy of the same four logits by batch size: {1: 0.5, 2: 0.5, 4: 1.0}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.13.0
cat >script.py <<'END'
from torch import tensor
from torchmetrics.classification import BinaryAccuracy

logits, targets = tensor([0.2, 0.4, 3.0, -2.0]), tensor([1, 1, 1, 0])
accuracy = {}
for size in (1, 2, 4):
    metric = BinaryAccuracy()
    for batch in zip(logits.split(size), targets.split(size)):
        metric.update(*batch)
    accuracy[size] = metric.compute().item()
print(f"accuracy of the same four logits by batch size: {accuracy}")
assert accuracy == {1: 0.5, 2: 0.5, 4: 1.0}, accuracy
END
venv/bin/python script.py 2>/dev/null
