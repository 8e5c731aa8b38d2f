"""Whether git still has all that experiments consist of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gitexp.formats.errors import GitError, NotFoundError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo


def check_present(repo: Repo, commit: str) -> bytes:
    """Return a commit's raw data; raise NotFoundError where this clone does not have it."""
    found = repo.loose(commit) or next(repo.objects([commit]))
    if found is None:
        shallow = "this clone is shallow: git fetch --unshallow"
        hint = shallow if repo.is_shallow else advice(repo)
        raise NotFoundError(f"the commit {commit[:10]} is not in this repository; {hint}")
    return found.data


def full_message(repo: Repo, commit: str) -> str:
    """Return a commit's message."""
    return check_present(repo, commit).decode("utf-8", "replace").partition("\n\n")[2]


def missing(repo: Repo, commits: Sequence[str]) -> list[str]:
    """Return the hashes of the files and folders of some commits that are gone, or no objects any
    more, as a power cut leaves them."""
    if not commits or is_partial(repo):
        return []
    asked = ("rev-list", "--objects", "--no-object-names", "--no-walk", "--missing=print")
    tips = "".join(f"{commit}\n" for commit in commits).encode()
    try:
        listed = repo.line(*asked, "--stdin", stdin=tips).split()
    except GitError as error:  # a damaged folder, beyond which git does not look
        named = re.findall(r"\b[0-9a-f]{2}/?[0-9a-f]{38,62}\b", error.stderr)
        if not named:  # no memory, say
            raise
        return [named[0].replace("/", "")]
    gone = [oid[1:] for oid in listed if oid.startswith("?")]
    return gone + repo.absent([oid for oid in listed if not oid.startswith("?")])


def broken(repo: Repo, commits: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield those of the commits that lack something, and what: halves are asked until it is
    found."""
    lost = missing(repo, commits)
    if lost and len(commits) == 1:
        yield commits[0], lost
    elif lost:
        middle = len(commits) // 2
        yield from broken(repo, commits[:middle])
        yield from broken(repo, commits[middle:])


def check(repo: Repo, item: Experiment, files: Sequence[str] | None = None) -> None:
    """Raise NotFoundError where a file or folder of an experiment is gone; of ``files``, those
    hashes alone are looked for."""
    if files is None:
        lost = missing(repo, [item.id])
    else:
        lost = [] if is_partial(repo) else repo.absent(files)
    if lost:
        raise NotFoundError(
            f"{item.name} lacks {len(lost)} of its files or folders ({lost[0][:10]});"
            f" {advice(repo)}"
        )


def advice(repo: Repo) -> str:
    """Return what may bring back objects that are gone."""
    remotes, fetch = repo.line("remote").split(), "git fetch --refetch --tags"
    if remotes:
        name = "origin" if "origin" in remotes else remotes[0]
        return f"to bring back what the remote has: {fetch} {name}"
    return f"another clone may have them: git remote add origin ADDRESS && {fetch} origin"


def is_partial(repo: Repo) -> bool:
    """Whether a remote promised what is not here."""
    return any(name.endswith((".promisor", ".partialclonefilter")) for name in repo.told)
