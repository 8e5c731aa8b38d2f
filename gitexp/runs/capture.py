"""What a command wrote: its results are read, and its files are kept as outputs of its run.

None of this fails a run: what cannot be read is named.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitexp.formats import params, readers, settings
from gitexp.formats.errors import GitexpError
from gitexp.formats.experiment import MetricPoint
from gitexp.repo import Repo, snapshot
from gitexp.runs import arguments, journal, parsed
from gitexp.runs.run import Run
from gitexp.store import result_paths

MOST_FILES = 100_000  # that are looked at
MOST_BYTES = 50 * 10**6  # of a file that is read
_PASSED = frozenset(("node_modules", ".git", ".gitexp", ".dvc", "site-packages", *snapshot.NEVER))


@dataclass
class Findings:
    """What was found, for the line that says so."""

    points: dict[str, list[MetricPoint]] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    params: dict[str, int] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)


def mark(folder: Path) -> int:
    """Return the file system's time just before the command starts."""
    file = folder / "begun"
    file.write_bytes(b"")
    return file.stat().st_ctime_ns


def written(top: Path, since: int) -> list[str]:
    """Return the regular files below a folder that were written since, but for those of
    environments and of git."""
    found: list[str] = []
    seen = 0
    folders = [""]
    while folders and seen < MOST_FILES:
        folder = folders.pop()
        try:
            entries = list(os.scandir(top / folder))
        except OSError:
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            path = f"{folder}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _PASSED and not os.path.lexists(f"{entry.path}/.git"):
                    folders.append(f"{path}/")
                continue
            seen += 1
            if entry.name not in snapshot.NEVER and _is_new(entry, since):
                found.append(path)
    return sorted(found)


def _is_new(entry: os.DirEntry[str], since: int) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and max(status.st_mtime_ns, status.st_ctime_ns) >= since


def capture(
    run: Run, repo: Repo, since: int, known: settings.Settings, output: str, keep: bool
) -> str:
    """Log what the command's files and output say, and return a line that says what was found.

    Args:
        keep: keep its files as outputs.
    """
    paths = written(repo.root, since)
    given = parsed.of_run(run.folder, journal.facts(run.folder))
    named = _of_dvc(repo.root)
    logged = {point.name for point in journal.points(run.folder)}
    found = read(repo.root, paths, known, named["metrics"], "" if logged else output)
    found.params.update(given.counts)
    found.unclear += given.unclear
    _take_params(run, repo.root, [*named["params"], *paths], known, named["params"], found)
    for name, points in found.points.items():
        if name not in logged:
            run.log_points(points)
    run.add_facts("warnings", found.unread)
    if keep and run.snapshot:
        _keep(run, repo, paths, known, {*found.sources, *found.seen, *named["metrics"]})
    return _line(found, len(logged))


def read(
    root: Path,
    paths: Iterable[str],
    known: settings.Settings,
    named: Iterable[str] = (),
    output: str = "",
) -> Findings:
    """Return the metrics in files; where they have none, those in an output."""
    found = Findings()
    for path in paths:
        if _matches(path, known.metrics_files) or path in named or readers.is_metrics(path):
            _take_metrics(root, path, found)
    if not found.points:
        for point in readers.read_output(output):
            found.points.setdefault(point.name, []).append(point)
        found.sources.update({"its output": len(found.points)} if found.points else {})
    return found


def _take_metrics(root: Path, path: str, found: Findings) -> None:
    if (
        path in (result_paths.METRICS, result_paths.PARAMS)
        and not found.sources.get(path, 0)
        and is_long(root / path)
    ):
        return  # picked up already
    found.seen.append(path)
    try:
        data = _content(root / path)
        read = readers.read_metrics(path, data)
    except (GitexpError, OSError) as error:
        found.unread.append(f"{path} was not read as metrics: {error}")
        return
    stamp = (root / path).stat().st_mtime_ns // 10**6
    series: dict[str, list[MetricPoint]] = {}
    for point in read.points:
        series.setdefault(point.name, []).append(
            point if point.timestamp else point._replace(timestamp=stamp)
        )
    for name, points in series.items():
        _join(found, path, name, points)


def _join(found: Findings, path: str, name: str, points: list[MetricPoint]) -> None:
    """Add a series; one that another file has too is one, and another one of its name is called by
    its file."""
    old = found.points.get(name) or found.points.get(name.replace(".", "/"))
    if old:
        before, now = ([point.value for point in some] for some in (old, points))
        if before == now or now == before[-1:]:
            return
        if before != now[-1:]:
            name = f"{os.path.splitext(path)[0]}/{name}"
            points = [point._replace(name=name) for point in points]
    found.points[name] = points
    found.sources[path] = found.sources.get(path, 0) + 1


