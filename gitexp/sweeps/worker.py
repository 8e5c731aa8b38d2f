"""One trial, as a worker runs it: a job of plain values in, a run's folder out. Nothing here writes
into the user's repository.

On the driver's machine the driver reads the folder while it grows. Elsewhere the worker makes its
own work tree from a git bundle, and hands the folder's files back as bytes. A file ``stop`` in the
folder says that the driver wants an end, and why.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitexp.formats import environment, message, settings
from gitexp.repo import Repo, content, files
from gitexp.runs import capture, journal, outputs, parsed, process_group, resume, written
from gitexp.runs import command as commands
from gitexp.runs.journal import JOIN
from gitexp.runs.journal_writer import Journal
from gitexp.runs.run import ROOT, Run
from gitexp.store import conditions
from gitexp.sweeps import worktrees
from gitexp.sweeps.worktrees import SharedWorktree

if TYPE_CHECKING:
    from gitexp.sweeps.worker_push import PushTarget

Result = dict[str, bytes] | None  # None: the files lie in the driver's folder already
STOP = "stop"
JOB = "job"  # in the driver's folder: the cluster, and the number that it gave the job
INTERRUPTED = ("interrupted", "the sweep was killed")  # trials that ended so count as not run
PRUNED = "pruned"  # the reason, and the label of such a trial
PYTHON = "{python}"  # in a command: the Python that the worker runs on
FUNCTION = "gitexp.sweeps.call"  # the module that calls a function, as a trial's command
PARAMS, SEED, SLOT = "GITEXP_PARAMS", "GITEXP_SEED", "GITEXP_SLOT"
GRACE = 5.0  # seconds from SIGTERM to SIGKILL
_TICK = 0.01  # seconds, of a file system's clock: what was checked out is older than the command
_LOOK = 0.1  # seconds between two looks at the clock and the stop file
_AWAY = "gitexp-trial-"  # begins the names of folders that trials have on another machine
_TERMINATED = 143
_KILL_WAIT = 40  # seconds; SLURM's own is 30
_worktree = functools.lru_cache(SharedWorktree)
_running: dict[str, str] = {}  # the folder of each trial that this process runs


@dataclass(frozen=True)
class Job:
    """All that a worker must know."""

    key: str  # ``<group>/<index>`` and the attempt, unique for each time that something is run
    commit: str  # the frozen snapshot
    command: tuple[str, ...]  # with the values filled in
    params: Mapping[str, Any]  # nested, for the record
    point: Mapping[str, Any]  # flat, for the command
    seed: int
    facts: Mapping[str, Any]  # what ``run.json`` says beside what only the worker knows
    directory: str = "."  # where to run it, below the top of the work tree
    timeout: float | None = None
    links: tuple[tuple[str, str], ...] = ()  # as the plan has them, for data that git lacks
    home: str = ""  # the top of a repository whose work trees need more than git's objects
    name: str = ""  # what the trial is called, for workers that push it
    push_to: PushTarget | None = None  # where they do; it outlives the driver then


def run(job: Job, place: str, folder: str, slot: int = 0) -> None:
    """Run a trial in the work tree at ``place``; in the end all of it lies in ``folder``."""
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    _running[job.key] = folder
    try:
        _run(job, Path(place), where, slot)
    finally:
        del _running[job.key]


def _run(job: Job, root: Path, where: Path, slot: int) -> None:
    # a clean work tree, and a run in it
    _worktree(root).tidy(job.commit)
    _link(job, root)
    lacking = _lacking(str(root), job.commit)
    facts = {
        **job.facts,
        "started": message.format_time(datetime.now(timezone.utc)),
        "pid": os.getpid(),
        "host": environment.host(),
        "root": str(root),
        "extra": {**conditions.current(), **job.facts["extra"]},
        "trailers": {"Hardware": environment.hardware()},
        "warnings": [lacking] if lacking else [],
    }
    owned = Journal(where, owner=True)
    try:
        live = Run(None, where, facts, owned)
        resume.again(live)
        live.know()
        live.log_params(job.params)
        listed = _requirements(job.command[0].replace(PYTHON, sys.executable))
        files.replace(where, where / "requirements.txt", listed.encode())
        inside = root / job.directory
        known = settings.load(root, job.directory)
        env = _environment(job, where, root, slot)
        if FUNCTION not in job.command:
            live.read_arguments(parsed.config_files(job.command, inside))
            env = parsed.environ(env) if known.parser_params else env
        # run the command
        watched = outputs.watch(root, inside)
        time.sleep(_TICK)
        begun = written.mark(where)
        try:
            code, why = _supervised(job, where, root, env)
        except OSError as error:
            code, why = 127, f"'{job.command[0]}' could not be started: {error.strerror}"
        if code == _TERMINATED and not why and "SLURM_JOB_ID" in os.environ:
            # SLURM ends or requeues the job, and has us killed; else it was somebody's kill
            time.sleep(_KILL_WAIT)
        # log what it wrote and printed, and how it ended
        outputs.pick_up(live, root, watched)
        capture.capture_metrics(live, root, begun, known)
        outputs.keep_output(live)
        if code:
            live.set_fact("Exit-Code", code)
        if why == PRUNED:
            live.set_label(PRUNED)
        ended = commands.Ended(code, outputs.last_exception(where, code) if code else None)
        live.end("killed" if why and code != 127 else ended.status, why or ended.error)
        owned.close()
        # while the folder is locked still, so that nobody else records it
        if job.push_to and why not in INTERRUPTED:
            from gitexp.sweeps import worker_push

            worker_push.send(where, job.push_to, job.name, root.parent)
    finally:
        owned.close()
        owned.release()


def run_without_clone(job: Job, bundle: bytes) -> dict[str, bytes]:
    """Run a trial on a machine without a clone, and return the files of its folder."""
    _end_orphans()
    with tempfile.TemporaryDirectory(prefix=_AWAY) as folder:
        place = worktrees.take(job.commit, bundle, job.home)
        try:
            run(job, str(place), folder)
        finally:
            worktrees.give_back(place, job.home)
        files = [file for file in Path(folder).rglob("*") if file.is_file()]
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


class LostError(Exception):
    """A cluster's job is gone without a result; says why."""


