"""Finds what killed processes, other tools and faults of the disk leave behind, and repairs it.

Nothing that the user may still want is taken away: dead runs are for ``gitexp recover``, and what
was removed on purpose stays removed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gitexp.formats import message
from gitexp.formats.errors import GitError, GitexpError
from gitexp.repo import Repo, files, lock_files
from gitexp.runs import checkpoints, damage, journal, worktree
from gitexp.runs.damage import Finding as Finding
from gitexp.runs.finish import PENDING, dead_runs
from gitexp.store import (
    clone,
    connectivity,
    gathering,
    git_index,
    notes,
    rebuild,
    record,
    result_paths,
    rewritten_history,
)
from gitexp.store.index import FILE, Index, is_damaged
from gitexp.store.names import HIGHEST

_TRANSIENT = ("log-*.index", "*.pin", "*.new", "scanned.json.*")
# temporary ones, of which that of a killed transfer with DVC may hold a token; and one that pushes
# of older versions left
_FOLDERS = ("diff-*", "get-*", "dvc-*", "sign-*", "pushed")
_OLD = 24 * 3600  # seconds after which a file or pin without an owner is nobody's
_FSCK = ("fsck", "--unreachable", "--connectivity-only", "--no-reflogs", "--no-progress")
_MANY = 1_000  # tags of experiments
QUICK_LOG = "git config log.excludeDecoration 'refs/tags/exp-*'"


def examine(repo: Repo) -> list[Finding]:
    """Return what is wrong with gitexp's own files and refs in a repository; changes nothing."""
    searches = (
        damage.closed, _locks, damage.refs, damage.head, _notes, _unfinished, _of_no_run, _pins,
        _leftovers, _lost_tags, _collected, damage.objects, _of_history, _names,
    )  # fmt: skip
    found: dict[tuple[str, str], Finding] = {}  # several may meet one fault
    failed: dict[str, None] = {}
    for search in searches:
        try:
            found |= {(one.what, one.advice): one for one in search(repo)}
        except GitexpError as error:
            failed[str(error).partition("; to see what is damaged")[0]] = None
        except OSError as error:
            failed[f"{error.filename} cannot be read: {error.strerror}"] = None
    advice = "to look again: gitexp doctor" if found else "to look for damage: git fsck"
    return [*found.values(), *(Finding(what, advice) for what in failed)]


def _locks(repo: Repo) -> Iterator[Finding]:
    """Find locks that nobody holds any more, ours on the index and those of git itself."""
    if (repo.git_dir / git_index.OWNER).exists():
        what = "a writer was killed while it held the git index"
        yield Finding(what, mend=partial(record.finish_interrupted, repo))
    for lock in lock_files.leftovers(repo):
        hours = lock.age / 3600
        age = f"{hours:.0f} hours" if hours >= 2 else f"{60 * hours:.0f} minutes"
        yield Finding(
            f"the lock {lock.path} of {lock.owner} is {age} old",
            "" if lock.is_stale else f"if no git is at work: rm '{lock.path}'",
            partial(lock.path.unlink, missing_ok=True) if lock.is_stale else None,
        )


def _notes(repo: Repo) -> Iterator[Finding]:
    tip = repo.tip(notes.REF)
    if tip is None or notes.is_readable(repo, tip):
        return
    before = notes.last_readable(repo)
    change = f"update {notes.REF} {before} {tip}" if before else f"delete {notes.REF} {tip}"
    yield Finding(
        f"{notes.REF}, which holds labels and notes, cannot be read",
        mend=partial(repo.update_refs, [change], "gitexp: doctor"),
    )


def _unfinished(repo: Repo) -> Iterator[Finding]:
    """Find what killed writers and runs had not come to."""
    if result_paths.has_pending(repo):
        yield Finding(
            "a writer was killed before it had written its results into the work tree; a file that"
            " you changed since will stay as it is",
            mend=partial(record.finish_interrupted, repo),
        )
    path = repo.state_dir / FILE
    if path.exists() and is_damaged(path):
        yield Finding("the cache of experiments is damaged", mend=partial(_remove, path))
    for folder in dead_runs(repo):
        yield Finding(
            f"run {folder.name} died and is not recorded",
            "to record it with what it had logged: gitexp recover",
        )


def _of_no_run(repo: Repo) -> Iterator[Finding]:
    """Find checkpoints and MLflow artifacts of runs that are over and no experiment here."""
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
        what, mend = "MLflow artifacts", partial(shutil.rmtree, path, ignore_errors=True)
        if path in tops:
            what, mend = "checkpoints", partial(checkpoints.forget, repo, path.name)
        why = f"the {what} of run {path.name}, which is no experiment here, are left"
        yield Finding(why, mend=mend)


