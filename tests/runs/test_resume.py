"""A run that goes on with an experiment: one curve, its params, its checkpoints, one line in
``list``."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project
from gitexp.repo import Repo
from gitexp.runs import checkpoints
from gitexp.runs.finish import live_runs
from recording import record

EXAMPLE = Path(__file__).parents[2] / "examples" / "resume.py"


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(project.root)
    return project


def curve(ref: str, name: str = "loss") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in gitexp.get(ref).points() if point.name == name]


def listed(project: Project, *options: str) -> list[str]:
    return [row["name"] for row in json.loads(project.gitexp("list", "--json", *options))]


def test_a_run_that_resumes_has_one_curve_and_one_line(here: Project) -> None:
    params = {"lr": 0.1, "model": {"depth": 3}}
    record(here, params, {"loss": [9.0, 8.0, 7.0, 6.0], "val": [1.0, 2.0]}, status="killed")
    old = gitexp.get("exp-1")
    with gitexp.start_run({"lr": 0.2}, resume="exp-1") as run:
        run.log_metric("loss", 6.5, step=2)
        run.log_metric("loss", 5.5, step=3)
        run.log_metric("loss", 4.5)
        run.log_metric("val", 3.0)
    assert curve("exp-2") == [(0, 9.0), (1, 8.0), (2, 6.5), (3, 5.5), (4, 4.5)]
    assert curve("exp-2", "val") == [(0, 1.0), (1, 2.0), (2, 3.0)]
    found = gitexp.get("exp-2")
    assert found.params == {"lr": 0.2, "model.depth": 3}
    assert found.metrics == {"loss": 4.5, "val": 3.0}
    assert next(iter(old.points())) in [*found.points()]  # with its time
    assert f"Gitexp-Resumes: {old.id}" in here.git("log", "-1", "--format=%B", "exp-2")
    assert listed(here) == ["exp-2"]
    assert "left out: 1 that a later run resumed (--all-resumed)" in here.run("list").stderr
    assert listed(here, "--all-resumed") == ["exp-2", "exp-1"]
    assert listed(here, "exp-1") == ["exp-1"]
    here.gitexp("verify", "exp-2")
    here.gitexp("discard", "exp-2")
    assert listed(here) == ["exp-1"]
    here.gitexp("rm", "exp-2")
    assert listed(here) == ["exp-1"]


def test_a_fork_shares_the_history_up_to_its_step_and_hides_nothing(here: Project) -> None:
    old = record(here, {}, {"loss": [4.0, 3.0, 2.0, 1.0]})
    with gitexp.start_run(resume="exp-1@1") as run:
        run.log_metric("loss", 0.5)
    assert curve("@") == [(0, 4.0), (1, 3.0), (2, 0.5)]
    assert f"Gitexp-Resumes: {old.id}@1" in here.git("log", "-1", "--format=%B")
    assert "exp-1@1" in next(
        line for line in here.gitexp("show").splitlines() if line.startswith("resumes")
    )
    assert listed(here) == ["exp-2", "exp-1"]


def test_in_the_tree_a_run_stands_below_what_it_resumes(here: Project) -> None:
    for _ in range(2):
        record(here, {}, {"loss": [2.0]})
    with gitexp.start_run(resume="exp-1"):
        """Its code stands on exp-2."""
    origins = [row["origin"] for row in json.loads(here.gitexp("tree", "--json"))]
    assert origins == ["exp-1", "exp-1", None]


def test_what_cannot_be_resumed_leaves_nothing_behind(here: Project) -> None:
    here.commit()
    assert "no experiment" in here.error("run", "--resume", "exp-9", "--", "true", code=3)
    with pytest.raises(gitexp.NotFoundError):
        gitexp.start_run(resume="exp-9@3")
    assert not [*(here.root / ".git/gitexp/runs").glob("*")]
    assert here.git("for-each-ref", "refs/gitexp") == ""


def test_a_script_inside_of_gitexp_run_goes_on_too(here: Project) -> None:
    record(here, {"lr": 1}, {"loss": [3.0, 2.0]})
    here.commit(train_py="import gitexp\ngitexp.start_run()\ngitexp.log_metric('loss', 1.0)\n")
    here.gitexp("run", "--resume", "exp-1", "--", sys.executable, "train.py")
    assert curve("@") == [(0, 3.0), (1, 2.0), (2, 1.0)]
    here.commit(
        train_py="import gitexp\ngitexp.start_run(resume='exp-1')\ngitexp.log_metric('loss', 1.0)\n"
    )
    here.gitexp("run", "--", sys.executable, "train.py")
    assert curve("@") == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert gitexp.get("@").extra["resumes"] == gitexp.get("exp-1").id


def test_what_a_command_that_resumes_says_and_writes_wins(here: Project) -> None:
    record(here, {"epochs": 5, "batch": 8}, {"loss": [3.0, 2.0], "acc": [0.5]})
    script = """\
        import argparse, json
        parser = argparse.ArgumentParser()
        parser.add_argument("--epochs", type=int)
        parser.add_argument("--lr", type=float, default=0.1)
        parser.parse_args()
        print("epoch 2 val_loss=1.5")
        json.dump({"loss": 1.0, "acc": 0.9}, open("metrics.json", "w"))
        """
    here.commit(train_py=textwrap.dedent(script))
    command = (sys.executable, "train.py", "--epochs", "8")
    said = here.run("run", "--stdout", "--resume", "exp-1", "--", *command).stderr
    assert "params: 2 (argparse 1, command line 1)" in said
    assert gitexp.get("@").params == {"epochs": 8, "lr": 0.1, "batch": 8}
    assert gitexp.get("@").metrics == {"loss": 1.0, "acc": 0.9, "val_loss": 1.5}
    assert curve("@") == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert curve("@", "acc") == [(0, 0.9)]


def test_a_dead_run_is_recorded_first(here: Project) -> None:
    old = record(here, {}, {"loss": [1.0]})
    script = "import gitexp, os\nrun = gitexp.start_run()\nrun.log_metric('loss', {})\nprint(run.id, flush=True)\n"
    here.commit(die_py=script.format(3.0) + "os.kill(os.getpid(), 9)\n")
    for resumed in ("@", None):
        done = subprocess.run([sys.executable, "die.py"], capture_output=True, text=True)
        with gitexp.start_run(resume=resumed or done.stdout.strip()) as run:
            run.log_metric("loss", 2.0)
        assert curve("@") == [(0, 3.0), (1, 2.0)]
    assert listed(here) == ["exp-5", "exp-3", "exp-1"]
    assert gitexp.get("exp-4").status == "killed"
    with gitexp.start_run(resume=old.id):
        """What lies there and is named is not mistaken for it."""
    assert gitexp.get("@").extra["resumes"] == old.id


def test_a_checkpoint_is_handed_back_and_what_was_logged_beyond_is_left_out(here: Project) -> None:
    here.commit()
    with gitexp.start_run() as run:
        assert run.last_checkpoint() is None
        for step in range(6):
            run.log_metrics({"loss": 10.0 - step, "rare": step}, step=step)
            if step % 2:
                here.write("state/weights.bin", bytes([step]))
                run.checkpoint("state", step)
        run.log_metric("late", 1.0, step=9)
    with gitexp.start_run(resume="exp-1@4") as run:
        last = run.last_checkpoint()
        assert last is not None
        assert (last.step, (last.path / "weights.bin").read_bytes()) == (3, b"\3")
        assert last.path.name == "state"
        run.log_metric("loss", 0.0)
    assert [step for step, _ in curve("@")] == [0, 1, 2, 3, 4]
    assert [step for step, _ in curve("@", "rare")] == [0, 1, 2, 3]
    assert "late" not in gitexp.get("@").metrics
    with gitexp.start_run(resume="exp-2") as run:  # which made no checkpoint of its own
        assert run.last_checkpoint() is not None
    shutil.rmtree(here.root / ".git/gitexp/checkpoints")
    with pytest.warns(RuntimeWarning, match="checkpoints of exp-1 are not in this clone"):
        gitexp.start_run(resume="exp-1")
    gitexp.end_run()
    with pytest.raises(gitexp.UsageError, match="no file"):
        gitexp.checkpoint("nothing", 1)
    gitexp.end_run()


def test_what_was_logged_after_the_checkpoint_is_left_out_whatever_its_step(here: Project) -> None:
    here.commit()
    with gitexp.start_run() as run:
        run.log_metric("loss", 1.0, step=7)
        run.checkpoint(here.write("state.bin", b"1"), 7)
        run.log_metric("score", 0.5)
    with gitexp.start_run(resume="exp-1") as run:
        assert run.last_checkpoint() is not None
        run.log_metric("score", 0.5)
    assert (curve("@"), curve("@", "score")) == ([(7, 1.0)], [(0, 0.5)])


def test_a_run_that_died_before_it_had_taken_over_is_none(here: Project) -> None:
    old = record(here, {}, {"loss": [3.0, 2.0]}, status="killed")
    dead = "import os, gitexp\nfrom gitexp.runs import resume\nresume.checkpoints.take_over ="
    here.write("die.py", f"{dead} lambda *_: os._exit(9)\ngitexp.start_run(resume='@')\n")
    assert subprocess.run([sys.executable, "die.py"]).returncode == 9
    with gitexp.start_run(resume="@"):
        """After it."""
    assert gitexp.get("@").extra["resumes"] == old.id
    assert curve("@") == [(0, 3.0), (1, 2.0)]


def test_older_checkpoints_are_thinned_and_equal_ones_kept_once(here: Project) -> None:
    here.commit()
    repo = Repo.discover(here.root)
    state = here.write("state.bin", b"")
    for step in range(100):
        state.write_bytes(str(step // 50).encode())
        checkpoints.keep(repo, "one", state, step)
    top = here.root / ".git/gitexp/checkpoints"
    steps = sorted(int(path.name.partition("-")[2]) for path in (top / "one").glob("*-*"))
    assert steps == [0, 32, 64, 80, 88, 92, 94, 96, 97, 98, 99]
    assert len([*(top / "objects").iterdir()]) == 2
    checkpoints.take_over(repo, "one", "two", 80)
    checkpoints.forget(repo, "one")
    assert checkpoints.last(repo, "two") is not None
    assert len([*(top / "objects").iterdir()]) == 2
    checkpoints.forget(repo, "two")
    assert not [*(top / "objects").iterdir()]


def test_doctor_removes_checkpoints_of_runs_that_are_no_experiments(here: Project) -> None:
    here.commit()
    with gitexp.start_run() as run:
        run.checkpoint(here.write("state.bin", b"1"), 0)
    repo = Repo.discover(here.root)
    checkpoints.keep(repo, "gone", here.root / "state.bin", 0)
    top = here.root / ".git/gitexp/checkpoints"
    for path in top.iterdir():
        os.utime(path, (1e9, 1e9))
    assert "the checkpoints of run gone" in here.gitexp("doctor", "--fix")
    assert {path.name for path in top.iterdir()} == {"objects", run.id}


LOOP = """
with gitexp.start_run():
    last = gitexp.last_checkpoint()
    first = load(str(last.path)) or last.step + 1 if last else 0
    for step in range(first, 60):
        gitexp.log_metric("loss", train(), step=step)
        if step % 10 == 9:
            save("state.npz")
            gitexp.checkpoint("state.npz", step)
        time.sleep(3 * float(os.environ.get("SLOWNESS", 0)))
    np.save("weights.npy", weights())
