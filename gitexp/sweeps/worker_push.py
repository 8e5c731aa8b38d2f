"""A worker's own way to a remote, for trials that outlive the driver: the worker makes the
experiment and pushes it itself.

All workers of a sweep push to one gathering branch, ``experiments/<group>``, whose file ``trials``
has a line for each. A push that lost a race looks at it again, so a trial that an engine ran twice
arrives once: the branch only ever moves forward, and that is the lock.

A worker has no clone. It fetches the snapshot and its parent from the ref that the driver put
there, and writes the experiment on top. Its two objects go into the trial's folder too, so that a
driver that still lives records the very same.
"""

from __future__ import annotations

import functools
import random
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gitexp.formats import message
from gitexp.formats.errors import GitError, GitexpError
from gitexp.repo import Repo
from gitexp.runs import finish
from gitexp.store import gathering
from gitexp.store.entry import write_objects
from gitexp.store.gathering import HEADS, Carried
from gitexp.store.remote import transport
from gitexp.store.remote.transport import Remote
from gitexp.sweeps import worktrees

COMMIT, TAG = "experiment.commit", "experiment.tag"  # in a trial's folder: the raw objects
# there, too: another worker had pushed the trial before; why it could not be pushed
TAKEN, UNSENT = "taken", "unsent"
TRIALS = "trials"  # in the branch's tree
SNAPSHOTS = "refs/gitexp/sweeps/"  # on the remote, with the group
_REMOTE = Remote("origin")
_TRIES = 200
T = TypeVar("T")
_FAULTS = 4  # times that the remote may be out of reach, half a minute in all
_PAUSE = 0.05  # seconds; pauses after a lost race grow from here
_lock = threading.Lock()  # a worker's threads push one after the other


@dataclass(frozen=True)
class PushTarget:
    """Where the workers of a sweep push, as plain values."""

    address: str  # of the remote, without a login: workers have their own
    group: str  # the sweep's; what its branch is called
    clone: str  # the id that its gathering commits carry
    snapshot: str  # the commit that the driver put on the remote
    name: str  # of who started the sweep, and who the experiments are by
    email: str


def name_of(group: str, index: int, attempt: int = 0) -> str:
    """Return what a trial is called: ``wide/3``, and ``wide/3.1`` when it is tried once more."""
    return f"{group}/{index}" + (f".{attempt}" if attempt else "")


def send(folder: Path, target: PushTarget, name: str, home: Path) -> None:
    """Push a trial that is over; whatever is wrong with that is noted in its folder. What is kept
    for the next trial lies in ``home``, with the worker's work tree."""
    try:
        with _lock:
            repo = _repository(target, home / "outbox")
            made = write_objects(repo, finish.entry(repo, folder), name)
            commit, tag = (item.data if item else b"" for item in repo.objects([made.id, made.tag]))
            (folder / COMMIT).write_bytes(commit)
            (folder / TAG).write_bytes(tag)
            if not _push(repo, target, Carried(name.partition("/")[2], made.tag, made.id, tag)):
                (folder / TAKEN).touch()
    except (GitexpError, OSError) as error:
        with suppress(OSError):
            (folder / UNSENT).write_text(message.one_line(str(error)), encoding="utf-8")


def listed(repo: Repo, tip: str) -> list[str]:
    """Return the trials that are gathered as of a tip of the branch."""
    item = next(repo.objects([f"{tip}:{TRIALS}"]))
    return item.data.decode("utf-8", "replace").splitlines() if item else []


def extended(repo: Repo, tip: str | None, target: PushTarget, carried: list[Carried]) -> str:
    """Write the branch's next commits and return their tip."""
    names = [*(listed(repo, tip) if tip else []), *(item.name for item in carried)]
    files = {TRIALS: "".join(f"{name}\n" for name in names).encode()}
    return gathering.extend(repo, tip, target.clone, carried, files)


def _push(repo: Repo, target: PushTarget, carried: Carried) -> bool:
    """Bring an experiment onto the branch; False where another one of its name is there."""
    branch = f"{HEADS}{target.group}"
    for attempt in range(_TRIES):
        _patiently(functools.partial(_fetch, repo, branch, depth=1))
        tip = repo.tip(branch)
        if tip is None or carried.name in listed(repo, tip):
            return False
        going = [f"{extended(repo, tip, target, [carried])}:{branch}"]
        push = functools.partial(transport.push, repo, _REMOTE, going, atomic=False)
        updates, said = _patiently(push)
        refused = [item for item in updates if item.flag == "!"]
        if not refused:
            return True
        if not (transport.lost_race(refused[0]) or transport.has_moved(refused[0])):
            raise GitError(f"the remote refused {branch}: {transport.reason(refused[0], said)}")
        time.sleep(random.uniform(0, _PAUSE * min(attempt + 1, 40)))
    raise GitError(f"the remote changed {_TRIES} times while this was going on")


@functools.lru_cache
def _repository(target: PushTarget, place: Path) -> Repo:
    """Return a repository with the snapshot and its parent, made once for each work tree."""
    shutil.rmtree(place, ignore_errors=True)  # of a worker that died
    place.mkdir()
    worktrees.make_repository(place, target.snapshot)
    repo = Repo.discover(place)
    repo.git("config", "user.name", target.name)
    repo.git("config", "user.email", target.email)
    repo.git("config", "remote.origin.url", target.address)
    _patiently(functools.partial(_fetch, repo, f"{SNAPSHOTS}{target.group}", depth=2))
    if repo.resolve(target.snapshot) is None:
        raise GitError(f"{SNAPSHOTS}{target.group} on the remote is not this sweep's snapshot")
    return Repo.discover(place)


def _patiently(act: Callable[[], T]) -> T:
    """Do something with the remote: one that is away for a moment costs no trial that ran for
    hours, nor has the driver record it by a name of its own."""
    for fault in range(_FAULTS):
        with suppress(GitError):
            return act()
        time.sleep(2.0 ** (fault + 1))
    return act()


def _fetch(repo: Repo, ref: str, depth: int) -> None:
    options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
    done = repo.exchange("fetch", *options, f"--depth={depth}", _REMOTE.name, f"+{ref}:{ref}")
    if done.returncode:
        raise transport.explained(_REMOTE, done.stderr, done.returncode)
