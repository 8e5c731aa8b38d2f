"""The folders that trials are journaled in: one for each sweep that has not come to its end."""

from __future__ import annotations

from pathlib import Path

from gitexp.repo import Repo
from gitexp.runs import journal

_NAME = "sweeps"  # below .git/gitexp


def make(repo: Repo, group: str) -> Path:
    """Return a sweep's folder, made where it is not there."""
    return repo.make_state_dir(_NAME, group)


def unfinished(repo: Repo) -> dict[str, bool]:
    """Return ``{sweep: whether somebody drives it now}`` of those whose folders are there."""
    top = repo.state_dir / _NAME
    found = sorted(top.iterdir()) if top.is_dir() else []
    return {
        item.name: journal.is_alive(item)
        for item in found
        if item.name != journal.ASIDE and item.is_dir()
    }
