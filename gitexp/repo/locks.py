"""Locks on open files: they end with the process that holds them, however that ends, so a leftover
is never mistaken for one.

On POSIX this is ``flock`` itself; portalocker, which knows Windows too, takes 25 ms to import. On a
file system that has no such locks (Lustre, some NFS) a lock is a file beside, ``lock.held``, made
in one step, with the process, its start, the host and the boot in it. Where these say that its
owner is gone, it is nobody's; an owner on another host is asked to be patient with, then named.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gitexp.formats.errors import RepositoryError

if sys.platform != "win32":
    import fcntl

_REFUSALS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
_PATIENCE = 60.0  # seconds with an owner on another host, who cannot be asked
_GRACE = 2.0  # seconds for a git that a dead owner had started, and that held its lock

by_files = False  # whether a lock was refused to this process


class Held(io.FileIO):
    """An open file that is locked for this process alone until it is closed.

    Raises:
        BlockingIOError: another process has it, and there is no ``wait``.
        RepositoryError: a process on another host has it and does not let go.
    """

    def __init__(self, path: str | os.PathLike[str], wait: bool = True) -> None:
        super().__init__(path, "ab")
        self._file_lock: str | None = None
        self._pid = os.getpid()
        try:
            if not _lock(self, False, wait):
                self._take_file(f"{os.fspath(path)}.held", wait)
        except BaseException:
            self.close()
            raise

    def drop(self) -> None:
        """Let go of the lock at once, also where a forked child still has the file open."""
        if self._file_lock is not None:
            if self._pid == os.getpid():
                with suppress(OSError):
                    os.unlink(self._file_lock)
            self._file_lock = None
        elif sys.platform != "win32":
            with suppress(OSError):
                fcntl.flock(self, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; the last process that does so ends the lock."""
        if self._file_lock is not None:
            self.drop()
        super().close()

    def _take_file(self, path: str, wait: bool) -> None:
        part = f"{path}.{os.getpid()}-{threading.get_ident()}"
        Path(part).write_bytes(_me())
        try:
            while not _linked(part, path):
                if (owner := _owner(path)) is None:
                    continue
                lives = _lives(owner)
                if lives is False:
                    _break(path, owner)
                elif not wait:
                    raise BlockingIOError(errno.EAGAIN, "it is locked", path)
                elif lives is None and _age(path) > _PATIENCE:
                    raise RepositoryError(
                        f"{path} is held by {_named(owner)}, which cannot be asked from here; if"
                        f" nothing of it runs any more: rm '{path}'"
                    )
                else:
                    time.sleep(0.01)
            self._file_lock = path
        finally:
            os.unlink(part)


def is_held(path: Path) -> bool:
    """Whether somebody holds a lock on a file; not on one that cannot be opened."""
    try:
        file = open(path, "rb")  # noqa: SIM115  closed below
    except OSError:
        return False
    with file:
        try:
            if _lock(file, True, False):
                return False
        except OSError:
            return True
    owner = _owner(f"{path}.held")
    return owner is not None and _lives(owner) is not False


def _lock(file: Any, shared: bool, wait: bool) -> bool:
    """Lock a file; False where its file system has no locks."""
    global by_files
    if sys.platform != "win32":
        how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.flock(file, how)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            by_files = True
            return False
        return True
    import portalocker

    flags = portalocker.LockFlags
    kind = flags.SHARED if shared else flags.EXCLUSIVE
    try:
        portalocker.lock(file, kind | (flags(0) if wait else flags.NON_BLOCKING))
    except portalocker.LockException as error:
        raise BlockingIOError(str(error)) from None
    return True


def _linked(part: str, path: str) -> bool:
    """Make a lock of a file with its content in it, in one step; False where there is one."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    return True


def _owner(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(1000)
    except FileNotFoundError:
        return None


def _break(path: str, owner: bytes) -> None:
    """Remove a dead owner's lock: one at a time, and never one that somebody took since."""
    part, claim = f"{path}.{os.getpid()}-{threading.get_ident()}", f"{path}.break"
    if not _linked(part, claim):
        breaker = _owner(claim)
        if breaker is not None and _lives(breaker) is False:
            os.unlink(claim)
        time.sleep(0.01)
        return
    try:
        _let_git_end()
        if _owner(path) == owner:
            os.unlink(path)
    finally:
        os.unlink(claim)


def _let_git_end() -> None:
    from gitexp.repo import lock_files

    end, now = time.monotonic() + _GRACE, time.time()
    while time.monotonic() < end and any(began < now for began in lock_files.git_starts() or ()):
        time.sleep(0.02)


def _me() -> bytes:
    return f"{os.getpid()} {_start(os.getpid())} {_boot()} {_host()}\n".encode()


def _named(owner: bytes) -> str:
    words = owner.decode("utf-8", "replace").split() or ["?"]
    return f"process {words[0]} on {words[-1].partition('/')[0]}"


def _age(path: str) -> float:
    try:
        return time.time() - os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _lives(owner: bytes) -> bool | None:
    """Whether the owner of a lock lives; None where it cannot be asked, on another host or in
    another container."""
    try:
        pid, start, boot, host = owner.decode().split()
    except ValueError:
        return None
    if host != _host():
        return None
    return boot == _boot() and start == _start(int(pid))


def _host() -> str:
    import platform

    try:  # the numbers of processes are those of a container
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{platform.node() or 'localhost'}/{space}"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"


def _start(pid: int) -> str:
    """Return when a process began, in the system's own count; "-" where it does not tell of one
    that lives, "gone" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except OSError:
        pass
    return "-"
