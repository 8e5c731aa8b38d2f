"""The driver's side of trials that outlive it: what their workers need on the remote, and the
trials that they pushed.

A trial that a worker pushed becomes an experiment here by a ref of its own,
``refs/tags/<group>/<index>``, to the very objects that the worker made. The same objects come back
with the worker's result where the driver still lives. So it does not matter who records a trial,
how often, and in which order: it is one experiment, and the ref is created or there already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gitexp.formats import message
from gitexp.formats.errors import GitError, GitexpError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, trees
from gitexp.runs import finish, journal
from gitexp.store import gathering
from gitexp.store import record as store
from gitexp.store.gathering import HEADS, SEEN
from gitexp.store.index import Index
from gitexp.store.ref_scan import TAGS
from gitexp.store.remote import transport
from gitexp.store.remote.transport import Remote
from gitexp.sweeps import schedule, worker_push
from gitexp.sweeps.plan import Frozen
from gitexp.sweeps.worker_push import SNAPSHOTS, PushTarget


def open_for(repo: Repo, frozen: Frozen) -> PushTarget | None:
    """Put what workers need on the remote that they push to; None where the plan has none. Raises
    UsageError where the sweep's name is taken there, or GitError."""
    if frozen.plan.workers_push is None:
        return None
    if required := [
        key for key in repo.told if re.fullmatch(r"filter\.(?!lfs\.).*\.required", key)
    ]:
        raise UsageError(
            f"workers that push have no filter '{required[0][7:-9]}', which this repository"
            " requires, and would push what it keeps away; leave --workers-push out"
        )
    remote = transport.find_remote(repo, frozen.plan.workers_push)
    name, _, email = repo.committer.rpartition(" <")
    # on top of HEAD's commit, and says nothing of this machine
    text = f"the snapshot of the sweep {frozen.group}"
    snapshot = trees.bare_commit(repo, frozen.tree, frozen.facts["snapshot"]["commit"], text)
    clone, address = _clone(frozen), _address(repo, remote)
    target = PushTarget(address, frozen.group, clone, snapshot, name, email[:-1])
    branch = f"{HEADS}{frozen.group}"
    going = [f"{snapshot}:{SNAPSHOTS}{frozen.group}"]
    tip = repo.tip(_seen(remote, frozen))
    if tip is None or gathering.clone_of(repo, tip) != clone:
        going.append(f"{worker_push.extended(repo, None, target, [])}:{branch}")
    updates, said = transport.push(repo, remote, going)
    for item in (item for item in updates if item.flag == "!"):
        if item.target == branch and transport.has_moved(item):
            raise UsageError(
                f"there is a branch experiments/{frozen.group} on {remote.name} already; choose"
                " another --group"
            )
        raise GitError(
            f"{remote.name} refused {item.target}: {transport.reason(item, said)}", 1, said
        )
    return target


def collect(repo: Repo, frozen: Frozen) -> None:
    """Bring the trials that workers pushed, and give each a ref here; raises GitError where the
    remote is out of reach, and those that were fetched before have refs all the same."""
    if frozen.plan.workers_push is None:
        return
    remote = transport.find_remote(repo, frozen.plan.workers_push)
    try:
        # the star: it may not be there
        transport.fetch(repo, remote, [f"+{HEADS}{frozen.group}*:{_seen(remote, frozen)}*"])
    finally:
        _adopt(repo, frozen, repo.tip(_seen(remote, frozen)))


def record(repo: Repo, folder: Path) -> Experiment | None:
    """Record a trial by its worker's objects, and remove the folder; None where none fit."""
    facts = journal.facts(folder)
    try:
        commit = (folder / worker_push.COMMIT).read_bytes()
        tag = (folder / worker_push.TAG).read_bytes()
        entry = finish.entry(repo, folder)
        name = _name(facts)
    except (GitexpError, OSError, LookupError, TypeError):
        return None
    found = message.parse_tag(tag)
    if found is None or found.name != name or found.summary.get("id") != facts["id"]:
        return None
    head = f"tree {entry.tree}\n" + (f"parent {entry.parent}\n" if entry.parent else "") + "author "
    if not commit.startswith(head.encode()) or repo.write_object("commit", commit) != found.commit:
        return None  # what a worker hands back is not ours
    made = repo.write_object("tag", tag)
    if not _create(repo, {name: made}):
        return None
    journal.delete(folder)
    labels = tuple(sorted({*found.summary.get("labels", [])}))
    return message.experiment(name, made, found, labels, (), repo)


def pushed_before(repo: Repo, frozen: Frozen, folder: Path) -> Experiment | None:
    """Return the trial that another worker pushed before, and remove this folder; else None."""
    with suppress(GitexpError):
        collect(repo, frozen)
    facts = journal.facts(folder)
    found = Index(repo).named(_name(facts))
    mine, theirs = facts["extra"]["sweep"], schedule.sweep_facts(found) if found else {}
    if any(theirs.get(name) != mine[name] for name in ("tree", "point", "seed")):
        return None
    journal.delete(folder)
    return found


def _name(facts: Mapping[str, Any]) -> str:
    sweep = facts["extra"]["sweep"]
    return worker_push.name_of(facts["group"], sweep["index"], sweep.get("attempt") or 0)


def _adopt(repo: Repo, frozen: Frozen, tip: str | None) -> None:
    """Give the trials on the branch refs here, where they are this sweep's own."""
    if tip is None or gathering.clone_of(repo, tip) != _clone(frozen):
        return
    there = repo.refs(f"{TAGS}{frozen.group}/")
    names = {}
    for item in gathering.read(repo, tip)[1]:
        name = f"{frozen.group}/{item.name}"
        found = message.parse_tag(item.data)
        if f"{TAGS}{name}" in there or found is None or found.name != name:
            continue
        if schedule.is_of(found.summary.get("sweep"), frozen):
            # a fetch brings the branch, and no tag objects
            names[name] = repo.write_object("tag", item.data)
    _create(repo, names)


def _create(repo: Repo, names: Mapping[str, str]) -> bool:
    """Create refs for tags that lack one; False, and none is made, where one names another."""
    with store.locked(repo) as fd:
        known = repo.refs(TAGS[:-1]) if names else {}
        new = {name: tag for name, tag in names.items() if known.get(f"{TAGS}{name}") != tag}
        changes = [f"create {TAGS}{name} {tag}" for name, tag in new.items()]
        try:
            if changes:
                repo.update_refs(changes, "gitexp: trials of a sweep", [fd])
        except GitError:
            return False
    return True


def _clone(frozen: Frozen) -> str:
    return frozen.commit[:16]


def _seen(remote: Remote, frozen: Frozen) -> str:
    return f"{SEEN}{remote.name}/{frozen.group}"


def _address(repo: Repo, remote: Remote) -> str:
    """Return the address that workers push to, without this machine's login, paths whole."""
    url = repo.line("remote", "get-url", "--push", remote.name)
    if "://" in url:
        return re.sub(r"^(https?://)[^/@]*@", r"\1", url)
    path = repo.root / url
    return str(path.resolve()) if path.exists() else url
