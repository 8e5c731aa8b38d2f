"""What changed between two experiments, or between one and the work tree, and why the numbers did.

Params and metrics come from the tag summaries, so a metrics file of any size costs nothing; the
code is compared as two trees. The work tree becomes a tree through a private index (snapshot.py):
untracked sources count, and the user's index stays as it is. No program that a repository names
(external diff, textconv, filter) is started.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitexp.formats import environment, metrics, params
from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.repo import Repo, dvc_pointers, dvc_status, snapshot
from gitexp.repo.dvc_pointers import DataChange
from gitexp.repo.process import chunks
from gitexp.store import connectivity, reference
from gitexp.store import result_paths as results
from gitexp.store.api import Folder, opened
from gitexp.store.artifacts import outputs
from gitexp.store.index import Index

WORK_TREE = "work tree"
_STATUS = {"A": "added", "D": "removed", "R": "renamed", "C": "copied", "T": "type changed"}
_DIFF = ("diff-tree", "-r", "-M", "--no-ext-diff", "--no-textconv", "--no-color")


@dataclass(frozen=True)
class Change:
    """A param or package that differs: ``kind`` is added (``a`` is None), removed (``b`` is None)
    or changed."""

    name: str
    kind: str
    a: Any
    b: Any


@dataclass(frozen=True)
class MetricChange:
    """A metric that differs.

    Attributes:
        a, b: the last values, None where there is none.
        difference: b - a, None where one is missing.
        percent: the difference in per cent of a, None where that says nothing.
        better: whether b beats a; None where the better direction is unknown.
    """

    name: str
    a: float | None
    b: float | None
    difference: float | None
    percent: float | None
    better: bool | None


@dataclass(frozen=True)
class FileChange:
    """A file that differs.

    Attributes:
        status: added, removed, changed, renamed or type changed.
        added, removed: lines, None for a binary file.
        old_path: what it was called before, for a renamed one.
    """

    path: str
    status: str
    added: int | None
    removed: int | None
    old_path: str | None = None

    @property
    def binary(self) -> bool:
        """Whether git cannot count its lines."""
        return self.added is None


@dataclass(frozen=True)
class OutputChange:
    """A file that the commands wrote and that differs; ``a`` and ``b`` are its hash and size there,
    None where it is missing; the size is None where a partial clone has not its content."""

    path: str
    status: str
    a: tuple[str, int | None] | None
    b: tuple[str, int | None] | None


@dataclass(frozen=True)
class Diff:
    """All that differs between ``a`` and ``b``.

    Attributes:
        a, b: the names of the two sides.
        code: files, without those that hold the results.
        artifacts: files that one of the runs logged.
        outputs: files that the command of one of the runs wrote.
        environment: packages and Python; empty where one side does not know them.
        command: the two command lines where they differ.
        same_params, same_metrics: what is equal on both sides.
        data: what DVC tracks.
        left_out: ``(path, why)`` for untracked files of the work tree that were not looked at.
    """

    a: str
    b: str
    params: tuple[Change, ...] = ()
    metrics: tuple[MetricChange, ...] = ()
    code: tuple[FileChange, ...] = ()
    artifacts: tuple[FileChange, ...] = ()
    outputs: tuple[OutputChange, ...] = ()
    environment: tuple[Change, ...] = ()
    data: tuple[DataChange, ...] = ()
    command: tuple[str | None, str | None] | None = None
    same_params: Mapping[str, Any] = field(default_factory=dict)
    same_metrics: Mapping[str, float] = field(default_factory=dict)
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything differs."""
        results = self.params or self.metrics or self.artifacts or self.outputs or self.data
        return bool(results or self.code or self.environment or self.command)


def diff(
    a: str | int | Experiment, b: str | int | Experiment | None = None, repo: Folder | None = None
) -> Diff:
    """Return what differs between two experiments, or between one and the work tree where ``b`` is
    left out.

    Args:
        a, b: experiments, by name or number, or as objects; without ``b``, the work tree is the
            other side.
        repo: a folder in the repository, by default the current one.

    Raises:
        NotFoundError: there is no such experiment.
        UsageError: what is given is no experiment.
    """
    index, chosen = opened(repo)
    first = reference.given(index, a, chosen)
    second = None if b is None else reference.given(index, b, chosen)
    return compare(index, chosen, first, second)


