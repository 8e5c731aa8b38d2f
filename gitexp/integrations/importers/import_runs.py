"""``gitexp.import_runs``: from Python what ``gitexp import`` does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitexp.formats import settings
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import each
from gitexp.formats.trackers import mlflow, tensorboard, tools, wandb
from gitexp.formats.trackers.found import Found, Unread
from gitexp.integrations.importers import dvc_experiments, git_history, record
from gitexp.repo import Repo
from gitexp.store.index import Index

KINDS = ("git", "dvc", "mlflow", "wandb", "tensorboard", *tools.TOOLS)


@dataclass(frozen=True)
class Imported:
    """How an import went.

    Attributes:
        experiments: those that are new, oldest first.
        known: how many runs were recorded already.
        unread: what could not be read, and why.
    """

    experiments: tuple[Experiment, ...]
    known: int
    unread: tuple[Unread, ...]


def import_runs(
    kind: str,
    where: str | os.PathLike[str] | None = None,
    *,
    paths: Sequence[str] = (),
    since: str | None = None,
    remotes: bool = False,
    experiment: str | None = None,
    repo: str | os.PathLike[str] | None = None,
) -> Imported:
    """Make experiments of history, or of another tool's runs on this disk; again, and only what is
    new is added.

    Args:
        kind: ``git`` or ``dvc``, which are in the repository, or ``mlflow``, ``wandb``,
            ``tensorboard`` or a tool of ``gitexp import --help``.
        where: the folder or file that the runs lie in.
        paths, since, remotes: for git, as the options of ``gitexp import git``.
        experiment: for MLflow, the experiment whose runs are wanted.
        repo: a folder in the repository, by default the current one.

    Raises:
        UsageError: there is no such kind, or there are no runs at ``where``.
        MissingExtraError: the package that reads this kind is not installed.
        RepositoryError: there is no repository, or it cannot be written.
    """
    if kind not in KINDS or (where is None) != (kind in ("git", "dvc")):
        raise UsageError(
            f"'{kind}' and a folder do not go together; git and dvc take none, the others do:"
            f" {', '.join(KINDS)}"
        )
    here = Repo.discover(repo or ".")
    index = Index(here)
    known, outcome = record.Known(index), record.Outcome()
    if kind == "git":
        found: Iterable[Found] = git_history.find(
            here, known.commits, paths=each(paths), since=since, remotes=remotes
        )
    else:
        found = _runs(here, kind, Path(where or "."), known, experiment)
    new = record.new(found, known, outcome)
    limit = settings.load(here.root, here.project).max_file_size
    made = tuple(record.record(index, new, outcome, limit))
    return Imported(made, outcome.known, tuple(outcome.unread))


def _runs(
    repo: Repo, kind: str, where: Path, known: record.Known, experiment: str | None
) -> Iterable[Found]:
    if kind == "dvc":
        return dvc_experiments.find(repo, known.commits)
    if kind == "mlflow":
        return mlflow.find(mlflow.on_disk(str(where)), experiment)
    if kind in tools.TOOLS:
        return tools.find(kind, where)
    return wandb.find(where) if kind == "wandb" else tensorboard.find(where)
