"""Metrics in what a program printed: names that are a metric's, a separator, a number; tables, and
dicts as Python or JSON write them.

Prose and settings have such words, too, so a name counts by its words, and a number without a colon
or equals sign only where nothing but such words stands before it.
"""

from __future__ import annotations

import ast
import functools
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from gitexp.formats import metrics, params
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.readers import STEPS

_ESCAPE = r"\x1b\[[0-9;?]*[A-Za-z]"
_METRIC = (
    r"loss(?:es)?|acc|accuracy|auc|aucpr|auprc|auroc|f1|mse|rmse|mae|mape|r2|precision|recall|score"
    r"|rew|reward|returns?|perplexity|ppl|m?error|err|m?iou|map|map\d+|bleu|rouge|wer|cer|psnr|ssim"
    r"|lpips|fid|dice|jaccard|kappa|sensitivity|specificity|ndcg|mrr|nll|n?loglik|likelihood|elbo"
    r"|m?logloss|rmsle|top1|top5|mcc|bp[bcd]|cost|fitness|inertia|silhouette"
)
_BESIDE = (  # words that say which one
    r"train(?:ing)?|val|valid|validation|test(?:ing)?|eval|dev|best|final|max|min|avg|average|mean"
    r"|total|running|last|epoch|batch|mini|minibatch|squared|absolute|root|roc|pr|macro|micro"
    r"|weighted|balanced|log|cross|entropy|reconstruction|d|g|kl|episode|episodic|smooth|ema|top"
    r"|set|\d+"
)
_SETTING = (
    r"weights?|scale|coeff?|threshold|dir|path|file|type|fn|func|function|name|every|interval|freq"
    r"|patience|target|margin|smoothing|clip|factor|decay|size|num|k|metric|lr|penalty|max|min|thr"
    r"|tol|eps|steps|epochs|iters|batches|ratio|mode|id|device|seed|index|alpha|beta|gamma|lambda"
)
_OF_SETTING = (  # before a metric's name
    r"(?:max|min|target|num|n|use|no|with|save|log)_|(?:args|cfg|config|hparams|opts?)\."
)
_ALSO_COUNTS = frozenset(("error", "err", "map", "return", "returns"))  # or what a program says
_BITS = ("16", "32", "64")  # a precision that is none of a metric
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf)(?![\w./:])"
_WORD = r"[A-Za-z][\w/.@-]*(?:'s)?"
_START = re.compile(rf"(?<![\w./'-]){_WORD}")
_VALUE = re.compile(
    r"(?i)['\"]?( (?:of|on|for) [^:=|]{1,60}?)?(?<!step)(?<!epoch)(?<!batch)(?<!iteration)"
    r"(\s*(?:[:=]|[-=]>|→)\s*|\s(?:is|was)\s|(?(1)(?!)|\s{1,8}))"
    r"['\"]?(?:(?:tensor|array|[\w.]*float\d+)\()?\[?\s?"
    rf"(?:(\d+)/(\d+) ?\([\d.]+ ?%\)|({_NUMBER})(?!\s?%\|)(?: ?(%))?)"
)
_CELLS = r"\s*[|│┃]\s*"
_KINDS = (
    "global_step",
    "step",
    "iter",
    "epoch",
    "round",
    "generation",
    "episode",
    "trial",
    "line",
    "above",
)
_STEP = re.compile(
    r"(?i)(?<![a-z])(global[_ ]?step|step|iter|epoch|round|generation|episode|trial)(?:ation)?"
    r"['\"]?\s*[:=#]?\s*['\"\[(]?\s*(\d+)(?![.\w])"
    r"|^\s*\[?(\d+)(?:\]|:\s)"
)
_SETTINGS_LINE = re.compile(
    r"(?i)\s*\w*(?:namespace|args|arguments|config|params|options)\w*\("
    r"|.*\b(?:load(?:ed|ing)|resum|restor)"
)
_NAMED_ROW = re.compile(rf"\s*[|│┃]\s*([A-Za-z].*?)\s*[|│┃]\s*({_NUMBER}|)\s*[|│┃]\s*")
_NAMED_CELL = re.compile(rf"\s*([^:]+?): ?({_NUMBER})(?: ?\+ ?{_NUMBER})?\s*")
_OPTUNA = re.compile(rf".*\bTrial \d+ finished with value: ({_NUMBER})")
_COCO = re.compile(  # of pycocotools; -1 is none
    r"\s*Average \w+\s+\((A[PR])\) @\[ IoU=([\d.:]+)\s*\| area=\s*(\w+) \| maxDets=\s*(\d+) \]"
    rf" = (?!-1)({_NUMBER})"
)
_REPORT = re.compile(  # of scikit-learn: precision, recall, F1, support
    rf"\s*(accuracy|\w+ avg)\s+({_NUMBER})(?:\s+({_NUMBER})\s+({_NUMBER}))?\s+\d+\s*"
)
_HELD_OUT = re.compile(r"(?i)\W*(test(?:ing)?|val(?:id(?:ation)?)?|eval(?:uation)?|dev)\b")
_LAST_WORD = re.compile(rf"{_WORD}$")
_TIMES = r"(?i).*(?:time|runtime|per_second|elapsed|eta|timestamp|ts|duration|fps)"
_MARKS = frozenset((*STEPS, "#"))  # "#" of spaCy
_STEPS_OF_ROWS = ("total_timesteps", "timesteps", "steps", *STEPS, "iterations")