@functools.cache
def _end_orphans() -> None:
    """Once in each worker: end the commands of dead ones here, and remove their folders."""
    for folder in worktrees.orphans(_AWAY):
        process_group.kill(folder)
        shutil.rmtree(folder, ignore_errors=True)


def complete(result: Callable[[], Result], target: Future[Result]) -> None:
    """Give a future what a call returns, or raises."""
    try:
        target.set_result(result())
    except BaseException as error:
        target.set_exception(error)


def stop(key: str, why: str) -> bool:
    """End a trial that runs in this process (on whichever thread); whether it does."""
    folder = _running.get(key)
    if folder:
        ask_to_stop(Path(folder), why)
    return folder is not None


def begin_local_worker() -> None:
    """Begin a worker beside the driver: without it there is no use, and Ctrl-C is its."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_driver, args=(os.getppid(),), daemon=True).start()


def _end_with_driver(driver: int) -> None:
    while os.getppid() == driver or _running:  # a trial ends itself first, and writes down how
        time.sleep(_LOOK)
    os._exit(1)


def ask_to_stop(folder: Path, why: str) -> None:
    """Tell the worker of a trial to end it."""
    with suppress(OSError):
        files.replace(folder, folder / STOP, why.encode())


# -- the command -----------------------------------------------------------------------------------


def _environment(job: Job, folder: Path, root: Path, slot: int) -> dict[str, str]:
    run = {JOIN: str(folder), ROOT: str(root), "PYTHONUNBUFFERED": "1"}
    trial = {PARAMS: json.dumps(dict(job.point)), SEED: str(job.seed), SLOT: str(slot)}
    return {**os.environ, **run, **trial}


def _supervised(
    job: Job, folder: Path, root: Path, env: Mapping[str, str]
) -> tuple[int, str | None]:
    """Run the command to its end; returns its exit code, and why it was ended, if it was."""
    with open(folder / "output.log", "wb") as log, process_group.held(folder) as apart:
        process = subprocess.Popen(
            [sys.executable if word == PYTHON else word for word in job.command],
            cwd=root / job.directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **apart,
        )
    process_group.note(folder, process.pid)
    over = threading.Event()
    threading.Thread(target=_notice_end, args=(process, over), daemon=True).start()
    try:
        why = _watch(process.pid, job, folder, over)
    finally:
        # what it started and left; it is not reaped yet, so its number is still its own
        _signal(process.pid, "SIGKILL")
        over.wait()
        code = process.wait()
        (folder / process_group.GROUP).unlink(missing_ok=True)
    if code < 0 and not why:  # SLURM's warning (see slurm.py) goes to the command, too
        time.sleep(_LOOK)
        why = _reason(folder)
    return code if code >= 0 else 128 - code, why


def _reason(folder: Path) -> str | None:
    """Return why the trial is to end, where somebody asked for that."""
    with suppress(FileNotFoundError):
        return (folder / STOP).read_text() or "stopped"
    return None


def _watch(group: int, job: Job, folder: Path, over: threading.Event) -> str | None:
    """Wait for the command; end it when its time is up, or the driver says so or is gone."""
    deadline = time.monotonic() + job.timeout if job.timeout else None
    driver = os.getppid()
    while not over.wait(_LOOK):
        late = deadline and time.monotonic() > deadline
        alone = os.getppid() != driver and not job.push_to
        why = f"timed out after {job.timeout:g} s" if late else _reason(folder)
        if why := why or (INTERRUPTED[1] if alone else None):
            _signal(group, "SIGTERM")
            over.wait(GRACE)
            return why
    return None


def _notice_end(process: subprocess.Popen[bytes], over: threading.Event) -> None:
    """Wait on a thread: an engine cannot interrupt the main one inside of a system call."""
    try:
        if sys.platform == "win32" or not hasattr(os, "waitid"):  # macOS, before Python 3.13
            process.wait()
        else:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    finally:
        over.set()


def _signal(group: int, name: str) -> None:
    with suppress(OSError):
        if sys.platform == "win32":
            os.kill(group, signal.SIGTERM)
        else:
            os.killpg(group, getattr(signal, name))


def _link(job: Job, root: Path) -> None:
    for path, target in job.links:
        link = root / path
        if not os.path.lexists(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)


@functools.lru_cache
def _requirements(program: str) -> str:
    return environment.of_interpreter(program) or environment.requirements()


@functools.lru_cache
def _lacking(root: str, commit: str) -> str | None:
    """Return a sentence that names what has no content in a work tree just brought to a commit."""
    repo = Repo.discover(root)
    return content.advice(content.missing(repo, Path(root), cloned=repo.git_dir == repo.common_dir))


def unpack(returned: Mapping[str, bytes], folder: Path) -> None:
    """Write the files that ``run_without_clone`` returned into a folder of the driver's."""
    top = folder.resolve()
    # run.json last, which says that it is over
    for name, data in sorted(returned.items(), key=lambda item: item[0] == "run.json"):
        if name == "alive":  # the lock of whoever ran it
            continue
        target = (top / name).resolve()
        if top in target.parents:  # a worker's names are not ours
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def is_over(folder: Path) -> bool:
    """Whether a trial came to an end (of whatever kind) and is ready to be recorded."""
    return bool(journal.facts(folder).get("status"))


def runs(folder: Path) -> bool:
    """Whether a worker that reaches the driver's folder holds it."""
    return (folder / "alive").exists() and journal.is_alive(folder)
