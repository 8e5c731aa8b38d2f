"""Adopting history: what is there is found and read, what is odd is named, and nothing of the
repository changes."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import gitexp
import gitexp.formats.errors
from conftest import Project
from oddities import HEAD, READABLE, UNREADABLE
from recording import record


def history(project: Project, count: int = 3) -> list[str]:
    """Commit results as DagsHub's own logger writes them."""
    from dagshub.logger import dagshub_logger

    commits: list[str] = []
    logger: Any
    for at in range(count):
        with dagshub_logger(
            metrics_path=str(project.root / "metrics.csv"),
            hparams_path=str(project.root / "params.yml"),
        ) as logger:
            logger.log_hyperparams(lr=0.1 * (at + 1), model={"depth": at})
            for step in range(3):
                logger.log_metrics(loss=1 / (step + at + 1), step_num=step)
        commits.append(project.commit(f"try {at}"))
    return commits


def same(value: Any, wanted: Any) -> bool:
    """Whether a value is the wanted one; NaN and infinities are written as text."""
    if wanted in ("nan", "inf") and isinstance(value, float):
        return math.isnan(value) if wanted == "nan" else math.isinf(value)
    return bool(value == wanted)


def state(project: Project) -> tuple[str, ...]:
    """Return all that an import must leave alone: refs but exp-N, work tree, index and HEAD."""
    refs = [
        line for line in project.git("for-each-ref").splitlines() if "refs/tags/exp-" not in line
    ]
    return (
        *refs,
        project.git("status", "--porcelain", "--ignored"),
        project.git("ls-files", "-s"),
        project.git("rev-parse", "HEAD"),
    )


def test_commits_by_dagshubs_logger_become_experiments_where_they_are(project: Project) -> None:
    commits = history(project)
    before = state(project)
    lines = project.gitexp("import", "git").splitlines()
    assert [line.split()[1] for line in lines] == [commit[:10] for commit in commits]
    assert state(project) == before
    found = gitexp.get("exp-3", repo=project.root)
    assert found.id == commits[2]
    assert found.parent == commits[1]
    assert found.params == {"lr": pytest.approx(0.3), "model.depth": 2}
    assert found.metrics == {"loss": pytest.approx(0.2)}
    assert len(found.history()) == 3
    assert abs(time.time() - found.started.timestamp()) < 60
    assert found.extra["source"] == {"kind": "git", "id": commits[2]}
    assert "adopted by gitexp import git" in project.gitexp("show", "exp-3")
    assert project.gitexp("verify", "--all").count("ok") == 3
    project.fsck()


def test_importing_again_adds_what_is_new_and_nothing_else(project: Project) -> None:
    history(project)
    project.gitexp("import", "git")
    done = project.run("import", "git")
    assert (done.returncode, done.stdout) == (0, "")
    assert "3 runs recorded already, nothing new" in done.stderr
    history(project, 1)
    assert project.gitexp("import", "git").startswith("exp-4 ")
    assert project.tags() == ["exp-1", "exp-2", "exp-3", "exp-4"]


def test_what_gitexp_recorded_itself_is_not_imported(project: Project) -> None:
    record(project, {"lr": 1}, {"loss": 2})
    assert project.gitexp("import", "git") == ""
    assert project.tags() == ["exp-1"]


def test_a_dry_run_lists_them_and_records_nothing(project: Project) -> None:
    commits = history(project, 2)
    shown = project.gitexp("import", "git", "--dry-run")
    assert all(commit[:10] in shown for commit in commits)
    assert "loss=0.33333" in shown
    east = project.gitexp("import", "git", "--dry-run", env={"TZ": "EAST-14"})
    assert east != project.gitexp("import", "git", "--dry-run", env={"TZ": "WEST11"})
    assert project.tags() == []


def test_every_branch_counts_merges_do_not_and_remotes_when_asked(project: Project) -> None:
    project.git("checkout", "-qb", "side")
    side = project.commit("side", metrics_csv=HEAD + "loss,1,1,1\n")
    project.git("checkout", "-q", "main")
    main = project.commit("main", params_yml="lr: 1\n")
    project.git("merge", "-q", "--no-edit", "side")
    tracking = project.commit("theirs", params_yml="lr: 2\n")
    project.git("update-ref", "refs/remotes/origin/x", tracking)
    project.git("reset", "-q", "--hard", "HEAD~1")
    found = [line.split()[1] for line in project.gitexp("import", "git").splitlines()]
    assert sorted(found) == sorted([side[:10], main[:10]])
    assert project.gitexp("import", "git", "--remotes").split()[1] == tracking[:10]


