"""``gitexp checkout``: the experiment is there again, what is not in git stops it, and the printed
line undoes it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from conftest import Project
from recording import record
from states import sources


@pytest.fixture
def two(project: Project) -> Project:
    """Two experiments on main: exp-1 trained with one line, exp-2 with another and one file
    more."""
    record(project, {"lr": 0.1}, {"rmse": 2})
    project.write("train.py", "print('other')\n")
    project.write("more/new.py", "x\n")
    record(project, {"lr": 0.2}, {"rmse": 1})
    return project


def read(project: Project, path: str) -> str:
    return (project.root / path).read_text()


def undo_of(project: Project, *args: str) -> str:
    """Check out, and return the line that undoes it."""
    done = project.run("checkout", *args)
    assert done.returncode == 0, done.stderr
    return next(
        line.removeprefix("to undo it: ")
        for line in done.stderr.splitlines()
        if line.startswith("to undo it: ")
    )


def do(project: Project, line: str) -> None:
    subprocess.run(["sh", "-c", line], cwd=project.root, check=True, capture_output=True)


def test_the_code_and_results_of_an_experiment_are_there_again_and_its_line_undoes_it(
    two: Project,
) -> None:
    done = two.run("checkout", "exp-1")
    commit = two.git("rev-parse", "--short=10", "exp-1^{}")
    assert done.stdout == f"at exp-1 ({commit}), HEAD is detached\n"
    assert done.stderr == "to undo it: gitexp checkout main\n"
    assert read(two, "train.py") == "print('training')\n"
    assert read(two, "params.yml") == "lr: 0.1\n"
    assert not (two.root / "more").exists()
    assert two.git("status", "--porcelain") == ""
    do(two, "git checkout main")
    assert read(two, "train.py") == "print('other')\n"
    assert two.git("symbolic-ref", "--short", "HEAD") == "main"


def test_a_ref_may_be_whatever_names_an_experiment(two: Project) -> None:
    for ref, name in (
        ("1", "exp-1"),
        ("@", "exp-2"),
        ("@~1", "exp-1"),
        ("best:rmse", "exp-2"),
        (two.git("rev-parse", "exp-1^{}")[:8], "exp-1"),
    ):
        two.gitexp("checkout", ref)
        assert two.git("rev-parse", "HEAD") == two.git("rev-parse", f"{name}^{{}}")
    assert "no experiment 'exp-9'" in two.error("checkout", "exp-9", code=3)


def test_a_branch_can_be_begun_there(two: Project) -> None:
    assert "on the new branch wider" in two.gitexp("checkout", "1", "-b", "wider")
    assert two.git("symbolic-ref", "--short", "HEAD") == "wider"
    record(two, {"lr": 0.3})
    assert two.git("rev-parse", "exp-3^") == two.git("rev-parse", "exp-1^{}")
    assert "there is a branch 'main' already" in two.error("checkout", "2", "-b", "main")
    assert "cannot be a branch's name" in two.error("checkout", "2", "-b", "a..b")


@pytest.mark.parametrize(
    ("path", "text"),
    [("train.py", "print('edited')\n"), ("more/new.py", "edited\n"), ("params.yml", "lr: 7\n")],
    ids=["a tracked file", "a file that the experiment lacks", "params that no experiment has"],
)
def test_work_that_is_not_committed_stops_it_and_nothing_changes(
    two: Project, path: str, text: str
) -> None:
    two.write(path, text)
    before = two.git("status", "--porcelain"), two.git("rev-parse", "HEAD")
    assert f"would be lost: '{path}'" in two.error("checkout", "exp-1")
    assert read(two, path) == text
    assert (two.git("status", "--porcelain"), two.git("rev-parse", "HEAD")) == before


def test_staged_work_stops_it_also_where_the_file_on_disk_is_as_before(two: Project) -> None:
    two.write("train.py", "staged\n")
    two.git("add", "train.py")
    two.write("train.py", "print('other')\n")
    assert "'train.py'" in two.error("checkout", "exp-1")
    assert two.git("show", ":train.py") == "staged"


@pytest.mark.parametrize("ignored", [False, True])
def test_an_untracked_or_ignored_file_in_the_way_stops_it(two: Project, ignored: bool) -> None:
    two.git("checkout", "-q", "exp-1")
    if ignored:
        two.write(".git/info/exclude", "more/\n")
    two.write("more/new.py", "mine\n")
    assert "'more/new.py'" in two.error("checkout", "exp-2")
    assert read(two, "more/new.py") == "mine\n"


def test_a_file_that_equals_the_experiments_own_does_not_stop_it(two: Project) -> None:
    two.git("checkout", "-q", "exp-1")
    two.write("more/new.py", "x\n")
    done = two.run("checkout", "exp-2")
    assert done.returncode == 0
    assert "not committed here, but part of exp-2: 'more/new.py'" in done.stderr
    assert two.git("status", "--porcelain") == ""


def test_other_untracked_and_ignored_files_stay(two: Project) -> None:
    two.write(".git/info/exclude", "*.ckpt\n")
    two.write("model.ckpt", "weights")
    two.write("notes.txt", "mine")
    two.gitexp("checkout", "exp-1")
    assert (read(two, "model.ckpt"), read(two, "notes.txt")) == ("weights", "mine")


def test_results_that_are_recorded_in_some_experiment_do_not_stop_it(two: Project) -> None:
    do(
        two,
        "git cat-file blob exp-1:params.yml > params.yml; git cat-file blob exp-1:metrics.csv > metrics.csv",
    )
    assert two.git("status", "--porcelain") != ""
    two.gitexp("checkout", "exp-1")
    assert two.git("status", "--porcelain") == ""


def test_work_is_stashed_on_request_and_the_line_brings_it_back(two: Project) -> None:
    two.write("train.py", "print('edited')\n")
    two.write("more/own.py", "mine\n")
    two.git("add", "train.py")
    undo = undo_of(two, "exp-1", "--stash")
    assert undo == "gitexp checkout main && git stash pop"
    assert read(two, "train.py") == "print('training')\n"
    do(two, undo)
    assert (read(two, "train.py"), read(two, "more/own.py")) == ("print('edited')\n", "mine\n")
    assert two.git("stash", "list") == ""


def test_nothing_is_stashed_where_git_would_take_an_ignored_file_away(two: Project) -> None:
    """git stash brings HEAD's file back, in the place of a folder with all that lies in it."""
    two.write(".git/info/exclude", "*.bin\n")
    (two.root / "train.py").unlink()
    two.write("train.py/weights.bin", "precious")
    line = two.error("checkout", "exp-1", "--stash")
    assert "git stash could not bring 'train.py/weights.bin' back" in line
    assert read(two, "train.py/weights.bin") == "precious"


