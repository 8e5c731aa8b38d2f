"""``gitexp log`` and where an experiment ends up in git."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gitexp
from conftest import Project


def summary(project: Project, ref: str = "HEAD") -> str:
    return project.git("log", "-1", "--format=%s", ref)


def test_one_experiment_is_one_commit_with_one_annotated_tag(project: Project) -> None:
    parent = project.git("rev-parse", "HEAD")
    project.write("train.py", "print('changed')\n")
    project.write("new.py", "x = 1\n")
    done = project.run(
        "log",
        "-p",
        "lr=1e-2",
        "-p",
        "model.depth=3",
        "-M",
        "rmse=18.2",
        "-M",
        "loss=0.5@10",
        "-l",
        "conv",
        "--note",
        "a note",
    )
    assert done.stdout == f"exp-1 {project.git('rev-parse', 'HEAD')[:10]}\n"
    assert done.stderr == "untracked files taken: new.py\nbranch main moved to exp-1\n"
    assert project.git("cat-file", "-t", "exp-1") == "tag"
    assert project.git("rev-parse", "exp-1^{commit}") == project.git("rev-parse", "HEAD")
    assert project.git("rev-parse", "HEAD^") == parent
    assert summary(project) == "exp-1: rmse=18.2, loss=0.5 (lr=0.01, model.depth=3)"
    assert project.git("show", "HEAD:params.yml") == "lr: 0.01\nmodel:\n  depth: 3"
    assert project.git("show", "HEAD:metrics.csv").startswith(
        'Name,Value,Timestamp,Step\n"rmse",18.2,'
    )
    assert "# Python 3" in project.git("show", "HEAD:.gitexp/requirements.txt")
    assert project.git("show", "HEAD:train.py") == "print('changed')"
    body = project.git("log", "-1", "--format=%b")
    assert body.startswith("a note\n\nGitexp-Id: ")
    assert "Gitexp-Status: finished" in body
    assert project.git("status", "--porcelain") == ""
    project.fsck()


def test_numbers_go_up_and_a_removed_name_is_not_given_again(project: Project) -> None:
    for _ in range(3):
        project.gitexp("log", "-M", "a=1")
    project.git("tag", "-d", "exp-3")
    project.gitexp("log", "-M", "a=1")
    project.git("tag", "-a", "-m", "x", "exp-40")
    project.gitexp("log", "-M", "a=1")
    assert project.tags() == ["exp-1", "exp-2", "exp-4", "exp-40", "exp-41"]


def test_the_first_commit_of_a_new_repository_may_be_an_experiment(empty: Project) -> None:
    empty.write("train.py", "x\n")
    empty.gitexp("log", "-M", "a=1")
    assert empty.git("rev-list", "--count", "main") == "1"
    assert empty.git("status", "--porcelain") == ""
    empty.fsck()


def test_uncommitted_work_index_and_stash_stay(project: Project) -> None:
    project.write("staged.py", "staged\n")
    project.git("add", "staged.py")
    project.write("stashed.py", "x")
    project.git("stash", "push", "-q", "-u", "stashed.py")
    done = project.run("log", "-M", "a=1", "--no-advance")
    assert "the branch did not move (--no-advance)" in done.stderr
    assert project.git("status", "--porcelain") == "A  staged.py"
    assert project.git("show", "exp-1:staged.py") == "staged"
    assert project.git("stash", "list") != ""
    assert not (project.root / "params.yml").exists()


def test_partial_staging_stands_beside(project: Project) -> None:
    project.write("train.py", "staged\n")
    project.git("add", "train.py")
    project.write("train.py", "on disk\n")
    before = project.git("rev-parse", "HEAD")
    done = project.run("log", "-M", "a=1")
    assert "'train.py' is staged with other content" in done.stderr
    assert project.git("rev-parse", "HEAD") == before
    assert project.git("show", ":train.py") == "staged"
    assert project.git("show", "exp-1:train.py") == "on disk"


@pytest.mark.parametrize("state", ["merge", "rebase", "cherry-pick", "detached"])
def test_with_something_under_way_it_stands_beside(project: Project, state: str) -> None:
    project.git("checkout", "-q", "-b", "other")
    project.commit("other", train_py="other\n")
    project.git("checkout", "-q", "main")
    project.commit("mine", train_py="mine\n")
    if state == "detached":
        project.git("checkout", "-q", "--detach")
    else:
        project.git(state, "other", check=False)
    before, status = project.git("rev-parse", "HEAD"), project.git("status", "--porcelain")
    done = project.run("log", "-M", "a=1")
    assert done.returncode == 0, done.stderr
    assert f"{state} is under way" in done.stderr or "HEAD is detached" in done.stderr
    assert project.git("rev-parse", "HEAD") == before
    assert project.git("status", "--porcelain") == status
    project.fsck()


def test_a_params_file_of_the_users_own_is_never_overwritten(project: Project) -> None:
    project.commit(params_yml="theirs: 1\n")
    done = project.run("log", "-p", "lr=0.1", "-M", "a=1")
    assert (project.root / "params.yml").read_text() == "theirs: 1\n"
    assert project.git("show", "exp-1:params.yml") == "theirs: 1"
    assert project.git("show", "exp-1:.gitexp/params.yml") == "lr: 0.1"
    assert "--params-file params.yml" in done.stderr
    assert dict(gitexp.get("exp-1").params) == {"lr": 0.1}
    assert project.git("status", "--porcelain") == ""


def test_the_users_own_params_file_given_as_input_is_the_record(project: Project) -> None:
    text = "# rates\ntheirs: 1e-3\n"
    project.commit(params_yml=text)
    done = project.run("log", "--params-file", "params.yml", "-M", "a=1")
    assert "--params-file" not in done.stderr
    assert project.git("show", "exp-1:params.yml") == text.strip()
    assert dict(gitexp.get("exp-1").params) == {"theirs": 0.001}


def test_what_gitexp_wrote_it_replaces_also_in_a_fresh_clone(
    project: Project, tmp_path: Path
) -> None:
    project.gitexp("log", "-p", "lr=1", "-M", "a=1")
    clone = Project(tmp_path / "clone")
    project.git("clone", "-q", str(project.root), str(clone.root))
    clone.gitexp("log", "-p", "lr=2", "-M", "a=1")
    assert clone.git("show", "exp-2:params.yml") == "lr: 2"
    assert clone.git("status", "--porcelain") == ""


def test_an_edit_of_what_gitexp_wrote_is_the_users(project: Project) -> None:
    project.gitexp("log", "-p", "lr=1", "-M", "a=1")
    project.write("params.yml", "lr: 1\nmine: 2\n")
    project.gitexp("log", "-p", "lr=2", "-M", "a=1")
    assert (project.root / "params.yml").read_text() == "lr: 1\nmine: 2\n"
    assert project.git("show", "exp-2:.gitexp/params.yml") == "lr: 2"


def test_the_results_of_the_experiment_before_do_not_linger(project: Project) -> None:
    project.write("params.yml", "theirs: 1\n")
    project.gitexp("log", "-p", "lr=1", "-M", "a=1")
    (project.root / "params.yml").unlink()
    project.gitexp("log", "-p", "lr=2", "-M", "a=1")
    assert (
        project.git("ls-tree", "-r", "--name-only", "exp-2", ".gitexp/")
        == ".gitexp/requirements.txt"
    )
    assert project.git("status", "--porcelain") == ""


# -- what enters a snapshot ------------------------------------------------------------------------


def test_caches_and_environments_are_no_sources_though_nobody_ignored_them(
    project: Project,
) -> None:
    for path in (
        "pkg/__pycache__/a.pyc",
        "notes/.ipynb_checkpoints/x.ipynb",
        "pkg/.DS_Store",
        "env/pyvenv.cfg",
        "env/lib/site.py",
        "conda/conda-meta/history",
        "conda/bin/tool",
    ):
        project.write(path, "x")
    project.write("pkg/environment.py", "x = 1\n")
    done = project.run("log", "-M", "a=1")
    names = project.git("ls-tree", "-r", "--name-only", "exp-1").split()
    assert [name for name in names if "/" in name and not name.startswith(".gitexp/")] == [
        "pkg/environment.py"
    ]
    assert "left out" not in done.stderr


def test_secrets_large_files_and_ignored_ones_stay_out_and_are_named(project: Project) -> None:
    project.commit(_gitignore="ignored.txt\n")
    project.write(".env", "TOKEN=1\n")
    project.write("aws.py", "key = 'AKIAIOSFODNN7EXAMPLQ'\n")
    project.write("big.bin", b"x" * 10_000_001)
    project.write("ignored.txt", "x")
    project.write("fine.py", "x = 1\n")
    done = project.run("log", "-M", "a=1")
    names = project.git("ls-tree", "-r", "--name-only", "exp-1").split()
    assert "fine.py" in names
    assert not {".env", "aws.py", "big.bin", "ignored.txt"} & set(names)
    assert "left out: .env (may be a secret: its name)" in done.stderr
    assert "left out: aws.py (may be a secret: line 1: AWS Access Key)" in done.stderr
    assert "left out: big.bin (10.0 MB, over the limit of 10.0 MB)" in done.stderr
    assert "include" in done.stderr
    with pytest.warns(RuntimeWarning) as heard, gitexp.start_run({"api_key": "sk-" + "a1" * 20}):
        pass
    said = " ".join(str(one.message) for one in heard)
    assert "left out: .env (may be a secret: its name)" in said
    assert "api_key may be secrets and read ***" in said
    assert (
        project.git("cat-file", "--batch-check", "--batch-all-objects").count("blob 10000001") == 0
    )


def test_settings_change_what_enters(project: Project) -> None:
    project.write(
        ".gitexp.toml", 'max_file_size = "5 kB"\ninclude = ["keep/*"]\nexclude = ["drop"]\n'
    )
    project.write("keep/big.bin", b"x" * 9000)
    project.write("drop/small.py", "x")
    project.write("large.txt", b"x" * 9000)
    project.gitexp("log", "-M", "a=1")
    names = project.git("ls-tree", "-r", "--name-only", "exp-1").split()
    assert "keep/big.bin" in names
    assert "drop/small.py" not in names
    assert "large.txt" not in names


def test_too_many_untracked_files_are_a_folder_of_outputs(project: Project) -> None:
    for at in range(1001):
        project.write(f"out/{at}.txt", "x")
    done = project.run("log", "-M", "a=1")
    assert "1,001 untracked files" in done.stderr
    assert project.git("ls-tree", "-r", "--name-only", "exp-1", "out/") == ""


def test_a_tracked_file_over_the_limit_is_kept(project: Project) -> None:
    project.write("data.bin", b"x" * 10_000_001)
    project.commit()
    project.write("data.bin", b"y" * 10_000_001)
    project.gitexp("log", "-M", "a=1")
    assert project.git("status", "--porcelain") == ""


def test_edits_hidden_by_assume_unchanged_are_recorded(project: Project) -> None:
    project.git("update-index", "--assume-unchanged", "train.py", "README.md")
    project.write("train.py", "hidden edit\n")
    project.gitexp("log", "-M", "a=1")
    assert project.git("show", "exp-1:train.py") == "hidden edit"
    assert project.git("ls-files", "-v", "README.md").startswith("h")
    assert project.git("status", "--porcelain") == ""


def test_an_edit_in_the_same_tick_as_the_commit_is_recorded(project: Project) -> None:
    for at in range(5):
        project.commit(train_py=f"aaaa{at}\n")
        project.write("train.py", f"bbbb{at}\n")
        project.gitexp("log", "-M", "a=1")
        assert project.git("show", f"exp-{at + 1}:train.py") == f"bbbb{at}"


def test_an_embedded_repository_and_a_submodule_are_named(project: Project, tmp_path: Path) -> None:
    inner = Project(project.root / "inner")
    inner.root.mkdir()
    inner.git("init", "-q")
    inner.commit(a_py="x")
    sub = Project(tmp_path / "sub")
    sub.root.mkdir()
    sub.git("init", "-q")
    sub.commit(b_py="x")
    project.git("submodule", "add", "-q", str(sub.root), "module")
    project.git("commit", "-q", "-m", "module")
    Project(project.root / "module").commit(b_py="changed")
    pointer = project.git("rev-parse", "HEAD", cwd=project.root / "module")
    done = project.run("log", "-M", "a=1")
    assert "left out: inner/ (a git repository of its own)" in done.stderr
    assert project.git("rev-parse", "exp-1:module") == pointer
    Project(project.root / "module").write("b.py", "dirty")
    assert "module (a submodule with edits of its own" in project.run("log", "-M", "a=2").stderr


def test_odd_file_names_enter(project: Project) -> None:
    names = [b"sp ace.py", "ümlaut.py".encode(), b"latin-\xe9.py", b"new\nline.py", b'"quoted".py']
    for name in names:
        Path(os.fsdecode(os.fsencode(project.root) + b"/" + name)).write_text("x")
    project.gitexp("log", "-M", "a=1")
    listed = subprocess.run(
        ["git", "ls-tree", "-rz", "--name-only", "exp-1"], capture_output=True, check=True
    ).stdout.split(b"\0")
    assert set(names) <= set(listed)


def test_artifacts_are_kept_even_where_they_are_ignored(project: Project) -> None:
    project.commit(_gitignore="*.pkl\n")
    project.write("model.pkl", b"\0\1weights")
    project.gitexp("log", "-M", "a=1", "--artifact", "model.pkl")
    assert gitexp.get("exp-1").read("model.pkl") == b"\0\1weights"
    assert "model.pkl" in gitexp.get("exp-1").extra["artifacts"]


# -- repositories of all kinds ---------------------------------------------------------------------


def test_in_a_subdirectory_and_a_linked_worktree(project: Project, tmp_path: Path) -> None:
    project.write("sub/x.py", "x")
    project.gitexp("log", "-M", "a=1", cwd=project.root / "sub")
    assert project.git("show", "exp-1:sub/x.py") == "x"
    project.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = Project(tmp_path / "side")
    side.write("side.py", "y")
    side.gitexp("log", "-M", "a=2")
    assert side.git("rev-parse", "side") == side.git("rev-parse", "exp-2^{}")
    assert side.git("status", "--porcelain") == ""
    assert project.git("status", "--porcelain") == ""


def test_in_a_sha256_repository(tmp_path: Path) -> None:
    project = Project(tmp_path / "sha256")
    project.root.mkdir()
    project.git("init", "-q", "--object-format=sha256")
    project.commit(train_py="x")
    project.write("new.py", "y")
    project.gitexp("log", "-p", "a=1", "-M", "b=1")
    assert len(project.git("rev-parse", "exp-1")) == 64
    assert project.git("status", "--porcelain") == ""
    project.fsck()


def test_in_shallow_and_sparse_clones(project: Project, tmp_path: Path) -> None:
    project.commit(**{"a_py": "x"})
    project.write("far/away.py", "far\n")
    project.commit()
    clone = Project(tmp_path / "clone")
    project.git("clone", "-q", "--depth=1", f"file://{project.root}", str(clone.root))
    clone.git("sparse-checkout", "set", "--cone", "near")
    clone.write("near/x.py", "x")
    assert not (clone.root / "far").exists()
    clone.gitexp("log", "-M", "a=1")
    assert clone.git("show", "exp-1:far/away.py") == "far"
    assert clone.git("show", "exp-1:near/x.py") == "x"
    assert clone.git("status", "--porcelain") == ""


def test_with_failing_hooks_signing_and_line_end_conversion_configured(project: Project) -> None:
    for hook in (
        "pre-commit",
        "commit-msg",
        "post-checkout",
        "reference-transaction",
        "post-index-change",
    ):
        project.write(f".git/hooks/{hook}", "#!/bin/sh\necho ran >> hook-ran\nexit 1\n").chmod(
            0o755
        )
    for key, value in (
        ("commit.gpgSign", "true"),
        ("tag.gpgSign", "true"),
        ("user.signingKey", "none"),
        ("core.autocrlf", "true"),
    ):
        project.git("config", key, value)
    project.write("windows.py", "a\r\nb\r\n")
    project.gitexp("log", "-M", "a=1")
    assert not (project.root / "hook-ran").exists()
    assert project.git("cat-file", "-s", "exp-1:windows.py") == "4"
    assert project.git("status", "--porcelain") == ""


def test_without_any_identity(project: Project) -> None:
    Path(os.environ["HOME"], ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    project.gitexp("log", "-M", "a=1")
    assert "@" in project.git("log", "-1", "--format=%ae")


def test_inside_a_git_hook_the_callers_variables_do_not_leak_in(
    project: Project, tmp_path: Path
) -> None:
    env = {
        "GIT_DIR": str(tmp_path / "elsewhere"),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_WORK_TREE": str(tmp_path),
    }
    project.gitexp("log", "-M", "a=1", env=env)
    assert project.tags() == ["exp-1"]


def test_one_clear_line_where_there_is_no_usable_repository(
    project: Project, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    assert "git init" in project.error("log", "-M", "a=1", cwd=nowhere)
    project.git("init", "-q", "--bare", str(tmp_path / "bare"))
    assert "bare repository" in project.error("log", "-M", "a=1", cwd=tmp_path / "bare")
    project.write(".git/index", b"garbage")
    assert "the git index is corrupt" in project.error("log", "-M", "a=1")
    assert project.tags() == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_repository(project: Project) -> None:
    (project.root / ".git").chmod(0o555)
    try:
        assert "permission" in project.error("log", "-M", "a=1").lower()
    finally:
        (project.root / ".git").chmod(0o755)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-p", "lr"], "'lr' is not key=value"),
        (["-p", "=1"], "is not key=value"),
        (["-p", "a=1", "-p", "a.b=2"], "'a' is a value already"),
        (["-p", "a=[1"], "cannot be read"),
        (["-M", "rmse"], "is not metric=value"),
        (["-M", "rmse=abc"], "metric 'rmse' must be a number, not 'abc'"),
        (["-M", "rmse=1_000"], "must be a number"),
        (["-M", "rmse=1@x"], "must be a whole number"),
        (["-M", "rmse="], "must be a number"),
        (["--params-file", "none.yml"], "none.yml cannot be read: No such file"),
        (["--params-file", "."], "cannot be read: Is a directory"),
        (["--metrics-file", "train.py"], "has no header"),
        (["--name", "exp-5"], "are given by gitexp"),
        (["--name", "a..b"], "cannot be a tag's name"),
        (["--name", "a b"], "cannot be a tag's name"),
        (["--name", "-x"], "cannot be a tag's name"),
        (["--name", "taken"], "there is a tag 'taken' already"),
        (["-l", "two words"], "cannot be a label"),
        (["--artifact", "none"], "there is no file 'none'"),
        (["--artifact", "/etc/hostname"], "outside of the repository"),
        (["--status", "odd"], "is not one of"),
        (["--nonsense"], "No such option"),
    ],
)
def test_bad_input_is_one_clear_line_and_changes_nothing(
    project: Project, arguments: list[str], says: str
) -> None:
    project.git("tag", "taken")
    before = project.git("for-each-ref")
    assert says in project.error("log", "-M", "ok=1", *arguments)
    assert project.git("for-each-ref") == before
    assert list((project.root / ".git" / "gitexp").glob("*.index")) == []


def test_nan_and_infinity_are_recorded_as_such(project: Project) -> None:
    project.gitexp("log", "-M", "a=nan", "-M", "b=inf", "-M", "c=-inf")
    assert str(dict(gitexp.get("exp-1").metrics)) == "{'a': nan, 'b': inf, 'c': -inf}"
    assert str(gitexp.get("exp-1").history()["value"].tolist()) == "[nan, inf, -inf]"


def test_a_name_of_the_users_own(project: Project) -> None:
    project.gitexp("log", "-M", "a=1", "--name", "baseline")
    project.gitexp("log", "-M", "a=1")
    assert project.tags() == ["baseline", "exp-1"]


def test_dry_run_prints_and_changes_nothing(project: Project) -> None:
    project.write("new.py", "x")
    project.write(".env", "A=1")
    before = project.git("for-each-ref")
    shown = project.gitexp("log", "--dry-run", "-p", "lr=0.1", "-M", "a=1")
    assert "untracked  new.py" in shown
    assert "lr: 0.1" in shown
    assert "would leave out: .env" in shown
    assert project.git("for-each-ref") == before


def test_metrics_from_json_and_csv(project: Project) -> None:
    project.write("m.json", '{"rmse": 18.2, "loss": [0.9, 0.5], "val": {"acc": 1}}')
    project.write("m.csv", "Name,Value,Timestamp,Step\nf1,0.5,1,1\nf1,0.6,2,2\n")
    project.gitexp("log", "--metrics-file", "m.json", "--metrics-file", "m.csv", "-M", "f1=0.7@3")
    assert dict(gitexp.get("exp-1").metrics) == {"rmse": 18.2, "loss": 0.5, "val.acc": 1, "f1": 0.7}


def test_starting_the_command_line_imports_nothing_slow(project: Project) -> None:
    slow = {
        "pandas",
        "git",
        "dagshub",
        "tabulate",
        "yaml",
        "numpy",
        "portalocker",
        "detect_secrets",
    }
    code = f"import sys; from gitexp.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass\nprint({slow!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_text_and_paths_are_utf8_under_an_ascii_locale(project: Project) -> None:
    project.write("été.txt", "1\n")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env = {**os.environ, **locale, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = ["--metric", "métrique=1", "--param", "naïve=é", "-m", "mé", "--artifact", "été.txt"]
    command = [sys.executable, "-m", "gitexp", "log", *words]
    subprocess.run(command, cwd=project.root, env=env, check=True)
    made = gitexp.get(1)
    assert (made.subject, made.params, made.metrics) == ("mé", {"naïve": "é"}, {"métrique": 1})
    assert made.extra["artifacts"] == ["été.txt"]


def test_log_from_python_records_inputs(project: Project) -> None:
    project.write("data.csv", "a,b\n1,2\n")
    made = gitexp.log(
        params={"lr": 0.1},
        metrics={"rmse": 18.2, "loss": [0.9, 0.5]},
        inputs=["data.csv"],
        labels=["x"],
    )
    assert dict(made.metrics) == {"rmse": 18.2, "loss": 0.5}
    assert "data.csv" in str(made.extra["inputs"])


def test_an_untracked_folder_that_cannot_be_read_is_named(project: Project) -> None:
    project.write("private/new.py", "x\n")
    folder = project.root / "private"
    folder.chmod(0)
    try:
        if os.access(folder, os.R_OK):
            pytest.skip("root may read everywhere")
        done = project.run("log", "-m", "a=1")
    finally:
        folder.chmod(0o755)
    assert done.returncode == 0
    assert "private/ (it cannot be read: Permission denied)" in done.stderr
