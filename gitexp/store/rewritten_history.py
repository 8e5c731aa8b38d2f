"""What a rewritten history (git filter-repo, BFG, a rebase of published commits) leaves wrong, and
how each of it is mended.

filter-repo notes what became of each commit and ref in ``.git/filter-repo``, the BFG what became of
each object in a folder beside the repository. The first makes tags of refs that are none; both
leave notes on commits that are gone, and what was fetched may still have the old history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

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
        what = f"{len(false)} tags are copies that a rewrite of history made of other refs"
        yield what, "", lambda: _delete(repo, false)
    moved = {**_of_bfg(repo), **_map(repo, "commit-map")}
    if moved:
        yield from _notes(repo, moved)
        yield from _refs(repo, moved)
    gone = _without_commit(repo)
    if gone:
        what = f"the commits of {len(gone)} experiments are gone: {', '.join(gone[:5])}"
        drop = f"where history was rewritten, to drop such a tag: git tag -d {gone[0]}; see {_DOCS}"
        yield what, f"{connectivity.advice(repo)}; {drop}", None


def _map(repo: Repo, name: str) -> dict[str, str]:
    """Return filter-repo's ``{old: new}`` hashes, of those that changed; empty where it never
    ran."""
    try:
        lines = Path(repo.common_dir, "filter-repo", name).read_text().splitlines()[1:]
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
        what = (
            f"labels and notes of {len(lost)} experiments are on commits from before history was"
            " rewritten"
        )
        yield what, "", lambda: notes.move(repo, lost)


def _refs(repo: Repo, moved: dict[str, str]) -> Iterator[Found]:
    """Find what was fetched before, and other refs that still hold a commit from before."""
    rewritten = {*_map(repo, "ref-map").values()}
    fetched = repo.refs(*_FETCHED)
    stale = {ref: oid for ref, oid in fetched.items() if oid in rewritten}
    present = [oid for oid, kind in repo.kinds(moved).items() if kind == "commit"]
    holding = [f"--contains={oid}" for oid in present[:200]]
    asked = ("for-each-ref", "--format=%(refname)", *holding)
    held = repo.line(*asked).split() if holding else []
    stale |= {ref: fetched[ref] for ref in held if ref in fetched}
    if stale:
        what = f"{len(stale)} refs are what was fetched before history was rewritten"
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
