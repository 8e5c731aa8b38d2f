"""``gitexp log``: an experiment by hand, snapshot and result in one go."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.formats import environment, metrics, params, result_files, settings
from gitexp.formats.errors import FormatError, GitError, UsageError
from gitexp.formats.experiment import Experiment, MetricPoint, check_status
from gitexp.formats.message import each
from gitexp.formats.metrics import from_mapping
from gitexp.formats.params import given as as_params
from gitexp.repo import Repo, collector, dvc, dvc_status, snapshot, untracked
from gitexp.runs import FOLDER
from gitexp.runs.details import Details
from gitexp.store import conditions, record, result_paths

Folder = str | os.PathLike[str]
_LARGE = 2**21  # bytes of metrics that pandas, import and all, reads sooner


class Entry(NamedTuple):
    """What somebody wants recorded, checked."""

    params: Mapping[str, Any]
    metrics: bytes
    last: Mapping[str, float]
    artifacts: Mapping[str, Path]
    # files of the user's that say just what is recorded (``--params-file params.yml``)
    same: frozenset[str]
    warnings: tuple[str, ...]  # what of the files could not be read
    # artifacts over the limit, which go into DVC's cache; their pointers enter
    large: Mapping[str, Path]


def check(
    repo: Repo,
    *,
    given: Mapping[str, Any],
    params_files: Iterable[Path] = (),
    points: Iterable[MetricPoint] = (),
    metrics_files: Iterable[Path] = (),
    artifacts: Iterable[Path] = (),
    limit: int,
) -> Entry:
    """Read the files and put all together: later params files win, and what is given wins over
    files. Raises UsageError where one cannot be read, or an artifact cannot be kept."""
    merged: dict[str, Any] = {}
    params_files, metrics_files = list(params_files), list(metrics_files)
    for file in params_files:
        merged = params.merge(merged, params.load_file(file))
    added = list(points)
    warnings: list[str] = []
    read = None if added else _at_once(metrics_files)
    each = (read_metrics(file, warnings) for file in metrics_files)
    written, last = read or metrics.gather(chain(chain.from_iterable(each), added))
    alone = (
        (result_paths.PARAMS, [] if given else params_files),
        (result_paths.METRICS, [] if added else metrics_files),
    )
    same = frozenset(
        repo.project + name
        for name, some in alone
        if [*map(os.path.abspath, some)] == [os.path.abspath(repo.root / repo.project / name)]
    )
    small = {store_path(repo, path): path for path in artifacts}
    over = [path for path in small if dvc.takes(repo, path, small[path].stat().st_size, limit)]
    large = {path: small.pop(path) for path in over}
    return Entry(params.merge(merged, given), written, last, small, same, tuple(warnings), large)


def _at_once(files: Sequence[Path]) -> tuple[bytes, dict[str, float]] | None:
    """Return what ``metrics.gather`` would, by pandas; None for small files or odd rows."""
    from gitexp.formats import frames

    if len(files) == 1 and files[0].suffix in ("", ".csv", ".txt"):
        with suppress(OSError):
            if files[0].stat().st_size > _LARGE:
                return frames.gathered(files[0].read_bytes())
    return None


def read_metrics(file: Path, warnings: list[str]) -> Iterator[MetricPoint]:
    """Yield the points of a metrics file: CSV in DagsHub's form, or JSON, YAML or TOML (``{"rmse":
    18.2, "loss": [0.9, 0.5]}``); what of it is not a number is told in ``warnings``, and where
    nothing of it can be read, a FormatError raised."""
    now, some = int(time.time() * 1000), False
    told = len(warnings)
    try:
        with open(file, "rb") as stream:
            for point in result_files.points(stream, str(file), warnings):
                some = True
                yield point._replace(name=point.name.strip(), timestamp=point.timestamp or now)
    except OSError as error:
        raise FormatError(f"{file} cannot be read: {error.strerror}") from None
    if not some and len(warnings) > told:
        raise FormatError(f"{warnings[told]}; there is no metric in it")


def store_path(repo: Repo, path: Path) -> str:
    """Return the path in the tree of a file of the work tree; raise UsageError where it is none."""
    if not path.is_file():
        raise UsageError(f"there is no file '{path}' to keep as an artifact")
    try:
        inside = path.resolve().relative_to(repo.root.resolve()).as_posix()
    except ValueError:
        raise UsageError(
            f"'{path}' lies outside of the repository; copy it into {repo.root} first"
        ) from None
    if inside.startswith(".git/"):
        raise UsageError(f"'{path}' belongs to git itself and cannot be an artifact")
    return inside


@contextmanager
def taken(
    repo: Repo, known: settings.Settings, entry: Entry
) -> Iterator[tuple[snapshot.Snapshot, result_paths.Places]]:
    """Snapshot the work tree into a private index; yield it with the results' places."""
    if (repo.state_dir / FOLDER).exists():
        from gitexp.runs import outputs

        outputs.note_dead(repo)
    free = result_paths.ours(repo)
    index = repo.make_state_dir() / f"log-{os.urandom(8).hex()}.index"
    try:
        shot = snapshot.take(repo, known, index, free - entry.same | entry.large.keys())
        there = repo.objects(f"{shot.tree}:{path}" for path in entry.same)
        held = (path for path, found in zip(entry.same, there) if found)  # no ignored ones
        yield shot, result_paths.choose(free - entry.same, frozenset(held), repo.project)
    finally:
        with suppress(OSError):
            index.unlink(missing_ok=True)


