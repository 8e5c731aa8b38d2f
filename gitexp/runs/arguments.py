"""What a command line says of the params: ``--key value``, ``--key=value``, ``key=value`` and
flags, in the order in which they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from gitexp.formats import environment, params
from gitexp.formats.errors import UsageError

_KEY = re.compile(r"[A-Za-z_][\w.-]*")
_NUMBER_LIKE = re.compile(r"-(\d|\.\d)")


def as_params(command: Sequence[str]) -> dict[str, Any]:
    """Return the params in a command line: ``--key value``, ``--key=value``, ``key=value``, and
    ``--flag`` as true.

    Dashes inside a key become underscores, as argparse does. Words without a key and values of
    secret-looking keys are passed over; so is everything up to the program, and the value of
    Python's own ``-m``, ``-c`` and the like.
    """
    result: dict[str, Any] = {}
    for name, value, _ in options(environment.redact(command)[1:]):
        if name is not None and value != "***":
            given = True if value is None else _value(value)
            try:
                result = params.nest([(name, given)], result)
            except UsageError:  # `--optimizer Adam --optimizer.lr 0.1`: the dotted one by its name
                result = {**result, name: given}
    return result


def _value(text: str) -> Any:
    """Return what an option's text spells; text that begins like a list or quote and is none stays
    text."""
    try:
        return params.parse_value(text)
    except UsageError:
        return text


def options(words: Sequence[str]) -> Iterator[tuple[str | None, str | None, tuple[str, ...]]]:
    """Yield ``(name, value, words as written)`` for each option and assignment of a command line,
    in its order.

    The value of a flag is None, and so is the name of a word that is neither.
    """
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        key, sign, value = word.partition("=")
        if word.startswith("--") and _KEY.fullmatch(key[2:]):
            name = key[2:].replace("-", "_")
            if (
                not sign
                and at < len(words)
                and (not words[at].startswith("-") or _NUMBER_LIKE.match(words[at]))
                and not _assigns(words[at])
            ):
                yield name, words[at], (word, words[at])
                at += 1
            else:
                yield name, value if sign else None, (word,)
        elif _assigns(word):
            yield key.lstrip("+"), value, (word,)
        else:
            yield None, None, (word,)


def _assigns(word: str) -> bool:
    key, sign, _ = word.partition("=")
    return bool(sign) and _KEY.fullmatch(key.lstrip("+")) is not None