def compare(
    index: Index, settings: Settings, a: Experiment, b: Experiment | None, paths: Iterable[str] = ()
) -> Diff:
    """Return what differs between two experiments, or (``b`` is None) between one and the work
    tree.

    Args:
        paths: limits the code to these files and folders, given from the top of the repository.

    Raises:
        NotFoundError: an experiment's commit is not in this clone.
    """
    repo = index.repo
    sides, left_out = _trees(repo, settings, a, b)
    params_a, params_b = _params(a), _params(b) if b else _params_on_disk(repo)
    metrics_a, metrics_b = a.metrics, b.metrics if b else _metrics_on_disk(repo)
    both = [side for side in (a, b) if side]
    folders = (side.inside(results.FOLDER) for side in both)  # artifacts lie there, too
    own = results.of_all(index, both).difference(folders)
    artifacts = {str(path) for side in both for path in side.extra.get("artifacts", ())}
    files = [*_files(_differing(repo, "--raw --numstat -z", sides, own, paths))]
    data_b = dvc_pointers.of_experiment(repo, b) if b else dvc_pointers.in_work_tree(repo)
    if b is None:
        left_out += tuple(
            (path, "looks changed since the last dvc commit")
            for path in dvc_status.suspects(repo, data_b)
        )
    return Diff(
        a=a.name,
        b=b.name if b else WORK_TREE,
        params=tuple(changes(params_a, params_b)),
        metrics=tuple(metric_changes(metrics_a, metrics_b, settings)),
        code=tuple(file for file in files if file.path not in artifacts),
        artifacts=tuple(file for file in files if file.path in artifacts),
        outputs=tuple(_outputs(repo, a, b)) if b else (),
        environment=_environment(repo, a, b),
        data=tuple(dvc_pointers.changes(repo, dvc_pointers.of_experiment(repo, a), data_b)),
        command=(a.command, b.command) if b and a.command != b.command else None,
        same_params=_same_in(params_a, params_b),
        same_metrics=_same_in(metrics_a, metrics_b),
        left_out=left_out,
    )


def patch(
    index: Index, settings: Settings, a: Experiment, b: Experiment | None, paths: Iterable[str] = ()
) -> bytes:
    """Return the code's difference as a patch that ``git apply`` takes."""
    sides, _ = _trees(index.repo, settings, a, b)
    own = results.of_all(index, [side for side in (a, b) if side])
    return _differing(index.repo, "-p --binary --full-index", sides, own, paths)


def _trees(
    repo: Repo, settings: Settings, a: Experiment, b: Experiment | None
) -> tuple[tuple[str, str], tuple[tuple[str, str], ...]]:
    """Return what git calls the two sides, and what of the work tree is in neither."""
    for side in filter(None, (a, b)):
        connectivity.check_present(repo, side.id)
    if b:
        return (a.id, b.id), ()
    taken = snapshot.on_disk(repo, settings)
    return (a.id, taken.tree), taken.left_out


def _differing(
    repo: Repo, how: str, sides: Sequence[str], own: set[str], paths: Iterable[str]
) -> bytes:
    """Return what git prints for the code that differs. Results may be more than a command line
    holds, so git gets the shorter list: the code, in lots, or the rest, to leave out."""
    names = ("diff-tree", "-r", "-z", "--no-renames", "--name-only", *sides, "--")
    listed = repo.entries(*names, *results.code_pathspec((), paths))
    code = [path for path in listed if not (results.holds(own, path) or _is_own(path))]
    rest = {*listed}.difference(code)
    lots = [results.code_pathspec((), lot) for lot in chunks(code)]
    if len(rest) < len(code) and len([*chunks([*rest])]) < 2:
        lots = [results.code_pathspec(rest, paths)]
    return b"".join(repo.git(*_DIFF, *how.split(), *sides, "--", *lot) for lot in lots)


def _outputs(repo: Repo, a: Experiment, b: Experiment) -> Iterator[OutputChange]:
    old, new = ({one.path: (one.hash, one.size) for one in outputs(repo, side)} for side in (a, b))
    for one in changes(old, new):
        yield OutputChange(one.name, one.kind, one.a, one.b)


