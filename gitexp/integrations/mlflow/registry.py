"""The model registry of a repository: MLflow's own, in a database of this clone. Registered models
are not in git; their files are, with the experiment of their run."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

from gitexp.integrations.mlflow import database, uris
from gitexp.integrations.mlflow.behind import errors
from gitexp.repo import locks


def open_registry(uri: str) -> Any:
    """Return the registry for ``gitexp:.``; MLflow asks for one even where none is used."""
    with errors():
        path = uris.repository(uri).make_state_dir("mlflow") / "registry.sqlite"
    with locks.Held(path.with_suffix(".lock")):  # kept for good, and brought up to date
        database.initialize(path)
    return Registry(uri, f"sqlite:///{path}")


class Registry(SqlAlchemyStore):
    """MLflow's registry, whose versions find their files again."""

    def __init__(self, uri: str, db_uri: str) -> None:
        super().__init__(db_uri)
        self._tracking = uri

    def get_model_version_download_uri(self, name: str, version: Any) -> Any:
        """Return where the files of a version lie, made from git where the folder is gone."""
        found = self.get_model_version(name, version)
        client = MlflowClient(self._tracking)
        if str(found.source).startswith("models:/m-"):
            client.get_logged_model(found.source.removeprefix("models:/"))
        elif found.run_id:
            client.get_run(found.run_id)
        return super().get_model_version_download_uri(name, version)
