"""What was on a remote when a push had sent everything: enough to find what came since without the
index.

The list of tags as it was then lies in a file, ``.git/gitexp/pushed/REMOTE``, below the tip that
this clone's gathering branch had. Bringing the index up to date costs as much as the push of one
experiment itself where 10,000 lie; the difference of two lists costs a tenth of that. Where
anything is not as it was left, or much is new, nobody asks the ledger.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote

from gitexp.formats import message
from gitexp.repo import Repo, files
from gitexp.store import clone, notes, ref_scan
from gitexp.store.gathering import SEEN, Carried
from gitexp.store.ref_scan import REMOTES, TAGS

_MOST = 100  # experiments; where more are new, time goes elsewhere


class Refs(NamedTuple):
    """The refs of this clone that matter for a push.

    Attributes:
        tags: git's lines of all tags here.
        others: ``{ref: hash}`` of what was seen on remotes, and of the notes.
    """

    tags: bytes
    others: dict[str, str]

    def on(self, remote: str) -> dict[str, str]:
        """Return the tags that were seen on a remote, ``{name there: hash}``."""
        prefix = f"{REMOTES}{remote}/"
        return {
            ref.removeprefix(prefix): oid
            for ref, oid in self.others.items()
            if ref.startswith(prefix)
        }


def refs(repo: Repo) -> Refs:
    """Read the refs; git sorts by name, so what is not a tag comes first."""
    lines = ref_scan.ask(repo, notes.SEEN[:-1])
    first = lines.find(f" {TAGS}".encode())
    at = len(lines) if first < 0 else lines.rfind(b"\n", 0, first) + 1
    others = (os.fsdecode(line).split(" ", 1) for line in lines[:at].splitlines())
    return Refs(lines[at:], {ref: oid for oid, ref in others})


def since(repo: Repo, remote: str, now: Refs) -> list[Carried] | None:
    """Return the experiments that came since a push had sent everything, oldest first; None where
    the index has to tell."""
    known = clone.load(repo)
    owner = known.owner(remote) if known else None
    noted = files.read_bytes(repo.state_dir / "pushed" / quote(remote, safe=""))
    tip, _, before = (noted or b"").partition(b"\n")
    if noted is None or owner is None or now.others.get(f"{SEEN}{remote}/{owner}") != tip.decode():
        return None
    new = {*now.tags.splitlines()} - {*before.splitlines()} if now.tags != before else ()
    if len(new) > _MOST:
        return None
    there = {*now.on(remote).values()}
    came = {
        tag: ref.removeprefix(TAGS)
        for tag, _, ref in (os.fsdecode(line).partition(" ") for line in new)
        if tag not in there
    }
    found: list[tuple[str, Carried]] = []
    for (tag, name), item in zip(came.items(), repo.objects(came)):
        told = message.parse_tag(item.data) if item and item.kind == "tag" else None
        if told and item:
            if told.email != repo.committer.rpartition(" <")[2][:-1]:
                return None
            found.append((told.summary["started"], Carried(name, tag, told.commit, item.data)))
    return [carried for _, carried in sorted(found)]


def settle(repo: Repo, remote: str, owner: str, then: Refs) -> None:
    """Note that all tags that were here ``then`` need no push any more."""
    tip = repo.tip(f"{SEEN}{remote}/{owner}")
    if not tip:
        return
    with suppress(OSError):  # it only saves time
        folder = repo.make_state_dir("pushed")
        target = folder / quote(remote, safe="")
        files.replace(folder, target, tip.encode() + b"\n" + then.tags)
