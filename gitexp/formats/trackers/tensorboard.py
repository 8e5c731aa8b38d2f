"""``gitexp import tensorboard``: event files, as tensorboardX, PyTorch, Keras and Lightning write
them.

A file is a row of records with checksums, each an ``Event`` of protobuf (TensorFlow's
``event.proto``, ``summary.proto`` and ``tensor.proto``), so TensorBoard need not be installed. A
folder with event files is a run, with those of ``add_hparams`` and ``add_scalars`` below it; params
are the hparams plugin's, or Lightning's ``hparams.yaml``. A run is told by its first file, the time
and the first value in it, and where they are equal by its folder. A writer with ``purge_step``
takes back what earlier files of the folder have from that step on.
"""

from __future__ import annotations

import functools
import math
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.formats import params
from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.found import Found, Progress, Run, Unread, files_in, moment, shown
from gitexp.formats.trackers.protobuf import Message, whole

_LATEST = 2.0**40  # seconds since 1970
_STATUSES = {2: "failed", 3: "killed"}  # STATUS_FAILURE, STATUS_RUNNING of the hparams plugin
_START = 1  # of a session, in TensorFlow's SessionLog
_CHECKED = 1_000  # bytes of a record up to which its checksum is looked at: scalars are short
# the types of a tensor's number, by TensorFlow's DataType, and the field that holds it
_TENSORS = {1: ("<f", 5), 2: ("<d", 6), 3: ("<i", 7), 9: ("<q", 10), 10: ("<?", 11)}
_NOTHING = Message()
_PLACEHOLDER = ("hp_metric", -1)  # of Lightning's logger, where no metric was named
# an event with the time, a step and one value: a short tag and a number of 32 bits
_PLAIN = re.compile(
    rb"\x09(.{8})(?:\x10([\x80-\xff]*[\x00-\x7f]))?\x2a[\x00-\x7f]\x0a[\x00-\x7f]"
    rb"\x0a([\x00-\x7f])(.{0,127})\x15(.{4})",
    re.DOTALL,
)


class _Value(NamedTuple):
    """A value of an event; ``number`` is None where it is no scalar."""

    tag: str
    number: float | None
    plugin: str
    content: bytes


class _Event(NamedTuple):
    time: float
    step: int
    values: tuple[_Value, ...]
    resumes: bool = False


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
    ends: dict[Path, int] = field(default_factory=dict)  # file: the step from which it is void

    def take(self, part: _Facts) -> None:
        """Take the files of a folder below it for its own."""
        self.files += part.files
        self.first = min(part.first or 0.0, self.first or part.first or 0.0)
        self.last = max(self.last, part.last)
        self.scalars = True
        self.partly += part.partly
        self.curves |= part.curves
        self.ends |= part.ends
        self.former += part.former


def find(folder: Path, progress: Progress = lambda done, total: None) -> Iterator[Found]:
    """Yield the runs below a folder, oldest first; raises UsageError where there are none."""
    what = f"there is no event file (events.out.tfevents...) below {folder}"
    advice = "give the folder that TensorBoard is shown"
    found, outside = files_in(folder, "*tfevents*", lacking=f"{what}; {advice}")
    yield from outside
    yield from read(folder.parent if folder.is_file() else folder, found, progress)


def read(
    folder: Path, found: Sequence[Path], progress: Progress = lambda done, total: None
) -> Iterator[Found]:
    """Yield the runs in event files below a folder, oldest first."""
    files: dict[Path, list[Path]] = {}
    for path in found:
        files.setdefault(path.parent, []).append(path)
    runs: dict[Path, _Facts] = {}
    for at, (place, some) in enumerate(files.items()):
        progress(at, len(files))
        runs[place] = _gather(place, some)
    _join_curves(runs)
    for place in [place for place, facts in runs.items() if not (facts.scalars or facts.params)]:
        why = "no scalars and no hparams are in its event files"
        yield Unread(str(place.relative_to(folder)), why)
        yield from runs.pop(place).partly
    _join_params(runs)
    ids: set[str] = set()
    former: set[str] = set()
    for place, facts in sorted(runs.items(), key=lambda item: item[1].first or 0.0):
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
    """Give a run the folders of ``add_scalars`` below it: one tag in each, and its curve."""
    for place in sorted(runs, key=lambda path: len(path.parts), reverse=True):
        part = runs[place]
        above = next((parent for parent in place.parents if parent in runs), None)
        if above is None or len(part.tags) != 1 or part.params:
            continue
        (tag,) = part.tags
        name = place.relative_to(above).as_posix()
        stems = (f"{tag}/", f"{tag.replace('/', '_')}_")
        if stem := next(filter(name.startswith, stems), None):
            part.curves |= {path: f"{tag}/{name[len(stem) :]}" for path in part.files}
            part.former = [_former(part), *part.former]
            runs[above].take(runs.pop(place))


def _join_params(runs: dict[Path, _Facts]) -> None:
    """Give a run without params those of the one folder below it that ``add_hparams`` wrote."""
    parts = [place for place, facts in runs.items() if facts.params]
    for place, facts in [*runs.items()]:
        below = [part for part in parts if part.parent == place]
        if place not in parts and len(below) == 1:
            part = runs.pop(below[0])
            facts.params, facts.status = part.params, part.status
            facts.begin = facts.begin or part.begin
            facts.take(part)


def _run(folder: Path, id: str, former: Sequence[str], name: str, facts: _Facts) -> Run:
    first = facts.first or 0.0
    return Run(
        id,
        kind="tensorboard",
        where=shown(folder),
        title=name,
        started=moment(first),
        points=_points(facts),
        params=facts.params,
        status=facts.status,
        duration=facts.last - first if facts.last > first else None,
        partly=tuple(facts.partly),
        former=tuple(former),
    )


