"""Files that git holds a pointer for: git-annex and Git LFS bring their content into a work tree,
as far as it is here.

git-annex fills unlocked files in a post-checkout hook, and no hook of the repository's runs in our
calls; LFS's filter may be set up to leave pointers. A training must not read those for its data.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path

from gitexp.formats import message
from gitexp.repo.repository import Repo

_ANNEX = re.compile(rb"/annex/objects/[^/\n]+\n?$")
_LFS = b"version https://git-lfs.github.com/spec/"
_LARGEST = 1024  # bytes of a pointer; LFS's own limit
_SHOWN = 3


def fill(repo: Repo, tree: Path) -> list[tuple[str, str]]:
    """Bring what is on this machine into a work tree of the repository's, which was just checked
    out, and return ``missing``.

    Raises:
        GitError: a filter's program fails.
    """
    if repo.filter_program("annex"):
        repo.git("annex", "smudge", "--update", cwd=tree)
    lacking = missing(repo, tree)
    if not repo.filter_program("lfs") or not any(name == "lfs" for _, name in lacking):
        return lacking
    repo.git("lfs", "checkout", cwd=tree)
    return missing(repo, tree)


def missing(repo: Repo, tree: Path) -> list[tuple[str, str]]:
    """Return ``(path, filter)`` of the files in a work tree that are still pointers; empty where no
    such filter is set up."""
    return _pointers(repo, tree) if any(map(repo.filter_program, ("annex", "lfs"))) else []


def told(lacking: list[tuple[str, str]]) -> str | None:
    """Return a sentence for people that names files without content, and what brings it; None where
    there are none."""
    if not lacking:
        return None
    names = message.some([repr(path) for path, _ in lacking], _SHOWN)
    verb = "has" if len(lacking) == 1 else "have"
    how = {"annex": "git annex get", "lfs": "git lfs pull"}
    hints = " && ".join(dict.fromkeys(how[name] for _, name in lacking))
    return f"{names} {verb} no content here, only a pointer; to bring it: {hints}"


def _pointers(repo: Repo, tree: Path) -> list[tuple[str, str]]:
    """Look at the files that LFS has by their attributes, and where git-annex is set up, whose
    files may be links, at all that are tracked."""
    attributed = () if repo.filter_program("annex") else (":(top,attr:filter=lfs)",)
    paths = sorted(repo.entries("ls-files", "-z", "--", *attributed, cwd=tree))
    return [(path, name) for path in paths if (name := _filter_of(os.path.join(tree, path)))]


def _filter_of(path: str) -> str | None:
    """Return whose pointer lies at a path; a locked file of git-annex is a link that leads
    nowhere."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            locked = "/annex/objects/" in os.readlink(path) and not os.path.exists(path)
            return "annex" if locked else None
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            return None
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    return "lfs" if data.startswith(_LFS) else "annex" if _ANNEX.match(data) else None


def removal(path: Path, force: bool = True) -> str:
    """Return the command that removes a work tree; git does not where git-annex made a link of its
    file ``.git``."""
    quoted = shlex.quote(str(path))
    if (path / ".git").is_symlink():
        return f"rm -rf {quoted} && git worktree prune"
    return f"git worktree remove {'--force ' if force else ''}{quoted}"
