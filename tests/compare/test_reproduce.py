"""Reproducing: the same comes out the same, what changed is named, and nothing of the user's is
touched."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gitexp
from conftest import Project, seal
from gitexp.repo import Repo
from gitexp.store import notes
from gitexp.store.index import Index

PYTHON = sys.executable
TRAINING = """
import csv, sys
import numpy as np
from sklearn.ensemble import RandomForestRegressor
import gitexp

gitexp.seed_everything(7)
data = np.loadtxt("data/train.csv", delimiter=",")
model = RandomForestRegressor(n_estimators=5).fit(data[:, :-1], data[:, -1])
gitexp.log_metric("r2", model.score(data[:, :-1], data[:, -1]))
"""


def data(shift: float = 0.0) -> str:
    """Return a small table with something to learn in it."""
    return "".join(f"{x},{x * x % 7},{(x * 3 + x * x) % 11 + shift * x}\n" for x in range(40))


def writes(expression: str, imports: str = "import random") -> str:
    """Return a script that knows nothing of gitexp and writes one metric."""
    return f'{imports}\nopen("metrics.csv", "w").write(f"Name,Value,Timestamp,Step\\nrmse,{{{expression}}},0,0\\n")\n'


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose only experiment is a real scikit-learn training on data that git
    ignores."""
    with pytest.MonkeyPatch.context() as patch:
        seal(tmp_path_factory.mktemp("home"), patch)
        project = Project(tmp_path_factory.mktemp("trained"))
        project.git("init", "-q")
        project.write("data/train.csv", data())
        project.commit(train_py=TRAINING, _gitignore="data/\n")
        project.gitexp("run", "--input", "data/train.csv", "--", PYTHON, "train.py")
        return project.root


@pytest.fixture
def trained(training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it, and the test working inside."""
    monkeypatch.chdir(shutil.copytree(training, tmp_path / "trained"))
    return Project(tmp_path / "trained")


def test_a_real_training_comes_out_bit_for_bit(trained: Project) -> None:
    """Seeded through gitexp, its data a declared input outside of git; `list` can show the mark
    from the note."""
    trained.write("train.py", "the user's present work")
    before = (trained.root / ".git" / "index").read_bytes()
    shown = json.loads(trained.gitexp("reproduce", "exp-1", "--yes", "--json"))
    assert shown["verdict"] == "same"
    assert shown["metrics"][0]["recorded"] == shown["metrics"][0]["now"]
    assert (trained.root / "train.py").read_text() == "the user's present work"
    assert (trained.root / ".git" / "index").read_bytes() == before
    assert len(trained.git("worktree", "list").splitlines()) == 1
    experiment = Index(Repo.discover()).named("exp-1")
    assert experiment is not None
    assert notes.verdict(experiment.extra["events"]) == "same"
    assert trained.tags() == ["exp-1"]


def test_an_input_behind_a_link_is_known_by_its_path_in_the_repository(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "train.csv").write_text("1.5")
    os.symlink(tmp_path / "store", project.root / "data")
    script = writes("value", 'value = open("data/train.csv").read()')
    project.commit(train_py=script, _gitignore="data\n")
    project.gitexp("run", "--input", "data/train.csv", "--", PYTHON, "train.py")
    assert [*gitexp.get("exp-1").extra["inputs"]] == ["data/train.csv"]
    assert "same: exp-1" in project.gitexp("reproduce", "exp-1", "--yes")


def test_changed_data_is_named(trained: Project) -> None:
    trained.write("data/train.csv", data(shift=0.5))
    shown = trained.gitexp("reproduce", "exp-1", "--yes", code=1)
    assert "drifted: r2" in shown
    assert "input data changed: data/train.csv" in shown
    assert "other package versions" not in shown


def test_a_seed_that_is_not_fixed_is_told_from_change(project: Project) -> None:
    """A second run differs from the first, so it is noise."""
    project.commit(train_py=writes("random.random()"))
    project.gitexp("run", "--", PYTHON, "train.py")
    shown = project.gitexp("reproduce", "exp-1", "--yes", code=1)
    assert "two equal runs differ" in shown
    assert "seed_everything" in shown


def test_a_changed_package_version_is_named(project: Project, tmp_path: Path) -> None:
    """The package is on the path as an installed one is, with its version in the name of its
    folder."""
    for version, value in (("1.0", 1), ("2.0", 2)):
        site = tmp_path / f"site{value}"
        (site / f"tiny-{version}.dist-info").mkdir(parents=True)
        (site / "tiny.py").write_text(f"value = {value}\n")
    path = os.environ.get("PYTHONPATH", str(Path(__file__).parents[2]))
    project.commit(train_py="import gitexp, tiny\ngitexp.log_metric('rmse', tiny.value)\n")
    assert (
        project.run(
            "run", "--", PYTHON, "train.py", env={"PYTHONPATH": f"{tmp_path}/site1:{path}"}
        ).returncode
        == 0
    )
    done = project.run(
        "reproduce", "exp-1", "--yes", env={"PYTHONPATH": f"{tmp_path}/site2:{path}"}
    )
    assert done.returncode == 1
    assert (
        "other package versions: tiny 1.0 -> 2.0; to run with those recorded: --env recorded"
        in done.stdout
    )
    assert "differ" not in done.stdout


def wheel(folder: Path, name: str, version: str, code: str = "") -> None:
    """Write a package as an installer takes it, into a folder that stands for the index."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", code)
        file.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        file.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr(f"{info}/RECORD", "")


