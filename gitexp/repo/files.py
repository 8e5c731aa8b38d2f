"""Writes files whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path


def replace(folder: Path, target: Path, content: bytes | Path) -> None:
    """Write a file whole or not at all: beside, in ``folder``, then moved into its place.

    Raises:
        OSError: it could not be written; nothing changed.
    """
    import shutil

    part = folder / f"{os.getpid()}-{threading.get_ident()}.new"
    try:
        if isinstance(content, bytes):
            part.write_bytes(content)
        else:
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