def test_only_what_changed_is_a_run_a_rename_or_a_new_mode_is_none(project: Project) -> None:
    first = project.commit("run", metrics_csv=HEAD + "loss,1,1,1\n")
    project.git("mv", "metrics.csv", "old_metrics.csv")
    project.commit("rename")
    os.chmod(project.root / "old_metrics.csv", 0o755)
    project.commit("mode")
    project.git("rm", "-q", "old_metrics.csv")
    project.commit("delete")
    assert [line.split()[1] for line in project.gitexp("import", "git").splitlines()] == [
        first[:10]
    ]


def test_params_that_a_commit_did_not_change_are_those_beside_or_above_its_metrics(
    project: Project,
) -> None:
    project.write("a/params.yml", "lr: 1\n")
    project.commit("params", params_yml="lr: 0\n")
    project.write("a/b/metrics.csv", HEAD + "loss,1,1,1\n")
    project.write("c/metrics.csv", "")
    project.commit("near")
    project.write("c/metrics.csv", HEAD + "loss,2,1,1\n")
    project.commit("top")
    project.gitexp("import", "git")
    assert gitexp.get("exp-2").params == {"lr": 1}
    assert gitexp.get("exp-3").params == {"lr": 0}


def test_params_that_are_said_twice_are_one_where_they_agree(project: Project) -> None:
    project.write("dvclive/params.yaml", "lr: 1\ndepth: 2\n")
    project.commit("both", params_yaml="lr: 1\ndepth: 3\n")
    project.gitexp("import", "git")
    assert gitexp.get("exp-1").params == {"lr": 1, "depth": 3, "dvclive.depth": 2}
    project.gitexp("verify", "exp-1")


def test_a_commit_of_which_nothing_could_be_read_is_no_experiment_for_the_params_above_it(
    project: Project,
) -> None:
    project.commit("params", params_yml="lr: 1\n")
    project.commit("bad", metrics_csv="epoch,loss\nfirst,low\n")
    assert len(project.gitexp("import", "git").splitlines()) == 1


def test_path_and_since_choose(project: Project) -> None:
    for at, name in enumerate(("a", "b")):
        project.write(f"{name}/metrics.csv", HEAD + f"loss,{at},1,1\n")
        project.git("add", "-A")
        subprocess.run(
            ["git", "commit", "-qm", name],
            cwd=project.root,
            check=True,
            env={**os.environ, "GIT_COMMITTER_DATE": f"202{at}-01-02T00:00:00Z"},
        )
    assert (
        project.gitexp("import", "git", "--path", "b/*", "--dry-run").splitlines()[-1].split()[-1]
        == "b"
    )
    assert (
        project.gitexp("import", "git", "--since", "2020-06-01", "--dry-run")
        .splitlines()[-1]
        .split()[-1]
        == "b"
    )
    assert len(project.gitexp("import", "git", "--dry-run").splitlines()) == 3


@pytest.mark.parametrize("name", READABLE)
def test_an_oddity_is_read(project: Project, name: str) -> None:
    odd = READABLE[name]
    for path, content in odd.files.items():
        project.write(path, content)
    project.commit(name)
    done = project.run("import", "git")
    assert done.returncode == 0, done.stderr
    assert odd.told in done.stderr
    found = gitexp.get("exp-1", repo=project.root)
    assert {*found.metrics} == {*odd.metrics}
    for key, value in odd.metrics.items():
        assert same(found.metrics[key], value), key
    for key, value in odd.params.items():
        assert same(found.params[key], value), key
    assert "Traceback" not in project.run("show").stderr
    assert project.run("verify", "exp-1").returncode == 0, project.run("verify", "exp-1").stdout
    assert {*found.history()["name"]} == {*odd.metrics}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_named_with_commit_and_reason_and_the_rest_is_imported(
    project: Project, name: str
) -> None:
    odd = UNREADABLE[name]
    for path, content in odd.files.items():
        project.write(path, content)
    bad = project.commit(name)
    for path in odd.files:
        (project.root / path).unlink()
    project.commit("good", metrics_csv=HEAD + "loss,0.5,1,1\n")
    done = project.run("import", "git")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "exp-1"
    assert len(done.stdout.splitlines()) == 1
    line = next(
        line for line in done.stderr.splitlines() if line.startswith(f"not read: {bad[:10]}")
    )
    assert odd.told in line
    assert next(iter(odd.files)) in line
    assert gitexp.get("exp-1", repo=project.root).metrics == {"loss": 0.5}
    assert not Path("/tmp/owned").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_links_submodules_and_odd_paths_are_named(project: Project) -> None:
    (project.root / "metrics.csv").symlink_to("/etc/passwd")
    project.git(
        "update-index",
        "--add",
        "--cacheinfo",
        f"160000,{project.git('rev-parse', 'HEAD')},sub_metrics.csv",
    )
    project.write("odd\nmetrics.csv", HEAD + "loss,1,1,1\n")
    (Path(os.fsdecode(bytes(project.root) + b"/caf\xe9_metrics.csv"))).write_text(
        HEAD + "loss,1,1,1\n"
    )
    project.git("add", "metrics.csv", "odd\nmetrics.csv", os.fsdecode(b"caf\xe9_metrics.csv"))
    project.git("commit", "-qm", "odd")
    done = project.run("import", "git")
    assert done.returncode == 0, done.stderr
    for word in ("a symbolic link", "a submodule", "not UTF-8"):
        assert word in done.stderr


