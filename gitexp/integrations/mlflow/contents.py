"""What git has of experiments that MLflow is to know: their files, what MLflow said of them, and
what people edited in its pages since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any

from gitexp.formats import late_values, message, params, result_files
from gitexp.formats import mlflow_words as convert
from gitexp.formats.experiment import Experiment, MetricPoint
from gitexp.integrations.mlflow.uris import RUN_FACTS
from gitexp.repo import Repo, trees
from gitexp.store import histories
from gitexp.store.index import Index

_CUT = 1000  # characters; a param's text that is longer is cut in the summary


@dataclass(frozen=True)
class Contents:
    """An experiment with what was read of it."""

    experiment: Experiment
    body: str  # the note in its commit message
    files: Mapping[str, bytes]  # by their paths, without those that this clone lacks
    is_whole: bool  # whether it lacks none of those that were asked for

    @cached_property
    def run_facts(self) -> dict[str, Any]:
        """What MLflow said of the run (``run_file.py``); empty where it logged none."""
        with suppress(ValueError, RecursionError):
            value = json.loads(self.files.get(self.experiment.inside(RUN_FACTS), b""))
            return value if isinstance(value, dict) else {}
        return {}

    @property
    def edits(self) -> list[dict[str, Any]]:
        """What was edited in MLflow since the recording, in its order (``behind.py``)."""
        events = self.experiment.extra.get("events", ())
        return [event["mlflow"] for event in events if isinstance(event.get("mlflow"), dict)]

    def file(self, path: str) -> bytes:
        """Return a file; raise FormatError where this clone lacks it."""
        return histories.file_of(self.files, path)

    def points(self) -> Iterator[MetricPoint]:
        """Yield all its metric values; raise FormatError where a file lacks, or is odd."""
        late = late_values.points(self.experiment.extra.get("events", ()))
        return chain(result_files.points_of(self.experiment.files, self.file), late)

    def params(self) -> Mapping[str, Any]:
        """Return the params flat: from their files where these were read, or the summary cut one;
        raise FormatError where it must be these, and they cannot be read."""
        item = self.experiment
        paths = result_files.paths(item.files, "params")
        if not _is_cut(item) and not self.files.keys() & {*paths}:
            return item.params
        nested = {path: params.load(self.file(path), path) for path in paths}
        late = late_values.params(item.extra.get("events", ()))
        return {**result_files.params_of(nested), **late}

    def spelt(self, flat: Mapping[str, Any]) -> dict[str, str]:
        """Return the texts of params: as MLflow wrote them, ``1e5`` and not ``100000.0``."""
        known = texts(self.run_facts.get("params"))
        late = [texts(edit.get("params")) for edit in self.edits]
        found = {name: known.get(name, convert.param_text(value)) for name, value in flat.items()}
        return {name: text for some in (found, *late) for name, text in some.items()}


def of_commit(repo: Repo, commit: str) -> Experiment | None:
    """Return the experiment of a commit; None where it was removed."""
    found = Index(repo).select(
        'tag."commit" = ?', [commit], "ref.mine DESC", limit=1, everybody=True
    )
    return found[0] if found else None


def artifacts(experiment: Experiment) -> list[str]:
    """Return the paths of what was logged as artifacts, as far as they are paths: the list may be
    anybody's."""
    listed = experiment.extra.get("artifacts")
    listed = listed if isinstance(listed, list) else []
    return [path for path in listed if isinstance(path, str) and trees.is_path(path)]


def paths(experiment: Experiment) -> list[str]:
    """Return the files that say what an MLflow run is: its metrics, what MLflow said of it, and its
    params where the summary cut one."""
    return [
        *result_files.paths(experiment.files),
        *([experiment.inside(RUN_FACTS)] if "mlflow" in experiment.extra else ()),
        *(result_files.paths(experiment.files, "params") if _is_cut(experiment) else ()),
    ]


def read(
    repo: Repo, experiments: Sequence[Experiment], wanted: Sequence[Sequence[str]]
) -> Iterator[Contents]:
    """Yield each experiment with the files that are wanted of it, all through one git process."""
    asked = [[*dict.fromkeys(path for path in some if "\n" not in path)] for some in wanted]
    objects = repo.objects(
        name
        for item, some in zip(experiments, asked)
        for name in (item.id, *(f"{item.id}:{path}" for path in some))
    )
    for item, some in zip(experiments, asked):
        commit, *found = islice(objects, 1 + len(some))
        text = commit.data.decode("utf-8", "replace").partition("\n\n")[2] if commit else ""
        files = {path: blob.data for path, blob in zip(some, found) if blob and blob.kind == "blob"}
        yield Contents(item, message.body(text), files, len(files) == len(some))


def texts(value: Any) -> dict[str, str]:
    """Return the texts of a mapping; everything else that somebody may have written there is passed
    over."""
    items = value.items() if isinstance(value, dict) else ()
    return {key: text for key, text in items if isinstance(text, str)}


def _is_cut(experiment: Experiment) -> bool:
    values = experiment.params.values()
    return any(isinstance(value, str) and len(value) > _CUT for value in values)
