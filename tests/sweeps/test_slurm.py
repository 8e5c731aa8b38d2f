"""What a real SLURM does with trials and runs: `slurm_cluster.py` starts and ends it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import PATH, PROGRAMS, cluster
from slurm_cluster import said as _said
from slurm_cluster import until as _until

from conftest import Project
from gitexp.repo import Repo
from gitexp.store.index import Index

_MISSING = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
GITEXP = [sys.executable, "-m", "gitexp"]
pytestmark = [
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}"),
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0, reason="slurmd has to be started by root"
    ),
]


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster of this machine."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with cluster(cpus=4) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        programs = os.path.dirname(sys.executable)  # git-annex may be a package of Python's
        monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{programs}")
        yield


def test_slurm_runs_trials_and_a_job_that_is_cancelled_in_the_queue_ends(
    slurm: None, project: Project
) -> None:
    pytest.importorskip("submitit")
    project.commit(
        "metrics",
        train_py="open('metrics.csv', 'w').write('Name,Value,Timestamp,Step\\nloss,1,1,1\\n')\n",
    )
    done = project.run(
        "sweep", "--engine", "slurm", "-p", "lr=1,2", "-j", "2", "--", sys.executable, "train.py"
    )
    assert done.returncode == 0, done.stderr
    assert "sacct" not in done.stderr
    assert project.gitexp("list", "--json").count('"status": "finished"') == 2

    _said("scontrol", "update", "PartitionName=all", "State=DOWN")  # what is handed in now waits
    words = [
        "sweep",
        "--engine",
        "slurm",
        "-p",
        "lr=3",
        "-j",
        "1",
        "--",
        sys.executable,
        "train.py",
    ]
    for ends in (lambda driver: _said("scancel", "--user=root"), interrupted):
        with subprocess.Popen([*GITEXP, *words], cwd=project.root) as driver:
            _until(lambda: _said("squeue", "--noheader", "--states=PENDING"))
            ends(driver)
            try:
                driver.wait(120)
            finally:
                driver.kill()
        assert not _said("squeue", "--noheader")
    assert "its SLURM job was cancelled" in project.gitexp("list", "--where", "status = killed")


def interrupted(driver: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C, once."""
    driver.send_signal(signal.SIGINT)


_LONG = """import time
open('metrics.csv', 'w').write('Name,Value,Timestamp,Step\\nloss,7,1,1\\n')
print('begun', flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("limit", "done_to_it", "why"),
    [
        # a job of two minutes is warned at once
        (59, "scancel --signal=USR2 {job}", "it ran into SLURM's time limit"),
        (None, "scancel --signal=USR2 {job}", "its SLURM job was preempted"),
        (None, "scontrol update nodename={node} state=down reason=test", "its SLURM node failed"),
    ],
)
def test_a_trial_that_slurm_ends_keeps_what_it_had_written(
    slurm: None, project: Project, limit: int | None, done_to_it: str, why: str
) -> None:
    """submitit has SLURM warn a job before its time is up, and before it is preempted; one that
    may not be requeued ends then, and one whose node fails, too."""
    pytest.importorskip("submitit")
    project.commit("long", train_py=_LONG)
    words = ["sweep", "--engine", "slurm", *(["--timeout", str(limit)] if limit else [])]
    command = [*GITEXP, *words, "-p", "lr=3", "--", sys.executable, "train.py"]
    with subprocess.Popen(command, cwd=project.root) as driver:
        sweeps = project.root / ".git/gitexp/sweeps"
        try:
            _until(lambda: any("begun" in log.read_text() for log in sweeps.rglob("output.log")))
            job = _said("squeue", "--noheader", "--format=%i").strip()
            node = _said("sinfo", "--noheader", "--format=%n").strip()
            _said("scontrol", "update", f"jobid={job}", "Requeue=0")
            _said(*done_to_it.format(job=job, node=node).split())
            driver.wait(120)
        finally:
            driver.kill()
    (found,) = Index(Repo.discover(project.root)).select()
    assert (found.status, found.extra["error"]) == ("killed", why)
    assert dict(found.metrics) == {"loss": 7}
    assert 0 < (found.duration or 0) < 120


def test_ranks_under_srun_are_one_experiment(slurm: None, project: Project) -> None:
    done = subprocess.run(
        [
            "srun",
            "-n",
            "2",
            "--overcommit",
            sys.executable,
            "-m",
            "gitexp",
            "run",
            "--",
            sys.executable,
            "-c",
            "print('ran')",
        ],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ran") == 2
    assert project.tags() == ["exp-1"]


def submitted(project: Project, *command: str, options: tuple[str, ...] = ()) -> str:
    """Hand a command in as a batch job, and return its number."""
    project.write("job.sh", f"#!/bin/sh\nexec {shlex.join(command)} $SLURM_ARRAY_TASK_ID\n")
    project.commit("a job")
    return _said("sbatch", "--parsable", *options, "job.sh").strip()


def test_each_task_of_an_array_is_an_experiment_with_nothing_of_the_others(
    slurm: None, project: Project
) -> None:
    project.write(
        "train.py",
        """import sys, time
