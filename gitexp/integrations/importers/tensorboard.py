"""``gitexp import tensorboard``: event files, as tensorboardX, PyTorch, Keras and Lightning write
them.

Read with TensorBoard's own loader, which needs no TensorFlow. A folder with event files is a run;
its scalars are the metrics, and the params are those of the hparams plugin, or of Lightning's
``hparams.yaml`` beside. ``add_hparams`` of PyTorch and tensorboardX writes params and results into
a folder of their own below the run's: where there is one, it belongs to the run. ``add_scalars``
writes each curve of a chart into a folder of its own: they join the run as ``chart/curve``. Event
files know neither a commit nor a name, so a run is told by its first file, the time and the first
value in it, and where they are equal by its folder; the file and the time alone, which once told
it, are often the same for all that one process writes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitexp.formats import params
from gitexp.formats.errors import FormatError, UsageError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.extras import needed
from gitexp.integrations.importers.found import (
    Found,
    Progress,
    Run,
    Unread,
    files_in,
    moment,
    shown,
)

_LATEST = 2.0**40  # seconds since 1970
_STATUSES = {2: "failed", 3: "killed"}  # STATUS_FAILURE, STATUS_RUNNING of the hparams plugin


@dataclass
class _Facts:
    """What the event files of one folder say, but for their metrics."""

    files: list[Path]
    first: float | None = None
    last: float = 0.0
    scalars: bool = False
    params: dict[str, Any] = field(default_factory=dict)
    status: str = "finished"
    partly: list[Unread] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    curves: dict[Path, str] = field(default_factory=dict)  # file: the name of all that it holds
    former: list[str] = field(default_factory=list)  # the ids by which its parts were once known
    begin: str = ""  # its first value


def find(folder: Path, progress: Progress = lambda done, total: None) -> Iterator[Found]:
    """Yield the runs below a folder, oldest first.

    Raises:
        UsageError: there are none.
        MissingExtraError: TensorBoard, which knows the format, is not installed.
    """
    files: dict[Path, list[Path]] = {}
    inside, outside = files_in(folder, "*tfevents*")
    for path in inside:
        files.setdefault(path.parent, []).append(path)
    yield from outside
    if not files:
        raise UsageError(
            f"there is no event file (events.out.tfevents...) below {folder}; give the folder that"
            " TensorBoard is shown"
        )
    needed(
        "tensorboard.backend.event_processing.event_file_loader",
        "reading event files",
        "tensorboard",
    )
    runs: dict[Path, _Facts] = {}
    for at, (place, some) in enumerate(files.items()):
        progress(at, len(files))
        facts = _gather(place, some)
        runs[place] = facts
    _join_curves(runs)
    for place in [place for place, facts in runs.items() if not (facts.scalars or facts.params)]:
        yield Unread(
            str(place.relative_to(folder)), "no scalars and no hparams are in its event files"
        )
        yield from runs.pop(place).partly
    ids: set[str] = set()
    former: set[str] = set()
    for place, facts in sorted(_joined(runs).items(), key=lambda item: item[1].first or 0.0):
        name = place.relative_to(folder).as_posix()
        # one import took the first alone
        first = [id for id in [_former(facts), *facts.former] if id not in former]
        id = f"{_former(facts)} {facts.begin}".strip()
        id = id if id not in ids else f"{id} {name}"
        ids.add(id)
        former.update(first)
        yield _run(folder, id, first, place.resolve().name if name == "." else name, facts)
    progress(len(files), len(files))


def _former(facts: _Facts) -> str:
    return f"{facts.files[0].name}@{facts.first or 0.0!r}"


def _join_curves(runs: dict[Path, _Facts]) -> None:
    """Give a run the folders below it that ``add_scalars`` wrote: each holds one tag, and is called
    by it and the curve."""
    for place in sorted(runs, key=lambda path: len(path.parts), reverse=True):
        part = runs[place]
        above = next((parent for parent in place.parents if parent in runs), None)
        if above is None or len(part.tags) != 1 or part.params:
            continue
        (tag,) = part.tags
        name = place.relative_to(above).as_posix()
        stem = next(
            (stem for stem in (f"{tag}/", f"{tag.replace('/', '_')}_") if name.startswith(stem)),
            None,
        )
        if stem:
            whole = runs[above]
            whole.former += [_former(part), *part.former]
            whole.files += part.files
            whole.curves |= {path: f"{tag}/{name[len(stem) :]}" for path in part.files}
            whole.scalars = True
            whole.first = min(part.first or 0.0, whole.first or part.first or 0.0)
            whole.last = max(whole.last, part.last)
            whole.partly += part.partly
            del runs[place]


def _joined(runs: Mapping[Path, _Facts]) -> dict[Path, _Facts]:
    """Give a run without params those of the one folder below it that ``add_hparams`` wrote."""
    whole = dict(runs)
    for place, facts in runs.items():
        below = [other for other in runs if other.parent == place and runs[other].params]
        if not facts.params and len(below) == 1:
            part = whole.pop(below[0])
            first, last = min(facts.first or 0.0, part.first or 0.0), max(facts.last, part.last)
            partly = [*facts.partly, *part.partly]
            files, curves = [*facts.files, *part.files], {**facts.curves, **part.curves}
            former = [*facts.former, *part.former]
            whole[place] = _Facts(
                files,
                first,
                last,
                True,
                part.params,
                part.status,
                partly,
                set(),
                curves,
                former,
                facts.begin or part.begin,
            )
    return whole


def _run(folder: Path, id: str, former: Sequence[str], name: str, facts: _Facts) -> Run:
    first = facts.first or 0.0
    return Run(
        "tensorboard",
        id,
        shown(folder),
        title=name,
        started=moment(first),
        points=lambda: _points(facts),
        params=facts.params,
        status=facts.status,
        duration=facts.last - first if facts.last > first else None,
        partly=tuple(facts.partly),
        former=tuple(former),
    )


def _gather(place: Path, files: Sequence[Path]) -> _Facts:
    facts = _Facts(list(files))
    for path in files:
        for event in _events(path, facts.partly):
            facts.first = (
                event.wall_time if facts.first is None else min(facts.first, event.wall_time)
            )
            facts.last = max(facts.last, event.wall_time)
            for value in event.summary.value:
                plugin = value.metadata.plugin_data
                if plugin.plugin_name == "hparams":
                    _read_hparams(plugin.content, facts)
                if _is_scalar(value):
                    facts.scalars = True
                    facts.begin = facts.begin or f"{value.tag}={_value(value)} at {event.step}"
                    facts.tags.add(value.tag)
    yaml = place / "hparams.yaml"
    if yaml.is_file() and not yaml.is_symlink():
        try:
            facts.params = {**params.load_file(yaml), **facts.params}
        except FormatError as error:
            facts.partly.append(Unread(str(yaml), str(error)))
    return facts


def _read_hparams(content: bytes, facts: _Facts) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = HParamsPluginData.FromString(content)
    kind = data.WhichOneof("data")
    if kind == "session_start_info":
        for name, value in data.session_start_info.hparams.items():
            given = value.WhichOneof("kind")
            facts.params[name] = _whole(getattr(value, given)) if given else None
    elif kind == "session_end_info":
        facts.status = _STATUSES.get(data.session_end_info.status, "finished")


def _whole(value: Any) -> Any:
    return (
        int(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        else value
    )


def _points(facts: _Facts) -> Iterator[MetricPoint]:
    for path in facts.files:
        for event in _events(path, []):
            for value in event.summary.value:
                if _is_scalar(value):
                    name = facts.curves.get(path, value.tag)
                    yield MetricPoint(name, _value(value), int(event.wall_time * 1000), event.step)


def _value(value: Any) -> float:
    from tensorboard.util import tensor_util

    # 0.1 in 32 bits is 0.1, not the double 0.10000000149 that is nearest to it
    return float(str(tensor_util.make_ndarray(value.tensor).reshape(-1)[0]))


def _is_scalar(value: Any) -> bool:
    numbers = (
        value.WhichOneof("value") == "tensor"
        and value.metadata.plugin_data.plugin_name == "scalars"
    )
    return numbers and not any(item.size != 1 for item in value.tensor.tensor_shape.dim)


def _events(path: Path, partly: list[Unread]) -> Iterator[Any]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    try:
        for event in EventFileLoader(str(path)).Load():
            if not 0 <= event.wall_time < _LATEST:  # NaN, say, as a broken clock or disk leaves it
                event.wall_time = 0.0
            yield event
    except Exception as error:  # what a damaged file makes the loader raise is of many kinds
        partly.append(
            Unread(
                str(path),
                "read up to where it is damaged:"
                f" {' '.join(str(error).split())[:120] or type(error).__name__}",
            )
        )
