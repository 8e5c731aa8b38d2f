"""Data that DVC tracks, as git sees it: pointers, which say the hash and size of what lies in DVC's
cache.

A pointer is an entry of a ``.dvc`` file or of ``dvc.lock``. Both are YAML, which is read here
directly: starting DVC takes a second, and reading an experiment must run nothing. They come from
repositories that nobody vouches for, so the guarded loader of ``params`` reads them, a damaged file
counts as none, and a path that leaves the repository is no data.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from gitexp.formats import message, params
from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo
from gitexp.repo.files import read_bytes, read_text

FOLDER, SUFFIX, LOCK = ".dvc", ".dvc", "dvc.lock"
_HASH = r"[0-9a-f]{32}(\.dir)?"
# a .dvc file as `dvc add` writes it, with nothing that YAML would read as other than text: ten
# times as fast
_USUAL = (
    rb"outs:\n- md5: ([0-9a-f]*[a-df][0-9a-f]*(?:\.dir)?)\n  size: (\d{1,15})\n(?:  nfiles:"
    rb" (\d{1,15})\n)?"
    rb"  hash: md5\n  path: (?!(?i:true|false|null)\n)([A-Za-z_][\w.-]*)\n"
)
_MOST = 100
_LISTING_BYTES = 50 * 10**6


class Data(NamedTuple):
    """A file or folder that DVC tracks."""

    path: str  # from the top of the repository
    hash: str  # ``md5:...``, with ``.dir`` at the end for a folder
    size: int | None  # bytes, None where the pointer does not say
    files: int | None  # how many a folder has, None for a file
    pointer: str  # the file that says so
    stage: str | None = None  # of a pipeline, what ``dvc.lock`` calls it
    entry: Mapping[str, Any] = {}  # what it says, whole

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.hash.endswith(".dir")

    @property
    def target(self) -> str:
        """What DVC's commands call the pointer."""
        folder = self.pointer.removesuffix(LOCK)
        return self.pointer if self.stage is None else f"{folder}dvc.yaml:{self.stage}"

    @property
    def oid(self) -> str:
        """The hash without its kind, as the cache names it."""
        return self.hash.partition(":")[2]


class DataChange(NamedTuple):
    """Data that differs between two sides.

    Attributes:
        status: added, removed or changed.
        a, b: hashes, None where a side has none.
        size_a, size_b: bytes, None where unknown.
        files_a, files_b: how many files a folder has, None for a file.
        added, removed, changed: files of a folder; None where the cache here does not hold both
            listings.
    """

    path: str
    status: str
    a: str | None
    b: str | None
    size_a: int | None = None
    size_b: int | None = None
    files_a: int | None = None
    files_b: int | None = None
    added: tuple[str, ...] | None = None
    removed: tuple[str, ...] | None = None
    changed: tuple[str, ...] | None = None


def in_use(root: Path) -> bool:
    """Whether the repository uses DVC: a file system call, so that others pay nothing."""
    return (root / FOLDER).is_dir() and not (root / FOLDER).is_symlink()


def listed(paths: Iterable[str]) -> str:
    """Return paths for a sentence."""
    return message.some([message.one_line(path) for path in paths], 5)


def is_pointer(path: str) -> bool:
    """Whether a path may be a file of pointers."""
    name = path.rpartition("/")[2]
    return name == LOCK or (name.endswith(SUFFIX) and name != SUFFIX)


def places(path: str) -> Iterator[str]:
    """Yield where the pointer to a file may lie."""
    yield f"{path}{SUFFIX}"
    yield from (f"{folder}/{LOCK}" for folder in [*upwards(path)][1:])
    yield LOCK


def in_work_tree(repo: Repo) -> dict[str, Data]:
    """Return what the pointers in the work tree say, ``{path: data}``; those that git ignores do
    not count."""
    if not in_use(repo.root):
        return {}
    named = ("--exclude-standard", "--", f"*{SUFFIX}", LOCK, f"*/{LOCK}")
    paths = sorted({*repo.entries("ls-files", "-z", "-c", "-o", *named)})
    return _all((path, read_bytes(repo.root / path)) for path in paths if is_pointer(path))