"""
SKLEARN = """
import os, pickle, time, numpy as np, gitexp
from sklearn.linear_model import SGDRegressor
data = np.random.default_rng(1).normal(size=(500, 8))
target = data @ np.arange(8.0)
model, dice = SGDRegressor(random_state=0), np.random.RandomState(0)
def train():
    batch = dice.randint(0, 500, 32)
    model.partial_fit(data[batch], target[batch])
    return float(np.mean((model.predict(data) - target) ** 2))
def save(path):
    pickle.dump((model, dice), open(path, "wb"))
def load(path):
    global model, dice
    model, dice = pickle.load(open(path, "rb"))
def weights():
    return model.coef_
"""
TORCH = """
import os, time, numpy as np, torch, gitexp
torch.set_num_threads(1)
torch.manual_seed(0)
data = torch.randn(500, 8)
target = data @ torch.arange(8.0)
model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))
adam = torch.optim.Adam(model.parameters())
def train():
    batch = torch.randint(0, 500, (32,))
    loss = ((model(data[batch])[:, 0] - target[batch]) ** 2).mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    return loss.item()
def save(path):
    torch.save([model.state_dict(), adam.state_dict(), torch.get_rng_state()], path)
def load(path):
    was, how, dice = torch.load(path)
    model.load_state_dict(was)
    adam.load_state_dict(how)
    torch.set_rng_state(dice)
