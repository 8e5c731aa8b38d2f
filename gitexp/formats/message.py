"""The words of an experiment in git: its commit message with trailers, and its tag message with the
summary."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import STATUSES, Experiment, Source

SCHEMA = 1
MAX_BYTES = 20 * 10**6  # of a tag; a larger one is no experiment
MAX_NAMES = 10_000  # params, or metrics, of one experiment that are shown
MAX_DEPTH = 50  # of a value
TOO_LARGE = "too large to show"
MORE = "..."  # the param that says how many there are beyond
_MARK = '{"gitexp":'
_SIGNATURE = rb"(?m)^-----BEGIN (PGP SIGNATURE|SSH SIGNATURE|SIGNED MESSAGE)-----$"
_INFINITY = "\0inf"
_SAID = ("status", "parent", "duration", "params", "group", "branch", "command", "files")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON, and SQLite would choke on it")


_STRICT = json.JSONDecoder(parse_constant=_refused)


class Tag(NamedTuple):
    """What an annotated tag object says; ``line`` is the summary as it stands there."""

    commit: str
    name: str
    author: str
    email: str
    subject: str
    summary: dict[str, Any]
    line: str


def subject(name: str, params: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """Return ``exp-7: rmse=18.2 (lr=0.01, depth=3)``, as much as fits into 100 characters."""
    shown = _joined(metrics, 50)
    given = _joined(params, 100 - len(name) - len(shown) - 6)
    text = f"{name}: {shown}" if shown else name
    return one_line(f"{text} ({given})" if given else text)


def own_subject(experiment: Experiment) -> str:
    """Return the subject that somebody wrote, empty where gitexp made it up."""
    return own_subject_of(experiment.name, experiment.subject)


def own_subject_of(name: str, subject: str) -> str:
    """Return the subject of the experiment ``name`` if somebody wrote it, else an empty text."""
    first = subject.partition(":")[0]
    made_up = first == name.rpartition("/")[2] or (first[:4] == "exp-" and first[4:].isdigit())
    return "" if made_up else subject


def commit_message(title: str, note: str, trailers: Mapping[str, object]) -> str:
    """Return a commit message: subject, the note as its body, and trailers that have a value."""
    known = ((key, value) for key, value in trailers.items() if value not in (None, ""))
    lines = [f"Gitexp-{key}: {one_line(str(value))}" for key, value in known]
    body = f"{note.strip()}\n\n" if note.strip() else ""
    return f"{one_line(title)}\n\n{body}" + "\n".join(lines) + "\n"


def trailers(message: str) -> dict[str, str]:
    """Return the ``Gitexp-*`` trailers in a commit message's last paragraph, without prefix."""
    last = message.rstrip().rpartition("\n\n")[2]
    return dict(re.findall(r"^Gitexp-([A-Za-z-]+): (.*)$", last, re.MULTILINE))


def body(message: str) -> str:
    """Return a commit message without its subject and its trailers."""
    _, _, rest = message.strip().partition("\n")
    head, _, last = rest.strip().rpartition("\n\n")
    return head.strip() if last.startswith("Gitexp-") else rest.strip()


def tag_message(title: str, summary: Mapping[str, Any]) -> str:
    """Return a tag message: the subject, and the summary as one line of JSON."""
    return f"{one_line(title)}\n\n{summary_line(summary)}\n"


def summary_line(summary: Mapping[str, Any]) -> str:
    """Return a summary as one line of JSON."""
    said, compact = {"gitexp": SCHEMA, **portable(summary, _marked)}, (",", ":")
    line = json.dumps(said, separators=compact, ensure_ascii=False, allow_nan=False)
    return line.replace('"\\u0000inf"', "9e999").replace('"-\\u0000inf"', "-9e999")


