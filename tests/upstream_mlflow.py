"""MLflow's own tests on ``gitexp:``, for whoever has a checkout of MLflow: its distributions hold
no tests.

    python tests/upstream_mlflow.py ~/src/mlflow tests/tracking/fluent/test_fluent.py
    python tests/upstream_mlflow.py ~/src/mlflow --control tests/store/tracking/sqlalchemy_store

The MLflow under test is the installed one: take the checkout of its version. With ``--control`` the
same tests run on MLflow's SQLite store, to tell what fails there too. All else goes to pytest.

MLflow's tests take their store from fixtures of a few names, and make addresses of SQLite files
themselves. A fixture in the module of a test goes before one in a conftest.py, so each module gets
ours, and ``mlflow.set_tracking_uri`` takes an SQLite address for the repository that stands for it.
Nothing of MLflow's tests is changed, and none is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STORES = ("test_sqlalchemy_store", "test_sqlalchemy_workspace_store")


def repository(root: Path) -> str:
    """Make a repository with one commit and return its address for MLflow."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "train.py").write_text("print('training')\n")
    for line in (
        "init -q",
        "config user.name Ada",
        "config user.email ada@example.org",
        "add -A",
        "commit -q -m Begin",
    ):
        subprocess.run(["git", *line.split()], cwd=root, check=True)
    return f"gitexp:{root}"


@pytest.fixture
def db_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MLflow's name for the address of the store that a test begins with."""
    return repository(tmp_path_factory.mktemp("repo"))


@pytest.fixture
def tmp_sqlite_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MLflow's name for one more such address."""
    return repository(tmp_path_factory.mktemp("repo"))


@pytest.fixture
def workspaces_enabled() -> bool:
    """MLflow's workspaces are several teams on one server: not the matter of a repository."""
    return False


@pytest.fixture
def store(db_uri: str) -> Any:
    """The store under test."""
    from gitexp.integrations.mlflow.tracking_store import open_store

    return open_store(db_uri)


@pytest.fixture(autouse=True)
def sqlite_addresses_are_repositories(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Take the SQLite files that a test names itself for repositories; record what waits before the
    test's folder goes."""
    import mlflow

    from gitexp.runs import deferred

    real, known = mlflow.set_tracking_uri, dict[str, str]()

    def translated(uri: Any) -> None:
        if isinstance(uri, str) and uri.startswith("sqlite:"):
            if uri not in known:
                known[uri] = repository(tmp_path_factory.mktemp("repo"))
            uri = known[uri]
        real(uri)

    monkeypatch.setattr(mlflow, "set_tracking_uri", translated)
    yield
    deferred.end_now()


def pytest_collectstart(collector: Any) -> None:
    """Give a module of MLflow's our fixtures."""
    if not isinstance(collector, pytest.Module):
        return
    try:
        given = vars(collector.obj)
    except collector.CollectError:  # it cannot be imported, which pytest says itself
        return
    ours: list[Any] = [
        db_uri,
        tmp_sqlite_uri,
        workspaces_enabled,
        sqlite_addresses_are_repositories,
    ]
    if collector.path.name.startswith(STORES) or "store" in given:
        ours.append(store)
    for fixture in ours:
        setattr(collector.obj, fixture.__name__, fixture)


def main(args: list[str]) -> int:
    """Run pytest on a checkout and return its exit code."""
    if (
        not args
        or not (checkout := Path(args[0]).expanduser().resolve()).joinpath("tests").is_dir()
    ):
        print(
            f"usage: python {sys.argv[0]} CHECKOUT_OF_MLFLOW [--control] [what pytest takes]",
            file=sys.stderr,
        )
        return 2
    import mlflow  # before pytest puts the checkout in front: the installed one is under test

    rest = [arg for arg in args[1:] if arg != "--control"]
    os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"})
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        os.chdir(checkout)
        sys.path.insert(0, str(Path(__file__).parent))
        print(f"MLflow {mlflow.__version__}", file=sys.stderr)
        # loaded, its fixtures are everywhere
        ours = [] if "--control" in args else ["-p", Path(__file__).stem]
        return int(pytest.main([*ours, "-p", "no:cacheprovider", *rest]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
