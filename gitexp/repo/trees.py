"""Tree objects, read and made in-process: a commit's tree with a few files more, without an index
and without a process each.

The format is git's own (gitformat-tree: mode, space, name, NUL, raw hash; sorted as if folders
ended with a slash).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from datetime import datetime

from gitexp.repo import Repo

FOLDER = b"40000"
FILE = b"100644"
# what git itself refuses as a part of a path
_FORBIDDEN = re.compile(r"(?i)(\.git|git~\d+)[ .]*|\.{0,2}")
_NOBODY = "gitexp <gitexp> 0 +0000"
Entry = tuple[bytes, str]  # mode and hash


class Executable(str):
    """The hash of a file that may be run."""


def mode(blob: str) -> bytes:
    """Return the mode of a file by its hash."""
    return b"100755" if isinstance(blob, Executable) else FILE


Entries = dict[bytes, Entry]  # by name


def parse(data: bytes, object_format: str = "sha1") -> Entries:
    """Return the entries of a raw tree object."""
    size = 32 if object_format == "sha256" else 20
    entries: Entries = {}
    at = 0
    while at < len(data):
        end = data.index(b"\0", at)
        mode, name = data[at:end].split(b" ", 1)
        entries[name] = (mode, data[end + 1 : end + 1 + size].hex())
        at = end + 1 + size
    return entries


def dump(entries: Mapping[bytes, tuple[bytes, str]]) -> bytes:
    """Return the raw tree object."""
    ordered = sorted(
        entries.items(), key=lambda item: item[0] + (b"/" if item[1][0] == FOLDER else b"")
    )
    return b"".join(
        mode + b" " + name + b"\0" + bytes.fromhex(oid) for name, (mode, oid) in ordered
    )


def is_path(path: str) -> bool:
    """Whether git takes a path into a tree."""
    return "\0" not in path and not any(_FORBIDDEN.fullmatch(part) for part in path.split("/"))


def write(repo: Repo, files: Mapping[str, str], base: Entries | None = None) -> str:
    """Write the tree ``base`` with the files ``{path: hash of the blob}`` and return its hash.

    A folder that one of the files lies in is made anew: what ``base`` has of it is not taken over.
    """
    made = {os.fsencode(path.partition("/")[0]) for path in files}
    kept = {name: entry for name, entry in (base or {}).items() if name not in made}
    return repo.write_object("tree", dump(_entries(repo, kept, files)))


def bare_commit(
    repo: Repo, tree: str, parent: str | None, text: str, author: str = _NOBODY, by: str = _NOBODY
) -> str:
    """Write a commit of no branch and return it. By itself it is by nobody, at no time: of the same
    content always the same; else ``author``, and ``by``, its committer, are people with a time."""
    above = f"parent {parent}\n" if parent else ""
    made = f"tree {tree}\n{above}author {author}\ncommitter {by}\n\n{text}\n"
    return repo.write_object("commit", made.encode("utf-8", "replace"))


def stamp(moment: datetime | None = None) -> str:
    """Return a time, now by itself, as git's objects have it: seconds, which git does not read
    below 0, and the time zone."""
    moment = moment or datetime.now().astimezone()
    return f"{max(0, int(moment.timestamp()))} {moment.strftime('%z')[:5] or '+0000'}"


def edited(repo: Repo, base: str, files: Mapping[str, str | None]) -> str:
    """Write the tree ``base`` with the files ``{path: hash of the blob, None to remove it}`` and
    return its hash.

    A file and a folder of the same name: what is added wins, as in an index.
    """
    entries = {**_read(repo, base)}
    return repo.write_object("tree", dump(_entries(repo, entries, files)))


@functools.lru_cache(maxsize=64)
def _read(repo: Repo, oid: str) -> Entries:
    """Return the entries of a tree, which the next trial of the same snapshot needs again."""
    return parse(repo.tree(oid), repo.object_format)


def _entries(repo: Repo, entries: Entries, files: Mapping[str, str | None]) -> Entries:
    below: dict[bytes, dict[str, str | None]] = {}
    for path, blob in files.items():
        head, slash, rest = path.partition("/")
        name = os.fsencode(head)
        if slash:
            below.setdefault(name, {})[rest] = blob
        elif blob is not None:
            entries[name] = (mode(blob), blob)
        elif name in entries and entries[name][0] != FOLDER:
            del entries[name]
    for name, inside in below.items():
        kind, oid = entries.get(name, (b"", ""))
        if kind != FOLDER and not any(inside.values()):
            continue
        there = _entries(repo, {**_read(repo, oid)} if kind == FOLDER else {}, inside)
        if there:
            entries[name] = (FOLDER, repo.write_object("tree", dump(there)))
        else:
            entries.pop(name, None)
    return entries
