"""Talk with a remote: which one, one fetch, one push, and what went wrong in one line.

A fetch goes into gitexp's own namespace with its own refspecs, so the user's settings for ``git
fetch`` neither change what it brings nor lose anything by it. A push is never forced, and is all or
nothing where the remote knows how (``--atomic``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitexp.formats import message, redaction
from gitexp.formats.errors import GitError, UsageError, did_you_mean
from gitexp.repo import Head, Progress, Repo, lock_files
from gitexp.repo.complaints import complaint
from gitexp.store import clone, gathering, notes
from gitexp.store.ref_scan import REMOTES

_RACES = (
    "failed to update ref",
    "lock",
    "incorrect old value",
    "reference already exists",
    "reference transaction",
)
_APART = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")  # of any fetch
_AT_ONCE = 1000  # objects in one command line
_MOVED = ("fetch first", "non-fast-forward", "stale info", "needs force")


class Remote(NamedTuple):
    """A remote of this clone."""

    name: str
    # the full name that the branch checked out here has there, None where HEAD is detached
    branch: str | None = None
    # the remotes that this clone left objects at, where it is a partial one
    promisors: tuple[str, ...] = ()
    treeless: bool = False  # whether folders are left there, too


class Update(NamedTuple):
    """What became of one ref of a push: git's flag (``*`` new, `` `` moved, ``=`` there already,
    ``!`` refused) and reason."""

    flag: str
    source: str
    target: str
    reason: str


def find_remote(repo: Repo, name: str | None = None, head: Head | None = None) -> Remote:
    """Return the remote called ``name``; without a name the one that ``git push`` would take.

    Raises:
        UsageError: there is none, or none of that name.
    """
    # the remotes that there are, and those that `git push` would look at, in its order
    head = head or repo.head()
    branch = head.short
    config = {key: value for _, key, value in repo.scoped_config(r"^(remote|branch)\.")}
    named = filter(None, (re.fullmatch(r"remote\.(.*)\.(?:url|pushurl)", key) for key in config))
    remotes = [*dict.fromkeys(match[1] for match in named)]
    usual = (
        config.get(f"branch.{branch}.pushremote"),
        config.get("remote.pushdefault"),
        config.get(f"branch.{branch}.remote"),
        "origin",
    )
    chosen = name or next(
        (item for item in usual if item in remotes), remotes[0] if len(remotes) == 1 else None
    )
    if chosen is None or chosen not in remotes:
        if name and re.search(r"[:/\\]", name):
            raise UsageError(
                "a remote is given by its name; to give it one: git remote add NAME ADDRESS"
            )
        if name and remotes:
            near = did_you_mean(name, remotes) or f" There are: {', '.join(remotes)}"
            raise UsageError(f"there is no remote '{name}'.{near}")
        none = "no remote; to add one: git remote add origin ADDRESS"
        raise UsageError(f"there is {'more than one remote, say which' if remotes else none}")
    # where the branch goes there, and what a partial clone left there
    mine = config.get(f"branch.{branch}.remote") == chosen
    there = config.get(f"branch.{branch}.merge") if mine else None
    promisors = tuple(item for item in remotes if config.get(f"remote.{item}.promisor") == "true")
    treeless = any(
        "tree:" in config.get(f"remote.{item}.partialclonefilter", "") for item in promisors
    )
    return Remote(chosen, there or head.branch, promisors, treeless)


def exists(repo: Repo, name: str) -> bool:
    """Whether ``name`` is a remote of this clone, or looks like an address of one."""
    return bool(re.search(r"[:\\]|^\.{0,2}/", name)) or name in repo.line("remote").split("\n")


def fetch(
    repo: Repo,
    remote: Remote,
    only: Sequence[str] = (),
    prune: bool = False,
    progress: Progress | None = None,
) -> None:
    """Bring what others pushed into gitexp's own refs, or ``only`` some of the refspecs of
    ``refspecs``.

    Raises:
        GitError: the remote cannot be reached, refuses, or has something that cannot be here;
            nothing was changed.
    """
    options = [*_APART, "--refmap=", "--progress" if progress else "--quiet"]
    options += ["--prune"] if prune else []
    asked = ("fetch", *options, "--", remote.name, *(only or refspecs(remote)))
    with clone.own_as_noted(repo, remote.name):
        try:
            _ask(repo, remote, *asked, progress=progress)
        except GitError as error:
            if "conflict" in error.stderr and not prune:
                # A tag there became a folder of tags, or the other way round, and the one that is
                # gone has to go here, too.
                fetch(repo, remote, refspecs(remote)[:1], prune=True)
            elif not lock_files.are_gone(repo, error.stderr):
                raise
            _ask(repo, remote, *asked, progress=progress)


def _ask(repo: Repo, remote: Remote, *args: str, progress: Progress | None = None) -> str:
    """Return what a git command that talks with a remote printed; raise GitError where it
    failed."""
    done = repo.exchange(*args, progress=progress)
    if done.returncode:
        raise explained(remote, done.stderr, done.returncode)
    return done.stdout


def listed(repo: Repo, remote: Remote, *patterns: str) -> dict[str, str]:
    """Return the refs of a remote, ``{ref: hash}``; raise GitError where it cannot be reached."""
    printed = _ask(repo, remote, "ls-remote", "--refs", "--quiet", "--", remote.name, *patterns)
    return {ref: oid for oid, _, ref in (line.partition("\t") for line in printed.splitlines())}


def complete(repo: Repo) -> None:
    """Bring the tags, and the history that a shallow clone lacks, as CI's checkouts do. Tags whose
    names are others' here come as a pull brings them.

    Raises:
        UsageError: there is no remote.
        GitError: it cannot be reached.
    """
    remote = find_remote(repo)
    more = ["--unshallow"] if repo.is_shallow else []
    try:  # quiet, it would not say why it failed
        _ask(repo, remote, "fetch", "--tags", *more, "--", remote.name)
    except GitError as error:
        if "would clobber existing tag" not in error.stderr:
            raise
        fetch(repo, remote)


def fill(
    repo: Repo,
    remote: Remote,
    tips: Sequence[str],
    paths: Sequence[str] = (),
    folders: bool = False,
) -> int:
    """Bring what a partial clone left at its remote of these commits, and return how many objects
    came.

    Args:
        paths: only the files there, and below.
        folders: only folders.

    Raises:
        GitError: the remote cannot be reached.
    """
    listed = ["--literal-pathspecs", "rev-list", "--objects", "--missing=print", "--no-walk"]
    listed += ["--ignore-missing", "--stdin", *(["--filter=blob:none"] if folders else [])]
    # of a commit that did not change these files git would list none
    limited = [*(f"{tip}^{{tree}}" for tip in tips), "--", *paths] if paths else tips
    wanted = "\n".join([*limited, ""]).encode()
    came, before = 0, [""]
    while remote.promisors and tips:  # a folder that came names files that did not
        found = repo.git(*listed, stdin=wanted).decode().split("\n")
        missing = [line[1:] for line in found if line.startswith("?")]
        if not missing or missing == before:
            break
        came, before = came + len(missing), missing
        for at in range(0, len(missing), _AT_ONCE):
            _fetch_objects(repo, remote, missing[at : at + _AT_ONCE])
    return came


def _fetch_objects(repo: Repo, remote: Remote, oids: Sequence[str]) -> None:
    """Fetch objects by their hashes as git itself fills a hole, from the first remote that has
    them."""
    asked = ("-c", "fetch.negotiationAlgorithm=noop", "fetch", *_APART, "--filter=blob:none")
    for name in remote.promisors:
        done = repo.exchange(*asked, "--quiet", "--", name, *oids)
        if done.returncode == 0:
            return
    raise explained(remote, done.stderr, done.returncode)


def has_news(repo: Repo, remote: Remote, seen: Mapping[str, str], prune: bool) -> bool:
    """Whether a fetch would change anything. The list of its refs costs a third of a fetch in a
    clone with 10,000 tags.

    Args:
        seen: what a fetch brought so far, ``{ref here: hash}``.
        prune: whether what is gone there counts.

    Raises:
        GitError: the remote cannot be reached.
    """
    homes = [item.replace("*", "").lstrip("+").split(":") for item in refspecs(remote)]
    now = {
        here + ref.removeprefix(there): oid
        for ref, oid in listed(repo, remote).items()
        for there, here in homes
        if ref.startswith(there)
    }
    return not now.items() <= seen.items() or (prune and not seen.keys() <= now.keys())


def refspecs(remote: Remote) -> list[str]:
    """Return what a fetch brings from a remote, and where it goes: tags, gathering branches and
    notes."""
    return [
        f"+refs/tags/*:{REMOTES}{remote.name}/*",
        f"+{gathering.HEADS}*:{gathering.SEEN}{remote.name}/*",
        noted(remote),
    ]


def noted(remote: Remote) -> str:
    """Return the refspec for a remote's notes; with a star, since it may have none."""
    return f"+{notes.REF}*:{notes.of_remote(remote.name)}*"


