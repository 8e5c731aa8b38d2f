"""What the usual files of a training say: a reader for each form, from bytes to values."""

from __future__ import annotations

import io
import itertools
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, repeat
from typing import Any

from gitexp.formats import metrics, params, rows
from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.rows import STEPS, as_number

PARAMS_FILES = ("hparams.yaml", "args.yaml", "args.json", ".hydra/config.yaml", "config.yaml")
_PARAMS_NAME = r"(?i)params?\.(ya?ml|json|toml)"
_METRICS_NAME = (
    r"(?i)(?:.*[-_.])?(?:metrics?|scores?|results?|eval|evaluation|hist|history|log|logs|loss"
    r"|losses|performance|progress|trainer_state|learn_error|test_error)"
    r"(?:[-_.]?(?:fold|seed|run|train|val|valid|dev|test|final|best)?[-_]?[\d-]*)"
    r"\.(?:json|jsonl|ndjson|ya?ml|toml|csv|tsv)"
)
_POINT = r"(?m)(?:^|[;\t]) *[-+]?\d+\.\d+(?:[eE][-+]?\d+)? *(?:$|[;\t])"  # a cell with one
_FORMS = {
    ".json": "JSON", ".jsonl": "JSON Lines", ".ndjson": "JSON Lines",
    ".toml": "TOML", ".yaml": "YAML", ".yml": "YAML",
}  # fmt: skip


@dataclass
class Found:
    """What a file says."""

    params: dict[str, Any] = field(default_factory=dict)  # nested
    points: list[MetricPoint] = field(default_factory=list)
    text: list[str] = field(default_factory=list)  # names of values that are no numbers
    form: str = "a table with a column for each metric"  # what it was read as, for people
    cut: str = ""  # what of it could not be read


def is_params(path: str) -> bool:
    """Whether a file is one of params, by its name."""
    usual = f"/{path}".endswith(tuple(f"/{name}" for name in PARAMS_FILES))
    return usual or bool(re.fullmatch(_PARAMS_NAME, posixpath.basename(path)))


def is_metrics(path: str) -> bool:
    """Whether a file is one of metrics, by its name."""
    return bool(re.fullmatch(_METRICS_NAME, posixpath.basename(path))) or is_course(path)


def of_pipeline(
    path: str, data: bytes, kinds: Sequence[str] = ("metrics", "params")
) -> Iterator[tuple[str, str]]:
    """Yield ``(kind, path)`` for what a ``dvc.yaml`` and its stages name, but for templates
    (``${...}``)."""
    try:
        pipeline = params.load(data, path) if data else {}
    except FormatError:  # damaged, or no mapping: what files are called still tells
        return
    stages = pipeline.get("stages")
    below = [*stages.values()] if isinstance(stages, Mapping) else []
    sections = [{**pipeline, "wdir": ""}, *(item for item in below if isinstance(item, Mapping))]
    for section, kind in itertools.product(sections, kinds):
        folder = posixpath.join(posixpath.dirname(path), str(section.get("wdir", "")))
        items = section.get(kind)
        for item in items if isinstance(items, list) else ():
            for name in _paths(item, bare=kind != "params" or section is sections[0]):
                at = posixpath.normpath(posixpath.join(folder, name))
                if "${" not in at and not at.startswith(("../", "/")) and "\n" not in at:
                    yield kind, at


def _paths(item: Any, bare: bool) -> Iterable[str]:
    """Return the paths in an item, ``path`` or ``{path: details}``; a bare param is a name."""
    if isinstance(item, Mapping):
        return map(str, item)
    return [str(item)] if bare else ["params.yaml"]


def has_steps(head: bytes) -> bool:
    """Whether the first line of a table, or of JSON Lines, names steps."""
    return not _names_of(head).isdisjoint((*STEPS, *rows.TIMESTEPS))


