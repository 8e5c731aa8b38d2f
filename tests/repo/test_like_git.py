"""What gitexp writes by itself gets what git would give it: filters, syncs, permissions, and safety
beside a gc."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.repo import Repo, locks
from recording import record


def test_objects_are_synced_where_the_configuration_says_so(
    project: Project, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    project.git("config", "core.fsync", "all")
    project.gitexp("log", "-M", "m=1", env={"GIT_TRACE2_EVENT": str(trace)})
    assert trace.read_text().count('"name":"hash-object"') >= 3


def test_an_object_that_is_there_already_is_young_again(project: Project) -> None:
    repo = Repo.discover(project.root)
    oid = repo.write_object("blob", b"seen before")
    file = project.root / ".git" / "objects" / oid[:2] / oid[2:]
    os.utime(file, (1, 1))
    assert repo.write_object("blob", b"seen before") == oid
    assert time.time() - file.stat().st_mtime < 60


def test_in_a_groups_repository_all_is_the_groups(project: Project) -> None:
    project.git("config", "core.sharedRepository", "group")
    before = os.umask(0o077)
    try:
        project.gitexp("log", "-M", "m=1")
        project.gitexp("run", "--", sys.executable, "-c", "print(1)")
        project.gitexp("label", "exp-1", "+good")
        project.gitexp("list")
    finally:
        os.umask(before)
    ours = [project.root / ".git" / "gitexp", *(project.root / ".git" / "gitexp").rglob("*")]
    refs = [*(project.root / ".git" / "refs" / "tags").iterdir()]
    for path in (*ours, *refs):
        mode = path.stat().st_mode
        assert mode & stat.S_IRGRP, path
        assert mode & stat.S_IWGRP, path
        assert not path.is_dir() or mode & stat.S_ISGID, path


@pytest.mark.slow
def test_beside_gc_in_a_loop_nothing_fails_and_nothing_breaks(project: Project) -> None:
    loop = "import os, subprocess, sys\nwhile not os.path.exists('../over'): subprocess.run(['git', *sys.argv[1:]], capture_output=True)"
    collectors = [
        subprocess.Popen([sys.executable, "-c", loop, *command])
        for command in (["gc", "--quiet"], ["repack", "-a", "-d", "-q"])
    ]
    try:
        for number in range(24):
            project.gitexp("log", "-M", f"m={number}")
    finally:
        project.write("../over", "")
        for collector in collectors:  # each ends with its git, which fsck would meet
            collector.wait()
    project.fsck()
    assert len(project.tags()) == 24


# -- filters ---------------------------------------------------------------------------------------


@pytest.fixture
def filtered(project: Project) -> Project:
    """A repository whose ``*.sec`` files are in capitals in git, as a filter for secrets would have
    them in cipher."""
    project.git("config", "filter.upper.clean", "tr a-z A-Z")
    project.git("config", "filter.upper.smudge", "tr A-Z a-z")
    project.git("config", "filter.upper.required", "true")
    project.write("k.sec", "old\n")
    project.commit(**{".gitattributes": "*.sec filter=upper\n*.csv text eol=lf\n"})
    return project


def test_artifacts_and_results_enter_as_git_add_would_take_them(filtered: Project) -> None:
    filtered.write("k.sec", "plain text\n")
    filtered.gitexp("log", "-M", "m=1", "--artifact", "k.sec")
    assert filtered.git("show", "exp-1:k.sec") == "PLAIN TEXT"
    assert "\r" not in subprocess.check_output(["git", "show", "exp-1:metrics.csv"]).decode()
    assert filtered.git("status", "--porcelain") == ""
    code = "import gitexp; r = gitexp.start_run(); open('k.sec', 'w').write('later')"
    code += "; r.log_artifact('k.sec'); r.log_text('t', 'a.sec'); r.log_metric('m', 2)"
    filtered.gitexp("run", "--", sys.executable, "-c", code)
    assert filtered.git("show", "exp-2:k.sec") == "LATER"
    assert filtered.git("show", "exp-2:.gitexp/artifacts/a.sec") == "T"
    assert filtered.git("status", "--porcelain") == ""


def test_a_file_that_its_filter_refuses_is_named_and_nothing_moves(filtered: Project) -> None:
    filtered.git("config", "filter.upper.clean", "grep -v plain")
    head = filtered.git("rev-parse", "HEAD")
    filtered.write("new.sec", "plain text\n")
    filtered.write(".git/info/exclude", "new.sec\n")
    said = filtered.error("log", "-M", "m=1", "--artifact", "new.sec")
    assert "the filter 'upper' does not take new.sec" in said
    assert (filtered.tags(), filtered.git("rev-parse", "HEAD")) == ([], head)


def test_a_clone_with_other_line_ends_knows_its_results_again(
    project: Project, tmp_path: Path
) -> None:
    project.gitexp("log", "-p", "lr=1", "-M", "m=1")
    project.git(
        "clone", "-q", "-c", "core.autocrlf=true", str(project.root), str(tmp_path / "clone")
    )
    clone = Project(tmp_path / "clone")
    clone.git("config", "core.safecrlf", "true")
    clone.gitexp("log", "-p", "lr=2", "-M", "m=2")
    assert clone.git("show", "HEAD:params.yml") == "lr: 2"
    assert clone.git("status", "--porcelain") == ""


# -- links -----------------------------------------------------------------------------------------


def test_nothing_is_written_through_a_link(project: Project, tmp_path: Path) -> None:
    neighbour = tmp_path / "neighbour"
    neighbour.mkdir()
    for name in ("requirements.txt", "params"):
        (neighbour / name).write_text("precious")
    (project.root / ".gitexp").symlink_to(neighbour)
    (project.root / "params.yml").symlink_to(neighbour / "params")
    project.commit("links")
    done = project.run("log", "-M", "m=1", "-p", "lr=1")
    assert done.returncode == 0
    assert "'.gitexp' is a symbolic link" in done.stderr
    project.gitexp("run", "--", sys.executable, "-c", "print(1)")
    assert project.tags() == ["exp-1", "exp-2"]
    assert {file.read_text() for file in neighbour.iterdir()} == {"precious"}
    assert len([*neighbour.iterdir()]) == 2
    assert project.git("status", "--porcelain") == ""


# -- locks and damage ------------------------------------------------------------------------------


def aged(path: Path, hours: float) -> Path:
    """Leave a lock file behind, as a git that was killed so long ago would have."""
    path.write_text("")
    then = time.time() - hours * 3600
    os.utime(path, (then, then))
    return path


def test_stale_locks_are_named_with_age_and_owner_and_mended(project: Project) -> None:
    git = project.root / ".git"
    names = ("refs/tags/exp-1.lock", "index.lock", "packed-refs.lock", "config.lock")
    locks = [aged(git / name, 30) for name in names]
    young, at_work = aged(git / "HEAD.lock", 0), aged(git / "shallow.lock", 0.5)
    said = project.gitexp("doctor", code=1)
    assert f"the lock {locks[0]} of {locks[0].owner()} is 30 hours old" in said
    assert f"rm '{at_work}'" in project.gitexp("doctor", "--fix", code=1)
    assert not any(lock.exists() for lock in locks)
    assert young.exists()
    assert at_work.exists()


def test_a_lock_of_a_name_gives_the_next_and_one_of_the_branch_stands_beside(
    project: Project,
) -> None:
    refs = project.root / ".git" / "refs"
    aged(refs / "tags" / "exp-1.lock", 0)
    project.gitexp("log", "-M", "m=1")
    assert project.tags() == ["exp-2"]
    lock = aged(refs / "heads" / "main.lock", 0)
    done = project.run("log", "-M", "m=2")
    assert done.returncode == 0
    assert f"another git process holds {lock}" in done.stderr
    aged(project.root / ".git" / "index.lock", 0)
    lock.unlink()
    assert "index.lock" in project.run("log", "-M", "m=3").stderr
    assert project.tags() == ["exp-2", "exp-3", "exp-4"]
    project.write("train.py", "changed")
    assert "index.lock" in project.error("checkout", "exp-2", "--stash")


def test_a_lock_on_a_remote_is_said_at_once(project: Project, tmp_path: Path) -> None:
    far = tmp_path / "far.git"
    project.git("init", "-q", "--bare", str(far))
    project.git("remote", "add", "origin", str(far))
    project.gitexp("log", "-M", "m=1")
    (far / "refs" / "notes").mkdir()
    lock = aged(far / "refs" / "notes" / "gitexp.lock", 30)
    project.gitexp("label", "exp-1", "+good")
    start = time.monotonic()
    said = project.error("push")
    assert str(Path("refs", "notes", "gitexp.lock")) in said
    assert time.monotonic() - start < 10
    lock.unlink()
    project.gitexp("push")


def _lose(project: Project, name: str) -> None:
    oid = project.git("rev-parse", name)
    (project.root / ".git" / "objects" / oid[:2] / oid[2:]).unlink()


def test_what_is_lost_is_named_by_doctor_and_stops_a_checkout(
    project: Project, tmp_path: Path
) -> None:
    for number in range(1, 5):
        project.gitexp("log", "-p", f"lr={number}", "-M", f"m={number}")
    project.git("clone", "-q", "--bare", str(project.root), str(tmp_path / "far.git"))
    project.git("remote", "add", "origin", str(tmp_path / "far.git"))
    project.git("switch", "-q", "--detach", "exp-3")
    _lose(project, "exp-1:params.yml")
    _lose(project, "exp-4")
    said = project.gitexp("doctor", code=1)
    assert "exp-1 lacks 1 of its files" in said
    assert "the tag exp-4 points to nothing" in said
    assert "exp-2" not in said
    for more in ([], ["--worktree", str(tmp_path / "apart")]):
        assert "exp-1 lacks 1 of its" in project.error("checkout", "exp-1", *more, code=3)
    assert "git update-ref -d refs/tags/exp-4" in said
    project.git("update-ref", "-d", "refs/tags/exp-4")
    project.git("fetch", "-q", "--refetch", "--tags", "origin")
    assert project.gitexp("doctor") == "all is well\n"
    _lose(project, "HEAD")
    assert "HEAD points to cannot be read" in project.gitexp("doctor", code=1)


def test_a_tag_that_was_lost_is_named_and_is_there_again_when_it_comes_back(
    project: Project, tmp_path: Path
) -> None:
    for number in (1, 2):
        project.gitexp("log", "-M", f"m={number}")
    project.git("clone", "-q", "--bare", str(project.root), str(tmp_path / "far.git"))
    project.git("remote", "add", "origin", str(tmp_path / "far.git"))
    _lose(project, "exp-1")
    for _ in range(2):
        done = project.run("list")
        assert "git has lost exp-1; to see what may help: gitexp doctor" in done.stderr
        assert "exp-1" not in done.stdout
    assert "git has lost exp-1" in project.error("show", "exp-1", code=3)
    project.git("update-ref", "-d", "refs/tags/exp-1")
    project.git("fetch", "-q", "--refetch", "--tags", "origin")
    done = project.run("list")
    assert "exp-1" in done.stdout
    assert not done.stderr


def test_who_waits_for_a_lock_says_so(project: Project) -> None:
    project.gitexp("log", "-M", "m=1")
    held = locks.Held(project.root / ".git/gitexp/lock")
    threading.Timer(7, held.close).start()
    done = project.run("log", "-M", "m=2")
    assert done.stderr.count("gitexp: waiting for another gitexp") == 1
    assert gitexp.get("exp-2").metrics["m"] == 2


def test_a_mirror_as_remote_gets_experiments(project: Project, tmp_path: Path) -> None:
    project.git("clone", "-q", "--bare", str(project.root), str(tmp_path / "far.git"))
    project.git("remote", "add", "--mirror=push", "origin", str(tmp_path / "far.git"))
    project.gitexp("log", "-M", "m=1")
    project.gitexp("push")
    assert "refs/tags/exp-1" in project.git("ls-remote", "origin")


def test_whatever_has_the_next_name_an_experiment_gets_one_behind_it(project: Project) -> None:
    def is_recorded(name: str) -> None:
        project.gitexp("log", "-M", "m=1")
        assert gitexp.get(name).metrics["m"] == 1

    project.git("tag", "exp-1/x")
    is_recorded("exp-2")
    project.git("tag", "exp-3/x")
    project.git("tag", "exp-4/y/z")
    project.git("pack-refs", "--all", "--prune")
    is_recorded("exp-5")
    project.git("symbolic-ref", "refs/tags/exp-6", "refs/heads/nowhere")
    is_recorded("exp-7")
    (project.root / ".git/refs/tags/exp-8").write_bytes(b"")
    is_recorded("exp-9")
    assert "exp-8 is damaged" in project.gitexp("doctor", code=1)
    assert "killed" not in project.gitexp("doctor", code=1)


@pytest.mark.parametrize("name", ["params.yml", "metrics.csv", ".gitexp/requirements.txt"])
def test_a_pipe_in_the_place_of_a_result_stops_nothing(project: Project, name: str) -> None:
    (project.root / name).parent.mkdir(exist_ok=True)
    os.mkfifo(project.root / name)
    project.gitexp("run", "--", "true")
    assert stat.S_ISFIFO((project.root / name).lstat().st_mode)
    assert not project.git("status", "--porcelain")


def test_a_file_where_a_folder_of_ours_goes_leaves_branch_and_work_tree_alone(
    project: Project,
) -> None:
    (project.root / ".gitexp").write_text("mine\n")
    done = project.run("log", "-M", "m=1")
    assert "'.gitexp' is not a folder, which gitexp needs there" in done.stderr
    assert project.git("status", "--porcelain") == "?? .gitexp"
    assert gitexp.get("exp-1").metrics["m"] == 1


def test_broken_notes_of_a_remote_stay_there_and_broken_ones_here_are_mended(
    project: Project, tmp_path: Path
) -> None:
    project.gitexp("log", "-M", "m=1")
    far = Project(tmp_path / "far.git")
    project.git("clone", "-q", "--bare", ".", str(far.root))
    ref = "refs/notes/gitexp"
    blob = far.git("hash-object", "-w", "HEAD")
    far.git("update-ref", ref, blob)
    project.git("clone", "-q", str(far.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    done = clone.run("pull")
    assert (done.returncode, "labels and notes were not pulled" in done.stderr) == (0, True)
    clone.gitexp("label", "exp-1", "+good")
    clone.gitexp("log", "-M", "m=2")
    done = clone.run("push")
    assert (done.returncode, "labels and notes were not pushed" in done.stderr) == (0, True)
    assert far.git("rev-parse", ref) == blob
    clone.git("update-ref", ref, blob)
    assert "exp-1" in clone.gitexp("list")
    assert f"mended: {ref}" in clone.gitexp("doctor", "--fix")
    assert "good" in clone.gitexp("list")


# -- files that are hard to take -------------------------------------------------------------------


def test_a_fifo_in_the_place_of_a_tracked_file_is_named_in_one_line(project: Project) -> None:
    project.write("train.py", "other")
    (project.root / "README.md").unlink()
    os.mkfifo(project.root / "README.md")
    done = project.run("log", "-M", "m=1")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "README.md" in line and "FIFO" in line]
    assert project.git("show", "exp-1:train.py") == "other"
    assert project.git("show", "exp-1:README.md") == "# a project"
    assert (project.root / "README.md").is_fifo()


def test_a_file_that_is_rewritten_in_a_loop_is_taken_as_it_was_at_some_moment(
    project: Project,
) -> None:
    project.commit(**{"big.txt": "a" * 20_000_000})
    loop = "import sys\nwhile True:\n for n in (9_000_000, 1_000_000, 7_000_000): open('big.txt', 'w').write('b' * n)"
    writer = subprocess.Popen([sys.executable, "-c", loop])
    try:
        for number in range(6):
            done = project.run("log", "-M", f"m={number}")
            assert done.returncode == 0, done.stderr
    finally:
        writer.kill()
        writer.wait()
    project.fsck()
    assert len(project.tags()) == 6


def test_what_is_imported_takes_the_next_number_where_a_lock_is_in_the_way(
    project: Project,
) -> None:
    for at in range(3):
        project.commit("old", metrics_csv=f'Name,Value,Timestamp,Step\n"a",{at},1,0\n')
    (project.root / ".git/refs/tags/exp-2.lock").touch()
    project.gitexp("import", "git")
    assert project.tags() == ["exp-3", "exp-4", "exp-5"]


def test_rm_removes_nothing_where_a_lock_is_in_the_way_of_one(project: Project) -> None:
    record(project)
    record(project)
    lock = project.root / ".git/refs/tags/exp-2.lock"
    lock.touch()
    assert str(lock) in project.error("rm", "exp-1", "exp-2")
    assert project.tags() == ["exp-1", "exp-2"]


def test_a_lock_of_ours_that_cannot_be_taken_is_named(project: Project) -> None:
    record(project)
    (project.root / ".git/gitexp/lock").unlink()
    (project.root / ".git/gitexp/lock").mkdir()
    line = project.error("note", "exp-1", "good")
    assert ".git/gitexp/lock cannot be written: Is a directory; check the repository's" in line


def test_notes_that_cannot_be_read_are_named_before_one_is_added(project: Project) -> None:
    record(project)
    blob = project.git("hash-object", "-w", "train.py")
    project.git("update-ref", "refs/notes/gitexp", blob)
    said = "refs/notes/gitexp cannot be read; to mend it: gitexp doctor --fix"
    assert project.error("note", "exp-1", "good") == said
    project.gitexp("doctor", "--fix")
    project.gitexp("note", "exp-1", "good")
