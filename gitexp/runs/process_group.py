"""A command in a process group of its own, noted in a folder, so that whoever comes later can end
what a killed owner left running.

    group    the number of the process group, and its machine: nodes of a cluster share folders
    command/ locked by the command and its children as long as one of them lives
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from gitexp.formats import environment
from gitexp.repo import files
from gitexp.runs import journal

GROUP, HELD = "group", "command"
_PATIENCE = 2  # seconds; a child that made itself a session of its own is out of reach


@contextmanager
def held(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what ``Popen`` needs to start a group that holds the lock; then ``note`` it."""
    (folder / HELD).mkdir(exist_ok=True)
    with journal.hold(folder / HELD) as lock:
        more = {"pass_fds": [lock.fileno()]} if os.name == "posix" else {}
        yield {"start_new_session": True, **more}


def note(folder: Path, group: int) -> None:
    """Keep the number of the group; a full disk ends no command for the sake of that."""
    with suppress(OSError):
        files.replace(folder, folder / GROUP, f"{group} {environment.host()}".encode())


@contextmanager
def handling(handlers: Mapping[int, Callable[[int, FrameType | None], Any]]) -> Iterator[None]:
    """Have signals go to their handlers meanwhile; in the main thread, since no other one may."""
    if threading.current_thread() is not threading.main_thread():
        handlers = {}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def runs(folder: Path) -> bool:
    """Whether the command that is noted in a folder, or a child of it, still lives."""
    return (folder / HELD / "alive").exists() and journal.is_alive(folder / HELD)


def kill(folder: Path) -> None:
    """Kill what is left of the command that is noted in a folder, and wait a moment for its end."""
    with suppress(OSError, ValueError, AttributeError):
        number, _, host = (folder / GROUP).read_text().partition(" ")
        if runs(folder) and host in ("", environment.host()):
            os.killpg(int(number), signal.SIGKILL)
            deadline = time.monotonic() + _PATIENCE
            while runs(folder) and time.monotonic() < deadline:
                time.sleep(0.01)
    with suppress(OSError):
        (folder / GROUP).unlink()
