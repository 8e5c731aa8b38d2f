"""Makes experiments of what an import found, in batches, each once.

A commit that holds a run gets a tag, and nothing of it is rewritten. A run of another tool becomes
a commit of its own: a child of the commit that ran, where that exists here, with the changes that
the tool noted applied to it in a private index; else a commit without parents that holds the
results alone. Branches, index and work tree stay as they are.
"""

from __future__ import annotations

import functools
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gitexp.formats import message, metrics, params
from gitexp.formats.errors import GitError
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import readable
from gitexp.formats.trackers.found import Commit, Found, Progress, Run, Unread, moment
from gitexp.repo import Repo, filters, trees
from gitexp.store import batch, result_paths
from gitexp.store import record as store
from gitexp.store.entry import Entry
from gitexp.store.index import Index
from gitexp.store.notes import as_labels

PATCH = f"{result_paths.FOLDER}/diff.patch"
_ARTIFACTS = f"{result_paths.FOLDER}/artifacts"
_NO_NAMES = ("", ".", "..", ".git")  # of a part of a path
_line = message.one_line


@dataclass
class Outcome:
    """How an import went; filled while it goes."""

    known: int = 0  # runs that were recorded already
    unread: list[Unread] = field(default_factory=list)


class Known:
    """The experiments that are here already, by their ids and commits, whoever recorded them."""

    def __init__(self, index: Index) -> None:
        asked = "json_extract(tag.summary, '$.id'), tag.\"commit\""
        # the ids of runs that a run of ours took in
        captured = "(SELECT json_group_array(key) FROM json_each(tag.summary, '$.captured'))"
        rows = index.rows(f"{asked}, {captured}", everybody=True)
        self.keys: set[str] = set()
        self.commits: set[str] = set()
        for key, commit, joined in rows:
            self.keys.update([str(key), *json.loads(joined)])
            self.commits.add(commit)

    def __contains__(self, found: Commit | Run) -> bool:
        if isinstance(found, Commit):
            return found.key in self.keys or found.id in self.commits
        return not self.keys.isdisjoint(found.keys)


def new(found: Iterable[Found], known: Known, outcome: Outcome) -> Iterator[Commit | Run]:
    """Yield what is not recorded yet; the rest is counted, and what cannot be read is listed."""
    for item in found:
        if isinstance(item, Unread):
            outcome.unread.append(item)
        elif item in known:
            outcome.known += 1
        else:
            known.keys.add(item.key)
            outcome.unread += item.partly
            yield item


def record(
    index: Index,
    items: Iterable[Commit | Run],
    outcome: Outcome,
    limit: int,
    progress: Progress = lambda done, total: None,
) -> Iterator[Experiment]:
    """Record them and yield the experiments, a batch at a time.

    Args:
        limit: bytes that an artifact may have.

    Raises:
        GitError: git cannot write. What was yielded is recorded, and another import goes on from
            there.
    """
    repo = index.repo
    waiting: list[Entry] = []
    with repo.offline() as beside, tempfile.TemporaryDirectory(prefix="gitexp-") as scratch:
        desk = _Desk(repo, beside, Path(scratch), outcome, limit, index)
        for done, item in enumerate(items, 1):
            waiting.append(_of_commit(item) if isinstance(item, Commit) else desk.entry(item))
            progress(done, None)
            if len(waiting) >= batch.SIZE:
                yield from batch.record(repo, waiting)
                waiting = []
    yield from batch.record(repo, waiting)


def _of_commit(item: Commit) -> Entry:
    extra = {"source": {"kind": item.kind, "id": item.id}, "files": dict(item.files)}
    draft = _draft(item, item.params, item.last, result_paths.Places(), extra=extra)
    return Entry(draft, None, item.id, item.parent)


def _draft(
    item: Commit | Run,
    values: Mapping[str, Any],
    last: Mapping[str, float],
    files: result_paths.Places,
    **more: Any,
) -> store.Draft:
    """Return what is recorded of a commit or run, but for what it alone has."""
    return store.Draft(
        params=values,
        metrics=b"",
        last=last,
        files=files,
        started=item.started,
        duration=item.duration,
        recorded=_end(item),
        title=item.title,
        author=item.author or None,
        id=item.key,
        **more,
    )


def _end(item: Commit | Run) -> datetime:
    return moment(item.started.timestamp() + (item.duration or 0)).astimezone(item.started.tzinfo)


