"""The files in which experiments differ, so that a page can show what lies between any two of them.

All pairs of N experiments are too many to store. Instead each experiment's tree is compared with
one of them, the newest (one git process for all): that gives the differing paths of every pair,
exactly. The contents behind them are stored once each, within a budget; what is over it is named
with its size, and the page says so.
"""

from __future__ import annotations

import base64
import mimetypes
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gitexp.formats import environment, message
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, blobs, snapshot
from gitexp.repo.files import read_bytes
from gitexp.runs import unrecorded
from gitexp.store import result_paths
from gitexp.store.index import Index

_NOTHING = "0" * 40  # in the place of a commit, of a run that has none yet
LARGEST = 400_000  # bytes of one file
BUDGET = 6_000_000  # bytes of all files together
_COLOURED = 1_000_000  # bytes that Pygments may take its time for
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")
# differing paths in all; a repository whose experiments differ in more has no use for a list
_PATHS = 5_000
_CLASSES = (
    "Keyword", "Literal.String", "Comment", "Literal.Number", "Name.Function", "Name.Class",
    "Name.Decorator", "Name.Builtin",
)  # fmt: skip

Changes = dict[str, str | None]  # path: blob hash, None where the file is not there


def collect(repo: Repo, experiments: Sequence[Experiment]) -> dict[str, Any]:
    """Return paths, trees and contents.

    ``outputs`` are the paths that commands wrote. ``base`` and each of ``trees`` map a path's
    number to a blob's number (-1: not there); what a tree does not say is as in ``base``. ``blobs``
    hold ``text`` with its colour ``runs``, or an ``image`` as base64, or just their ``size``.
    """
    base, trees = _trees(repo, experiments)
    paths = sorted(base)[:_PATHS]
    hashes: dict[str, int] = {}
    for tree in (*trees, base):  # newest first: what does not fit is the oldest
        for path in paths:
            if (oid := tree.get(path)) is not None:
                hashes.setdefault(oid, len(hashes))
    kinds = {oid: path for tree in (base, *trees) for path, oid in tree.items() if oid}
    numbers = {path: at for at, path in enumerate(paths)}

    def numbered(tree: Changes) -> dict[int, int]:
        known = [path for path in tree if path in numbers]
        return {numbers[path]: hashes.get(tree[path] or "", -1) for path in known}

    return {
        "paths": paths,
        "base": numbered(base),
        "trees": [numbered(tree) for tree in trees],
        "blobs": _contents(repo, hashes, kinds),
        "outputs": sorted({*_named(experiments, "outputs")}),
        "left_out": len(base) - len(paths),
    }


def add_images(made: dict[str, Any], runs: Iterable[Experiment]) -> list[dict[int, int]]:
    """Add the images that runs which go on have logged to what ``collect`` returned, and return
    their trees."""
    trees = []
    left = BUDGET
    for run in runs:
        trees.append(tree := dict[int, int]())
        for path, file in unrecorded.images(run).items():
            data = read_bytes(file) or b""
            left -= len(data)
            tree[len(made["paths"])] = len(made["blobs"])
            made["paths"].append(path)
            kept = data if len(data) <= LARGEST and left >= 0 else None
            made["blobs"].append(_described(path, kept, len(data), 0))
    return trees


def environments(repo: Repo, experiments: Sequence[Experiment]) -> dict[str, Any]:
    """Return the distinct environments, ``{package: version}``, and which of them each experiment
    ran in (-1: unknown)."""
    kinds: dict[str, int] = {}
    known: list[dict[str, str]] = []
    which = []
    names = [f"{item.id or _NOTHING}:{item.inside(environment.PATH)}" for item in experiments]
    for oid, data in blobs.contents(repo, names, LARGEST):
        if data and oid not in kinds:
            kinds[oid] = len(known)
            known.append(environment.parse_requirements(data.decode("utf-8", "replace")))
        which.append(kinds.get(oid, -1) if data else -1)
    return {"known": known, "which": which}


def messages(repo: Repo, experiments: Sequence[Experiment]) -> list[dict[str, Any]]:
    """Return body and trailers of each commit's message."""
    found = []
    for item in repo.objects(experiment.id or _NOTHING for experiment in experiments):
        text = item.data.decode("utf-8", "replace").partition("\n\n")[2] if item else ""
        found.append({"body": message.body(text), "trailers": message.trailers(text)})
    return found