def record_work_tree(
    repo: Repo,
    entry: Entry,
    details: Details,
    *,
    known: settings.Settings,
    status: str = "finished",
    talk: dvc_status.Talk | None = None,
    began: datetime | None = None,
) -> tuple[record.Recorded, snapshot.Snapshot]:
    """Record the work tree as it is now with what was measured; where this raises, a UsageError or
    a GitError, nothing was recorded."""
    check_status(status)
    now = datetime.now().astimezone()
    if began is not None and not isinstance(began, datetime):
        raise UsageError(f"started must be a datetime, not {type(began).__name__}")
    started = began.astimezone() if began else now
    said, told = details.checked(repo, known, talk)
    stays = details.advance is None and not known.advance
    draft = partial(
        record.Draft,
        id=os.urandom(8).hex(),
        params=entry.params,
        metrics=entry.metrics,
        last=entry.last,
        started=started,
        duration=max((now - started).total_seconds(), 0) if began else None,
        status=status,
        requirements=environment.requirements(),
        artifacts={**entry.artifacts, **(dvc.keep(repo, entry.large) if entry.large else {})},
        trailers={
            "Python": sys.version.split()[0],
            "Host": environment.host(),
            "Hardware": environment.hardware(),
            **conditions.trailers(said["extra"]),
        },
        beside="the setting advance is false" if stays else None,
        **said,
    )
    try:
        recorded, shot = _recorded(repo, known, entry, draft)
    except GitError as error:
        # `git gc --prune=now` beside us takes objects that nothing points to yet
        if not collector.has_taken(error):
            raise
        recorded, shot = _recorded(repo, known, entry, draft)
    warnings = (*entry.warnings, *filter(None, [told]), *recorded.warnings)
    return recorded._replace(warnings=warnings), shot


def _recorded(
    repo: Repo, known: settings.Settings, entry: Entry, draft: partial[record.Draft]
) -> tuple[record.Recorded, snapshot.Snapshot]:
    with taken(repo, known, entry) as (shot, places):
        made = record.without_secrets(repo, draft(files=places))
        return record.record(repo, shot, made), shot


def log(
    params: Any = None,
    metrics: Mapping[str, Any] | None = None,
    *,
    message: str | None = None,
    note: str = "",
    labels: Iterable[str] = (),
    name: str | None = None,
    group: str | None = None,
    status: str = "finished",
    artifacts: Iterable[Folder] = (),
    advance: bool | None = None,
    inputs: Iterable[Folder] = (),
    sign: bool | None = None,
    started: datetime | None = None,
    repo: Folder | None = None,
) -> Experiment:
    """Record the work tree as it is now, with what was measured, as one experiment.

    Args:
        params: a mapping, nested as you like; a dataclass or argparse's namespace is one.
        metrics: ``{"rmse": 18.2}``; a list is a series with steps from 0, ``{10: 0.9, 20: 0.5}``
            one with its own.
        message: the subject of the commit; by default the metrics and params.
        note: text below it, the body of the commit message.
        labels: words to find it by.
        name: a name other than ``exp-N``.
        group: the name that belonging experiments share.
        status: ``finished``, ``failed`` or ``killed``.
        artifacts: files to keep with it.
        advance: whether the branch may move onto it; None leaves it to the settings.
        inputs: data files that the result depends on; their hashes are recorded.
        sign: have git sign the tag; None leaves it to the settings.
        started: when it began; it took until now. By default it has no duration.
        repo: a folder in the repository, by default the current one.

    Raises:
        UsageError: a metric is no number, or a name, label or status cannot be one.
        RepositoryError: there is no repository, or git cannot write to it; nothing was recorded.
    """
    here = Repo.discover(repo or ".")
    known = settings.load(here.root, here.project)
    entry = check(
        here,
        given=as_params(params or {}),
        points=from_mapping(metrics or {}, int(time.time() * 1000)),
        artifacts=[Path(file) for file in each(artifacts)],
        limit=known.max_file_size,
    )
    said = (name, message, note, None, each(labels), group, advance, each(inputs), sign)
    recorded, shot = record_work_tree(
        here, entry, Details(*said), known=known, status=status, began=started
    )
    for text in (*recorded.warnings, *untracked.left_out_lines(shot.left_out, recorded.kept)):
        warnings.warn(f"gitexp: {text}", RuntimeWarning, stacklevel=2)
    return recorded.experiment
