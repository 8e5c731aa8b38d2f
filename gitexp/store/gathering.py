"""The gathering branch: one pushed branch for each clone that holds, and names, all experiments
that it ever pushed.

``experiments/OWNER`` on the remote only grows, by merge commits:

    tree      one README that says what this is
    parents   the previous tip first, then the experiments that no branch holds
    mergetag  the tag object of every new experiment, whole
    message   the experiments' subjects, and the id of the clone

They come in chunks: some programs that draw history get lost past some dozens of parents.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from gitexp.formats import message
from gitexp.repo import Repo, trees
from gitexp.store import ref_scan

HEADS = "refs/heads/experiments/"  # on a remote, with the owner
SEEN = ref_scan.GATHERED
CHUNK = 32
_README = """\
# Experiments

This branch holds experiments that [gitexp](https://pypi.org/project/gitexp/) recorded: each
is a commit of its own, and the merges of this branch keep them. `gitexp pull` and
`gitexp list --all` show them with their names. Nothing needs to be merged from here, and nothing
should be committed to it.
"""


class Carried(NamedTuple):
    """An experiment on its way: the name that its clone gives it, its commit, and the tag object as
    it is."""

    name: str
    tag: str
    commit: str
    data: bytes
    held: bool = False  # whether a branch that is pushed, or a tag, holds the commit anyway


class Gathering(NamedTuple):
    """One commit of a gathering branch."""

    clone: str
    parent: str | None
    carried: list[Carried]


def extend(
    repo: Repo,
    tip: str | None,
    clone: str,
    experiments: Sequence[Carried],
    beside: Mapping[str, bytes] | None = None,
) -> str:
    """Write the commits that gather more experiments on top of ``tip`` and return the new tip; no
    ref is changed.

    Args:
        beside: files to lie beside the README.
    """
    files = {"README.md": _README.encode(), **(beside or {})}
    blobs = {path: repo.write_object("blob", data) for path, data in files.items()}
    tree = trees.write(repo, blobs)
    who = f"{repo.committer} {trees.stamp()}"
    tip = tip or _write(repo, tree, None, who, clone, [])
    for at in range(0, len(experiments), CHUNK):
        tip = _write(repo, tree, tip, who, clone, experiments[at : at + CHUNK])
    return tip


def read(repo: Repo, tip: str, since: str | None = None) -> tuple[bool, list[Carried]]:
    """Return whether ``tip`` goes on from ``since``, and the experiments gathered between them,
    oldest first."""
    stop = [f"^{since}"] if since else []
    how = ("--first-parent", "--reverse", "--ignore-missing")
    listed = repo.line("rev-list", *how, tip, *stop, ok=(0, 128)).split()
    found = [parse(repo, item.data) for item in repo.objects(listed) if item]
    gatherings = [item for item in found if item]
    goes_on = since is None or bool(
        gatherings and len(gatherings) == len(found) and gatherings[0].parent == since
    )
    return goes_on, [item for one in gatherings for item in one.carried]


def restore(repo: Repo, tags: Collection[str]) -> None:
    """Write tag objects that are missing here, as far as a gathering branch carries them: a fetch
    brings no objects for them."""
    for tip in repo.refs(SEEN).values() if tags else ():
        for item in read(repo, tip)[1]:
            if item.tag in tags:
                repo.write_object("tag", item.data)


def clone_of(repo: Repo, tip: str) -> str | None:
    """Return the id of the clone that made a commit as a gathering, None where it is none."""
    item = next(repo.objects([tip]))
    found = parse(repo, item.data) if item and item.kind == "commit" else None
    return found.clone if found else None


def parse(repo: Repo, data: bytes) -> Gathering | None:
    """Read a raw commit; None where it is not a gathering."""
    head, _, text = data.partition(b"\n\n")
    said = text.decode("utf-8", "replace")
    clone = message.trailers(said).get("Clone")
    if clone is None:
        return None
    names = dict(re.findall(r"^Gitexp-Name: ([0-9a-f]{40,64}) (\S+)$", said, re.MULTILINE))
    parent = re.search(rb"^parent ([0-9a-f]+)$", head, re.MULTILINE)
    carried = [item._replace(name=names.get(item.tag, item.name)) for item in _tags(repo, head)]
    return Gathering(clone, parent[1].decode() if parent else None, carried)


def _tags(repo: Repo, head: bytes) -> Iterator[Carried]:
    for match in re.finditer(rb"^mergetag ((?:.*\n)(?: .*\n)*)", head + b"\n", re.MULTILINE):
        data = match[1].replace(b"\n ", b"\n")
        commit = re.match(rb"object ([0-9a-f]{40,64})\ntype commit\ntag (\S+)\n", data)
        if commit:
            name, tag = commit[2].decode("utf-8", "replace"), repo.hash_of("tag", data)
            yield Carried(name, tag, commit[1].decode(), data)


def _write(
    repo: Repo, tree: str, tip: str | None, who: str, clone: str, experiments: Sequence[Carried]
) -> str:
    parents = dict.fromkeys(item.commit for item in experiments if not item.held)
    above = [f"parent {parent}" for parent in ([tip] if tip else []) + [*parents]]
    head = [f"tree {tree}", *above, f"author {who}", f"committer {who}"]
    tags = [
        b"mergetag " + item.data[:-1].replace(b"\n", b"\n ")
        for item in experiments
        if item.data.endswith(b"\n") and b"\0" not in item.data  # else it would come out changed
    ]
    many = "an experiment" if len(experiments) == 1 else f"{len(experiments)} experiments"
    subjects = [_subject(item) for item in experiments]
    renamed = [
        f"Gitexp-Name: {item.tag} {item.name}"
        for item in experiments
        if b"\ntag %b\n" % item.name.encode() not in item.data
    ]
    said = [f"Gather {many}" if experiments else "Begin to gather experiments", ""]
    said += [*subjects, ""] if subjects else []
    text = "\n".join([*said, *renamed, f"Gitexp-Clone: {clone}", ""]).encode("utf-8", "replace")
    lines = [*(line.encode("utf-8", "replace") for line in head), *tags, b"", text]
    return repo.write_object("commit", b"\n".join(lines))


def _subject(item: Carried) -> str:
    """Return a line for people that cannot be mistaken for a trailer."""
    title = item.data.partition(b"\n\n")[2].partition(b"\n")[0]
    return f"- {message.one_line(title.decode('utf-8', 'replace'))}"
