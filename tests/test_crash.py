"""A run whose process is killed at any system call of its end is recorded once and whole, and the next run works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.index import Index
from gitexp.recovery import dead_runs
from gitexp.repo import Repo

CALLS = ("write", "mkdir", "rename", "link", "unlink", "unlinkat", "rmdir", "chmod", "sendfile", "vfork", "wait4", "flock", "openat")
EVERY = {"openat": 6}  # most of them only read
BEGINS = "/gitexp-the-end-begins"
SCRIPT = f"""
import gitexp, os
run = gitexp.start_run(params={{"a": 1}})
for at in range(5):
    run.log_metric("m", at)
run.log_text("kept", "kept.txt")
os.path.exists({BEGINS!r})
run.end()
"""


def _traced(project: Project, *options: str) -> str:
    """Run the script under strace and return its trace."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}
    trace = project.root / ".git" / "trace"
    subprocess.run(["strace", "-o", str(trace), *options, sys.executable, "script.py"], cwd=project.root, env=env, capture_output=True)
    return trace.read_text()


def _can_trace() -> bool:
    return shutil.which("strace") is not None and subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not _can_trace(), reason="strace is not installed, or may not trace here")
@pytest.mark.parametrize("call", CALLS)
def test_sigkill_at_each_system_call_of_the_end(project: Project, call: str) -> None:
    project.write("script.py", SCRIPT)
    project.commit()
    before, _, end = _traced(project).partition(BEGINS)
    assert end, "the trace must show where the end begins"
    first, count = (len(re.findall(rf"^{call}\(", text, re.MULTILINE)) for text in (before, end))
    if not count:
        pytest.skip(f"no {call} here")
    killed = 0
    for at in range(first + 1, first + count + 1, EVERY.get(call, 1)):
        done = _traced(project, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={at}")
        killed += "killed by SIGKILL" in done
        recovered = project.run("recover")
        assert recovered.returncode == 0, recovered.stderr
        project.fsck()
    assert killed, "no run was killed, so nothing was tried"
    repo = Repo.discover()
    assert dead_runs(repo) == []
    experiments = Index(repo).select()
    ids = [item.extra["id"] for item in experiments]
    assert len(ids) == len(set(ids)) == 1 + len(range(first + 1, first + count + 1, EVERY.get(call, 1)))
    for item in experiments:
        assert dict(item.params) == {"a": 1}
        assert list(item.history().value) == [0, 1, 2, 3, 4]
        assert item.read(".gitexp/artifacts/kept.txt") == b"kept"
    with gitexp.start_run() as run:
        run.log_metric("after", 1)
    assert run.recorded is not None
    assert run.recorded.advanced == "main"
    assert project.git("for-each-ref", "refs/gitexp/pending") == ""
    project.fsck()