def _trees(repo: Repo, experiments: Sequence[Experiment]) -> tuple[Changes, list[Changes]]:
    """Return the files of the newest experiment that any other one has otherwise, and each one's
    difference from it."""
    if not experiments:
        return {}, []
    newest = max(experiments, key=lambda item: item.started).id
    own = {path for item in experiments for path in item.files.values()}
    own |= {result_paths.PARAMS, result_paths.METRICS, snapshot.OUTPUTS, environment.PATH}
    own |= result_paths.of_other_projects(Index(repo), experiments[0])
    base: Changes = _artifacts(repo, newest, experiments)
    changes: dict[str, Changes] = {item.id: {} for item in experiments}
    request = "".join(f"{item.id} {newest}\n" for item in experiments if item.id != newest)
    words = ("diff-tree", "--stdin", "-r", "-z", "--raw", "--no-renames")
    fields = iter(repo.git(*words, stdin=request.encode()).split(b"\0"))
    current: Changes = {}
    for field in fields:
        if not field.startswith(b":"):
            current = changes.get(os.fsdecode(field).strip(), {})
            continue
        _, mode, old, new, _ = field.decode().split(" ")
        path = os.fsdecode(next(fields)).encode("utf-8", "replace").decode()
        if mode == "160000" or result_paths.holds(own, path):
            continue
        base[path] = None if set(old) == {"0"} else old
        current[path] = None if set(new) == {"0"} else new
    return base, [changes[item.id] for item in experiments]


def _artifacts(repo: Repo, commit: str, experiments: Sequence[Experiment]) -> Changes:
    """Return the files of a commit that any experiment calls its artifacts, and its images: equal
    ones are worth seeing, too."""
    named = {*_named(experiments, "artifacts")}
    listed = repo.git("ls-tree", "-r", "-z", commit).split(b"\0")[:-1] if named else []
    entries = (entry.partition(b"\t") for entry in listed)
    found = {os.fsdecode(path): head.decode().split(" ")[2] for head, _, path in entries}
    return {path: oid for path, oid in found.items() if path in named}


def _named(experiments: Sequence[Experiment], kind: str) -> Iterator[str]:
    return (str(path) for item in experiments for path in item.extra.get(kind, ()))


def _contents(repo: Repo, hashes: Iterable[str], paths: dict[str, str]) -> list[dict[str, Any]]:
    todo = list(hashes)
    size = [item[1] if item else 0 for item in blobs.sizes(repo, todo)]
    left, colour = BUDGET, _COLOURED
    wanted = []
    for oid, length in zip(todo, size):
        if length <= min(LARGEST, left):
            left -= length
            wanted.append(oid)
    data = dict(blobs.contents(repo, wanted))
    found = []
    for oid, length in zip(todo, size):
        described = _described(paths[oid], data.get(oid), length, colour) | {"hash": oid[:10]}
        if "runs" in described:
            colour -= length
        found.append(described)
    return found


def _described(path: str, data: bytes | None, size: int, colour: int) -> dict[str, Any]:
    """Return a file as one of ``blobs``; ``data`` is None for one that is not to be shown, and
    ``colour`` is up to how many bytes Pygments may see."""
    kind = mimetypes.guess_type(path)[0]
    if data is not None and kind in _IMAGES:
        return {"size": size, "image": f"data:{kind};base64,{base64.b64encode(data).decode()}"}
    try:
        text = (b"\0" if data is None else data).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return {"size": size}
    runs = _runs(path, text) if size <= colour else None
    return {"size": size, "text": text} | ({"runs": runs} if runs else {})


def _runs(path: str, text: str) -> list[int] | None:
    """Return a text's syntax colours as ``[class, length, class, length, ...]``; None for a
    language that nobody knows.

    Numbers, not HTML: what a repository holds never reaches the page as markup.
    """
    try:
        from pygments.lexers import get_lexer_for_filename
        from pygments.util import ClassNotFound
    except ImportError:  # colour is no reason to go without a page
        return None
    try:
        lexer = get_lexer_for_filename(path)
    except ClassNotFound:
        return None
    if lexer.name in ("Text only", "JSON", "CSV"):
        return None
    runs: list[int] = []
    length = 0
    for _, token, value in lexer.get_tokens_unprocessed(text):
        kind = _class(str(token).removeprefix("Token."))
        if runs and runs[-2] == kind:
            runs[-1] += len(value)
        else:
            runs += [kind, len(value)]
        length += len(value)
    return runs if length == len(text) else None


def _class(token: str) -> int:
    """Return 0 for plain text, else 1 and up for the classes that the style sheet knows."""
    return next((at for at, name in enumerate(_CLASSES, 1) if token.startswith(name)), 0)
