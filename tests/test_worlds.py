"""Repositories inside other tools of git: partial clones, Git LFS, git-annex, DataLad, submodules,
rewritten history. Nothing is simulated."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import Project
from gitexp.formats.errors import NotFoundError
from gitexp.repo import Repo
from gitexp.store import artifacts
from gitexp.store.index import Index
from gitexp.sweeps import clusters, schedule, space, worker
from gitexp.sweeps import plan as plans
from recording import record


@pytest.fixture
def remote(tmp_path: Path) -> Project:
    """An empty remote."""
    made = Project(tmp_path / "remote.git")
    made.root.mkdir()
    made.git("init", "-q", "--bare")
    return made


@pytest.fixture
def partial(project: Project, remote: Project, tmp_path: Path) -> Project:
    """A clone without files of a remote that has two experiments and a note."""
    remote.git("config", "uploadpack.allowFilter", "true")
    project.git("remote", "add", "origin", remote.root.as_uri())
    project.git("push", "-q", "-u", "origin", "main")
    record(project, {"lr": 1}, {"rmse": 3}, advance=False)
    project.commit("better", train_py="print('better')\n")
    record(project, {"lr": 2}, {"rmse": 2}, advance=False)
    project.gitexp("note", "exp-1", "the first of all")
    project.gitexp("push")
    clone = Project(tmp_path / "partial")
    project.git("clone", "-q", "--filter=blob:none", remote.root.as_uri(), str(clone.root))
    return clone


def test_a_pull_brings_a_partial_clone_what_reading_needs(partial: Project) -> None:
    partial.gitexp("pull")
    for words in (["list", "--all"], ["status"], ["push"], ["show", "origin/exp-2"], ["doctor"]):
        partial.gitexp(*words)
    assert "the first of all" in partial.gitexp("show", "origin/exp-1")
    partial.gitexp("note", "origin/exp-1", "seen")
    assert "nothing new" in partial.gitexp("pull")


def test_what_a_partial_clone_lacks_is_no_verdict_and_is_brought(
    project: Project, partial: Project
) -> None:
    project.commit("new", other_py="print('loss=1')\n")
    project.gitexp("run", "--no-advance", "--", sys.executable, "other.py")
    project.gitexp("push")
    partial.gitexp("pull")
    address = partial.git("remote", "get-url", "origin")
    partial.git("remote", "set-url", "origin", f"{address}-gone")
    done = partial.run("reproduce", "origin/exp-3", "--yes")
    assert (done.returncode, "gitexp pull --all-files" in done.stderr) == (125, True)
    assert "gitexp pull --all-files" in partial.gitexp("verify", "origin/exp-3", code=1)
    partial.git("remote", "set-url", "origin", address)
    partial.gitexp("pull", "--all-files")
    partial.gitexp("verify", "origin/exp-3")


def test_a_pull_brings_a_partial_clone_the_results_of_projects_in_folders(
    project: Project, partial: Project
) -> None:
    project.write("sub/.gitexp.toml", "")
    project.commit("a project")
    project.gitexp("log", "-p", "lr=3", "-M", "rmse=1", "--no-advance", cwd=project.root / "sub")
    project.gitexp("push")
    partial.gitexp("pull")
    assert "rmse" in partial.gitexp("show", "origin/exp-3")


def test_notes_that_came_without_their_content_are_mended_by_what_is_said(partial: Project) -> None:
    """As git's own fetch brings them, or an older gitexp did."""
    partial.git(
        "fetch",
        "-q",
        "origin",
        "refs/notes/gitexp:refs/notes/gitexp",
        "refs/tags/exp-1:refs/tags/exp-1",
    )
    typed(partial, partial.error("list"))
    assert "exp-1" in partial.gitexp("list")
    assert "the first of all" in partial.gitexp("show", "exp-1")


def test_a_hint_in_a_partial_clone_works_when_it_is_typed(partial: Project) -> None:
    partial.gitexp("pull")
    words = ["diff", "origin/exp-1", "origin/exp-2", "--code"]
    typed(partial, partial.error(*words))
    assert "better" in partial.gitexp(*words)


