"""The tools whose runs are read from files, and which of them a command wrote to."""

from __future__ import annotations

import fnmatch
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.formats.errors import FormatError, GitexpError
from gitexp.formats.trackers import homes
from gitexp.formats.trackers.found import Found, Progress, Run, Unread, below, files_in, shown

_HERE = "gitexp.formats.trackers"
_WORDS = ("id", "title", "note", "group", "command", "commit")  # of a run


class Tool(NamedTuple):
    """A tool: what its runs are called, their files, where they lie and an example, for people;
    ``reader`` is the module that reads them, where it is not of its name, and ``needed``: the tool
    itself has to be there."""

    title: str
    files: tuple[str, ...]
    where: str
    example: str
    reader: str = ""
    needed: bool = False


def _history(tool: str, *files: str) -> Tool:
    where = "its folder, as the script wrote it"
    example = files[0].replace("*", "training")
    return Tool(f"Histories of {tool}", files, where, example, "histories")


TOOLS = {
    "aim": Tool("Runs of Aim", ("run_metadata.sqlite",),
                "the folder `.aim` beside a script", ".aim", needed=True),
    "catboost": Tool("Trainings of CatBoost", ("catboost_training.json",),
                     "the folder `catboost_info` beside a script", "catboost_info"),
    "clearml": Tool("Offline sessions of ClearML", ("task.json",),
                    "its folder of offline sessions", "~/.clearml/cache/offline"),
    "comet": Tool("Offline experiments of Comet", ("*.zip",),
                  "the folder of its zip files", ".cometml-runs"),
    "fastai": _history("fastai's CSVLogger", "history.csv"),
    "goodseed": Tool("Runs of goodseed", ("*.sqlite",), "its home folder", "~/.goodseed"),
    "guild": Tool("Runs of Guild AI", ("opref",), "its folder of runs", "~/.guild/runs"),
    "keras": _history("Keras' CSVLogger", "*.csv"),
    "lightning": _history("Lightning's CSVLogger", "metrics.csv"),
    "neptune": Tool("Offline runs of Neptune and those of its exporter",
                    ("data-1.log", "*_part_0.parquet"),
                    "the folder `.neptune` beside a script, or the one of the exporter's data",
                    ".neptune"),
    "ray": Tool("Trials of Ray Tune", ("result.json",),
                "the folder of an experiment", "~/ray_results/train"),
    "sacred": Tool("Runs of Sacred's FileStorageObserver", ("run.json",),
                   "the folder of its runs", "runs"),
    "skorch": _history("skorch", "history.json"),
    "swanlab": Tool("Runs of SwanLab", ("*.swanlab",), "its folder of logs", "swanlog"),
    "trackio": Tool("Runs of trackio", ("*.db",),
                    "the folder of its databases", "~/.cache/huggingface/trackio"),
    "transformers": _history("Hugging Face's Trainer", "trainer_state.json"),
    "ultralytics": _history("ultralytics", "results.csv"),
}  # fmt: skip


def find(tool: str, place: Path, progress: Progress = lambda done, total: None) -> Iterator[Found]:
    """Yield the runs that a tool left at a file or below a folder; what is cut or foreign is told.
    Raises UsageError where there is no file of its."""
    names, where = TOOLS[tool].files, TOOLS[tool].where
    lacking = f"there is no {' or '.join(names)} below {place}; give {where}"
    files, outside = files_in(place, *names, lacking=lacking)
    yield from outside
    for at, path in enumerate(files):
        progress(at, len(files))
        try:
            yield from _runs(tool, path)
        except (FormatError, OSError) as error:
            yield Unread(str(path), str(error))
    progress(len(files), len(files))


class Left(NamedTuple):
    """What a tool left of a command that is over: at a ``place``, for people; ``own`` are its
    files, and folders with a slash at their end."""

    place: str
    found: list[Found]
    own: tuple[str, ...]


