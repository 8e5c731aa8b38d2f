"""Metrics in what a program printed, line by line: lines of words and numbers, and tables."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gitexp.formats.experiment import MetricPoint
from gitexp.formats.metric_names import is_metric
from gitexp.formats.printed_line import MARKS, NUMBER, numbers_of, of_line
from gitexp.formats.rows import STEPS, as_number

_ESCAPE = r"\x1b\[[0-9;?]*[A-Za-z]"
_THOUSANDS = re.compile(  # 3,456.7 and 1,234,567, but not 3,456, nor what stands in a list
    r"(?<![\w.,\[(])[1-9]\d{0,2}(?:(?:,\d{3})+\.\d+|(?:,\d{3}){2,})(?![\w./:]|,\d)"
)
_KINDS = (
    "global_step", "step", "iter", "epoch", "round", "generation", "episode", "trial", "line",
    "above",
)  # fmt: skip
_FRAME = re.compile(r"\s*(\d+)/(\d+) (?:[━─]|\[[=>.]|- \d+s )")  # of Keras' progress bar
_BARS = ("|", "│", "┃")  # between the cells of a table
_STEP = re.compile(
    r"(?i)(?<![a-z])(global[_ ]?step|step|iter|epoch|round|generation|episode|trial)(?:ation)?"
    r"['\"]?\s*[:=#]?\s*['\"\[(]?\s*(\d+(?:,\d{3})*)(?![.\w])"
    r"|^\s*\[?(\d+)(?:\]|:\s)"
)
_SETTINGS_LINE = re.compile(
    r"(?i)\s*(?=\w*\()\w*(?:namespace|args|arguments|config|params|options)"
    r"|.*\b(?:load(?:ed|ing)|resum|restor)"
    r"|.*\b(?:args|arguments|config|params|options|hparams|hyperparameters)\s*[:=]\s*\{"
)
_CELL = re.compile(f"{NUMBER}|")
_HELD_OUT = re.compile(r"(?i)(?<![\w.])(test(?:ing)?|val(?:id(?:ation)?)?|eval(?:uation)?|dev)\b")
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
    forms, reader = [re.compile(pattern) for pattern in patterns], _Reader()
    lines = (*_shown(re.sub(_ESCAPE, "", text)), "")  # which ends a table
    read = (_of_forms(forms, line) if forms else reader.read(_plain(line)) for line in lines)
    found = [*_parted([*itertools.chain.from_iterable(read)])]
    series = defaultdict(list)
    for name, point in found:
        series[name].append(point)
    steps = {name: iter(_steps(points)) for name, points in series.items()}
    return [MetricPoint(name, point.value, 0, next(steps[name])) for name, point in found]


def _shown(text: str) -> list[str]:
    """Return the lines as they ended, without frames of a bar that has a later one further down."""
    drawn = text.split("\n")
    lines = [next(filter(str.strip, reversed(re.split("[\r\x08]", line))), "") for line in drawn]
    frames = [(at, found) for at, line in enumerate(lines) if (found := _FRAME.match(line))]
    for (at, one), (_, other) in itertools.pairwise(frames):
        later = int(one[1]) < int(one[2]) == int(other[2]) and int(one[1]) <= int(other[1])
        # Keras 3 goes back over a frame that it draws again; "- 3s" is in anybody's lines
        if drawn[at].endswith("\x08") or (later and not one[0].endswith("s ")):
            lines[at] = ""
    return lines


def _plain(line: str) -> str:
    """Return a line without the commas between thousands, and R² as R2."""
    line = line.replace("R²", "R2").replace("R^2", "R2")
    return _THOUSANDS.sub(lambda match: match[0].replace(",", ""), line) if "," in line else line


def _of_forms(forms: Sequence[re.Pattern[str]], line: str) -> Iterator[tuple[str, _Point]]:
    """Yield the name and value of each group of somebody's own patterns."""
    for groups in (match.groupdict() for form in forms for match in form.finditer(line)):
        steps = _whole(groups.pop("step", None))
        for name, text in groups.items():
            if (value := as_number(text)) is not None:
                yield name, _Point(value, steps)


def _whole(text: str | None) -> dict[str, int]:
    """Return ``{"step": 3}`` for the text of a step, an empty mapping for one that is none."""
    number = as_number(text)
    return {} if number is None or not math.isfinite(number) else {"step": int(number)}


def _parted(found: Sequence[tuple[str, _Point]]) -> Iterator[tuple[str, _Point]]:
    """Yield the points, those of held-out data by a name of its own where training has the same
    name, and without what boosting says again of its best round."""
    parts = defaultdict(set)
    for name, point in found:
        parts[name].add(point.part)
    seen = set()
    for name, point in found:
        if len(parts[name]) > 1 and point.part.lower() not in name.lower():
            name = f"{point.part} {name}"
        key = name, point.value, *point.steps.items()
        if [*point.steps] != ["line"] or key not in seen:
            yield name, point
        seen.add(key)


def _steps(points: Sequence[_Point]) -> list[int]:
    """Return the steps of a metric's points, of the kind that grows; a gap is one more."""
    counts = Counter(kind for point in points for kind in point.steps)
    for kind in sorted(filter(counts.get, _KINDS), key=lambda kind: -counts[kind]):
        steps: list[int] = []
        for point in points:
            steps.append(point.steps.get(kind, steps[-1] + 1 if steps else 0))
        told = steps[:-1] if kind == "line" else steps  # LightGBM says its best round at the end
        if all(one < other for one, other in itertools.pairwise(told)):
            return steps
    return [*range(len(points))]


