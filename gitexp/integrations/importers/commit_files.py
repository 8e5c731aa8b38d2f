"""Which files of a commit may hold results, and what they say: what the imports of history and of
DVC's experiments share.

A file is looked at by its name first and then by its content; what does not hold what its name
promises is told, and the rest is taken.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from gitexp.formats import metrics, params, result_files
from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.found import Commit, Unread, moment
from gitexp.repo import Repo, blobs

PATTERNS = (
    ":(glob,icase)**/*metric*.*",
    ":(glob,icase)**/*param*.*",
    ":(glob)**/plots/metrics/**/*.tsv",
)
DECLARED = "declared"  # instead of a mode: somebody says that there is such a file
LARGEST = 100 * 10**6  # bytes of a file; nobody logged that much
MOST = 2_000  # names in one experiment; more are data
_TEXT = re.IGNORECASE | re.DOTALL
_METRICS = r".*metrics?\.(csv|json|ya?ml|toml)|(?s:.*/|)plots/metrics/.+\.tsv"
_KINDS = (
    ("metrics", re.compile(_METRICS, _TEXT)),
    ("params", re.compile(r".*params?\.(ya?ml|json|toml)", _TEXT)),
)


class Change(NamedTuple):
    """A file as a commit has it: mode, hash and path; ``kind`` is ``metrics`` or ``params``,
    ``before`` the hash that the parent has."""

    kind: str
    path: str
    mode: str
    oid: str
    before: str = ""


Content = tuple[Change, bytes]
Missing = tuple[Change, str]


def kind(path: str) -> str | None:
    """Return ``metrics`` or ``params`` where a path is called like a file of that, else None."""
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(path)), None)


def contents(
    repo: Repo, asked: Sequence[Sequence[Change]]
) -> Iterator[tuple[list[Content], list[Missing]]]:
    """Yield for each commit the files that could be read, and why the others could not; what was
    only guessed is passed over."""
    names = [change.oid for changes in asked for change in changes]
    sizes, read = iter(blobs.sizes(repo, names)), blobs.contents(repo, names, LARGEST)
    for changes in asked:
        good: list[Content] = []
        bad: list[Missing] = []
        for change, there, (_, data) in zip(changes, sizes, read):
            if why := _refused(change, there[1] if there else None, data):
                if change.mode:
                    bad.append((change, why))
            elif data is not None:
                good.append((change, data))
        yield good, bad


def _refused(change: Change, size: int | None, data: bytes | None) -> str | None:
    """Return why a file is not even tried."""
    if change.mode == "160000":
        return "a submodule"
    if change.mode == "120000":
        return "a symbolic link"
    if not change.path.isprintable() or any("\udc80" <= char <= "\udcff" for char in change.path):
        return "its path holds control characters, or is not UTF-8"
    if size is None and change.mode == DECLARED:
        return "it is not in git; DVC's cache may have it"
    if size is None:
        return (
            "its content is not in this clone (a partial one?); to get it: git fetch --refetch"
            " --no-filter origin"
        )
    if size > LARGEST:
        return f"it has {size / 10**6:,.0f} MB, more than {LARGEST // 10**6} MB"
    if data is not None and data.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a pointer of Git LFS, whose content is not in git"
    return None


class Rows:
    """The times of the rows of a file that grows from commit to commit: those that the parent had
    are of an earlier run."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._latest: dict[str, tuple[str, set[int]]] = {}

    def new(self, change: Change, times: set[int]) -> set[int]:
        """Return those of the times that are new in a commit."""
        oid, old = self._latest.get(change.path, ("", set()))
        if change.before and change.before != oid:
            old = self._read(change)
        self._latest[change.path] = (change.oid, times)
        return times - old if change.before else times

    def _read(self, change: Change) -> set[int]:
        found = next(self._repo.objects([change.before]))
        try:
            points = result_files.points(io.BytesIO(found.data if found else b""), change.path, [])
            return {point.timestamp for point in points if point.timestamp}
        except FormatError:
            return set()


def examine(
    commit: Commit,
    label: str,
    found: Sequence[Content],
    missing: Sequence[Missing],
    rows: Rows | None = None,
) -> tuple[Commit, tuple[int, int] | None]:
    """Return a commit with what its files say, and the first and last time (ms) of their rows.

    Args:
        label: what people call it.
        rows: what knows the rows that earlier commits had.
    """
    partly = [Unread(f"{label} {change.path}", why) for change, why in missing]
    values: dict[str, dict[str, Any]] = {}
    courses: dict[str, list[MetricPoint]] = {}
    times: list[int] = []
    for change, data in found:
        what = f"{label} {change.path}"
        said: list[str] = []
        try:
            if change.kind == "params":
                values[change.path] = params.load(data, change.path.lower())
                _few(params.flatten(values[change.path]))
                continue
            at: set[int] = set()
            points = result_files.points(io.BytesIO(data), change.path, said)
            last = metrics.last_values(_noted(points, at))
            partly += [Unread(what, text.removeprefix(f"{change.path}: ")) for text in said]
            _few(last)
        except FormatError as error:
            values.pop(change.path, None)
            why = str(error).replace(change.path.lower(), change.path)
            partly.append(Unread(what, why.removeprefix(change.path).lstrip(": ")))
            continue
        if last:
            courses[change.path] = [MetricPoint(name, value, 0, 0) for name, value in last.items()]
            times += rows.new(change, at) if rows else ()
        elif not said:
            partly.append(Unread(what, "nothing is logged in it"))
    values = {path: some for path, some in values.items() if some}
    named = result_files.named
    read = replace(
        commit,
        params=result_files.params_of(values),
        last={point.name: point.value for point in result_files.merged(courses)},
        files={**named("params", list(values)), **named("metrics", list(courses))},
        partly=tuple(partly),
    )
    return read, (min(times), max(times)) if times else None


def _few(values: Mapping[str, object]) -> None:
    if (count := len(values)) > MOST:
        raise FormatError(f"it has {count:,} names, more than {MOST:,}: data rather than results")


def _noted(points: Iterable[MetricPoint], times: set[int]) -> Iterator[MetricPoint]:
    """Yield points, and add the times of their rows to ``times``."""
    for point in points:
        if point.timestamp:
            times.add(point.timestamp)
        yield point


def date(text: str) -> datetime:
    """Read a time as git writes it, ``1700000000 +0100``; 1970 for what is none."""
    seconds, _, zone = text.partition(" ")
    try:
        offset = timedelta(hours=int(zone[:3]), minutes=int(zone[0] + zone[3:]))
        return moment(int(seconds)).astimezone(timezone(offset))
    except (ValueError, IndexError, OverflowError):
        return moment(0)
