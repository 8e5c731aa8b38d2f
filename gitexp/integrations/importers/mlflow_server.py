"""The runs of an MLflow server, over its REST API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gitexp.formats import mlflow_words as convert
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers import mlflow
from gitexp.integrations.mlflow.client import CONNECTIONS, Server


def on_server(server: Server, limit: int) -> mlflow.Store:
    """Return how the runs of a server are read; artifacts of more than ``limit`` bytes stay
    there."""
    names: dict[str, tuple[str, ...]] = {}

    def runs() -> Iterator[mlflow.Stored]:
        experiments = {id: name for name, id in server.experiments().items()}
        for item in server.runs([*experiments], ""):
            names[item.id] = item.metrics
            yield replace(item, experiment=experiments.get(item.experiment, ""))

    def points(run: str) -> Iterator[MetricPoint]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            histories = pool.map(lambda key: list(server.history(run, key)), names[run])
            for name, rows in zip(map(convert.name, names[run]), histories):
                for value, at, step in sorted(rows, key=lambda row: (row[2], row[1])):
                    yield MetricPoint(name, convert.metric_value(value), at, step)

    return mlflow.Store(
        server.uri, runs, points, lambda item, place: _fetch(server, limit, item, place)
    )


def _fetch(server: Server, limit: int, item: mlflow.Stored, place: Path) -> Path | None:
    if not item.artifacts.startswith("mlflow-artifacts:"):
        folder = mlflow.local(item.artifacts)
        if folder is None and any(server.files(item.id)):
            raise UsageError(
                f"its artifacts lie at '{item.artifacts}', and only MLflow brings them: mlflow"
                " artifacts download"
            )
        return folder
    for path, size in server.files(item.id):
        target = place / path
        outside = target.is_absolute() and not target.is_relative_to(place)
        if outside or ".." in Path(path).parts:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if size <= limit:
            target.write_bytes(server.download(item.artifacts, path))
        else:
            with open(target, "wb") as file:
                # a hole of that size, so that it is told as what is too large
                file.truncate(size)
    return place
