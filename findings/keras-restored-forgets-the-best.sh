#!/usr/bin/env bash
# keras 3.15.1: BackupAndRestore brings back the weights and the epoch of an interrupted training, not what the other callbacks knew:
# ModelCheckpoint(save_best_only=True) calls the first epoch after it an improvement and writes it over the better model.
# Seen: val_loss by epoch [0.5, 0.9 | 0.8, 0.7]; the best model saved before the interruption: 0.5, in the end: 0.7
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check keras==3.15.1 torch==2.13.0
cat >script.py <<'END'
import keras
import numpy

losses, saved = [0.5, 0.9, 0.8, 0.7], []


class Script(keras.callbacks.Callback):
    """Gives the losses, and stops the first training as Ctrl-C does."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2 and not saved:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs):
        self.model.set_weights([numpy.full((1, 1), losses[epoch])])
        logs["val_loss"] = losses[epoch]


x = numpy.ones((4, 1))
for interrupted in (True, False):
    dense = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(loss="mse", optimizer="sgd")
    best = keras.callbacks.ModelCheckpoint("best.keras", monitor="val_loss", save_best_only=True)
    try:
        model.fit(
            x, x, epochs=4, verbose=0,
            callbacks=[Script(), keras.callbacks.BackupAndRestore("backup"), best],
        )
    except KeyboardInterrupt:
        assert interrupted
    (weight,) = keras.models.load_model("best.keras").get_weights()
    saved.append(round(float(weight[0, 0]), 1))
print(
    f"val_loss by epoch [0.5, 0.9 | 0.8, 0.7]; the best model saved before the interruption:"
    f" {saved[0]}, in the end: {saved[1]}"
)
assert saved == [0.5, 0.7], saved
END
KERAS_BACKEND=torch venv/bin/python script.py 2>/dev/null
