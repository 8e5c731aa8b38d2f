"""Runs that lose their process: each is recorded once and whole, and nothing of it is ever thrown
away; and several processes that log into one run."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.formats import message, metrics
from gitexp.repo import Repo
from gitexp.runs import deferred, journal
from gitexp.runs.finish import dead_runs, live_runs

HERE = str(Path(__file__).parents[2])
DEAD = (
    "import gitexp, os\nrun = gitexp.start_run(params={'a': 1})\nrun.log_metric('m', 1)\n"
    "os._exit(3)\n"
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks of POSIX")


def python(project: Project, text: str) -> subprocess.Popen[bytes]:
    """Start Python with a script in the project."""
    env = {**os.environ, "PYTHONPATH": HERE}
    return subprocess.Popen([sys.executable, "-c", text], cwd=project.root, env=env)


def wait_for(what: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never was"
        time.sleep(0.02)


def test_recoveries_at_once_record_each_dead_run_once(project: Project) -> None:
    for _ in range(4):
        python(project, DEAD).wait()
    recover = "from gitexp.cli import main; import sys; sys.argv[1:] = ['recover']; main()"
    for process in [python(project, recover) for _ in range(4)]:
        assert process.wait() == 0
    assert len(project.tags()) == 4
    assert dead_runs(Repo.discover()) == []


@pytest.mark.parametrize("cut", [0, 40])
def test_a_run_whose_facts_are_cut_stays_and_is_named(project: Project, cut: int) -> None:
    python(project, DEAD).wait()
    folder = dead_runs(Repo.discover())[0]
    os.truncate(folder / "run.json", cut)
    done = project.run("recover")
    assert done.returncode == 2
    assert str(folder) in done.stderr
    assert b'"m",1' in (folder / "metrics.csv").read_bytes()


def test_a_run_that_died_before_it_had_started_goes(project: Project) -> None:
    python(project, DEAD).wait()
    folder = dead_runs(Repo.discover())[0]
    for name in ("run.json", "params.yml"):
        (folder / name).unlink()
    (folder / "metrics.csv").write_bytes(metrics.HEADER)
    assert "needed nothing" in project.run("recover").stderr
    assert not folder.exists()


@posix
def test_an_orphan_that_still_logs_keeps_its_run_alive(project: Project) -> None:
    text = (
        "import gitexp, os, time\nrun = gitexp.start_run()\n"
        "if os.fork():\n    time.sleep(60)\n"
        "for at in range(10_000):\n"
        "    run.log_metric('m', at)\n    time.sleep(0.02)\n"
        "    if os.path.exists('enough'): os._exit(0)\n"
    )
    parent = python(project, text)
    repo = Repo.discover()
    wait_for(lambda: [f for f in live_runs(repo) if len(list(f.glob("alive-*"))) == 1])
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert dead_runs(repo) == []
    assert project.gitexp("recover") == "there is no dead run\n"
    project.write("enough", "")
    wait_for(lambda: dead_runs(repo))
    rows = (dead_runs(repo)[0] / "metrics.csv").read_bytes().count(b"\n") - 1
    project.gitexp("recover")
    assert len(gitexp.get("exp-1").history()) == rows > 0


@posix
def test_params_of_eight_processes_are_all_there(project: Project) -> None:
    text = (
        "import gitexp, multiprocessing as mp\n"
        "def work(at):\n    for k in range(5): gitexp.log_param(f'p{at}.k{k}', at)\n"
        "if __name__ == '__main__':\n"
        "    with gitexp.start_run(params={'first': 0}) as run:\n"
        "        context = mp.get_context('fork')\n"
        "        ps = [context.Process(target=work, args=(at,)) for at in range(8)]\n"
        "        [p.start() for p in ps]; run.log_param('mine', 1); [p.join() for p in ps]\n"
        "        run.log_param('last', 2)\n"
    )
    assert python(project, text).wait() == 0
    assert len(gitexp.get("exp-1").params) == 43


@posix
@pytest.mark.parametrize("late", ["metric('late', 1)", "param('late', 1)", "artifact('train.py')"])
@pytest.mark.parametrize("before", ["pass", "gitexp.log_metric('x', 1)"])
def test_a_forked_worker_is_told_that_the_run_has_ended(
    project: Project, before: str, late: str
) -> None:
    text = (
        "import gitexp, multiprocessing as mp\n"
        "def work(begun, over):\n"
        f"    {before}; begun.set(); over.wait()\n"
        f"    for _ in range(9): gitexp.log_{late}\n"
        "mp.set_start_method('fork')\n"
        "begun, over = mp.Event(), mp.Event()\n"
        "with gitexp.start_run() as run:\n"
        "    worker = mp.Process(target=work, args=(begun, over)); worker.start(); begun.wait()\n"
        "over.set(); worker.join()\n"
        "assert not run.folder.exists() and worker.exitcode == 0\n"
    )
    project.write("train.py", text)
    done = subprocess.run([sys.executable, "train.py"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RuntimeWarning") == 1, done.stderr
    assert "has ended; what is logged into it now is lost" in done.stderr
    assert [*gitexp.get("exp-1").metrics] == ["x"] * ("x" in before)


@posix
@pytest.mark.parametrize("printed", ["loss 0.5", "no metric"])
def test_a_dead_run_took_until_it_died_not_until_it_was_recovered(
    project: Project, printed: str
) -> None:
    script = (
        f"import os, time; print({printed!r}, flush=True)\n"
        f"log = os.environ['{journal.JOIN}'] + '/output.log'\n"
        f"while not (os.path.exists(log) and {printed!r} in open(log).read()): time.sleep(0.01)\n"
        "os.kill(os.getppid(), 9)\n"
    )
    assert project.run("run", "--no-args", "--", sys.executable, "-c", script).returncode == -9
    repo = Repo.discover()
    wait_for(lambda: dead_runs(repo))
    (folder,) = dead_runs(repo)
    facts = json.loads((folder / "run.json").read_text())
    started = message.parse_time(facts["started"]) - timedelta(hours=1)
    facts["started"] = message.format_time(started)
    (folder / "run.json").write_text(json.dumps(facts))
    for path in folder.iterdir():  # as if all that was an hour ago
        os.utime(path, (started.timestamp() + 5,) * 2)
    project.gitexp("recover")
    found = gitexp.get("exp-1")
    assert found.duration == pytest.approx(6, abs=1)
    assert dict(found.metrics) == ({"loss": 0.5} if "loss" in printed else {})


def test_a_clock_that_is_set_back_makes_no_negative_duration(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = gitexp.start_run()
    run._facts["started"] = "2100-01-01T00:00:00.000Z"  # as if the clock went back since
    run.log_metric("m", 1)
    found = run.end()
    assert found is not None
    assert found.duration is not None
    assert 0 <= found.duration < 60


def test_a_dead_run_keeps_the_commit_that_it_stands_on(project: Project) -> None:
    project.commit("start")
    project.commit("by hand", train_py="x = 1\n")
    python(project, DEAD).wait()
    project.git("reset", "-q", "--hard", "HEAD~1")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "-q", "--prune=now")
    project.gitexp("recover")
    assert project.git("log", "-2", "--format=%s", "exp-1").endswith("by hand")
    project.fsck()


@pytest.mark.parametrize(
    ("damage", "lost"),
    [("open(path, 'ab').write(b'\\xff\\n')", 1), ("open(path, 'r+b').write(b'\\xff')", 0)],
)
def test_what_cannot_be_read_of_a_dead_run_hides_it_not_and_is_left_out(
    project: Project, damage: str, lost: int
) -> None:
    script = (
        "import gitexp, os; run = gitexp.start_run(); path = run.folder / 'metrics.csv'\n"
        "for at in range(3):\n"
        "    run.log_metric('loss', at)\n"
        f"    if at == 1: {damage}\n"
        "os._exit(1)"
    )
    python(project, script).wait()
    wait_for(lambda: bool(dead_runs(Repo.discover())))
    assert "dead" in project.gitexp("list")
    project.gitexp("status")
    said = project.run("recover").stderr
    assert ("metric rows left out, which cannot be read: 1" in said) == bool(lost)
    assert [point.value for point in gitexp.get("exp-1").points()] == [0, 1, 2]


def test_metrics_that_cannot_be_read_stay_and_what_is_no_number_is_told(project: Project) -> None:
    project.commit("train", train_py=DEAD)
    subprocess.run(
        [sys.executable, "train.py"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": HERE},
        check=False,
    )
    (folder,) = dead_runs(Repo.discover(project.root))
    rows = (folder / "metrics.csv").read_bytes()
    (folder / "metrics.csv").unlink()
    (folder / "metrics.csv").mkdir()  # which reads as a faulty disk does: with an error
    with pytest.raises(OSError):
        journal.mend(folder)
    (folder / "metrics.csv").rmdir()
    (folder / "metrics.csv").write_bytes(rows + b'"m",0.\0\0,1,1\r\n')
    assert journal.mend(folder) == 1
    assert (folder / "metrics.csv").read_bytes() == rows


def test_an_end_that_is_put_off_again_and_again_is_looked_at_by_one_thread() -> None:
    ended: list[int] = []
    before = threading.active_count()
    for at in range(20):
        deferred.later("key", functools.partial(ended.append, at), 60)
        deferred.end_now("key")
    deferred.later("key", functools.partial(ended.append, 20), 60)
    assert threading.active_count() == before + 1
    assert deferred.cancel("key")
    assert ended == [*range(20)]
