"""Whether a checkout may be done: what it would lose, files whose content lives nowhere else, and
putting that aside by ``git stash``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitexp.formats import message
from gitexp.formats.errors import GitError, GitexpError, RepositoryError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, content, dvc_pointers, dvc_status, lock_files, snapshot, submodules
from gitexp.repo.dvc_pointers import Data
from gitexp.repo.files import read_bytes
from gitexp.store import connectivity, result_paths
from gitexp.store.index import Index

_SHOWN = 3
Entry = tuple[str, str]  # mode and hash, as the index has them
GONE = ("000000", "")
_NO_FILE = (GONE[0], "160000")  # the latter a submodule, whose commit is another repository's


@dataclass(frozen=True)
class Survey:
    """The files that git would not, or should not, simply replace."""

    lost: tuple[str, ...]  # those whose content lives nowhere else
    # those that git holds already, with the entry that the experiment has for them (``GONE``: none)
    free: Mapping[str, Entry]
    # those of ``free`` that are sources, not committed here but the experiment's own to the byte
    adopted: tuple[str, ...]


def check_ready(repo: Repo, target: Experiment, branch: str | None = None) -> None:
    """Raise an error where the commit is not here, a merge or the like is under way, or ``branch``
    cannot be made."""
    connectivity.check_present(repo, target.id)
    if under_way := repo.in_progress():
        raise RepositoryError(
            f"{under_way} is under way; finish or abort it first (git status says how), or use"
            " --worktree DIR"
        )
    check_branch(repo, branch)


def check_branch(repo: Repo, branch: str | None) -> None:
    """Raise UsageError where a branch cannot be made; None is no branch."""
    if branch is None:
        return
    if branch.startswith("-") or not repo.succeeds("check-ref-format", f"refs/heads/{branch}"):
        raise UsageError(
            f"'{branch}' cannot be a branch's name; use letters, digits, dots and dashes"
        )
    if repo.refs(f"refs/heads/{branch}"):
        raise UsageError(
            f"there is a branch '{branch}' already; choose another name, or go there: git checkout"
            f" {branch}"
        )


def data_arriving(repo: Repo, target: Experiment) -> tuple[tuple[Data, ...], tuple[str, ...]]:
    """Return the data that a checkout has to bring, and what is to be said of other data.

    Raises:
        UsageError: data would be lost that changed since the last ``dvc commit``.
    """
    if not dvc_pointers.in_use(repo.root):
        return (), ()
    here, wanted = dvc_pointers.in_work_tree(repo), dvc_pointers.of_commit(repo, target.id)
    arriving = tuple(
        item
        for path, item in wanted.items()
        if path not in here or here[path].hash != item.hash or not os.path.lexists(repo.root / path)
    )
    if not arriving:
        return (), ()
    paths = {item.path for item in arriving}
    try:
        changed = [item.path for item in dvc_status.stale(repo, here) if item.path in paths]
    except GitexpError as error:
        return (), (f"its data was not brought: {error}",)
    if changed:
        raise UsageError(
            f"data that is not committed would be lost: {listed(changed)}; dvc commit, or leave"
            " data as it is: --no-data"
        )
    return arriving, ()


def submodules_ready(repo: Repo) -> dict[str, str]:
    """Return the commands that bring the submodules back to where they are now, by their paths.

    Raises:
        UsageError: one holds edits.
    """
    if edits := submodules.edited(repo):
        raise UsageError(
            f"edits in a submodule that are not committed would be lost: {listed(edits)}; commit"
            " them inside it, or leave it where it is: without --recurse-submodules"
        )
    return submodules.ways_back(repo)


def look(repo: Repo, index: Index, target: Experiment, without: Iterable[str] = ()) -> Survey:
    """Look at what is changed, and at the untracked and ignored files that lie where the experiment
    has one of its own.

    Args:
        without: files and folders that stay as they are.
    """
    differing = dict(_differing(repo, target))
    files = {oid for (mode, oid), _ in differing.values() if mode not in _NO_FILE}
    connectivity.check(repo, target, [*files])
    changed = dict(_changed(repo))
    arriving = _met(repo, [path for path, (_, in_index) in differing.items() if not in_index])
    stay = {*without}
    met = dict.fromkeys((*changed, *arriving))
    paths = [path for path in met if not result_paths.holds(stay, path)]
    on_disk = _hashes(repo, paths)
    outputs = {*snapshot.left_outputs(repo), *snapshot.outputs_of(repo)} if paths else set()
    results = [path for path in paths if path in outputs or _is_result(path, target)]
    recorded = {*_recorded(repo, index, results)}
    lost: dict[str, None] = {}
    free: dict[str, Entry] = {}
    adopted: list[str] = []
    for path in paths:
        if snapshot.is_behind_link(repo.root, path):  # which git does not follow, but replaces
            lost[result_paths.linked(repo.root, [path]) or path] = None
            continue
        half_staged, entry = changed.get(path, (False, GONE))
        theirs = differing[path][0] if path in differing else entry
        equal = not half_staged and theirs != GONE and on_disk.get(path) == theirs[1]
        if equal and path not in results:
            adopted.append(path)
        if equal or (path in recorded and not half_staged):
            free[path] = theirs
        else:
            lost[path] = None
    return Survey(tuple(lost), free, tuple(adopted))


def look_at_params(repo: Repo, index: Index, target: Experiment, path: str) -> Survey:
    """Look at the place of an experiment's params file alone."""
    if link := result_paths.linked(repo.root, [path]):
        return Survey((link,), {}, ())
    data = read_bytes(repo.root / path)
    equal = data is None or data == target.read(path) or _recorded(repo, index, [path])
    return Survey(() if equal else (path,), {}, ())


