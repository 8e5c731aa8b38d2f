"""A repository of somebody else's: looking at it starts none of the programs that its configuration
and attributes name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Project
from recording import record

PROGRAMS = (
    "filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "filter.lfs.clean",
    "filter.lfs.process", "diff.evil.textconv",
    "diff.evil.command", "diff.external", "core.fsmonitor", "core.pager", "core.editor",
    "core.sshCommand", "core.askPass",
    "core.gitProxy", "gpg.program", "gpg.openpgp.program", "gpg.x509.program", "gpg.ssh.program",
    "gpg.ssh.defaultKeyCommand",
    "credential.helper", "merge.evil.driver", "pager.diff", "pager.log", "pager.show", "pager.list",
    "sequence.editor",
    "interactive.diffFilter", "core.alternateRefsCommand", "uploadpack.packObjectsHook",
    "trailer.x.command", "trailer.x.cmd",
    "browser.x.cmd", "difftool.x.cmd", "mergetool.x.cmd", "man.x.cmd", "sendemail.smtpServer",
    "remote.origin.uploadpack",
    "remote.origin.receivepack", "lfs.extension.evil.clean", "lfs.customtransfer.evil.path",
    "submodule.sub.update",
)  # fmt: skip
READING = [
    ["list"], ["list", "--json"], ["list", "--where", "lr > 0", "--sort", "rmse"],
    ["show", "exp-1"], ["show", "exp-2", "--json"],
    ["best", "rmse"], ["curve", "exp-1..exp-2", "rmse"], ["diff", "exp-1", "exp-2"],
    ["diff", "exp-1", "exp-2", "--code"],
    ["diff", "exp-1", "exp-2", "--cells"], ["diff", "exp-1"], ["diff", "exp-2", "--code"],
    ["compare", "exp-1", "exp-2"],
    ["gate", "exp-2", "--against", "exp-1", "--max", "rmse"], ["status"], ["verify", "--all"],
    ["verify", "exp-1"], ["doctor"],
    ["report", "-o", "../report.html"], ["reproduce", "exp-1"], ["why", "exp-1", "exp-2"],
    ["sweep"], ["recover"],
]  # fmt: skip
NOTEBOOK = '{{"cells": [{{"cell_type": "code", "source": ["{0}"], "metadata": {{}}, "outputs": [], "execution_count": 1}}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 4}}\n'


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """The file that a program of the repository writes when it is started."""
    return tmp_path / "canary"


@pytest.fixture
def hostile(project: Project, tmp_path: Path, canary: Path) -> Project:
    """A signed history in which every way that git knows to have a repository name a program is
    taken."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers = tmp_path / "signers"
    signers.write_text(f"ada@example.org {Path(f'{key}.pub').read_text()}")
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingKey", str(key)),
        ("gpg.ssh.allowedSignersFile", str(signers)),
    ):
        project.git("config", name, value)
    project.commit("data", a_ipynb=NOTEBOOK.format("1"), table_csv="a,b\n1,2\n")
    project.gitexp("log", "--metric", "rmse=1", "--param", "lr=1", "--sign")
    project.commit(
        "more",
        data_bin="a",
        train_py="print(1)\n",
        a_ipynb=NOTEBOOK.format("2"),
        table_csv="a,b\n1,3\n",
    )
    project.commit(
        "attributes", _gitattributes="* filter=evil diff=evil merge=evil\n*.bin filter=lfs\n"
    )
    project.gitexp("log", "--metric", "rmse=2", "--param", "lr=2")
    project.write("train.py", "print('changed since')\n")
    project.write("data.bin", "changed too")
    project.write("new.py", "print('new')\n")
    evil = tmp_path / "evil.sh"
    # as a filter it hands its input on; as a remote's program it must not, since two that wait for
    # each other wait for good
    evil.write_text(
        f'#!/bin/sh\necho "$0 $@" >> {canary}\n[ -d "$1" ] && exit 1\ncase "$*" in *upload-pack*) exit 1;; esac\ncat\n'
    )
    evil.chmod(0o755)
    hidden = project.root / ".git" / "more"  # included, which is as good as written there
    for name in PROGRAMS:
        project.git("config", "--file", str(hidden), name, str(evil))
    project.git("config", "include.path", "more")
    hooks = tmp_path / "hooks"
    project.git("config", "core.hooksPath", str(hooks))
    project.git("config", "log.showSignature", "true")
    for protocol in ("ext", "file", "ssh"):
        project.git("config", f"protocol.{protocol}.allow", "always")
    project.git("config", "core.repositoryFormatVersion", "1")
    for name, value in (
        ("url", str(project.root)),
        ("promisor", "true"),
        ("fetch", "+refs/*:refs/*"),
    ):
        project.git("config", f"remote.origin.{name}", value)
    project.git("config", "extensions.partialClone", "origin")
    for folder in (hooks, project.root / ".git" / "hooks"):
        folder.mkdir(exist_ok=True)
        for hook in (
            "post-checkout",
            "post-index-change",
            "reference-transaction",
            "pre-commit",
            "post-merge",
            "fsmonitor-watchman",
        ):
            (folder / hook).write_text(evil.read_text())
            (folder / hook).chmod(0o755)
    canary.unlink(missing_ok=True)
    return project


