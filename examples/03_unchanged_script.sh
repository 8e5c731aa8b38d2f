#!/bin/sh
# Record a script that knows nothing of gitexp: its arguments become params, and the results that it writes become metrics.
set -eu
cd "$(mktemp -d)"
git init --quiet
cat > train.py <<'SCRIPT'
import argparse, csv

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
lr = parser.parse_args().lr
weight = 10.0
with open("metrics.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["Name", "Value", "Timestamp", "Step"])
    for step in range(20):
        weight -= lr * 2 * weight
        rows.writerow(["loss", weight**2, 0, step])
SCRIPT

gitexp run -- python train.py --lr 0.3
gitexp run -- python train.py --lr 0.03

gitexp list
gitexp show
