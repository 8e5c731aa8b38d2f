#!/usr/bin/env bash
# sacred 0.8.7, FileStorageObserver: a run whose process is killed within its first seconds has the status RUNNING for
# ever, and no metrics.json: metrics are written with the heartbeat, the first after about 10 s.
# Seen: RUNNING ['config.json', 'cout.txt', 'run.json']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check sacred==0.8.7 'setuptools<81'
cat >script.py <<'END'
import os
import signal

from sacred import Experiment
from sacred.observers import FileStorageObserver

experiment = Experiment("train", save_git_info=False)
experiment.observers.append(FileStorageObserver("runs"))


@experiment.main
def train(_run):
    for step in range(100):
        _run.log_scalar("loss", 1.0 / (step + 1), step)
    os.kill(os.getpid(), signal.SIGKILL)  # as the memory killer of a cluster does


experiment.run()
END
venv/bin/python script.py || true
venv/bin/python - <<'END'
import json
import os

status, files = json.load(open("runs/1/run.json"))["status"], sorted(os.listdir("runs/1"))
print(status, files)
assert status == "RUNNING" and files == ["config.json", "cout.txt", "run.json"]
END
