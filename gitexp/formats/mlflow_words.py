"""Translates experiments to MLflow and back: tags, status, params and names.

Pure functions that need no MLflow. The mirror, the tracking store and the import all speak with
these, so that a run that went there and came back is the same experiment. Limits and forms are
those of MLflow 3 (``mlflow/utils/validation.py``).

``mlflow.source.git.commit`` is the experiment's own commit, which holds the code that ran. MLflow
itself can only give the commit before.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import posixpath
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gitexp.formats import assigned, message, metrics
from gitexp.formats.experiment import Experiment, MetricPoint

# What MLflow takes at once and at most, in characters and entities.
KEY_LENGTH = 250
PARAM_LENGTH = 6000
OLD_PARAM_LENGTH = 500  # what servers of MLflow 2.2 refuse to exceed
TAG_LENGTH = 8000
METRICS_AT_ONCE = 1000
ENTITIES_AT_ONCE = 1000

NAME = "mlflow.runName"
COMMIT = "mlflow.source.git.commit"
BRANCH = "mlflow.source.git.branch"
REPOSITORY = "mlflow.source.git.repoURL"
SOURCE = "mlflow.source.name"
SOURCE_TYPE = "mlflow.source.type"
USER = "mlflow.user"
NOTE = "mlflow.note.content"
PARENT = "mlflow.parentRunId"
OURS = "gitexp."  # what all tags of our own begin with
ID = "gitexp.id"
LABELS = "gitexp.labels"

DEFAULT = "Default"  # MLflow's experiment for runs that belong to none
_STATUSES = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
_ODD = re.compile(r"[^/\w.\- :]|_(?=x[0-9A-F]{4})")
_SPELLED = re.compile(r"_x(0?[0-9A-F]{4,5}|10[0-9A-F]{4})_")
_LARGEST = 1.7976931348623157e308
_FARTHEST = 2**63 - 1
_CONSTANTS = {"True": True, "False": False, "None": None}
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_SCIENTIFIC = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][-+]?[0-9]{1,3}")


def identity(experiment: Experiment) -> str:
    """Return what identifies an experiment everywhere: its Gitexp-Id, else its commit."""
    given = experiment.extra.get("id")
    return given if isinstance(given, str) and given else experiment.id


def tags(experiment: Experiment, repository: str | None = None, body: str = "") -> dict[str, str]:
    """Return the tags of its MLflow run; ``repository`` is the remote's URL without credentials,
    and ``body`` the note in the commit message, which an experiment does not know."""
    found = {
        NAME: experiment.name,
        COMMIT: experiment.id,
        BRANCH: experiment.branch,
        REPOSITORY: repository,
        SOURCE: experiment.command or "gitexp",
        SOURCE_TYPE: "LOCAL",
        USER: experiment.author,
        NOTE: note(experiment, body),
        ID: identity(experiment),
        "gitexp.commit": experiment.id,
        "gitexp.name": experiment.name,
        "gitexp.parent": experiment.parent,
        "gitexp.group": experiment.group,
        "gitexp.email": experiment.email,
        LABELS: json.dumps(experiment.labels, ensure_ascii=False) if experiment.labels else None,
    }
    return {key: cut(value, TAG_LENGTH) for key, value in found.items() if value}


def note(experiment: Experiment, body: str = "") -> str:
    """Return a run's description: the message somebody wrote, its body, and later notes."""
    texts = (message.own_subject(experiment), body, *experiment.notes)
    return "\n\n".join(filter(None, texts))


def labels(run_tags: Mapping[str, str]) -> tuple[str, ...]:
    """Return the labels that a run's tags name, none where they say nothing readable."""
    try:
        found = json.loads(run_tags.get(LABELS, "[]"))
    except (ValueError, RecursionError):
        return ()
    texts = {item for item in found if isinstance(item, str)} if isinstance(found, list) else ()
    return tuple(sorted(texts))


def run_status(status: str) -> str:
    """Return MLflow's word for a status of ours: ``FINISHED`` for ``finished``."""
    return _STATUSES[status]


def status(run_status: str) -> str | None:
    """Return our word for MLflow's; None while a run goes on (``RUNNING``, ``SCHEDULED``)."""
    return next((ours for ours, theirs in _STATUSES.items() if theirs == run_status), None)


def experiment_name(group: str | None, otherwise: str = DEFAULT) -> str:
    """Return the MLflow experiment that the experiments of a group belong to."""
    return cut(group or otherwise, 500)


def group(experiment_name: str) -> str | None:
    """Return the group for an MLflow experiment; None for MLflow's default one."""
    return None if experiment_name == DEFAULT else experiment_name


