#!/usr/bin/env bash
# sacred 0.8.7, FileStorageObserver: a config's keys that are numbers, as class weights have them, stand in config.json with
# "json://" before them; who reads the file back, for an evaluation, finds no weight under 0 or "0".
# Seen: {0: 1.0, 1: 5.0} was recorded as {'json://0': 1.0, 'json://1': 5.0}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check sacred==0.8.7 jsonpickle==4.1.4 'setuptools<81'
cat >script.py <<'END'
import json

from sacred import Experiment
from sacred.observers import FileStorageObserver

weights = {0: 1.0, 1: 5.0}
experiment = Experiment("train", save_git_info=False)
experiment.observers.append(FileStorageObserver("runs"))
experiment.add_config(class_weight=weights)
experiment.main(lambda class_weight: None)
experiment.run()
recorded = json.load(open("runs/1/config.json"))["class_weight"]
print(f"{weights} was recorded as {recorded}")
assert recorded == {"json://0": 1.0, "json://1": 5.0}
END
venv/bin/python script.py 2>log
