"""A real SLURM of one node, without accounting, that the tests start and end: munged, slurmctld and
slurmd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Project

_PROGRAMS = ("munged", "slurmctld", "slurmd", "squeue", "sbatch", "srun")
_PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
_MISSING = [name for name in _PROGRAMS if not shutil.which(name, path=_PATH)]
pytestmark = [
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}"),
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0, reason="slurmd has to be started by root"
    ),
]
_CONF = """ClusterName=gitexp
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={top}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={top}/state
SlurmdSpoolDir={top}/spool
SlurmctldPidFile={top}/slurmctld.pid
SlurmdPidFile={top}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster of this machine."""
    top = Path(tempfile.mkdtemp(prefix="sl"))
    top.chmod(0o755)
    key = top / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    for name in ("state", "spool"):
        (top / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    conf = top / "slurm.conf"
    conf.write_text(_CONF.format(host=host, top=top, ports=_free_ports(), cpus=os.cpu_count()))
    monkeypatch.setenv("SLURM_CONF", str(conf))
    monkeypatch.setenv("PATH", _PATH)
    munge = [
        "munged",
        "-F",
        "--force",
        f"--socket={top}/munge.socket",
        f"--key-file={key}",
        f"--pid-file={top}/munge.pid",
    ]
    munge += [f"--log-file={top}/munge.log", f"--seed-file={top}/munge.seed"]
    daemons = [subprocess.Popen(munge, stderr=subprocess.DEVNULL)]
    _until(lambda: (top / "munge.socket").exists())
    for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
        daemons.append(
            subprocess.Popen(
                [*command, "-f", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
    try:
        _until(lambda: "idle" in _said("sinfo", "--noheader", "--format=%T"))
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(30)
        shutil.rmtree(top, ignore_errors=True)


def _free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        for item in (one, other):
            item.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], other.getsockname()[1]]


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


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
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-m", "gitexp", *words], cwd=project.root, env=env
    ) as driver:
        _until(lambda: _said("squeue", "--noheader", "--states=PENDING"))
        _said("scancel", "--user=root")
        try:
            driver.wait(120)
        finally:
            driver.kill()
    assert "its SLURM job was cancelled" in project.gitexp("list", "--where", "status = killed")


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
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ran") == 2
    assert project.tags() == ["exp-1"]