def key(name: str) -> str:
    """Return a param's or metric's name as MLflow takes it: what it refuses is spelled ``_xHHHH_``,
    as in XML's names, and ``name`` reads it back; what is too long ends in a hash."""
    spelled = _ODD.sub(lambda match: _escaped(match[0]), name)
    if posixpath.normpath(spelled) != spelled or spelled.startswith("/"):
        spelled = spelled.replace("/", _escaped("/"))
    if spelled.startswith("..") or spelled == ".":
        spelled = _escaped(".") + spelled[1:]
    if len(spelled) > KEY_LENGTH:
        mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        spelled = f"{spelled[: KEY_LENGTH - 17]}-{mark}"
    return spelled


def name(key: str) -> str:
    """Return the name that ``key`` spelled."""
    return _SPELLED.sub(lambda match: chr(int(match[1], 16)), key)


def param_text(value: Any) -> str:
    """Return a param's value as MLflow's text: lists and mappings as JSON, else ``str``."""
    if isinstance(value, (list, tuple, dict)):
        return cut(json.dumps(value, ensure_ascii=False, default=str), PARAM_LENGTH)
    return cut(str(value), PARAM_LENGTH)


def param_value(text: str) -> Any:
    """Return what a param's text stands for: a number only where writing it gives the same text
    (``01234`` and ``3.10`` stay), or like ``1e-4``; lists, mappings, True, False and None."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _WHOLE.fullmatch(text) and text != "-0":
        return int(text)
    if (text[:1], text[-1:]) in (("[", "]"), ("{", "}")):
        return _collection(text)
    try:
        number = float(text)
    except ValueError:
        return text
    scientific = _SCIENTIFIC.fullmatch(text) and math.isfinite(number)
    return number if scientific or repr(number) == text else text


def metric_row(value: float) -> tuple[float, bool]:
    """Return ``(value, is_nan)`` as MLflow's databases do: NaN 0, infinities the largest."""
    number = metrics.double(value)
    if math.isnan(number):
        return 0.0, True
    return (math.copysign(_LARGEST, number) if math.isinf(number) else number), False


def metric_value(number: float, is_nan: bool = False) -> float:
    """Return the value that such a row stands for."""
    if is_nan:
        return math.nan
    return math.copysign(math.inf, number) if abs(number) >= _LARGEST else number


def latest_of(data: bytes) -> list[MetricPoint] | None:
    """Return the point of each metric that MLflow calls the latest: of the highest step, then the
    highest time, then the highest value, where NaN is 0; None where the rows are not as we write
    them."""
    if not data.startswith(metrics.HEADER):
        return None
    found: dict[bytes, tuple[tuple[int, int], bytes]] = {}
    with suppress(ValueError, OverflowError):
        for name, value, time, step in zip(*metrics.columns(data[len(metrics.HEADER) :])):
            at, known = (int(step), int(time)), found.get(name)
            if not known or at > known[0] or (at == known[0] and _rank(value) > _rank(known[1])):
                found[name] = at, value
        return [
            MetricPoint(
                name[1:-1].decode(),
                metrics.parse_cell(value.decode()),
                metrics.milliseconds(str(time)),
                step,
            )
            for name, ((step, time), value) in found.items()
        ]
    return None


def _rank(value: bytes) -> float:
    return metric_row(float(value))[0]


def metric_json(point: MetricPoint) -> dict[str, Any]:
    """Return a point as MLflow's REST API takes it: finite or by name, within 64 bits."""
    number = metrics.double(point.value)
    return {
        "key": key(point.name),
        "value": number if math.isfinite(number) else json.dumps(number),
        "timestamp": max(0, min(point.timestamp, _FARTHEST)),
        "step": max(-_FARTHEST, min(point.step, _FARTHEST)),
    }


def cut(text: str, length: int) -> str:
    """Return text that a database can hold, cut to ``length`` with ``...`` at its end."""
    sound = text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return sound if len(sound) <= length else f"{sound[: length - 3]}..."


def _escaped(char: str) -> str:
    return f"_x{ord(char):04X}_"


def _collection(text: str) -> Any:
    if len(text) > PARAM_LENGTH:
        return text
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    with suppress(ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        value = assigned.quietly(ast.literal_eval, text)
        if isinstance(value, (list, dict)) and str(value) == text and _is_plain(value):
            return value
    return text


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return {*map(type, value)} <= {str} and all(map(_is_plain, value.values()))
    return value is None or type(value) in (int, float, str, bool)
