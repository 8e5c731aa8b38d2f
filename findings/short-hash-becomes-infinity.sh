#!/usr/bin/env bash
# hydra-core 1.3.8 (DVC's --set-param too), papermill 2.7.0 and sacred 0.8.7: a git commit's short hash as a parameter on the command
# line is a number where it looks like one, as about one in 18 does: digits alone, or with an e, which is a power of ten. All three
# record infinity for 12e4567, and papermill drops the zero of 0123456.
# Seen: hydra inf, papermill inf and 123456, sacred inf; 588 of 10,000 short hashes are numbers
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check hydra-core==1.3.8 papermill==2.7.0 sacred==0.8.7 'setuptools<81'
cat >script.py <<'END'
import hashlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import nbformat
from hydra import compose, initialize
from sacred import Experiment
from sacred.observers import FileStorageObserver

with initialize(version_base=None):
    hydra = compose(overrides=["+commit=12e4567"])["commit"]

cell = nbformat.v4.new_code_cell('commit = ""', metadata={"tags": ["parameters"]})
kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), "a.ipynb")
command = [str(Path(sys.executable).parent / "papermill"), "--prepare-only", "a.ipynb", "b.ipynb"]
options = ["-p", "commit", "12e4567", "-p", "base", "0123456"]
subprocess.run([*command, *options], check=True, capture_output=True)
papermill = nbformat.read("b.ipynb", 4).metadata.papermill.parameters

experiment = Experiment("train", save_git_info=False)
experiment.observers.append(FileStorageObserver("runs"))
experiment.add_config(commit="")
experiment.main(lambda commit: None)
experiment.run_commandline(["train", "with", "commit=12e4567"])
sacred = json.loads(Path("runs/1/config.json").read_text())["commit"]

hashes = [hashlib.sha1(b"%d" % at).hexdigest()[:7] for at in range(10_000)]
numbers = sum(bool(re.fullmatch(r"\d+(e\d+)?", short)) for short in hashes)
print(
    f"hydra {hydra}, papermill {papermill['commit']} and {papermill['base']}, sacred {sacred};"
    f" {numbers} of 10,000 short hashes are numbers"
)
assert hydra == papermill["commit"] == sacred == math.inf and papermill["base"] == 123456
END
venv/bin/python script.py 2>log
