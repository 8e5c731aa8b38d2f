"""The work tree that a worker's trials share: each finds it as if it were new, whatever the last
one did to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Project
from gitexp.repo import Repo
from gitexp.runs import worktree
from gitexp.sweeps.worktrees import SharedWorktree


@pytest.fixture
def place(project: Project) -> Iterator[SharedWorktree]:
    """A work tree that two trials ran in already, so that it is known what lies there."""
    project.write(".gitignore", "cache\n*.log\n")
    project.write("src/model.py", "DEPTH = 3\n")
    project.commit()
    repo = Repo.discover(project.root)
    with worktree.checkout(repo, project.git("rev-parse", "HEAD"), "sweep") as root:
        made = SharedWorktree(root)
        for _ in range(2):
            made.tidy(project.git("rev-parse", "HEAD"))
        yield made


def state(place: SharedWorktree) -> dict[str, str | None]:
    """Return all that lies in it: files with their content, folders without."""
    found = sorted(path for path in place.root.rglob("*") if path.name != ".git")
    return {
        path.relative_to(place.root).as_posix(): None if path.is_dir() else path.read_text()
        for path in found
    }


def git(place: SharedWorktree, *args: str) -> str:
    done = subprocess.run(
        ["git", *args], cwd=place.root, capture_output=True, text=True, check=True
    )
    return done.stdout


def edit(place: SharedWorktree) -> None:
    (place.root / "src/model.py").write_text("DEPTH = 9\n")


def edit_behind_gits_back(flag: str) -> Callable[[SharedWorktree], None]:
    def trial(place: SharedWorktree) -> None:
        git(place, "update-index", flag, "src/model.py")
        edit(place)

    return trial


def edit_with_the_old_time(place: SharedWorktree) -> None:
    file = place.root / "src/model.py"
    before = file.stat()
    edit(place)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def leave_empty_folders(place: SharedWorktree) -> None:
    (place.root / "out/plots").mkdir(parents=True)


def leave_ignored_files(place: SharedWorktree) -> None:
    (place.root / "cache").mkdir()
    (place.root / "cache/x").write_text("x")
    (place.root / "src/train.log").write_text("x")


def leave_a_repository(place: SharedWorktree) -> None:
    git(place, "init", "-q", "inner")
    (place.root / "inner/x").write_text("x")


def leave_a_link(place: SharedWorktree) -> None:
    (place.root / "data").symlink_to(place.root.parent)


def put_a_link_in_place_of_a_folder(place: SharedWorktree) -> None:
    copy = place.root.parent / "copy"
    shutil.copytree(place.root / "src", copy, dirs_exist_ok=True)
    shutil.rmtree(place.root / "src")
    (place.root / "src").symlink_to(copy)


def delete_and_replace(place: SharedWorktree) -> None:
    (place.root / "README.md").unlink()
    (place.root / "README.md").mkdir()
    (place.root / "train.py").unlink()


def make_executable(place: SharedWorktree) -> None:
    (place.root / "train.py").chmod(0o755)


def commit(place: SharedWorktree) -> None:
    edit(place)
    git(place, "commit", "-q", "-a", "-m", "by a trial")


def stage(place: SharedWorktree) -> None:
    edit(place)
    git(place, "add", "-A")
    git(place, "checkout", "-q", "HEAD~0")


def leave_a_lock(place: SharedWorktree) -> None:
    edit(place)
    Path(git(place, "rev-parse", "--git-path", "index.lock").strip()).touch()


@pytest.mark.parametrize(
    "trial",
    [
        edit,
        edit_behind_gits_back("--assume-unchanged"),
        edit_behind_gits_back("--skip-worktree"),
        edit_with_the_old_time,
        leave_empty_folders,
        leave_ignored_files,
        leave_a_repository,
        leave_a_link,
        put_a_link_in_place_of_a_folder,
        delete_and_replace,
        make_executable,
        commit,
        stage,
        leave_a_lock,
    ],
)
def test_a_work_tree_is_as_new_after_a_trial(
    project: Project, place: SharedWorktree, trial: Callable[[SharedWorktree], None]
) -> None:
    commit_id = project.git("rev-parse", "HEAD")
    before = state(place)
    for _ in range(2):  # also from the state that the first repair leaves
        trial(place)
        place.tidy(commit_id)
        assert state(place) == before
        assert git(place, "rev-parse", "HEAD").strip() == commit_id
        assert git(place, "status", "--porcelain", "--ignored") == ""
        assert not (place.root / "train.py").stat().st_mode & 0o100
        assert {line[0] for line in git(place, "ls-files", "-v").splitlines()} == {"H"}


def test_results_that_a_trial_left_cost_one_process_of_git(
    project: Project, place: SharedWorktree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = state(place)
    leave_ignored_files(place)
    leave_empty_folders(place)
    (place.root / "metrics.csv").write_text("rmse,1\n")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    place.tidy(project.git("rev-parse", "HEAD"))
    calls = [line for line in (tmp_path / "trace").read_text().splitlines() if "built-in" in line]
    assert len([line for line in calls if "rev-parse" not in line]) == 1
    assert state(place) == before


def test_a_new_worker_does_not_believe_the_index_that_the_last_one_left(
    project: Project, place: SharedWorktree
) -> None:
    before = state(place)
    edit_behind_gits_back("--skip-worktree")(place)
    again = SharedWorktree(place.root)
    again.tidy(project.git("rev-parse", "HEAD"))
    assert state(again) == before


def test_it_goes_to_another_commit(project: Project, place: SharedWorktree) -> None:
    project.git("rm", "-q", "train.py")
    place.tidy(project.commit(README_md="# other\n"))
    assert state(place) == {
        ".gitignore": "cache\n*.log\n",
        "README.md": "# other\n",
        "src": None,
        "src/model.py": "DEPTH = 3\n",
    }
