"""What a power cut, a full disk or a folder that was lost leaves of git's own files, and how each
of it is mended."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from gitexp.repo import Repo, files
from gitexp.store import connectivity, record
from gitexp.store.index import Index

_ROOM = 2**20  # bytes, of which a recording takes some
_SHOWN = 20  # broken experiments that are named
_RECORDED = r"(?m)^([0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) (\S+)$"
_REF = rb"(ref: .+|[0-9a-f]{40}|[0-9a-f]{64})\s*"
_LOGGED = r"\S+ ([0-9a-f]{40,64}) [^\n]*\n*\Z"  # a reflog's last line


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    what: str  # what it is, in one line
    advice: str = ""  # the next step for the user, where ``--fix`` leaves it alone
    mend: Callable[[], object] | None = None  # makes it right; None where only the user can


def closed(repo: Repo) -> Iterator[Finding]:
    """Find folders into which nothing can be written, so that nothing can be recorded."""
    for place in (repo.state_dir, *(repo.common_dir / name for name in ("objects", "refs/tags"))):
        if os.path.lexists(place) and not (place.is_dir() and os.access(place, os.W_OK)):
            what = f"{place} is not a writable folder, so nothing can be recorded"
            yield Finding(what, f"to see whose it is: ls -ld {shlex.quote(str(place))}")
    alternates = repo.common_dir / "objects/info/alternates"
    for source in files.read_text(alternates).splitlines():
        if source and source[0] not in '#"' and not (alternates.parents[1] / source).is_dir():
            what = f"git's objects are borrowed from {source}, which is not there"
            yield Finding(what, f"bring it back, or correct {alternates}, before all else")
    if shutil.disk_usage(repo.common_dir).free < _ROOM:
        yield Finding(f"the disk of {repo.common_dir} is full", "free some space on it")


def refs(repo: Repo) -> Iterator[Finding]:
    """Find refs whose files hold no hash, as a power cut leaves them. The tag of an experiment is
    known, and put back; what any other one was, the user knows best."""
    if (repo.common_dir / "reftable").exists():
        return
    tags = {f"refs/tags/{name}": tag for tag, _, name in recorded(repo)}
    kinds = repo.kinds(tags.values()) if tags else {}
    for path in files.below(repo.common_dir / "refs"):
        ref, data = path.relative_to(repo.common_dir).as_posix(), files.read_bytes(path)
        if data is None or path.suffix == ".lock" or re.fullmatch(_REF, data):
            continue
        what = f"{ref} is damaged: its file holds no hash"
        if kinds.get(tag := tags.get(ref, ""), "missing") != "missing":
            yield Finding(what, mend=partial(put_back, repo, ref, tag))
        else:
            yield Finding(what, f"to remove it: rm {shlex.quote(str(path))}{_set_anew(repo, ref)}")


def _set_anew(repo: Repo, ref: str) -> str:
    """Return how a ref is set to what its reflog says that it was last."""
    if re.fullmatch("refs/remotes/.*/HEAD", ref):
        return f"; then, to set it anew: git remote set-head {ref.split('/')[2]} --auto"
    last = re.search(_LOGGED, files.read_text(repo.common_dir / "logs" / ref))
    was = last[1] if last else "HASH"
    is_ref = re.fullmatch(r"refs/[\w/-]+", ref)
    return f"; then, to set it anew: git update-ref {ref} {was}" if is_ref else ""


def put_back(repo: Repo, ref: str, oid: str) -> None:
    """Have the tag of an experiment that git cannot read hold its hash again."""
    with record.locked(repo) as fd:
        if not re.fullmatch(_REF, files.read_bytes(repo.common_dir / ref) or b""):
            (repo.common_dir / ref).unlink(missing_ok=True)
        if repo.tip(ref) != oid:
            repo.update_refs([f"create {ref} {oid}"], "gitexp: doctor", [fd])


def head(repo: Repo) -> Iterator[Finding]:
    """Find a HEAD whose commit is gone."""
    commit, branch = repo.head()
    places = [repo.common_dir / top / (branch or "HEAD") for top in ("", "logs")]
    if commit is None and not any(place.exists() for place in places):
        return  # before the first commit
    if commit is None or next(repo.objects([commit])) is None:
        yield Finding(
            "the commit that HEAD points to cannot be read",
            "to see where it was: git reflog; to look for damage: git fsck",
        )


def objects(repo: Repo) -> Iterator[Finding]:
    """Find tags whose object is gone, and experiments that lack files."""
    tags = {ref.removeprefix("refs/tags/"): oid for ref, oid in repo.refs("refs/tags").items()}
    gone = repo.absent([*tags.values()])
    for name, oid in tags.items():
        if oid in gone:
            yield Finding(
                f"the tag {name} points to nothing",
                f"to remove it: git update-ref -d refs/tags/{name}; then,"
                f" {connectivity.advice(repo)}",
            )
    rows = Index(repo).rows('tag."commit", ref.name', "ref.remote = ''", everybody=True)
    names = dict(rows)
    kinds = repo.kinds(names)
    there = [commit for commit in names if kinds[commit] == "commit"]
    gone += (commit for commit in names if kinds[commit] == "missing")
    for commit, lost in islice(connectivity.broken(repo, there), _SHOWN):
        gone += lost
        yield Finding(
            f"{names[commit]} lacks {len(lost)} of its files or folders ({lost[0][:10]})",
            connectivity.advice(repo),
        )
    for oid in dict.fromkeys(gone):
        path = repo.common_dir / "objects" / oid[:2] / oid[2:]
        if _is_damaged(repo, path, oid):
            what = (
                f"the file of object {oid[:10]} is damaged, so git does not fetch the object again"
            )
            yield Finding(what, mend=partial(_set_aside, repo, path, oid))
        elif path.exists():
            advice = f"check who may read it: ls -l {shlex.quote(str(path))}"
            yield Finding(f"the file of object {oid[:10]} cannot be read by git", advice)


def _is_damaged(repo: Repo, path: Path, oid: str) -> bool:
    """Whether a file that can be read is not the object that its name says."""
    data = files.read_bytes(path)
    if data is None:
        return False
    try:
        return hashlib.new(repo.object_format, zlib.decompress(data)).hexdigest() != oid
    except zlib.error:
        return True


def _set_aside(repo: Repo, path: Path, oid: str) -> None:
    if _is_damaged(repo, path, oid):  # nobody wrote it anew meanwhile
        os.replace(path, repo.state_dir / f"damaged-{oid}")


def recorded(repo: Repo) -> list[tuple[str, str, str]]:
    """Return tag, commit and name of what was recorded here."""
    return re.findall(_RECORDED, files.read_text(repo.state_dir / record.RECORDED))
