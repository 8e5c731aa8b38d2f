"""What an import finds, as plain values: a commit that is a run already, a run of another tool, and
what cannot be read; and how tools spell numbers, times, JSON Lines and SQLite.

A source only reads and yields these; ``integrations/importers/record.py`` makes experiments of
them. Each knows the tool that it is from and what that tool calls it, and its ``key``, a hash of
the two, is the experiment's id: importing it again finds it recorded.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gitexp.formats.errors import FormatError, UsageError
from gitexp.formats.experiment import MetricPoint

if TYPE_CHECKING:
    import sqlite3

_WORDS = {"nan", "infinity", "-infinity", "inf", "-inf"}
Progress = Callable[[int, int | None], None]  # done, and of how many where that is known


class Unread(NamedTuple):
    """Something that could not be read, or not whole: what it is, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Commit:
    """A commit of this repository that holds a run's results; it becomes an experiment by a tag."""

    kind: str  # ``git`` or ``dvc``
    id: str  # the commit hash
    parent: str | None  # the first one
    title: str  # its subject, or what the tool calls it
    author: str  # ``Name <email>``
    started: datetime  # by the metrics' timestamps where they can be true, else the author date
    duration: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)  # flat
    last: Mapping[str, float] = field(default_factory=dict)  # value of each metric
    files: Mapping[str, str] = field(default_factory=dict)  # as ``Experiment.files`` has it
    partly: tuple[Unread, ...] = ()  # what of it could not be read

    @property
    def key(self) -> str:
        """The id of the experiment that it becomes."""
        return key(self.kind, self.id)


@dataclass(frozen=True)
class Run:
    """A run as another tool kept it."""

    id: str  # what tells it from all other runs of the tool, wherever its files are moved
    title: str
    started: datetime
    points: Iterable[MetricPoint]  # gone through once
    params: Mapping[str, Any] = field(default_factory=dict)  # nested or flat with dots
    status: str = "finished"  # or ``failed``, ``killed``
    duration: float | None = None
    note: str = ""
    labels: tuple[str, ...] = ()
    group: str | None = None
    author: str | None = None
    command: str | None = None
    commit: str | None = None  # the code that ran, as the tool noted it; it need not exist here
    patch: bytes | None = None  # what was changed since that commit, a diff
    artifacts: Mapping[str, Path] = field(default_factory=dict)  # files on disk, by their names
    tags: Mapping[str, str] = field(default_factory=dict)  # what else the tool knows, in words
    ours: str | None = None  # the id of the experiment that it once was, if it came from gitexp
    partly: tuple[Unread, ...] = ()  # what of it could not be read
    former: tuple[str, ...] = ()  # what earlier releases took for its id, and imported it under
    kind: str = ""  # the tool, and ``where`` it was read from, for people: ``tools.py`` adds both
    where: str = ""

    @property
    def key(self) -> str:
        """The id of the experiment that it becomes."""
        return self.ours or key(self.kind, self.id)

    @property
    def keys(self) -> set[str]:
        """The ids by which it may be known."""
        return {self.key, *(key(self.kind, id) for id in self.former)}


Found = Commit | Run | Unread
Row = tuple[str, object, float, float]  # a value as a tool has it: name, value, ms, step


def key(kind: str, id: str) -> str:
    """Return the id of the experiment that a run of another tool becomes: always the same."""
    return hashlib.sha256(f"{kind}\0{id}".encode("utf-8", "replace")).hexdigest()[:16]


