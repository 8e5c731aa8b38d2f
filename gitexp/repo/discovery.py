"""Finds the usual repository without starting git: a folder ``.git`` of one's own, with nothing odd
in its configuration.

A warm ``list`` or a completion at TAB asks nothing else of git; the process, and the modules that
start one, would be a fifth of its time. Whatever is not as ``git init`` and ``git clone`` leave it
is git's to judge: linked work trees, submodules, bare repositories, extensions, folders of somebody
else's, variables that tell git where to look.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from gitexp.repo.refs import Head

_TOLD = {"GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM"}
_USUAL = (b"repositoryformatversion = 0\n", b"bare = false\n")
_ODD = (b"repositoryformatversion", b"bare", b"worktree", b"extensions", b"[include")
_DIGITS = {*"0123456789abcdef"}


class Found(NamedTuple):
    """The top of a work tree, and where HEAD points, None where its branch is no file."""

    root: Path
    head: Head | None


def find_repository(folder: str | os.PathLike[str]) -> Found | None:
    """Return the repository that a folder lies in, None where git has to say."""
    if os.name != "posix" or _TOLD & os.environ.keys():
        return None
    try:
        top = _top(os.path.realpath(folder))
        return _read(top) if top and _is_usual(top) else None
    except (OSError, ValueError):
        return None


def _top(folder: str) -> str | None:
    """Return the first folder upwards that has a folder ``.git``, as long as the file system is the
    same."""
    device = os.stat(folder).st_dev
    while os.stat(folder).st_dev == device:
        try:
            return folder if stat.S_ISDIR(os.lstat(f"{folder}/.git").st_mode) else None
        except FileNotFoundError:
            above = os.path.dirname(folder)
            # the latter: a bare repository, or inside of .git
            if above == folder or os.path.lexists(f"{folder}/HEAD"):
                return None
            folder = above
    return None


def _is_usual(top: str) -> bool:
    git = f"{top}/.git"
    if {os.stat(top).st_uid, os.stat(git).st_uid} != {os.geteuid()} or os.path.lexists(
        f"{git}/commondir"
    ):
        return False
    with open(f"{git}/config", "rb") as file:
        config = file.read().lower()
    for line in _USUAL:
        config = config.replace(line, b"")
    return (
        not any(word in config for word in _ODD)
        and os.path.isdir(f"{git}/objects")
        and os.path.isdir(f"{git}/refs")
    )


def _read(top: str) -> Found | None:
    said = _line(f"{top}/.git/HEAD")
    branch = said.removeprefix("ref: ")
    if branch == said:
        return Found(Path(top), Head(said, None)) if _is_hash(said) else None
    if not branch.startswith("refs/heads/") or ".." in branch:
        return None
    try:
        tip = _line(f"{top}/.git/{branch}")
    except OSError:  # packed, or there is no commit yet
        tip = ""
    return Found(Path(top), Head(tip, branch) if _is_hash(tip) else None)


def _line(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)  # a link was a symbolic ref once
    with open(fd, encoding="utf-8") as file:
        return file.read().removesuffix("\n")


def _is_hash(text: str) -> bool:
    return len(text) == 40 and _DIGITS.issuperset(text)
