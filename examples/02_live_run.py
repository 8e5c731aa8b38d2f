"""Log from inside a training: what is logged is on disk when the call returns, and the code is that
of the start."""

import os
import subprocess
import tempfile

import gitexp

os.chdir(tempfile.mkdtemp())  # in your own project: the repository that the script lies in
subprocess.run(["git", "init", "--quiet"], check=True)

gitexp.seed_everything(0)
for lr in (0.3, 0.03):
    weight = 10.0
    with gitexp.start_run(params={"lr": lr, "model": {"depth": 3}}, labels=["descent"]) as run:
        for step in range(20):
            weight -= lr * 2 * weight
            run.log_metric("loss", weight**2, step=step)

best = gitexp.get("best:loss")
print(best.name, best.params, best.metrics)
print(best.history().tail(3))
print(gitexp.experiments()[["name", "params.lr", "metrics.loss"]])
