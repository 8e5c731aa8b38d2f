"""What killed processes, other tools and faults of the disk leave behind, and how each of it is
mended.

``examine`` only looks. A finding that can be mended without a doubt carries the way; nothing that
the user may still want is taken away: dead runs are for ``gitexp recover``, and what was removed on
purpose stays removed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from gitexp.formats import message
from gitexp.formats.errors import GitError
from gitexp.repo import Repo, lock_files
from gitexp.runs import checkpoints, journal, worktree
from gitexp.runs.finish import PENDING, dead_runs
from gitexp.store import (
    clone,
    connectivity,
    gathering,
    git_index,
    notes,
    record,
    result_paths,
    rewritten_history,
)
from gitexp.store.index import Index, is_damaged

_TRANSIENT = ("log-*.index", "*.pin", "result.new", "highest.new", "scanned.json.*")
# temporary ones; that of a killed transfer with DVC may hold a token
_FOLDERS = ("diff-*", "get-*", "dvc-*", "sign-*")
_OLD = 24 * 3600  # seconds after which a file or pin without an owner is nobody's
_SHOWN = 20  # broken experiments that are named
_MANY = 1_000  # tags of experiments
QUICK_LOG = "git config log.excludeDecoration 'refs/tags/exp-*'"


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        what: what it is, in one line.
        advice: the next step for the user, where ``--fix`` leaves it alone.
        mend: makes it right; None where only the user can.
    """

    what: str
    advice: str = ""
    mend: Callable[[], object] | None = None


def examine(repo: Repo) -> list[Finding]:
    """Return all that is wrong with gitexp's own files and refs in a repository; changes
    nothing."""
    return [
        *_index_lock(repo),
        *_locks(repo),
        *_head(repo),
        *_notes(repo),
        *_results(repo),
        *_cache(repo),
        *_runs(repo),
        *_of_no_run(repo),
        *_pins(repo),
        *_worktrees(repo),
        *_files(repo),
        *_lost_tags(repo),
        *_broken(repo),
        *(Finding(*found) for found in rewritten_history.examine(repo)),
        *_dvc_names(repo),
        *_decoration(repo),
    ]


def _index_lock(repo: Repo) -> Iterator[Finding]:
    if (repo.git_dir / git_index.OWNER).exists():
        yield Finding(
            "a writer was killed while it held the git index", mend=lambda: record.settle(repo)
        )


def _locks(repo: Repo) -> Iterator[Finding]:
    """Find lock files of git itself that nobody holds any more."""
    for lock in lock_files.leftovers(repo):
        hours = lock.age / 3600
        age = f"{hours:.0f} hours" if hours >= 2 else f"{lock.age / 60:.0f} minutes"
        yield Finding(
            f"the lock {lock.path} of {lock.owner} is {age} old",
            "" if lock.is_stale else f"if no git is at work: rm '{lock.path}'",
            partial(lock.path.unlink, missing_ok=True) if lock.is_stale else None,
        )


def _head(repo: Repo) -> Iterator[Finding]:
    head = repo.head()
    ref = repo.common_dir / (head.branch or "HEAD")
    if head.commit is None and not ref.exists():  # before the first commit
        return
    if head.commit is None or next(repo.objects([head.commit])) is None:
        yield Finding(
            "the commit that HEAD points to cannot be read",
            "to see where it was: git reflog; to look for damage: git fsck",
        )


def _notes(repo: Repo) -> Iterator[Finding]:
    tip = repo.tip(notes.REF)
    if tip is None or notes.is_readable(repo, tip):
        return
    before = notes.last_readable(repo)
    yield Finding(
        f"{notes.REF}, which holds labels and notes, cannot be read",
        mend=lambda: repo.update_refs(
            [f"update {notes.REF} {before} {tip}" if before else f"delete {notes.REF} {tip}"],
            "gitexp: doctor",
        ),
    )