def lose(project: Project, name: str) -> None:
    """Take an object away, as a partial clone does not have it: git would ask the promisor for
    it."""
    oid = subprocess.run(
        ["git", "rev-parse", name], cwd=project.root, capture_output=True, text=True, check=True
    ).stdout.strip()
    (project.root / ".git" / "objects" / oid[:2] / oid[2:]).unlink()


@pytest.mark.parametrize(
    "call",
    [
        ["status"],
        ["diff"],
        ["ls-files", "-m"],
        ["diff", "exp-1", "exp-2"],
        ["log", "-p"],
        ["verify-tag", "exp-1"],
        ["cat-file", "-p", "exp-1:README.md"],
    ],
)
def test_the_trap_is_armed(hostile: Project, canary: Path, call: list[str]) -> None:
    """Plain git walks into it, so that what follows can fail."""
    lose(hostile, "exp-1:README.md")
    hostile.git(*call, check=False)
    assert canary.exists()


@pytest.mark.parametrize("remote", ["file", "ext", "ssh", "helper"])
def test_no_missing_object_is_fetched_by_looking(
    hostile: Project, canary: Path, tmp_path: Path, remote: str
) -> None:
    """Whichever program the remote is reached with."""
    if remote == "helper":
        hostile.git("config", "remote.origin.vcs", "evil")
    elif remote != "file":
        hostile.git(
            "config",
            "remote.origin.url",
            {"ext": f"ext::{tmp_path}/evil.sh", "ssh": "ssh://host/x"}[remote],
        )
    lose(hostile, "exp-1:metrics.csv")
    lose(hostile, "exp-1:train.py")
    canary.unlink(missing_ok=True)
    for args in (
        ["list"],
        ["show", "exp-1"],
        ["diff", "exp-1", "exp-2", "--code"],
        ["curve", "exp-1", "rmse"],
        ["verify", "--all"],
    ):
        done = hostile.run(*args)
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        assert not canary.exists(), f"gitexp {' '.join(args)} ran {canary.read_text()}"
    assert "files of its commit are missing" in hostile.run("verify", "exp-1").stdout


@pytest.mark.slow
def test_nothing_of_a_hostile_repository_runs(hostile: Project, canary: Path) -> None:
    for args in READING:
        done = hostile.run(*args)
        assert "Traceback" not in done.stderr, done.stderr
        assert "internal error" not in done.stderr, done.stderr
        assert not canary.exists(), f"gitexp {' '.join(args)} ran {canary.read_text()}"


def test_nothing_runs_from_python_either(hostile: Project, canary: Path) -> None:
    import gitexp

    assert len(gitexp.experiments()) == 2
    assert list(gitexp.get("exp-1").history().value) == [1]
    assert gitexp.diff("exp-1", "exp-2").differs
    assert not canary.exists()


def test_what_only_a_distrusted_filter_could_compare_is_named(project: Project) -> None:
    """A filter in the repository's own configuration is not run by diff; one of the user's own
    is."""
    project.commit(_gitattributes="*.txt filter=upper\n", a_txt="A\n", b_py="1\n")
    record(project, {"lr": 1}, {"rmse": 1})
    upper = f'{sys.executable} -c "import sys; sys.stdout.write(sys.stdin.read().upper())"'
    project.git("config", "filter.upper.clean", upper)
    project.git("config", "filter.upper.required", "true")
    project.write("a.txt", "a\n")
    project.write("b.py", "2\n")
    done = project.run("diff", "exp-1")
    assert "b.py" in done.stdout
    assert "a.txt" not in done.stdout
    assert (
        "not compared: a.txt (its filter 'upper' is a program that .git/config names)"
        in done.stderr
    )
    project.git("config", "--unset", "filter.upper.clean")
    project.git("config", "--global", "filter.upper.clean", upper)
    project.write("a.txt", "b\n")
    assert "a.txt" in project.gitexp("diff", "exp-1")
    project.git("config", "filter.upper.clean", "false")
    done = project.run("diff", "exp-1")
    assert "a.txt" in done.stdout, "the user's own filter counts, whatever the repository says"


def test_a_filter_that_cannot_be_switched_off_is_refused(project: Project) -> None:
    record(project, {"lr": 1}, {"rmse": 1})
    with open(project.root / ".git" / "config", "a") as file:
        file.write('[filter "a=b"]\n\tclean = touch canary\n')
    assert "cannot be switched off" in project.error("diff", "exp-1")


def test_a_partial_clone_of_ones_own_works(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking fetches nothing and says so; recording needs nothing; checking out fetches what it
    needs."""
    record(project, {"lr": 1}, {"rmse": 1}, advance=False)
    project.commit("later", train_py="print('later')\n")
    project.git("config", "uploadpack.allowFilter", "true")
    project.git("config", "uploadpack.allowAnySHA1InWant", "true")
    project.git(
        "clone", "-q", "--filter=blob:none", f"file://{project.root}", str(tmp_path / "clone")
    )
    clone = Project(tmp_path / "clone")
    assert "exp-1" in clone.gitexp("list")
    clone.write("train.py", "print('mine')\n")
    clone.gitexp("log", "--metric", "rmse=2")
    assert "exp-2" in clone.gitexp("list")
    assert "not in this partial clone" in clone.error("show", "exp-1")
    clone.gitexp("checkout", "exp-1")
    assert (clone.root / "train.py").read_text() == "print('training')\n"
    assert "print('training')" in clone.gitexp("diff", "exp-1", "exp-2", "--code")
    assert os.listdir(clone.root / ".git" / "objects" / "pack")
