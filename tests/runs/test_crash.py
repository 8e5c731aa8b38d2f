"""A run whose process is killed at any system call of its end is recorded once and whole, and the
next run works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.repo import Repo
from gitexp.runs import journal
from gitexp.runs.finish import dead_runs
from gitexp.store.index import Index

KILLS = int(os.environ.get("KILL_POINTS", "200"))  # random ones in all
PARTS = 4
CALLS = (
    "write",
    "mkdir",
    "rename",
    "link",
    "unlink",
    "unlinkat",
    "rmdir",
    "chmod",
    "sendfile",
    "vfork",
    "wait4",
    "flock",
    "openat",
)
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
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    trace = project.root / ".git" / "trace"
    subprocess.run(
        ["strace", "-o", str(trace), *options, sys.executable, "script.py"],
        cwd=project.root,
        env=env,
        capture_output=True,
    )
    return trace.read_text()


def _ending(project: Project, *options: str) -> str:
    """Trace one that has to make the folder for what ended, too."""
    shutil.rmtree(project.root / ".git/gitexp/ended", ignore_errors=True)
    return _traced(project, *options)


def _can_trace() -> bool:
    return (
        shutil.which("strace") is not None
        and subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode
        == 0
    )


@pytest.mark.slow
@pytest.mark.skipif(not _can_trace(), reason="strace is not installed, or may not trace here")
@pytest.mark.parametrize("call", CALLS)
def test_sigkill_at_each_system_call_of_the_end(project: Project, call: str) -> None:
    project.write("script.py", SCRIPT)
    project.commit()
    # git's folders of objects, and what a first run makes: then each run makes as many calls
    for at in range(256):
        (project.root / f".git/objects/{at:02x}").mkdir(exist_ok=True)
    _traced(project)
    before, _, end = _ending(project).partition(BEGINS)
    assert end, "the trace must show where the end begins"
    first, count = (len(re.findall(rf"^{call}\(", text, re.MULTILINE)) for text in (before, end))
    if not count:
        pytest.skip(f"no {call} here")
    killed = 0
    for at in range(first + 1, first + count + 1, EVERY.get(call, 1)):
        done = _ending(project, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={at}")
        killed += "killed by SIGKILL" in done
        recovered = project.run("recover")
        assert recovered.returncode == 0, recovered.stderr
        assert project.git("status", "--porcelain") == "", (
            "the work tree has the results of the commit that HEAD is at"
        )
        project.fsck()
    assert killed, "no run was killed, so nothing was tried"
    repo = Repo.discover()
    assert dead_runs(repo) == []
    experiments = Index(repo).select()
    ids = [item.extra["id"] for item in experiments]
    assert (
        len(ids)
        == len(set(ids))
        == 2 + len(range(first + 1, first + count + 1, EVERY.get(call, 1)))
    )
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


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are killed in forks of one process")
@pytest.mark.parametrize("part", range(PARTS))
def test_sigkill_at_random_points_loses_no_row_and_leaves_no_half_experiment(
    project: Project, part: int
) -> None:
    """``KILL_POINTS=1000 pytest tests/runs/test_crash.py`` kills more often."""
    here = Path(__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": str(here.parent)}
    command = [
        sys.executable,
        str(here / "killing.py"),
        str(project.root),
        str(part),
        str(KILLS // PARTS),
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(kills) == KILLS // PARTS
    assert [kill["wrong"] for kill in kills if kill["wrong"]] == []
    repo = Repo.discover()
    deadline = time.monotonic() + 600
    # one killed before it had its lock may be one that is being made
    while journal.folders(repo) and time.monotonic() < deadline:
        time.sleep(0.2)
        assert project.run("recover").returncode == 0
    assert journal.folders(repo) == []
    recorded = {item.extra["id"]: item for item in Index(repo).select()}
    assert len(recorded) == len(project.tags())
    logged = {run_id: rows for kill in kills for run_id, rows in kill["logged"].items()}
    lost = {
        run_id: rows
        for run_id, rows in logged.items()
        if run_id not in recorded or _rows(recorded[run_id]) < rows
    }
    assert lost == {}
    assert any(item.status == "killed" for item in recorded.values()), (
        "no run was killed, so nothing was tried"
    )
    with gitexp.start_run() as run:
        run.log_metric("after", 1)
    assert run.recorded is not None
    assert run.recorded.advanced == "main"
    project.fsck()


def _rows(item: gitexp.Experiment) -> int:
    return sum(1 for _ in item.points())


KILLED_BEFORE_IT_WROTE_BACK = """
import gitexp, os
from gitexp.store import result_paths as results
results.write_back = lambda *_: os.kill(os.getpid(), 9)
with gitexp.start_run(params={"lr": 2}) as run:
    run.log_metric("m", 0.25)
"""


def _killed_after_the_branch_moved(project: Project) -> None:
    project.write("script.py", KILLED_BEFORE_IT_WROTE_BACK)
    project.commit()
    with gitexp.start_run(params={"lr": 1}) as run:
        run.log_metric("m", 0.5)
        run.log_text("of the first", "old.txt")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "script.py"], env=env).returncode == -9
    assert project.git("log", "-1", "--format=%s") == "exp-2: m=0.25 (lr=2)"
    assert "params.yml" in project.git("status", "--porcelain")


@pytest.mark.parametrize(
    "command", [["recover"], ["doctor", "--fix"], ["log", "-p", "lr=3"], ["run", "--", "true"]]
)
def test_results_that_a_killed_writer_did_not_write_are_written_by_the_next(
    project: Project, command: list[str]
) -> None:
    _killed_after_the_branch_moved(project)
    assert "had written its results" in project.gitexp("doctor", code=1)
    project.run(*command)
    assert project.git("status", "--porcelain") == ""
    assert project.git("diff", "--stat", "exp-2", "HEAD", "--", "train.py") == ""
    assert not (project.root / ".gitexp/artifacts/old.txt").exists()
    if command[0] in ("recover", "doctor"):
        assert (project.root / "params.yml").read_text() == "lr: 2\n"
    project.gitexp("recover")
    assert project.gitexp("doctor") == "all is well\n"


def test_a_result_file_that_the_user_edited_or_brought_back_since_is_left_alone(
    project: Project,
) -> None:
    _killed_after_the_branch_moved(project)
    project.write("params.yml", "mine: 1\n")
    project.git("checkout", "-q", "exp-1", "--", "metrics.csv")  # the old content, wanted now
    mine = (project.root / "metrics.csv").read_bytes()
    project.gitexp("recover")
    assert (project.root / "params.yml").read_text() == "mine: 1\n"
    assert (project.root / "metrics.csv").read_bytes() == mine


def test_what_a_killed_writer_owed_is_forgotten_when_the_user_committed_since(
    project: Project,
) -> None:
    _killed_after_the_branch_moved(project)
    project.commit("all as it is on disk")
    project.gitexp("recover")
    assert project.git("status", "--porcelain") == ""
    assert (project.root / "params.yml").read_text() == "lr: 1\n"
