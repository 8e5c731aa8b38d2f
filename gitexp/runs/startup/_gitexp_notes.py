"""What ``_gitexp_parsers`` has to say, written into the run's folder: a line of Python literals for
each parse.

As that module, it imports nothing that a program might shadow, and prints and blocks nothing.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

_FOLDER = os.environ.get("GITEXP_RUN", "")
_ABOVE = "GITEXP_PARSED"  # set below a program that has parsed
_INNER = _ABOVE in os.environ
_OWNER = os.getpid()
_MOST_LINES = 10_000
_MOST_CHARACTERS = 10**6
_MOST_TEXT = 10_000
_written = 0


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of ours, whose faults are none of the program's."""
    try:
        return function(*args, **kwargs)
    except Exception:
        return None


def note(kind: str, values: Any, left: Sequence[str] = (), folder: str = "") -> None:
    """Add a line to what the run knows of this program."""
    global _written
    if os.getpid() != _OWNER or _written >= _MOST_LINES:  # a forked worker is no program
        return
    import time

    facts = {"kind": kind, "argv": list(sys.argv), "left": list(left), "inner": _INNER}
    line = _literal({**facts, "at": time.time(), "folder": folder, "values": dict(values)}) + "\n"
    if len(line) > _MOST_CHARACTERS:
        return
    path = os.path.join(_FOLDER, f"parsed-{_OWNER}.txt")
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode("ascii"))
    finally:
        os.close(file)
    _written += 1
    os.environ[_ABOVE] = "1"


def note_kept(
    kind: str,
    values: Callable[[], dict[str, Any]],
    left: Sequence[str],
    parsed: dict[str, Any] | None = None,
) -> None:
    """Note values that the program keeps in an object, unless they are ``parsed``, which is noted
    already; and at its end those that were empty and that it filled since, as ``args.batch_size =
    args.envs * args.steps``."""
    import atexit

    before = values() if parsed is None else parsed
    if parsed is None:
        note(kind, before, left)

    def filled() -> None:
        now = values()
        late = {name: now[name] for name, value in before.items() if not value and now[name]}
        if late:
            note(kind, late, left)

    atexit.register(quietly, filled)


def _literal(value: Any, depth: int = 0) -> str:
    """Return a value as an ASCII literal: objects as what they say of themselves."""
    if value is None or isinstance(value, bool):
        return repr(value)
    kind: Any = type(value)
    if hasattr(kind, "__members__") and isinstance(getattr(value, "name", None), str):
        plain = isinstance(value, (int, str))  # of its members, a class Optimizer(str, Enum)
        return _literal(value.value if plain else value.name)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value).replace("inf", "1e999").replace("nan", "'nan'")
    if isinstance(value, str):
        return ascii(str(value)[:_MOST_TEXT])
    if depth > 20:
        raise ValueError("too deep")
    if isinstance(value, dict):
        items = (f"{_key(key)!a}: {_literal(item, depth + 1)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join([_literal(item, depth + 1) for item in value]) + "]"
    if isinstance(value, (set, frozenset)):
        return "[" + ", ".join(sorted(_literal(item, depth + 1) for item in value)) + "]"
    return _literal(said(value, kind), depth + 1)


def _key(key: Any) -> str:
    return key.name if hasattr(type(key), "__members__") else str(key)


def said(value: Any, kind: Any) -> Any:
    """Return what an object stands for, in plain values."""
    if hasattr(kind, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in kind.__dataclass_fields__}
    for method in ("model_dump", "to_dict", "as_dict"):
        if hasattr(kind, method):
            return getattr(value, method)()
    if kind.__name__ == "Namespace":
        return dict(vars(value))
    if hasattr(kind, "__fspath__"):
        return os.fspath(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    shape = getattr(value, "shape", None)
    if shape == () and hasattr(value, "item"):
        return value.item()
    if isinstance(shape, tuple):
        return f"{kind.__name__} of shape {tuple(shape)}"
    if hasattr(value, "__qualname__"):  # a class or a function
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "read") and isinstance(getattr(value, "name", None), str):
        return value.name
    text = str(value)
    return kind.__name__ if " at 0x" in text else text