def _take_params(
    run: Run,
    root: Path,
    paths: Iterable[str],
    known: settings.Settings,
    named: Iterable[str],
    found: Findings,
) -> None:
    said = journal.read_params(run.folder)
    values: dict[str, Any] = {}
    for path in dict.fromkeys(paths):
        if path == result_paths.PARAMS or not (
            path in named or readers.is_params(path) or _matches(path, known.params)
        ):
            continue
        try:
            read = params.load(_content(root / path), path)
        except (GitexpError, OSError) as error:
            found.unread.append(f"{path} was not read as params: {error}")
            continue
        new = {*params.flatten(read)} - {*params.flatten(params.merge(values, said))}
        found.params.update({path: len(new)} if new else {})
        values = params.merge(values, read)
    known_names = {*params.flatten(said)}
    flat = params.flatten(values).items()
    if lacking := {name: value for name, value in flat if name not in known_names}:
        run.log_params(arguments.nested(lacking))


def _keep(run: Run, repo: Repo, paths: list[str], known: settings.Settings, read: set[str]) -> None:
    """Keep the files that the command wrote, each at its own path; of those that the user tracks
    only the results."""
    if not paths:
        return
    listed = repo.git("ls-files", "-z", "-t", "-c", "-o", "--exclude-standard").split(b"\0")
    marks = {os.fsdecode(item[2:]): item[:1] for item in listed if item}
    own = {
        path
        for path in paths
        if path in marks
        and path != result_paths.PARAMS
        and not (path == result_paths.METRICS and is_long(repo.root / path))
    }
    asked = [path for path in paths if path not in marks and _matches(path, known.outputs)]
    assert run.snapshot
    free = journal.facts(run.folder).get("free", ())  # where gitexp's own lay, not the user's
    earlier = {*run.snapshot.outputs, *free}
    tracked = [path for path in sorted(own) if marks[path] != b"?" and path not in earlier]
    changed = _changed(repo, run.snapshot.tree, tracked)
    for path in changed:
        if path in read or readers.is_metrics(path) or _matches(path, known.outputs):
            run.keep(path, repo.root / path)
            run.add_facts("rewritten", [path])
    other = [
        path
        for path in changed
        if not (path in read or readers.is_metrics(path) or _matches(path, known.outputs))
    ]
    if other:
        run.add_facts(
            "warnings", [f"changed by the command, recorded as at the start: {_some(other)}"]
        )
    fresh = sorted({*own, *asked} - {*tracked})
    taken, left_out = snapshot.permitted(repo, known, fresh)
    kept: list[str] = []
    for path in taken:
        if not (repo.root / path).is_symlink():
            run.keep(path, repo.root / path)
            kept.append(path)
    run.add_facts("written", kept)
    if left_out:
        run.add_facts(
            "warnings",
            [f"outputs not kept: {_some([path for path, _ in left_out])} ({left_out[0][1]})"],
        )
    snapshot.remember_outputs(repo, fresh)


def _changed(repo: Repo, tree: str, paths: list[str]) -> list[str]:
    found = repo.objects(f"{tree}:{path}" for path in paths)
    changed = []
    for path, item in zip(paths, found):
        try:
            if (
                item is None
                or result_paths.blob_hash(repo, (repo.root / path).read_bytes()) != item.id
            ):
                changed.append(path)
        except OSError:
            continue
    return changed


def _of_dvc(root: Path) -> dict[str, list[str]]:
    """Return the files of params and metrics that dvc.yaml names."""
    try:
        return readers.of_pipeline((root / "dvc.yaml").read_bytes())
    except OSError:
        return readers.of_pipeline(b"")


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise GitexpError(f"it has {snapshot.readable(size)}, too large to be looked through")
    return path.read_bytes()


def is_long(path: Path) -> bool:
    """Whether a table has DagsHub's form, a row for each value."""
    try:
        with open(path, "rb") as file:
            return b"name" in (first := file.readline().lower()) and b"value" in first
    except OSError:
        return False


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (
        f" and {len(names) - most:,} more" if len(names) > most else ""
    )


def _line(found: Findings, logged: int) -> str:
    """Return what was found, in one line."""
    if found.sources:
        parts = [f"metrics: {sum(found.sources.values())} from {_some(list(found.sources), 3)}"]
    elif logged:
        parts = []
    elif found.seen:
        parts = [
            (
                f"no metric found; looked into {_some(found.seen, 3)}; point at a file with"
                " --metrics-file"
            )
        ]
    else:
        parts = [
            "no metric found; point at the files that the command writes with --metrics-file GLOB"
        ]
    if found.params:
        counts = [f"{source} {count}" for source, count in found.params.items()]
        parts.append(f"params: {sum(found.params.values())} ({_some(counts)})")
    if found.unclear:
        parts.append(f"no params: {_some(found.unclear)} (after an option's value)")
    return " · ".join(parts)
