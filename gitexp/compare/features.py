"""Experiments as sets of features, by which they are alike: lines that they added and removed,
their shapes (names and numbers left out), words and functions in them, params, words of reasons.

A feature is a number: a hash of its text, and in the last three bits its family. Those of reasons
are negative: they speak for a likeness, and their lack not against it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

from gitexp.formats.experiment import Experiment
from gitexp.formats.message import own_subject

_MOST = 3000  # features of one experiment
_HUGE = 1e300  # whole numbers beyond may be larger than any float
_WEIGHTS = {"line": 1.0, "shape": 0.8, "word": 0.5, "function": 0.5, "path": 0.3, "param": 1.0,
            "near": 0.7, "reason": 0.7}  # fmt: skip
_WORD = re.compile(r"[A-Za-z_]\w*")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_NUMBER = re.compile(r"\b\d[\w.]*(?:[-+]\d+)?")
Features = list[int]


def of_patch(patch: str) -> Features:
    """Return what a patch touches: paths, functions, lines, their shapes and words."""
    found: dict[int, None] = {}
    lines: list[str] = []
    for line in patch.splitlines()[:_MOST]:
        if line.startswith(("+++ ", "--- ")):
            path = line[6:] if line[4:6] in ("a/", "b/") else ""
            found |= dict.fromkeys(_keys("path", [path] if path else []))
        elif line.startswith("@@ "):
            found |= dict.fromkeys(_keys("function", _WORD.findall(line.split("@@", 2)[-1])))
        elif line[:1] in ("+", "-") and (text := " ".join(line[1:].split())):
            lines.append(line[0] + text)
    for line in _without_renames(lines) or lines:
        shape = _WORD.sub("v", _NUMBER.sub("0", line))
        found |= dict.fromkeys(_keys("line", [line]))
        found |= dict.fromkeys(_keys("shape", [shape] if len(shape) > 7 else []))
        found |= dict.fromkeys(_keys("word", _words(line)))
    return [*found][:_MOST]


def _without_renames(lines: Sequence[str]) -> list[str]:
    """Leave out lines that were removed and added with other names alone, or elsewhere."""
    shapes = [_WORD.sub("v", line) for line in lines]
    there = Counter(shapes)
    both = {shape[1:]: min(there["+" + shape[1:]], there["-" + shape[1:]]) for shape in shapes}
    left = Counter({shape: both[shape[1:]] for shape in there})
    kept = []
    for line, shape in zip(lines, shapes):
        if left[shape]:
            left[shape] -= 1
        else:
            kept.append(line)
    return kept


def facts(params: Mapping[str, Any], reason: str) -> Features:
    """Return what params and a reason say."""
    near = (f"{name}~{round(2 * math.log2(abs(value)))}" for name, value in params.items()
            if isinstance(value, (int, float)) and 0 < abs(value) < math.inf)  # fmt: skip
    exact = (f"{name}={value:g}" if isinstance(value, (int, float)) and abs(value) < _HUGE
             else f"{name}={value}" for name, value in params.items())  # fmt: skip
    return [
        *_keys("param", exact),
        *_keys("near", near),
        *(-key for key in _keys("reason", _words(reason))),
    ]


def _keys(family: str, texts: Iterable[str]) -> list[int]:
    """Return texts as numbers."""
    place = [*_WEIGHTS].index(family)
    return [crc32(text.encode("utf-8", "replace")) << 3 | place for text in texts]


def _words(text: str) -> Iterator[str]:
    return (part.lower() for part in _PART.findall(text) if len(part) > 1)


def of_experiment(item: Experiment) -> Features:
    """Return what an experiment's params say, and what people said of it."""
    said = [own_subject(item), item.because or "", str(item.judged.get("because", "")), *item.notes]
    return facts(item.params, " ".join(said))


def weight(feature: int, total: int, count: int) -> float:
    """Return how much a feature counts that ``count`` of ``total`` experiments have."""
    return list(_WEIGHTS.values())[abs(feature) & 7] * math.log(1 + total / count) ** 2
