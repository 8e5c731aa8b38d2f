"""A recorded environment, made again: its Python and its packages, each at its version, in a folder
of its own.

With uv where that is installed (it fetches a missing Python too), else with venv and pip. Every
distribution was recorded, so nothing is resolved: the list is installed as it is.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from gitexp.formats import environment
from gitexp.formats.errors import CannotRunError

_FOLDER = r"(?m)^# [\w.-]+==\S+ \((editable, )?from file://(.+)\)"


def build(
    requirements: str, place: Path, root: Path, tree: Path, shown: TextIO | None = None
) -> Path:
    """Build an environment in the new folder ``place`` and return its interpreter.

    Args:
        requirements: what ``environment.requirements`` wrote.
        root, tree: the user's work tree, and the one that stands for it: a project installed from
            the one is from the other.
        shown: takes what the installer says.

    Raises:
        CannotRunError: that Python is not there, or a package cannot be installed.
    """
    version = environment.parse_requirements(requirements).get("python")
    if not version:
        raise CannotRunError("the experiment has no recorded environment; use --env current")
    wanted = [line for line in requirements.splitlines() if line and not line.startswith("#")]
    listed = place.parent / f"{place.name}.txt"
    listed.write_text("\n".join(wanted) + "\n")
    folders = [folder for _, folder in folders_of(requirements, root, tree) if folder.exists()]
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if uv := shutil.which("uv"):
        _venv_by_uv(uv, version, place, shown)
        install = [uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps"]
    else:
        _run([_python(version), "-m", "venv", str(place)], shown)
        quiet = ("--quiet", "--disable-pip-version-check", "--no-deps")
        install = [str(python), "-m", "pip", "install", *quiet]
    if wanted:
        _run([*install, "-r", str(listed)], shown)
    if folders:
        _run([*install, *(word for folder in folders for word in ("-e", str(folder)))], shown)
    return python


def folders_of(requirements: str, root: Path, tree: Path) -> list[tuple[bool, Path]]:
    """Return ``(is editable, folder)`` of what packages were installed from, moved to our tree."""
    found = re.findall(_FOLDER, requirements)
    return [(bool(editable), Path(moved(path, root, tree))) for editable, path in found]


def moved(path: str, root: Path, tree: Path) -> str:
    """Return where a file of the user's work tree lies in another; other paths as they are."""
    place = Path(path)
    return str(tree / place.relative_to(root)) if place.is_relative_to(root) else path


def _venv_by_uv(uv: str, version: str, place: Path, shown: TextIO | None) -> None:
    """Make an environment of the very version: ours, one that uv knows or can fetch, else another
    of the same minor version.

    uv does not look for the Python that we run on, and fetches what it does not know from another
    place than packages.
    """
    words = [uv, "venv", "--quiet", "--python"]
    if version == platform.python_version():
        _run([*words, sys.executable, str(place)], shown)
        return
    try:
        _run([*words, version, str(place)], None)
    except CannotRunError:
        _run([*words, _python(version), str(place)], shown)


def _python(version: str) -> str:
    """Return a Python of the recorded minor version; packages are bound to that, not to the patch
    version."""
    minor = ".".join(version.split(".")[:2])
    if minor == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(f"python{minor}")
    if found is None:
        raise CannotRunError(
            f"Python {minor} is not installed here, and cannot be fetched; install it, or uv, which"
            " can: pip install uv"
        )
    return found


def _run(words: Sequence[str], shown: TextIO | None) -> None:
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if shown and done.stdout:
        shown.write(done.stdout)
    if done.returncode:
        said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        errors = [line for line in said if re.match("(?i)error|×", line)]
        why = [*errors[:1], *said[-1:], "no reason given"][0]
        raise CannotRunError(
            f"the recorded environment could not be built: {why}; use --env current, or check the"
            " package index"
        )
