"""Checks out an experiment, without ever losing work.

What is changed or untracked is looked at first, and anything that only lives in the work tree stops
the checkout. What git holds already does not: a file that equals the experiment's own, and results
(``params.yml``, ``metrics.csv``) that equal those of a recorded experiment. For these, only the
index is told beforehand, so that ``git checkout`` itself, with all of its own checks and without
force, has the last word; where it refuses, the index is put back.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitexp.formats import message
from gitexp.formats.errors import GitError, GitexpError, NotFoundError, RepositoryError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import (
    Head,
    Repo,
    content,
    dvc,
    dvc_pointers,
    dvc_status,
    lock_files,
    snapshot,
    submodules,
)
from gitexp.repo.dvc_pointers import Data
from gitexp.repo.files import read_bytes
from gitexp.store import connectivity, record, result_paths
from gitexp.store.index import Index

_SHOWN = 3
_GONE = (b"000000", b"")
Entry = tuple[bytes, bytes]  # mode and hash, as the index has them


@dataclass(frozen=True)
class Done:
    """What a checkout did.

    Attributes:
        text: where one is now, or what was taken, in a sentence.
        undo: the command line that undoes it, None where there is none.
        notes: what else is worth knowing.
    """

    text: str
    undo: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Survey:
    """The files that git would not, or should not, simply replace.

    Attributes:
        lost: those whose content lives nowhere else.
        free: those that git holds already, with the entry that the experiment has for them
            (``_GONE``: none).
        adopted: those of ``free`` that are sources, not committed here but the experiment's own to
            the byte.
    """

    lost: tuple[str, ...]
    free: Mapping[str, Entry]
    adopted: tuple[str, ...]


def checkout(
    repo: Repo,
    index: Index,
    target: Experiment,
    branch: str | None = None,
    stash: bool = False,
    cwd: Path | None = None,
    data: bool = True,
    recurse: bool = False,
    on: str | None = None,
) -> Done:
    """Check an experiment's commit out: HEAD detached, on a new ``branch``, or ``on`` one that
    stands there.

    Args:
        stash: put work that is in the way aside with ``git stash``.
        cwd: where the user stands; git does not remove this folder.
        data: bring the data that DVC tracks, too.
        recurse: bring the submodules, too.

    Raises:
        UsageError: work would be lost, or the branch exists.
        RepositoryError: a merge, rebase or the like is under way.
    """
    _check_ready(repo, target, branch)
    ways_back = _submodules_ready(repo) if recurse else {}
    arriving, notes = _data_arriving(repo, target) if data else ((), ())
    before = repo.head()
    back = (before.branch or "").removeprefix("refs/heads/") or (before.commit or "")[:10]
    with _cleared(repo, lambda: _survey(repo, index, target), stash) as (survey, stashed):
        with _index_told(repo, survey.free):
            if branch:
                _switch(repo, cwd, "-b", branch, "--no-track", target.id)
            elif on:
                _switch(repo, cwd, on)
            elif before.commit != target.id:
                _switch(repo, cwd, "--detach", target.id)
        present = [path for path, entry in survey.free.items() if entry != _GONE]
        if present:
            repo.git(
                "checkout-index",
                "-f",
                "-u",
                "-z",
                "--stdin",
                stdin=b"".join(os.fsencode(path) + b"\0" for path in present),
            )
        for path in survey.free.keys() - present:
            if snapshot.is_behind_link(repo.root, path):
                continue  # that one is another's
            (repo.root / path).unlink(missing_ok=True)
        notes = (*notes, *_put_away(repo, index))
        notes = (*notes, *_fill(repo, repo.root))
    moved = branch or before.commit != target.id
    where = (
        f"on the new branch {branch}"
        if branch
        else f"on {on}"
        if on
        else "HEAD is detached"
        if moved or not before.branch
        else f"still on {back}"
    )
    notes = (
        *_adopted(target, survey),
        *_lost_folder(target, cwd),
        *notes,
        *_bring_data(repo, repo.root, arriving),
    )
    apart, returns = _bring_submodules(repo, repo.root, recurse, ways_back)
    steps = {
        f"{_way(index, before)} {shlex.quote(back)}": moved and bool(back),
        "git stash pop": stashed,
        "dvc checkout": bool(arriving) and moved,
        **dict.fromkeys(returns, True),
    }
    return Done(
        f"at {target.name} ({target.short}), {where}",
        " && ".join(step for step, todo in steps.items() if todo) or None,
        (*notes, *apart),
    )


def add_worktree(
    repo: Repo,
    target: Experiment,
    folder: Path,
    branch: str | None = None,
    data: bool = True,
    recurse: bool = False,
) -> Done:
    """Check an experiment out into a folder of its own, beside this work tree, which stays as it
    is."""
    record.check_present(repo, target.id)
    connectivity.check(repo, target.id, target.name)
    _check_branch(repo, branch)
    how = ["-b", branch, "--no-track"] if branch else ["--detach"]
    repo.git("worktree", "add", *how, "--", os.path.abspath(folder), target.id)
    tree = Path(os.path.abspath(folder))
    wanted = (
        tuple(dvc_pointers.of_commit(repo, target.id).values())
        if data and dvc_pointers.in_use(tree)
        else ()
    )
    content.populate(repo, tree)
    notes = _fill(repo, tree)
    apart, _ = _bring_submodules(repo, tree, recurse, {})
    return Done(
        f"{target.name} ({target.short}) lies in {folder}",
        content.removal(folder, force=bool(wanted) or recurse),
        (*notes, *_bring_data(repo, tree, wanted), *apart),
    )


def take_params(repo: Repo, index: Index, target: Experiment, stash: bool = False) -> Done:
    """Write an experiment's params file into the work tree, and nothing else.

    Raises:
        NotFoundError: the experiment has none.
        UsageError: the file that lies there would be lost.
    """
    record.check_present(repo, target.id)
    path = target.files.get("params")
    if path is None:
        raise NotFoundError(f"{target.name} has no params file")
    target.read(path)
    at_head = repo.line("rev-parse", "-q", "--verify", f"HEAD:{path}", ok=(0, 1, 128))
    with _cleared(repo, lambda: _params_survey(repo, index, target, path), stash, path) as (
        _,
        stashed,
    ):
        old = read_bytes(repo.root / path)
        repo.git("restore", f"--source={target.id}", "--worktree", "--", f":(top,literal){path}")
        result_paths.adopt(repo, path)
    quoted = shlex.quote(path)
    oid = None if old is None else result_paths.blob_hash(repo, old)
    undo = (
        f"rm {quoted}"
        if oid is None
        else f"git restore {quoted}"
        if oid == at_head
        else f"git cat-file blob {oid} > {quoted}"
    )
    return Done(
        f"{path} is that of {target.name} ({target.short})",
        undo + (" && git stash pop" if stashed else ""),
    )


def take_code(
    repo: Repo, index: Index, target: Experiment, stash: bool = False, recurse: bool = False
) -> Done:
    """Bring the work tree and the index to an experiment's code; HEAD and the results stay as they
    are.

    Raises:
        UsageError: work would be lost.
        RepositoryError: a merge, rebase or the like is under way.
    """
    _check_ready(repo, target)
    ways_back = _submodules_ready(repo) if recurse else {}
    without = [result_paths.PARAMS, result_paths.METRICS, *result_paths.of_experiment(target)]
    code = result_paths.code_pathspec(without)
    with _cleared(repo, lambda: _survey(repo, index, target, without), stash) as (survey, stashed):
        repo.git("restore", f"--source={target.id}", "--staged", "--worktree", "--", *code)
        notes = _fill(repo, repo.root)
    apart, returns = _bring_submodules(repo, repo.root, recurse, ways_back)
    back = shlex.join(["git", "restore", "--source=HEAD", "--staged", "--worktree", "--", *code])
    undo = " && ".join([back, *(["git stash pop"] if stashed else []), *returns])
    text = f"the code is that of {target.name} ({target.short}), staged; HEAD stays where it was"
    return Done(text, undo, (*_adopted(target, survey), *notes, *_data_apart(repo), *apart))


# -- may it be done? -------------------------------------------------------------------------------


def _check_ready(repo: Repo, target: Experiment, branch: str | None = None) -> None:
    record.check_present(repo, target.id)
    connectivity.check(repo, target.id, target.name)
    if under_way := repo.in_progress():
        raise RepositoryError(
            f"{under_way} is under way; finish or abort it first (git status says how), or use"
            " --worktree DIR"
        )
    _check_branch(repo, branch)


def _check_branch(repo: Repo, branch: str | None) -> None:
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


def _survey(repo: Repo, index: Index, target: Experiment, without: Iterable[str] = ()) -> _Survey:
    """Look at what is changed, and at the untracked and ignored files that lie where the experiment
    has one of its own.

    Args:
        without: files and folders that stay as they are.
    """
    differing = dict(_differing(repo, target))
    changed = dict(_changed(repo))
    arriving = _met(repo, [path for path, (_, in_index) in differing.items() if not in_index])
    skipped = tuple(without)
    paths = [path for path in dict.fromkeys((*changed, *arriving)) if not _below(path, skipped)]
    on_disk = _hashes(repo, paths)
    outputs = {*snapshot.left_outputs(repo), *snapshot.outputs_of(repo)} if paths else set()
    lost: dict[str, None] = {}
    free: dict[str, Entry] = {}
    adopted: list[str] = []
    for path in paths:
        if snapshot.is_behind_link(repo.root, path):  # which git does not follow, but replaces
            lost[result_paths.linked(repo.root, [path]) or path] = None
            continue
        half_staged, entry = changed.get(path, (False, _GONE))
        theirs = differing[path][0] if path in differing else entry
        equal = not half_staged and theirs != _GONE and on_disk.get(path) == theirs[1]
        result = _is_result(path, target) or path in outputs
        if equal and not result:
            adopted.append(path)
        if equal or (result and not half_staged and _is_recorded(repo, index, path)):
            free[path] = theirs
        else:
            lost[path] = None
    return _Survey(tuple(lost), free, tuple(adopted))


def _put_away(repo: Repo, index: Index) -> tuple[str, ...]:
    """Remove what other runs wrote and nobody changed since, where an experiment has it."""
    known = snapshot.left_outputs(repo)
    tracked = {*repo.git("ls-files", "-z").split(b"\0")} if known else set()
    gone = [
        path
        for path in known
        if os.fsencode(path) not in tracked and _is_recorded(repo, index, path)
    ]
    for path in gone:
        (repo.root / path).unlink(missing_ok=True)
        for folder in Path(path).parents[:-1]:
            with suppress(OSError):
                (repo.root / folder).rmdir()
    told = f"outputs of other runs, which hold them, were removed: {_listed(gone)}"
    return (told,) if gone else ()


def _met(repo: Repo, paths: Iterable[str]) -> list[str]:
    """Return what lies on disk where files are to arrive: those themselves, and what git does not
    track of a folder in their place."""
    there = [
        path
        for path in paths
        if os.path.lexists(repo.root / path) and not snapshot.is_behind_link(repo.root, path)
    ]
    folders = [
        path
        for path in there
        if (repo.root / path).is_dir() and not (repo.root / path).is_symlink()
    ]
    inside = (
        repo.git("--literal-pathspecs", "ls-files", "-o", "-z", "--", *folders) if folders else b""
    )
    return [
        *(path for path in there if path not in folders),
        *(os.fsdecode(path) for path in inside.split(b"\0") if path),
    ]


def _params_survey(repo: Repo, index: Index, target: Experiment, path: str) -> _Survey:
    if link := result_paths.linked(repo.root, [path]):
        return _Survey((link,), {}, ())
    data = read_bytes(repo.root / path)
    equal = data is None or data == target.read(path) or _is_recorded(repo, index, path)
    return _Survey(() if equal else (path,), {}, ())


def _differing(repo: Repo, target: Experiment) -> Iterator[tuple[str, tuple[Entry, bool]]]:
    """Yield the paths whose index entry is not the experiment's: with the experiment's, and whether
    the index has one."""
    fields = repo.git(
        "diff-index", "--cached", "--raw", "--no-renames", "--ignore-submodules", "-z", target.id
    ).split(b"\0")
    for head, path in zip(fields[0::2], fields[1::2]):
        mode, _, oid, _, letter = head[1:].split(b" ")
        yield os.fsdecode(path), (_GONE if letter == b"A" else (mode, oid), letter != b"D")


def _changed(repo: Repo) -> Iterator[tuple[str, tuple[bool, Entry]]]:
    """Yield the tracked paths with uncommitted changes: whether another content is staged than lies
    on disk, and the index entry."""
    args = (
        "status",
        "--porcelain=v2",
        "-z",
        "--untracked-files=no",
        "--ignore-submodules=all",
        "--no-renames",
    )
    for line in repo.git(*args).split(b"\0"):
        if line.startswith(b"1 "):
            _, state, _, _, in_index, _, _, oid, path = line.split(b" ", 8)
            yield (
                os.fsdecode(path),
                (b"." not in state, _GONE if in_index == _GONE[0] else (in_index, oid)),
            )
        elif line.startswith(b"u "):
            yield os.fsdecode(line.split(b" ", 10)[10]), (True, _GONE)


def _is_result(path: str, target: Experiment) -> bool:
    results_of_target = (*target.files.values(), *target.extra.get("artifacts", ()))
    return (
        path in map(target.inside, (result_paths.PARAMS, result_paths.METRICS))
        or path in results_of_target
        or result_paths.is_own(path)
    )


def _is_recorded(repo: Repo, index: Index, path: str) -> bool:
    """Whether git holds a result as it is on disk: gitexp wrote it, or some experiment has the
    same."""
    if result_paths.is_own(path) or path in result_paths.ours(repo):
        return True
    data = read_bytes(repo.root / path)
    if data is None:
        return not os.path.lexists(repo.root / path)
    commits = ["HEAD", *(row[0] for row in index.rows('tag."commit"', everybody=True))]
    request = b"".join(os.fsencode(f"{commit}:{path}") + b"\n" for commit in commits)
    found = repo.git("cat-file", "--batch-check=%(objectname)", stdin=request)
    return result_paths.blob_hash(repo, data).encode() in found.split()


def _data_arriving(repo: Repo, target: Experiment) -> tuple[tuple[Data, ...], tuple[str, ...]]:
    """Return the data that a checkout has to bring, and what is to be said of other data.

    Raises:
        UsageError: data would be lost that changed since the last ``dvc commit``.
    """
    if not dvc_pointers.in_use(repo.root):
        return (), ()
    here, wanted = dvc_pointers.here(repo), dvc_pointers.of_commit(repo, target.id)
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
            f"data that is not committed would be lost: {_listed(changed)}; dvc commit, or leave"
            " data as it is: --no-data"
        )
    return arriving, ()


def _data_apart(repo: Repo) -> tuple[str, ...]:
    """Say of data that is known not to be what the pointers in the work tree say."""
    apart = dvc_status.apart(repo, dvc_pointers.here(repo))
    return (
        (f"data stays as it is: {_listed(apart)}; to have the data of this code: dvc checkout",)
        if apart
        else ()
    )


def _bring_data(repo: Repo, tree: Path, data: tuple[Data, ...]) -> tuple[str, ...]:
    """Bring data into a work tree, and return what has to be said; the code is there already, so
    nothing is raised."""
    if not data:
        return ()
    try:
        missing = dvc.checkout(repo, tree, data)
    except GitexpError as error:
        return (f"its data was not brought: {error}; to try again: dvc checkout",)
    if tree == repo.root:
        dvc_status.seen(repo, [item for item in data if item.path not in missing])
    brought = len(data) - len(missing)
    said = [f"data: {brought} brought by DVC"] if brought else []
    if missing:
        where = (
            "neither in DVC's cache nor on its remote"
            if dvc.has_remote(repo)
            else "not in DVC's cache, and there is no remote"
        )
        said.append(
            f"data that is {where}: {_listed(missing)}; where you have it: dvc push there, then"
            f" here dvc pull {missing[0]}"
        )
    return tuple(said)


def _fill(repo: Repo, tree: Path) -> tuple[str, ...]:
    """Have git-annex and LFS bring what they can, and return what is to be said of the rest."""
    lacking = content.told(content.fill(repo, tree))
    return (lacking,) if lacking else ()


def _submodules_ready(repo: Repo) -> dict[str, str]:
    """Return the commands that bring the submodules back to where they are now.

    Raises:
        UsageError: one holds edits.
    """
    if edits := submodules.edited(repo):
        raise UsageError(
            f"edits in a submodule that are not committed would be lost: {_listed(edits)}; commit"
            " them inside it, or leave it where it is: without --recurse-submodules"
        )
    return submodules.ways_back(repo)


def _bring_submodules(
    repo: Repo, tree: Path, recurse: bool, ways_back: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Take the submodules along where that is asked for, and return what has to be said, and what
    brings those back that moved."""
    why = ""
    try:
        if recurse and submodules.elsewhere(repo, tree):
            submodules.follow(repo, tree)
    except GitError as error:
        why = f" ({error})"
    left = submodules.elsewhere(repo, tree)
    now = submodules.ways_back(repo) if ways_back else {}
    returns = tuple(back for path, back in ways_back.items() if now.get(path, back) != back)
    hint = (
        f"to try again: git -C {shlex.quote(str(tree))} submodule update --init --recursive"
        if recurse
        else "to take them along: --recurse-submodules"
    )
    stay = [path for path in ways_back if path not in now and (tree / path).exists()]
    told = {
        "submodules that are not where the experiment has them:"
        f" {_listed(left)}{why}; {hint}": left,
        f"submodules that the experiment has not stay in their folders: {_listed(stay)}": stay,
    }
    return tuple(line for line, paths in told.items() if paths), returns


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _hashes(repo: Repo, paths: Iterable[str]) -> dict[str, bytes]:
    """Return the hashes that the files would have in git, line ends and filters applied; only for
    what is a file or a link."""
    links = {
        path: os.fsencode(os.readlink(repo.root / path))
        for path in paths
        if (repo.root / path).is_symlink()
    }
    files = [
        path
        for path in paths
        if path not in links
        and (repo.root / path).is_file()
        and path[0] != '"'
        and "\n" not in path
    ]
    found = (
        repo.git(
            "hash-object",
            "--stdin-paths",
            stdin=b"".join(os.fsencode(path) + b"\n" for path in files),
        ).split()
        if files
        else []
    )
    return {
        **dict(zip(files, found)),
        **{path: result_paths.blob_hash(repo, data).encode() for path, data in links.items()},
    }


