"""Verifying: a good signature is good, tampering is named, and nothing of a hostile repository
runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from recording import record

PYTHON = sys.executable


@pytest.fixture
def ssh(project: Project, tmp_path: Path) -> Project:
    """The project, with git set up to sign with an SSH key that it trusts."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (tmp_path / "allowed").write_text(
        f'ada@example.org namespaces="git" {key.with_suffix(".pub").read_text()}'
    )
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingKey", str(key)),
        ("gpg.ssh.allowedSignersFile", str(tmp_path / "allowed")),
    ):
        project.git("config", "--global", name, value)
    return project


def rewritten(project: Project, name: str, old: str, new: str) -> None:
    """Replace a tag by one that says something else, as somebody with access to a remote could."""
    text = project.git("cat-file", "tag", name).replace(old, new) + "\n"
    made = subprocess.run(
        ["git", "hash-object", "-t", "tag", "-w", "--stdin"],
        cwd=project.root,
        input=text,
        text=True,
        capture_output=True,
    )
    project.git("update-ref", f"refs/tags/{name}", made.stdout.strip())


@pytest.mark.parametrize("way", ["log", "run", "setting"])
def test_a_signed_experiment_is_good_for_git_and_for_us(ssh: Project, way: str) -> None:
    """Signed by git's own machinery, in our transaction: the branch moved, and no other ref was
    made."""
    if way == "log":
        ssh.gitexp("log", "--metric", "rmse=1", "--sign")
    elif way == "run":
        ssh.gitexp("run", "--sign", "--", PYTHON, "train.py")
    else:
        ssh.write(".gitexp.toml", "sign = true\n")
        ssh.gitexp("log", "--metric", "rmse=1")
    ssh.git("verify-tag", "exp-1")
    shown = ssh.gitexp("verify", "exp-1", "--signed")
    assert shown.startswith('exp-1  ok  signature good: Good "git" signature for ada@example.org')
    assert ssh.git("rev-parse", "exp-1^{commit}") == ssh.git("rev-parse", "HEAD")
    assert ssh.tags() == ["exp-1"]
    assert not list((ssh.root / ".git" / "gitexp").glob("sign-*"))
    ssh.fsck()


@pytest.mark.slow
def test_gpg_signs_too(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    make = [
        "gpg",
        "--batch",
        "--quiet",
        "--passphrase",
        "",
        "--quick-generate-key",
        "Ada <ada@example.org>",
        "ed25519",
        "sign",
    ]
    subprocess.run(make, check=True, capture_output=True)
    try:
        project.gitexp("log", "--metric", "rmse=1", "--sign")
        project.git("verify-tag", "exp-1")
        assert "signature good: Good signature from" in project.gitexp("verify", "exp-1")
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=True)


def test_what_cannot_be_signed_is_not_recorded(project: Project) -> None:
    """One line, and nothing half done."""
    project.git("config", "gpg.format", "ssh")
    project.git("config", "user.signingKey", "/nowhere")
    assert "could not sign" in project.error("log", "--metric", "rmse=1", "--sign")
    assert project.tags() == []
    assert project.gitexp("log", "--metric", "rmse=1").startswith("exp-1 ")


