"""What gitexp writes by itself gets what git would give it: filters, syncs, permissions, and safety beside a gc."""

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


def test_objects_are_synced_where_the_configuration_says_so(project: Project, tmp_path: Path) -> None:
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
