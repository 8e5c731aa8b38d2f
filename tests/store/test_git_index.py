"""What is written in-process is what git itself would have written, and the user's index is swapped
only as it was looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.formats import settings
from gitexp.formats.errors import GitError
from gitexp.repo import Repo, snapshot, trees
from gitexp.store import git_index

EDITS: dict[str, dict[str, str | None]] = {
    "adds beside": {"params.yml": "new", "a/b/new.txt": "new", "x/y/z.txt": "new"},
    "replaces": {"top.txt": "new", "a/b/c.txt": "new"},
    "removes": {"top.txt": None, "a/b/c.txt": None, "not/there.txt": None},
    "removes a folder's last file": {"a/b/c.txt": None, "a/d.txt": None},
    "a file in the place of a folder": {"a": "new"},
    "a folder in the place of a file": {"top.txt/below.txt": "new"},
    "sorts as git does": {"a-b": "new", "a.b": "new", "a0": "new"},
}


@contextmanager
def prepared(project: Project, folder: Path) -> Iterator[tuple[Repo, git_index.NextIndex, str]]:
    """Snapshot a committed ``code.py``, and have the next index ready for a tree with a
    ``params.yml`` more."""
    project.write("code.py", "1")
    project.commit()
    repo = Repo.discover()
    shot = snapshot.take(repo, settings.load(repo.root), folder / "index")
    files: dict[str, str | None] = {"params.yml": repo.write_object("blob", b"lr: 1\n")}
    tree = trees.edited(repo, shot.tree, files)
    with repo.lock() as fd, git_index.NextIndex(repo, shot, files, fd) as index:
        index.begin()
        assert index.why_not(tree) is None
        yield repo, index, tree


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_an_edited_tree_is_the_one_that_an_index_would_have_given(
    project: Project, edit: dict[str, str | None], packed: bool
) -> None:
    for path in ("top.txt", "a/b/c.txt", "a/d.txt", "run.sh"):
        project.write(path, path)
    (project.root / "run.sh").chmod(0o755)
    os.symlink("top.txt", project.root / "link")
    project.commit()
    if packed:
        project.git("gc", "-q")
    repo = Repo.discover()
    base, blob = project.git("rev-parse", "HEAD^{tree}").strip(), repo.write_object("blob", b"new")
    files = {path: text and blob for path, text in edit.items()}
    lines = "".join(
        f"100644 {oid}\t{path}\n" if oid else f"0 {repo.zero}\t{path}\n"
        for path, oid in files.items()
    )
    repo.git("update-index", "--add", "--replace", "--index-info", stdin=lines.encode())
    assert trees.edited(repo, base, files) == project.git("write-tree").strip()
    project.fsck()


def test_what_git_takes_for_no_path_enters_no_tree(project: Project) -> None:
    assert trees.is_path("a/b.txt")
    for path in ("a/.git/config", ".GIT/x", "a/../b", "a//b", "git~1", "./a", ""):
        assert not trees.is_path(path), path
    nested = project.root / "sub" / ".git"
    nested.mkdir(parents=True)
    (nested / "config").write_text("[core]\n")
    with gitexp.start_run(advance=False) as run:
        run.log_artifact(nested / "config")
    assert run.recorded is not None
    assert "sub/.git/config was not kept" in "".join(run.recorded.warnings)
    project.fsck()


def test_an_artifact_that_may_be_run_may_be_run_in_the_work_tree_too(
    project: Project, tmp_path: Path
) -> None:
    project.commit()
    tool = tmp_path / "tool.sh"
    tool.write_text("echo")
    tool.chmod(0o755)
    with gitexp.start_run() as run:
        run.log_artifact(tool)
    assert run.recorded is not None
    assert run.recorded.advanced
    assert os.access(project.root / ".gitexp/artifacts/tool.sh", os.X_OK)
    assert not project.git("status", "--porcelain")


def test_what_is_staged_in_the_last_moment_is_not_overwritten(
    project: Project, tmp_path: Path
) -> None:
    with prepared(project, tmp_path) as (repo, index, tree):
        project.write("code.py", "2")
        project.git("add", "code.py")  # after it was looked at, and before it is locked
        assert not index.lock()
        assert not (repo.git_dir / "index.lock").exists()
        assert index.why_not(tree) == "'code.py' was staged during the run"
    assert project.git("diff", "--cached", "--name-only") == "code.py"
    assert not list(repo.git_dir.glob("gitexp-index*"))


def test_an_index_that_was_only_refreshed_meanwhile_is_made_anew(
    project: Project, tmp_path: Path
) -> None:
    with prepared(project, tmp_path) as (repo, index, tree):
        os.utime(project.root / "code.py", (1, 1))
        project.git("update-index", "--refresh")
        assert not index.lock()
        assert index.why_not(tree) is None
        assert index.lock()
        index.swap()
    assert project.git("write-tree").strip() == tree
    assert not list(repo.git_dir.glob("gitexp-index*"))


def test_a_transaction_that_is_not_committed_has_not_been(project: Project) -> None:
    project.write("code.py", "1")
    project.commit()
    repo = Repo.discover()
    head = project.git("rev-parse", "HEAD").strip()
    with repo.transaction("test") as change:
        change.prepare([f"create refs/tags/kept {head}"])
    assert project.tags() == []
    with repo.transaction("test") as change:
        change.prepare([f"create refs/tags/kept {head}"])
        change.commit()
    assert project.tags() == ["kept"]
    with repo.transaction("test") as change, pytest.raises(GitError, match="already exists"):
        change.prepare([f"create refs/tags/kept {head}"])
