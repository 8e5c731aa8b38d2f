"""Trials that outlive their driver: the workers push them, and a trial is one experiment whoever
recorded it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_sweep import HERE, dask_cluster, found, started, wait_for
from test_sync import Clones, cloned, names, remote
from test_sync_faults import address, hook

from conftest import Project
from git_server import helper
from gitexp.repo import Repo
from gitexp.runs import journal
from gitexp.store.index import Index
from gitexp.sweeps import clusters, collect, schedule, slurm, space, worker, worker_push
from gitexp.sweeps import plan as plans
from gitexp.sweeps import results as keeping

pytest.importorskip("loky" if find_spec("loky") else "joblib")
__all__ = ["address", "cloned", "remote"]  # fixtures


@pytest.fixture
def ada(cloned: Clones, address: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A clone whose remote is a server over HTTP that wants a login, and the test working inside
    it."""
    clone = cloned("ada")
    clone.git("remote", "set-url", "origin", address)
    clone.git("config", "--global", "credential.helper", helper())  # workers log in by themselves
    monkeypatch.chdir(clone.root)
    return clone


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where each trial leaves a file, ``LR-PID``, when it begins; all wait for ``go`` beside it."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def train(project: Project, marks: Path) -> None:
    """Commit a training script that waits for ``go`` (and for none but this machine's end of
    patience)."""
    project.commit(
        train_py=f"""
import os, sys, time
lr = sys.argv[2]
open(f"{marks}/{{lr}}-{{os.getpid()}}", "w").close()
end = time.monotonic() + 300
while not os.path.exists("{marks.parent}/go"):
    assert time.monotonic() < end, "nobody said go"
    time.sleep(0.05)
print("trained with", lr)
open("metrics.csv", "w").write(f"Name,Value\\nrmse,{{lr}}\\n")
"""
    )


def kill(driver: subprocess.Popen[bytes]) -> None:
    """Kill a driver and nothing else; its workers have the other end of its stderr still."""
    driver.kill()
    driver.wait()
    assert driver.stderr is not None
    driver.stderr.close()


def ran(marks: Path) -> list[str]:
    """Return the lr of each time that a trial was begun."""
    return sorted(item.name.partition("-")[0] for item in marks.iterdir())


def pushed(remote: Project, group: str) -> list[str]:
    """Return the trials that lie on the remote's branch."""
    return sorted(
        remote.git("show", f"experiments/{group}:{worker_push.TRIALS}", check=False).split()
    )


def all_of(project: Project) -> list[str]:
    """Return the names of all experiments that a clone knows, mine and others', as ``list --all``
    shows them."""
    return names(project, "--all")


@pytest.mark.slow
def test_what_driver_and_worker_both_recorded_is_one_experiment_here_and_for_everybody(
    ada: Project, cloned: Clones, remote: Project, marks: Path
) -> None:
    marks.parent.joinpath("go").touch()
    train(ada, marks)
    ada.write("train.py", (ada.root / "train.py").read_text() + "# not committed\n")
    done = ada.run(
        "sweep",
        "--workers-push",
        "--group",
        "g",
        "-j",
        "2",
        "-p",
        "lr=1,2,3",
        "--",
        "python",
        "train.py",
    )
    assert done.returncode == 0, done.stderr
    assert names(ada) == all_of(ada) == ["g/0", "g/1", "g/2"]
    assert pushed(remote, "g") == ["0", "1", "2"]
    assert not list((ada.root / ".git/gitexp/worktrees").iterdir()), "a worker left something"
    ada.gitexp("pull")
    assert names(ada) == all_of(ada) == ["g/0", "g/1", "g/2"]
    assert ada.gitexp("push") == "origin has all experiments of this clone\n"
    bob = cloned("bob")
    bob.gitexp("pull")
    assert all_of(bob) == ["g/0", "g/1", "g/2"]
    theirs = {item.name: item for item in Index(Repo.discover(bob.root)).select(everybody=True)}
    assert [theirs[f"g/{at}"].params["lr"] for at in range(3)] == [1, 2, 3]
    assert theirs["g/1"].author == "Ada"
    assert theirs["g/1"].parent == ada.git("rev-parse", "HEAD")
    assert b"# not committed" in theirs["g/1"].read("train.py")
    assert b"trained with 2" in theirs["g/1"].read(".gitexp/output.log")
    assert "g/1  ok" in bob.gitexp("verify", "g/1")
    for place in (ada, bob, remote):
        place.fsck()


