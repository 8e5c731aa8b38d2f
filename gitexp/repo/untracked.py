"""Which untracked files may enter a snapshot: none that is too large, one of too many, or may be a
secret."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from gitexp.formats.message import readable, some
from gitexp.formats.settings import Settings
from gitexp.repo import Repo, dvc_pointers, secrets
from gitexp.repo.dvc_pointers import Data
from gitexp.repo.process import joined

BY_DVC = "kept by DVC"
OVER = "over the limit of"
_NO_LFS = "which is not set up here: git lfs install, with git-lfs on the PATH"
Refused = list[tuple[str, str]]  # paths, and why


def left_out_lines(left_out: Iterable[tuple[str, str]], kept: Collection[str]) -> list[str]:
    """Return what to say of files that did not enter with the code, a line for each reason. Those
    that were ``kept`` as artifacts, since they were named, may still be secrets."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for path, why in left_out:
        how = "kept, since it was named" if path in kept else "left out"
        if path not in kept or OVER not in why:
            by_reason.setdefault((how, why), []).append(path)
    return [f"{how}: {some(paths, 8)} ({why})" for (how, why), paths in by_reason.items()]


def permitted(repo: Repo, settings: Settings, paths: list[str]) -> tuple[list[str], Refused]:
    """Sort untracked paths into those that may enter and ``(path, why)`` for those that may not;
    HTML reports that gitexp wrote are in neither list."""
    by_dvc = dvc_pointers.in_work_tree(repo) if paths else {}
    taken: list[str] = []
    left_out: Refused = []
    sizes: dict[str, int] = {}
    large: dict[str, int] = {}
    for path in paths:
        try:
            status = os.lstat(repo.root / path)
        except OSError:  # gone meanwhile
            continue
        if reason := _why_not(repo, settings, by_dvc, path, status):
            left_out.append((path, reason))
        elif _matches(path, settings.include):
            taken.append(path)
        elif not _is_report(repo, path):
            (large if status.st_size > settings.max_file_size else sizes)[path] = status.st_size
    # a large file may enter where LFS turns it into a pointer
    for_lfs = {path for path, name in filters(repo, list(large)).items() if name == "lfs"}
    by_lfs = for_lfs if for_lfs and repo.filter_program("lfs") else set[str]()
    hint = f"; .gitattributes gives it to Git LFS, {_NO_LFS}"
    for path in large.keys() - by_lfs:
        why = f"{readable(large[path])}, {OVER} {readable(settings.max_file_size)}"
        left_out.append((path, why + (hint if path in for_lfs else "")))
    scanned, refused = _small_enough(repo, settings, sizes, by_lfs)
    return [*taken, *scanned], sorted(left_out + refused)


def _small_enough(
    repo: Repo, settings: Settings, sizes: Mapping[str, int], by_lfs: set[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return which files of these sizes enter, and ``(path, why)`` of the others: none of too many,
    and none that looks like a secret."""
    total = sum(sizes.values())
    if len(sizes) > settings.max_untracked_files or total > settings.max_untracked_size:
        why = (
            f"one of {len(sizes):,} untracked files with {readable(total)} in all; is a folder of"
            " outputs not ignored?"
        )
        return [*by_lfs], [(path, why) for path in sizes]
    wanted = [*sizes, *by_lfs]
    if not settings.scan_secrets or not wanted:
        return wanted, []
    found = risky(repo, wanted)
    refused = [(path, f"may be a secret: {why}") for path, why in found.items()]
    return [path for path in wanted if path not in found], refused


def risky(repo: Repo, paths: Sequence[str]) -> dict[str, str]:
    """Return ``{path: why}`` for those untracked files that may be secrets."""
    return secrets.find(repo.root, paths, repo.make_state_dir() / "scanned.json")


def _why_not(
    repo: Repo, settings: Settings, by_dvc: Mapping[str, Data], path: str, status: os.stat_result
) -> str | None:
    """Return what keeps an untracked file out whatever its size, None where nothing does."""
    held = dvc_pointers.holder(by_dvc, path) if by_dvc else None
    if held:
        return f"{BY_DVC}, see {held.pointer}"
    if _of_mlflow(path) and not _matches(path, settings.include):
        return "MLflow's own store; set MLFLOW_TRACKING_URI=gitexp:. to keep its runs here"
    if path.endswith("/"):
        return "a git repository of its own"
    if _matches(path, settings.exclude):
        return "excluded by the settings"
    if stat.S_ISLNK(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    return None if os.access(repo.root / path, os.R_OK) else "not readable"


def _of_mlflow(path: str) -> bool:
    """Whether MLflow wrote a path by its own defaults: other runs' results, which change while a
    run goes on."""
    folder, _, name = path.rpartition("/")
    is_database = re.fullmatch("mlflow[.]db(-journal|-wal|-shm)?", name) is not None
    return is_database or "mlruns" in folder.split("/")


def _is_report(repo: Repo, path: str) -> bool:
    if path.endswith(".html"):
        with suppress(OSError), open(repo.root / path, "rb") as file:
            return b'<meta name="generator" content="gitexp ' in file.read(2048)
    return False


def filters(repo: Repo, paths: list[str]) -> dict[str, str]:
    """Return ``{path: its filter by .gitattributes}``."""
    how = ("check-attr", "-z", "--stdin", "filter")
    fields = repo.entries(*how, stdin=joined(paths)) if paths else []
    return dict(zip(fields[0::3], fields[2::3]))


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(
        fnmatch.fnmatchcase(path, pattern) or path.startswith(pattern.rstrip("/") + "/")
        for pattern in patterns
    )
