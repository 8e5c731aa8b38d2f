"""Runs that are recorded a little after they end: results may still come in when a logger has
called the run finished.

A run that waits is recorded before the next one begins, when nothing came for a while, and at the
latest when Python exits; where the process is killed, ``gitexp recover`` records it as it ended.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

QUIET = 5.0  # seconds without a value after which a run that waits is recorded


@dataclass
class _Waiting:
    end: Callable[[], object]
    seconds: float
    until: float


_waiting: dict[str, _Waiting] = {}
_clocks: set[str] = set()  # keys that somebody looks at again
_lock = threading.RLock()  # held while an end runs, so that nobody begins a run in the midst of it


def later(key: str, end: Callable[[], object], seconds: float) -> None:
    """Have ``end`` called once, when nobody postponed it for ``seconds``, or by ``end_now``."""
    with _lock:
        _waiting[key] = _Waiting(end, seconds, time.monotonic() + seconds)
        if key not in _clocks:
            _watch(key)


def postpone(key: str) -> None:
    """Put an end off: something came in just now."""
    waiting = _waiting.get(key)
    if waiting is not None:
        waiting.until = time.monotonic() + waiting.seconds


def cancel(key: str) -> bool:
    """Call an end off, and return whether it still waited."""
    with _lock:
        return _waiting.pop(key, None) is not None


def end_now(key: str | None = None) -> bool:
    """Call the ends that wait, or only that of a key; returns whether there was one."""
    with _lock:
        due = [name for name in [*_waiting] if key in (None, name)]
        for name in due:
            if waiting := _waiting.pop(name, None):
                waiting.end()
    return bool(due)


def _watch(key: str) -> None:
    """Call an end that is due, and look again later after one that was put off."""
    with _lock:
        _clocks.discard(key)
        waiting = _waiting.get(key)
        if waiting is None or (pause := waiting.until - time.monotonic()) <= 0:
            end_now(key)
        else:
            clock = threading.Timer(pause, _watch, [key])
            clock.daemon = True
            _clocks.add(key)
            clock.start()


def _forget() -> None:
    """In a forked child: what waits is the parent's."""
    global _lock
    _lock = threading.RLock()
    _waiting.clear()
    _clocks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