def _gather(place: Path, files: Sequence[Path]) -> _Facts:
    facts = _Facts(list(files))
    for at, path in enumerate(files):
        for event in _events(path, facts.partly):
            if event.resumes:
                void = {earlier: facts.ends.get(earlier, event.step) for earlier in files[:at]}
                facts.ends |= {earlier: min(event.step, end) for earlier, end in void.items()}
            facts.first = event.time if facts.first is None else min(facts.first, event.time)
            facts.last = max(facts.last, event.time)
            for value in event.values:
                if value.plugin == "hparams":
                    _read_hparams(Message(value.content), facts)
                if value.number is not None:
                    facts.scalars = True
                    facts.begin = facts.begin or f"{value.tag}={value.number} at {event.step}"
                    facts.tags.add(value.tag)
    yaml = place / "hparams.yaml"
    if yaml.is_file() and not yaml.is_symlink():
        try:
            facts.params = {**params.load_file(yaml), **facts.params}
        except FormatError as error:
            facts.partly.append(Unread(str(yaml), str(error)))
    return facts


def _read_hparams(data: Message, facts: _Facts) -> None:
    if 3 in data:  # session_start_info
        for item in data.message(3).messages(1):
            facts.params[item.text(1)] = _given(item.message(2))
    elif 4 in data:  # session_end_info
        facts.status = _STATUSES.get(data.message(4).whole(1), "finished")


def _given(value: Message) -> Any:
    """Return what a ``google.protobuf.Value`` holds."""
    if 2 in value:
        number = value.double(2)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if 3 in value:
        return value.text(3)
    return bool(value.whole(4)) if 4 in value else None


def _points(facts: _Facts) -> Iterator[MetricPoint]:
    damaged = {item.what for item in facts.partly}  # these end where they ended before
    for path in facts.files:
        end = facts.ends.get(path, math.inf)
        for point in scalars(path, [], check=str(path) in damaged):
            if point.step < end:
                yield point._replace(name=facts.curves.get(path, point.name))


def scalars(path: Path, partly: list[Unread], check: bool = False) -> Iterator[MetricPoint]:
    """Yield the scalars of a file, its sums unchecked; ``partly`` gets what cannot be read."""
    for event in _events(path, partly, check):
        for value in event.values:
            if value.number is not None and (value.tag, value.number) != _PLACEHOLDER:
                yield MetricPoint(value.tag, value.number, int(event.time * 1000), event.step)


def _events(path: Path, partly: list[Unread], check: bool = True) -> Iterator[_Event]:
    plugins: dict[str, str] = {}  # named by the first value of a tag alone
    try:
        for data in _records(path, check):
            values: tuple[_Value, ...]
            resumes = False
            plain = _PLAIN.fullmatch(data)
            if plain and plain[3][0] == len(plain[4]):  # a number alone, as most are
                (at,), step = struct.unpack("<d", plain[1]), whole(plain[2] or b"")
                values = (_Value(str(plain[4], "utf-8", "replace"), _single(plain[5]), "", b""),)
            else:
                event = Message(data)
                at, step = event.double(1), event.whole(2)
                values = tuple(_value(item, plugins) for item in event.message(5).messages(1))
                resumes = event.message(7).whole(1) == _START
            # NaN, say, as a broken clock or disk leaves it
            yield _Event(at if 0 <= at < _LATEST else 0.0, step, values, resumes)
    except (FormatError, OSError, struct.error) as error:
        why = f"read up to where it is damaged: {' '.join(str(error).split())[:120]}"
        partly.append(Unread(str(path), why))


def _records(path: Path, check: bool) -> Iterator[bytes]:
    """Yield the records of a file up to its end, where one may be torn."""
    largest = path.stat().st_size
    with open(path, "rb") as file:
        while len(head := file.read(12)) == 12:
            size, total = struct.unpack("<QI", head)
            if size > largest or (check and _checksum(head[:8]) != total):
                raise FormatError("the length of a record is wrong")
            data = file.read(size + 4)
            if len(data) < size + 4:
                return
            whole = not check or size > _CHECKED
            if not whole and _checksum(data[:-4]) != int.from_bytes(data[-4:], "little"):
                raise FormatError("the checksum of a record is wrong")
            yield data[:-4]


@functools.cache
def _table() -> list[int]:
    """Return the table of CRC-32C."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


def _checksum(data: bytes) -> int:
    """Return the masked CRC-32C that TensorFlow writes."""
    table, value = _table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _value(item: Message, plugins: dict[str, str]) -> _Value:
    tag = item.text(1)
    plugin = item.message(9).message(1) if 9 in item else _NOTHING
    name = plugins.setdefault(tag, plugin.text(1))
    number = _single(item.raw(2)) if 2 in item else None
    if number is None and 8 in item and name == "scalars":
        number = _tensor(item.message(8))
    return _Value(tag, number, plugin.text(1), plugin.raw(2))


def _single(data: bytes) -> float:
    """Return a number of 32 bits as people write it: 0.1, and not 0.10000000149."""
    number: float = params.short(*struct.unpack_from("<f", data))
    return number


def _tensor(tensor: Message) -> float | None:
    """Return the number in a tensor that holds one."""
    form, place = _TENSORS.get(tensor.whole(1), ("", 0))
    if not form or any(size.whole(1) != 1 for size in tensor.message(2).messages(2)):
        return None
    data = tensor.raw(4) or tensor.raw(place)
    if len(data) < struct.calcsize(form):
        return tensor.whole(place)  # of variable length
    return _single(data) if form == "<f" else struct.unpack_from(form, data)[0]
