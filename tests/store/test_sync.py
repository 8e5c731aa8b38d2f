"""``gitexp push`` and ``gitexp pull``: experiments of several clones on one remote, over
file://."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project
from gitexp.repo import Repo
from gitexp.store.index import Index
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
    return sorted(
        line.split(",")[0]
        for line in project.gitexp("list", "-c", "name", "--csv", *args).splitlines()[1:]
    )


def test_a_remote_may_have_a_slash_in_its_name(cloned: Clones) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    for clone in (ada, bob):
        clone.git("remote", "rename", "origin", "team/origin")
        record(clone, {"lr": 1}, advance=False)
        clone.gitexp("push")
        assert "all experiments" in clone.gitexp("push")
        assert json.loads(clone.gitexp("status", "--json"))["not_pushed"] == []
    ada.gitexp("pull")
    bob.gitexp("pull")
    assert names(ada, "--all") == ["bob/exp-1", "exp-1"]
    assert gitexp.get("team/origin/exp-1", bob.root).id == gitexp.get("exp-1", ada.root).id


def test_two_clones_with_the_same_numbers_share_all_and_keep_their_own_names(
    cloned: Clones, remote: Project
) -> None:
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
    everybody = ada.gitexp("export", "csv", "--all").splitlines()[1:]
    assert sorted(line.partition(",")[0] for line in everybody) == names(ada, "--all")
    assert ada.gitexp("report", "--md", "--all").startswith("### 4 experiments\n")
    assert gitexp.get("bob/exp-2", ada.root).id == gitexp.get("exp-2", bob.root).id
    assert gitexp.get("origin/exp-2", bob.root).id == gitexp.get("exp-2", ada.root).id
    assert bob.tags() == ada.tags() == ["exp-1", "exp-2"]
    for clone in (ada, bob, remote):
        clone.fsck()


def test_two_clones_of_one_person_have_distinct_names_on_the_remote(
    cloned: Clones, remote: Project
) -> None:
    clones = [cloned("ada"), cloned("ada-too"), cloned("ada-three")]
    for clone in clones:
        record(clone, {"lr": 1}, advance=False)
        clone.gitexp("push")
    branches = remote.git(
        "for-each-ref", "--format=%(refname:short)", "refs/heads/experiments"
    ).split()
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


def test_past_the_threshold_one_branch_carries_all_and_tags_come_when_asked_for(
    cloned: Clones, remote: Project
) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    ada.write(".gitexp.toml", "push_tags_up_to = 2\n")
    for lr in range(40):
        record(ada, {"lr": lr}, {"rmse": lr / 2}, advance=False)
    assert "pushed 40 experiments to origin as ada\n" in ada.gitexp("push")
    assert remote.tags() == []
    assert bob.gitexp("pull") == "pulled 40 experiments from origin\n"
    assert len(names(bob, "--all")) == 40
    for name in ("exp-1", "exp-40"):
        mine, theirs = gitexp.get(name, ada.root), gitexp.get(f"ada/{name}", bob.root)
        assert (mine.id, mine.tag, mine.metrics, mine.params) == (
            theirs.id,
            theirs.tag,
            theirs.metrics,
            theirs.params,
        )
    assert "ada/exp-7" in bob.gitexp("show", "ada/exp-7")
    bob.gitexp("diff", "ada/exp-7", "ada/exp-8")
    bob.gitexp("verify", "ada/exp-7")
    bob.gitexp("checkout", "ada/exp-7")
    assert bob.git("rev-parse", "HEAD") == gitexp.get("exp-7", ada.root).id
    assert ada.gitexp("push", "--tags", "exp-3") == "pushed 1 tag to origin\n"
    assert remote.tags() == ["exp-3"]
    assert ada.gitexp("push", "--tags") == "pushed 39 tags to origin\n"
    assert len(remote.tags()) == 40
    remote.fsck()


def test_only_what_is_named_goes_and_others_experiments_do_not(
    cloned: Clones, remote: Project
) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    record(ada, {"lr": 0})
    for lr in (1, 2):
        record(ada, {"lr": lr}, advance=False)
    record(bob, {"lr": 3}, name="baseline")
    ada.gitexp("push", "exp-2")
    assert remote.tags() == ["exp-2"]
    assert remote.git("rev-parse", "main") != ada.git("rev-parse", "main")
    bob.gitexp("pull")
    assert "not of this clone" in bob.error("push", "origin", "ada/exp-2")
    assert "is not a remote" in bob.error("push", "orgin", code=3)
    assert '"not_pushed": [\n    "exp-1",\n    "exp-3"\n  ]' in ada.gitexp("status", "--json")
    assert "not on origin, as far as is known here: exp-1, exp-3" in ada.gitexp("status")
    assert "pushed 2 experiments" in ada.gitexp("push")
    assert "not on origin" not in ada.gitexp("status")


def test_a_dry_run_says_what_would_go_and_changes_nothing(cloned: Clones, remote: Project) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    for clone in (ada, bob):
        record(clone, {"lr": 1}, advance=False)
        clone.gitexp("label", "exp-1", "+mine")
    ada.gitexp("push")
    there, here = (
        remote.git("for-each-ref"),
        bob.git("for-each-ref", "refs/tags", "refs/heads", "refs/notes"),
    )
    said = bob.gitexp("push", "--dry-run")
    assert (
        said
        == "would push 1 experiment, labels and notes to origin as bob\n  exp-1 is bob/exp-1 on origin\n"
    )
    assert remote.git("for-each-ref") == there
    assert bob.git("for-each-ref", "refs/tags", "refs/heads", "refs/notes") == here
    assert said == bob.gitexp("push").replace("pushed", "would push")


def test_labels_and_notes_of_two_people_on_one_experiment_come_together(
    cloned: Clones, remote: Project
) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    record(ada, {"lr": 1}, advance=False)
    ada.gitexp("push")
    bob.gitexp("pull")
    ada.gitexp("label", "exp-1", "+good")
    bob.gitexp("label", "ada/exp-1", "+slow")
    ada.gitexp("push")
    assert bob.gitexp("push") == "pushed labels and notes to origin\n"
    assert ada.gitexp("pull") == "pulled labels and notes from origin\n"
    for clone, name in ((ada, "exp-1"), (bob, "ada/exp-1")):
        assert gitexp.get(name, clone.root).labels == ("good", "slow")
    assert ada.gitexp("pull") == "nothing new on origin\n"


def test_git_push_follow_tags_by_hand_stays_a_fine_way(cloned: Clones, remote: Project) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    record(ada, {"lr": 1})
    ada.git("push", "-q", "--follow-tags", "origin", "main")
    assert bob.gitexp("pull") == "pulled 1 experiment from origin\n"
    assert names(bob, "--all") == ["origin/exp-1"]
    ada.gitexp("pull")
    assert ada.gitexp("push") == "origin has all experiments of this clone\n"
    assert names(ada, "--all") == ["exp-1"]


def test_a_new_clone_of_a_team_pushes_only_what_is_its_own(cloned: Clones, remote: Project) -> None:
    ada = cloned("ada")
    for lr in range(3):
        record(ada, {"lr": lr}, advance=False)
    ada.gitexp("push")
    bob = cloned("bob")
    assert bob.tags() == ["exp-1", "exp-2", "exp-3"]
    record(bob, {"lr": 9}, advance=False)
    assert bob.gitexp("push") == "pushed 1 experiment to origin as bob\n"
    assert names(bob) == ["exp-4"]
    assert names(bob, "--all") == ["ada/exp-1", "ada/exp-2", "ada/exp-3", "exp-4"]


@pytest.mark.parametrize("owner", ["ada", "zoe"])
@pytest.mark.parametrize("tags", ["--tags", "--no-tags"])
def test_others_experiments_bear_their_names_wherever_in_the_alphabet(
    cloned: Clones, owner: str, tags: str
) -> None:
    owner_clone, bob = cloned(owner), cloned("bob")
    record(owner_clone, {"lr": 1}, advance=False)
    owner_clone.gitexp("push")
    bob.git("fetch", "-q", tags)
    assert json.loads(bob.gitexp("status", "--json"))["not_pushed"] == []
    bob.gitexp("pull")
    bob.git("remote", "add", "fork", bob.git("remote", "get-url", "origin"))
    bob.gitexp("pull", "fork")  # and so several refs bear one name
    assert names(bob, "--all") == names(bob, "--all", "-w", f"name = {owner}/exp-1")
    assert names(bob, "--all") == [f"{owner}/exp-1"]
    for asked in (f"{owner}/exp-1", f"{owner}/exp-1..{owner}/exp-1", "origin/exp-1"):
        assert len(names(bob, asked)) == 1
        assert bob.gitexp("report", "--md", asked).startswith("### 1 experiment\n")


def test_what_only_others_have_is_named_by_whatever_finds_nothing(cloned: Clones) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    assert "no experiment yet" in bob.run("tree").stderr
    record(ada, {"lr": 1}, advance=False)
    record(bob, {"lr": 1}, name="exp-3")
    ada.gitexp("push")
    bob.gitexp("pull")
    assert "Did you mean 'ada/exp-1'?" in bob.error("show", "exp-1", code=3)
    bob.gitexp("rm", "exp-3", "--yes")
    for words, code in ((["tree"], 0), (["book"], 0), (["report", "--md"], 3)):
        done = bob.run(*words)
        assert "to see all: gitexp list --all" in done.stderr
        assert done.returncode == code


def test_an_owner_of_300_characters_is_cut(cloned: Clones, remote: Project) -> None:
    ada = cloned("ada")
    record(ada, {"lr": 1}, advance=False)
    ada.git("config", "user.name", "ü" * 300)
    assert "pushed" in ada.gitexp("push")
    assert f"refs/heads/experiments/{'ü' * 60}" in remote.git("for-each-ref")


def test_the_owner_of_the_settings_is_what_the_clone_is_called(
    cloned: Clones, remote: Project
) -> None:
    ada = cloned("ada")
    ada.write(".gitexp.toml", 'owner = "Team Blue"\n')
    record(ada, {"lr": 1}, advance=False)
    assert ada.gitexp("push") == "pushed 1 experiment to origin as team-blue\n"


def test_what_is_no_gathering_on_the_remote_is_passed_over(cloned: Clones, remote: Project) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    record(ada, {"lr": 1}, advance=False)
    ada.gitexp("push")
    evil = "tree {tree}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\nmergetag object {zero}\n type commit\n tag ../../x\n tagger no\n\nx\n\nGitexp-Clone: 1\n"
    tree = remote.git("mktree", "--missing")
    text = evil.format(tree=tree, zero="0" * 40)
    file = remote.write("evil", text)
    commit = remote.git("hash-object", "-t", "commit", "-w", "--literally", str(file))
    remote.git("update-ref", "refs/heads/experiments/evil", commit)
    remote.git("update-ref", "refs/heads/experiments/new-loss", "main")
    bob.gitexp("pull")
    assert names(bob, "--all") == ["ada/exp-1"]
    record(bob, {"lr": 2}, advance=False)
    assert "as bob" in bob.gitexp("push")


def test_names_that_are_in_the_way_of_ours_on_the_remote_cost_the_tags_only(
    cloned: Clones, remote: Project
) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    for clone in (ada, bob):
        record(clone, {"lr": 1}, advance=False)
    ada.gitexp("push")
    remote.git("tag", "bob", "main")
    assert "pushed 1 experiment" in bob.gitexp("push")
    ada.gitexp("pull")
    assert names(ada, "--all") == ["bob/exp-1", "exp-1"]
    remote.git("update-ref", "-d", "refs/heads/experiments/ada")
    remote.git("update-ref", "-d", "refs/heads/experiments/bob")
    remote.git("branch", "experiments", "main")
    record(bob, {"lr": 2}, advance=False)
    assert "rename it there" in bob.error("push")


def test_pushing_and_pulling_from_python_says_what_went(cloned: Clones, remote: Project) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    record(ada, {"lr": 1}, advance=False)
    assert gitexp.push(["exp-1"], repo=ada.root).experiments == {"exp-1": "exp-1"}
    assert gitexp.pull(repo=bob.root).experiments == 1
    assert gitexp.experiments(everybody=True, repo=bob.root)["name"].tolist() == ["ada/exp-1"]


@pytest.mark.parametrize("what", ["push", "import", "diff"])
def test_the_index_is_opened_once(
    cloned: Clones, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    ada = cloned("ada")
    record(ada, {"lr": 1}, advance=False)
    gitexp.push(repo=ada.root)
    record(ada, {"lr": 2}, advance=False)
    opened: list[Repo] = []
    begin = Index.__init__

    def counted(self: Index, repo: Repo, progress: Any = None) -> None:
        opened.append(repo)
        begin(self, repo, progress)

    monkeypatch.setattr(Index, "__init__", counted)
    if what == "push":
        assert gitexp.push(repo=ada.root, tags=True).experiments == {"exp-2": "exp-2"}
    elif what == "import":
        assert gitexp.import_runs("git", repo=ada.root).experiments == ()
    else:
        assert gitexp.diff(1, 2, repo=ada.root).params
    assert len(opened) == 1


def test_the_gathering_branch_is_what_a_host_can_show(cloned: Clones, remote: Project) -> None:
    ada = cloned("ada")
    made = [record(ada, {"lr": lr}, advance=False) for lr in range(3)]
    ada.gitexp("push")
    assert remote.git("ls-tree", "--name-only", "experiments/ada") == "README.md"
    assert "- exp-2 (lr=1)" in remote.git("log", "-1", "--format=%B", "experiments/ada")
    assert remote.git("log", "-1", "--format=%P", "experiments/ada").split()[1:] == [
        item.id for item in made
    ]
    assert "mergetag" in remote.git("cat-file", "commit", "experiments/ada")


def test_what_a_push_called_otherwise_is_one_experiment_after_git_fetch(cloned: Clones) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    for clone, loss in ((ada, 1), (bob, 2)):
        record(clone, {"lr": loss}, {"loss": loss}, advance=False)
        clone.gitexp("push")
    bob.git("fetch", "-q")
    assert bob.tags() == ["bob/exp-1", "exp-1"]
    assert names(bob) == ["exp-1"]
    assert names(bob, "--all") == ["ada/exp-1", "exp-1"]
    assert bob.gitexp("list", "--group-by", "lr") == "lr  n  loss\n 2  1  2\n"
    for all_, count in ((), 1), (("--all",), 2):
        assert len(bob.gitexp("export", "csv", *all_).splitlines()) == 1 + count
    assert bob.gitexp("best", "loss").startswith("exp-1 ")
    assert bob.gitexp("gate", "-m", "loss", "--max", "3", "bob/exp-1").startswith("passed: exp-1 ")
    assert list(gitexp.experiments(repo=bob.root)["name"]) == ["exp-1"]
    assert gitexp.get("bob/exp-1", bob.root).name == "exp-1"
    (bob.root / ".git/gitexp/index.sqlite").unlink()
    assert names(bob) == ["exp-1"]
    undo = bob.gitexp("rm", "exp-1")
    assert bob.tags() == names(bob) == []
    bob.git(*undo.split()[1:])
    assert names(bob) == ["exp-1"]


def test_the_hint_where_two_people_ran_on_one_branch_brings_both_together(
    cloned: Clones, remote: Project
) -> None:
    ada, bob = cloned("ada"), cloned("bob")
    same = {"depth": 3, "seed": 1, "width": 2}
    record(ada, {"a": 0, **same, "z": 0}, {"loss": 0})
    ada.gitexp("push")
    bob.git("pull", "-q")
    record(ada, {"a": 1, **same, "z": 0}, {"loss": 1})
    record(bob, {"a": 0, **same, "z": 1}, {"loss": 2})
    ada.gitexp("push")
    hint = bob.run("push").stderr.strip().rpartition(": ")[2]
    assert hint == "git pull --no-rebase -X ours origin main && git push origin HEAD:main"
    for command in hint.split(" && "):
        bob.git(*command.split()[1:])
    assert bob.git("status", "--porcelain") == ""
    assert remote.git("rev-parse", "main") == bob.git("rev-parse", "main")
    bob.gitexp("pull")
    for name in ("exp-1", "ada/exp-1", "ada/exp-2"):
        bob.git("merge-base", "--is-ancestor", gitexp.get(name, bob.root).id, "HEAD")
    # git mixed two records of params; the next one is whole again, and at its place
    bob.git("checkout", "-q", "-b", "other")
    bob.gitexp("log", "-p", "a=5")
    assert (bob.root / "params.yml").read_text() == "a: 5\n"
    # one that somebody changed by hand stays that person's
    bob.git("checkout", "-q", "main")
    mixed = (bob.root / "params.yml").read_text()
    bob.commit("by hand", params_yml=mixed.replace("seed: 1", "seed: 9"))
    bob.git("checkout", "-q", "-b", "third", "HEAD~1")
    record(bob, {"a": 0, **same, "z": 7}, {"loss": 2})
    bob.git("merge", "-q", "-X", "ours", "main")
    merged = (bob.root / "params.yml").read_text()
    assert "seed: 9" in merged
    assert "z: 7" in merged
    bob.gitexp("log", "-p", "a=6")
    assert (bob.root / "params.yml").read_text() == merged
