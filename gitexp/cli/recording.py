"""The options of whatever records one experiment: what it is called, what is said of it, and what
becomes of the branch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gitexp.cli import completion

Command = TypeVar("Command", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)
_OPTIONS = (
    click.option(
        "--note", default="", metavar="TEXT", help="More text, the body of the commit message."
    ),
    click.option(
        "--because", metavar="TEXT", help="Why it is tried: list, show, tree and book tell it."
    ),
    click.option("-l", "--label", "labels", multiple=True, metavar="WORD", help="A label."),
    click.option("--group", metavar="NAME", help="The group that it belongs to."),
    click.option("--name", metavar="TAG", help="A tag name to use instead of exp-N."),
    click.option(
        "--input",
        "inputs",
        multiple=True,
        type=_PATH,
        metavar="PATH",
        help="A file or folder that the run reads; its hash is recorded.",
    ),
    click.option(
        "--sign/--no-sign",
        default=None,
        help="Have git sign the tag, with GPG or SSH (default: the setting 'sign').",
    ),
    click.option(
        "--advance/--no-advance",
        default=None,
        help="Move the branch to the experiment where that is a fast-forward (default: yes).",
    ),
)


def options(function: Command) -> Command:
    """Give a command these options; it gets ``note``, ``because``, ``labels``, ``group``,
    ``name``, ``inputs``, ``sign`` and ``advance``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def params_options(text: str) -> Callable[[Command], Command]:
    """Give a command ``--param``, with this help, and ``--params-file``; it gets ``given`` and
    ``params_file``."""
    one = click.option(
        "-p",
        "--param",
        "given",
        multiple=True,
        metavar="K=V",
        shell_complete=completion.given_params,
        help=text,
    )
    whole = "Params from YAML, JSON or TOML; later ones win."
    files = click.option("--params-file", multiple=True, type=_PATH, metavar="FILE", help=whole)
    return lambda function: one(files(function))
