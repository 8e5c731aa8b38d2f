"""What a rewritten history (git filter-repo, BFG, a rebase of published commits) leaves wrong, and
how each of it is mended.

filter-repo notes what became of each commit and ref in ``.git/filter-repo``, the BFG what became of
each object in a folder beside the repository. The first makes tags of refs that are none; both
leave notes on commits that are gone, and what was fetched may still have the old history.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from gitexp.formats import message
from gitexp.repo import Repo
from gitexp.store import connectivity, gathering, notes
from gitexp.store.index import Index
from gitexp.store.ref_scan import REMOTES, TAGS

FALSE_TAGS = f"{TAGS}refs/gitexp/"
_FETCHED = (REMOTES, gathering.SEEN, notes.SEEN)
_DOCS = "docs/migrate.md, 'I must remove a file from all experiments'"
Found = tuple[str, str, "Callable[[], object] | None"]


def examine(repo: Repo) -> Iterator[Found]:
    """Yield what is wrong, the next step for the user, and what mends it."""
    false = repo.refs(FALSE_TAGS)
    if false:
        what = f"tags that are copies of other refs, made as history was rewritten: {len(false)}"
        yield what, "", lambda: _delete(repo, false)
    moved = {**_of_bfg(repo), **_of_filter_repo(repo)}
    if moved:
        yield from _notes(repo, moved)
        yield from _tags(repo, moved)
        yield from _refs(repo, moved)
    gone = _without_commit(repo)
    if gone:
        what = f"the commits of {len(gone)} experiments are gone: {', '.join(gone[:5])}"
        drop = f"where history was rewritten, to drop such a tag: git tag -d {gone[0]}; see {_DOCS}"
        yield what, f"{connectivity.advice(repo)}; {drop}", None


def _of_filter_repo(repo: Repo) -> dict[str, str]:
    """Return ``{old: new}`` hashes of commits that changed; empty where it never ran."""
    try:
        lines = Path(repo.common_dir, "filter-repo", "commit-map").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {old: new for old, new, *_ in map(str.split, lines) if old != new}


def _of_bfg(repo: Repo) -> dict[str, str]:
    """Return the BFG's maps of old to new hashes; it was called from the repository (``.``), or on
    it."""
    moved: dict[str, str] = {}
    for top in (repo.root, repo.root.parent):
        name = f"{repo.root.name if top == repo.root.parent else '.'}.bfg-report"
        for file in sorted(top.glob(f"{name}/*/*/object-id-map.old-new.txt")):
            pairs = (line.partition(" ") for line in file.read_text().splitlines())
            moved.update({old: new for old, _, new in pairs if new and old != new})
    return moved


def _notes(repo: Repo, moved: dict[str, str]) -> Iterator[Found]:
    noted = notes.read(repo) if repo.tip(notes.REF) else {}
    lost = {old: moved[old] for old in noted if moved.get(old, repo.zero) != repo.zero}
    if lost:
        what = "experiments whose labels and notes are on commits from before history was rewritten"
        yield f"{what}: {len(lost)}", "", lambda: notes.move(repo, lost)


def _tags(repo: Repo, moved: dict[str, str]) -> Iterator[Found]:
    """Find tags of experiments that name commits from before, as the one that it was run from."""
    tags = {ref: oid for ref, oid in repo.refs(TAGS).items() if not ref.startswith(FALSE_TAGS)}
    changed: dict[str, tuple[str, bytes]] = {}
    for (ref, oid), item in zip(tags.items(), repo.objects(tags.values())):
        found = message.parse_tag(item.data) if item else None
        if item and found and found.commit not in moved and not message.is_signed(item.data):
            new = moved
            if moved.get(parent := found.summary.get("parent", "")) == repo.zero:  # it is left out
                above = repo.line("rev-parse", "-q", "--verify", f"{ref}^{{}}^", ok=(0, 1))
                new = {**moved, parent: above}
            words = re.split(r"\b([0-9a-f]{40,64})\b", os.fsdecode(item.data))
            data = os.fsencode("".join(new.get(word) or word for word in words))
            if data != item.data:
                changed[ref] = oid, data
    if changed:
        commands = (
            f"update {ref} {repo.write_object('tag', data)} {oid}"
            for ref, (oid, data) in changed.items()
        )
        what = f"tags that name commits from before history was rewritten: {len(changed)}"
        yield what, "", lambda: repo.update_refs(commands, "gitexp: doctor")


def _refs(repo: Repo, moved: dict[str, str]) -> Iterator[Found]:
    """Find what was fetched before, and other refs that still hold a commit from before.
    filter-repo has refs of tags point to commits, and makes branches here of a remote's."""
    fetched = repo.refs(*_FETCHED)
    branches = repo.refs(gathering.HEADS).items()
    fetched |= {ref: oid for ref, oid in branches if gathering.clone_of(repo, oid)}
    kinds, made = repo.kinds(fetched.values()), {*moved.values()}
    stale = {
        ref: oid
        for ref, oid in fetched.items()
        if kinds[oid] == "commit" and (oid in made or ref.startswith(REMOTES))
    }
    present = [oid for oid, kind in repo.kinds(moved).items() if kind == "commit"]
    holding = [f"--contains={oid}" for oid in present[:200]]
    asked = ("for-each-ref", "--format=%(refname)", *holding)
    held = repo.line(*asked).split() if holding else []
    stale |= {ref: fetched[ref] for ref in held if ref in fetched}
    if stale:
        what = f"refs that were fetched before history was rewritten: {len(stale)}"
        advice = "rewrite the remote too before the next pull, which brings back what it has"
        yield what, f"{advice}; see {_DOCS}", lambda: _delete(repo, stale)
    for ref in held:
        if ref not in fetched and not ref.startswith(FALSE_TAGS):
            what = f"{ref} still holds history from before it was rewritten"
            yield what, f"to let it go: git update-ref -d {ref}", None


def _without_commit(repo: Repo) -> list[str]:
    names = dict(Index(repo).rows('tag."commit", ref.name', "ref.name NOT LIKE 'refs/%'"))
    kinds = repo.kinds(names)
    return [name for commit, name in names.items() if kinds[commit] == "missing"]


def _delete(repo: Repo, refs: dict[str, str]) -> None:
    repo.update_refs([f"delete {ref} {oid}" for ref, oid in refs.items()], "gitexp: doctor")
