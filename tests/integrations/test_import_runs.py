"""Runs of other tools, written by those tools themselves, become experiments: with their own times,
and each only once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import gitexp
import mlflow_server
from conftest import Project
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers import tensorboard
from gitexp.formats.trackers.found import Run
from gitexp.integrations.importers import record as recorder
from gitexp.integrations.mlflow.client import Server
from gitexp.repo import Repo
from gitexp.store.index import Index
from recording import record

PYTHON = sys.executable


def script(folder: Path, *words: str, env: dict[str, str] | None = None, code: int = 0) -> None:
    """Run a Python program in a folder, as its user would: its text, or ``-m`` and a module."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [PYTHON, *(words if words[0] == "-m" else ("-c", *words))],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == code, done.stderr


def everything(project: Project) -> tuple[object, ...]:
    """Return all that an import must leave alone: work tree, index, HEAD, and all refs but
    exp-N."""
    refs = [
        line for line in project.git("for-each-ref").splitlines() if "refs/tags/exp-" not in line
    ]
    files = {
        str(path): path.stat().st_mtime_ns
        for path in project.root.rglob("*")
        if ".git/" not in f"{path}/"
    }
    return (
        refs,
        files,
        project.git("status", "--porcelain", "--ignored"),
        project.git("ls-files", "-s"),
        project.git("rev-parse", "HEAD"),
    )


def imported(project: Project, *args: str) -> list[str]:
    """Import twice: the first adds, the second must add nothing, and nothing else may have
    changed."""
    before = everything(project)
    lines = project.gitexp("import", *args).splitlines()
    assert project.gitexp("import", *args) == ""
    assert everything(project) == before
    assert project.gitexp("verify", "--all").count(" ok ") == len(project.tags())
    project.fsck()
    return [line.partition(" ")[0] for line in lines]


# -- MLflow ----------------------------------------------------------------------------------------

MLFLOW = """
import mlflow, sys, os
uri, commit = sys.argv[1:3]
mlflow.set_tracking_uri(uri)
mlflow.set_experiment("housing")
with mlflow.start_run(run_name="sweep", tags={"mlflow.source.git.commit": commit, "team": "x", "mlflow.note.content": "a note"}) as run:
    mlflow.log_params({"lr": 0.1, "model.depth": 3, "layers": [1, 2], "version": "01", "none": None})
    for step in range(3):
        mlflow.log_metric("val/loss", 1 / (step + 1), step=step, timestamp=1_700_000_000_000 + step)
    mlflow.log_text("hello", "out/a.txt")
    mlflow.log_text("x" * 20_000, "big.bin")
    with mlflow.start_run(run_name="trial", nested=True):
        mlflow.log_metric("rmse", float("nan")); mlflow.log_metric("r2", float("inf"))
mlflow.start_run(run_name="broken"); mlflow.end_run("FAILED")
gone = mlflow.start_run(run_name="deleted"); mlflow.end_run(); mlflow.delete_run(gone.info.run_id)
mlflow.start_run(run_name="running")
os._exit(0)
"""


