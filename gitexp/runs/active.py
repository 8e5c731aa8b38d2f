"""The current run of this process: what ``gitexp.log_metric`` and its like log into, and what is
ended when Python exits.

There is one at most. A process that ``gitexp run`` started, or that a process with a run spawned,
finds the run that it belongs to.
"""

from __future__ import annotations

import atexit
import functools
import inspect
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from gitexp.formats import environment
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import each
from gitexp.repo import Repo
from gitexp.runs import deferred, exit_status, journal, notebook, seeds, start
from gitexp.runs.details import Details
from gitexp.runs.journal import JOIN
from gitexp.runs.run import ROOT, Run, join

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
_active: Run | None = None


def start_run(
    params: Any = None,
    *,
    name: str | None = None,
    message: str | None = None,
    note: str = "",
    labels: Iterable[str] = (),
    group: str | None = None,
    advance: bool | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    sign: bool | None = None,
    system_metrics: bool = False,
    all_ranks: bool = False,
    resume: str | None = None,
    repo: str | os.PathLike[str] = ".",
) -> Run:
    """Start a run: snapshot the work tree now, and record it with what is logged when the run ends.

    Use it with ``with``, or call ``end_run()``; a run that is still open when Python exits is ended
    then. Inside a command that ``gitexp run`` started, this joins its run. On a rank other than 0
    (RANK, else SLURM_PROCID and others) nothing is logged, unless ``all_ranks`` says so.

    Args:
        params: a mapping, nested as you like; a dataclass or argparse's namespace is one.
        name: a name other than ``exp-N``.
        message: the subject of the commit; by default the metrics and params.
        note: text below it, the body of the commit message.
        labels: words to find it by.
        group: the name that belonging experiments share.
        advance: whether the branch may move onto it; None leaves it to the settings.
        inputs: data files that the result depends on; their hashes are recorded.
        sign: have git sign the tag; None leaves it to the settings.
        system_metrics: log processor, memory and GPU use as ``system.*`` metrics.
        all_ranks: log in every process of a distributed training, not on rank 0 alone.
        resume: an experiment to go on with, ``exp-3``, or ``exp-3@50`` up to a step: the new one
            begins with its params and rows, and ``last_checkpoint`` with its checkpoint.
        repo: a folder in the repository, by default the current one.

    Raises:
        NotFoundError: there is no experiment to resume.
        UsageError: a run is active in this process, or a name or label cannot be one.
        RepositoryError: there is no usable git repository.
    """
    global _active
    if _active is not None and _active.going_on and _active.owned:
        raise UsageError("a run is active in this process; end it first with gitexp.end_run()")
    if not all_ranks and is_other_rank():
        run = Run(None, None, {})
    else:
        details = Details(name, message, note, None, each(labels), group, advance, sign=sign)
        run = _join_command(repo, details, resume) or _begin(repo, details, resume)
    _log_given(run, params, each(inputs))
    if system_metrics:
        run.sample_system()
    _active = run
    return run


def _log_given(run: Run, params: Any, inputs: Iterable[Any]) -> None:
    """Log what a run begins with; discard our own where that cannot be."""
    try:
        if params:
            run.log_params(params)
        for path in inputs:
            run.log_input(path)
    except BaseException:
        if run.owned:
            run.discard()
        raise


def _join_command(repo: str | os.PathLike[str], details: Details, resume: str | None) -> Run | None:
    """Join the run of the ``gitexp run`` that this process was started by, wherever it went."""
    folder = Path(os.environ.get(JOIN) or os.devnull)
    if not (folder / "run.json").exists():
        return None
    here = Repo.discover(os.environ.get(ROOT, repo))
    run = join(folder, here)
    if resume:
        from gitexp.runs import resume as resuming

        resuming.take_over(run, here, resuming.find_origin(here, resume))
    run.know(**details.words())
    run.set_label(*details.labels)
    return run


def _begin(repo: str | os.PathLike[str], details: Details, resume: str | None) -> Run:
    unsaved = notebook.unsaved()
    run = start.begin(Repo.discover(repo), details, command=notebook.command(), resume=resume)
    for text in filter(None, (unsaved, run.told)):
        warnings.warn(f"gitexp: {text}", RuntimeWarning, stacklevel=3)
    run.speaks = True
    if unsaved:
        run.set_fact("Notebook", unsaved)
    return run


def activate(run: Run) -> None:
    """Make a run the current one of this process, where there is none."""
    global _active
    _active = _going_on() or run


