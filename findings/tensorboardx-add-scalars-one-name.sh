#!/usr/bin/env bash
# tensorboardX 2.6.5: the event files that add_scalars makes, in a folder for each curve, have the file name of the
# writer's own, and the tag in them is the chart's alone: only the folder tells one curve from another.
# Seen: 3 files in ['.', 'acc/train', 'acc/val'], 1 names, tags {'acc'}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check tensorboardX==2.6.5 tensorboard==2.21.0 'setuptools<81'
cat >script.py <<'END'
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboardX import SummaryWriter

with SummaryWriter("logs") as writer:
    for step in range(3):
        writer.add_scalars("acc", {"train": 0.9, "val": 0.8}, step)
files = list(Path("logs").rglob("*tfevents*"))
folders = sorted(path.parent.relative_to("logs").as_posix() for path in files)
names = {path.name for path in files}
events = [event for path in files for event in EventFileLoader(str(path)).Load()]
tags = {value.tag for event in events for value in event.summary.value}
print(len(files), f"files in {folders}, {len(names)} names, tags {tags}")
assert folders == [".", "acc/train", "acc/val"] and len(names) == 1 and tags == {"acc"}
END
venv/bin/python script.py