def of_commit(repo: Repo, commit: str) -> dict[str, Data]:
    """Return what the pointers of a commit (or tree) say, ``{path: data}``."""
    listed = repo.entries("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit)
    paths = [path for path in listed if is_pointer(path) and "\n" not in path]
    found = repo.objects(f"{commit}:{path}" for path in paths)
    return _all((path, item.data if item else None) for path, item in zip(paths, found))


def of_experiment(repo: Repo, experiment: Experiment) -> dict[str, Data]:
    """Return what an experiment's pointers say. Its tree is only looked through where there may be
    some."""
    artifacts = experiment.extra.get("artifacts")
    pointed = isinstance(artifacts, list) and any(str(path).endswith(SUFFIX) for path in artifacts)
    may_have = pointed or "data" in experiment.extra or in_use(repo.root)
    return of_commit(repo, experiment.id) if may_have else {}


def summary(data: Mapping[str, Data]) -> dict[str, str]:
    """Return ``{path: hash}`` for an experiment's summary; of very many, one hash over all, since
    the pointers are in the tree."""
    if len(data) <= _MOST:
        return {path: item.hash for path, item in sorted(data.items())}
    import hashlib

    listing = "".join(f"{item.hash} {path}\n" for path, item in sorted(data.items()))
    return {"*": f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"}


def upwards(path: str) -> Iterator[str]:
    """Yield a path, then the folders that it lies in, the nearest first."""
    parts = path.split("/")
    return ("/".join(parts[:end]) for end in range(len(parts), 0, -1))


def holder(data: Mapping[str, Data], path: str) -> Data | None:
    """Return what tracks a path: the data itself, or a folder that it lies in."""
    return next((data[one] for one in upwards(path) if one in data), None)


def changes(repo: Repo, a: Mapping[str, Data], b: Mapping[str, Data]) -> Iterator[DataChange]:
    """Yield what differs; for folders with their files, where DVC's cache here holds both
    listings."""
    for path in sorted({*a, *b}):
        old, new = a.get(path), b.get(path)
        if old and new and old.hash == new.hash:
            continue
        status = "changed" if old and new else "removed" if old else "added"
        (hash_a, size_a, files_a), (hash_b, size_b, files_b) = map(_said, (old, new))
        sides = (hash_a, hash_b, size_a, size_b, files_a, files_b)
        yield DataChange(path, status, *sides, *_files_between(repo, old, new))


def _said(side: Data | None) -> tuple[str | None, int | None, int | None]:
    return (side.hash, side.size, side.files) if side else (None, None, None)


# -- reading ---------------------------------------------------------------------------------------


def _all(files: Iterable[tuple[str, bytes | None]]) -> dict[str, Data]:
    return {
        item.path: item
        for pointer, text in files
        if text is not None
        for item in _parsed(pointer, text)
    }


def _parsed(pointer: str, text: bytes) -> Iterator[Data]:
    if usual := re.fullmatch(_USUAL, text):
        oid, size, files, path = ((part or b"").decode() for part in usual.groups())
        entry = {"md5": oid, "size": int(size), "hash": "md5", "path": path}
        if files:
            entry["nfiles"] = int(files)
        stages: Mapping[str | None, Any] = {None: {"outs": [entry]}}
    else:
        stages = _stages(pointer, text)
    for name, stage in stages.items():
        entries = stage.get("outs") if isinstance(stage, dict) else None
        below = str(stage.get("wdir", ".")) if name is None else "."
        for said in entries if isinstance(entries, list) else ():
            item = _data(pointer, name, below, said)
            if item:
                yield item


def _stages(pointer: str, text: bytes) -> Mapping[str | None, Any]:
    try:
        content = params.load(text, pointer)
    except FormatError:
        return {}
    if pointer.rpartition("/")[2] != LOCK:
        return {None: content}
    named = content.get("stages")
    return named if isinstance(named, dict) else {}


def _data(pointer: str, stage: str | None, below: str, entry: Any) -> Data | None:
    """Return the data of one entry; None where it is none that DVC keeps: no hash yet, or a small
    file that git holds."""
    if not isinstance(entry, dict) or entry.get("cache") is False:
        return None
    if not re.fullmatch(_HASH, str(entry.get("md5", ""))):
        return None
    said = str(entry.get("path", ""))
    path = os.path.normpath(PurePosixPath(pointer).parent / below / said).replace(os.sep, "/")
    outside = path.startswith(("/", "../", ".git/")) or path in (".", "..") or said[1:2] == ":"
    if not said or outside or not path.isprintable():
        return None
    size, files = _whole(entry.get("size")), _whole(entry.get("nfiles"))
    return Data(path, f"md5:{entry['md5']}", size, files, pointer, stage, entry)


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


# -- DVC's cache, as far as it can be read without DVC ---------------------------------------------


def _files_between(
    repo: Repo, old: Data | None, new: Data | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None, tuple[str, ...] | None]:
    if not any(side and side.is_folder for side in (old, new)):
        return None, None, None
    before, after = (_listing(repo, side) if side and side.is_folder else {} for side in (old, new))
    if before is None or after is None:
        return None, None, None
    changed = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    added, removed = after.keys() - before.keys(), before.keys() - after.keys()
    return tuple(sorted(added)), tuple(sorted(removed)), tuple(sorted(changed))


def _listing(repo: Repo, folder: Data) -> dict[str, str] | None:
    """Return ``{file: hash}`` of a folder from its listing in the cache, None where that is not
    there."""
    head, rest = folder.oid[:2], folder.oid[2:]
    for cache in _caches(repo):
        # since DVC 3, and before
        for place in (cache / "files" / "md5" / head / rest, cache / head / rest):
            try:
                if place.stat().st_size > _LISTING_BYTES:
                    return None
                entries = json.loads(place.read_bytes())
                return {str(entry["relpath"]): str(entry["md5"]) for entry in entries}
            except (OSError, ValueError, TypeError, KeyError, RecursionError):
                continue
    return None


def _caches(repo: Repo) -> Iterator[Path]:
    """Yield where the cache may lie: as configured, else in its usual place, in a linked work tree
    that of the main one."""
    tops = dict.fromkeys((repo.root, repo.common_dir.parent))
    for top in tops:
        for name in ("config.local", "config"):
            text = read_text(top / FOLDER / name)
            if match := re.search(
                r"^\[cache\]\s*$(?:\n(?!\s*\[).*)*?\n\s*dir\s*=\s*(.+)$", text, re.MULTILINE
            ):
                yield top / FOLDER / match[1].strip().strip("\"'")
    for top in tops:
        yield top / FOLDER / "cache"
