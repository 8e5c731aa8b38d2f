"""What Python programs ask of a repository: ``gitexp.experiments()`` and ``gitexp.get``."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gitexp.formats import settings
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo
from gitexp.store import query, reference
from gitexp.store.columns import FACTS
from gitexp.store.index import Index

if TYPE_CHECKING:
    import pandas as pd


Folder = str | os.PathLike[str]


def experiments(
    where: str | None = None,
    sort: str | None = None,
    repo: Folder | None = None,
    everybody: bool = False,
) -> pd.DataFrame:
    """Return all experiments as a DataFrame, one row each, newest first.

    Its columns are name, id, status, started (UTC), duration, author, branch, group, labels and
    subject, then one ``params.*`` for each param and one ``metrics.*`` for each metric.

    Args:
        where: only those for which it holds: ``"lr < 0.1 and label = conv"``; see ``gitexp list
            --help``.
        sort: ``"rmse"``, ``"lr:desc"``, or several with commas between them.
        repo: a folder in the repository, by default the current one.
        everybody: also those of other projects here, and those that lie on remotes.

    Raises:
        UsageError: ``where`` or ``sort`` is malformed, or names what no experiment has.
        RepositoryError: there is no repository.
    """
    import pandas as pd

    index, chosen = opened(repo)
    condition, _ = query.in_reach(index, query.where(index, where), everybody)
    order = query.order(query.sort(index, sort, chosen.metrics))
    found = index.columns(
        FACTS[:9], condition.text, [*condition.values, *order.values], order.text, None, everybody
    )
    return pd.DataFrame({name: _series(name, column) for name, column in found.items()})


def get(ref: str | int, repo: Folder | None = None) -> Experiment:
    """Return one experiment: by its name, number, commit prefix, ``@`` or ``best:rmse``.

    Args:
        ref: ``exp-7``, ``7``, a commit prefix, ``@`` (the latest), ``best:rmse`` or ``worst:rmse``.
        repo: a folder in the repository, by default the current one.

    Raises:
        NotFoundError: there is none.
        UsageError: it is neither text nor a number.
    """
    index, chosen = opened(repo)
    return reference.given(index, ref, chosen)


def _series(name: str, found: Sequence[Any]) -> pd.Series:
    """Return a column as pandas has it."""
    import numpy as np
    import pandas as pd

    column: Any = np.asarray(found) if isinstance(found, array) else found
    if name == "started":
        return pd.to_datetime(pd.Series(column, dtype="int64"), unit="ms", utc=True)
    if name != "duration" and not name.startswith("metrics."):
        return pd.Series(column)
    try:
        return pd.Series(column, dtype=float)
    except OverflowError:  # a whole number beyond all floats
        return pd.Series([*map(_double, column)], dtype=float)


def _double(value: float | None) -> float:
    try:
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.inf if value and value > 0 else -math.inf


def opened(folder: Folder | None) -> tuple[Index, settings.Settings]:
    """Return the index and the settings of the repository that ``folder`` lies in."""
    repo = Repo.discover(folder or ".")
    return Index(repo), settings.load(repo.root, repo.project)
