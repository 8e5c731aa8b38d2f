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
    "core.sparsecheckout": ("sparse checkout", "what lies outside is recorded as HEAD has it"),
    "index.sparse": ("sparse index", "git reads and writes it"),
    "core.fsmonitor": ("fsmonitor", "off in gitexp's own calls"),
    "tag.gpgsign": ("git signs all tags", "gitexp signs with its own setting: sign = true"),
    "core.hookspath": ("hooks", "none runs but pre-push"),
    "extensions.worktreeconfig": ("configuration of each work tree", "git reads it"),
}


def explain(repo: Repo, known: Settings, version: str) -> Iterator[tuple[str, str]]:
    """Yield what is in use here, and what gitexp does about it; versions come first."""
    git = repo.line("version").removeprefix("git version ")
    yield (
        "gitexp",
        f"{version}, Python {platform.python_version()}, git {git}, {platform.platform()}",
    )
    said = repo.scoped_config("")
    config = {key: value for scope, key, value in said if scope != "command"}  # which is ours
    refs = config.get("extensions.refstorage", "files")
    yield "repository", f"{repo.object_format}, refs in {refs}"
    attributes = (read_bytes(repo.root / ".gitattributes") or b"").decode("utf-8", "replace")
    named = re.findall(r"^[^#\s].*\sfilter=(\S+)", attributes, re.MULTILINE)
    set_up = {key[7:].rpartition(".")[0] for key in config if key.startswith("filter.")}
    for name in sorted({*named, *set_up}):
        why = "its program is not found" if name in set_up else "it is not set up here"
        found = "" if repo.filter_program(name) else f", but {why}"
        yield (
            f"filter {name}{found}",
            "does not count" if found else "runs on what enters a snapshot",
        )
    partial = any(key.startswith("remote.") and key.endswith(".promisor") for key in config)
    scheduler = next((name for name in ("sbatch", "qsub", "bsub") if shutil.which(name)), None)
    hooks = (repo.common_dir / "hooks").glob("*")
    if any(hook.suffix != ".sample" and os.access(hook, os.X_OK) for hook in hooks):
        config.setdefault("core.hookspath", "hooks")
    brought = "content that is on this machine is brought into every work tree"
    form = config.get("gpg.format", "openpgp")
    for is_used, what, how in (
        (repo.filter_program("annex"), "git-annex", brought),
        (repo.filter_program("lfs"), "Git LFS", brought),
        ((repo.root / ".gitmodules").exists(), "submodules", "recorded by their commits"),
        (dvc_pointers.in_use(repo.root), "DVC", "pointers are recorded, checkouts bring the data"),
        (partial, "partial clone", "reading fetches nothing; gitexp pull (--all-files) does"),
        (repo.is_shallow, "shallow clone", "for what is missing: git fetch --unshallow --tags"),
        *((config.get(key, "false") != "false", *said) for key, said in _SETTINGS.items()),
        (known.sign, "signing", f"sign = true: git signs experiments ({form})"),
        (scheduler or "SLURM_JOB_ID" in os.environ, f"a scheduler ({scheduler or 'inside a job'})",
         "gitexp sweep --engine slurm asks squeue and scontrol"),
    ):  # fmt: skip
        if is_used:
            yield what, how
