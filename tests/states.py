"""Repositories in states that people get into, at random but the same for the same seed: odd names,
links, half-staged work."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from gitexp.repo.snapshot import is_behind_link

NAMES = (
    "a.py", "b.py", "src/c.py", "src/d.txt", "ü/é.py", " lead.txt", "-dash.txt", "new\nline.txt",
    "tab\t.py", 'quote".py', "x y.py",
    "deep/er/est/x.py", "link", "bin.sh", "ign/x.log", "y.log", ".gitignore", "sub/mod.py", "a",
    "src", "conf/params.yml", "nb.ipynb",
    ".hidden/z.py", "UPPER.py", "empty", "params.yml", "metrics.csv",
)  # fmt: skip
File = tuple[str, bool, bytes]  # kind, executable, content


class State:
    """A repository at ``root`` that ``change`` brings from one state into the next."""

    def __init__(self, root: Path, seed: int) -> None:
        self.outside: dict[Path, dict[str, bytes]] = {}  # folders that were moved out
        self.root = root
        self.random = random.Random(seed)
        root.mkdir()
        self.git("init", "-q", "-b", "main")
        if self.random.random() < 0.9:
            for _ in range(self.random.randrange(1, 12)):
                self._write(self.random.choice(NAMES))
            self.git("add", "-A")
            self.git("commit", "-qm", "first")

    def git(self, *args: str, stdin: bytes = b"", cwd: Path | None = None) -> bytes:
        """Run git and return what it prints, whether it succeeds or not: many a random step is
        impossible."""
        return subprocess.run(
            ["git", *args], cwd=cwd or self.root, input=stdin, capture_output=True
        ).stdout

    def change(self) -> None:
        """Do one thing that people do."""
        r = self.random
        name, tracked = (
            r.choice(NAMES),
            [os.fsdecode(path) for path in self.git("ls-files", "-z").split(b"\0") if path],
        )
        one = r.choice(tracked) if tracked else name
        steps: list[Callable[[], object]] = [
            *[lambda: self._write(name)] * 5,
            lambda: self._remove(one),
            lambda: self._move_out(one),
            lambda: self.git("add", "-A"),
            lambda: self.git("add", "--", name),
            lambda: self.git("add", "-N", "--", name),
            lambda: self.git("rm", "-q", "--cached", "--", one),
            lambda: self._move(one, f"moved{r.randrange(5)}.py"),
            lambda: self.git(
                "update-index",
                r.choice(["--assume-unchanged", "--no-assume-unchanged", "--chmod=+x"]),
                "--",
                one,
            ),
            lambda: self.git("commit", "-qam", "tracked"),
            lambda: [self.git("add", "-A"), self.git("commit", "-qm", "all", "--allow-empty")],
            lambda: self.git("reset", "-q", r.choice(["--soft", "--mixed"]), "HEAD~1"),
            lambda: self.git(
                "checkout",
                "-q",
                *r.choice([["main"], ["--detach"], ["-b", f"branch-{r.randrange(99)}"]]),
            ),
            lambda: self.git(
                *r.choice(
                    [
                        ["pack-refs", "--all"],
                        ["gc", "-q", "--prune=now"],
                        ["update-index", "--split-index"],
                    ]
                )
            ),
        ]
        r.choice(steps)()

    def _write(self, name: str) -> None:
        r, path = self.random, self.root / name
        if path.is_dir() and not path.is_symlink():
            if r.random() < 0.5:
                return
            shutil.rmtree(path)
        for above in reversed(path.relative_to(self.root).parents):
            if above != Path() and (self.root / above).is_symlink() | (self.root / above).is_file():
                (self.root / above).unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        if name == ".gitignore":
            path.write_text(r.choice(["*.log\nign/\n", "*.txt\n", ""]))
        elif name.endswith("params.yml"):
            path.write_text(r.choice(["lr: 0.1\n", "# mine\nlr: 3\n"]))
        elif r.random() < 0.12:
            path.unlink(missing_ok=True)
            path.symlink_to(r.choice(["a.py", "src", "nowhere", "ü"]))
        else:
            path.write_bytes(
                r.choice(
                    [
                        b"",
                        b"x\n",
                        b"one\r\ntwo\r\n",
                        r.randbytes(r.randrange(60)),
                        b"v = %d\n" % r.randrange(1000),
                    ]
                )
            )
            path.chmod(r.choice([0o755, 0o644, 0o644]))

    def _move_out(self, name: str) -> None:
        """Move a folder out of the repository and leave a link in its place."""
        top, place = self.root / Path(name).parts[0], f"outside-{len(self.outside)}"
        if top.is_dir() and not top.is_symlink() and top.name != ".gitexp":  # which is ours
            top.symlink_to(top.rename(self.root.parent / place))
            self.outside[top.resolve()] = held_in(top.resolve())

    def _move(self, name: str, target: str) -> None:
        if not is_behind_link(self.root, name):  # git itself moves what lies behind one
            self.git("mv", "-k", "--", name, target)

    def _remove(self, name: str) -> None:
        path = self.root / name
        if is_behind_link(self.root, name):
            return
        if path.is_symlink() or path.is_file():
            path.unlink()

    # -- what it looks like ------------------------------------------------------------------------

    def disk(self) -> dict[str, File]:
        """Return all files of the work tree."""
        found: dict[str, File] = {}
        for folder, folders, files in os.walk(self.root):
            if ".git" in folders:
                folders.remove(".git")
            for name in [
                *files,
                *(item for item in folders if os.path.islink(os.path.join(folder, item))),
            ]:
                path = Path(folder, name)
                status = path.lstat()
                link = stat.S_ISLNK(status.st_mode)
                content = os.fsencode(os.readlink(path)) if link else path.read_bytes()
                found[str(path.relative_to(self.root))] = (
                    "link" if link else "file",
                    bool(status.st_mode & 0o100),
                    content,
                )
        return found

    def index(self) -> bytes:
        """Return all entries of the index, with their marks."""
        return self.git("ls-files", "-s", "-z", "-v")

    def head(self) -> tuple[bytes, bytes]:
        """Return the commit and the branch."""
        return self.git("rev-parse", "-q", "--verify", "HEAD").strip(), self.git(
            "symbolic-ref", "-q", "HEAD"
        ).strip()

    def status(self) -> list[bytes]:
        """Return what git says is changed or untracked."""
        return sorted(
            line
            for line in self.git("status", "--porcelain", "-z", "-uall", "--no-renames").split(
                b"\0"
            )
            if line
        )

    def tree(self, rev: str, cwd: Path | None = None) -> dict[str, bytes]:
        """Return the files of a tree with mode and hash."""
        lines = filter(None, self.git("ls-tree", "-r", "-z", rev, cwd=cwd).split(b"\0"))
        return {
            os.fsdecode(path): entry for entry, path in (line.split(b"\t", 1) for line in lines)
        }

    def added(self, copy: Path) -> dict[str, bytes]:
        """Return the tree that ``git add -A`` would make of the work tree, found out in a copy of
        the repository."""
        subprocess.run(["cp", "-a", str(self.root), str(copy)], check=True)
        marks = self.git("ls-files", "-v", "-z", cwd=copy).split(b"\0")
        assumed = b"".join(mark[2:] + b"\0" for mark in marks if mark[:1].islower())
        self.git("update-index", "-z", "--no-assume-unchanged", "--stdin", stdin=assumed, cwd=copy)
        self.git("add", "-A", cwd=copy)
        made = self.tree(self.git("write-tree", cwd=copy).decode().strip(), cwd=copy)
        shutil.rmtree(copy)
        return made

    def held(self, path: str, file: File) -> bool:
        """Whether some commit, also of the stash or the reflog, or the index has a file's
        content."""
        names = {
            self.git("hash-object", *how, "--stdin", stdin=file[2]).strip()
            for how in (["--no-filters"], ["--path", path])
        }
        objects = {
            line.split()[0]
            for line in self.git(
                "rev-list", "--all", "--reflog", "--indexed-objects", "--objects"
            ).splitlines()
        }
        return bool(names & objects)


def held_in(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def sources(files: Mapping[str, object]) -> dict[str, object]:
    """Return what is not a run's results."""
    return {
        path: file
        for path, file in files.items()
        if path not in ("params.yml", "metrics.csv") and not path.startswith(".gitexp/")
    }
