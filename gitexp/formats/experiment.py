"""The values that everything else passes around: an experiment as git holds it, and one point of a
metric."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

from gitexp.formats.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    import git
    import pandas as pd

STATUSES = ("finished", "failed", "killed")
VERDICTS = ("kept", "discarded")


def check_status(status: str) -> None:
    """Raise UsageError where a run cannot have ended so."""
    if status not in STATUSES:
        raise UsageError(f"'{status}' is not a status; use {', '.join(STATUSES)}")


def last_judged(events: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the last of these events that is a verdict, empty where none is."""
    return ([event for event in events if event.get("verdict") in VERDICTS] or [{}])[-1]


class MetricPoint(NamedTuple):
    """One row of ``metrics.csv``: ``timestamp`` in ms since the epoch, ``step`` a whole number."""

    name: str
    value: float
    timestamp: int
    step: int


class Source(Protocol):
    """Where an experiment's files can be read from."""

    def read_file(self, commit: str, path: str) -> bytes: ...
    def open_file(self, commit: str, path: str) -> AbstractContextManager[IO[bytes]]: ...
    def gitpython_commit(self, commit: str) -> git.Commit: ...
    def download(
        self, commit: str, paths: Iterable[str], to: Path, force: bool, named: str = ""
    ) -> list[Path]: ...


@dataclass(frozen=True)
class Experiment:
    """A finished run, as one commit and one annotated tag hold it.

    Attributes:
        name: what this clone calls it, ``exp-7`` or ``origin/exp-7``.
        id: the commit hash, its identity everywhere.
        tag: the hash of the annotated tag object.
        parent: the commit that the run started from, None in a repository that had none.
        subject: the first line of the commit message.
        status: ``finished``, ``failed`` or ``killed``.
        started: when the run started, with its time zone.
        duration: seconds, None where nobody measured it.
        params: flat, ``{"model.depth": 3}``; lists stay lists.
        metrics: the last value of each metric.
        labels: words, sorted, those added later included.
        notes: texts added later, oldest first.
        group: the name that the experiments of one sweep share.
        author, email: who ran it.
        branch: the branch that it was run on, None on a detached HEAD.
        command: the command line, secrets redacted.
        files: where the results lie in the tree, ``{"params": "params.yml", "metrics":
            "metrics.csv"}``.
        alias: its second name, which ``gitexp rename`` gave it; None where it has none.
        extra: what else the tag summary says (exit code, source of an import, ...).
    """

    name: str
    id: str
    tag: str
    subject: str
    status: str
    started: datetime
    parent: str | None = None
    duration: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    group: str | None = None
    author: str = ""
    email: str = ""
    branch: str | None = None
    command: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    alias: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    source: Source | None = field(default=None, repr=False, compare=False)

    @property
    def short(self) -> str:
        """The first ten digits of the commit hash."""
        return self.id[:10]

    @property
    def failure(self) -> str | None:
        """Why it failed: the traceback's last line, or the exit code; None where nobody knows."""
        error = self.extra.get("error")
        return error if isinstance(error, str) and error else None

    @property
    def because(self) -> str | None:
        """The reason that was given for running it."""
        reason = self.extra.get("because")
        return reason if isinstance(reason, str) and reason else None

    @property
    def judged(self) -> Mapping[str, Any]:
        """The last event that kept or discarded it, with ``by`` and ``because``; else empty."""
        return last_judged(self.extra.get("events", ()))

    @property
    def verdict(self) -> str | None:
        """What people made of it: ``kept``, ``discarded``, or None."""
        return self.judged.get("verdict")

    def metric(self, name: str) -> float:
        """Return the last value of a metric.

        Raises:
            NotFoundError: there is none of this name; it says which there are.
        """
        if name not in self.metrics:
            known = ", ".join(self.metrics) or "none"
            raise NotFoundError(f"{self.name} has no metric '{name}'; it has {known}")
        return self.metrics[name]

    def inside(self, path: str) -> str:
        """Return where a file of gitexp's own (``params.yml``, ``.gitexp/requirements.txt``) lies
        in its tree: in the folder of its project.

        Args:
            path: the path as it is at the top.
        """
        project = self.extra.get("project")
        return f"{project}{path}" if isinstance(project, str) else path

    @property
    def commit(self) -> git.Commit:
        """The commit as a GitPython object, for what gitexp has no word for."""
        return self._source().gitpython_commit(self.id)

    def read(self, path: str) -> bytes:
        """Return a file of the experiment as it was recorded.

        Args:
            path: a path in the experiment's tree, with ``/``.

        Raises:
            NotFoundError: the experiment has no such file.
        """
        at = self.inside(path) if path.startswith(".gitexp/") else path
        return self._source().read_file(self.id, at)

    def download(
        self, path: str, to: str | os.PathLike[str] = ".", force: bool = False
    ) -> list[Path]:
        """Write a file of the experiment into a folder, without a checkout, and return where it is.

        What Git LFS, git-annex or DVC keeps arrives with its content.

        Args:
            path: a path in the experiment's tree (``.gitexp/artifacts/`` may be left out), a folder
                or a pattern with ``*``.
            to: the folder, made where there is none.
            force: overwrite what is there.

        Raises:
            NotFoundError: the experiment has no such file, or its content is not to be had.
            UsageError: something is there already.
        """
        return self._source().download(self.id, [path], Path(to), force, self.name)

    def points(self) -> Iterator[MetricPoint]:
        """Yield every recorded value, and those that came after the recording.

        Raises:
            NotFoundError: the commit, or a file of it, is not here.
        """
        from gitexp.formats import late_values, result_files

        late = late_values.points(self.extra.get("events", ()))
        return chain(result_files.points_of(self.files, self.read), late)

    def history(self) -> pd.DataFrame:
        """Return all recorded values: a DataFrame of name, value, timestamp (UTC) and step."""
        import pandas as pd

        from gitexp.formats import frames

        frame = None
        if path := frames.path(self):
            with self._source().open_file(self.id, path) as file:
                frame = frames.read(file)
        if frame is None:
            frame = pd.DataFrame(self.points(), columns=[*MetricPoint._fields])
        else:
            names = frame["name"].array
            frame["name"] = names.categories.array.take(names.codes)
        stamps = frame["timestamp"]
        frame["timestamp"] = pd.to_datetime(stamps, unit="ms", utc=True, errors="coerce")
        return frame

    def _repr_html_(self) -> str:
        """How it shows in a notebook."""
        from gitexp.formats import card

        facts = {"": self.status, "started": f"{self.started.astimezone():%Y-%m-%d %H:%M}"}
        facts |= {"commit": self.short, "by": self.author, "labels": ", ".join(self.labels)}
        return card.html(self.name, facts, self.params, self.metrics)

    def _source(self) -> Source:
        if self.source is None:
            raise ValueError(f"{self.name} was made by hand and has no repository to read from")
        return self.source
