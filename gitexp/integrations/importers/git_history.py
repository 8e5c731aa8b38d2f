"""``gitexp import git``: commits of history that hold results, as DagsHub's logger, DVC and dvclive
leave them.

Two processes read it all, whatever the length of history: ``git log --raw`` names the files that
each commit changed, and ``git cat-file --batch`` gives their contents. They run beside the
repository (``Repo.offline``), so nothing of its settings takes part, and a partial clone fetches
nothing. A file is looked at by its name first and then by its content; what does not hold what its
name promises is told, and the rest is taken.
"""

from __future__ import annotations

import fnmatch
import io
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from gitexp.formats import message, params, readers, result_files
from gitexp.formats.errors import FormatError, GitError, RepositoryError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.found import Commit, Found, Progress, Unread, moment, person
from gitexp.repo import Repo, blobs

PATTERNS = (
    ":(glob,icase)**/*metric*.*",
    ":(glob,icase)**/*param*.*",
    ":(glob)**/plots/metrics/**/*.tsv",
)
DECLARED = "declared"  # instead of a mode: somebody says that there is such a file
LARGEST = 100 * 10**6  # bytes of a file; nobody logged that much
MOST = 2_000  # names in one experiment; more are data
_TEXT = re.IGNORECASE | re.DOTALL
_METRICS = r".*metrics?\.(csv|json|ya?ml|toml)|(?s:.*/|)plots/metrics/.+\.tsv"
_KINDS = (
    ("metrics", re.compile(_METRICS, _TEXT)),
    ("params", re.compile(r".*params?\.(ya?ml|json|toml)", _TEXT)),
)
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


class Change(NamedTuple):
    """A file as a commit has it: mode, hash and path; ``kind`` is ``metrics`` or ``params``,
    ``before`` the hash that the parent has."""

    kind: str
    path: str
    mode: str
    oid: str
    before: str = ""


class Past(NamedTuple):
    """A commit of history that changed files which may hold results."""

    id: str
    parents: tuple[str, ...]
    author: str
    authored: datetime
    text: str
    changes: tuple[Change, ...]


