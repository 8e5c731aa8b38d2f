"""Where gitexp keeps what is MLflow's in a repository, and the addresses by which MLflow finds it.

All of it is below ``.git/gitexp/mlflow/``, where no snapshot finds it: the database (disposable,
git is the truth), the registry's database, and the folders of artifacts. Their addresses are
absolute; that does no harm, because every clone makes the database anew with addresses of its own.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from gitexp.formats.errors import RepositoryError
from gitexp.repo import Repo
from gitexp.store.connectivity import is_partial

RUN_FILES = ".gitexp/artifacts"  # in the tree
RUN_FACTS = ".gitexp/mlflow.json"


def repository(uri: str) -> Repo:
    """Return the repository that ``gitexp:.`` or ``gitexp:/a/path/in/it`` means; raise
    RepositoryError where there is none.

    A process that left the repository (a scratch folder of Hydra's) means the one that its script
    came from.
    """
    path = uri.partition(":")[2]
    if path.startswith("//"):
        path = path[2:]
    if re.match(r"/[A-Za-z]:", path):  # Windows: gitexp:///C:/thesis
        path = path[1:]
    path = unquote(path) or "."
    try:
        repo = Repo.discover(path)
    except RepositoryError:
        if os.path.isabs(path):
            raise
        repo = Repo.discover(os.path.join(sys.path[0], path))
    repo.found_at = None  # it is kept as long as the process lives, and HEAD moves with each run
    return repo


def model_files(model: str) -> str:
    """Return where the files of a model lie in the tree, by its id."""
    return f".gitexp/models/{model}"


@contextmanager
def lenient(repo: Repo) -> Iterator[Repo]:
    """Yield a repository to read objects from, in which what a partial clone lacks is missing
    rather than a fault."""
    if is_partial(repo):
        with repo.offline() as beside:
            yield beside
    else:
        yield repo


def root_uri(repo: Repo) -> str:
    """Return the folder below which all artifacts of a repository lie: its plain path, as MLflow
    itself writes it, where that means the same to MLflow."""
    path = repo.state_dir / "mlflow"
    return path.as_uri() if os.name == "nt" or "%" in str(path) else str(path)
