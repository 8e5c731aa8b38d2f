"""Which features of git a repository uses (filters, Git LFS, a shallow clone, ...), and how gitexp
treats each: a page that can go with a bug report."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from gitexp.repo import Repo

_SETTINGS = {  # of git: what is in use, and how it is treated
    "core.sparsecheckout": (
        "sparse checkout",
        "what lies outside of it is recorded as HEAD has it",
    ),
    "core.fsmonitor": ("fsmonitor", "off in gitexp's own calls"),
    "tag.gpgsign": ("signed tags", "gitexp signs with its own setting: sign = true"),
    "core.hookspath": ("hooks", "none runs but pre-push"),
    "extensions.worktreeconfig": ("configuration of each work tree", "git reads it"),
}


def explain(repo: Repo) -> Iterator[tuple[str, str]]:
    """Yield what is in use here, and what gitexp does about it."""
    config = repo.told
    filters = [key for key in config if key.startswith("filter.")]
    for name in sorted({key.split(".", 1)[1].rpartition(".")[0] for key in filters}):
        found = "" if repo.filter_program(name) else ", but its program is not found"
        how = "does not count" if found else "runs on what enters a snapshot"
        yield f"filter {name}{found}", how
    if repo.filter_program("annex") or repo.filter_program("lfs"):
        yield (
            "files kept elsewhere",
            "their content is brought into every work tree, as far as it is on this machine",
        )
    if any(key.startswith("remote.") and key.endswith(".promisor") for key in config):
        yield (
            "partial clone",
            "reading fetches nothing; gitexp pull brings results, --all-files the rest",
        )
    if repo.is_shallow:
        yield "shallow clone", "for what is missing: git fetch --unshallow --tags"
    for name, (what, how) in _SETTINGS.items():
        if config.get(name, "false") != "false":
            yield what, how
    scheduler = next((name for name in ("sbatch", "qsub", "bsub") if shutil.which(name)), None)
    if scheduler or "SLURM_JOB_ID" in os.environ:
        yield (
            f"a scheduler ({scheduler or 'inside a job'})",
            "gitexp sweep --engine slurm asks squeue and scontrol",
        )
