"""What this process runs: a script's command line, or a notebook and whether its file holds what was executed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def command() -> list[str]:
    """Return the command line of this process; in a notebook, the notebook's file."""
    shell = _shell()
    if shell is not None:
        file = _file(shell)
        return ["jupyter", "notebook", file.name if file else "(unknown)"]
    words = list(getattr(sys, "orig_argv", sys.argv))
    if words and os.path.isabs(words[0]):
        words[0] = "python"
    return words


def unsaved() -> str | None:
    """Return what to tell the user where the notebook's file on disk lacks the cell that runs now, else None."""
    shell = _shell()
    if shell is None:
        return None
    file = _file(shell)
    if file is None:
        return "this notebook's file is not known, so it is recorded as the work tree has it; save it before you start a run"
    try:
        cells = json.loads(file.read_bytes())["cells"]
        sources = {"".join(cell["source"]).strip() for cell in cells if cell.get("cell_type") == "code"}
    except (OSError, ValueError, KeyError, TypeError):
        return f"{file.name} cannot be read, so the run records no notebook"
    current = str(shell.user_ns.get("In", [""])[-1]).strip()
    if current in sources:
        return None
    return f"{file.name} was not saved since its cell changed; the run records it as it is on disk"


def _shell() -> Any:
    if "ipykernel" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()


def _file(shell: Any) -> Path | None:
    names = [shell.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")]
    return next((Path(name) for name in names if name and Path(name).is_file()), None)