# -- doing it --------------------------------------------------------------------------------------


@contextmanager
def _cleared(
    repo: Repo, look: Callable[[], _Survey], stash: bool, only: str | None = None
) -> Iterator[tuple[_Survey, bool]]:
    """Yield what is known to be safe, and whether work was stashed for it; put that back where the
    block fails."""
    survey = look()
    if not survey.lost:
        yield survey, False
        return
    if not stash:
        raise _in_the_way(survey.lost)
    lock_files.wait(repo.git_dir / "index.lock")  # of which git stash says nothing
    _check_stashable(repo)
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
        survey = look()
        if survey.lost:
            raise UsageError(
                f"{_listed(survey.lost)} cannot be stashed (ignored by git?) and would be lost;"
                " move it away first"
            )
        yield survey, stashed
    except BaseException:
        if stashed:
            repo.git("stash", "pop", "--quiet", "--index", env=repo.identity)
        raise


def _check_stashable(repo: Repo) -> None:
    """Raise UsageError where ``git stash`` would do half, or its pop find something in the way of
    what it is to bring back."""
    assumed = [
        os.fsdecode(line[2:])
        for line in repo.git("ls-files", "-v", "-z").split(b"\0")
        if line[:1].islower()
    ]
    if assumed:
        raise UsageError(
            f"git stash fails beside assume-unchanged files: {_listed(assumed)}; commit, or use"
            " --worktree DIR"
        )
    asked = ("--name-only", "--no-renames", "--ignore-submodules", "--diff-filter=D", "-z")
    gone = repo.git("diff-index", *asked, "HEAD") + repo.git("diff-files", *asked)
    if not gone:
        return
    paths = [os.fsdecode(path) for path in gone.split(b"\0") if path]
    untracked = [
        os.fsdecode(path)
        for path in repo.git("ls-files", "-z", "-o", "--exclude-standard").split(b"\0")
        if path
    ]
    stuck = [
        path
        for path in untracked
        if _below(path, paths) or any(_below(other, [path]) for other in paths)
    ]
    if stuck:
        raise UsageError(
            f"git stash could not bring {_listed(stuck)} back, where HEAD has another file; commit,"
            " or use --worktree DIR"
        )