def check_mlflow(project: Project, uri: str) -> None:
    """Import what MLFLOW wrote, and look whether it is all there."""
    project.write(".gitexp.toml", 'max_file_size = "10kB"\n')
    assert imported(project, "mlflow", uri, "--artifacts") == ["exp-1", "exp-2", "exp-3"]
    sweep, trial, broken = (gitexp.get(f"exp-{at}") for at in (1, 2, 3))
    assert (sweep.subject, trial.subject, broken.subject, broken.status) == (
        "sweep",
        "trial",
        "broken",
        "failed",
    )
    assert (sweep.group, trial.group, broken.group) == ("sweep", "sweep", "housing")
    assert sweep.params == {
        "lr": 0.1,
        "model.depth": 3,
        "layers": [1, 2],
        "version": "01",
        "none": None,
    }
    assert sweep.history()["value"].tolist() == [1.0, 0.5, 1 / 3]
    assert int(sweep.history()["timestamp"].iloc[0].timestamp()) == 1_700_000_000
    assert trial.metrics["r2"] == float("inf")
    assert trial.metrics["rmse"] != trial.metrics["rmse"]
    assert sweep.parent == project.git("rev-parse", "HEAD")
    assert sweep.read(".gitexp/artifacts/out/a.txt") == b"hello"
    assert sweep.read("train.py") == b"print('training')\n"
    shown = project.gitexp("show", "exp-1")
    assert "a note" in shown
    assert "team=x" in shown
    assert f"mlflow {sweep.extra['source']['id']} in " in shown
    assert "Gitexp-Source: mlflow " in project.git("log", "-1", "--format=%B", "exp-1")
    assert "code     unknown: mlflow noted no commit" in project.gitexp("show", "exp-3")
    assert project.git("rev-list", "--count", "exp-3") == "1"


