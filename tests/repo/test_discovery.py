"""The usual repository is found without git, and just as git finds it; whatever is odd is left to
git."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from gitexp.formats.errors import RepositoryError
from gitexp.repo import Repo, discovery
from recording import record

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere git is always asked")


def facts(repo: Repo) -> tuple[Any, ...]:
    """Return what discovering a repository tells of it."""
    return (
        repo.root,
        repo.git_dir,
        repo.common_dir,
        repo.object_format,
        repo.found_at or repo.head(),
    )


def by_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...] | str:
    """Return what git itself says, a variable being set that only git understands."""
    with monkeypatch.context() as patch:
        patch.setenv("GIT_CEILING_DIRECTORIES", str(folder.anchor))
        return by_us(folder)


def by_us(folder: Path) -> tuple[Any, ...] | str:
    """Return what discovering says: facts, or an error."""
    try:
        return facts(Repo.discover(folder))
    except RepositoryError as error:
        return str(error)


def nothing(project: Project) -> None:
    """Leave it as ``git init`` and a first commit made it."""


def detached(project: Project) -> None:
    project.git("checkout", "-q", "--detach")


def packed(project: Project) -> None:
    project.git("pack-refs", "--all")


def unborn(project: Project) -> None:
    project.git("checkout", "-q", "--orphan", "new")


def long_branch(project: Project) -> None:
    project.git("checkout", "-q", "-b", "ada/v1.2/Größe")


def configured(project: Project) -> None:
    project.git("remote", "add", "origin", "https://example.org/nets.git")
    project.git("config", "core.autocrlf", "input")


@pytest.mark.parametrize("change", [nothing, detached, packed, unborn, long_branch, configured])
def test_a_usual_repository_is_found_as_git_finds_it(
    project: Project, change: Callable[[Project], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(project)
    project.write("deep/below/x.py", "")
    assert discovery.find_repository(project.root) is not None
    for folder in (project.root, project.root / "deep/below"):
        assert by_us(folder) == by_git(folder, monkeypatch)


def test_a_link_to_a_folder_leads_where_git_goes(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("deep/below/x.py", "")
    (tmp_path / "link").symlink_to(project.root / "deep")
    assert discovery.find_repository(tmp_path / "link/below") is not None
    assert by_us(tmp_path / "link/below") == by_git(tmp_path / "link/below", monkeypatch)


def linked(project: Project) -> Path:
    project.git("worktree", "add", "-q", "../linked")
    return project.root.parent / "linked"


def submodule(project: Project) -> Path:
    project.git("clone", "-q", ".", "../other")
    project.git("submodule", "--quiet", "add", "../other", "inner")
    return project.root / "inner"


def bare(project: Project) -> Path:
    project.git("clone", "-q", "--bare", ".", "../bare.git")
    return project.root.parent / "bare.git"


def inside_of_git(project: Project) -> Path:
    return project.root / ".git/refs/heads"


def bare_by_configuration(project: Project) -> Path:
    project.git("config", "core.bare", "true")
    return project.root


def elsewhere(project: Project) -> Path:
    (project.root.parent / "files").mkdir()
    project.git("config", "core.worktree", str(project.root.parent / "files"))
    return project.root


def newer_format(project: Project) -> Path:
    project.git("config", "core.repositoryFormatVersion", "99")
    return project.root


def long_hashes(project: Project) -> Path:
    project.git("init", "-q", "--object-format=sha256", "../long")
    return project.root.parent / "long"


def git_as_a_link(project: Project) -> Path:
    (project.root / ".git").rename(project.root.parent / "kept")
    (project.root / ".git").symlink_to(project.root.parent / "kept")
    return project.root


def head_as_a_link(project: Project) -> Path:
    (project.root / ".git/HEAD").unlink()
    (project.root / ".git/HEAD").symlink_to("refs/heads/main")
    return project.root


def head_somewhere_else(project: Project) -> Path:
    project.git("symbolic-ref", "HEAD", "refs/remotes/origin/main")
    return project.root


def broken_head(project: Project) -> Path:
    project.write(".git/HEAD", "nonsense\n")
    return project.root


def no_objects(project: Project) -> Path:
    (project.root / ".git/objects").rename(project.root / ".git/gone")
    return project.root


def no_repository(project: Project) -> Path:
    return project.root.parent


def no_folder(project: Project) -> Path:
    return project.root / "missing"


@pytest.mark.parametrize(
    "make",
    [
        linked,
        submodule,
        bare,
        inside_of_git,
        bare_by_configuration,
        elsewhere,
        newer_format,
        long_hashes,
        git_as_a_link,
        head_as_a_link,
        head_somewhere_else,
        broken_head,
        no_objects,
        no_repository,
        no_folder,
    ],
)
def test_what_is_odd_is_left_to_git(
    project: Project, make: Callable[[Project], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(project)
    assert discovery.find_repository(folder) is None
    assert by_us(folder) == by_git(folder, monkeypatch)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives folders away")
def test_a_repository_of_somebody_else_is_not_trusted_before_git_trusts_it(
    project: Project,
) -> None:
    record(project, {"lr": 0.1})
    os.chown(project.root, 54321, 54321)
    assert discovery.find_repository(project.root) is None
    assert "git does not trust" in project.error("list")
    project.git("config", "--global", "--add", "safe.directory", str(project.root))
    assert "exp-1" in project.gitexp("list")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives folders away")
def test_without_a_home_trust_is_said_in_the_environment(project: Project) -> None:
    record(project, {"lr": 0.1})
    os.chown(project.root, 54321, 54321)
    env = {"HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": ""}
    hint = project.error("list", env=env).partition("if you do: export ")[2]
    env |= dict(word.split("=", 1) for word in shlex.split(hint))
    assert "exp-1" in project.gitexp("list", env=env)


def test_a_warm_list_starts_no_process(project: Project, tmp_path: Path) -> None:
    record(project, {"lr": 0.1})
    project.gitexp("list")
    assert "exp-1" in project.gitexp("list", env={"PATH": str(tmp_path)})  # where there is no git
