#!/usr/bin/env bash
# torchmetrics 1.9.0: a MetricCollection compares its metrics' counts after the first batch and from then on updates one metric for all
# that were equal, whatever their thresholds are. If a first batch is clear, the accuracies at 0.5 and at 0.9 are one number for good.
# Seen: together {'at_50': 1.0, 'at_90': 1.0}, each by itself {'at_50': 1.0, 'at_90': 0.5}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.13.0
cat >script.py <<'END'
from torch import tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy

batches = [([0.99, 0.01], [1, 0]), ([0.7, 0.6, 0.8, 0.2], [1, 1, 1, 0])]


def metrics():
    return {"at_50": BinaryAccuracy(threshold=0.5), "at_90": BinaryAccuracy(threshold=0.9)}


together, alone = MetricCollection(metrics()), metrics()
for predicted, target in batches:
    together.update(tensor(predicted), tensor(target))
    for metric in alone.values():
        metric.update(tensor(predicted), tensor(target))
together = {name: value.item() for name, value in together.compute().items()}
alone = {name: metric.compute().item() for name, metric in alone.items()}
print(f"together {together}, each by itself {alone}")
assert together == {"at_50": 1.0, "at_90": 1.0} and alone == {"at_50": 1.0, "at_90": 0.5}
END
venv/bin/python script.py 2>/dev/null