@contextmanager
def _index_told(repo: Repo, free: Mapping[str, Entry]) -> Iterator[None]:
    """Have the index say of ``free`` files what the experiment says, which git takes as leave to
    replace them; undo it on failure."""
    if not free:
        yield
        return
    listed = repo.git("--literal-pathspecs", "ls-files", "-s", "-z", "--", *free)
    _tell(
        repo,
        [
            b"%s %s\t%s" % (mode, oid or repo.zero.encode(), os.fsencode(path))
            for path, (mode, oid) in free.items()
        ],
    )
    aside = repo.make_state_dir() / f"aside-{os.getpid()}"
    gone = [path for path, entry in free.items() if entry == _GONE and not _is_link(repo, path)]
    try:
        for at, path in enumerate(
            gone
        ):  # recorded, and an untracked file that git would not remove
            with suppress(FileNotFoundError):
                os.replace(repo.root / path, f"{aside}-{at}")
        yield
    except BaseException:
        for at, path in enumerate(gone):
            with suppress(FileNotFoundError):
                os.replace(f"{aside}-{at}", repo.root / path)
        removed = [b"0 %s\t%s" % (repo.zero.encode(), os.fsencode(path)) for path in free]
        _tell(repo, [*removed, *filter(None, listed.split(b"\0"))])
        raise
    for at in range(len(gone)):
        Path(f"{aside}-{at}").unlink(missing_ok=True)