def left(root: Path, paths: Sequence[str], since: float) -> Iterator[Left]:
    """Yield what tools left of a command that is over: ``paths`` below ``root`` are those it wrote,
    and runs from before ``since`` in a store that is shared are not its own."""
    if logs := [path for path in paths if path.endswith(".wandb")]:
        from gitexp.formats.trackers import wandb

        folders = tuple(_own(path) for path in logs)
        found = list(wandb.read(root, [root / path for path in logs], over=True))
        yield Left(_common(folders), found, folders)
    for path, tool in [(one, tool) for one in paths for tool in _likely(one)]:
        try:
            runs = _stored(root / path, since) if tool == "mlflow" else _runs(tool, root / path)
        except (GitexpError, OSError):
            continue  # a file of that name which is no such tool's
        own = path if tool in ("mlflow", "trackio", "goodseed", "comet") else _own(path)
        yield Left(path, _begun(runs, since), (own,))
    metas = [path for path in paths if path.count("/") >= 3 and path.endswith("/meta.yaml")]
    for store in sorted({path.rsplit("/", 3)[0] for path in metas}):  # folders of MLflow's
        yield Left(store, _stored(root / store, since), (f"{store}/",))
    events = [path for path in paths if "tfevents" in posixpath.basename(path)]
    if events := [path for path in events if "catboost_info/" not in f"/{path}"]:
        from gitexp.formats.trackers import tensorboard

        place = _common([posixpath.dirname(path) for path in events])
        found = list(tensorboard.read(root / place, [root / path for path in events]))
        yield Left(place, found, tuple(events))
    yield from _at_home(since)


def _runs(tool: str, path: Path) -> list[Found]:
    """Return the runs in a file of a tool; raise FormatError where it is another's."""
    try:
        reader = import_module(f"{_HERE}.{TOOLS[tool].reader or tool}")
        runs = list(reader.read(Path(os.path.abspath(path))))  # its folders have names, too
        return [_of_tool(run, tool, path) for run in runs]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        why = f"it has another form than {tool} writes ({type(error).__name__}: {error})"
        raise FormatError(why[:160]) from None


def _of_tool(run: Run, tool: str, path: Path) -> Run:
    """Return a run with what all of a tool's have, and its words as text: JSON has numbers, too."""
    words = {name: getattr(run, name) for name in _WORDS}
    said: dict[str, Any] = {name: str(word) for name, word in words.items() if word is not None}
    said |= {"kind": run.kind or tool, "where": run.where or shown(path)}
    return replace(run, **said, labels=tuple(map(str, run.labels)))


def _likely(path: str) -> Iterator[str]:
    """Yield the tools that a file may be of, by its name."""
    name = posixpath.basename(path)
    if name.endswith(".db"):
        yield "mlflow"
    for tool, known in TOOLS.items():
        # histories are metrics files to a run, and are read as such
        if not known.reader and any(fnmatch.fnmatchcase(name, one) for one in known.files):
            yield tool


def _stored(place: Path, since: float) -> list[Found]:
    from gitexp.formats.trackers import mlflow

    return list(mlflow.find(mlflow.on_disk(str(place), since), over=True))


def _begun(found: list[Found], since: float) -> list[Found]:
    """Leave out the runs that a shared store has from before; CatBoost's has one alone."""
    runs = [item for item in found if isinstance(item, Run) and item.kind != "catboost"]
    early = {id(run) for run in runs if run.started.timestamp() <= since - 1}
    return [item for item in found if id(item) not in early]


def _at_home(since: float) -> Iterator[Left]:
    """Yield what tools left in the folders of a person that they write to by themselves."""
    for tool, folder in homes():
        for path in below(folder, TOOLS[tool].files[0]):
            try:
                if path.stat().st_mtime >= since - 1 and (runs := _begun(_runs(tool, path), since)):
                    yield Left(shown(path), runs, ())
            except (FormatError, OSError):
                continue


def _own(path: str) -> str:
    """Return the folder of a file, or the file where it lies at the top."""
    folder = posixpath.dirname(path)
    return f"{folder}/" if folder else path


def _common(folders: Sequence[str]) -> str:
    return posixpath.commonpath([folder.rstrip("/") for folder in folders])
