#!/usr/bin/env bash
# submitit 1.5.4: a job that is preempted is handed in again, and one that ran into its time limit costs one of its few tries. Which of
# the two a warning means is told by the time that the job ran: past the lesser of 80 % of its limit and the limit less ten minutes. Of a
# limit of ten minutes or less that is no time at all, so every preemption of such a job, in its first second too, counts as its limit.
# Seen: after 0 s of 10 minutes: timed out; after 0 s of 20 minutes: not timed out
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check submitit==1.5.4
cat >job.py <<'END'
import os
import signal
import sys
import time

import submitit


def train():
    os.kill(os.getpid(), signal.SIGUSR2)  # as SLURM does to a job that it preempts
    time.sleep(5)


seen = []
for minutes in (10, 20):
    executor = submitit.LocalExecutor(folder=f"jobs-{minutes}")
    executor.update_parameters(timeout_min=minutes)
    job = executor.submit(train)
    job.wait()
    text = job.stderr()
    assert "Caught signal SIGUSR2" in text, text
    timed_out = "this job is timed-out" in text
    assert timed_out != ("this job is preempted" in text), text
    seen.append(timed_out)
    print(f"after 0 s of {minutes} minutes: {'timed out' if timed_out else 'not timed out'}")
assert seen == [True, False], seen
END
venv/bin/python job.py
