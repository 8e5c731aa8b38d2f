"""MLflow's runs of this process as runs of gitexp: the same snapshot, journal and recording as
``gitexp run``.

The first MLflow run inside a run that goes on already (``gitexp run``, ``gitexp.start_run``) is
that run; further ones and nested ones are children, recorded at their end beside the branch. Any
other MLflow run is a run of its own. It is recorded a little after MLflow calls it finished
(``Run.end_later``): scikit-learn's scores and system metrics come after that.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitexp.formats import mlflow_words as convert
from gitexp.formats.experiment import MetricPoint
from gitexp.integrations.mlflow import run_file
from gitexp.integrations.mlflow.tables import DELETED
from gitexp.repo import Repo
from gitexp.runs import active, deferred, exit_status, multirun, notebook, start
from gitexp.runs.details import Details
from gitexp.runs.run import Run, join

CHILD = "it is a child of another run"
_BORN = os.getpid()


@dataclass(eq=False)
class Running:
    """An MLflow run that goes on."""

    id: str  # MLflow's
    run: Run  # what is logged goes here
    ours: bool  # MLflow's end of it is its end; a joined run ends when its owner says so
    parent: Run | None = None  # what it is a child of
    deleted: bool = False
    finished: bool = False

    def log_points(self, points: Iterable[MetricPoint]) -> None:
        """Journal metric values."""
        self.run.log_points(points)
        if self.finished:
            deferred.postpone(self.run.id)

    def log_params(self, texts: dict[str, str]) -> None:
        """Journal params, as numbers where their text is one, and keep the text where it cannot be
        told from the number."""
        self.run.log_params({key: _value(text) for key, text in texts.items()})
        spelt = {
            key: text for key, text in texts.items() if convert.param_text(_value(text)) != text
        }
        if spelt or not self.ours:
            self.change(lambda known: _said(known, texts, spelt))

    def set_tags(self, tags: dict[str, str | None]) -> None:
        """Set tags, or remove those that are None."""

        def by(known: dict[str, Any]) -> None:
            merged = {**known.get("tags", {}), **tags}
            known["tags"] = {key: text for key, text in merged.items() if text is not None}
            known["name"] = tags.get(convert.NAME) or known.get("name")

        self.change(by)
        if tags.get(convert.NOTE):
            self.run.set_note(str(tags[convert.NOTE]))

    def set_stage(self, stage: str) -> None:
        """Note that the run was deleted in MLflow, or restored."""
        self.deleted = stage == DELETED
        self.change(lambda known: known.update({"stage": stage}))

    def change(self, by: Callable[[dict[str, Any]], object]) -> None:
        """Change what MLflow says of the run."""
        if not self.run.silent:
            run_file.change(self.run.folder, by)

    def end(self, status: str) -> None:
        """End the run as MLflow says: at once where nobody waits for it, else at a quiet moment."""
        self.finished = True
        ours = convert.status(status) or "finished"
        if not self.ours:
            return
        at_once = (
            self.parent is not None
            or os.getpid() != _BORN
            or multiprocessing.parent_process() is not None
        )
        # MLflow's own word comes while the exception does
        passing = exit_status.status_of(sys.exc_info()[1])[1]
        error = None if ours == "finished" else passing or f"MLflow says {status}"
        if not at_once and ours == "finished":
            self.run.end_later(ours, error)
            return
        self.run.go_on()  # called finished before, and failed a moment later
        self.run.end(ours, error)

    def go_on(self) -> None:
        """Take a finished run up again that was not recorded yet."""
        if self.ours and self.finished and self.run.go_on():
            active.activate(self.run)
        self.finished = False
        self.change(lambda known: known.pop("end", None))


class Runs:
    """All MLflow runs that this process began in one repository, and those of others that it
    joined."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        self._known: dict[str, Running] = {}
        here = weakref.ref(self)
        atexit.register(lambda: _end_all(here()))
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: _in_child(here()))

    def find(self, id: str) -> Running | None:
        """Return a run that this process began or joined, and that can still be logged into."""
        found = self._known.get(id)
        return found if found is not None and not found.run.ended else None

    def join(self, id: str, folder: Path) -> Running | None:
        """Join a run that another process owns; None where it ended meanwhile."""
        with suppress(OSError):
            self._known[id] = Running(id, join(folder, self.repo), ours=False)
        return self.find(id)

    def begin(self, experiment: str, parent: str | None, known: Running | None = None) -> Running:
        """Begin a run, or join the one that goes on; it gets its id when it is added.

        Args:
            parent: MLflow's id of the run that it is a child of.
            known: that run, where it goes on.
        """
        outer = active.active_run()
        if multirun.claim() or (outer and outer.folder.parents[1] != self.repo.state_dir):
            outer = None
        if outer is not None and run_file.claim(outer.folder):
            return Running("", outer, ours=False)
        above = known.run if known else None
        begun_here = any(item.run is outer and item.ours for item in self._known.values())
        if above is None and not begun_here:
            above = outer
        unsaved = notebook.unsaved()
        if unsaved:
            warnings.warn(f"gitexp: {unsaved}", RuntimeWarning, stacklevel=2)
        child = above is not None or parent is not None
        details = Details(group=self._group(experiment, above, parent))
        beside = CHILD if child else None
        live = start.begin(self.repo, details, command=notebook.command(), beside=beside)
        run_file.claim(live.folder)
        if not child:
            active.activate(live)
        return Running("", live, ours=True, parent=above)

    def add(self, running: Running, facts: dict[str, Any], **more: Any) -> None:
        """Know a run that was begun, by MLflow's id of it.

        Args:
            facts: what it is to say of the run: that id as ``run``, the ``experiment``, and more.
            more: what else its experiment is to say of MLflow's.
        """
        running.id = facts["run"]
        running.change(lambda known: known.update(facts))
        said = {"run": running.id, "experiment": facts["experiment"], **more}
        running.run.set_condition("mlflow", {key: value for key, value in said.items() if value})
        self._known[running.id] = running

    def _group(self, experiment: str, above: Run | None, parent: str | None) -> str | None:
        if experiment != convert.DEFAULT:
            return experiment
        if above is None:
            return f"run-{parent[:8]}" if parent else None
        return str(run_file.read(above.folder).get("name") or f"run-{above.id[:8]}")


_of: dict[Path, Runs] = {}


def of(repo: Repo) -> Runs:
    """Return this process's runs in a repository, however many stores there are."""
    if repo.state_dir not in _of:
        _of[repo.state_dir] = Runs(repo)
    return _of[repo.state_dir]


def _said(known: dict[str, Any], texts: dict[str, str], spelt: dict[str, str]) -> None:
    """Note how params were spelt, and that they are MLflow's own now where the command line had
    given them."""
    known["params"] = {
        key: text for key, text in known.get("params", {}).items() if key not in texts
    } | spelt
    known["given"] = [key for key in known.get("given", []) if key not in texts]


def _value(text: str) -> Any:
    """Return what a param's text stands for; a mapping stays text, since the name of a param of
    MLflow's is whole."""
    value = convert.param_value(text)
    return text if isinstance(value, dict) else value


def _end_all(runs: Runs | None) -> None:
    """At Python's exit: end what is open, children first; how the process ends says how they
    did."""
    for running in reversed(list(runs._known.values()) if runs else []):
        if running.ours and not running.finished and not running.run.ended:
            status, error = exit_status.at_exit()
            running.finished = True
            running.run.end(status, error)


def _in_child(runs: Runs | None) -> None:
    """In a forked child: what the parent began is the parent's to end."""
    if runs is not None:
        for running in runs._known.values():
            running.ours = False
