"""Records experiments as commits and tags: the one place that does.

A recording either is there whole (one commit, one annotated tag, created in one transaction that
also moves the branch) or not at all. The branch moves only where that is a fast-forward that undoes
nobody's work; else only its tag holds the experiment.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from gitexp.formats import environment, params, redaction
from gitexp.formats.errors import GitError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import (
    Repo,
    Transaction,
    collector,
    dvc_pointers,
    filters,
    lock_files,
    trees,
    untracked,
)
from gitexp.repo.snapshot import OUTPUTS, Snapshot, remember_outputs
from gitexp.store import git_index, names, result_paths
from gitexp.store.entry import Draft as Draft
from gitexp.store.entry import Entry, placed, settings_of, write_objects
from gitexp.store.entry import without_secrets as without_secrets

REMOVED = "removed"  # in state_dir: the hashes of tags that were taken away on purpose
RECORDED = "recorded"  # there: tag, commit and name of each experiment that was recorded here
_TRIES = 20
_AGAIN = 4  # times that objects are made anew which a collector took away before a ref held them
_LOOSE = 12  # tags
_LARGE = 50 * 10**6  # bytes of a pack that is left alone
_PACKED = 20_000  # bytes of packed tags for which one more may lie loose
# all loose objects into one pack, with those packs that are not much larger
_REPACK = (
    "-c", "pack.threads=1", "repack", "-d", "-l", "-q", "--geometric=2", "--no-write-bitmap-index"
)  # fmt: skip
Contents = dict[str, bytes | Path]  # by their paths in the tree
Files = dict[str, str | None]  # the hashes of blobs by those, None where one goes


class Recorded(NamedTuple):
    """An experiment that was just recorded, and where the branch went."""

    experiment: Experiment
    advanced: str | None  # the branch's short name where it moved onto the experiment, else None
    beside: str | None  # why it did not, None where it did or was not asked to
    warnings: tuple[str, ...] = ()  # what could not be kept

    @property
    def kept(self) -> frozenset[str]:
        """The artifacts by the paths that they were given by, also where DVC has their content."""
        paths = self.experiment.extra.get("artifacts", ())
        return frozenset(path.removesuffix(dvc_pointers.SUFFIX) for path in paths)


def _unguarded(repo: Repo, snapshot: Snapshot, draft: Draft) -> list[str]:
    """Return what to say of secrets: params that were hidden, and what the repository's settings,
    which anybody may have written, let pass."""
    known, said = settings_of(repo), []
    if draft.hidden:
        hidden = f"{', '.join(draft.hidden)} may be secrets and read {redaction.HIDDEN}"
        said.append(f"{hidden}; to record them, set scan_secrets = false")
    if not known.scan_secrets:
        said.append("secrets are not looked for: the settings say scan_secrets = false")
    elif known.include and snapshot.taken:
        said += [
            f"{path} may be a secret ({why}), and the setting 'include' takes it"
            for path, why in untracked.risky(repo, snapshot.taken).items()
        ]
    return said


def record(repo: Repo, snapshot: Snapshot, draft: Draft, pending: str | None = None) -> Recorded:
    """Make one commit and one tag of a snapshot and its results.

    Args:
        pending: the ref that holds the snapshot's tree until now; it is deleted.

    Raises:
        UsageError: the draft's own name is taken.
        GitError: git cannot write; nothing was recorded.
    """
    for attempt in range(_AGAIN + 1):
        try:
            with collector.guarded(repo) as guard:
                guard.index, guard.tree = snapshot.index, snapshot.tree
                return _record(repo, snapshot, draft, pending)
        except GitError as error:
            # `git gc --prune=now` beside us takes objects that nothing points to yet
            if not collector.has_taken(error) or attempt == _AGAIN:
                raise
    raise AssertionError


class _Recording:
    """One experiment on its way, for one who holds the lock of all writers; ``why`` says why the
    branch stays where it is, and is None where it moves."""

    def __init__(
        self, repo: Repo, snapshot: Snapshot, draft: Draft, pending: str | None, fd: int
    ) -> None:
        self.repo, self.snapshot, self.draft, self.fd = repo, snapshot, draft, fd
        self.number = names.highest(repo) + 1
        # a file that can just go, afterwards: not packed since, nor in a reftable
        self.pin = pending if pending and (repo.common_dir / pending).is_file() else None
        self.pending = None if self.pin else pending

    @property
    def name(self) -> str:
        return self.draft.name or f"exp-{self.number}"

    def prepare(self, index: git_index.NextIndex, contents: Contents, files: Files) -> None:
        """Find out whether the branch may move, and write the tree."""
        self.index = index
        self.back = result_paths.to_write(self.repo, self.draft.files, contents, self.snapshot)
        self.why = _why_beside(self.repo, self.snapshot, self.draft, self.back)
        if self.why is None:
            index.begin()
        self.tree = trees.edited(self.repo, self.snapshot.tree, files)

    def write(self) -> Experiment:
        """Write commit and tag, and move all refs at once, by the first name that is free."""
        head = self.snapshot.head
        entry = Entry(self.draft, self.tree, None, head.commit)
        for _ in range(_TRIES):
            with self.repo.transaction(f"gitexp: record {self.name}", [self.fd]) as change:
                made = write_objects(self.repo, entry, self.name, head.short or None)
                if self._moved(change, made):
                    return made
        raise GitError(f"no free name was found in {_TRIES} tries; try again")

    def _moved(self, change: Transaction, made: Experiment) -> bool:
        """Create the tag and move the branch; False where that must be tried again."""
        head = self.snapshot.head
        self.why = self.why or self.index.why_not(self.tree)
        moves = self.why is None
        commands = [f"create refs/tags/{made.name} {made.tag}"]
        if moves:
            result_paths.note_pending(self.repo, made.id, self.back, self.snapshot)
            commands.append(f"update {head.branch} {made.id} {head.commit or self.repo.zero}")
        try:
            change.prepare([*commands, *([f"delete {self.pending}"] if self.pending else [])])
        except GitError as error:
            result_paths.drop_pending(self.repo)
            self._learn(error, moves)
            return False
        if moves and not self.index.lock():
            return False
        change.commit()
        if moves:
            self.index.swap()
        if self.pin:
            self.repo.unpin(self.pin)
        return True

    def _learn(self, error: GitError, moves: bool) -> None:
        """Change what the next try does by what git refused; raise the error where it is final."""
        if self.pending and ("packed-refs" in error.stderr or self.pending in error.stderr):
            # somebody packs refs just now; a leftover pin costs nothing, and doctor finds it
            self.pending = None
        elif self.repo.refs(f"refs/tags/{self.name}"):
            if self.draft.name:
                raise names.taken(self.name) from None
            self.number = max(self.number, names.highest(self.repo, scan=True)) + 1
        elif not self.draft.name and names.is_taken(error, self.name):
            self.number += 1
        elif moves and self.repo.head() != self.snapshot.head:
            self.why = "the branch moved meanwhile"
        elif moves and lock_files.met(error):
            self.why = str(error).partition(";")[0]
        else:
            raise error


def _record(repo: Repo, snapshot: Snapshot, draft: Draft, pending: str | None) -> Recorded:
    draft = placed(draft, snapshot.project)
    contents, files, warnings = _files(repo, snapshot, draft)
    with locked(repo) as fd, git_index.NextIndex(repo, snapshot, files, fd) as index:
        going = _Recording(repo, snapshot, draft, pending, fd)
        going.prepare(index, contents, files)
        made = going.write()
        pack(repo, fd)
        if not draft.name:
            names.remember_highest(repo, going.number)
        remember(repo, [made])
        if going.why is None:
            warnings += result_paths.write_back(repo, going.back, contents, snapshot)
        else:
            result_paths.drop_pending(repo)
    remember_outputs(repo, (*snapshot.outputs, *draft.outputs))
    branch = snapshot.head.short if going.why is None else None
    return Recorded(made, branch or None, going.why, tuple(warnings))


def _files(repo: Repo, snapshot: Snapshot, draft: Draft) -> tuple[Contents, Files, list[str]]:
    """Return the experiment's own files, what changes in the snapshot's tree, and warnings."""
    contents = _contents(draft)
    files, warnings = blobs(repo, draft, contents)
    warnings += _unguarded(repo, snapshot, draft)
    if known := {path: files[path] for path in draft.outputs if path in files}:
        noted = snapshot.project + OUTPUTS
        contents[noted] = listed = json.dumps(known, indent=1).encode()
        files |= filters.write(repo, {noted: listed})
    gone = dict.fromkeys((*snapshot.previous, *snapshot.outputs))
    return contents, {**gone, **files}, warnings


def remove(repo: Repo, experiments: Sequence[Experiment]) -> list[str]:
    """Remove the tags of experiments, all or none, and return the commands that bring them back;
    their commits stay until git collects them. What ``git fetch`` brought as OWNER/exp-7 goes,
    too."""
    tags = {f"refs/tags/{item.name}": item.tag for item in experiments}
    known = repo.refs("refs/tags")
    if away := [item.name for item in experiments if f"refs/tags/{item.name}" not in known]:
        raise UsageError(
            f"{away[0]} lies on a remote and has no tag of its own here; nothing was removed"
        )
    ends = {tag: ref.removeprefix("refs/tags") for ref, tag in tags.items()}
    gone = tags | {ref: tag for ref, tag in known.items() if ref.endswith(ends.get(tag, " "))}
    with locked(repo) as fd:
        names.remember_highest(repo, names.highest(repo))
        repo.update_refs([f"delete {ref} {tag}" for ref, tag in gone.items()], "gitexp: rm", [fd])
        # so that doctor does not take them for lost
        with suppress(OSError), open(repo.state_dir / REMOVED, "a") as file:
            file.write("".join(f"{tag}\n" for tag in tags.values()))
    return [f"git update-ref {shlex.quote(ref)} {tag}" for ref, tag in tags.items()]


def restore(repo: Repo, experiments: Iterable[Experiment]) -> None:
    """Bring tags back that ``remove`` took, where their names are still free."""
    commands = [f"create refs/tags/{item.name} {item.tag}" for item in experiments]
    with locked(repo) as fd:
        repo.update_refs(commands, "gitexp: undo rm", [fd])


@contextmanager
def locked(repo: Repo) -> Iterator[int]:
    """Hold the lock of all writers, after finishing what a killed one left half done."""
    with repo.lock() as fd:
        git_index.finish(repo)
        result_paths.finish(repo)
        yield fd


def finish_interrupted(repo: Repo) -> None:
    """Finish what a killed writer left half done, where one did."""
    if result_paths.has_pending(repo) or (repo.git_dir / git_index.OWNER).exists():
        with locked(repo):
            """Taking the lock finishes it."""


def _contents(draft: Draft) -> Contents:
    """Return the experiment's own files."""
    contents: Contents = {
        draft.files.params: params.dump(draft.params),
        draft.files.metrics: draft.metrics,
        draft.extra.get("project", "") + environment.PATH: draft.requirements.encode(),
        **draft.artifacts,
    }
    return {
        path: content for path, content in contents.items() if path not in draft.files.as_they_are
    }