value = int(sys.argv[2])
open('metrics.csv', 'w').write(f'Name,Value,Timestamp,Step\\nloss,{value},1,1\\n')
time.sleep(2)
print({'loss': value})
""",
    )
    train = [sys.executable, "train.py", "--lr"]
    number = submitted(project, *GITEXP, "run", "--", *train, options=("--array=1-4",))
    _until(lambda: len(project.tags()) == 4 and not _said("squeue", "--noheader"))
    found = Index(Repo.discover(project.root)).select()
    assert sorted(item.params["lr"] for item in found) == [1, 2, 3, 4]
    assert all(item.metrics["loss"] == item.params["lr"] for item in found)
    assert {item.group for item in found} == {f"array-{number}"}
    assert {item.extra["job"] for item in found} == {f"slurm {number}_{at}" for at in range(1, 5)}
    assert "slurm-" not in "".join(project.git("ls-tree", "-r", item.name) for item in found)
    project.fsck()


_GOES_ON = """import time, gitexp
last = gitexp.last_checkpoint()
for step in range(int(open(last.path).read()) + 1 if last else 0, 6):
    gitexp.log_metric('loss', 1 / (step + 1), step)
    open('state.txt', 'w').write(str(step))
    gitexp.checkpoint('state.txt', step)
    time.sleep(1)
print('began at', step if last is None else last.step + 1)
"""


def requeued(project: Project) -> None:
    """Requeue the job that runs, once it has made some checkpoints, without SLURM's two minutes."""
    _until(lambda: len([*project.root.glob(".git/gitexp/checkpoints/*/0*")]) > 2)
    job = _said("squeue", "--noheader", "--format=%i").strip()
    _said("scontrol", "requeue", job)
    _until(lambda: _said("squeue", "--noheader", "--format=%t").strip() == "PD")
    # slurmd takes no credential of the second in which it revoked the job's last one: SLURM ends
    # the job then, which is why it waits by itself
    time.sleep(2.1)
    _said("scontrol", "update", f"JobId={job}", "StartTime=now")


@pytest.mark.slow
def test_a_run_whose_job_is_requeued_goes_on_from_its_checkpoint(
    slurm: None, project: Project
) -> None:
    project.write("train.py", _GOES_ON)
    submitted(project, *GITEXP, "run", "--", sys.executable, "train.py", options=("--requeue",))
    requeued(project)
    _until(lambda: len(project.tags()) == 2)
    after, before = Index(Repo.discover(project.root)).select()
    assert (before.status, after.status) == ("killed", "finished")
    assert [int(point.step) for point in after.points()] == [*range(6)]
    assert after.extra["resumes"] == before.id


@pytest.mark.slow
def test_a_trial_whose_job_is_requeued_goes_on_from_its_checkpoint(
    slurm: None, project: Project
) -> None:
    pytest.importorskip("submitit")
    project.commit("train", train_py=_GOES_ON)
    words = ["sweep", "--engine", "slurm", "-p", "lr=1", "--", sys.executable, "train.py"]
    with subprocess.Popen([*GITEXP, *words], cwd=project.root) as driver:
        try:
            requeued(project)
            assert driver.wait(120) == 0
        finally:
            driver.kill()
    (found,) = Index(Repo.discover(project.root)).select()
    assert (found.status, found.metrics["loss"]) == ("finished", 1 / 6)
    assert [int(point.step) for point in found.points()] == [*range(6)]
    assert project.git("worktree", "list").count("\n") == 0


def test_a_trial_reads_what_git_annex_keeps(slurm: None, project: Project) -> None:
    pytest.importorskip("submitit")
    if not shutil.which("git-annex"):
        pytest.skip("git-annex is not installed")
    project.git("annex", "init", "-q")
    project.write("open.bin", bytes(100_000))
    project.git("annex", "add", "-q", "open.bin")
    project.git("annex", "unlock", "-q", "open.bin")
    project.commit(
        "data",
        train_py="import gitexp, os; gitexp.log_metric('size', os.path.getsize('open.bin'))\n",
    )
    words = ["-p", "x=1", "--", sys.executable, "train.py"]
    project.gitexp("sweep", "--engine", "slurm", *words)
    (found,) = Index(Repo.discover(project.root)).select()
    assert found.metrics == {"size": 100_000}
