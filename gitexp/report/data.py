"""What a report says, as plain values that JSON can carry: collected here, drawn by the page."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

import gitexp
from gitexp.compare.importance import importance
from gitexp.compare.lineage import origins
from gitexp.formats import metrics
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import own_subject, portable
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.report import curves, files

_EXPLAINED = 12  # metrics for which importance is worked out; each costs a forest
_MANY = 2_000  # experiments; beyond, no importance


class Later(dict[str, Any]):
    """Values that are worked out each time that somebody asks for one, by functions."""

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(name)()


class Report(NamedTuple):
    """A report's data."""

    table: dict[str, Any]  # what the page needs at once, column by column
    details: Mapping[str, Any]  # what it needs when somebody asks: curves, files, messages


def collect(
    repo: Repo,
    settings: Settings,
    experiments: Sequence[Experiment],
    title: str = "",
    start: str = "",
    forest: bool = False,
    known: dict[Any, Any] | None = None,
) -> Report:
    """Return everything that a page says about the experiments.

    Args:
        experiments: recorded ones, and active or dead runs (``unrecorded.runs``).
        start: what the page shows when its address says nothing, written like its address
            (``view=curves&sel=exp-1``).
        forest: work out what a random forest says of the params, too.
        known: curves that were read before, which is added to.
    """
    recorded = [item for item in experiments if item.id]
    names = {
        kind: list(dict.fromkeys(name for item in experiments for name in getattr(item, kind)))
        for kind in ("params", "metrics")
    }
    explained = names["metrics"][:_EXPLAINED] if len(experiments) <= _MANY else []
    table = {
        "title": title or repo.root.name,
        "version": gitexp.__version__,
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "start": start,
        "live": 0,  # a server counts its states here
        "page": commit_page(repo.config("remote.origin.url")),
        "better": {name: metrics.direction(name, settings.metrics) for name in names["metrics"]},
        "experiments": _facts(repo, experiments),
        "params": {
            name: [cell(item.params[name]) if name in item.params else None for item in experiments]
            for name in names["params"]
        },
        "metrics": {
            name: [portable(item.metrics.get(name)) for item in experiments]
            for name in names["metrics"]
        },
        "importance": {name: importance(recorded, name, forest) for name in explained},
    }
    return Report(table, Later(_details(repo, experiments, known)))


def _facts(repo: Repo, experiments: Sequence[Experiment]) -> dict[str, Any]:
    """Return what is known of each experiment beside its values, column by column."""
    facts: dict[str, Any] = {
        key: [portable(getattr(item, key)) for item in experiments] for key in _ATTRIBUTES
    }
    found = origins(repo, [item for item in experiments if item.id])
    facts["origin"] = [one.name if (one := found.get(item.id)) else None for item in experiments]
    facts["subject"] = [*map(own_subject, experiments)]
    facts["started"] = [int(item.started.timestamp() * 1000) for item in experiments]
    facts["judged"] = [
        {key: item.judged[key] for key in _JUDGED if key in item.judged} for item in experiments
    ]
    return facts


def _details(
    repo: Repo, experiments: Sequence[Experiment], known: dict[Any, Any] | None
) -> dict[str, Callable[[], Any]]:
    """Return what makes each part, in which a run that has no commit yet has only images."""

    def trees() -> dict[str, Any]:
        made = files.collect(repo, [item for item in experiments if item.id])
        running = iter(files.add_images(made, [item for item in experiments if not item.id]))
        each = iter(made["trees"])
        return {**made, "trees": [next(each if item.id else running) for item in experiments]}

    return {
        "curves": lambda: curves.collect(repo, experiments, known=known),
        "files": trees,
        "environments": lambda: files.environments(repo, experiments),
        "messages": lambda: files.messages(repo, experiments),
    }


_ATTRIBUTES = (
    "name", "alias", "id", "parent", "status", "duration", "labels", "notes", "because", "group",
    "author", "branch", "command",
)  # fmt: skip
_JUDGED = ("verdict", "by", "because")


def cell(value: Any) -> Any:
    """Return a param for a table: numbers, booleans and text as they are, the rest as JSON."""
    if isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, float):
        return str(value)
    return json.dumps(portable(value), ensure_ascii=False)


_SSH = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w.-]+\.[\w-]+):(?P<path>[^/].*)")
_URL = re.compile(
    r"(?:https?|ssh|git)://(?:[^@/]*@)?(?P<host>[\w.-]+)(?::(?P<port>\d+))?/(?P<path>.+)"
)


def commit_page(remote: str | None) -> str | None:
    """Return the address of a commit's page with ``{}`` for its hash; None where the remote is no
    host's (a folder, a bundle)."""
    match = _URL.fullmatch(remote or "") or _SSH.fullmatch(remote or "")
    if not match:
        return None
    path = match["path"].strip("/").removesuffix(".git")
    if not re.fullmatch(r"[\w.~-]+(/[\w.~-]+)+", path):
        return None
    host = match["host"].lower()
    port = match.groupdict().get("port")
    # the port of ssh says nothing about that of the pages
    if port and (remote or "").startswith("http"):
        host = f"{host}:{port}"
    scheme = "http" if (remote or "").startswith("http:") else "https"
    commit = "-/commit" if "gitlab" in host else "commits" if host == "bitbucket.org" else "commit"
    return f"{scheme}://{host}/{path}/{commit}/{{}}"
