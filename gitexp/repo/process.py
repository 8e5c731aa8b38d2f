"""Processes of git: every one of gitexp starts here.

Calls take an argument list, never a shell, and give bytes. Foreign ``GIT_*`` variables are dropped
(a hook sets GIT_DIR and GIT_INDEX_FILE, and would have us write into the wrong repository), and so
are the repository's own hooks, fsmonitor and automatic gc, which are programs that somebody else
may have put there. For the same reason only the few commands in ``_FETCHING`` may talk to a remote:
any other that misses an object in a partial clone would start what ``.git/config`` names as the
remote's program. Identity and the user's own configuration stay. ``subprocess`` is imported with
the first process: a warm ``list`` starts none.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gitexp.formats.errors import GitError, RepositoryError

if TYPE_CHECKING:
    import subprocess

_KEPT = (  # compiled where it is used first, which takes a millisecond and more
    r"GIT_((AUTHOR|COMMITTER)_(NAME|EMAIL)|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+)"
    r"|SSH|SSH_COMMAND|SSH_VARIANT"
    r"|ASKPASS|SSL_\w+|HTTP_\w+|PROXY_\w+|CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM"
    r"|EXEC_PATH|TRACE\w*|ALLOW_PROTOCOL)"
)
_SETTINGS = (
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "i18n.commitEncoding=UTF-8",
    "log.showSignature=false",
    "advice.sparseIndexExpanded=false",
    "protocol.ext.allow=never",
    "core.safecrlf=warn",
)
_OPTIONS = tuple(word for setting in _SETTINGS for word in ("-c", setting))
# of a remote: the stage, how much is done, of how much (0 where nobody knows)
Progress = Callable[[str, int, int], None]
_FETCHING = frozenset(
    (
        *("fetch", "push", "pull", "ls-remote", "clone", "checkout"),
        *("restore", "worktree", "stash", "submodule"),
    )
)
# git before 2.39.4 knows the second only
_NO_FETCH = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}


_left: list[subprocess.Popen[bytes]] = []  # those that nobody waits for


class Git:
    """Calls git in a work tree.

    Attributes:
        root: the top of the work tree.
        git_dir: ``.git`` of this work tree (in a linked one its own folder).
        common_dir: ``.git`` that all work trees share.
        object_format: ``sha1`` or ``sha256``.
    """

    def __init__(self, root: Path, git_dir: Path, common_dir: Path, object_format: str) -> None:
        self.root = root
        self.git_dir = git_dir
        self.common_dir = common_dir
        self.object_format = object_format
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
            raise explained(os.fsdecode(done.stderr), done.returncode)
        return done.stdout

    def entries(
        self,
        *args: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        ok: Sequence[int] = (0,),
        cwd: Path | None = None,
    ) -> list[str]:
        """Run git with ``-z`` among its options, and return what it prints, piece by piece."""
        return os.fsdecode(self.git(*args, stdin=stdin, env=env, ok=ok, cwd=cwd)).split("\0")[:-1]

    def line(
        self,
        *args: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        ok: Sequence[int] = (0,),
    ) -> str:
        """Run git and return the one line that it prints, without its end."""
        return os.fsdecode(self.git(*args, stdin=stdin, env=env, ok=ok)).rstrip("\n")

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
                    raise explained(os.fsdecode(stderr), process.returncode)
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

        options = _OPTIONS[2:] if hooks else _OPTIONS
        if progress is None:
            done = run(args, self.root, options=options)
            return subprocess.CompletedProcess(
                args, done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr)
            )
        import tempfile

        command = ["git", *options, *args]
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(
                command,
                cwd=self.root,
                env=_environment(args, {}),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.PIPE,
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


def run(
    args: Sequence[str],
    cwd: Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    options: Sequence[str] = _OPTIONS,
) -> subprocess.CompletedProcess[bytes]:
    import subprocess

    source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    with _started(args, cwd, env, pass_fds, options, stdin=source) as process:
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
    options: Sequence[str] = _OPTIONS,
    **streams: Any,
) -> subprocess.Popen[bytes]:
    """Start git, with a pipe for each of its streams that is not given."""
    from subprocess import PIPE, Popen

    streams = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE, **streams}
    inherited = {"pass_fds": pass_fds} if os.name == "posix" else {}
    try:
        return Popen(  # type: ignore[call-overload, no-any-return]
            ["git", *options, *args],
            cwd=cwd,
            env=_environment(args, env or {}),
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


def _environment(args: Sequence[str], more: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or re.fullmatch(_KEPT, name)
    }
    fetching = {} if _subcommand(args) in _FETCHING else _NO_FETCH
    return {
        **kept,
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        **fetching,
        **more,
    }


def _subcommand(args: Sequence[str]) -> str:
    """Return git's command among its arguments: the first word that is not an option, nor the
    value of one."""
    words = iter(args)
    for word in words:
        if word == "-c":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _followed(stream: IO[bytes], progress: Progress) -> str:
    """Hand on the progress in git's stderr, as GitPython reads it, and return the lines that are
    none."""
    from git import RemoteProgress

    class Followed(RemoteProgress):
        def update(
            self,
            op_code: int,
            cur_count: str | float,
            max_count: str | float | None = None,
            message: str = "",
        ) -> None:
            stage = (self._cur_line or "").removeprefix("remote: ").partition(":")[0]
            progress(stage, int(float(cur_count or 0)), int(float(max_count or 0)))

    reader = Followed()
    handle = reader.new_message_handler()
    rest = b""
    while part := stream.read1(65536):  # type: ignore[attr-defined]
        *lines, rest = re.split(rb"[\r\n]", rest + part)
        for line in filter(None, lines):
            handle(os.fsdecode(line))
    if rest:
        handle(os.fsdecode(rest))
    return "\n".join([*reader.other_lines, *reader.error_lines])


_EXPLANATIONS = {  # what git says: what we say
    r"could not fetch [0-9a-f]+ from promisor remote": (
        "a file of it is not in this partial clone, and looking fetches nothing; to bring all of"
        " them: gitexp pull --all-files"
    ),
    r"unable to read tree": (
        "a folder of it is not in this clone; in a partial one: gitexp pull --all-files; else see:"
        " git fsck"
    ),
    r"not a git repository": "there is no git repository here; to start one: git init",
    r"dubious ownership in repository at '([^']*)'": (
        "git does not trust {0}, which another user owns; if you do: git config --global --add"
        " safe.directory '{0}'"
    ),
    r"index file (?:corrupt|smaller)|bad (?:index|signature|header)|unknown index entry format": (
        "the git index is corrupt; to build it again: git read-tree HEAD"
    ),
    r"(?:fatal|error): (.*): clean filter '(.*)' failed": (
        "the filter '{1}' does not take {0}; see: git config --get-regexp 'filter.{1}'"
    ),
    r"(?:Unable to create '|could not lock config file )([^'\n]*?)(?:\.lock')?: File exists": (
        "another git process holds {0}.lock; try again when it is done, and if none is at work:"
        " gitexp doctor --fix"
    ),
    r"Read-only file system|insufficient permission|[Pp]ermission denied": (
        "git may not read or write here: {line}; check the permissions"
    ),
    r"No space left on device": (
        "the disk is full, and git could not write; free some space and try again"
    ),
}


def complaint(stderr: str) -> str:
    """Return the line of git's stderr that says what went wrong; empty where there is none."""
    said = [line.strip() for line in stderr.splitlines() if line.strip()]
    marks = ("fatal:", "error:", "remote: fatal", "remote: error")
    line = next((line for line in said if line.startswith(marks)), said[-1] if said else "")
    return re.sub(r"^((remote|fatal|error): )+", "", line)


def explained(stderr: str, returncode: int) -> GitError:
    """Return what git said as an error of ours, with the next step where it is known."""
    line = complaint(stderr) or f"exit code {returncode}"
    for pattern, text in _EXPLANATIONS.items():
        if match := re.search(pattern, stderr):
            return GitError(text.format(*match.groups(), line=line), returncode, stderr)
    return GitError(f"git says: {line}", returncode, stderr)
