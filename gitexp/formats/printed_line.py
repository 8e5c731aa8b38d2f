"""Metrics in one line that a program printed and that is no table's row: names that are a metric's,
a separator, a number; and dicts as Python or JSON write them.

Prose and settings have such words, too, so a name counts by its words, and a number without a colon
or equals sign only where nothing but such words stands before it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from gitexp.formats import assigned, metrics, params
from gitexp.formats.metric_names import METRIC, is_metric, is_of_name, named_in
from gitexp.formats.rows import STEPS, as_number

_ALSO_COUNTS = frozenset(("error", "err", "map", "return", "returns"))  # or what a program says
NUMBER = (  # none with a comma at it, which may be a decimal one or stand between two numbers
    r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf(?:inity)?)(?![\w/:]|\.\S|[,'’]\d)"
)
_WORD = r"[A-Za-z][\w/.@-]*(?:'s)?"
_START = re.compile(rf"(?<![\w./-])(?<!\w'){_WORD}")
_VALUE = re.compile(
    r"(?i)['\"]?( (?:of|on|for) [^:=|]{1,60}?| ?[(\[][^()\[\]=|]{1,30}[)\]])?"
    r"(?<!step)(?<!epoch)(?<!batch)(?<!iteration)"
    r"(\s*(?:[:=]|[-=]>|→)\s*|\s(?:is|was)\s|(?(1)(?!)|\s{1,40}))"
    r"['\"]?(?:(?:tensor|array|[\w.]*float\d+)\()?(\[\s?)?"
    rf"(?:(\d[\d,]*)/(\d[\d,]*) ?\([\d.]+ ?%\)|({NUMBER})(?(3)\s?\])(?!\s?%\|)(?: ?(%))?)"
)
_WHICH = (  # "loss (train)", but not "loss (fold 3)"
    r"(?i) ?[(\[](?!\w* ?(?:step|iter|epoch|round|episode|trial|batch|fold|seed|run)\w*\W*\d)[a-z]"
)
_NAMED_CELL = re.compile(rf"\s*([^:]+?): ?({NUMBER})(?: ?\+ ?{NUMBER})?\s*")
_OPTUNA = re.compile(rf".*\bTrial \d+ finished with value: ({NUMBER})")
_COCO = re.compile(  # of pycocotools; -1 is none
    r"\s*Average \w+\s+\((A[PR])\) @\[ IoU=([\d.:]+)\s*\| area=\s*(\w+) \| maxDets=\s*(\d+) \]"
    rf" = (?!-1)({NUMBER})"
)
_REPORT = re.compile(  # of scikit-learn: precision, recall, F1, support
    rf"\s*(accuracy|\w+ avg)\s+({NUMBER})(?:\s+({NUMBER})\s+({NUMBER}))?\s+\d+\s*"
)
_LAST_WORD = re.compile(rf"{_WORD}$")
_OF_NO_NAME = re.compile(r"(?i:nan|inf|infinity)|INFO|DEBUG|WARN(?:ING)?")
# texts, and what Python writes bare in a dict
_BARE = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?<!\w)-?(?:nan|inf)(?!\w)""")
_TIMES = r"(?i).*(?:time|runtime|per_second|elapsed|eta|timestamp|ts|duration|fps)"
MARKS = frozenset((*STEPS, "#"))  # "#" of spaCy


