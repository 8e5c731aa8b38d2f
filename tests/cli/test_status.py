"""What is seen of active runs on a real terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gitexp
from conftest import Project

pty = pytest.importorskip("pty", reason="pseudo-terminals are Unix's")
HERE = str(Path(__file__).parents[2])


def watched(project: Project, run: gitexp.Run | Two, columns: int, lines: int) -> list[str]:
    """Watch a run on a terminal of that size until two pictures were drawn, end it, and return the
    pictures."""
    import fcntl
    import struct
    import termios

    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    env = {**os.environ, "PYTHONPATH": HERE, "TERM": "xterm"}
    for name in ("COLUMNS", "LINES"):
        env.pop(name, None)
    command = [sys.executable, "-m", "gitexp", "watch", "--every", "0.1"]
    process = subprocess.Popen(
        command, cwd=project.root, env=env, stdin=writer, stdout=writer, stderr=subprocess.STDOUT
    )
    os.close(writer)
    shown = b""
    while True:
        try:
            part = os.read(reader, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        shown += part
        if not run.ended and shown.count(b"\x1b[J") >= 2:
            run.end()
    os.close(reader)
    assert process.wait(timeout=600) == 0
    return re.split(r"\x1b\[\d+A\x1b\[J", shown.decode())


def test_watch_draws_in_place_whatever_the_size_of_the_terminal(project: Project) -> None:
    run = gitexp.start_run()
    for at in range(40):
        for name in (
            "loss",
            "a name of a metric that is so long that no terminal has room for it at all",
        ):
            run.log_metric(name, at)
    pictures = watched(project, run, 60, 24)
    for picture in pictures:
        assert all(len(line) < 60 for line in picture.splitlines()), picture
        assert re.search(r"a name.*….*at all +39 +39 +\S+", picture)
    assert len(pictures[0].splitlines()) == 3
    assert pictures[-1].endswith("the run ended; gitexp show @\r\n")


def test_watch_shows_as_many_metrics_as_the_terminal_has_lines_for(project: Project) -> None:
    run = gitexp.start_run()
    run.log_metrics({f"m{at:02}": at for at in range(50)})
    pictures = watched(project, run, 80, 12)
    assert len(pictures[0].splitlines()) == 11
    assert "and 41 metrics more" in pictures[0]


class Two:
    """A run of this process, and one of another."""

    def __init__(self, run: gitexp.Run, other: subprocess.Popen[bytes]) -> None:
        self.run, self.other, self.ended = run, other, False

    def end(self) -> None:
        self.ended = True
        self.run.end()
        self.other.communicate(b"", timeout=600)


def test_watch_follows_all_active_runs(project: Project) -> None:
    project.commit("start", train_py="x = 1")
    code = (
        "import gitexp; run = gitexp.start_run(); run.log_metric('theirs', 2);"
        " print(flush=True); import sys; sys.stdin.read(); run.end()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], cwd=project.root, env={**os.environ, "PYTHONPATH": HERE},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert other.stdout is not None
    other.stdout.readline()
    run = gitexp.start_run()
    run.log_metric("mine", 1)
    pictures = watched(project, Two(run, other), 60, 24)
    assert "mine" in pictures[0]
    assert "theirs" in pictures[0]
    assert pictures[-1].endswith("all runs ended; gitexp list\r\n")


def test_system_metrics_look_at_a_stretch_of_time(project: Project) -> None:
    """The processor's use is that since the last look; a first look at once would always see
    none."""
    pytest.importorskip("psutil")
    with gitexp.start_run(system_metrics=True) as run:
        sum(at * at for at in range(3_000_000))
    assert run.experiment is not None
    assert run.experiment.metrics["system.cpu_percent"] > 0
    assert run.experiment.metrics["system.memory_mb"] > 1


def test_a_run_that_has_ended_is_said_to(project: Project) -> None:
    project.gitexp("log", "--metric", "loss=1")
    assert project.gitexp("watch", "exp-1") == "exp-1 has ended; gitexp show exp-1\n"
    assert "there is no run 'exp-7'" in project.error("watch", "exp-7", code=3)