@pytest.mark.slow
def test_the_recorded_environment_is_built_again(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's environment has moved on to version 2; the one that is built has version 1, and
    the user's stays."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # without uv
    for version in ("1.0", "2.0"):
        wheel(tmp_path, "tiny", version, f"value = {version}\n")
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([PYTHON, "-m", "venv", str(tmp_path / "venv")], check=True)
    install = [str(python), "-m", "pip", "install", "-q"]
    subprocess.run([*install, "tiny==1.0"], check=True)
    project.commit(train_py=writes("tiny.value", "import tiny"))
    project.gitexp("run", "--", str(python), "train.py")
    subprocess.run([*install, "tiny==2.0"], check=True)
    assert "other package versions: tiny 1.0 -> 2.0" in project.gitexp(
        "reproduce", "exp-1", "--yes", code=1
    )
    assert "same: exp-1" in project.gitexp("reproduce", "exp-1", "--yes", "--env", "recorded")
    assert (
        subprocess.run(
            [str(python), "-c", "import tiny; print(tiny.value)"], capture_output=True, text=True
        ).stdout
        == "2.0\n"
    )
    (tmp_path / "tiny-1.0-py3-none-any.whl").unlink()
    done = project.run("reproduce", "exp-1", "--yes", "--env", "recorded")
    assert done.returncode == 125
    assert "the recorded environment could not be built: ERROR: " in done.stderr


def test_nothing_runs_without_a_yes(project: Project) -> None:
    """Without a terminal to ask on, it says how."""
    project.write("canary.py", f"open({str(project.root / 'canary')!r}, 'w')\n")
    project.gitexp("run", "--", PYTHON, "canary.py")
    (project.root / "canary").unlink()
    done = project.run("reproduce", "exp-1")
    assert done.returncode == 2
    assert "gitexp reproduce exp-1 --yes" in done.stderr
    assert f"{shlex.quote(PYTHON)} canary.py" in done.stderr
    assert not (project.root / "canary").exists()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("log", "has no command to run"),
        ("secret", "held a secret"),
        ("fails", "failed with exit code 3: no luck"),
        ("says nothing", "has no metric, so there is nothing to compare"),
    ],
)
def test_what_cannot_be_run_exits_with_125(project: Project, command: str, says: str) -> None:
    """`git bisect run` skips a commit for that code."""
    train = "import os, sys, gitexp\nif os.path.exists('FAIL'):\n    gitexp.log_metric('rmse', 1)\n    print('no luck')\n    sys.exit(3)\n"
    project.commit(train_py=train)
    if command == "log":
        project.gitexp("log", "--metric", "rmse=1")
    elif command == "secret":
        project.gitexp("run", "--", PYTHON, "train.py", "--token", "abc")
    elif command == "says nothing":
        project.gitexp("run", "--", PYTHON, "train.py")
    else:
        project.write("FAIL", "")
        project.gitexp("run", "--", PYTHON, "train.py", code=3)
    done = project.run("reproduce", "@", "--yes")
    assert done.returncode == 125
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_tolerance_makes_near_enough_the_same(project: Project) -> None:
    project.commit(train_py=writes("1 + random.random() / 1e6"))
    project.gitexp("run", "--", PYTHON, "train.py")
    assert "drifted" in project.gitexp("reproduce", "@", "--yes", code=1)
    assert "drifted" in project.gitexp(
        "reproduce", "@", "--yes", "--tolerance", "rmse=1e-9", code=1
    )
    assert "same" in project.gitexp("reproduce", "@", "--yes", "--tolerance", "rmse=1%")
    assert "same" in project.gitexp("reproduce", "@", "--yes", "--tolerance", "1e-3")
    assert (
        "no metric 'rsme'" in project.run("reproduce", "@", "--yes", "--tolerance", "rsme=1").stderr
    )
    assert "is not a tolerance" in project.error(
        "reproduce", "@", "--yes", "--tolerance", "rmse=much"
    )


