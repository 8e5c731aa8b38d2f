"""What a command wrote into files of its own: results are read from them, and the files are kept as
outputs of its run.

None of this fails a run: what cannot be read is named.
"""

from __future__ import annotations

import fnmatch
import math
import os
import posixpath
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gitexp.formats import message, params, printed, readers, settings, trackers
from gitexp.formats.errors import GitexpError
from gitexp.formats.experiment import MetricPoint
from gitexp.repo import Repo, dvc_pointers, snapshot
from gitexp.runs import arguments, journal, parsed
from gitexp.runs.run import Run
from gitexp.store import notes, result_paths

if TYPE_CHECKING:
    from gitexp.formats.trackers import found

BEGUN = "begun"  # in a run's folder: its time is when the command began
_SHARED = "shared"  # there: another command ran in this work tree meanwhile
MOST_FILES = 100_000  # that are looked at
MOST_BYTES = 50 * 10**6  # of a file that is read
_PASSED = frozenset(("node_modules", ".git", ".gitexp", ".dvc", "site-packages", *snapshot.NEVER))
_DVC = (".dvc/config", ".dvc/.gitignore", ".dvcignore")  # what `dvc init` makes
_MANY = 100  # files of a folder
_ENDINGS = (
    *(".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".toml", ".csv", ".tsv"),
    *(".db", ".sqlite", ".wandb", ".zip", ".log", ".lock", ".dvc"),
)
_EXPERIMENTS = "refs/exps"  # of DVC
_CLOSE = 1e-6  # event files hold numbers of 32 bits
Look = tuple[int, int, int]


class Begun(NamedTuple):
    """How all was just before the command began: the file system's time, and DVC's experiments."""

    since: int
    experiments: frozenset[str]


@dataclass
class Findings:
    """What was found, for the line that says so."""

    points: dict[str, list[MetricPoint]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)  # the file that each came from
    params: dict[str, int] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    alone: bool = True  # whether gitexp's own files were picked up as they were written


@dataclass
class Written:
    """What a command wrote: files with how each looked, and paths of links, FIFOs and the like."""

    files: dict[str, Look] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)


def mark(folder: Path, repo: Repo | None = None) -> Begun:
    """Return how all is just before the command starts."""
    file = folder / BEGUN
    file.write_bytes(b"")
    for other in journal.folders(repo) if repo else ():
        runs = other != folder and (other / BEGUN).exists() and journal.is_alive(other)
        if runs and repo and journal.facts(other).get("root") == str(repo.root):
            (other / _SHARED).touch()
            (folder / _SHARED).touch()
    return Begun(file.stat().st_ctime_ns, _experiments(repo) if repo else frozenset())


def is_shared(run: Run) -> bool:
    """Whether other commands ran in the work tree meanwhile: whose a file is that somebody wrote,
    nobody knows then."""
    return (run.folder / _SHARED).exists()


def own_alone(run: Run, repo: Repo, wrote: Written, known: settings.Settings) -> list[str]:
    """Leave only what is this run's for sure where others ran beside it: what its command names,
    and the patterns for its results. Returns the rest, which counts as outputs of nobody."""
    if not is_shared(run):
        return []
    facts = journal.facts(run.folder)
    patterns = (*known.metrics_files, *known.outputs)
    named = [
        posixpath.normpath(posixpath.join(facts.get("directory") or ".", part))
        for word in facts.get("command") or ()
        for part in (word, word.partition("=")[2])
        if part not in ("", ".")
    ]
    rest = [
        path
        for path in wrote.files
        if not _matches(path, patterns)
        and not any(path == name or path.startswith(f"{name}/") for name in named)
    ]
    for path in rest:
        del wrote.files[path]
    wrote.odd = []
    snapshot.remember_outputs(repo, rest)
    return rest


def unchanged(repo: Repo, since: int) -> Begun:
    """Return how all was at a time, where nobody knows which experiments DVC made since."""
    return Begun(since, _experiments(repo))


def _experiments(repo: Repo) -> frozenset[str]:
    """Return the commits of DVC's experiments."""
    if not (dvc_pointers.in_use(repo.root) or (repo.common_dir / _EXPERIMENTS).exists()):
        return frozenset()
    refs = repo.refs(_EXPERIMENTS)
    return frozenset(id for name, id in refs.items() if len(name.split("/")[2]) == 2)


