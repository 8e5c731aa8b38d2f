"""``gitexp doctor`` finds what is left behind and brings back what was lost; ``gitexp init``
overwrites nothing."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project
from recording import record


def old(path: Path) -> Path:
    """Make a file look two days old."""
    os.utime(path, (path.stat().st_mtime - 2 * 86400,) * 2)
    return path


def test_all_is_well_after_ordinary_work(project: Project) -> None:
    record(project, {"lr": 1}, {"a": 1})
    assert project.gitexp("doctor") == "all is well\n"


def test_tags_that_a_prune_took_come_back_with_their_labels(
    project: Project, tmp_path: Path
) -> None:
    made = [record(project, {"lr": at}, {"a": at}, advance=False) for at in (1, 2)]
    project.gitexp("label", "exp-1", "+kept")
    project.git("init", "-q", "--bare", str(tmp_path / "remote.git"))
    project.git("remote", "add", "origin", str(tmp_path / "remote.git"))
    project.git("push", "-q", "origin", "main")
    project.git("fetch", "--prune", "--prune-tags", "origin")
    assert project.tags() == []
    assert project.run("doctor").returncode == 1
    assert project.tags() == []
    assert sorted(project.gitexp("doctor", "--fix").splitlines()) == [
        f"mended: the tag exp-{at} is gone" for at in (1, 2)
    ]
    assert project.tags() == ["exp-1", "exp-2"]
    assert [gitexp.get(f"exp-{at + 1}").id for at in range(2)] == [item.id for item in made]
    assert gitexp.get("exp-1").labels == ("kept",)
    assert project.gitexp("doctor") == "all is well\n"


def test_what_git_collected_is_made_again_of_its_commit_where_that_is_here(
    project: Project,
) -> None:
    given: dict[str, Any] = {
        "duration": 1.5,
        "command": "python train.py",
        "group": "night",
        "note": "tried",
    }
    values = {"lr": 1, "model": {"depth": [1, None]}}
    made = {"out.txt": b"1", ".gitexp/output.log": b"a=1"}
    kept: dict[str, Any] = {
        "artifacts": made,
        "outputs": ("out.txt",),
        "extra": {"outputs": ["out.txt"]},
    }
    on_branch = record(project, values, {"a": [0.5, 1]}, **given, **kept)
    project.gitexp("label", "exp-1", "+kept")
    before = gitexp.get("exp-1")
    for at in (2, 3):
        record(project, {"lr": at}, {"a": at}, advance=False)
    project.gitexp("rm", "exp-3")
    project.git("tag", "-d", "exp-1", "exp-2")
    project.git("-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now")
    said = project.gitexp("doctor", code=1)
    assert "found: gone without gitexp rm, and collected by git: exp-2\n" in said
    assert "found: the tag exp-1 is gone, and collected by git; its commit says" in said
    assert "exp-3" not in said, "that was removed on purpose"
    mended = said.replace("found: the tag exp-1", "mended: the tag exp-1")
    assert project.gitexp("doctor", "--fix", code=1) == mended
    after = gitexp.get("exp-1")
    assert after == replace(before, tag=after.tag, branch=None)
    assert after.id == on_branch.id
    project.gitexp("verify", "exp-1")
    (project.root / ".git/gitexp/recorded").unlink()
    assert project.gitexp("doctor") == "all is well\n"


def test_what_was_removed_on_purpose_stays_removed(project: Project) -> None:
    record(project, {"lr": 1}, advance=False)
    project.gitexp("rm", "exp-1")
    assert project.gitexp("doctor", "--fix") == "all is well\n"
    assert project.tags() == []


def test_a_lost_tag_whose_name_is_taken_is_named_and_left(project: Project) -> None:
    lost = record(project, {"lr": 1}, advance=False)
    project.git("tag", "-d", "exp-1")
    project.git("tag", "exp-1")
    assert f"git update-ref refs/tags/NAME {lost.tag}" in project.gitexp("doctor", "--fix", code=1)


def test_leftovers_are_removed_when_they_are_old_and_nobodys(project: Project) -> None:
    record(project, {"lr": 1})
    state = project.root / ".git" / "gitexp"
    young = project.write(".git/gitexp/log-1.index", "x")
    stale = old(project.write(".git/gitexp/log-2.index", "x"))
    folder = project.write(".git/gitexp/dvc-x1/.dvc/config", "x").parents[1]
    old(folder)
    project.git("update-ref", "refs/gitexp/pending/young", "HEAD^{tree}")
    project.git("update-ref", "refs/gitexp/pending/stale", "HEAD^{tree}")
    old(project.root / ".git" / "refs" / "gitexp" / "pending" / "stale")
    (state / "index.sqlite").write_bytes(b"garbage" * 1000)
    shown = project.gitexp("doctor", "--fix")
    assert shown.count("mended: ") == 4
    assert young.exists()
    assert not stale.exists()
    assert not folder.exists()
    assert (
        project.git("for-each-ref", "--format=%(refname)", "refs/gitexp/pending")
        == "refs/gitexp/pending/young"
    )
    assert gitexp.get("exp-1").params == {"lr": 1}


def test_a_lock_of_a_killed_writer_is_finished_and_another_gits_is_not_touched(
    project: Project,
) -> None:
    record(project, {"lr": 1})
    lock, owner = project.root / ".git" / "index.lock", project.root / ".git" / "gitexp-index"
    lock.write_bytes(b"")
    owner.write_text(f"{lock.stat().st_ino} {lock.stat().st_mtime_ns} {'0' * 40}")
    project.gitexp("doctor", "--fix")
    assert not lock.exists()
    lock.write_bytes(b"")
    owner.write_text(f"{lock.stat().st_ino} 1 {'0' * 40}")
    project.gitexp("doctor", "--fix")
    assert lock.exists()


def test_a_dead_run_is_left_for_recover(project: Project) -> None:
    code = "import gitexp, os, signal; gitexp.start_run(params={'a': 1}); os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert "gitexp recover" in project.gitexp("doctor", "--fix", code=1)
    project.gitexp("recover")
    assert project.gitexp("doctor") == "all is well\n"


def test_init_writes_settings_that_can_be_read_and_overwrites_none(project: Project) -> None:
    assert "wrote .gitexp.toml" in project.gitexp("init", env={"SHELL": "/bin/zsh"})
    project.gitexp("log", "-M", "a=1")
    project.write(".gitexp.toml", "advance = false\n")
    done = project.run("init", env={"SHELL": "/bin/bash"})
    assert "stays as it is" in done.stdout
    assert "bash_source" in done.stderr
    assert (project.root / ".gitexp.toml").read_text() == "advance = false\n"


def test_every_setting_that_init_shows_exists(project: Project) -> None:
    from gitexp.cli.setup import _SETTINGS

    lines = [line[2:] for line in _SETTINGS.splitlines()[1:] if line.startswith("# ")]
    project.write(".gitexp.toml", "\n".join(lines) + "\n")
    project.gitexp("log", "-M", "my_score=1")


def test_past_a_thousand_experiments_the_setting_for_a_quick_log_is_named(project: Project) -> None:
    head = project.git("rev-parse", "HEAD")
    refs = "".join(f"create refs/tags/exp-{at} {head}\n" for at in range(1001))
    subprocess.run(["git", "update-ref", "--stdin"], input=refs, text=True, check=True)
    said = project.gitexp("doctor", code=1)
    command = "git config log.excludeDecoration 'refs/tags/exp-*'"
    assert command in said
    subprocess.run(command, shell=True, check=True)  # noqa: S602
    assert "exp-" not in project.git("log", "--decorate")
    assert project.gitexp("doctor").strip() == "all is well"


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/tags/exp-1", "refs/notes/gitexp"])
def test_a_ref_that_a_power_cut_emptied_is_found_and_put_back(project: Project, ref: str) -> None:
    """The tag of an experiment by doctor, all else, which only a reflog knows, by the user."""
    record(project, {"lr": 1}, {"a": 1})
    project.gitexp("label", "exp-1", "+kept")
    was = project.git("rev-parse", ref)
    (project.root / ".git" / ref).write_bytes(b"")
    assert f"{ref} is damaged" in project.gitexp("doctor", code=1)
    said = project.run("doctor", "--fix").stdout
    for command in re.findall(f"((?:rm|git update-ref) .*?{ref}.*?)(?:;|$)", said, re.M):
        subprocess.run(shlex.split(command), cwd=project.root, check=True)
    assert project.git("rev-parse", ref) == was
    assert project.gitexp("doctor") == "all is well\n"
    project.gitexp("log", "-M", "a=2")
    assert gitexp.get("exp-1").labels == ("kept",)


def test_a_damaged_ref_of_unknown_value_is_left_with_what_to_do(project: Project) -> None:
    record(project, {"lr": 1}, {"a": 1})
    (project.root / ".git/refs/tags/mine").write_bytes(b"\0" * 41)
    said = project.gitexp("doctor", "--fix", code=1)
    assert f"rm {project.root / '.git/refs/tags/mine'}" in said
    assert "git update-ref refs/tags/mine HASH" in said


def test_one_fault_does_not_keep_doctor_from_saying_so(project: Project) -> None:
    record(project, {"lr": 1}, {"a": 1})
    project.git("pack-refs", "--all")
    with open(project.root / ".git/packed-refs", "a") as file:
        file.write("nonsense\n")
    said = project.gitexp("doctor", code=1)
    assert said.count("take this line out of it: nonsense") == 1
    assert "take this line out of it: nonsense" in project.error("log", "-M", "a=1")


def test_a_folder_that_objects_are_borrowed_from_is_missed(
    project: Project, tmp_path: Path
) -> None:
    record(project, {"lr": 1}, {"a": 1})
    objects = project.root / ".git/objects"
    (objects / "info/alternates").write_text(f"{tmp_path / 'far'}\n")
    assert f"borrowed from {tmp_path / 'far'}" in project.gitexp("doctor", code=1)
    (tmp_path / "far").mkdir()
    assert project.gitexp("doctor") == "all is well\n"


def test_where_nothing_can_be_recorded_doctor_says_so(project: Project) -> None:
    (project.root / ".git/gitexp").write_text("")
    said = project.gitexp("doctor", code=1)
    assert "nothing can be recorded" in said
    assert f"ls -ld {project.root / '.git/gitexp'}" in said


@pytest.mark.parametrize("what", ["exp-1:params.yml", "exp-1^{tree}", "exp-1^{commit}", "exp-1"])
def test_objects_that_a_power_cut_emptied_are_found_and_can_be_fetched_again(
    project: Project, tmp_path: Path, what: str
) -> None:
    for at in (1, 2):
        record(project, {"lr": at}, {"a": at})
    project.git("clone", "-q", "--bare", str(project.root), str(tmp_path / "far.git"))
    project.git("remote", "add", "origin", str(tmp_path / "far.git"))
    oid = project.git("rev-parse", what)
    path = project.root / ".git/objects" / oid[:2] / oid[2:]
    path.unlink()  # which the clone shares
    path.touch()
    said = project.gitexp("doctor", "--fix", code=1)
    assert f"mended: the file of object {oid[:10]} is damaged" in said
    if what == "exp-1":
        assert "git update-ref -d refs/tags/exp-1; then, to bring back" in said
        project.git("update-ref", "-d", "refs/tags/exp-1")
    assert "git fetch --refetch --tags origin" in said
    project.git("fetch", "-q", "--refetch", "--tags", "origin")
    assert project.gitexp("doctor") == "all is well\n"
    assert gitexp.get("exp-1").read("params.yml") == b"lr: 1\n"


def test_a_failing_git_makes_no_healthy_object_a_damaged_one(
    project: Project, tmp_path: Path
) -> None:
    """As where there is no memory for a moment."""
    record(project, {"lr": 1}, {"a": 1})
    failing = tmp_path / "git"
    git = shlex.quote(str(shutil.which("git")))
    failing.write_text(
        "#!/bin/sh\ncase $* in *--missing=print*) echo 'fatal: Out of memory' >&2; exit 128;; esac\n"
        f'exec {git} "$@"\n'
    )
    failing.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    said = project.gitexp("doctor", "--fix", code=1, env={"PATH": path})
    assert "Out of memory" in said
    assert "to look for damage: git fsck" in said
    assert project.gitexp("doctor") == "all is well\n"


def test_doctor_starts_where_the_branch_is_damaged(tmp_path: Path, project: Project) -> None:
    """Also where git has to be asked where the repository is, as in a linked work tree."""
    record(project, {"lr": 1}, {"a": 1})
    project.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    (project.root / ".git/refs/heads/other").write_bytes(b"")
    done = project.run("doctor", cwd=tmp_path / "linked")
    assert "refs/heads/other is damaged" in done.stdout + done.stderr
    assert "git update-ref refs/heads/other" in done.stdout + done.stderr


def test_doctor_misses_what_was_in_an_emptied_list_of_refs(project: Project) -> None:
    record(project, {"lr": 1}, {"a": 1})
    project.git("pack-refs", "--all")
    (project.root / ".git/packed-refs").write_bytes(b"")
    said = project.gitexp("doctor", "--fix", code=1)
    assert "the commit that HEAD points to cannot be read" in said
    assert project.tags() == ["exp-1"]
