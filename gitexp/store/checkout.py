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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gitexp.formats.errors import GitError, GitexpError, NotFoundError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Head, Repo, content, dvc_pointers, dvc_status, snapshot, submodules
from gitexp.repo.dvc_pointers import Data
from gitexp.repo.files import read_bytes
from gitexp.repo.process import joined
from gitexp.store import connectivity, result_paths, survey
from gitexp.store.index import Index
from gitexp.store.survey import GONE, Entry, Survey, listed


@dataclass(frozen=True)
class Done:
    """What a checkout did."""

    text: str  # where one is now, or what was taken, in a sentence
    undo: str | None  # the command line that undoes it, None where there is none
    notes: tuple[str, ...] = ()  # what else is worth knowing


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
    # refuse, or note how to go back, before anything changes
    survey.check_ready(repo, target, branch)
    ways_back = survey.submodules_ready(repo) if recurse else {}
    arriving, notes = survey.data_arriving(repo, target) if data else ((), ())
    before = repo.found_at or repo.head()
    back = before.short or (before.commit or "")[:10]
    moved = bool(branch) or before.commit != target.id
    # code first, then what other runs wrote, data and submodules
    with survey.cleared(repo, partial(survey.look, repo, index, target), stash) as (found, stashed):
        with _index_told(repo, found.free):
            if branch:
                _switch(repo, cwd, "-b", branch, "--no-track", target.id)
            elif on:
                _switch(repo, cwd, on)
            elif moved:
                _switch(repo, cwd, "--detach", target.id)
        _bring_free(repo, found.free)
        notes = (*notes, *survey.remove_other_outputs(repo, index), *_fill(repo, repo.root))
    notes = (*_adopted(target, found), *_lost_folder(target, cwd), *notes)
    notes = (*notes, *_bring_data(repo, repo.root, arriving), *_changed_data(repo, data))
    apart, returns = _bring_submodules(repo, repo.root, recurse, ways_back)
    # the line that undoes it: each command, and whether it is needed
    steps = {
        f"{_way(index, before)} {shlex.quote(back)}": moved and bool(back),
        "git stash pop": stashed,
        "dvc checkout": bool(arriving) and moved,
        **dict.fromkeys(returns, True),
    }
    detached = moved or not before.branch
    where = f"on {on}" if on else "HEAD is detached" if detached else f"still on {back}"
    where = f"on the new branch {branch}" if branch else where
    return Done(
        f"at {target.name} ({target.short}), {where}",
        " && ".join(step for step, todo in steps.items() if todo) or None,
        (*notes, *apart),
    )


def _changed_data(repo: Repo, asked: bool) -> tuple[str, ...]:
    """Return the note on data that stays as it is."""
    changed = dvc_status.suspects(repo, dvc_pointers.in_work_tree(repo)) if asked else ()
    how = "to bring the experiment's: dvc checkout --force"
    said = f"changed since the last dvc commit, left as it is: {listed(changed)}; {how}"
    return (said,) if changed else ()


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
    connectivity.check_present(repo, target.id)
    connectivity.check(repo, target)
    survey.check_branch(repo, branch)
    how = ["-b", branch, "--no-track"] if branch else ["--detach"]
    tree = Path(os.path.abspath(folder))
    content.link(repo, tree, target.id, *how)
    wanted: tuple[Data, ...] = ()
    if data and dvc_pointers.in_use(tree):
        wanted = tuple(dvc_pointers.of_commit(repo, target.id).values())
    content.populate(repo, tree)
    notes = (*_fill(repo, tree), *_bring_data(repo, tree, wanted))
    apart, _ = _bring_submodules(repo, tree, recurse, {})
    return Done(
        f"{target.name} ({target.short}) lies in {folder}",
        content.removal(folder, force=bool(wanted) or recurse),
        (*notes, *apart),
    )


def take_params(repo: Repo, index: Index, target: Experiment, stash: bool = False) -> Done:
    """Write an experiment's params file into the work tree, and nothing else.

    Raises:
        NotFoundError: the experiment has none.
        UsageError: the file that lies there would be lost.
    """
    connectivity.check_present(repo, target.id)
    path = target.files.get("params")
    if path is None:
        raise NotFoundError(f"{target.name} has no params file")
    target.read(path)
    at_head = repo.line("rev-parse", "-q", "--verify", f"HEAD:{path}", ok=(0, 1, 128))
    look = partial(survey.look_at_params, repo, index, target, path)
    with survey.cleared(repo, look, stash, path) as (_, stashed):
        old = read_bytes(repo.root / path)
        repo.git("restore", f"--source={target.id}", "--worktree", "--", f":(top,literal){path}")
        result_paths.adopt(repo, path)
    undo = "rm"
    if old is not None:
        oid = repo.hash_of("blob", old)
        undo = "git restore" if oid == at_head else f"git cat-file blob {oid} >"
    undo = f"{undo} {shlex.quote(path)}"
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
    survey.check_ready(repo, target)
    ways_back = survey.submodules_ready(repo) if recurse else {}
    without = [result_paths.PARAMS, result_paths.METRICS, *result_paths.of_experiment(target)]
    code = result_paths.code_pathspec(without)
    look = partial(survey.look, repo, index, target, without)
    with survey.cleared(repo, look, stash) as (found, stashed):
        how = ("--staged", "--worktree", "--pathspec-from-file=-", "--pathspec-file-nul")
        names = os.fsencode("\0".join(code))  # may be too many for a command line
        repo.git("restore", f"--source={target.id}", *how, stdin=names)
        notes = _fill(repo, repo.root)
    apart, returns = _bring_submodules(repo, repo.root, recurse, ways_back)
    back = shlex.join(["git", "restore", "--source=HEAD", "--staged", "--worktree", "--", *code])
    undo = " && ".join([back, *(["git stash pop"] if stashed else []), *returns])
    text = f"the code is that of {target.name} ({target.short}), staged; HEAD stays where it was"
    return Done(text, undo, (*_adopted(target, found), *notes, *_data_apart(repo), *apart))


