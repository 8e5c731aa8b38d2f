"""Experiments merged: their code by git and their params by name, over the commit that they have in
common; then run, and recorded on a merge commit of them all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple, TextIO

from gitexp.compare import ablation, rerun
from gitexp.formats import message, params
from gitexp.formats.errors import CannotRunError, FormatError, GateError, GitError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.metrics import is_better
from gitexp.repo import Repo, filters, trees
from gitexp.runs import worktree
from gitexp.store import artifacts, result_paths
from gitexp.store.index import Index

Values = Mapping[str, Any]


class Merge(NamedTuple):
    """What is to be run: a commit whose parents are the experiments, and the command there."""

    items: tuple[Experiment, ...]
    # the experiment that they have in common, None where nobody ran that code
    base: Experiment | None
    commit: str
    todo: rerun.Task


class Outcome(NamedTuple):
    """A merge that was run: ``expected`` is what the changes add up to, each measured alone; None
    where there is no common experiment to measure from."""

    experiment: Experiment
    items: tuple[Experiment, ...]
    base: Experiment | None
    expected: float | None
    got: float


def prepare(index: Index, given: Sequence[Experiment], settled: Values) -> Merge:
    """Merge experiments, without running anything.

    Args:
        settled: params whose value the user says, which settles conflicts about them.

    Raises:
        GateError: two of them change the same lines or params.
        UsageError: they have nothing in common, or one came from all the others.
    """
    repo = index.repo
    commits = dict.fromkeys(item.id for item in given)
    left = repo.git("merge-base", "--independent", *commits).decode().split()
    items = tuple({item.id: item for item in given if item.id in left}.values())
    if len(items) < 2:
        raise UsageError(f"{items[0].name} came from the others, and has what they changed")
    found = repo.git("merge-base", "--octopus", *(item.id for item in items), ok=(0, 1)).split()
    if not found:
        raise UsageError(f"{_names(items)} have no commit in common")
    common = found[0].decode()
    base = _experiment_at(index, common)
    own = result_paths.of_all(index, items)
    results = {*result_paths.of_experiment(base)} if base and base.id == common else set()
    # what an experiment rewrote of the files that lay there before is as it was
    before = {path: trees.Executable(oid) if mode == "100755" else oid
              for path, (mode, _, oid) in artifacts.listed(repo, common, own).items()
              if path not in results and not result_paths.is_own(path)}  # fmt: skip
    own |= results
    root = trees.bare_commit(repo, _code(repo, common, own, before), None, "common")
    tip = trees.bare_commit(repo, _code(repo, items[0].id, own, before), root, "ours")
    for at, item in enumerate(items[1:], 1):
        theirs = trees.bare_commit(repo, _code(repo, item.id, own, before), root, "theirs")
        tree = _merged(repo, root, tip, theirs, settled, _names([*items[:at]]), item.name)
        tip = trees.bare_commit(repo, tree, root, "ours")
    words = _command(repo, items, base, settled)
    todo = replace(rerun.task(repo, items[0]), words=words, name=f"the merge of {_names(items)}")
    parents = [word for item in items for word in ("-p", item.id)]
    text = f"Merge {_names(items)}"
    made = repo.line("commit-tree", *parents, "-m", text, f"{tip}^{{tree}}", env=repo.identity)
    return Merge(items, base, made, todo)


def run(
    repo: Repo,
    merge: Merge,
    metric: str,
    shown: TextIO | None = None,
    judged: Callable[[Experiment], Mapping[str, float]] = lambda item: {},
) -> Outcome:
    """Run a merge in a work tree of its own and record it.

    Args:
        judged: gives more metrics of the new experiment.

    Raises:
        CannotRunError: the command fails, or logs no such metric.
    """
    with worktree.checkout(repo, merge.commit, "merge") as tree:
        made = rerun.execute(repo, tree, merge.todo, shown=shown, merges=merge.items).experiment
    if made is None:
        raise CannotRunError(f"{merge.todo.name} was not recorded; see gitexp recover")
    made = replace(made, metrics={**made.metrics, **judged(made)})
    if metric not in made.metrics:
        raise CannotRunError(f"{made.name}, {merge.todo.name}, has no metric '{metric}'")
    expected = None
    if merge.base and metric in merge.base.metrics:
        start = merge.base.metrics[metric]
        expected = start + sum(item.metrics[metric] - start for item in merge.items)
    return Outcome(made, merge.items, merge.base, expected, made.metrics[metric])


def best_of(
    kept: Iterable[Experiment],
    metric: str,
    way: str,
    tried: Callable[[Sequence[Experiment]], Experiment],
) -> Experiment:
    """Return the best merge of the kept experiments that at most two runs for each of them find:
    from the best on each is added where that helps; then each is left out once.

    Args:
        tried: runs a merge; what it raises says that those do not go together.
    """
    ranked = sorted(kept, key=lambda item: item.metrics[metric], reverse=way == "max")
    chosen, best = ranked[:1], ranked[0]

    def better(items: Sequence[Experiment]) -> Experiment | None:
        with suppress(GateError, UsageError, CannotRunError):
            made = tried(items)
            return made if is_better(way, made.metrics[metric], best.metrics[metric]) else None
        return None

    for item in ranked[1:]:
        if made := better([*chosen, item]):
            chosen, best = [*chosen, item], made
    for item in chosen[:] if len(chosen) > 2 else ():
        rest = [one for one in chosen if one is not item]
        if len(rest) > 1 and (made := better(rest)):
            chosen, best = rest, made
    return best


def _names(items: Sequence[Experiment]) -> str:
    names = [item.name for item in items]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _experiment_at(index: Index, commit: str) -> Experiment | None:
    """Return the experiment that is a commit, else the first that ran just the code of one."""
    if here := index.at(commit):
        return here
    after = reversed(index.select("json_extract(tag.summary, '$.parent') = ?", [commit]))
    return next((item for item in after if rerun.ran_code_of(index.repo, commit, item)), None)


def _code(repo: Repo, commit: str, own: Iterable[str], before: Mapping[str, str]) -> str:
    """Return a commit's tree with the results of experiments as they were before, or without."""
    gone = dict.fromkeys(artifacts.listed(repo, commit, own))
    return trees.edited(repo, f"{commit}^{{tree}}", {**gone, **before})


