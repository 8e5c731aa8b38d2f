"""Whether data is what its pointer says, and having it so before it is recorded.

DVC is asked only where something may have moved. What a file or folder looked like (sizes and
times) when DVC last said that all is well, or not, is kept in ``.git/gitexp/data.json``; while that
holds, nothing is started. A recording never fails for the sake of data: what could not be found
out, or was not wanted, is said and recorded.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.formats.errors import GitexpError
from gitexp.formats.settings import Settings
from gitexp.repo import Repo, dvc_pointers, files
from gitexp.repo.dvc_pointers import Data, listed
from gitexp.repo.process import chunks

_STATE = "data.json"
_ANSWER = "dvc_commit"  # holds yes or no: what the user said when asked
# seconds: a file written so recently may be written again without a visible change of its times
_FRESH = 0.1
_QUICK = 300 * 10**6  # bytes
_STAGE = "DVC_STAGE"  # set for what `dvc repro` runs, which DVC itself takes note of when it ends


class Stale(NamedTuple):
    """Data that is not what its pointer says, and ``target``, the file or stage that ``dvc commit``
    takes."""

    path: str
    target: str


class Talk(NamedTuple):
    """How to talk with the user: ``ask`` is None where nobody can answer. The answer holds for this
    clone."""

    ask: Callable[[Sequence[Stale]], bool] | None
    say: Callable[[str], None]


class Settled(NamedTuple):
    """What is known of the data when a snapshot is about to be taken."""

    # for the experiment: ``data``, the hashes, and ``data_stale``, the paths for which they are not
    # true
    conditions: Mapping[str, Any] = {}
    told: str | None = None  # what the user should know, None where all is well


def commit_changed(repo: Repo, settings: Settings, talk: Talk | None = None) -> Settled:
    """Have the pointers in the work tree say what the data is, as far as the user allows that;
    nothing is raised.

    Args:
        talk: with the user, where nobody has said yet whether ``dvc commit`` may be run.
    """
    if not dvc_pointers.in_use(repo.root):
        return Settled()
    told = None
    data = dvc_pointers.in_work_tree(repo)
    found: tuple[Stale, ...] = ()
    try:
        found = stale(repo, data)
        # may it be committed? as the settings say, or the answer that was given once
        allowed = settings.dvc_commit if settings.dvc_commit is not None else _answer(repo)
        if found and allowed is None and talk and talk.ask:
            allowed = talk.ask(found)
            repo.write_state(_ANSWER, b"yes" if allowed else b"no")
        if found and allowed:
            commit(repo, found)
            if talk:
                talk.say(f"committed in DVC: {listed(item.path for item in found)}")
            found, data = (), dvc_pointers.in_work_tree(repo)
        elif found and allowed is None:
            names = listed(item.path for item in found)
            told = (
                f"{names} changed since the last dvc commit, so the older data is recorded; to have"
                " it committed: dvc_commit = true"
            )
    except (GitexpError, OSError) as error:
        what = (
            f"{listed(item.path for item in found)} changed since the last dvc commit"
            if found
            else "whether its data changed is not known"
        )
        told = f"{error}; {what}"
    apart = sorted({item.path for item in found})
    return Settled({"data": dvc_pointers.summary(data), "data_stale": apart}, told)


def stale(repo: Repo, data: Mapping[str, Data] | None = None) -> tuple[Stale, ...]:
    """Return the data in the work tree that is not what its pointer says. What is not there does
    not count.

    Raises:
        MissingExtraError: DVC is needed to tell, and is not installed.
        GitexpError: DVC failed.
    """
    data = dvc_pointers.in_work_tree(repo) if data is None else data
    if not data or os.environ.get(_STAGE):
        return ()
    now = time.time()
    known = _known(repo)
    looks = _looks(repo, data)
    judged = {
        path: known[path][2]
        for path, look in looks.items()
        if path in known and known[path][:2] == [data[path].hash, look[0]]
    }
    same = [path for path in looks if path not in judged and _is_same(repo.root / path, data[path])]
    if same:
        _note(repo, {path: data[path] for path in same}, looks, time.time())
        judged.update(dict.fromkeys(same, False))
    if len(judged) == len(looks):
        return tuple(
            Stale(path, data[path].target) for path, is_stale in judged.items() if is_stale
        )
    found = tuple(_modified(repo, data))
    _note(repo, data, looks, now, {item.path for item in found})
    return found


def suspects(repo: Repo, data: Mapping[str, Data]) -> tuple[str, ...]:
    """Return the data that is known to be stale, or was right once and looks different now; DVC is
    not asked."""
    known = _known(repo) if data else {}
    same = [path for path in sorted(data) if known.get(path, [""])[0] == data[path].hash]
    looks = _looks(repo, same)
    return tuple(path for path, look in looks.items() if [look[0], False] != known[path][1:])


def from_other_pointers(repo: Repo, data: Mapping[str, Data]) -> tuple[str, ...]:
    """Return the data that is known to be what another pointer said; DVC is not asked."""
    known = _known(repo) if data else {}
    return tuple(
        path
        for path, item in data.items()
        if path in known and known[path][0] != item.hash and (repo.root / path).exists()
    )


def commit(repo: Repo, found: Iterable[Stale]) -> None:
    """Take changed data into the cache and bring its pointers up to date; the data itself stays as
    it is.

    Raises:
        GitexpError: DVC failed.
    """
    from gitexp.repo import dvc

    items = list(found)
    now = time.time()
    looks = _looks(repo, [item.path for item in items])
    for targets in chunks(sorted({item.target for item in items})):
        dvc.run(repo.root, "commit", "--force", "--no-relink", *targets)
    _note(repo, dvc_pointers.in_work_tree(repo), looks, now)


def mark_unchanged(repo: Repo, data: Iterable[Data]) -> None:
    """Note that data in the work tree is what its pointers say: DVC has just written it."""
    written = {item.path: item for item in data}
    _note(repo, written, _looks(repo, written), time.time())


def _is_same(path: Path, item: Data) -> bool:
    """Whether a file that is no larger than reading it costs less than starting DVC has the hash
    that its pointer says."""
    try:
        if item.is_folder or item.entry.get("hash") != "md5" or item.size is None:
            return False
        if not path.stat().st_size == item.size <= _QUICK:
            return False
        return files.digest(path, "md5") == item.oid
    except OSError:
        return False


def _answer(repo: Repo) -> bool | None:
    said = files.read_text(repo.state_dir / _ANSWER)
    return {"yes": True, "no": False}.get(said.strip())


def _modified(repo: Repo, data: Mapping[str, Data]) -> Iterator[Stale]:
    """Yield what DVC calls modified. Not through ``dvc status``, which does not look at a file
    whose old content is in no cache."""
    from gitexp.repo import dvc

    try:
        said = json.loads(dvc.run(repo.root, "data", "status", "--json") or "{}")
        modified = {
            os.path.normpath(path).replace(os.sep, "/")
            for path in said.get("uncommitted", {}).get("modified", ())
        }
    except (ValueError, AttributeError):
        raise GitexpError(
            "dvc data status gave no JSON; gitexp needs DVC 3 or newer: pip install --upgrade dvc"
        ) from None
    yield from (Stale(path, item.target) for path, item in data.items() if path in modified)


# -- what data looked like when it was last known to be right --------------------------------------


def _look(path: Path) -> tuple[str, float] | None:
    """Return what changes whenever a file, or one of a folder's, is written; and the newest time of
    them. None: not there."""
    try:
        if not path.is_dir():
            status = path.stat()
            return " ".join(map(str, files.looks(status))), status.st_mtime
        lines, newest, todo = [], 0.0, [str(path)]
        while todo:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                        continue
                    status = entry.stat()
                    lines.append(" ".join(map(str, (entry.path, *files.looks(status)))))
                    newest = max(newest, status.st_mtime)
    except OSError:
        return None
    import hashlib

    whole = "\n".join(sorted(lines)).encode("utf-8", "surrogateescape")
    return hashlib.sha256(whole).hexdigest(), newest


def _looks(repo: Repo, paths: Iterable[str]) -> dict[str, tuple[str, float]]:
    """Return how each looks, but for those that are not there, as ``_look`` says it."""
    return {path: look for path in paths if (look := _look(repo.root / path))}


def _note(
    repo: Repo,
    data: Mapping[str, Data],
    looks: Mapping[str, tuple[str, float]],
    now: float,
    changed: Collection[str] = (),
) -> None:
    """Keep how data looked when it was known to be what its pointer says, or ``changed``: but for
    what was written so short before ``now`` that more may be without a visible change."""
    seen = {
        path: [data[path].hash, look, path in changed]
        for path, (look, written) in looks.items()
        if path in data and written < now - _FRESH
    }
    _remember(repo, seen)


def _known(repo: Repo) -> dict[str, Any]:
    known = files.read_mapping(repo.state_dir / _STATE).get(str(repo.root), {})
    if not isinstance(known, dict):
        return {}
    return {path: at for path, at in known.items() if isinstance(at, list) and len(at) == 3}


def _remember(repo: Repo, entries: Mapping[str, Any]) -> None:
    """Keep what was seen; a work tree has its own, and a lost update costs no more than one
    question to DVC."""
    folder = repo.make_state_dir()
    whole = files.read_mapping(folder / _STATE)
    top = str(repo.root)
    with suppress(OSError):
        text = json.dumps({**whole, top: {**whole.get(top, {}), **entries}})
        files.replace(folder, folder / _STATE, text.encode())
