"""Training scripts that log with MLflow, run in forks that have MLflow imported, in a repository of
the test's own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from warm import DEADLINE, Ended, Script, Warm

if TYPE_CHECKING:
    from conftest import Project

MODULES = (
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.tracking.client",
    "alembic.command",
    "appdirs",
    "git",
    "mlflow.sklearn.utils",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "matplotlib.pyplot",
)


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, however slow the machine is."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


class Training:
    """A repository, and scripts that run in it."""

    def __init__(self, project: Project, warm: Warm, cache: Path) -> None:
        self.project = project
        self._warm = warm
        self._cache = cache
        self._environ = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_TRACKING_URI": "gitexp:.",
            "XDG_CACHE_HOME": str(cache),
        }

    def elsewhere(self, root: Path) -> Training:
        """Return the same for another repository."""
        return Training(type(self.project)(root), self._warm, self._cache)

    def start(self, script: str, *args: str, name: str = "train.py", **environ: str) -> Script:
        """Write a script into the repository and start it there."""
        file = self.project.root / name
        # one that runs already may be reading it
        if not file.exists() or file.read_text() != dedent(script):
            self.project.write(name, dedent(script))
        return self._warm.start(file, *args, cwd=None, **{**self._environ, **environ})

    def run(
        self, script: str, *args: str, name: str = "train.py", code: int = 0, **environ: str
    ) -> Ended:
        """Run a script to its end, and require its exit code."""
        ended = self.start(script, *args, name=name, **environ).wait()
        assert ended.code == code, f"exit code {ended.code}\n{ended.out}\n{ended.err}"
        return ended

    def experiments(self, *options: str) -> dict[str, Any]:
        """Return the experiments as ``gitexp list --json`` says, by name."""
        return {
            item["name"]: item
            for item in json.loads(self.project.gitexp("list", "--json", *options))
        }
