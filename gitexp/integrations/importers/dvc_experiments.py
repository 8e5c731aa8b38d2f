"""``gitexp import dvc``: the experiments that DVC keeps below ``refs/exps``.

Each of them is a commit already, a child of the one that it started from, so it gets a tag where it
is. DVC itself is not needed. Params and metrics are those that ``dvc.yaml`` names, and whatever
else is called like such a file, as in the rest of history; the values are read from the files in
git. What DVC keeps in its cache alone (``cache: true``) is not there, and named.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Iterator, Sequence

from gitexp.formats import readers
from gitexp.formats.trackers.found import Commit, Found, Progress, Unread, person
from gitexp.integrations.importers import commit_files
from gitexp.integrations.importers.commit_files import Change
from gitexp.repo import Object, Repo

# baseline and name; others are DVC's own
_REF = re.compile(r"refs/exps/[0-9a-f]{2}/(?:[0-9a-f]{38}|[0-9a-f]{62})/(.+)")
_PIPELINE = ":(glob)**/dvc.yaml"


def find(
    repo: Repo, known: Collection[str], progress: Progress = lambda done, total: None
) -> Iterator[Found]:
    """Yield the DVC experiments whose commits are not ``known``, oldest first."""
    names = {
        oid: match[1]
        for ref, oid in repo.refs("refs/exps").items()
        if (match := _REF.fullmatch(ref))
    }
    with repo.offline() as beside:
        found = []
        for (oid, name), there in zip(names.items(), beside.objects(names)):
            if there and there.kind == "commit":
                found.append(_commit(name, there))
            else:
                yield Unread(name, f"its commit {oid[:10]} is not here")
        found.sort(key=lambda item: item.started)
        yield from (item for item in found if item.id in known)
        todo = [item for item in found if item.id not in known]
        files = _files(beside, [item.id for item in todo])
        asked = [list(_asked(beside, item.id, files[item.id])) for item in todo]
        contents = commit_files.contents(beside, asked)
        for at, (item, (read, missing)) in enumerate(zip(todo, contents)):
            progress(at, len(todo))
            commit, _ = commit_files.examine(item, item.title, read, missing)
            if commit.params or commit.last:
                yield commit
            else:
                yield Unread(item.title, "it has no metrics and no params in git")
                yield from commit.partly
        progress(len(todo), len(todo))


def _commit(name: str, item: Object) -> Commit:
    head = item.data.decode("utf-8", "replace").partition("\n\n")[0]
    parent = re.search(r"^parent (\w+)$", head, re.MULTILINE)
    author = re.search(r"^author (.*) <(.*)> (\d+ [-+]\d{4})$", head, re.MULTILINE)
    who, when = (person(author[1], author[2]), author[3]) if author else ("", "")
    before = parent[1] if parent else None
    return Commit("dvc", item.id, before, name, who, commit_files.date(when))


def _files(repo: Repo, ids: Sequence[str]) -> dict[str, list[Change]]:
    """Return the files of each commit that are called like those of metrics and params, or
    ``dvc.yaml``: one process for all."""
    files: dict[str, list[Change]] = {id: [] for id in ids}
    if not ids:
        return files
    empty = repo.write_object("tree", b"")
    ids_of: dict[str, list[str]] = {}
    for id, item in zip(ids, repo.objects(f"{id}^{{tree}}" for id in ids)):
        ids_of.setdefault(item.id if item else empty, []).append(id)
    pairs = "".join(f"{empty} {tree}\n" for tree in ids_of).encode()
    words = ("diff-tree", "--stdin", "-r", "-z", "--raw", "--no-renames", "--")
    output = repo.git(*words, *commit_files.PATTERNS, _PIPELINE, stdin=pairs)
    fields = iter(output.split(b"\0"))
    tree = ""
    for entry in fields:
        # before the entries of a pair comes a line that names it
        *heads, entry = entry.split(b"\n")
        tree = heads[-1].split()[-1].decode() if heads else tree
        if entry.startswith(b":"):
            _, mode, _, oid, _ = entry.split(b" ")
            path = os.fsdecode(next(fields))
            kind = "pipeline" if posixpath.basename(path) == "dvc.yaml" else commit_files.kind(path)
            for id in ids_of[tree] if kind else ():
                files[id].append(Change(str(kind), path, mode.decode(), oid.decode()))
    return files


def _asked(repo: Repo, id: str, files: Sequence[Change]) -> Iterator[Change]:
    """Yield the files to be read: those by their name, and those that a pipeline names."""
    found = {change.path: change for change in files if change.kind != "pipeline"}
    yield from found.values()
    pipelines = [change for change in files if change.kind == "pipeline"]
    for change, item in zip(pipelines, repo.objects(change.oid for change in pipelines)):
        for kind, path in readers.of_pipeline(change.path, item.data if item else b""):
            if path not in found:
                found[path] = Change(kind, path, commit_files.DECLARED, f"{id}:{path}")
                yield found[path]
