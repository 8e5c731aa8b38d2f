"""Ctrl-C, SIGTERM and SIGKILL in the middle of what runs a recorded command: the user's files,
index, branch and own bisect stay."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Project
from gitexp.repo import Repo
from gitexp.runs import worktree

PYTHON = sys.executable
PATIENCE = 120  # seconds; nothing waits so long but a test that fails
COMMANDS = {
    "reproduce": ["reproduce", "exp-2", "--yes"],
    "bisect": ["bisect", "--metric", "rmse", "--max", "15", "exp-1", "exp-2", "--yes"],
    "why": ["why", "exp-1", "exp-2", "--yes"],
}
TRAINING = """
import fcntl, os, sys, time
from model import value
held = open({held!r}, "w")
fcntl.flock(held, fcntl.LOCK_EX)  # as long as this lives
print("ready", flush=True)
try:
    while os.path.exists({slow!r}):
        time.sleep(0.02)
except KeyboardInterrupt:
    if "--graceful" not in sys.argv:
        raise
open("metrics.csv", "w").write(f"Name,Value,Timestamp,Step\\nrmse,{{value}},0,0\\n")
"""


class Trained:
    """A repository with two experiments and commits between them, whose user is in the middle of
    other work."""

    def __init__(self, project: Project, place: Path, *options: str) -> None:
        self.project = project
        self.held, self.slow = place / "held", place / "slow"
        project.commit(
            "first",
            train_py=TRAINING.format(held=str(self.held), slow=str(self.slow)),
            model_py="value = 10\n",
        )
        project.gitexp("run", "--no-advance", "--", PYTHON, "train.py", *options)
        for at in range(2, 6):
            project.commit(f"change {at}", model_py=f"value = {10 if at < 4 else 20}\n# {at}\n")
        project.gitexp("run", "--no-advance", "--", PYTHON, "train.py", "--seed", "1", *options)
        project.git("bisect", "start", "HEAD", "HEAD~4")
        project.write("model.py", "value = 30\n")
        project.git("add", "model.py")
        project.write("train.py", "the user's present work\n")
        project.write("notes.txt", "mine\n")
        self.slow.touch()

    def state(self) -> dict[str, bytes | str]:
        """Return all that must stay as it is."""
        root = self.project.root
        files = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.iterdir()
            if path.is_file()
        }
        for name in (
            "index",
            "HEAD",
            "ORIG_HEAD",
            "config",
            *(path.name for path in (root / ".git").glob("BISECT_*")),
        ):
            file = root / ".git" / name
            files[f".git/{name}"] = file.read_bytes() if file.exists() else b""
        return {
            **files,
            "refs": self.project.git("for-each-ref"),
            "status": self.project.git("status", "--porcelain"),
        }

    def started(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command and wait until the training in it runs."""
        process = subprocess.Popen(
            [PYTHON, "-m", "gitexp", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line == b"ready\n":
                return process
        raise AssertionError(b"".join(said))

    def training_lives(self) -> bool:
        """Whether a training holds its lock."""
        with open(self.held, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def require_nothing_left(self) -> None:
        """Require that no work tree, process, or bisect of ours is left."""
        eventually(lambda: not self.training_lives())
        assert len(self.project.git("worktree", "list").splitlines()) == 1
        assert not list((self.project.root / ".git" / "gitexp" / "worktrees").iterdir())
        assert not list((self.project.root / ".git" / "gitexp" / "runs").iterdir())
        assert not list((self.project.root / ".git").glob("worktrees/*"))


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", COMMANDS)
def test_after_an_interrupt_nothing_is_left_and_nothing_touched(
    project: Project, tmp_path: Path, command: str, how: signal.Signals
) -> None:
    """Also the user's own bisect, which goes on afterwards and finds its commit."""
    trained = Trained(project, tmp_path)
    before = trained.state()
    process = trained.started(*COMMANDS[command])
    process.send_signal(how)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert said.endswith(b"gitexp: interrupted\n")
    assert b"Traceback" not in said.partition(b"KeyboardInterrupt")[2]
    assert trained.state() == before
    trained.require_nothing_left()
    project.git("reset", "-q", "--hard")
    project.git("bisect", "run", "grep", "-q", "value = 10", "model.py")
    assert project.git("log", "-1", "--format=%s", "refs/bisect/bad") == "change 4"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_after_sigkill_doctor_ends_what_still_runs_and_removes_what_is_left(
    project: Project, tmp_path: Path, command: str
) -> None:
    """The killed process could clean up nothing: its training runs on in a work tree, and only
    doctor --fix ends that."""
    trained = Trained(project, tmp_path)
    before = trained.state()
    process = trained.started(*COMMANDS[command])
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert trained.state() == before
    assert trained.training_lives()
    found = project.gitexp("doctor", code=1)
    assert f"the work tree {command}-" in found
    assert "its command still runs" in found
    assert trained.training_lives()
    assert "mended: the work tree" in project.gitexp("doctor", "--fix")
    trained.require_nothing_left()
    assert trained.state() == before
    assert project.gitexp("doctor") == "all is well\n"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_training_that_makes_a_good_end_of_ctrl_c_is_no_result(
    project: Project, tmp_path: Path, command: str
) -> None:
    """Many save what they have and exit with 0: half a training must neither answer nor let the
    search go on."""
    trained = Trained(project, tmp_path, "--graceful")
    process = trained.started(*COMMANDS[command])
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE)[1].endswith(b"gitexp: interrupted\n")
    assert process.returncode == 130
    trained.require_nothing_left()
    assert project.git("notes", "--ref=gitexp", "list") == ""


def test_a_half_removed_work_tree_is_removed_whole(project: Project) -> None:
    """Killed in the middle of removing it: git knows a work tree whose own file is gone."""
    repo = Repo.discover()
    with worktree.checkout(repo, "HEAD", "test", keep=True) as path:
        (path / ".git").unlink()
        (path.parent / "kept").touch()
    (path.parent / "kept").unlink()
    assert worktree.leftovers(repo) == [path.parent]
    assert "mended" in project.gitexp("doctor", "--fix")
    assert len(project.git("worktree", "list").splitlines()) == 1
    assert not path.parent.exists()