def test_nothing_is_stashed_where_git_could_not_bring_it_back(two: Project) -> None:
    two.git("rm", "-q", "--cached", "train.py")
    two.write("train.py", "mine, and untracked now\n")
    assert "git stash could not bring 'train.py' back" in two.error("checkout", "exp-1", "--stash")
    assert read(two, "train.py") == "mine, and untracked now\n"
    assert two.git("stash", "list") == ""


def test_nothing_is_stashed_where_a_link_took_the_place_of_a_staged_folder(two: Project) -> None:
    two.write("src/new.py", "staged\n")
    two.git("add", "src")
    (two.root / "src").rename(two.root.parent / "elsewhere")
    (two.root / "src").symlink_to(two.root.parent / "elsewhere")
    two.write("train.py", "mine\n")
    before = two.git("status", "--porcelain")
    assert "stash" in two.error("checkout", "exp-1", "--stash")
    assert two.git("status", "--porcelain") == before
    assert two.git("stash", "list") == ""


def test_nothing_is_stashed_beside_files_that_git_was_told_not_to_look_at(two: Project) -> None:
    two.git("update-index", "--assume-unchanged", "README.md")
    two.write("train.py", "mine\n")
    assert "git stash fails beside assume-unchanged files: 'README.md'" in two.error(
        "checkout", "exp-1", "--stash"
    )
    assert read(two, "train.py") == "mine\n"