def moment(seconds: float) -> datetime:
    """Return a time in seconds since 1970, in UTC; 1970 for what is not a time."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, timezone.utc)


def below(folder: Path, *patterns: str) -> list[Path]:
    """Return the files below a folder whose names fit, pattern by pattern and sorted. Unlike
    ``rglob``, it bears folders that vanish meanwhile."""
    there = [(top, name) for top, _, names in os.walk(folder) for name in names]
    fitting = ([Path(*one) for one in there if fnmatch.fnmatch(one[1], form)] for form in patterns)
    return [path for paths in fitting for path in sorted(paths)]


def files_in(folder: Path, *patterns: str, lacking: str = "") -> tuple[list[Path], list[Unread]]:
    """Return the files below a folder whose names fit, sorted, and what to say of links that lead
    out of it: whoever made the folder need not have the right to what they name.

    A file stands for itself. Raises UsageError where there is none and something is ``lacking``.
    """
    top = os.path.join(os.path.realpath(folder), "")
    inside = [folder] if folder.is_file() else []
    outside: list[Unread] = []
    for path in below(folder, *patterns):
        if path.is_file() and os.path.realpath(path).startswith(top):
            inside.append(path)
        elif path.is_file():
            outside.append(Unread(str(path), "a link that leads out of the folder"))
    if lacking and not inside:
        raise UsageError(lacking)
    return inside, outside


def shown(path: Path) -> str:
    """Return where a store lies, as it may be said in public: from the home folder on."""
    whole = Path(os.path.abspath(path))
    try:
        return f"~/{whole.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return whole.as_posix()


def person(name: str, email: str = "") -> str:
    """Return ``Name <email>`` as git can hold it; empty where there is neither."""
    odd = str.maketrans("<>\0", "   ")
    clean = [" ".join(text.translate(odd).split()).strip(".,:;\"' ") for text in (name, email)]
    return f"{clean[0] or clean[1]} <{clean[1]}>" if any(clean) else ""


# -- how tools spell values ------------------------------------------------------------------------


def number(value: object) -> float | None:
    """Return a metric's value; None for no number. Tools spell NaN and infinities as text."""
    if isinstance(value, (bool, int, float)):
        return int(value) if isinstance(value, bool) else value
    return float(value) if isinstance(value, str) and value.strip().lower() in _WORDS else None


def points(rows: Iterable[Row]) -> list[MetricPoint]:
    """Return the points of rows, without those whose value is no number."""
    return [
        MetricPoint(name, found, int(ms), int(step))
        for name, value, ms, step in rows
        if (found := number(value)) is not None
    ]


def typed(kind: str | None, text: Any) -> Any:
    """Return the value that a text stands for, by the type that the tool notes beside it."""
    types: dict[str | None, Callable[[str], Any]] = {"int": int, "float": float}
    types["bool"] = lambda text: text.lower() in ("true", "1")
    try:
        return types.get(kind, str)(text or "")
    except ValueError:
        return text


def status(exit_code: int | None) -> str:
    """Return how a run ended; None is the exit code of one that was killed."""
    return "killed" if exit_code is None else "failed" if exit_code else "finished"


def cut(path: Path, why: str | None) -> tuple[Unread, ...]:
    """Return what is to be said of a run whose file is not whole, nothing where it is."""
    return (Unread(str(path), why),) if why else ()


def seconds(text: str) -> float:
    """Return an ISO time in seconds since 1970; without a zone it is UTC."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def span(points: Sequence[MetricPoint], started: float) -> float | None:
    """Return the seconds from the start to the last point."""
    last = max((point.timestamp for point in points), default=0) / 1000
    return last - started if last > started else None


def nested(flat: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """Return params with dots in their names where the tool has another mark."""
    return {name.replace(mark, "."): value for name, value in flat.items()}


def mapping(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file; raises FormatError where it holds something else."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} is cut, or no JSON: {error}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{path.name} holds no JSON object")
    return value


def lines(path: Path, text: str) -> tuple[list[Any], tuple[Unread, ...]]:
    """Return the values of JSON Lines up to a torn one, and what is to be said of that."""
    values: list[Any] = []
    for at, line in enumerate(text.splitlines(), 1):
        try:
            values += [json.loads(line)] if line.strip() else []
        except (ValueError, RecursionError):
            return values, (Unread(str(path), f"read up to line {at}, which is cut or no JSON"),)
    return values, ()


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of a database, since reading writes files beside it; raises FormatError."""
    import shutil
    import sqlite3
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gitexp-") as folder:
        copy = Path(folder, path.name)
        shutil.copyfile(path, copy)
        journal = path.with_name(f"{path.name}-wal")
        if journal.exists():
            shutil.copyfile(journal, copy.with_name(journal.name))
        with closing(sqlite3.connect(copy)) as connection:
            try:
                yield connection
            except sqlite3.Error as error:
                raise FormatError(f"it is cut, or another database: {error}") from None


def is_database(path: Path) -> bool:
    """Whether a file is one of SQLite's."""
    with open(path, "rb") as file:
        return file.read(16) == b"SQLite format 3\0"
