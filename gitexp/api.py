"""What Python programs call: ``gitexp.experiments()``, ``get`` and ``diff``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitexp import query, reference, settings
from gitexp.columns import Coded
from gitexp.experiment import Experiment
from gitexp.index import Index
from gitexp.repo import Repo

if TYPE_CHECKING:
    import pandas as pd

    from gitexp.difference import Diff

Folder = str | os.PathLike[str]


def log(
    params: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    *,
    message: str | None = None,
    note: str = "",
    labels: Iterable[str] = (),
    name: str | None = None,
    group: str | None = None,
    status: str = "finished",
    artifacts: Iterable[Folder] = (),
    advance: bool | None = None,
    inputs: Iterable[Folder] = (),
    sign: bool | None = None,
    repo: Folder | None = None,
) -> Experiment:
    """Record the work tree as it is now, with what was measured, as one experiment.

    Args:
        params: a mapping, nested as you like.
        metrics: ``{"rmse": 18.2}``; a list is a series with steps from 0.
        advance: whether the branch may move onto it; None leaves it to the settings.
        inputs: data files that the result depends on; their hashes are recorded.
        sign: have git sign the tag; None leaves it to the settings.

    Raises:
        UsageError: a metric is no number, or a name, label or status cannot be one.
        RepositoryError: there is no repository, or git cannot write to it; nothing was recorded.
    """
    import time

    from gitexp import metrics as points
    from gitexp import params as mappings
    from gitexp import record

    here = Repo.discover(repo or ".")
    known = settings.load(here.root)
    entry = record.check(
        here,
        given=mappings.plain(params or {}),
        points=points.from_mapping(metrics or {}, int(time.time() * 1000)),
        artifacts=[Path(file) for file in artifacts],
        limit=known.max_file_size,
    )
    recorded, _ = record.log(
        here,
        entry,
        known=known,
        message=message,
        note=note,
        labels=labels,
        name=name,
        group=group,
        status=status,
        advance=advance,
        inputs=inputs,
        sign=sign,
    )
    for text in recorded.warnings:
        import warnings

        warnings.warn(f"gitexp: {text}", RuntimeWarning, stacklevel=2)
    return recorded.experiment


_FIRST = ("name", "id", "status", "started", "duration", "author", "branch", "group", "labels", "subject")


def experiments(where: str | None = None, sort: str | None = None, repo: Folder | None = None, everybody: bool = False) -> pd.DataFrame:
    """Return all experiments as a DataFrame, one row each, newest first.

    Its columns are name, id, status, started (UTC), duration, author, branch, group, labels and subject, then one
    ``params.*`` for each param and one ``metrics.*`` for each metric.

    Args:
        where: only those for which it holds: ``"lr < 0.1 and label = conv"``; see ``gitexp list --help``.
        sort: ``"rmse"``, ``"lr:desc"``, or several with commas between them.
        repo: a folder in the repository, by default the current one.
        everybody: also those that lie on remotes.

    Raises:
        UsageError: ``where`` or ``sort`` is malformed, or names what no experiment has.
        RepositoryError: there is no repository.
    """
    import pandas as pd

    index, chosen = _opened(repo)
    condition, order = query.where(index, where), query.order(query.sort(index, sort, chosen.metrics))
    condition = condition.within(query.ONCE) if everybody else condition
    found = index.columns(condition.text, [*condition.values, *order.values], order.text, everybody)
    found["started"] = pd.to_datetime(found["started"], unit="ms", utc=True)
    return pd.DataFrame({name: _series(found[name]) for name in dict.fromkeys([*_FIRST, *found])})


def histories(
    where: str | None = None, metrics: Iterable[str] | None = None, repo: Folder | None = None, everybody: bool = False
) -> pd.DataFrame:
    """Return every logged value of all experiments as one DataFrame, newest experiment first.

    Its columns are experiment and name (categories), value, timestamp (UTC) and step.

    Args:
        where: only those for which it holds, as in ``experiments``.
        metrics: only these.
        repo: a folder in the repository, by default the current one.
        everybody: also those that lie on remotes.

    Raises:
        UsageError: ``where`` is malformed, or names what no experiment has.
        NotFoundError: no experiment has such a metric.
        RepositoryError: there is no repository.
    """
    import warnings

    import pandas as pd

    from gitexp import export

    index, _ = _opened(repo)
    wanted = None if metrics is None else [query.find_metric(index, name).name for name in metrics]
    condition = query.where(index, where)
    condition = condition.within(query.ONCE) if everybody else condition
    unread: export.Unread = []
    found = export.histories(index.repo, index.select(condition.text, condition.values, everybody=everybody), unread)
    for name, why in unread:
        warnings.warn(f"gitexp: the values of {name} are missing: {why}", RuntimeWarning, stacklevel=2)
    chosen = found if wanted is None else found[found["name"].isin(wanted)].reset_index(drop=True)
    return chosen.assign(timestamp=pd.to_datetime(chosen["timestamp"], unit="ms", utc=True, errors="coerce"))


def get(ref: str | int, repo: Folder | None = None) -> Experiment:
    """Return one experiment: by its name, number, commit prefix, ``@`` or ``best:rmse``.

    Raises:
        NotFoundError: there is none.
    """
    index, chosen = _opened(repo)
    return reference.resolve(index, str(ref), chosen)


def diff(a: str | Experiment, b: str | Experiment | None = None, repo: Folder | None = None) -> Diff:
    """Return what differs between two experiments, or between one and the work tree where ``b`` is left out.

    Raises:
        NotFoundError: there is no such experiment.
    """
    from gitexp.difference import compare

    index, chosen = _opened(repo)
    first, second = (reference.resolve(index, item, chosen) if isinstance(item, str) else item for item in (a, b))
    assert first is not None
    return compare(index.repo, chosen, first, second)


def _series(column: Any) -> Any:
    """Return a column as pandas takes it; it finds out the type from the values that differ."""
    import pandas as pd

    return pd.Series(column.values).array.take(column.codes) if isinstance(column, Coded) else column


def _opened(folder: Folder | None) -> tuple[Index, settings.Settings]:
    repo = Repo.discover(folder or ".")
    return Index(repo), settings.load(repo.root)
