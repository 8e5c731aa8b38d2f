"""Params: the inputs of a run, a mapping in which a dotted name is an address, and ``params.yml``
that holds them in the format of DagsHub's client and of DVC."""

from __future__ import annotations

import contextlib
import enum
import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from gitexp.formats.errors import FormatError, UsageError

MAX_BYTES = 10 * 10**6
MAX_DEPTH = 50
MAX_NODES = 200_000
_NONE = b"{}\n"
_MOST_ELEMENTS = 1_000  # of an array that is still a param
_MOST_LISTED = 20_000  # of a list
_MOST_BITS = 10_000  # of a number; Python writes none of more than 4,300 digits
# a line that says the same to every reader of YAML: a name, and a number or a word
_WORD = r"(?!(?i:null|true|false|yes|no|on|off)[:\n])[A-Za-z][\w./-]{0,60}"
_LINE = rf"(?m)^({_WORD}): (?:(-?(?:0|[1-9]\d{{0,14}})(?:\.\d+)?|true|false|null)|({_WORD}))\n"
_MOST_LINES = 1_000


def parse_value(text: str) -> Any:
    """Return the value that ``text`` spells on a command line, in YAML's flow style (``[1, 2]``,
    ``{a: 1}``); what YAML cannot read as one value (``a: b``, ``@home``) is text."""
    found = _of_lines(f"value: {text}\n".encode("utf-8", "replace"))
    if found and len(found) == 1:
        return found["value"]
    import yaml

    from gitexp.formats import yaml_core

    if text and re.fullmatch(r"[\w.+/-]+", text) is None and text[0] not in "'\"[{+.~":
        return text
    try:
        value = yaml_core.load(text)
    except (yaml.YAMLError, FormatError) as error:
        if (isinstance(error, FormatError) and "deep" in str(error)) or text[:1] in "[{\"'":
            raise UsageError(
                f"the value {_shortened(text)} cannot be read; quote it twice to make it text"
            ) from None
        return text
    return text if isinstance(value, (dict, list)) and text[:1] not in "[{" else plain(value)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``key=value``; raise UsageError where there is no ``=`` or no key."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UsageError(f"'{text}' is not key=value; write for example lr=0.01")
    return key.strip(), parse_value(value)


