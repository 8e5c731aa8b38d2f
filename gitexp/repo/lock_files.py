"""git's own lock files: those in the way, and those that a killed git left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gitexp.formats.errors import GitError
from gitexp.repo.repository import Repo

_WAIT = 1.0  # seconds that a lock of a git at work may take
_YOUNG, _OLD = 60, 3600  # seconds: below nobody's business, above nobody's lock


class LockFile(NamedTuple):
    """A lock file of git that is not of this moment.

    Attributes:
        age: in seconds.
        owner: the user who made it.
        is_stale: whether it is older than an hour and than every git that runs here.
    """

    path: Path
    age: float
    owner: str
    is_stale: bool


def leftovers(repo: Repo) -> list[LockFile]:
    """Return git's lock files that are older than a minute."""
    found: list[LockFile] = []
    for path in _all(repo):
        with suppress(OSError):
            status = path.lstat()
            age = time.time() - status.st_mtime
            if age > _YOUNG:
                stale = age > _OLD and not any(at < status.st_mtime for at in _gits())
                found.append(LockFile(path, age, _name(status.st_uid), stale))
    return found


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


def met(error: GitError, name: str) -> bool:
    """Whether git failed since the lock file of ``name`` (a ref, say) was there already."""
    return f"{name}.lock': File exists" in error.stderr


def _all(repo: Repo) -> Iterator[Path]:
    for folder in dict.fromkeys((repo.git_dir, repo.common_dir)):
        yield from sorted(folder.glob("*.lock"))
        yield from sorted((folder / "refs").rglob("*.lock"))


def _gits() -> Iterator[float]:
    """Yield when each git process of this machine began, as far as the system tells."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "comm").read_text().startswith("git"):
                yield folder.stat().st_mtime


def _name(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)