def weights():
    return np.concatenate([one.detach().numpy().ravel() for one in model.parameters()])
"""


def train(project: Project, *more: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gitexp", "run", *more, "--", sys.executable, "train.py"]
    return subprocess.Popen(
        command,
        cwd=project.root,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **env},
    )


def is_killed(project: Project, process: subprocess.Popen[str], seconds: float | None) -> bool:
    """Kill a training so many seconds after its first row, where any; whether it was still
    there."""
    while seconds is not None and process.poll() is None:
        rows = (project.root / ".git/gitexp/runs").glob("*/metrics.csv")
        if any(file.read_bytes().count(b"\r\n") > 1 for file in rows):
            time.sleep(seconds)
            break
        time.sleep(0.01)
    killed = seconds is not None and process.poll() is None
    if killed:
        os.killpg(process.pid, signal.SIGKILL)
    said = process.communicate()[0]
    assert killed or process.returncode == 0, said
    while live_runs(Repo.discover(project.root)):  # the training, which gitexp left behind
        time.sleep(0.01)
    return killed


def result(project: Project) -> Any:
    found = gitexp.get("@")
    points = [(point.name, point.step, point.value) for point in found.points()]
    return (project.root / "weights.npy").read_bytes(), points, found.metrics


@pytest.mark.slow
@pytest.mark.parametrize("library", ["numpy", "sklearn", "torch"])
def test_a_training_that_is_killed_and_resumed_ends_bit_equal_with_one_curve(
    here: Project, library: str
) -> None:
    """``TESTS_KILLS`` says how often it is killed, at random points; it begins anew when it came to
    its end before that."""
    pytest.importorskip(library)
    own = {"sklearn": SKLEARN + LOOP, "torch": TORCH + LOOP}
    script = own.get(library) or EXAMPLE.read_text(encoding="utf-8")
    here.commit(train_py=script, _gitignore="*.npz\n*.npy\n")
    assert train(here).wait(120) == 0
    expected = result(here)
    assert len(expected[1]) >= 60
    chance = random.Random(0)
    left, first, finished = int(os.environ.get("TESTS_KILLS", "3")), True, 0
    while left or not first:
        process = train(here, *(() if first else ("--resume", "@")), SLOWNESS="0.01")
        (here.root / "weights.npy").unlink(missing_ok=True)
        if is_killed(here, process, chance.uniform(0, 1.5) if left else None):
            left, first = left - 1, False
        else:
            assert result(here) == expected
            first, finished = True, finished + 1
    here.gitexp("recover")  # of runs that were killed before they had started nothing is left
    assert len(listed(here)) == 1 + finished
