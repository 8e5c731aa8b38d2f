"""Active and dead runs: as experiments without a commit, and what they logged or printed last."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from gitexp.formats import message, metrics, params
from gitexp.formats.errors import GitexpError, NotFoundError
from gitexp.formats.experiment import Experiment, MetricPoint
from gitexp.repo import Repo
from gitexp.runs import fallback, journal

if TYPE_CHECKING:
    import git

_METRICS = "metrics.csv"
_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")


class _Folder:
    """Where the metrics of a run lie that has no commit yet, as they were when it was looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.size = fallback.whole_rows(file) if (file := folder / _METRICS).exists() else 0

    def read_file(self, commit: str, path: str) -> bytes:
        try:
            with open(self.folder / path, "rb") as file:
                return file.read(self.size)
        except OSError:
            raise NotFoundError(f"{path} of {self.folder.name} is not here") from None

    def open_file(self, commit: str, path: str) -> io.BytesIO:
        return io.BytesIO(self.read_file(commit, path))

    def download(
        self, commit: str, paths: Iterable[str], to: Path, force: bool, named: str = ""
    ) -> list[Path]:
        raise NotFoundError(f"{self.folder.name} has no commit yet; it has one when the run ends")

    def gitpython_commit(self, commit: str) -> git.Commit:
        raise NotFoundError(f"{self.folder.name} has no commit yet; it has one when the run ends")


def runs(repo: Repo) -> list[Experiment]:
    """Return the runs that are not recorded, newest first: ``id`` "", ``running`` or ``dead``."""
    return [_described(folder) for folder in reversed(journal.folders(repo))]


def size(run: Experiment) -> int:
    """Return how many bytes of its metrics a run has in ``runs``."""
    return run.source.size if isinstance(run.source, _Folder) else 0


def images(run: Experiment) -> dict[str, Path]:
    """Return ``{path in the tree: file}`` of the images that a run of ``runs`` has logged."""
    found = journal.artifacts(run.source.folder) if isinstance(run.source, _Folder) else {}
    return {path: file for path, file in found.items() if path.lower().endswith(_IMAGES)}


def _described(folder: Path) -> Experiment:
    facts = journal.all_facts(folder)
    file = folder / _METRICS
    started = datetime.fromtimestamp(0, timezone.utc)
    with contextlib.suppress(ValueError):
        started = message.parse_time(facts.get("started", ""))
    alive = journal.is_alive(folder)
    last: dict[str, float] = {}
    with contextlib.suppress(OSError, GitexpError):  # damaged: that is for gitexp recover
        last = metrics.last_in(file)
    return Experiment(
        name=folder.name,
        id="",
        tag="",
        subject=facts.get("title") or "",
        status="running" if alive else "dead",
        started=started,
        duration=(datetime.now(timezone.utc) - started).total_seconds() if alive else None,
        params=params.flatten(journal.read_params(folder)),
        metrics=last,
        labels=tuple(facts.get("labels", ())),
        notes=tuple(filter(None, [facts.get("note")])),
        group=facts.get("group"),
        command=" ".join(facts.get("command") or []) or None,
        files={"metrics": _METRICS} if file.exists() else {},
        source=_Folder(folder),
    )


def latest(folder: Path) -> dict[str, tuple[list[float], int]]:
    """Return ``{metric: (its last values, its last step)}`` of a run, from the end of its journal;
    where nothing is logged, of what its command printed last."""
    from gitexp.formats import printed

    found: dict[str, tuple[list[float], int]] = {}
    for point in [*_last_points(folder)] or printed.read_output(_last_output(folder, 50_000)):
        values = found.get(point.name, ([], 0))[0]
        values.append(point.value)
        found[point.name] = (values, point.step)
    return found


def last_line(folder: Path) -> str:
    """Return the last line that a run's command printed, "" where there is none."""
    lines = _last_output(folder, 5_000).replace("\r", "\n").strip().splitlines()
    return lines[-1] if lines else ""


def _last_output(folder: Path, most: int) -> str:
    return _tail(folder / "output.log", most).decode("utf-8", "replace")


def _last_points(folder: Path) -> Iterator[MetricPoint]:
    """Yield the last points of a journal that are whole."""
    data = _tail(folder / _METRICS, 300_000)
    first = data.find(b"\n") + 1  # the header, or a row that the window cuts
    last = data.rfind(b"\n") + 1
    with contextlib.suppress(GitexpError):  # damaged; gitexp recover says so
        yield from metrics.read(io.BytesIO(metrics.HEADER + data[first:last]))


def _tail(path: Path, most: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read()
    except OSError:
        return b""