def canary(place: Path) -> Path:
    """Return a program that does what ssh-keygen does, and leaves a file ``ran`` beside itself."""
    program = place / "evil"
    program.write_text(f'#!/bin/sh\ntouch {place}/ran\nexec ssh-keygen "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def forged(project: Project, tmp_path: Path) -> Project:
    """A repository whose experiment a stranger signed, and whose own settings call the stranger
    trusted and name programs."""
    key, program = tmp_path / "stranger", canary(tmp_path)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    project.write("allowed", f"ada@example.org {key.with_suffix('.pub').read_text()}")
    project.git("config", "gpg.format", "ssh")
    project.git("config", "user.signingKey", str(key))
    project.gitexp("log", "--metric", "rmse=1", "--sign")
    project.write(
        "included",
        f'[gpg]\n\tminTrustLevel = never\n\tprogram = {program}\n[gpg "ssh"]\n\tprogram = {program}\n',
    )
    project.git("config", "include.path", str(project.root / "included"))
    project.git("config", "gpg.ssh.allowedSignersFile", str(project.root / "allowed"))
    for name in ("gpg.openpgp.program", "gpg.x509.program", "gpg.ssh.program"):
        project.git("config", name, str(program))
    return project


def test_a_repository_cannot_make_itself_trusted(forged: Project, tmp_path: Path) -> None:
    """git itself believes it: its own list of signers, its own programs, an include. The user's
    global settings alone count."""
    assert (
        subprocess.run(
            ["git", "verify-tag", "exp-1"], cwd=forged.root, capture_output=True
        ).returncode
        == 0
    )
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    shown = forged.gitexp("verify", "exp-1", code=1)
    assert "nobody whom you trust has its ED25519 key SHA256:" in shown
    assert "(the repository's own list does not count)" in shown
    assert "gpg.ssh.allowedSignersFile FILE" in shown
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["worktree", "relative"])
def test_no_other_way_into_the_users_trust(forged: Project, tmp_path: Path, place: str) -> None:
    """Settings of one work tree are the repository's too; a relative path of the user's would lead
    into the repository."""
    forged.git("config", "--unset", "gpg.ssh.allowedSignersFile")
    if place == "worktree":
        forged.git("config", "extensions.worktreeConfig", "true")
        forged.git(
            "config", "--worktree", "gpg.ssh.allowedSignersFile", str(forged.root / "allowed")
        )
    else:
        forged.git("config", "--global", "gpg.ssh.allowedSignersFile", "allowed")
        forged.git("config", "--global", "gpg.ssh.program", "./evil")
        canary(forged.root)
    assert "nobody whom you trust has its ED25519 key" in forged.gitexp("verify", "exp-1", code=1)
    assert not [*tmp_path.rglob("ran")]


def test_the_users_own_word_is_taken(forged: Project, tmp_path: Path) -> None:
    """By an option, from a folder below too, or by the global settings; the repository's programs
    are not run for it either."""
    (forged.root / "below").mkdir()
    shown = forged.gitexp(
        "verify", "exp-1", "--signed", "--allowed-signers", "../allowed", cwd=forged.root / "below"
    )
    assert "signature good" in shown
    forged.git("config", "--global", "gpg.ssh.allowedSignersFile", str(forged.root / "allowed"))
    assert "signature good" in forged.gitexp("verify", "exp-1", "--signed")
    assert not (tmp_path / "ran").exists()
    assert "does not exist" in forged.error("verify", "exp-1", "--allowed-signers", "nowhere")


def test_a_revoked_key_of_the_users_list_is_bad_whatever_the_repository_says(
    ssh: Project, tmp_path: Path
) -> None:
    ssh.gitexp("log", "--metric", "rmse=1", "--sign")
    ssh.git("config", "--global", "gpg.ssh.revocationFile", str(tmp_path / "key.pub"))
    ssh.git("config", "gpg.ssh.revocationFile", "/dev/null")
    assert "its signature is not good" in ssh.gitexp("verify", "exp-1", code=1)


def test_a_changed_number_breaks_the_signature_and_the_summary(ssh: Project) -> None:
    ssh.gitexp("log", "--metric", "rmse=18.5", "--sign")
    rewritten(ssh, "exp-1", '"rmse":18.5', '"rmse":11.5')
    shown = ssh.gitexp("verify", "exp-1", code=1)
    assert "its signature is not good" in shown
    assert "metric rmse is 11.5 in the tag and 18.5 in the file" in shown


def test_an_unsigned_one_is_fine_unless_signatures_are_wanted(project: Project) -> None:
    record(
        project,
        {"lr": 0.1, "layers": [1, 2], "x": float("inf")},
        {"rmse": [2.5, 1.5], "nan": float("nan"), "big": float("-inf")},
    )
    assert project.gitexp("verify", "exp-1") == "exp-1  ok  unsigned\n"
    assert "FAILED" in project.gitexp("verify", "exp-1", "--signed", code=1)


