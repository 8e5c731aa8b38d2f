"""Options and arguments, declared as the help shows them."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from gitexp.cli import completion

Command = TypeVar("Command", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
POSITIVE = click.IntRange(1)


class _Number(click.types.FloatParamType):
    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"'{value}' is not a number to compare with.", param, ctx)
        return number


NUMBER = _Number()  # neither NaN nor infinite: such a bound holds for everything, or for nothing
FILE = click.Path(dir_okay=False, path_type=Path)
_COMPLETED = {  # by the word for a value
    **dict.fromkeys(("KEY", "KEY[:asc|desc]"), completion.keys),
    "METRIC": completion.metrics,
    **dict.fromkeys(("K=V", "K=VALUES"), completion.given_params),
    "K=V[@STEP]": completion.given_metrics,
    **dict.fromkeys(("REF", "A", "B", "GOOD", "BAD"), completion.refs),
    **dict.fromkeys(("REMOTE", "[REMOTE]"), completion.remotes),
}


def argument(spelling: str, name: str | None = None, **how: Any) -> Callable[[Command], Command]:
    """Declare an argument: ``argument("[REF]...", "refs")``. In brackets it may be left out, with
    dots there may be several; without a name it is called like its word."""
    word = re.search("[A-Z]+", spelling)
    assert word
    usual = {
        "required": spelling[0] != "[",
        "nargs": -1 if "..." in spelling else 1,
        "metavar": None if isinstance(how.get("type"), click.Choice) else spelling,
        "shell_complete": _COMPLETED.get(word[0]),
    }
    return click.argument(name or word[0].lower(), **usual | how)


def option(
    spelling: str, text: str, name: str | None = None, **how: Any
) -> Callable[[Command], Command]:
    """Declare an option: ``option("-n, --limit N", "At most N of them.")``.

    Without a word for its value it is a flag, unless its type is said. ``GLOB...`` may be given
    several times; ``[REMOTE]`` may be left out, and is "" then; ``--sign/--no-sign`` is None where
    neither is said; ``N`` is a whole number from 1, unless its type is said. The word for a value
    says what completes it, too. A default is shown, but for true and false.

    Args:
        text: its help.
        name: what the function's argument is called, where it is not called like the option.
        how: all else that ``click.option`` takes.
    """
    words = [word.removesuffix(",") for word in spelling.split(" ")]
    value = words.pop() if words[-1][0] != "-" else None
    if value and value.endswith("...") and value[-4] != ",":
        value, how["multiple"] = value[:-3], True
    complete = _COMPLETED.get((value or "").partition(",")[0])
    default = how.get("default")
    told = bool(default) and default is not True and isinstance(default, (str, int, float))
    usual: dict[str, Any] = {"show_default": told, "shell_complete": complete}
    usual |= {"type": POSITIVE} if value == "N" else {}
    # not False elsewhere, which would let click do without a value
    usual |= {} if value or "type" in how else {"is_flag": True}
    usual |= {"default": None} if "/" in spelling else {}
    usual |= {"is_flag": False, "flag_value": ""} if (value or "")[:1] == "[" else {}
    words += [name] if name else []
    return click.option(*words, metavar=value, help=text, **usual | how)


def gathered(
    kind: Any, name: str, *declared: Callable[[Command], Command]
) -> Callable[[Command], Command]:
    """Return several options as one decorator, whose values a command gets as one NamedTuple."""

    def decorated(function: Command) -> Command:
        @functools.wraps(function)
        def taking(**given: Any) -> Any:
            values = {field: given.pop(field) for field in kind._fields}
            return function(**{name: kind(**values)}, **given)

        return together(*declared)(cast(Command, taking))

    return decorated


def together(*declared: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return several options as one decorator, in the order of the help."""
    return lambda function: functools.reduce(lambda made, one: one(made), declared[::-1], function)
