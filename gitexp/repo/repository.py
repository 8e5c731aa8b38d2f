"""A repository: where it is found, who works in it, and what is under way there."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitexp.formats import settings
from gitexp.formats.errors import GitError, RepositoryError
from gitexp.repo.discovery import find_repository
from gitexp.repo.objects import Objects
from gitexp.repo.process import failure, run
from gitexp.repo.refs import HEAD, Head, Refs

if TYPE_CHECKING:
    import git as gitpython

_FILTERS = r"^(filter\..*\.(clean|smudge|process|required)|lfs\.extension\..*)$"
IN_PROGRESS = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisect",
}


class Repo(Objects, Refs):
    """A git repository with a work tree, whose folders ``Git`` names."""

    def __init__(self, root: Path, git_dir: Path, common_dir: Path, object_format: str) -> None:
        super().__init__(root, git_dir, common_dir, object_format)
        # where HEAD pointed when it was discovered, as far as known without another process
        self.found_at: Head | None = None
        # the folder with settings of its own that it was discovered from, as ``models/nlp/``
        self.project = ""
        self.distrusted: frozenset[str] = frozenset()  # filters that are not run

    @classmethod
    def discover(cls, path: str | os.PathLike[str] = ".") -> Repo:
        """Find the repository that ``path`` lies in.

        Raises:
            RepositoryError: there is none, it is bare, or git refuses to work in it.
        """
        if usual := find_repository(path):
            repo = cls(usual.root, usual.root / ".git", usual.root / ".git", "sha1")
            repo.found_at = usual.head
            repo.project = settings.project(repo.root, Path(os.path.realpath(path)))
            return repo
        try:
            where = Path(os.path.realpath(path))
        except FileNotFoundError:
            raise RepositoryError(
                "the folder that you are in does not exist any more; cd to one that does"
            ) from None
        wanted = ("--absolute-git-dir", "--git-common-dir", "--show-object-format")
        done = run(["rev-parse", *wanted, "--show-toplevel", *HEAD], where)
        lines = os.fsdecode(done.stdout).split("\n")
        if done.returncode and len(lines) < 5:
            stderr = os.fsdecode(done.stderr)
            if "must be run in a work tree" in stderr:
                raise RepositoryError(
                    "this is a bare repository (or inside .git), and experiments need a work tree;"
                    " clone it and work there"
                )
            raise failure(done.stderr, done.returncode)
        git_dir, common, object_format, root = lines[:4]
        repo = cls(Path(root), Path(git_dir), Path(os.path.abspath(where / common)), object_format)
        with suppress(GitError):  # of a damaged branch: doctor starts, and all else asks again
            repo.found_at = repo._head_of(lines[4:6] if done.returncode == 0 else [])
        repo.project = settings.project(repo.root, where)
        return repo

    def distrusting(self) -> Repo:
        """Return this repository for looking at its work tree without running a filter that only
        its own configuration names, and with the objects that hashes name.

        The user's own filters (``git lfs install``) stay.

        Raises:
            RepositoryError: a filter has a name that cannot be overridden.
        """
        theirs: set[str] = set()
        own: dict[str, str] = {}
        for scope, key, value in self.scoped_config(_FILTERS):
            if scope in ("local", "worktree"):
                name = key.removeprefix("filter.").rpartition(".")[0]
                theirs.add("lfs" if key.startswith("lfs.") else name)
            else:
                own[key] = value
        if odd := [name for name in theirs if "=" in name]:
            raise RepositoryError(
                f"the filter '{odd[0]}' of .git/config has a name that cannot be switched off;"
                " rename it"
            )
        guarded = Repo(self.root, self.git_dir, self.common_dir, self.object_format)
        guarded.found_at, guarded.project = self.found_at, self.project
        guarded._options += ("--no-replace-objects",)
        kept = {name for name in theirs if f"filter.{name}.clean" in own and name != "lfs"}
        guarded.distrusted = frozenset(theirs - kept)
        for name in sorted(theirs):
            for what in ("clean", "smudge", "process", "required"):
                key, off = f"filter.{name}.{what}", "false" if what == "required" else ""
                guarded._options += ("-c", f"{key}={own.get(key, off) if name in kept else off}")
        return guarded

    @property
    def is_shallow(self) -> bool:
        """Whether history ends here before its beginning, as where CI checks out."""
        return (self.common_dir / "shallow").exists()

    def in_progress(self) -> str | None:
        """Return what is under way, ``a merge`` and the like, or None."""
        return next(
            (what for name, what in IN_PROGRESS.items() if (self.git_dir / name).exists()), None
        )

    @property
    def author(self) -> str:
        """Who an experiment is by: ``Name <email>``; the login and host names where git knows
        nobody."""
        return self._people[0]

    @property
    def committer(self) -> str:
        """Who writes here: ``Name <email>``."""
        return self._people[1]

    @property
    def identity(self) -> dict[str, str]:
        """The environment that gives git's own commits (notes, merges) an author in any case."""
        name, _, email = self.committer.rpartition(" <")
        return {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email[:-1]))
        }

    @functools.cached_property
    def _people(self) -> tuple[str, str]:
        """The author and the committer, where git did not have to guess."""
        told = {
            role: self.told.get(f"GIT_{role}_IDENT", "").rpartition(">")[0]
            for role in ("AUTHOR", "COMMITTER")
        }
        guessed = re.compile(r"\s*(unknown )?(<.*)?|.*\.\(none\)")
        author, committer = (
            self._ident(role) if guessed.fullmatch(who) else f"{who}>" for role, who in told.items()
        )
        return author, committer

    def _ident(self, role: str) -> str:
        done = run(["var", f"GIT_{role}_IDENT"], self.root)
        if done.returncode == 0:
            return os.fsdecode(done.stdout).rpartition(">")[0] + ">"
        import platform

        name = login() or "unknown"
        return f"{name} <{name}@{platform.node() or 'localhost'}>"

    @contextmanager
    def offline(self) -> Iterator[Repo]:
        """Yield a repository that holds the same objects and knows no remote, no ref and no setting
        of this one.

        Where a partial clone has a hole, git would fetch there, one object at a time; here the
        object is just missing. (git has an option for that only since 2.45.)
        """
        import tempfile

        with tempfile.TemporaryDirectory(prefix="gitexp-") as folder:
            self.git(
                "init", "--quiet", "--template=", f"--object-format={self.object_format}", folder
            )
            git_dir = Path(folder, ".git")
            (git_dir / "objects" / "info").mkdir(exist_ok=True)
            (git_dir / "objects" / "info" / "alternates").write_text(
                f"{(self.common_dir / 'objects').as_posix()}\n"
            )
            with suppress(FileNotFoundError):
                (git_dir / "shallow").write_bytes((self.common_dir / "shallow").read_bytes())
            yield Repo(Path(folder), git_dir, git_dir, self.object_format)

    def download(
        self, commit: str, paths: Iterable[str], to: Path, force: bool, named: str = ""
    ) -> list[Path]:
        """Write files of a commit below a folder, see ``download.py``."""
        from gitexp.repo import download

        return download.download(self, commit, paths, to, force, named)

    def gitpython_commit(self, commit: str) -> gitpython.Commit:
        """Return the commit as a GitPython object."""
        import git

        return git.Repo(self.root).commit(commit)


def login() -> str:
    """Return the user's name on this machine, "" where nobody says it."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
