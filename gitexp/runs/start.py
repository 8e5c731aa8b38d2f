"""How a run begins: the snapshot is taken and pinned, and a journal opened, before the first line
of the training.

What fails leaves nothing behind: no folder, no pin.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from gitexp.formats import environment, message, settings
from gitexp.repo import Repo, collector, dvc_status, snapshot
from gitexp.runs import deferred, finish, journal, outputs, seeds
from gitexp.runs.journal import Journal
from gitexp.runs.run import Run
from gitexp.store import conditions, record, result_paths
from gitexp.store.notes import check_label


def begin(
    repo: Repo,
    *,
    name: str | None = None,
    title: str | None = None,
    note: str = "",
    because: str | None = None,
    labels: Iterable[str] = (),
    group: str | None = None,
    advance: bool | None = None,
    command: list[str] | None = None,
    directory: str | None = None,
    beside: str | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    sign: bool | None = None,
    talk: dvc_status.Talk | None = None,
    resume: str | None = None,
) -> Run:
    """Take the snapshot, pin it, and open a journal: what ``start_run`` and ``gitexp run``
    share."""
    if resume:
        from gitexp.runs import resume as resuming

    origin = resuming.find(repo, resume) if resume else None
    # what just ended, or was recorded, may have moved it
    head = None if deferred.settle() or origin else repo.found_at
    known = settings.load(repo.root, repo.project)
    settled = dvc_status.settle(repo, known, talk)
    extra = {
        **conditions.here(),
        "because": (because or "").strip(),
        "inputs": conditions.hash_inputs(repo.root, inputs),
        "seed": dict(seeds.last),
        **settled.conditions,
    }
    labels = [check_label(label) for label in labels]
    name = record.check_name(repo, name) if name else None
    run_id = os.urandom(8).hex()
    others = outputs.note_dead(repo)
    owned = Journal.create(repo, run_id)
    try:
        free = result_paths.ours(repo)
        with collector.guarded(repo) as guard:
            shot = snapshot.take(repo, known, owned.folder / "index", free, head)
            repo.pin(f"{finish.PENDING}{run_id}", shot.tree)
            guard.index, guard.tree = shot.index, shot.tree
    except BaseException:
        owned.close()
        owned.release()
        journal.delete(owned.folder)
        raise
    facts = {
        "id": run_id,
        "pid": os.getpid(),
        "host": environment.host(),
        "started": message.format_time(datetime.now(timezone.utc)),
        "command": environment.redact(command) if command else None,
        "directory": os.path.relpath(os.getcwd(), repo.root) if directory is None else directory,
        "name": name,
        "title": title,
        "note": note,
        "labels": sorted(labels),
        "group": group and group.strip(),
        "advance": known.advance if advance is None else advance,
        "beside": beside or ("other runs were going on" if others else None),
        "sign": known.sign if sign is None else sign,
        "extra": extra,
        "max_file_size": known.max_file_size,
        "max_untracked_size": known.max_untracked_size,
        "highest": record.highest_known(repo),
        "free": sorted(free),
        "snapshot": finish.saved(shot),
        "root": str(repo.root),
    }
    owned.write_facts(facts)
    run = Run(repo, owned.folder, facts, owned)
    run.snapshot = shot
    run.told = settled.told
    if origin:
        try:
            resuming.take_over(run, repo, origin)
        except BaseException:
            run.discard()
            raise
    return run


def unrecorded(repo: Repo, folder: Path) -> Run:
    """Open a journal in a new folder of the caller's, for a run that is looked at and never
    recorded."""
    folder.mkdir()
    facts = {
        "id": os.urandom(8).hex(),
        "max_file_size": settings.load(repo.root, repo.project).max_file_size,
    }
    owned = Journal(folder, owner=True)
    owned.write_facts(facts)
    return Run(repo, folder, facts, owned)
