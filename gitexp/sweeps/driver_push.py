"""A sweep's trials go to a remote while it runs, in batches: hosts ask for few pushes a minute,
however many trials end in one.

On a thread with a view of the repository of its own, since a push waits for the network and the
next trial should not. A push that fails takes nothing away: what was on its way waits for the next,
which comes later and later.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from gitexp.formats import message
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo
from gitexp.store.index import Index
from gitexp.store.remote import sync, transport

PAUSE = 30.0  # seconds from one push to the next
_LONGEST = 600.0  # after failures


@dataclass(frozen=True)
class Sent:
    """What became of the pushes of a sweep."""

    remote: str
    experiments: int  # that are there now and were not before
    owner: str  # what this clone is called there; empty where nothing went
    left: tuple[str, ...]  # the names of those that are not there
    problem: str | None  # why, None where all are there


def remote(repo: Repo, wanted: str | bool | None) -> str | None:
    """Return the remote to push to, True and "" meaning ``git push``'s own; raises UsageError."""
    if wanted is None or wanted is False:
        return None
    return transport.find_remote(repo, wanted if isinstance(wanted, str) and wanted else None).name


class Pusher:
    """Sends experiments now and then."""

    def __init__(self, repo: Repo, remote: str) -> None:
        self._root, self._remote = repo.root, remote
        self._waiting: dict[str, str] = {}  # hash of a tag object: name
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._went, self._owner = 0, ""
        self._problem: str | None = None
        self._untold: str | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="gitexp-push")
        self._thread.start()

    def add(self, experiments: Iterable[Experiment]) -> None:
        """Have experiments go with the next push."""
        with self._lock:
            self._waiting.update({item.tag: item.name for item in experiments})

    def news(self) -> str | None:
        """Return why the first push failed that did, once."""
        untold, self._untold = self._untold, None
        return untold

    def finish(self) -> Sent:
        """Push what is left, and return what became of all."""
        self._over.set()
        self._thread.join()
        left = tuple(self._waiting.values())
        return Sent(self._remote, self._went, self._owner, left, self._problem if left else None)

    def _work(self) -> None:
        pause = PAUSE
        while not self._over.wait(pause):
            pause = PAUSE if self._push() else min(2 * pause, _LONGEST)
        self._push()

    def _push(self) -> bool:
        """Send what waits; whether nothing waits any more of what did."""
        with self._lock:
            going = {*self._waiting}
        if not going:
            return True
        try:
            index = Index(Repo.discover(self._root))
            # without those that were removed meanwhile
            wanted = "tag.id IN (SELECT value FROM json_each(?))"
            chosen = index.select(wanted, [json.dumps([*going])])
            pushed = sync.push(index, self._remote, chosen, branch=False) if chosen else None
        except Exception as error:  # whatever it is, the trials go on and are recorded here
            if self._problem is None:
                self._untold = message.one_line(str(error))
            self._problem = message.one_line(str(error))
            return False
        if pushed and pushed.experiments:
            self._went, self._owner = self._went + len(pushed.experiments), pushed.owner
        with self._lock:
            self._waiting = {tag: name for tag, name in self._waiting.items() if tag not in going}
        return True
