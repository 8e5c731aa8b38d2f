"""The logged values of many experiments: one by one, or together as a DataFrame."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gitexp.formats import frames, late_values, message, metrics, result_files
from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import Experiment, MetricPoint
from gitexp.formats.message import each
from gitexp.repo import Repo
from gitexp.store import query
from gitexp.store.api import Folder, opened

if TYPE_CHECKING:
    import pandas as pd

Unread = list[tuple[str, str]]  # an experiment's name, and why a file of it is missing


def histories(
    where: str | None = None,
    metrics: Iterable[str] | None = None,
    repo: Folder | None = None,
    everybody: bool = False,
) -> pd.DataFrame:
    """Return every logged value of all experiments as one DataFrame, newest experiment first.

    Its columns are experiment and name (categories), value, timestamp (UTC) and step.

    Args:
        where: only those for which it holds, as in ``experiments``.
        metrics: only these.
        repo: a folder in the repository, by default the current one.
        everybody: also those of other projects here, and those that lie on remotes.

    Raises:
        UsageError: ``where`` is malformed, or names what no experiment has.
        NotFoundError: no experiment has such a metric.
        RepositoryError: there is no repository.
    """
    import warnings

    import pandas as pd

    index, _ = opened(repo)
    names = None if metrics is None else each(metrics)
    wanted = names and [query.find_metric(index, name).name for name in names]
    condition, _ = query.in_reach(index, query.where(index, where), everybody)
    unread: Unread = []
    items = index.select(condition.text, condition.values, everybody=everybody)
    found = together(index.repo, items, unread)
    for name, why in unread:
        said = f"gitexp: the values of {name} are missing: {why}"
        warnings.warn(said, RuntimeWarning, stacklevel=2)
    chosen = found if wanted is None else found[found["name"].isin(wanted)].reset_index(drop=True)
    return chosen.assign(
        timestamp=pd.to_datetime(chosen["timestamp"], unit="ms", utc=True, errors="coerce")
    )


def points(
    repo: Repo, experiments: Sequence[Experiment], unread: Unread
) -> Iterator[tuple[Experiment, MetricPoint]]:
    """Yield every logged value of every experiment, in the order of the experiments and of their
    files."""
    for item, files in files_of(repo, experiments, "metrics"):
        yield from ((item, point) for point in points_of(item, files, unread))


def together(repo: Repo, experiments: Sequence[Experiment], unread: Unread) -> pd.DataFrame:
    """Return every logged value of every experiment: experiment, name, value, timestamp (ms) and
    step.

    The files in which nothing is odd are parsed as one.
    """
    import pandas as pd

    plain: dict[int, bytes] = {}
    odd: dict[int, pd.DataFrame] = {}

    def slowly(at: int, files: Mapping[str, bytes]) -> None:
        odd[at] = pd.DataFrame(
            points_of(experiments[at], files, unread), columns=[*MetricPoint._fields]
        )

    for at, (item, files) in enumerate(files_of(repo, experiments, "metrics")):
        data = files.get(frames.path(item) or "", b"")
        if data.startswith(metrics.HEADER) and data.endswith(b"\n"):
            plain[at] = data[len(metrics.HEADER) :]
        else:
            slowly(at, files)
    counts = [rows.count(b"\n") for rows in plain.values()]
    text = b"".join([metrics.HEADER, *plain.values()])
    frame = frames.read(text)
    if frame is None or sum(counts) != len(frame) or text.count(b"\r") != text.count(b"\r\n"):
        for at, rows in plain.items():
            slowly(at, {frames.path(experiments[at]) or "": metrics.HEADER + rows})
        plain, counts, frame = {}, [], None
    tables = [*([] if frame is None else [frame]), *odd.values()]
    sizes = [*counts, *map(len, odd.values())]
    return _joined([item.name for item in experiments], tables, [*plain, *odd], sizes)


def _joined(
    names: list[str], tables: list[pd.DataFrame], places: list[int], sizes: list[int]
) -> pd.DataFrame:
    """Return tables as one, in the order of the experiments: ``sizes[i]`` rows are those of
    ``names[places[i]]``."""
    import numpy as np
    import pandas as pd

    empty = pd.DataFrame(columns=[*MetricPoint._fields])
    joined = tables[0] if len(tables) == 1 else pd.concat(tables or [empty], ignore_index=True)
    owners = pd.Categorical.from_codes(
        np.repeat(np.array(places, int), np.array(sizes, int)), pd.Index(names, dtype="str")
    )
    joined.insert(0, "experiment", pd.Series(owners))
    joined["name"] = joined["name"].astype("category")
    if len(tables) == 1:
        return joined
    return joined.sort_values("experiment", kind="stable", ignore_index=True)


def points_of(
    item: Experiment, files: Mapping[str, bytes], unread: Unread
) -> Iterator[MetricPoint]:
    """Yield every logged value of an experiment from its files, one by one."""
    try:
        yield from result_files.points_of(item.files, functools.partial(file_of, files))
        yield from late_values.points(item.extra.get("events", ()))
    except FormatError as error:
        unread.append((item.name, str(error)))


def files_of(
    repo: Repo, experiments: Sequence[Experiment], kind: str
) -> Iterator[tuple[Experiment, dict[str, bytes]]]:
    """Yield the params or metrics files of each experiment by their paths, without those that this
    clone lacks."""
    wanted = [
        [path for path in result_files.paths(item.files, kind) if "\n" not in path]
        for item in experiments
    ]
    objects = repo.objects(
        f"{item.id}:{path}" for item, paths in zip(experiments, wanted) for path in paths
    )
    for item, paths in zip(experiments, wanted):
        found = zip(paths, [next(objects) for _ in paths])
        yield item, {path: blob.data for path, blob in found if blob and blob.kind == "blob"}


def file_of(files: Mapping[str, bytes], path: str) -> bytes:
    if path not in files:
        raise FormatError(
            f"its {message.one_line(path)} is not in this clone; to get it: gitexp pull --all-files"
        )
    return files[path]
