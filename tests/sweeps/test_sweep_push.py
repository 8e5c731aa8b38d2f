"""A sweep's trials reach a remote while it runs, in few pushes, and a remote that fails takes
nothing away."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from test_sync import Clones, cloned, remote
from test_sync_faults import address, hook, refs

import gitexp
from conftest import Project
from git_server import helper
from gitexp.repo import Repo
from gitexp.store.index import Index
from gitexp.sweeps import driver_push

pytest.importorskip("loky" if find_spec("loky") else "joblib")
__all__ = ["address", "cloned", "remote"]  # fixtures
TRAIN = """
import os, sys, time
lr = sys.argv[2]

def wait_for(path):
    end = time.monotonic() + 300
    while not os.path.exists(path):
        assert time.monotonic() < end, f"waited in vain for {{path}}"
        time.sleep(0.02)

{body}
open("metrics.csv", "w").write(f"Name,Value\\nrmse,{{lr}}\\n")
"""


@pytest.fixture
def ada(cloned: Clones, address: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A clone whose remote is a server over HTTP that wants a login, and the test working inside
    it."""
    clone = cloned("ada")
    clone.git("remote", "set-url", "origin", address)
    clone.git("config", "credential.helper", helper())
    monkeypatch.chdir(clone.root)
    return clone


def train(project: Project, body: str = "") -> None:
    """Commit a training script."""
    project.commit(train_py=TRAIN.format(body=body))


def there(project: Project, remote: Project) -> list[float]:
    """Return the lr of each experiment on the remote, as a new clone sees them."""
    reader = Project(remote.root.with_name("reader"))
    remote.git("clone", "-q", remote.root.as_uri(), str(reader.root))
    reader.gitexp("pull")
    found = {item.tag: item for item in Index(Repo.discover(reader.root)).select(everybody=True)}
    return sorted(item.params["lr"] for item in found.values())


def group(project: Project) -> str:
    """Return the name of the only sweep."""
    return project.git("for-each-ref", "--format=%(refname:lstrip=3)", "refs/gitexp/sweeps")


@pytest.mark.slow
def test_a_short_sweep_is_one_push_of_its_own_trials_and_of_nothing_else(
    ada: Project, remote: Project
) -> None:
    pushes = remote.root.parent / "pushes"
    hook(remote, "post-receive", f"echo >> {pushes}")
    train(ada)
    ada.gitexp("log", "-p", "lr=9", "--no-advance")
    done = ada.run("sweep", "--push", "-j", "2", "-p", "lr=1,2,3,4", "--", "python", "train.py")
    assert done.returncode == 0, done.stderr
    assert "pushed 4 experiments to origin as ada" in done.stderr
    assert pushes.read_text() == "\n"
    assert there(ada, remote) == [1, 2, 3, 4]
    assert "main" not in done.stderr
    assert remote.git("rev-parse", "main") != ada.git("rev-parse", "main"), (
        "the branch is the user's to push"
    )
    ada.git("tag", "-d", "exp-3")
    done = ada.run("sweep", "--push", "origin", "--resume", group(ada))
    assert "pushed 1 experiment to origin" in done.stderr
    ada.fsck()


@pytest.mark.slow
def test_trials_go_while_others_run_and_a_push_that_fails_is_one_warning_and_tried_again(
    ada: Project, remote: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = remote.root.parent
    hook(
        remote,
        "pre-receive",
        f"[ -e {place}/go ] || {{ : > {place}/declined; echo 'closed for lunch'; exit 1; }}",
    )
    hook(remote, "post-receive", f": > {place}/pushed")
    train(
        ada,
        f"if lr == '2':\n    wait_for('{place}/declined')\n    open('{place}/go', 'w')\n    wait_for('{place}/pushed')",
    )
    monkeypatch.setattr(driver_push, "PAUSE", 0.05)
    with pytest.warns(RuntimeWarning) as said:
        frame = gitexp.sweep("python train.py", {"lr": [1, 2, 3]}, minimize="rmse", push=True)
    assert list(frame["status"]) == ["finished"] * 3
    told = [str(item.message) for item in said if "closed for lunch" in str(item.message)]
    assert len(told) == 1
    assert "the sweep continues, and the push is tried again" in told[0]
    assert there(ada, remote) == [1, 2, 3]


def test_what_did_not_go_is_said_at_the_end_with_the_command_that_sends_it(
    ada: Project, remote: Project
) -> None:
    train(ada)
    lock = hook(remote, "pre-receive", "echo closed for good; exit 1")
    before = refs(remote)
    done = ada.run("sweep", "-p", "lr=1,2", "--push", "--", "python", "train.py")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("warning: could not push 2 experiments to origin: ")
    assert "closed for good" in last
    assert last.endswith("; to push: gitexp push origin")
    assert len(ada.tags()) == 2
    assert refs(remote) == before
    lock.unlink()
    assert "pushed 2 experiments" in ada.gitexp("push", "origin")


def test_a_remote_that_is_not_known_is_said_before_anything_is_frozen(ada: Project) -> None:
    train(ada)
    assert "there is no remote 'orign'" in ada.error(
        "sweep", "--push", "orign", "-p", "lr=1", "--", "python", "train.py"
    )
    ada.write("sweep.yml", "command: python train.py\nparams: {lr: [1]}\npush: 3\n")
    assert "'push' must be the name of a remote, or true, not 3" in ada.error("sweep", "sweep.yml")
    ada.git("remote", "remove", "origin")
    assert "there is no remote" in ada.error(
        "sweep", "-p", "lr=1", "--push", "--", "python", "train.py"
    )
    assert not ada.git("for-each-ref", "refs/gitexp", "refs/tags")


@pytest.mark.slow
def test_a_file_says_where_to_push(ada: Project, remote: Project) -> None:
    train(ada)
    ada.write("sweep.yml", "command: python train.py\nparams: {lr: [1, 2]}\npush: true\n")
    assert ada.run("sweep", "sweep.yml").returncode == 0
    assert there(ada, remote) == [1, 2]
    ada.write("sweep.yml", "command: python train.py\nparams: {lr: [3]}\n")
    assert "pushed 1 experiment" in ada.run("sweep", "--push", "sweep.yml").stderr


def test_an_experiment_that_was_removed_meanwhile_keeps_no_other_away(
    ada: Project, remote: Project
) -> None:
    train(
        ada,
        "if lr == '3':\n    import subprocess, time\n"
        "    while not subprocess.run(['git', '-C', TOP, 'tag', '-l', 'exp-1'], capture_output=True).stdout: time.sleep(0.05)\n"
        "    subprocess.run([sys.executable, '-m', 'gitexp', '-C', TOP, 'rm', 'exp-1'], check=True)",
    )
    ada.write(
        "train.py", ada.root.joinpath("train.py").read_text().replace("TOP", repr(str(ada.root)))
    )
    done = ada.run("sweep", "-p", "lr=1,2,3", "--push", "--", "python", "train.py")
    assert done.returncode == 0, done.stderr
    assert "pushed 2 experiments to origin" in done.stderr
    assert there(ada, remote) == [2, 3]
