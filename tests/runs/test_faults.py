"""The machine fails in mid-run: the training goes on to its own end, one warning says so, and what
could be saved is saved."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.repo import Repo
from gitexp.runs import fallback, journal
from gitexp.runs.finish import dead_runs
from gitexp.runs.journal_writer import Journal

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="mounts and limits are set up as on Linux"
)
HERE = str(Path(__file__).parents[2])
ROWS = 2000
BEFORE = 50

TRAINING = """
import gitexp, os, resource, subprocess, sys
from faults import *
run = gitexp.start_run(params={"lr": 1})
for at in range(%(before)d):
    run.log_metric("loss", at)
%(fault)s
for at in range(%(before)d, %(rows)d):
    run.log_metric("loss", at)
run.log_param("later", 2)
run.log_text("x" * 50_000, "big.txt")
%(end)s
os.write(1, b"trained to the end\\n")
sys.exit(3)
"""
FAULTS = """
import os, resource, subprocess

OWNER = os.getppid() if "GITEXP_RUN" in os.environ else os.getpid()  # who writes the journal's facts and records

def fill_the_disk():
    with open(".git/ballast", "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"0" * size) == size: pass
            except OSError:
                pass

def limit(name, value):
    if name == "RLIMIT_AS":  # what of the heap is free depends on what was compiled before
        kept = [b"x" * size for size in (100, 1_000, 100_000) for _ in range(2_000_000 // size)]
        del kept[::2]
        globals()["kept"] = kept
    for process in {OWNER, os.getpid()}:
        resource.prlimit(process, getattr(resource, name), (value, resource.getrlimit(getattr(resource, name))[1]))

def make_read_only():
    if os.geteuid():
        for folder, _, files in os.walk(".git"):
            os.chmod(folder, 0o555)
            for name in files: os.chmod(os.path.join(folder, name), 0o444)
    else:  # in a mount namespace of its own, so what is open stays writable, as it is for those whose permissions change
        subprocess.run("mount --bind .git .git && mount -o remount,ro,bind .git", shell=True, check=True)
"""


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project on a disk of its own, of 3 MB; the user's home lies elsewhere."""
    root = tmp_path / "disk"
    root.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(root)], capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        made = Project(root / "project")
        made.root.mkdir()
        made.git("init", "-q")
        made.commit("start", train_py="print('training')\n")
        monkeypatch.chdir(made.root)
        yield made
    finally:
        os.chdir(tmp_path)
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def train(
    project: Project,
    fault: str,
    *,
    through_command: bool,
    alone: bool = False,
    end: str = "run.end()",
) -> subprocess.CompletedProcess[str]:
    """Run a training in which ``fault`` happens, by itself or through ``gitexp run``; with
    ``alone``, in a mount namespace of its own."""
    project.write(".git/faults.py", FAULTS)
    project.write(
        "train.py", TRAINING % {"before": BEFORE, "rows": ROWS, "fault": fault, "end": end}
    )
    command = [sys.executable, "train.py"]
    if through_command:
        command = [sys.executable, "-m", "gitexp", "run", "--", *command]
    if alone and os.geteuid() == 0:
        if (
            shutil.which("unshare") is None
            or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode
        ):
            pytest.skip("a mount namespace of one's own is not allowed here")
        command = ["unshare", "-m", *command]
    env = {
        **os.environ,
        "PYTHONPATH": f"{HERE}:{project.root / '.git'}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        command, cwd=project.root, env=env, capture_output=True, text=True, timeout=600
    )


def said(done: subprocess.CompletedProcess[str]) -> tuple[list[str], list[str]]:
    """Return the warnings in mid-run, and what the end said; require that the training came to its
    own end."""
    assert "trained to the end" in done.stdout, done.stderr
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "gitexp: " in line]
    return [line for line in lines if "the run goes on" in line], [
        line for line in lines if "the run goes on" not in line
    ]


through = pytest.mark.parametrize("through_command", [False, True], ids=["in Python", "gitexp run"])


@through
def test_a_full_disk_loses_nothing_where_another_has_room(
    disk: Project, through_command: bool
) -> None:
    warned, end = said(train(disk, "fill_the_disk()", through_command=through_command))
    assert len(warned) == 1
    assert "metrics could not be written: No space left on device" in warned[0]
    assert len(end) == 1
    assert re.search(
        r"could not be recorded: .* No space left on device.*; it waits on disk for `gitexp recover`$",
        end[0],
    )
    assert disk.tags() == []
    refused = disk.run("recover")
    assert refused.returncode == 2
    assert "No space left on device" in refused.stderr
    assert dead_runs(Repo.discover()), "a recovery that fails takes nothing away"
    recover(disk, through_command)


@through
def test_a_git_folder_that_becomes_read_only_loses_nothing(
    project: Project, through_command: bool
) -> None:
    warned, end = said(
        train(project, "make_read_only()", through_command=through_command, alone=True)
    )
    assert len(warned) == 1
    assert "params.yml could not be written: Read-only file system" in warned[0] or os.geteuid()
    assert len(end) == 1
    assert end[0].endswith("it waits on disk for `gitexp recover`")
    # as it was, where chmod was the way
    for path in [project.root / ".git", *(project.root / ".git").rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    recover(project, through_command)


@through
def test_a_memory_limit_loses_nothing(project: Project, through_command: bool) -> None:
    warned, end = said(
        train(project, "limit('RLIMIT_AS', 1_000_000)", through_command=through_command)
    )
    assert not warned, "the journal needs no memory of which a megabyte would not be enough"
    assert len(end) == 1
    assert end[0].endswith("it waits on disk for `gitexp recover`")
    recover(project, through_command)


@through
def test_where_no_file_can_be_opened_the_rows_are_kept_and_the_end_says_what_is_not(
    project: Project, through_command: bool
) -> None:
    warned, end = said(train(project, "limit('RLIMIT_NOFILE', 3)", through_command=through_command))
    assert len(warned) == 1
    assert "params.yml could not be written: Too many open files" in warned[0]
    whole = " ".join(end)
    assert "it waits on disk for `gitexp recover`" in whole
    for missing in ("the newest params", "the artifact .gitexp/artifacts/big.txt", "how it ended"):
        assert missing in whole
    project.gitexp("recover")
    found = gitexp.get("exp-1")
    assert len(found.history()) == ROWS
    assert found.status == "killed"
    assert dict(found.params) == {"lr": 1}
    project.fsck()


def test_a_training_that_leaks_open_files_ends_as_what_it_was(project: Project) -> None:
    """The journal gives back the file that its rows went into, and that one is enough for saying
    how the run ended."""
    leak = "limit('RLIMIT_NOFILE', 64)\nwhile True:\n    try: os.dup(0)\n    except OSError: break"
    _, end = said(train(project, leak, through_command=False))
    assert "it waits on disk for `gitexp recover`" in end[-1]
    project.gitexp("recover")
    found = gitexp.get("exp-1")
    assert (found.status, len(found.history())) == ("finished", ROWS)
    assert dict(found.params) == {"lr": 1, "later": 2}


@through
def test_where_no_place_takes_more_the_end_says_how_many_rows_are_missing(
    project: Project, through_command: bool
) -> None:
    """A limit for the size of files holds everywhere, and git cannot write either."""
    done = train(project, "limit('RLIMIT_FSIZE', 3000)", through_command=through_command)
    warned, end = said(done)
    assert len(warned) == 1
    missing = re.search(r"([\d,]+) metric rows", " ".join(end))
    assert missing, done.stderr
    assert "the artifact .gitexp/artifacts/big.txt" in " ".join(end)
    project.gitexp("recover")
    found = gitexp.get("exp-1")
    assert len(found.history()) + int(missing[1].replace(",", "")) == ROWS
    assert f"{missing[1]} metric rows" in project.git(
        "log", "-1", "--format=%(trailers:key=Gitexp-Not-Kept)", "exp-1"
    )
    project.fsck()


def test_sigkill_on_a_full_disk_loses_no_row(disk: Project) -> None:
    done = train(disk, "fill_the_disk()", through_command=False, end="os.kill(os.getpid(), 9)")
    assert done.returncode == -9
    (disk.root / ".git/ballast").unlink()
    disk.gitexp("recover")
    found = gitexp.get("exp-1")
    assert (found.status, len(found.history())) == ("killed", ROWS)
    assert dict(found.params) == {"lr": 1, "later": 2}
    disk.fsck()


def test_a_disk_that_has_room_again_before_the_end_makes_it_an_experiment_like_any_other(
    disk: Project,
) -> None:
    warned, end = said(
        train(
            disk,
            "fill_the_disk()",
            through_command=False,
            end="os.unlink('.git/ballast')\nrun.end()",
        )
    )
    assert len(warned) == 1
    assert end == []
    found = gitexp.get("exp-1")
    assert (found.status, len(found.history())) == ("finished", ROWS)
    assert list(found.history().value) == [*range(ROWS)]
    assert found.read(".gitexp/artifacts/big.txt") == b"x" * 50_000
    assert disk.git("status", "--porcelain") == ""


def test_no_run_begins_on_a_full_disk_and_nothing_is_left_behind(disk: Project) -> None:
    disk.write(".git/faults.py", FAULTS)
    subprocess.run(
        [sys.executable, "-c", "import faults; faults.fill_the_disk()"],
        env={**os.environ, "PYTHONPATH": ".git"},
        check=True,
    )
    assert "No space left on device" in disk.error("run", "--", sys.executable, "train.py")
    assert "No space left on device" in disk.error("log", "-p", "a=1")
    with pytest.raises(gitexp.RepositoryError, match="No space left on device"):
        gitexp.start_run()
    assert journal.folders(Repo.discover()) == []


def test_what_a_command_prints_on_a_full_disk_counts(disk: Project) -> None:
    disk.write(".git/faults.py", FAULTS)
    disk.write("train.py", "from faults import *\nfill_the_disk()\nprint('rmse: 2.5')\n")
    env = {"PYTHONPATH": f"{HERE}:{disk.root / '.git'}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = disk.run("run", "--", sys.executable, "train.py", env=env)
    assert "it waits on disk for `gitexp recover`" in done.stderr
    (disk.root / ".git/ballast").unlink()
    disk.gitexp("recover")
    found = gitexp.get("exp-1")
    assert found.metrics == {"rmse": 2.5}
    assert found.read(".gitexp/output.log") == b"rmse: 2.5\n"


def test_what_lay_elsewhere_is_taken_back_once(tmp_path: Path) -> None:
    """Also where the process that did it was killed in between, so that the spare rows are there
    still."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.csv").write_bytes(b'Name,Value,Timestamp,Step\n"a",1,1,0\r\n"a",2')
    (folder / "params.yml").write_bytes(b"old: 1\n")
    for _ in range(2):
        place = fallback.fallback_folder(folder)
        assert place is not None
        (place / "metrics.csv").write_bytes(b'"a",2,1,1\r\n"a",3,1,2\r\n"torn')
        (place / "params.yml").write_bytes(b"new: 1\n")
        fallback.take_back(folder)
        assert not place.exists()
    assert [point.value for point in journal.points(folder)[0]] == [1, 2, 3]
    assert journal.read_params(folder) == {"new": 1}


def test_a_spare_place_that_another_user_made_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    # so that the folder for temporary files is what remains
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    folder = tmp_path / "run"
    folder.mkdir()
    place = fallback.fallback_folder(folder)
    assert place is not None
    (place / "params.yml").write_bytes(b"planted: 1\n")
    os.chown(place, 65534, 65534)
    try:
        assert fallback.fallback_folder(folder) is None
        fallback.take_back(folder)
        assert journal.read_params(folder) == {}
    finally:
        shutil.rmtree(place)


def recover(project: Project, through_command: bool) -> None:
    """Make room, recover, and require that all is there which was logged."""
    (project.root / ".git/ballast").unlink(missing_ok=True)
    project.gitexp("recover")
    found = gitexp.get("exp-1")
    assert list(found.history().value) == [*range(ROWS)]
    assert dict(found.params) == {"lr": 1, "later": 2}
    assert found.read(".gitexp/artifacts/big.txt") == b"x" * 50_000
    assert found.status == ("failed" if through_command else "finished")
    if through_command:
        assert b"trained to the end" in found.read(".gitexp/output.log")
    assert journal.folders(Repo.discover()) == []
    project.fsck()


def test_a_folder_that_takes_no_rows_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").mkdir()
    with pytest.raises(OSError, match="directory") as kept:
        Journal(tmp_path, owner=True)
    with journal.hold(tmp_path):
        assert kept.value, "its traceback kept the lock, and a sweep's driver met it"


def test_a_process_that_joins_where_the_run_takes_no_rows_logs_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    owned = Journal(tmp_path / "run", owner=True)
    (tmp_path / "run/metrics.csv").rename(tmp_path / "kept")
    (tmp_path / "run/metrics.csv").mkdir()
    with pytest.warns(RuntimeWarning, match="the run goes on, and what can be kept is kept"):
        joined = Journal(tmp_path / "run")
    joined.append(b'"loss",1.0,1,0\r\n')
    joined.close()
    (tmp_path / "run/metrics.csv").rmdir()
    (tmp_path / "kept").rename(tmp_path / "run/metrics.csv")
    owned.close()
    fallback.take_back(tmp_path / "run")
    owned.release()
    assert [point.value for point in journal.points(tmp_path / "run")[0]] == [1.0]