def _pins(repo: Repo) -> Iterator[Finding]:
    """Find pins of snapshots whose run is gone; a young one's may just start or end."""
    alive = {folder.name for folder in journal.folders(repo)}
    for ref, oid in repo.refs(PENDING).items():
        if ref.removeprefix(PENDING) not in alive and _age(repo.common_dir / ref) > _OLD:
            mend = partial(repo.update_refs, [f"delete {ref} {oid}"], "gitexp: doctor")
            yield Finding(f"{ref} still holds the snapshot of a run that is over", mend=mend)


def _leftovers(repo: Repo) -> Iterator[Finding]:
    """Find work trees and temporary files whose owner was killed."""
    for place in worktree.leftovers(repo):
        runs = ", and its command still runs" if worktree.is_running(place) else ""
        what = f"the work tree {place.name} of a killed command is left{runs}"
        yield Finding(what, mend=partial(worktree.remove, repo, place))
    for pattern in (*_TRANSIENT, *_FOLDERS):
        for item in sorted(repo.state_dir.glob(pattern)):
            if _age(item) > _OLD:
                what = f"{item.name} in .git/gitexp is left over and no longer used"
                yield Finding(what, mend=partial(_remove, item))


def _of_history(repo: Repo) -> Iterator[Finding]:
    return (Finding(*found) for found in rewritten_history.examine(repo))


def _names(repo: Repo) -> Iterator[Finding]:
    """Find experiments of DVC that a tag of the same name hides, and tags too many for git log."""
    names = {ref.split("/", 4)[4] for ref in repo.refs("refs/exps") if ref.count("/") > 3}
    for name in sorted(names):
        if repo.refs(f"refs/tags/{name}"):
            yield Finding(
                f"the tag {name} hides DVC's experiment of that name, so dvc exp apply {name} would"
                " take the tag's commit",
                f"to give DVC's another name: dvc exp rename {name} NEW",
            )
    if len(repo.refs("refs/tags/exp-*")) > _MANY and not repo.config("log.excludeDecoration"):
        yield Finding(
            "git log looks at the tags of all experiments before it begins",
            f"to leave them out: {QUICK_LOG}",
        )


def _lost_tags(repo: Repo) -> Iterator[Finding]:
    """Find experiments that lost their tag without ``gitexp rm``, as by ``git fetch --prune-tags``:
    neither what lost a race for its name, nor a dead run's, nor another clone's."""
    # a shallow fetch brings tags without a ref
    recorded_here = not repo.is_shallow or (repo.state_dir / HIGHEST).exists()
    lost = _unreachable_tags(repo) if recorded_here else []
    known = clone.load(repo)
    if not lost and known is None:
        return
    index = Index(repo)
    ids = index.rows("json_extract(tag.summary, '$.id')", "ref.remote = ''", everybody=True)
    has_tag = {row[0] for row in ids}
    has_tag |= {journal.facts(folder).get("id") for folder in journal.folders(repo)}
    theirs = index.gathered_by_others()
    owners = known.owners.items() if known else ()
    if own := [f"{gathering.SEEN}{remote}/{owner}" for remote, (_, owner) in owners]:
        tips = repo.refs(*own).values()
        lost += [item.tag for tip in tips for item in gathering.read(repo, tip)[1]]
    theirs |= {*files.read_text(repo.state_dir / record.REMOVED).split()}
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
            restore = partial(damage.put_back, repo, f"refs/tags/{found.name}", tag)
            yield Finding(f"the tag {found.name} is gone", mend=restore)


def _collected(repo: Repo) -> Iterator[Finding]:
    """Find experiments that lost their tag without ``gitexp rm``, and that git collected."""
    known = damage.recorded(repo)
    tags, removed = (
        repo.refs("refs/tags"),
        {*files.read_text(repo.state_dir / record.REMOVED).split()},
    )
    gone = [item for item in known if item[0] not in removed and f"refs/tags/{item[2]}" not in tags]
    if gone:
        there = {row[0] for row in Index(repo).rows('tag."commit"', everybody=True)}
        objects = repo.kinds(oid for item in gone for oid in item[:2])
        gone = [item for item in gone if objects[item[0]] == "missing" and item[1] not in there]
        for _, commit, name in gone:
            if objects[commit] != "missing":
                yield Finding(
                    f"the tag {name} is gone, and collected by git; its commit says all but the"
                    " labels that were given at once",
                    mend=partial(rebuild.tag, repo, name, commit),
                )
        if lost := [name for _, commit, name in gone if objects[commit] == "missing"]:
            forget = f"if all of it was meant: rm '{repo.state_dir / record.RECORDED}'"
            yield Finding(
                f"gone without gitexp rm, and collected by git: {message.some(lost, 5)}",
                f"{connectivity.advice(repo)}; {forget}",
            )


def _unreachable_tags(repo: Repo) -> list[str]:
    try:
        lines = repo.git(*_FSCK, ok=(0, 2, 4, 8)).decode("utf-8", "replace").splitlines()
    except GitError:
        return []
    return [
        line.split()[2] for line in lines if line.startswith(("unreachable tag ", "dangling tag "))
    ]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Return the seconds since a file was written; one that is not there (a packed ref) is old."""
    return time.time() - files.modified(path) / 1e9