def _names_of(head: bytes) -> set[str]:
    names = re.split(r"[,;\t:{]", head.decode("utf-8-sig", "replace").lower())
    return {name.strip(' "\r\n') for name in names}


def is_course(path: str) -> bool:
    """Whether dvclive wrote a file: the course of one metric."""
    return "plots/metrics/" in path and path.endswith(".tsv")


def read_metrics(path: str, data: bytes) -> Found:
    """Return the metrics in a file, by its ending and content; raises FormatError."""
    import csv

    ending = posixpath.splitext(path)[1].lower()
    try:
        may_be_lines = ending == ".json" or ending not in _FORMS
        if ending in (".jsonl", ".ndjson") or (may_be_lines and _is_lines(data)):
            return _json_lines(data)
        if ending not in _FORMS:
            return _table(path, data)
        if ending == ".json":
            return _document(json.loads(data.decode("utf-8-sig")))
        return _document(params.document(data, path.lower()))
    except RecursionError:
        raise FormatError(f"{path} is nested too deep for metrics") from None
    except (ValueError, TypeError, OverflowError, csv.Error) as error:
        form, said = _FORMS.get(ending, "a table"), " ".join(str(error).split())
        raise FormatError(f"{path} cannot be read as {form}: {said}") from None


def is_long(path: str, head: bytes) -> bool:
    """Whether a file is a table of DagsHub's form, a row for each value, by its first line."""
    return not path.lower().endswith((*_FORMS,)) and {"name", "value"} <= _names_of(head)


def _table(path: str, data: bytes) -> Found:
    """Read a table: DagsHub's with one row for each value, or one with a column for each metric."""
    import csv

    text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return Found()
    if comments := re.match(r"(?:#.*\n)*", text):
        text = text[comments.end() :]
        if comments[0] and re.match(r"[-+.\d]", text):  # NumPy's header
            text = f"{comments[0].splitlines()[-1].lstrip('# ')}\n{text}"
    first, _, below = text.partition("\n")
    mark = max("\t,;", key=first.count)
    header = [cell.strip() for cell in next(csv.reader([first], delimiter=mark), [])]
    if is_long(path, first.encode()):
        said: list[str] = []
        points = list(metrics.read(io.BytesIO(data), path, said))
        return Found(points=points, text=said, form="a table with a row for each value")
    # a Series of pandas has the header ",0"
    headless = not header or (header[0] and any(as_number(name) is not None for name in header))
    lost: list[Sequence[str]] = []
    cells = () if headless else csv.reader(io.StringIO(below, newline=""), delimiter=mark)
    has_commas = mark != "," and not re.search(_POINT, below)  # decimal ones
    found = _of_rows(rows.below(header, cells, has_commas, lost), Found.form)
    if lost:  # torn, or of another header
        found.cut = f"{len(lost)} of its rows are torn, or have other columns than the header"
    if headless or (len(header) == 1 and not found.points):
        known = "'Name,Value,Timestamp,Step', nor one with a column for each metric"
        raise FormatError(f"{path} has no header {known}")
    if is_course(path):
        name = path.rpartition("plots/metrics/")[2].removesuffix(".tsv")
        found.points = [point._replace(name=name) for point in found.points]
    return found


def _is_lines(data: bytes) -> bool:
    lines = data.lstrip().splitlines()[:2]
    return len(lines) == 2 and all(line[:1] + line.rstrip()[-1:] == b"{}" for line in lines)