def test_a_driver_killed_outlives_nothing_that_its_workers_had_begun_and_resume_runs_only_the_rest(
    ada: Project, remote: Project, marks: Path
) -> None:
    train(ada, marks)
    driver = started(ada, "--workers-push", "--group", "g", "-j", "2", "-p", "lr=1,2,3")
    wait_for(lambda: ran(marks) == ["1", "2"])
    kill(driver)
    assert not pushed(remote, "g")
    (marks.parent / "go").touch()
    wait_for(lambda: pushed(remote, "g") == ["0", "1"])
    assert ada.gitexp("pull") == "pulled 2 experiments from origin\n"
    assert all_of(ada) == ["g/0", "g/1"]
    ada.gitexp("sweep", "--resume", "g")
    assert ran(marks) == ["1", "2", "3"]
    assert names(ada) == all_of(ada) == ["g/0", "g/1", "g/2"]
    assert [item.status for item in found(ada)] == ["finished"] * 3
    assert pushed(remote, "g") == ["0", "1", "2"]
    ada.fsck()


def resumed() -> subprocess.Popen[bytes]:
    """Start another driver of the sweep ``g``."""
    return subprocess.Popen(
        [sys.executable, "-m", "gitexp", "sweep", "--resume", "g"],
        env={**os.environ, "PYTHONPATH": HERE}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_resume_waits_for_trials_that_still_run_without_their_driver(
    ada: Project, remote: Project, marks: Path
) -> None:
    train(ada, marks)
    driver = started(ada, "--workers-push", "--group", "g", "-p", "lr=1,2")
    wait_for(lambda: ran(marks) == ["1"])
    kill(driver)
    again = resumed()
    assert again.stderr is not None
    assert b"trials that an earlier driver started still run here (1)" in again.stderr.readline()
    (marks.parent / "go").touch()
    again.communicate(timeout=300)
    assert again.returncode == 0
    assert ran(marks) == ["1", "2"]
    assert names(ada) == pushed_names(remote) == ["g/0", "g/1"]


def test_a_trial_whose_worker_is_about_to_push_it_is_left_to_that_worker(
    ada: Project, remote: Project, marks: Path
) -> None:
    """The worker has to log in at the remote, and that takes until ``login`` is there."""
    login, asked = marks.parent / "login", marks.parent / "asked"
    program = marks.parent / "helper"
    waits = f'case "$PWD" in *outbox) : > {asked}; until [ -e {login} ]; do sleep 0.05; done;; esac'
    program.write_text(f'#!/bin/sh\n{waits}\n{helper().removeprefix("!")} "$@"\n')
    program.chmod(0o755)
    ada.git("config", "--global", "credential.helper", str(program))
    (marks.parent / "go").touch()
    train(ada, marks)
    driver = started(ada, "--workers-push", "--group", "g", "-p", "lr=1")
    wait_for(asked.exists)
    kill(driver)
    again = resumed()
    assert again.stderr is not None
    said = again.stderr.readline()
    login.touch()
    again.communicate(timeout=300)
    assert b"trials that an earlier driver started still run here (1)" in said
    assert again.returncode == 0
    assert ran(marks) == ["1"]
    assert names(ada) == all_of(ada) == pushed_names(remote) == ["g/0"]


@pytest.mark.slow
def test_resume_takes_the_results_of_jobs_that_a_killed_driver_had_submitted(
    project: Project, marks: Path
) -> None:
    pytest.importorskip("submitit")
    train(project, marks)
    driver = started(
        project,
        "--group",
        "g",
        "--engine",
        "slurm",
        "--address",
        "local",
        "-j",
        "2",
        "-p",
        "lr=1,2,3",
    )
    wait_for(lambda: ran(marks) == ["1", "2"])
    kill(driver)
    again = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gitexp",
            "sweep",
            "--resume",
            "g",
            "--engine",
            "slurm",
            "--address",
            "local",
        ],
        env={**os.environ, "PYTHONPATH": HERE},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert again.stderr is not None
    assert b"trials that an earlier driver started still run here (2)" in again.stderr.readline()
    (marks.parent / "go").touch()
    again.communicate(timeout=300)
    assert again.returncode == 0
    assert ran(marks) == ["1", "2", "3"]
    assert [(item.params["lr"], item.status) for item in found(project)] == [
        (1, "finished"),
        (2, "finished"),
        (3, "finished"),
    ]
    assert not list((project.root / ".git/gitexp/submitit").iterdir())


