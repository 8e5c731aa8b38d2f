"""Parts of one experiment laid over another, in a work tree: what ``why`` runs.

A param is changed where it stands, in the command line and in YAML files called params; data is
what DVC's pointers name; code is all other files at once; packages are the two recorded
environments, built anew. Declared inputs that git does not hold cannot be laid over: there is only
what lies here now.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from gitexp.compare import diff, rerun, venv
from gitexp.compare.diff import FileChange
from gitexp.formats import message, params
from gitexp.formats.errors import CannotRunError, FormatError, NotFoundError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.repo import Repo, content, dvc_pointers
from gitexp.runs import arguments
from gitexp.store import conditions, result_paths

PARAMS_FILE = re.compile(r"(.*/)?params?\.ya?ml")


@dataclass(frozen=True)
class Factor:
    """Something that differs: ``kind`` is param, params (several at once), command, code, packages,
    data or inputs."""

    kind: str
    names: tuple[str, ...]
    text: str

    @property
    def short(self) -> str:
        """What it is called beside another."""
        return self.names[0] if self.kind == "param" else self.kind


class Graft:
    """The two experiments, and what it takes to lay a part of the second over the first."""

    def __init__(self, repo: Repo, settings: Settings, a: Experiment, b: Experiment) -> None:
        self.repo, self.a, self.b = repo, a, b
        self.diff = diff.compare(repo, settings, a, b)
        self.todo, self.other = rerun.task(repo, a), rerun.task(repo, b)
        self.pythons: dict[str, Path] = {}
        files = {
            file.path
            for file in self.diff.code
            if PARAMS_FILE.fullmatch(file.path) and file.status == "changed"
        }
        self.params_files = sorted(
            {*files, *{a.files.get("params", "")} & {b.files.get("params", "")}} - {""}
        )
        others = [file for file in self.diff.code if file.path not in self.params_files]
        self.code = [file for file in others if not dvc_pointers.is_pointer(file.path)]
        self.pointers = [file for file in others if dvc_pointers.is_pointer(file.path)]
        self.options_a, self.options_b = options(self.todo.words), options(self.other.words)

    def factors(self) -> Iterator[Factor]:
        """Yield what differs."""
        if self.diff.environment:
            changes = [
                f"{change.name} {change.a or 'none'} -> {change.b or 'none'}"
                for change in self.diff.environment
            ]
            yield Factor(
                "packages",
                tuple(change.name for change in self.diff.environment),
                f"packages: {message.some(changes)}",
            )
        if self.code:
            paths = tuple(file.path for file in self.code)
            yield Factor("code", paths, f"code: {message.some(paths)}")
        values_a, values_b = (self._values(experiment) for experiment in (self.a, self.b))
        for name in dict.fromkeys([*values_a, *values_b]):
            if not diff.same(values_a.get(name), values_b.get(name)) or (name in values_a) != (
                name in values_b
            ):
                yield Factor(
                    "param",
                    (name,),
                    f"{name}: {values_a.get(name, 'none')} -> {values_b.get(name, 'none')}",
                )
        if self._positional(self.options_a) != self._positional(self.options_b):
            yield Factor("command", (), f"command: {self.other.shown}")
        if self.pointers:
            paths = tuple(change.path for change in self.diff.data) or tuple(
                file.path for file in self.pointers
            )
            yield Factor("data", paths, f"data: {message.some(paths)}")

    def inputs(self) -> Factor | None:
        """Return the declared inputs that differ and lie neither in git nor in DVC."""
        inputs_a, inputs_b = (
            conditions.texts(experiment.extra, "inputs") for experiment in (self.a, self.b)
        )
        held = {file.path for file in self.diff.code}
        tracked = {change.path: change for change in self.diff.data}
        changed = [
            name
            for name in inputs_a
            if inputs_b.get(name, inputs_a[name]) != inputs_a[name] and name not in held
        ]
        loose = tuple(
            name
            for name in changed
            if not any(name == path or name.startswith(f"{path}/") for path in tracked)
        )
        return Factor("inputs", loose, f"data: {message.some(loose)}") if loose else None

    def whose_inputs(self, names: Sequence[str]) -> Experiment | None:
        """Return the experiment whose inputs lie here now, None where it is neither."""
        here = {name: conditions.hash_input(self.repo.root / name) for name in names}
        fitting = (
            item
            for item in (self.a, self.b)
            if all(conditions.texts(item.extra, "inputs")[name] == here[name] for name in names)
        )
        return next(fitting, None)

    def measured(
        self, tree: Path, factors: Sequence[Factor], metric: str, shown: TextIO | None
    ) -> float:
        """Run the first experiment with some factors taken from the second, and return the metric.

        Raises:
            CannotRunError: it could not be run, or logs no such metric.
        """
        content.reset(self.repo, tree, self.a.id)
        kinds = {factor.kind for factor in factors}
        names = [
            name
            for factor in factors
            if factor.kind in ("param", "params")
            for name in factor.names
        ]
        todo = (
            self.other if "command" in kinds else replace(self.todo, words=self._mixed(set(names)))
        )
        self._write_params(tree, names)
        self._take(
            tree,
            [*(self.code if "code" in kinds else ()), *(self.pointers if "data" in kinds else ())],
        )
        content.fill(self.repo, tree)
        content.populate(self.repo, tree)
        python = (
            self._python(tree, self.other if "packages" in kinds else self.todo, shown)
            if self.diff.environment
            else None
        )
        value = rerun.execute(self.repo, tree, todo, python=python, shown=shown).metrics.get(metric)
        if value is None:
            raise CannotRunError(f"it logs no metric '{metric}'")
        return value

    def _values(self, experiment: Experiment) -> dict[str, Any]:
        """Return the params that can be changed: the options of the command, and those in files
        that the run reads."""
        words = self.todo.words if experiment is self.a else self.other.words
        values: dict[str, Any] = {}
        for path in self.params_files:
            values.update(params.flatten(loaded(self.repo, experiment.id, path)))
        return {
            **values,
            **{
                name: " ".join(values) if values else None
                for name, values, _ in arguments.options(words)
                if name is not None
            },
        }

    def _mixed(self, names: set[str]) -> tuple[str, ...]:
        """Return the first command with the words of the second for some options."""
        theirs = {name: words for name, words in self.options_b if name in names}
        words = [theirs.pop(name, ()) if name in names else words for name, words in self.options_a]
        return tuple(word for group in [*words, *theirs.values()] for word in group)

    def _write_params(self, tree: Path, names: Sequence[str]) -> None:
        if link := result_paths.linked(tree, self.params_files):
            raise CannotRunError(f"'{link}' is a symbolic link, and gitexp writes through none")
        for path in self.params_files:
            mine, theirs = (
                loaded(self.repo, experiment.id, path) for experiment in (self.a, self.b)
            )
            flat = params.flatten(theirs)
            if not any(name in flat or name in params.flatten(mine) for name in names):
                continue
            kept = {
                name: value for name, value in params.flatten(mine).items() if name not in names
            }
            (tree / path).write_bytes(
                params.dump(
                    params.nest(
                        [*kept.items(), *((name, flat[name]) for name in names if name in flat)]
                    )
                )
            )

    def _take(self, tree: Path, files: Sequence[FileChange]) -> None:
        gone = [
            path
            for file in files
            for path in (file.old_path, file.path if file.status == "removed" else None)
            if path
        ]
        there = [file.path for file in files if file.status != "removed"]
        for words, paths in (
            (("rm", "-q", "-f", "--ignore-unmatch"), gone),
            (("checkout", "--quiet", self.b.id), there),
        ):
            if paths:
                self.repo.git("--literal-pathspecs", *words, "--", *paths, cwd=tree)

    def _python(self, tree: Path, todo: rerun.Task, shown: TextIO | None) -> Path:
        if todo.name not in self.pythons:
            place = tree.parent / f"env-{len(self.pythons)}"
            self.pythons[todo.name] = venv.build(
                todo.requirements, place, self.repo.root, tree, shown
            )
        return self.pythons[todo.name]

    @staticmethod
    def _positional(options: Sequence[tuple[str | None, tuple[str, ...]]]) -> list[tuple[str, ...]]:
        return [words for name, words in options if name is None]


def options(words: Sequence[str]) -> list[tuple[str | None, tuple[str, ...]]]:
    """Return the words of a command by the param that they say, None for those that say none."""
    return [(name, written) for name, _, written in arguments.options(words)]


def loaded(repo: Repo, commit: str, path: str) -> Mapping[str, Any]:
    """Return the params in a file of a commit, none where it has none."""
    try:
        return params.load(repo.read_file(commit, path), path)
    except (FormatError, NotFoundError):
        return {}
