"""Tree objects, read and made in-process: a commit's tree with a few files more, without an index and without a process each.

The format is git's own (gitformat-tree: mode, space, name, NUL, raw hash; sorted as if folders ended with a slash).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitexp.repo import Repo

FOLDER = b"40000"
FILE = b"100644"
Entries = dict[bytes, tuple[bytes, str]]  # name: mode and hash


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
    ordered = sorted(entries.items(), key=lambda item: item[0] + (b"/" if item[1][0] == FOLDER else b""))
    return b"".join(mode + b" " + name + b"\0" + bytes.fromhex(oid) for name, (mode, oid) in ordered)


def write(repo: Repo, files: Mapping[str, str], base: Entries | None = None) -> str:
    """Write the tree ``base`` with the files ``{path: hash of the blob}`` and return its hash.

    A folder that one of the files lies in is made anew: what ``base`` has of it is not taken over.
    """
    entries = dict(base or {})
    below: dict[str, dict[str, str]] = {}
    for path, oid in files.items():
        head, slash, rest = path.partition("/")
        if slash:
            below.setdefault(head, {})[rest] = oid
        else:
            entries[os.fsencode(head)] = (FILE, oid)
    for name, inside in below.items():
        entries[os.fsencode(name)] = (FOLDER, write(repo, inside))
    return repo.write_object("tree", dump(entries))
