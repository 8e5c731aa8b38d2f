#!/usr/bin/env bash
# accelerate 1.15.0 with TensorBoard: Accelerator.log writes Python's numbers, tensors and NumPy's float64, and passes over
# NumPy's other numbers (float32, int64: what a mean of predictions or a count of labels is) without a word.
# Seen: logged ['float', 'float64', 'tensor'] of ['float', 'float64', 'float32', 'int64', 'tensor']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check accelerate==1.15.0 torch==2.13.0 tensorboard==2.21.0 'setuptools<81'
cat >script.py <<'END'
import numpy
import torch
from accelerate import Accelerator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir="logs")
accelerator.init_trackers("project")
values = {
    "float": 0.5, "float64": numpy.float64(0.5), "float32": numpy.float32(0.5),
    "int64": numpy.int64(3), "tensor": torch.tensor(0.5),
}
accelerator.log(values, step=1)
accelerator.end_training()
events = EventAccumulator("logs/project")
events.Reload()
logged = sorted(events.Tags()["scalars"])
print(f"logged {logged} of {[*values]}")
assert logged == ["float", "float64", "tensor"], logged
END
venv/bin/python script.py 2>/dev/null