def blobs(repo: Repo, draft: Draft, contents: Contents | None = None) -> tuple[Files, list[str]]:
    """Write the experiment's own files as blobs: ``{path: hash}``, and what could not be added."""
    files: Files = {}
    warnings: list[str] = []
    contents = _contents(draft) if contents is None else contents
    changed = filters.changed(repo, filter(trees.is_path, contents))
    for path, content in contents.items():
        try:
            if not trees.is_path(path):
                raise GitError("git does not accept such a path")
            oid = filters.blob(repo, path, content, changed.get(path))
            runs = isinstance(content, Path) and content.stat().st_mode & stat.S_IXUSR
            files[path] = trees.Executable(oid) if runs else oid
        except (GitError, OSError) as error:
            if path not in draft.artifacts or "clean filter" in getattr(error, "stderr", ""):
                raise
            warnings.append(f"artifact {path} was not kept: {error}")
    return files, warnings


def _why_beside(repo: Repo, snapshot: Snapshot, draft: Draft, back: Sequence[str]) -> str | None:
    """Return the reason for which the branch must stay where it is, None where it may move and
    ``back`` be written into the work tree."""
    if draft.beside or not draft.advance:
        return "--no-advance" if draft.beside is None else draft.beside
    if snapshot.head.branch is None:
        return "HEAD is detached"
    if under_way := repo.in_progress():
        return f"{under_way} is under way"
    if snapshot.staged_apart:
        return f"'{snapshot.staged_apart[0]}' is staged with other content than it has on disk"
    if blocked := result_paths.blocked(repo.root, (*back, *snapshot.previous)):
        return blocked
    if not repo.head_unmoved(snapshot.head):
        return "another branch was checked out since the start"
    if repo.tip(snapshot.head.branch) != snapshot.head.commit:
        return "the branch moved since the start"
    return None