def _broken(repo: Repo) -> Iterator[Finding]:
    """Find tags whose object is gone, and experiments that lack files."""
    tags = {ref.removeprefix("refs/tags/"): oid for ref, oid in repo.refs("refs/tags").items()}
    kinds = _kinds(repo, tags.values())
    for name, oid in tags.items():
        if kinds[oid] == "missing":
            yield Finding(
                f"the tag {name} points to nothing",
                f"to take it away: git update-ref -d refs/tags/{name}; {connectivity.advice(repo)}",
            )
    rows = Index(repo).rows('tag."commit", ref.name', "ref.remote = ''", everybody=True)
    names = dict(rows)
    kinds = _kinds(repo, names)
    there = [commit for commit in names if kinds[commit] == "commit"]
    for commit, lost in islice(connectivity.broken(repo, there), _SHOWN):
        yield Finding(
            f"{names[commit]} lacks {len(lost)} of its files or folders ({lost[0][:10]})",
            connectivity.advice(repo),
        )


def _kinds(repo: Repo, oids: Iterable[str]) -> dict[str, str]:
    """Return the kind of each object, ``missing`` for one that is not there."""
    oids = [*dict.fromkeys(oids)]
    asked = "".join(f"{oid}\n" for oid in oids).encode()
    found = repo.git("cat-file", "--batch-check=%(objecttype)", stdin=asked).decode().splitlines()
    return {oid: kind.rpartition(" ")[2] for oid, kind in zip(oids, found)}


def _results(repo: Repo) -> Iterator[Finding]:
    if result_paths.owes(repo):
        yield Finding(
            "a writer was killed before it had written its results into the work tree; a file that"
            " you changed since will stay as it is",
            mend=lambda: record.settle(repo),
        )


def _cache(repo: Repo) -> Iterator[Finding]:
    path = repo.state_dir / "index.sqlite"
    if path.exists() and is_damaged(path):
        yield Finding(
            "the cache of experiments is damaged", mend=lambda: path.unlink(missing_ok=True)
        )


def _runs(repo: Repo) -> Iterator[Finding]:
    for folder in dead_runs(repo):
        yield Finding(
            f"run {folder.name} died and is not recorded",
            "to record it with what it had logged: gitexp recover",
        )


def _of_no_run(repo: Repo) -> Iterator[Finding]:
    """Find checkpoints, and artifacts of MLflow's, of runs that neither go on nor became an
    experiment that is still here."""
    tops = [*(repo.state_dir / checkpoints.FOLDER).glob("*")]
    logged = [path.parent for path in (repo.state_dir / "mlflow").glob("*/*/artifacts")]
    old = [path for path in (*tops, *logged) if _age(path) > _OLD]
    if not old:
        return
    columns = ", ".join(f"json_extract(tag.summary, '$.{word}')" for word in ("id", "mlflow.run"))
    known = {checkpoints.OBJECTS}
    for folder in journal.folders(repo):
        known |= {folder.name, *(path.resolve().parent.name for path in journal.linked(folder))}
    for commit, *ids in Index(repo).rows(f'tag."commit", {columns}', everybody=True):
        known |= {commit[:32], *ids}
    for path in sorted(path for path in old if path.name not in known):
        what = "checkpoints" if path in tops else "MLflow artifacts"
        yield Finding(
            f"the {what} of run {path.name}, which is no experiment here, are left",
            mend=partial(checkpoints.forget, repo, path.name)
            if path in tops
            else partial(shutil.rmtree, path, ignore_errors=True),
        )


def _pins(repo: Repo) -> Iterator[Finding]:
    """Find pins of snapshots whose run is gone. A young one may belong to somebody who is just
    starting or ending."""
    alive = {folder.name for folder in journal.folders(repo)}
    for ref, oid in repo.refs(PENDING).items():
        if ref.removeprefix(PENDING) not in alive and _age(repo.common_dir / ref) > _OLD:
            yield Finding(
                f"{ref} still holds the snapshot of a run that is over",
                mend=lambda ref=ref, oid=oid: repo.update_refs(
                    [f"delete {ref} {oid}"], "gitexp: doctor"
                ),  # type: ignore[misc]
            )


def _worktrees(repo: Repo) -> Iterator[Finding]:
    for place in worktree.leftovers(repo):
        runs = ", and its command still runs" if worktree.is_running(place) else ""
        yield Finding(
            f"the work tree {place.name} of a killed command is left{runs}",
            mend=partial(worktree.remove, repo, place),
        )


