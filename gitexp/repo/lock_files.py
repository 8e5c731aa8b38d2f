"""git's own lock files: those in the way, and those that a killed git left behind."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gitexp.formats.errors import GitError
from gitexp.repo.process import Git

_WAIT = 1.0  # seconds that a lock of a git at work may take
_YOUNG, _OLD = 60, 3600  # seconds: below nobody's business, above nobody's lock
_OWN = 5  # seconds after which a lock of a ref of gitexp's own is left over, if no git is older


class LockFile(NamedTuple):
    """A lock file of git that is not of this moment."""

    path: Path
    age: float  # in seconds
    owner: str  # the user who made it
    is_stale: bool  # whether it is older than an hour and than every git that runs here


def leftovers(repo: Git) -> list[LockFile]:
    """Return git's lock files that are older than a minute."""
    found: list[LockFile] = []
    for path in _all(repo):
        with suppress(OSError):
            status = path.lstat()
            age = time.time() - status.st_mtime
            if age > _YOUNG:
                stale = age > _OLD and not any(at < status.st_mtime for at in git_starts() or ())
                found.append(LockFile(path, age, _name(status.st_uid), stale))
    return found


def are_gone(repo: Git, said: str) -> bool:
    """Whether the locks of gitexp's own refs that were in git's way, by what git said, are gone, so
    that another try is worth it.

    Their owner has a moment to take them away. One that is older than every git of this machine
    was left by a killed git, and is removed: below ``refs/gitexp`` lies only what was seen on a
    remote or is pinned, and each change of it checks what was there before.
    """
    own = repo.common_dir / "refs" / "gitexp"
    named = re.findall(r"Unable to create '([^']+\.lock)': File exists", said)
    locks = [path for path in map(repo.root.joinpath, named) if own in path.parents]
    end = time.monotonic() + _OWN + _WAIT
    while left := [path for path in locks if os.path.lexists(path)]:
        if time.monotonic() > end:
            return False
        for path in filter(_is_left, left):
            path.unlink(missing_ok=True)
        time.sleep(0.02)
    return bool(locks)


def _is_left(path: Path) -> bool:
    """Whether a killed git left a lock; False where the system does not tell who is at work."""
    try:
        at = path.lstat().st_mtime
    except OSError:
        return False
    at_work = git_starts() if time.time() - at > _OWN else None
    return at_work is not None and not any(began < at for began in at_work)


def wait(path: Path) -> None:
    """Wait a moment for a git at work to take its lock away; raise GitError that names a lock that
    stays."""
    end = time.monotonic() + _WAIT
    while os.path.lexists(path):
        if time.monotonic() > end:
            raise GitError(
                f"another git process holds {path}; try again when it is done, and if none is at"
                " work: gitexp doctor --fix"
            )
        time.sleep(0.02)


def met(error: GitError) -> bool:
    """Whether git failed since a lock file was there already."""
    return ".lock': File exists" in error.stderr


def _all(repo: Git) -> Iterator[Path]:
    for folder in dict.fromkeys((repo.git_dir, repo.common_dir)):
        yield from sorted(folder.glob("*.lock"))
        refs = (Path(top, name) for top, _, names in os.walk(folder / "refs") for name in names)
        yield from sorted(path for path in refs if path.suffix == ".lock")


def git_starts() -> list[float] | None:
    """Return when each git process of this machine began; None where the system does not tell."""
    found = []
    try:
        booted = time.time() - float(Path("/proc/uptime").read_text().split()[0])
        tick = os.sysconf("SC_CLK_TCK")
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):
                name, _, rest = file.read_bytes().partition(b"(")[2].rpartition(b")")
                if name == b"git" or name.startswith(b"git-"):
                    found.append(booted + int(rest.split()[19]) / tick - 1)  # clocks differ a bit
    except (OSError, ValueError, IndexError):
        return None
    return found


def _name(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)
