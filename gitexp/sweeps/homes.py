"""Folders of a worker on its own machine: removed when it ends, and those of one that was killed by
the next that makes one.

A lock in each says whether its worker lives, so nothing is taken from one that does.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from gitexp.runs import journal

_PREFIX = "gitexp-worker-"
_mine: list[tuple[Path, IO[Any]]] = []


def make() -> Path:
    """Return a new folder for as long as this process lives."""
    _remove_orphans()
    home = Path(tempfile.mkdtemp(prefix=_PREFIX))
    _mine.append((home, journal.hold(home)))
    work = home / "work"
    work.mkdir()
    return work


def _remove_orphans() -> None:
    for home in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, AttributeError):
            mine = home.lstat().st_uid == os.getuid() and not home.is_symlink()
            if mine and (home / "alive").exists() and not journal.is_alive(home):
                shutil.rmtree(home, ignore_errors=True)


@atexit.register
def _leave() -> None:
    for home, held in _mine:
        held.close()
        shutil.rmtree(home, ignore_errors=True)


def _forget() -> None:
    """In a forked child: they are the parent's."""
    _mine.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