def remove_other_outputs(repo: Repo, index: Index) -> tuple[str, ...]:
    """Remove what other runs wrote and nobody changed since, where an experiment has it; return
    what to say of it."""
    known = snapshot.left_outputs(repo)
    tracked = {*repo.entries("ls-files", "-z")} if known else set()
    gone = _recorded(repo, index, [path for path in known if path not in tracked])
    for path in gone:
        (repo.root / path).unlink(missing_ok=True)
        for folder in Path(path).parents[:-1]:
            with suppress(OSError):
                (repo.root / folder).rmdir()
    told = f"outputs of other runs, which hold them, were removed: {listed(gone)}"
    return (told,) if gone else ()


@contextmanager
def cleared(
    repo: Repo, survey: Callable[[], Survey], stash: bool, only: str | None = None
) -> Iterator[tuple[Survey, bool]]:
    """Yield what is known to be safe, and whether work was stashed for it; put that back where the
    block fails."""
    found = survey()
    if not found.lost:
        yield found, False
        return
    if not stash:
        raise in_the_way(found.lost)
    lock_files.wait(repo.git_dir / "index.lock")  # of which git stash says nothing
    _check_stashable(repo)
    _check_annex(repo, found.lost)
    before = repo.refs("refs/stash")
    limit = ["--", f":(top,literal){only}"] if only else []
    push = ("stash", "push", "--quiet", "--include-untracked", "-m", "gitexp checkout", *limit)
    try:
        repo.git(*push, env=repo.identity)
    except GitError as error:
        raise UsageError(
            f"the work here cannot be stashed: {error}; commit it, or use --worktree DIR"
        ) from None
    stashed = repo.refs("refs/stash") != before
    try:
        found = survey()
        if found.lost:
            raise UsageError(
                f"{listed(found.lost)} cannot be stashed (ignored by git?) and would be lost;"
                " move it away first"
            )
        yield found, stashed
    except BaseException:
        if stashed:
            repo.git("stash", "pop", "--quiet", "--index", env=repo.identity)
        raise


def _check_annex(repo: Repo, paths: Iterable[str]) -> None:
    """Raise UsageError for an unlocked file of git-annex's: once it is stashed, git takes it for
    changed, and puts nothing back."""
    held = repo.objects(f":{path}" for path in paths) if repo.filter_program("annex") else ()
    for path, item in zip(paths, held):
        if item and content.annex_key(item.data, link=False):
            raise UsageError(
                f"'{path}' is git-annex's, and git stash does not bring it back; commit it, or use"
                " --worktree DIR"
            )


def in_the_way(paths: Iterable[str]) -> UsageError:
    """Return the error that names work which would be lost."""
    return UsageError(
        f"work that is not committed would be lost: {listed(paths)}; commit it, put it aside with"
        " --stash, or use --worktree DIR"
    )


def listed(paths: Iterable[str]) -> str:
    """Return paths for a sentence."""
    return message.some([f"'{path}'" for path in paths], _SHOWN)


def _met(repo: Repo, paths: Iterable[str]) -> list[str]:
    """Return what lies on disk where files are to arrive: those themselves, and what git does not
    track of a folder in their place."""
    there = [
        path
        for path in paths
        if os.path.lexists(repo.root / path) and not snapshot.is_behind_link(repo.root, path)
    ]
    places = {path: repo.root / path for path in there}
    folders = [path for path, at in places.items() if at.is_dir() and not at.is_symlink()]
    others = ("--literal-pathspecs", "ls-files", "-o", "-z", "--")
    inside = repo.entries(*others, *folders) if folders else []
    return [*(path for path in there if path not in folders), *inside]


