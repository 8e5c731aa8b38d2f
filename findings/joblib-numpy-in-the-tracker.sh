#!/usr/bin/env bash
# joblib 1.6.0: its copy of loky imports NumPy in every worker, and in the process that only removes what they leave (the resource
# tracker): both unpickle by a module below `joblib`, whose own import brings NumPy. With loky 3.7.0 by itself neither does.
# Seen: NumPy with joblib: worker True, tracker True; with loky: worker False, tracker False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check joblib==1.6.0 loky==3.7.0 numpy==2.2.6
cat >script.py <<'END'
import os
import sys
import time
from importlib import import_module

loky = import_module(sys.argv[1])
tracker = import_module(f"{sys.argv[1]}.backend.resource_tracker")


def has_numpy(pid):
    with open(f"/proc/{pid}/maps") as maps:
        return "numpy" in maps.read()


with loky.ProcessPoolExecutor(max_workers=1) as executor:
    worker = executor.submit(os.getpid).result()
    time.sleep(2)  # the tracker begins beside us
    print(f"worker {has_numpy(worker)}, tracker {has_numpy(tracker._resource_tracker._pid)}")
END
joblib=$(venv/bin/python script.py joblib.externals.loky)
loky=$(venv/bin/python script.py loky)
echo "NumPy with joblib: $joblib; with loky: $loky"
[ "$joblib" = "worker True, tracker True" ]
[ "$loky" = "worker False, tracker False" ]