def push(
    repo: Repo,
    remote: Remote,
    refspecs: Sequence[str],
    *,
    dry_run: bool = False,
    verify: bool = True,
    atomic: bool = True,
    progress: Progress | None = None,
) -> tuple[list[Update], str]:
    """Push, without any force, and return what became of each ref, and what git and the remote
    said.

    Raises:
        GitError: the remote cannot be reached, or lets nobody in.
    """
    options = {
        "--progress" if progress else "--no-progress": True,
        "--atomic": atomic,
        "--dry-run": dry_run,
        "--no-verify": not verify,
    }
    asked = ["-c", f"remote.{remote.name}.mirror=false"]  # which would take no refspecs
    asked += ["push", "--porcelain", "--no-follow-tags", "--recurse-submodules=no"]
    asked += [option for option, wanted in options.items() if wanted]
    done = repo.exchange(*asked, "--", remote.name, *refspecs, progress=progress, hooks=True)
    updates = [item for item in map(_update, done.stdout.splitlines()) if item]
    if not updates and atomic and "does not support --atomic" in done.stderr:
        return push(
            repo, remote, refspecs, dry_run=dry_run, verify=verify, atomic=False, progress=progress
        )
    if done.returncode and not any(item.flag == "!" for item in updates):
        raise explained(remote, done.stdout + done.stderr, done.returncode)  # hooks use both
    return updates, done.stderr


