"""Files that git holds a pointer for: git-annex and Git LFS bring their content into a work tree,
and submodules are checked out there, as far as it is here.

git-annex fills unlocked files in a post-checkout hook, and no hook of the repository's runs in our
calls; LFS's filter may be set up to leave pointers; of a submodule git makes an empty folder. A
training must not read those for its data.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from gitexp.formats import message
from gitexp.formats.errors import GitError
from gitexp.repo import submodules
from gitexp.repo.files import read_bytes
from gitexp.repo.repository import Repo

_ANNEX = re.compile(rb"/annex/objects/(?:[^\n]+/)?([^/\n]+)\n?$")
_LFS = b"version https://git-lfs.github.com/spec/"
_LARGEST = 1024  # bytes of a pointer; LFS's own limit
_SHOWN = 3
_HOW = {"annex": "git annex get", "lfs": "git lfs pull"}
# the commit's files, all of them and no more
_WHOLE = ("-c", "core.sparseCheckout=false", "-c", "submodule.recurse=false")


def add(repo: Repo, tree: Path, commit: str) -> None:
    """Make a detached work tree of a commit, with the content that is on this machine.

    Raises:
        GitError: git cannot make it.
    """
    link(repo, tree, commit, "--detach", "--force", config=_WHOLE)
    fill(repo, tree)
    populate(repo, tree)


def link(repo: Repo, tree: Path, commit: str, *how: str, config: tuple[str, ...] = ()) -> None:
    """Make a work tree as git does it: ``how`` and ``config`` are its options. git-crypt looks for
    its key beside the index, which is another one there.

    Raises:
        GitError: git cannot make it.
    """
    keys = repo.common_dir / "git-crypt"
    later = ("--no-checkout",) if keys.exists() else ()
    repo.git(*config, "worktree", "add", *how, *later, "--", str(tree), commit)
    if not later:
        return
    try:
        (Repo.discover(tree).git_dir / keys.name).symlink_to(keys)
        repo.git(*config, "checkout", "--quiet", "--force", cwd=tree)
    except BaseException:
        repo.git("worktree", "remove", "--force", "--force", str(tree), ok=(0, 128))
        raise


def reset(repo: Repo, tree: Path, commit: str) -> None:
    """Bring a work tree of ours to a commit, as if it were new: what a run left behind goes,
    ignored files too.

    Raises:
        GitError: git cannot do it.
    """
    repo.git(*_WHOLE, "checkout", "--detach", "--force", "--quiet", commit, cwd=tree)
    repo.git("clean", "-ffdxq", cwd=tree)
    fill(repo, tree)
    populate(repo, tree)


def release(repo: Repo, tree: Path) -> None:
    """Take the submodules out of a work tree that is to be removed, with what git noted of them."""
    with suppress(GitError):
        for path in submodules.listed(repo, tree):
            if submodules.is_there(tree, path):
                inner = Repo.discover(tree / path)
                release(inner, tree / path)
                shutil.rmtree(tree / path, ignore_errors=True)
                inner.git("worktree", "prune", cwd=inner.common_dir)


def fill(repo: Repo, tree: Path) -> list[tuple[str, str]]:
    """Bring what is on this machine into a work tree of the repository's, which was just checked
    out, and return ``(path, what brings it)`` of the files that have no content.

    Raises:
        GitError: a filter's program fails.
    """
    if repo.filter_program("annex"):
        repo.git("annex", "smudge", "--update", cwd=tree)
    lacking = _pointers(repo, tree)
    if repo.filter_program("lfs") and any(name == "lfs" for _, name in lacking):
        repo.git("lfs", "checkout", cwd=tree)
        lacking = _pointers(repo, tree)
    where = "git " if tree == repo.root else f"git -C {shlex.quote(str(tree))} "
    return [(path, bringing(repo, None, name).replace("git ", where)) for path, name in lacking]


def populate(repo: Repo, tree: Path) -> None:
    """Check the submodules out in a work tree of ours, as linked work trees of the user's."""
    for path, commit in submodules.listed(repo, tree).items():
        place = tree / path
        # who works in a linked work tree may have none there
        for top in (tree, repo.root, repo.common_dir.parent):
            if submodules.is_there(top, path):
                inner = _inner(repo, top / path)
                if inner.resolve(commit):
                    (reset if top == tree else add)(inner, place, commit)
                    break
                if top == tree:
                    shutil.rmtree(place)


def missing(repo: Repo, tree: Path, cloned: bool = False) -> list[tuple[str, str]]:
    """Return ``(path, what brings it)`` of the files in a work tree that are still pointers, where
    such a filter is set up, and of the submodules that are not in it.

    Args:
        cloned: it is of a clone that was made for it, in which nothing is set up.
    """
    return _missing(repo, tree, cloned, tree != repo.root and not cloned)


