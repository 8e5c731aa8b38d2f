"""A file system that refuses ``flock`` (Lustre, some NFS): all is recorded, by files that lock."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.repo import Repo, locks

REFUSES = """
#include <errno.h>
int flock(int fd, int how) { errno = ENOLCK; return -1; }
"""
LOCK = ".git/gitexp/lock.held"


@pytest.fixture(scope="module")
def preload(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library that refuses every lock, built here."""
    if sys.platform != "linux" or not shutil.which("gcc"):
        pytest.skip("no gcc here")
    folder = tmp_path_factory.mktemp("preload")
    (folder / "refuses.c").write_text(REFUSES)
    library = folder / "refuses.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", str(library), str(folder / "refuses.c")], check=True
    )
    return str(library)


@pytest.fixture
def env(preload: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of a process whose locks are refused."""
    monkeypatch.setenv("LD_PRELOAD", preload)  # of all that the test starts
    return {**os.environ, "PYTHONPATH": str(Path(gitexp.__file__).parents[1])}


@pytest.mark.usefixtures("env")
def test_all_is_recorded_and_it_is_said_once(project: Project) -> None:
    first = project.run("run", "--", sys.executable, "-c", "print('hello')")
    assert first.returncode == 0, first.stderr
    assert first.stderr.count("has no locks (flock)") == 1
    for args in (["log", "-m", "a=1"], ["label", "exp-1", "+good"], ["run", "--", "true"]):
        done = project.run(*args)
        assert done.returncode == 0, done.stderr
        assert "flock" not in done.stderr
    assert project.tags() == ["exp-1", "exp-2", "exp-3"]
    assert "all is well" in project.gitexp("doctor")
    assert not [*(project.root / ".git/gitexp").rglob("*.held*")]


def test_many_at_once_lose_nothing(project: Project, env: dict[str, str]) -> None:
    script = "import gitexp\nfor at in range(3): gitexp.log({'at': at}, {'m': at})"
    writers = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", script], cwd=project.root, env=env)
        for _ in range(6)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 6
    assert len(project.tags()) == 18
    project.fsck()


def test_a_run_is_alive_while_its_process_is_and_is_recovered_afterwards(
    project: Project, env: dict[str, str]
) -> None:
    script = """
import gitexp, time
run = gitexp.start_run()
run.log_metric("loss", 1)
print("logged", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=project.root, env=env, stdout=subprocess.PIPE
    ) as training:
        assert training.stdout is not None
        assert training.stdout.readline() == b"logged\n"
        shown, recovered = project.run("status"), project.run("recover")
        training.send_signal(signal.SIGKILL)
    assert "loss  1" in shown.stdout, shown.stdout
    assert "dead" not in shown.stdout
    assert recovered.returncode == 0, recovered.stderr
    assert project.tags() == []
    project.gitexp("recover")
    assert project.tags() == ["exp-1"]
    assert gitexp.get("exp-1", project.root).metrics == {"loss": 1.0}


@pytest.mark.usefixtures("env")
@pytest.mark.parametrize("boot", [False, True], ids=["dead", "rebooted"])
def test_the_lock_of_a_dead_owner_is_nobodys(project: Project, boot: bool) -> None:
    project.gitexp("log", "-m", "a=1")
    with subprocess.Popen(["sleep", "60"]) as owner:
        start = Path(f"/proc/{owner.pid}/stat").read_text().rpartition(")")[2].split()[19]
        here = locks._me().decode().split()
        said = f"{owner.pid} {start} {'another-boot' if boot else here[2]} {here[3]}\n"
        if not boot:
            owner.kill()
            owner.wait()
        project.write(LOCK, said)
        project.gitexp("log", "-m", "a=2")
        owner.kill()
    assert project.tags() == ["exp-1", "exp-2"]


@pytest.mark.usefixtures("env")
def test_an_owner_on_another_host_is_named_and_never_robbed(project: Project) -> None:
    project.gitexp("log", "-m", "a=1")
    lock = project.write(LOCK, "17 42 some-boot cluster-node-9/pid:[1]\n")
    os.utime(lock, (time.time() - 3600,) * 2)
    line = project.error("log", "-m", "a=2")
    assert "process 17 on cluster-node-9" in line
    assert f"rm '{lock}'" in line
    lock.unlink()
    project.gitexp("log", "-m", "a=2")
    assert Repo.discover(project.root).head().commit
