"""What SLURM says of jobs, by ``squeue`` and ``scontrol``: they work without accounting, which
``sacct`` needs."""

from __future__ import annotations

import os
import re
import subprocess

_PATIENCE = 60  # seconds for an answer of a busy controller
_FATES = {
    "CANCELLED": "its SLURM job was cancelled",
    "TIMEOUT": "it ran into SLURM's time limit",
    "DEADLINE": "it ran into SLURM's deadline",
    "NODE_FAIL": "its SLURM node failed",
    "BOOT_FAIL": "its SLURM node did not boot",
    "OUT_OF_MEMORY": "it ran out of the memory that its SLURM job has",
    "PREEMPTED": "its SLURM job was preempted",
}


def queued() -> set[str] | None:
    """Return the numbers of this user's jobs that wait, run or were requeued; None where SLURM does
    not answer."""
    said = _ask("squeue", "--noheader", f"--user={os.getuid()}", "--format=%i")
    return None if said is None else {*said.split()}


def fate(job: str) -> str:
    """Return in words how a job ended that is not in the queue any more; SLURM forgets it after
    some minutes."""
    shown = _ask("scontrol", "--oneliner", "show", "job", job) or ""
    found = re.search(r"\bJobState=(\w+)", shown) or re.match(
        r"\s*(\w+)", _ask("sacct", "-nXP", "-o", "State", "-j", job) or ""
    )
    return _FATES.get(found[1] if found else "", "its SLURM job ended without a result")


def _ask(*command: str) -> str | None:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
