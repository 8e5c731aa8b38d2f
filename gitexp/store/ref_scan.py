"""Which refs experiments have, seen without a process and without reading those that did not
change.

The contents of the small files and the identity of the packed one, which is only ever replaced,
tell whether anything happened. The small ones are read first, since ``git pack-refs`` moves refs to
the packed one. Where anything is not as git writes it by itself (a reftable, a symbolic ref, an odd
name), git's own list takes the place of a look.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

from gitexp.repo import Repo

TAGS, REMOTES = "refs/tags/", "refs/gitexp/remotes/"
GATHERED = "refs/gitexp/gathered/"  # others' gathering branches, with the remote and the owner
NOTES = "refs/notes/gitexp"
_REFS = (TAGS[:-1], REMOTES[:-1], GATHERED[:-1], NOTES)
_HASH = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64})\n")
# part of a ref's name for sure, and spelled the same on every file system
_NAME = re.compile(rb"[\w+=,%#-]+(\.[\w+=,%#-]+)*")
_TICK = 2_000_000_000  # ns; the coarsest clock of a file system


def look(repo: Repo) -> bytes:
    """Return what changes whenever a ref of ours does: the packed file's identity, then a line
    ``hash ref`` for each small one."""
    top = os.fsencode(repo.common_dir)
    try:
        if (repo.common_dir / "reftable").exists() or not (
            repo.common_dir / "refs" / "heads"
        ).is_dir():
            raise ValueError("there are no files of refs")
        lines = sorted(
            line
            for ref in map(os.fsencode, _REFS)
            for line in _lines(os.path.join(top, *ref.split(b"/")), ref)
        )
        return b"\n".join([b"packed " + _identity(os.path.join(top, b"packed-refs")), *lines, b""])
    except (ValueError, OSError):
        return b"listed\n" + ask(repo)


def ask(repo: Repo) -> bytes:
    """Return git's own list of our refs: lines ``hash ref``, sorted by ref."""
    return repo.git("for-each-ref", "--format=%(objectname) %(refname)", *_REFS)


def is_empty(repo: Repo, seen: bytes) -> bool:
    """Whether there is no ref of ours, as far as can be told without git."""
    if b" refs/" in seen:
        return False
    try:
        packed = (repo.common_dir / "packed-refs").read_bytes()
    except OSError:
        return True
    return not any(b" " + os.fsencode(ref) in packed for ref in _REFS)


def added(before: bytes, now: bytes) -> list[bytes] | None:
    """Return the lines that are new in a look; None where they are not all that changed, and only
    git can tell."""
    old, new = ({*look.splitlines()} for look in (before, now))
    refs = {line.partition(b" ")[2] for line in new}
    # a ref is gone, or the packed file another
    if not old or any(line.partition(b" ")[2] not in refs for line in old - new):
        return None
    return [*(new - old)]


def _lines(path: bytes, ref: bytes) -> Iterator[bytes]:
    """Yield the line of a ref's file, or of all below a folder; raise ValueError for what git has
    to judge."""
    try:
        entries = [*os.scandir(path)]
    except FileNotFoundError:
        return
    except NotADirectoryError:
        yield from _line(path, ref)
        return
    for entry in entries:
        if entry.name.startswith(b".") or entry.name.endswith(b".lock"):  # git passes over these
            continue
        if not _NAME.fullmatch(entry.name):
            raise ValueError("an odd name")
        below = ref + b"/" + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _lines(entry.path, below)
        elif entry.is_file(follow_symlinks=False):
            yield from _line(entry.path, below)
        else:
            raise ValueError("an odd file")


def _line(path: bytes, ref: bytes) -> Iterator[bytes]:
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:  # deleted, or packed, since the folder was read
        return
    try:
        content = os.read(fd, 100)
    finally:
        os.close(fd)
    if not _HASH.fullmatch(content):
        raise ValueError("not a plain ref")
    yield content[:-1] + b" " + ref


def _identity(packed: bytes) -> bytes:
    """Return what tells one packed file from the next. One that is very young could be replaced
    within a tick of the clock."""
    try:
        status = os.stat(packed)
    except FileNotFoundError:
        return b"-"
    now = time.time_ns()
    young = now if abs(now - status.st_mtime_ns) < _TICK else 0
    return b"%d %d %d %d" % (status.st_ino, status.st_size, status.st_mtime_ns, young)
