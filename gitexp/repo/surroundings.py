"""Which features of git a repository uses (filters, Git LFS, a shallow clone, ...), and how gitexp
treats each: a page that can go with a bug report."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator

from gitexp.formats.settings import Settings
from gitexp.repo import Repo, dvc_pointers
from gitexp.repo.files import read_bytes

_SETTINGS = {  # of git: what is in use, and how it is treated
    "core.sparsecheckout": (
        "sparse checkout",
        "what lies outside of it is recorded as HEAD has it",
    ),
    "index.sparse": ("sparse index", "git reads and writes it"),
    "core.fsmonitor": ("fsmonitor", "off in gitexp's own calls"),
    "tag.gpgsign": ("git signs all tags", "gitexp signs with its own setting: sign = true"),
    "core.hookspath": ("hooks", "none runs but pre-push"),
    "extensions.worktreeconfig": ("configuration of each work tree", "git reads it"),
}


def explain(repo: Repo, known: Settings, version: str) -> Iterator[tuple[str, str]]:
    """Yield what is in use here, and what gitexp does about it; versions come first."""
    git = repo.line("version").removeprefix("git version ")
    python = platform.python_version()
    yield "gitexp", f"{version}, Python {python}, git {git}, {platform.platform()}"
    said = repo.scoped_config("")
    config = {key: value for scope, key, value in said if scope != "command"}  # which is ours
    storage = config.get("extensions.refstorage", "files")
    yield "repository", f"{repo.object_format}, refs in {storage}"
    attributes = (read_bytes(repo.root / ".gitattributes") or b"").decode("utf-8", "replace")
    named = re.findall(r"^[^#\s].*\sfilter=(\S+)", attributes, re.MULTILINE)
    set_up = {key[7:].rpartition(".")[0] for key in config if key.startswith("filter.")}
    for name in sorted({*named, *set_up}):
        why = "its program is not found" if name in set_up else "it is not set up here"
        found = "" if repo.filter_program(name) else f", but {why}"
        how = "does not count" if found else "runs on what enters a snapshot"
        yield f"filter {name}{found}", how
    for name, called in (("annex", "git-annex"), ("lfs", "Git LFS")):
        if repo.filter_program(name):
            how = "content that is on this machine is brought into every work tree"
            yield called, how
    if (repo.root / ".gitmodules").exists():
        yield "submodules", "recorded by their commits; work trees of gitexp's have them"
    if dvc_pointers.in_use(repo.root):
        yield "DVC", "its pointers are recorded, and checkouts bring the data"
    if any(key.startswith("remote.") and key.endswith(".promisor") for key in config):
        yield (
            "partial clone",
            "reading fetches nothing; gitexp pull brings results, --all-files the rest",
        )
    if repo.is_shallow:
        yield "shallow clone", "for what is missing: git fetch --unshallow --tags"
    hooks = (repo.common_dir / "hooks").glob("*")
    if any(hook.suffix != ".sample" and os.access(hook, os.X_OK) for hook in hooks):
        config.setdefault("core.hookspath", "hooks")
    for name, (what, how) in _SETTINGS.items():
        if config.get(name, "false") != "false":
            yield what, how
    if known.sign:
        yield (
            "signing",
            f"sign = true: git signs experiments ({config.get('gpg.format', 'openpgp')})",
        )
    scheduler = next((name for name in ("sbatch", "qsub", "bsub") if shutil.which(name)), None)
    if scheduler or "SLURM_JOB_ID" in os.environ:
        yield (
            f"a scheduler ({scheduler or 'inside a job'})",
            "gitexp sweep --engine slurm asks squeue and scontrol",
        )
