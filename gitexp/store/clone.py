"""Who this clone is on a remote: a random id that its gathering commits carry, and an owner's name
for each remote.

Two clones of one person have the same ``user.name``. The one that comes second finds the branch of
that name on the remote with another id in it, and takes the next free name; from then on it keeps
it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

from gitexp.formats.errors import GitError
from gitexp.repo import Repo, files
from gitexp.repo.repository import login
from gitexp.store import gathering
from gitexp.store.gathering import SEEN
from gitexp.store.ref_scan import TAGS

_FILE = "clone.json"
_LONGEST = 60  # characters of an owner, which is a file's name where refs are files


class Clone(NamedTuple):
    """This clone's id, and what it is called on the remotes that it pushed to: ``{remote: [wanted,
    given]}``."""

    id: str
    owners: dict[str, list[str]]

    def owner(self, remote: str) -> str | None:
        """Return what this clone is called on a remote, None where it never pushed."""
        return self.owners[remote][1] if remote in self.owners else None


def load(repo: Repo) -> Clone | None:
    """Return who this clone is, None where it never pushed."""
    try:
        known: Any = json.loads((repo.state_dir / _FILE).read_bytes())
        owners = {
            str(remote): [str(wanted), str(given)]
            for remote, (wanted, given) in known["owners"].items()
        }
        return Clone(str(known["id"]), owners)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@contextmanager
def own_as_noted(repo: Repo, remote: str) -> Iterator[None]:
    """Keep what this clone knows of its own gathering branch, over a fetch, as its last complete
    push noted it. Where the remote is ahead, a push was cut off after the branch and before the
    tags; left as it was, it makes the next push send them."""
    known = load(repo)
    owner = known.owner(remote) if known else None
    if owner is None:
        yield
        return
    mine = f"{SEEN}{remote}/{owner}"
    before = repo.tip(mine)
    try:
        yield
    finally:
        after = repo.tip(mine)
        if after and after != before and _is_ours(repo, before, after):
            step = f"update {mine} {before}" if before else f"delete {mine}"
            with suppress(GitError):  # another fetch did so
                repo.update_refs([f"{step} {after}"], f"gitexp: fetch of {remote}")


def _is_ours(repo: Repo, before: str | None, after: str) -> bool:
    """Whether a gathering branch only went on, with experiments that are all here: else a copy of
    this clone sent them, or this is one that was restored."""
    if before and repo.line("rev-list", "-1", before, f"^{after}"):
        return False
    new = {item.tag for item in gathering.read(repo, after, before)[1]}
    return new <= {*repo.refs(TAGS).values()}


def ensure(
    repo: Repo, remote: str, wanted: str | None, taken: Collection[str] = (), keep: bool = True
) -> tuple[Clone, str]:
    """Return this clone and its owner's name on a remote, chosen where it has none, or one that is
    ``taken``.

    Args:
        wanted: the name from the settings; None takes the one that git's ``user.name`` gives.
        keep: remember it.
    """
    import secrets

    with repo.lock() if keep else nullcontext():  # two first pushes are of one clone
        before = load(repo)
        new = before or Clone(secrets.token_hex(8), {})
        after, owner = _chosen(repo, new, remote, wanted, taken)
        if keep and after != before:
            folder = repo.make_state_dir()
            files.replace(folder, folder / _FILE, json.dumps(after._asdict(), indent=1).encode())
    return after, owner


def _chosen(
    repo: Repo, before: Clone, remote: str, wanted: str | None, taken: Collection[str]
) -> tuple[Clone, str]:
    """Return the clone with an owner's name for a remote, and that name."""
    known = before.owners.get(remote)
    if known and known[1] not in taken and wanted in (None, known[0]):
        return before, known[1]
    seen = f"{SEEN}{remote}/"
    taken = {*taken, remote, *(ref.removeprefix(seen) for ref in repo.refs(seen))}
    base = wanted or (
        known[0] if known else slug(repo.committer.partition(" <")[0]) or slug(login()) or "clone"
    )
    base = base[:_LONGEST]
    names = (base if at == 1 else f"{base}-{at}" for at in range(1, len(taken) + 3))
    owner = next(name for name in names if name not in taken)
    return Clone(before.id, {**before.owners, remote: [base, owner]}), owner


def slug(text: str) -> str:
    """Return text as a part of a ref's name: ``ada-lovelace``."""
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-_")
