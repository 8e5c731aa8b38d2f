"""Many clones that push at the same time: all arrives, each once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from test_sync import Clones, cloned, names, remote

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
        with ThreadPoolExecutor(CLONES) as at_once:
            for done in at_once.map(lambda clone: clone.run("push", timeout=120), clones):
                assert done.returncode == 0, done.stderr
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
