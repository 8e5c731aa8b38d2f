"""What a push sends, and what it learns where the remote says no.

A push does not ask first. It sends what should be there by all that this clone knows, and where the
remote says no it learns why, and sends again: a name that is taken becomes ``OWNER/exp-7`` there,
notes that moved are merged, a branch that moved or that the remote protects is left to the user. So
the usual push is one exchange with the remote, however many experiments it holds. Nothing is ever
forced, so what lost a race is only ever tried again.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gitexp.formats.errors import GitError
from gitexp.repo import Progress, Repo
from gitexp.store import clone, gathering, notes
from gitexp.store.gathering import HEADS, SEEN, Carried
from gitexp.store.ref_scan import REMOTES, TAGS
from gitexp.store.remote import transport
from gitexp.store.remote.transport import Remote, Update

_TRIES = 60
_LOCKED = 4  # tries that meet the same lock file, which nobody takes away then
_PAUSE = 0.02  # seconds; pauses after a lost race grow from here
# characters of refspecs for one push; systems bound a command line
_ARGUMENTS = 20_000 if os.name == "nt" else 400_000
_COLLATERAL = ("atomic push fail", "transaction failed", "push of another ref failed")


@dataclass
class Outgoing:
    """One push, which may take several exchanges: what the remote lacks, and what went."""

    repo: Repo
    remote: Remote
    # those that no gathering branch and no tag there holds, oldest first
    experiments: list[Carried]
    tags: dict[str, str]  # ``{hash of a tag object: name here}``, those that should get a tag there
    taken: Mapping[str, str]  # ``{name of a tag there: hash}``, as far as this clone knows
    noted: str | None  # the tip of the notes, None where the remote has them
    wanted: str | None  # the owner's name from the settings
    moving: str | None  # the full name of the branch that may go, None for none
    dry_run: bool
    verify: bool
    progress: Progress | None
    owner: str = ""  # what this clone is called on the remote
    # ``{hash of a tag object: name there}`` of the tags that went
    names: dict[str, str] = field(default_factory=dict)
    gathered: list[Carried] = field(default_factory=list)  # the experiments that went
    branch: str | None = None  # the branch that went along, None where none did
    kept_back: str | None = None  # why the branch did not go although it should have
    notes: bool = False  # whether the notes went
    notes_problem: str | None = None  # why they did not go although they should have
    _locks: Counter[str] = field(default_factory=Counter)  # there: in how many tries each was met
    _owners_taken: set[str] = field(default_factory=set)
    _there: str | None = None  # our branch's tip there, not noted here yet
    _tries: dict[str, int] = field(default_factory=dict)  # of a tag's names how many were taken

    def send(self) -> None:
        """Push until all is there.

        Raises:
            GitError: the remote cannot be reached or refuses. Nothing was changed here.
        """
        for attempt in range(_TRIES):
            if not self._lacking:
                break
            sent = self._prepared()
            updates, said = transport.push(
                self.repo, self.remote, [*sent],
                dry_run=self.dry_run, verify=self.verify, progress=self.progress,
            )  # fmt: skip
            refused = [item for item in updates if item.flag == "!"]
            if not refused:
                self._done(sent)
            elif self._learn(refused, said):
                time.sleep(random.uniform(0, _PAUSE * min(attempt + 1, 20)))
        if self._lacking:
            raise GitError(
                f"{self.remote.name} changed {_TRIES} times while this was going on; try again"
            )
        self._done({})

    @property
    def _lacking(self) -> bool:
        return bool(self.experiments or self.tags or self.noted)

    @property
    def _mine(self) -> str:
        return f"{SEEN}{self.remote.name}/{self.owner}"

    def name(self, item: Carried) -> str:
        """Return what an experiment that went is called there."""
        return self.names.get(item.tag, f"{self.owner}/{item.name}")

    # -- what goes ---------------------------------------------------------------------------------

    def _prepared(self) -> dict[str, tuple[str, str]]:
        """Return ``{refspec: (what is sent, where it goes)}``, the gathering branch first."""
        me, self.owner = clone.ensure(
            self.repo, self.remote.name, self.wanted, self._owners_taken, keep=not self.dry_run
        )
        going: list[tuple[str, str]] = []
        ahead = self._ahead()
        if self.experiments:
            held = [
                item._replace(held=item.commit in ahead and item.tag in self.tags)
                for item in self.experiments
            ]
            tip = gathering.extend(self.repo, self._there or self.repo.tip(self._mine), me.id, held)
            going.append((tip, f"{HEADS}{self.owner}"))
        if ahead and self.moving and self.remote.branch:
            going.append((self.moving, self.remote.branch))
        if self.noted:
            going.append((self.noted, notes.REF))
        size = 0
        for tag, name in self.tags.items():
            going.append((tag, f"{TAGS}{self._name_there(tag, name)}"))
            size += len(tag) + len(going[-1][1]) + 2
            if size > _ARGUMENTS:
                break
        return {f"{source}:{target}": (source, target) for source, target in going}

    def _ahead(self) -> set[str]:
        """Return the commits that the branch would bring to the remote, if one of them is an
        experiment on its way."""
        if not self.moving or not self.experiments:
            return set()
        seen = f"refs/remotes/{self.remote.name}/{(self.remote.branch or '')[11:]}"
        if self.repo.tip(self.moving) == self.repo.tip(seen):
            return set()
        theirs = f"--remotes={self.remote.name}"
        ahead = {*self.repo.line("rev-list", self.moving, "--not", theirs, ok=(0, 128)).split()}
        return ahead if any(item.commit in ahead for item in self.experiments) else set()

    def _name_there(self, tag: str, name: str) -> str:
        """Return the first name for a tag that is not known to be another's: ``exp-7``,
        ``ada/exp-7``, ``ada-2/exp-7``..."""
        while True:
            at = self._tries.get(tag, 0)
            owner = self.owner if at == 1 else f"{self.owner}-{at}"
            there = f"{owner}/{name}" if at else name
            if self.taken.get(there, tag) == tag:
                return there
            self._tries[tag] = at + 1

    # -- what came of it ---------------------------------------------------------------------------

    def _done(self, sent: dict[str, tuple[str, str]]) -> None:
        """Take down what is on the remote now, in one transaction, so that nobody sends it
        again."""
        seen: list[str] = []
        for source, target in sent.values():
            if target.startswith(HEADS):
                self._there = source
                self.gathered += self.experiments
                self.experiments = []
            elif target == notes.REF:
                seen.append(f"update {notes.of_remote(self.remote.name)} {source}")
                self.notes, self.noted = True, None
            elif source in self.tags:
                name = target.removeprefix(TAGS)
                seen.append(f"update {REMOTES}{self.remote.name}/{name} {source}")
                self.names[source] = name
                del self.tags[source]
            else:
                self.branch = source.removeprefix("refs/heads/")
        if self._there and not self.tags:  # once it is noted, nobody sends these
            seen.append(f"update {self._mine} {self._there}")
            self._there = None
        if self.dry_run or not seen:
            return
        why = f"gitexp: push to {self.remote.name}"
        try:
            self.repo.update_refs(seen, why)
        # a tag that vanished from the remote is in the way of a folder; the branch says all that
        # matters
        except GitError:
            seen = [line for line in seen if SEEN in line or notes.SEEN in line]
            self.repo.update_refs(seen, why)

    def _learn(self, refused: Sequence[Update], said: str) -> bool:
        """Change what the next try sends; whether it should wait a little, since somebody else was
        faster."""
        if blocked := re.search(
            r"'(refs/[^']+)' exists; cannot create '(refs/[^']+)/[^'/]+'", said
        ):
            self._leave_out(*blocked.groups())
            return False
        self._count_locks(said)
        telling = [item for item in refused if not any(word in item.reason for word in _COLLATERAL)]
        lost = not telling
        for item in telling:
            race = transport.lost_race(item)
            moved = transport.has_moved(item)
            if item.target == self.remote.branch and item.source == self.moving and not race:
                self.moving = None
                self.kept_back = self._merge_hint() if moved else transport.reason(item, said)
            elif item.target.startswith(HEADS) and (moved or race):
                self._look_at_owners()
            elif item.target == notes.REF and moved:
                self._merge_notes()
            elif item.target.startswith(TAGS) and "already exists" in item.reason and not race:
                self._tries[item.source] = self._tries.get(item.source, 0) + 1
            elif not race:
                self._retry_without_branch(
                    item, said, any(other.source == self.moving for other in refused)
                )
                return False
            lost = lost or race
        # others push these numbers just now, and names of one's own end the race for all of them
        if lost:
            self._tries = {tag: max(1, self._tries.get(tag, 0)) for tag in self.tags}
        return lost

    def _merge_hint(self) -> str:
        """Return how a branch that moved there comes together with the one here: by a merge, since
        a rebase would copy experiments, and past the results, which differ in any two."""
        branch = (self.remote.branch or "").removeprefix("refs/heads/")
        remote, there = shlex.quote(self.remote.name), shlex.quote(branch)
        return (
            "it has commits there that are not here; to merge them, with your side of the lines"
            f" that both changed: git pull --no-rebase -X ours {remote} {there} && git push"
            f" {remote} HEAD:{there}"
        )

    def _count_locks(self, said: str) -> None:
        """Give up where the remote says again and again that the same lock is in the way."""
        for lock in {*re.findall(r"Unable to create '([^']+\.lock)': File exists", said)}:
            self._locks[lock] += 1
            if self._locks[lock] == _LOCKED:
                raise GitError(
                    f"{self.remote.name} says: Unable to create '{lock}': File exists; if no git"
                    " is at work there, remove it there",
                    1,
                    said,
                )

    def _leave_out(self, name: str, folder: str) -> None:
        """Do without the tags that cannot be there beside a name of somebody's; the gathering
        branch carries them anyway."""
        tags = self.tags.items()
        names = {tag: f"{TAGS}{self._name_there(tag, here)}" for tag, here in tags}
        left = {tag: here for tag, here in tags if not names[tag].startswith(f"{folder}/")}
        if len(left) == len(tags):
            raise GitError(
                f"{self.remote.name} has '{name}', and so there can be nothing in '{folder}';"
                " rename it there"
            )
        self.tags = left

    def _retry_without_branch(self, item: Update, said: str, with_branch: bool) -> None:
        """Try again without the branch where a hook refused everything, which may be for the branch
        alone; else give up."""
        why = transport.reason(item, said)
        if not with_branch:
            raise GitError(f"{self.remote.name} refused {item.target}: {why}", 1, said)
        self.moving, self.kept_back = None, why

    def _look_at_owners(self) -> None:
        """Find out whose gathering branch is in the way: mine, from a push that was cut off, or
        another clone's."""
        found = transport.listed(self.repo, self.remote, f"{HEADS}*")
        tips = {ref.removeprefix(HEADS): oid for ref, oid in found.items()}
        known = clone.load(self.repo)
        tip, seen = tips.get(self.owner), self.repo.tip(self._mine)
        # gone, or somebody was in between for a moment
        if tip is None or tip == seen:
            return
        if known is None or gathering.clone_of(self.repo, tip) != known.id:
            self._owners_taken |= set(tips)
        else:
            there = {item.tag for item in gathering.read(self.repo, tip, seen)[1]}
            lacking = [item for item in self.experiments if item.tag not in there]
            self.experiments, self._there = lacking, tip

    def _merge_notes(self) -> None:
        if self.dry_run:
            self.notes, self.noted = True, None
            return
        transport.fetch(self.repo, self.remote, [transport.noted(self.remote)])
        try:
            notes.merge(self.repo, self.remote.name)
        except GitError as error:
            self.notes_problem, self.noted = str(error), None
            return
        mine, seen = map(self.repo.tip, (notes.REF, notes.of_remote(self.remote.name)))
        self.noted = mine if mine != seen else None
