"""One driver for many trials at once, by a SLURM of one node that this starts and ends: what the
driver's memory does, and how often it asks SLURM.

    python benchmarks/wide.py --trials 2000 --jobs 200     # as root, with slurm-wlm and munge installed

Each trial runs `true`, so the driver has as little peace as it can get. SLURM's programs are called
through a folder in front of the PATH that counts the calls.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "sweeps"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from measuring import GITEXP
from slurm_cluster import PATH, cluster

_COUNTED = ("squeue", "scontrol", "sacct", "sbatch", "scancel")


def counting(folder: Path) -> str:
    """Return a PATH on which SLURM's programs are counted, a line of a file for each call."""
    for name in _COUNTED:
        (folder / name).write_text(
            f'#!/bin/sh\necho {name} >> {folder}/calls\nPATH="{PATH}" exec {name} "$@"\n'
        )
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{PATH}"


def memory(pid: int) -> float:
    """Return the memory that a process has, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    return 0.0


def measure(trials: int, jobs: int, top: Path) -> None:
    """Run the sweep and print a row of docs/scale.md."""
    repo = top / "repo"
    repo.mkdir()
    for words in (
        ["init", "-q"],
        [
            "-c",
            "user.name=Ada",
            "-c",
            "user.email=a@b.c",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "start",
        ],
        ["config", "user.name", "Ada"],
        ["config", "user.email", "a@b.c"],
    ):
        subprocess.run(["git", *words], cwd=repo, check=True)
    counted = top / "counted"
    counted.mkdir()
    begun = time.monotonic()
    seen: list[float] = []
    driver = subprocess.Popen(
        [
            *GITEXP,
            "sweep",
            "--engine",
            "slurm",
            "-j",
            str(jobs),
            "-p",
            f"x=range({trials})",
            "--",
            "true",
        ],
        cwd=repo,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "PATH": counting(counted),
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "SBATCH_OVERCOMMIT": "1",
        },
    )
    over = threading.Event()
    threading.Thread(target=lambda: (driver.wait(), over.set()), daemon=True).start()
    while not over.wait(1):
        seen.append(memory(driver.pid))
    minutes = (time.monotonic() - begun) / 60
    calls = (counted / "calls").read_text().split()
    tags = subprocess.run(["git", "tag"], cwd=repo, capture_output=True, text=True, check=True)
    quarter = seen[len(seen) // 4 : len(seen) // 2]
    print(
        f"| {len(tags.stdout.split()):,} | {jobs} | {minutes:.1f} min | {max(quarter):.0f} MB |"
        f" {max(seen[-len(seen) // 4 :]):.0f} MB | {calls.count('squeue') / minutes:.0f} |"
        f" {calls.count('scontrol') + calls.count('sacct')} | {calls.count('sbatch'):,} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=200)
    args = parser.parse_args()
    print(
        "| trials | --jobs | took | memory, 2nd quarter | memory, last | squeue a minute | scontrol |"
        " sbatch |\n|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    with tempfile.TemporaryDirectory() as folder, cluster(cpus=args.jobs) as settings:
        os.environ.update(settings)
        measure(args.trials, args.jobs, Path(folder))


if __name__ == "__main__":
    main()
