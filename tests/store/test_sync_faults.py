"""Remotes that refuse, pushes that are cut off, and what the user's own git does meanwhile: nothing
here is lost or half done."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_sync import Clones, cloned, names, remote

import gitexp
from conftest import Project
from git_server import helper, serving
from recording import record

__all__ = ["cloned", "remote"]  # fixtures
BRANCHES = (
    "refs/heads",
    "refs/tags",
    "refs/remotes",
    "refs/notes",
    "refs/gitexp/gathered",
    "refs/gitexp/remotes",
    "refs/gitexp/noted",
)


@pytest.fixture
def ada(cloned: Clones) -> Project:
    """A clone with one experiment on the branch, and one beside it."""
    clone = cloned("ada")
    record(clone, {"lr": 1})
    record(clone, {"lr": 2}, advance=False)
    return clone


@pytest.fixture
def address(remote: Project) -> Iterator[str]:
    """The remote's address over smart HTTP, which wants a login."""
    remote.git("config", "http.receivepack", "true")
    with serving(remote.root.parent) as start:
        yield f"{start}{remote.root.name}"


def refs(project: Project) -> str:
    """Return all refs that matter to the user or to what is known of remotes."""
    return project.git("for-each-ref", *BRANCHES)


def hook(remote: Project, name: str, text: str) -> Path:
    """Give a repository a hook."""
    file = remote.write(f"hooks/{name}", f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def test_over_http_with_a_login_all_goes_and_comes(
    ada: Project, cloned: Clones, address: str, remote: Project
) -> None:
    bob = cloned("bob")
    for clone in (ada, bob):
        clone.git("remote", "set-url", "origin", address)
        clone.git("config", "credential.helper", helper())
    assert "pushed 2 experiments" in ada.gitexp("push")
    assert bob.gitexp("pull") == "pulled 2 experiments from origin\n"
    assert bob.gitexp("pull") == "nothing new on origin\n"
    assert names(bob, "--all") == ["ada/exp-1", "ada/exp-2"]
    remote.fsck()


@pytest.mark.parametrize("login", [helper("wrong"), ""])
def test_a_wrong_or_missing_token_is_one_line_and_changes_nothing(
    ada: Project, address: str, login: str
) -> None:
    ada.git("remote", "set-url", "origin", address)
    ada.git("config", "credential.helper", login)
    before = refs(ada)
    assert "refused the login" in ada.error("push")
    assert "refused the login" in ada.error("pull")
    assert refs(ada) == before


def test_a_login_that_is_refused_in_mid_push_is_no_hooks_doing(
    ada: Project, address: str, remote: Project
) -> None:
    ada.git("remote", "set-url", "origin", address)
    ada.git("config", "credential.helper", helper())
    (remote.root.parent / "no-pushes").touch()
    assert "refused the login" in ada.error("push")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9/nothing.git", "cannot be reached"),
        ("http://ada:s3cret@127.0.0.1:9/nothing.git", "cannot be reached"),
        ("file:///nowhere/at/all.git", "does not exist"),
        ("ext::sh -c 'touch hacked'", "does not use"),
    ],
)
def test_a_remote_that_is_not_there_is_one_line_without_secrets(
    ada: Project, url: str, said: str
) -> None:
    ada.git("remote", "set-url", "origin", url)
    before = refs(ada)
    for command in ("push", "pull"):
        line = ada.error(command)
        assert said in line
        assert "s3cret" not in line
    assert refs(ada) == before
    assert not (ada.root / "hacked").exists()


def test_a_hook_that_declines_all_is_one_line_with_its_words_and_changes_nothing(
    ada: Project, remote: Project
) -> None:
    there = refs(remote)
    ada.gitexp("pull")
    before = refs(ada)
    file = hook(remote, "pre-receive", "echo 'no pushes on Fridays'; exit 1")
    line = ada.error("push")
    assert "no pushes on Fridays" in line
    assert "declined" in line
    assert refs(ada) == before
    assert refs(remote) == there
    file.unlink()
    assert "pushed 2 experiments" in ada.gitexp("push")


def test_a_protected_branch_stays_behind_and_the_experiments_go(
    ada: Project, remote: Project
) -> None:
    hook(remote, "update", '[ "$1" != refs/heads/main ] || { echo "main is protected"; exit 1; }')
    main = remote.git("rev-parse", "main")
    done = ada.run("push")
    assert done.returncode == 2
    assert "main is protected" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert remote.git("rev-parse", "main") == main
    assert {*ada.git("rev-list", "-1", "exp-1", "exp-2").split()} <= {
        *remote.git("rev-list", "experiments/ada").split()
    }
    assert remote.tags() == ["exp-1", "exp-2"]
    assert "all experiments" in ada.gitexp("push")


