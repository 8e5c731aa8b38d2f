#!/usr/bin/env bash
# tensorboard 2.21.0: EventAccumulator, by which scripts read event files, keeps 10,000 points of a scalar unless told
# otherwise (size_guidance), a random choice of them, and says nothing.
# Seen: 12000 logged, 10000 read.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check tensorboardX==2.6.5 tensorboard==2.21.0 'setuptools<81'
cat >script.py <<'END'
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import SummaryWriter

with SummaryWriter("logs") as writer:
    for step in range(12_000):
        writer.add_scalar("loss", step, step)
accumulator = EventAccumulator("logs")
accumulator.Reload()
read = len(accumulator.Scalars("loss"))
whole = EventAccumulator("logs", size_guidance={"scalars": 0})
whole.Reload()
print(12_000, "logged,", read, "read,", len(whole.Scalars("loss")), "read when asked for all")
assert read == 10_000 and len(whole.Scalars("loss")) == 12_000
END
venv/bin/python script.py
