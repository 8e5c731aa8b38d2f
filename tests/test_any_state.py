"""Whatever state a repository is in: what is recorded is what was on disk, nothing of the user's is
touched, and going back loses nothing.

The states are random, the same for the same seed. ``GITEXP_SEEDS=0:1000`` tries others.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import gitexp
from gitexp.formats.errors import UsageError
from gitexp.repo import Repo
from gitexp.store import checkout
from gitexp.store.index import Index
from states import State, held_in, sources

FIRST, LAST = map(int, os.environ.get("GITEXP_SEEDS", "0:24").split(":"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FIRST, LAST))
def test_a_run_records_what_is_on_disk_and_a_checkout_loses_nothing(
    seed: int, tmp_path: Path
) -> None:
    state = State(tmp_path / "repository", seed)
    for _ in range(state.random.randrange(3, 9)):
        for _ in range(state.random.randrange(7)):
            state.change()
        names = list(gitexp.experiments(repo=state.root)["name"])
        if not names or state.random.random() < 0.6:
            recorded(state, tmp_path / "copy")
        else:
            checked_out(state, state.random.choice(names))
    for folder, files in state.outside.items():
        assert held_in(folder) == files, "what lies behind a link is not ours"
    state.git("mktree")  # git itself commits the empty tree without writing it, and fsck misses it
    fsck = subprocess.run(
        ["git", "fsck", "--strict", "--no-dangling"], cwd=state.root, capture_output=True, text=True
    )
    assert fsck.returncode == 0, fsck.stderr


def recorded(state: State, copy: Path) -> None:
    """Record a run, and look at what must hold."""
    expected, disk, index, head = state.added(copy), state.disk(), state.index(), state.head()
    run = gitexp.start_run(params={"lr": state.random.random()}, repo=state.root)
    run.log_metric("loss", state.random.random())
    run.end()
    assert run.recorded is not None
    assert sources(state.tree(run.recorded.experiment.id)) == sources(expected)
    assert sources(state.disk()) == sources(disk)
    if run.recorded.advanced:
        assert not sources({os.fsdecode(line[3:]): line for line in state.status()})
    else:
        assert (state.disk(), state.index(), state.head()) == (disk, index, head)


def checked_out(state: State, name: str) -> None:
    """Check an experiment out and, now and then, undo that; where it is refused, all is as it
    was."""
    repo, target = Repo.discover(state.root), gitexp.get(name, repo=state.root)
    disk, index, head, status = state.disk(), state.index(), state.head(), state.status()
    try:
        done = checkout.checkout(repo, Index(repo), target, stash=state.random.random() < 0.3)
    except UsageError:
        assert (state.disk(), state.index(), state.head(), state.status()) == (
            disk,
            index,
            head,
            status,
        )
        return
    assert state.head()[0].decode() == target.id
    assert all(line.startswith(b"??") for line in state.status())
    now = state.disk()
    lost = [
        path
        for path, file in disk.items()
        if now.get(path) != file and file[0] == "file" and not state.held(path, file)
    ]
    assert not lost
    if done.undo and state.random.random() < 0.7:
        undone = subprocess.run(
            ["sh", "-c", done.undo], cwd=state.root, capture_output=True, text=True
        )
        assert undone.returncode == 0, undone.stderr
        assert state.head() == head
