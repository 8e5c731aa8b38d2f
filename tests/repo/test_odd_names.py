"""Text that the system gives and that is not UTF-8 (names of files, arguments, messages) never
keeps anything from being recorded."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.repo import files
from gitexp.store import conditions

ODD = os.fsdecode(b"d\xe9j\xe0")
pytestmark = pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="names of files are Unicode here"
)


@pytest.fixture
def odd(project: Project) -> Project:
    """A repository with an untracked file of such a name."""
    project.write(f"{ODD}.csv", "1\n")
    return project


def test_a_run_starts_and_ends_whatever_is_called_so(odd: Project) -> None:
    done = odd.run(
        "run", "--", sys.executable, "train.py", ODD, "--lr", ODD, f"a={ODD}", f"{ODD}=1"
    )
    assert done.returncode == 0, done.stderr
    names = odd.git("ls-tree", "-z", "--name-only", "exp-1").split("\0")
    assert f"{ODD}.csv" in names
    assert gitexp.get("exp-1").params["lr"] == "d?j?"


def test_all_that_can_be_logged_takes_it(odd: Project) -> None:
    with (
        pytest.raises(ValueError),
        gitexp.start_run(params={ODD: ODD, "x": [ODD]}, note=ODD, message=ODD) as run,
    ):
        run.log_metric(ODD, 1)
        run.log_metrics({ODD: 2})
        run.log_text(ODD, f"{ODD}.log")
        run.log_artifact(f"{ODD}.csv")
        run.log_input(f"{ODD}.csv")
        raise ValueError(ODD)
    found = gitexp.get("exp-1")
    assert found.status == "failed"
    assert found.metrics == {"d?j?": 2}
    odd.gitexp("log", "-p", f"a={ODD}", "-M", f"{ODD}=1", "--note", ODD, "-m", ODD)
    odd.gitexp("note", "exp-1", ODD)
    for command in (
        ["list", "--json"],
        ["show", "exp-1"],
        ["diff", "exp-1", "exp-2"],
        ["verify", "--all"],
    ):
        odd.gitexp(*command)
    odd.fsck()


@pytest.mark.skipif(os.name != "posix", reason="no chmod here")
def test_a_folder_that_cannot_be_read_is_no_part_that_is_passed_over() -> None:
    """As another user than root, who reads everything."""
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        os.chmod(top, 0o755)
        Path(top, "data").write_text("1")
        Path(top, "closed").mkdir(mode=0)
        if (child := os.fork()) == 0:
            try:
                if os.geteuid() == 0:
                    os.setuid(65534)
                assert conditions.hash_input(Path(top)) is None
                with pytest.raises(PermissionError):
                    files.below(Path(top))
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