def _merged(
    repo: Repo, root: str, ours: str, theirs: str, settled: Values, mine: str, other: str
) -> str:
    """Return the tree that git merges two commits to; files of params whose lines are in the way of
    each other are merged by param."""
    try:
        how = ("--write-tree", "-z", "--name-only", "--no-messages")
        tree, *conflicts = repo.entries("merge-tree", *how, ours, theirs, ok=(0, 1))
    except GitError as error:
        raise CannotRunError(f"merging needs git 2.38 or newer: {error}") from None
    mended: dict[str, str | None] = {}
    for path in dict.fromkeys(conflicts):
        if not re.fullmatch(ablation.PARAMS_FILE, path):
            raise GateError(
                f"{mine} and {other} both change {message.one_line(path)}; merge them by hand, and"
                " run that"
            )
        try:
            base, a, b = (
                params.flatten(ablation.loaded(repo, one, path, strict=True))
                for one in (root, ours, theirs)
            )
        except FormatError as error:
            raise GateError(
                f"{mine} and {other} both change {message.one_line(path)}, which cannot be read:"
                f" {error}; merge it by hand, and run that"
            ) from None
        values = _three_way(base, [(mine, a), (other, b)], settled)
        mended |= filters.write(repo, {path: params.dump(params.nested(values))})
    return trees.edited(repo, tree, mended) if mended else tree


def _three_way(
    base: Values | None, sides: Sequence[tuple[str, Values]], settled: Values
) -> dict[str, Any]:
    """Return what each name is, where some sides changed it; raise GateError where two changed it
    otherwise. Without a base, whatever differs is a conflict."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(
        key for values in (*(side for _, side in sides), base or {}) for key in values
    ):
        before = base.get(name) if base is not None else sides[0][1].get(name)
        changed = [(who, values.get(name)) for who, values in sides if values.get(name) != before]
        if name in settled:
            value = settled[name]
        elif any(now != changed[0][1] for _, now in changed) or (changed and base is None):
            said = ", ".join(f"{_shown(values.get(name))} in {who}" for who, values in sides)
            raise GateError(f"which {name}? {said}; say it: --param {name}=VALUE")
        else:
            value = changed[0][1] if changed else before
        if value is not None:
            found[name] = value
    return found


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _command(
    repo: Repo, items: Sequence[Experiment], base: Experiment | None, settled: Values
) -> tuple[str, ...]:
    """Return the command of the first experiment, with the options that any of them changed."""
    written = {item.id: _options(rerun.task(repo, item).words) for item in items}
    first = written[items[0].id]
    bare = [
        [words for name, words in one.items() if name.startswith("\0")] for one in written.values()
    ]
    if any(one != bare[0] for one in bare):
        raise GateError(f"{_names(items)} run different commands, which cannot be merged")
    before = None
    if base:
        with suppress(CannotRunError):
            before = _options(rerun.task(repo, base).words)
    forms = {name: words for one in written.values() for name, words in one.items()}
    said = {name: _form(forms[name], value) for name, value in settled.items() if name in forms}
    values = _three_way(before, [(item.name, written[item.id]) for item in items], said)
    order = dict.fromkeys([*first, *values])
    return tuple(word for name in order if name in values or name.startswith("\0")
                 for word in values.get(name, first.get(name, ())))  # fmt: skip


def _options(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the words of each option; of those without a name by their place."""
    found: dict[str, tuple[str, ...]] = {}
    for at, (name, written) in enumerate(ablation.options(words)):
        key = name or f"\0{at}"
        found[key] = (*found.get(key, ()), *written)
    return found


def _form(words: tuple[str, ...], value: Any) -> tuple[str, ...]:
    """Return an option with another value, written as it was."""
    head, sign, _ = words[0].partition("=")
    return (f"{head}={value}",) if sign else (head, str(value))
