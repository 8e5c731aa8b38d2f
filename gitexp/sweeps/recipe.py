"""A sweep as a file: ``gitexp sweep sweep.yml``. Each of its keys is an option of the command line,
and is checked like one.

command: python train.py --lr {lr}
params:
  lr: log(1e-4, 1e-1)
  depth: [2, 4, 6]
search: tpe
trials: 30
minimize: rmse
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gitexp.formats import params
from gitexp.formats.errors import UsageError, did_you_mean
from gitexp.sweeps import search
from gitexp.sweeps import space as spaces


def read(file: Path) -> dict[str, Any]:
    """Return what a sweep file says: ``command`` as words, ``space`` from its ``params``, and the
    rest by the names of the options.

    Raises:
        UsageError: a key is unknown, or its value is of the wrong kind.
        FormatError: it cannot be read.
    """
    said = params.load_file(file)
    for name, value in said.items():
        if name not in _KEYS:
            raise UsageError(f"{file}: there is no setting '{name}'.{did_you_mean(name, _KEYS)}")
        wanted, fits = _KEYS[name]
        if not fits(value):
            raise UsageError(f"{file}: '{name}' must be {wanted}, not {_shown(value)}")
    run, space = said.pop("command", ""), said.pop("params", {})
    try:
        words = shlex.split(run) if isinstance(run, str) else [str(word) for word in run]
    except ValueError:
        raise UsageError(
            f"{file}: 'command' has a quote that is never closed; it may be a list of words, too"
        ) from None
    try:
        return {
            **said,
            "command": tuple(words),
            "space": spaces.from_mapping(space) if space else {},
        }
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: Any, least: int = 1) -> bool:
    return type(value) is int and value >= least


def _is_command(value: Any) -> bool:
    return _is_text(value) or (
        isinstance(value, list)
        and bool(value)
        and all(type(word) in (str, int, float) for word in value)
    )


def _is_yes_or_no(value: Any) -> bool:
    return isinstance(value, bool)


_Kind = tuple[str, Callable[[Any], bool]]
_TEXT: _Kind = ("text", _is_text)
_COUNT: _Kind = ("a whole number from 1", _is_count)
_SWITCH: _Kind = ("true or false", _is_yes_or_no)
_KEYS: Mapping[str, _Kind] = {
    "command": ("a line of text, or a list of words", _is_command),
    "params": (
        "a mapping of names to values, like lr: [0.1, 0.01]",
        lambda value: isinstance(value, dict),
    ),
    "search": (f"one of {', '.join(search.SEARCHES)}", lambda value: value in search.SEARCHES),
    "trials": _COUNT,
    "minimize": _TEXT,
    "maximize": _TEXT,
    "repeat": _COUNT,
    "seed": ("a whole number", lambda value: type(value) is int),
    "prune": _SWITCH,
    "timeout": (
        "a time like 90s, 10m or 2h",
        lambda value: _is_text(value) or (type(value) in (int, float) and value > 0),
    ),
    "retries": ("a whole number from 0", lambda value: _is_count(value, 0)),
    "append": _SWITCH,
    "jobs": _COUNT,
    "engine": _TEXT,
    "address": _TEXT,
    "group": _TEXT,
    "workers_push": (
        "the name of a remote, or true",
        lambda value: _is_text(value) or _is_yes_or_no(value),
    ),
    "push": (
        "the name of a remote, or true",
        lambda value: _is_text(value) or _is_yes_or_no(value),
    ),
}


def _shown(value: Any) -> str:
    """Return a value about as the file has it."""
    text = (
        {None: "nothing", True: "true", False: "false"}[value]
        if value is None or isinstance(value, bool)
        else repr(value)
    )
    return text if len(text) <= 40 else f"{text[:37]}..."
