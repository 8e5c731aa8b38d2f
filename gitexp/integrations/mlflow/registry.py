"""MLflow's model registry for a repository: its own, in a database of this clone. Registered models
are not in git.

MLflow asks for a registry under the tracking store's address even where none is used. The database
is kept for good, and brought up to date when MLflow is.
"""

from __future__ import annotations

from typing import Any

from gitexp.integrations.mlflow import database, uris
from gitexp.repo import locks


def open_registry(uri: str) -> Any:
    """Return the registry; raise MlflowException where there is no repository."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    from gitexp.integrations.mlflow.tracking_store import errors

    with errors():
        repo = uris.repository(uri)
        path = uris.folder(repo) / "registry.sqlite"
    with open(path.with_suffix(".lock"), "ab") as file:
        locks.take(file)
        database.initialize(path)
    return SqlAlchemyStore(f"sqlite:///{path}")
