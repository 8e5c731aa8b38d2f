"""Where a run's files go while its own folder takes none: the disk is full, or ``.git`` became
read-only in mid-run.

    ~/.cache/gitexp/spare/RUN-HASH/    else gitexp-spare-RUN-HASH among the temporary files
        metrics.csv    the rows that came after those in the run's own folder; no header
        run.json, params.yml, artifacts/    newer than what the run's own folder has of them

The name says which run's folder it stands in for, so whoever records the run finds it. A folder
that another user owns is never used.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gitexp.repo import files

ROWS = "metrics.csv"
_PROBE = b"\0" * 4096  # a full disk still makes folders and empty files


def fallback_folder(folder: Path) -> Path | None:
    """Return the spare folder of a run's folder, made if need be; None where none can be."""
    for path in _places(folder):
        if _is_mine(path):
            return path
        with suppress(OSError):
            _make(path)
            return path
    return None


def take_back(folder: Path) -> None:
    """Bring what lies elsewhere into the run's folder; again, it completes. Raises OSError."""
    for path in _places(folder):
        if not _is_mine(path):
            continue
        for file in sorted(path.rglob("*")):
            if file.is_symlink() or not file.is_file():
                continue
            name = file.relative_to(path)
            target, is_part = folder / name, name.suffix == ".new" and len(name.parts) == 1
            if str(name) == ROWS:
                _append(file, target)
            elif not is_part and files.modified(target) <= files.modified(file):
                target.parent.mkdir(parents=True, exist_ok=True)
                files.replace(folder, target, file)
            file.unlink()
        shutil.rmtree(path, ignore_errors=True)


def forget(folder: Path, name: str) -> None:
    """Remove what lies elsewhere of a file that the run's own folder has taken since."""
    for path in _places(folder):
        if _is_mine(path):
            with suppress(OSError):
                (path / name).unlink()


def whole_rows(path: Path) -> int:
    """Return how many bytes of a ``metrics.csv`` are whole rows: the last may be torn."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65536))
        tail = file.read()
        return size - len(tail) + tail.rfind(b"\n") + 1


def _append(rows: Path, target: Path) -> None:
    """Add rows to a run's own, once, also where a killed process had added them before."""
    more = rows.read_bytes()[: whole_rows(rows)]
    size = whole_rows(target) if target.exists() else 0
    with open(target, "r+b" if target.exists() else "w+b") as file:
        file.seek(max(0, size - len(more)))
        if more and file.read(len(more)) != more:
            _write_all(file.fileno(), size, more)


def _write_all(fd: int, at: int, data: bytes) -> None:
    os.ftruncate(fd, at)
    try:
        os.lseek(fd, at, os.SEEK_SET)
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, at)
        raise


def _places(folder: Path) -> Iterator[Path]:
    import appdirs

    digest = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()
    name = f"{folder.name}-{digest[:16]}"
    yield Path(appdirs.user_cache_dir("gitexp"), "spare", name)
    # tempfile would write a file into each folder that it thinks of
    temporary = os.environ.get("TMPDIR") or os.environ.get("TEMP") or "/tmp"
    yield Path(temporary, f"gitexp-spare-{name}")


def _make(path: Path) -> None:
    """Make a folder that takes files, in one step: whoever finds it finds one that stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    part.mkdir(mode=0o700)
    try:
        (part / "probe").write_bytes(_PROBE)
        (part / "probe").unlink()
        part.rename(path)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        if not _is_mine(path):
            raise


def _is_mine(path: Path) -> bool:
    with suppress(OSError):
        status = path.lstat()
        return stat.S_ISDIR(status.st_mode) and (
            not hasattr(os, "getuid") or status.st_uid == os.getuid()
        )
    return False
