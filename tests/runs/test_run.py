"""Live runs: what is logged is journaled at once, the tree is that of the start, and the end is one
experiment."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import multiprocessing
import os
import pickle
import shlex
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project
from gitexp.formats import message
from gitexp.formats.errors import UsageError
from gitexp.repo import Repo, snapshot
from gitexp.runs import command, journal, start
from gitexp.runs.details import Details
from gitexp.runs.finish import dead_runs, live_runs
from gitexp.runs.run import Run

HERE = str(Path(__file__).parents[2])
WITH_OTHERS = "other runs were going on"


def script(
    project: Project, text: str, *args: str, env: dict[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a Python script in the project."""
    project.write("script.py", text)
    done = subprocess.run(
        [sys.executable, "script.py", *args],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": HERE, **(env or {})},
        capture_output=True,
        text=True,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def test_a_run_is_recorded_with_all_that_was_logged(project: Project) -> None:
    with gitexp.start_run(
        params={"lr": 0.1, "model": {"depth": 3}}, note="why", labels=["a"], group="g"
    ) as run:
        run.log_param("model.width", 8)
        run.log_params({"layers": [1, 2]})
        for at in range(3):
            run.log_metric("loss", 1 / (at + 1))
        run.log_metrics({"acc": 0.5, "f1": 0.25}, step=7)
        run.log_metric('odd "name", really', 1)
        run.set_label("b")
        run.log_text("hello", "notes/hello.txt")
        project.write("model.bin", b"\0weights")
        run.log_artifact("model.bin")
    found = gitexp.get("exp-1")
    assert run.experiment is not None
    assert found.id == run.experiment.id
    assert dict(found.params) == {"lr": 0.1, "model.depth": 3, "model.width": 8, "layers": [1, 2]}
    assert dict(found.metrics) == {"loss": 1 / 3, "acc": 0.5, "f1": 0.25, 'odd "name", really': 1}
    assert found.labels == ("a", "b")
    assert found.group == "g"
    assert found.status == "finished"
    assert found.duration is not None
    assert found.read(".gitexp/artifacts/notes/hello.txt") == b"hello"
    assert found.read("model.bin") == b"\0weights"
    history = found.history()
    assert list(history[history.name == "loss"].step) == [0, 1, 2]
    assert list(history[history.name == "acc"].step) == [7]
    assert project.git("status", "--porcelain") == ""
    assert journal.folders(Repo.discover()) == []
    assert "pending" not in project.git("for-each-ref")
    project.fsck()


def test_words_that_are_no_text_are_recorded_as_text(project: Project) -> None:
    with gitexp.start_run(message=7, note=Path("a/b"), group=3, labels=[4], name=None) as run:  # type: ignore[arg-type,list-item]
        run.log_metric("a", 1)
    with gitexp.start_run(resume=1, note=None) as run:  # type: ignore[arg-type]
        run.set_note({"why": 1})  # type: ignore[arg-type]
    one, two = gitexp.get(1), gitexp.get(2)
    assert (one.subject, one.group, one.labels) == ("7", "3", ("4",))
    assert [
        message.body(project.git("log", "-1", "--format=%B", each.id)) for each in (one, two)
    ] == [
        "a/b",
        "{'why': 1}",
    ]
    assert gitexp.log(note=5, message=6, name=Path("best")).subject == "6"  # type: ignore[arg-type]


def test_a_run_that_cannot_begin_leaves_nothing_behind(project: Project) -> None:
    odd: list[dict[str, Any]] = [{"params": 5}, {"inputs": ["missing.csv"]}, {"labels": ["a b"]}]
    for given in odd:
        with pytest.raises(UsageError):
            gitexp.start_run(**given)
    odd = [{"params": [1]}, {"metrics": [1]}]
    for given in odd:
        with pytest.raises(UsageError, match="must be a mapping"):
            gitexp.log(**given)
    assert journal.folders(Repo.discover()) == []
    assert gitexp.active_run() is None


def test_dataclasses_and_namespaces_are_params_by_their_fields(project: Project) -> None:
    @dataclasses.dataclass
    class Model:
        depth: int = 3
        layers: tuple[int, ...] = (8, 4)

    with gitexp.start_run(params=argparse.Namespace(lr=0.1, model=Model())) as run:
        run.log_params(Model(depth=5))
        run.log_param("other", Model())
    outer = {"lr": 0.1, "depth": 5, "layers": [8, 4]}
    inner = {f"{name}.depth": 3 for name in ("model", "other")}
    lists = {f"{name}.layers": [8, 4] for name in ("model", "other")}
    assert dict(gitexp.get("@").params) == {**outer, **inner, **lists}


def test_a_metric_is_on_disk_when_the_call_returns(project: Project) -> None:
    with gitexp.start_run() as run:
        run.log_metric("loss", 0.5)
        assert (run.folder / "metrics.csv").read_text().count("loss") == 1


def test_the_tree_is_that_of_the_start(project: Project) -> None:
    project.write("train.py", "at the start\n")
    with gitexp.start_run() as run:
        project.write("train.py", "edited meanwhile\n")
        project.write("later.py", "new meanwhile\n")
        run.log_metric("a", 1)
    assert project.git("show", "exp-1:train.py") == "at the start"
    assert "later.py" not in project.git("ls-tree", "--name-only", "exp-1")
    assert (project.root / "train.py").read_text() == "edited meanwhile\n"
    assert project.git("status", "--porcelain") == "M train.py\n?? later.py"
    assert project.git("branch", "--contains", "exp-1", "--format=%(refname:short)") == "main"


def test_a_status_by_the_user_meanwhile_changes_nothing(project: Project) -> None:
    project.write("train.py", "v2\n")
    with gitexp.start_run():
        project.write("README.md", "edited\n")
        project.git("status")
        project.git("update-index", "--refresh", check=False)
    assert project.git("status", "--porcelain") == "M README.md"


def test_what_was_staged_meanwhile_keeps_the_branch_in_place(project: Project) -> None:
    with gitexp.start_run() as run:
        project.write("train.py", "staged meanwhile\n")
        project.git("add", "train.py")
    assert run.recorded is not None
    assert run.recorded.beside == "'train.py' was staged during the run"
    assert project.git("status", "--porcelain") == "M  train.py"


def test_a_commit_meanwhile_is_not_undone(project: Project) -> None:
    with gitexp.start_run() as run:
        mine = project.commit("meanwhile", other_py="x\n")
    assert run.recorded is not None
    assert run.recorded.beside
    assert project.git("rev-parse", "HEAD") == mine
    assert project.git("rev-parse", "exp-1^") == project.git("rev-parse", "HEAD^")


def test_runs_in_work_trees_of_their_own_move_the_branches_of_these(project: Project) -> None:
    """Agents with a folder each: what goes on in the other's keeps no branch in its place."""
    other = project.root.parent / "other"
    project.git("worktree", "add", "-q", "-b", "other", str(other))
    runs = [start.begin(Repo.discover(top)) for top in (project.root, other, other)]
    for at in (2, 0, 1):
        runs[at].end()
    assert [run.recorded and run.recorded.beside for run in runs] == [None, *[WITH_OTHERS] * 2]
    assert project.git("rev-parse", "main") == project.git("rev-parse", "exp-2^{commit}")
    start.begin(Repo.discover(other)).end()  # alone there again
    assert project.git("rev-parse", "other") == project.git("rev-parse", "exp-4^{commit}")


def test_a_dead_run_that_is_recovered_meanwhile_keeps_no_branch_in_its_place(
    project: Project,
) -> None:
    script = "import gitexp, os; gitexp.start_run(); os._exit(1)"
    subprocess.run([sys.executable, "-c", script], check=False)
    run = start.begin(Repo.discover())
    project.gitexp("recover")
    run.end()
    assert run.recorded is not None
    assert run.recorded.advanced == "main"


@pytest.mark.parametrize("odd", ["2026", 1_700_000_000, 1.5])
def test_a_start_that_is_no_datetime_is_refused(project: Project, odd: Any) -> None:
    with pytest.raises(UsageError, match="started must be a datetime, not"):
        gitexp.log(metrics={"a": 1}, started=odd)


def test_a_branch_switch_meanwhile_moves_neither(project: Project) -> None:
    with gitexp.start_run() as run:
        project.git("checkout", "-q", "-b", "other")
    assert run.recorded is not None
    assert run.recorded.beside == "another branch was checked out since the start"
    assert project.git("rev-parse", "main") == project.git("rev-parse", "other")


def test_a_gc_meanwhile_takes_nothing(project: Project) -> None:
    project.write("new.py", "x = 1\n")
    with gitexp.start_run():
        (project.root / "new.py").unlink()
        project.git("gc", "-q", "--prune=now")
    assert project.git("show", "exp-1:new.py") == "x = 1"
    project.fsck()


def test_an_exception_is_recorded_and_goes_on(project: Project) -> None:
    with pytest.raises(ZeroDivisionError), gitexp.start_run() as run:
        run.log_metric("a", 1)
        _ = 1 / 0
    found = gitexp.get("exp-1")
    assert found.status == "failed"
    assert found.extra["error"] == "ZeroDivisionError: division by zero"
    with pytest.raises(KeyboardInterrupt), gitexp.start_run():
        raise KeyboardInterrupt
    assert gitexp.get("exp-2").status == "killed"
    error = ValueError("no such column")
    error.__notes__ = ["in file a.csv"]
    with pytest.raises(ValueError, match="column"), gitexp.start_run():
        raise error
    assert gitexp.get("exp-3").extra["error"] == "ValueError: no such column"


@pytest.mark.parametrize(
    ("ending", "status", "failure"),
    [
        ("sys.exit(3)", "failed", "exit code 3"),
        ("sys.exit('it diverged')", "failed", "exit code 1: it diverged"),
        ("sys.exit()", "finished", None),
        ("sys.exit(0)", "finished", None),
        ("sys.exit(main())", "failed", "exit code 5"),
        ("try: sys.exit(3)\nfinally: gitexp.log_metric('b', 2)", "failed", "exit code 3"),
        ("try: sys.exit(3)\nexcept SystemExit: pass", "finished", None),
        ("for _ in range(2): caught()", "finished", None),
        ("caught(); 1 / 0", "failed", "ZeroDivisionError: division by zero"),
        ("import threading; threading.Thread(target=sys.exit, args=[3]).start()", "finished", None),
    ],
)
@pytest.mark.parametrize(
    "begun", ["run = gitexp.start_run()", "with gitexp.start_run():"], ids=["open", "with"]
)
def test_how_python_exits_says_how_the_run_ended(
    project: Project, begun: str, ending: str, status: str, failure: str | None
) -> None:
    helpers = (
        "def main(): return 5\ndef caught():\n    try: sys.exit(3)\n    except SystemExit: pass\n"
    )
    last = ending if begun.startswith("run") else textwrap.indent(ending, "    ")
    project.write("script.py", f"import gitexp, sys\n{helpers}{begun}\n{last}\n")
    subprocess.run([sys.executable, "script.py"], cwd=project.root, capture_output=True)
    found = gitexp.get("exp-1")
    assert (found.status, found.failure) == (status, failure)


def test_hooks_of_the_interpreter_are_as_they_were_outside_of_a_run(project: Project) -> None:
    project.write(
        "script.py",
        "import sys\nbefore = sys.exit, sys.excepthook\nimport gitexp\ngitexp.Run\n"
        "assert (sys.exit, sys.excepthook) == before\n"
        "with gitexp.start_run(): assert sys.exit is not before[0]\n"
        "assert (sys.exit, sys.excepthook) == before\n"
        "run = gitexp.start_run()\nours = sys.excepthook\n"
        "def own(*error): print('own'); ours(*error)\nsys.excepthook = own\nrun.end()\n"
        "assert (sys.exit, sys.excepthook) == (before[0], own)\n"
        "gitexp.start_run()\n1 / 0\n",
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=project.root, capture_output=True, text=True
    )
    assert done.stdout == "own\n"
    assert done.stderr.count("ZeroDivisionError: division by zero") == 1
    assert gitexp.get("exp-3").failure == "ZeroDivisionError: division by zero"


def test_an_error_that_is_older_than_the_run_is_not_its_end(project: Project) -> None:
    text = (
        "import sys\nsys.last_value = ValueError('before')\nimport gitexp\n"
        "gitexp.log_metric('a', 1)\n"
    )
    script(project, text)
    script(project, f"{text}sys.last_value = ValueError('meanwhile')\n")
    found = [gitexp.get(name) for name in ("exp-1", "exp-2")]
    assert [item.failure for item in found] == [None, "ValueError: meanwhile"]


def test_start_and_end_without_with_and_the_module_level_functions(project: Project) -> None:
    gitexp.start_run(params={"a": 1})
    with pytest.raises(UsageError, match="end_run"):
        gitexp.start_run()
    gitexp.log_params({"b": 2})
    gitexp.log_param("c", 3)
    gitexp.log_metric("m", 0.5)
    gitexp.log_metrics({"n": 1.5})
    found = gitexp.end_run()
    assert found is not None
    assert dict(found.params) == {"a": 1, "b": 2, "c": 3}
    assert dict(found.metrics) == {"m": 0.5, "n": 1.5}
    assert gitexp.end_run() is None


def test_a_run_left_open_ends_with_the_script(project: Project) -> None:
    script(project, "import gitexp\ngitexp.log_metric('a', 1)\n")
    assert gitexp.get("exp-1").status == "finished"
    done = script(
        project,
        "import gitexp\ngitexp.log_metric('a', 1)\nraise ValueError('bad data')\n",
        check=False,
    )
    assert done.returncode == 1
    assert gitexp.get("exp-2").status == "failed"
    assert gitexp.get("exp-2").extra["error"] == "ValueError: bad data"
    assert "script.py" in (gitexp.get("exp-2").command or "")


def test_the_users_own_warnings_are_shown_also_when_the_scan_for_secrets_ran(
    project: Project,
) -> None:
    text = """
import gitexp, warnings
open("untracked.py", "w").write("x = 1")
with gitexp.start_run():
    warnings.warn("mine")
"""
    assert "UserWarning: mine" in script(project, text).stderr
    assert (project.root / ".git/gitexp/scanned.json").exists(), (
        "nothing was scanned, so nothing was tried"
    )


@pytest.mark.parametrize("value", [None, "0.5", [1], b"x", {}, 1j])
def test_a_value_that_is_no_number_names_the_metric(project: Project, value: Any) -> None:
    with gitexp.start_run() as run:
        with pytest.raises(UsageError, match="'loss'"):
            run.log_metric("loss", value)
        with pytest.raises(UsageError, match="'loss'"):
            run.log_metrics({"fine": 1, "loss": value})
        run.log_metric("fine", 2)
    assert dict(gitexp.get("exp-1").metrics) == {"fine": 2}


@pytest.mark.parametrize("values", [None, [("a", 1)], "a"])
def test_metrics_that_are_no_mapping_are_refused(project: Project, values: Any) -> None:
    with gitexp.start_run() as run:
        with pytest.raises(UsageError, match="metrics must be a mapping"):
            run.log_metrics(values)
        run.log_param(5, 5)  # type: ignore[arg-type]  # as log_params({5: 5})
    assert dict(gitexp.get("exp-1").params) == {"5": 5}


def test_what_is_logged_after_the_end_is_named_once_and_harms_nothing(project: Project) -> None:
    with gitexp.start_run() as run:
        run.log_metric("x", 1)
    own = [project.root / f"own-{at}" for at in range(9)]  # one gets the number of the rows' file
    with warnings.catch_warnings(record=True) as said, contextlib.ExitStack() as stack:
        for path in own:
            stack.enter_context(path.open("wb"))
        warnings.simplefilter("always")
        for _ in range(2):
            run.log_metric("late", 1)
            run.log_metrics({"late": 1})
            run.log_param("p", 1)
            run.set_label("late")
            run.set_note("late")
            run.log_text("text", "late.txt")
            run.log_table({"a": [1]}, "late")
        run.end()
    expected = (
        "gitexp: run exp-1 has ended; what is logged into it now is lost; start another with"
        " gitexp.start_run()"
    )
    assert [str(item.message) for item in said] == [expected]
    assert said[0].filename == __file__
    assert not any(path.read_bytes() for path in own)
    assert not run.folder.exists()
    silent = Run(None, None, {})
    silent.end()
    silent.log_metric("x", 1)


def test_odd_values_and_steps(project: Project) -> None:
    import numpy as np

    value: Any = np.float32(0.5)
    step: Any = np.int64(3)
    with gitexp.start_run() as run:
        run.log_metric("nan", math.nan)
        run.log_metric("np", value, step=step)
        run.log_metric("back", 1, step=5)
        run.log_metric("back", 2, step=2)
        run.log_metric("back", 3)
        with pytest.raises(UsageError, match="step of metric"):
            run.log_metric("x", 1, step="a")  # type: ignore[arg-type]
        for name in ("", "a\nb", 3):
            with pytest.raises(UsageError, match="name"):
                run.log_metric(name, 1)  # type: ignore[arg-type]
    found = gitexp.get("exp-1")
    assert math.isnan(found.metrics["nan"])
    assert found.metrics["np"] == 0.5
    assert found.metrics["back"] == 1


def test_figures_and_large_artifacts(project: Project) -> None:
    class Figure:
        def savefig(self, file: Any, format: str) -> None:
            file.write(f"a {format}".encode())

    with gitexp.start_run() as run:
        run.log_figure(Figure(), "roc.png")
        project.write("huge.bin", b"x" * 10_000_001)
        with pytest.raises(UsageError, match="over the limit"):
            run.log_artifact("huge.bin")
        with pytest.raises(UsageError, match="there is no file"):
            run.log_artifact("none")
        with pytest.raises(UsageError, match="cannot be an artifact's name"):
            run.log_text("x", "../../outside")
    assert gitexp.get("exp-1").read(".gitexp/artifacts/roc.png") == b"a png"


# -- processes -------------------------------------------------------------------------------------


def _log_in_child(run: Run, at: int) -> None:
    run.log_metric(f"child-{at}", at)
    run.end()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_log_into_the_run_and_only_the_owner_ends_it(
    project: Project, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    monkeypatch.setenv("PYTHONPATH", HERE)
    context: Any = multiprocessing.get_context(method)
    with gitexp.start_run() as run:
        run.log_metric("own", 1)
        workers = [context.Process(target=_log_in_child, args=(run, at)) for at in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0, 0, 0]
        run.log_metric("own", 2)
    assert project.tags() == ["exp-1"]
    assert dict(gitexp.get("exp-1").metrics) == {"own": 2, "child-0": 0, "child-1": 1, "child-2": 2}


def test_a_param_and_one_below_its_name_are_both_kept(project: Project) -> None:
    for first, second in ((("m", "resnet"), ("m.depth", 3)), (("m.depth", 3), ("m", "resnet"))):
        with gitexp.start_run() as run:
            run.log_param(*first)
            other = pickle.loads(pickle.dumps(run))
            other.log_param(*second)
            other.end()
            run.log_param("m.width", 8)
        found = gitexp.get("@")
        assert dict(found.params) == {"m": "resnet", "m.depth": 3, "m.width": 8}
    with gitexp.start_run(resume="exp-2"):
        pass
    assert gitexp.get("exp-3").params == found.params


def test_a_pickled_run_joins(project: Project) -> None:
    with gitexp.start_run() as run:
        other = pickle.loads(pickle.dumps(run))
        other.log_metric("x", 1)
        other.log_param("from", "copy")
        assert other.end() is None
    assert dict(gitexp.get("exp-1").metrics) == {"x": 1}
    assert dict(gitexp.get("exp-1").params) == {"from": "copy"}


@pytest.mark.slow
def test_32_processes_with_several_runs_each_beside_a_user_at_work(project: Project) -> None:
    """All recorded, names distinct, and neither index, work tree nor the user's own git calls
    suffer."""
    text = (
        "import gitexp, sys\nfor at in range(3):\n    with gitexp.start_run(params={'p': int(sys.argv[1]), 'at': at}) as run:\n"
        "        for step in range(5): run.log_metric('a', step)\n"
    )
    project.write("many.py", text)
    project.commit()
    env = {**os.environ, "PYTHONPATH": HERE}
    running = [
        subprocess.Popen(
            [sys.executable, "many.py", str(at)], cwd=project.root, env=env, stderr=subprocess.PIPE
        )
        for at in range(32)
    ]
    own = 0
    while any(process.poll() is None for process in running):
        project.write("mine.txt", str(own))
        project.git("add", "mine.txt")
        project.git("commit", "-q", "-m", f"mine {own}")
        own += 1
    problems = b"".join(process.communicate()[1] for process in running)
    assert problems == b""
    found = gitexp.experiments()
    assert len(found) == 96
    assert len({(row["params.p"], row["params.at"]) for _, row in found.iterrows()}) == 96
    assert project.git("log", "--format=%s", "main").count("mine") == own
    assert project.git("status", "--porcelain") == ""
    assert journal.folders(Repo.discover()) == []
    project.fsck()


# -- death -----------------------------------------------------------------------------------------


def test_a_killed_run_is_seen_and_recovered_with_every_row(project: Project) -> None:
    text = "import gitexp, os, signal\nrun = gitexp.start_run(params={'lr': 1})\nfor at in range(100): run.log_metric('a', at)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    script(project, text, check=False)
    repo = Repo.discover()
    assert len(dead_runs(repo)) == 1
    assert "dead" in project.gitexp("status")
    with open(dead_runs(repo)[0] / "metrics.csv", "a") as file:
        file.write('"torn",1')
    done = project.run("recover")
    assert done.stdout.startswith("exp-1 ")
    assert "torn" in done.stderr
    found = gitexp.get("exp-1")
    assert found.status == "killed"
    assert len(found.history()) == 100
    assert dict(found.params) == {"lr": 1}
    assert project.gitexp("recover") == "there is no dead run\n"
    assert "pending" not in project.git("for-each-ref")


def test_recovery_after_the_recording_itself_records_nothing_twice(project: Project) -> None:
    run = gitexp.start_run()
    saved = {file.name: file.read_bytes() for file in run.folder.iterdir() if file.is_file()}
    folder = run.folder
    gitexp.end_run()
    folder.mkdir()
    for name, data in saved.items():
        (folder / name).write_bytes(data)
    assert project.run("recover").returncode == 0
    assert project.tags() == ["exp-1"]
    assert not folder.exists()


def test_a_live_run_is_shown_and_watched(project: Project) -> None:
    with gitexp.start_run() as run:
        for at in range(50):
            run.log_metric("loss", 1 / (at + 1))
        shown = project.gitexp("status")
        assert run.id in shown
        assert "loss" in shown
        assert "█" in shown
        assert json.loads(project.gitexp("status", "--json"))["live"][0]["metrics"] == {
            "loss": 0.02
        }
        assert live_runs(Repo.discover()) == [run.folder]
        watcher = subprocess.Popen(
            [sys.executable, "-m", "gitexp", "watch", "--every", "0.1"],
            env={**os.environ, "PYTHONPATH": HERE},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watcher.stdout is not None
        assert run.id in watcher.stdout.readline()  # so it watches, and the run may end
        assert "loss" in watcher.stdout.readline()
    output, _ = watcher.communicate(timeout=300)
    assert output.endswith("the run ended; gitexp show @\n")


def test_a_full_disk_warns_once_and_the_training_goes_on(project: Project) -> None:
    run = gitexp.start_run()
    good = run._journal._fd  # type: ignore[union-attr]
    full = os.open("/dev/full", os.O_WRONLY) if os.path.exists("/dev/full") else None
    if full is None:
        pytest.skip("no /dev/full here")
    run.log_metric("a", 1)
    run._journal._fd = full  # type: ignore[union-attr]
    with pytest.warns(RuntimeWarning, match="metrics could not be written: No space left") as said:
        for at in range(250):
            run.log_metric("a", at)
    assert len(said) == 1
    run._journal._fd = good  # type: ignore[union-attr]
    found = run.end()
    os.close(full)
    assert found is not None
    assert len(found.history()) == 251


def test_a_name_that_was_given_meanwhile_keeps_no_run_from_being_recorded(project: Project) -> None:
    """Nor recover, which could never give it another."""
    kept, dead = (start.begin(Repo.discover(), Details(name="best")) for _ in range(2))
    project.git("tag", "best")
    kept.end()
    assert kept.recorded is not None
    assert "gitexp rename exp-1 NAME" in kept.recorded.warnings[-1]
    dead._journal.release()  # type: ignore[union-attr]
    assert project.gitexp("recover").startswith("exp-2 ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize(
    "to", ["| true", ">/dev/full", "2>/dev/full", ">&-", "2>&-", "<&- >&- 2>&-"]
)
def test_where_nobody_takes_what_is_printed_the_run_is_as_it_was(project: Project, to: str) -> None:
    project.commit(train_py="import sys\nprint('loss=1\\n' * 9999)\nsys.exit(7)\n")
    run = f"{shlex.quote(sys.executable)} -m gitexp run -- {shlex.quote(sys.executable)} train.py"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{run} {to}"],
        env={**os.environ, "PYTHONPATH": HERE},
        capture_output=True,
    )
    assert done.returncode == 7, done.stderr
    assert b"internal error" not in done.stderr
    found = gitexp.get("exp-1")
    assert (found.status, dict(found.metrics)) == ("failed", {"loss": 1})


def test_a_repository_that_cannot_be_written_at_the_end_leaves_the_run_for_recover(
    project: Project,
) -> None:
    objects = project.root / ".git" / "objects"
    with pytest.warns(RuntimeWarning, match="gitexp recover"), gitexp.start_run() as run:
        run.log_metric("a", 1)
        objects.rename(project.root / ".git" / "gone")
    (project.root / ".git" / "gone").rename(objects)
    assert run.experiment is None
    assert project.gitexp("recover").startswith("exp-1 ")
    assert gitexp.get("exp-1").status == "finished"
    assert dict(gitexp.get("exp-1").metrics) == {"a": 1}


def test_a_command_that_records_itself_is_an_experiment_inside_of_another(project: Project) -> None:
    """As where a Makefile calls ``gitexp run``: neither takes the other for a stranger."""
    project.commit(train_py="open('metrics.json', 'w').write('{\"loss\": 1}')\n")
    run = [sys.executable, "-m", "gitexp", "run", "--"]
    project.gitexp("run", "--", *run, sys.executable, "train.py")
    inner, outer = (gitexp.get(f"exp-{at}") for at in (1, 2))
    assert dict(inner.metrics) == dict(outer.metrics) == {"loss": 1}
    assert project.git("rev-parse", "main") == inner.id


def test_commands_that_run_in_one_folder_take_none_of_each_others_files(project: Project) -> None:
    """Nobody knows whose a file is that one of them wrote, but for those that a command names."""
    project.write(
        "train.py",
        """import pathlib, sys, time
name, value, own = sys.argv[1:]
pathlib.Path(f'{name}.begun').touch()
while len(list(pathlib.Path().glob('*.begun'))) < 2:
    time.sleep(0.05)
row = f'Name,Value,Timestamp,Step\\nloss,{value},1,1\\n'
pathlib.Path('metrics.csv').write_text(row)
pathlib.Path(f'shared-{name}-metrics.csv').write_text(row.replace('loss', name))
pathlib.Path(own).write_text(row)
""",
    )
    project.write(".gitignore", "*.begun\n")
    project.commit()
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-m", "gitexp", "run", "--name"]
    both = [
        subprocess.Popen(
            [*words, name, "--", sys.executable, "train.py", name, value, f"{name}-metrics.csv"],
            cwd=project.root, env=env, stderr=subprocess.PIPE, text=True,
        )
        for name, value in (("one", "1"), ("two", "2"))
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[1] for process in both]
    assert {name: dict(gitexp.get(name).metrics) for name in ("one", "two")} == {
        "one": {"loss": 1},
        "two": {"loss": 2},
    }
    assert all("other commands ran in this folder meanwhile" in text for text in said)
    assert "shared-" not in project.git("ls-tree", "-r", "--name-only", "one")
    project.gitexp("run", "--", sys.executable, "-c", "print('loss: 3')")  # alone again
    assert "shared-" not in project.git("ls-tree", "-r", "--name-only", "exp-1")


def test_what_commands_wrote_that_end_at_once_is_known_of_each(project: Project) -> None:
    names = [f"out-{at}.csv" for at in range(40)]
    for name in names:
        project.write(name, "x")
    repo = Repo.discover(project.root)
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda name: snapshot.remember_outputs(repo, [name]), names):
            """Each has ended."""
    assert sorted(snapshot.left_outputs(repo)) == sorted(names)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are seen in /proc")
def test_a_command_that_cannot_be_started_leaves_no_file_open(project: Project) -> None:
    repo = Repo.discover(project.root)
    run = start.unrecorded(repo, project.root.parent / "unrecorded")
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(UsageError, match="could not be started"):
            command.execute(run, repo, ["./no-such-program"])
    assert len(os.listdir("/proc/self/fd")) == len(before)
    run.discard()
