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
from gitexp.formats.errors import CannotRunError, FormatError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.repo import Repo, content, dvc_pointers
from gitexp.runs import arguments
from gitexp.store import conditions, result_paths
from gitexp.store.index import Index

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
        self.diff = diff.compare(Index(repo), settings, a, b)
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
        if packages := self.diff.environment:
            changes = [f"{one.name} {one.a or 'none'} -> {one.b or 'none'}" for one in packages]
            names = tuple(one.name for one in packages)
            yield Factor("packages", names, f"packages: {message.some(changes)}")
        if self.code:
            paths = tuple(file.path for file in self.code)
            yield Factor("code", paths, f"code: {message.some(paths)}")
        values_a, values_b = (self._values(experiment) for experiment in (self.a, self.b))
        for name in dict.fromkeys([*values_a, *values_b]):
            a, b = values_a.get(name), values_b.get(name)
            if not diff.same(a, b) or (name in values_a) != (name in values_b):
                text = f"{name}: {values_a.get(name, 'none')} -> {values_b.get(name, 'none')}"
                yield Factor("param", (name,), text)
        bare_a, bare_b = (
            [words for name, words in options if name is None]
            for options in (self.options_a, self.options_b)
        )
        if bare_a != bare_b:
            yield Factor("command", (), f"command: {self.other.shown}")
        if self.pointers:
            paths = tuple(change.path for change in self.diff.data or self.pointers)
            yield Factor("data", paths, f"data: {message.some(paths)}")

    def inputs(self) -> Factor | None:
        """Return the declared inputs that differ and lie neither in git nor in DVC."""
        inputs_a, inputs_b = (
            conditions.texts(experiment.extra, "inputs") for experiment in (self.a, self.b)
        )
        held = {file.path for file in self.diff.code}
        tracked = tuple(f"{change.path}/" for change in self.diff.data)
        loose = tuple(
            name
            for name, before in inputs_a.items()
            if inputs_b.get(name, before) != before
            if name not in held and not f"{name}/".startswith(tracked)
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
        changed = [factor.names for factor in factors if factor.kind in ("param", "params")]
        names = [name for some in changed for name in some]
        todo = self.other
        if "command" not in kinds:
            todo = replace(self.todo, words=self._mixed(set(names)))
        self._write_params(tree, names)
        for kind, files in (("code", self.code), ("data", self.pointers)):
            if kind in kinds:
                self._take(tree, files)
        content.fill(self.repo, tree)
        content.populate(self.repo, tree)
        python = None
        if self.diff.environment:
            python = self._python(tree, self.other if "packages" in kinds else self.todo, shown)
        return rerun.execute(self.repo, tree, todo, python=python, shown=shown).metric(metric)

    def _values(self, experiment: Experiment) -> dict[str, Any]:
        """Return the params that can be changed: the options of the command, and those in files
        that the run reads."""
        words = self.todo.words if experiment is self.a else self.other.words
        values: dict[str, Any] = {}
        for path in self.params_files:
            values.update(params.flatten(loaded(self.repo, experiment.id, path)))
        values.update(params.flatten(arguments.as_params(words)))
        return values

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
                params.flatten(loaded(self.repo, item.id, path)) for item in (self.a, self.b)
            )
            if any(name in mine or name in theirs for name in names):
                kept = [item for item in mine.items() if item[0] not in names]
                taken = [(name, theirs[name]) for name in names if name in theirs]
                (tree / path).write_bytes(params.dump(params.nested(dict([*kept, *taken]))))

    def _take(self, tree: Path, files: Sequence[FileChange]) -> None:
        gone = [file.path for file in files if file.status == "removed"]
        gone += [file.old_path for file in files if file.old_path]
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


def options(words: Sequence[str]) -> list[tuple[str | None, tuple[str, ...]]]:
    """Return the words of a command by the param that they say, None for those that say none."""
    return [(name, written) for name, _, written in arguments.options(words)]


def loaded(repo: Repo, commit: str, path: str, strict: bool = False) -> Mapping[str, Any]:
    """Return the params in a file of a commit, as a checkout would write it; none where it has
    none, or they cannot be read. That raises FormatError if ``strict``."""
    if not repo.succeeds("cat-file", "-e", f"{commit}:{path}"):
        return {}
    try:
        return params.load(repo.git("cat-file", "--filters", f"{commit}:{path}"), path)
    except FormatError:
        if strict:
            raise
        return {}
