"""A run that is going on, the one object that changes. It journals what is logged, and becomes an
experiment when it ends.

How one begins is in ``start.py``, and which one is this process's in ``active.py``. One process
owns a run, and only the owner ends it. Others may join: forked and spawned workers, and the scripts
that ``gitexp run`` starts; what they log goes into the same journal. In distributed training only
rank 0 logs.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gitexp.formats import metrics, params, settings
from gitexp.formats.errors import GitexpError, MissingExtraError, UsageError
from gitexp.formats.experiment import STATUSES, Experiment, MetricPoint
from gitexp.repo import Repo, dvc, snapshot
from gitexp.runs import deferred, exit_status, finish, journal
from gitexp.runs.journal import Journal
from gitexp.store import artifacts, conditions, record
from gitexp.store.notes import check_label

if TYPE_CHECKING:
    from gitexp.runs.checkpoints import Checkpoint

JOIN = "GITEXP_RUN"  # names the folder of the run that a child process is to join
ROOT = "GITEXP_ROOT"  # the work tree of that run


class Run:
    """A run that is going on.

    Attributes:
        id: random; the experiment's ``Gitexp-Id`` later.
        experiment: what it became, None until it ended (and for a process that only joined).
        told: what the user should know about the data at the start.
        silent: whether this process logs nothing, a rank other than 0.
    """

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
        self.unrecorded = False  # it ended, and waits for `gitexp recover`
        self.snapshot: snapshot.Snapshot | None = None
        self.told: str | None = None
        self.silent = folder is None
        self._repo = repo
        self._facts = facts
        self._began = monotonic()
        self._journal = owned or (Journal(folder) if folder else None)
        self._owner = owned is not None
        self._append = self._journal.append if self._journal else _nothing
        self._series: dict[str, list[Any]] = {}  # name: the start of its rows, and its last step
        self._lock = threading.Lock()
        self._ended = False
        self._closing = False  # an end of it waits
        self._passing: BaseException | None = None
        self._sampler: Any = None
        if repo is not None and self._journal:
            exit_status.watch(self)
        if owned is not None and hasattr(os, "register_at_fork"):
            here = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _disown(here()))

    # -- logging -----------------------------------------------------------------------------------

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Log one value of a metric; on disk when this returns.

        Args:
            name: what the metric is called.
            value: one real number; NaN and infinities count, NumPy and torch scalars are taken.
            step: a whole number; by itself it counts up from 0 for each metric.

        Raises:
            UsageError: the value is no number, or the name no name.
        """
        with self._lock:
            series = self._series.get(name) or self._new_series(name)
            if type(value) is not float:
                value = metrics.number(name, value)
            series[1] = at = series[1] + 1 if step is None else _whole(name, step)
            self._append(f"{series[0]}{value!r},{int(time() * 1000)},{at}\r\n".encode())

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log several metrics at once, in one write: all of them are on disk, or none.

        Args:
            values: ``{name: number}``.
            step: a whole number for all of them; by itself it counts up from 0 for each metric.
        """
        stamp = int(time() * 1000)
        checked = [(name, metrics.number(name, value)) for name, value in values.items()]
        with self._lock:
            rows = []
            for name, value in checked:
                series = self._series.get(name) or self._new_series(name)
                series[1] = series[1] + 1 if step is None else _whole(name, step)
                rows.append(f"{series[0]}{value!r},{stamp},{series[1]}\r\n")
            if rows:
                self._append("".join(rows).encode())

    def log_param(self, name: str, value: Any) -> None:
        """Log one param; a dotted name is an address (``model.depth``).

        Args:
            name: a dotted name is an address (``model.depth``).
            value: a number, text, truth value, None, list or mapping.
        """
        self._log_params(params.nest([(name.strip(), params.plain(value))]))

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log params: a mapping, nested as you like. Later ones replace earlier ones of the same
        name.

        Args:
            values: a mapping, nested as you like.

        Raises:
            UsageError: not a mapping, or nested too deep.
        """
        if not isinstance(values, Mapping):
            raise UsageError(
                f"params must be a mapping like {{'lr': 0.01}}, not {type(values).__name__}"
            )
        self._log_params(params.given(values))

    def log_artifact(self, path: str | os.PathLike[str]) -> None:
        """Keep a file (or a folder's files) with the experiment, as it is now.

        A file of the work tree keeps its path; another goes to ``.gitexp/artifacts/``. One that is
        larger than the setting ``max_file_size`` goes into DVC's cache where the repository uses
        DVC, and its pointer is kept.

        Args:
            path: a file or a folder.

        Raises:
            UsageError: there is no such file, or it is too large and there is no DVC.
        """
        source = Path(path)
        if source.is_dir():
            for file in sorted(
                item
                for item in source.rglob("*")
                if item.is_file() and ".git" not in item.relative_to(source).parts
            ):
                self.keep(artifacts.place(self._repo, file), file)
        elif source.is_file():
            self.keep(artifacts.place(self._repo, source), source)
        else:
            raise UsageError(f"there is no file '{path}' to log")

    def checkpoint(self, path: str | os.PathLike[str], step: int) -> None:
        """Keep the training's own checkpoint in this clone, for a run that goes on from it.

        The newest three stay, and ever fewer of the older ones. What a trial keeps on a machine
        that has no clone goes with its worker.

        Args:
            path: the file, or folder, that the training wrote.
            step: the step after which it was made.

        Raises:
            UsageError: there is no such file.
        """
        source = Path(path)
        at = _whole(source.name, step, "checkpoint")
        if not source.exists():
            raise UsageError(f"there is no file '{path}' to keep as a checkpoint")
        if self._journal is None or self._repo is None:
            return
        from gitexp.runs import checkpoints

        try:
            checkpoints.keep(self._repo, self.id, source, at)
        except (OSError, GitexpError) as error:
            self._journal.warn(f"the checkpoint of step {at} was not kept", error)
        else:
            self.replace_conditions({"checkpoint": at})

    def last_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint of this run or, where it has none yet, of the one that it
        resumes; None where there is none, and on a silent rank.

        The run is to go on from there: what the other had logged beyond its step is left out.
        """
        if self._journal is None or self._repo is None:
            return None
        from gitexp.runs import checkpoints, resume

        found = checkpoints.last(self._repo, self.id)
        if found:
            resume.cut(self, found)
        return found

    def log_text(self, text: str, name: str) -> None:
        """Keep a text as an artifact of that name.

        Args:
            text: what the file says.
            name: its path below ``.gitexp/artifacts/``.
        """
        self.keep(artifacts.called(name), text.encode("utf-8", "replace"))

    def log_figure(self, figure: Any, name: str) -> None:
        """Keep a figure: a Matplotlib one in the format that the name's ending says, a Plotly one
        as HTML or an image.

        Args:
            figure: a Matplotlib or Plotly figure.
            name: its path below ``.gitexp/artifacts/``; the ending says the format.
        """
        self.keep(artifacts.called(name), artifacts.rendered(figure, name))

    def log_image(self, image: Any, name: str, step: int | None = None) -> None:
        """Keep an image as ``images/NAME/STEP.png`` below ``.gitexp/artifacts/``.

        Args:
            image: one of Pillow, a Matplotlib figure, or an array or tensor of height × width (×
                channels): whole numbers up to 255, or floats from 0 to 1.
            name: what it shows; images of one name belong together.
            step: a whole number; by itself it counts up from 0 for each name.

        Raises:
            UsageError: it is no image.
            MissingExtraError: Pillow is not installed.
        """
        self._keep_step("images", name, step, "png", lambda: media().png(image))

    def log_table(self, table: Any, name: str, step: int | None = None) -> None:
        """Keep a table as ``tables/NAME/STEP.csv`` below ``.gitexp/artifacts/``.

        Args:
            table: a DataFrame, a mapping of columns, or a list of mappings.
            name: what it holds; tables of one name belong together.
            step: a whole number; by itself it counts up from 0 for each name.

        Raises:
            UsageError: it is no table.
        """
        self._keep_step("tables", name, step, "csv", lambda: media().csv(table))

    def log_confusion_matrix(
        self,
        true: Any,
        predicted: Any,
        labels: Sequence[Any] | None = None,
        name: str = "confusion_matrix",
        step: int | None = None,
    ) -> None:
        """Keep the confusion matrix of predictions, as an image and as a table.

        Args:
            true: the true classes.
            predicted: the predicted ones, in the same order.
            labels: the classes in the order in which they are shown; by default all, sorted.
            name: what the image and the table are called.
            step: a whole number; by itself it counts up from 0 for each name.

        Raises:
            UsageError: the two do not fit together.
            MissingExtraError: scikit-learn or Matplotlib is not installed.
        """
        if self._journal:
            image, table = media().confusion(true, predicted, labels)
            self._keep_step("images", name, step, "png", lambda: image)
            self._keep_step("tables", name, step, "csv", lambda: table)

    def _keep_step(
        self, kind: str, name: str, step: int | None, form: str, make: Callable[[], bytes]
    ) -> None:
        """Keep what ``make`` gives as a file of a step; a silent rank makes nothing."""
        if self._journal is None:
            return
        folder = artifacts.called(f"{kind}/{name}")
        if step is None:
            files = (self._journal.folder / "artifacts" / folder).glob(f"*.{form}")
            step = max((int(file.stem) for file in files if file.stem.isdigit()), default=-1) + 1
        self.keep(f"{folder}/{_whole(name, step, kind[:-1])}.{form}", make())

    def set_label(self, *labels: str) -> None:
        """Add labels.

        Args:
            labels: words to find it by.
        """
        self._facts["labels"] = sorted(
            {*self._facts.get("labels", []), *(check_label(label) for label in labels)}
        )
        self._write_facts()

    def set_note(self, text: str) -> None:
        """Set the note, the body of the commit message.

        Args:
            text: any text; it replaces an earlier one.
        """
        self._facts["note"] = text
        self._write_facts()

    def describe(self, title: str | None, note: str, group: str | None) -> None:
        """Say what the experiment is; where the process that owns the run says it, that holds."""
        self._facts.update(title=title, note=note, group=group)
        self._write_facts()

    def sample_system(self) -> None:
        """Log what the machine does, as ``system.*`` metrics, until the run ends; nothing on a
        silent rank."""
        if not self.silent:
            from gitexp.runs.system_metrics import Sampler

            self._sampler = Sampler(self)

    def read_arguments(
        self, files: Mapping[str, Mapping[str, Any]] | None = None, command: bool = True
    ) -> None:
        """Take the params of its command, now and as its parser will understand them.

        Args:
            files: what files that it names say; the command line wins over them.
            command: take those of the command line and of the parser, too.
        """
        self._facts["arguments"] = {"files": files or {}, "read": command}
        self._write_facts()

    @property
    def reads_arguments(self) -> bool:
        """Whether what its command's parser arrives at counts."""
        return bool(self._facts.get("arguments", {}).get("read"))

    def log_points(self, points: Iterable[MetricPoint]) -> None:
        """Log metric values that have their times and steps already."""
        rows = iter(points)
        while chunk := "".join(
            metrics.format_row(*point) for point in itertools.islice(rows, 10_000)
        ):
            self._append(chunk.encode())

    def add_facts(self, name: str, values: Iterable[Any]) -> None:
        """Add to a list of what is known of the run: ``outputs`` that the command wrote,
        ``warnings`` for its end."""
        self._facts.setdefault(name, []).extend(values)
        self._write_facts()

    @property
    def children(self) -> tuple[str, ...]:
        """The names of the experiments that it began itself, or that those began."""
        return tuple(self._facts.get("children", ()))

    @property
    def folder(self) -> Path:
        """Where the run is journaled; raises UsageError on a silent rank."""
        if self._journal is None:
            raise UsageError("this process logs nothing (its rank is not 0)")
        return self._journal.folder

    def hush(self) -> None:
        """Have no more warnings of what the machine does not take, for a command that is over: the
        end says it."""
        if self._journal:
            self._journal.hush()

    @property
    def ended(self) -> bool:
        """Whether nothing can be logged any more."""
        return self._ended

    @property
    def going_on(self) -> bool:
        """Whether it is to be logged into without being named: it has not ended, and is not about
        to."""
        return not (self._ended or self._closing)

    @property
    def owned(self) -> bool:
        """Whether this process ends and records it."""
        return self._owner

    def log_input(self, path: str | os.PathLike[str]) -> None:
        """Declare a file or folder that the run reads: its hash is recorded, so that a later change
        of it is noticed.

        Args:
            path: a file or a folder.

        Raises:
            UsageError: there is no such file.
        """
        if self._repo is not None:
            self.set_condition("inputs", conditions.hash_inputs(self._repo.root, [path]))

    def set_condition(self, name: str, values: Mapping[str, Any]) -> None:
        """Add to what the run depended on: ``inputs``, ``variables``, ``seed``."""
        self._facts["extra"] = params.merge(self._facts.get("extra", {}), {name: values})
        self._write_facts()

    def replace_conditions(self, values: Mapping[str, Any]) -> None:
        """Replace what the run depended on, for these names."""
        self._facts["extra"] = {**self._facts.get("extra", {}), **values}
        self._write_facts()

    def count_on(self, steps: Mapping[str, int]) -> None:
        """Have metrics that are logged without a step go on after these."""
        self._facts["steps"] = dict(steps)
        self._series.clear()
        self._write_facts()

    def set_fact(self, name: str, value: Any) -> None:
        """Add a trailer ``Gitexp-Name`` to the experiment (exit code, peak memory and the like).

        Args:
            name: what follows ``Gitexp-`` in the trailer.
            value: a number or a short text.
        """
        self._facts.setdefault("trailers", {})[name] = value
        self._write_facts()

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
        if status not in STATUSES:
            raise UsageError(f"'{status}' is not a status; use {', '.join(STATUSES)}")
        if self._ended:
            return self.experiment
        self._ended = True
        exit_status.unwatch(self)
        if self._sampler:
            self._sampler.stop()
        if self._journal is None or not self._owner:
            if self._journal:
                unkept = self._journal.unkept()
                if error or unkept:
                    self._facts.update(error=error, unkept=unkept)
                    self._write_facts()
                self._journal.close()
                self._journal.say_unkept()
            return None
        self._facts.update(
            status=status, error=error, duration=self._facts.get("duration") or self._elapsed()
        )
        if beside:
            self._facts["beside"] = beside
        self._journal.hush()
        self._journal.flush()
        self._facts["unkept"] = self._journal.unkept()
        self._write_facts()
        self._journal.close()
        try:
            if self._repo is None:  # a trial of a sweep: whoever started it records it
                finish.gather(self._journal.folder)
            else:
                self.recorded = finish.record(self._repo, self._journal.folder)
                self.experiment = self.recorded.experiment
        # whatever it is: the training is over and well, and all that it logged is on disk
        except Exception as problem:
            self.unrecorded = True
            self._journal.say_unrecorded(problem)
        else:
            self._journal.say_unkept()
        finally:
            if self._repo is not None:  # a trial's worker may have to push it before it lets go
                self._journal.release()
        return self.experiment

    def end_later(
        self, status: str = "finished", error: str | None = None, seconds: float = deferred.QUIET
    ) -> None:
        """End the run, and record it at the next quiet moment (see deferral.py); what is logged
        until then is still its own.

        When Python exits through the very exception that was passing by now (``finally: end``), the
        run counts as failed.
        """
        if self._ended or not self._owner:
            return
        self._closing = True
        self._facts.update(status=status, error=error, duration=self._elapsed())
        self._write_facts()
        self._passing = sys.exc_info()[1]
        deferred.later(self.id, self._end_now, seconds)

    def go_on(self) -> bool:
        """Take back ``end_later``, and return whether that was still possible."""
        if self._ended or not deferred.cancel(self.id):
            return False
        self._closing = False
        self._facts.update(status=None, error=None, duration=None)
        self._write_facts()
        return True

    def _end_now(self) -> None:
        if self._passing is not None and exit_status.is_uncaught(self._passing):
            self._facts["status"], self._facts["error"] = exit_status.of(self._passing)
        self.end(self._facts["status"], self._facts["error"])

    def _elapsed(self) -> float:
        return monotonic() - self._began  # somebody may have set the clock meanwhile

    def discard(self) -> None:
        """End the run without recording it, as if it had never been."""
        import shutil

        self._ended = True
        exit_status.unwatch(self)
        if self._journal and self._owner and self._repo:
            self._journal.close()
            self._journal.release()
            finish.unpin(self._repo, self.id)
            if "snapshot" in self._facts:
                journal.delete(self._journal.folder)
            else:  # it lies in a folder of the caller's, where nothing looks for runs
                shutil.rmtree(self._journal.folder, ignore_errors=True)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(*exit_status.of(error))

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": str(self._journal.folder) if self._journal else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(
            join(Path(state["folder"]), None).__dict__
            if state["folder"]
            else Run(None, None, {}).__dict__
        )

    def __repr__(self) -> str:
        return f"<Run {self.id}{' (ended)' if self._ended else ''}>"

    def _repr_html_(self) -> str:
        """How it shows in a notebook: what it logged until now, or the experiment that it
        became."""
        from html import escape

        from gitexp.formats import card

        if self.experiment or self._journal is None:
            return self.experiment._repr_html_() if self.experiment else escape(repr(self))
        with suppress(OSError), open(self._journal.folder / "metrics.csv", "rb") as file:
            logged = metrics.last_values(metrics.read(file))
            return card.html(
                f"Run {self.id}",
                {"": "running"},
                params.flatten(journal.read_params(self._journal.folder)),
                logged,
            )
        return escape(repr(self))

    def _new_series(self, name: str) -> list[Any]:
        quoted = metrics.check_name(name).replace('"', '""')
        last = self._facts.get("steps", {}).get(name, -1)
        return self._series.setdefault(name, [f'"{quoted}",', last])

    def _log_params(self, values: dict[str, Any]) -> None:
        if self._journal is None:
            return
        with self._lock:
            self._journal.add_params(values)

    def keep(self, path: str, content: bytes | Path) -> None:
        """Keep an artifact under its path in the tree: one over the limit as a pointer into DVC's
        cache.

        Raises:
            UsageError: it is over the limit, and the repository does not use DVC.
        """
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        limit = self._facts.get("max_file_size", settings.Settings.max_file_size)
        if size > limit:
            if self._repo is None or isinstance(content, bytes):
                raise UsageError(
                    f"artifact {path} has {snapshot.readable(size)}, over the limit of"
                    f" {snapshot.readable(limit)}; raise max_file_size in the settings"
                )
            dvc.takes(self._repo, path, size, limit)
            if self._journal:
                self._keep_in_dvc(self._journal, self._repo, path, content)
        elif self._journal:
            self._journal.write_artifact(path, content)

    def _keep_in_dvc(self, target: Journal, repo: Repo, path: str, content: Path) -> None:
        try:
            pointers = dvc.keep(repo, {path: content})
        except MissingExtraError:
            raise
        except GitexpError as error:
            target.warn(f"artifact {path} was not kept", error)
            return
        for pointer, text in pointers.items():
            target.write_artifact(pointer, text)

    def _write_facts(self) -> None:
        if self._journal:
            self._journal.write_facts(self._facts, self._owner)


def join(folder: Path, repo: Repo | None) -> Run:
    """Open a run that another process owns, for logging into it."""
    facts = journal.facts(folder)
    taken = ("id", "max_file_size", "steps")
    return Run(repo, folder, {key: facts[key] for key in taken if key in facts})


def media() -> Any:
    """Return the module that makes files of images and tables, which few runs need."""
    from gitexp.store import media

    return media


def _whole(name: str, step: Any, what: str = "metric") -> int:
    try:
        return step if type(step) is int else int(step.__index__())
    except AttributeError:
        if isinstance(step, float) and step.is_integer():
            return int(step)
        raise UsageError(
            f"the step of {what} '{name}' must be a whole number, not {step!r}"
        ) from None


def _nothing(_: bytes) -> None:
    """What a silent rank does with a row."""


def _disown(run: Run | None) -> None:
    """In a forked child: what it logs still goes into the journal, but only the parent ends the
    run."""
    if run is not None:
        run._owner = False
        run._lock = threading.Lock()
        if run._journal:
            run._journal.forget_ownership()
