"""Processes of git: every one of gitexp starts here.

Calls take an argument list, never a shell, and give bytes. What they take from outside is in
``isolation.py``. ``subprocess`` is imported with the first process: a warm ``list`` starts none.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypedDict

from gitexp.formats.errors import GitError, RepositoryError

if TYPE_CHECKING:
    import subprocess

    from typing_extensions import Unpack

# of a remote: the stage, how much is done, of how much (0 where nobody knows)
Progress = Callable[[str, int, int], None]
_MANY = 500  # words of one command line
_STAGE = rb"(?:remote: )?([A-Z][\w ]+):\s+(?:\d+% \((\d+)/(\d+)\)|(\d+))"
_left: list[subprocess.Popen[bytes]] = []  # those that nobody waits for


class How(TypedDict, total=False):
    """What a call of git takes besides its arguments, as ``Git.git`` does."""

    stdin: bytes | None
    env: Mapping[str, str] | None
    ok: Sequence[int]
    cwd: Path | None


class Git:
    """Calls git in a work tree."""

    def __init__(self, root: Path, git_dir: Path, common_dir: Path, object_format: str) -> None:
        self.root = root  # the top of the work tree
        self.git_dir = git_dir  # ``.git`` of this work tree (in a linked one its own folder)
        self.common_dir = common_dir  # ``.git`` that all work trees share
        self.object_format = object_format  # ``sha1`` or ``sha256``
        self._options: tuple[str, ...] = ()
        self._introduction: Callable[[], bytes] | None = None

    @contextmanager
    def introduced(self) -> Iterator[None]:
        """Have git find out who works here, and how, while something else is done; who asks waits
        for it."""
        if "told" in self.__dict__:
            yield
            return
        with self.beside("var", "-l") as self._introduction:
            try:
                yield
            finally:
                self._introduction = None

    @functools.cached_property
    def told(self) -> dict[str, str]:
        """The identities of ``git var`` and git's configuration, from one process; empty where git
        does not say."""
        listed = b""
        with suppress(GitError):
            listed = (
                self._introduction()
                if self._introduction
                else run([*self._options, "var", "-l"], self.root).stdout
            )
        return dict(line.partition("=")[::2] for line in os.fsdecode(listed).split("\n"))

    @functools.cached_property
    def shared(self) -> int:
        """The permissions that ``core.sharedRepository`` adds to every file, as git reads it from
        the repository's own configuration."""
        with suppress(OSError):
            if b"sharedrepository" not in (self.common_dir / "config").read_bytes().lower():
                return 0
        value = self.told.get("core.sharedrepository", "").lower()
        if value in ("group", "true", "1", "yes", "on"):
            return 0o660
        if value in ("all", "world", "everybody", "2"):
            return 0o664
        return int(value, 8) & 0o666 if re.fullmatch(r"0[0-7]{3}", value) else 0

    def git(
        self,
        *args: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        ok: Sequence[int] = (0,),
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> bytes:
        """Run git in the work tree and return what it prints.

        Raises:
            GitError: it ended with a code that is not in ``ok``.
        """
        done = run([*self._options, *args], cwd or self.root, stdin, env, pass_fds)
        if done.returncode not in ok:
            raise failure(done.stderr, done.returncode)
        return done.stdout

    def entries(self, *args: str, **how: Unpack[How]) -> list[str]:
        """Run git with ``-z`` among its options, and return what it prints, piece by piece."""
        return os.fsdecode(self.git(*args, **how)).split("\0")[:-1]

    def line(self, *args: str, **how: Unpack[How]) -> str:
        """Run git and return the one line that it prints, without its end."""
        return os.fsdecode(self.git(*args, **how)).rstrip("\n")

    def judged(self, *args: str) -> tuple[bool, str]:
        """Run git for a judgement: whether it is satisfied, and what it says about it on stderr."""
        done = run([*self._options, *args], self.root)
        return done.returncode == 0, os.fsdecode(done.stderr)

    def succeeds(self, *args: str) -> bool:
        """Run git for its exit code."""
        return run([*self._options, *args], self.root).returncode == 0

    @contextmanager
    def stream(self, *args: str, stdin: IO[bytes] | None = None) -> Iterator[IO[bytes]]:
        """Run git and yield its standard output to be read while it runs."""
        import subprocess

        source = stdin or subprocess.DEVNULL
        with _started(
            [*self._options, *args], self.root, stdin=source, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                process.kill()

    @contextmanager
    def beside(
        self,
        *args: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        said: list[str] | None = None,
    ) -> Iterator[Callable[[], bytes]]:
        """Run git while something else is done. What this yields waits for the end and returns what
        was printed, as ``git`` does; ``said`` gets the lines of its stderr."""
        with _started([*self._options, *args], self.root, env, pass_fds) as process:
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(stdin)
            process.stdin = None

            def finished() -> bytes:
                stdout, stderr = process.communicate()
                if process.returncode:
                    raise failure(stderr, process.returncode)
                if said is not None:
                    said.extend(os.fsdecode(stderr).splitlines())
                return stdout

            yield finished

    def leave(self, *args: str) -> None:
        """Start git and let it go on by itself, also when this process has ended."""
        from subprocess import DEVNULL

        _left[:] = [process for process in _left if process.poll() is None]
        own: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), DEVNULL)
        command = [*self._options, *args]
        _left.append(_started(command, self.root, start_new_session=True, **own))

    @contextmanager
    def conversation(
        self, *args: str, pass_fds: Sequence[int] = ()
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run git and yield its process, to be written to and read from by turns."""
        with _started([*self._options, *args], self.root, None, pass_fds) as process:
            yield process

    def exchange(
        self, *args: str, progress: Progress | None = None, hooks: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a git command that talks with a remote, and return how it went; its stderr is told to
        ``progress`` as it comes.

        Args:
            hooks: let the user's own hooks run.
        """
        import subprocess

        if progress is None:
            done = run(args, self.root, hooks=hooks)
            return subprocess.CompletedProcess(
                args, done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr)
            )
        import tempfile

        with (
            tempfile.TemporaryFile() as said,
            _started(
                args, self.root, hooks=hooks, stdin=subprocess.DEVNULL, stdout=said
            ) as process,
        ):
            assert process.stderr is not None
            rest = _followed(process.stderr, progress)
            code = process.wait()
            said.seek(0)
            return subprocess.CompletedProcess(args, code, os.fsdecode(said.read()), rest)

    def config(self, name: str) -> str | None:
        """Return a value of git's configuration, None where it is not set."""
        return self.line("config", "--get", name, ok=(0, 1)) or None

    def users_config(self, name: str) -> str | None:
        """Return a value of the user's or the machine's configuration, never the repository's own;
        None where it is not set."""
        values = [
            value
            for scope, _, value in self.scoped_config(f"^{re.escape(name)}$")
            if scope not in ("local", "worktree")
        ]
        return values[-1] if values else None

    def scoped_config(self, pattern: str) -> Iterator[tuple[str, str, str]]:
        """Yield ``(scope, name, value)`` of the values whose name fits; the repository's own scopes
        are local and worktree."""
        listed = self.entries("config", "-z", "--show-scope", "--get-regexp", pattern, ok=(0, 1))
        for scope, entry in zip(listed[0::2], listed[1::2]):
            name, _, value = entry.partition("\n")
            yield scope, name, value

    def filter_program(self, name: str) -> str | None:
        """Return the program that stores content for a filter of .gitattributes; None where there
        is none, or it is not found."""
        line = self.told.get(f"filter.{name}.process") or self.told.get(f"filter.{name}.clean")
        if not line:
            return None
        from shutil import which

        return which(line.split()[0].strip("'\""))


