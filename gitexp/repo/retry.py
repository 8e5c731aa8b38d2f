"""Another try at a snapshot, where the work tree or git's objects change under git's hands."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gitexp.formats.errors import GitError
from gitexp.repo import Repo, collector, filters
from gitexp.repo.snapshot import add_by_git, edit, is_behind_link

_BEHIND = "beyond a symbolic link"  # git's words
_PASSING = (
    "No such file",
    "Unable to process",
    "short read",
    "lstat",
    "unable to index",
    "invalid object",
    _BEHIND,
)


def mended(
    repo: Repo, env: dict[str, str], error: GitError, add: list[str], is_last: bool
) -> set[str]:
    """Undo what stopped git, for another try; return the paths whose content git has lost. Raises
    the error where it does not pass, or the try was the last."""
    # a negative code: killed by SIGBUS, where a file that it had mapped was cut
    passes = error.returncode < 0 or any(word in error.stderr for word in _PASSING)
    if is_last or not passes:
        raise error
    Path(f"{env['GIT_INDEX_FILE']}.lock").unlink(missing_ok=True)  # a killed git's
    lost = {*collector.mend(repo, env)} if "invalid object" in error.stderr else set()
    if _BEHIND in error.stderr:  # a link took the place of their folder
        gone = [path for path in add if is_behind_link(repo.root, path)]
        edit(repo, env, "--force-remove", paths=gone)
    return lost


def add_as_read(repo: Repo, env: dict[str, str], paths: list[str]) -> None:
    """Add files to an index as one reading finds them: some of them change again and again, and git
    gives up on a file that changes under its hands."""
    files = [path for path in paths if (repo.root / path).is_file()]
    by = filters.changed(repo, files)
    entries, others = b"", []
    for path in paths:
        try:
            status = os.lstat(repo.root / path)
            if not stat.S_ISREG(status.st_mode) or is_behind_link(repo.root, path):
                raise OSError
            data = (repo.root / path).read_bytes()
        except OSError:
            others.append(path)
            continue
        mode = b"100755" if status.st_mode & stat.S_IXUSR else b"100644"
        oid = filters.blob(repo, path, data, by.get(path)).encode()
        entries += b"%s %s\t%s\0" % (mode, oid, os.fsencode(path))
    add_by_git(repo, env, others)
    repo.git("update-index", "-z", "--add", "--replace", "--index-info", stdin=entries, env=env)
