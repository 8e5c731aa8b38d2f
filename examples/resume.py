"""A training that goes on where it was killed, and ends as if nothing had happened.

    gitexp run -- python examples/resume.py             # kill it, and then:
    gitexp run --resume @ -- python examples/resume.py

What it needs to go on exactly, its weights and the state of its random numbers, is in the
checkpoint. Needs NumPy.
"""

import os
import time

import numpy as np

import gitexp

STEPS, EVERY = 200, 10
SLOWNESS = float(os.environ.get("SLOWNESS", 0))  # seconds a step


def save(path: str, weights: np.ndarray, random: np.random.Generator) -> None:
    state = random.bit_generator.state["state"]
    # too large for NumPy's integers
    np.savez(path, weights=weights, random=[str(state["state"]), str(state["inc"])])


def load(path: str, random: np.random.Generator) -> np.ndarray:
    with np.load(path) as saved:
        state = random.bit_generator.state
        state["state"] = dict(zip(("state", "inc"), map(int, saved["random"])))
        random.bit_generator.state = state
        return saved["weights"]


random = np.random.default_rng(0)
data = np.random.default_rng(1).normal(size=(500, 8))
target = data @ np.arange(8.0) + 1
weights, first = np.zeros(8), 0

with gitexp.start_run(params={"lr": 0.01, "batch": 32}):
    if last := gitexp.last_checkpoint():
        weights, first = load(str(last.path), random), last.step + 1
    for step in range(first, STEPS):
        batch = random.integers(0, len(data), 32)
        error = data[batch] @ weights - target[batch]
        weights -= 0.01 * data[batch].T @ error
        gitexp.log_metric("loss", float(np.mean(error**2)), step=step)
        if step % EVERY == EVERY - 1:
            save("state.npz", weights, random)
            gitexp.checkpoint("state.npz", step)
        time.sleep(SLOWNESS)
    gitexp.log_metric("weight", float(weights.sum()))
    np.save("weights.npy", weights)