def test_a_merge_under_way_stops_it(two: Project) -> None:
    two.git("checkout", "-q", "-b", "other", "HEAD~1")
    two.commit(train_py="print('third')\n")
    two.git("merge", "-q", "main", check=False)
    assert "a merge is under way" in two.error("checkout", "exp-1")


def test_an_experiment_can_lie_in_a_folder_of_its_own(two: Project, tmp_path: Path) -> None:
    two.write("train.py", "print('edited')\n")
    undo = undo_of(two, "1", "--worktree", str(tmp_path / "beside"))
    assert (tmp_path / "beside/train.py").read_text() == "print('training')\n"
    assert read(two, "train.py") == "print('edited')\n"
    do(two, undo)
    assert not (tmp_path / "beside").exists()


def test_params_only_changes_the_params_file_alone(two: Project) -> None:
    before = two.git("rev-parse", "HEAD")
    undo = undo_of(two, "1", "--params-only")
    assert read(two, "params.yml") == "lr: 0.1\n"
    assert two.git("status", "--porcelain").split() == ["M", "params.yml"]
    assert two.git("rev-parse", "HEAD") == before
    do(two, undo)
    assert two.git("status", "--porcelain") == ""


def test_code_only_keeps_head_and_results(two: Project) -> None:
    undo = undo_of(two, "1", "--code-only")
    assert read(two, "train.py") == "print('training')\n"
    assert not (two.root / "more/new.py").exists()
    assert read(two, "params.yml") == "lr: 0.2\n"
    assert two.git("symbolic-ref", "--short", "HEAD") == "main"
    do(two, undo)
    assert two.git("status", "--porcelain") == ""


def test_who_stands_in_a_folder_that_goes_keeps_it_and_is_told(two: Project) -> None:
    done = two.run("checkout", "1", cwd=two.root / "more")
    assert done.returncode == 0
    assert "exp-1 has no folder more, which you are in" in done.stderr


def test_modes_links_and_odd_names_come_back_as_they_were(project: Project) -> None:
    project.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    project.write("ü/new\nline.txt", "x")
    os.symlink("run.sh", project.root / "link")
    record(project)
    for name in ("run.sh", "ü/new\nline.txt", "link"):
        (project.root / name).unlink()
    record(project)
    project.gitexp("checkout", "1")
    assert os.access(project.root / "run.sh", os.X_OK)
    assert os.readlink(project.root / "link") == "run.sh"
    assert read(project, "ü/new\nline.txt") == "x"


def test_options_that_exclude_each_other_are_refused(two: Project, tmp_path: Path) -> None:
    assert "choose one of" in two.error("checkout", "1", "--params-only", "--code-only")
    assert "-b creates a branch" in two.error("checkout", "1", "--params-only", "-b", "x")
    assert "nothing to --stash" in two.error(
        "checkout", "1", "--worktree", str(tmp_path / "x"), "--stash"
    )


