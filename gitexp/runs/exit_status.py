"""How a run ended: the status that an exception gives it, and the exception through which Python
exits.

An ``atexit`` function is not told why Python exits, so while a run goes on uncaught exceptions and
``sys.exit`` are noted by hooks. Whether somebody caught a ``sys.exit`` is seen from the script's
outermost frame, which came to its return then.
"""

from __future__ import annotations

import sys
import threading
from types import FrameType, TracebackType
from typing import Any
from weakref import WeakSet

from gitexp.formats import message

_uncaught: list[BaseException | None] = [None]
# the last call of sys.exit, and the outermost frame that it came from
_exits: list[tuple[SystemExit, FrameType]] = []
# the exception that a session shows as its last, and that is older than the runs
_older: list[BaseException | None] = [None]
_runs: WeakSet[Any] = WeakSet()  # that go on in this process
# what was there before ours, and which of ours is in use, perhaps below somebody else's
_previous: dict[str, Any] = {"excepthook": sys.excepthook, "exit": sys.exit}
_in_use: set[str] = set()


def watch(run: object) -> None:
    """Note how Python exits for as long as this run goes on."""
    if not _runs:
        _uncaught[0], _older[0] = None, getattr(sys, "last_value", None)
        _exits.clear()
    _runs.add(run)
    for name in {*_OURS} - _in_use:
        _previous[name] = getattr(sys, name)
        setattr(sys, name, _OURS[name])
        _in_use.add(name)


def unwatch(run: object) -> None:
    """Put back what was there before, once no run goes on; what somebody hooked since stays."""
    _runs.discard(run)
    _older[0] = _older[0] if _runs else None  # it keeps all that its frames hold
    for name in () if _runs else [*_in_use]:
        if getattr(sys, name) is _OURS[name]:
            setattr(sys, name, _previous[name])
            _in_use.discard(name)


def status_of(error: BaseException | None) -> tuple[str, str | None]:
    """Return the status for what ended a run, and its traceback's last line or exit code."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "finished", None
    if isinstance(error, KeyboardInterrupt):
        return "killed", "KeyboardInterrupt"
    if isinstance(error, SystemExit):
        said = "" if isinstance(error.code, int) else message.one_line(str(error.code))
        text = f"exit code 1: {said}" if said else f"exit code {error.code:d}"
        return "failed", text[:500]
    import traceback

    lines = traceback.format_exception_only(type(error), error)  # notes come last
    return "failed", message.one_line(next(line for line in lines if line[:1] != " "))[:500]


def at_exit() -> tuple[str, str | None]:
    """Return the status, and the error, of runs that are still open when Python exits."""
    last = getattr(sys, "last_value", None)
    return status_of(uncaught() if last in (None, _older[0]) else last)


def uncaught() -> BaseException | None:
    """Return the exception through which Python exits, None where there is none."""
    if _uncaught[0] is None and _exits:
        import opcode

        error, outermost = _exits[0]
        last = opcode.opname[outermost.f_code.co_code[outermost.f_lasti]]
        return None if last.startswith("RETURN") else error
    return _uncaught[0]


def is_uncaught(error: BaseException) -> bool:
    """Whether Python exits through this exception."""
    known = uncaught()
    return known is error or (
        isinstance(known, SystemExit) and isinstance(error, SystemExit) and known.code == error.code
    )


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _uncaught[0] = error
    _previous["excepthook"](kind, error, trace)


def _exit(status: Any = None, /) -> None:
    """Exit by raising SystemExit(status), as ``sys.exit`` does, noted for the run it ends."""
    if threading.current_thread() is threading.main_thread():  # in any other, it ends the thread
        outermost = sys._getframe()
        while outermost.f_back is not None:
            outermost = outermost.f_back
        _exits[:] = [(SystemExit(status), outermost)]
    _previous["exit"](status)


_OURS = {"excepthook": _hook, "exit": _exit}
