"""``gitexp import git``: commits of history that hold results, as DagsHub's logger, DVC and dvclive
leave them.

Two processes read it all, whatever the length of history: ``git log --raw`` names the files that
each commit changed, and ``git cat-file --batch`` gives their contents. They run beside the
repository (``Repo.offline``), so nothing of its settings takes part, and a partial clone fetches
nothing.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from gitexp.formats import message, readers
from gitexp.formats.errors import GitError, RepositoryError
from gitexp.formats.trackers.found import Commit, Found, Progress, Unread, moment, person
from gitexp.integrations.importers import commit_files
from gitexp.integrations.importers.commit_files import Change
from gitexp.repo import Repo, files

_FIELDS = ("%H", "%P", "%an", "%ae", "%ad", "%B")
_LOG = (
    "-c", "log.showRoot=true", "log", "--stdin", "-z", "--raw", "--no-abbrev", "-M100%",
    "--full-history", "--no-merges", "--reverse",
    "--date-order", "--date=raw", "--encoding=UTF-8", "--no-color", "--no-mailmap", "--no-notes",
    "--ignore-submodules=none",
    "--format=" + "".join(f"{field}%x00" for field in _FIELDS),
)  # fmt: skip
# a run of which the rows say that it took longer was several runs
_ALLOWED_SPAN = timedelta(days=30)


class Past(NamedTuple):
    """A commit of history that changed files which may hold results; ``ours`` where gitexp itself
    recorded it."""

    commit: Commit
    ours: bool
    changes: tuple[Change, ...]


def find(
    repo: Repo,
    known: Collection[str],
    *,
    paths: Sequence[str] = (),
    since: str | None = None,
    remotes: bool = False,
    progress: Progress = lambda done, total: None,
) -> Iterator[Found]:
    """Yield the commits of all local branches that hold results and are not ``known``, oldest
    first; raise RepositoryError where history itself is not whole.

    Args:
        paths: globs; only files whose path fits one.
        since: only commits after this date, in git's words (``2025-01-31``, ``3.weeks``).
        remotes: look at the remotes' branches too.
    """
    branches = repo.refs("refs/heads", *(("refs/remotes",) if remotes else ()))
    tips = sorted({*branches.values(), repo.head().commit or ""} - {""})
    with repo.offline() as beside:
        edge = (files.read_bytes(repo.common_dir / "shallow") or b"").decode().split()
        # walk history once: which files that may be results did each commit change?
        named = _pipelines(beside, tips)
        kind_of = functools.partial(_kind, globs=paths, named=named)
        history = _history(beside, tips, since, kind_of, named)
        changes = [change for past in history for change in past.changes]
        everywhere = sorted({change.path for change in changes if change.kind == "params"})
        # pass over what is known
        todo = []
        for past in history:
            if past.ours:
                continue
            if past.commit.id in known:
                yield past.commit
            elif past.commit.id in edge:
                yield Unread(past.commit.id[:10], _SHALLOW)
            else:
                todo.append(past)
        # read the files of the others, in batches
        rows = commit_files.Rows(beside)
        asked = [[*past.changes, *_unchanged_params(past, everywhere)] for past in todo]
        contents = commit_files.contents(beside, asked)
        for at, (past, (read, missing)) in enumerate(zip(todo, contents)):
            progress(at, len(todo))
            label = past.commit.id[:10]
            commit, span = commit_files.examine(past.commit, label, read, missing, rows)
            if {change.path for change in past.changes} & {*commit.files.values()}:
                yield _timed(commit, span)
            else:
                yield from commit.partly or [
                    Unread(label, "nothing is logged in the files that it changed")
                ]
        progress(len(todo), len(todo))


_SHALLOW = (
    "it is the edge of a shallow clone, so what it changed is not known; to get the rest: git fetch"
    " --unshallow"
)


def _timed(commit: Commit, span: tuple[int, int] | None) -> Commit:
    """Return a commit with start and duration by the rows' own times, where they can be those of
    one run that it holds."""
    if span:
        first, last = moment(span[0] / 1000), moment(span[1] / 1000)
        short = last - first <= _ALLOWED_SPAN
        if short and first.year >= 2000 and last <= commit.started + timedelta(days=1):
            start = first.astimezone(commit.started.tzinfo)
            return replace(commit, started=start, duration=(last - first).total_seconds() or None)
    return commit


# -- which commits, which files --------------------------------------------------------------------


def _pipelines(repo: Repo, tips: Sequence[str]) -> dict[str, str]:
    """Return the kind of each file that dvc.yaml of a tip names as params or metrics."""
    found = filter(None, repo.objects(f"{tip}:dvc.yaml" for tip in tips))
    return {
        path: kind for item in found for kind, path in readers.of_pipeline("dvc.yaml", item.data)
    }


def _kind(path: str, globs: Sequence[str], named: Mapping[str, str]) -> str | None:
    """Return the kind of a path, None where it is not asked for."""
    fitting = (
        fnmatch.fnmatchcase(path, glob) or path.startswith(f"{glob.rstrip('/')}/") for glob in globs
    )
    return named.get(path) or commit_files.kind(path) if not globs or any(fitting) else None


def _history(
    repo: Repo,
    tips: Sequence[str],
    since: str | None,
    kind_of: Callable[[str], str | None],
    named: Iterable[str],
) -> list[Past]:
    if not tips:
        return []
    when = [f"--since={since}"] if since else []
    files = [*commit_files.PATTERNS, *(f":(literal){path}" for path in named)]
    stdin = "".join(f"{tip}\n" for tip in tips).encode()
    try:
        output = repo.git(*_LOG, *when, "--", *files, stdin=stdin)
    except GitError as error:
        if re.search("unable to read tree|bad tree object|Could not read", error.stderr):
            raise RepositoryError(
                "folders of history are not in this clone, so nobody can say what its commits"
                " changed; to get them: git fetch --refetch --filter=blob:none origin"
            ) from None
        raise
    return [past for past in _parsed(output, kind_of) if past.changes]


def _parsed(output: bytes, kind_of: Callable[[str], str | None]) -> Iterator[Past]:
    """Yield the commits of ``git log``: their fields, then two or three for each file, everything
    ended by a NUL."""
    fields = output.split(b"\0")
    at = 0
    while at + len(_FIELDS) < len(fields):
        id, parents, name, email, when, text = (
            field.decode("utf-8", "replace") for field in fields[at : at + len(_FIELDS)]
        )
        at += len(_FIELDS)
        changes = []
        while at < len(fields) and (entry := fields[at].strip())[:1] in (b"", b":"):
            at += 1
            if not entry:
                continue
            mode, before, after, status = entry.decode().split(" ")[1:]
            at += 2 if status[0] in "RC" else 1
            path = os.fsdecode(fields[at - 1])
            known_as = kind_of(path)
            if known_as and before != after and status != "D":
                changes.append(Change(known_as, path, mode, after, before.strip("0")))
        parent = parents.split()[0] if parents else None
        title, date = message.one_line(text.partition("\n")[0]), commit_files.date(when)
        commit = Commit("git", id.strip(), parent, title, person(name, email), date)
        yield Past(commit, "Id" in message.trailers(text), tuple(changes))


def _unchanged_params(past: Past, everywhere: Sequence[str]) -> list[Change]:
    """Return where params may lie that a commit did not change: beside its metrics or above, else
    the only place there is."""
    if any(change.kind == "params" for change in past.changes):
        return []
    folders = {change.path.rpartition("/")[0] + "/" for change in past.changes}
    above = {path: path[: path.rfind("/") + 1] for path in everywhere}
    near = [path for path in above if any(folder.startswith(above[path]) for folder in folders)]
    closest = max((len(above[path]) for path in near), default=-1)
    chosen = [path for path in near if len(above[path]) == closest]
    if not chosen and len(everywhere) == 1:
        chosen = [*everywhere]
    return [
        Change("params", path, "", f"{past.commit.id}:{path}")
        for path in chosen
        if "\n" not in path
    ]