class Read(NamedTuple):
    """What the files of one commit say."""

    params: Mapping[str, object]
    last: Mapping[str, float]
    span: tuple[int, int] | None
    files: Mapping[str, str]
    partly: tuple[Unread, ...]

    def of(self, item: Commit) -> Commit:
        """Return a commit with what its files say."""
        _, last, _, files, partly = self
        return replace(item, params=self.params, last=last, files=files, partly=partly)


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
    first.

    Args:
        paths: globs; only files whose path fits one.
        since: only commits after this date, in git's words (``2025-01-31``, ``3.weeks``).
        remotes: look at the remotes' branches too.

    Raises:
        RepositoryError: history itself is not whole.
    """
    branches = repo.refs("refs/heads", *(("refs/remotes",) if remotes else ()))
    tips = sorted({*branches.values(), repo.head().commit or ""} - {""})
    with repo.offline() as beside:
        edge = _edge(repo)
        named = _pipelines(beside, tips)
        history = _history(beside, tips, since, _chooser(paths, named), named)
        changes = [change for past in history for change in past.changes]
        everywhere = sorted({change.path for change in changes if change.kind == "params"})
        todo = []
        for past in history:
            if "Id" in message.trailers(past.text):  # gitexp itself recorded it
                continue
            if past.id in known:
                yield _commit(past, None)
            elif past.id in edge:
                yield Unread(past.id[:10], _SHALLOW)
            else:
                todo.append(past)
        rows = Rows(beside)
        asked = [[*past.changes, *_unchanged_params(past, everywhere)] for past in todo]
        for at, (past, (read, missing)) in enumerate(zip(todo, contents(beside, asked))):
            progress(at, len(todo))
            result = examine(past.id[:10], read, missing, rows)
            changed = {change.path for change in past.changes}
            if changed & {*result.files.values()}:
                yield result.of(_commit(past, result.span))
            else:
                yield from result.partly or [
                    Unread(past.id[:10], "nothing is logged in the files that it changed")
                ]
        progress(len(todo), len(todo))


_SHALLOW = (
    "it is the edge of a shallow clone, so what it changed is not known; to get the rest: git fetch"
    " --unshallow"
)


def _commit(past: Past, span: tuple[int, int] | None) -> Commit:
    title = message.one_line(past.text.partition("\n")[0])
    parent = past.parents[0] if past.parents else None
    return Commit("git", past.id, parent, title, past.author, *_times(span, past.authored))


def _times(span: tuple[int, int] | None, authored: datetime) -> tuple[datetime, float | None]:
    """Return start and duration by the rows' own times, where they can be those of one run that the
    commit holds."""
    if span:
        first, last = moment(span[0] / 1000), moment(span[1] / 1000)
        short = last - first <= _ALLOWED_SPAN
        if short and first.year >= 2000 and last <= authored + timedelta(days=1):
            return first.astimezone(authored.tzinfo), (last - first).total_seconds() or None
    return authored, None


# -- which commits, which files --------------------------------------------------------------------


def _edge(repo: Repo) -> set[str]:
    try:
        return {*(repo.common_dir / "shallow").read_text().split()}
    except OSError:
        return set()


def _pipelines(repo: Repo, tips: Sequence[str]) -> dict[str, str]:
    """Return the kind of each file that dvc.yaml of a tip names as params or metrics."""
    found = filter(None, repo.objects(f"{tip}:dvc.yaml" for tip in tips))
    return {
        path: kind for item in found for kind, path in readers.of_pipeline("dvc.yaml", item.data)
    }


def _chooser(globs: Sequence[str], named: Mapping[str, str]) -> Callable[[str], str | None]:
    """Return a function that tells the kind of a path, None where it is not asked for."""

    def kind_of(path: str) -> str | None:
        fitting = (
            fnmatch.fnmatchcase(path, glob) or path.startswith(glob.rstrip("/") + "/")
            for glob in globs
        )
        return named.get(path) or kind(path) if not globs or any(fitting) else None

    return kind_of


def kind(path: str) -> str | None:
    """Return ``metrics`` or ``params`` where a path is called like a file of that, else None."""
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(path)), None)


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
    files = [*PATTERNS, *(f":(literal){path}" for path in named)]
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
        author = person(name, email)
        yield Past(id.strip(), tuple(parents.split()), author, date(when), text, tuple(changes))


def date(text: str) -> datetime:
    """Read a time as git writes it, ``1700000000 +0100``; 1970 for what is none."""
    seconds, _, zone = text.partition(" ")
    try:
        offset = timedelta(hours=int(zone[:3]), minutes=int(zone[0] + zone[3:]))
        return moment(int(seconds)).astimezone(timezone(offset))
    except (ValueError, IndexError, OverflowError):
        return moment(0)


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
    return [Change("params", path, "", f"{past.id}:{path}") for path in chosen if "\n" not in path]


# -- what they hold --------------------------------------------------------------------------------

Content = tuple[Change, bytes]
Missing = tuple[Change, str]


def contents(
    repo: Repo, asked: Sequence[Sequence[Change]]
) -> Iterator[tuple[list[Content], list[Missing]]]:
    """Yield for each commit the files that could be read, and why the others could not; what was
    only guessed is passed over."""
    names = [change.oid for changes in asked for change in changes]
    sizes = [item[1] if item else None for item in blobs.sizes(repo, names)]
    readable = [name for name, size in zip(names, sizes) if size is not None and size <= LARGEST]
    objects = repo.objects(readable)
    upcoming = iter(sizes)
    for changes in asked:
        good: list[Content] = []
        bad: list[Missing] = []
        for change in changes:
            size = next(upcoming)
            item = next(objects) if size is not None and size <= LARGEST else None
            if why := _refused(change, size, item.data if item else None):
                if change.mode:
                    bad.append((change, why))
            elif item:
                good.append((change, item.data))
        yield good, bad


def _refused(change: Change, size: int | None, data: bytes | None) -> str | None:
    """Return why a file is not even tried."""
    if change.mode == "160000":
        return "a submodule"
    if change.mode == "120000":
        return "a symbolic link"
    if not change.path.isprintable() or any("\udc80" <= char <= "\udcff" for char in change.path):
        return "its path holds control characters, or is not UTF-8"
    if size is None and change.mode == DECLARED:
        return "it is not in git; DVC's cache may have it"
    if size is None:
        return (
            "its content is not in this clone (a partial one?); to get it: git fetch --refetch"
            " --no-filter origin"
        )
    if size > LARGEST:
        return f"it has {size / 10**6:,.0f} MB, more than {LARGEST // 10**6} MB"
    if data is not None and data.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a pointer of Git LFS, whose content is not in git"
    return None


class Rows:
    """The times of the rows of a file that grows from commit to commit: those that the parent had
    are of an earlier run."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._latest: dict[str, tuple[str, set[int]]] = {}

    def span(self, change: Change, times: set[int]) -> tuple[int, int] | None:
        """Return the first and last of the times that are new in a commit."""
        oid, old = self._latest.get(change.path, ("", set()))
        if change.before and change.before != oid:
            old = self._read(change)
        self._latest[change.path] = (change.oid, times)
        new = times - old if change.before else times
        return (min(new), max(new)) if new else None

    def _read(self, change: Change) -> set[int]:
        found = next(self._repo.objects([change.before]))
        try:
            points = result_files.points(io.BytesIO(found.data if found else b""), change.path, [])
            return {point.timestamp for point in points if point.timestamp}
        except FormatError:
            return set()


