#!/usr/bin/env bash
# keras 3.15.1: CSVLogger(append=True) writes a continued training's values in the order of its own metrics and never looks
# at the header that is there: with a metric more, its mean absolute error stands in the column of the validation loss.
# Seen: header epoch,loss,val_loss; the continued training's second value is its mae, and rows have 5 cells
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check keras==3.15.1 torch==2.13.0
cat >script.py <<'END'
import csv

import keras
import numpy

x, y = numpy.ones((8, 2)), numpy.zeros((8, 1))
for metrics in ([], ["mae"]):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer="sgd", metrics=metrics)
    logger = keras.callbacks.CSVLogger("log.csv", append=True)
    history = model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=[logger]).history
header, _, row = csv.reader(open("log.csv"))
print(
    f"header {','.join(header)}; the continued training's second value is its"
    f" {'mae' if float(row[2]) == history['mae'][0] else 'val_loss'}, and rows have {len(row)} cells"
)
assert header == ["epoch", "loss", "val_loss"], header
assert len(row) == 5 and float(row[2]) == history["mae"][0] != history["val_loss"][0], row
END
KERAS_BACKEND=torch venv/bin/python script.py 2>/dev/null
