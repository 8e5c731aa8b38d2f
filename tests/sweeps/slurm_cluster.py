"""A real SLURM of one node, without accounting: munged, slurmctld and slurmd, started and ended."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "squeue", "sbatch", "srun")
PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
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
SlurmdParameters=config_overrides
MaxArraySize=5000
KillWait=5
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def cluster(cpus: int | None = None) -> Iterator[dict[str, str]]:
    """Run a cluster of this machine; yields the variables with which it is found."""
    top = Path(tempfile.mkdtemp(prefix="sl"))
    top.chmod(0o755)
    key = top / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    for name in ("state", "spool"):
        (top / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    conf = top / "slurm.conf"
    conf.write_text(
        _CONF.format(host=host, top=top, ports=_free_ports(), cpus=cpus or os.cpu_count())
    )
    found = {"SLURM_CONF": str(conf), "PATH": PATH}
    munge = [
        "munged",
        "-F",
        "--force",
        f"--socket={top}/munge.socket",
        f"--key-file={key}",
        f"--pid-file={top}/munge.pid",
    ]
    munge += [f"--log-file={top}/munge.log", f"--seed-file={top}/munge.seed"]
    daemons = [subprocess.Popen(munge, stderr=subprocess.DEVNULL, env={**os.environ, **found})]
    until(lambda: (top / "munge.socket").exists())
    for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
        daemons.append(
            subprocess.Popen(
                [*command, "-f", str(conf)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **found},
            )
        )
    try:
        until(lambda: "idle" in said("sinfo", "--noheader", "--format=%T", env=found))
        yield found
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


def said(*command: str, env: dict[str, str] | None = None) -> str:
    """Return what a program of SLURM's prints."""
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **(env or {})}
    ).stdout


def until(true: Callable[[], object]) -> None:
    """Wait until it is true, two minutes at most; what SLURM knows of its jobs is said else."""
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end, said("squeue", "--long")
        time.sleep(0.2)
