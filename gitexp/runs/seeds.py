"""Seeds for all the random number generators of a process at once."""

from __future__ import annotations

import sys
from typing import Any

from gitexp.formats.errors import UsageError

last: dict[str, Any] = {}  # what was seeded, and with what; for the run that starts later


def seed(value: int) -> tuple[str, ...]:
    """Seed what ``seed_everything`` does; raises UsageError. Importing torch and TensorFlow takes
    seconds, so that is left to whoever uses them."""
    import random
    from importlib.util import find_spec

    if type(value) is not int or not 0 <= value < 2**32:
        raise UsageError(f"a seed must be a whole number from 0 to 4294967295, not {value!r}")
    random.seed(value)
    seeded = ["random"]
    if find_spec("numpy"):
        import numpy

        numpy.random.seed(value)
        seeded.append("numpy")
    if torch := sys.modules.get("torch"):
        torch.manual_seed(value)  # the generators of all devices, GPUs too
        seeded.append("torch")
    if tensorflow := sys.modules.get("tensorflow"):
        tensorflow.random.set_seed(value)
        seeded.append("tensorflow")
    last.update(value=value, of=seeded)
    return tuple(seeded)