def test_jobs_that_wait_in_the_queue_of_a_killed_driver_are_cancelled_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no SLURM here: this only sees to it that its ``scancel`` is called for the right
    jobs."""
    program = tmp_path / "bin/scancel"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/cancelled\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    for name, note in (
        ("queued", "slurm 11"),
        ("running", "slurm 12"),
        ("over", "slurm 13"),
        ("here", "local 14"),
        ("odd", "slurm -u root"),
    ):
        (tmp_path / "g" / name).mkdir(parents=True)
        (tmp_path / "g" / name / worker.JOB).write_text(note)
    (tmp_path / "g/over/run.json").write_text('{"status": "finished"}')
    with journal.hold(tmp_path / "g/running"):
        assert slurm.cancel_queued(tmp_path / "g") == ["11"]
    assert (tmp_path / "cancelled").read_text() == "11\n"


def pushed_names(remote: Project) -> list[str]:
    """Return the names of the trials of sweep ``g`` on the remote."""
    return [f"g/{name}" for name in pushed(remote, "g")]


def test_a_trial_that_an_engine_ran_twice_arrives_once(
    ada: Project, remote: Project, marks: Path, tmp_path: Path
) -> None:
    (marks.parent / "go").touch()
    train(ada, marks)
    repo = Repo.discover(ada.root)
    asked = plans.Plan((sys.executable, "train.py"), space.parse(["lr=1"]), workers_push="origin")
    frozen = plans.freeze(repo, asked, "g")
    first = schedule.Schedule(asked, [], False, 1).next()
    assert first is not None
    job = schedule.job(frozen, first, collect.open_for(repo, frozen))
    job = replace(job, commit=clusters.remote_commit(repo, frozen.commit))
    bundle = clusters.bundle(repo, frozen.commit)
    results = [worker.run_without_clone(job, bundle) for _ in range(2)]
    assert [worker_push.TAKEN in files for files in results] == [False, True]
    assert not any(worker_push.UNSENT in files for files in results)
    assert results[0][worker_push.TAG] != results[1][worker_push.TAG]
    for at in (1, 0):  # the one that came too late is looked at first
        worker.unpack(results[at], tmp_path / f"back-{at}")
        problems: list[str] = []
        kept = keeping.Running(first, job, tmp_path / f"back-{at}")
        ((_, made),) = keeping.record(repo, frozen, [kept], problems)
        assert (made.name, made.tag) == (
            "g/0",
            repo.write_object("tag", results[0][worker_push.TAG]),
        )
        assert not problems
        assert not kept.folder.exists()
    assert pushed(remote, "g") == ["0"]
    assert all_of(ada) == ["g/0"]
    ada.fsck()


def test_what_a_worker_hands_back_as_its_experiment_must_be_of_the_trial(
    ada: Project, marks: Path, tmp_path: Path
) -> None:
    (marks.parent / "go").touch()
    train(ada, marks)
    ada.gitexp(
        "sweep", "--workers-push", "--group", "g", "-p", "lr=1", "--", sys.executable, "train.py"
    )
    repo = Repo.discover(ada.root)
    frozen = plans.load(repo, "g")
    first = schedule.Schedule(frozen.plan, [], False, 1).next()
    assert first is not None
    job = replace(schedule.job(frozen, first), commit=clusters.remote_commit(repo, frozen.commit))
    files = worker.run_without_clone(job, clusters.bundle(repo, frozen.commit))
    real = next(repo.objects([repo.refs("refs/tags/g/0")["refs/tags/g/0"]]))
    assert real is not None
    commit = next(repo.objects([ada.git("rev-parse", "g/0^{commit}")]))
    assert commit is not None
    ada.git("tag", "-d", "g/0")
    worker.unpack(
        {**files, worker_push.TAG: real.data, worker_push.COMMIT: commit.data}, tmp_path / "back"
    )
    ((_, made),) = keeping.record(
        repo, frozen, [keeping.Running(first, job, tmp_path / "back")], []
    )
    assert made.name == "exp-1", "another trial's experiment was taken for it"
    assert made.extra["sweep"]["point"] == {"lr": 1}


def test_a_worker_that_may_not_push_hands_its_trial_to_the_driver_which_says_so(
    ada: Project, remote: Project, marks: Path
) -> None:
    (marks.parent / "go").touch()
    train(ada, marks)
    hook(
        remote, "pre-receive", f"[ -z \"$(ls {marks})\" ] || {{ echo 'no workers here'; exit 1; }}"
    )
    done = ada.run(
        "sweep", "--workers-push", "--group", "g", "-p", "lr=1,2", "--", "python", "train.py"
    )
    assert done.returncode == 1
    assert "could not push 2 experiments to origin" in done.stderr
    assert "no workers here" in done.stderr
    assert names(ada) == ["g/0", "g/1"]
    assert not pushed(remote, "g")
    (remote.root / "hooks/pre-receive").unlink()
    assert "pushed 2 experiments" in ada.gitexp("push")


def test_a_group_whose_name_is_taken_on_the_remote_is_refused_and_nothing_is_frozen(
    ada: Project, marks: Path
) -> None:
    train(ada, marks)
    ada.gitexp("log", "-p", "lr=9")
    ada.gitexp("push")
    said = ada.error(
        "sweep", "--workers-push", "--group", "ada", "-p", "lr=1", "--", "python", "train.py"
    )
    assert said == "there is a branch experiments/ada on origin already; choose another --group"
    assert not ada.git("for-each-ref", "refs/gitexp/sweeps")
    assert ran(marks) == []


def test_workers_that_have_no_filter_that_is_required_do_not_push(
    ada: Project, marks: Path
) -> None:
    train(ada, marks)
    ada.git("config", "filter.crypt.clean", "cat")
    ada.git("config", "filter.crypt.required", "true")
    words = ("sweep", "-p", "lr=1", "--workers-push", "--", "python", "train.py")
    assert "no filter 'crypt'" in ada.error(*words)
    assert ran(marks) == []


# How many trials a scheduler knows; of no module, so that it travels by value.
SUBMITTED = eval(
    "lambda dask_scheduler: sum(str(key).startswith('gitexp-g/') for key in dask_scheduler.tasks)",
    {},
)


@pytest.mark.slow
def test_trials_queued_on_dask_run_and_arrive_without_their_driver(
    ada: Project, remote: Project, marks: Path, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    train(ada, marks)
    with dask_cluster(tmp_path) as where:
        driver = started(
            ada,
            "--workers-push",
            "--group",
            "g",
            "--engine",
            "dask",
            "--address",
            where,
            "-j",
            "5",
            "-p",
            "lr=1,2,3,4,5",
        )
        wait_for(lambda: len(ran(marks)) == 2)
        with distributed.Client(where, timeout=300, set_as_default=False) as client:
            wait_for(lambda: client.run_on_scheduler(SUBMITTED) == 5)
        kill(driver)
        (marks.parent / "go").touch()
        wait_for(lambda: pushed(remote, "g") == [*"01234"])
        assert ran(marks) == [*"12345"]
        ada.gitexp("pull")
        ada.git("tag", "-d", "g/3", check=False)
        ada.gitexp("sweep", "--resume", "g", "--engine", "dask", "--address", where)
    assert ran(marks) == [*"12345"], "something ran twice"
    assert names(ada) == all_of(ada) == [f"g/{at}" for at in range(5)]
    assert [(item.params["lr"], item.status) for item in found(ada)] == [
        (lr, "finished") for lr in (1, 2, 3, 4, 5)
    ]
    ada.fsck()
