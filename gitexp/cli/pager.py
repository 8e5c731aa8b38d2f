"""Long output through a pager, as git does it: on a terminal only, and only where it does not fit.

click's own ``echo_via_pager`` knows neither git's settings, nor pipes in a command, nor whether the
text fits. The repository's ``core.pager`` is never read: whoever wrote the repository would have
his program run.
"""

from __future__ import annotations

import functools
import io
import os
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import ParamSpec, TextIO, TypeVar

import click

from gitexp.cli import output
from gitexp.formats.errors import GitexpError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
_DEFAULT = "less"
_LESS = "FRX"  # what git sets: quit where it fits, keep colours, leave the text on the screen
_FOR_A_SHELL = r"[|&;<>()$`\\\"'\t\n*?#~=%\[]"  # where git takes a shell for a pager, too
_NOT_STARTED = (126, 127)  # a shell's exit codes


Said = list[tuple[TextIO, str]]  # what was printed, in order, and where to


class _Held(io.TextIOWrapper):
    """Notes what is printed while it is not known yet where to; it looks like the terminal that it
    may go to."""

    def __init__(self, terminal: TextIO, said: Said) -> None:
        super().__init__(io.BytesIO(), terminal.encoding, terminal.errors)
        self.terminal, self.said = terminal, said

    def write(self, text: str, /) -> int:
        size = super().write(text)
        self.said.append((self.terminal, text))
        return size

    def isatty(self) -> bool:
        return True


def paged(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a command's output go through the pager where stdout is a terminal; goes below click's
    own decorators."""

    @functools.wraps(function)
    def command(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        no_pager = click.get_current_context().find_root().params.get("no_pager")
        if no_pager or not sys.stdout.isatty():
            return function(*args, **kwargs)
        said: Said = []
        out, talk = sys.stdout, sys.stderr
        held = _Held(talk, said) if talk.isatty() else talk  # talk for people, too
        try:
            with redirect_stdout(_Held(out, said)), redirect_stderr(held):
                result = function(*args, **kwargs)
        except BaseException:
            _print(said)
            raise
        _show(said, out)
        return result

    return command


def _show(said: Said, out: TextIO) -> None:
    text = "".join(text for stream, text in said if stream is out)
    command = "" if _fits(text) else _chosen()
    if command and _piped(command, text.encode(out.encoding, out.errors or "strict")):
        # after the pager, which would hide it
        _print([(stream, text) for stream, text in said if stream is not out])
        return
    _print(said)
    if command not in ("", _DEFAULT):  # somebody asked for it
        output.say(
            f"the pager '{command}' could not be started; to choose another, or none:"
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
    command = os.environ.get("GITEXP_PAGER", os.environ.get("GIT_PAGER"))
    if command is None:
        from gitexp.repo import Repo

        with suppress(GitexpError):
            command = Repo.discover().users_config("core.pager")
    if command is None:
        command = os.environ.get("PAGER", _DEFAULT)
    return "" if command.strip() == "cat" else command.strip()


def _piped(command: str, content: bytes) -> bool:
    """Run the pager with the content; whether it could be started. One that ends early has shown
    enough."""
    import signal
    import subprocess

    arguments = ["sh", "-c", command] if re.search(_FOR_A_SHELL, command) else command.split()
    environment = {"LESS": _LESS, "LV": "-c", **os.environ}
    # Ctrl-C is for the pager: a handler, not SIG_IGN, which it would inherit
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        done = subprocess.run(arguments, input=content, env=environment)
    except OSError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)
    return done.returncode not in _NOT_STARTED


def _print(said: Said) -> None:
    for stream, text in said:
        click.echo(text, stream, nl=False)
