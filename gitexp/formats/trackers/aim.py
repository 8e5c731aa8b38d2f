"""Aim's runs (3.29.1), read by Aim itself from a copy of its repository: the values lie in RocksDB,
and reading them in place would write there.

Aim's own reader finds a run only when it is in an index, which ``aim up`` writes; the copy gets
one.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gitexp.formats.errors import FormatError
from gitexp.formats.extras import needed
from gitexp.formats.trackers.found import Row, Run, is_database, moment, points, shown


def read(path: Path) -> Iterator[Run]:
    """Yield the runs of a repository, by the database in its folder ``.aim``; raises FormatError
    where it is none, of which Aim would make one."""
    aim = needed("aim", "reading runs of Aim", "aim")
    if not (is_database(path) and (path.parent / "meta").is_dir()):
        raise FormatError("it is not a repository of Aim")
    with tempfile.TemporaryDirectory(prefix="gitexp-") as folder:
        shutil.copytree(path.parent, Path(folder, ".aim"))
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
            repo = aim.Repo(folder)
            repo._recreate_index()
        for run in repo.iter_runs():
            yield _run(path, run)
        repo.close()


def _run(path: Path, run: Any) -> Run:
    given = dict(run.get(...))
    status = "finished" if run.end_time else "killed"
    return Run(
        run.hash,
        run.name if not run.name.startswith("Run: ") else run.hash[:10],
        moment(run.creation_time),
        points(_values(run)),
        {**given.pop("hparams", {}), **{k: v for k, v in given.items() if k[:2] != "__"}},
        status,
        run.duration if run.end_time else None,
        run.description or "",
        tuple(run.tags),
        run.experiment,
        where=shown(path.parent),
    )


def _values(run: Any) -> Iterator[Row]:
    """Yield the values; a metric's context comes before its name."""
    for metric in run.metrics():
        context: Mapping[str, Any] = metric.context.to_dict()
        name = "/".join([*map(str, context.values()), metric.name])
        if not name.startswith("__system__"):
            for step, (value, _, at) in metric.data.items():
                yield name, value, at * 1000, step
