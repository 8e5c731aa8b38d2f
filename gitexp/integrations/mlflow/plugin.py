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
    """Return the model registry of a repository."""
    _check_version()
    from gitexp.integrations.mlflow.registry import open_registry

    return open_registry(store_uri)


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
