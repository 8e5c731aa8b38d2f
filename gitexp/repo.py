"""The one door to git: every git process of gitexp starts here, and GitPython is imported nowhere else.

Calls take an argument list, never a shell, and give bytes. Foreign ``GIT_*`` variables are dropped (a hook sets
GIT_DIR and GIT_INDEX_FILE, and would have us write into the wrong repository), and so are the repository's own hooks,
fsmonitor and automatic gc, which are programs that somebody else may have put there. For the same reason only the few
commands in ``_FETCHING`` may talk to a remote: any other that misses an object in a partial clone would start what
``.git/config`` names as the remote's program. Identity and the user's own configuration stay.
"""

from __future__ import annotations

import functools
import io
import os
import re
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from gitexp.errors import GitError, NotFoundError, RepositoryError

if TYPE_CHECKING:
    import git as gitpython

    from gitexp.experiment import MetricPoint

_KEPT = re.compile(
    r"GIT_((AUTHOR|COMMITTER)_(NAME|EMAIL)|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+)|SSH|SSH_COMMAND|SSH_VARIANT"
    r"|ASKPASS|SSL_\w+|HTTP_\w+|PROXY_\w+|CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM|EXEC_PATH|TRACE\w*|ALLOW_PROTOCOL)"
)
_OPTIONS = (
    "-c",
    f"core.hooksPath={os.devnull}",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "i18n.commitEncoding=UTF-8",
    "-c",
    "log.showSignature=false",
    "-c",
    "protocol.ext.allow=never",
)
Progress = Callable[[str, int, int], None]  # of a remote: the stage, how much is done, of how much (0 where nobody knows)
_FETCHING = frozenset(("fetch", "push", "pull", "ls-remote", "clone", "checkout", "restore", "worktree", "stash"))
_NO_FETCH = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}  # git before 2.39.4 knows the second only
_FILTERS = r"^(filter\..*\.(clean|smudge|process|required)|lfs\.extension\..*)$"
_HEAD = ("HEAD", "--symbolic-full-name", "HEAD")
_FEW = 200  # objects
_SMALL = 2**20  # bytes
IN_PROGRESS = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisect",
}


class Head(NamedTuple):
    """Where HEAD points: a commit (None before the first) and a branch's full ref name (None when detached)."""

    commit: str | None
    branch: str | None


class Object(NamedTuple):
    """A git object as ``cat-file --batch`` gives it."""

    id: str
    kind: str
    data: bytes


class Transaction:
    """An ``update-ref --stdin`` that is going on: it dies, and everything is as it was, where its end of the pipe is closed early."""

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
            raise _explained(os.fsdecode(stderr), self._process.returncode)


