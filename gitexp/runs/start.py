"""How a run begins: the snapshot is taken and pinned, and a journal opened, before the first line
of the training.

What fails leaves nothing behind: no folder, no pin.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from gitexp.formats import environment, message, settings
from gitexp.repo import Repo, collector, dvc_status, snapshot, trees
from gitexp.runs import deferred, finish, journal, outputs
from gitexp.runs.details import Details
from gitexp.runs.journal_writer import Journal
from gitexp.runs.run import Run
from gitexp.store import result_paths

if TYPE_CHECKING:
    from gitexp.runs.resume import Origin


def begin(
    repo: Repo,
    details: Details = Details(),  # noqa: B008  frozen
    *,
    command: list[str] | None = None,
    directory: str | None = None,
    beside: str | None = None,
    talk: dvc_status.Talk | None = None,
    resume: str | None = None,
) -> Run:
    """Take the snapshot, pin it, and open a journal."""
    origin = _origin(repo, resume, command)
    # what just ended, or was recorded, may have moved it
    head = None if deferred.end_now() or origin else repo.found_at
    known = settings.load(repo.root, repo.project)
    said, told = details.checked(repo, known, talk)
    run_id = os.urandom(8).hex()
    outputs.note_dead(repo)
    # the snapshot, pinned before git can collect it
    owned = Journal.create(repo, run_id)
    try:
        free = result_paths.ours(repo)
        with collector.guarded(repo) as guard:
            shot = snapshot.take(repo, known, owned.folder / "index", free, head)
            repo.pin(f"{finish.PENDING}{run_id}", _held(repo, shot))
            guard.index, guard.tree = shot.index, shot.tree
        told = "; ".join(filter(None, (told, _misread(repo)))) or None
    except BaseException:
        owned.close()
        owned.release()
        journal.delete(owned.folder)
        raise
    began = monotonic()  # all that the command changes lies within its duration
    facts = {
        **said,
        "id": run_id,
        "pid": os.getpid(),
        "host": environment.host(),
        "started": message.format_time(datetime.now(timezone.utc)),
        "command": environment.redact(command) if command else None,
        "directory": os.path.relpath(os.getcwd(), repo.root) if directory is None else directory,
        "beside": beside or finish.overlap(repo, owned.folder, str(repo.root)),
        "max_file_size": known.max_file_size,
        "max_untracked_size": known.max_untracked_size,
        "free": sorted(free),
        "snapshot": finish.saved(shot),
        "root": str(repo.root),
        "resuming": bool(origin),
    }
    owned.write_facts(facts)
    run = Run(repo, owned.folder, facts, owned)
    run.snapshot, run.told, run.began = shot, told, began
    if origin:
        _take_over(run, repo, origin)
    return run


def _take_over(run: Run, repo: Repo, origin: Origin) -> None:
    """Begin a run with what an earlier one logged; discard it where that cannot be had."""
    from gitexp.runs import resume

    try:
        resume.take_over(run, repo, origin)
    except BaseException:
        run.discard()
        raise


def _misread(repo: Repo) -> str | None:
    """Return a sentence that names the pointers which the run may take for its data."""
    if not repo.filter_program("annex") and not (repo.root / ".gitattributes").exists():
        return None
    from gitexp.repo import content

    return content.misread(repo)


def _origin(repo: Repo, resume: str | None, command: list[str] | None) -> Origin | None:
    """Return what a run goes on from: what is named, else its command before a requeue."""
    if not resume and os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    from gitexp.runs import resume as resuming

    named = resume or resuming.before_requeue(repo, environment.redact(command or ()))
    return resuming.find_origin(repo, named) if named else None


def _held(repo: Repo, shot: snapshot.Snapshot) -> str:
    """Return what keeps a snapshot, and the commit that it stands on, from git's collector."""
    if shot.head.commit is None:
        return shot.tree
    text = "a run that is not recorded yet"
    return trees.bare_commit(repo, shot.tree, shot.head.commit, text)


def unrecorded(repo: Repo, folder: Path) -> Run:
    """Open a journal in a new folder of the caller's, for a run that is never recorded."""
    folder.mkdir()
    limit = settings.load(repo.root, repo.project).max_file_size
    facts = {"id": os.urandom(8).hex(), "max_file_size": limit}
    owned = Journal(folder, owner=True)
    owned.write_facts(facts)
    return Run(repo, folder, facts, owned)
