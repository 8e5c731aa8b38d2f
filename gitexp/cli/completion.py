"""What the shell offers at TAB: names of experiments, params and metrics, read from the index.
Errors offer nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from gitexp.formats.errors import GitexpError
from gitexp.repo import Repo

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from gitexp.formats.experiment import Experiment
    from gitexp.store.index import Index

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
        named = index.select(
            "substr(ref.name, 1, ?) = ? OR substr(tag.alias, 1, ?) = ?",
            [len(word), word] * 2,
            limit=_NEWEST,
            everybody="/" in word,
        )
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


def keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last name of a ``--where``, ``--sort`` or list of columns: attributes, metrics
    and params."""
    from gitexp.store import query

    return _names(ctx, incomplete, "metrics", "params", first=query.ATTRIBUTES)


def metrics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a METRIC."""
    return _names(ctx, incomplete, "metrics")


def given_params(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name in K=V with the params of former experiments."""
    return [_item(f"{item.value}=") for item in _names(ctx, incomplete, "params")]


def given_metrics(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name in K=V with the metrics of former experiments."""
    return [_item(f"{item.value}=") for item in metrics(ctx, param, incomplete)]


def remotes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a git remote."""
    try:
        names = Repo.discover(_folder(ctx)).line("remote").split()
    except GitexpError:
        return []
    return [_item(name) for name in names if name.startswith(incomplete)]


def remotes_or_refs(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete where the remote may be left out: [REMOTE] [REF]..."""
    return remotes(ctx, param, incomplete) + refs(ctx, param, incomplete)


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell: the words of a command are mostly files."""
    return [_item(incomplete, type="file")]


def refs_or_metrics(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete where both can stand: REF... METRIC."""
    return metrics(ctx, param, incomplete) + refs(ctx, param, incomplete)


def _names(
    ctx: click.Context, incomplete: str, *families: str, first: Iterable[str] = ()
) -> list[CompletionItem]:
    index = _index(ctx)
    start = re.match(r"(.*[\s,(])?", incomplete, re.DOTALL)
    head = start[0] if start else ""
    names: dict[str, None] = {}
    if index:
        known = (name for family in families for name in index.keys(family))
        names = dict.fromkeys([*first, *known])
    return [_item(f"{head}{name}") for name in names if name.startswith(incomplete[len(head) :])]


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
