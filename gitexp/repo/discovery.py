"""Where a repository is, seen without a process, for the plain case: ``.git`` is a folder of this user's with a plain configuration.

Whatever git itself would have to judge (a linked work tree, a bare repository, another owner's, an extension of the format, a
branch without a commit) is left to it.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import NamedTuple

_HASH = re.compile(r"[0-9a-f]{40}")
_ODD = re.compile(rb"(?im)\[\s*(?:extensions|include)|\bworktree\b|\bbare\b(?!\s*=\s*false\s*$)|repositoryformatversion\s*=\s*[^0\s]")
_ASKED_FOR = ("GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")  # variables that say where to look


class Found(NamedTuple):
    """The top of a work tree, and where HEAD points: a commit, and a branch's full ref name (None when detached)."""

    root: str
    commit: str
    branch: str | None


def find(folder: str) -> Found | None:
    """Return the plain repository that a folder lies in; None where there is none, or git has to be asked."""
    if not hasattr(os, "geteuid") or any(name in os.environ for name in _ASKED_FOR):
        return None
    with suppress(OSError, UnicodeDecodeError):
        at = os.path.realpath(folder)
        device = os.stat(at).st_dev
        while not os.path.lexists(f"{at}/.git"):
            above = os.path.dirname(at)
            if above == at or os.stat(above).st_dev != device or os.path.lexists(f"{at}/HEAD"):  # HEAD: this may be a .git itself
                return None
            at = above
        if not os.path.lexists(f"{at}/HEAD") and _is_plain(at):
            return _head(at)
    return None


def _is_plain(root: str) -> bool:
    git_dir = f"{root}/.git"
    mine = os.geteuid()
    if any(os.lstat(path).st_uid != mine for path in (root, git_dir)) or os.path.islink(git_dir):  # which git would not trust, or may not
        return False
    if not all(os.path.isdir(f"{git_dir}/{name}") for name in ("objects", "refs")) or os.path.lexists(f"{git_dir}/commondir"):
        return False
    with open(f"{git_dir}/config", "rb") as file:
        return not _ODD.search(file.read())


def _head(root: str) -> Found | None:
    text = _read(f"{root}/.git/HEAD")
    if _HASH.fullmatch(text):
        return Found(root, text, None)
    branch = text.removeprefix("ref: ")
    if branch == text or not branch.startswith("refs/heads/") or ".." in branch:
        return None
    try:
        commit = _read(f"{root}/.git/{branch}")
    except FileNotFoundError:  # packed, or without a commit
        return None
    return Found(root, commit, branch) if _HASH.fullmatch(commit) else None


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read().strip()
