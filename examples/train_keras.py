"""Keras 3 on PyTorch with MLflow's autologger, and early stopping."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import mlflow
from sklearn.datasets import load_digits

mlflow.keras.autolog()

keras.utils.set_random_seed(0)
images, digits = load_digits(return_X_y=True)
model = keras.Sequential(
    [keras.layers.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
)
model.compile(
    optimizer=keras.optimizers.Adam(0.01),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(
    images / 16,
    digits,
    epochs=30,
    batch_size=64,
    validation_split=0.25,
    callbacks=[
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
    ],
    verbose=2,
)