def written(top: Path, since: int, until: int | None = None, all: bool = True) -> Written:
    """Return what was written below a folder in a time, but for environments and git's own.

    Args:
        all: look at each file; else, in a large folder to which nothing came, only at those that
            may hold results by their ending.
    """
    found = Written()
    files, odd = found.files, found.odd
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
        seen += len(entries)
        below = []
        some = not all and len(entries) > _MANY and _is_older(top / folder, since)
        for entry in entries:  # of which there may be many, nearly all from before
            name = entry.name
            if some and not name.endswith(_ENDINGS) and entry.is_file(follow_symlinks=False):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    below.append(name)
                    continue
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if status.st_ctime_ns < since or snapshot.is_never(name):
                continue
            if until and max(status.st_mtime_ns, status.st_ctime_ns) > until:
                continue
            if stat.S_ISREG(status.st_mode):
                files[f"{folder}{name}"] = _look(status)
            else:
                odd.append(f"{folder}{name}")
        folders += [
            f"{folder}{name}/"
            for name in below
            if name not in _PASSED and not os.path.lexists(top / folder / name / ".git")
        ]
    found.files = dict(sorted(files.items()))
    return found


def _is_older(folder: Path, since: int) -> bool:
    """Whether nothing came to a folder or went since."""
    try:
        return folder.stat().st_mtime_ns < since
    except OSError:
        return False


def _look(status: os.stat_result) -> Look:
    return status.st_mtime_ns, status.st_size, status.st_ino


def capture(
    run: Run,
    repo: Repo,
    begun: Begun,
    known: settings.Settings,
    output: str,
    keep: bool,
    until: int | None = None,
    failed: bool = False,
) -> str:
    """Log what the command's files and output say, and return a line that says what was found.

    Args:
        keep: keep its files as outputs.
        until: when it ended, where that is not now.
        failed: it came to no good end, so that a lack of metrics needs no word.
    """
    asked = bool(known.outputs or known.metrics_files or known.params)
    wrote = written(repo.root, begun.since, until, asked)
    others = own_alone(run, repo, wrote, known)
    given = parsed.of_run(run.folder, journal.facts(run.folder))
    found = Findings(
        params=dict(given.counts), unclear=list(given.unclear), alone=not is_shared(run)
    )
    _look_at_dvc(run, repo, begun, wrote)
    own, values = _take_runs(run, repo.root, [*wrote.files], begun.since / 10**9, found)
    paths = {path: look for path, look in wrote.files.items() if not path.startswith(own)}
    named = _of_dvc(repo, paths, journal.facts(run.folder).get("command") or ())
    _take_params(run, repo.root, paths, values, known, named["params"], found)
    logged = _log_metrics(run, repo.root, paths, known, output, named["metrics"], found)
    found.unread += [
        f"{path} is a link, a FIFO or the like, and was not read"
        for path in wrote.odd
        if _is_metrics(path, known) and not path.startswith(own)
    ]
    if results := [path for path in others if _is_metrics(path, known)]:
        found.unread.append(
            "other commands ran in this folder meanwhile, and these files may be theirs:"
            f" {message.some(results)}; to have them read: --metrics-file, or name them in the"
            " command"
        )
    run.add_facts("warnings", found.unread)
    for path in named["metrics"]:  # that DVC left as it was
        with suppress(OSError):
            wrote.files.setdefault(path, _look((repo.root / path).lstat()))
    if keep and run.snapshot:
        seen = {*found.origins.values(), *found.seen, *named["metrics"]}
        _keep(run, repo, wrote, known, seen, own)
        if run.snapshot.tree and any(named.values()):
            _stand_aside(run, named)
    return _line(found, bool(logged) or failed)


def capture_metrics(
    run: Run, root: Path, begun: Begun, known: settings.Settings, output: str
) -> None:
    """Log what the files and the output of a command say, none of whose files are kept."""
    found = Findings()
    _log_metrics(run, root, written(root, begun.since).files, known, output, (), found)
    run.add_facts("warnings", found.unread)


def _log_metrics(
    run: Run,
    root: Path,
    paths: Mapping[str, Look],
    known: settings.Settings,
    output: str,
    named: Iterable[str],
    found: Findings,
) -> int:
    """Log the metrics that the run has not logged itself, and return how many it has."""
    logged = {point.name for point in journal.own_points(run.folder)}
    read(root, paths, known, "" if logged and not known.stdout else output, named, found)
    steps = journal.all_facts(run.folder).get("steps", {})  # of what it goes on from
    for name, points in found.points.items():
        if name not in logged:
            run.log_points(_going_on(points, steps.get(name, 0)))
    return len(logged)


