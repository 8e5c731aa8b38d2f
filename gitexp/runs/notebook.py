"""What this process runs: a script's command line, or a notebook and whether its file holds what
was executed.

No kernel knows its notebook's file: Jupyter's server and VS Code name it in a variable each;
elsewhere it is the one file beside the kernel that holds the cell that runs now.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

_MOST = 50  # notebooks of a folder that are looked into


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
    """Return what to tell the user where the notebook's file lacks the cell that runs now."""
    shell = _shell()
    if shell is None:
        return None
    file = _file(shell)
    if file is None:
        return (
            "this notebook's file is not known, so it is recorded as the work tree has it; save it"
            " before you start a run"
        )
    held, executed = _sources(file), _executed(shell)
    if held is None:
        return f"{file.name} cannot be read, so the run records no notebook"
    if not executed or executed[-1] in held:
        return None
    return f"{file.name} was not saved since its cell changed; the run records it as it is on disk"


def _shell() -> Any:
    if "ipykernel" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()


def _file(shell: Any) -> Path | None:
    """Return the file of the notebook that runs here, None where nobody knows."""
    names = [shell.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")]
    named = [Path(name) for name in names if name and Path(name).is_file()]
    return named[0] if named else _by_its_cells(shell)


def _by_its_cells(shell: Any) -> Path | None:
    """Return the one notebook in the folder that holds the running cell, or all cells."""
    executed = _executed(shell)
    files = sorted(Path(getattr(shell, "starting_dir", ".")).glob("*.ipynb"))[:_MOST]
    cells = {file: held for file in files if (held := _sources(file))}
    found = [file for file in cells if executed and executed[-1] in cells[file]]
    whole = [file for file in found if all(cell in cells[file] for cell in executed)]
    files = found if len(found) == 1 else whole
    return files[0] if len(files) == 1 else None


def _executed(shell: Any) -> list[str]:
    """Return the cells that were run, as they were typed, the present one last."""
    return [str(cell).strip() for cell in shell.history_manager.input_hist_raw if str(cell).strip()]


def _sources(file: Path) -> frozenset[str] | str | None:
    """Return a file's cells, or its text (jupytext); None where it cannot be read."""
    try:
        if file.suffix != ".ipynb":
            return file.read_text(encoding="utf-8")
        cells = json.loads(file.read_bytes())["cells"]
        code = (cell["source"] for cell in cells if cell.get("cell_type") == "code")
        return frozenset("".join(source).strip() for source in code)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
