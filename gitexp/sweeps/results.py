"""Folders of trials become experiments: together as they end, or later, where nobody could record
them when they ended.

What ended while nobody could record it lies in ``.git/gitexp/sweeps/<group>/`` until the sweep is
resumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from gitexp.formats import message, settings
from gitexp.formats.errors import GitexpError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, files
from gitexp.runs import capture, finish, journal, outputs, process_group, run, written
from gitexp.runs.journal_writer import Journal
from gitexp.sweeps import collect, slurm, worker_push
from gitexp.sweeps import worker as trials
from gitexp.sweeps.plan import Frozen
from gitexp.sweeps.schedule import Trial
from gitexp.sweeps.worker import Job


@dataclass(eq=False)
class Running:
    """A trial that was handed out: its run is journaled in ``folder``, ``offset`` bytes of its
    metrics were looked at, and ``stopped`` if it was told to end."""

    trial: Trial
    job: Job
    folder: Path
    offset: int = 0
    stopped: bool = False


_LOOK = 0.2  # seconds between two looks at what still runs


def record(
    repo: Repo, frozen: Frozen, items: Sequence[Running], problems: list[str]
) -> Iterator[tuple[Running, Experiment]]:
    """Record trials, together where that is possible, so that what is wrong with one keeps no other
    away; ``problems`` gets what could not be recorded, and why."""
    rest: list[Running] = []
    for item in items:
        if made := _made_by_worker(repo, frozen, item.folder):
            yield item, made
        else:
            rest.append(item)
    if rest:
        yield from _together(repo, rest, problems, new=True)


def _made_by_worker(repo: Repo, frozen: Frozen, folder: Path) -> Experiment | None:
    """Return the experiment that a worker made of a trial; None where we are to make it."""
    if frozen.plan.workers_push is None:
        return None
    taken = (folder / worker_push.TAKEN).exists()
    before = collect.pushed_before(repo, frozen, folder) if taken else None
    return before or collect.record(repo, folder)


def _together(
    repo: Repo, items: Sequence[Running], problems: list[str], new: bool
) -> Iterator[tuple[Running, Experiment]]:
    """Record trials in one transaction, or each alone where that fails; ``new``: none of them was
    tried before. What failed may have failed after it was recorded, and is looked up then."""
    problem: object = "it is recorded, but that did not come to its end"
    for unknown in (new, False):  # `git gc --prune=now` beside us takes what nothing points to yet
        try:
            made = finish.record_beside(repo, [item.folder for item in items], new=unknown)
        except (GitexpError, OSError) as error:
            problem = error
            continue
        if len(made) == len(items):
            yield from zip(items, made)
            return
        break
    if len(items) > 1:
        for item in items:
            yield from _together(repo, [item], problems, new=False)
    else:
        problems.append(f"trial {items[0].trial.index} could not be recorded: {problem}")


def wait_for_orphans(frozen: Frozen, top: Path, warn: Callable[[str], None]) -> None:
    """Wait for trials that outlived an earlier driver, since none should run twice; jobs that a
    cluster has not begun are cancelled, and will be handed out again."""
    if cancelled := slurm.cancel_queued(top):
        warn(
            "jobs of an earlier driver were in SLURM's queue still, and are cancelled:"
            f" {', '.join(cancelled)}"
        )
    # the others end without their driver
    signs = (trials.JOB, "run.json") if frozen.plan.workers_push else (trials.JOB,)
    told = False
    while count := sum(
        trials.runs(item) and any((item / sign).exists() for sign in signs)
        for item in top.iterdir()
    ):
        if not told:
            warn(
                f"trials that an earlier driver started still run here ({count}); waiting for them"
            )
        told = True
        time.sleep(_LOOK)


def recover(repo: Repo, frozen: Frozen, top: Path) -> None:
    """Record what ended when nobody could record it, and clear what was killed in the middle."""
    for folder in sorted(item for item in top.iterdir() if item.is_dir()):
        if trials.is_over(folder):
            if not _made_by_worker(repo, frozen, folder):
                finish.recover(repo, folder)
        else:
            process_group.kill(folder)
            journal.delete(folder)


def _take_what_it_wrote(live: run.Run, tree: Path, directory: str) -> None:
    """Log what the command of a dead worker left in its work tree, which no other trial
    was given yet, and in its output."""
    with suppress(OSError, GitexpError):  # it may be half removed
        since = (live.folder / written.BEGUN).stat().st_ctime_ns
        known = settings.load(tree, directory)
        own = outputs.watch(tree, tree / directory)
        written_now = {path: None for path in own if files.modified(path) >= since}
        outputs.pick_up(live, tree, written_now)
        capture.capture_metrics(live, tree, written.Begun(since), known)


def finish_lost(item: Running, error: BaseException | None) -> None:
    """Finish the folder of a trial whose worker could not."""
    process_group.kill(item.folder)
    now = message.format_time(datetime.now(timezone.utc))
    facts = journal.facts(item.folder) or {**item.job.facts, "started": now}
    facts["duration"] = journal.lived(item.folder, facts["started"])
    owned = Journal(item.folder, owner=True)
    live = run.Run(None, item.folder, facts, owned)
    _take_what_it_wrote(live, Path(facts.get("root", item.folder)), item.job.directory)
    if not (item.folder / "params.yml").exists():
        live.log_params(item.job.params)
    if (item.folder / "output.log").exists():
        outputs.keep_output(live)
    died = error is None or not isinstance(error, (GitexpError, OSError))
    why = "the worker died" if died else f"the worker could not run it: {error}"
    if isinstance(error, trials.LostError):
        why = str(error)
    if item.stopped:
        why = trials.INTERRUPTED[0]
    live.end("killed" if died else "failed", message.one_line(why)[:500])
    owned.release()
