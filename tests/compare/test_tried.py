"""Was this tried? What is most like the work tree, or like an experiment, comes first."""

from __future__ import annotations

import json

import pytest

from conftest import Project
from gitexp.compare.importance import importance
from gitexp.repo import Repo
from gitexp.store.index import Index
from recording import record

BASE = """def load(path):
    rows = open(path).read().split()
    return rows

def step(model, batch, rate):
    loss = model.forward(batch)
    model.update(loss * rate)
    return loss
"""
WARM = BASE.replace("loss * rate)", "loss * rate * min(1, model.steps / 500))")
CLIP = BASE.replace("    model.update", "    loss = max(-5.0, min(5.0, loss))\n    model.update")
CACHE = BASE.replace(
    "    rows = open", "    if path in SEEN:\n        return SEEN[path]\n    rows = open"
)


@pytest.fixture
def tries(project: Project) -> Project:
    """exp-1 is the start; exp-2 warms up, exp-3 clips, exp-4 caches."""
    for code, lr in ((BASE, 0.1), (WARM, 0.1), (CLIP, 0.1), (CACHE, 0.3)):
        project.write("train.py", code)
        record(project, {"lr": lr}, {"loss": 1.0}, advance=code is BASE)
    project.write("train.py", BASE)
    return project


def first(project: Project, *args: str) -> str:
    return str(json.loads(project.gitexp("tried", "--json", *args))[0]["name"])


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (WARM.replace("500", "800"), "exp-2"),
        (CLIP.replace("loss", "value"), "exp-3"),
        ("SEEN = {}\n" + CACHE, "exp-4"),
    ],
    ids=["a constant", "a renamed variable", "a line more"],
)
def test_the_work_tree_is_like_what_changed_the_same(tries: Project, code: str, name: str) -> None:
    tries.write("train.py", code)
    assert first(tries) == name


def test_a_param_that_is_given_counts(tries: Project) -> None:
    tries.write("train.py", WARM)
    record(tries, {"lr": 0.8}, {"loss": 1.0}, advance=False)
    assert first(tries, "-p", "lr=0.8") == "exp-5"
    assert first(tries, "-p", "lr=0.1") == "exp-2"


def test_what_is_like_an_experiment_is_not_itself(tries: Project) -> None:
    tries.write("train.py", WARM.replace("500", "900"))
    record(tries, {"lr": 0.1}, {"loss": 1.0}, advance=False)
    assert first(tries, "--like", "exp-5") == "exp-2"
    assert first(tries, "--like", "exp-2") == "exp-5"
    assert "leave one out" in tries.error("tried", "--like", "2", "-p", "lr=1")


def test_a_run_that_is_almost_a_discarded_one_says_so_and_goes_on(tries: Project) -> None:
    tries.gitexp("discard", "exp-3", "--because", "no gain")
    tries.write("train.py", CLIP)
    command = ("run", "--", "python", "-c", "print('loss=1')", "--lr")
    done = tries.run(*command, "0.1")
    assert done.returncode == 0
    assert "almost equal to exp-3, which was discarded: no gain" in done.stderr
    assert "almost equal" not in tries.run(*command, "0.9").stderr
    tries.write("train.py", CACHE)
    assert "almost equal" not in tries.run(*command, "0.1").stderr


def test_a_text_made_from_experiments_is_no_code(tries: Project) -> None:
    likeness = tries.gitexp("tried", "--json", "-p", "lr=0.3")
    tries.gitexp("book", "BOOK.md")
    assert tries.gitexp("tried", "--json", "-p", "lr=0.3") == likeness
    record(tries, {"lr": 0.3}, {"loss": 1.0}, advance=False)
    assert "BOOK.md" not in tries.gitexp("tree")


def test_a_spoilt_cache_is_made_anew(tries: Project) -> None:
    tries.gitexp("tried")
    (tries.root / ".git/gitexp/tried.sqlite").write_bytes(b"no database at all" * 100)
    tries.write("train.py", CLIP)
    assert first(tries) == "exp-3"


def test_there_is_nothing_where_nothing_was_tried(empty: Project) -> None:
    done = empty.run("tried")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing similar was tried" in done.stderr


def test_what_is_asked_wrongly_is_said_in_sentences(project: Project) -> None:
    said = project.error("tried", "lr=0.3")
    assert said.endswith("unexpected extra argument (lr=0.3). Help: gitexp tried --help")


def test_a_whole_number_beyond_all_floats_is_a_param_like_others(tries: Project) -> None:
    large = 10**400
    for at in range(3):
        record(tries, {"n": large + at, "lr": at}, {"loss": at}, advance=False)
    tries.gitexp("discard", "exp-5", "--because", "too large")
    tries.gitexp("tried", "-p", f"n={large + 1}")
    tries.gitexp("run", "-p", f"n={large}", "-p", "lr=0.5", "--", "true")
    found = importance(Index(Repo.discover()).select(), "loss", forest=False)
    assert "lr" in [one.param for one in found]