def _files(repo: Repo) -> Iterator[Finding]:
    for pattern in _TRANSIENT:
        for file in sorted(repo.state_dir.glob(pattern)):
            if _age(file) > _OLD:
                yield Finding(
                    f"{file.name} in .git/gitexp belongs to nobody any more",
                    mend=partial(file.unlink, missing_ok=True),
                )
    for pattern in _FOLDERS:
        for folder in sorted(repo.state_dir.glob(pattern)):
            if _age(folder) > _OLD:
                yield Finding(
                    f"{folder.name} in .git/gitexp belongs to nobody any more",
                    mend=partial(shutil.rmtree, folder),
                )


def _dvc_names(repo: Repo) -> Iterator[Finding]:
    """Find experiments of DVC that a tag of the same name hides: ``dvc exp apply`` would take the
    tag's commit."""
    refs = repo.refs("refs/exps", "refs/tags")
    for name in sorted(
        {
            ref.split("/", 4)[4]
            for ref in refs
            if ref.startswith("refs/exps/") and ref.count("/") > 3
        }
    ):
        if f"refs/tags/{name}" in refs:
            yield Finding(
                f"the tag {name} hides DVC's experiment of that name, so dvc exp apply {name} would"
                " take the tag's commit",
                f"to give DVC's another name: dvc exp rename {name} NEW",
            )


def _decoration(repo: Repo) -> Iterator[Finding]:
    if len(repo.refs("refs/tags/exp-*")) > _MANY and not repo.config("log.excludeDecoration"):
        yield Finding(
            "git log looks at the tags of all experiments before it begins",
            f"to leave them out: {QUICK_LOG}",
        )


def _lost_tags(repo: Repo) -> Iterator[Finding]:
    """Find experiments whose tag was taken away by something else than ``gitexp rm``, as ``git
    fetch --prune-tags`` does.

    Until git collects it, the tag object is still there, and this clone's gathering branches carry
    those that were pushed. One whose experiment has a tag is what a writer left that lost the race
    for a name, one whose run is dead waits for ``recover``, and what other clones gathered is
    theirs.
    """
    # a shallow fetch brings tags without a ref
    recorded_here = not repo.is_shallow or (repo.state_dir / "highest").exists()
    lost = _unreachable_tags(repo) if recorded_here else []
    known = clone.load(repo)
    if not lost and known is None:
        return
    index = Index(repo)
    has_tag = {
        row[0]
        for row in index.rows(
            "json_extract(tag.summary, '$.id')", "ref.remote = ''", everybody=True
        )
    }
    has_tag |= {journal.facts(folder).get("id") for folder in journal.folders(repo)}
    theirs = index.gathered_by_others()
    own = (
        [f"{gathering.SEEN}{remote}/{owner}" for remote, (_, owner) in known.owners.items()]
        if known
        else []
    )
    lost += (
        [item.tag for tip in repo.refs(*own).values() for item in gathering.read(repo, tip)[1]]
        if own
        else []
    )
    with suppress(OSError):
        theirs |= {*(repo.state_dir / record.REMOVED).read_text().split()}
    lost = [tag for tag in dict.fromkeys(lost) if tag not in theirs]
    gathering.restore(repo, {tag for tag, item in zip(lost, repo.objects(lost)) if item is None})
    for tag, item in zip(lost, repo.objects(lost)):
        found = message.parse_tag(item.data) if item else None
        if found is None or found.summary.get("id") in has_tag:
            continue
        if repo.refs(f"refs/tags/{found.name}"):
            yield Finding(
                f"the tag of '{found.subject}' is gone, and another experiment has its name",
                f"to give it one: git update-ref refs/tags/NAME {tag}",
            )
        else:
            yield Finding(
                f"the tag {found.name} is gone",
                mend=partial(_restore, repo, found.name, tag),
            )


def _unreachable_tags(repo: Repo) -> list[str]:
    try:
        lines = (
            repo.git("fsck", "--unreachable", "--no-reflogs", "--no-progress", ok=(0, 2, 4, 8))
            .decode("utf-8", "replace")
            .splitlines()
        )
    except GitError:
        return []
    return [line.split()[2] for line in lines if line.startswith("unreachable tag ")]


def _restore(repo: Repo, name: str, tag: str) -> None:
    with record.locked(repo) as fd:
        repo.update_refs([f"create refs/tags/{name} {tag}"], "gitexp: doctor", [fd])


def _age(path: Path) -> float:
    """Return the seconds since a file was written; one that is not there (a packed ref) is old."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")