def test_a_repository_without_results_or_commits_says_so(project: Project, empty: Project) -> None:
    for where in (project, empty):
        done = where.run("import", "git")
        assert (done.returncode, done.stdout) == (0, "")
        assert "nothing to import" in done.stderr


def test_imports_at_the_same_time_record_each_commit_once(project: Project) -> None:
    history(project, 12)
    words = [sys.executable, "-m", "gitexp", "import", "git"]
    running = [
        subprocess.Popen(words, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]
    assert sum(process.communicate()[0].count(b"exp-") for process in running) == 12
    assert project.tags() == [f"exp-{at}" for at in range(1, 13)]
    assert len({*project.git("for-each-ref", "--format=%(*objectname)", "refs/tags").split()}) == 12


def test_from_python_it_is_the_same(project: Project) -> None:
    commits = history(project, 2)
    project.commit("odd", test_metrics_csv="epoch,loss\nfirst,low\n")
    done = gitexp.import_runs("git", repo=project.root)
    assert [item.id for item in done.experiments] == commits
    assert [item.what.partition(" ")[2] for item in done.unread] == ["test.metrics.csv"]
    assert gitexp.import_runs("git", repo=project.root).known == 2
    with pytest.raises(gitexp.UsageError, match="do not go together"):
        gitexp.import_runs("mlflow")


def test_without_a_source_the_help_says_which_there_are(project: Project) -> None:
    done = project.run("import")
    old = version("click").startswith("8.1.")
    assert done.returncode == (0 if old else 2)
    said = done.stdout if old else done.stderr
    assert "  mlflow " in said
    assert len(said.splitlines()) > 10


@pytest.mark.parametrize("how", ["sha256", "worktree", "alternates", "packed"])
def test_repositories_of_every_make(project: Project, tmp_path: Path, how: str) -> None:
    if how == "sha256":
        project = Project(tmp_path / "sha256")
        project.root.mkdir()
        project.git("init", "-q", "--object-format=sha256")
        project.commit("start")
    history(project, 2)
    if how == "worktree":
        project.git("worktree", "add", "-q", str(tmp_path / "other"))
        project = Project(tmp_path / "other")
    elif how == "alternates":
        project.git("clone", "-q", "--shared", ".", str(tmp_path / "other"))
        project = Project(tmp_path / "other")
    elif how == "packed":
        project.git("gc", "-q", "--aggressive", "--prune=now")
    assert len(project.gitexp("import", "git").splitlines()) == 2
    assert project.gitexp("verify", "--all").count(" ok ") == 2
    project.fsck()


@pytest.fixture
def partial(project: Project, tmp_path: Path) -> Project:
    """A clone without the blobs of old commits."""
    history(project, 3)
    project.git("config", "uploadpack.allowFilter", "true")
    project.git(
        "clone", "-q", "--filter=blob:none", f"file://{project.root}", str(tmp_path / "partial")
    )
    return Project(tmp_path / "partial")


def test_a_partial_clone_imports_what_it_has_and_fetches_nothing(partial: Project) -> None:
    missing = partial.git("rev-list", "--objects", "--all", "--missing=print").count("?")
    assert missing
    done = partial.run("import", "git")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.count("its content is not in this clone") == 4
    assert partial.git("rev-list", "--objects", "--all", "--missing=print").count("?") == missing


def test_a_clone_without_folders_or_parents_says_what_to_do(
    project: Project, tmp_path: Path
) -> None:
    history(project, 3)
    project.git("config", "uploadpack.allowFilter", "true")
    project.git(
        "clone", "-q", "--filter=tree:0", f"file://{project.root}", str(tmp_path / "treeless")
    )
    assert "git fetch --refetch --filter=blob:none origin" in Project(tmp_path / "treeless").error(
        "import", "git"
    )
    project.git("clone", "-q", "--depth=2", f"file://{project.root}", str(tmp_path / "shallow"))
    done = Project(tmp_path / "shallow").run("import", "git")
    assert len(done.stdout.splitlines()) == 1
    assert "git fetch --unshallow" in done.stderr


def test_the_author_and_the_time_are_those_of_the_commit(project: Project) -> None:
    project.write("metrics.json", '{"f1": 1}')
    project.git("add", "-A")
    project.git(
        "-c",
        "user.name=Bob",
        "-c",
        "user.email=bob@x.org",
        "commit",
        "-qm",
        "bob's",
        "--date=2021-05-06T07:08:09+0200",
    )
    project.gitexp("import", "git")
    facts = json.loads(project.gitexp("list", "--json"))[0]
    assert (facts["author"], facts["email"], facts["subject"]) == ("Bob", "bob@x.org", "bob's")
    assert facts["started"].startswith("2021-05-06T")


def test_nothing_of_the_repository_is_run(project: Project, tmp_path: Path) -> None:
    history(project, 2)
    trap = tmp_path / "trap"
    script = project.write(".git/trap.sh", f"#!/bin/sh\ntouch {trap}\ncat\n")
    script.chmod(0o755)
    for hook in ("reference-transaction", "post-commit", "pre-commit", "post-index-change"):
        (project.root / ".git/hooks").mkdir(exist_ok=True)
        (project.root / ".git/hooks" / hook).symlink_to(script)
    for name in (
        "diff.x.textconv",
        "filter.x.smudge",
        "filter.x.clean",
        "core.fsmonitor",
        "core.pager",
        "diff.external",
        "log.format",
    ):
        project.git("config", name, str(script))
    project.write(".gitattributes", "* diff=x filter=x\n")
    project.gitexp("import", "git")
    assert len(project.tags()) == 2
    assert not trap.exists()


@pytest.mark.slow
def test_thousands_of_commits_and_rows_take_seconds_and_an_import_killed_half_way_is_finished_by_the_next(
    project: Project,
) -> None:
    rows = HEAD + "".join(
        f'"loss",{1 / (at + 1)},{1_600_000_000_000 + at},{at}\n' for at in range(30_000)
    )
    stream = [f"reset refs/heads/many\nfrom {project.git('rev-parse', 'HEAD')}\n\n"]
    for at in range(1_500):
        text = f"loss,{at},1600000000000,1\n"
        file = (
            f"M 100644 inline metrics.csv\ndata <<EOF\n{rows if at == 7 else HEAD + text}EOF\n"
            if at % 3 == 0
            else f"M 100644 inline f{at}\ndata 1\nx\n"
        )
        stream.append(
            f"commit refs/heads/many\ncommitter A <a@b> {1_600_000_000 + at} +0000\ndata 1\nx\n{file}\n"
        )
    subprocess.run(
        ["git", "fast-import", "--quiet"],
        cwd=project.root,
        input="".join(stream).encode(),
        check=True,
    )
    killed = subprocess.Popen(
        [sys.executable, "-m", "gitexp", "import", "git"],
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert killed.stdout is not None
    killed.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    before = len(project.tags())
    assert 0 < before < 500
    project.gitexp("import", "git")
    assert project.tags() == [f"exp-{at}" for at in range(1, 501)]
    assert (
        len({*project.git("for-each-ref", "--format=%(*objectname)", "refs/tags").split()}) == 500
    )
    project.fsck()


def test_metrics_that_dvc_yaml_names_are_read(project: Project) -> None:
    project.commit(
        **{
            "dvc.yaml": "stages:\n  e:\n    cmd: x\n    metrics:\n    - eval/scores.json:\n        cache: false\n",
            "eval/scores.json": '{"auc": {"macro": 0.8}}',
        }
    )
    project.gitexp("import", "git")
    assert gitexp.get("exp-1").metrics == {"auc.macro": 0.8}
