"""How benchmarks measure, and how a table of figures gets onto docs/performance.md without touching
what others wrote there.

Every figure is a ratio of two medians that were measured in turn (A B A B ...) in one run. Unless
``waited`` is asked for, it is CPU time of whole processes and of all that they start: on a machine
with other work, a short process is let through at once and a long one waits its turns, so that
waiting times say little about their ratio. Modules are compiled, as pip leaves them.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
GITEXP = [sys.executable, "-m", "gitexp"]
ENV = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPATH": str(ROOT),
    "PYTHONUNBUFFERED": "",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "1",
}


class Row(NamedTuple):
    """One line of the page: the ratio of two medians, and what was asked of it (None: nothing)."""

    what: str
    ratio: float
    goal: float | None
    detail: str
    least: bool = False  # the goal is a lower bound


def spent() -> float:
    """Return the CPU time in milliseconds that this process took, and those that it started and saw
    the end of."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (time.process_time() + children.ru_utime + children.ru_stime) * 1000


def waited() -> float:
    """Return the time in milliseconds, for what waits for disks and other processes."""
    return time.perf_counter() * 1000


def in_turn(
    ways: dict[str, Callable[[], object]],
    rounds: int,
    before: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = spent,
) -> dict[str, float]:
    """Return the median milliseconds of each way, after one round that does not count; with no
    ``rounds``, that one has to do."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            before()
            start = clock()
            way()
            if turn or not rounds:
                times[name].append(clock() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def process(*words: str, cwd: Path) -> Callable[[], object]:
    """Return what runs a whole process."""
    return lambda: subprocess.run(
        words, cwd=cwd, env=ENV, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def command(*args: str, cwd: Path) -> Callable[[], object]:
    """Return what runs gitexp's command line."""
    return process(*GITEXP, *args, cwd=cwd)


_METER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(cwd: Path, *words: str) -> int:
    """Run a process and return its peak memory in bytes, or that of the largest process which it
    started.

    Through a small process: one that is forked from here would count with what is loaded here.
    """
    done = subprocess.run(
        [sys.executable, "-c", _METER, *words],
        cwd=cwd,
        env=ENV,
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)  # Linux counts in kB


def of(times: dict[str, float], one: str, other: str, goal: float | None, what: str) -> Row:
    """Return the row that compares two ways."""
    return Row(
        what, times[one] / times[other], goal, f"{times[one]:.1f} ms against {times[other]:.1f}"
    )


def load() -> str:
    """Return how busy the machine was in the last minute, as a note beside figures; empty where
    nobody knows."""
    try:
        return f"load {os.getloadavg()[0]:.1f}"
    except (OSError, AttributeError):
        return ""


def table(rows: Iterable[Row]) -> str:
    """Return a Markdown table that holds each ratio against its goal."""
    lines = ["| what | ratio | goal | measured |", "|---|--:|--:|---|"]
    for row in rows:
        met = row.goal is None or (row.ratio >= row.goal if row.least else row.ratio <= row.goal)
        goal = (
            ""
            if row.goal is None
            else f"{'≥' if row.least else '≤'} {row.goal:g}" + ("" if met else ", **missed**")
        )
        lines.append(f"| {row.what} | {row.ratio:.2f} | {goal} | {row.detail} |")
    return "\n".join(lines)


def made_by(command: str) -> str:
    """Return the sentence that says how and where figures were made."""
    git = subprocess.run(
        ["git", "version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    machine = (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python"
        f" {platform.python_version()}, {git}"
    )
    return f"Made by `{command}` on {date.today():%Y-%m-%d}: {machine}."


def publish(name: str, lines: Iterable[str], page: Path = PAGE) -> None:
    """Write a section onto the page: in place of the one of this name, else at the end. All else
    stays as it is."""
    begin, end = f"<!-- {name} writes from here -->", f"<!-- {name} writes to here -->"
    section = "\n".join([begin, *lines, end])
    old = page.read_text(encoding="utf-8") if page.exists() else "# Performance\n"
    before, mark, rest = old.partition(begin)
    there = mark and end in rest
    page.write_text(
        f"{before}{section}{rest.partition(end)[2]}" if there else f"{old.rstrip()}\n\n{section}\n",
        encoding="utf-8",
    )
