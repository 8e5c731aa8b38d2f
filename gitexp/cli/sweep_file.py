"""The file of a sweep (``gitexp sweep sweep.yml``): its settings are the command's own options."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from gitexp.formats import params
from gitexp.formats.errors import UsageError, did_you_mean
from gitexp.sweeps import space as spaces

Kind = tuple[str, Callable[[Any], bool]]  # what a value must be, and whether one is that
_NOT_IN_A_FILE = {"given", "link", "dry_run", "resume", "again", "json", "csv", "md"}


def read(file: Path, options: Iterable[click.Parameter]) -> dict[str, Any]:
    """Return what a sweep file says: ``command`` as words, ``space`` from its ``params``, and the
    rest by the names of the options.

        command: python train.py --lr {lr}
        params:
          lr: log(1e-4, 1e-1)
          depth: [2, 4, 6]
        search: tpe
        trials: 30
        minimize: rmse

    Raises:
        UsageError: a key is unknown, or its value is of the wrong kind.
        FormatError: it cannot be read.
    """
    known = {str(one.name): _kind(one) for one in options if isinstance(one, click.Option)}
    kinds = {name: known[name] for name in known if name not in _NOT_IN_A_FILE} | _OWN
    said = params.load_file(file)
    for name, value in said.items():
        if name not in kinds:
            raise UsageError(f"{file}: there is no setting '{name}'.{did_you_mean(name, kinds)}")
        wanted, fits = kinds[name]
        if not fits(value):
            raise UsageError(f"{file}: '{name}' must be {wanted}, not {_shown(value)}")
    run, space = said.pop("command", ""), said.pop("params", {})
    try:
        words = shlex.split(run) if isinstance(run, str) else map(str, run)
    except ValueError:
        raise UsageError(
            f"{file}: 'command' has a quote that is never closed; it may be a list of words, too"
        ) from None
    try:
        space = spaces.from_mapping(space) if space else {}
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    return {**said, "command": tuple(words), "space": space}


def _kind(option: click.Option) -> Kind:
    """Return what the value of an option is in a file."""
    kind = option.type
    if option.is_bool_flag:
        return "true or false", lambda value: isinstance(value, bool)
    if option.flag_value == "":
        remote = "the name of a remote, or true"
        return remote, lambda value: _is_text(value) or isinstance(value, bool)
    if isinstance(kind, click.Choice):
        return f"one of {', '.join(kind.choices)}", lambda value: value in kind.choices
    if isinstance(kind, click.IntRange):
        least = kind.min or 0
        wanted = f"a whole number from {least}"
        return wanted, lambda value: type(value) is int and value >= least
    if kind is click.INT:
        return "a whole number", lambda value: type(value) is int
    return "text", _is_text


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_command(value: Any) -> bool:
    words = value if isinstance(value, list) else []
    return _is_text(value) or (bool(words) and {*map(type, words)} <= {str, int, float})


_OWN: dict[str, Kind] = {  # what is no option, or may be more than the command line's text
    "command": ("a line of text, or a list of words", _is_command),
    "params": (
        "a mapping of names to values, like lr: [0.1, 0.01]",
        lambda value: isinstance(value, dict),
    ),
    "engine": ("text", _is_text),  # the driver says which there are, and which was meant
    "timeout": (
        "a time like 90s, 10m or 2h",
        lambda value: _is_text(value) or (type(value) in (int, float) and value > 0),
    ),
}


def _shown(value: Any) -> str:
    """Return a value about as the file has it."""
    words = {"None": "nothing", "True": "true", "False": "false"}
    text = words.get(repr(value), repr(value))
    return text if len(text) <= 40 else f"{text[:37]}..."