def _missing(repo: Repo, tree: Path, cloned: bool, ours: bool) -> list[tuple[str, str]]:
    commit = repo.line("rev-parse", "HEAD", cwd=tree) if ours else None
    found = [(path, bringing(repo, commit, name)) for path, name in _pointers(repo, tree, cloned)]
    for path in submodules.listed(repo, tree):
        if submodules.is_there(tree, path):
            where = f"git -C {shlex.quote(path)} "
            found += [
                (f"{path}/{name}", how.replace("git ", where))
                for name, how in _missing(_inner(repo, tree / path), tree / path, False, ours)
            ]
        elif cloned or ours:
            found.append((path, "git submodule update --init"))
    return found


def bringing(repo: Repo, commit: str | None, name: str) -> str:
    """Return what brings content, typed in the user's work tree: what that lacks, or a commit."""
    unset = name == "lfs" and not repo.filter_program("lfs")
    if not commit:
        return f"git lfs install --local && {_HOW[name]}" if unset else _HOW[name]
    remotes = [key.split(".")[1] for key in repo.told if re.fullmatch(r"remote\.[^.]+\.url", key)]
    remote = "origin" if "origin" in remotes else next(iter(remotes), "REMOTE")
    lfs = f"git lfs fetch {shlex.quote(remote)} {commit[:10]}"
    return lfs if name == "lfs" else f"git annex get --branch={commit[:10]}"


def misread(repo: Repo) -> str | None:
    """Return a sentence that names the pointers in the user's work tree that a training would take
    for its data; a locked file of git-annex is a link, which cannot be opened."""
    if not repo.filter_program("annex") and not _attributed(repo.root):
        return None
    found = [item for item in _pointers(repo, repo.root) if (repo.root / item[0]).is_file()]
    return advice([(path, bringing(repo, None, name)) for path, name in found], repo.root)


def advice(lacking: list[tuple[str, str]], root: Path | None = None) -> str | None:
    """Return a sentence for people that names files without content, and what brings it; None where
    there are none.

    Args:
        root: the top of the repository, where whoever reads it stands somewhere.
    """
    if not lacking:
        return None
    names = message.some([repr(path) for path, _ in lacking], _SHOWN)
    verb = "has" if len(lacking) == 1 else "have"
    hints = " && ".join(dict.fromkeys(how for _, how in lacking))
    if root and (place := os.path.relpath(root)) != ".":
        hints = re.sub(r"(^|&& )git ", rf"\1git -C {shlex.quote(place)} ", hints)
    return f"{names} {verb} no content here, only a pointer; to bring it: {hints}"


def needs_more_than_git(repo: Repo) -> bool:
    """Whether the work tree holds content that git's objects alone do not give."""
    filtered = any(map(repo.filter_program, ("annex", "lfs")))
    return filtered or (repo.root / ".gitmodules").exists()


def _inner(repo: Repo, tree: Path) -> Repo:
    """Return a submodule's repository, no more trusted than the one that it is in."""
    inner = Repo.discover(tree)
    return inner.distrusting() if repo.distrusted else inner


def _pointers(repo: Repo, tree: Path, every: bool = False) -> list[tuple[str, str]]:
    """Return ``(path, annex or lfs)``: of the files that LFS has by their attributes, and where
    git-annex is set up, whose files may be links, of all that are tracked."""
    annex = every or repo.filter_program("annex")
    if not annex and not repo.filter_program("lfs") and not _attributed(tree):
        return []
    attributed = () if annex else (":(top,attr:filter=lfs)",)
    paths = sorted(repo.entries("ls-files", "-z", "--", *attributed, cwd=tree))
    named = ((path, _filter_of(os.path.join(tree, path))) for path in paths)
    return [(path, name) for path, name in named if name]


def _attributed(tree: Path) -> bool:
    """Whether files are Git LFS's, also where nobody set it up here."""
    return b"filter=lfs" in (read_bytes(tree / ".gitattributes") or b"")


def _filter_of(path: str) -> str | None:
    """Return whose pointer lies at a path; a locked file of git-annex is a link that leads
    nowhere."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            locked = annex_key(os.fsencode(os.readlink(path)), True)
            return "annex" if locked and not os.path.exists(path) else None
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            return None
        data = Path(path).read_bytes()
    except OSError:
        return None
    return "lfs" if data.startswith(_LFS) else "annex" if annex_key(data, False) else None


def annex_key(data: bytes, link: bool) -> str | None:
    """Return the key that git-annex's pointer or link stands for; None where it is neither."""
    found = _ANNEX.search(data) if link else _ANNEX.match(data)
    return os.fsdecode(found[1]) if found else None


def removal(path: Path, force: bool = True) -> str:
    """Return the command that removes a work tree; git does not where git-annex made a link of its
    file ``.git``."""
    quoted = shlex.quote(str(path))
    if (path / ".git").is_symlink():
        return f"rm -rf {quoted} && git worktree prune"
    forced = force or (path / ".gitmodules").exists()  # git wants it for a submodule
    return f"git worktree remove {'--force ' if forced else ''}{quoted}"