class Repo:
    """A git repository with a work tree.

    Attributes:
        root: the top of the work tree.
        git_dir: ``.git`` of this work tree (in a linked one its own folder).
        common_dir: ``.git`` that all work trees share.
        object_format: ``sha1`` or ``sha256``.
        found_at: where HEAD pointed when the repository was discovered, known without another process.
        distrusted: names of the filters that are not run, see ``distrusting``.
    """

    def __init__(self, root: Path, git_dir: Path, common_dir: Path, object_format: str) -> None:
        self.root = root
        self.git_dir = git_dir
        self.common_dir = common_dir
        self.object_format = object_format
        self.found_at: Head | None = None
        self.distrusted: frozenset[str] = frozenset()
        self._options: tuple[str, ...] = ()

    @classmethod
    def discover(cls, path: str | os.PathLike[str] = ".") -> Repo:
        """Find the repository that ``path`` lies in.

        Raises:
            RepositoryError: there is none, it is bare, or git refuses to work in it.
        """
        where = Path(os.path.abspath(path))
        wanted = ("--absolute-git-dir", "--git-common-dir", "--show-object-format", "--show-toplevel")
        done = _run(["rev-parse", *wanted, *_HEAD], where)
        lines = [os.fsdecode(line) for line in done.stdout.split(b"\n")]
        if done.returncode and len(lines) < 5:
            stderr = os.fsdecode(done.stderr)
            if "must be run in a work tree" in stderr:
                raise RepositoryError(
                    "this is a bare repository (or inside .git), and experiments need a work tree; clone it and work there"
                )
            raise _explained(stderr, done.returncode)
        git_dir, common, object_format, root = lines[:4]
        repo = cls(Path(root), Path(git_dir), Path(os.path.abspath(where / common)), object_format)
        repo.found_at = repo._head_of(lines[4:6] if done.returncode == 0 else [])
        return repo

    def distrusting(self) -> Repo:
        """Return this repository for looking at its work tree without running a filter that only its own configuration names.

        The user's own filters (``git lfs install``) stay.

        Raises:
            RepositoryError: a filter has a name that cannot be overridden.
        """
        theirs: set[str] = set()
        own: dict[str, str] = {}
        for scope, key, value in self.scoped_config(_FILTERS):
            if scope in ("local", "worktree"):
                theirs.add("lfs" if key.startswith("lfs.") else key[len("filter.") : key.rindex(".")])
            else:
                own[key] = value
        if odd := [name for name in theirs if "=" in name]:
            raise RepositoryError(f"the filter '{odd[0]}' of .git/config has a name that cannot be switched off; rename it")
        guarded = Repo(self.root, self.git_dir, self.common_dir, self.object_format)
        guarded.found_at = self.found_at
        kept = {name for name in theirs if f"filter.{name}.clean" in own and name != "lfs"}
        guarded.distrusted = frozenset(theirs - kept)
        for name in sorted(theirs):
            for what, off in (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")):
                key = f"filter.{name}.{what}"
                guarded._options += ("-c", f"{key}={own.get(key, off) if name in kept else off}")
        return guarded

    # -- calls ---------------------------------------------------------------------------------------------------

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
        done = _run([*self._options, *args], cwd or self.root, stdin, env, pass_fds)
        if done.returncode not in ok:
            raise _explained(os.fsdecode(done.stderr), done.returncode)
        return done.stdout

    def line(self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None, ok: Sequence[int] = (0,)) -> str:
        """Run git and return the one line that it prints, without its end."""
        return os.fsdecode(self.git(*args, stdin=stdin, env=env, ok=ok)).rstrip("\n")

    def judged(self, *args: str) -> tuple[bool, str]:
        """Run git for a judgement: whether it is satisfied, and what it says about it on stderr."""
        done = _run([*self._options, *args], self.root)
        return done.returncode == 0, os.fsdecode(done.stderr)

    def succeeds(self, *args: str) -> bool:
        """Run git for its exit code."""
        return _run([*self._options, *args], self.root).returncode == 0

    @contextmanager
    def stream(self, *args: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> Iterator[IO[bytes]]:
        """Run git and yield its standard output to be read while it runs."""
        with _started([*self._options, *args], self.root, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                process.kill()

    @contextmanager
    def beside(
        self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
    ) -> Iterator[Callable[[], bytes]]:
        """Run git while something else is done. What this yields waits for the end and returns what was printed, as ``git`` does."""
        pipe = subprocess.PIPE
        with _started([*self._options, *args], self.root, env, pass_fds, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(stdin)
            process.stdin = None

            def finished() -> bytes:
                stdout, stderr = process.communicate()
                if process.returncode:
                    raise _explained(os.fsdecode(stderr), process.returncode)
                return stdout

            yield finished

    def exchange(self, *args: str, progress: Progress | None = None, hooks: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a git command that talks with a remote, and return how it went; its stderr is told to ``progress`` as it comes.

        Args:
            hooks: let the user's own hooks run.
        """
        options = _OPTIONS[2:] if hooks else _OPTIONS
        if progress is None:
            done = _run(args, self.root, options=options)
            return subprocess.CompletedProcess(args, done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))
        import tempfile

        command = ["git", *options, *args]
        with tempfile.TemporaryFile() as said, subprocess.Popen(
            command, cwd=self.root, env=_environment(args, {}), stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.PIPE
        ) as process:  # fmt: skip
            assert process.stderr is not None
            rest = _followed(process.stderr, progress)
            code = process.wait()
            said.seek(0)
            return subprocess.CompletedProcess(args, code, os.fsdecode(said.read()), rest)

    # -- state ---------------------------------------------------------------------------------------------------

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
        done = _run(["rev-parse", *_HEAD], self.root)
        return self._head_of(os.fsdecode(done.stdout).split("\n") if done.returncode == 0 else [])

    def _head_of(self, lines: Sequence[str]) -> Head:
        if len(lines) >= 2:
            return Head(lines[0], lines[1] if lines[1].startswith("refs/") else None)
        return Head(None, self.line("symbolic-ref", "-q", "HEAD", ok=(0, 1)) or None)

    def head_unmoved(self, head: Head) -> bool:
        """Whether HEAD still names the branch of ``head``. Read from the file; where the branch is, its update checks."""
        try:
            text = (self.git_dir / "HEAD").read_text()
        except OSError:
            return False
        if ".invalid" in text:  # refs are kept in a reftable
            return self.head().branch == head.branch
        return text.strip() == (f"ref: {head.branch}" if head.branch else head.commit)

    def tip(self, ref: str) -> str | None:
        """Return what a ref points to: read from its file where it has one, else asked of git."""
        try:
            text = (self.common_dir / ref).read_text().strip()
        except OSError:
            text = ""
        return text if re.fullmatch(r"[0-9a-f]{40,64}", text) else self.refs(ref).get(ref)

    def in_progress(self) -> str | None:
        """Return what is under way, ``a merge`` and the like, or None."""
        return next((what for name, what in IN_PROGRESS.items() if (self.git_dir / name).exists()), None)

    def config(self, name: str) -> str | None:
        """Return a value of git's configuration, None where it is not set."""
        return self.line("config", "--get", name, ok=(0, 1)) or None

    def users_config(self, name: str) -> str | None:
        """Return a value of the user's or the machine's configuration, never the repository's own; None where it is not set."""
        values = [value for scope, _, value in self.scoped_config(f"^{re.escape(name)}$") if scope not in ("local", "worktree")]
        return values[-1] if values else None

    def scoped_config(self, pattern: str) -> Iterator[tuple[str, str, str]]:
        """Yield ``(scope, name, value)`` of the values whose name fits; the repository's own scopes are local and worktree."""
        listed = os.fsdecode(self.git("config", "-z", "--show-scope", "--get-regexp", pattern, ok=(0, 1))).split("\0")
        for scope, entry in zip(listed[0::2], listed[1::2]):
            name, _, value = entry.partition("\n")
            yield scope, name, value

    @property
    def author(self) -> str:
        """Who an experiment is by: ``Name <email>``; the login and host names where git knows nobody."""
        return self._people[0]

    @property
    def committer(self) -> str:
        """Who writes here: ``Name <email>``."""
        return self._people[1]

    @property
    def identity(self) -> dict[str, str]:
        """The environment that gives git's own commits (notes, merges) an author in any case."""
        name, _, email = self.committer.rpartition(" <")
        return {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in (("NAME", name), ("EMAIL", email[:-1]))}

    @functools.cached_property
    def _people(self) -> tuple[str, str]:
        """The author and the committer: from one process, where git did not have to guess."""
        said = dict(line.partition("=")[::2] for line in os.fsdecode(_run(["var", "-l"], self.root).stdout).split("\n"))
        told = {role: said.get(f"GIT_{role}_IDENT", "").rpartition(">")[0] for role in ("AUTHOR", "COMMITTER")}
        guessed = re.compile(r"\s*(unknown )?(<.*)?|.*\.\(none\)")
        author, committer = (self._ident(role) if guessed.fullmatch(who) else f"{who}>" for role, who in told.items())
        return author, committer

    def _ident(self, role: str) -> str:
        done = _run(["var", f"GIT_{role}_IDENT"], self.root)
        if done.returncode == 0:
            return os.fsdecode(done.stdout).rpartition(">")[0] + ">"
        import getpass
        import platform

        try:
            name = getpass.getuser()
        except (KeyError, OSError):
            name = "unknown"
        return f"{name} <{name}@{platform.node() or 'localhost'}>"

    # -- objects -------------------------------------------------------------------------------------------------

    def objects(self, names: Iterable[str]) -> Iterator[Object | None]:
        """Yield an object for each name (a hash, ``COMMIT:path``), None for what is not there. One process, in order."""
        todo = [os.fsencode(name) + b"\n" for name in names]
        if len(todo) <= _FEW:
            if todo:
                yield from _parsed_batch(io.BytesIO(self.git("cat-file", "--batch", stdin=b"".join(todo))), len(todo))
            return
        import tempfile

        with tempfile.TemporaryFile() as request:  # not a pipe, which two sides that both write can fill for good
            request.writelines(todo)
            request.seek(0)
            with self.stream("cat-file", "--batch", "--buffer", stdin=request) as output:  # git reads on while we work on what came
                yield from _parsed_batch(output, len(todo))

    def tree(self, oid: str) -> bytes:
        """Return a raw tree object: one that was written a moment ago lies in a file of its own, and takes no process.

        Raises:
            GitError: it is not there.
        """
        with suppress(OSError, zlib.error):
            kind, _, data = zlib.decompress((self.common_dir / "objects" / oid[:2] / oid[2:]).read_bytes()).partition(b"\0")
            if kind.startswith(b"tree "):
                return data
        found = next(self.objects([oid]))
        if found is None or found.kind != "tree":
            raise GitError(f"the tree {oid[:10]} is missing; to look for damage: git fsck", stderr=f"missing {oid}")
        return found.data

    def read_file(self, commit: str, path: str) -> bytes:
        """Return a file of a commit.

        Raises:
            NotFoundError: it has none at ``path``.
        """
        found = next(self.objects([f"{commit}:{path}"])) if "\n" not in path else None
        if found is None or found.kind != "blob":
            raise NotFoundError(f"there is no file '{path}' in {commit[:10]}; to list its files: git ls-tree -r --name-only {commit[:10]}")
        return found.data

    def read_points(self, commit: str, files: Mapping[str, str]) -> Iterator[MetricPoint]:
        """Yield all points of an experiment, in whichever form its files have."""
        from gitexp import series

        return series.of(files, functools.partial(self.read_file, commit))

    def write_object(self, kind: str, data: bytes) -> str:
        """Write an object and return its hash.

        Small ones are written as git writes a loose object (gitformat-loose, Documentation/gitrepository-layout), without a
        process: a run's start and end would take twice as long. A shared repository has permissions of its own, left to git.
        """
        if len(data) > _SMALL or not self._private_store:
            return self.line("hash-object", "-t", kind, "-w", "--stdin", stdin=data)
        import hashlib

        whole = f"{kind} {len(data)}\0".encode() + data
        oid = hashlib.new(self.object_format, whole).hexdigest()
        folder = f"{self.common_dir}/objects"
        target = f"{folder}/{oid[:2]}/{oid[2:]}"
        if not os.path.exists(target):
            part = f"{folder}/tmp_obj_{oid[:12]}_{os.getpid()}_{threading.get_ident()}"
            try:
                with open(part, "xb", opener=lambda path, flags: os.open(path, flags, 0o444)) as file:
                    file.write(zlib.compress(whole, 1))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.replace(part, target)
            except OSError as error:
                with suppress(OSError):
                    os.unlink(part)
                raise GitError(f"git's objects cannot be written: {error.strerror}; check permissions and disk space") from None
        return oid

    def write_file(self, path: Path) -> str:
        """Write a file's content, without filters, as a blob and return its hash."""
        if path.stat().st_size <= _SMALL:
            return self.write_object("blob", path.read_bytes())
        return self.line("hash-object", "-w", "--no-filters", "--", str(path))

    @functools.cached_property
    def _private_store(self) -> bool:
        try:
            return b"sharedrepository" not in (self.common_dir / "config").read_bytes().lower()
        except OSError:
            return False

    @contextmanager
    def offline(self) -> Iterator[Repo]:
        """Yield a repository that holds the same objects and knows no remote, no ref and no setting of this one.

        Where a partial clone has a hole, git would fetch there, one object at a time; here the object is just missing. (git has
        an option for that only since 2.45.)
        """
        import tempfile

        with tempfile.TemporaryDirectory(prefix="gitexp-") as folder:
            self.git("init", "--quiet", "--template=", f"--object-format={self.object_format}", folder)
            git_dir = Path(folder, ".git")
            (git_dir / "objects" / "info").mkdir(exist_ok=True)
            (git_dir / "objects" / "info" / "alternates").write_text(f"{(self.common_dir / 'objects').as_posix()}\n")
            with suppress(FileNotFoundError):
                (git_dir / "shallow").write_bytes((self.common_dir / "shallow").read_bytes())
            yield Repo(Path(folder), git_dir, git_dir, self.object_format)

    def gitpython_commit(self, commit: str) -> gitpython.Commit:
        """Return the commit as a GitPython object."""
        return self.gitpython().commit(commit)

    def gitpython(self) -> gitpython.Repo:
        """Return this repository as a GitPython object: for people who want more, and for remotes with progress."""
        import git

        return git.Repo(self.root)

    # -- refs ----------------------------------------------------------------------------------------------------

    def refs(self, *patterns: str) -> dict[str, str]:
        """Return ``{full ref name: object hash}``, sorted by name."""
        lines = self.git("for-each-ref", "--format=%(objectname) %(refname)", *patterns).splitlines()
        return {name: oid for oid, _, name in (os.fsdecode(line).partition(" ") for line in lines)}

    def resolve(self, name: str) -> str | None:
        """Return the hash of the commit that ``name`` means to git, None if there is none."""
        if name.startswith("-"):
            return None
        return self.line("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}", ok=(0, 1, 128)) or None

    def pin(self, ref: str, oid: str) -> None:
        """Make a ref of a new random name, which nobody else can be writing: as a file, where refs are files."""
        if (self.common_dir / "reftable").exists():
            self.update_refs([f"create {ref} {oid}"], "gitexp: pin")
            return
        file = self.common_dir / ref
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            part = self.make_state_dir() / f"{file.name}.pin"  # a killed writer must leave no ref that is empty
            part.write_text(f"{oid}\n")
            os.replace(part, file)
        except OSError as error:
            raise GitError(f"git's refs cannot be written: {error.strerror}; check permissions and disk space") from None

    def update_refs(self, commands: Iterable[str], reason: str, pass_fds: Sequence[int] = ()) -> None:
        """Run one transaction of ``update-ref --stdin`` commands: all of them, or none.

        Raises:
            GitError: a ref is not what a command says that it was, or cannot be written.
        """
        with self.transaction(reason, pass_fds) as change:
            change.prepare(commands)
            change.commit()

    @contextmanager
    def transaction(self, reason: str, pass_fds: Sequence[int] = ()) -> Iterator[Transaction]:
        """Start a transaction of refs; what is not committed at the end has not been."""
        pipe = subprocess.PIPE
        args = [*self._options, "update-ref", "-m", reason, "--stdin"]
        with _started(args, self.root, None, pass_fds, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            yield Transaction(process)

    @contextmanager
    def lock(self) -> Iterator[int]:
        """Hold the lock of all who write experiments here; yields its file descriptor.

        A git child that gets the descriptor (``pass_fds``) keeps the lock when its parent dies, so that nobody looks at a
        half-done update.
        """
        import portalocker

        self.make_state_dir()
        with open(self.state_dir / "lock", "ab") as file:
            portalocker.lock(file, portalocker.LOCK_EX)
            yield file.fileno()

    def make_state_dir(self, *below: str) -> Path:
        """Create ``.git/gitexp`` (or a folder below it) and return it; raise RepositoryError where that is not allowed."""
        folder = self.state_dir.joinpath(*below)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RepositoryError(
                f"{folder} cannot be written: {error.strerror}; check the repository's permissions and the disk"
            ) from None
        return folder


def _followed(stream: IO[bytes], progress: Progress) -> str:
    """Hand on the progress in git's stderr, as GitPython reads it, and return the lines that are none."""
    from git import RemoteProgress

    class Followed(RemoteProgress):
        def update(self, op_code: int, cur_count: str | float, max_count: str | float | None = None, message: str = "") -> None:
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


def _run(
    args: Sequence[str],
    cwd: Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    options: Sequence[str] = _OPTIONS,
) -> subprocess.CompletedProcess[bytes]:
    pipe = subprocess.PIPE
    source = subprocess.DEVNULL if stdin is None else pipe
    with _started(args, cwd, env, pass_fds, options, stdin=source, stdout=pipe, stderr=pipe) as process:
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
    inherited = {"pass_fds": pass_fds} if os.name == "posix" else {}
    try:
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            ["git", *options, *args], cwd=cwd, env=_environment(args, env or {}), **streams, **inherited
        )
    except FileNotFoundError:
        if not cwd.exists():
            raise RepositoryError(f"the folder {cwd} does not exist") from None
        raise RepositoryError("git is not installed, or not on the PATH; gitexp needs git 2.30 or newer") from None
    except OSError as error:
        raise RepositoryError(f"git could not be started: {error.strerror}") from None


def _environment(args: Sequence[str], more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or _KEPT.fullmatch(name)}
    fetching = {} if _subcommand(args) in _FETCHING else _NO_FETCH
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", **fetching, **more}


def _subcommand(args: Sequence[str]) -> str:
    """Return git's command among its arguments: the first word that is no option, nor an option's value."""
    words = iter(args)
    for word in words:
        if word == "-c":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _parsed_batch(output: IO[bytes], count: int) -> Iterator[Object | None]:
    for _ in range(count):
        header = output.readline()
        if not header:
            raise GitError("git stopped in the midst of reading objects; to look for damage: git fsck")
        if header.endswith((b" missing\n", b" ambiguous\n")) or header.count(b" ") != 2:
            yield None
            continue
        oid, kind, size = header.split(b" ")
        yield Object(oid.decode(), kind.decode(), output.read(int(size) + 1)[:-1])


_EXPLANATIONS = {  # what git says: what we say
    r"could not fetch [0-9a-f]+ from promisor remote": (
        "a file of it is not in this partial clone, and looking fetches nothing; to have all: git fetch --refetch --no-filter"
    ),
    r"not a git repository": "there is no git repository here; to start one: git init",
    r"dubious ownership in repository at '([^']*)'": (
        "git does not trust {0}, which another user owns; if you do: git config --global --add safe.directory '{0}'"
    ),
    r"index file (?:corrupt|smaller)|bad (?:index|signature|header)|unknown index entry format": (
        "the git index is corrupt; to build it again: rm .git/index && git reset"
    ),
    r"Unable to create '([^']*index\.lock)': File exists": "another git process holds {0}; try again when it is done",
    r"Read-only file system|insufficient permission|[Pp]ermission denied": "git may not write here: {line}; check the permissions",
    r"No space left on device": "the disk is full, and git could not write; free some space and try again",
}


def _explained(stderr: str, returncode: int) -> GitError:
    said = [line for line in stderr.strip().splitlines() if line.strip()]
    line = next((line for line in said if line.startswith(("fatal:", "error:"))), said[-1] if said else f"exit code {returncode}")
    line = line.removeprefix("fatal: ").removeprefix("error: ")
    for pattern, text in _EXPLANATIONS.items():
        if match := re.search(pattern, stderr):
            return GitError(text.format(*match.groups(), line=line), returncode, stderr)
    return GitError(f"git says: {line}", returncode, stderr)