def parse_tag(data: bytes) -> Tag | None:
    """Read a raw tag object; None where it is not an experiment's (or says things that no gitexp
    writes). What is too much to show is cut, and said: tags come from anybody's remote."""
    if len(data) > MAX_BYTES:
        return None
    head, _, text = data.decode("utf-8", "replace").partition("\n\n")
    title, mark, rest = text.partition("\n" + _MARK)
    if not mark:
        return None
    line = _MARK + rest.partition("\n")[0]
    try:
        headers = dict(item.split(" ", 1) for item in head.split("\n"))
        summary = _STRICT.decode(line)
        if "\\ud" in line:
            # half a surrogate pair can be neither stored nor printed
            json.dumps(summary, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    if not _sound(summary) or headers.get("type") != "commit":
        return None
    summary, line = _bounded(summary, line)
    author, _, email = headers.get("tagger", "").rpartition(">")[0].partition(" <")
    name, subject = headers.get("tag", ""), title.partition("\n")[0]
    return Tag(headers["object"], name, author, email, subject, summary, line)


def is_signed(data: bytes) -> bool:
    """Whether a raw tag object ends with a signature, of whichever kind git knows."""
    return re.search(_SIGNATURE, data) is not None


def experiment(
    name: str,
    tag: str,
    found: Tag,
    labels: tuple[str, ...],
    notes: tuple[str, ...],
    source: Source | None,
) -> Experiment:
    """Return the experiment that a tag object describes, by the name that this clone gives it."""
    rest = dict(found.summary)
    rest.pop("gitexp")
    rest.pop("labels", None)
    last = rest.pop("metrics", {}).items()
    said = {key: rest.pop(key) for key in _SAID if key in rest}
    return Experiment(
        name=name,
        id=found.commit,
        tag=tag,
        subject=found.subject,
        started=parse_time(rest.pop("started")),
        metrics={key: math.nan if value is None else value for key, value in last},
        labels=labels,
        notes=notes,
        author=found.author,
        email=found.email,
        extra=rest,
        source=source,
        **said,
    )


def format_time(moment: datetime) -> str:
    """Return ``2026-11-24T04:10:00.123Z``: UTC, so that text order is time order."""
    seconds = moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}.{moment.microsecond // 1000:03d}Z"


def parse_seconds(text: str) -> float:
    """Return seconds for ``90``, ``90s``, ``10m`` or ``2h``; raise UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match or float(match[1]) == 0:
        raise UsageError(f"'{text}' is not a time; write for example 90s, 10m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def parse_time(text: str) -> datetime:
    """Read what ``format_time`` wrote; raise ValueError for anything else."""
    if not _TIME.fullmatch(text):
        raise ValueError(f"'{text}' is not a time like 2026-11-24T04:10:00.123Z")
    # forty times as fast as strptime; before 3.11 it knows no Z
    return datetime.fromisoformat(f"{text[:-1]}+00:00")


def one_line(text: str) -> str:
    """Return text on one line, without control characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _joined(values: Mapping[str, Any], limit: int) -> str:
    shown: list[str] = []
    for key, value in values.items():
        item = f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}"
        if len(", ".join([*shown, item])) > limit:
            if shown:
                shown.append("...")
            break
        shown.append(item)
    return ", ".join(shown)


def _marked(number: float) -> str | None:
    """Return what stands for an odd number in a summary until ``summary_line`` writes it."""
    return None if math.isnan(number) else _INFINITY if number > 0 else f"-{_INFINITY}"


def _bounded(summary: dict[str, Any], line: str) -> tuple[dict[str, Any], str]:
    """Return a summary and its line, without what is too deep or too many."""
    if line.count(",") < MAX_NAMES and line.count("{") + line.count("[") <= MAX_DEPTH:
        return summary, line

    def shown(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        return {key: TOO_LARGE if _is_deep(value) else value for key, value in values}

    bounded = shown((key, value) for key, value in summary.items() if key != "params")
    for family in ("params", "metrics"):
        values = summary.get(family, {})
        bounded[family] = shown(itertools.islice(values.items(), MAX_NAMES))
        if family == "params" and len(values) > MAX_NAMES:
            bounded[family][MORE] = f"{len(values) - MAX_NAMES:,} more, {TOO_LARGE}"
    return bounded, summary_line(bounded)


def _is_deep(value: Any, depth: int = 0) -> bool:
    if depth > MAX_DEPTH:
        return True
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_is_deep(item, depth + 1) for item in inside)


def _sound(summary: Any) -> bool:
    """Whether a summary has the types that gitexp relies on: tags come from anybody."""
    version = summary.get("gitexp") if isinstance(summary, dict) else None
    if not isinstance(version, int) or version > SCHEMA:
        return False
    families = [summary.get(key, {}) for key in ("params", "metrics", "files")]
    labels, none = summary.get("labels", []), type(None)
    if {*map(type, families)} != {dict} or not isinstance(labels, list):
        return False
    _, metrics, files = families
    try:
        parse_time(summary["started"])
    except (KeyError, TypeError, ValueError):
        return False
    texts = (summary.get(key) for key in ("group", "branch", "command", "parent"))
    return (
        summary.get("status") in STATUSES
        and {*map(type, metrics.values())} <= {int, float, none}
        and {*map(type, [*files.values(), *labels])} <= {str}
        and {*map(type, texts)} <= {str, none}
        and type(summary.get("duration")) in (int, float, none)
    )


def portable(value: Any, odd: Callable[[float], Any] = str) -> Any:
    """Return a value as any JSON reader takes it: times as text, NaN and infinities as ``odd``
    gives them, which is text, too, by itself."""
    if isinstance(value, float) and not math.isfinite(value):
        return odd(value)
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Mapping):
        return {str(key): portable(item, odd) for key, item in value.items()}
    return [portable(item, odd) for item in value] if isinstance(value, (list, tuple)) else value


def each(given: Any) -> list[Any]:
    """Return what was given where a list is wanted: one text, or one thing, is a list of one, and
    None an empty one."""
    if given is None:
        return []
    return [given] if isinstance(given, str) or not isinstance(given, Iterable) else [*given]


def some(texts: Sequence[str], most: int = 3) -> str:
    """Return the first texts for a sentence, with how many more there are."""
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def readable(size: float | None) -> str:
    """Return a number of bytes for people: ``12.3 MB``; nothing where it is not known."""
    if size is None:
        return ""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError
