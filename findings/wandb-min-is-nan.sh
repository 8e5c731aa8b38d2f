#!/usr/bin/env bash
# wandb 0.31.0, offline: with define_metric(summary="min") or "max", one step whose value is NaN makes the summary NaN for good, so
# the best value of a run that had one bad step, by which sweeps and tables rank it, is gone.
# Seen: after 0.5, 0.2, NaN, 0.4 the minimum is nan, the maximum nan; without the NaN 0.2 and 0.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check wandb==0.31.0
cat >script.py <<'END'
import math

import wandb


def best(values):
    with wandb.init(project="demo", mode="offline") as run:
        run.define_metric("loss", summary="min,max")
        for value in values:
            run.log({"loss": value})
        summary = run.summary["loss"]
        return summary["min"], summary["max"]


bad = best([0.5, 0.2, math.nan, 0.4])
good = best([0.5, 0.2, 0.4])
print("after 0.5, 0.2, NaN, 0.4 the minimum is {}, the maximum {};".format(*bad), end=" ")
print("without the NaN {} and {}".format(*good))
assert all(map(math.isnan, bad)) and good == (0.2, 0.5)
END
WANDB_SILENT=true venv/bin/python script.py