def _is_link(repo: Repo, path: str) -> bool:
    return (repo.root / path).is_symlink() or snapshot.is_behind_link(repo.root, path)


def _way(index: Index, head: Head) -> str:
    """Return the command that goes back to what HEAD was. Where that is an experiment it is ours,
    for which what a run wrote and an experiment holds is not in the way."""
    ours = bool(head.branch) and index.count('tag."commit" = ?', [head.commit])
    return "gitexp checkout" if ours else "git checkout"


def _tell(repo: Repo, entries: Iterable[bytes]) -> None:
    repo.git(
        "update-index", "-z", "--index-info", stdin=b"".join(entry + b"\0" for entry in entries)
    )


def _switch(repo: Repo, cwd: Path | None, *args: str) -> None:
    """Run ``git checkout``, which checks everything once more and overwrites no ignored file
    either."""
    try:
        repo.git("checkout", "--quiet", "--no-overwrite-ignore", *args, "--", cwd=cwd)
    except GitError as error:
        names = [line.strip() for line in error.stderr.splitlines() if line.startswith("\t")]
        raise (_in_the_way(names) if names else error) from None


def _in_the_way(paths: Iterable[str]) -> UsageError:
    return UsageError(
        f"work that is not committed would be lost: {_listed(paths)}; commit it, put it aside with"
        " --stash, or use --worktree DIR"
    )


def _adopted(target: Experiment, survey: _Survey) -> tuple[str, ...]:
    if not survey.adopted:
        return ()
    return (
        (
            f"not committed here, but part of {target.name}: {_listed(survey.adopted)}; going back"
            f" leaves that in {target.name}"
        ),
    )


def _lost_folder(target: Experiment, cwd: Path | None) -> tuple[str, ...]:
    if cwd is None or (cwd.is_dir() and any(cwd.iterdir())):
        return ()
    return (
        (
            f"the folder {cwd.name} that you stand in has nothing in {target.name}; cd to the top"
            " of the repository"
        ),
    )


def _listed(paths: Iterable[str]) -> str:
    return message.some([f"'{path}'" for path in paths], _SHOWN)
