"""Many clones that push at the same time: all arrives, each once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_sync import Clones, cloned, names, remote

import gitexp
from conftest import Project
from recording import record

__all__ = ["cloned", "remote"]  # fixtures
CLONES, EACH, ROUNDS = 8, 20, 4


@pytest.mark.slow
def test_eight_clones_push_twenty_each_at_the_same_time_and_all_arrive_once(
    cloned: Clones, remote: Project
) -> None:
    clones = [cloned(f"ada-{at}" if at < 3 else f"person{at}") for at in range(CLONES)]
    for _ in range(ROUNDS):
        for clone in clones:
            for at in range(EACH // ROUNDS):
                record(clone, {"lr": at}, advance=False)
            clone.gitexp("label", "@", "+mine")
        env = {**os.environ, "PYTHONPATH": str(Path(gitexp.__file__).parents[1])}
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "gitexp", "push"],
                cwd=clone.root,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for clone in clones
        ]
        for process in started:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
    made = {
        line
        for clone in clones
        for line in clone.git("for-each-ref", "--format=%(*objectname)", "refs/tags").split()
    }
    assert len(made) == CLONES * EACH
    tagged = remote.git("for-each-ref", "--format=%(*objectname)", "refs/tags").split()
    assert sorted(tagged) == sorted(made)
    for clone in clones:
        assert "all experiments" in clone.gitexp("push")
        clone.gitexp("pull")
        everybody = names(clone, "--all")
        assert len(everybody) == len(set(everybody)) == CLONES * EACH
        assert len(names(clone)) == EACH
        assert len(names(clone, "--all", "--where", "label = mine")) == CLONES * ROUNDS
    remote.fsck()