def _data_apart(repo: Repo) -> tuple[str, ...]:
    """Say of data that is known not to be what the pointers in the work tree say."""
    apart = dvc_status.from_other_pointers(repo, dvc_pointers.in_work_tree(repo))
    told = f"data stays as it is: {listed(apart)}; to have the data of this code: dvc checkout"
    return (told,) if apart else ()


def _bring_data(repo: Repo, tree: Path, data: tuple[Data, ...]) -> tuple[str, ...]:
    """Bring data into a work tree, and return what has to be said; the code is there already, so
    nothing is raised."""
    if not data:
        return ()
    from gitexp.repo import dvc

    try:
        missing = dvc.checkout(repo, tree, data)
    except GitexpError as error:
        return (f"its data was not brought: {error}; to try again: dvc checkout",)
    if tree == repo.root:
        dvc_status.mark_unchanged(repo, [item for item in data if item.path not in missing])
    brought = len(data) - len(missing)
    said = [f"data: {brought} brought by DVC"] if brought else []
    if missing:
        nowhere = "not in DVC's cache, and there is no remote"
        where = "neither in DVC's cache nor on its remote" if dvc.has_remote(repo) else nowhere
        said.append(
            f"data that is {where}: {listed(missing)}; where you have it: dvc push there, then"
            f" here dvc pull {missing[0]}"
        )
    return tuple(said)


def _fill(repo: Repo, tree: Path) -> tuple[str, ...]:
    """Have git-annex and LFS bring what they can, and return what is to be said of the rest."""
    lacking = content.advice(content.fill(repo, tree), repo.root if tree == repo.root else None)
    return (lacking,) if lacking else ()


def _bring_submodules(
    repo: Repo, tree: Path, recurse: bool, ways_back: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Take the submodules along where that is asked for, and return what has to be said, and what
    brings those back that moved."""
    why = ""
    try:
        if recurse and submodules.not_at_index(repo, tree):
            submodules.follow(repo, tree)
    except GitError as error:
        why = f" ({error})"
    left = submodules.not_at_index(repo, tree)
    now = submodules.ways_back(repo) if ways_back else {}
    returns = tuple(back for path, back in ways_back.items() if now.get(path, back) != back)
    hint = (
        f"to try again: git -C {shlex.quote(str(tree))} submodule update --init --recursive"
        if recurse
        else "to take them along: --recurse-submodules"
    )
    stay = [path for path in ways_back if path not in now and (tree / path).exists()]
    told = {
        f"submodules that are not where the experiment has them: {listed(left)}{why}; {hint}": left,
        f"submodules that the experiment does not have stay: {listed(stay)}": stay,
    }
    return tuple(line for line, paths in told.items() if paths), returns


def _bring_free(repo: Repo, free: Mapping[str, Entry]) -> None:
    """Write the files that git held already as the experiment has them, and remove those that it
    has not; what lies behind a link is another's."""
    if present := [path for path, entry in free.items() if entry != GONE]:
        repo.git("checkout-index", "-f", "-u", "-z", "--stdin", stdin=joined(present))
    for path in free.keys() - present:
        if not snapshot.is_behind_link(repo.root, path):
            (repo.root / path).unlink(missing_ok=True)


@contextmanager
def _index_told(repo: Repo, free: Mapping[str, Entry]) -> Iterator[None]:
    """Have the index say of ``free`` files what the experiment says, which git takes as leave to
    replace them; undo it on failure."""
    if not free:
        yield
        return
    before = repo.entries("--literal-pathspecs", "ls-files", "-s", "-z", "--", *free)
    _tell(repo, [f"{mode} {oid or repo.zero}\t{path}" for path, (mode, oid) in free.items()])
    aside = repo.make_state_dir() / f"aside-{os.getpid()}"
    gone = [path for path, entry in free.items() if entry == GONE and not _is_link(repo, path)]
    try:
        # recorded, and an untracked file that git would not remove
        for at, path in enumerate(gone):
            with suppress(FileNotFoundError):
                os.replace(repo.root / path, f"{aside}-{at}")
        yield
    except BaseException:
        for at, path in enumerate(gone):
            with suppress(FileNotFoundError):
                os.replace(f"{aside}-{at}", repo.root / path)
        _tell(repo, [*(f"0 {repo.zero}\t{path}" for path in free), *before])
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


def _tell(repo: Repo, entries: Iterable[str]) -> None:
    repo.git("update-index", "-z", "--index-info", stdin=joined(entries))


def _switch(repo: Repo, cwd: Path | None, *args: str) -> None:
    """Run ``git checkout``, which checks everything once more and overwrites no ignored file
    either."""
    try:
        repo.git("checkout", "--quiet", "--no-overwrite-ignore", *args, "--", cwd=cwd)
    except GitError as error:
        names = [line.strip() for line in error.stderr.splitlines() if line.startswith("\t")]
        raise (survey.in_the_way(names) if names else error) from None


def _adopted(target: Experiment, found: Survey) -> tuple[str, ...]:
    told = (
        f"not committed here, but part of {target.name}: {listed(found.adopted)}; going back"
        f" leaves that in {target.name}"
    )
    return (told,) if found.adopted else ()


def _lost_folder(target: Experiment, cwd: Path | None) -> tuple[str, ...]:
    if cwd is None or (cwd.is_dir() and any(cwd.iterdir())):
        return ()
    top = "cd to the top of the repository"
    return (f"{target.name} has no folder {cwd.name}, which you are in; {top}",)
