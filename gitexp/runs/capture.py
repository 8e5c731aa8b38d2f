"""What a command wrote into files of its own: results are read from them.

None of this fails a run: what cannot be read is named.
"""

from __future__ import annotations

import math
import posixpath
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitexp.formats import message, params, readers, rows, settings, trackers
from gitexp.formats.errors import GitexpError
from gitexp.formats.experiment import MetricPoint
from gitexp.repo import Repo, files, snapshot
from gitexp.runs import journal, outputs, outputs_kept, parsed, written
from gitexp.runs.run import Run
from gitexp.runs.written import Begun, Look, Written
from gitexp.store import result_paths

if TYPE_CHECKING:
    from gitexp.formats.trackers.found import Run as TheirRun

MOST_BYTES = 50 * 10**6  # of a file that is read
_DVC = (".dvc/config", ".dvc/.gitignore", ".dvcignore")  # what `dvc init` makes
_CLOSE = 1e-6  # event files hold numbers of 32 bits


@dataclass
class Findings:
    """Files that are looked through, and what was found in them."""

    root: Path
    known: settings.Settings
    # the files below ``root``, with how each looked
    paths: Mapping[str, Look] = field(default_factory=dict)
    named: Sequence[str] = ()  # those of metrics that the user's pipeline names
    # the series by their names, and ``origins`` the file that each came from
    points: dict[str, list[MetricPoint]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    params: dict[str, int] = field(default_factory=dict)  # how many came from where
    unread: list[str] = field(default_factory=list)
    cut: dict[str, str] = field(default_factory=dict)
    unclear: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    alone: bool = True  # whether gitexp's own files were picked up as they were written
    begun: Begun = written.ALWAYS  # what lay there before

    def is_metrics(self, path: str) -> bool:
        return outputs_kept.matches(path, self.known.metrics_files) or readers.is_metrics(path)


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
    wrote = written.below(repo.root, begun.since, until, asked)
    facts = journal.facts(run.folder)
    alone = not written.is_shared(run.folder)
    others = [] if alone else outputs_kept.leave_own(repo, facts, wrote, known)
    given = parsed.of_run(run.folder, facts)
    found = Findings(repo.root, known, alone=alone, begun=begun)
    found.params, found.unclear = given.counts, given.unclear
    _look_at_dvc(run, repo, begun, wrote)
    own, values = _take_runs(run, [*wrote.files], begun.since / 10**9, found)
    found.paths = {path: look for path, look in wrote.files.items() if not path.startswith(own)}
    params_files, found.named = _of_dvc(repo, found.paths, facts.get("command") or ())
    _take_params(run, values, params_files, found)
    logged = _log_metrics(run, output, found)
    odd = [path for path in wrote.odd if found.is_metrics(path) and not path.startswith(own)]
    found.unread += [f"{path} is a link, a FIFO or the like, and was not read" for path in odd]
    if results := [path for path in others if found.is_metrics(path)]:
        found.unread.append(
            "other commands ran in this folder meanwhile, and these files may be theirs:"
            f" {message.some(results)}; to have them read: --metrics-file, or name them in the"
            " command"
        )
    run.add_facts("warnings", found.unread)
    for path in found.named:  # what DVC left as it was is a result, too
        with suppress(OSError):
            wrote.files.setdefault(path, files.looks((repo.root / path).lstat()))
    if keep and run.snapshot:
        seen = {*found.origins.values(), *found.seen, *found.named}
        outputs_kept.keep(run, repo, run.snapshot, wrote, known, seen, own)
        # gitexp's own files lie in its folder where the user's pipeline names files of his
        usual = ((result_paths.PARAMS, params_files), (result_paths.METRICS, found.named))
        if run.snapshot.tree and (params_files or found.named):
            run.add_facts("aside", [path for path, theirs in usual if theirs])
    return _line(found, bool(logged) or failed)


def capture_metrics(run: Run, root: Path, begun: Begun, known: settings.Settings) -> None:
    """Log what the files and the output of a command say, none of whose files are kept."""
    found = Findings(root, known, begun=begun)
    try:
        found.paths = written.below(root, begun.since).files
        _log_metrics(run, outputs.printed(run.folder), found)
    except Exception as error:  # the training is over, and how it ended counts
        found.unread.append(not_looked_through(error))
    run.add_facts("warnings", found.unread)


def not_looked_through(error: Exception) -> str:
    """Return what is to be said where reading a command's files failed, which fails no run."""
    return f"what the command wrote was not looked through: {message.one_line(str(error))}"


def _log_metrics(run: Run, output: str, found: Findings) -> int:
    """Log the metrics that the run has not logged itself, and return how many it has."""
    logged = journal.own_metrics(run.folder)
    read(found, "" if logged and not found.known.stdout else output)
    steps = journal.all_facts(run.folder).get("steps", {})  # of what it goes on from
    for name in [name for name in found.points if name not in logged]:
        points, last = found.points[name], steps.get(name, 0)
        if last and len(points) == 1 and not points[0].step:  # a lone value goes on behind
            points = [points[0]._replace(step=last + 1)]
        run.log_points(points)
    return len(logged)


def read(found: Findings, output: str) -> None:
    """Find the metrics in files and, where those have none or the settings say so, in output."""
    for path in dict.fromkeys((*found.paths, *found.named)):
        if path in found.named or found.is_metrics(path):
            _take_metrics(path, found)
    found.unread += [f"{path}: {lacks}" for path, lacks in found.cut.items()]
    asked = found.known.stdout
    if output and (asked or (asked is not False and not found.points)):
        from gitexp.formats import printed

        now = time.time_ns() // 10**6
        points = printed.read_output(output, asked if isinstance(asked, tuple) else ())
        _take_series(found, "its output", (point._replace(timestamp=now) for point in points))


def _look_at_dvc(run: Run, repo: Repo, begun: Begun, wrote: Written) -> None:
    """Note DVC experiments that the command made, and say where it set DVC up: no output."""
    new = written.dvc_experiments(repo) - begun.experiments
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
        what = "the command set up DVC here (.dvc, .dvcignore); that is not part of the experiment"
        run.add_facts("warnings", [what])


def _take_runs(
    run: Run, paths: list[str], since: float, found: Findings
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Take in the runs that trackers left; returns which files are theirs, and params."""
    if not paths and not trackers.homes():
        return (), {}
    from gitexp.formats.trackers import found as runs
    from gitexp.formats.trackers import tools

    own: list[str] = []
    values: dict[str, Any] = {}
    for left in tools.left(found.root, paths, since):
        own += left.own
        for item in left.found:
            parts = item.partly if isinstance(item, runs.Run) else (item,)
            found.unread += [f"{x.what}: {x.why}" for x in parts if isinstance(x, runs.Unread)]
            if not isinstance(item, runs.Run):
                continue
            _take_series(found, left.place, item.points)
            given = params.nested(params.plain(item.params))
            values = params.merge(values, given)
            found.params.update({left.place: len(params.flatten(given))} if given else {})
            _describe(run, item)
    return tuple(own), values


def _describe(run: Run, item: TheirRun) -> None:
    """Take over what a tracker calls a run, and what it is known by there."""
    names = dict.fromkeys((item.key, *item.keys), f"{item.kind} {item.id}")
    run.set_condition("captured", names)
    if item.tags:
        run.set_condition("tags", {name: str(value) for name, value in item.tags.items()})
    if item.labels:
        from gitexp.store import notes

        run.set_label(*notes.as_labels(item.labels))
    if item.note and not journal.facts(run.folder).get("note"):
        run.set_note(item.note)


def _take_series(found: Findings, path: str, points: Iterable[MetricPoint]) -> None:
    series: dict[str, list[MetricPoint]] = {}
    for point in points:
        series.setdefault(point.name, []).append(point)
    for name, some in series.items():
        if not rows.is_counter(name):
            _join(found, path, name, some)


def _take_metrics(path: str, found: Findings) -> None:
    file = found.root / path
    own = path in (result_paths.METRICS, result_paths.PARAMS)
    if own and found.alone and outputs_kept.is_long(file):
        return  # picked up already
    found.seen.append(path)
    try:
        read = readers.read_metrics(path, found.begun.added(path, _content(path, found)))
        at = file.stat().st_mtime_ns // 10**6
    except (GitexpError, OSError) as error:
        found.unread.append(f"{path} was not read as metrics: {error}")
        return
    found.cut |= {path: read.cut} if read.cut else {}
    dated = (point._replace(timestamp=point.timestamp or at) for point in read.points)
    _take_series(found, path, dated)


def _join(found: Findings, path: str, name: str, points: list[MetricPoint]) -> None:
    """Add a series: of twins the longer one, another of the name under its file's name."""
    spellings = (name, name.replace(".", "/"), name.replace("/", "."))  # dvclive has both
    twin = next((other for other in spellings if other in found.points), None)
    alike = twin and posixpath.basename(found.origins[twin]) == posixpath.basename(path)
    if twin and _are_same(found.points[twin], points, bool(alike)):
        longer = len(points) > len(found.points[twin])
        found.cut.pop(found.origins[twin] if longer else path, None)
        if not longer:
            return
        del found.points[twin], found.origins[twin]
    elif twin:
        name = f"{posixpath.splitext(path)[0]}/{name}"
        points = [point._replace(name=name) for point in points]
    found.points[name] = points
    found.origins[name] = path


def _are_same(one: list[MetricPoint], other: list[MetricPoint], alike: bool) -> bool:
    """Whether two series are one, or one is the other's last value; of files alike, its start."""
    count = min(len(one), len(other))
    if alike and all(a.step == b.step and str(a.value) == str(b.value) for a, b in zip(one, other)):
        return True
    if count not in (1, max(len(one), len(other))):
        return False
    pairs = [(a.value, b.value) for a, b in zip(one[-count:], other[-count:])]
    return all(math.isclose(*pair, rel_tol=_CLOSE) or all(map(math.isnan, pair)) for pair in pairs)


def _take_params(run: Run, values: dict[str, Any], named: Sequence[str], found: Findings) -> None:
    """Log the params in files, over those that trackers have."""
    said = journal.own_params(run.folder)
    for path in dict.fromkeys((*named, *found.paths)):
        theirs = outputs_kept.matches(path, found.known.params)
        asked = theirs or path in named or readers.is_params(path)
        if path == result_paths.PARAMS or not asked:
            continue
        try:
            read = params.load(_content(path, found), path)
        except (GitexpError, OSError) as error:
            found.unread.append(f"{path} was not read as params: {error}")
            continue
        new = {*params.flatten(read)} - {*params.flatten(params.merge(values, said))}
        found.params.update({path: len(new)} if new else {})
        values = params.merge(values, read)
    known = {*params.flatten(said)}
    flat = params.flatten(values).items()
    if lacking := {name: value for name, value in flat if name not in known}:
        run.log_params(params.nested(lacking))


def _of_dvc(
    repo: Repo, paths: Mapping[str, Look], command: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Return the files of params, and of metrics, that dvc.yaml names: what earlier commands wrote
    is none of this one's, unless it is DVC itself, for which all may be as it was."""
    named: dict[str, list[str]] = {"params": [], "metrics": [], "plots": []}
    with suppress(OSError):
        pipeline = (repo.root / "dvc.yaml").read_bytes()
        for kind, path in readers.of_pipeline("dvc.yaml", pipeline, [*named]):
            named[kind].append(path)
    curves = [path for path in named["plots"] if path in paths and _has_steps(repo.root / path)]
    if not any(posixpath.basename(word) == "dvc" for word in command):
        earlier = {*snapshot.left_outputs(repo)} - paths.keys()
        named["params"] = [path for path in named["params"] if path not in earlier]
        named["metrics"] = [path for path in named["metrics"] if path in paths]

    def here(paths: list[str]) -> list[str]:
        return [path for path in dict.fromkeys(paths) if (repo.root / path).is_file()]

    return here(named["params"]), here([*named["metrics"], *curves])


def _has_steps(path: Path) -> bool:
    """Whether a plot is the course of metrics, and not, say, a confusion matrix."""
    return path.suffix in (".csv", ".tsv") and readers.has_steps(outputs_kept.first_line(path))


def _content(path: str, found: Findings) -> bytes:
    """Return what a file holds that looks as it did when it was found."""
    file, look = found.root / path, found.paths.get(path)
    if (size := file.stat().st_size) > MOST_BYTES:
        raise GitexpError(f"it has {message.readable(size)}, too large to be read")
    data = file.read_bytes()
    if look and files.stamp(file) != look:
        raise GitexpError("it is still being written")
    return data


def _line(found: Findings, content: bool) -> str:
    """Return what was found, in one line; whoever is ``content`` misses no metric."""
    sources = [*dict.fromkeys(found.origins.values())]
    parts = [f"metrics: {len(found.origins)} from {message.some(sources)}"] if sources else []
    if not (sources or content):
        advice = "point at the files that the command writes with --metrics-file GLOB"
        if found.known.metrics_files:
            advice = f"it wrote no such file: {message.some(found.known.metrics_files)}"
        if found.seen:
            advice = f"looked into {message.some(found.seen)}; point at a file with --metrics-file"
        parts = [f"no metric found; {advice}"]
    if found.params:
        counts = [f"{source} {count}" for source, count in found.params.items()]
        parts.append(f"params: {sum(found.params.values())} ({message.some(counts, 5)})")
    if found.unclear:
        parts.append(f"no params: {message.some(found.unclear, 5)} (after an option's value)")
    return " · ".join(parts)
