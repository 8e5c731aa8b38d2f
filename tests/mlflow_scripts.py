"""Training scripts that log with MLflow, run in forks that have MLflow imported, in a repository of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from warm import Ended, Script, Warm

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


class Training:
    """A repository, and scripts that run in it."""

    def __init__(self, project: Project, warm: Warm, cache: Path) -> None:
        self.project = project
        self._warm = warm
        self._environ = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_TRACKING_URI": "gitexp:.",
            "XDG_CACHE_HOME": str(cache),
        }

    def start(self, script: str, *args: str, name: str = "train.py", **environ: str) -> Script:
        """Write a script into the repository and start it there."""
        file = self.project.write(name, dedent(script))
        return self._warm.start(file, *args, cwd=None, **{**self._environ, **environ})

    def run(self, script: str, *args: str, name: str = "train.py", code: int = 0, **environ: str) -> Ended:
        """Run a script to its end, and require its exit code."""
        ended = self.start(script, *args, name=name, **environ).wait()
        assert ended.code == code, f"exit code {ended.code}\n{ended.out}\n{ended.err}"
        return ended

    def experiments(self, *options: str) -> dict[str, Any]:
        """Return the experiments as ``gitexp list --json`` says, by name."""
        return {item["name"]: item for item in json.loads(self.project.gitexp("list", "--json", *options))}
