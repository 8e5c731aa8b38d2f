#!/usr/bin/env bash
# DVC 3.67.1: a parameter that changes from 1 to 1.0 or to true has not changed: status, repro and exp run
# compare by Python's ==. To scikit-learn a max_features of 1 is one feature and 1.0 is all of them, and the old metrics stay.
# Seen: 1.0: "didn't change", {"features": 1}; forced: {"features": 100}; 2 is noticed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dvc==3.67.1
export PATH="$PWD/venv/bin:$PATH" HOME="$PWD" GIT_CONFIG_NOSYSTEM=1 DVC_NO_ANALYTICS=1
git config --global user.name Ada
git config --global user.email ada@example.org
mkdir project
cd project
git init --quiet
dvc init --quiet
cat >train.py <<'END'
import json

from ruamel.yaml import YAML

share = YAML(typ="safe").load(open("params.yaml"))["max_features"]
count = share if isinstance(share, int) else round(share * 100)  # as scikit-learn, of 100
json.dump({"features": count}, open("metrics.json", "w"))
END
cat >dvc.yaml <<'END'
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [max_features]
    metrics: [{metrics.json: {cache: false}}]
END
echo 'max_features: 1' >params.yaml
dvc repro --quiet
git add .
git commit --quiet -m first
for value in 1.0 true; do
  echo "max_features: $value" >params.yaml
  dvc status >status 2>&1
  grep -q 'up to date' status
  dvc exp run >said 2>&1
  grep -q "'train' didn't change" said
  grep -q 'Ran experiment' said
  git diff --quiet metrics.json
  [ -z "$(dvc params diff)" ]
done
echo 'max_features: 1.0' >params.yaml
kept=$(cat metrics.json)
dvc repro --quiet --force
forced=$(cat metrics.json)
echo 'max_features: 2' >params.yaml
dvc status >status
grep -q modified status
echo "1.0: \"didn't change\", $kept; forced: $forced; 2 is noticed"
[ "$kept$forced" = '{"features": 1}{"features": 100}' ]
