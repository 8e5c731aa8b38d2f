"""Acts of a user's beside their floor, in turn, in processor time of the process and its children.

python benchmarks/speed.py [EXPERIMENTS] [ROWS]
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

import gitexp
from gitexp.compare import verify
from gitexp.formats import metrics
from gitexp.formats.experiment import MetricPoint
from gitexp.repo import Repo
from gitexp.runs import log
from gitexp.store.index import Index


def cost(act: Callable[[], object]) -> float:
    """Return the processor seconds of an act, children included."""
    before = os.times()
    act()
    return sum(os.times()[:4]) - sum(before[:4])


def compare(
    what: str, act: Callable[[], object], floor: Callable[[], object], target: float
) -> None:
    """Print the best of three of both, in turn."""
    both = [(cost(act), cost(floor)) for _ in range(3)]
    ours, least = (min(times) for times in zip(*both))
    print(
        f"{what:42} {ours:8.2f} s {least:8.2f} s {ours / least:6.2f} x (target {target} x)",
        flush=True,
    )


def main(experiments: int = 1_000, rows: int = 1_000_000) -> None:
    """Measure in a repository of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        git("init", "-q", "-b", "main")
        git("config", "user.name", "Ada")
        git("config", "user.email", "ada@example.org")
        git("commit", "-q", "--allow-empty", "-m", "start")
        for at in range(experiments):
            gitexp.log(
                {"lr": at / 7}, {"loss": [at / (step + 3) for step in range(100)]}, advance=False
            )
        git("gc", "-q")
        found = Index(Repo.discover()).select()

        def read_all() -> None:
            names = "".join(f"{item.id}:metrics.csv\n" for item in found).encode()
            out = subprocess.run(
                ["git", "cat-file", "--batch"], input=names, capture_output=True, check=True
            ).stdout
            pd.read_csv(io.BytesIO(out), names=[*"abcd"], on_bad_lines="skip", dtype=str)

        compare(f"histories, {experiments:,} x 100", gitexp.histories, read_all, 1.3)
        compare(
            "verify --all",
            lambda: [*verify.verify(Repo.discover(), found)],
            lambda: git("fsck", "--no-progress"),
            4,
        )
        points = (MetricPoint("loss", at / 7, 1_700_000_000_000 + at, at) for at in range(rows))
        file = Path("course.csv")
        file.write_bytes(metrics.dump(points))
        repo = Repo.discover()
        compare(
            f"metrics file, {rows:,} rows",
            lambda: log.check(repo, given={}, metrics_files=[file], limit=10**9),
            lambda: pd.read_csv(file),
            3,
        )
        subprocess.run(
            [sys.executable, "-m", "gitexp", "log", "--metrics-file", str(file)],
            check=True,
            capture_output=True,
        )
        long = gitexp.get("@")
        compare(f"history, {rows:,} rows", long.history, lambda: pd.read_csv(file), 1.5)


def git(*args: str) -> None:
    """Run git."""
    subprocess.run(["git", *args], check=True, capture_output=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
