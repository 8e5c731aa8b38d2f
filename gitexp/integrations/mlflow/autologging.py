"""Turns on MLflow's autologgers with one line, and has their runs recorded in the repository that
the script lies in."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gitexp.formats.extras import needed
from gitexp.repo import Repo


def autolog(**options: Any) -> None:
    """Record what scikit-learn, XGBoost, Keras and others train from now on, with MLflow's
    autologgers, and CatBoost with ours.

    Every MLflow run of this process becomes an experiment of the repository that the working
    directory is in.

    Args:
        options: those of ``mlflow.autolog``: ``log_models=False``, ``silent=True`` and the like.

    Raises:
        MissingExtraError: MLflow is not installed.
        RepositoryError: there is no repository.
    """
    mlflow = needed("mlflow", "gitexp.autolog", "mlflow")
    mlflow.set_tracking_uri(f"gitexp:{quote(Repo.discover().root.as_posix())}")
    mlflow.autolog(**options)
    from mlflow.utils.import_hooks import register_post_import_hook

    def gitexp_catboost(_module: Any) -> None:
        from gitexp.integrations.mlflow import catboost

        known = {"log_models", "exclusive", "disable", "silent"} & options.keys()
        catboost.autolog(**{name: options[name] for name in known})

    register_post_import_hook(gitexp_catboost, "catboost", overwrite=True)
