"""Resumes an experiment: a new run begins with its params, logged values and checkpoints.

The rows are written first, so that whoever looks sees one curve at once. Where the run goes over
steps again (it goes on from a checkpoint before the crash), what the other had logged of them is
left out when it is recorded.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gitexp.formats import message, metrics, params, settings
from gitexp.formats.experiment import Experiment, MetricPoint
from gitexp.repo import Repo, files
from gitexp.runs import checkpoints, journal
from gitexp.store import conditions

if TYPE_CHECKING:
    from gitexp.runs.run import Run
    from gitexp.store.index import Index

_ROWS = "inherited"  # of run.json: where the rows of the other begin and end in metrics.csv
_MERGED = "merged.csv"


class Origin(NamedTuple):
    """What a run goes on from: an experiment whole, or up to a step."""

    experiment: Experiment
    step: int | None


def find_origin(repo: Repo, ref: str) -> Origin:
    """Return what ``exp-3`` or ``exp-3@50`` names; raise NotFoundError or UsageError where nothing
    is. A dead run, by its own name or as the latest, ``@``, is recorded first."""
    from gitexp.store import reference
    from gitexp.store.index import Index

    known = settings.load(repo.root, repo.project)
    ref = str(ref)  # a number, as get takes it
    named, step = ref, None
    if (match := re.fullmatch(r"(.+)@(\d{1,15})", ref)) and not Index(repo).named(ref):
        named, step = match[1], int(match[2])
    name = _recorded(repo, named, Index(repo)) or named
    return Origin(reference.resolve(Index(repo), name, known), step)


def _recorded(repo: Repo, name: str, index: Index) -> str | None:
    """Record the dead run that is meant, and return its name; None for an experiment."""
    from gitexp.runs import finish
    from gitexp.store import query

    here = query.in_reach(index, query.EVERYTHING, False)[0] if name == "@" else None
    last = index.select(*here, limit=1) if here else ()
    latest = max((message.format_time(item.started) for item in last), default="")
    for folder in reversed(finish.dead_runs(repo)):
        facts = journal.facts(folder)
        newest = facts.get("started", "") > latest and repo.project in ("", finish.project(facts))
        if (name == "@" and newest) or name == folder.name:
            done = finish.recover(repo, folder)
            return done.experiment.name if done else None
    return None


def before_requeue(repo: Repo, command: Sequence[str]) -> str | None:
    """Return the run of this command in this SLURM job before it was requeued, if killed."""
    from gitexp.runs import finish
    from gitexp.store.index import Index

    job = conditions.slurm_job()
    for folder in reversed(finish.dead_runs(repo)):
        facts = journal.facts(folder)
        if facts.get("extra", {}).get("job") == job and facts.get("command") == [*command]:
            return folder.name
    asked = "json_extract(tag.summary, '$.job') = ?"
    found = Index(repo).select(asked, [job], limit=20)
    same = [item for item in found if item.command == shlex.join(command)]
    return same[0].name if same and same[0].status == "killed" else None


def take_over(run: Run, repo: Repo, origin: Origin) -> None:
    """Have a run that just began go on from there; a run that does so already stays as it is.
    Raises NotFoundError where the other's files are not in this clone."""
    if run.silent or _ROWS in journal.all_facts(run.folder):
        return
    old, step = origin
    path = old.files.get("params")
    given = params.load(old.read(path), path) if path else params.nested(old.params)
    files.replace(run.folder, run.folder / journal.INHERITED, params.dump(given))
    begin = _size(run)
    run.log_points(point for point in old.points() if step is None or point.step <= step)
    kind = "resumes" if step is None else "forks"
    run.replace_conditions({kind: old.id, "resumed_at": step})
    run.set_fact("Resumes", old.id if step is None else f"{old.id}@{step}")
    found = checkpoints.take_over(repo, str(old.extra.get("id")), run.id, step)
    run.add_facts(_ROWS, [begin, _size(run)])  # last: without it nothing was taken over
    _count_on(run)
    if not found and "checkpoint" in old.extra:
        run.told = (
            f"the checkpoints of {old.name} are not in this clone, only where it ran; what it"
            " logged is taken over"
        )


def again(run: Run) -> None:
    """Note that a run which begins in a folder with rows of its own goes on from them."""
    if (size := _size(run)) > len(metrics.HEADER):
        run.add_facts(_ROWS, [len(metrics.HEADER), size])
        run.set_fact("Requeued", "with its rows until then")


def cut(run: Run, last: checkpoints.Checkpoint) -> None:
    """Note that a run goes on after this checkpoint: what the other logged since is left out."""
    if _ROWS in journal.all_facts(run.folder):
        run.replace_conditions({"resumed_at": last.step, "resumed_time": last.time})
        _count_on(run)


def merged(folder: Path, facts: Mapping[str, Any]) -> Path:
    """Return the ``metrics.csv`` of a run without the rows of another that it went over again."""
    begin, end = facts[_ROWS][:2]
    data = (folder / "metrics.csv").read_bytes()
    first: dict[str, int] = {}
    for point in _points(data[end:]):
        first[point.name] = min(point.step, first.get(point.name, point.step))
    inherited = _inherited(folder, facts)
    kept = [point for point in inherited if point.step < first.get(point.name, point.step + 1)]
    rows = "".join(metrics.format_row(*point) for point in kept).encode()
    (folder / _MERGED).write_bytes(b"".join([data[:begin], rows, data[end:]]))
    return folder / _MERGED


def _inherited(folder: Path, facts: Mapping[str, Any]) -> list[MetricPoint]:
    """Return the other's rows, up to the step that the run goes on from."""
    begin, end = facts[_ROWS][:2]
    with open(folder / "metrics.csv", "rb") as file:
        file.seek(begin)
        points = _points(file.read(end - begin))
    at, when = (facts.get("extra", {}).get(name) for name in ("resumed_at", "resumed_time"))
    return [point for point in points if (at is None or point.step <= at)
            and (when is None or point.timestamp <= when)]  # fmt: skip


def _points(rows: bytes) -> list[MetricPoint]:
    return [*metrics.read(io.BytesIO(metrics.HEADER + rows))]


def _count_on(run: Run) -> None:
    """Have metrics that are logged without a step go on after the other's last ones."""
    last: dict[str, int] = {}
    for point in _inherited(run.folder, journal.all_facts(run.folder)):
        last[point.name] = max(point.step, last.get(point.name, point.step))
    run.count_on(last)


def _size(run: Run) -> int:
    return (run.folder / "metrics.csv").stat().st_size
