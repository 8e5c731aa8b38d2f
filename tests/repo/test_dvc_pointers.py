"""DVC's pointers as text: read without DVC, whatever somebody's repository says in them; and Git
LFS, which is git's own."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.formats import settings
from gitexp.formats.errors import MissingExtraError
from gitexp.repo import Repo, dvc, dvc_pointers, dvc_status

POINTER = "outs:\n- md5: {md5}\n  size: 4\n  hash: md5\n  path: {path}\n"


def test_without_dvc_nothing_is_looked_for_and_a_large_artifact_is_refused(
    project: Project,
) -> None:
    project.write("odd.dvc", "not a pointer")
    repo = Repo.discover(project.root)
    assert dvc_status.commit_changed(repo, settings.load(repo.root)) == dvc_status.Settled()
    project.write(".gitexp.toml", "max_file_size = '1kB'\n")
    project.write("model.pt", b"x" * 2000)
    said = project.error("log", "-M", "rmse=1", "--artifact", "model.pt")
    assert (
        "over the limit of 1.0 kB; raise max_file_size in the settings, or keep it with DVC or Git LFS"
        in said
    )
    assert not (project.root / ".git/gitexp/data.json").exists()


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "/etc/passwd", "../.git/config", "..", "", "C:/x"],
    ids=["up", "absolute", "git", "above", "none", "drive"],
)
def test_a_pointer_that_leaves_the_repository_is_none(project: Project, path: str) -> None:
    project.write("data/x.dvc", POINTER.format(md5="a" * 32, path=json.dumps(path)))
    project.commit()
    assert dvc_pointers.of_commit(Repo.discover(project.root), "HEAD") == {}


@pytest.mark.parametrize(
    "text",
    [
        "outs: 1",
        "outs: [1, null]",
        "outs: [{md5: ../../x, path: y}]",
        "[",
        "\0",
        "- x",
        "outs: &a [*a]",
        "x: " + "[" * 1000,
        "stages: {a: {outs: [{path: x}]}}",
    ],
)
@pytest.mark.parametrize("name", ["x.dvc", "dvc.lock"])
def test_a_damaged_pointer_counts_as_none(project: Project, name: str, text: str) -> None:
    project.write(name, text)
    (project.root / ".dvc").mkdir()
    project.commit()
    repo = Repo.discover(project.root)
    assert dvc_pointers.of_commit(repo, "HEAD") == dvc_pointers.in_work_tree(repo) == {}


def test_pointers_are_read_in_all_forms(project: Project) -> None:
    project.write("data/x.csv.dvc", POINTER.format(md5="1" * 32, path="x.csv"))
    project.write("imports/y.dvc", f"wdir: ../data\nouts:\n- md5: '{'2' * 32}'\n  path: y\n")
    lock = {
        "stages": {
            "prep": {
                "outs": [
                    {"path": "out/model", "md5": f"{'3' * 32}.dir", "nfiles": 7},
                    {"path": "m.json", "md5": "4" * 32, "cache": False},
                ]
            }
        }
    }
    project.write("sub/dvc.lock", json.dumps(lock))
    project.commit()
    found = dvc_pointers.of_commit(Repo.discover(project.root), "HEAD")
    assert {path: (item.hash, item.files) for path, item in found.items()} == {
        "data/x.csv": (f"md5:{'1' * 32}", None),
        "data/y": (f"md5:{'2' * 32}", None),
        "sub/out/model": (f"md5:{'3' * 32}.dir", 7),
    }
    assert dvc_pointers.holder(found, "sub/out/model/weights/1.pt") == found["sub/out/model"]
    assert dvc_pointers.holder(found, "sub/out/models") is None


@pytest.mark.parametrize(
    "path",
    [
        "x.csv",
        "true",
        "Null",
        "1e5",
        "e1.5",
        ".inf",
        "-a",
        "no",
        "0x1f",
        "_",
        "a b",
        "'q'",
        "2020-01-01",
    ],
)
@pytest.mark.parametrize(
    "md5", ["a" * 32, "1" * 32, "1e" + "1" * 30, "'" + "1" * 32 + "'", "0" * 31 + "f.dir"]
)
def test_the_short_way_to_read_a_pointer_reads_it_as_yaml_does(path: str, md5: str) -> None:
    written = POINTER.format(md5=md5, path=path)
    assert list(dvc_pointers._parsed("q/x.dvc", written.encode())) == list(
        dvc_pointers._parsed("q/x.dvc", f"{written}# so it is not usual\n".encode())
    )


def test_of_very_many_the_summary_keeps_one_hash(project: Project) -> None:
    data = {
        f"d{at}": dvc_pointers.Data(f"d{at}", f"md5:{at:032x}", 1, None, "dvc.lock")
        for at in range(1000)
    }
    assert list(dvc_pointers.summary(data)) == ["*"]
    assert dvc_pointers.summary(data) != dvc_pointers.summary({**data, "d7": data["d8"]})


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_git_lfs_works_the_same_through_git(project: Project, tmp_path: Path) -> None:
    project.git("lfs", "install", "--local", "--skip-smudge")
    project.git("config", "--local", "filter.lfs.smudge", "git-lfs smudge -- %f")
    project.git("config", "--local", "filter.lfs.process", "git-lfs filter-process")
    project.commit("lfs", **{"_gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    project.write(".gitexp.toml", "max_file_size = '1kB'\n")
    project.write("data.bin", b"one" * 1000)
    project.gitexp("log", "-M", "rmse=1", "--input", "data.bin")
    project.write("data.bin", b"two" * 2000)
    project.gitexp("log", "-M", "rmse=2")
    assert gitexp.get("exp-1").read("data.bin").startswith(b"version https://git-lfs"), (
        "a pointer, though it is over the limit"
    )
    project.gitexp("checkout", "exp-1")
    assert (project.root / "data.bin").read_bytes() == b"one" * 1000
    assert project.git("status", "--porcelain") == ""
    assert "sha256:" in project.gitexp("show", "exp-1")
    assert "M  data.bin" in project.gitexp("diff", "1", "2")
    project.gitexp("verify", "exp-1")
    project.gitexp("checkout", "exp-2", "--worktree", str(tmp_path / "beside"))
    assert (tmp_path / "beside/data.bin").read_bytes() == b"two" * 2000


def test_a_program_of_the_repositorys_is_never_taken_for_dvc(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = project.write("dvc", "#!/bin/sh\ntouch canary\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f".{os.pathsep}{project.root}{os.pathsep}{os.environ['PATH']}")
    try:
        assert Path(dvc._program()[0]).parent != project.root
    except MissingExtraError:
        pass
    project.write(".dvc/config", "[core]\n")
    project.write("x.dvc", POINTER.format(md5="a" * 32, path="x"))
    project.write("x", "four")
    project.gitexp("log", "-M", "rmse=1")
    for command in (["list"], ["show"], ["diff", "exp-1"], ["verify", "exp-1"]):
        project.gitexp(*command)
    assert not (project.root / "canary").exists()


def test_a_fault_in_the_data_at_the_end_does_not_take_the_run_away(project: Project) -> None:
    project.write(".dvc/config", "[core]\n")
    done = project.run(
        "run", "--", sys.executable, "-c", "open('.gitexp.toml', 'w').write('nonsense')"
    )
    assert done.returncode == 0
    assert (
        "the data that it wrote is not recorded: .gitexp.toml cannot be read as TOML" in done.stderr
    )
    assert project.tags() == ["exp-1"]


def test_a_link_in_somebodys_commit_does_not_lead_our_configuration_out_of_the_work_tree(
    project: Project, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    project.write(
        ".dvc/config", "['remote \"store\"']\n    url = ../../store\n    password = secret\n"
    )
    tree = tmp_path / "tree"
    (tree / ".dvc").mkdir(parents=True)
    (tree / ".dvc/config.local").symlink_to(victim)
    dvc._adapt(Repo.discover(project.root), tree)
    assert victim.read_text() == "mine"
    written = tree / ".dvc/config.local"
    assert f"url = {tmp_path}/store" in written.read_text(), (
        "a relative one would mean another place there"
    )
    assert os.name != "posix" or written.stat().st_mode & 0o077 == 0
    assert (tree / ".dvc/cache").resolve() == project.root / ".dvc/cache"
