"""What gitexp writes by itself gets what git would give it: filters, syncs, permissions, and safety
beside a gc."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import Project
from gitexp.repo import Repo


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
    loop = "import subprocess, sys\nwhile True: subprocess.run(['git', *sys.argv[1:]], capture_output=True)"
    collectors = [
        subprocess.Popen([sys.executable, "-c", loop, *command])
        for command in (["gc", "--quiet"], ["repack", "-a", "-d", "-q"])
    ]
    try:
        for number in range(24):
            project.gitexp("log", "-M", f"m={number}")
    finally:
        for collector in collectors:
            collector.kill()
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