def _differing(repo: Repo, target: Experiment) -> Iterator[tuple[str, tuple[Entry, bool]]]:
    """Yield the paths whose index entry is not the experiment's: with the experiment's, and whether
    the index has one."""
    how = ("--cached", "--raw", "--no-renames", "--ignore-submodules", "-z")
    fields = repo.entries("diff-index", *how, target.id)
    for head, path in zip(fields[0::2], fields[1::2]):
        mode, _, oid, _, letter = head[1:].split(" ")
        yield path, (GONE if letter == "A" else (mode, oid), letter != "D")


def _changed(repo: Repo) -> Iterator[tuple[str, tuple[bool, Entry]]]:
    """Yield the tracked paths with uncommitted changes: whether another content is staged than lies
    on disk, and the index entry."""
    how = ("--porcelain=v2", "-z", "--untracked-files=no", "--ignore-submodules=all")
    for line in repo.entries("status", *how, "--no-renames"):
        if line.startswith("1 "):
            _, state, _, _, in_index, _, _, oid, path = line.split(" ", 8)
            yield path, ("." not in state, GONE if in_index == GONE[0] else (in_index, oid))
        elif line.startswith("u "):
            yield line.split(" ", 10)[10], (True, GONE)


def _is_result(path: str, target: Experiment) -> bool:
    usual = map(target.inside, (result_paths.PARAMS, result_paths.METRICS))
    results = (*usual, *target.files.values(), *target.extra.get("artifacts", ()))
    return path in results or result_paths.is_own(path)


def _recorded(repo: Repo, index: Index, paths: Sequence[str]) -> list[str]:
    """Return the results that git holds as they are on disk: gitexp wrote them, or some experiment
    has the same."""
    ours = {*filter(result_paths.is_own, paths), *(result_paths.ours(repo) if paths else ())}
    hashes = {path: _blob_hash(repo, path) for path in paths if path not in ours}
    held = {b""}
    if asked := [path for path, oid in hashes.items() if oid]:
        commits = ["HEAD", *(row[0] for row in index.rows('tag."commit"', everybody=True))]
        names = "".join(f"{commit}:{path}\n" for commit in commits for path in asked)
        found = repo.git("cat-file", "--batch-check=%(objectname)", stdin=os.fsencode(names))
        held.update(found.split())
    return [path for path in paths if path in ours or hashes[path] in held]


def _blob_hash(repo: Repo, path: str) -> bytes | None:
    """Return a file's hash without filters; empty where nothing is there, None where it cannot be
    read."""
    data = read_bytes(repo.root / path)
    if data is None:
        return None if os.path.lexists(repo.root / path) else b""
    return repo.hash_of("blob", data).encode()


def _hashes(repo: Repo, paths: Iterable[str]) -> dict[str, str]:
    """Return the hashes that the files would have in git, line ends and filters applied; only for
    what is a file or a link."""
    found: dict[str, str] = {}
    files = []
    for path in paths:
        place = repo.root / path
        if place.is_symlink():
            found[path] = repo.hash_of("blob", os.fsencode(os.readlink(place)))
        elif place.is_file() and path[0] != '"' and "\n" not in path:
            files.append(path)
    if files:
        stdin = b"".join(os.fsencode(path) + b"\n" for path in files)
        hashes = repo.git("hash-object", "--stdin-paths", stdin=stdin).decode().split()
        found.update(zip(files, hashes))
    return found


def _check_stashable(repo: Repo) -> None:
    """Raise UsageError where ``git stash`` would do half, or its pop find something in the way of
    what it is to bring back."""
    marked = repo.entries("ls-files", "-v", "-z")
    if assumed := [line[2:] for line in marked if line[:1].islower()]:
        raise UsageError(
            f"git stash fails beside assume-unchanged files: {listed(assumed)}; commit, or use"
            " --worktree DIR"
        )
    asked = ("--name-only", "--no-renames", "--ignore-submodules", "--diff-filter=D", "-z")
    gone = {*repo.entries("diff-index", *asked, "HEAD"), *repo.entries("diff-files", *asked)}
    others = repo.entries("ls-files", "-z", "-o") if gone else []  # ignored ones, too
    stuck = [
        path
        for path in others
        if result_paths.holds(gone, path) or any(result_paths.holds([path], one) for one in gone)
    ]
    if stuck:
        raise UsageError(
            f"git stash could not bring {listed(stuck)} back, where HEAD has another file; commit,"
            " or use --worktree DIR"
        )
