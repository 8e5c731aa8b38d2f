"""Refs of git: HEAD and branches as they are, changes in transactions, and the lock of all who
write experiments."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitexp.formats.errors import GitError, RepositoryError
from gitexp.repo.files import read_bytes, replace
from gitexp.repo.lock_files import are_gone
from gitexp.repo.process import Git, failure, run

if TYPE_CHECKING:
    import subprocess

    from gitexp.repo import locks

_PRIVATE = ("dvc-", "sign-")  # temporary folders, which may hold a token or use a key
_LONG = 5.0  # seconds after which it is said what is waited for
HEAD = ("HEAD", "--symbolic-full-name", "HEAD")


class Head(NamedTuple):
    """Where HEAD points: a commit (None before the first) and a branch's full ref name (None when
    detached)."""

    commit: str | None
    branch: str | None

    @property
    def short(self) -> str:
        """The branch as people call it; empty when detached."""
        return (self.branch or "").removeprefix("refs/heads/")


class Transaction:
    """An ``update-ref --stdin`` that is going on: it dies, and everything is as it was, where its
    end of the pipe is closed early."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def prepare(self, commands: Iterable[str]) -> None:
        """Lock the refs and check what the ``update-ref --stdin`` commands say that they were.

        Raises:
            GitError: one is not, or cannot be written; the transaction is over.
        """
        self._say("start", *commands, "prepare")

    def commit(self) -> None:
        """Make the change of all refs; raise GitError where the disk does not let it."""
        self._say("commit")
        assert self._process.stdin is not None
        self._process.stdin.close()  # git comes to its end while we go on

    def _say(self, *lines: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(b"".join(os.fsencode(line) + b"\n" for line in lines))
            self._process.stdin.flush()
        wanted = f"{lines[-1]}: ok".encode()
        while (answer := self._process.stdout.readline()) and answer.rstrip() != wanted:
            pass
        if not answer:
            _, stderr = self._process.communicate()
            raise failure(stderr, self._process.returncode)


class Refs(Git):
    """Reads and changes the refs of a repository."""

    @property
    def state_dir(self) -> Path:
        """``.git/gitexp``, where gitexp keeps what is no part of history."""
        return self.common_dir / "gitexp"

    @property
    def zero(self) -> str:
        """The hash that stands for "no object" in this repository."""
        return "0" * (64 if self.object_format == "sha256" else 40)

    def head(self) -> Head:
        """Return where HEAD points."""
        done = run(["rev-parse", *HEAD], self.root)
        return self._head_of(os.fsdecode(done.stdout).split("\n") if done.returncode == 0 else [])

    def _head_of(self, lines: Sequence[str]) -> Head:
        if len(lines) >= 2:
            return Head(lines[0], lines[1] if lines[1].startswith("refs/") else None)
        return Head(None, self.line("symbolic-ref", "-q", "HEAD", ok=(0, 1)) or None)

    def head_unmoved(self, head: Head) -> bool:
        """Whether HEAD still names the branch of ``head``. Read from the file; where the branch is,
        its update checks."""
        text = (read_bytes(self.git_dir / "HEAD") or b"").decode()
        if ".invalid" in text:  # refs are kept in a reftable
            return self.head().branch == head.branch
        return text.strip() == (f"ref: {head.branch}" if head.branch else head.commit)

    def tip(self, ref: str) -> str | None:
        """Return what a ref points to, None where there is none: read from its file where it has
        one, else asked of git, unless there is no such ref for sure."""
        data = read_bytes(self.common_dir / ref)
        if data is None and not (self.common_dir / "reftable").exists():
            packed = read_bytes(self.common_dir / "packed-refs") or b""
            if f" {ref}\n".encode() not in packed:
                return None
        text = (data or b"").decode().strip()
        return text if re.fullmatch(r"[0-9a-f]{40,64}", text) else self.refs(ref).get(ref)

    def refs(self, *patterns: str) -> dict[str, str]:
        """Return ``{full ref name: object hash}``, sorted by name."""
        how = "--format=%(objectname) %(refname)"
        lines = self.git("for-each-ref", how, *patterns).splitlines()
        return {name: oid for oid, _, name in (os.fsdecode(line).partition(" ") for line in lines)}

    def resolve(self, name: str) -> str | None:
        """Return the hash of the commit that ``name`` means to git, None if there is none."""
        if name.startswith("-"):
            return None
        asked = ("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}")
        return self.line(*asked, ok=(0, 1, 128)) or None

    def pin(self, ref: str, oid: str) -> None:
        """Make a ref of a new random name, which nobody else can be writing: as a file, where refs
        are files."""
        if self.shared or (self.common_dir / "reftable").exists():
            self.update_refs([f"create {ref} {oid}"], "gitexp: pin")
            return
        try:  # a killed writer must leave no ref that is empty
            replace(self.make_state_dir(), self.common_dir / ref, f"{oid}\n".encode())
        except OSError as error:
            raise GitError(
                f"{error.filename} cannot be written: {error.strerror}; check permissions and disk"
                " space"
            ) from None

    def unpin(self, ref: str) -> None:
        """Remove a ref that ``pin`` made. A leftover costs nothing, and doctor finds it."""
        try:
            (self.common_dir / ref).unlink()
        except OSError:
            with suppress(GitError):
                self.update_refs([f"delete {ref}"], "gitexp: end of a run")

    def update_refs(
        self, commands: Iterable[str], reason: str, pass_fds: Sequence[int] = ()
    ) -> None:
        """Run one transaction of ``update-ref --stdin`` commands: all of them, or none.

        Raises:
            GitError: a ref is not what a command says that it was, or cannot be written.
        """
        commands = list(commands)
        for is_last in (False, True):
            try:
                with self.transaction(reason, pass_fds) as change:
                    change.prepare(commands)
                    change.commit()
                return
            except GitError as error:
                if is_last or not are_gone(self, error.stderr):
                    raise

    @contextmanager
    def transaction(self, reason: str, pass_fds: Sequence[int] = ()) -> Iterator[Transaction]:
        """Start a transaction of refs; what is not committed at the end has not been."""
        with self.conversation("update-ref", "-m", reason, "--stdin", pass_fds=pass_fds) as process:
            yield Transaction(process)

    @contextmanager
    def lock(self) -> Iterator[int]:
        """Hold the lock of all who write experiments here; yields its file descriptor, or raises
        RepositoryError where that is not allowed.

        A git child that gets the descriptor (``pass_fds``) keeps the lock when its parent dies, so
        that nobody looks at a half-done update.
        """
        from gitexp.repo import locks

        path = self.make_state_dir() / "lock"
        try:
            try:
                held = locks.Held(path, wait=False)
            except BlockingIOError:
                held = _waited_for(path)
        except OSError as error:
            raise _refused(path, error) from None
        with held as file:
            self.share()
            self._say_refused()
            try:
                yield file.fileno()
            finally:
                self.share()

    def _say_refused(self) -> None:
        """Say once in each clone that its file system has no locks."""
        from gitexp.repo import locks

        told = self.state_dir / "no-flock"
        if locks.by_files and not told.exists():
            import warnings

            told.touch()
            warnings.warn(
                "gitexp: this file system has no locks (flock), so it locks by files as git does;"
                " see docs/runs.md",
                RuntimeWarning,
                stacklevel=2,
            )

    def share(self) -> None:
        """Give what is ours below ``.git/gitexp`` the permissions that git gives its own files in a
        shared repository."""
        if not self.shared:
            return
        for folder, inside, names in os.walk(self.state_dir):
            inside[:] = [name for name in inside if not name.startswith(_PRIVATE)]
            _permit(folder, self.shared | (self.shared & 0o444) >> 2 | stat.S_ISGID)
            for name in names:
                _permit(f"{folder}/{name}", self.shared)

    def write_state(self, name: str, data: bytes) -> None:
        """Write a small file in ``.git/gitexp`` in its place, in one write, which is there whole or
        not at all; blanks fill it up.

        A new file that is moved into the place of another is brought to the disk by some file
        systems at once, which takes as long as all else.

        Raises:
            OSError: it cannot be written.
        """
        how = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
        fd = os.open(self.make_state_dir() / name, how, 0o666)
        try:
            os.write(fd, data.ljust(os.fstat(fd).st_size))
        finally:
            os.close(fd)

    def make_state_dir(self, *below: str) -> Path:
        """Create ``.git/gitexp`` (or a folder below it) and return it; raise RepositoryError where
        that is not allowed."""
        folder = self.state_dir.joinpath(*below)
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                self.share()
        except OSError as error:
            raise _refused(folder, error) from None
        return folder


def _waited_for(path: Path) -> locks.Held:
    """Take a lock that another process has; say so, once, where that lasts."""
    import threading
    import warnings

    from gitexp.repo import locks

    said = f"gitexp: waiting for another gitexp, which holds {path}; to see which: fuser -v {path}"

    def speak() -> None:
        with suppress(Warning):  # where warnings are errors, this one is no reason to fail
            warnings.warn(said, RuntimeWarning, stacklevel=2)

    speaker = threading.Timer(_LONG, speak)
    speaker.daemon = True
    speaker.start()
    try:
        return locks.Held(path)
    finally:
        speaker.cancel()


def _refused(path: Path, error: OSError) -> RepositoryError:
    return RepositoryError(
        f"{path} cannot be written: {error.strerror}; check the repository's permissions and the"
        " disk"
    )


def _permit(path: str, bits: int) -> None:
    """Add permissions to a file of ours, those of writing only where its owner may write; another's
    is his to change."""
    with suppress(OSError):
        mode = os.lstat(path).st_mode
        if not stat.S_ISLNK(mode):
            os.chmod(path, stat.S_IMODE(mode) | (bits if mode & stat.S_IWUSR else bits & ~0o222))