def test_record_keeps_the_new_run_and_its_link(project: Project) -> None:
    """It stands beside the branch, on the experiment that it reproduces."""
    project.commit(train_py=writes("1"))
    project.gitexp("run", "--", PYTHON, "train.py")
    head = project.git("rev-parse", "HEAD")
    project.gitexp("reproduce", "exp-1", "--yes", "--record")
    assert project.tags() == ["exp-1", "exp-2"]
    assert project.git("rev-parse", "HEAD") == head
    new = Index(Repo.discover()).named("exp-2")
    assert new is not None
    assert new.extra["reproduces"]["commit"] == head
    assert new.metrics == {"rmse": 1}
    assert f"Gitexp-Reproduces: {head} (exp-1)" in project.git("log", "-1", "--format=%B", "exp-2")
    assert not list((project.root / ".git" / "gitexp" / "runs").iterdir())
    project.fsck()


def test_recorded_variables_are_set_and_others_of_the_list_are_not(project: Project) -> None:
    project.commit(train_py=writes("int(os.environ.get('OMP_NUM_THREADS', 0))", "import os"))
    assert (
        project.run("run", "--", PYTHON, "train.py", env={"OMP_NUM_THREADS": "3"}).returncode == 0
    )
    done = project.run("reproduce", "@", "--yes", env={"OMP_NUM_THREADS": "8"})
    assert done.returncode == 0, done.stderr


def test_code_comes_from_the_commit_not_from_the_users_path(project: Project) -> None:
    """PYTHONPATH points into the user's work tree, whose module has changed since."""
    project.write("lib/model.py", "value = 1\n")
    project.commit(train_py=writes("model.value", "import model"))
    env = {"PYTHONPATH": f"{project.root / 'lib'}:{Path(__file__).parents[2]}"}
    assert project.run("run", "--", PYTHON, "train.py", env=env).returncode == 0
    project.write("lib/model.py", "value = 2\n")
    done = project.run("reproduce", "@", "--yes", env=env)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_runs_where_it_was_recorded_with_a_program_that_git_ignores(project: Project) -> None:
    """A relative path to an interpreter in the user's folder, from a folder below the top."""
    project.write("src/train.py", writes("1"))
    project.commit(_gitignore=".venv/\n")
    bin_folder = project.root / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(PYTHON)} "$@"\n')
    (bin_folder / "python").chmod(0o755)
    project.gitexp("run", "--", "../.venv/bin/python", "train.py", cwd=project.root / "src")
    assert "same" in project.gitexp("reproduce", "@", "--yes")


def test_an_input_that_is_not_here_is_named_before_anything_runs(trained: Project) -> None:
    """As in a colleague's clone: it was declared, so gitexp does not advise to declare it."""
    (trained.root / "data" / "train.csv").unlink()
    done = trained.run("reproduce", "exp-1", "--yes")
    assert done.returncode == 125
    assert "the input data/train.csv of exp-1 is not here" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_nobody_declared_can_be_brought_now(project: Project) -> None:
    """Else an experiment whose data git ignores could never be run again; the verdict says what is
    not known of it."""
    project.write("data/x", "1")
    project.commit(train_py=writes("open('data/x').read()", "import os"), _gitignore="data/\n")
    project.gitexp("run", "--", PYTHON, "train.py")
    done = project.run("reproduce", "exp-1", "--yes")
    assert done.returncode == 125
    assert "or now: --input PATH" in done.stderr
    (project.root / "sub").mkdir()
    assert "same: exp-1" in project.gitexp(
        "reproduce", "exp-1", "--yes", "--input", "../data", cwd=project.root / "sub"
    )
    project.write("data/x", "2")
    shown = project.gitexp("reproduce", "exp-1", "--yes", "--input", "data", code=1)
    assert "data may have changed since then" in shown
    assert "is not there" in project.error("reproduce", "exp-1", "--yes", "--input", "nothing")


