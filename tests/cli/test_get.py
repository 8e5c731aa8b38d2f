"""``gitexp get`` and ``Experiment.download``: files of an experiment, without a checkout."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from recording import record


def tracked(project: Project) -> None:
    """Record an experiment with files in all sorts of places, and leave the work tree without them."""
    project.write("models/a.pkl", b"\0a")
    project.write("models/deep/b.pkl", b"\0b")
    project.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    (project.root / "link").symlink_to("models/a.pkl")
    project.git("add", "-A")
    record(project, artifacts={".gitexp/artifacts/roc/1.png": b"png"}, advance=False)
    project.git("rm", "-rqf", "models", "run.sh", "link")


def test_files_folders_and_patterns_arrive_as_a_checkout_would_write_them(
    project: Project, tmp_path: Path
) -> None:
    tracked(project)
    out = tmp_path / "out"
    for given, expected in {
        ("models/a.pkl",): ["a.pkl"],
        ("models",): ["models/a.pkl", "models/deep/b.pkl"],
        ("models/*.pkl",): ["a.pkl", "deep/b.pkl"],
        ("*.pkl",): ["models/a.pkl", "models/deep/b.pkl"],
        ("roc/1.png",): ["1.png"],
        ("roc", "run.sh", "link"): ["roc/1.png", "run.sh", "link"],
    }.items():
        printed = project.gitexp("get", "exp-1", *given, "-o", str(out))
        assert printed.splitlines() == [str(out / path) for path in expected]
        assert all(os.path.lexists(out / path) for path in expected)
        if "link" in given:
            assert os.readlink(out / "link") == "models/a.pkl"
            assert os.access(out / "run.sh", os.X_OK)
        else:
            assert (out / expected[0]).read_bytes() in (b"\0a", b"png")
        shutil.rmtree(out)
    assert project.git("status", "--porcelain", "--", "models", "run.sh", "link") == ""


def test_nothing_is_overwritten_without_force_and_all_or_nothing_arrives(project: Project) -> None:
    tracked(project)
    project.write("1.png", "mine")
    said = project.error("get", "exp-1", "models/a.pkl", "roc/1.png")
    assert "1.png is there already" in said
    assert not (project.root / "a.pkl").exists()
    project.gitexp("get", "exp-1", "models/a.pkl", "roc/1.png", "--force")
    assert (project.root / "1.png").read_bytes() == b"png"
    (project.root / "b.pkl").mkdir()
    assert "is a folder already" in project.error("get", "exp-1", "models/deep/b.pkl", "--force")
    record(project, artifacts={"x/c.txt": b"1", "y/c.txt": b"2"}, advance=False)
    assert "two of these files" in project.error("get", "@", "x/c.txt", "y/c.txt")


def test_a_path_that_is_not_there_names_similar_ones(project: Project) -> None:
    tracked(project)
    said = project.error("get", "exp-1", "model/a.pk", code=3)
    assert "there is no file 'model/a.pk' in exp-1." in said
    assert "'models/a.pkl'" in said
    with pytest.raises(gitexp.NotFoundError, match=r"'roc/1\.png'"):
        gitexp.get("exp-1", repo=project.root).download("1.pn")


def test_download_returns_where_the_files_are(project: Project, tmp_path: Path) -> None:
    tracked(project)
    found = gitexp.get("exp-1", repo=project.root).download("models/*.pkl", tmp_path / "new")
    assert [path.read_bytes() for path in found] == [b"\0a", b"\0b"]


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_a_file_of_git_lfs_arrives_with_its_content(project: Project, tmp_path: Path) -> None:
    project.git("lfs", "install", "--local")
    project.commit("lfs", **{"_gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    data = bytes(range(256)) * 100
    project.write("data.bin", data)
    project.git("add", "data.bin")
    found = record(project, advance=False)
    project.git("rm", "-qf", "data.bin", ".gitattributes")
    assert found.read("data.bin").startswith(b"version https://git-lfs")
    project.gitexp("get", "exp-1", "data.bin", "-o", str(tmp_path / "a"))
    assert (tmp_path / "a" / "data.bin").read_bytes() == data
    shutil.rmtree(project.root / ".git/lfs/objects")
    said = project.error("get", "exp-1", "data.bin", "-o", str(tmp_path / "b"), code=3)
    assert "'data.bin' has no content here, only a pointer" in said
    assert not (tmp_path / "b").exists()


def test_files_come_out_of_a_repository_that_is_mounted_to_be_read(
    project: Project, tmp_path: Path
) -> None:
    tracked(project)
    root = shlex.quote(str(project.root))
    words = [sys.executable, "-m", "gitexp", "get", "exp-1", "models", "-o", f"{tmp_path}/out"]
    mount = f"mount --bind {root} {root} && mount -o remount,ro,bind {root} || exit 77"
    words = ["unshare", "-m", "sh", "-c", f"{mount}; cd {root}; {shlex.join(words)}"]
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("only root mounts")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("nobody mounts here")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/models/deep/b.pkl").read_bytes() == b"\0b"