def test_the_users_own_pre_push_hook_has_its_say_and_can_be_passed_by(
    ada: Project, remote: Project
) -> None:
    there = refs(remote)
    hook(Project(ada.root / ".git"), "pre-push", "echo a key; echo in train.py:3 >&2; exit 1")
    said = ada.error("push")
    assert "declined: a key in train.py:3; to skip it: --no-verify" in said
    words = "echo Authentication failed at https://ada:s3cret@example.com; exit 1"
    hook(Project(ada.root / ".git"), "pre-push", words)
    said = ada.error("push")
    assert "declined: Authentication failed at https://example.com; to skip it: --no-verify" in said
    hook(Project(ada.root / ".git"), "pre-push", "exit 1")
    assert "declined; to skip it: --no-verify" in ada.error("push")
    assert refs(remote) == there
    assert "pushed 2" in ada.gitexp("push", "--no-verify")


def test_a_push_that_was_cut_off_goes_on(ada: Project, remote: Project) -> None:
    """Killed after the remote had taken all, and before this clone took it down."""
    ada.gitexp("push")
    for ref in ada.git("for-each-ref", "--format=%(refname)", "refs/gitexp").split():
        ada.git("update-ref", "-d", ref)
    record(ada, {"lr": 3}, advance=False)
    assert "as ada\n" in ada.gitexp("push")
    assert remote.tags() == ["exp-1", "exp-2", "exp-3"]
    assert (
        remote.git("for-each-ref", "--format=%(refname)", "refs/heads/experiments")
        == "refs/heads/experiments/ada"
    )


def test_tags_that_no_killed_push_sent_go_with_the_next(ada: Project, remote: Project) -> None:
    """Killed when the remote had the branch and no tag; the next is refused the tag."""
    ada.gitexp("push")
    seen = ada.git("rev-parse", SEEN)
    found = record(ada, {"lr": 3}, advance=False)
    ada.gitexp("push")
    remote.git("update-ref", "-d", f"refs/tags/{found.name}")
    ada.git("update-ref", SEEN, seen)
    ada.git("update-ref", "-d", f"refs/gitexp/remotes/origin/{found.name}")
    record(ada, {"lr": 4}, advance=False)  # the branch that is made now is another
    refuse = hook(remote, "update", 'case "$1" in refs/tags/*) exit 1;; esac')
    ada.error("push")
    refuse.unlink()
    ada.gitexp("push")
    assert found.name in remote.tags()
    assert "all experiments" in ada.gitexp("push")


@pytest.mark.parametrize("fetched", [True, False])
def test_tags_that_a_killed_first_push_did_not_bring_are_brought_by_the_next(
    ada: Project, remote: Project, fetched: bool
) -> None:
    ada.gitexp("push")
    remote.git("tag", "-d", "exp-1", "exp-2")
    for ref in ada.git("for-each-ref", "--format=%(refname)", "refs/gitexp").split():
        ada.git("update-ref", "-d", ref)
    for _ in range(fetched):
        ada.gitexp("pull")
    assert "not on origin, as far as is known here: exp-1, exp-2;" in ada.gitexp("status")
    assert ada.gitexp("push") == "pushed 2 tags to origin\n"
    assert remote.tags() == ["exp-1", "exp-2"]
    assert "all experiments" in ada.gitexp("push")


