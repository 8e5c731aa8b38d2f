"""A real terminal for tests: what a person types, and what there is to be seen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("termios", reason="there are no pseudo terminals here")

import fcntl
import pty
import select
import struct
import termios

PATIENCE = 240  # seconds, on a machine that is busy with something else


class Terminal:
    """A command in a terminal of 80 columns, as a person sees and types."""

    def __init__(self, folder: Path, *command: str, lines: int = 24, **env: str) -> None:
        self.seen = ""
        self.side, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 80, 0, 0))
        base = {
            name: value
            for name, value in os.environ.items()
            if name not in ("COLUMNS", "LINES", "LESS", "PAGER", "NO_COLOR")
        }
        # a process of its own makes the terminal the controlling one, so that Ctrl-C reaches
        # everything that runs in it
        start = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", start, *command], cwd=folder, stdin=theirs, stdout=theirs,
            stderr=theirs,
            env={**base, "PYTHONPATH": str(Path(__file__).parents[1]), "TERM": "xterm", **env},
        )  # fmt: skip
        os.close(theirs)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.side, keys.encode())

    def type_until(self, keys: str, text: str) -> None:
        """Press keys, again and again as people do (less throws away what comes while it is
        interrupted), until a text is seen."""
        for _ in range(PATIENCE):
            self.type(keys)
            self._read(lambda: text in self.seen, seconds=1)
            if text in self.seen:
                return
        raise AssertionError(self.seen)

    def until(self, text: str) -> str:
        """Read until a text is on the screen."""
        self._read(lambda: text in self.seen)
        assert text in self.seen, self.seen
        return self.seen

    def done(self, code: int = 0) -> str:
        """Read to the end, require the exit code, and return what was to be seen."""
        self._read(lambda: False)
        assert self.process.wait(PATIENCE) == code, self.seen
        assert "Traceback" not in self.seen
        return self.seen.replace("\r\n", "\n")

    def _read(self, enough: Callable[[], bool], seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not enough() and time.monotonic() < deadline:
            if not select.select([self.side], [], [], 1)[0]:
                continue
            try:
                part = os.read(self.side, 65536)
            except OSError:  # Linux says so at the end
                return
            if not part:
                return
            self.seen += part.decode("utf-8", "replace")

    def close(self) -> None:
        """End what still runs, and give the terminal back."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.side)
