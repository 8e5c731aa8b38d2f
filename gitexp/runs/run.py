"""A run as people log into it: it journals what is logged, and becomes an experiment when it ends.

How one begins is in ``start.py``, and which one is this process's in ``active.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from gitexp.formats import metrics, params
from gitexp.formats.errors import GitexpError, UsageError
from gitexp.repo import Repo, files
from gitexp.runs import details, exit_status, journal
from gitexp.runs.live_run import LiveRun, joined
from gitexp.store import artifacts, conditions, media
from gitexp.store.names import check_label

if TYPE_CHECKING:
    from gitexp.runs.checkpoints import Checkpoint

ROOT = "GITEXP_ROOT"  # the work tree of that run
_KINDS = {"png": "images", "csv": "tables"}


class Run(LiveRun):
    """A run that is going on.

    Attributes:
        id: random; the experiment's ``Gitexp-Id`` later.
        experiment: what it became, None until it ended (and for a process that only joined).
        told: what the user should know about the data at the start.
        silent: whether this process logs nothing, a rank other than 0.
    """

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
        metrics.check_mapping(values)
        checked = [(name, metrics.number(name, value)) for name, value in values.items()]
        with self._lock:
            known = [self._series.get(name) or self._new_series(name) for name, _ in checked]
            rows = []
            for series, (name, value) in zip(known, checked):
                series[1] = series[1] + 1 if step is None else _whole(name, step)
                rows.append(f"{series[0]}{value!r},{stamp},{series[1]}\r\n")
            if rows:
                self._append("".join(rows).encode())

    def log_param(self, name: str, value: Any) -> None:
        """Log one param.

        Args:
            name: a dotted name is an address (``model.depth``).
            value: a number, text, truth value, None, list or mapping.
        """
        self._log_params(params.nest([(str(name).strip(), params.plain(value))]))

    def log_params(self, values: Any) -> None:
        """Log params; later ones replace earlier ones of the same name.

        Args:
            values: a mapping, nested as you like; a dataclass or argparse's namespace is one.

        Raises:
            UsageError: not a mapping, or nested too deep.
        """
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
        if not (source.is_file() or source.is_dir()):
            raise UsageError(f"there is no file '{path}' to log")
        try:
            found = files.below(source) if source.is_dir() else [source]
        except OSError as error:
            raise UsageError(
                f"'{error.filename}' cannot be read: {error.strerror}; nothing of '{path}' was kept"
            ) from None
        for file in found:
            if file.is_file() and ".git" not in file.relative_to(source).parts:
                self.keep(artifacts.path_in_tree(self._repo, file), file)

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
        source = Path(os.path.abspath(path))  # "." has no name
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
        """Keep a figure: a Matplotlib one as an image, a Plotly one as HTML or an image.

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
        self._keep_step(name, step, lambda: {"png": media.png(image)})

    def log_table(self, table: Any, name: str, step: int | None = None) -> None:
        """Keep a table as ``tables/NAME/STEP.csv`` below ``.gitexp/artifacts/``.

        Args:
            table: a DataFrame, a mapping of columns, or a list of mappings.
            name: what it holds; tables of one name belong together.
            step: a whole number; by itself it counts up from 0 for each name.

        Raises:
            UsageError: it is no table.
        """
        self._keep_step(name, step, lambda: {"csv": media.csv(table)})

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
        self._keep_step(name, step, lambda: media.confusion(true, predicted, labels))

    def _keep_step(
        self, name: str, step: int | None, make: Callable[[], Mapping[str, bytes]]
    ) -> None:
        """Keep ``{ending: content}`` of ``make`` as one step; a silent rank makes nothing."""
        if self._journal is None:
            return
        made = make()
        folders = {form: artifacts.called(name, f"{_KINDS[form]}/") for form in made}
        with self._knowing, self._journal.alone("steps"):  # two threads or processes make two
            at = max(map(self._journal.next_step, folders.values())) if step is None else step
            whole = _whole(name, at, "artifact")
            for form, folder in folders.items():
                self.keep(f"{folder}/{whole}.{form}", made[form])

    def set_label(self, *labels: str) -> None:
        """Add labels.

        Args:
            labels: words to find it by.
        """
        with self._knowing:
            self.know(labels=sorted({*self._facts.get("labels", ()), *map(check_label, labels)}))

    def set_note(self, text: str) -> None:
        """Set the note, the body of the commit message.

        Args:
            text: any text; it replaces an earlier one.
        """
        self.know(note=details.text(text))

    def sample_system(self) -> None:
        """Log what the machine does, as ``system.*`` metrics, until the run ends; nothing on a
        silent rank."""
        from gitexp.runs.system_metrics import Sampler

        if not self.silent:
            self._sampler = Sampler(self)

    def read_arguments(
        self, files: Mapping[str, Mapping[str, Any]] | None = None, command: bool = True
    ) -> None:
        """Take the params of its command, now and as its parser will understand them.

        Args:
            files: what files that it names say; the command line wins over them.
            command: take those of the command line and of the parser, too.
        """
        self.know(arguments={"files": files or {}, "read": command})

    def log_input(self, path: str | os.PathLike[str]) -> None:
        """Declare a file or folder that the run reads: a later change of its hash is noticed.

        Args:
            path: a file or a folder.

        Raises:
            UsageError: there is no such file.
        """
        if self._repo is not None:
            self.set_condition("inputs", conditions.hash_inputs(self._repo.root, [path]))

    def set_fact(self, name: str, value: Any) -> None:
        """Add a trailer ``Gitexp-Name`` to the experiment (exit code, peak memory and the like).

        Args:
            name: what follows ``Gitexp-`` in the trailer.
            value: a number or a short text.
        """
        with self._knowing:
            self.know(trailers={**self._facts.get("trailers", {}), name: value})

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.end(*exit_status.status_of(error))

    def _repr_html_(self) -> str:
        """How it shows in a notebook: what it logged until now, or what it became."""
        from html import escape

        from gitexp.formats import card

        if self.experiment:
            return self.experiment._repr_html_()
        with suppress(OSError, UsageError):
            logged = metrics.last_in(self.folder / "metrics.csv")
            given = params.flatten(journal.read_params(self.folder))
            return card.html(f"Run {self.id}", {"": "running"}, given, logged)
        return escape(repr(self))

    def __repr__(self) -> str:
        return f"<Run {self.id}{' (ended)' if self.ended else ''}>"


def join(folder: Path, repo: Repo | None) -> Run:
    """Open a run that another process owns, for logging into it."""
    return Run(repo, folder, joined(folder))


def _whole(name: str, step: Any, what: str = "metric") -> int:
    try:
        return step if type(step) is int else int(step.__index__())
    except AttributeError:
        if isinstance(step, float) and step.is_integer():
            return int(step)
        why = f"the step of {what} '{name}' must be a whole number, not {step!r}"
        raise UsageError(why) from None
