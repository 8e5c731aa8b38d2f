"""Runs an experiment's command again, in a work tree of its own: what ``reproduce``, ``bisect`` and
``why`` share.

Data that git does not hold comes along: through DVC, and declared inputs (``--input``) as copies of
the user's files, so that a run can change nothing of the user's. Nothing in here asks whether the
command may be run: the caller does.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from gitexp.compare import venv
from gitexp.formats import environment, message, metrics, settings
from gitexp.formats.errors import CannotRunError, GitexpError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, content, dvc, dvc_pointers, snapshot
from gitexp.repo.files import read_text
from gitexp.runs import arguments, command, journal, outputs, start, worktree
from gitexp.runs.run import Run
from gitexp.store import conditions, connectivity, result_paths

_ENDING = {getattr(signal, name, 0) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")}


@dataclass(frozen=True)
class Task:
    """A command and its surroundings, as they were recorded."""

    name: str  # what people call the experiment that it comes from
    words: tuple[str, ...]  # the command
    directory: str = "."  # where it ran, from the top of the repository
    # the environment variables of ``conditions.VARIABLES`` that were set
    variables: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)  # declared inputs and their hashes
    requirements: str = ""  # the recorded environment
    # where the recorded results lie in the tree; taken away before a run
    metrics_file: str = result_paths.METRICS
    brought: tuple[str, ...] = ()  # more files that it reads, which was not declared
    project: str = ""  # the folder of its project, whose settings hold
    reads: Any = None  # what ``settings.reading`` takes

    @property
    def shown(self) -> str:
        """The command line, as a shell takes it."""
        return shlex.join(self.words)


@dataclass(frozen=True)
class Ran:
    """A command that was run and ended well."""

    metrics: Mapping[str, float]  # the last value of each
    requirements: str  # the environment that it ran in
    # the inputs' hashes as they were when it started, None for one that was not there
    inputs: Mapping[str, str | None]
    # what it was recorded as, None where that was not asked for
    experiment: Experiment | None = None
    # a sentence that names the files which git-annex or LFS had no content of; None where there are
    # none
    lacking: str | None = None
    misread: bool = False  # whether it may have taken a pointer for its data

    def metric(self, name: str) -> float:
        """Return the last value of a metric; raise CannotRunError where it logged none."""
        if name not in self.metrics:
            raise CannotRunError(f"it logs no metric '{name}'")
        return self.metrics[name]


def task(repo: Repo, experiment: Experiment) -> Task:
    """Return what has to be run to have the experiment again. The commit says it, not the tag.

    Raises:
        CannotRunError: no command was recorded, or not the whole of it.
        NotFoundError: the commit is not in this clone.
    """
    said = message.trailers(connectivity.full_message(repo, experiment.id))
    text, directory = said.get("Command", ""), said.get("Directory", ".")
    words: tuple[str, ...] = ()
    with suppress(ValueError):
        words = tuple(shlex.split(text))
    why = ""
    if not text:
        why = f"{experiment.name} has no command to run (recorded by `gitexp log`, or imported)"
    elif "***" in text:
        why = f"the command of {experiment.name} held a secret, which was not recorded ({text})"
    elif not words or not _inside(directory):
        why = f"the command of {experiment.name} cannot be read: {text}"
    elif words[:2] == ("jupyter", "notebook"):
        why = (
            f"{experiment.name} was recorded from the notebook {words[-1]}, which only you can run"
        )
    if why:
        raise CannotRunError(f"{why}; by hand: gitexp checkout {experiment.name}")
    requirements = next(repo.objects([f"{experiment.id}:{experiment.inside(environment.PATH)}"]))
    return Task(
        experiment.name,
        words,
        directory,
        conditions.texts(experiment.extra, "variables"),
        conditions.texts(experiment.extra, "inputs"),
        requirements.data.decode("utf-8", "replace") if requirements else "",
        experiment.files.get("metrics", result_paths.METRICS),
        project=experiment.inside(""),
        reads=experiment.extra.get("reads"),
    )


def ran_code_of(repo: Repo, commit: str, experiment: Experiment) -> bool:
    """Whether an experiment ran the very code of a commit."""
    artifacts = map(str, experiment.extra.get("artifacts", ()))
    own = {*result_paths.of_experiment(experiment), *artifacts}
    listed = repo.entries("diff-tree", "-r", "-z", "--name-only", commit, experiment.id)
    return all(result_paths.holds(own, path) for path in listed)


def execute(
    repo: Repo,
    tree: Path,
    todo: Task,
    *,
    python: Path | None = None,
    shown: TextIO | None = None,
    reproduces: Experiment | None = None,
    merges: Sequence[Experiment] = (),
    environ: Mapping[str, str] | None = None,
) -> Ran:
    """Run a task in a work tree of ours and read the metrics that it logs.

    Args:
        repo: the user's repository, which data comes from.
        python: that of an environment built for it; by itself the one that the command names.
        shown: takes the command's output.
        reproduces: record it as a new experiment that says it reproduces this one.
        merges: record it as one that has these for its origins.
        environ: its environment; by itself ours, with what was recorded.

    Raises:
        CannotRunError: it could not be started, or it failed.
        KeyboardInterrupt: it was interrupted.
    """
    inside = Repo.discover(place if (place := tree / todo.project).is_dir() else tree)
    hashes = _bring_data(repo, tree, todo)
    lacking, misread = _lacking(repo, tree)
    words = [_program(repo, tree, todo, python), *todo.words[1:]]
    words = words if merges else arguments.forced(words)
    folder = worktree.folder_for_run(tree)
    recorded = reproduces is not None or bool(merges)
    if recorded:
        live = _begin(inside, todo, folder, hashes, reproduces, merges)
    else:
        live = start.unrecorded(inside, folder)
    try:
        ended = command.execute(
            live,
            inside,
            words,
            directory=tree / todo.directory,
            environ=_environ(repo, tree, todo, python) if environ is None else environ,
            shown=shown,
            apart=folder,
            known=settings.reading(settings.load(inside.root, inside.project), todo.reads),
            keep=bool(merges),
        )
        _check(ended, todo, f"; {lacking}" if lacking else _last_line(live.folder))
        values = metrics.last_values(journal.points(live.folder)[0])
        requirements = read_text(live.folder / "requirements.txt") or environment.requirements()
        if lacking:
            live.add_facts("warnings", [lacking])
        made = live.end() if recorded else None
        return Ran(values, requirements, hashes, made, lacking, misread)
    except UsageError as error:
        raise CannotRunError(f"the command of {todo.name} could not be run: {error}") from None
    finally:
        if live.experiment is None and not live.unrecorded:  # which waits for recover
            live.discard()


def _lacking(repo: Repo, tree: Path) -> tuple[str | None, bool]:
    """Return a sentence that names the files without content, if any, and whether one of them may
    be taken for data: a link or folder fails."""
    missing = content.missing(repo, tree)
    return content.advice(missing, repo.root), any((tree / path).is_file() for path, _ in missing)


def _check(ended: command.Ended, todo: Task, why: str) -> None:
    """Raise CannotRunError, or KeyboardInterrupt, unless a command ended well."""
    # also where the command made a good end of it: half a training is no result
    if ended.code == 130 or (ended.told in _ENDING):
        raise KeyboardInterrupt
    if ended.code:
        raise CannotRunError(f"the command of {todo.name} failed with exit code {ended.code}{why}")


def _begin(
    inside: Repo,
    todo: Task,
    folder: Path,
    hashes: Mapping[str, str | None],
    reproduces: Experiment | None,
    merges: Sequence[Experiment],
) -> Run:
    """Begin a run that is recorded, and say where it comes from; ``folder`` is made for it."""
    folder.mkdir()
    live = start.begin(
        inside,
        command=list(todo.words),
        directory=todo.directory,
        beside="it merges others" if merges else "it reproduces another experiment",
    )
    live.set_condition("inputs", {path: found for path, found in hashes.items() if found})
    if isinstance(todo.reads, dict):
        live.set_condition("reads", todo.reads)
    if reproduces:
        live.set_condition("reproduces", {"name": reproduces.name, "commit": reproduces.id})
        live.set_fact("Reproduces", f"{reproduces.id} ({reproduces.name})")
    if merges:
        live.set_condition("merges", {item.name: item.id for item in merges})
        live.set_fact("Merges", ", ".join(f"{item.id} ({item.name})" for item in merges))
    live.read_arguments()
    return live


def _bring_data(repo: Repo, tree: Path, todo: Task) -> dict[str, str | None]:
    """Bring what git does not hold into the work tree, take what was logged there away, and return
    the hashes of the declared inputs as they are there."""
    with suppress(OSError):
        if _inside(todo.metrics_file):
            (tree / todo.metrics_file).unlink()
    _dvc_checkout(repo, tree)
    hashes = {}
    for name in (*todo.inputs, *todo.brought):
        target = tree / name  # itself where it is an absolute path
        source = repo.root / name
        if _inside(name) and not target.exists():
            why = ""
            if not source.exists():
                why = "is not here; put it there, or pull it with DVC"
            elif snapshot.is_behind_link(tree, name):
                why = "lies behind a symbolic link, and gitexp writes through none"
            if why:
                raise CannotRunError(f"the input {message.one_line(name)} of {todo.name} {why}")
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
        hashes[name] = (
            conditions.hash_input(target) if _inside(name) or os.path.isabs(name) else None
        )
    return hashes


def _dvc_checkout(repo: Repo, tree: Path) -> None:
    """Let DVC bring its data, from the user's own cache and with the user's own configuration; else
    from its remote."""
    if not dvc_pointers.in_use(tree):
        return
    try:
        missing = dvc.checkout(
            repo, tree, tuple(dvc_pointers.in_work_tree(Repo.discover(tree)).values())
        )
    except GitexpError as error:
        raise CannotRunError(f"its data could not be brought: {error}") from None
    if missing:
        raise CannotRunError(
            f"its data is neither in DVC's cache nor on a remote: {dvc_pointers.listed(missing)};"
            " where you have it: dvc push, then here dvc fetch"
        )


def _program(repo: Repo, tree: Path, todo: Task, python: Path | None) -> str:
    """Return the program to start: a relative path may name what git does not hold
    (``.venv/bin/python``)."""
    word = todo.words[0]
    if environment.is_python(word):
        if python:
            return str(python)
        if os.path.basename(word) == word or os.path.isabs(word):
            return word if shutil.which(word) else sys.executable
    if os.path.basename(word) != word and not os.path.isabs(word):
        places = (top / todo.directory / word for top in (tree, repo.root))
        return next((os.path.abspath(place) for place in places if place.exists()), word)
    return word


def _environ(repo: Repo, tree: Path, todo: Task, python: Path | None) -> dict[str, str]:
    """Return the environment: ours, with the recorded variables, and with the project's modules
    found in the work tree.

    A PYTHONPATH or an editable install that points into the user's work tree would have the user's
    present code run.
    """
    env = {name: value for name, value in os.environ.items() if name not in conditions.VARIABLES}
    env |= {name: value for name, value in todo.variables.items() if name in conditions.VARIABLES}
    # one work tree gets several codes in a second, and Python tells those of one size apart by the
    # second
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    if python:
        env.update(
            PATH=f"{python.parent}{os.pathsep}{env.get('PATH', '')}",
            VIRTUAL_ENV=str(python.parent.parent),
        )
    projects = [
        folder
        for editable, folder in venv.folders_of(todo.requirements, repo.root, tree)
        if editable and folder.is_relative_to(tree)
    ]
    ours = [str(place) for top in projects for place in (top / "src", top) if place.is_dir()]
    given = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    if path := [*ours, *(venv.moved(entry, repo.root, tree) for entry in given)]:
        env["PYTHONPATH"] = os.pathsep.join(path)
    return env


def _inside(path: str) -> bool:
    """Whether a path from a repository stays in the work tree."""
    whole = PurePosixPath(path)
    inside = not whole.is_absolute() and {"..", ".git"}.isdisjoint(whole.parts)
    return inside and path.isprintable()


def _last_line(folder: Path) -> str:
    last, hint = outputs.last_exception(folder), ""
    if last is None:
        return ""
    if re.search("FileNotFoundError|No such file", last):
        must = "must be in git, in DVC, or declared, by gitexp run or now: --input PATH"
        hint = f"; what it reads {must}"
    return f": {last[:200]}{hint}"