def examine(
    label: str, found: Sequence[Content], missing: Sequence[Missing], rows: Rows | None = None
) -> Read:
    """Return what a commit's files say; ``label`` is what people call it.

    Args:
        rows: what knows the rows that earlier commits had.
    """
    partly = [Unread(f"{label} {change.path}", why) for change, why in missing]
    values: dict[str, dict[str, Any]] = {}
    courses: dict[str, list[MetricPoint]] = {}
    spans: list[tuple[int, int]] = []
    for change, data in found:
        what = f"{label} {change.path}"
        said: list[str] = []
        try:
            if change.kind == "params":
                values[change.path] = params.load(data, change.path.lower())
                _few(params.flatten(values[change.path]))
                continue
            last, times = _last(result_files.points(io.BytesIO(data), change.path, said))
            partly += [Unread(what, text.removeprefix(f"{change.path}: ")) for text in said]
            _few(last)
        except FormatError as error:
            values.pop(change.path, None)
            why = str(error).replace(change.path.lower(), change.path)
            partly.append(Unread(what, why.removeprefix(change.path).lstrip(": ")))
            continue
        if last:
            courses[change.path] = list(last.values())
            span = rows.span(change, times) if rows else None
            spans += [span] if span else []
        elif not said:
            partly.append(Unread(what, "nothing is logged in it"))
    values = {path: some for path, some in values.items() if some}
    last_values = {point.name: point.value for point in result_files.merged(courses)}
    named = result_files.named
    files = {**named("params", list(values)), **named("metrics", list(courses))}
    whole = (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None
    return Read(result_files.params_of(values), last_values, whole, files, tuple(partly))


def _few(values: Mapping[str, object]) -> None:
    if (count := len(values)) > MOST:
        raise FormatError(f"it has {count:,} names, more than {MOST:,}: data rather than results")


def _last(points: Iterator[MetricPoint]) -> tuple[dict[str, MetricPoint], set[int]]:
    """Return the last point of each metric (of the highest step, of equal steps the later row), and
    the times of the rows."""
    last: dict[str, MetricPoint] = {}
    times: set[int] = set()
    for point in points:
        if point.name not in last or point.step >= last[point.name].step:
            last[point.name] = point
        if point.timestamp:
            times.add(point.timestamp)
    return last, times
