"""What runs in the process of a trial whose training is a Python function: ``python -m gitexp.sweeping.call module:function``.

The params come as JSON in the environment. A mapping that the function returns is logged as metrics, one number as the
sweep's objective.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Mapping
from importlib import import_module

from gitexp import params, run
from gitexp.sweeping.trial import PARAMS, SEED


def main(target: str, objective: str = "value") -> None:
    """Import the function, call it with this trial's params, and log what it returns."""
    module, _, name = target.partition(":")
    function = getattr(import_module(module), name)
    point = params.nest(json.loads(os.environ[PARAMS]).items())
    if "seed" in inspect.signature(function).parameters and "seed" not in point:
        point["seed"] = int(os.environ[SEED])
    result = function(**point)
    if isinstance(result, Mapping):
        run.log_metrics(result)
    elif result is not None:
        run.log_metric(objective, result)


if __name__ == "__main__":
    main(*sys.argv[1:])
