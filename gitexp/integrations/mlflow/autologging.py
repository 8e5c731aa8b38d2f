"""One line for a script: MLflow's autologgers on, and their runs in the repository that the script lies in."""

from __future__ import annotations

from urllib.parse import quote

from gitexp.extras import needed
from gitexp.repo import Repo


def autolog() -> None:
    """Record what scikit-learn, XGBoost, Keras and others train from now on, with MLflow's autologgers.

    Every MLflow run of this process becomes an experiment of the repository that the working directory is in.

    Raises:
        MissingExtraError: MLflow is not installed.
        RepositoryError: there is no repository.
    """
    mlflow = needed("mlflow", "gitexp.autolog", "mlflow")
    mlflow.set_tracking_uri(f"gitexp:{quote(Repo.discover().root.as_posix())}")
    mlflow.autolog()