def of_line(line: str, lower: str, has_step: bool) -> Iterable[tuple[str, float]]:
    """Return the metrics of a line that is no table's."""
    if re.match(r"(?:\[\d+\]|\d+:)\t", line):  # XGBoost, LightGBM, CatBoost
        cells = filter(None, map(_NAMED_CELL.fullmatch, line.split("\t")[1:]))
        return [(cell[1], metrics.parse_number(cell[1], cell[2])) for cell in cells]
    if "Trial " in line and (found := _OPTUNA.match(line)):
        return [("value", float(found[1]))]
    if "@[" in line and (found := _COCO.match(line)):
        return [(f"{found[1]}@{found[2]}/{found[3]}/{found[4]}", float(found[5]))]
    if (" avg " in line or " accuracy " in line) and (found := _REPORT.fullmatch(line)):
        kinds = (" precision", " recall", " f1") if found[3] else ("",)
        return [(found[1] + kind, float(number)) for kind, number in zip(kinds, found.groups()[1:])]
    if "'s " not in lower and not re.search(METRIC, lower):
        return ()
    return _mapping(line) or _fields(line, has_step)


def _mapping(line: str) -> list[tuple[str, float]]:
    """Return the metrics in a dict that a line is."""
    if "%|" in line:  # a progress bar before it
        line = line[line.find("{") :]
    if not line.lstrip().startswith("{"):
        return []
    for read in (json.loads, ast.literal_eval, lambda text: ast.literal_eval(_quoted(text))):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value: Any = assigned.quietly(read, line.strip())
            return numbers_of(params.flatten(value), MARKS) if isinstance(value, dict) else []
    return []


def _quoted(text: str) -> str:
    """Return a dict of Python's whose bare ``nan`` and ``inf`` are texts; its texts stay."""
    return _BARE.sub(lambda found: found[0] if found[1] else f"'{found[0]}'", text)


def numbers_of(values: Mapping[str, Any], steps: Collection[str]) -> list[tuple[str, float]]:
    """Return the metrics in names and values: where one names a step, all numbers but times."""
    last = {name: name.rpartition(".")[2] for name in values}
    whole = any(one.lower() in steps for one in last.values())
    whole = whole and any(map(is_metric, last.values()))
    return [
        (name, number)
        for name, one in last.items()
        if one.lower() not in steps
        and (is_metric(one) or (whole and not re.fullmatch(_TIMES, one)))
        and not isinstance(values[name], bool)
        and (number := as_number(values[name])) is not None
    ]


def _fields(line: str, has_step: bool) -> Iterator[tuple[str, float]]:
    """Yield the name and number of each metric in a line of words and numbers."""
    at = 0
    for start in _START.finditer(line):
        may_end = is_of_name(start[0]) or line.endswith("'s ", 0, start.start())
        match = _VALUE.match(line, start.end()) if may_end and start.start() >= at else None
        if not match:
            continue
        about, separator, _, part, whole, number, percent = match.groups()
        at = match.end()
        plain = not separator.strip()
        before = _before(line[max(0, start.start() - 80) : start.start()])
        name = named_in(before + start[0], strict=plain)
        if name is None:
            continue
        if about and re.match(_WHICH, about):
            inner = about.strip(" ()[]")
            name = inner if is_metric(inner) else f"{name} {about.strip()}"
        if part:
            if all_of := int(whole.replace(",", "")):
                yield name, 100 * int(part.replace(",", "")) / all_of
            continue
        if name == "precision" and number in ("16", "32", "64"):  # of floats
            continue
        counted = number.lstrip("+-").isdigit() and not percent
        alone = (plain or name.lower() in _ALSO_COUNTS) and not has_step
        if counted and (alone or _are_things(line[at:])):  # "error 404", "map: 3 workers"
            continue
        yield name, metrics.parse_number(name, number)


def _are_things(rest: str) -> bool:
    """Whether a word without a value stands behind a number."""
    word = re.match(rf" +{_WORD}", rest)
    return word is not None and not _VALUE.match(rest, word.end())


def _before(text: str) -> str:
    """Return the words at the end of a text, at most three, each with the space behind it."""
    found = ""
    for part in text.split(" ")[-2:-5:-1] if text.endswith(" ") else ():
        word = _LAST_WORD.search(part)
        if not word or _OF_NO_NAME.fullmatch(word[0]):
            break
        found = f"{word[0]} {found}"
        if word[0] != part:
            break
    return found