def test_each_tampering_is_named(project: Project) -> None:
    """Another param, another commit, another name, a missing file, unreadable metrics."""
    first = record(project, {"lr": 0.1}, {"rmse": 1.5})
    project.commit("other", train_py="print('other')\n")
    other = project.git("rev-parse", "HEAD")
    rewritten(project, "exp-1", '"lr":0.1', '"lr":0.2')
    assert "param lr is 0.2 in the tag and 0.1 in the file" in project.gitexp(
        "verify", "exp-1", code=1
    )
    rewritten(project, "exp-1", '"lr":0.2', '"lr":0.1')
    assert project.gitexp("verify", "exp-1") == "exp-1  ok  unsigned\n"
    rewritten(project, "exp-1", f"object {first.id}", f"object {other}")
    assert "the tag points to another commit" in project.gitexp("verify", "exp-1", code=1)
    rewritten(project, "exp-1", f"object {other}", f"object {first.id}")
    project.git("update-ref", "refs/tags/exp-9", project.git("rev-parse", "exp-1"))
    assert "somebody renamed it" in project.gitexp("verify", "exp-9", code=1)
    blob = project.git("rev-parse", "exp-1:metrics.csv")
    (project.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    assert "files of its commit are missing" in project.gitexp("verify", "exp-1", code=1)


def test_a_tag_that_names_odd_files_is_a_problem_and_no_crash(project: Project) -> None:
    record(project, {"lr": 0.1}, {"rmse": 1.5})
    rewritten(project, "exp-1", '"metrics":"metrics.csv"', '"metrics":"a\\nb"')
    assert "is not in the commit" in project.gitexp("verify", "exp-1", code=1)


def test_inputs_are_checked_where_they_are(project: Project) -> None:
    """A tracked one in the commit, an ignored one on disk; one that is not here is said to be
    unchecked."""
    project.commit(_gitignore="data/\n", table_csv="1,2\n")
    project.write("data/a.csv", "1")
    project.write("data/b.csv", "1")
    project.gitexp(
        "log",
        "--metric",
        "rmse=1",
        "--input",
        "table.csv",
        "--input",
        "data/a.csv",
        "--input",
        "data/b.csv",
        "--input",
        "data",
    )
    project.write("table.csv", "changed, and the commit still has it")
    assert project.gitexp("verify", "@") == "exp-1  ok  unsigned\n"
    project.write("data/a.csv", "2")
    (project.root / "data" / "b.csv").unlink()
    shown = project.gitexp("verify", "@", code=1)
    assert "input data/a.csv is not what it was" in shown
    assert "input data is not what it was" in shown
    assert "not checked: input data/b.csv is not here" in shown
    assert "table.csv" not in shown
    assert "is not there" in project.error("log", "--metric", "rmse=1", "--input", "nothing.csv")


def test_a_folder_outside_is_read_behind_a_link_of_the_work_tree_alone(
    project: Project, tmp_path: Path
) -> None:
    """A tag may be anybody's and name any folder; a link costs time at worst."""
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    (outside / "below" / "x").write_text("1")
    (project.root / "link").symlink_to(outside)
    for name in ("link", "link/below", str(outside)):
        project.gitexp("log", "-M", "rmse=1", "--input", name)
    assert "not checked" not in project.gitexp("verify", "1", "2")
    (outside / "below" / "x").write_text("2")
    for number, name in ((1, "link"), (2, "link/below")):
        shown = project.gitexp("verify", f"exp-{number}", code=1)
        assert f"{name} is not what it was" in shown
    refused = f"not checked: input {outside}: a folder outside the repository is not read"
    assert refused in project.gitexp("verify", "exp-3")
    for target in ("/", tmp_path, "/proc", "/sys/kernel"):
        (project.root / "link").unlink()
        (project.root / "link").symlink_to(target)
        assert "is not read" in project.gitexp("verify", "exp-1")
    (project.root / "link").unlink()
    (project.root / "link").symlink_to(outside / "below")
    rewritten(project, "exp-1", '"link"', '"link/.."')
    assert "is not read" in project.gitexp("verify", "exp-1")
    shutil.rmtree(outside)
    assert "is not here" in project.gitexp("verify", "exp-3")


def test_all_and_json(project: Project) -> None:
    for at in range(3):
        record(project, {"at": at}, {"rmse": at})
    rows = json.loads(project.gitexp("verify", "--all", "--json"))
    assert [(row["name"], row["ok"], row["signature"]) for row in rows] == [
        (f"exp-{n}", True, "unsigned") for n in (3, 2, 1)
    ]
    assert "--where or --all" in project.error("verify")


def test_many_experiments_take_no_more_processes_than_few(project: Project, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    env = {"PATH": f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}"}
    counts = []
    for _ in range(2):
        for at in range(40):  # a few objects are read in another way than many
            gitexp.log({"lr": at}, {"loss": 1.0})
        calls.unlink(missing_ok=True)
        project.gitexp("list")
        calls.write_text("")
        project.gitexp("verify", "--all", env=env)
        counts.append(calls.read_text().splitlines())
    assert 0 < len(counts[0]) == len(counts[1]), counts
