"""Where gitexp keeps what is MLflow's in a repository, and the addresses by which MLflow finds it.

All of it is below ``.git/gitexp/mlflow/``, where no snapshot finds it: the database (disposable,
git is the truth), the registry's database, and ``files/`` with the artifacts that are too large for
git. Artifact addresses name that folder, so they are absolute; that does no harm, because every
clone makes the database anew with addresses of its own.
"""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlparse

from gitexp.formats.errors import RepositoryError
from gitexp.repo import Repo

SCHEME = "gitexp"
RUN_FILES = ".gitexp/artifacts"  # in the tree
MODEL_FILES = ".gitexp/models"
FACE = ".gitexp/mlflow.json"
_ADDRESS = re.compile(
    r"(?P<folder>.*/gitexp/mlflow)/[^/]+/(?:(?P<kind>models|traces)/)?(?P<id>[\w-]+)"
    r"(?P<top>/artifacts(?:/(?P<below>.*))?)?"
)


class Address(NamedTuple):
    """What an artifact address means.

    Attributes:
        folder: ``.git/gitexp/mlflow`` of the repository.
        kind: ``runs``, ``models`` or ``traces``.
        id: MLflow's id of the run, model or trace.
        below: the path below its artifacts, or an empty text.
        above: the address is that of the folder above, where MLflow looks for ``artifacts`` when it
            is asked for the root of a run.
    """

    folder: Path
    kind: str
    id: str
    below: str
    above: bool = False


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


def folder(repo: Repo) -> Path:
    """Return ``.git/gitexp/mlflow``, made."""
    return repo.make_state_dir("mlflow")


def database(repo: Repo) -> Path:
    """Return the file of the tracking database."""
    return repo.state_dir / "mlflow" / "tracking.sqlite"


def root_uri(repo: Repo) -> str:
    """Return the address below which all artifact addresses of a repository lie."""
    path = (repo.state_dir / "mlflow").as_posix()
    return f"{SCHEME}://{quote(path if path.startswith('/') else f'/{path}')}"


def parse(uri: str) -> Address | None:
    """Return what an artifact address means, None where it is no such address."""
    path = unquote(urlparse(uri).path)
    found = _ADDRESS.fullmatch(path[1:] if re.match(r"/[A-Za-z]:", path) else path)
    return found and Address(
        Path(found["folder"]),
        found["kind"] or "runs",
        found["id"],
        (found["below"] or "").strip("/"),
        found["top"] is None,
    )


@lru_cache(maxsize=32)
def reading(folder: Path) -> Repo:
    """Return the repository that such a folder belongs to, for reading: it needs no work tree."""
    common = folder.parents[1]
    return Repo(common, common, common, "sha1")
