"""``gitexp import wandb``: runs as Weights & Biases keeps them on disk, offline ones and the copies
of those that were online.

A ``run-ID.wandb`` file is a log in LevelDB's format (github.com/google/leveldb, doc/log_format.md)
behind a header of seven bytes; each record is a protobuf message, and those are W&B's own
(``wandb_internal.proto``, whose numbers are below), so the package need not be installed. A torn
end, as a killed run leaves it, ends the reading. A run that was resumed has several files.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers import found
from gitexp.formats.trackers.found import Found, Progress, Run, Unread, files_in, number, status
from gitexp.formats.trackers.protobuf import Message, logged

_HEADER = b":W&B\xe1\xbe\x00"
_SIGN_OF_LIFE = 180.0  # seconds; a run writes what the machine does every 15
_LARGEST_PATCH = 50 * 10**6  # bytes
_Path = tuple[str, ...]
_Row = tuple[int, int, list[tuple[_Path, float]]]  # time, step, values
_HISTORY, _SUMMARY, _CONFIG, _RUN, _EXIT, _ENVIRONMENT = 2, 3, 5, 17, 18, 26  # kinds of a Record
_UPDATE, _REMOVE = 1, 2  # of a config or a summary


@dataclass
class _Facts:
    """What the files of one run say, gathered record by record."""

    files: list[Path] = field(default_factory=list)
    run: Message = field(default_factory=Message)
    environment: Message = field(default_factory=Message)
    exit_code: int | None = None
    runtime: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    names: set[_Path] = field(default_factory=set)
    rows: list[_Row] = field(default_factory=list)
    last_step: int = 0
    last_time: float = 0.0

    @property
    def started(self) -> float:
        return self.run.message(17).time()

    @property
    def title(self) -> str:
        return self.run.text(8) or self.run.text(1)


def find(folder: Path, progress: Progress = lambda done, total: None) -> Iterator[Found]:
    """Yield the runs below ``wandb``, or above it, oldest first; raises UsageError."""
    what = f"there is no run-ID.wandb below {folder}"
    advice = "give the folder 'wandb' that W&B writes beside a script"
    files, outside = files_in(folder, "*.wandb", lacking=f"{what}; {advice}")
    yield from outside
    yield from read(folder, files, progress=progress)


def read(
    folder: Path,
    files: Sequence[Path],
    over: bool = False,
    progress: Progress = lambda done, total: None,
) -> Iterator[Found]:
    """Yield the runs in files below a folder, oldest first; ``over``: who wrote them has ended."""
    runs: dict[str, list[tuple[float, Path]]] = {}
    for path in files:
        try:
            records = logged(path, _HEADER)
            run = next((item.message(_RUN) for item in records if _RUN in item), None)
        except (FormatError, OSError) as error:
            yield Unread(str(path), str(error))
            continue
        if run is None:
            yield Unread(str(path), "it ends before its run began")
        else:
            id = "/".join(filter(None, (run.text(2), run.text(3), run.text(1))))
            runs.setdefault(id, []).append((run.message(17).time(), path))
    for at, (id, parts) in enumerate(sorted(runs.items(), key=lambda item: item[1][0][0])):
        progress(at, len(runs))
        facts = _Facts()
        for _, path in parts:
            _gather(path, facts)
        newest = max(path.stat().st_mtime for path in facts.files)
        if facts.exit_code is None and time.time() - newest < _SIGN_OF_LIFE and not over:
            why = "it seems to be active; import it again when it has ended, or in some minutes"
            yield Unread(f"wandb {facts.title}", why)
        else:
            yield _run(folder, id, facts)
    progress(len(runs), len(runs))


def _run(folder: Path, id: str, facts: _Facts) -> Run:
    run, environment, started = facts.run, facts.environment, facts.started
    whole = facts.runtime if len(facts.files) == 1 else None
    duration = whole or (facts.last_time - started if facts.last_time > started else None)
    tags = {"project": run.text(3), "job_type": run.text(7), "sweep": run.text(12)}
    program = environment.text(7) or environment.text(6)
    command = ["python", program, *environment.texts(5)] if program else []
    count = len(facts.rows)  # W&B holds the last one in memory
    lost = f"it was killed; {count:,} rows were read, and W&B may never have written the last one"
    return Run(
        id,
        kind="wandb",
        where=found.shown(folder),
        title=facts.title,
        started=found.moment(started),
        points=_points(facts),
        params={name: value for name, value in facts.config.items() if name != "_wandb"},
        status=status(facts.exit_code),
        duration=duration,
        note=run.text(9),
        labels=tuple(run.texts(10)),
        group=run.text(6) or run.text(12) or None,
        author=found.person(environment.text(13), environment.text(10)) or None,
        command=shlex.join(command) or None,
        commit=run.message(21).text(2) or environment.message(9).text(2) or None,
        patch=_patch(facts.files),
        tags={name: value for name, value in tags.items() if value},
        partly=() if facts.exit_code is not None else (Unread(f"wandb {facts.title}", lost),),
    )


def _patch(files: Sequence[Path]) -> bytes | None:
    """Return the changes since the commit, which W&B keeps beside the log."""
    path = files[0].parent / "files/diff.patch"
    try:
        return path.read_bytes() if 0 < path.stat().st_size <= _LARGEST_PATCH else None
    except OSError:
        return None


# -- records ---------------------------------------------------------------------------------------


def _gather(path: Path, facts: _Facts) -> None:
    """Read a file, after those of the same run before it."""
    facts.files.append(path)
    facts.exit_code = facts.runtime = None
    for record in logged(path, _HEADER):
        if _RUN in record:
            run = record.message(_RUN)
            facts.run = facts.run or run
            _update(facts.config, run.message(4))
            _update(facts.summary, run.message(5))
        elif _CONFIG in record:
            _update(facts.config, record.message(_CONFIG))
        elif _SUMMARY in record:
            _update(facts.summary, record.message(_SUMMARY))
        elif _ENVIRONMENT in record:
            facts.environment = facts.environment or record.message(_ENVIRONMENT)
        elif _EXIT in record:
            end = record.message(_EXIT)
            facts.exit_code, facts.runtime = end.whole(1), float(end.whole(2)) or None
        elif _HISTORY in record:
            history = record.message(_HISTORY)
            values: dict[str, Any] = {}
            _put(values, history.messages(1))
            numbers, step, at = list(_numbers(values)), _step(values, history), _time(values)
            facts.rows.append((int(at * 1000), step, numbers))
            facts.names.update(name for name, _ in numbers)
            facts.last_step, facts.last_time = max(facts.last_step, step), max(facts.last_time, at)


def _points(facts: _Facts) -> Iterator[MetricPoint]:
    """Yield the metrics, and what only the summary has, or the script set there, as one point at
    the end."""
    called = {name: _called(name, facts.names) for name in facts.names}
    for stamp, step, numbers in facts.rows:
        yield from (MetricPoint(called[name], value, stamp, step) for name, value in numbers)
    end = int((facts.last_time or facts.started) * 1000)
    last = {name: value for _, _, numbers in facts.rows for name, value in numbers}
    ended = facts.exit_code is not None  # else the summary may lag behind
    for name, value in _numbers(facts.summary):
        if name not in last or (ended and value == value and value != last[name]):
            yield MetricPoint(_called(name, facts.names), value, end, facts.last_step)


def _called(path: _Path, names: set[_Path]) -> str:
    """Return a metric's name: ``a.b`` for a path, ``a/b`` where another has the first."""
    name = ".".join(path)
    return "/".join(path) if len(path) > 1 and (name,) in names else name


