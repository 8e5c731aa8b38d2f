"""The words of ``--where``, ``--sort`` and ``--columns``, compiled to SQL for the index.

    lr < 0.1 and rmse <= 18.2 and label = conv and started > 2d
    not (group in (sweep-a, 'sweep b')) or message ~ '^try' or params.depth is missing

Left of an operator stands a name, right of it a value. Either may be quoted, with ``'`` or ``"`` (doubled inside), which
odd names and values with spaces need. A quoted value is text; a bare one is also the number, truth value or time that it
spells. ``~`` looks for a regular expression, in any case of letters. ``started > 2d`` is "after the moment two days ago",
and a date stands for the whole day. Labels are a set: ``label = x`` asks whether x is among them.

What is missing matches nothing but ``is missing``, under ``not`` and ``!=`` as well, which is just what SQL's NULL does.
A recorded NaN is not missing, but equals only ``nan``. Values and keys travel as SQL parameters, never as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from gitexp.errors import NotFoundError, UsageError, did_you_mean
from gitexp.experiment import STATUSES, Experiment
from gitexp.index import Index
from gitexp.message import format_time
from gitexp.metrics import direction, parse_number

KINDS = ("metrics", "params")
MAX_TOKENS = 2_000  # SQLite allows expressions 1,000 deep, and each condition of a chain is one level
MAX_DEPTH = 50
_TOKEN = re.compile(r"""(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<sign>==|!=|<=|>=|[=<>~(),])|(?P<word>[^\s'"=!<>~(),]+)|(?P<odd>\S)""")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h|d|w)")
_NUMERIC = "('integer', 'real')"


class Sql(NamedTuple):
    """A piece of SQL and the values of its parameters, in their order."""

    text: str
    values: tuple[Any, ...] = ()

    def within(self, template: str, *more: Any) -> Sql:
        """Return ``template`` with this piece for each ``{}``; ``more`` are the values of parameters that follow."""
        return Sql(template.replace("{}", self.text), self.values * template.count("{}") + more)


EVERYTHING = Sql("1")
# Of everybody's, each experiment once: one that was pushed has a name here and one on the remote.
ONCE = "({}) AND ref.ref = (SELECT ref FROM ref AS other WHERE other.tag = tag.id ORDER BY mine DESC, name, ref LIMIT 1)"


class _Attribute(NamedTuple):
    kind: str  # text, number, time or set
    sql: str


_ATTRIBUTES = {  # by the name of the field of Experiment
    "name": _Attribute("text", "ref.name"),
    "id": _Attribute("text", 'tag."commit"'),
    "status": _Attribute("text", "json_extract(tag.summary, '$.status')"),
    "started": _Attribute("time", "tag.started"),
    "duration": _Attribute("number", "json_extract(tag.summary, '$.duration')"),
    "labels": _Attribute("set", "tag.labels"),
    "group": _Attribute("text", "json_extract(tag.summary, '$.group')"),
    "branch": _Attribute("text", "json_extract(tag.summary, '$.branch')"),
    "author": _Attribute("text", "nullif(tag.author, '')"),
    "email": _Attribute("text", "nullif(tag.email, '')"),
    "subject": _Attribute("text", "tag.subject"),
    "notes": _Attribute("set", "tag.notes"),
    "command": _Attribute("text", "json_extract(tag.summary, '$.command')"),
}
_SHOWN = 8  # names that a message lists
_ALIASES = {"date": "started", "label": "labels", "note": "notes", "message": "subject", "commit": "id"}
ATTRIBUTES = tuple(_ATTRIBUTES)


class Key(NamedTuple):
    """Something that experiments have values of: an attribute, a param or a metric.

    Attributes:
        family: ``attribute``, ``params`` or ``metrics``.
        kind: what its values are: ``text``, ``number``, ``time``, ``set`` or ``any``.
    """

    family: str
    name: str
    kind: str = "any"

    @property
    def full(self) -> str:
        """The name that nothing else has: ``params.lr``."""
        return self.name if self.family == "attribute" else f"{self.family}.{self.name}"

    def of(self, experiment: Experiment) -> Any:
        """Return an experiment's value, None if it has none."""
        if self.family == "attribute":
            return getattr(experiment, self.name)
        values: Mapping[str, Any] = getattr(experiment, self.family)
        return values.get(self.name)

    @property
    def value(self) -> Sql:
        """The SQL expression of its value: NULL where it is missing, a JSON null or NaN."""
        return Sql(_ATTRIBUTES[self.name].sql) if self.family == "attribute" else self._json("json_extract", "value")

    @property
    def missing(self) -> Sql:
        """The SQL condition that there is no value; a recorded null or NaN is one."""
        if self.family != "attribute":
            return self._json("json_type", "type").within("{} IS NULL")
        return self.value.within("{} = '[]'" if self.kind == "set" else "{} IS NULL")

    @property
    def is_null(self) -> Sql:
        """The SQL condition that the value is a recorded null or NaN."""
        return Sql("NULL") if self.family == "attribute" else self._json("json_type", "type").within("{} = 'null'")

    def order(self, descending: bool) -> Sql:
        """Return the SQL terms that sort by it, missing values last."""
        way = "DESC" if descending else "ASC"
        if self.full == "name":  # exp-9 before exp-10
            return Sql(f"length(ref.name) {way}, ref.name {way}")
        return self.value.within("rtrim(nullif({}, '[]'), ']')" if self.kind == "set" else "{}").within(f"{{}} IS NULL, {{}} {way}")

    def _json(self, function: str, column: str) -> Sql:
        if self.name.isascii() and self.name.isprintable() and not set('"\\') & set(self.name):
            return Sql(f"{function}(tag.summary, ?)", (f'$.{self.family}."{self.name}"',))
        # A JSON path cannot spell every key (quotes, escapes); this can, at twice the cost.
        return Sql(f"(SELECT {column} FROM json_each(tag.summary, '$.{self.family}') WHERE key = ?)", (self.name,))


class Sort(NamedTuple):
    """One key to sort by, and which way."""

    key: Key
    descending: bool


def attribute(name: str) -> Key:
    """Return the key of an attribute."""
    return Key("attribute", name, _ATTRIBUTES[name].kind)


def find_key(index: Index, name: str) -> Key:
    """Return what ``name`` means in this repository: an attribute, ``params.NAME``, ``metrics.NAME``, or either by its bare name.

    Raises:
        UsageError: nothing is called that, or both a param and a metric are.
    """
    if name in _ATTRIBUTES or name in _ALIASES:
        return attribute(_ALIASES.get(name, name))
    known = {family: index.keys(family) for family in KINDS}
    family, _, rest = name.partition(".")
    if rest in known.get(family, ()):
        return _made(family, rest)
    found = [family for family in KINDS if name in known[family]]
    if len(found) > 1:
        raise UsageError(f"'{name}' is a metric and a param; write metrics.{name} or params.{name}")
    if not found:
        near = did_you_mean(
            name,
            [*_ATTRIBUTES, *_ALIASES, *known["metrics"], *known["params"], *(f"{kind}.{key}" for kind in KINDS for key in known[kind])],
        )
        near = near or _there_are([*known["metrics"], *known["params"]])
        raise UsageError(f"no experiment has a param, metric or attribute '{name}'.{near}")
    return _made(found[0], name)


def find_metric(index: Index, name: str) -> Key:
    """Return a metric, with or without ``metrics.`` before its name; raise NotFoundError if no experiment has it."""
    known = index.keys("metrics")
    for candidate in (name, name.removeprefix("metrics.")):
        if candidate in known:
            return _made("metrics", candidate)
    raise NotFoundError(f"no experiment has a metric '{name}'.{did_you_mean(name, known) or _there_are(known)}")


def _there_are(names: Sequence[str]) -> str:
    """Return what there is instead, for the end of a message."""
    if not names:
        return " There is none yet; to record one: gitexp log --metric rmse=18.2"
    shown = ", ".join(name if name.isprintable() else repr(name) for name in names[:_SHOWN])
    return f" There are: {shown}" + (f" and {len(names) - _SHOWN} more (gitexp list --all-columns)" if len(names) > _SHOWN else "")


def where(index: Index, text: str | None, now: datetime | None = None) -> Sql:
    """Compile the text of ``--where``; None or blank text holds for all.

    Raises:
        UsageError: it is malformed, or names what no experiment has; the message points at the place.
    """
    if not text or not text.strip():
        return EVERYTHING
    text = text.encode("utf-8", "replace").decode()  # lone surrogates, of a command line that is not UTF-8
    return _Parser(text, lambda name: find_key(index, name), now or datetime.now().astimezone()).whole()


def sort(index: Index, text: str | None, metrics: Mapping[str, str]) -> tuple[Sort, ...]:
    """Read the text of ``--sort``: ``rmse``, ``lr:desc``, or several, ``group,rmse``.

    A metric whose better direction is known sorts best first, everything else upwards.
    """
    return tuple(_sort_key(index, item, metrics) for item in split(text))


def order(keys: Iterable[Sort]) -> Sql:
    """Return the SQL terms for ``ORDER BY``."""
    pieces = [key.order(descending) for key, descending in keys]
    return Sql(", ".join(piece.text for piece in pieces), tuple(value for piece in pieces for value in piece.values))


def split(text: str | None) -> list[str]:
    """Split a list of names at its commas; a name with a comma is quoted, ``"a,b",c``."""
    import csv

    return [item.strip() for item in next(csv.reader([text or ""], skipinitialspace=True), []) if item.strip()]


def best(
    index: Index, metric: Key, settings: Mapping[str, str], last: bool = False, way: str | None = None, where: Sql = EVERYTHING
) -> Experiment | None:
    """Return the experiment with the best value of a metric (the worst, if ``last``), the newest of equals; None if there is none.

    Args:
        way: ``min`` or ``max``; by default what the settings or the metric's name say.

    Raises:
        UsageError: nobody said whether lower or higher is better.
    """
    better = way or direction(metric.name, settings)
    if better is None:
        raise UsageError(
            f"is a lower or a higher '{metric.name}' better? Say --min or --max to `gitexp best`, "
            f'or set "{metric.name}" = "min" (or "max") in [tool.gitexp.metrics] of pyproject.toml'
        )
    has = metric.value.within("{} IS NOT NULL")
    by = metric.order(descending=(better == "max") != last)
    found = index.select(f"{has.text} AND ({where.text})", [*has.values, *where.values, *by.values], by.text, limit=1)
    return found[0] if found else None


def _made(family: str, name: str) -> Key:
    return Key(family, name, "number" if family == "metrics" else "any")


def _sort_key(index: Index, item: str, metrics: Mapping[str, str]) -> Sort:
    name, _, way = item.rpartition(":")
    if way not in ("asc", "desc"):
        if name and re.fullmatch(r"[a-z]+", way) and did_you_mean(way, ("asc", "desc")):
            raise UsageError(f"'{way}' is no direction to sort; write {name}:asc or {name}:desc")
        name, way = item, ""
    key = find_key(index, name)
    best_first = key.family == "metrics" and direction(key.name, metrics) == "max"
    return Sort(key, way == "desc" or (not way and best_first))


# -- the language of --where -----------------------------------------------------------------------------------------------


class _Token(NamedTuple):
    kind: str  # quoted, sign, word or end
    text: str
    at: int


class _Parser:
    """Recursive descent: ``or`` binds weaker than ``and``, that weaker than ``not``."""

    def __init__(self, text: str, find: Callable[[str], Key], now: datetime) -> None:
        self.text = text
        self.find = find
        self.now = now
        self.tokens = [_Token(str(match.lastgroup), match[0], match.start()) for match in _TOKEN.finditer(text)]
        self.tokens.append(_Token("end", "", len(text)))
        self.here = 0
        self.depth = 0
        if len(self.tokens) > MAX_TOKENS:
            raise UsageError(
                f"where: more than {MAX_TOKENS:,} words are too many; name the experiments instead, or write a shorter condition"
            )
        for token in self.tokens:
            if token.kind == "odd":
                what = "this quote is not closed" if token.text in "'\"" else "'!' means nothing here; write !="
                raise self.error(what, token)

    def whole(self) -> Sql:
        result = self.either()
        if self.token.kind != "end":
            raise self.error("expected 'and', 'or' or the end")
        return result

    def either(self) -> Sql:
        return self.chain("or", lambda: self.chain("and", self.negated))

    def chain(self, word: str, part: Callable[[], Sql]) -> Sql:
        parts = [part()]
        while self.took(word):
            parts.append(part())
        if len(parts) == 1:
            return parts[0]
        text = f" {word.upper()} ".join(piece.text for piece in parts)
        return Sql(f"({text})", tuple(value for piece in parts for value in piece.values))

    def negated(self) -> Sql:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} levels deep")
        if self.took("not"):
            result = self.negated().within("NOT ({})")
        elif self.took("("):
            result = self.either()
            self.require(")")
        else:
            result = self.condition()
        self.depth -= 1
        return result

    def condition(self) -> Sql:
        name = self.token
        if name.kind not in ("word", "quoted") or name.text.lower() in ("and", "or"):
            raise self.error("expected a name")
        self.here += 1
        try:
            key = self.find(_unquoted(name))
        except UsageError as error:
            raise self.error(str(error), name) from None
        if self.took("is"):
            negated = self.took("not")
            self.require("missing")
            return key.missing.within("NOT ({})") if negated else key.missing
        negated = self.took("not")
        if self.took("in"):
            self.require("(")
            choices = [self.equal(key)]
            while self.took(","):
                choices.append(self.equal(key))
            self.require(")")
            any_of = Sql(" OR ".join(choice.text for choice in choices), tuple(value for choice in choices for value in choice.values))
            return any_of.within("NOT ({})" if negated else "({})")
        sign = self.token
        if negated or sign.kind != "sign" or sign.text in "(),":
            raise self.error("expected 'in'" if negated else "expected an operator (= != < <= > >= ~ in, is missing)")
        self.here += 1
        if sign.text in ("=", "=="):
            return self.equal(key)
        if sign.text == "!=":
            return self.equal(key).within("NOT ({})")
        return self.like(key) if sign.text == "~" else self.ordered(key, sign)

    def equal(self, key: Key) -> Sql:
        token, text = self.value()
        if key.kind == "set":
            return key.value.within("EXISTS(SELECT 1 FROM json_each({}) WHERE value = ?)", text)
        if key.kind == "time":
            start, end = self.period(token, text)
            return key.value.within("({} >= ? AND {} < ?)", start, end)
        if key.full == "id":
            return key.value.within("substr({}, 1, ?) = ?", len(text), text.lower())
        if key.full == "status" and text not in STATUSES:
            raise self.error(f"there is no status '{text}', only {', '.join(STATUSES)}.{did_you_mean(text, STATUSES)}", token)
        if token.kind == "word" and key.family != "attribute" and text.lower() in ("nan", ".nan", "null", "~", "none"):
            return key.is_null
        number = self.number(key, token, text)
        spellings: list[Any] = [text] if number is None else [number] if key.kind == "number" else [number, text]
        spellings += [compact] if (compact := _compact(text)) else []
        return key.value.within(f"{{}} IN ({', '.join('?' * len(spellings))})", *spellings)

    def like(self, key: Key) -> Sql:
        token, text = self.value()
        try:
            re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            raise self.error(f"not a regular expression ({error})", token) from None
        if key.kind == "set":
            return key.value.within("EXISTS(SELECT 1 FROM json_each({}) WHERE value REGEXP ?)", text)
        return key.value.within("{} REGEXP ?", text)

    def ordered(self, key: Key, sign: _Token) -> Sql:
        token, text = self.value()
        if key.kind == "set":
            raise self.error(f"'{key.name}' is a set and has no order; use = or ~", sign)
        if key.kind == "time":
            start, end = self.period(token, text)
            later = end if sign.text in (">", "<=") else start  # a day is over, or begins
            return key.value.within(f"{{}} {'<' if sign.text[0] == '<' else '>='} ?", later)
        number = self.number(key, token, text)
        kinds = "('text')" if number is None else _NUMERIC
        return key.value.within(f"CASE WHEN typeof({{}}) IN {kinds} THEN {{}} {sign.text} ? END", text if number is None else number)

    def value(self) -> tuple[_Token, str]:
        token = self.token
        if token.kind not in ("word", "quoted"):
            raise self.error("expected a value")
        self.here += 1
        return token, _unquoted(token)

    def number(self, key: Key, token: _Token, text: str) -> float | None:
        """Return the number that a value spells, None for text; a metric or duration must be given one."""
        if token.kind == "word" and key.full == "duration" and (span := _SPAN.fullmatch(text)):
            return float(span[1]) * _SECONDS[span[2]]
        try:
            value = parse_number(key.name, text) if token.kind == "word" else None
        except UsageError:
            value = _TRUTH.get(text.lower())
        if value is None and key.kind == "number":
            raise self.error(f"'{key.name}' is a number, and {token.text} is none", token)
        return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value

    def period(self, token: _Token, text: str) -> tuple[str, str]:
        """Return the start and the end of what a value says about time: one whole day, or one moment."""
        try:
            if span := _SPAN.fullmatch(text):
                start = self.now - timedelta(seconds=float(span[1]) * _SECONDS[span[2]])
            elif text.lower() in ("today", "yesterday"):
                day = self.now - timedelta(days=text.lower() == "yesterday")
                start = day.replace(hour=0, minute=0, second=0, microsecond=0)
                text = f"{start:%Y-%m-%d}"
            else:
                start = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
            length = timedelta(days=1) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else timedelta(milliseconds=1)
            return format_time(start), format_time(start + length)
        except (ValueError, OverflowError):
            raise self.error("expected a time like 2d, 3h, today, 2026-01-31 or 2026-01-31T10:00", token) from None

    @property
    def token(self) -> _Token:
        return self.tokens[self.here]

    def took(self, word: str) -> bool:
        """Step over ``word`` if it comes next, unquoted."""
        found = self.token.kind != "quoted" and self.token.text.lower() == word
        self.here += found
        return found

    def require(self, word: str) -> None:
        if not self.took(word):
            raise self.error(f"expected '{word}'")

    def error(self, what: str, token: _Token | None = None) -> UsageError:
        place = token or self.token
        rest = self.text[place.at :]
        found = f"at '{rest[:30]}{'...' if len(rest) > 30 else ''}' (character {place.at + 1})" if rest else "at the end"
        return UsageError(f"where '{self.text[:60]}{'...' if len(self.text) > 60 else ''}', {found}: {what}")


_TRUTH = {"true": 1, "false": 0}


def _unquoted(token: _Token) -> str:
    if token.kind != "quoted":
        return token.text
    mark = token.text[0]
    return token.text[1:-1].replace(mark * 2, mark)


def _compact(text: str) -> str | None:
    """Return a list or mapping as SQLite writes it, None for anything else."""
    import json

    if text[:1] not in ("[", "{"):
        return None
    try:
        return json.dumps(json.loads(text), separators=(",", ":"))
    except (ValueError, RecursionError):
        return None


# -- groups ----------------------------------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """The mean of ``n`` values and their sample standard deviation, None for a single one."""

    mean: float
    std: float | None
    n: int


class Group(NamedTuple):
    """Experiments that agree in the keys that they are grouped by."""

    values: tuple[Any, ...]
    n: int
    metrics: Mapping[str, Spread]


def group(experiments: Iterable[Experiment], keys: Sequence[Key]) -> list[Group]:
    """Return the groups, in the order of their first member; a value of 1 and one of 1.0 are the same."""
    members: dict[tuple[str, ...], list[Experiment]] = {}
    for experiment in experiments:
        members.setdefault(tuple(_identity(key.of(experiment)) for key in keys), []).append(experiment)
    return [_grouped(found, keys) for found in members.values()]


def spread(values: Sequence[float]) -> Spread:
    """Return mean and sample standard deviation; NaN among the values makes them NaN."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return Spread(mean, None, len(values))
    return Spread(mean, (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5, len(values))


def _grouped(members: list[Experiment], keys: Sequence[Key]) -> Group:
    names = dict.fromkeys(name for member in members for name in member.metrics)
    spreads = {name: spread([float(member.metrics[name]) for member in members if name in member.metrics]) for name in names}
    return Group(tuple(key.of(members[0]) for key in keys), len(members), spreads)


def _identity(value: Any) -> str:
    return repr(float(value)) if type(value) is int and abs(value) < 2**53 else repr(value)
