"""Real repositories in sealed surroundings: no test sees the user's home, git configuration or
variables."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_scripts import MODULES, Training
from warm import LIBRARIES, Warm, command_line, warmed


def pytest_configure(config: pytest.Config) -> None:
    """Let what the tested processes leave in the temporary folder (the killed ones cannot help it)
    go with the last test.

    The name stays short, since a socket's path has to fit into 107 bytes; pytest's own folders stay
    where they are.
    """
    # a job in the background has Ctrl-C ignored, and so would the commands that tests interrupt
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        top = _in_memory() or tempfile.gettempdir()
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", top)
        config.stash[_SCRATCH] = os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(
            prefix="t", dir=top
        )


def _in_memory() -> str | None:
    """Return a file system in memory for the thousands of repositories, which cost a third of the
    time on a disk; None where there is none, it is small, or the user says where: ``TMPDIR``."""
    top = "/dev/shm"
    if os.environ.get("TMPDIR") or sys.platform != "linux" or not os.access(top, os.W_OK):
        return None
    found = os.statvfs(top)
    room = found.f_bavail * found.f_frsize
    return top if room > _ROOM and not found.f_flag & os.ST_NOEXEC else None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that folder."""
    if scratch := config.stash.get(_SCRATCH, None):
        shutil.rmtree(scratch, ignore_errors=True)


_SCRATCH = pytest.StashKey[str]()
_ROOM = 4 << 30  # bytes
_EXPECTED = re.compile(  # skips that no package mends
    r"root|no \w+ here|could not import '(ray|tensorflow)'|no such layout|No module named '(ray|tensorflow)'"
    r"|may not trace here|mount|no sh here|has no gloo|fish is not installed|no gcc here"
)


def _skips(config: pytest.Config) -> Counter[str]:
    """Count the reasons for which tests were skipped."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    reasons = (item.longrepr[2] if isinstance(item.longrepr, tuple) else "" for item in reports)
    return Counter(reason.removeprefix("Skipped: ") for reason in reasons)


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Say what was skipped, and what brings it."""
    skipped = _skips(config)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not skipped or reporter is None:
        return
    reporter.section("skipped")
    for reason, count in skipped.most_common():
        reporter.write_line(f"{count:4} {reason}")
    reporter.write_line(
        "to run more of them: .venv/bin/python -m pip install -r .ci/requirements.txt"
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything should be installed, a skip that nobody expected is a failure."""
    config = session.config
    if os.environ.get("TESTS_NO_SKIPS") and not hasattr(config, "workerinput"):
        odd = [reason for reason in _skips(config) if not _EXPECTED.search(reason)]
        if odd and session.exitstatus == 0:
            print(f"\nskipped, though everything should be installed: {'; '.join(odd)}")
            session.exitstatus = 1


@pytest.fixture(autouse=True)
def sealed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an empty home and a git that knows one author and nothing else."""
    homes = tmp_path_factory.getbasetemp() / "homes"  # numbering looks at all that are there
    homes.mkdir(exist_ok=True)
    seal(Path(tempfile.mkdtemp(prefix="", dir=homes)), monkeypatch)


def seal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do so with this home: what tests of one module share is made before ``sealed``, and seals
    itself."""
    for name in list(os.environ):
        if name.startswith(
            ("GIT_", "GITEXP_", "MLFLOW_", "DAGSHUB_", "SLURM_", "OMPI_")
        ) or name in (
            "RANK",
            "LOCAL_RANK",
            "NODE_RANK",
            "XDG_CONFIG_HOME",
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    # git-annex and git-filter-repo come from PyPI: git looks for them there, last
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ["PATH"].split(os.pathsep):
        monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{programs}")
    (home / ".gitconfig").write_text(
        '[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n[protocol "file"]\n\tallow = always\n'
        # nothing packs beside a test that does not ask for it
        "[maintenance]\n\tauto = false\n"
    )


class Project:
    """A user's repository, with the few words that tests need."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *args: str, check: bool = True, cwd: Path | None = None) -> str:
        """Run git in it and return what it prints, stripped."""
        done = subprocess.run(
            ["git", *args],
            cwd=cwd or self.root,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            stdin=subprocess.DEVNULL,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, path: str, text: str | bytes) -> Path:
        """Write a file, with the folders above it."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def commit(self, message: str = "work", **files: str) -> str:
        """Commit everything and return the commit's hash; files are given as ``train_py="..."``."""
        for name, text in files.items():
            self.write(name.replace("_", "."), text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def run(
        self,
        *args: str,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """Run gitexp's command line as a user would, in a process of its own."""
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **(env or {})}
        return command_line(next((word for word in args if word in LIBRARIES), "")).module(
            "gitexp", *args, cwd=cwd or self.root, env=env, timeout=timeout
        )

    def gitexp(
        self, *args: str, code: int = 0, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> str:
        """Run gitexp, require the exit code, and return its standard output."""
        done = self.run(*args, cwd=cwd, env=env)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def type(self, line: str) -> None:
        """Type a command line that was printed, and require that it works."""
        if line.startswith("gitexp "):
            self.gitexp(*shlex.split(line)[1:])
            return
        done = subprocess.run(["sh", "-c", line], cwd=self.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def error(
        self, *args: str, code: int = 2, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> str:
        """Run gitexp, require that it fails with the code in one line, and return the line."""
        done = self.run(*args, cwd=cwd, env=env)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("gitexp: ")
        return lines[0].removeprefix("gitexp: ")

    def tags(self) -> list[str]:
        """Return all tag names."""
        return self.git("tag", "--sort=version:refname").split()

    def fsck(self) -> None:
        """Require that git finds nothing wrong."""
        done = subprocess.run(
            ["git", "fsck", "--strict", "--no-dangling"],
            cwd=self.root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "error" not in done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A repository with one commit, and the test working inside it."""
    root = tmp_path / "project"
    root.mkdir()
    made = Project(root)
    made.git("init", "-q")
    made.commit("start", train_py="print('training')\n", README_md="# a project\n")
    monkeypatch.chdir(root)
    return made


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A repository without any commit, and the test working inside it."""
    root = tmp_path / "empty"
    root.mkdir()
    made = Project(root)
    made.git("init", "-q")
    monkeypatch.chdir(root)
    return made


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """A process that has imported MLflow, for tests of the group ``mlflow``."""
    pytest.importorskip("mlflow")
    with warmed(tmp_path_factory.mktemp("warm"), *MODULES) as made:
        yield made


@pytest.fixture
def training(project: Project, warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A repository in which scripts log with MLflow."""
    return Training(project, warm, tmp_path_factory.getbasetemp() / "cache")
