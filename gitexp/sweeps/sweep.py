"""``gitexp.sweep``: a sweep from Python, over a function of an importable module or over a
command."""

from __future__ import annotations

import inspect
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitexp.formats.errors import UsageError
from gitexp.repo import Repo
from gitexp.runs.journal import JOIN
from gitexp.sweeps import driver_push, summary
from gitexp.sweeps import plan as plans
from gitexp.sweeps import space as spaces
from gitexp.sweeps.driver import Driver
from gitexp.sweeps.plan import Plan
from gitexp.sweeps.worker import FUNCTION, PYTHON

if TYPE_CHECKING:
    import pandas as pd


def sweep(
    train: Callable[..., Any] | str | Sequence[str],
    space: Mapping[str, Any],
    *,
    search: str = "grid",
    trials: int | None = None,
    minimize: str | None = None,
    maximize: str | None = None,
    repeat: int = 1,
    seed: int = 0,
    prune: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    n_jobs: int = 1,
    engine: str = "loky",
    address: str | None = None,
    group: str | None = None,
    push: str | bool = False,
    workers_push: str | bool = False,
    repo: str | os.PathLike[str] = ".",
) -> pd.DataFrame:
    """Run many trials of the work tree as it is now, record each as an experiment, and return them
    as a DataFrame.

        gitexp.sweep(train, {"lr": [0.1, 0.01], "wd": "log(1e-5,1e-2)"}, search="tpe", trials=30,
            minimize="rmse", n_jobs=4)

    Args:
        train: a function at the top of a module in the repository, which gets the params as
            arguments (and ``seed``, if it has such an argument) and may return metrics; or a
            command like ``"python train.py --lr {lr}"``. Each trial runs in a process and a work
            tree of its own.
        space: for each param a list of values, Python's ``range``, or text: ``"log(1e-5,1e-2)"``,
            ``"uniform(0,1)"``.
        search, trials: grid, which takes all points; or random, tpe or cmaes, which take so many.
        minimize, maximize: the metric to go by.
        repeat, seed: how many seeds each point runs with, and the first, also of the search.
        prune: end trials early whose metric falls behind the others'.
        timeout, retries: seconds that a trial may take; how often a failed one is tried again.
        n_jobs, engine: how many trials run at once, on loky (this machine), dask, ray or slurm.
        address: of the Dask scheduler or Ray cluster; ``local`` for SLURM without a cluster.
        group: the name that the experiments share; by default one is made up.
        push: the remote, True for ``git push``'s own, that gets the trials while they come in; a
            RuntimeWarning says what did not go, which waits for ``gitexp push``.
        workers_push: the remote that workers push to themselves: trials outlive this process then.
        repo: a folder in the repository, by default the current one.

    Raises:
        UsageError: something cannot be done as asked; nothing was run.
    """
    here = _no_trial(repo)
    words = _command(train, here, minimize or maximize, space)
    what = {"command": words, "append": not callable(train), "space": spaces.from_mapping(space)}
    how = {"search": search, "trials": trials, "repeat": repeat, "seed": seed, "prune": prune}
    to, of_workers = (driver_push.remote(here, remote) for remote in (push, workers_push))
    each = {"timeout": timeout, "retries": retries, "workers_push": of_workers}
    plan = plans.of_options(here, minimize, maximize, **what, **how, **each)
    return _driven(here, plan, group, to, jobs=n_jobs, engine=engine, address=address)


def _no_trial(repo: str | os.PathLike[str]) -> Repo:
    if os.environ.get(JOIN):
        raise UsageError(
            "a trial must not start a sweep: put the call of gitexp.sweep below `if __name__ =="
            " '__main__':`"
        )
    return Repo.discover(repo)


def _driven(
    repo: Repo, plan: Plan, group: str | None, to: str | None, **running: Any
) -> pd.DataFrame:
    frozen = plans.freeze(repo, plans.check(plan), group)
    done = Driver(repo, frozen, push=to, warn=_warn, **running).run()
    for problem in done.problems:
        _warn(f"{problem}; it waits on disk for gitexp sweep --resume {frozen.group}")
    if (sent := done.sent) and sent.left:
        _warn(
            f"could not push {len(sent.left)} experiments to {sent.remote}: {sent.problem};"
            f" to push: gitexp push {sent.remote}"
        )
    return summary.frame(done)


def _warn(text: str) -> None:
    warnings.warn(f"gitexp: {text}", RuntimeWarning, stacklevel=4)


def _command(
    train: Callable[..., Any] | str | Sequence[str],
    repo: Repo,
    objective: str | None,
    space: Mapping[str, Any],
) -> tuple[str, ...]:
    if isinstance(train, str):
        return tuple(shlex.split(train))
    if not callable(train):
        return tuple(train)
    name, folder = _importable(train, repo.root)
    seeded = "seed" in inspect.signature(train).parameters and "seed" not in space
    start = os.path.relpath(folder, plans.below(repo))
    words = (PYTHON, "-m", FUNCTION, start, name, plans.POINT, objective or "value")
    return (*words, "{seed}") if seeded else words


def _importable(function: Callable[..., Any], root: Path) -> tuple[str, str]:
    """Return ``module:function``, and the folder below ``root`` to import the module from."""
    name = getattr(function, "__qualname__", "<object>")
    module = sys.modules.get(getattr(function, "__module__", ""))
    file = getattr(module, "__file__", None)
    if module is None or file is None or "<" in name:
        raise UsageError(
            f"each trial imports its function, which '{name}' does not allow; put it at the top of"
            " a module (a .py file)"
        )
    path = Path(file).resolve()
    spec = getattr(module, "__spec__", None)
    dotted = spec.name if spec else module.__name__
    if dotted == "__main__":
        dotted = path.stem
    if path.stem == "__init__":
        path = path.parent
    try:
        top = path.parents[dotted.count(".")].relative_to(root.resolve())
    except (ValueError, IndexError):
        raise UsageError(
            f"'{name}' lies in {path}, outside of the repository; a trial runs what the snapshot"
            " holds"
        ) from None
    return f"{dotted}:{name}", top.as_posix()
