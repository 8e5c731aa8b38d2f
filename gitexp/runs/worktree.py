"""Temporary work trees: another commit's files in a folder of their own, so that the user's are
never touched.

    .git/gitexp/worktrees/NAME-1f2e3d4c/
        PROJECT/    a linked, detached work tree, called like the user's own folder
        alive       locked by the owner as long as it lives; without it, the folder is a leftover
        kept        the user asked to keep it, so it is none
        run-.../    one for each command that is run in it, see ``process_group.py``
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitexp.formats.errors import GitError
from gitexp.repo import Repo, content
from gitexp.runs import journal, process_group

_FOLDER = "worktrees"
_KEPT = "kept"


@contextmanager
def checkout(repo: Repo, commit: str, name: str, keep: bool = False) -> Iterator[Path]:
    """Yield a new work tree at ``commit``, for what ``name`` says; it is removed at the end, also
    after an error or Ctrl-C, unless ``keep`` leaves it to the user."""
    place = repo.make_state_dir(_FOLDER, f"{name}-{secrets.token_hex(4)}")
    owned = journal.hold(place)
    path = place / repo.root.name
    try:
        content.add(repo, path, commit)
        yield path
    finally:
        owned.close()
        if keep and path.exists():
            (place / _KEPT).touch()
        if not (place / _KEPT).exists():
            remove(repo, place)


def leftovers(repo: Repo) -> list[Path]:
    """Return the folders whose owner was killed; ``remove`` takes one away."""
    places = sorted(path for path in (repo.state_dir / _FOLDER).glob("*") if path.is_dir())
    kept = {path.parent for path in (repo.state_dir / _FOLDER).glob(f"*/{_KEPT}")}
    gone = [place for place in places if place not in kept or not (place / repo.root.name).exists()]
    return [place for place in gone if not journal.is_alive(place)]


def folder_for_run(path: Path) -> Path:
    """Return the folder, not made yet, for one more command in a work tree of ours."""
    return path.parent / f"run-{secrets.token_hex(4)}"


def is_running(place: Path) -> bool:
    """Whether a command still runs in a leftover: it may outlive its owner."""
    return any(process_group.runs(folder) for folder in place.glob("run-*"))


def remove(repo: Repo, place: Path) -> None:
    """Remove a folder of ``worktrees/``: its work tree, git's record of it, what runs there."""
    for folder in place.glob("run-*"):
        process_group.kill(folder)
    content.release(repo, place / repo.root.name)
    # a half-removed one is a stranger to git until its folder is gone; then its record goes
    for _ in range(2):
        with suppress(GitError):  # killed before git knew of it
            repo.git("worktree", "remove", "--force", "--force", str(place / repo.root.name))
            break
        shutil.rmtree(place / repo.root.name, ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
