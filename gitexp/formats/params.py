"""``params.yml``: the inputs of a run, a mapping in the format of DagsHub's client and of DVC.

Reading follows the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), because
PyYAML alone follows 1.1 and reads ``1e-3`` as text and ``yes`` as true. Two deviations, both
towards text, since a param that looks like a name should stay one: ``007`` and a number that
overflows (``12e4567``, a commit hash) are text. Writing gives the bytes of ``yaml.safe_dump``, and
quotes what would otherwise read back as another type.

Files come from repositories that nobody vouches for. libyaml's composer recurses (it crashes at
100,000 levels) and aliases multiply (nine lines make a billion nodes), so a document's events are
counted before it is composed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gitexp.formats.errors import FormatError, UsageError

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 10 * 10**6
MAX_DEPTH = 50
MAX_NODES = 200_000
_NONE = b"{}\n"
_MOST_ELEMENTS = 1_000  # of an array that is still a param
_MOST_LISTED = 20_000  # of a list
_MOST_BITS = 10_000  # of a number; Python writes none of more than 4,300 digits
_MOST_DIGITS = 3_000
_LARGE = 100_000  # characters that PyYAML's own writer, a letter at a time, takes too long for
# a line that says the same to every reader of YAML: a name, and a number or a word
_WORD = r"(?!(?i:null|true|false|yes|no|on|off)[:\n])[A-Za-z][\w./-]{0,60}"
_LINE = rf"(?m)^({_WORD}): (?:(-?(?:0|[1-9]\d{{0,14}})(?:\.\d+)?|true|false|null)|({_WORD}))\n"
_MOST_LINES = 1_000

_RESOLVERS = (  # tag, regular expression, first characters
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        (
            r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)\.[0-9]*)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?(?:0|[1-9][0-9]*)[eE][-+]?[0-9]+"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
        ),
        "-+0123456789.",
    ),
)


def parse_value(text: str) -> Any:
    """Return the value that ``text`` spells on a command line: YAML's flow style, so ``[1, 2]`` and
    ``{a: 1}`` work too.

    What YAML cannot read as one value (``a: b``, ``@home``) is text.
    """
    found = _of_lines(f"value: {text}\n".encode("utf-8", "replace"))
    if found and len(found) == 1:
        return found["value"]
    import yaml

    if text and re.fullmatch(r"[\w.+/-]+", text) is None and text[0] not in "'\"[{+.~":
        return text
    try:
        value = _load(text)
    except (yaml.YAMLError, FormatError) as error:
        if (isinstance(error, FormatError) and "deep" in str(error)) or text[:1] in "[{\"'":
            raise UsageError(
                f"the value {_shortened(text)} cannot be read; quote it twice to make it text"
            ) from None
        return text
    return text if isinstance(value, (dict, list)) and text[:1] not in "[{" else value


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``key=value``; raise UsageError where there is no ``=`` or no key."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UsageError(f"'{text}' is not key=value; write for example lr=0.01")
    return key.strip(), parse_value(value)


def nest(pairs: Iterable[tuple[str, Any]], into: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return ``into`` with the dotted ``pairs`` set in it; later ones win.

    Raises:
        UsageError: a name is a value and a mapping at once (``a=1`` and ``a.b=2``), or a dotted
            name has an empty part.
    """
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
    """Return ``{"model.depth": 3}`` for ``{"model": {"depth": 3}}``; lists and empty mappings are
    values."""
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
    """Return ``value`` as YAML can hold it: NumPy and torch scalars as numbers, arrays, tuples and
    sets as lists, else text.

    Data is no param: of large arrays and of tables only the kind and shape.
    """
    if depth > MAX_DEPTH:
        raise UsageError(f"params are nested more than {MAX_DEPTH} deep")
    if isinstance(value, float) and math.isnan(value):
        return "nan"  # text: it equals itself, and JSON has it
    if type(value) is str:  # the system's own text may be no UTF-8
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if value is None or type(value) in (int, float, bool):
        return hex(value) if type(value) is int and value.bit_length() > _MOST_BITS else value
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and len(value) > _MOST_LISTED:
        return f"{type(value).__name__} of {len(value)} values"
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return [plain(item, depth + 1) for item in sorted(value, key=repr)]
    for base in (bool, int, float, str):  # subclasses: IntEnum, numpy.str_, numpy.float64
        if isinstance(value, base):
            return plain(base(value))
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and (
        math.prod(shape) > _MOST_ELEMENTS or not hasattr(value, "tolist")
    ):
        return f"{type(value).__name__} of shape {tuple(shape)}"
    if hasattr(value, "tolist"):
        return plain(value.tolist(), depth + 1)
    return str(value)


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return params that somebody gives as YAML can hold them.

    Raises:
        UsageError: a name with a dot and a nested one are the same address, names differ by the
            spaces around them alone, it is nested too deep, or too many to be read back.
    """
    result = _stripped(plain(values))
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
    import yaml

    writer = _dumper(len(str(values)) > _LARGE)
    return yaml.dump(values, Dumper=writer, allow_unicode=False, sort_keys=True).encode()


def load(data: bytes, where: str = "params.yml") -> dict[str, Any]:
    """Read the text of a params file: YAML, or by the ending of ``where`` JSON, TOML or Python, of
    whose plain assignments the literal ones count.

    Raises:
        FormatError: not readable, not a mapping, or too large, too deep or too many nodes to be a
            params file.
    """
    if data == _NONE:
        return {}
    if where.endswith((".yml", ".yaml")) and (found := _of_lines(data)) is not None:
        return found
    import yaml  # which takes as long as starting Python

    if len(data) > MAX_BYTES:
        raise FormatError(
            f"{where} is larger than {MAX_BYTES // 10**6} MB, too large for params; name a smaller"
            " file"
        )
    try:
        text = data.decode("utf-8-sig")
        if where.endswith(".json"):
            value = json.loads(text, object_pairs_hook=_once)
        elif where.endswith(".toml"):
            value = _load_toml(text)
        elif where.endswith(".py"):
            value = _assigned(text)
        else:
            value = _load(text)
    except RecursionError:
        raise FormatError(f"{where} is nested too deep for params") from None
    except FormatError as error:
        raise FormatError(f"{where} {error}") from None
    except (yaml.YAMLError, ValueError, SyntaxError) as error:
        raise FormatError(f"{where} cannot be read: {' '.join(str(error).split())}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FormatError(
            f"{where} must hold a mapping of names to values, not {type(value).__name__}"
        )
    result = plain(value)
    assert isinstance(result, dict)
    return result


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
        return given(load(path.read_bytes(), str(path)))
    except UsageError as error:
        raise error if isinstance(error, FormatError) else FormatError(f"{path}: {error}") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid on it, mapping by mapping; a name with a dot and a nested
    one that are the same address stay one."""
    result = dict(base)
    for key, value in over.items():
        if "." in key and key not in result and key in flatten(result):
            result = nest([(key, value)], result)
            continue
        old = result.get(key)
        nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merge(result[key], value) if nested else value
    return result


