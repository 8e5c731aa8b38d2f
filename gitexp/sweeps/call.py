"""What runs in the process of a trial whose training is a Python function.

    python -m gitexp.sweeps.call FOLDER module:function PARAMS OBJECTIVE [SEED]

All that it needs is in the command, so that ``gitexp reproduce`` can run it again. A mapping that
the function returns is logged as metrics, one number as the sweep's objective.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from importlib import import_module

from gitexp.formats import params
from gitexp.runs import active


def main(folder: str, target: str, point: str, objective: str, seed: str = "") -> None:
    """Import the function, call it with this trial's params, and log what it returns."""
    sys.path.insert(0, os.path.abspath(folder))
    module, _, name = target.partition(":")
    arguments = params.nest(json.loads(point).items())
    result = getattr(import_module(module), name)(
        **arguments, **({"seed": int(seed)} if seed else {})
    )
    if isinstance(result, Mapping):
        active.log_metrics(result)
    elif result is not None:
        active.log_metric(objective, result)


if __name__ == "__main__":
    main(*sys.argv[1:])