class _Point(NamedTuple):
    """A value, steps by what they are called, and of which part of the data its line speaks."""

    value: float
    steps: Mapping[str, int]
    part: str = ""


def read_output(text: str, patterns: Sequence[str] = ()) -> list[MetricPoint]:
    """Return the metrics that a command printed.

    A line that a progress bar redrew counts once, as it ended. The step of a metric is what all its
    lines name and grows, else they are counted.

    Args:
        patterns: regular expressions to look for instead; a group is a metric of its name, and one
            called ``step`` the step.
    """
    found: list[tuple[str, _Point]] = []
    forms = [re.compile(pattern) for pattern in patterns]
    reader = _Reader()
    for line in (*re.sub(_ESCAPE, "", text).split("\n"), ""):  # which ends a table
        drawn = re.split(r"[\r\x08]+", line) if "\r" in line or "\x08" in line else [line]
        shown = next((part for part in reversed(drawn) if part.strip()), "")
        found += _of_forms(forms, shown) if forms else reader.read(shown)
    series: dict[str, list[_Point]] = {}
    found = [*_parted(found)]
    for name, point in found:
        series.setdefault(name, []).append(point)
    steps = {name: iter(_steps(points)) for name, points in series.items()}
    return [MetricPoint(name, point.value, 0, next(steps[name])) for name, point in found]


def _of_forms(forms: Sequence[re.Pattern[str]], line: str) -> Iterator[tuple[str, _Point]]:
    for groups in (match.groupdict() for form in forms for match in form.finditer(line)):
        step = _number(groups.pop("step", None))
        for name, text in groups.items():
            if (value := _number(text)) is not None:
                yield name, _Point(value, {} if step is None else {"step": int(step)})


def _parted(found: Sequence[tuple[str, _Point]]) -> Iterator[tuple[str, _Point]]:
    """Yield the points, those of held-out data by a name of its own where training has the same
    name, and without what boosting says again of its best round."""
    parts: dict[str, set[str]] = {}
    for name, point in found:
        parts.setdefault(name, set()).add(point.part)
    seen = set()
    for name, point in found:
        if len(parts[name]) > 1 and point.part.lower() not in name.lower():
            name = f"{point.part} {name}"
        if [*point.steps] == ["line"]:
            key = (name, point.value, point.steps["line"])
            if key in seen:
                continue
            seen.add(key)
        yield name, point


def _steps(points: Sequence[_Point]) -> list[int]:
    """Return the steps of a metric's points, of the kind that grows; a gap is one more."""
    counts = Counter(kind for point in points for kind in point.steps)
    for kind in sorted(filter(counts.get, _KINDS), key=lambda kind: -counts[kind]):
        steps: list[int] = []
        for point in points:
            steps.append(point.steps.get(kind, steps[-1] + 1 if steps else 0))
        if all(one < other for one, other in itertools.pairwise(steps)):
            return steps
    return [*range(len(points))]


class _Reader:
    """Reads line by line: a table's header names its rows, an epoch alone is of lines below."""

    def __init__(self) -> None:
        self.header: list[str] = []
        self.rows: dict[str, str] = {}
        self.above: dict[str, int] = {}
        self.part = ""

    def read(self, line: str) -> Iterator[tuple[str, _Point]]:
        if row := _NAMED_ROW.fullmatch(line):
            self.rows[row[1]] = row[2]
            return
        if self.rows:
            yield from self._of_rows()
        if _SETTINGS_LINE.match(line):
            return
        lower = line.lower()
        if re.search("epoch|step|iter|#", lower) and _is_header(cells := _cells(line)):
            self.header = cells
            return
        if not re.search(r"\d|nan|inf", lower):  # most lines of a long output
            return
        if self.header and (found := self._row(line)):
            yield from found
            return
        own = _steps_of(line)
        if "epoch" in own:
            self.above = {"above": own["epoch"]}
        if not line.lstrip().startswith("* "):  # what is summed up there is of the lines above
            match = _HELD_OUT.match(line)
            self.part = match[1] if match else ""
        steps = {**self.above, **own}
        for name, value in _of_line(line, lower, bool(own)):
            yield name, _Point(value, steps, self.part)

    def _of_rows(self) -> Iterator[tuple[str, _Point]]:
        """Yield what a table with a name in each row says, all but times where it names a step."""
        numbers = {name: _number(text) for name, text in self.rows.items()}
        rows = {name: value for name, value in numbers.items() if value is not None}
        self.rows = {}
        steps = {name.lower(): value for name, value in rows.items()}
        step = next((steps[name] for name in _STEPS_OF_ROWS if name in steps), None)
        whole = step is not None and any(map(_is_metric, rows))
        of = {**self.above} if step is None else {"step": int(step)}
        for name, value in rows.items():
            if name.lower() not in _STEPS_OF_ROWS and (
                _is_metric(name) or (whole and not re.fullmatch(_TIMES, name))
            ):
                yield name, _Point(value, of)

    def _row(self, line: str) -> list[tuple[str, _Point]]:
        """Return what a table's row says, nothing where it is none: its first cell is a step."""
        cells = _cells(line)
        if len(cells) < len(self.header):
            return []
        row = dict(zip(self.header, cells))
        step = next((row[name] for name in row if name.lower() in _MARKS), "").partition("/")[0]
        if not step.isdigit():
            return []
        numbers = [(name, _number(text.rstrip("%"))) for name, text in row.items()]
        at = {"step": int(step)}
        return [(name, _Point(n, at)) for name, n in numbers if n is not None and _is_metric(name)]


