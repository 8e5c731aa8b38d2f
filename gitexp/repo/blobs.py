"""File contents of many commits, read in batches whose size is known beforehand, so that memory
stays bounded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from gitexp.formats.errors import GitError
from gitexp.repo import Repo

_AT_ONCE = 32 * 10**6
LARGEST = 200 * 10**6  # a larger file is not read at all


def sizes(repo: Repo, names: Iterable[str]) -> list[tuple[str, int] | None]:
    """Return hash and size for each name (a hash, ``COMMIT:path``), in order; None for what is not
    there."""
    request = b"".join(os.fsencode(name.replace("\n", "?")) + b"\n" for name in names)
    asked = ("cat-file", "--batch-check=%(objectname) %(objectsize) %(objecttype)")
    try:
        lines = repo.git(*asked, stdin=request).decode("utf-8", "replace")
    except GitError:  # a partial clone, in which git gives up at the first that is not there
        with repo.offline() as alone:
            lines = alone.git(*asked, stdin=request).decode("utf-8", "replace")
    found = (line.rsplit(" ", 2) for line in lines.split("\n")[:-1])
    return [(parts[0], int(parts[1])) if parts[-1] == "blob" else None for parts in found]


def contents(
    repo: Repo, names: Iterable[str], largest: int = LARGEST
) -> Iterator[tuple[str, bytes | None]]:
    """Yield hash and content for each name, in order; no content for what is not there or is larger
    than ``largest``."""
    batch: list[tuple[str, int] | None] = []
    total = 0
    for item in sizes(repo, names):
        batch.append(item if item is None or item[1] <= largest else (item[0], -1))
        total += max(0, item[1] if item else 0)
        if total > _AT_ONCE:
            yield from _read(repo, batch)
            batch, total = [], 0
    yield from _read(repo, batch)


def _read(repo: Repo, batch: list[tuple[str, int] | None]) -> Iterator[tuple[str, bytes | None]]:
    wanted = repo.objects([item[0] for item in batch if item and item[1] >= 0])
    for item in batch:
        found = next(wanted) if item and item[1] >= 0 else None
        yield (item[0] if item else "", found.data if found else None)