def remember(repo: Repo, made: Iterable[Experiment]) -> None:
    """Note the tag, commit and name of what was recorded, for doctor to name what is gone."""
    with suppress(OSError), open(repo.state_dir / RECORDED, "a", encoding="utf-8") as file:
        file.write("".join(f"{item.tag} {item.id} {item.name}\n" for item in made))


def pack(repo: Repo, fd: int) -> None:
    """Pack the tags when they pile up, each a file that every reading of the refs has to open; and
    have git pack the objects, which goes on when we have ended."""
    with suppress(OSError, GitError):  # another git may be at it, or the refs lie in a reftable
        tags, packed = (repo.common_dir / name for name in ("refs/tags", "packed-refs"))
        # all packed ones are written again
        many = _LOOSE + (packed.stat().st_size // _PACKED if packed.exists() else 0)
        if len(os.listdir(tags)) > many:
            repo.git("pack-refs", pass_fds=[fd])
            if settings_of(repo).maintenance and _may_maintain(repo):
                packs = (repo.common_dir / "objects/pack").glob("*.pack")
                large = [path.name for path in packs if path.stat().st_size > _LARGE]
                # to write these again may take the machine minutes
                repo.leave(*_REPACK, *(f"--keep-pack={name}" for name in large))


def _may_maintain(repo: Repo) -> bool:
    """Whether git's own configuration lets it tidy up by itself; a partial clone is left alone."""
    asked = r"^(gc[.]auto|maintenance[.]auto|extensions[.]partialclone)$"
    said = {name: value for scope, name, value in repo.scoped_config(asked) if scope != "command"}
    partial = said.pop("extensions.partialclone", None)
    return not partial and not {*map(str.lower, said.values())} & {"0", "false", "no", "off"}
