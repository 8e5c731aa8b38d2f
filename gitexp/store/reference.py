"""What people call an experiment: ``exp-5``, ``5``, a commit prefix, ``@``, ``@~1``, ``best:rmse``,
``origin/exp-7``, ``a..b``.

A name that is exactly some experiment's always wins. Whatever git itself can resolve (``HEAD``, a
branch) works too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from numbers import Integral

from gitexp.formats import message
from gitexp.formats.errors import NotFoundError, UsageError, did_you_mean
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.store import query
from gitexp.store.index import Index

_SHOWN = 5
_PARENT, _RUN = (
    "json_extract(tag.summary, '$.mlflow.parent')",
    "json_extract(above.summary, '$.mlflow.run')",
)
_NO_CHILD = (
    f"{_PARENT} IS NULL OR {_PARENT} NOT IN (SELECT {_RUN} FROM tag above WHERE {_RUN} IS NOT NULL)"
)


def resolve(index: Index, ref: str, settings: Settings) -> Experiment:
    """Return the experiment that ``ref`` means.

    Raises:
        NotFoundError: there is none, or a commit prefix fits several.
        UsageError: ``ref`` has no sensible form, or nobody said which way a metric is better.
    """
    if match := re.fullmatch(r"@(?:~(\d{0,15}))?", ref):
        return _latest(index, int(match[1] or 1) if "~" in ref else 0)
    if match := re.fullmatch(r"(best|worst):(.*)", ref):
        return _extreme(index, match[2], settings, match[1] == "worst")
    if ".." in ref:
        raise UsageError(f"'{ref}' is a range, and one experiment is needed here")
    found = index.named(ref) or (
        index.named(f"exp-{int(ref)}") if re.fullmatch(r"[0-9]{1,15}", ref) else None
    )
    return found or _by_commit(index, ref) or _nothing(index, ref)


def given(index: Index, item: str | int | Experiment, settings: Settings) -> Experiment:
    """Return the experiment that a program gives: as an object, or by what ``resolve`` takes.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(item, Experiment):
        return item
    if isinstance(item, (str, Integral)):
        return resolve(index, str(item), settings)
    kind = type(item).__name__
    raise UsageError(f"a {kind} is no experiment; give its name, its number, or what get returns")


def resolve_many(index: Index, refs: Iterable[str], settings: Settings) -> list[Experiment]:
    """Return the experiments that ``refs`` mean, each once, in their order; ``a..b`` is all from a
    to b by their start.

    An end of a range that is left out is the first or the latest one.

    Raises:
        NotFoundError, UsageError: as ``resolve``.
    """
    found: dict[str, Experiment] = {}
    for ref in refs:
        some = (
            _range(index, ref, settings)
            if ".." in ref and index.named(ref) is None
            else [resolve(index, ref, settings)]
        )
        for experiment in some:
            found.setdefault(experiment.id, experiment)
    return list(found.values())


def _range(index: Index, ref: str, settings: Settings) -> list[Experiment]:
    first, _, last = ref.partition("..")
    ends = [resolve(index, end, settings) for end in (first, last) if end]
    if not ends:
        raise UsageError(f"'{ref}' has no end; write exp-3..exp-7")
    by_start = "SELECT started FROM tag WHERE id = ?"
    low = f"tag.started >= ({by_start})" if first else "1"
    high = f"tag.started <= ({by_start})" if last else "1"
    if len(ends) == 2 and ends[0].started > ends[1].started:
        ends.reverse()
    tags = [end.tag for end in ends]
    both = [ends[0].name, ends[-1].name]
    ours = next(index.rows("min(ref.mine)", "ref.name IN (?, ?)", both, everybody=True))[0]
    between = query.Sql(f"{low} AND {high}", (*tags,))
    where = between if ours else between.within(query.ONCE)
    return index.select(*where, "tag.started", everybody=not ours)


def _latest(index: Index, back: int) -> Experiment:
    """Return the latest one of the project, or one before it. Children (trials of a search) began
    after the run that the user began, and do not count."""
    condition, others = query.in_reach(index, query.Sql(_NO_CHILD), False)
    found = index.select(*condition, limit=back + 1)
    if not found:
        where = "in this project yet (in others: gitexp list --all)" if others else "yet"
        raise NotFoundError(f"there is no experiment {where}; record one: gitexp run -- COMMAND")
    if len(found) <= back:
        of = "in this project" if others else "in all"
        raise NotFoundError(
            f"there is no experiment @~{back}, only {len(found)} {of}; to see them: gitexp list"
        )
    return found[back]


def _extreme(index: Index, name: str, settings: Settings, worst: bool) -> Experiment:
    within, _ = query.in_reach(index, query.EVERYTHING, False)
    key = query.find_metric(index, name)
    found = query.best(index, key, settings.metrics, worst, where=within)
    if found is None:
        raise NotFoundError(
            f"no experiment has a value of '{name}'; to see what there is: gitexp list"
        )
    return found


def _by_commit(index: Index, ref: str) -> Experiment | None:
    prefix = ref.lower()
    if re.fullmatch(r"[0-9a-f]{4,64}", prefix):
        fitting = index.select(
            'tag."commit" BETWEEN ? AND ?', [prefix, f"{prefix}g"], "ref.mine DESC", everybody=True
        )
        commits = {experiment.id: experiment for experiment in reversed(fitting)}
        if len(commits) > 1:
            names = [experiment.name for experiment in commits.values()]
            raise NotFoundError(
                f"'{ref}' fits {len(names)} commits: {message.some(names, _SHOWN)}; write more of"
                " it, or a name"
            )
        if commits:
            return next(iter(commits.values()))
    commit = index.repo.resolve(ref) if ref and ref.isprintable() else None
    if not commit:
        return None
    found = index.at(commit)
    if found is None:
        raise NotFoundError(
            f"'{ref}' is a commit, {commit[:10]}, but no experiment; to see them: gitexp list"
        )
    return found


def _nothing(index: Index, ref: str) -> Experiment:
    aliases = index.rows("tag.alias", "tag.alias IS NOT NULL", everybody=True)
    names = [*index.names(), *(row[0] for row in aliases)]
    if ref in ("best", "worst"):
        raise NotFoundError(f"the {ref} by which metric? {ref}:METRIC, for example {ref}:loss")
    shown = f"exp-{ref}" if ref.isdigit() else ref
    if shown in index.lost:
        raise NotFoundError(f"git has lost {shown}; to see what may bring it back: gitexp doctor")
    theirs = next((name for name in names if name.endswith(f"/{shown}")), "")
    near = did_you_mean(theirs or shown, names) or " To see them: gitexp list"
    hint = near if names else " There is none yet; to record one: gitexp run -- COMMAND"
    raise NotFoundError(f"there is no experiment '{shown}'.{hint}")