def _going_on(points: list[MetricPoint], last: int) -> list[MetricPoint]:
    """Return a series behind the last step of what the run goes on from, where it is one value
    without a step; others replace what they go over again."""
    lone = last and len(points) == 1 and not points[0].step
    return [points[0]._replace(step=last + 1)] if lone else points


def read(
    root: Path,
    paths: Mapping[str, Look],
    known: settings.Settings,
    output: str = "",
    named: Iterable[str] = (),
    found: Findings | None = None,
) -> Findings:
    """Return the metrics in files, and where they have none, or the settings ask for it, those in
    an output; added to what was ``found`` before."""
    found = Findings() if found is None else found
    for path in dict.fromkeys((*paths, *named)):
        if _is_metrics(path, known) or path in named:
            _take_metrics(root, path, paths.get(path), found)
    if known.stdout is not False and (known.stdout or not found.points):
        patterns = known.stdout if isinstance(known.stdout, tuple) else ()
        now = time.time_ns() // 10**6
        points = printed.read_output(output, patterns)
        _take_series(found, "its output", (point._replace(timestamp=now) for point in points))
    return found


def _is_metrics(path: str, known: settings.Settings) -> bool:
    return _matches(path, known.metrics_files) or readers.is_metrics(path)


def _stand_aside(run: Run, named: Mapping[str, list[str]]) -> None:
    """Have gitexp's own files lie in its folder where the user's pipeline names files of his."""
    usual = {"params": result_paths.PARAMS, "metrics": result_paths.METRICS}
    run.add_facts("aside", [usual[kind] for kind, paths in named.items() if paths])


def _look_at_dvc(run: Run, repo: Repo, begun: Begun, wrote: Written) -> None:
    """Note DVC's experiments that the command made, so that importing them joins this one; and say
    where it set DVC up (as dvclive does), which is no output of a training."""
    new = _experiments(repo) - begun.experiments
    if new:
        from gitexp.formats.trackers import found as runs

        run.set_condition("captured", {runs.key("dvc", id): f"dvc {id[:10]}" for id in new})
    try:
        status = (repo.root / _DVC[1]).stat()
    except OSError:
        return
    if run.snapshot and max(status.st_mtime_ns, status.st_ctime_ns) >= begun.since:
        wrote.files.pop(_DVC[2], None)
        snapshot.remember_outputs(repo, _DVC)
        run.add_facts(
            "warnings",
            ["the command set DVC up here (.dvc, .dvcignore); that is not part of the experiment"],
        )


