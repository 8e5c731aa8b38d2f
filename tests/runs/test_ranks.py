"""Distributed training: rank 0 logs, others only on purpose; workers of a data loader log into the
run of their process."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.runs.active import is_other_rank

HERE = str(Path(__file__).parents[2])


@pytest.mark.parametrize(
    "variable", ["RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "LOCAL_RANK", "NODE_RANK"]
)
def test_only_rank_0_logs_unless_asked(
    project: Project, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with gitexp.start_run(params={"a": 1}) as run:
        run.log_metric("a", 1)
        run.log_text("x", "x.txt")
        assert run.silent
    assert project.tags() == []
    with gitexp.start_run(all_ranks=True):
        pass
    assert project.tags() == ["exp-1"]


@pytest.mark.parametrize(
    ("variables", "silent"),
    [
        ({}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, False),
        ({"RANK": "4", "LOCAL_RANK": "0"}, True),  # the first process of the second machine
        ({"RANK": "0", "LOCAL_RANK": "3"}, False),
        # a torchrun of its own in each task of Slurm's
        ({"RANK": "0", "SLURM_PROCID": "2"}, False),
        # Lightning's own processes in one task of Slurm's
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, True),
        ({"RANK": "", "LOCAL_RANK": "1"}, True),
        ({"RANK": "sergeant"}, False),
    ],
)
def test_the_rank_that_is_unique_over_all_machines_decides(
    variables: dict[str, str], silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_other_rank() == silent


def test_ranks_that_log_on_purpose_join_the_run_of_the_command(project: Project) -> None:
    project.write(
        "train.py",
        """
import gitexp, os, subprocess, sys
rank = int(os.environ.get("RANK", "0"))
if rank == 0 and len(sys.argv) == 1:
    others = [subprocess.Popen([sys.executable, "train.py", "other"], env={**os.environ, "RANK": str(at)}) for at in (1, 2)]
    assert [other.wait() for other in others] == [0, 0]
gitexp.start_run(all_ranks=True).log_metric(f"rank{rank}.loss", rank)
""",
    )
    project.gitexp("run", "--", sys.executable, "train.py")
    assert project.tags() == ["exp-1"]
    assert dict(gitexp.get("exp-1").metrics) == {"rank0.loss": 0, "rank1.loss": 1, "rank2.loss": 2}


def _work(at: int) -> None:
    gitexp.log_metric(f"worker-{at}", at)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_that_knows_of_no_run_logs_into_that_of_its_parent(
    project: Project, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    monkeypatch.setenv("PYTHONPATH", HERE)
    gitexp.start_run()
    with multiprocessing.get_context(method).Pool(2) as pool:
        pool.map(_work, range(3))
    gitexp.end_run()
    assert project.tags() == ["exp-1"]
    assert dict(gitexp.get("exp-1").metrics) == {"worker-0": 0, "worker-1": 1, "worker-2": 2}


TORCH = """
import gitexp, os, sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(rank)
with gitexp.start_run(params={"world": dist.get_world_size()}) as run:  # silent on all ranks but 0
    shared = [run]
    dist.broadcast_object_list(shared, src=0)  # a run can be sent: whoever gets it logs into it
    model = DistributedDataParallel(torch.nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(64, 2)
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=16, num_workers=1)
    for epoch in range(3):
        for xs, ys in loader:
            loss = torch.nn.functional.mse_loss(model(xs), ys)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log_metric("loss", loss)
            shared[0].log_metric(f"rank{rank}.loss", loss)
    dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_torchrun_with_two_processes_is_one_experiment_by_rank_0(project: Project) -> None:
    torch = pytest.importorskip("torch")
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo")
    project.write("train.py", TORCH)
    project.commit()
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "train.py",
    ]
    env = {**os.environ, "PYTHONPATH": HERE, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=project.root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert project.tags() == ["exp-1"]
    found = gitexp.get("exp-1")
    assert (found.status, dict(found.params)) == ("finished", {"world": 2})
    history = found.history()
    assert {name: len(rows) for name, rows in history.groupby("name")} == {
        "loss": 12,
        "rank0.loss": 12,
        "rank1.loss": 12,
    }
    assert list(history[history.name == "loss"].step) == [*range(12)]
    assert project.git("status", "--porcelain") == ""
