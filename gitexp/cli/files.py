"""Files that commands write where the user says: whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitexp.formats.errors import GitexpError, UsageError


@contextmanager
def new_file(target: Path, force: bool, folder: bool = False) -> Iterator[Path]:
    """Yield a new file beside ``target``, which takes its place when all went well; a device is
    written to as it is, and a link within its folder stays one.

    Raises:
        UsageError: there is such a file already, and ``force`` was not said.
        GitexpError: it cannot be written.
    """
    if not folder and target.exists() and not (target.is_file() or target.is_dir()):
        yield target
        return
    if target.exists() and (not force or target.is_dir()):
        raise UsageError(
            f"{target} is there already; to write over it: --force"
            if target.is_file()
            else f"{target} is a folder already; name another"
            if folder
            else f"{target} is a folder; name a file"
        )
    place = Path(os.path.realpath(target))
    if not place.is_relative_to(os.path.realpath(target.parent)):
        place = target
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        yield part
        os.replace(part, place)
    except OSError as error:
        raise GitexpError(
            f"{target} cannot be written: {error.strerror}; check the folder and the disk, or"
            " choose another place"
        ) from None
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        with suppress(OSError):
            part.unlink()


def write_file(path: Path, data: bytes) -> int:
    """Write a file, over one that is there, and return its size."""
    with new_file(path, force=True) as part:
        part.write_bytes(data)
    return len(data)
