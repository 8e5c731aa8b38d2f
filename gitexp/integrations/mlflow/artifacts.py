"""The folders of MLflow's runs and models: plain ones, that everybody may read and write by path.

    .git/gitexp/mlflow/EXPERIMENT/RUN/artifacts          what ``mlflow.get_artifact_uri()`` says
    .git/gitexp/mlflow/EXPERIMENT/models/ID/artifacts    the same of a model
    .git/gitexp/mlflow/EXPERIMENT/RUN/commit             whose files the folder has, all of them

While a run goes on, its own folder has links there, so whoever records it takes along what the
limits allow; the rest lies here alone. In another clone, and where it was removed, a folder is
filled from git when MLflow asks for its run or model.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from mlflow.utils.file_utils import local_file_uri_to_path

from gitexp.integrations.mlflow import contents, uris
from gitexp.repo import Repo, files

_MARK = "commit"


def link(run: Path, tree: str, address: str) -> None:
    """Have what a run that goes on has at the path ``tree`` lie at an address.

    Args:
        run: the folder of the run; what it has there already moves.
    """
    target, here = _folder(address), run / "artifacts" / tree
    target.mkdir(parents=True, exist_ok=True)
    (target.parent / _MARK).unlink(missing_ok=True)
    if here.exists():
        aside = here.rename(run / "aside")
        shutil.copytree(aside, target, copy_function=os.replace, dirs_exist_ok=True)
        shutil.rmtree(aside)
    try:
        _point(here, target)
    except FileExistsError:  # a thread that logs made it anew
        link(run, tree, address)


def show(run: Path, tree: str, address: str) -> None:
    """Let an address show what a run that goes on has, where it is not the run's own place."""
    target, there = _folder(address), run / "artifacts" / tree
    if there.exists() and not target.exists():
        target.unlink(missing_ok=True)
        _point(target, there)


def fill(repo: Repo, commit: str, tree: str, address: str) -> None:
    """Give a folder what an experiment's commit has and it lacks: all, where it was another's."""
    target = _folder(address)
    mark = target.parent / _MARK
    known = files.read_bytes(mark)
    if known == commit.encode() and target.is_dir():
        return
    if target.is_symlink():  # to the folder of a run that is over
        target.unlink()
    target.mkdir(parents=True, exist_ok=True)
    experiment = contents.of_commit(repo, commit)
    if experiment is None:  # removed a moment ago
        return
    top = f"{experiment.inside(tree)}/"
    places = {
        path: target / path.removeprefix(top)
        for path in contents.artifacts(experiment)
        if path.startswith(top) and "\n" not in path
    }
    lacking = {path: place for path, place in places.items() if known or not place.exists()}
    whole = True
    with uris.lenient(repo) as beside:
        objects = beside.objects(f"{commit}:{path}" for path in lacking)
        for place, item in zip(lacking.values(), objects):
            if item is not None and item.kind == "blob":
                files.replace(target.parent, place, item.data)
            else:  # a partial clone; the next time, perhaps
                whole = False
    if whole:
        files.replace(target.parent, mark, commit.encode())


def _folder(address: str) -> Path:
    return Path(local_file_uri_to_path(address))


def _point(path: Path, target: Path) -> None:
    """Make a path a link to a folder, such that both can move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        import _winapi

        _winapi.CreateJunction(str(target), str(path))
    else:
        path.symlink_to(os.path.relpath(target, path.parent), target_is_directory=True)