def test_what_a_command_wrote_is_shown_where_its_content_is_not(
    project: Project, partial: Project
) -> None:
    for number in ("1", "22"):
        code = f"open('model.bin', 'w').write('{number}')"
        project.gitexp("run", "--artifact", "model.bin", "--", sys.executable, "-c", code)
    project.gitexp("push")
    partial.gitexp("pull")
    assert "model.bin" in partial.gitexp("show", "origin/exp-3")
    assert "model.bin" in partial.gitexp("diff", "origin/exp-3", "origin/exp-4")
    assert (
        json.loads(partial.gitexp("show", "origin/exp-3", "--json"))["outputs"][0]["size"] is None
    )


def test_a_pull_brings_a_partial_clone_the_pointers_of_dvc(
    project: Project, partial: Project
) -> None:
    pytest.importorskip("dvc")
    project.write("data/raw.bin", "1" * 10)
    for words in (["init"], ["add", "data/raw.bin"]):
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *words, "-q"], cwd=project.root, capture_output=True
        )
        assert done.returncode == 0, done.stderr
    project.commit("data")
    project.commit("more", other_py="print('a file that no pull brings')\n")
    project.gitexp("log", "--metric", "loss=1", "--no-advance")  # changes no pointer
    project.gitexp("push")
    partial.gitexp("pull")
    assert "data/raw.bin" in partial.gitexp("show", "origin/exp-3")
    partial.gitexp("report", "origin/exp-1", "origin/exp-3", "-o", "report.html")


def test_a_pull_brings_folders_where_a_clone_has_none(
    partial: Project, remote: Project, tmp_path: Path
) -> None:
    clone = Project(tmp_path / "treeless")
    remote.git("clone", "-q", "--filter=tree:0", remote.root.as_uri(), str(clone.root))
    clone.gitexp("pull")
    assert "exp-1" in clone.gitexp("list", "--all")
    assert "the first of all" in clone.gitexp("show", "origin/exp-1")


def test_the_hint_of_an_import_works_when_it_is_typed(project: Project, tmp_path: Path) -> None:
    for value in "ab":
        project.commit(value, metrics_csv=f"Name,Value,Timestamp,Step\nloss,{ord(value)},1,1\n")
    project.git("config", "uploadpack.allowFilter", "true")
    clone = Project(tmp_path / "partial")
    project.git("clone", "-q", "--filter=blob:none", project.root.as_uri(), str(clone.root))
    done = clone.run("import", "git")
    typed(clone, done.stdout + done.stderr)
    clone.gitexp("import", "git")
    assert len(clone.tags()) == 2