def joined(paths: Iterable[str]) -> bytes:
    """Return paths as git reads them with ``-z``."""
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


def chunks(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield words in lots that a command line holds."""
    yield from (words[at : at + _MANY] for at in range(0, len(words), _MANY))


def run(
    args: Sequence[str],
    cwd: Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    hooks: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    import subprocess

    source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    with _started(args, cwd, env, pass_fds, hooks, stdin=source) as process:
        try:
            stdout, stderr = process.communicate(stdin)
        except BaseException:
            process.kill()
            raise
        return subprocess.CompletedProcess(args, process.returncode, stdout, stderr)


def _started(
    args: Sequence[str],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    hooks: bool = False,
    **streams: Any,
) -> subprocess.Popen[bytes]:
    """Start git, with a pipe for each of its streams that is not given."""
    from subprocess import PIPE, Popen

    from gitexp.repo.isolation import OPTIONS, environment

    options = OPTIONS[2:] if hooks else OPTIONS
    streams = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE, **streams}
    inherited = {"pass_fds": pass_fds} if os.name == "posix" else {}
    try:
        return Popen(  # type: ignore[call-overload, no-any-return]
            ["git", *options, *args],
            cwd=cwd,
            env=environment(args, env or {}),
            **streams,
            **inherited,
        )
    except FileNotFoundError:
        if not cwd.exists():
            raise RepositoryError(f"the folder {cwd} does not exist") from None
        raise RepositoryError(
            "git is not installed, or not on the PATH; gitexp needs git 2.30 or newer"
        ) from None
    except OSError as error:
        raise RepositoryError(f"git could not be started: {error.strerror}") from None


def _followed(stream: IO[bytes], progress: Progress) -> str:
    """Hand on the progress in git's stderr, and return the lines that are none."""
    rest, others = b"", []
    while part := stream.read1(65536):  # type: ignore[attr-defined]
        *lines, rest = re.split(rb"[\r\n]", rest + part)
        for line in filter(None, lines):
            if found := re.match(_STAGE, line):
                stage, done, total, alone = found.groups()
                progress(stage.decode(), int(done or alone), int(total or 0))
            else:
                others.append(line)
    return os.fsdecode(b"\n".join(filter(None, [*others, rest])))


def failure(stderr: bytes, returncode: int) -> GitError:
    """Return what git said as an error of ours, with the next step where it is known."""
    from gitexp.repo.complaints import explained

    return explained(os.fsdecode(stderr), returncode)