@dataclass
class _Desk:
    """Where runs of other tools are made ready: what is known of the commits that they name is kept
    between them."""

    repo: Repo
    beside: Repo
    scratch: Path
    outcome: Outcome
    limit: int
    index: Index
    codes: dict[str, tuple[str | None, frozenset[str]]] = field(default_factory=dict)

    def entry(self, run: Run) -> Entry:
        """Write all of a run but its commit and tag."""
        base, ours = self._code(run.commit or "")
        parent = run.commit if base else None
        contents: dict[str, bytes | Path] = {}
        applied = None
        if run.patch and base:
            base, applied = self._patched(run, base)
        if run.patch and not applied:
            contents[PATCH] = run.patch
        tree = trees.parse(self.beside.tree(base), self.repo.object_format) if base else {}
        tree.pop(result_paths.FOLDER.encode(), None)  # what an experiment before it left there
        places = _places(tree, ours)
        contents[places.metrics], last = self._metrics(run)
        artifacts = self._artifacts(run)
        said = _code_said(run, parent, applied)
        draft = _draft(
            run,
            params.nested(params.plain(run.params)),
            last,
            places,
            status=run.status,
            note=run.note,
            labels=tuple(as_labels(run.labels)),
            group=_line(run.group) if run.group else None,
            command=_line(run.command) if run.command else None,
            trailers={"Source": f"{run.kind} {run.id}", "Source-Store": run.where, "Code": said},
            extra={
                "source": {"kind": run.kind, "id": run.id, "where": run.where},
                "code": said,
                "artifacts": sorted(artifacts),
                "tags": {_line(name): _line(str(value)) for name, value in run.tags.items()},
            },
        )
        draft = store.without_secrets(self.repo, draft)
        contents[places.params] = params.dump(draft.params)
        files = {**filters.write(self.repo, contents), **artifacts}
        return Entry(draft, trees.write(self.repo, files, tree), None, parent)

    def _code(self, commit: str) -> tuple[str | None, frozenset[str]]:
        """Return the tree of the commit that ran, None where it is not here, and the files that
        gitexp wrote when it recorded that commit."""
        if commit not in self.codes:
            self.codes[commit] = None, frozenset()
            if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
                here, tree = self.beside.objects([commit, f"{commit}^{{tree}}"])
                if here and here.kind == "commit" and tree:
                    recorded = self.index.select('tag."commit" = ?', [commit], everybody=True)
                    own = frozenset(path for item in recorded for path in item.files.values())
                    self.codes[commit] = tree.id, own
        return self.codes[commit]

    def _patched(self, run: Run, tree: str) -> tuple[str, bool]:
        """Apply a run's changes to a tree, in a private index; returns the tree as it was where
        they do not apply."""
        assert run.patch is not None
        index = self.scratch / "index"
        index.unlink(missing_ok=True)
        objects = self.repo.common_dir / "objects"
        env = {"GIT_INDEX_FILE": str(index), "GIT_OBJECT_DIRECTORY": str(objects)}
        patch = run.patch.rstrip(b"\n") + b"\n"
        try:
            self.beside.git("read-tree", tree, env=env)
            self.beside.git("apply", "--cached", "--whitespace=nowarn", "-", stdin=patch, env=env)
            return self.beside.line("write-tree", env=env), True
        except GitError as error:
            said = error.stderr.strip().splitlines() or [""]
            why = (
                f"its changes do not apply to {(run.commit or '')[:10]}"
                f" ({said[0].removeprefix('error: ')}), and are kept as {PATCH}"
            )
            self.outcome.unread.append(Unread(f"{run.kind} {run.title}", why))
            return tree, False

    def _metrics(self, run: Run) -> tuple[Path, dict[str, float]]:
        """Write a run's ``metrics.csv`` and return it and the last values; a file on the way, so
        that length costs no memory."""
        path = self.scratch / "metrics.csv"
        called = functools.cache(lambda name: _line(name) or "unnamed")
        with open(path, "wb") as file:
            return path, metrics.write(
                file, (point._replace(name=called(point.name)) for point in run.points)
            )

    def _artifacts(self, run: Run) -> dict[str, str]:
        kept: dict[str, str] = {}
        for name, file in run.artifacts.items():
            try:
                size, why = file.stat().st_size, ""
                if size <= self.limit:
                    kept |= filters.write(self.repo, {f"{_ARTIFACTS}/{_safe_path(name)}": file})
                else:
                    why = (
                        f"{readable(size)}, over the limit of {readable(self.limit)}; to keep it:"
                        " raise max_file_size in the settings"
                    )
            except OSError as error:
                why = f"cannot be read: {error.strerror}"
            if why:
                self.outcome.unread.append(Unread(f"{run.kind} {run.title} {name}", why))
        return kept


def _code_said(run: Run, parent: str | None, applied: bool | None) -> str | None:
    """Return what is to be said of the code that ran, None where the commit says it all."""
    if parent is None and run.commit:
        return f"unknown: commit {run.commit[:10]} is not here"
    if parent is None:
        return f"unknown: {run.kind} noted no commit"
    if applied:
        return "the commit with the uncommitted changes"
    return f"the commit; the uncommitted changes lie in {PATCH}" if run.patch else None


def _places(tree: Mapping[bytes, Any], ours: frozenset[str]) -> result_paths.Places:
    """Return where the results go: what the commit already has at the usual places is somebody's
    own, unless gitexp wrote it."""
    usual = (result_paths.PARAMS, result_paths.METRICS)
    free = frozenset(path for path in usual if path.encode() not in tree or path in ours)
    return result_paths.choose(free)


def _safe_path(name: str) -> str:
    """Return an artifact's name as a path in the tree that leads nowhere else."""
    parts = re.split(r"[/\\]", "".join(char if char.isprintable() else "_" for char in name))
    return "/".join(part for part in parts if part.lower() not in _NO_NAMES) or "artifact"
