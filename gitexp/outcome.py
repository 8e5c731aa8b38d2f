"""How a run ended: the status that an exception gives it, and the exception through which Python exits.

An ``atexit`` function is not told why Python exits, so the hook for uncaught exceptions notes the last one, and hands on to the hook that
was there before.
"""

from __future__ import annotations

import sys
from types import TracebackType

from gitexp import message

_uncaught: list[BaseException | None] = [None]
_previous_hook = sys.excepthook


def of(error: BaseException | None) -> tuple[str, str | None]:
    """Return the status, and the last line of the traceback, for what ended a run."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "finished", None
    if isinstance(error, KeyboardInterrupt):
        return "killed", "KeyboardInterrupt"
    import traceback

    return "failed", message.one_line(traceback.format_exception_only(type(error), error)[-1])[:500]


def at_exit() -> tuple[str, str | None]:
    """Return the status, and the error, of runs that are still open when Python exits."""
    return of(getattr(sys, "last_value", None) or uncaught())


def uncaught() -> BaseException | None:
    """Return the exception through which Python exits, None where there is none."""
    return _uncaught[0]


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _uncaught[0] = error
    _previous_hook(kind, error, trace)


sys.excepthook = _hook
