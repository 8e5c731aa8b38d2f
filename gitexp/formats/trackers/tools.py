"""The tools whose runs are read from files by ``formats/trackers``: one row each, for the command
line and for Python."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from gitexp.formats.errors import FormatError, UsageError
from gitexp.formats.trackers.found import Found, Progress, Run, Unread, moment, shown
from gitexp.formats.trackers.kept import Kept


class Tool(NamedTuple):
    """A tool: what its runs are called, where they lie, and an example."""

    title: str
    where: str
    example: str


TOOLS = {
    "catboost": Tool(
        "Trainings of CatBoost", "the folder `catboost_info` beside a script", "catboost_info"
    ),
    "clearml": Tool(
        "Offline sessions of ClearML", "its folder of offline sessions", "~/.clearml/cache/offline"
    ),
    "comet": Tool("Offline experiments of Comet", "the folder of its zip files", ".cometml-runs"),
    "goodseed": Tool("Runs of goodseed", "its home folder", "~/.goodseed"),
    "neptune": Tool("Offline runs of Neptune", "the folder `.neptune` beside a script", ".neptune"),
    "ray": Tool("Trials of Ray Tune", "the folder of an experiment", "~/ray_results/train"),
    "sacred": Tool("Runs of Sacred's FileStorageObserver", "the folder of its runs", "runs"),
    "trackio": Tool(
        "Runs of trackio", "the folder of its databases", "~/.cache/huggingface/trackio"
    ),
}


def find(tool: str, place: Path, progress: Progress = lambda done, total: None) -> Iterator[Found]:
    """Yield the runs that a tool left at a file or below a folder, file by file; what is cut or
    foreign is told.

    Raises:
        UsageError: there is no such file.
    """
    reader = import_module(f"gitexp.formats.trackers.{tool}")
    files = (
        [place]
        if place.is_file()
        else sorted(path for path in place.rglob(reader.FILES) if path.is_file())
    )
    if not files:
        raise UsageError(f"there is no {reader.FILES} below {place}; give {TOOLS[tool].where}")
    for at, path in enumerate(files):
        progress(at, len(files))
        try:
            kept = list(reader.read(path))
        except (FormatError, OSError) as error:
            yield Unread(str(path), str(error))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            why = f"it has another form than {tool} writes ({type(error).__name__}: {error})"
            yield Unread(str(path), why[:160])
        else:
            yield from (_run(tool, path, item) for item in kept)
    progress(len(files), len(files))


def _run(tool: str, path: Path, kept: Kept) -> Run:
    return Run(
        tool,
        kept.id,
        shown(path),
        kept.title,
        moment(kept.started),
        lambda: kept.points,
        kept.params,
        kept.status,
        kept.duration,
        kept.note,
        kept.labels,
        kept.group,
        command=kept.command,
        commit=kept.commit,
        partly=(Unread(str(path), kept.cut),) if kept.cut else (),
    )
