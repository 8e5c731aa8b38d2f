"""``gitexp.push()`` and ``gitexp.pull()``: what the command line does, for Python programs."""

from __future__ import annotations

from collections.abc import Sequence

from gitexp.formats.experiment import Experiment
from gitexp.formats.message import each
from gitexp.repo import Repo
from gitexp.store import reference
from gitexp.store.api import Folder, opened
from gitexp.store.remote import sync
from gitexp.store.remote.sync import Pulled, Pushed


def push(
    experiments: Sequence[str | int | Experiment] = (),
    *,
    remote: str | None = None,
    tags: bool | None = None,
    branch: bool = True,
    dry_run: bool = False,
    data: bool = True,
    repo: Folder | None = None,
) -> Pushed:
    """Send experiments that a git remote does not have yet, with their branch, labels and notes.

    Args:
        experiments: only these, by name or as objects, and no branch; by default all of this clone.
        remote: the name of a remote; None takes the one that ``git push`` would.
        tags: whether each gets a tag there; None leaves it to the settings.
        branch: whether the branch that was advanced may go.
        dry_run: ask the remote, and change nothing.
        data: send the data that DVC tracks to its remote first.
        repo: a folder in the repository, by default the current one.

    Raises:
        NotFoundError: there is no such experiment.
        UsageError: there is no such remote, or an experiment is not of this clone.
        GitError: the remote cannot be reached or refuses; nothing was changed.
    """
    index, known = opened(repo)
    chosen = [reference.given(index, item, known) for item in each(experiments)]
    return sync.push(index, remote, chosen, tags=tags, branch=branch, dry_run=dry_run, data=data)


def pull(
    *, remote: str | None = None, prune: bool = False, data: bool = True, repo: Folder | None = None
) -> Pulled:
    """Bring everybody's experiments, labels and notes from a git remote, under names of their own.

    Args:
        remote: the name of a remote; None takes the one that ``git push`` would.
        prune: forget what is gone on the remote.
        data: bring the data that DVC tracks into its cache.
        repo: a folder in the repository, by default the current one.

    Raises:
        UsageError: there is no such remote.
        GitError: the remote cannot be reached; nothing was changed.
    """
    return sync.pull(Repo.discover(repo or "."), remote, prune=prune, data=data)
