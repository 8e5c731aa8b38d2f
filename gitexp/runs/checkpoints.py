"""A training's own checkpoints, kept with its run in this clone, so that another can go on there.

    .git/gitexp/checkpoints/<run>/<number>-<step>/state.npz    as the training called it, read-only
    .git/gitexp/checkpoints/objects/<SHA-256>                  another name of it, by its content

The newest three stay, and of older ones ever fewer the older they are, the first one included.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gitexp.repo import Repo, files, locks
from gitexp.repo.files import link_or_copy

FOLDER = "checkpoints"
OBJECTS = "objects"
_NEWEST = 3
_CHUNK = 2**20
_NAME = re.compile(r"(\d+)-(-?\d+)")


class Checkpoint(NamedTuple):
    """A checkpoint that was kept.

    Attributes:
        path: the file, or folder, under the name that the training gave it; read-only.
        step: the step after which it was made.
        time: when, in milliseconds since 1970.
    """

    path: Path
    step: int
    time: int


def keep(repo: Repo, run: str, source: Path, step: int) -> None:
    """Keep a file or folder as a run's newest checkpoint, whole or not at all; raises OSError."""
    began = _now()
    top = repo.make_state_dir(FOLDER, run)
    with locks.Held(top / "lock"):  # threads and processes of a training may do it at once
        _keep(repo, top, source, step, began)


def _keep(repo: Repo, top: Path, source: Path, step: int, began: int) -> None:
    number = max((one for one, _, _ in _kept(top)), default=-1) + 1
    part = _new(top)
    objects = repo.make_state_dir(FOLDER, OBJECTS)
    folder = source.is_dir()
    for file in files.below(source) if folder else [source]:
        if file.is_file():
            place = part / source.name / (file.relative_to(source) if folder else "")
            place.parent.mkdir(parents=True, exist_ok=True)
            _copy(file, place, objects)
    place = top / f"{number:06d}-{step}"
    os.replace(part, place)
    os.utime(place, ns=(began * 10**6, began * 10**6))
    while _now() <= began:  # what is logged next has another time
        time.sleep(1e-4)
    gone = [old for one, _, old in _kept(top) if not is_kept(one, number + 1)]
    for old in gone:
        shutil.rmtree(old, ignore_errors=True)
    if gone:
        _sweep(objects)


def last(repo: Repo, run: str) -> Checkpoint | None:
    """Return a run's newest checkpoint; None where it has none here."""
    kept = [*_kept(repo.state_dir / FOLDER / run)]
    if not kept:
        return None
    _, step, folder = max(kept)
    return Checkpoint(next(folder.iterdir()), step, folder.stat().st_mtime_ns // 10**6)


def take_over(repo: Repo, old: str, new: str, step: int | None) -> bool:
    """Give a run the checkpoints of another, up to a step; whether there is any."""
    kept = [one for one in _kept(repo.state_dir / FOLDER / old) if step is None or one[1] <= step]
    if kept:
        top = repo.make_state_dir(FOLDER, new)
        for _, _, folder in sorted(kept):
            part = _new(top)
            shutil.copytree(folder, part, copy_function=link_or_copy)
            os.replace(part, top / folder.name)
    return bool(kept)


def forget(repo: Repo, run: str) -> None:
    """Remove a run's checkpoints."""
    shutil.rmtree(repo.state_dir / FOLDER / run, ignore_errors=True)
    _sweep(repo.state_dir / FOLDER / OBJECTS)


def is_kept(number: int, count: int) -> bool:
    """Whether a checkpoint stays of so many: the newest three, then every second, fourth..."""
    age = count - 1 - number
    return age < _NEWEST or number % (1 << (age // _NEWEST).bit_length()) == 0


def _new(top: Path) -> Path:
    """Return where a checkpoint is made, before it is moved into its place whole."""
    shutil.rmtree(top / "new", ignore_errors=True)  # of one who was killed
    return top / "new"


def _now() -> int:
    return int(time.time() * 1000)


def _kept(top: Path) -> Iterator[tuple[int, int, Path]]:
    """Yield number, step and folder of the checkpoints in a run's folder."""
    with suppress(OSError):
        for name in os.listdir(top):
            if match := _NAME.fullmatch(name):
                yield int(match[1]), int(match[2]), top / name


def _copy(source: Path, place: Path, objects: Path) -> None:
    """Copy a file, as a second name of one with the same content where there is one."""
    digest = hashlib.sha256()
    with open(source, "rb") as old, open(place, "xb") as new:
        while chunk := old.read(_CHUNK):
            digest.update(chunk)
            new.write(chunk)
        new.flush()
        os.fsync(new.fileno())
    place.chmod(0o444)
    known = objects / digest.hexdigest()
    second = place.with_name(f"{place.name}.same")
    try:
        os.link(known, second)
        os.replace(second, place)
    except FileNotFoundError:
        with suppress(OSError):
            os.link(place, known)
    except OSError:  # no hard links here, or too many
        second.unlink(missing_ok=True)


def _sweep(objects: Path) -> None:
    """Remove the content that no checkpoint has any more: a file with a single name."""
    with suppress(OSError):
        for entry in os.scandir(objects):
            if entry.stat().st_nlink == 1:
                os.unlink(entry.path)
