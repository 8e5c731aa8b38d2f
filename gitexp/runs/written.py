"""Which files a command wrote: those that changed below a folder while it ran."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from gitexp.repo import Repo, dvc_pointers, files, snapshot
from gitexp.runs import journal

BEGUN = "begun"  # in a run's folder: its time is when the command began
_SHARED = "shared"  # there: another command ran in this work tree meanwhile
_MOST_FILES = 100_000  # that are looked at
_MANY = 100  # files of a folder
_PASSED = frozenset(("node_modules", ".git", ".gitexp", ".dvc", "site-packages", *snapshot.NEVER))
_ENDINGS = (
    *(".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".toml", ".csv", ".tsv"),
    *(".db", ".sqlite", ".wandb", ".zip", ".log", ".lock", ".dvc"),
)
_LINES = (".jsonl", ".ndjson")
_EXPERIMENTS = "refs/exps"  # of DVC
Look = tuple[int, ...]


class Begun(NamedTuple):
    """How all was just before the command began: the file system's time, DVC's experiments, and
    tables of earlier commands, to which it may append: the size of each, and how it ended."""

    since: int
    experiments: frozenset[str] = frozenset()
    tables: Mapping[str, tuple[int, bytes]] = MappingProxyType({})

    def added(self, path: str, data: bytes) -> bytes:
        """Return a file without the rows that were there before: below its header what is new.

        One with steps stays whole: it is the course of a training that went on, or was written anew
        and began as it did before.
        """
        size, end = self.tables.get(path, (0, b""))
        if not end.endswith(b"\n") or not data[:size].endswith(end) or len(data) <= size:
            return data  # written anew
        from gitexp.formats import readers  # which a run in a script's own process never needs

        top = re.match(rb"(?:#.*\n)*(.*\n)", data)
        if not top or readers.has_steps(top[1]):
            return data
        header = b"" if path.endswith(_LINES) else top[0]
        return header + data[size:]


ALWAYS = Begun(0)  # before which nothing was


@dataclass
class Written:
    """What a command wrote: files with how each looked, and paths of links, FIFOs and the like."""

    files: dict[str, Look] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)


def mark(folder: Path, repo: Repo | None = None) -> Begun:
    """Return how all is just before the command starts."""
    file = folder / BEGUN
    file.write_bytes(b"")
    for other in journal.other_active(repo, folder, str(repo.root)) if repo else ():
        if (other / BEGUN).exists():
            (other / _SHARED).touch()
            (folder / _SHARED).touch()
    since = file.stat().st_ctime_ns
    return Begun(since, dvc_experiments(repo), _tables(repo)) if repo else Begun(since)


def _tables(repo: Repo) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in snapshot.left_outputs(repo):
        if path.endswith((".csv", ".tsv", *_LINES)):
            with suppress(OSError), open(repo.root / path, "rb") as table:
                size = table.seek(0, os.SEEK_END)
                table.seek(max(0, size - 100))
                found[path] = size, table.read()
    return found


def is_shared(folder: Path) -> bool:
    """Whether other commands ran in the work tree meanwhile: nobody knows whose a file is."""
    return (folder / _SHARED).exists()


def dvc_experiments(repo: Repo) -> frozenset[str]:
    """Return the commits of DVC's experiments."""
    if not (dvc_pointers.in_use(repo.root) or (repo.common_dir / _EXPERIMENTS).exists()):
        return frozenset()
    refs = repo.refs(_EXPERIMENTS)
    return frozenset(id for name, id in refs.items() if len(name.split("/")[2]) == 2)


def below(top: Path, since: int, until: int | None = None, all: bool = True) -> Written:
    """Return what was written below a folder in a time, but for environments and git's own. Without
    ``all``, only files that may hold results are looked at in large, old folders."""
    found = Written()
    seen, folders = 0, [""]
    while folders and seen < _MOST_FILES:
        folder = folders.pop()
        entries: list[os.DirEntry[str]] = []
        with suppress(OSError):
            entries += os.scandir(top / folder)
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        seen += len(entries)
        some = not all and len(entries) > _MANY and files.modified(top / folder) < since
        for entry in entries:  # of which there may be many, nearly all from before
            path = f"{folder}{entry.name}"
            if some and not path.endswith(_ENDINGS) and entry.is_file(follow_symlinks=False):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _PASSED and not os.path.lexists(top / path / ".git"):
                        folders.append(f"{path}/")
                    continue
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            late = until and max(status.st_mtime_ns, status.st_ctime_ns) > until
            if status.st_ctime_ns < since or late or snapshot.is_never(entry.name):
                continue
            if stat.S_ISREG(status.st_mode):
                found.files[path] = files.looks(status)
            else:
                found.odd.append(path)
    found.files = dict(sorted(found.files.items()))
    return found