def _time(values: Mapping[str, Any]) -> float:
    stamp = values.get("_timestamp")
    return float(stamp) if isinstance(stamp, (int, float)) and 0 < stamp < 2**40 else 0.0


def _step(values: Mapping[str, Any], history: Message) -> int:
    step = values.get("_step")
    known = isinstance(step, (int, float)) and abs(step) < 2**62
    return int(step) if known and step is not None else history.message(2).whole(1)


def _update(values: dict[str, Any], change: Message) -> None:
    _put(values, change.messages(_UPDATE))
    for item in change.messages(_REMOVE):
        values.pop((item.texts(2) or [item.text(1)])[0], None)


def _put(values: dict[str, Any], items: Sequence[Message]) -> None:
    """Set names, of which a nested one comes as a path, to values, which come as JSON."""
    for item in items:
        *path, last = item.texts(2) or [item.text(1)]
        here = values
        for name in path:
            if not isinstance(here.get(name), dict):
                here[name] = {}
            here = here[name]
        here[last] = _json(item.text(16))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _numbers(values: Mapping[str, Any], above: _Path = ()) -> Iterator[tuple[_Path, float]]:
    """Yield the metrics of a row: its numbers, each with the names that lead to it.

    Names with an underscore in front are W&B's own, and typed mappings are media.
    """
    for name, value in values.items():
        if name.startswith("_"):
            continue
        if isinstance(value, dict) and "_type" not in value:
            yield from _numbers(value, (*above, name))
        elif (metric := number(value)) is not None:
            yield (*above, name), metric
