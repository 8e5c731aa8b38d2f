"""``gitexp import tensorboard``: event files, as tensorboardX, PyTorch, Keras and Lightning write
them.

Read with TensorBoard's own loader, which needs no TensorFlow. A folder with event files is a run;
its scalars are the metrics, and the params are those of the hparams plugin, or of Lightning's
``hparams.yaml`` beside. ``add_hparams`` of PyTorch and tensorboardX writes params and results into
a folder of their own below the run's: where there is one, it belongs to the run. Event files know
neither a commit nor a name, so a run is told by its first file and the time in it.
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
from gitexp.integrations.importers.found import Found, Progress, Run, Unread, moment, shown

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


def find(folder: Path, progress: Progress = lambda done, total: None) -> Iterator[Found]:
    """Yield the runs below a folder, oldest first.

    Raises:
        UsageError: there are none.
        MissingExtraError: TensorBoard, which knows the format, is not installed.
    """
    files: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*tfevents*")):
        if path.is_file():
            files.setdefault(path.parent, []).append(path)
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
        if facts.first is None or not (facts.scalars or facts.params):
            yield Unread(
                str(place.relative_to(folder)), "no scalars and no hparams are in its event files"
            )
            yield from facts.partly
        else:
            runs[place] = facts
    for place, facts in sorted(_joined(runs).items(), key=lambda item: item[1].first or 0.0):
        name = place.relative_to(folder).as_posix()
        yield _run(folder, place.resolve().name if name == "." else name, facts)
    progress(len(files), len(files))


def _joined(runs: Mapping[Path, _Facts]) -> dict[Path, _Facts]:
    """Give a run without params those of the one folder below it that ``add_hparams`` wrote."""
    whole = dict(runs)
    for place, facts in runs.items():
        below = [other for other in runs if other.parent == place and runs[other].params]
        if not facts.params and len(below) == 1:
            part = whole.pop(below[0])
            first, last = min(facts.first or 0.0, part.first or 0.0), max(facts.last, part.last)
            partly = [*facts.partly, *part.partly]
            whole[place] = _Facts(
                [*facts.files, *part.files], first, last, True, part.params, part.status, partly
            )
    return whole


def _run(folder: Path, name: str, facts: _Facts) -> Run:
    first = facts.first or 0.0
    return Run(
        "tensorboard",
        f"{facts.files[0].name}@{first!r}",
        shown(folder),
        title=name,
        started=moment(first),
        points=lambda: _points(facts.files),
        params=facts.params,
        status=facts.status,
        duration=facts.last - first if facts.last > first else None,
        partly=tuple(facts.partly),
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
                facts.scalars = facts.scalars or _is_scalar(value)
    yaml = place / "hparams.yaml"
    if yaml.is_file():
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


def _points(files: Sequence[Path]) -> Iterator[MetricPoint]:
    from tensorboard.util import tensor_util

    for path in files:
        for event in _events(path, []):
            for value in event.summary.value:
                if _is_scalar(value):
                    number = tensor_util.make_ndarray(value.tensor).reshape(-1)[0]
                    # 0.1 in 32 bits is 0.1, not the double 0.10000000149 that is nearest to it
                    yield MetricPoint(
                        value.tag, float(str(number)), int(event.wall_time * 1000), event.step
                    )


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
        yield from EventFileLoader(str(path)).Load()
    except Exception as error:  # what a damaged file makes the loader raise is of many kinds
        partly.append(
            Unread(
                str(path),
                "read up to where it is damaged:"
                f" {' '.join(str(error).split())[:120] or type(error).__name__}",
            )
        )