def show(every: float = 2.0) -> None:
    """Show the current run in a notebook, and keep what is shown up to date until the run ends.

    Args:
        every: seconds between two looks.

    Raises:
        UsageError: there is no current run, or this is no notebook.
    """
    run = active_run()
    if run is None:
        raise UsageError("there is no run to show; start one with gitexp.start_run()")
    if not 0 < every < 1e9:
        raise UsageError(f"every={every} must be a number of seconds above 0; leave it out for 2")
    try:
        display: Any = import_module("IPython.display").display
    except ImportError:
        raise UsageError("gitexp.show() is for notebooks; in a terminal: gitexp watch") from None
    shown = display(run, display_id=True)

    def follow() -> None:
        patience = 60.0  # seconds that recording may take after the end
        while run.experiment is None and patience > 0:
            time.sleep(every)
            shown.update(run)
            patience -= every if run.ended else 0
        shown.update(run)

    if shown is not None:
        threading.Thread(target=follow, daemon=True).start()


def active_run() -> Run | None:
    """Return this process's run; where it has none, that of the ``gitexp run`` it was started
    by."""
    if _going_on() is None and os.environ.get(JOIN):
        start_run()
    return _going_on()


def end_run(status: str = "finished") -> Experiment | None:
    """End the current run and return the experiment; None where no run is active.

    A run of a training that has ended, and only waits for an evaluation, is recorded as it ended.

    Args:
        status: ``finished``, ``failed`` or ``killed``.
    """
    last, run = _active, _going_on()
    if run is not None:
        return run.end(status)
    return last.experiment if last is not None and deferred.end_now(last.id) else None


def _on_current(
    method: Callable[Concatenate[Run, Arguments], Result],
) -> Callable[Arguments, Result]:
    """Return a function that calls a method of the current run, and is documented as it is."""

    @functools.wraps(method)
    def called(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return method(active_run() or _of_parent() or start_run(), *args, **kwargs)

    signature = inspect.signature(method)
    shown: Any = called
    shown.__signature__ = signature.replace(parameters=[*signature.parameters.values()][1:])
    shown.__module__, shown.__qualname__ = __name__, method.__name__
    if method.__doc__:  # not under python -OO
        first, _, rest = inspect.cleandoc(method.__doc__).partition("\n\n")
        which = "The run is the current one; where there is none, one begins."
        shown.__doc__ = f"{first}\n\n{which}\n\n{rest}"
    return called


log_param = _on_current(Run.log_param)
log_params = _on_current(Run.log_params)
log_metric = _on_current(Run.log_metric)
log_metrics = _on_current(Run.log_metrics)
log_artifact = _on_current(Run.log_artifact)
log_image = _on_current(Run.log_image)
log_table = _on_current(Run.log_table)
log_confusion_matrix = _on_current(Run.log_confusion_matrix)
checkpoint = _on_current(Run.checkpoint)
last_checkpoint = _on_current(Run.last_checkpoint)


def seed_everything(seed: int) -> tuple[str, ...]:
    """Seed ``random``, NumPy, and torch and TensorFlow where they are imported, record that, and
    return their names.

    Call it after your imports, before or after ``start_run``.

    Args:
        seed: a whole number from 0 to 2**32 - 1.

    Raises:
        UsageError: the seed is no whole number from 0 to 2**32 - 1.
    """
    seeded = seeds.seed(seed)
    run = active_run()
    if run is not None:
        run.set_condition("seed", seeds.last)
    return seeded


def _going_on() -> Run | None:
    return _active if _active is not None and _active.going_on else None


def _of_parent() -> Run | None:
    """Join the run of the process that spawned this one, as a data loader does."""
    module = sys.modules.get("multiprocessing.process")
    parent = module.parent_process() if module else None
    if parent is None or is_other_rank():
        return None
    repo, wanted = Repo.discover(), (parent.pid, environment.host())
    for folder in journal.folders(repo):
        facts = journal.facts(folder)
        if (facts.get("pid"), facts.get("host")) == wanted and journal.is_alive(folder):
            activate(join(folder, repo))
    return _going_on()


@atexit.register
def _end_at_exit() -> None:
    deferred.end_now()
    run = _going_on()
    if run is not None:
        run.end(*exit_status.at_exit())


# where no RANK is set; Lightning sets the last two
_RANKS = ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "LOCAL_RANK", "NODE_RANK")


def is_other_rank() -> bool:
    """Whether this is a process of a distributed training that logs nothing: its rank is not 0.
    RANK alone decides where it is set, since it is unique over all machines and launchers."""
    ranks = [os.environ.get(name, "") for name in ("RANK", *_RANKS)]
    numbers = [int(rank) if rank.isdigit() else None for rank in ranks]
    return bool(numbers[0]) if numbers[0] is not None else any(numbers)
