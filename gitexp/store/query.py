"""What experiments can be asked for: the keys that ``--where``, ``--sort`` and ``--columns`` name,
compiled to SQL for the index.

What is missing matches nothing but ``is missing``, under ``not`` and ``!=`` as well, which is just
what SQL's NULL does. A recorded NaN is not missing, but equals only ``nan``. Values and keys travel
as SQL parameters, never as text. The language of ``--where`` is that of ``where.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from shlex import quote
from typing import Any, NamedTuple

from gitexp.formats.errors import NotFoundError, UsageError, did_you_mean
from gitexp.formats.experiment import Experiment
from gitexp.formats.metric_names import known_direction
from gitexp.formats.metrics import direction
from gitexp.store.index import Index

KINDS = ("metrics", "params")


class Sql(NamedTuple):
    """A piece of SQL and the values of its parameters, in their order."""

    text: str
    values: tuple[Any, ...] = ()

    def within(self, template: str, *more: Any) -> Sql:
        """Return ``template`` with this piece for each ``{}``; ``more`` are the values of
        parameters that follow."""
        return Sql(template.replace("{}", self.text), self.values * template.count("{}") + more)

    @classmethod
    def joined(cls, mark: str, pieces: Sequence[Sql]) -> Sql:
        """Return the pieces with ``mark`` between them."""
        values = tuple(value for piece in pieces for value in piece.values)
        return cls(mark.join(piece.text for piece in pieces), values)


EVERYTHING = Sql("1")
_DISCARDED = "tag.verdict = 'discarded'"  # as the index of that name has it
_RESUMED = (
    'EXISTS (SELECT 1 FROM tag AS later WHERE later.resumes = tag."commit"'
    " AND later.verdict IS NOT 'discarded')"
)
# Each experiment once, by my name, else by its owner's (refs/gitexp/gathered is before all others).
ONCE = (
    "({}) AND ref.ref = (SELECT ref FROM ref AS other WHERE other.number = tag.number ORDER BY mine"
    " DESC, ref LIMIT 1)"
)


class _Attribute(NamedTuple):
    kind: str  # text, number, time or set
    sql: str


_ATTRIBUTES = {  # by the name of the field of Experiment
    "name": _Attribute("text", "ref.name"),
    "alias": _Attribute("text", "tag.alias"),
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
    "because": _Attribute("text", "json_extract(tag.summary, '$.because')"),
    "verdict": _Attribute("text", "tag.verdict"),
    "command": _Attribute("text", "json_extract(tag.summary, '$.command')"),
    "failure": _Attribute("text", "json_extract(tag.summary, '$.error')"),
}
ATTRIBUTES = tuple(_ATTRIBUTES)
_ATTRIBUTES |= {  # `metrics is missing`: there is none
    name: _Attribute("text", f"nullif(json_extract(tag.summary, '$.{name}'), '{{}}')")
    for name in KINDS
}
_SHOWN = 8  # names that a message lists
_ALIASES = {
    "date": "started",
    "label": "labels",
    "note": "notes",
    "message": "subject",
    "commit": "id",
}


class Key(NamedTuple):
    """Something that experiments have values of: an attribute, a param or a metric."""

    family: str  # ``attribute``, ``params`` or ``metrics``
    name: str
    kind: str = "any"  # what its values are: ``text``, ``number``, ``time``, ``set`` or ``any``

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
        if self.family == "attribute":
            return Sql(_ATTRIBUTES[self.name].sql)
        return self._json("json_extract", "value")

    @property
    def missing(self) -> Sql:
        """The SQL condition that there is no value; a recorded null or NaN is one."""
        if self.family != "attribute":
            return self._json("json_type", "type").within("{} IS NULL")
        return self.value.within("{} = '[]'" if self.kind == "set" else "{} IS NULL")

    @property
    def is_null(self) -> Sql:
        """The SQL condition that the value is a recorded null or NaN."""
        if self.family == "attribute":
            return Sql("NULL")
        return self._json("json_type", "type").within("{} = 'null'")

    def order(self, descending: bool) -> Sql:
        """Return the SQL terms that sort by it, missing values last."""
        way = "DESC" if descending else "ASC"
        if self.full == "name":  # exp-9 before exp-10
            return Sql(f"length(ref.name) {way}, ref.name {way}")
        return self.value.within(
            "rtrim(nullif({}, '[]'), ']')" if self.kind == "set" else "{}"
        ).within(f"{{}} IS NULL, {{}} {way}")

    def _json(self, function: str, column: str) -> Sql:
        if self.name.isascii() and self.name.isprintable() and not set('"\\') & set(self.name):
            return Sql(f"{function}(tag.summary, ?)", (f'$.{self.family}."{self.name}"',))
        # A JSON path cannot spell every key (quotes, escapes); this can, at twice the cost.
        return Sql(
            f"(SELECT {column} FROM json_each(tag.summary, '$.{self.family}') WHERE key = ?)",
            (self.name,),
        )


class Sort(NamedTuple):
    """One key to sort by, and which way."""

    key: Key
    descending: bool


def attribute(name: str) -> Key:
    """Return the key of an attribute."""
    return Key("attribute", name, _ATTRIBUTES[name].kind)


def find_key(index: Index, name: str) -> Key:
    """Return what ``name`` means in this repository: an attribute, ``params.NAME``,
    ``metrics.NAME``, or either by its bare name.

    Raises:
        UsageError: nothing is called that, or both a param and a metric are.
    """
    if name in ATTRIBUTES or name in _ALIASES:
        return attribute(_ALIASES.get(name, name))
    known = {family: index.keys(family) for family in KINDS}
    family, _, rest = name.partition(".")
    if rest in known.get(family, ()):
        return value_key(family, rest)
    found = [family for family in KINDS if name in known[family]]
    if len(found) > 1:
        ways = " or ".join(_written(f"{family}.{name}") for family in KINDS)
        raise UsageError(f"'{name}' is a metric and a param; write {ways}")
    if not found and name in KINDS:
        return attribute(name)
    if not found:
        values = [*known["metrics"], *known["params"]]
        full = [f"{kind}.{key}" for kind in KINDS for key in known[kind]]
        near = did_you_mean(name, [*ATTRIBUTES, *_ALIASES, *values, *full]) or _there_are(values)
        raise UsageError(f"no experiment has a param, metric or attribute '{name}'.{near}")
    return value_key(found[0], name)


def find_metric(index: Index, name: str) -> Key:
    """Return a metric, with or without ``metrics.`` before its name; raise NotFoundError if no
    experiment has it."""
    known = index.keys("metrics")
    for candidate in (name, name.removeprefix("metrics.")):
        if candidate in known:
            return value_key("metrics", candidate)
    instead = did_you_mean(name, known) or _there_are(known, name)
    raise NotFoundError(f"no experiment has a metric '{name}'.{instead}")


def having(experiments: Sequence[Experiment], metric: str) -> list[Experiment]:
    """Return those of some experiments that have a metric; raise NotFoundError if none has."""
    if found := [item for item in experiments if metric in item.metrics]:
        return found
    known = sorted({name for item in experiments for name in item.metrics})
    instead = did_you_mean(metric, known) or _there_are(known, metric)
    raise NotFoundError(f"none of these experiments has a metric '{metric}'.{instead}")


def _written(name: str) -> str:
    """Return a name as a condition takes it, and as a list of names where a comma is in it."""
    if not re.search(r"""[\s'"=!<>~(),]""", name):
        return name
    mark = '"' if "," in name else "'"
    return f"{mark}{name.replace(mark, mark * 2)}{mark}"


def _there_are(names: Sequence[str], metric: str = "rmse") -> str:
    """Return what there is instead, for the end of a message."""
    if not names:
        return f" There is none yet; to record one: gitexp log --metric {quote(f'{metric}=18.2')}"
    shown = ", ".join(name if name.isprintable() else repr(name) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more (gitexp list --all-columns)"
    return f" There are: {shown}{more if len(names) > _SHOWN else ''}"


def where(index: Index, text: str | None) -> Sql:
    """Compile the text of ``--where``; None or blank text holds for all.

    Raises:
        UsageError: it is malformed, or names what no experiment has; the message points at the
            place.
    """
    if not text or not text.strip():
        return EVERYTHING
    from gitexp.store.where import parse

    return parse(text, lambda name: find_key(index, name), datetime.now().astimezone())


def judged(index: Index, condition: Sql, discarded: bool, everybody: bool) -> tuple[Sql, int]:
    """Return a condition without the experiments that were discarded, or of those alone, and how
    many that leaves out. Who asks for a verdict gets what fits."""
    if discarded:
        return condition.within(f"({{}}) AND {_DISCARDED}"), 0
    if "tag.verdict" in condition.text or not index.count(_DISCARDED, everybody=True):
        return condition, 0
    return _without(index, condition, _DISCARDED, everybody)


def current(index: Index, condition: Sql, everybody: bool) -> tuple[Sql, int]:
    """Return a condition without the experiments that a later one resumed, which is not discarded,
    and how many that leaves out."""
    if not index.count("tag.resumes IS NOT NULL", everybody=True):
        return condition, 0
    return _without(index, condition, _RESUMED, everybody)


def in_reach(index: Index, condition: Sql, everybody: bool) -> tuple[Sql, int]:
    """Return a condition for what is looked at where nothing is named: everybody's, each once; else
    those of the project that one stands in. And how many of other projects that leaves out."""
    if everybody or not index.repo.project:
        return condition.within(ONCE) if everybody else condition, 0
    others = "json_extract(tag.summary, '$.project') IS NOT ?"
    return _without(index, condition, others, False, index.repo.project)


def _without(
    index: Index, condition: Sql, what: str, everybody: bool, *values: Any
) -> tuple[Sql, int]:
    """Return a condition without the experiments for which an SQL expression is true, and how many
    that leaves out."""
    left = index.count(*condition.within(f"({{}}) AND {what}", *values), everybody=everybody)
    return condition.within(f"({{}}) AND ({what}) IS NOT 1", *values), left


def sort(index: Index, text: str | None, metrics: Mapping[str, str]) -> tuple[Sort, ...]:
    """Read the text of ``--sort``: ``rmse``, ``lr:desc``, or several, ``group,rmse``.

    A metric whose better direction is known sorts best first, everything else upwards.
    """
    return tuple(_sort_key(index, item, metrics) for item in split(text))


def order(keys: Iterable[Sort]) -> Sql:
    """Return the SQL terms for ``ORDER BY``."""
    return Sql.joined(", ", [key.order(descending) for key, descending in keys])


def split(text: str | None) -> list[str]:
    """Split a list of names at its commas; a name with a comma is quoted, ``"a,b",c``."""
    if not text:
        return []
    import csv

    return [
        item.strip() for item in next(csv.reader([text], skipinitialspace=True), []) if item.strip()
    ]


def best(
    index: Index,
    metric: Key,
    settings: Mapping[str, str],
    last: bool = False,
    way: str | None = None,
    where: Sql = EVERYTHING,
) -> Experiment | None:
    """Return the experiment with the best value of a metric (the worst, if ``last``), the newest of
    equals; None if there is none.

    Args:
        way: ``min`` or ``max``; by default what the settings or the metric's name say.

    Raises:
        UsageError: nobody said whether lower or higher is better.
    """
    how = "Say --min or --max to `gitexp best`, or "
    better = way or known_direction(metric.name, settings, how)
    has = metric.value.within("{} IS NOT NULL")
    by = metric.order(descending=(better == "max") != last)
    found = index.select(
        f"{has.text} AND ({where.text})", [*has.values, *where.values, *by.values], by.text, limit=1
    )
    return found[0] if found else None


def value_key(family: str, name: str) -> Key:
    """Return the key of a param or a metric."""
    return Key(family, name, "number" if family == "metrics" else "any")


def _sort_key(index: Index, item: str, metrics: Mapping[str, str]) -> Sort:
    name, _, way = item.rpartition(":")
    if way not in ("asc", "desc"):
        if name and re.fullmatch(r"[a-z]+", way) and did_you_mean(way, ("asc", "desc")):
            raise UsageError(f"'{way}' is not a direction to sort; write {name}:asc or {name}:desc")
        name, way = item, ""
    key = find_key(index, name)
    best_first = key.family == "metrics" and direction(key.name, metrics) == "max"
    return Sort(key, way == "desc" or (not way and best_first))