def test_a_copy_of_a_clone_brings_what_the_other_one_pushed(ada: Project, cloned: Clones) -> None:
    """Though both are one for the remote; a copy as a backup that is restored is one, too."""
    ada.write(".gitexp.toml", "push_tags_up_to = 0\n")
    ada.gitexp("push")
    other = Project(shutil.copytree(ada.root, ada.root.parent / "copy"))
    record(other, {"lr": 7}, advance=False)
    other.gitexp("push")
    assert ada.gitexp("pull") == "pulled 1 experiment from origin\n"
    assert ada.gitexp("pull") == "nothing new on origin\n"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_push_killed_at_any_moment_leaves_nothing_that_the_next_cannot_finish(
    ada: Project, remote: Project
) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(gitexp.__file__).parents[1])}
    for at in range(12):
        record(ada, {"lr": 10 + at}, advance=at % 2 == 0)
        with subprocess.Popen(
            [sys.executable, "-m", "gitexp", "push"],
            cwd=ada.root,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            time.sleep(0.12 + at * 0.02)
            os.killpg(process.pid, signal.SIGKILL)
        ada.fsck()
    deadline = time.monotonic() + 30
    while (done := ada.run("push")).returncode and time.monotonic() < deadline:
        # the remote's git was killed, too, and there its user has to look
        for lock in re.findall(r"'([^']+\.lock)': File exists; if no git is at work", done.stderr):
            (remote.root / lock).unlink(missing_ok=True)
        time.sleep(0.2)
    assert done.returncode == 0, done.stderr
    assert sorted(
        remote.git("for-each-ref", "--format=%(*objectname)", "refs/tags").split()
    ) == sorted(ada.git("for-each-ref", "--format=%(*objectname)", "refs/tags").split())
    assert remote.git("rev-parse", "main") == ada.git("rev-parse", "main")
    remote.fsck()


SEEN = "refs/gitexp/gathered/origin/ada"


def left_lock(ada: Project, ref: str, age: float) -> Path:
    """Leave the lock of a ref, as a git does that is killed."""
    lock = ada.write(f".git/{ref}.lock", "")
    os.utime(lock, (time.time() - age,) * 2)
    return lock


@pytest.mark.skipif(not Path("/proc/uptime").exists(), reason="no /proc here")
@pytest.mark.parametrize("command", ["push", "pull"])
def test_a_lock_of_our_own_ref_that_a_killed_git_left_is_in_nobodys_way(
    ada: Project, cloned: Clones, command: str
) -> None:
    bob = cloned("bob")
    record(bob, {"lr": 7}, advance=False)
    bob.gitexp("push")
    ref = SEEN if command == "push" else SEEN.replace("ada", "bob")
    lock = left_lock(ada, ref, 10)
    assert ada.gitexp(command).startswith(f"{command}ed ")
    assert not lock.exists()
    assert ada.git("rev-parse", "--verify", ref)
    ada.fsck()


@pytest.mark.skipif(not Path("/proc/uptime").exists(), reason="no /proc here")
def test_a_lock_that_a_git_at_work_may_hold_stays_and_is_named(ada: Project) -> None:
    with subprocess.Popen(
        ["git", "cat-file", "--batch"], cwd=ada.root, stdin=subprocess.PIPE
    ) as at_work:
        lock = left_lock(ada, SEEN, -0.1)
        assert f"{SEEN}.lock" in ada.error("push")
        assert lock.exists()
        at_work.kill()
    assert "all experiments" in ada.gitexp("push")  # they are there, and now it is taken down
    assert not lock.exists()


def test_what_the_users_prune_took_comes_back_from_the_gathering_branch(
    ada: Project, remote: Project
) -> None:
    ada.gitexp("push")
    remote.git("tag", "-d", "exp-1", "exp-2")
    made = {name: gitexp.get(name, ada.root).tag for name in ("exp-1", "exp-2")}
    ada.git("fetch", "-q", "--prune", "--prune-tags", "origin")
    ada.git("fetch", "-q", "--prune", "origin", "+refs/tags/*:refs/gitexp/remotes/origin/*")
    ada.git("reflog", "expire", "--expire=all", "--all")
    ada.git("gc", "-q", "--prune=now")
    assert ada.tags() == []
    assert sorted(ada.gitexp("doctor", "--fix").splitlines()) == [
        "mended: the tag exp-1 is gone",
        "mended: the tag exp-2 is gone",
    ]
    assert {name: gitexp.get(name, ada.root).tag for name in made} == made
    assert ada.gitexp("doctor") == "all is well\n"
    ada.gitexp("rm", "exp-2")
    assert ada.gitexp("doctor", "--fix") == "all is well\n"


def test_the_users_own_fetches_and_pulls_make_others_experiments_nobody_elses(
    ada: Project, cloned: Clones
) -> None:
    bob = cloned("bob")
    for lr in range(3):
        record(bob, {"lr": lr}, advance=False)
    mine = {name: gitexp.get(name, ada.root).id for name in ("exp-1", "exp-2")}
    bob.gitexp("push")
    ada.git("fetch", "-q", "--prune", "origin")
    assert "exp-3" in ada.tags()
    assert "pushed 2 experiments" in ada.gitexp("push")
    ada.gitexp("pull")
    assert {name: gitexp.get(name, ada.root).id for name in mine} == mine
    assert names(ada) == ["exp-1", "exp-2"]
    assert names(ada, "--all") == ["bob/exp-1", "bob/exp-2", "bob/exp-3", "exp-1", "exp-2"]
    assert gitexp.get("@", ada.root).name == "exp-2"


@pytest.mark.parametrize("options", [["--depth=1"], ["--filter=blob:none"]])
def test_shallow_and_partial_clones_push_and_pull(
    ada: Project, remote: Project, tmp_path: Path, options: list[str]
) -> None:
    ada.gitexp("push")
    remote.git("config", "uploadpack.allowFilter", "true")
    thin = Project(tmp_path / "thin")
    remote.git("clone", "-q", *options, remote.root.as_uri(), str(thin.root))
    thin.git("config", "user.email", "thin@example.org")
    record(thin, {"lr": 9}, advance=False)
    thin.gitexp("pull")
    thin.gitexp("push")
    ada.gitexp("pull")
    assert len(names(ada, "--all")) == len(names(thin, "--all")) == 3
    remote.fsck()


def test_a_remote_of_the_other_hash_takes_all(tmp_path: Path) -> None:
    there, here = Project(tmp_path / "there.git"), Project(tmp_path / "here")
    there.root.mkdir()
    here.root.mkdir()
    there.git("init", "-q", "--bare", "--object-format=sha256")
    here.git("init", "-q", "--object-format=sha256")
    here.commit("start", train_py="x\n")
    here.git("remote", "add", "origin", there.root.as_uri())
    record(here, {"lr": 1})
    assert "pushed 1 experiment" in here.gitexp("push")
    again = Project(tmp_path / "again")
    there.git("clone", "-q", there.root.as_uri(), str(again.root))
    assert "pulled" in again.run("pull").stdout or names(again) == ["exp-1"]
    assert names(again, "--all") == ["exp-1"]
    there.fsck()


def test_a_remote_that_knows_no_atomic_push_takes_all_the_same(
    ada: Project, cloned: Clones, remote: Project
) -> None:
    remote.git("config", "receive.advertiseAtomic", "false")
    bob = cloned("bob")
    record(bob, {"lr": 7}, advance=False)
    assert "pushed 2 experiments" in ada.gitexp("push")
    assert "exp-1 is bob/exp-1 on origin" in bob.gitexp("push")
    assert remote.tags() == ["bob/exp-1", "exp-1", "exp-2"]
    assert "all experiments" in bob.gitexp("push")


def test_a_branch_that_is_checked_out_on_the_remote_stays_behind(
    ada: Project, cloned: Clones
) -> None:
    work = cloned("work")
    ada.git("remote", "set-url", "origin", work.root.as_uri())
    assert "checked out" in ada.error("push")
    assert len(names(work)) == 2


def test_jobs_that_share_a_name_one_after_the_other_lose_nothing(
    cloned: Clones, remote: Project, tmp_path: Path
) -> None:
    kept = ""
    for job in range(3):
        clone = Project(tmp_path / f"job{job}")
        remote.git("clone", "-q", "--no-tags", "--depth=1", remote.root.as_uri(), str(clone.root))
        clone.git("config", "user.name", "ci")
        if kept:
            clone.write(".git/gitexp/clone.json", kept)
        record(clone, {"lr": job}, advance=False)
        assert clone.gitexp("push").startswith("pushed 1 experiment to origin as ci\n")
        kept = (clone.root / ".git/gitexp/clone.json").read_text()
    ada = cloned("ada")
    ada.gitexp("pull")
    everybody = ada.gitexp("list", "--all", "-c", "name,lr", "--csv").splitlines()[1:]
    assert sorted(line.split(",")[1] for line in everybody) == ["0", "1", "2"]
    assert len({line.split(",")[0] for line in everybody}) == 3
    assert [gitexp.get(line.split(",")[0], ada.root).params["lr"] for line in everybody] == [
        int(line.split(",")[1]) for line in everybody
    ]
    assert (
        remote.git("for-each-ref", "--format=%(refname)", "refs/heads/experiments")
        == "refs/heads/experiments/ci"
    )


def test_a_remote_that_was_made_anew_gets_all_again(ada: Project, remote: Project) -> None:
    ada.gitexp("push")
    for ref in remote.git(
        "for-each-ref", "--format=%(refname)", "refs/tags", "refs/heads/experiments"
    ).split():
        remote.git("update-ref", "-d", ref)
    ada.gitexp("pull", "--prune")
    assert "not on origin" in ada.gitexp("status")
    assert "pushed 2 experiments" in ada.gitexp("push")
    assert remote.tags() == ["exp-1", "exp-2"]


def test_a_tag_that_became_a_folder_of_tags_takes_nothing_else_along(
    ada: Project, cloned: Clones, remote: Project
) -> None:
    bob = cloned("bob")
    remote.git("tag", "old", "main")
    ada.gitexp("push")
    bob.gitexp("pull")
    remote.git("tag", "-d", "old", "exp-2")
    remote.git("update-ref", "-d", "refs/heads/experiments/ada")
    remote.git("tag", "old/new", "main")
    bob.gitexp("pull")
    assert names(bob, "--all") == ["ada/exp-1", "ada/exp-2"]
    assert (
        bob.git("for-each-ref", "--format=%(refname)", "refs/gitexp/remotes/origin/old")
        == "refs/gitexp/remotes/origin/old/new"
    )


def test_what_a_remote_says_cannot_write_over_the_terminal(ada: Project, remote: Project) -> None:
    hook(remote, "pre-receive", "printf 'no\\033[2Jway\\n'; exit 1")
    assert "\x1b" not in ada.error("push")