def _take_runs(
    run: Run, root: Path, paths: list[str], since: float, found: Findings
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Take in the runs that trackers left; returns which files are theirs, and params."""
    if not paths and not trackers.homes():
        return (), {}
    from gitexp.formats.trackers import found as runs
    from gitexp.formats.trackers import tools

    own: list[str] = []
    values: dict[str, Any] = {}
    for left in tools.left(root, paths, since):
        own += left.own
        for item in left.found:
            parts = item.partly if isinstance(item, runs.Run) else (item,)
            found.unread += [f"{x.what}: {x.why}" for x in parts if isinstance(x, runs.Unread)]
            if not isinstance(item, runs.Run):
                continue
            _take_series(found, left.place, item.points)
            given = params.nested(params.plain(item.params))
            values = params.merge(values, given)
            if given:
                found.params[left.place] = len(params.flatten(given))
            _describe(run, item)
    return tuple(own), values


def _describe(run: Run, item: found.Run) -> None:
    """Take over what a tracker calls a run, and what it is known by there."""
    names = dict.fromkeys((item.key, *item.keys), f"{item.kind} {item.id}")
    run.set_condition("captured", names)
    if item.tags:
        run.set_condition("tags", {name: str(value) for name, value in item.tags.items()})
    if item.labels:
        run.set_label(*notes.as_labels(item.labels))
    if item.note and not journal.facts(run.folder).get("note"):
        run.set_note(item.note)


def _take_series(found: Findings, path: str, points: Iterable[MetricPoint]) -> None:
    series: dict[str, list[MetricPoint]] = {}
    for point in points:
        series.setdefault(point.name, []).append(point)
    for name, some in series.items():
        if not readers.is_counter(name):
            _join(found, path, name, some)


def _take_metrics(root: Path, path: str, look: Look | None, found: Findings) -> None:
    if found.alone and path in (result_paths.METRICS, result_paths.PARAMS) and is_long(root / path):
        return  # picked up already
    found.seen.append(path)
    try:
        read = readers.read_metrics(path, _content(root / path, look))
        stamp = (root / path).stat().st_mtime_ns // 10**6
    except (GitexpError, OSError) as error:
        found.unread.append(f"{path} was not read as metrics: {error}")
        return
    found.unread += [f"{path}: {read.cut}"] if read.cut else []
    _take_series(
        found,
        path,
        (point if point.timestamp else point._replace(timestamp=stamp) for point in read.points),
    )


def _join(found: Findings, path: str, name: str, points: list[MetricPoint]) -> None:
    """Add a series; one that another file has too is one, the longer, and another one of its name
    is called by its file."""
    twin = next((other for other in _spellings(name) if other in found.points), None)
    if twin and _are_same(found.points[twin], points):
        if len(points) <= len(found.points[twin]):
            return
        del found.points[twin], found.origins[twin]
    elif twin:
        name = f"{posixpath.splitext(path)[0]}/{name}"
        points = [point._replace(name=name) for point in points]
    found.points[name] = points
    found.origins[name] = path


def _spellings(name: str) -> tuple[str, str, str]:
    """Return a name, and as dvclive's folders and its ``metrics.json`` have it."""
    return name, name.replace(".", "/"), name.replace("/", ".")


def _are_same(one: list[MetricPoint], other: list[MetricPoint]) -> bool:
    """Whether two series are one, or one is the last value of the other."""
    count = min(len(one), len(other))
    if count not in (1, max(len(one), len(other))):
        return False
    pairs = [(a.value, b.value) for a, b in zip(one[-count:], other[-count:])]
    return all(math.isclose(*pair, rel_tol=_CLOSE) or all(map(math.isnan, pair)) for pair in pairs)


def _take_params(
    run: Run,
    root: Path,
    paths: Mapping[str, Look],
    values: dict[str, Any],
    known: settings.Settings,
    named: list[str],
    found: Findings,
) -> None:
    said = journal.own_params(run.folder)
    for path in dict.fromkeys((*named, *paths)):
        if path == result_paths.PARAMS or not (
            path in named or readers.is_params(path) or _matches(path, known.params)
        ):
            continue
        try:
            read = params.load(_content(root / path, paths.get(path)), path)
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


def _keep(
    run: Run,
    repo: Repo,
    wrote: Written,
    known: settings.Settings,
    read: set[str],
    tools: tuple[str, ...],
) -> None:
    """Keep the files that the command wrote, each at its own path; of those that the user tracks
    only the results. What of trackers' own is not kept need not be said: its runs were read."""
    if not (wrote.files or wrote.odd) or not run.snapshot:
        return
    listed = repo.git("ls-files", "-z", "-t", "-c", "-o", "--exclude-standard").split(b"\0")
    marks = {os.fsdecode(item[2:]): item[:1] for item in listed if item}
    own = {
        path
        for path in wrote.files
        if path in marks
        and path != result_paths.PARAMS
        and not (path == result_paths.METRICS and is_long(repo.root / path))
    }
    asked = [path for path in wrote.files if path not in marks and _matches(path, known.outputs)]
    free = journal.facts(run.folder).get("free", ())  # where gitexp's own lay, not the user's
    earlier = {*run.snapshot.outputs, *free}
    tracked = [path for path in sorted(own) if marks[path] != b"?" and path not in earlier]
    changed = _changed(repo, run.snapshot.tree, tracked)
    results = [
        path
        for path in changed
        if path in read or readers.is_metrics(path) or _matches(path, known.outputs)
    ]
    run.add_facts("rewritten", _kept(run, repo, results, wrote, []))
    if other := [path for path in changed if path not in results and not _of_data(path)]:
        named = message.some(other, 5)
        run.add_facts("warnings", [f"changed by the command, recorded as at the start: {named}"])
    fresh = sorted({*own, *asked} - {*tracked})
    taken, left_out = snapshot.permitted(repo, known, fresh)
    large = [(path, why) for path, why in left_out if snapshot.OVER in why]
    if dvc_pointers.in_use(repo.root) and ".dvc/config" not in snapshot.left_outputs(repo):
        left_out = [item for item in left_out if item not in large]
        taken = [*taken, *(path for path, _ in large)]
    # dvc.lock names results too that DVC leaves to git
    taken += [path for path, why in left_out if path in read and snapshot.BY_DVC in why]
    left_out = [item for item in left_out if item[0] not in taken]
    kept = _kept(run, repo, taken, wrote, left_out)
    run.add_facts("written", [path for path in kept if not _of_data(path)])
    left_out = [item for item in left_out if not item[0].startswith(tools)]
    if left_out:
        named = message.some([path for path, _ in left_out], 5)
        run.add_facts("warnings", [f"outputs not kept: {named} ({left_out[0][1]})"])
    links = [path for path in wrote.odd if path in marks]
    snapshot.remember_outputs(repo, [path for path in (*fresh, *links) if not _of_data(path)])


def _of_data(path: str) -> bool:
    """Whether a file is one of DVC's, which says where data stand also for later runs."""
    return dvc_pointers.is_pointer(path)


def _kept(
    run: Run, repo: Repo, paths: list[str], wrote: Written, left_out: list[tuple[str, str]]
) -> list[str]:
    """Keep files as they are now; returns which, and adds to ``left_out`` which not and why."""
    kept = []
    for path in paths:
        try:
            if _look((repo.root / path).lstat()) != wrote.files[path]:
                left_out.append((path, "it is still being written"))
                continue
            run.keep(path, repo.root / path)
            kept.append(path)
        except (GitexpError, OSError) as error:
            left_out.append((path, str(error)))
    return kept


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


def _of_dvc(repo: Repo, paths: Mapping[str, Look], command: Iterable[str]) -> dict[str, list[str]]:
    """Return the files of params and metrics that dvc.yaml names: what earlier commands wrote is
    none of this one's, unless it is DVC itself, for which all may be as it was."""
    named: dict[str, list[str]] = {"params": [], "metrics": [], "plots": []}
    with suppress(OSError):
        pipeline = (repo.root / "dvc.yaml").read_bytes()
        for kind, path in readers.of_pipeline("dvc.yaml", pipeline, [*named]):
            named[kind].append(path)
    curves = [path for path in named.pop("plots") if path in paths and _has_steps(repo.root / path)]
    if not any(posixpath.basename(word) == "dvc" for word in command):
        earlier = {*snapshot.left_outputs(repo)} - paths.keys()
        named["params"] = [path for path in named["params"] if path not in earlier]
        named["metrics"] = [path for path in named["metrics"] if path in paths]
    return {
        "params": _there(repo, named["params"]),
        "metrics": _there(repo, [*named["metrics"], *curves]),
    }


def _has_steps(path: Path) -> bool:
    """Whether a plot is the course of metrics, and not, say, a confusion matrix."""
    try:
        with open(path, "rb") as file:
            return path.suffix in (".csv", ".tsv") and readers.has_steps(file.readline(10_000))
    except OSError:
        return False


def _there(repo: Repo, paths: Iterable[str]) -> list[str]:
    return [path for path in dict.fromkeys(paths) if (repo.root / path).is_file()]


def _content(path: Path, look: Look | None) -> bytes:
    """Return what a file holds that looked so when it was found."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise GitexpError(f"it has {snapshot.readable(size)}, too large to be looked through")
    data = path.read_bytes()
    if look and _look(path.stat()) != look:
        raise GitexpError("it is still being written")
    return data


def is_long(path: Path) -> bool:
    """Whether a table has DagsHub's form, a row for each value."""
    try:
        with open(path, "rb") as file:
            return readers.is_long(path.name, file.readline(10_000))
    except OSError:
        return False


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _line(found: Findings, content: bool) -> str:
    """Return what was found, in one line; whoever is ``content`` misses no metric."""
    sources = [*dict.fromkeys(found.origins.values())]
    if sources:
        parts = [f"metrics: {len(found.origins)} from {message.some(sources)}"]
    elif content:
        parts = []
    elif found.seen:
        parts = [
            (
                f"no metric found; looked into {message.some(found.seen)}; point at a file with"
                " --metrics-file"
            )
        ]
    else:
        parts = [
            "no metric found; point at the files that the command writes with --metrics-file GLOB"
        ]
    if found.params:
        counts = [f"{source} {count}" for source, count in found.params.items()]
        parts.append(f"params: {sum(found.params.values())} ({message.some(counts, 5)})")
    if found.unclear:
        parts.append(f"no params: {message.some(found.unclear, 5)} (after an option's value)")
    return " · ".join(parts)