def test_a_filter_that_is_not_set_up_lets_nothing_large_in(project: Project) -> None:
    """An attribute alone makes git store the whole file, in every clone for ever."""
    project.commit("lfs", **{"_gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    project.write("model.bin", bytes(11_000_000))
    for process in (None, "git-lfs-that-is-nowhere filter-process"):
        if process:
            project.git("config", "filter.lfs.process", process)
        done = project.run("log", "--metric", "loss=1", "--no-advance")
        assert done.returncode == 0
        assert (
            "over the limit of 10.0 MB; .gitattributes gives it to Git LFS, which is not set up here"
            in done.stderr
        )
        assert "model.bin" not in project.git("ls-tree", "--name-only", project.tags()[-1])


def test_a_shallow_checkout_of_ci_is_told_what_to_fetch(
    project: Project, remote: Project, tmp_path: Path
) -> None:
    project.git("remote", "add", "origin", remote.root.as_uri())
    for value in (2, 1):
        record(project, {}, {"rmse": value})
    project.git("push", "-q", "-u", "origin", "main")
    project.gitexp("push")
    clone = Project(tmp_path / "ci")
    remote.git("clone", "-q", "--depth=1", "--no-tags", remote.root.as_uri(), str(clone.root))
    assert "all is well" in clone.gitexp("doctor")
    assert "git fetch --unshallow --tags" in clone.run("list").stderr
    gate = ["gate", "--metric", "rmse", "--max", "1.5"]
    assert clone.error("report", "--md", code=3).count("--unshallow") == 1
    for words in (gate, ["report", "--md"], ["verify", "--all"], ["show", "exp-1"]):
        said = clone.error(*words, code=3)
        assert said.endswith(" in this shallow clone; to bring them: git fetch --unshallow --tags")
    assert said.rpartition(" in ")[2] in clone.error("verify", "--where", "rmse < 1", code=2)
    assert "passed: exp-2" in clone.gitexp(*gate, "--fetch")
    assert "exp-2" in clone.gitexp("report", "--md", "--fetch")


def test_what_ci_fetches_comes_though_its_names_are_taken_there(
    project: Project, remote: Project, tmp_path: Path
) -> None:
    project.git("remote", "add", "origin", remote.root.as_uri())
    project.git("push", "-q", "-u", "origin", "main")
    clone = Project(tmp_path / "ci")
    remote.git("clone", "-q", "--depth=1", remote.root.as_uri(), str(clone.root))
    for at, value in ((project, 1), (clone, 2)):
        record(at, {}, {"rmse": value})
    project.gitexp("push")
    assert "it is above 1.5" in clone.error("gate", "-m", "rmse", "--max", "1.5", "--fetch", code=1)
    assert "passed: origin/exp-1" in clone.gitexp(
        *("gate", "origin/exp-1", "-m", "rmse", "--max", "1.5")
    )


def test_verify_names_an_experiment_once(project: Project, remote: Project) -> None:
    project.git("remote", "add", "origin", remote.root.as_uri())
    record(project, {}, {"rmse": 1})
    project.gitexp("push")
    assert project.gitexp("verify", "--all").splitlines() == ["exp-1  ok  unsigned"]


def test_a_folder_that_is_gone_is_said_in_a_line(project: Project) -> None:
    words = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" -m gitexp list'
    done = subprocess.run(
        ["sh", "-c", words, sys.executable], cwd=project.root, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert (
        done.stderr
        == "gitexp: the folder that you are in does not exist any more; cd to one that does\n"
    )


def test_a_run_that_cannot_be_signed_has_an_exit_code_of_its_own(project: Project) -> None:
    project.git("config", "gpg.program", "false")
    for code, expected in ((0, 73), (3, 3)):
        done = project.run("run", "--sign", "--", sys.executable, "-c", f"raise SystemExit({code})")
        assert done.returncode == expected
        assert "could not be recorded: git could not sign the tag" in done.stderr
    assert "or use --no-sign" in project.run("recover").stderr
    project.gitexp("recover", "--no-sign")
    assert len(project.tags()) == 2


def test_a_run_that_cannot_be_recorded_ends_as_its_command_did_and_says_so(
    project: Project,
) -> None:
    project.write(".gitattributes", "metrics.csv filter=refusing\n")
    project.git("config", "filter.refusing.clean", "false")
    project.git("config", "filter.refusing.required", "true")
    for code in (0, 3):
        done = project.run("run", "--", sys.executable, "-c", f"print('a: 1'); exit({code})")
        assert done.returncode == code
        assert "gitexp: the run could not be recorded: " in done.stderr
        assert "it waits on disk for `gitexp recover`" in done.stderr
    project.git("config", "--remove-section", "filter.refusing")
    project.gitexp("recover")
    assert project.tags() == ["exp-1", "exp-2"]


@pytest.mark.parametrize("bfg", [False, "project.bfg-report", "project/..bfg-report"])
def test_doctor_mends_what_a_rewrite_of_history_leaves(
    project: Project, remote: Project, bfg: str | bool
) -> None:
    """The BFG itself is a Java program that was never seen here; its map has the form that it
    documents."""
    if not shutil.which("git-filter-repo"):
        pytest.skip("git-filter-repo is not installed")
    project.git("remote", "add", "origin", remote.root.as_uri())
    project.write("secret.txt", "password\n")
    project.commit("a mistake")
    record(project, {}, {"rmse": 2})
    record(project, {}, {"rmse": 1}, advance=False)
    project.git("push", "-q", "-u", "origin", "main")
    project.gitexp("note", "exp-1", "the first of all")
    project.gitexp("push")
    project.git("filter-repo", "--force", "--invert-paths", "--path", "secret.txt")
    if bfg:
        lines = (project.root / ".git/filter-repo/commit-map").read_text().splitlines(True)[1:]
        shutil.rmtree(project.root / ".git/filter-repo")
        place = project.root.parent / str(bfg) / "2026-11-29" / "12-00-00"
        place.mkdir(parents=True)
        (place / "object-id-map.old-new.txt").write_text("".join(lines))
    assert project.gitexp("list", "--all", "--json").count('"name": ') == 2
    assert "rewritten" in project.gitexp("doctor", code=1)
    project.gitexp("doctor", "--fix")
    assert project.gitexp("doctor") == "all is well\n"
    assert project.tags() == ["exp-1", "exp-2"]
    project.gitexp("verify", "--all")
    refs = project.git("for-each-ref", "refs/gitexp", "refs/heads/experiments")
    assert [line for line in refs.splitlines() if "/noted/" not in line] == []
    assert "the first of all" in project.gitexp("show", "exp-1")
    assert project.git("log", "--all", "--oneline", "--", "secret.txt") == ""
    project.git("remote", "add", "origin", remote.root.as_uri(), check=False)
    project.gitexp("pull")
    assert "fetched before history was rewritten" in project.gitexp("doctor", code=1)
    project.gitexp("doctor", "--fix")
    project.git("push", "-q", "--force", "origin", "--all")
    project.git("push", "-q", "--force", "origin", "--tags", "refs/notes/gitexp")
    project.git("push", "-q", "origin", "--delete", "experiments/ada", check=False)
    project.gitexp("push")
    project.gitexp("pull")
    assert project.gitexp("doctor") == "all is well\n"
    assert project.gitexp("list", "--all", "--json").count('"name": ') == 2


def test_doctor_leaves_an_experiment_that_was_not_rewritten_at_its_commit(project: Project) -> None:
    if not shutil.which("git-filter-repo"):
        pytest.skip("git-filter-repo is not installed")
    project.write("secret.txt", "password\n")
    project.commit("a mistake")
    record(project, {}, {"rmse": 2})
    project.git("checkout", "-q", "-b", "clean")
    was = project.git("cat-file", "-p", "exp-1")
    paths = ("--invert-paths", "--path", "secret.txt")
    project.git("filter-repo", "--force", "--refs", "refs/heads/clean", *paths)
    project.run("doctor", "--fix")
    assert project.git("cat-file", "-p", "exp-1") == was


def test_a_work_tree_that_cannot_be_filled_is_not_left(project: Project, tmp_path: Path) -> None:
    """With git-crypt's key, which is linked into a work tree before it is filled."""
    record(project, {}, {"a": 1})
    project.commit("a key", **{"_gitattributes": "a.key filter=refusing\n", "a_key": "secret\n"})
    record(project, {}, {"a": 2})
    (project.root / ".git/git-crypt").mkdir()
    project.git("config", "filter.refusing.smudge", "false")
    project.git("config", "filter.refusing.required", "true")
    for _ in range(2):
        line = project.error("checkout", "exp-2", "--worktree", str(tmp_path / "there"))
        assert "already exists" not in line
    assert not (tmp_path / "there").exists()
    assert project.git("worktree", "list").count("\n") == 0


def test_doctor_names_tags_whose_commit_is_gone(project: Project) -> None:
    record(project, {}, {"rmse": 2}, advance=False)
    commit = project.git("rev-parse", "exp-1^{commit}")
    (project.root / ".git" / "objects" / commit[:2] / commit[2:]).unlink()
    assert "the commits of 1 experiments are gone: exp-1" in project.gitexp("doctor", code=1)


def test_doctor_explains_what_a_repository_uses(partial: Project) -> None:
    assert "hooks:" not in partial.gitexp("doctor", "--explain")
    partial.git("config", "core.fsmonitor", "true")
    partial.write(".gitattributes", "*.key filter=git-crypt diff=git-crypt\n")
    partial.write(".git/hooks/post-commit", "#!/bin/sh\n").chmod(0o755)
    partial.write(".gitexp.toml", "sign = true\n")
    partial.git("config", "filter.lfs.process", "git-lfs-that-is-nowhere filter-process")
    said = partial.gitexp("doctor", "--explain")
    assert "partial clone: reading fetches nothing" in said
    assert "filter lfs, but its program is not found: does not count" in said
    assert "filter git-crypt, but it is not set up here: does not count" in said
    assert re.match(r"gitexp: [\d.]+, Python 3[\d.]+, git \d\S+, ", said)
    for line in ("hooks: none runs but pre-push", "fsmonitor: off in", "signing: sign = true"):
        assert line in said


@pytest.fixture
def annexed(project: Project) -> Project:
    """A repository whose training reads data that git-annex keeps, unlocked and locked."""
    if not shutil.which("git-annex"):
        pytest.skip("git-annex is not installed")
    project.git("annex", "init", "-q")
    project.git("annex", "config", "--set", "annex.largefiles", "largerthan=50kb")
    project.write("open.bin", bytes(100_000))
    project.write("locked.bin", b"1" * 100_000)
    project.git("annex", "add", "-q", "locked.bin")
    project.commit("data", train_py=_SIZES)
    return project


_SIZES = """import os, sys
print('size:', sum(os.path.getsize(name) for name in ('open.bin', 'locked.bin')))
open('metrics.csv', 'w').write(f"Name,Value,Timestamp,Step\\nsize,{sum(map(os.path.getsize, ('open.bin', 'locked.bin')))},1,1\\n")
"""


def test_trials_and_reproductions_read_what_git_annex_keeps(annexed: Project) -> None:
    annexed.gitexp("run", "--", sys.executable, "train.py")
    assert "same: exp-1" in annexed.gitexp("reproduce", "exp-1", "--yes")
    annexed.gitexp(
        "sweep", "--param", "x=1,2", "--jobs", "1", "--", sys.executable, "train.py", "--x", "{x}"
    )
    assert {item.metrics["size"] for item in Index(Repo.discover(annexed.root)).select()} == {
        200_000
    }
    assert annexed.git("worktree", "list").count("\n") == 0
    assert not list((annexed.root / ".git" / "gitexp" / "worktrees").glob("*"))


def test_a_cluster_has_what_git_annex_keeps_or_names_what_it_lacks(
    annexed: Project,
) -> None:
    pytest.importorskip("distributed")
    sweep = ["sweep", "--engine", "dask", "-p", "x=1", "--", sys.executable, "train.py"]
    annexed.gitexp(*sweep)
    found = Index(Repo.discover(annexed.root)).select()[0]
    assert found.metrics["size"] == 200_000
    assert annexed.git("worktree", "list").count("\n") == 0
    # a worker on another machine sees the bundle alone
    annexed.git("update-ref", "-d", f"refs/tags/{found.name}")
    repo = Repo.discover(annexed.root)
    frozen = plans.freeze(repo, plans.Plan(("true",), space.parse(["x=1"])), "away")
    first = schedule.Schedule(frozen.plan, [], False, 1).next()
    assert first is not None
    job = replace(schedule.job(frozen, first), commit=clusters.remote_commit(repo, frozen.commit))
    facts = json.loads(
        worker.run_without_clone(job, clusters.bundle(repo, frozen.commit))["run.json"]
    )
    assert "'locked.bin', 'open.bin' have no content here" in facts["warnings"][0]


def test_a_checkout_brings_what_git_annex_keeps_and_its_lines_work(
    annexed: Project, tmp_path: Path
) -> None:
    annexed.gitexp("log", "--metric", "loss=1", "--no-advance")
    annexed.write("open.bin", b"2" * 150_000)
    annexed.commit("more data")
    done = annexed.run("checkout", "exp-1")
    assert (annexed.root / "open.bin").stat().st_size == 100_000
    typed(annexed, done.stderr)
    assert (annexed.root / "open.bin").stat().st_size == 150_000
    assert annexed.git("status", "--porcelain") == ""
    annexed.write("open.bin", b"3" * 150_001)
    said = annexed.error("checkout", "exp-1", "--stash")
    assert said.startswith("'open.bin' is git-annex's, and git stash does not bring it back")
    assert (annexed.git("stash", "list"), (annexed.root / "open.bin").stat().st_size) == (
        "",
        150_001,
    )
    there = tmp_path / "there"
    done = annexed.run("checkout", "exp-1", "--worktree", str(there))
    assert (there / "open.bin").stat().st_size == (there / "locked.bin").stat().st_size == 100_000
    typed(annexed, done.stderr)
    assert not there.exists()
    assert annexed.git("worktree", "list").count("\n") == 0


def test_a_missing_content_is_named_and_is_no_drift(annexed: Project) -> None:
    annexed.gitexp("run", "--", sys.executable, "train.py")
    annexed.git("annex", "drop", "--force", "-q", "open.bin")
    done = annexed.run("reproduce", "exp-1", "--yes")
    said = done.stderr
    assert done.returncode == 125
    assert "'open.bin' has no content here, only a pointer; to bring it: git annex get" in said
    assert "drift" not in said


@pytest.fixture
def elsewhere(annexed: Project, tmp_path: Path) -> Project:
    """One whose data, which changed between its two experiments, is on a remote alone; so is no
    commit in between."""
    kept = tmp_path / "kept.git"
    annexed.git("init", "-q", "--bare", str(kept))
    annexed.git("remote", "add", "origin", str(kept))
    annexed.git("push", "-q", "origin", "main", "git-annex")
    annexed.gitexp("run", "--", sys.executable, "train.py")
    annexed.write("open.bin", b"2" * 150_000)
    annexed.commit("more data")
    annexed.commit("the same", more_py="")
    annexed.gitexp("run", "--", sys.executable, "train.py")
    annexed.git("annex", "sync", "-q", "--content")
    annexed.git("annex", "copy", "-q", "--all", "--to", "origin")
    annexed.git("annex", "drop", "-q", "--all", "--force")
    annexed.git("checkout", "-q", "HEAD", "--", "open.bin", check=False)
    return annexed


def test_what_brings_content_is_typed_where_the_user_stands(
    elsewhere: Project, tmp_path: Path
) -> None:
    done = elsewhere.run("run", "--no-advance", "--", sys.executable, "-c", "print('loss: 1')")
    assert "'open.bin' has no content here, only a pointer; to bring it: git annex get" in (
        done.stderr
    )
    typed(elsewhere, elsewhere.error("get", "exp-1", "open.bin", "-o", "there", code=3))
    elsewhere.gitexp("get", "exp-1", "open.bin", "locked.bin", "-o", "there")
    sizes = [
        (elsewhere.root / "there" / name).stat().st_size for name in ("open.bin", "locked.bin")
    ]
    assert sizes == [100_000, 100_000]
    elsewhere.git("annex", "drop", "-q", "--all", "--force")
    below = elsewhere.root / "there"  # from which git annex get brings nothing of the top
    said = elsewhere.run("sweep", "-p", "x=1", "--", sys.executable, "train.py", cwd=below).stderr
    typed(Project(below), said.partition("\n")[0])
    assert (elsewhere.root / "open.bin").stat().st_size == 150_000
    elsewhere.git("annex", "drop", "-q", "--all", "--force")
    typed(elsewhere, elsewhere.run("reproduce", "exp-1", "--yes").stderr)
    assert "same: exp-1" in elsewhere.gitexp("reproduce", "exp-1", "--yes")
    elsewhere.git("annex", "drop", "-q", "--all", "--force")
    beside = tmp_path / "beside"
    said = elsewhere.run("checkout", "exp-1", "--worktree", str(beside)).stderr
    typed(elsewhere, said.partition("to undo")[0])
    assert (beside / "open.bin").stat().st_size == 100_000


def test_bisect_takes_no_pointer_for_data(elsewhere: Project) -> None:
    elsewhere.git("annex", "get", "-q", "locked.bin")
    words = ["bisect", "exp-1", "exp-2", "-m", "size", "--max", "200000", "--yes"]
    done = elsewhere.run(*words)
    assert done.returncode == 125, done.stderr
    skipped = [line for line in done.stderr.splitlines() if " skipped: 'open.bin' has no" in line]
    typed(elsewhere, skipped[0])
    assert "more data" in elsewhere.gitexp(*words)


def test_a_pointer_of_lfs_is_named_and_what_brings_it_works(
    project: Project, remote: Project, tmp_path: Path
) -> None:
    if not shutil.which("git-lfs"):
        pytest.skip("git-lfs is not installed")
    project.git("lfs", "install", "--local")
    project.git("remote", "add", "origin", remote.root.as_uri())
    project.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    project.write("locked.bin", b"1" * 100_000)
    for size in (100_000, 150_000):
        project.write("open.bin", bytes(size))
        project.commit("data", train_py=_SIZES)
        project.gitexp("run", "--", sys.executable, "train.py")
    project.git("push", "-q", "-u", "origin", "main")
    project.gitexp("push")
    clone = Project(tmp_path / "clone")
    project.git("clone", "-q", remote.root.as_uri(), str(clone.root))  # LFS is not set up there
    said = clone.run("run", "--", sys.executable, "train.py").stderr
    assert "'locked.bin', 'open.bin' have no content here, only a pointer" in said
    typed(clone, said)
    assert (clone.root / "open.bin").stat().st_size == 150_000
    clone.git("lfs", "install", "--local", "--skip-smudge", "--force")
    typed(clone, clone.run("reproduce", "exp-1", "--yes").stderr)
    assert "same: exp-1" in clone.gitexp("reproduce", "exp-1", "--yes")


def test_lfs_has_content_in_every_work_tree(project: Project) -> None:
    if not shutil.which("git-lfs"):
        pytest.skip("git-lfs is not installed")
    project.git("lfs", "install", "--local", "--skip-smudge")
    project.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    project.write("open.bin", bytes(100_000))
    project.write("locked.bin", b"1" * 100_000)
    project.commit("data", train_py=_SIZES)
    project.gitexp("run", "--", sys.executable, "train.py")
    assert "same: exp-1" in project.gitexp("reproduce", "exp-1", "--yes")
    shutil.rmtree(project.root / ".git" / "lfs" / "objects")
    said = project.run("reproduce", "exp-1", "--yes").stderr
    assert (
        "'locked.bin', 'open.bin' have no content here, only a pointer; to bring it: git lfs fetch"
        in said
    )


def test_git_crypt_has_its_key_in_every_work_tree(project: Project, tmp_path: Path) -> None:
    if not shutil.which("git-crypt"):
        pytest.skip("git-crypt is not installed")
    project.git("crypt", "init")
    project.write(".gitattributes", "*.key filter=git-crypt diff=git-crypt\n")
    project.write("a.key", "secret")
    project.commit("data", train_py="print('loss:', len(open('a.key').read()))\n")
    project.gitexp("run", "--", sys.executable, "train.py")
    assert "same: exp-1" in project.gitexp("reproduce", "exp-1", "--yes")
    project.gitexp("sweep", "-p", "x=1", "--", sys.executable, "train.py")
    assert {item.metrics["loss"] for item in Index(Repo.discover(project.root)).select()} == {6}
    beside = tmp_path / "beside"
    said = project.run("checkout", "exp-1", "--worktree", str(beside)).stderr
    assert (beside / "a.key").read_text() == "secret"
    assert project.git("status", "--porcelain", cwd=beside) == ""
    typed(project, said)
    assert project.git("worktree", "list").count("\n") == 0


_INNER = """import os
size = os.path.getsize('inner/data.bin') if os.path.exists('inner/data.bin') else -1
open('metrics.csv', 'w').write(f'Name,Value,Timestamp,Step\\nsize,{size},1,1\\n')
"""


@pytest.fixture
def nested(project: Project, tmp_path: Path) -> Project:
    """A repository whose training reads a file of a submodule."""
    library = Project(tmp_path / "library")
    library.root.mkdir()
    library.git("init", "-q")
    library.commit("data", data_bin="1" * 100)
    project.git("submodule", "--quiet", "add", library.root.as_uri(), "inner")
    project.commit("use it", train_py=_INNER)
    return project


def test_work_trees_have_the_submodules_that_are_here(nested: Project, tmp_path: Path) -> None:
    nested.gitexp("run", "--", sys.executable, "train.py")
    nested.write("inner/data.bin", "1" * 200)
    nested.git("commit", "-qam", "more", cwd=nested.root / "inner")
    nested.gitexp("run", "--", sys.executable, "train.py")
    nested.gitexp("sweep", "-p", "x=1,2", "--", sys.executable, "train.py")
    found = [item.metrics["size"] for item in Index(Repo.discover(nested.root)).select()]
    assert found == [200, 200, 200, 100]
    assert "same: exp-1" in nested.gitexp("reproduce", "exp-1", "--yes")
    there = tmp_path / "there"
    done = nested.run("checkout", "exp-1", "--worktree", str(there))
    assert (there / "inner/data.bin").stat().st_size == 100
    typed(nested, done.stderr)
    assert not there.exists()
    assert nested.git("status", "--porcelain") == ""
    assert nested.git("worktree", "list", cwd=nested.root / "inner").count("\n") == 1  # there's own
    nested.git("submodule", "--quiet", "deinit", "--all", "--force")
    said = nested.run("reproduce", "exp-1", "--yes").stderr
    assert "'inner' has no content here, only a pointer" in said
    typed(nested, said)
    assert "same: exp-1" in nested.gitexp("reproduce", "exp-1", "--yes")


@pytest.fixture
def dataset(project: Project) -> Project:
    """A DataLad dataset with a subdataset, both of which hold data that git-annex keeps."""
    if not shutil.which("datalad"):
        pytest.skip("datalad is not installed")
    _datalad(project, "create", "--force", "-c", "text2git", ".")
    _datalad(project, "create", "-d", ".", "inner")
    project.write("inner/data.bin", b"\0" * 100)
    project.write("open.bin", bytes(100_000))
    project.write("train.py", _INNER)
    _datalad(project, "save", "--recursive", "-m", "data")
    assert (project.root / "inner/data.bin").is_symlink()
    return project


def _datalad(project: Project, *words: str) -> str:
    done = subprocess.run(
        ["datalad", *words], cwd=project.root, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_work_trees_of_a_dataset_have_the_content_of_its_subdatasets(
    dataset: Project, tmp_path: Path
) -> None:
    dataset.gitexp("run", "--", sys.executable, "train.py")
    dataset.gitexp("sweep", "-p", "x=1", "--", sys.executable, "train.py")
    sizes = [item.metrics["size"] for item in Index(Repo.discover(dataset.root)).select()]
    assert sizes == [100, 100]
    assert dataset.git("ls-tree", "exp-1", "inner").startswith("160000 commit ")
    assert "same: exp-1" in dataset.gitexp("reproduce", "exp-1", "--yes")
    there = tmp_path / "there"
    done = dataset.run("checkout", "exp-1", "--worktree", str(there))
    assert (there / "inner/data.bin").stat().st_size == 100
    assert (there / "open.bin").stat().st_size == 100_000
    typed(dataset, done.stderr)
    assert dataset.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_datalad_run_goes_around_and_inside_of_a_run(dataset: Project) -> None:
    ours = shlex.join([sys.executable, "-m", "gitexp", "run", "--", sys.executable, "train.py"])
    _datalad(dataset, "run", "-m", "around", f"{ours} --lr 1")
    theirs = ["datalad", "run", "-m", "inside"]
    train = [sys.executable, "train.py", "--lr"]
    dataset.gitexp("run", "--", *theirs, shlex.join([*train, "2"]))
    dataset.gitexp("run", "--", *theirs, "--explicit", *train, "3")
    found = Index(Repo.discover(dataset.root)).select(order="tag.started")
    assert [dict(item.params) for item in found] == [{"lr": 1}, {"lr": 2}, {"lr": 3}]
    assert {item.metrics["size"] for item in found} == {100}
    assert dataset.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_datalad_takes_experiments_along_as_the_docs_say(
    dataset: Project, remote: Project, tmp_path: Path
) -> None:
    dataset.gitexp("log", "--metric", "loss=1", "--no-advance")
    _datalad(dataset, "siblings", "add", "-s", "origin", "--url", str(remote.root))
    docs = (Path(__file__).parents[1] / "docs/data.md").read_text()
    for line in re.findall(r"^    (git config --add remote.*?)(?: +#.*)?$", docs, re.MULTILINE):
        dataset.git(*shlex.split(line)[1:])
    for _ in range(2):  # the first makes an annex of it, and sends no data yet
        _datalad(dataset, "push", "--to", "origin")
    _datalad(dataset, "clone", str(remote.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.gitexp("checkout", "exp-1")
    _datalad(clone, "get", "open.bin")
    assert (clone.root / "open.bin").stat().st_size == 100_000


def typed(project: Project, text: str) -> None:
    """Type the command that a hint ends with."""
    hints = re.findall(r": ((?:git|gitexp|rm) [^;,(\n]+)", text)
    assert hints, text
    for line in hints:
        project.type(line)


def test_what_a_commit_holds_is_listed_where_no_content_is(partial: Project) -> None:
    """Many paths, too: more than one command line holds."""
    repo = Repo.discover(partial.root)
    head = partial.git("rev-parse", "HEAD")
    many = [f"{'far/' * 20}{at}" for at in range(30_000)]
    found = artifacts.listed(repo, head, [*many, "train.py"])
    assert [*found] == ["train.py"]
    assert [*map(len, found["train.py"])] == [6, 4, 40]
    assert artifacts.listed(repo, head, []) == {}
    for name in ("corrupt.png", "promisor/x"):
        with pytest.raises(NotFoundError):
            repo.read_file(head, name)