def lost_race(update: Update) -> bool:
    """Whether a ref was refused only since somebody else was writing it just then."""
    return any(word in update.reason for word in _RACES)


def has_moved(update: Update) -> bool:
    """Whether a ref was refused since the remote has something there that this clone has not
    seen."""
    return any(word in update.reason for word in _MOVED)


def reason(update: Update, said: str) -> str:
    """Return why a remote refused a ref: git's words, and the first line of the remote's own."""
    why = update.reason.partition("(")[2].rpartition(")")[0] or update.reason
    own = [line[7:].strip() for line in said.splitlines() if line.startswith("remote:")]
    words = next(filter(None, own), "")
    return message.one_line(f"{why} ({words})" if words else why)


def _update(line: str) -> Update | None:
    fields = line.split("\t")
    if len(fields) != 3 or ":" not in fields[1]:
        return None
    source, _, target = fields[1].rpartition(":")
    return Update(fields[0], source, target, fields[2])


_WORDS = 600  # characters of what a hook says
_FAULTS = {  # what git says: what we say; a hook may print all that follows
    # where the connection broke, it was no hook: that has its say before anything is sent
    r"pre-push hook|(?<!hung up unexpectedly\n)error: failed to push some refs to .*\n?$": (
        "the pre-push hook of this repository declined{words}; to skip it: --no-verify"
    ),
    r"terminal prompts disabled|Authentication failed|could not read (?:Username|Password)"
    r"|HTTP 401|returned error: 401|Invalid username": (
        "{name} refused the login: a token is missing or wrong; git push, once by hand, or a"
        " credential helper can store one"
    ),
    r"returned error: 403|[Pp]ermission .*denied|Permission denied \(publickey": (
        "{name} does not let you do that; check the rights of your token or key"
    ),
    r"transport '(\w+)' not allowed": (
        "the address of {name} is of a kind that gitexp does not use; see: git remote -v"
    ),
    r"Could not resolve host|Connection refused|Failed to connect|Couldn't connect|[Tt]imed out"
    r"|Network is unreachable|unable to access": ("{name} cannot be reached: {line}"),
    r"does not appear to be a git repository|[Rr]epository .*not found|not found"
    r"|Could not read from remote": (
        "{name} does not exist, or you may not read it: {line}; see: git remote -v"
    ),
}


def explained(remote: Remote, stderr: str, returncode: int = 1) -> GitError:
    """Return the error that says in one line what a remote or git said, without the secrets that an
    address can hold."""
    stderr = redaction.redact_all(re.sub(r"(://)[^/@\s]*@", r"\1", stderr))
    line = complaint(stderr)
    line = message.one_line(line) or f"git ended with code {returncode}"
    own = message.one_line(re.sub(r"(?m)^error: failed to push.*", "", stderr))
    words = f": {own if len(own) <= _WORDS else '… ' + own[-_WORDS:]}" if own else ""
    for pattern, text in _FAULTS.items():
        if re.search(pattern, stderr):
            said = text.format(name=remote.name, line=line, words=words)
            return GitError(said, returncode, stderr)
    return GitError(f"{remote.name}: {line}", returncode, stderr)
