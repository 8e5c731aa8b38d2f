#!/bin/sh
# Compare experiments: filter, sort, what differs between two, means over seeds; and be at one again.
set -eu
cd "$(mktemp -d)"
git init --quiet
echo 'depth = 3' > train.py
for seed in 1 2 3; do
    gitexp log --param lr=0.1 --param seed=$seed --metric rmse=19.$seed
done
echo 'depth = 5' > train.py
for seed in 1 2 3; do
    gitexp log --param lr=0.01 --param seed=$seed --metric rmse=17.$seed --label deep
done

gitexp list --where 'lr < 0.1 and label = deep' --sort rmse
gitexp list --group-by lr                        # mean and deviation over the seeds
gitexp diff exp-1 exp-4                          # params, metrics, code
gitexp diff exp-1 exp-4 --code
gitexp compare exp-1 exp-4 exp-6
gitexp list --columns rmse,lr --csv > experiments.csv

gitexp checkout exp-1                            # prints the line that undoes it
cat train.py
