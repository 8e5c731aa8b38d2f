"""Locks on open files: they end with the process that holds them, however that ends, so a leftover
is never mistaken for one.

On POSIX this is ``flock`` itself. portalocker does the same and knows Windows too, but takes 25 ms
to import (it reads the metadata of packages), as long as a dozen git processes.
"""

from __future__ import annotations

import sys
from typing import IO, Any

if sys.platform != "win32":
    import fcntl


def take(file: IO[Any], wait: bool = True) -> None:
    """Lock an open file for this process alone; raise BlockingIOError where another has it and
    there is no ``wait``."""
    _lock(file, False, wait)


def drop(file: IO[Any]) -> None:
    """Let go of a lock at once, also where a forked child still has the file open."""
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_UN)


def is_free(file: IO[Any]) -> bool:
    """Whether nobody holds a lock on an open file; until that is closed, nobody can take one."""
    try:
        _lock(file, True, False)
    except OSError:
        return False
    return True


def _lock(file: IO[Any], shared: bool, wait: bool) -> None:
    if sys.platform != "win32":
        fcntl.flock(
            file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        )
        return
    import portalocker

    flags = portalocker.LockFlags
    try:
        portalocker.lock(
            file,
            (flags.SHARED if shared else flags.EXCLUSIVE)
            | (flags(0) if wait else flags.NON_BLOCKING),
        )
    except portalocker.LockException as error:
        raise BlockingIOError(str(error)) from None
