"""The metrics of an experiment, in whichever files its commit holds them.

What gitexp records lies in one ``metrics.csv``. A commit that was adopted from history keeps its
files as they are, and they have other forms too: several CSV files, DVC's ``metrics.json`` (YAML,
TOML), and the folders of dvclive, whose ``plots/metrics/train/loss.tsv`` hold the course of what
``metrics.json`` says last. The keys ``metrics``, ``metrics.2``, ... of ``Experiment.files`` name
them all. A name that two of them have is told apart by what their paths do not share:
``test_metrics.csv`` beside ``metrics.csv`` gives ``rmse`` and ``test/rmse``.
"""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from gitexp.formats import message, metrics, params, readers
from gitexp.formats.experiment import MetricPoint

_LONGEST = 10_000  # bytes of a header
_COURSE = re.compile(r"(?P<folder>(?:.*/)?)plots/metrics/(?P<name>.+)\.tsv", re.DOTALL)
_ENDING = re.compile(r"[-_. ]?(?:metric|param)s?\.\w+$", re.IGNORECASE)


def paths(files: Mapping[str, str], kind: str = "metrics") -> list[str]:
    """Return the paths of an experiment's files of a kind, ``metrics`` or ``params``."""
    return [path for key, path in files.items() if key.partition(".")[0] == kind]


def named(kind: str, found: Sequence[str]) -> dict[str, str]:
    """Return such paths as ``Experiment.files`` has them."""
    return {kind if at == 1 else f"{kind}.{at}": path for at, path in enumerate(found, 1)}


def points_of(
    files: Mapping[str, str], read: Callable[[str], bytes], warnings: list[str] | None = None
) -> Iterator[MetricPoint]:
    """Yield all points of an experiment; ``read`` gives a file's content by its path. Raises
    FormatError where a file has another form than its name says."""
    said = warnings if warnings is not None else []
    return merged({path: _later(read, path, said) for path in paths(files)})


def _later(read: Callable[[str], bytes], path: str, said: list[str]) -> Iterator[MetricPoint]:
    yield from points(io.BytesIO(read(path)), path, said)


def merged(found: Mapping[str, Iterable[MetricPoint]]) -> Iterator[MetricPoint]:
    """Yield the points of several files as those of one experiment."""
    if len(found) == 1 and not any(map(_COURSE.fullmatch, found)):
        yield from next(iter(found.values()))
        return
    courses = {path: match for path in found if (match := _COURSE.fullmatch(path))}
    followed = {match["folder"] + match["name"] for match in courses.values()}
    folders = {match["folder"] for match in courses.values()}
    whole: dict[str, list[MetricPoint]] = {}
    for path, some in found.items():
        whole[path] = list(some)
        # dvclive's last values; their course says more
        if path not in courses and _folder(path) in folders:
            named = ((point.name.replace(".", "/"), point) for point in whole[path])
            whole[path] = [
                point._replace(name=name)
                for name, point in named
                if name != "step" and _folder(path) + name not in followed
            ]
    names = {path: {point.name for point in some} for path, some in whole.items()}
    called = _told_apart(names, "/")
    for path, some in whole.items():
        yield from (point._replace(name=called[path][point.name]) for point in some)


def points(stream: BinaryIO, path: str, warnings: list[str]) -> Iterator[MetricPoint]:
    """Yield the points of one file, whose form its name tells; raises FormatError."""
    head = stream.readline(_LONGEST)
    stream.seek(0)
    if readers.is_long(path, head):  # which may have millions of rows
        yield from metrics.read(stream, path, warnings)
        return
    found = readers.read_metrics(path, stream.read())
    yield from found.points
    warnings += [f"{path}: {found.cut}"] if found.cut else []
    if found.text:
        what = f"{path}: {message.some(found.text)}: no number, left out"
        warnings.append(f"{what} (read as {found.form})")
    elif not found.points and head.strip():
        warnings.append(f"{path}: no number is in it (read as {found.form})")


def params_of(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the params of several files ``{path: nested}``, flat, as those of one experiment; a
    name that means the same everywhere is one."""
    flat = {path: params.flatten(values) for path, values in found.items()}
    if len(flat) == 1:
        return next(iter(flat.values()))

    def differs(name: str, value: Any) -> bool:
        return any(other.get(name, value) != value for other in flat.values())

    pairs = {path: values.items() for path, values in flat.items()}
    differing = {
        path: [n for n, value in some if differs(n, value)] for path, some in pairs.items()
    }
    called = _told_apart(differing, ".")
    return {called[path].get(n, n): value for path, some in pairs.items() for n, value in some}


def _told_apart(names: Mapping[str, Iterable[str]], separator: str) -> dict[str, dict[str, str]]:
    """Return what each path's names are called: shared ones with what tells the paths apart."""
    stems = {path: _stem(path) for path in names}
    owners: dict[str, set[str]] = {}
    for path, some in names.items():
        for name in some:
            owners.setdefault(name, set()).add(stems[path])
    shared = posixpath.commonprefix([f"{stem}/" for stem in stems.values()]).rpartition("/")[0]
    apart = {path: stem[len(shared) :].strip("/") for path, stem in stems.items()}
    prefixes = {path: part.replace("/", separator) for path, part in apart.items()}

    def called(path: str, name: str) -> str:
        alone = len(owners[name]) == 1 or not prefixes[path]
        return name if alone else f"{prefixes[path]}{separator}{name}"

    return {path: {name: called(path, name) for name in some} for path, some in names.items()}


def _stem(path: str) -> str:
    """Return ``a/test`` for ``a/test_metrics.csv``, and ``a`` for ``a/metrics.csv``."""
    if course := _COURSE.fullmatch(path):
        return course["folder"].rstrip("/")
    if _ENDING.search(path):
        return _ENDING.sub("", path).rstrip("/")
    return posixpath.splitext(path)[0]


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]