def test_the_outcome_stands_in_list_and_show_with_its_tolerance(project: Project) -> None:
    """A mark for what was verified; who reads on sees how near is near enough, and why the last one
    drifted."""
    project.commit(train_py=writes("1 + random.random()"))
    project.gitexp("run", "--", PYTHON, "train.py")
    done = project.run("reproduce", "exp-1", "--yes")
    assert "exp-1 drifted; running it once more, to tell noise from change" in done.stderr
    assert "(drifted)" in project.gitexp("list")
    assert "drifted: two equal runs differ" in project.gitexp("show", "exp-1")
    shown = project.gitexp("reproduce", "exp-1", "--yes", "--tolerance", "200%")
    assert "same: exp-1 came out within the tolerance of what was recorded (1 metric)" in shown
    assert "exp-1 (verified)" in project.gitexp("list")
    assert "same within 200% (" in project.gitexp("show", "exp-1")


def test_an_experiment_without_metrics_is_not_called_the_same(project: Project) -> None:
    project.gitexp("run", "--", PYTHON, "train.py")
    done = project.run("reproduce", "exp-1", "--yes")
    assert done.returncode == 125
    assert "has no metric, so there is nothing to compare" in done.stderr


def test_what_was_fetched_from_another_clone_runs_only_after_a_yes(
    project: Project, tmp_path: Path
) -> None:
    """Nothing of it runs by itself, and whose command it is is said."""
    canary = tmp_path / "canary"
    project.git("init", "-q", "--bare", str(tmp_path / "remote.git"))
    project.git("remote", "add", "origin", str(tmp_path / "remote.git"))
    project.commit(train_py=f"open({str(canary)!r}, 'w').close()\n" + writes("1"))
    project.gitexp("run", "--", PYTHON, "train.py")
    project.gitexp("push", "origin")
    project.git("clone", "-q", str(tmp_path / "remote.git"), str(tmp_path / "bob"))
    bob = Project(tmp_path / "bob")
    bob.gitexp("pull")
    canary.unlink()
    for words in (
        ["reproduce", "exp-1"],
        ["list", "--all"],
        ["show", "exp-1"],
        ["verify", "--all"],
    ):
        done = bob.run(*words)
        assert not canary.exists(), words
    done = bob.run("reproduce", "exp-1")
    assert done.returncode == 2
    assert "recorded by Ada <ada@example.org>" in done.stderr
    assert not canary.exists()
    assert "same" in bob.gitexp("reproduce", "exp-1", "--yes")
    assert canary.exists()


TORCH = """
import torch
import gitexp
gitexp.seed_everything(3)
data = torch.randn(64, 4)
model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(16, 1))
step = torch.optim.SGD(model.parameters(), lr=0.1)
loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
for epoch in range(3):
    for batch in loader:
        loss = (model(batch) - batch.sum(1, keepdim=True)).pow(2).mean()
        step.zero_grad()
        loss.backward()
        step.step()
gitexp.log_metric("loss", loss.item())
"""


@pytest.mark.slow
def test_a_seeded_torch_training_comes_out_bit_for_bit(project: Project) -> None:
    """Weights, dropout and the order of the batches are all drawn from the seed; without it the two
    differ."""
    pytest.importorskip("torch")
    project.commit(train_py=TORCH)
    project.gitexp("run", "--", PYTHON, "train.py")
    seed = Index(Repo.discover()).named("exp-1").extra["seed"]  # type: ignore[union-attr]
    assert seed["value"] == 3
    assert "torch" in seed["of"]
    assert "came out as it was recorded" in project.gitexp("reproduce", "exp-1", "--yes")
    project.commit(train_py=TORCH.replace("gitexp.seed_everything(3)", ""))
    project.gitexp("run", "--", PYTHON, "train.py")
    assert "two equal runs differ" in project.gitexp("reproduce", "exp-2", "--yes", code=1)


def test_where_a_run_was_told_to_look_for_metrics_holds_when_it_is_run_again(
    project: Project,
) -> None:
    script = "open('odd.json', 'w').write('{\"rmse\": 2}'); open('metrics.json', 'w').write('{\"n\": 3}')"
    project.write("train.py", f"{script}; print('acc: 0.5')\n")
    told = ("--metrics-file", "odd.json", "--stdout")
    project.gitexp("run", *told, "--", "python", "train.py")
    assert dict(gitexp.get("@").metrics) == {"rmse": 2, "n": 3, "acc": 0.5}
    for name in ("exp-1", "exp-2"):
        said = project.gitexp("reproduce", name, "--yes", "--record")
        assert f"same: {name} came out as it was recorded (3 metrics)" in said