def _json_lines(data: bytes) -> Found:
    """Read a file of JSON lines; of those that are torn none but the last is named."""
    lines = [line for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    values, torn = [], []
    for at, line in enumerate(lines):
        try:
            values.append(json.loads(line))
        except ValueError:
            torn.append(at)
    if torn and len(torn) == len(lines):
        json.loads(lines[0])  # which says what is wrong
    found = _of_rows((value for value in values if isinstance(value, dict)), "JSON Lines")
    if amid := [at for at in torn if at < len(lines) - 1]:
        found.cut = f"{len(amid)} of its lines cannot be read, the first is line {amid[0] + 1}"
    return found


def _of_rows(found: Iterable[Mapping[str, Any]], form: str, cut: str = "") -> Found:
    points, text = rows.read(found)
    return Found(points=points, text=text, form=form, cut=cut)


def _document(value: Any) -> Found:
    """Read a document: a Trainer's history, rows, Sacred's steps and values, or nested names."""
    if isinstance(value, dict) and isinstance(value.get("log_history"), list):
        history = (row for row in value["log_history"] if isinstance(row, dict))
        at, of = as_number(value.get("global_step")), as_number(value.get("max_steps"))
        cut = ""
        if at is not None and of is not None and at < of:
            cut = f"step {at:g} of {of:g}: it stopped early, or later checkpoints were removed"
        return _of_rows(history, "a Trainer's history", cut)
    if isinstance(value, list) and any(isinstance(row, dict) for row in value):
        epochs = [row for row in value if isinstance(row, dict)]
        if any("batches" in row for row in epochs):  # skorch's
            epochs = [
                {k: one for k, one in row.items() if k != "batches" and not isinstance(one, bool)}
                for row in epochs
            ]
        return _of_rows(epochs, "a list of rows")
    if not isinstance(value, dict):
        raise FormatError("it holds no names")
    found = Found(form="names and values")
    _names(value, "", found)
    if all(point.step == 0 for point in found.points):
        (step,) = rows.steps([value])
        found.points = [point._replace(step=step or 0) for point in found.points]
    found.points = [point for point in found.points if point.name not in STEPS]
    return found


def _names(value: Mapping[str, Any], prefix: str, found: Found) -> None:
    counted = next(
        (n for n in value if n.lower().rstrip("s") in STEPS and _is_series(value[n])), None
    )
    for key, item in value.items():
        name = f"{prefix}{key}"
        both = [item.get("steps"), item.get("values")] if isinstance(item, dict) else []
        if both and all(isinstance(one, list) for one in both):  # Sacred
            found.form = "Sacred's steps and values"
            stamps = item.get("timestamps") or [""] * len(item["steps"])
            times = (metrics.milliseconds(str(stamp)) for stamp in stamps)
            found.points += _series(name, zip(item["steps"], item["values"]), times)
        # pandas' by index
        elif (
            isinstance(item, dict)
            and all(str(at).isdecimal() for at in item)
            and _is_series([*item.values()])
        ):
            found.points += _series(name, item.items())
        elif isinstance(item, dict):
            _names(item, f"{name}.", found)
        elif _is_series(item):
            steps = value[counted] if counted and len(value[counted]) == len(item) else None
            steps = None if steps and None in steps else steps
            found.points += [] if key == counted else _series(name, zip(steps or count(), item))
        elif isinstance(item, list) and item and all(map(_has_step, item)):
            points, _ = rows.read(item)
            found.points += [point._replace(name=f"{name}.{point.name}") for point in points]
        elif (number := as_number(item)) is not None and key.strip() and "\n" not in key:
            found.points.append(MetricPoint(name, number, 0, 0))
        else:
            found.text.append(name)


def _is_series(item: Any) -> bool:
    """Whether a list holds numbers, and gaps."""
    numbers = [as_number(one) for one in item if one is not None] if isinstance(item, list) else []
    return bool(numbers) and None not in numbers


def _has_step(row: Any) -> bool:
    return isinstance(row, dict) and not {name.lower() for name in row}.isdisjoint(STEPS)


def _series(
    name: str, values: Iterable[tuple[Any, Any]], times: Iterable[int] = repeat(0)
) -> list[MetricPoint]:
    """Return the points of pairs of a step and a value, but for those that are no numbers."""
    return [
        MetricPoint(name, number, stamp, int(at))
        for (at, one), stamp in zip(values, times)
        if (number := as_number(one)) is not None
    ]
