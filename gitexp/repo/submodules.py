"""Submodules in a work tree: which are elsewhere than its index says, and git's own way to take
them along."""

from __future__ import annotations

import shlex
from pathlib import Path

from gitexp.repo.repository import Repo


def listed(repo: Repo, tree: Path) -> dict[str, str]:
    """Return ``{path: commit}``, as a work tree's index has them."""
    if not (tree / ".gitmodules").exists():
        return {}
    entries = repo.entries("ls-files", "--stage", "-z", cwd=tree)
    links = (entry.partition("\t") for entry in entries if entry.startswith("160000 "))
    return {path: about.split()[1] for about, _, path in links}


def not_at_index(repo: Repo, tree: Path) -> list[str]:
    """Return those that are at another commit than the index has for them, or not there at all."""
    known = listed(repo, tree)
    moved = {path for path, state in _states(repo, tree) if state[1] == "C"} if known else set()
    return [path for path in known if path in moved or not is_there(tree, path)]


def edited(repo: Repo) -> list[str]:
    """Return those that hold edits which are not committed inside them."""
    if not (repo.root / ".gitmodules").exists():
        return []
    return [path for path, state in _states(repo, repo.root) if state[2] == "M"]


def ways_back(repo: Repo) -> dict[str, str]:
    """Return ``{path: command}`` that bring each to the branch or commit that it is at."""
    return {
        path: f"git -C {shlex.quote(path)} checkout --recurse-submodules {_place(repo, path)}"
        for path in listed(repo, repo.root)
        if is_there(repo.root, path)
    }


def follow(repo: Repo, tree: Path) -> None:
    """Bring all to the commits that the index has, those inside of them, too; what they lack is
    fetched.

    Raises:
        GitError: git cannot, as where a file would be lost, or nobody has the commit.
    """
    how = ("--init", "--recursive", "--checkout")  # and no program of .git/config
    repo.git("submodule", "--quiet", "update", *how, cwd=tree)


def _states(repo: Repo, tree: Path) -> list[tuple[str, str]]:
    """Return ``(path, state)`` of the changed ones; the state is git's ``S<C or .><M or .>...``."""
    how = ("--porcelain=v2", "-z", "--untracked-files=no", "--ignore-submodules=none")
    lines = repo.entries("status", *how, "--no-renames", cwd=tree)
    fields = [line.split(" ", 8) for line in lines if line.startswith("1 ")]
    return [(path, state) for _, _, state, *_, path in fields if state[0] == "S"]


def is_there(tree: Path, path: str) -> bool:
    """Whether a submodule is checked out in a work tree."""
    return (tree / path / ".git").exists()


def _place(repo: Repo, path: str) -> str:
    inside = repo.root / path
    branch = repo.line("symbolic-ref", "-q", "--short", "HEAD", ok=(0, 1), cwd=inside)
    return shlex.quote(branch or repo.line("rev-parse", "--short", "HEAD", cwd=inside))
