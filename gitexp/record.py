"""``gitexp log``: an experiment by hand, snapshot and result in one go."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from gitexp import conditions, dvc, environment, metrics, params, results, seeds, settings, snapshot, store, upkeep
from gitexp.errors import FormatError, GitError, UsageError
from gitexp.experiment import STATUSES, MetricPoint
from gitexp.notes import check_label
from gitexp.repo import Repo

_LARGE = 2**21  # bytes of metrics that pandas, import and all, reads sooner


@dataclass(frozen=True)
class Entry:
    """What somebody wants recorded, checked.

    Attributes:
        metrics: the whole ``metrics.csv``, and ``last`` the last value of each metric.
        same: files of the user's that say just what is recorded (``params.yml`` given as ``--params-file``).
        large: artifacts over the limit, which go into DVC's cache; their pointers enter.
    """

    params: Mapping[str, Any]
    metrics: bytes
    last: Mapping[str, float]
    artifacts: Mapping[str, Path]
    same: frozenset[str]
    large: Mapping[str, Path] = field(default_factory=dict)


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
    """Read the files and put all together: later params files win, and what is given wins over files.

    Raises:
        FormatError: a file cannot be read.
        UsageError: an artifact is missing, outside of the repository or too large.
    """
    merged: dict[str, Any] = {}
    params_files, metrics_files = list(params_files), list(metrics_files)
    for file in params_files:
        merged = params.merge(merged, params.load_file(file))
    added = list(points)
    read = None if added else _at_once(metrics_files)
    written, last = read or metrics.gather(chain(chain.from_iterable(map(read_metrics, metrics_files)), added))
    same = set()
    if len(params_files) == 1 and not given and _is(params_files[0], repo.root / results.PARAMS):
        same.add(results.PARAMS)
    if len(metrics_files) == 1 and not added and _is(metrics_files[0], repo.root / results.METRICS):
        same.add(results.METRICS)
    kept = {store_path(repo, path): path for path in artifacts}
    large = {path: file for path, file in kept.items() if dvc.takes(repo, path, file.stat().st_size, limit)}
    small = {path: file for path, file in kept.items() if path not in large}
    return Entry(params.merge(merged, given), written, last, small, frozenset(same), large)


def _at_once(files: Sequence[Path]) -> tuple[bytes, dict[str, float]] | None:
    """Return what ``metrics.gather`` would, by pandas; None where importing it takes longer, or a row is odd."""
    from gitexp import frames

    with suppress(OSError):
        if len(files) == 1 and files[0].suffix != ".json" and files[0].stat().st_size > _LARGE:
            return frames.gathered(files[0].read_bytes())
    return None


def read_metrics(file: Path) -> Iterator[MetricPoint]:
    """Yield the points of a metrics file: CSV in DagsHub's form, or JSON (``{"rmse": 18.2, "loss": [0.9, 0.5]}``)."""
    try:
        if file.suffix == ".json":
            values = params.load(file.read_bytes(), str(file))
            yield from metrics.from_mapping(params.flatten(values), int(time.time() * 1000))
        else:
            with open(file, "rb") as stream:
                yield from metrics.read(stream, str(file))
    except OSError as error:
        raise FormatError(f"{file} cannot be read: {error.strerror}") from None


def store_path(repo: Repo, path: Path) -> str:
    """Return the path in the tree of a file of the work tree; raise UsageError where it is none."""
    if not path.is_file():
        raise UsageError(f"there is no file '{path}' to keep as an artifact")
    try:
        inside = path.resolve().relative_to(repo.root.resolve()).as_posix()
    except ValueError:
        raise UsageError(f"'{path}' lies outside of the repository; copy it into {repo.root} first") from None
    if inside.startswith(".git/"):
        raise UsageError(f"'{path}' belongs to git itself and cannot be an artifact")
    return inside


def take(repo: Repo, known: settings.Settings, entry: Entry) -> tuple[snapshot.Snapshot, results.Places]:
    """Snapshot the work tree into a private index and choose the places for the results; ``discard`` it after use."""
    free = results.ours(repo)
    index = repo.make_state_dir() / f"log-{os.urandom(8).hex()}.index"
    try:
        shot = snapshot.take(repo, known, index, free - entry.same | entry.large.keys())
    except BaseException:
        with suppress(OSError):
            index.unlink(missing_ok=True)
        raise
    return shot, results.choose(free - entry.same, entry.same & _in_tree(repo, shot, entry.same))


def discard(shot: snapshot.Snapshot) -> None:
    """Remove a snapshot's private index."""
    with suppress(OSError):
        shot.index.unlink(missing_ok=True)


def log(
    repo: Repo,
    entry: Entry,
    *,
    known: settings.Settings | None = None,
    message: str | None = None,
    note: str = "",
    labels: Iterable[str] = (),
    name: str | None = None,
    group: str | None = None,
    status: str = "finished",
    advance: bool | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    sign: bool | None = None,
    talk: upkeep.Talk | None = None,
) -> tuple[store.Recorded, snapshot.Snapshot]:
    """Record the work tree as it is now with what was measured.

    Args:
        talk: with the user, about changed data in DVC.

    Raises:
        UsageError: a name, label or status cannot be one.
        GitError: git cannot read or write; nothing was recorded.
    """
    known = known or settings.load(repo.root)
    if status not in STATUSES:
        raise UsageError(f"'{status}' is no status; use {', '.join(STATUSES)}")
    if name:
        store.check_name(repo, name)
    checked = tuple(check_label(label) for label in labels)
    started = datetime.now().astimezone()
    settled = upkeep.settle(repo, known, talk)
    artifacts: dict[str, Path | bytes] = {**entry.artifacts, **(dvc.keep(repo, entry.large) if entry.large else {})}
    extra = {
        **conditions.here(),
        "inputs": conditions.hash_inputs(repo.root, inputs),
        "seed": dict(seeds.last),
        **settled.conditions,
    }
    for attempt in (1, 2):
        shot, places = take(repo, known, entry)
        draft = store.Draft(
            params=entry.params,
            metrics=entry.metrics,
            last=entry.last,
            started=started,
            files=places,
            status=status,
            title=message,
            note=note,
            labels=checked,
            group=group,
            name=name,
            requirements=environment.requirements(),
            artifacts=artifacts,
            trailers={
                "Python": sys.version.split()[0],
                "Host": environment.host(),
                "Hardware": environment.hardware(),
                **conditions.trailers(extra),
            },
            extra=extra,
            sign=known.sign if sign is None else sign,
            advance=known.advance if advance is None else advance,
            beside="the setting advance is false" if advance is None and not known.advance else None,
        )
        try:
            recorded = store.record(repo, shot, draft)
            warned = (*([settled.told] if settled.told else []), *recorded.warnings)
            return replace(recorded, warnings=warned), shot
        except GitError as error:
            # `git gc --prune=now` beside us takes objects that nothing points to yet
            if attempt == 2 or not any(word in error.stderr for word in ("missing", "invalid object", "not a valid", "does not point")):
                raise
        finally:
            discard(shot)
    raise AssertionError


def _is(path: Path, other: Path) -> bool:
    return os.path.abspath(path) == os.path.abspath(other)


def _in_tree(repo: Repo, shot: snapshot.Snapshot, paths: Iterable[str]) -> set[str]:
    """Return those of the user's files that the snapshot really holds (an ignored one it does not)."""
    return {path for path, found in zip(paths, repo.objects(f"{shot.tree}:{path}" for path in paths)) if found}
