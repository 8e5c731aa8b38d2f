"""Processes of git: what they say while they run, and where they fail."""

from __future__ import annotations

from pathlib import Path

from conftest import Project
from gitexp.repo import Repo


def test_progress_with_a_remote_is_told_and_is_no_part_of_what_git_said(
    project: Project, tmp_path: Path
) -> None:
    project.git("init", "-q", "--bare", str(tmp_path / "bare"))
    told: list[tuple[str, int, int]] = []
    repo = Repo.discover(project.root)
    asked = ("push", "--progress", str(tmp_path / "bare"), "HEAD:refs/heads/main")
    done = repo.exchange(*asked, progress=lambda *now: told.append(now))
    assert done.returncode == 0
    written = [count for stage, *count in told if stage == "Writing objects"]
    assert written[-1][0] == written[-1][1] > 0
    assert "objects:" not in done.stderr
    assert f"To {tmp_path}" in done.stderr
    done = repo.exchange("push", "--progress", "404", "HEAD", progress=lambda *now: None)
    assert "fatal: '404' does not appear to be a git repository" in done.stderr
