"""Writes files whole or not at all, and reads what may be cut or missing."""

from __future__ import annotations

import json
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any


def replace(folder: Path, target: Path, content: bytes | Path) -> None:
    """Write a file whole or not at all: beside, in ``folder``, then moved into its place.

    Raises:
        OSError: it could not be written; nothing changed.
    """
    part = folder / f"{os.getpid()}-{threading.get_ident()}.new"
    try:
        if isinstance(content, bytes):
            part.write_bytes(content)
        else:
            import shutil

            shutil.copyfile(content, part)
            if content.stat().st_mode & stat.S_IXUSR:
                part.chmod(part.stat().st_mode | stat.S_IXUSR)
        try:
            os.replace(part, target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, target)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def read_bytes(path: Path) -> bytes | None:
    """Return what a file holds; None where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a file of JSON; empty where there is none that can be read."""
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