@pytest.mark.slow
def test_runs_of_mlflow_in_sqlite(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    script(tmp_path / "m", MLFLOW, "sqlite:///mlflow.db", project.git("rev-parse", "HEAD"))
    database = tmp_path / "m/mlflow.db"
    before = database.read_bytes()
    done = project.run("import", "mlflow", str(database), "--dry-run")
    assert len(done.stdout.splitlines()) == 4
    assert "running: it is running; import again when it is over" in done.stderr
    check_mlflow(project, f"sqlite:///{database}")
    assert database.read_bytes() == before
    assert not (project.root / "mlruns").exists()
    assert "housing" in project.error(
        "import", "mlflow", str(database), "--experiment", "housin", code=3
    )
    done = project.run("import", "mlflow", str(database), "--artifacts")
    assert "3 runs recorded already" in done.stderr
    for tag in project.tags():
        project.git("tag", "-d", tag)
    big = project.run("import", "mlflow", str(database), "--artifacts").stderr
    assert "big.bin: 20.0 kB, over the limit of 10.0 kB" in big


@pytest.mark.slow
def test_runs_of_mlflow_in_a_folder(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    script(
        tmp_path / "m",
        MLFLOW,
        "mlruns",
        project.git("rev-parse", "HEAD"),
        env={"MLFLOW_ALLOW_FILE_STORE": "true"},
    )
    before = sorted((str(path), path.stat().st_mtime_ns) for path in (tmp_path / "m").rglob("*"))
    check_mlflow(project, str(tmp_path / "m/mlruns"))
    assert (
        sorted((str(path), path.stat().st_mtime_ns) for path in (tmp_path / "m").rglob("*"))
        == before
    )


@pytest.mark.slow
def test_runs_of_an_mlflow_server_are_those_of_its_database(
    project: Project, tmp_path: Path
) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    script(tmp_path / "m", MLFLOW, "sqlite:///mlflow.db", project.git("rev-parse", "HEAD"))
    with mlflow_server.served(tmp_path / "m") as address, Server(address) as server:
        run, artifacts = server.create_run(
            server.create_experiment("other"),
            "remote",
            int(time.time() * 1000),
            {"mlflow.user": "bob"},
        )
        server.log(
            run, {"lr": "1e-3"}, [MetricPoint("loss", float("nan"), 1_700_000_000_000, 2)], {}
        )
        server.upload(artifacts, "a/b.txt", b"over the wire")
        server.upload(artifacts, "big.bin", bytes(20_000))
        server.end_run(run, "KILLED", int(time.time() * 1000) + 5000)
        project.write(".gitexp.toml", 'max_file_size = "10kB"\n')
        done = project.run("import", "mlflow", address, "--artifacts")
        assert done.returncode == 0, done.stderr
        assert project.gitexp("import", "mlflow", env={"MLFLOW_TRACKING_URI": address}) == ""
    remote = gitexp.get("exp-4")
    assert (remote.status, remote.author, remote.group, remote.params) == (
        "killed",
        "bob",
        "other",
        {"lr": 0.001},
    )
    assert remote.read(".gitexp/artifacts/a/b.txt") == b"over the wire"
    assert "remote big.bin: 20.0 kB, over the limit of 10.0 kB" in done.stderr
    sweep, trial, _ = (gitexp.get(f"exp-{at}") for at in (1, 2, 3))
    assert sweep.extra["source"]["where"] == address
    assert sweep.params["layers"] == [1, 2]
    assert sweep.history()["value"].tolist() == [1.0, 0.5, 1 / 3]
    assert sweep.read(".gitexp/artifacts/out/a.txt") == b"hello"
    assert (trial.group, trial.metrics["r2"]) == ("sweep", float("inf"))
    assert (
        "4 runs recorded already"
        in project.run("import", "mlflow", str(tmp_path / "m/mlflow.db")).stderr
    )


def test_a_store_that_is_not_there_is_one_line(project: Project, tmp_path: Path) -> None:
    assert "there is no store at 'nope'" in project.error("import", "mlflow", "nope")
    assert "there is no file" in project.error("import", "mlflow", "sqlite:///nope.db")
    assert not Path("nope.db").exists()
    assert "none of its folders holds a meta.yaml" in project.error("import", "mlflow", ".")
    assert "no MLflow server answers at" in project.error("import", "mlflow", "http://127.0.0.1:9")
    assert "there is no run-ID.wandb below" in project.error("import", "wandb", ".")
    assert "there is no event file" in project.error("import", "tensorboard", ".")
    other = tmp_path / "x.db"
    sqlite3.connect(other).execute("create table t(x)")
    assert "cannot be read as MLflow's database" in project.error("import", "mlflow", str(other))


def test_a_folder_of_runs_is_read_without_mlflow_and_a_run_that_was_here_before_is_known(
    project: Project,
) -> None:
    """Written by hand in MLflow's form, with the marks that gitexp's own export leaves."""
    ours = record(project, {"lr": 1}, {"loss": 2})
    run = project.root / "mlruns/1/abc"
    texts = {
        "mlruns/1/meta.yaml": "name: Default\n",
        "mlruns/1/abc/meta.yaml": "run_id: abc\nstatus: 3\nstart_time: 1600000000000\nend_time: 1600000005000\nlifecycle_stage: active\nuser_id: bob\n",
        "mlruns/1/abc/params/a/b": "x",
        "mlruns/1/abc/params/a.b.": "1e-3",
        "mlruns/1/abc/metrics/loss": "1600000001000 0.5 0\n1600000002000 NaN 1\n16000000",
        "mlruns/1/abc/tags/mlflow.source.git.commit": "f" * 40,
        "mlruns/1/bad/meta.yaml": "!!python/object/apply:os.system ['touch owned']\n",
        "mlruns/1/old/meta.yaml": "run_id: old\nstatus: FINISHED\nstart_time: 1600000000000\n",
        "mlruns/1/old/tags/gitexp.id": str(ours.extra["id"]),
    }
    for path, text in texts.items():
        project.write(path, text)
    done = project.run("import", "mlflow", "mlruns")
    assert done.returncode == 0, done.stderr
    assert "1 run recorded already" in done.stderr
    assert f"not read: {run.parent / 'bad'}" in done.stderr.replace(
        "mlruns/1/bad", f"{run.parent / 'bad'}", 1
    )
    found = gitexp.get("exp-2")
    assert found.params == {"a/b": "x", "a.b.": 0.001}
    assert found.duration == 5.0
    assert (found.author, found.group) == ("bob", None)
    assert found.extra["code"] == "unknown: commit ffffffffff is not here"
    assert len(found.history()) == 2
    assert not Path("owned").exists()


@pytest.mark.parametrize("owner", ["user", "gitexp"])
def test_params_of_the_users_stay_and_those_of_an_experiment_before_are_replaced(
    project: Project, owner: str
) -> None:
    if owner == "user":
        start = project.commit("mine", params_yml="mine: 1\n")
    else:
        start = record(project, {"lr": 1}, {"loss": 2}, requirements="# old\n").id
    project.write("mlruns/1/meta.yaml", "name: Default\n")
    project.write(
        "mlruns/1/abc/meta.yaml",
        f"run_id: abc\nstatus: 3\nstart_time: 1600000000000\nend_time: {10**17}\n",
    )
    project.write("mlruns/1/abc/params/lr", "5")
    project.write("mlruns/1/abc/tags/mlflow.source.git.commit", start)
    project.gitexp("import", "mlflow", "mlruns")
    found = gitexp.get("@" if owner == "user" else "exp-2")
    assert found.parent == start
    assert found.params == {"lr": 5}
    files = project.git("ls-tree", "-r", "--name-only", found.id).split()
    if owner == "user":
        assert found.read("params.yml") == b"mine: 1\n"
        assert found.read(".gitexp/params.yml") == b"lr: 5\n"
    else:
        assert found.read("params.yml") == b"lr: 5\n"
        assert not [path for path in files if path.startswith(".gitexp/")]
    project.gitexp("verify", found.name)


# -- Weights & Biases ------------------------------------------------------------------------------

WANDB = """
import wandb
for code in (0, 3):
    run = wandb.init(project="p", name="brave", group="g", tags=["a b", "c"], notes="a note", config={"lr": 0.1, "m": {"d": 3}},
                     settings=wandb.Settings(save_code=True, console="off"))
    for step in range(3):
        run.log({"loss": 1 / (step + 1), "val": {"acc": step}, "text": "x", "h": wandb.Histogram([1, 2]), "bad": float("nan")})
    run.summary["best"] = 0.9
    run.summary["loss"] = 0.25
    run.config.update({"late": [1, 2]})
    run.finish(exit_code=code)
"""


@pytest.fixture
def offline(project: Project) -> Project:
    """The project, in which W&B wrote two runs on changed code, one of which failed."""
    pytest.importorskip("wandb", reason="wandb is not installed")
    project.write("train.py", "print('changed, not committed')\n")
    project.write(".gitignore", "wandb\n")
    script(project.root, WANDB, env={"WANDB_MODE": "offline", "WANDB_SILENT": "true"})
    return project


@pytest.mark.slow
def test_offline_runs_of_wandb_with_their_uncommitted_changes(
    offline: Project, tmp_path: Path
) -> None:
    start = offline.git("rev-parse", "HEAD")
    assert imported(offline, "wandb", "wandb") == ["exp-1", "exp-2"]
    good, bad = gitexp.get("exp-1"), gitexp.get("exp-2")
    assert (good.status, bad.status) == ("finished", "failed")
    assert (good.subject, good.group, good.labels, good.parent) == (
        "brave",
        "g",
        ("a-b", "c"),
        start,
    )
    assert good.params == {"lr": 0.1, "m.d": 3, "late": [1, 2]}
    assert {*good.metrics} == {"loss", "val.acc", "best", "bad"}
    assert good.metrics["loss"] == 0.25  # as the script says, and W&B's own table
    assert len(good.history()) == 11
    assert abs(time.time() - good.started.timestamp()) < 120
    assert good.read("train.py") == b"print('changed, not committed')\n"
    assert "the commit with the uncommitted changes" in offline.gitexp("show", "exp-1")
    # where the patch does not fit, it is kept, and said
    for tag in offline.tags():
        offline.git("tag", "-d", tag)
    for patch in (offline.root / "wandb").glob("*/files/diff.patch"):
        patch.write_text("--- a/gone.py\n+++ b/gone.py\n@@ -1 +1 @@\n-a\n+b\n")
    done = offline.run("import", "wandb", ".")
    assert done.stderr.count("its changes do not apply") == 2
    assert gitexp.get("@").read(".gitexp/diff.patch").startswith(b"--- a/gone.py")
    # and in a repository that never had the commit
    other = Project(tmp_path / "other")
    other.root.mkdir()
    other.git("init", "-q")
    other.gitexp("import", "wandb", str(offline.root / "wandb"))
    assert f"unknown: commit {start[:10]} is not here" in other.gitexp("show", "exp-1")
    # a killed run: torn anywhere, it is read up to there
    torn = tmp_path / "torn"
    whole = next((offline.root / "wandb").glob("*/*.wandb")).read_bytes()
    for at, size in enumerate((3, 7, 500, len(whole) // 2, len(whole) - 5)):
        torn.mkdir(exist_ok=True)
        (torn / f"run-{at}.wandb").write_bytes(whole[:size])
    done = other.run("import", "wandb", str(torn), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "it seems to be active" in done.stderr
    for path in torn.iterdir():
        os.utime(path, (1_600_000_000, 1_600_000_000))
    other.git("tag", "-d", *other.tags())
    other.gitexp("import", "wandb", str(torn))
    assert gitexp.get("@", repo=other.root).status == "killed"


# -- TensorBoard -----------------------------------------------------------------------------------

TENSORBOARD = """
from tensorboardX import SummaryWriter
with SummaryWriter("runs/a") as writer:
    for step in range(5):
        writer.add_scalar("train/loss", 0.1 * (step + 1), step)
    writer.add_text("note", "hello"); writer.add_histogram("h", [1, 2, 3], 0)
    writer.add_hparams({"lr": 0.1, "opt": "adam", "flag": True, "depth": 3}, {"hp/acc": 0.9})
with SummaryWriter("runs/b") as writer:
    writer.add_scalar("loss", float("nan"), 1)
with SummaryWriter("runs/empty") as writer:
    pass
"""


@pytest.mark.slow
def test_event_files(project: Project, tmp_path: Path) -> None:
    for package in ("tensorboardX", "tensorboard"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    script(tmp_path, TENSORBOARD)
    (tmp_path / "runs/b/hparams.yaml").write_text("batch: 32\n")
    assert imported(project, "tensorboard", str(tmp_path / "runs")) == ["exp-1", "exp-2"]
    a, b = gitexp.get("exp-1"), gitexp.get("exp-2")
    assert (a.subject, b.subject) == ("a", "b")
    assert a.params == {"lr": 0.1, "opt": "adam", "flag": True, "depth": 3}
    assert a.metrics == {"train/loss": 0.5, "hp/acc": 0.9}
    assert [
        value
        for name, value in zip(a.history()["name"], a.history()["value"])
        if name == "train/loss"
    ] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert abs(time.time() - a.started.timestamp()) < 120
    assert b.params == {"batch": 32}
    assert "unknown: tensorboard noted no commit" in project.gitexp("show", "exp-1")
    assert "not read: empty" in project.run("import", "tensorboard", str(tmp_path / "runs")).stderr
    # moved elsewhere it is the same run, and a torn file is read up to there
    shutil.copytree(tmp_path / "runs/a", tmp_path / "moved")
    assert project.gitexp("import", "tensorboard", str(tmp_path / "moved")) == ""
    events = next((tmp_path / "runs/b").glob("events*"))
    (tmp_path / "torn").mkdir()
    for size in (0, 5, 30, events.stat().st_size - 3):
        (tmp_path / "torn" / events.name).write_bytes(events.read_bytes()[:size])
        assert len(list(tensorboard.find(tmp_path / "torn"))) >= 1


DEAD = """
import os, signal, time, wandb
run = wandb.init(project="p", settings=wandb.Settings(console="off"))
for step in range(2000):  # W&B writes blocks of 32 kB
    run.log({"a": {"b": 1}, "a.b": 2}, step=step)
time.sleep(3)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_run_of_wandb_says_so_and_nested_names_stay_apart(project: Project) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    env = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    script(project.root, DEAD, env=env, code=-signal.SIGKILL)
    (log,) = project.root.glob("wandb/offline-run-*/*.wandb")
    os.utime(log, (1, 1))  # a young one may go on
    said = project.run("import", "wandb", "wandb").stderr
    found = gitexp.get("exp-1")
    assert found.status == "killed"
    assert found.metrics == {"a/b": 1, "a.b": 2}
    assert "it was killed; " in said
    assert " rows were read" in said


CURVES = """
import time
from tensorboardX import SummaryWriter
with SummaryWriter("runs/a") as writer:
    for step in range(3):
        writer.add_scalars("acc", {"train": 0.9, "val": 0.8 + step}, step)
        writer.add_scalars("loss", {"train": 0.1, "val": 0.2}, step)
with SummaryWriter("boost/learn") as writer:
    writer.add_scalar("RMSE", 0.5, 0)
with SummaryWriter("boost/test") as writer:
    writer.add_scalar("RMSE", 0.7, 0)
"""


def one_time(folder: Path) -> None:
    """Give event files one name and the time of the first, as CatBoost does."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    for path in sorted(folder.rglob("*tfevents*")):
        events = [Event.FromString(raw) for raw in RawEventFileLoader(str(path)).Load()]
        with open(path.parent / "events.out.tfevents.1", "wb") as file:
            for event in events:
                event.wall_time = 1_700_000_000.0
                file_writer = RecordWriter(file)
                file_writer.write(event.SerializeToString())
                file_writer.flush()
        path.unlink()


@pytest.mark.slow
def test_event_files_of_one_name_and_time_are_several_runs_and_sets_of_curves_are_one(
    project: Project, tmp_path: Path
) -> None:
    for package in ("tensorboardX", "tensorboard"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    script(tmp_path, CURVES)
    one_time(tmp_path / "boost")
    assert imported(project, "tensorboard", str(tmp_path / "runs")) == ["exp-1"]
    assert gitexp.get("exp-1").metrics == pytest.approx(
        {"acc/train": 0.9, "acc/val": 2.8, "loss/train": 0.1, "loss/val": 0.2}
    )
    assert imported(project, "tensorboard", str(tmp_path / "boost/learn")) == ["exp-2"]
    assert imported(project, "tensorboard", str(tmp_path / "boost")) == ["exp-3"]
    assert [gitexp.get(f"exp-{n}").metrics for n in (2, 3)] == [{"RMSE": 0.5}, {"RMSE": 0.7}]


@pytest.mark.slow
def test_a_run_known_by_the_id_of_an_earlier_release_is_not_imported_again(
    project: Project, tmp_path: Path
) -> None:
    for package in ("tensorboardX", "tensorboard"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    script(tmp_path, CURVES)
    one_time(tmp_path / "boost")
    repo = Repo.discover(project.root)
    (learn, test) = tensorboard.find(tmp_path / "boost")
    assert isinstance(learn, Run)
    assert isinstance(test, Run)
    assert (learn.former, test.former) == (("events.out.tfevents.1@1700000000.0",), ())
    earlier = replace(learn, id=learn.former[0], former=())
    assert len(list(recorder.record(Index(repo), [earlier], recorder.Outcome(), 10**6))) == 1
    assert imported(project, "tensorboard", str(tmp_path / "boost")) == ["exp-2"]
    assert gitexp.get("exp-2").metrics == {"RMSE": 0.7}


# -- DVC -------------------------------------------------------------------------------------------

PIPELINE = """\
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [lr]
    metrics:
      - eval.json: {cache: false}
      - hidden.json
"""
TRAIN = "import json, yaml\nlr = yaml.safe_load(open('params.yaml'))['lr']\nfor name in ('eval', 'hidden'):\n    json.dump({'rmse': lr * 10}, open(name + '.json', 'w'))\n"
LIVE = """
from dvclive import Live
with Live(save_dvc_exp=True, exp_name="live") as live:
    live.log_param("lr", 0.1)
    for step in range(3):
        live.log_metric("train/loss", 1 / (step + 1)); live.next_step()
"""


@pytest.mark.slow
def test_experiments_of_dvc_and_dvclive(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("dvc", "dvclive"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}")

    def dvc(*args: str) -> None:
        script(project.root, "-m", "dvc", *args, "-q")

    dvc("init")
    project.write("train.py", TRAIN)
    project.write("dvc.yaml", PIPELINE)
    project.write("params.yaml", "lr: 1\n")
    dvc("repro")
    base = project.commit("pipeline")
    project.write("params.yaml", "lr: 2\n")
    dvc("repro")
    dvc("exp", "save", "-n", "try-2")
    project.git("checkout", "-q", ".")
    script(project.root, LIVE)
    hidden = project.run("import", "dvc", "--dry-run").stderr
    assert "not read: try-2 hidden.json: it is not in git; DVC's cache may have it" in hidden
    assert imported(project, "dvc") == ["exp-1", "exp-2"]
    two, live = gitexp.get("exp-1"), gitexp.get("exp-2")
    assert (two.subject, two.parent, two.params, two.metrics) == (
        "try-2",
        base,
        {"lr": 2},
        {"rmse": 20},
    )
    assert two.id == project.git("for-each-ref", "--format=%(objectname)", "refs/exps/*/*/try-2")
    assert live.metrics["train/loss"] == pytest.approx(1 / 3)
    assert [
        value
        for name, value in zip(live.history()["name"], live.history()["value"])
        if name == "train/loss"
    ] == [
        1.0,
        0.5,
        pytest.approx(1 / 3),
    ]
    assert json.loads(project.gitexp("list", "--json"))[0]["author"] == "Ada"


def test_a_new_name_is_never_one_of_an_experiment_of_dvc(project: Project) -> None:
    base = project.commit("base")
    project.gitexp("log", "--metric", "a=1")
    other = f"refs/exps/{base[:2]}/{base[2:]}"
    for number in (2, 3):  # the second into a folder that is there already
        project.git("update-ref", f"{other}/exp-{2 * number}", base)
        project.gitexp("log", "--metric", "a=1")
        assert project.tags()[-1] == f"exp-{2 * number + 1}"
    assert "hides" not in project.gitexp("doctor")
    project.git("update-ref", f"{other}/exp-1", base)
    said = project.run("doctor")
    assert "the tag exp-1 hides DVC's experiment of that name" in said.stdout + said.stderr


def test_without_experiments_of_dvc_it_says_so(project: Project) -> None:
    assert (
        "nothing to import: there is no experiment below refs/exps"
        in project.run("import", "dvc").stderr
    )


@pytest.mark.slow
def test_a_time_that_is_none_and_a_link_out_of_the_folder_stop_no_import(
    project: Project, tmp_path: Path
) -> None:
    for package in ("tensorboardX", "tensorboard"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    script(tmp_path, CURVES)
    one_time(tmp_path / "boost/learn")
    nan = tmp_path / "boost/learn/events.out.tfevents.1"
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    event = Event(wall_time=float("nan"), step=7)
    event.summary.value.add(tag="RMSE", simple_value=0.25)
    with open(nan, "ab") as file:
        RecordWriter(file).write(event.SerializeToString())
    private = tmp_path / "private.tfevents"
    private.write_bytes(nan.read_bytes())
    (tmp_path / "boost/stolen").mkdir()
    (tmp_path / "boost/stolen/out.tfevents").symlink_to(private)
    done = project.run("import", "tensorboard", str(tmp_path / "boost"))
    assert "a link that leads out of the folder" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert project.tags() == ["exp-1", "exp-2"]
    assert 0.25 in {gitexp.get(name).metrics["RMSE"] for name in project.tags()}