def _of_line(line: str, lower: str, has_step: bool) -> Iterable[tuple[str, float]]:
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
    if "'s " not in lower and not re.search(_METRIC, lower):
        return ()
    return _mapping(line) or _fields(line, has_step)


def _cells(line: str) -> list[str]:
    if "%|" in line:  # a progress bar, maybe behind a table's row
        line = line.partition("%|")[0]
    if line.lstrip()[:1] in tuple("|│┃"):
        return re.split(_CELLS, line.strip())[1:-1]
    return re.split(r"\s{2,}|\t", line.strip())


def _is_header(cells: Sequence[str]) -> bool:
    return (
        len(cells) > 1
        and not _MARKS.isdisjoint(map(str.lower, cells))
        and any(map(_is_metric, cells))
        and all(re.fullmatch(r"[^\d\W][^:=]*|#", cell) for cell in cells)
    )


def _steps_of(line: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, number, first in _STEP.findall(line):
        kind = "global_step" if name[:1] in "gG" and name else name.lower() or "line"
        found.setdefault(kind, int(number or first))
    return found


def _mapping(line: str) -> list[tuple[str, float]]:
    """Return the numbers of a dict that a line is; of one that names a step all but times."""
    if "%|" in line:  # a progress bar before it
        line = line[line.find("{") :]
    if not line.lstrip().startswith("{"):
        return []
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value: Any = read(line.strip())
            flat = params.flatten(value) if isinstance(value, dict) else {}
            last = {name: name.lower().rpartition(".")[2] for name in flat}
            whole = not _MARKS.isdisjoint(last.values()) and any(map(_is_metric, last.values()))
            return [
                (name, number)
                for name, one in flat.items()
                if last[name] not in _MARKS
                and (_is_metric(last[name]) or (whole and not re.fullmatch(_TIMES, last[name])))
                and (number := _number(one)) is not None
            ]
    return []


def _fields(line: str, has_step: bool) -> Iterator[tuple[str, float]]:
    at = 0
    for start in _START.finditer(line):
        may_end = _is_of_name(start[0]) or line.endswith("'s ", 0, start.start())
        if start.start() < at or not may_end:
            continue
        match = _VALUE.match(line, start.end())
        if not match:
            continue
        _, separator, part, whole, number, percent = match.groups()
        at = match.end()
        plain = not separator.strip()
        before = _before(line[max(0, start.start() - 80) : start.start()])
        name = _name(before + start[0], strict=plain)
        if name is None:
            continue
        if part:
            if int(whole):
                yield name, 100 * int(part) / int(whole)
            continue
        if name == "precision" and number in _BITS:
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
        found = f"{word[0]} {found}" if word else found
        if not word or word[0] != part:
            break
    return found


@functools.lru_cache(1000)
def _name(phrase: str, strict: bool) -> str | None:
    """Return the words at the end of a phrase that make a metric's name, None where it has none;
    ``strict``: every word has to be one of a metric's name."""
    words = phrase.split(" ")
    if any(word.endswith("'s") for word in words[:-1]):  # valid_0's l2
        return " ".join(words[-2:])
    first = len(words) - 1
    while first and _is_of_name(words[first - 1]):
        first -= 1
    if first and strict:
        return None
    name = " ".join(words[first:])
    return name if _is_metric(name) else None


@functools.lru_cache(1000)
def _is_of_name(word: str) -> bool:
    return _is_metric(word) or bool(re.fullmatch(rf"(?i){_BESIDE}|{_METRIC}", word))


@functools.lru_cache(1000)
def _is_metric(name: str) -> bool:
    """Whether a name is one of a metric, by its words: ``val_acc``, but not ``loss_weight``."""
    parts = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    setting = re.match(_OF_SETTING, name.lower()) or re.fullmatch(_SETTING, parts[-1])
    return not setting and any(re.fullmatch(_METRIC, part) for part in parts)


def _number(value: Any) -> float | None:
    try:
        if isinstance(value, str):
            return metrics.parse_cell(value)
        return metrics.within(value) if type(value) in (int, float) else None
    except (ValueError, OverflowError):
        return None
