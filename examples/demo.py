"""A tour in a scratch repository: train, record, change, compare, go back, and get the recorded
metric again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

SCRATCH = Path(__file__).parents[1] / ".demo"
BIN = Path(sys.executable).parent
TRAIN = '''"""Train a regressor on scikit-learn's diabetes data."""
import argparse

import gitexp
from sklearn.datasets import load_diabetes
from sklearn.ensemble import {model}
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int, default=3)
parser.add_argument("--trees", type=int, default=50)
arguments = parser.parse_args()
train_x, test_x, train_y, test_y = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
model = {model}(max_depth=arguments.depth, n_estimators=arguments.trees, random_state=0)
model.fit(train_x, train_y)
with gitexp.start_run(params=vars(arguments)) as run:
    run.log_metric("rmse", root_mean_squared_error(test_y, model.predict(test_x)))
'''


def call(*command: str) -> str:
    """Show a command and what it prints; return its standard output."""
    print(f"\n$ {' '.join(command)}", flush=True)
    done = subprocess.run(
        command,
        cwd=SCRATCH,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    print(done.stderr + done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(f"that ended with exit code {done.returncode}")
    return done.stdout


def rmse(ref: str) -> float:
    """Return the metric that an experiment recorded."""
    return float(json.loads(call("gitexp", "list", ref, "--json"))[0]["metrics"]["rmse"])


def main() -> None:
    """Take the tour."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir()
    call("git", "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        subprocess.run(["git", "config", key, value], cwd=SCRATCH, check=True)
    train = SCRATCH / "train.py"
    train.write_text(TRAIN.format(model="RandomForestRegressor"))
    call("git", "add", "train.py")
    call("git", "commit", "--quiet", "--message", "Train a forest")
    call("gitexp", "run", "--", "python", "train.py", "--depth", "3")
    call("gitexp", "run", "--", "python", "train.py", "--depth", "6")
    train.write_text(TRAIN.format(model="GradientBoostingRegressor"))
    call("git", "--no-pager", "diff", "--unified=0")  # the edit, which nobody commits
    call("gitexp", "run", "--label", "boosting", "--", "python", "train.py", "--depth", "2")
    call(
        "gitexp",
        "log",
        "--param",
        "source=paper",
        "--metric",
        "rmse=60.0",
        "--message",
        "The value in the paper",
    )
    call("gitexp", "list")
    call("gitexp", "diff", "exp-1", "exp-3")
    call("gitexp", "show", "exp-1")
    recorded = rmse("exp-1")
    call("gitexp", "checkout", "exp-1")
    call("gitexp", "run", "--", "python", "train.py", "--depth", "3")
    again = rmse("@")
    if recorded != again:
        sys.exit(f"exp-1 gave {recorded}, and again {again}")
    print(f"\nThe code of exp-1, checked out, gives its metric again: rmse = {again}")


if __name__ == "__main__":
    main()
