"""Long output through a pager, as git does it: on a terminal only, and only where it does not fit.

What a command prints is held until it is done, and then either printed or piped into the pager: so
a table that fits never starts a program, and a command that fails half way shows what it had.
click's own ``echo_via_pager`` knows neither git's settings nor whether the text fits, and Ctrl-C in
it kills the pager that should have got it. The repository's ``core.pager`` is never read: whoever
wrote the repository would have his program run.
"""

from __future__ import annotations

import functools
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, ParamSpec, TextIO, TypeVar

import click

from gitexp.cli import output
from gitexp.formats.errors import GitexpError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
_DEFAULT = "less"
_LESS = "FRX"  # what git sets: quit where it fits, keep colours, leave the text on the screen
_FOR_A_SHELL = r"[|&;<>()$`\\\"'\t\n*?#~=%\[]"  # where git takes a shell for a pager, too
_NOT_STARTED = (126, 127)  # a shell's exit codes


Said = list[tuple[TextIO, bytes]]  # what was printed, in order, and where to


class _Noted(io.BytesIO):
    def __init__(self, terminal: TextIO, said: Said) -> None:
        super().__init__()
        self.terminal, self.said = terminal, said

    def write(self, data: Any, /) -> int:
        self.said.append((self.terminal, bytes(data)))
        return len(data)


class _Held(io.TextIOWrapper):
    """Notes what is printed while it is not known yet where to; it looks like the terminal that it
    may go to."""

    def __init__(self, terminal: TextIO, said: Said) -> None:
        super().__init__(
            _Noted(terminal, said),
            encoding=terminal.encoding,
            errors=terminal.errors,
            newline="",
            write_through=True,
        )

    def isatty(self) -> bool:
        return True


def paged(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a command's output go through the pager where stdout is a terminal; goes below click's
    own decorators."""

    @functools.wraps(function)
    def command(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if not sys.stdout.isatty() or click.get_current_context().find_root().params.get(
            "no_pager"
        ):
            return function(*args, **kwargs)
        with _held():
            return function(*args, **kwargs)

    return command


@contextmanager
def _held() -> Iterator[None]:
    """Hold what is printed, talk for people too, and show it at the end."""
    said: Said = []
    out, talk = sys.stdout, sys.stderr
    try:
        with (
            redirect_stdout(_Held(out, said)),
            redirect_stderr(_Held(talk, said) if talk.isatty() else talk),
        ):
            yield
    except BaseException:
        _print(said)
        raise
    _show(said, out)


def _show(said: Said, out: TextIO) -> None:
    content = b"".join(data for stream, data in said if stream is out)
    command = "" if _fits(content.decode(out.encoding, "replace")) else _chosen()
    if command and _piped(command, content):
        # after the pager, which would hide it
        _print([(stream, data) for stream, data in said if stream is not out])
        return
    _print(said)
    if command not in ("", _DEFAULT):  # somebody asked for it
        output.say(
            f"the pager '{output.clean(command)}' could not be started; to choose another, or none:"
            " GITEXP_PAGER=cat"
        )


def _fits(text: str) -> bool:
    """Whether the terminal shows the text at once, with a line left for the prompt."""
    import shutil

    columns, lines = shutil.get_terminal_size()
    rows = 0
    for line in text.splitlines():
        rows += max(1, -(-output.width(line) // max(columns, 1)))
        if rows >= lines:
            return False
    return True


def _chosen() -> str:
    """Return the pager's command: gitexp's own variable, then what git would take, but for the
    repository's own setting; "" for none."""
    if os.environ.get("TERM") == "dumb":
        return ""
    for name in ("GITEXP_PAGER", "GIT_PAGER"):
        if name in os.environ:
            return _wanted(os.environ[name])
    with suppress(GitexpError):
        from gitexp.repo import Repo

        if (configured := Repo.discover().users_config("core.pager")) is not None:
            return _wanted(configured)
    return _wanted(os.environ.get("PAGER", _DEFAULT))


def _wanted(command: str) -> str:
    return "" if command.strip() in ("", "cat") else command


def _piped(command: str, content: bytes) -> bool:
    """Run the pager with the content; whether it could be started. One that ends early has shown
    enough."""
    import subprocess

    arguments = ["sh", "-c", command] if re.search(_FOR_A_SHELL, command) else command.split()
    environment = {
        **os.environ,
        "LESS": os.environ.get("LESS", _LESS),
        "LV": os.environ.get("LV", "-c"),
    }
    with _interrupts_left_to_the_pager():
        try:
            process = subprocess.Popen(arguments, stdin=subprocess.PIPE, env=environment)
        except OSError:
            return False
        assert process.stdin is not None
        with suppress(OSError):  # the reader had enough
            process.stdin.write(content)
        with suppress(OSError):
            process.stdin.close()
        return process.wait() not in _NOT_STARTED


@contextmanager
def _interrupts_left_to_the_pager() -> Iterator[None]:
    """Have Ctrl-C mean what the pager takes it for: a handler, not SIG_IGN, which the pager would
    inherit."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _print(said: Said) -> None:
    for stream, data in said:
        click.echo(data.decode(stream.encoding, stream.errors or "strict"), stream, nl=False)
