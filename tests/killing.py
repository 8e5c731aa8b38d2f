"""Kills real runs at random moments, in forks of one process that has everything imported: a kill
costs a run or two and no more.

    python tests/killing.py REPOSITORY SEED COUNT

Prints a line of JSON for each kill: what the killed process had logged, and what was wrong
afterwards. The moments are uniform over one and a half times what a run takes on this machine just
now, so that starts, logging and ends are hit alike, also on a slow one.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gitexp
from gitexp.repo import Repo
from gitexp.runs import finish
from gitexp.store import record

ROWS = 1000  # enough that logging is a good part of a run


def runs(report: int, times: int) -> None:
    """Log run after run, and report each row whose call returned."""
    for at in range(times):
        run = gitexp.start_run(params={"at": at})
        os.write(report, f"\n{run.id}".encode())
        for step in range(ROWS):
            run.log_metric("a", step)
            os.write(report, b".")
        run.end()


def forked(work: Callable[[int], None]) -> tuple[int, int]:
    """Do something in a fork, and return its process id and where to read what it reports."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:
        os.close(reader)
        work(writer)
    except BaseException as error:
        os.write(writer, f"\n{type(error).__name__}: {error}".encode())
    finally:
        os._exit(0)


def reported(pid: int, reader: int) -> dict[str, int]:
    """Wait for the end of a fork and return how many rows it had logged in each run."""
    data = b""
    while part := os.read(reader, 65536):  # to the end: nobody else has the other side
        data += part
    os.close(reader)
    os.waitpid(pid, 0)
    return {line.rstrip("."): line.count(".") for line in data.decode().split("\n")[1:]}


def said_by_git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()


def recover(root: Path) -> None:
    """What ``gitexp recover`` does."""
    repo = Repo.discover(root)
    record.finish_interrupted(repo)
    for folder in finish.dead_runs(repo):
        finish.recover(repo, folder)


def main(root: Path, seed: int, count: int) -> None:
    os.chdir(root)
    gitexp.start_run().end()
    recover(root)  # imports what is imported late
    chance = random.Random(seed)
    took = 0.2
    for _ in range(count):
        pid, reader = forked(lambda report: runs(report, 10_000))
        select.select([], [], [], chance.random() * 1.5 * took)
        os.kill(pid, signal.SIGKILL)
        logged = reported(pid, reader)
        recover(root)
        wrong = {
            "fsck": said_by_git(root, "fsck", "--strict", "--no-dangling", "--no-progress"),
            "status": said_by_git(root, "status", "--porcelain"),
        }
        began = time.monotonic()
        after = reported(*forked(lambda report: runs(report, 1)))
        took = time.monotonic() - began
        if [*after.values()] != [ROWS]:
            wrong["the next run"] = str(after)
        print(
            json.dumps(
                {
                    "logged": {**logged, **after},
                    "wrong": {what: text for what, text in wrong.items() if text},
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
