"""What MLflow loads on each ``import mlflow``, and calls when an address begins with ``gitexp:``.
So it imports nothing."""

from __future__ import annotations

from typing import Any

OLDEST = (3, 13)


def tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """Return the tracking store of a repository, ``gitexp:.`` or ``gitexp:/path/in/it``; artifacts
    have their place there."""
    _check_version()
    from gitexp.integrations.mlflow.tracking_store import open_store

    return open_store(store_uri)


def registry_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """Return the model registry of a repository: MLflow's own, in a database of this clone. MLflow
    asks for one even where none is used. Registered models are not in git."""
    _check_version()
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    from gitexp.integrations.mlflow import database, uris
    from gitexp.integrations.mlflow.tracking_store import errors
    from gitexp.repo import locks

    with errors():
        path = uris.folder(uris.repository(store_uri)) / "registry.sqlite"
    with locks.Held(path.with_suffix(".lock")):  # kept for good, and brought up to date
        database.initialize(path)
    return SqlAlchemyStore(f"sqlite:///{path}")


def _check_version() -> None:
    """Raise MlflowException where this MLflow is older than what ``gitexp:`` is made and tested
    for."""
    from mlflow.exceptions import MlflowException
    from mlflow.version import VERSION

    if tuple(map(int, VERSION.split(".")[:2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise MlflowException(
            f"gitexp: needs MLflow {wanted} or newer, and this is {VERSION}; pip install -U"
            f" 'mlflow>={wanted}'"
        )
