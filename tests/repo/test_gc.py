"""git collects garbage while experiments are recorded: nobody fails, and nothing that was
acknowledged lacks an object."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import gitexp
from conftest import Project

# by hand: TRUST_WRITERS=32 TRUST_EACH=8
WRITERS = int(os.environ.get("TRUST_WRITERS", "8"))
EACH = int(os.environ.get("TRUST_EACH", "4"))
WRITER = """
import sys, gitexp
for at in range(int(sys.argv[2])):
    with gitexp.start_run(params={"writer": sys.argv[1], "at": at}) as run:
        run.log_metric("loss", at)
        run.log_text(f"{sys.argv[1]} {at}", "said.txt")
    print(run.experiment.name, flush=True)
"""


def again_and_again(command: list[str], root: Path, stop: threading.Event) -> None:
    """Run git until it is enough; that two of them meet is as it is with git."""
    while not stop.is_set():
        subprocess.run(["git", *command], cwd=root, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["gc", "-q"],
        ["maintenance", "run", "--auto"],
        ["repack", "-a", "-d", "-q"],
        ["gc", "-q", "--prune=now"],
    ],
    ids=" ".join,
)
def test_writers_beside_a_collector_lose_nothing(
    project: Project, tmp_path: Path, command: list[str]
) -> None:
    project.git("config", "gc.auto", "20")
    (tmp_path / "writer.py").write_text(WRITER)
    for at in range(3):
        project.write(f"src/new{at}.py", f"{at}\n")
    stop = threading.Event()
    collector = threading.Thread(target=again_and_again, args=(command, project.root, stop))
    collector.start()
    writers = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "writer.py"), str(number), str(EACH)],
            cwd=project.root,
            env={**os.environ, "PYTHONPATH": str(Path(gitexp.__file__).parents[1])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(WRITERS)
    ]
    ended = [(writer.communicate(timeout=300), writer.returncode) for writer in writers]
    stop.set()
    collector.join()
    assert not [said for (_, said), code in ended if code or "not recorded" in said]
    names = [name for (said, _), _ in ended for name in said.split()]
    assert len({*names}) == WRITERS * EACH
    assert {*names} <= {*project.tags()}
    project.fsck()


@pytest.mark.slow
def test_labels_beside_a_collector_are_kept(project: Project) -> None:
    project.git("config", "gc.auto", "20")
    project.gitexp("log", "-M", "a=1")
    stop = threading.Event()
    command = ["gc", "-q", "--prune=now"]
    collector = threading.Thread(target=again_and_again, args=(command, project.root, stop))
    collector.start()
    try:
        for at in range(30):
            project.gitexp("label", "exp-1", f"+l{at}")
    finally:
        stop.set()
        collector.join()
    assert len(gitexp.get("exp-1").labels) == 30
    project.fsck()


@pytest.mark.parametrize("way", ["run", "log"])
@pytest.mark.parametrize(
    "lost",
    ["HEAD", "HEAD^{tree}", "HEAD:.gitexp", "HEAD:src", "HEAD:src/a.py", "HEAD:metrics.csv"],
)
def test_one_broken_commit_stops_no_further_recording(
    project: Project, lost: str, way: str
) -> None:
    project.write("src/a.py", "a = 1\n")
    project.commit()
    assert gitexp.log({"lr": 1}, {"rmse": 1}).name == "exp-1"
    oid = project.git("rev-parse", lost)
    (project.root / ".git/objects" / oid[:2] / oid[2:]).unlink()
    command = ("log", "-p", "lr=2", "-m", "rmse=2") if way == "log" else ("run", "true")
    project.gitexp(*command)
    project.gitexp(*command)
    assert project.tags() == ["exp-1", "exp-2", "exp-3"]
    if lost != "HEAD:src/a.py":  # no tree is made anew for it, so it stays as HEAD has it
        project.git("rev-list", "--objects", "exp-2^{tree}", "exp-3^{tree}")
    project.gitexp("list")