def _is_own(path: str) -> bool:
    """Whether gitexp itself wrote a file, as it does what a command printed; two runs hardly ever
    print the same."""
    return results.is_own(path) and f"{results.ARTIFACTS}/" not in path


def _files(printed: bytes) -> Iterator[FileChange]:
    """Yield the files that differ, from the ``--raw`` records (status) and the ``--numstat``
    records (lines) of one call."""
    fields = iter(printed.split(b"\0"))
    status: dict[str, str] = {}
    for item in fields:
        if item.startswith(b":"):
            letter = os.fsdecode(item.split(b" ")[4][:1])
            path = os.fsdecode([next(fields) for _ in range(2 if letter in "RC" else 1)][-1])
            status[path] = _STATUS.get(letter, "changed")
        elif item:
            added, removed, name = item.split(b"\t", 2)
            old = None if name else os.fsdecode(next(fields))
            path = os.fsdecode(name or next(fields))
            more, fewer = (None, None) if added == b"-" else (int(added), int(removed))
            yield FileChange(path, status.get(path, "changed"), more, fewer, old)


def _params(experiment: Experiment) -> Mapping[str, Any]:
    """Return an experiment's params: from its summary, or from the file where the summary shortens
    one or cannot tell NaN from null."""
    path, found = experiment.files.get("params"), experiment.params
    cut = any(isinstance(value, str) and len(value) > 1000 for value in found.values())
    if path and (cut or None in found.values()):
        return params.flatten(params.load(experiment.read(path), path))
    return found


def _params_on_disk(repo: Repo) -> Mapping[str, Any]:
    path = _on_disk(repo, results.PARAMS)
    try:
        return params.flatten(params.load_file(path)) if path.exists() else {}
    except FormatError:  # a file of the user's that happens to have this name
        return {}


def _metrics_on_disk(repo: Repo) -> Mapping[str, float]:
    try:
        with open(_on_disk(repo, results.METRICS), "rb") as file:
            return metrics.last_values(metrics.read(file))
    except (OSError, FormatError):
        return {}


def _on_disk(repo: Repo, name: str) -> Path:
    """Return where the last experiment's results lie: below ``.gitexp/`` where the usual place is a
    file of the user's."""
    top = repo.root / repo.project
    aside = top / results.FOLDER / name
    return aside if aside.exists() else top / name


def _environment(repo: Repo, a: Experiment, b: Experiment | None) -> tuple[Change, ...]:
    """Return the packages that differ; for the work tree (None) those of this interpreter count."""
    sides = [side for side in (a, b) if side]
    found = [*repo.objects(f"{side.id}:{side.inside(environment.PATH)}" for side in sides)]
    texts = [item.data.decode("utf-8", "replace") if item else None for item in found]
    old, new = texts if b else (texts[0], environment.requirements())
    if not old or not new:
        return ()
    return tuple(changes(environment.parse_requirements(old), environment.parse_requirements(new)))


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        if name not in new:
            yield Change(name, "removed", old[name], None)
        elif name not in old:
            yield Change(name, "added", None, new[name])
        elif not same(old[name], new[name]):
            yield Change(name, "changed", old[name], new[name])


def metric_changes(
    old: Mapping[str, float], new: Mapping[str, float], settings: Settings
) -> Iterator[MetricChange]:
    for name in sorted({*old, *new}):
        a, b = old.get(name), new.get(name)
        if a is None or b is None:
            yield MetricChange(name, a, b, None, None, None)
        elif not same(a, b):
            by = b - a
            percent = 100 * by / abs(a) if a and math.isfinite(by) else None
            direction = metrics.direction(name, settings.metrics)
            better = metrics.is_better(direction, b, a) if direction else None
            yield MetricChange(name, a, b, by, percent, better)


def _same_in(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    both = [name for name in sorted(new) if name in old]
    return {name: new[name] for name in both if same(old[name], new[name])}


def same(a: Any, b: Any) -> bool:
    """Whether two values say the same: 1 and 1.0 do, 1 and true do not, NaN and NaN do."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)
