#!/bin/sh
# Record what a training gave by hand: one commit with one tag for each. No setup; any git repository will do.
set -eu
cd "$(mktemp -d)"
git init --quiet
echo 'print("training")' > train.py

gitexp log --param lr=0.01 --param model.depth=3 --metric rmse=18.2
gitexp log --param lr=0.1 --param model.depth=3 --metric rmse=19.7 --message "A larger step" --label try

# A metric has as many values as you like, each at a step; params may come from a file.
printf 'lr: 0.001\nmodel:\n  depth: 5\n' > conf.yml
gitexp log --params-file conf.yml --metric loss=0.9@0 --metric loss=0.4@1 --metric rmse=17.5 --note "The best so far"

gitexp list
gitexp show best:rmse