class _Reader:
    """Reads line by line: a table's header names its rows, an epoch alone is of lines below."""

    def __init__(self) -> None:
        self.header: list[str] = []
        self.rows: dict[str, str] = {}
        self.columns: list[str] = []  # of a table with a metric in each row
        self.above: dict[str, int] = {}
        self.part = ""
        self.full = False  # the epoch's bar: the next one is an evaluation's

    def read(self, line: str) -> Iterator[tuple[str, _Point]]:
        if (self.columns or "etric" in line) and (by_column := self._by_column(_cells(line))):
            yield from by_column
            return
        cells = _cells(line) if line.lstrip()[:1] in _BARS else []
        if len(cells) == 2 and cells[0][:1].isalpha() and _CELL.fullmatch(cells[1]):
            self.rows[cells[0]] = cells[1]
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
        if self.header and (row := self._row(line)):
            yield from row
            return
        own = _steps_of(line)
        if "epoch" in own:
            self.above, self.full = {"above": own["epoch"]}, False
        found = [*of_line(line, lower, bool(own))]
        if not line.lstrip().startswith("* "):  # what is summed up there is of the lines above
            match = _HELD_OUT.search("".join(line.partition(found[0][0])[:2]) if found else line)
            self.part = match[1] if match else ""
        frame = _FRAME.match(line)
        told = (own, "eval") if frame and self.full else ({**self.above, **own}, self.part)
        for name, value in found:
            yield name, _Point(value, *told)
        if frame and frame[1] == frame[2]:
            self.full = bool(self.above)

    def _by_column(self, cells: Sequence[str]) -> list[tuple[str, _Point]]:
        """Return what a row below "Metric" says, of several columns by what Lightning calls them:
        ``loss/dataloader_idx_1``."""
        begins = _are_columns(cells)
        if begins or len(cells) != len(self.columns) + 1 or not cells[0]:
            if begins or re.search(r"\w", "".join(cells)):  # else it is a line between rows
                self.columns = [*cells[1:]] if begins else []
            return []
        name, *texts = cells
        called = [column.replace("DataLoader ", "dataloader_idx_") for column in self.columns]
        names = [name] if len(called) == 1 else [f"{name}/{column}" for column in called]
        found = zip(names, (as_number(text) for text in texts))
        return [(one, _Point(n, {**self.above})) for one, n in found if n is not None]

    def _of_rows(self) -> Iterator[tuple[str, _Point]]:
        """Yield what a table with a name in each row says."""
        rows, self.rows = self.rows, {}
        texts = {name.lower(): text for name, text in rows.items()}
        known = (_whole(texts.get(name, "")) for name in _STEPS_OF_ROWS)
        steps = next(filter(None, known), {**self.above})
        for name, value in numbers_of(rows, _STEPS_OF_ROWS):
            yield name, _Point(value, steps)

    def _row(self, line: str) -> list[tuple[str, _Point]]:
        """Return what a table's row says, nothing where it is none: its first cell is a step."""
        cells = _cells(line)
        if len(cells) == len(self.header) + 1 and cells[0].isdigit():  # pandas' index
            del cells[0]
        if len(cells) < len(self.header):
            return []
        row = dict(zip(self.header, cells))
        step = next((row[name] for name in row if name.lower() in MARKS), "").partition("/")[0]
        if not step.isdigit():
            return []
        numbers = [(name, as_number(text)) for name, text in row.items()]
        at = {"step": int(step)}
        return [(name, _Point(n, at)) for name, n in numbers if n is not None and is_metric(name)]


def _cells(line: str) -> list[str]:
    line = line.partition("%|")[0]  # without a progress bar, maybe behind a table's row
    if line.lstrip()[:1] in _BARS:
        return [cell.strip() for cell in re.split("[|│┃]", line.strip())[1:-1]]
    cells = re.split(r"\s{2,}|\t", line.strip())
    return cells if len(cells) > 1 else re.split(r"\s*[,;]\s*", cells[0])


def _are_columns(cells: Sequence[str]) -> bool:
    """Whether these stand at the top of a table with a metric in each row."""
    known = r"(?i)values?|scores?|results?|(?:dataloader|fold|run|seed) ?\d+|train(?:ing)?|mean|std"
    return len(cells) > 1 and all(
        re.fullmatch(known if at else r"(?i)(?:\w+ )?metrics?", cell)
        or (at and _HELD_OUT.fullmatch(cell))
        for at, cell in enumerate(cells)
    )


def _is_header(cells: Sequence[str]) -> bool:
    return (
        len(cells) > 1
        and not MARKS.isdisjoint(map(str.lower, cells))
        and any(map(is_metric, cells))
        and all(re.fullmatch(r"[^\d\W][^:=]*|#", cell) for cell in cells)
    )


def _steps_of(line: str) -> dict[str, int]:
    """Return what a line counts: ``{"epoch": 3}``, by the kinds of ``_KINDS``."""
    found: dict[str, int] = {}
    for name, number, first in _STEP.findall(line):
        kind = "global_step" if name[:1] in "gG" and name else name.lower() or "line"
        found.setdefault(kind, int((number or first).replace(",", "")))
    return found
