"""What the shell offers at TAB: names of experiments, params and metrics, read from the index.
Errors offer nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from gitexp.formats.errors import GitexpError
from gitexp.repo import Repo

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from gitexp.formats.experiment import Experiment
    from gitexp.store.index import Index

Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]
_NEWEST = 200  # experiments that are offered; a shell shows no more usefully


def refs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a REF: names with their subjects, and ``best:`` and ``worst:`` with metrics."""
    index = _index(ctx)
    if index is None or not incomplete.isprintable():
        return []
    head, dots, word = incomplete.rpartition("..")
    if match := re.match(r"(best|worst):", word):
        found = [_item(f"{match[0]}{name}") for name in index.keys("metrics")]
    else:
        begins = "substr(ref.name, 1, ?) = ? OR substr(tag.alias, 1, ?) = ?"
        named = index.select(begins, [len(word), word] * 2, "", _NEWEST, everybody="/" in word)
        each = ((name, item) for item in named for name in (item.name, item.alias) if name)
        found = [_item(name, help=_about(item)) for name, item in each]
        heads = ("best:", "worst:")
        if word and any(head.startswith(word) for head in heads):
            found += [_item(f"{head}{name}") for head in heads for name in index.keys("metrics")]
        else:
            found += map(_item, heads)
    return [
        _item(f"{head}{dots}{item.value}", help=item.help)
        for item in found
        if item.value.startswith(word)
    ]


def remotes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a git remote."""
    try:
        names = Repo.discover(_folder(ctx)).line("remote").split()
    except GitexpError:
        return []
    return [_item(name) for name in names if name.startswith(incomplete)]


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell: the words of a command are mostly files."""
    return [_item(incomplete, type="file")]


def _names(*families: str, end: str = "") -> Complete:
    """Return what completes the last name of a condition, a list or a ``K=V``."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from gitexp.store import query

        index = _index(ctx)
        if index is None:
            return []
        start = re.match(r"(.*[\s,(])?", incomplete, re.DOTALL)
        head = start[0] if start else ""
        known: dict[str, None] = {}
        for family in families:
            ours = family == "attributes"
            known |= dict.fromkeys(query.ATTRIBUTES if ours else index.keys(family))
        word = incomplete[len(head) :]
        return [_item(f"{head}{name}{end}") for name in known if name.startswith(word)]

    return complete


def _either(*each: Complete) -> Complete:
    """Return what completes where several things can stand."""
    return lambda *asked: [item for one in each for item in one(*asked)]


def _index(ctx: click.Context) -> Index | None:
    from gitexp.store.index import Index

    try:
        return Index(Repo.discover(_folder(ctx)))
    except GitexpError:
        return None


def _folder(ctx: click.Context) -> str:
    return ctx.find_root().params.get("folder") or "."


def _about(experiment: Experiment) -> str:
    words = experiment.subject.removeprefix(f"{experiment.name}: ").split()
    return " ".join(word for word in words if word.isprintable())[:60]


def _item(value: str, **more: Any) -> CompletionItem[Any]:
    from click.shell_completion import CompletionItem

    return CompletionItem(value, **more)


keys = _names("attributes", "metrics", "params")  # of --where, --sort and lists of columns
metrics = _names("metrics")
given_params = _names("params", end="=")  # K=V, by the params of former experiments
given_metrics = _names("metrics", end="=")
remotes_or_refs = _either(remotes, refs)  # where the remote may be left out: [REMOTE] [REF]...
refs_or_metrics = _either(metrics, refs)  # REF... METRIC
