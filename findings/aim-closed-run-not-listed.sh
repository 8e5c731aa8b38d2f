#!/usr/bin/env bash
# aim 3.29.1: a run that was closed properly is not among those that Repo.iter_runs lists, until `aim up` or
# `aim storage reindex` has written the repository's index.
# Seen: listed after close: 0, after reindex: 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aim==3.29.1
cat >log.py <<'END'
from aim import Run

run = Run(repo=".", system_tracking_interval=None, log_system_params=False)
run["hparams"] = {"lr": 0.1}
run.track(1.0, name="loss", step=0)
run.close()
END
cat >listed.py <<'END'
from aim import Repo

print(len(list(Repo(".").iter_runs())))
END
venv/bin/python log.py >log.txt 2>&1
before=$(venv/bin/python listed.py 2>log.txt)
venv/bin/aim storage --repo . reindex --yes >log.txt 2>&1
after=$(venv/bin/python listed.py 2>log.txt)
echo "listed after close: $before, after reindex: $after"
[ "$before $after" = "0 1" ]
