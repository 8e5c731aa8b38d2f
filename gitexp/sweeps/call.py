"""What runs in the process of a trial whose training is a Python function.

    python -m gitexp.sweeps.call FOLDER module:function PARAMS OBJECTIVE [SEED]

All that it needs is in the command, so that ``gitexp reproduce`` can run it again. A mapping that
the function returns is logged as metrics, one number as the sweep's objective.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, get_type_hints

from gitexp.formats import params
from gitexp.runs import active


def main(folder: str, target: str, point: str, objective: str, seed: str = "") -> None:
    """Import the function, call it with this trial's params, and log what it returns."""
    sys.path.insert(0, os.path.abspath(folder))
    module, _, name = target.partition(":")
    arguments = params.nest(json.loads(point).items())
    function = getattr(import_module(module), name)
    result = function(**_meant(function, arguments), **({"seed": int(seed)} if seed else {}))
    if isinstance(result, Mapping):
        active.log_metrics(result)
    elif result is not None:
        active.log_metric(objective, result)


def _meant(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments with the members of enums where the function's annotations name one."""
    found = dict(arguments)
    with suppress(NameError, TypeError, ValueError):
        for name, kind in get_type_hints(function).items():
            if name in found and (members := getattr(kind, "__members__", None)):
                value = found[name]
                found[name] = members[value] if value in members else kind(value)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
