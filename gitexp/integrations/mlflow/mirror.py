"""Experiments as runs of an MLflow server: params, every value of every metric, tags, times, and
artifacts on request.

An experiment's run is found again by its tag ``gitexp.id``, whatever it is called and whoever
mirrored it, so doing it twice changes nothing. Where a killed client's last request still made a
second one, the half one is deleted the next time. Of a whole run only labels and notes are brought
up to date; a description that somebody edited in MLflow stays theirs.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from gitexp.formats import mlflow_words as convert
from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import Experiment, MetricPoint
from gitexp.formats.trackers.mlflow import Stored
from gitexp.integrations.mlflow import contents
from gitexp.integrations.mlflow.client import CONNECTIONS, Refusal, Server
from gitexp.integrations.mlflow.contents import Contents
from gitexp.repo import Repo

WHOLE = "gitexp.mirrored"  # on a run that lacks nothing
ARTIFACTS = "gitexp.artifacts"  # on a run that has the artifacts too
_DESCRIBED = "gitexp.described"  # the hash of the description that we wrote
# experiments that are looked for one by one; above, all that were ever mirrored are listed
_FEW = 10
Progress = Callable[[int, int], None]


class Outcome(NamedTuple):
    """The names of the experiments by what became of them; ``failed`` with the reasons."""

    created: tuple[str, ...]
    completed: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Task:
    """One experiment, the run that it has, the id of the MLflow experiment that it belongs to, and
    the artifacts that go there."""

    experiment: Experiment
    run: Stored | None
    place: str
    artifacts: list[str]

    @property
    def is_whole(self) -> bool:
        """Whether the run lacks nothing but perhaps artifacts."""
        return self.run is not None and WHOLE in self.run.tags

    @property
    def wanted(self) -> list[str]:
        """The paths of what has to be read of the experiment."""
        return [*([] if self.is_whole else contents.paths(self.experiment)), *self.artifacts]

    @property
    def came_from(self) -> str | None:
        """The id of the MLflow run that it was imported from."""
        source = self.experiment.extra.get("source")
        if not isinstance(source, Mapping) or source.get("kind") != "mlflow":
            return None
        return str(source.get("id", ""))


def mirror(
    repo: Repo,
    server: Server,
    experiments: Sequence[Experiment],
    *,
    artifacts: bool = False,
    otherwise: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Make sure that each experiment is a run on the server, whole; raise GitexpError where it
    cannot be reached, or does not let us in.

    Args:
        artifacts: store the files that were logged as artifacts, too.
        otherwise: the MLflow experiment of those without a group; by default the repository's name.
        progress: called with how many are done, and of how many.

    Raises:
        GitexpError: the server cannot be reached, or refuses the login. What went there before is
            found the next time.
    """
    # one may have two names here
    experiments = [*{convert.identity(item): item for item in reversed(experiments)}.values()][::-1]
    places = server.experiments()
    found = _runs(server, [*places.values()], experiments)
    usual = otherwise or project(repo)
    tasks = []
    for item in experiments:
        name = convert.experiment_name(item.group, usual)
        if name not in places:
            places[name] = server.create_experiment(name)
        run = found.get(convert.identity(item))
        stored = artifacts and (run is None or ARTIFACTS not in run.tags)
        tasks.append(_Task(item, run, places[name], contents.artifacts(item) if stored else []))
    read = contents.read(repo, experiments, [task.wanted for task in tasks])
    results: dict[str, list[Any]] = {kind: [] for kind in Outcome._fields}
    for done, (task, kind, why) in enumerate(_all(server, tasks, read, repository(repo)), 1):
        name = task.experiment.name
        results[kind].append((name, why) if kind == "failed" else name)
        progress(done, len(tasks))
    return Outcome(*map(tuple, results.values()))


def project(repo: Repo) -> str:
    """Return what a repository is called: as on its remote ``origin``, else as its folder."""
    url = repo.config("remote.origin.url") or ""
    return re.split(r"[/:\\]", url.rstrip("/").removesuffix(".git"))[-1] or repo.root.name


def repository(repo: Repo) -> str | None:
    """Return the web address of the remote ``origin`` without credentials, None where it has
    none."""
    url = repo.config("remote.origin.url") or ""
    if match := re.fullmatch(r"(?:ssh://)?[^@/]+@([^:/]+)(?::\d+)?[:/](.+)", url):
        return f"https://{match[1]}/{match[2]}"
    parts = urlsplit(url)
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return address if parts.scheme in ("http", "https") else None


def _runs(
    server: Server, places: Sequence[str], experiments: Sequence[Experiment]
) -> dict[str, Stored]:
    """Return the runs of experiments that were mirrored before, by identity, and delete what is
    half where there is another."""
    ids = [convert.identity(item) for item in experiments]
    asked = [f"tags.`{convert.ID}` LIKE '%'"]
    if len(ids) <= _FEW and all(re.fullmatch(r"[0-9a-f]+", item) for item in ids):
        asked = [f"tags.`{convert.ID}` = '{item}'" for item in ids]
    there: dict[str, list[Stored]] = {identity: [] for identity in ids}
    for condition in asked if places else ():
        for run in server.runs(places, condition, "ALL"):
            if WHOLE in run.tags or not run.deleted:
                there.get(run.tags.get(convert.ID, ""), []).append(run)
    found: dict[str, Stored] = {}
    for identity, runs in there.items():
        for run in sorted(runs, key=lambda run: (WHOLE not in run.tags, run.deleted)):
            if found.setdefault(identity, run) is not run and WHOLE not in run.tags:
                server.delete_run(run.id)
    return found