def test_a_tracked_folder_that_became_a_link_is_recorded_as_one_and_comes_back(
    two: Project, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/new.py").write_text("not of this repository\n")
    (two.root / "more/new.py").unlink()
    (two.root / "more").rmdir()
    (two.root / "more").symlink_to(tmp_path / "elsewhere")
    made = record(two)
    listed = two.git("ls-tree", "-r", "--name-only", made.id).split()
    assert sorted(sources(dict.fromkeys(listed))) == ["README.md", "more", "train.py"]
    two.gitexp("checkout", "exp-2")
    assert read(two, "more/new.py") == "x\n"
    two.gitexp("checkout", "exp-3")
    assert (two.root / "more").is_symlink()
    assert (tmp_path / "elsewhere/new.py").read_text() == "not of this repository\n"


@pytest.mark.parametrize("how", [[], ["--code-only"]], ids=["whole", "code"])
def test_what_git_does_not_track_in_a_folder_that_becomes_a_file_stops_it(
    two: Project, how: list[str]
) -> None:
    (two.root / "more/new.py").unlink()
    (two.root / "more").rmdir()
    two.write("more", "a file now\n")
    record(two)
    two.gitexp("checkout", "exp-2")
    two.write(".git/info/exclude", "*.ckpt\n")
    two.write("more/model.ckpt", "weights")
    assert "'more/model.ckpt'" in two.error("checkout", "exp-3", *how)
    assert read(two, "more/model.ckpt") == "weights"
    (two.root / "more/model.ckpt").unlink()
    two.gitexp("checkout", "exp-3", *how)
    assert read(two, "more") == "a file now\n"


def beside(project: Project, folder: str, tmp_path: Path) -> Path:
    """Move a folder out of the repository, and leave a link in its place."""
    moved = (project.root / folder).rename(tmp_path / f"beside-{folder}")
    (project.root / folder).symlink_to(moved)
    return moved


def test_a_link_in_the_place_of_a_folder_is_the_users_and_stops_a_checkout(
    two: Project, tmp_path: Path
) -> None:
    elsewhere = beside(two, "more", tmp_path)
    for args in (["exp-1"], ["exp-2"], ["exp-1", "--code-only"]):
        assert "'more'" in two.error("checkout", *args)
        assert os.readlink(two.root / "more") == str(elsewhere)
    assert (elsewhere / "new.py").read_text() == "x\n"


def test_nothing_behind_a_link_is_removed_or_written(project: Project, tmp_path: Path) -> None:
    write = "import os; os.makedirs('out', exist_ok=True); open('out/a.csv', 'w').write('1')"
    project.gitexp("run", "--no-advance", "--", "python", "-c", write)
    out = beside(project, "out", tmp_path)
    project.gitexp("run", "--", "true")
    (project.root / "out").unlink()
    (project.root / "out").symlink_to(out)
    ours = beside(project, ".gitexp", tmp_path)
    before = {path: path.read_bytes() for path in (*out.iterdir(), *ours.iterdir())}
    for command in (["log", "-m", "a=1"], ["run", "--", "true"], ["checkout", "exp-1"]):
        project.run(*command)
    assert {path: path.read_bytes() for path in (*out.iterdir(), *ours.iterdir())} == before


def test_the_way_back_that_is_printed_works_after_a_detached_run(project: Project) -> None:
    script = "import sys\nfor name in ('metrics.json', 'model.bin'):\n    open(name, 'w').write(sys.argv[1])\n"
    run = ("run", "--", "python", "-c", script)
    for value in ("1", "2"):
        project.gitexp(*run, value)
    branch = project.git("branch", "--show-current")
    said = project.run("checkout", "exp-1").stderr
    assert f"to undo it: gitexp checkout {branch}\n" in said
    project.gitexp(*run, "3")
    assert project.gitexp("checkout", branch).endswith(f", on {branch}\n")
    assert project.git("branch", "--show-current") == branch
    assert project.git("status", "--porcelain") == ""
    assert (project.root / "model.bin").read_text() == "2"


def test_many_outputs_are_looked_up_with_one_process(project: Project, tmp_path: Path) -> None:
    for text in ("a", "b"):
        script = f"for i in 1 2 3 4 5 6 7 8; do echo {text}$i > out$i.txt; done"
        project.gitexp("run", "--no-advance", "--", "sh", "-c", script)
    trace = tmp_path / "trace"
    project.gitexp("checkout", "exp-1", env={"GIT_TRACE2_EVENT": str(trace)})
    assert (project.root / "out8.txt").read_text() == "a8\n"
    assert trace.read_text().count('"name":"cat-file"') <= 3
