"""Which of the files that a command wrote are kept with its run, as outputs or as results."""

from __future__ import annotations

import fnmatch
import os
import posixpath
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gitexp.formats import message, readers
from gitexp.formats.errors import GitexpError
from gitexp.formats.settings import Settings
from gitexp.repo import Repo, dvc_pointers, files, snapshot, untracked
from gitexp.runs import journal
from gitexp.runs.run import Run
from gitexp.runs.written import Written
from gitexp.store import result_paths

_Left = list[tuple[str, str]]  # a path, and why it was not kept


def keep(
    run: Run,
    repo: Repo,
    shot: snapshot.Snapshot,
    wrote: Written,
    known: Settings,
    read: set[str],
    tools: tuple[str, ...],
) -> None:
    """Keep the files that the command wrote, each at its own path; of those that the user tracks
    only the results. What of trackers' own is not kept need not be said: its runs were read."""
    if not (wrote.files or wrote.odd):
        return
    listed = repo.git("ls-files", "-z", "-t", "-c", "-o", "--exclude-standard").split(b"\0")
    marks = {os.fsdecode(item[2:]): item[:1] for item in listed if item}
    own = wrote.files.keys() & marks.keys() - {result_paths.PARAMS}
    if is_long(repo.root / result_paths.METRICS):  # whose values the run has, as those of params
        own.discard(result_paths.METRICS)
    asked = {path for path in wrote.files if path not in marks and matches(path, known.outputs)}
    # where gitexp's own lay, not the user's
    earlier = {*shot.outputs, *journal.facts(run.folder).get("free", ())}
    tracked = {path for path in own - earlier if marks[path] != b"?"}
    _keep_results(run, repo, wrote, known, _changed(repo, shot.tree, sorted(tracked)), read)
    fresh = sorted((own | asked) - tracked)
    taken, left_out = _permitted(repo, known, fresh, read)
    kept = _kept(run, repo, taken, wrote, left_out)
    run.add_facts("written", [path for path in kept if not _stays(path)])
    left_out = [item for item in left_out if not item[0].startswith(tools)]
    if left_out:
        named = message.some([path for path, _ in left_out], 5)
        run.add_facts("warnings", [f"outputs not kept: {named} ({left_out[0][1]})"])
    links = [path for path in wrote.odd if path in marks]
    snapshot.remember_outputs(repo, [path for path in (*fresh, *links) if not _stays(path)])


def _stays(path: str) -> bool:
    """Whether a file holds for later runs, too: where data of DVC's stand, and what git ignores."""
    name = path.rpartition("/")[2]
    return name in (".gitignore", ".gitattributes") or dvc_pointers.is_pointer(path)


def _keep_results(
    run: Run, repo: Repo, wrote: Written, known: Settings, changed: list[str], read: set[str]
) -> None:
    """Keep those of the user's tracked files that are results, and say which others changed."""
    wanted = read | {path for path in changed if matches(path, known.outputs)}
    results = [path for path in changed if path in wanted or readers.is_metrics(path)]
    run.add_facts("rewritten", _kept(run, repo, results, wrote, []))
    rest = [path for path in changed if path not in results]
    if other := [path for path in rest if not dvc_pointers.is_pointer(path)]:
        named = message.some(other, 5)
        run.add_facts("warnings", [f"changed by the command, recorded as at the start: {named}"])


def _permitted(
    repo: Repo, known: Settings, paths: list[str], read: set[str]
) -> tuple[list[str], _Left]:
    """Return which new files may enter, large ones by DVC, and which not and why."""
    taken, left_out = untracked.permitted(repo, known, paths)
    in_dvc = dvc_pointers.in_use(repo.root) and ".dvc/config" not in snapshot.left_outputs(repo)
    large = {path for path, why in left_out if in_dvc and untracked.OVER in why}
    results = {path for path, why in left_out if path in read and untracked.BY_DVC in why}
    more = large | results
    return [*taken, *sorted(more)], [item for item in left_out if item[0] not in more]


def _kept(run: Run, repo: Repo, paths: list[str], wrote: Written, left_out: _Left) -> list[str]:
    """Keep files as they are now; returns which, and adds to ``left_out`` which not and why."""
    kept = []
    for path in paths:
        try:
            if files.looks((repo.root / path).lstat()) != wrote.files[path]:
                left_out.append((path, "it is still being written"))
                continue
            run.keep(path, repo.root / path)
            kept.append(path)
        except (GitexpError, OSError) as error:
            left_out.append((path, str(error)))
    return kept


def _changed(repo: Repo, tree: str, paths: list[str]) -> list[str]:
    """Return those of the files that are not as a tree has them."""
    changed = []
    for path, item in zip(paths, repo.objects(f"{tree}:{path}" for path in paths)):
        data = files.read_bytes(repo.root / path)
        if data is not None and not (item and repo.hash_of("blob", data) == item.id):
            changed.append(path)
    return changed


def leave_own(repo: Repo, facts: Mapping[str, Any], wrote: Written, known: Settings) -> list[str]:
    """Leave only what is a run's for sure where others ran beside it: what its command names, and
    the patterns for its results. Returns the rest, which counts as outputs of nobody."""
    patterns = (*known.metrics_files, *known.outputs)
    named = [
        posixpath.normpath(posixpath.join(facts.get("directory") or ".", part))
        for word in facts.get("command") or ()
        for part in (word, word.partition("=")[2])
        if part not in ("", ".")
    ]
    below = tuple(f"{name}/" for name in named)
    own = {path for path in wrote.files if matches(path, patterns) or f"{path}/".startswith(below)}
    rest = [path for path in wrote.files if path not in own]
    for path in rest:
        del wrote.files[path]
    wrote.odd = []
    snapshot.remember_outputs(repo, rest)
    return rest


def is_long(path: Path) -> bool:
    """Whether a table has DagsHub's form, a row for each value."""
    return readers.is_long(path.name, first_line(path))


def first_line(path: Path) -> bytes:
    """Return the first line of a table, empty where it cannot be read."""
    with suppress(OSError), open(path, "rb") as file:
        return file.readline(10_000)
    return b""


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path is one of what somebody named by patterns."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