def _all(
    server: Server, tasks: Sequence[_Task], read: Iterable[Contents], address: str | None
) -> Iterator[tuple[_Task, str, str]]:
    """Do all tasks, some at a time, and yield each with which of Outcome's kinds became of it, and
    why it failed."""
    pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="mlflow")
    going: deque[tuple[_Task, Future[str]]] = deque()
    try:
        for task, found in zip(tasks, read):
            going.append((task, pool.submit(_do, server, task, found, address)))
            if len(going) >= 4 * CONNECTIONS:  # git is read no further ahead than that
                yield _result(*going.popleft())
        while going:
            yield _result(*going.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result(task: _Task, future: Future[str]) -> tuple[_Task, str, str]:
    try:
        return task, future.result(), ""
    except (Refusal, FormatError) as error:
        return task, "failed", str(error)


def _do(server: Server, task: _Task, found: Contents, address: str | None) -> str:
    """Bring one experiment's run to what it should be, and return which of Outcome's kinds that
    was."""
    if task.run.deleted if task.run else task.came_from and server.has_run(task.came_from):
        return "unchanged"  # also where somebody deleted it there
    tags = convert.tags(task.experiment, address, found.body)
    if convert.NOTE in tags:
        tags[_DESCRIBED] = _hash(tags[convert.NOTE])
    if task.run is not None and task.is_whole:
        run, artifacts = task.run.id, task.run.artifacts
        kind = "updated" if _update(server, task.run, tags) else "unchanged"
    else:
        kind = "created" if task.run is None else "completed"
        run, artifacts = _log(server, task, found, tags)
    status = convert.run_status(task.experiment.status)
    if task.run is None or task.run.end is None or task.run.status != status:
        server.end_run(run, status, _end(task.experiment))
        kind = "completed" if kind == "unchanged" else kind
    if task.artifacts:
        for path in task.artifacts:
            server.upload(artifacts, path, found.file(path))
        server.log(run, {}, (), {ARTIFACTS: "yes"})
        kind = "updated" if kind == "unchanged" else kind
    return kind


def _log(server: Server, task: _Task, found: Contents, tags: Mapping[str, str]) -> tuple[str, str]:
    """Give a run all values that it lacks, a new one where there is none, and return its id and
    where its artifacts go."""
    experiment = task.experiment
    points = [*found.points()]
    given = {convert.key(name): text for name, text in found.spelt(found.params()).items()}
    if task.run is None:
        start = max(0, int(experiment.started.timestamp() * 1000))
        run, artifacts = server.create_run(task.place, experiment.name, start, tags)
    else:
        run, artifacts = task.run.id, task.run.artifacts
        points = _missing(server, task.run, points)
        given = {key: value for key, value in given.items() if key not in task.run.params}
    try:
        server.log(run, given, points, {WHOLE: "yes"})
    except Refusal:
        most = convert.OLD_PARAM_LENGTH
        shorter = {key: convert.cut(value, most) for key, value in given.items()}
        if shorter == given:
            raise
        server.log(run, shorter, points, {WHOLE: "yes"})
    return run, artifacts


def _update(server: Server, run: Stored, tags: Mapping[str, str]) -> bool:
    """Bring a whole run's labels and description up to date; return whether there was something to
    do."""
    news: dict[str, str] = {}
    if tags.get(convert.LABELS) != run.tags.get(convert.LABELS):
        if convert.LABELS in tags:
            news[convert.LABELS] = tags[convert.LABELS]
        else:
            server.remove_tag(run.id, convert.LABELS)
    there = run.tags.get(convert.NOTE, "")
    is_ours = _hash(there) == run.tags.get(_DESCRIBED) if there else True
    if is_ours and convert.NOTE in tags and tags[convert.NOTE] != there:
        news |= {convert.NOTE: tags[convert.NOTE], _DESCRIBED: tags[_DESCRIBED]}
    if news:
        server.log(run.id, {}, (), news)
    return bool(news) or (convert.LABELS in run.tags and convert.LABELS not in tags)


def _missing(server: Server, run: Stored, points: Sequence[MetricPoint]) -> list[MetricPoint]:
    """Return the points that a run does not have yet. Databases drop what comes twice, a store of
    files would keep it."""
    known = {
        (key, *convert.metric_row(value), stamp, step)
        for key in run.metrics
        for value, stamp, step in server.history(run.id, key)
    }
    return [point for point in points if _identity(point) not in known]


def _identity(point: MetricPoint) -> tuple[str, float, bool, int, int]:
    item = convert.metric_json(point)
    return item["key"], *convert.metric_row(point.value), item["timestamp"], item["step"]


def _end(experiment: Experiment) -> int:
    end = experiment.started + timedelta(seconds=max(0.0, min(experiment.duration or 0.0, 1e9)))
    return max(1, int(end.timestamp() * 1000))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
