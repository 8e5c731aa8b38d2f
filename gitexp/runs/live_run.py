"""A run that is going on: its journal, what is known of it, and its end.

One process owns a run, and only the owner ends it. Others may join: forked and spawned workers, and
the scripts that ``gitexp run`` starts; what they log goes into the same journal. In distributed
training only rank 0 logs.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import threading
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from gitexp.formats import message, metrics, params, settings
from gitexp.formats.errors import GitexpError, MissingExtraError, UsageError
from gitexp.formats.experiment import Experiment, MetricPoint, check_status
from gitexp.repo import Repo, dvc, snapshot, untracked
from gitexp.runs import deferred, exit_status, finish, journal
from gitexp.runs.journal_writer import Journal
from gitexp.store import record


class LiveRun:
    """What the rest of gitexp calls on a run; ``Run`` has what people log with."""

    def __init__(
        self,
        repo: Repo | None,
        folder: Path | None,
        facts: dict[str, Any],
        owned: Journal | None = None,
    ) -> None:
        self.id: str = facts.get("id", "")
        self.experiment: Experiment | None = None
        self.recorded: record.Recorded | None = None
        self.unrecorded = False  # whether it ended, and waits for ``gitexp recover``
        self.snapshot: snapshot.Snapshot | None = None
        self.told: str | None = None
        self.silent = folder is None
        self.speaks = False  # of what was recorded with it: the command line does that itself
        self.owned = owned is not None  # whether this process ends and records it
        self.ended = False  # whether nothing can be logged any more
        self._repo = repo
        self._facts = facts
        self.began = monotonic()
        self._journal = owned or (Journal(folder) if folder else None)
        self._append = self._journal.append if self._journal else lambda _: None
        self._series: dict[str, list[Any]] = {}  # name: the start of its rows, and its last step
        self._lock = threading.Lock()
        self._knowing = threading.RLock()  # held by whoever changes what is known of it
        self._closing = False  # an end of it waits
        self._passing: BaseException | None = None
        self._sampler: Any = None
        if repo is not None and self._journal:
            exit_status.watch(self)
        if owned is not None and hasattr(os, "register_at_fork"):
            here = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _disown(here()))

    # -- what is known of it -----------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where the run is journaled; raises UsageError on a silent rank."""
        if self._journal is None:
            raise UsageError("this process logs nothing (its rank is not 0)")
        return self._journal.folder

    @property
    def reads_arguments(self) -> bool:
        """Whether what its command's parser arrives at counts."""
        return bool(self._facts.get("arguments", {}).get("read"))

    @property
    def going_on(self) -> bool:
        """Whether it is to be logged into without being named: no end of it came, or waits."""
        return not (self.ended or self._closing)

    def know(self, **facts: Any) -> None:
        """Replace what is known of the run; what the process that owns it says, holds."""
        with self._knowing:
            self._facts.update(facts)
            if self._journal:
                self._journal.write_facts(self._facts)

    def add_facts(self, name: str, values: Iterable[Any]) -> None:
        """Add to a list of what is known of the run: ``outputs``, or ``warnings`` for its end."""
        with self._knowing:
            if added := [*values]:
                self.know(**{name: [*self._facts.get(name, ()), *added]})

    def set_condition(self, name: str, values: Mapping[str, Any]) -> None:
        """Add to what the run depended on: ``inputs``, ``variables``, ``seed``."""
        with self._knowing:
            self.know(extra=params.merge(self._facts.get("extra", {}), {name: values}))

    def replace_conditions(self, values: Mapping[str, Any]) -> None:
        """Replace what the run depended on, for these names."""
        with self._knowing:
            self.know(extra={**self._facts.get("extra", {}), **values})

    def count_on(self, steps: Mapping[str, int]) -> None:
        """Have metrics that are logged without a step go on after these."""
        self._series.clear()
        self.know(steps=dict(steps))

    def silence(self) -> None:
        """Print no more warnings while the run lasts; its end says what could not be kept."""
        if self._journal:
            self._journal.silence()

    def _new_series(self, name: str) -> list[Any]:
        plain = metrics.check_name(name)  # one series, with and without spaces around it
        quoted, last = plain.replace('"', '""'), self._facts.get("steps", {}).get(plain, -1)
        series = self._series.setdefault(plain, [f'"{quoted}",', last])
        return self._series.setdefault(name, series)

    def _log_params(self, values: dict[str, Any]) -> None:
        if self._journal:
            with self._lock:
                self._journal.add_params(values)

    def log_points(self, points: Iterable[MetricPoint]) -> None:
        """Log metric values that have their times and steps already."""
        rows = (metrics.format_row(*point) for point in points)
        while chunk := "".join(itertools.islice(rows, 10_000)):
            self._append(chunk.encode())

    def keep(self, path: str, content: bytes | Path) -> None:
        """Keep an artifact under its path in the tree, a large one in DVC; raises UsageError."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        limit = self._facts.get("max_file_size", settings.Settings.max_file_size)
        if size <= limit:
            if self._journal:
                self._journal.write_artifact(path, content)
            return
        if self._repo is None or isinstance(content, bytes):
            sizes = f"{message.readable(size)}, over the limit of {message.readable(limit)}"
            raise UsageError(f"artifact {path} has {sizes}; raise max_file_size in the settings")
        dvc.takes(self._repo, path, size, limit)
        if self._journal is None:
            return
        try:
            pointers = dvc.keep(self._repo, {path: content})
        except MissingExtraError:
            raise
        except GitexpError as error:
            self._journal.warn(f"artifact {path} was not kept", error)
        else:
            for pointer, text in pointers.items():
                self._journal.write_artifact(pointer, text)

    # -- ending ------------------------------------------------------------------------------------

    def end(
        self, status: str = "finished", error: str | None = None, beside: str | None = None
    ) -> Experiment | None:
        """End the run and record it. In a process that only joined it, this just lets go.

        Nothing is raised for a fault of the machine: the run stays on disk, and ``gitexp recover``
        records it later.

        Args:
            status: ``finished``, ``failed`` or ``killed``.
            error: why it failed, in a line.
            beside: why the branch does not move; None leaves that to git's state.
        """
        check_status(status)
        if self.ended:
            return self.experiment
        self.ended = True
        exit_status.unwatch(self)
        if self._sampler:
            self._sampler.stop()
        if self._journal is None:
            return None
        if not self.owned:
            unkept = self._journal.unkept()
            if error or unkept:
                self.know(error=error, unkept=unkept)
            self._journal.close()
            self._journal.say_unkept()
            return None
        if beside:
            self._facts["beside"] = beside
        self._journal.silence()
        self._journal.flush()
        lasted, unkept = self._facts.get("duration") or self._elapsed(), self._journal.unkept()
        self.know(status=status, error=error, duration=lasted, unkept=unkept)
        self._journal.close()
        self._record(self._journal)
        return self.experiment

    def _record(self, closed: Journal) -> None:
        try:
            if self._repo is None:  # a trial of a sweep: whoever started it records it
                finish.gather(closed.folder)
            else:
                self.recorded = finish.record(self._repo, closed.folder)
                self.experiment = self.recorded.experiment
                closed.name = self.experiment.name
        # whatever it is: the training is over and well, and all that it logged is on disk
        except Exception as problem:
            self.unrecorded = True
            closed.say_unrecorded(problem)
        else:
            closed.say_unkept()
            if self.speaks and self.recorded and self.snapshot:
                left_out = untracked.left_out_lines(self.snapshot.left_out, self.recorded.kept)
                closed.say(*self.recorded.warnings, *left_out)
        finally:
            if self._repo is not None:  # a trial's worker may have to push it before it lets go
                closed.release()

    def end_later(
        self, status: str, error: str | None = None, quiet: float = deferred.QUIET
    ) -> None:
        """End the run, and record it when nothing came for ``quiet`` seconds (``deferred.py``);
        until then it may log. It counts as failed where Python exits through what was passing now
        (``finally: end``)."""
        if self.ended or not self.owned:
            return
        self._closing = True
        self.know(status=status, error=error, duration=self._elapsed())
        self._passing = sys.exc_info()[1]
        deferred.later(self.id, self._end_now, quiet)

    def go_on(self) -> bool:
        """Take back ``end_later``, and return whether that was still possible."""
        if self.ended or not deferred.cancel(self.id):
            return False
        self._closing = False
        self.know(status=None, error=None, duration=None)
        return True

    def _end_now(self) -> None:
        if self._passing is not None and exit_status.is_uncaught(self._passing):
            self._facts["status"], self._facts["error"] = exit_status.status_of(self._passing)
        self.end(self._facts["status"], self._facts["error"])

    def _elapsed(self) -> float:
        return monotonic() - self.began  # somebody may have set the clock meanwhile

    def discard(self) -> None:
        """End the run without recording it, as if it had never been."""
        self.ended = True
        exit_status.unwatch(self)
        if self._journal and self.owned and self._repo:
            self._journal.close()
            self._journal.release()
            self._repo.unpin(f"{finish.PENDING}{self.id}")
            if "snapshot" in self._facts:
                journal.delete(self._journal.folder)
            else:  # it lies in a folder of the caller's, where nothing looks for runs
                shutil.rmtree(self._journal.folder, ignore_errors=True)

    # -- in other processes ------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self._journal.folder if self._journal else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        folder = state["folder"]
        self.__init__(None, folder, joined(folder) if folder else {})  # type: ignore[misc]


def joined(folder: Path) -> dict[str, Any]:
    """Return what a process that joins a run has to know of it."""
    facts = journal.facts(folder)
    taken = ("id", "max_file_size", "steps")
    return {key: facts[key] for key in taken if key in facts}


def _disown(run: LiveRun | None) -> None:
    """In a forked child: it logs into the journal still, but only the parent ends the run."""
    if run is not None:
        run.owned = False
        run._lock, run._knowing = threading.Lock(), threading.RLock()
        if run._journal:
            run._journal.forget_ownership()
