"""MLflow's words for what gitexp has, and back: params as text, statuses, metric values that a database can hold, tags.

Pure functions without MLflow, so that whoever imports from it, mirrors to it or stands in for it says the same.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from typing import Any

from gitexp.experiment import Experiment

MAX_PARAM = 6000  # characters; MLflow cuts what is longer
MAX_TAG = 8000
DEFAULT_EXPERIMENT = "Default"
_LARGEST = 1.7976931348623157e308  # what MLflow's databases hold for an infinity
_WORDS = {"True": True, "False": False, "None": None}
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_SCIENTIFIC = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][-+]?[0-9]{1,3}")
STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}  # gitexp's: MLflow's
OURS = {name: status for status, name in STATUS.items()}


def param_value(text: str) -> Any:
    """Return what a param's text stands for: MLflow knows only text, and wrote ``str(value)``.

    A number, truth value, None or list only where writing it again gives the same text, so ``01234`` and ``3.10`` stay text;
    and a number like ``1e-4``, whose text ``original`` keeps.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text) and text != "-0":
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return _list(text)
    scientific = _SCIENTIFIC.fullmatch(text) and math.isfinite(number)
    return number if scientific or repr(number) == text else text


def param_text(value: Any) -> str:
    """Return a param as MLflow would have it: ``str`` of it."""
    return value if isinstance(value, str) else str(value)


def original(text: str) -> str | None:
    """Return the text itself where ``param_text`` of its value would be another, else None."""
    return text if param_text(param_value(text)) != text else None


def metric_row(value: float) -> tuple[float, bool]:
    """Return ``(value, is_nan)`` as MLflow's databases hold a metric: NaN as 0, infinities as the largest numbers."""
    if math.isnan(value):
        return 0.0, True
    return (math.copysign(_LARGEST, value) if math.isinf(value) else float(value)), False


def metric_value(value: float, is_nan: bool = False) -> float:
    """Return the value that such a row stands for."""
    return math.nan if is_nan else math.copysign(math.inf, value) if abs(value) >= _LARGEST else value


def run_tags(experiment: Experiment) -> dict[str, str]:
    """Return the tags of an experiment that MLflow did not record itself, and those that only gitexp knows."""
    note = "\n\n".join(experiment.notes)
    tags = {
        "mlflow.runName": experiment.name,
        "mlflow.user": experiment.author,
        "mlflow.source.name": experiment.command,
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": note,
        **own_tags(experiment),
    }
    return {key: value[:MAX_TAG] for key, value in tags.items() if value}


def own_tags(experiment: Experiment) -> dict[str, str]:
    """Return the tags that say what an experiment is in git."""
    tags: Mapping[str, str | None] = {
        "mlflow.source.git.commit": experiment.id,
        "mlflow.source.git.branch": experiment.branch,
        "gitexp.name": experiment.name,
        "gitexp.parent": experiment.parent,
        "gitexp.labels": ", ".join(experiment.labels),
    }
    return {key: value[:MAX_TAG] for key, value in tags.items() if value}


def _list(text: str) -> Any:
    if not (text[:1] == "[" and text[-1:] == "]" and len(text) < 1000):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    plain = isinstance(value, list) and all(type(item) in (int, float, str, bool) for item in value)
    return value if plain and str(value) == text else text