def nest(pairs: Iterable[tuple[str, Any]], into: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return ``into`` with the dotted ``pairs`` set in it; later ones win. Raises UsageError where
    a name is a value and a mapping at once (``a=1`` and ``a.b=2``), or has an empty part."""
    result: dict[str, Any] = _copied(into or {})
    for key, value in pairs:
        *path, last = key.split(".")
        if not all([*path, last]):
            raise UsageError(f"param '{key}' has an empty part; write a.b=1")
        here = result
        for part in path:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                raise UsageError(
                    f"param '{key}': '{part}' is a value already and cannot hold '{last}'"
                )
        if isinstance(here.get(last), dict) and not isinstance(value, dict):
            raise UsageError(f"param '{key}' is a mapping already and cannot become {value!r}")
        here[last] = value
    return result


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``{"model.depth": 3}`` for ``{"model": {"depth": 3}}``; lists stay as they are."""
    flat: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted names as nested ones. One below a name that has a value itself (``--optimizer
    Adam --optimizer.lr 0.1``), or with an empty part, stays as it is."""
    flat, odd = flatten(values), {}
    for name in [*flat]:
        parts = name.split(".")
        above = (".".join(parts[:end]) for end in range(1, len(parts)))
        if not all(parts) or any(not isinstance(flat.get(key, {}), dict) for key in above):
            odd[name] = flat[name]
    return {**nest(item for item in flat.items() if item[0] not in odd), **odd}


def plain(value: Any, depth: int = 0) -> Any:
    """Return ``value`` as YAML can hold it: scalars as numbers, arrays, tuples and sets as lists,
    dataclasses and namespaces as mappings, of large arrays and tables only the kind and shape, else
    text without addresses."""
    if depth > MAX_DEPTH:
        raise UsageError(f"params are nested more than {MAX_DEPTH} deep")
    if isinstance(value, float) and math.isnan(value):
        return "nan"  # text: it equals itself, and JSON has it
    if type(value) is str:  # the system's own text may be no UTF-8
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if value is None or type(value) in (int, float, bool):
        return hex(value) if type(value) is int and value.bit_length() > _MOST_BITS else value
    value = _fields(value)
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and len(value) > _MOST_LISTED:
        return f"{type(value).__name__} of {len(value)} values"
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return [plain(item, depth + 1) for item in sorted(value, key=repr)]
    if isinstance(value, enum.Enum):
        return plain(value.value if isinstance(value, (int, str)) else str(value.name))
    for base in (bool, int, float, str):  # subclasses: numpy.str_, numpy.float64
        if isinstance(value, base):
            return plain(base(value))
    shape, listed = getattr(value, "shape", None), hasattr(value, "tolist")
    if isinstance(shape, tuple) and (math.prod(shape) > _MOST_ELEMENTS or not listed):
        return f"{type(value).__name__} of shape {tuple(shape)}"
    if listed:
        return plain(listed_as_written(value), depth + 1)
    if hasattr(value, "as_integer_ratio"):  # Decimal, Fraction
        with contextlib.suppress(OverflowError, ValueError):
            return plain(float(value))
    return re.sub(" at 0x[0-9a-fA-F]+", "", str(value))  # which is another in each process


def short(value: Any, form: str = "f") -> Any:
    """Return a float of few bits, 32 by itself, as people write it, 0.1 for 0.100000001; those of a
    list so, and anything else as it is."""
    if isinstance(value, list):
        return [short(item, form) for item in value]
    largest, digits = {"f": (1e38, range(6, 10)), "e": (6e4, range(3, 6))}[form]
    if not isinstance(value, float) or not abs(value) < largest:
        return value
    narrow = struct.pack(form, value)
    spelt = (float(f"{value:.{count}g}") for count in digits)
    return next((number for number in spelt if struct.pack(form, number) == narrow), value)


def listed_as_written(array: Any) -> Any:
    """Return the numbers of an array, or of a scalar of one, as people write them."""
    kind = str(getattr(array, "dtype", "")).rpartition(".")[2]
    bits = {"float32": "f", "float16": "e"}.get(kind)
    return short(array.tolist(), bits) if bits else array.tolist()


def _fields(value: Any) -> Any:
    """Return the mapping that a dataclass or a namespace stands for; all else as it is."""
    if type(value).__name__ in ("Namespace", "SimpleNamespace") and hasattr(value, "__dict__"):
        return vars(value)
    if not hasattr(type(value), "__dataclass_fields__"):
        return value
    from dataclasses import fields

    return {field.name: getattr(value, field.name, None) for field in fields(value)}


def given(values: Any) -> dict[str, Any]:
    """Return params that somebody gives as YAML can hold them. Raises UsageError for what is no
    mapping or cannot be read back, and where two names are one address, or differ by spaces."""
    result = plain(values)
    if not isinstance(result, dict):
        kind = type(values).__name__
        raise UsageError(f"params must be a mapping like {{'lr': 0.01}}, not {kind}")
    result = _stripped(result)
    _check_names(result)
    if _count(result) > MAX_NODES // 2:
        raise UsageError(
            f"these are more than {MAX_NODES // 2:,} params; write them to a file, and add that"
            " with log_artifact"
        )
    return result


def _count(value: Any) -> int:
    parts = value.values() if isinstance(value, dict) else value if type(value) is list else ()
    return 1 + sum(map(_count, parts))


def _stripped(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = key.strip()
        if name in found:
            raise UsageError(f"param '{name}' is there twice, but for spaces; rename one")
        found[name] = _stripped(value) if isinstance(value, dict) else value
    return found


def _check_names(values: Mapping[str, Any]) -> None:
    dotted = [key for key in values if "." in key]
    if dotted:
        others = flatten({key: value for key, value in values.items() if key not in dotted})
        if twice := [key for key in dotted if key in others]:
            raise UsageError(
                f"param '{twice[0]}' is there twice, with a dot in its name and nested; rename one"
            )


def dump(params: Mapping[str, Any]) -> bytes:
    """Return a ``params.yml``: the bytes of ``yaml.safe_dump``, which DagsHub's client writes."""
    if not params:
        return _NONE
    values = plain(params)
    said = {key: item if type(item) is str else json.dumps(item) for key, item in values.items()}
    lines = "".join(f"{key}: {said[key]}\n" for key in sorted(said)).encode("utf-8", "replace")
    if _of_lines(lines) == values:
        return lines
    from gitexp.formats import yaml_core

    return yaml_core.dump(values)


def load(data: bytes, where: str = "params.yml") -> dict[str, Any]:
    """Read the text of a params file, a mapping; raises FormatError."""
    if data == _NONE:
        return {}
    if where.endswith((".yml", ".yaml")) and (found := _of_lines(data)) is not None:
        return found
    value = document(data, where)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FormatError(
            f"{where} must hold a mapping of names to values, not {type(value).__name__}"
        )
    result = plain(value)
    assert isinstance(result, dict)
    return result


def document(data: bytes, where: str) -> Any:
    """Return what a text says: YAML, or by the ending of ``where`` JSON, TOML, INI or Python, of
    whose plain assignments the literal ones count. Raises FormatError."""
    import yaml  # which takes as long as starting Python

    from gitexp.formats import assigned, yaml_core

    if len(data) > MAX_BYTES:
        raise FormatError(
            f"{where} is larger than {MAX_BYTES // 10**6} MB, too large for params; name a smaller"
            " file"
        )
    try:
        text = data.decode("utf-8-sig")
        if where.endswith(".json"):
            return json.loads(text, object_pairs_hook=_once)
        if where.endswith(".toml"):
            return assigned.by_toml(text)
        if where.endswith(".ini"):
            return assigned.by_ini(text)
        if where.endswith(".py"):
            return assigned.by_python(text)
        return yaml_core.load(text)
    except RecursionError:
        raise FormatError(f"{where} is nested too deep for params") from None
    except FormatError as error:
        raise FormatError(f"{where} {error}") from None
    except (yaml.YAMLError, ValueError, SyntaxError) as error:
        raise FormatError(f"{where} cannot be read: {' '.join(str(error).split())}") from None


def _of_lines(data: bytes) -> dict[str, Any] | None:
    """Return what a file says whose lines are names with plain values; None for other text."""
    text = data.decode("utf-8", "replace")
    found = re.findall(_LINE, text, re.ASCII)
    if not 0 < len(found) == text.count("\n") <= _MOST_LINES or text[-1] != "\n":
        return None
    items = (
        f'"{name}": {number}' if number else f'"{name}": "{word}"' for name, number, word in found
    )
    values: dict[str, Any] = json.loads(f"{{{','.join(items)}}}")
    return values if len(values) == len(found) else None


def load_file(path: Path) -> dict[str, Any]:
    """Read a params file that somebody gives; raise FormatError where it cannot be read."""
    try:
        with open(path, "rb") as file:  # which may be a device without an end
            return given(load(file.read(MAX_BYTES + 1), str(path)))
    except UsageError as error:
        raise error if isinstance(error, FormatError) else FormatError(f"{path}: {error}") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid on it by addresses: ``a.b`` and a nested one are one."""
    result = dict(base)
    for key, value in over.items():
        if "." in key and key not in result and key in flatten(result):
            result = nest([(key, value)], result)
            continue
        old = result.get(key)
        nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merge(result[key], value) if nested else value
    return result


def joined(logged: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run has logged with what it logs now: unlike in ``merge``, no name takes
    another away. One below a name that has a value itself stays dotted, as in ``nested``."""
    flat = {**flatten(logged), **flatten(values)}
    empty_first = sorted(flat.items(), key=lambda item: not isinstance(item[1], Mapping))
    return nested(dict(empty_first))


def _copied(params: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, Mapping) else v for k, v in params.items()}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        refuse_twice(next(name for name in names if names.count(name) > 1))
    return found


def refuse_twice(name: str) -> NoReturn:
    """Raise FormatError for a name that a mapping has twice."""
    raise FormatError(f"has the name {_shortened(name)} twice; remove one")


def value_or_text(text: str) -> Any:
    """Return what ``parse_value`` does, and text that it refuses as it is."""
    with contextlib.suppress(UsageError):
        return parse_value(text) if text else text
    return text


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
