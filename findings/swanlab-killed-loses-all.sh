#!/usr/bin/env bash
# swanlab 0.10.3: in mode offline what was logged stays in memory; a run that is killed 5 s after its last value leaves
# an empty log.
# Seen: log of 0 bytes, value in it: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check swanlab==0.10.3
cat >script.py <<'END'
import os
import signal
import time

import swanlab

swanlab.init(project="demo", mode="offline", logdir="logs")
for step in range(3):
    swanlab.log({"loss_of_mine": 1.0}, step=step)
time.sleep(5)
os.kill(os.getpid(), signal.SIGKILL)
END
venv/bin/python script.py >log.txt 2>&1 || true
cat >look.py <<'END'
from pathlib import Path

(log,) = Path("logs").rglob("*.swanlab")
data = log.read_bytes()
print("log of", len(data), "bytes, value in it:", b"loss_of_mine" in data)
assert b"loss_of_mine" not in data
END
venv/bin/python look.py
