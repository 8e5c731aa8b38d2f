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


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Make a file another name of one, or a copy of it where that cannot be; raise OSError where
    there is none to copy."""
    with suppress(FileNotFoundError):
        os.unlink(target)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        import shutil

        shutil.copy2(source, target)


def below(folder: Path) -> list[Path]:
    """Return the files below a folder, sorted; raise OSError where a folder of it cannot be read,
    which ``rglob`` passes over."""

    def refuse(error: OSError) -> None:
        raise error

    walked = os.walk(folder, onerror=refuse)
    return sorted(Path(top, name) for top, _, names in walked for name in names)


def stamp(path: Path) -> tuple[int, ...] | None:
    """Return what changes whenever a file is written; None where there is none."""
    try:
        return looks(path.stat())
    except OSError:
        return None


def looks(status: os.stat_result) -> tuple[int, ...]:
    """Return of a file's status what changes whenever it is written."""
    return status.st_mtime_ns, status.st_size, status.st_ino


def modified(path: Path) -> int:
    """Return when a file or folder was written last, in ns; 0 where there is none."""
    return (stamp(path) or (0,))[0]


def read_bytes(path: Path) -> bytes | None:
    """Return what a file holds; None where it cannot be read, or is none (a pipe has no end)."""
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError:
        return None


def digest(path: Path, kind: str) -> str:
    """Return the hash, ``sha256`` or ``md5``, of what a file holds."""
    import hashlib

    found = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            found.update(chunk)
    return found.hexdigest()


def read_text(path: Path) -> str:
    """Return what a file of text says; "" where it cannot be read."""
    return (read_bytes(path) or b"").decode("utf-8", "replace")


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a file of JSON; empty where there is none that can be read."""
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