def _copied(params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        k: _copied(value) if isinstance(value, Mapping) else value for k, value in params.items()
    }


def _load(text: str) -> Any:
    import yaml

    try:
        _guard(yaml.parse(text, Loader=_safe(yaml)))
    except yaml.YAMLError as error:
        # libyaml as PyYAML 6.0.4 ships it reads ahead, and refuses before we do
        if "nesting depth" in str(error):
            raise FormatError(f"is nested more than {MAX_DEPTH} deep") from None
        raise
    return yaml.load(text, Loader=_loader())


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        _refuse_twice(next(name for name in names if names.count(name) > 1))
    return found


def _refuse_twice(name: str) -> None:
    raise FormatError(f"has the name {_shortened(name)} twice; remove one")


def _load_toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def _assigned(text: str) -> dict[str, Any]:
    """Return what a Python file assigns; raise FormatError where it does anything else."""
    import ast

    found: dict[str, Any] = {}
    for node in ast.parse(text).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or not isinstance(
            target := targets[0], ast.Name
        ):
            raise FormatError("does more than assign values to names")
        with contextlib.suppress(ValueError, TypeError):
            found[target.id] = ast.literal_eval(node.value) if node.value else None
    return found


def _guard(events: Iterable[Any]) -> None:
    """Raise FormatError for a document that is too deep or, its aliases expanded, too large, or
    whose mapping has a name twice, of which YAML's readers take the last without a word."""
    import yaml

    sizes: list[int] = [0]  # nodes below each open collection
    names: list[str | None] = [None]
    anchors: dict[str, int | None] = {}
    open_keys: list[_Keys] = [_Keys(False)]
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            open_keys[-1].see(event.value if isinstance(event, yaml.ScalarEvent) else None)
        if isinstance(event, yaml.CollectionStartEvent):
            if len(sizes) > MAX_DEPTH:
                raise FormatError(f"is nested more than {MAX_DEPTH} deep")
            sizes.append(1)
            names.append(event.anchor)
            open_keys.append(_Keys(isinstance(event, yaml.MappingStartEvent)))
            if event.anchor:
                anchors[event.anchor] = None  # not closed yet: an alias to it would be a loop
        elif isinstance(event, yaml.CollectionEndEvent):
            size, name = sizes.pop(), names.pop()
            open_keys.pop()
            sizes[-1] += size
            if name:
                anchors[name] = size
        elif isinstance(event, yaml.ScalarEvent):
            sizes[-1] += 1
            if event.anchor:
                anchors[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            size_or_open = anchors.get(str(event.anchor), 1)
            if size_or_open is None:
                raise FormatError("has an alias that contains itself")
            sizes[-1] += size_or_open
        if sizes[-1] > MAX_NODES:
            raise FormatError(
                f"has more than {MAX_NODES:,} values (or aliases that multiply to it)"
            )


class _Keys:
    """The names of an open mapping; of a list, nothing."""

    def __init__(self, mapping: bool) -> None:
        self._mapping, self._at_key, self._seen = mapping, True, {""}

    def see(self, name: str | None) -> None:
        """Take the next node, a name or a value: its text, None where it is no scalar."""
        if self._mapping and self._at_key and name and name != "<<":
            if name in self._seen:
                _refuse_twice(name)
            self._seen.add(name)
        self._at_key = not self._at_key


def _safe(yaml: Any) -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.cache
def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(_safe(yaml)):  # type: ignore[misc]
        """YAML 1.2 core."""

        yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}

        def construct_yaml_int(self, node: yaml.ScalarNode) -> Any:
            text = node.value
            if len(text) > _MOST_DIGITS:
                return text
            return int(text, 0 if text[:2] in ("0o", "0x") else 10)

        def construct_yaml_float(self, node: yaml.ScalarNode) -> Any:
            text = node.value.lower()
            value = float(text.replace(".inf", "inf").replace(".nan", "nan"))
            return node.value if math.isinf(value) and "inf" not in text else value

    for name, pattern, first in _RESOLVERS:
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{name}",
            re.compile(f"(?:{pattern})$"),
            [c.strip("\0") for c in first],
        )
    Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"(?:<<)$"), ["<"])
    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    Loader.add_constructor("tag:yaml.org,2002:float", Loader.construct_yaml_float)
    return Loader


@functools.cache
def _dumper(large: bool) -> type[yaml.SafeDumper]:
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper) if large else yaml.SafeDumper):  # type: ignore[misc]
        """PyYAML's safe dumper, which also quotes text that YAML 1.2 would read as something
        else. libyaml's breaks some lines elsewhere."""

        yaml_implicit_resolvers = dict(yaml.SafeDumper.yaml_implicit_resolvers)  # noqa: RUF012

        def ignore_aliases(self, data: Any) -> bool:
            return True

    for name, pattern, first in _RESOLVERS:
        if name in ("int", "float"):
            for char in first:
                known = Dumper.yaml_implicit_resolvers.get(char, [])
                extra = (f"tag:yaml.org,2002:text-like-{name}", re.compile(f"(?:{pattern})$"))
                Dumper.yaml_implicit_resolvers[char] = [*known, extra]
    return Dumper


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
