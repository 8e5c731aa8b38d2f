"""``gitexp push`` and ``gitexp pull``: experiments of several clones on one remote, over file://."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from recording import record

Clones = Callable[[str], Project]


@pytest.fixture
def remote(tmp_path: Path) -> Project:
    """A bare repository with one commit on main."""
    made = Project(tmp_path / "remote.git")
    made.root.mkdir()
    made.git("init", "-q", "--bare")
    first = Project(tmp_path / "first")
    first.root.mkdir()
    first.git("init", "-q")
    first.commit("start", train_py="print('training')\n")
    first.git("push", "-q", made.root.as_uri(), "main")
    return made


@pytest.fixture
def cloned(remote: Project, tmp_path: Path) -> Clones:
    """Make clones of the remote, each with a person of its own."""

    def clone(name: str) -> Project:
        person = name.partition("-")[0]
        made = Project(tmp_path / f"{name}")
        remote.git("clone", "-q", remote.root.as_uri(), str(made.root))
        made.git("config", "user.name", person.capitalize())
        made.git("config", "user.email", f"{person}@example.org")
        return made

    return clone


def names(project: Project, *args: str) -> list[str]:
    """Return the names that ``gitexp list`` shows."""
    return sorted(line.split(",")[0] for line in project.gitexp("list", "-c", "name", "--csv", *args).splitlines()[1:])


def test_two_clones_with_the_same_numbers_share_all_and_keep_their_own_names(cloned: Clones, remote: Project) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    for clone in (ada, bob):
        for lr in (1, 2):
            record(clone, {"lr": lr}, advance=False)
    assert ada.gitexp("push") == "pushed 2 experiments to origin as ada\n"
    assert "exp-1 is bob/exp-1 on origin" in bob.gitexp("push")
    ada.gitexp("pull")
    bob.gitexp("pull")
    assert names(ada) == names(bob) == ["exp-1", "exp-2"]
    assert names(ada, "--all") == ["bob/exp-1", "bob/exp-2", "exp-1", "exp-2"]
    assert names(bob, "--all") == ["ada/exp-1", "ada/exp-2", "exp-1", "exp-2"]
    assert gitexp.get("bob/exp-2", ada.root).id == gitexp.get("exp-2", bob.root).id
    assert gitexp.get("origin/exp-2", bob.root).id == gitexp.get("exp-2", ada.root).id
    assert bob.tags() == ada.tags() == ["exp-1", "exp-2"]
    for clone in (ada, bob, remote):
        clone.fsck()


def test_two_clones_of_one_person_have_distinct_names_on_the_remote(cloned: Clones, remote: Project) -> None:
    clones = [cloned("ada"), cloned("ada-too"), cloned("ada-three")]
    for clone in clones:
        record(clone, {"lr": 1}, advance=False)
        clone.gitexp("push")
    branches = remote.git("for-each-ref", "--format=%(refname:short)", "refs/heads/experiments").split()
    assert branches == ["experiments/ada", "experiments/ada-2", "experiments/ada-3"]
    assert remote.tags() == ["ada-2/exp-1", "ada-3/exp-1", "exp-1"]
    record(clones[1], {"lr": 2}, advance=False)
    assert "as ada-2" in clones[1].gitexp("push")


def test_the_branch_goes_along_where_it_was_advanced(cloned: Clones, remote: Project) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    for clone in (ada, bob):
        record(clone, {"lr": 1})
    assert "the branch main" in ada.gitexp("push")
    assert remote.git("rev-parse", "main") == ada.git("rev-parse", "main")
    assert "git pull" in bob.run("push").stderr
    assert remote.git("rev-parse", "main") == ada.git("rev-parse", "main")
    assert bob.git("rev-parse", "main") in remote.git("rev-list", "experiments/bob").split()
    assert bob.gitexp("push") == "origin has all experiments of this clone\n"
