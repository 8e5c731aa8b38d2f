"""What a command line says of the params: ``--key value``, ``--key=value``, ``-key value``,
``key=value`` and flags, in the order in which they stand."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from gitexp.formats import environment, params, redaction

_OPTION = r"(?s)(?:--(\w[\w.\[\]-]*)|-([A-Za-z][\w.\[\]-]*))(?:=(.*))?"
_SHORT = r"-([A-Za-z])(\d+)"  # -j8
_ASSIGNMENT = r"(?s)\+{0,2}([A-Za-z_][\w.@/\[\]-]*)=(.*)"  # as Hydra takes them
_NUMBER = r"(?i)[-+]?(?:\d|\.\d|(?:inf|nan)$).*"
_SCRIPT = r"[^-=][^=]*\.(?:py|sh|bash|R|jl|js|pl|rb)"
_TIGHT = r"([{,]\s*[\w.]+):(?=[^\s/:])"  # {a:1}, as Hydra writes a mapping
# tools whose own options are no params, with those that a param's name and its value follow
_TOOLS = {
    "papermill": ("-p", "--parameters", "-r", "--parameters_raw"),
    **dict.fromkeys(("dvc", "jupyter", "jupyter-nbconvert", "jupyter-execute"), ()),
}
_SHELLS = frozenset(("sh", "bash", "zsh", "dash", "ksh", "fish"))


def as_params(command: Sequence[str], own: int | None = None) -> dict[str, Any]:
    """Return the params in a command line, ``--flag`` as true and ``--no-flag`` as false.

    Dashes inside a key become underscores. Several values, or an option that comes again, are a
    list. Words without a key and values of secret-looking keys are passed over; so is everything up
    to the program, and the options of Python's own.

    Args:
        own: where the arguments of the script begin; what stands before them is passed over then.
    """
    shown = environment.redact(command)
    found: dict[str, Any] = {}
    for name, values, _ in options(shown if own is None else ["", *shown[own:]], own and 1):
        if name is None or redaction.HIDDEN in (values or ()):
            continue
        given = [*map(_value, values)] if values else [True]
        if name in found and not (found[name] is True and given == [True]):
            before = found[name]
            given = [*(before if isinstance(before, list) else [before]), *given]
        found[name] = given if len(given) > 1 else given[0]
    return params.nested(found)


def inner(command: Sequence[str]) -> Sequence[str]:
    """Return the command line that ``datalad run`` is given; every other as it is."""
    if not command or os.path.basename(command[0]) != "datalad":
        return command
    for at, word in enumerate(command):
        with suppress(ValueError):
            parts = shlex.split(word)
            if parts and (environment.is_python(parts[0]) or re.fullmatch(_SCRIPT, parts[0])):
                return parts if len(parts) > 1 else command[at:]
    return []


def _value(text: str) -> Any:
    """Return what an option's text spells; what is no value of YAML's stays text."""
    if text[:1] in ("{", "["):
        text = re.sub(_TIGHT, r"\1: ", text)
    return params.value_or_text(text)


def options(
    command: Sequence[str], own: int | None = None
) -> Iterator[tuple[str | None, list[str] | None, tuple[str, ...]]]:
    """Yield ``(name, values, words as written)`` for each option and assignment of a command line;
    a flag's values are None, and so is the name of a word that is neither."""
    own = own or start(command)
    after = 2 if command[1:2] == ["run"] else own - 1  # uv run dvc, python -m dvc
    first = (*command[:1], *command[after : after + 1])
    tool = next(filter(_TOOLS.__contains__, map(os.path.basename, first)), None)
    runs = (at for at in range(1, own - 1) if _runs_code(command[at]))
    program = next(runs, own - 1)  # up to which a launcher's own words go
    at = 0
    while at < len(command):
        word = command[at]
        if tool and word in _TOOLS[tool] and len(command) > at + 2:
            yield command[at + 1], [command[at + 2]], tuple(command[at : at + 3])
            at += 3
            continue
        is_code = at == own - 1 and command[at - 1] == "-c"
        passed = at == 0 or is_code or (tool and word.startswith("-"))
        name, value = (None, None) if passed else _split(word, short=at >= own)
        if name is None or value is not None:
            yield name, None if value is None else [value], (word,)
            at += 1
            continue
        following = _values(command if at >= own else command[:program], at + 1)
        words = (word, *following)
        if not following and name.startswith("no_"):
            yield name[3:], ["false"], words
        else:
            yield name, following or None, words
        at += len(words)


def unclear(command: Sequence[str]) -> list[str]:
    """Return the words that follow an option's value and may be more of its values, or none."""
    found: list[str] = []
    after = False
    for name, values, words in options(command):
        if name is None and after:
            found += [word for word in words if word != "--"]
        else:
            after = name is not None and bool(values) and len(words) == 2
    return found


def start(command: Sequence[str]) -> int:
    """Return where a command's own words begin, behind Python, a shell or a launcher."""
    reads = False  # a Python or a shell is among the words so far
    for at, word in enumerate(command):
        if at and reads and word in ("-m", "-c"):
            return min(at + 2, len(command))
        if at and re.fullmatch(_SCRIPT, word):
            return at + 1
        reads = reads or _runs_code(word)
    return len(command) if reads else 1


def _runs_code(word: str) -> bool:
    return environment.is_python(word) or os.path.basename(word) in _SHELLS


def _split(word: str, short: bool = True) -> tuple[str | None, str | None]:
    """Return the name and the value that a word holds, None for what it lacks."""
    if match := re.fullmatch(_ASSIGNMENT, word):
        return match[1], match[2]
    if re.fullmatch(_NUMBER, word) or not (match := re.fullmatch(_OPTION, word)):
        return None, None
    if match[1]:
        return match[1].replace("-", "_"), match[3]
    if not short:
        return None, None
    if joined := re.fullmatch(_SHORT, word):
        return joined[1], joined[2]
    return match[2].replace("-", "_"), match[3]


def _values(command: Sequence[str], at: int) -> list[str]:
    """Return the values of an option that begin here: one, or several that are alike: numbers, or
    texts with another option behind them, since at the end they may be files to work on."""
    here = [*itertools.takewhile(lambda word: _split(word)[0] is None, command[at:])]
    if "--" in here:
        here = here[: here.index("--")]
    numbers = [re.fullmatch(_NUMBER, word) is not None for word in here]
    alike = all(numbers) or (not any(numbers) and at + len(here) < len(command))
    return here if alike else here[:1]


def forced(words: list[str]) -> list[str]:
    """Return a command that has DVC run its stages, which ``dvc.lock`` says are up to date."""
    names = [os.path.basename(word) for word in words]
    for how in (["dvc", "repro"], ["dvc", "exp", "run"]):
        for at in range(len(words)):
            if names[at : (end := at + len(how))] == how and not {"-f", "--force"} & {*words}:
                return [*words[:end], "--force", *words[end:]]
    return words
