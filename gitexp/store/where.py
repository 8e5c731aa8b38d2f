"""The language of ``--where``, compiled to SQL for the index.

    lr < 0.1 and rmse <= 18.2 and label = conv and started > 2d
    not (group in (sweep-a, 'sweep b')) or message ~ '^try' or params.depth is missing

Left of an operator stands a name, right of it a value. Either may be quoted, with ``'`` or ``"``
(doubled inside), which odd names and values with spaces need. A quoted value is text; a bare one is
also the number, truth value or time that it spells. ``~`` looks for a regular expression, in any
case of letters. ``started > 2d`` is "after the moment two days ago", and a date stands for the
whole day. Labels are a set: ``label = x`` asks whether x is among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from gitexp.formats.errors import UsageError, did_you_mean
from gitexp.formats.experiment import STATUSES
from gitexp.formats.message import format_time
from gitexp.formats.metrics import parse_number
from gitexp.store.query import Key, Sql

# SQLite allows expressions 1,000 deep, and each condition of a chain is one level
MAX_TOKENS = 2_000
MAX_DEPTH = 50
_TOKEN = re.compile(
    r"""(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")"""
    r"""|(?P<sign>==|!=|<=|>=|[=<>~(),])|(?P<word>[^\s'"=!<>~(),]+)|(?P<odd>\S)"""
)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h|d|w)")
_NUMERIC = "('integer', 'real')"


def parse(text: str, find: Callable[[str], Key], now: datetime) -> Sql:
    """Compile a condition.

    Args:
        find: what returns the key of a name, or raises UsageError.
        now: the moment that ``2d`` and ``today`` are counted from.

    Raises:
        UsageError: it is malformed, or names what ``find`` does not know; the message points at the
            place.
    """
    # lone surrogates, of a command line that is not UTF-8
    text = text.encode("utf-8", "replace").decode()
    return _Parser(text, find, now).whole()


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
        self.tokens = [
            _Token(str(match.lastgroup), match[0], match.start()) for match in _TOKEN.finditer(text)
        ]
        self.tokens.append(_Token("end", "", len(text)))
        self.here = 0
        self.depth = 0
        if len(self.tokens) > MAX_TOKENS:
            raise UsageError(
                f"where: more than {MAX_TOKENS:,} words are too many; name the experiments instead,"
                " or write a shorter condition"
            )
        for token in self.tokens:
            if token.kind == "odd":
                what = (
                    "this quote is not closed"
                    if token.text in "'\""
                    else "'!' means nothing here; write !="
                )
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
        return (
            parts[0] if len(parts) == 1 else Sql.joined(f" {word.upper()} ", parts).within("({})")
        )

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
            any_of = Sql.joined(" OR ", choices)
            return any_of.within("NOT ({})" if negated else "({})")
        sign = self.token
        if negated or sign.kind != "sign" or sign.text in "(),":
            raise self.error(
                "expected 'in'"
                if negated
                else "expected an operator (= != < <= > >= ~ in, is missing)"
            )
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
            raise self.error(
                f"there is no status '{text}', only"
                f" {', '.join(STATUSES)}.{did_you_mean(text, STATUSES)}",
                token,
            )
        if token.kind == "word" and key.family != "attribute":
            is_nan = text.lower() in ("nan", ".nan")
            if is_nan and key.kind != "number":  # as params hold it
                return key.value.within("{} IN (?, 'nan')", text)
            if is_nan or text.lower() in ("null", "~", "none"):
                return key.is_null
        number = self.number(key, token, text)
        spellings: list[Any] = (
            [text] if number is None else [number] if key.kind == "number" else [number, text]
        )
        spellings += [compact] if (compact := _compact(text)) else []
        same = key.value.within(f"{{}} IN ({', '.join('?' * len(spellings))})", *spellings)
        if key.family != "params":
            return same
        # a null differs from it; what is missing neither does nor does not
        return Sql.joined(", ", [same, key.is_null.within("{} - 1")]).within("coalesce({})")

    def like(self, key: Key) -> Sql:
        token, text = self.value()
        try:
            re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            raise self.error(f"not a regular expression ({error})", token) from None
        if key.kind == "set":
            return key.value.within(
                "EXISTS(SELECT 1 FROM json_each({}) WHERE value REGEXP ?)", text
            )
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
        return key.value.within(
            f"CASE WHEN typeof({{}}) IN {kinds} THEN {{}} {sign.text} ? END",
            text if number is None else number,
        )

    def value(self) -> tuple[_Token, str]:
        token = self.token
        if token.kind not in ("word", "quoted"):
            raise self.error("expected a value")
        self.here += 1
        return token, _unquoted(token)

    def number(self, key: Key, token: _Token, text: str) -> float | None:
        """Return the number that a value spells, None for text; a metric or duration must be given
        one."""
        if token.kind == "word" and key.full == "duration" and (span := _SPAN.fullmatch(text)):
            return float(span[1]) * _SECONDS[span[2]]
        try:
            value = parse_number(key.name, text) if token.kind == "word" else None
        except UsageError:
            value = _TRUTH.get(text.lower())
        if value is None and key.kind == "number":
            raise self.error(f"'{key.name}' is a number, and {token.text} is not", token)
        return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value

    def period(self, token: _Token, text: str) -> tuple[str, str]:
        """Return the start and the end of what a value says about time: one whole day, or one
        moment."""
        try:
            if span := _SPAN.fullmatch(text):
                start = self.now - timedelta(seconds=float(span[1]) * _SECONDS[span[2]])
            elif text.lower() in ("today", "yesterday"):
                day = self.now - timedelta(days=text.lower() == "yesterday")
                start = day.replace(hour=0, minute=0, second=0, microsecond=0)
                text = f"{start:%Y-%m-%d}"
            else:
                start = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
            whole_day = re.fullmatch(r"\d{4}-\d\d-\d\d", text)
            length = timedelta(days=1) if whole_day else timedelta(milliseconds=1)
            return format_time(start), format_time(start + length)
        except (ValueError, OverflowError):
            raise self.error(
                "expected a time like 2d, 3h, today, 2026-01-31 or 2026-01-31T10:00", token
            ) from None

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
        found = f"at '{_cut(rest, 30)}' (character {place.at + 1})" if rest else "at the end"
        return UsageError(f"where '{_cut(self.text, 60)}', {found}: {what}")


_TRUTH = {"true": 1, "false": 0}


def _cut(text: str, length: int) -> str:
    return text[:length] + "..." if len(text) > length else text


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
