"""Many experiments recorded at once, beside every branch: what an import and a sweep need.

One transaction creates the tags of a whole batch, so that a thousand experiments take five git
processes for their refs instead of a thousand. The objects before that are written in-process. A
batch is there whole or not at all; what a killed import had recorded stays, and the next one goes
on after it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from gitexp.formats.errors import GitError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, collector
from gitexp.store import names
from gitexp.store import record as store
from gitexp.store.entry import Entry, write_objects
from gitexp.store.index import Index

SIZE = 200  # experiments in one transaction
_TRIES = 20
_ID = "json_extract(tag.summary, '$.id')"


def record(
    repo: Repo, entries: Sequence[Entry], what: str = "import", *, new: bool = False
) -> list[Experiment]:
    """Record the experiments in their order, all or none. One whose id is recorded by now, by
    another import at the same time, is left out.

    Args:
        what: the reason for the log of refs.
        new: nobody else can have recorded them, which need not be looked up then.

    Raises:
        GitError: git cannot write; nothing was recorded.
    """
    if not entries:
        return []
    with collector.guarded(repo), store.locked(repo) as fd:
        # leave out what somebody recorded meanwhile
        if not new:
            asked = f"{_ID} IN (SELECT value FROM json_each(?))"
            ids = json.dumps([entry.draft.id for entry in entries])
            there = {row[0] for row in Index(repo).rows(_ID, asked, [ids], everybody=True)}
            entries = [entry for entry in entries if entry.draft.id not in there]
        if not entries:
            return []
        # number them, and try higher numbers where names are taken
        number = names.highest(repo) + 1
        for attempt in range(_TRIES):
            called = [f"exp-{number + at}" for at in range(len(entries))]
            made = [write_objects(repo, entry, name) for entry, name in zip(entries, called)]
            try:
                repo.update_refs(
                    [f"create refs/tags/{item.name} {item.tag}" for item in made],
                    f"gitexp: {what} {len(made)}",
                    [fd],
                )
                break
            except GitError as error:
                taken = {ref.removeprefix("refs/tags/") for ref in repo.refs("refs/tags")}
                locked = [at for at, name in enumerate(called) if names.is_taken(error, name)]
                if attempt == _TRIES - 1 or not (locked or taken & {*called}):
                    raise
                number = max([names.highest(repo, scan=True), *(number + at for at in locked)]) + 1
        names.remember_highest(repo, number + len(entries) - 1)
        store.remember(repo, made)
        store.pack(repo, fd)
    return made
