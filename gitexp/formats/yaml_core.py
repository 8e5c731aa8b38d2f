"""YAML as ``params.yml`` holds it.

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

import functools
import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from gitexp.formats.errors import FormatError
from gitexp.formats.params import MAX_DEPTH, MAX_NODES, refuse_twice

if TYPE_CHECKING:
    import yaml

_MOST_DIGITS = 3_000  # of a number; Python writes none of more than 4,300
_LARGE = 100_000  # characters that PyYAML's own writer, a letter at a time, takes too long for
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


def load(text: str) -> Any:
    """Return what a document says. Raises FormatError where it is nested too deep, has too many
    values, or a name twice; yaml.YAMLError where it is no YAML."""
    import yaml

    try:
        _guard(yaml.parse(text, Loader=_safe(yaml)))
    except yaml.YAMLError as error:
        # libyaml as PyYAML 6.0.4 ships it reads ahead, and refuses before we do
        if "nesting depth" in str(error):
            raise FormatError(f"is nested more than {MAX_DEPTH} deep") from None
        raise
    return yaml.load(text, Loader=_loader())


def dump(values: Any) -> bytes:
    """Return plain values as ``yaml.safe_dump`` writes them."""
    import yaml

    writer = _dumper(len(str(values)) > _LARGE)
    return yaml.dump(values, Dumper=writer, allow_unicode=False, sort_keys=True).encode()


class _Open:
    """A collection that is being read: how many nodes it has so far, and the names of a mapping."""

    def __init__(self, anchor: str | None = None, mapping: bool = False) -> None:
        self.anchor, self.nodes = anchor, 1
        self._mapping, self._at_name = mapping, True
        self._names: set[str] = set()

    def see(self, name: str | None) -> None:
        """Take the next node, a name or a value: its text, None where it is no scalar."""
        if self._mapping and self._at_name and name and name != "<<":
            if name in self._names:
                refuse_twice(name)
            self._names.add(name)
        self._at_name = not self._at_name


def _guard(events: Iterable[Any]) -> None:
    """Raise FormatError for a document that is too deep or, its aliases expanded, too large, or
    whose mapping has a name twice, of which YAML's readers take the last without a word."""
    import yaml

    known: dict[str | None, int] = {}  # the nodes behind each anchor; 0 while it is read
    opened = [_Open()]
    for event in events:
        here = opened[-1]
        if isinstance(event, yaml.NodeEvent):
            here.see(event.value if isinstance(event, yaml.ScalarEvent) else None)
        if isinstance(event, yaml.CollectionStartEvent):
            if len(opened) > MAX_DEPTH:
                raise FormatError(f"is nested more than {MAX_DEPTH} deep")
            known[event.anchor] = 0
            opened.append(_Open(event.anchor, isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, yaml.CollectionEndEvent):
            known[here.anchor] = here.nodes
            opened.pop()
            opened[-1].nodes += here.nodes
        elif isinstance(event, yaml.ScalarEvent):
            known[event.anchor] = 1
            here.nodes += 1
        elif isinstance(event, yaml.AliasEvent):
            nodes = known.get(event.anchor, 1)
            if nodes == 0:
                raise FormatError("has an alias that contains itself")
            here.nodes += nodes
        if opened[-1].nodes > MAX_NODES:
            raise FormatError(
                f"has more than {MAX_NODES:,} values (or aliases that multiply to it)"
            )


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
        tag, starts = f"tag:yaml.org,2002:{name}", [char.strip("\0") for char in first]
        Loader.add_implicit_resolver(tag, re.compile(f"(?:{pattern})$"), starts)
    Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"(?:<<)$"), ["<"])
    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    Loader.add_constructor("tag:yaml.org,2002:float", Loader.construct_yaml_float)
    return Loader


@functools.cache
def _dumper(large: bool) -> type[yaml.SafeDumper]:
    import yaml

    base = getattr(yaml, "CSafeDumper", yaml.SafeDumper) if large else yaml.SafeDumper

    class Dumper(base):  # type: ignore[misc, valid-type]
        """PyYAML's safe dumper, which also quotes what YAML 1.2 would read as no text."""

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
