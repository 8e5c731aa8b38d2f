"""Sweeps: every trial is recorded once, from one snapshot, whatever becomes of it, and a sweep can
be gone on with."""

from __future__ import annotations

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gitexp
from conftest import Project
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo
from gitexp.runs import journal, process_group
from gitexp.store.index import Index
from gitexp.sweeps import plan as plans
from gitexp.sweeps import search, space, summary, worker
from gitexp.sweeps.space import Choices, Interval

pytest.importorskip("loky" if find_spec("loky") else "joblib")
HERE = str(Path(__file__).parents[2])
TRAIN = """
import json, os, sys, time
point = json.loads(os.environ["GITEXP_PARAMS"])
print("training with", sys.argv[1:])
{body}
with open("metrics.csv", "w") as file:
    file.write("Name,Value,Timestamp,Step\\n")
    file.write(f"rmse,{{(point['lr'] - 0.3) ** 2}},1,0\\n")
"""


def train(project: Project, body: str = "") -> None:
    """Commit a training script whose best lr is 0.3; ``body`` runs in the middle of it."""
    project.commit(train_py=TRAIN.format(body=body))


def sweep(
    project: Project, *args: str, code: int = 0, python: str = "python", **options: Any
) -> str:
    """Run a sweep of the script."""
    return project.gitexp("sweep", *args, "--", python, "train.py", code=code, **options)


def found(project: Project) -> list[Experiment]:
    """Return the experiments, oldest trial first."""
    return sorted(
        Index(Repo.discover(project.root)).select(),
        key=lambda item: (item.extra["sweep"]["index"], item.started),
    )


def started(project: Project, *args: str) -> subprocess.Popen[bytes]:
    """Start a sweep in a process group of its own, as a shell would."""
    return subprocess.Popen(
        [sys.executable, "-m", "gitexp", "sweep", *args, "--", "python", "train.py"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": HERE},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def wait_for(what: Any, seconds: float = 300) -> None:
    """Wait until ``what()`` holds; so long that only what would never come true fails, on whichever
    machine."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def press(process: subprocess.Popen[bytes], times: int) -> None:
    """Press Ctrl-C, each time after the sweep has said that it knows of the time before: signals
    that wait together become one."""
    for said in (b"Ctrl-C again stops them", b"stopping the running trials")[:times]:
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        line = b"..."
        while line and said not in line:
            line = process.stderr.readline()
        assert line, "it ended before"


def is_running(pid: int) -> bool:
    """Whether a process runs (one that nobody has reaped yet does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# -- the space -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("x=0.1,1e-3", Choices((0.1, 0.001))),
        ("x=adam", Choices(("adam",))),
        ("x=[1, 2],[3]", Choices(([1, 2], [3]))),
        ("x='a,b',c", Choices(("a,b", "c"))),
        ("x=true,null", Choices((True, None))),
        ("x=Adam(lr, 1),b", Choices(("Adam(lr, 1)", "b"))),
        ("x=range(2,8,2)", Choices(range(2, 8, 2))),
        ("x=range(3)", Choices(range(3))),
        ("x=log(1e-5, 1e-2)", Interval(1e-5, 1e-2, log=True)),
        ("x=uniform(0,1,5)", Interval(0.0, 1.0, points=5)),
    ],
)
def test_values_are_read_as_people_write_them_and_written_back(text: str, form: Any) -> None:
    read = space.parse([text])
    assert read == {"x": form}
    assert space.from_mapping(json.loads(json.dumps(space.written(read)))) == read


@pytest.mark.parametrize(
    "given",
    [
        [0.25, 0.5], (0.25, 0.5), {0.5, 0.25}, {0.25: "a", 0.5: "b"}.keys(), (at / 4 for at in (1, 2)),
        np.array([0.25, 0.5]), pd.Series([0.25, 0.5]), np.array([0.25, 0.5], dtype="float32"),
    ],
)  # fmt: skip
def test_whatever_holds_several_values_is_a_list_of_them(given: Any) -> None:
    assert space.from_mapping({"lr": given}) == {"lr": Choices((0.25, 0.5))}
    assert space.from_mapping({"lr": np.float64(0.5)}) == {"lr": Choices((0.5,))}


@pytest.mark.parametrize(
    ("texts", "error"),
    [
        ([], "nothing to search"),
        (["x"], "is not name=values"),
        (["x=1,,2"], "an empty value"),
        (["x=1", "x=2"], "given twice"),
        (["x=1,1"], "the same value twice"),
        (["x=rnge(1,2)"], "Did you mean 'range'?"),
        (["x=range(1.5)"], "whole numbers"),
        (["x=range(4,4)"], "is empty"),
        (["x=log(0,1)"], "must start above 0"),
        (["x=log(2,1)"], "from a smaller to a larger"),
        (["x=uniform(0,1,1)"], "a whole number from 2"),
        (["x=log(a,b)"], "takes 2 to 3 numbers"),
        (["a=1", "a.b=2"], "is a value already"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_with_the_reason(
    texts: list[str], error: str
) -> None:
    with pytest.raises(UsageError) as caught:
        space.parse(texts)
    assert error in str(caught.value)


def test_a_grid_is_every_combination_and_needs_a_number_of_points() -> None:
    assert list(space.grid(space.parse(["a=1,2", "b=log(1,100,3)"]))) == [
        {"a": a, "b": b} for a in (1, 2) for b in (1.0, 10.0, 100.0)
    ]
    with pytest.raises(UsageError, match="needs a number of points for 'b'"):
        space.grid(space.parse(["b=log(1,100)"]))
    with pytest.raises(UsageError, match="1,000,000 points"):
        space.grid(space.parse(["a=range(1000)", "b=range(1000)"]))


def test_a_range_may_be_as_long_as_it_likes() -> None:
    long = space.parse(["a=range(1000000000000)"])
    assert len({point["a"] for point in space.at_random(long, 50, seed=1)}) == 50
    with pytest.raises(UsageError, match="the grid has 1,000,000,000,000 points"):
        space.grid(long)


def test_random_points_are_the_same_for_the_same_seed_differ_and_end_where_a_space_is_used_up() -> (
    None
):
    mixed = space.parse(["a=log(1e-4,1)", "b=x,y"])
    points = list(space.at_random(mixed, 50, seed=1))
    assert (
        points
        == list(space.at_random(mixed, 50, seed=1))
        != list(space.at_random(mixed, 50, seed=2))
    )
    assert len({repr(point) for point in points}) == 50
    assert all(1e-4 <= point["a"] <= 1 for point in points)
    assert len(list(space.at_random(space.parse(["a=1,2", "b=range(3)"]), 50, seed=0))) == 6


def test_values_fill_placeholders_and_the_rest_is_appended() -> None:
    asked = plans.Plan(
        ("run", "--rate={lr}", "{}", "{other}"),
        space.parse(["lr=0.1", "model.depth=2", "flag=true"]),
    )
    point = {"lr": 0.1, "model.depth": 2, "flag": True}
    assert plans.fill(asked, point, 0) == (
        "run",
        "--rate=0.1",
        "{}",
        "{other}",
        "--model.depth",
        "2",
        "--flag",
        "true",
    )


# -- a sweep on this machine -----------------------------------------------------------------------


def test_each_trial_is_recorded_once_with_its_own_params_and_metrics_and_nothing_of_the_users_moves(
    project: Project,
) -> None:
    train(project)
    project.write("train.py", TRAIN.format(body="# edited"))
    project.write("staged.py", "1\n")
    project.git("add", "staged.py")
    before = [
        project.git("rev-parse", "HEAD"),
        project.git("status", "--porcelain"),
        (project.root / ".git/index").read_bytes(),
    ]
    table = sweep(
        project,
        "-j",
        "2",
        "-p",
        "lr=0.1,0.2,0.3",
        "-p",
        "depth=range(1,5)",
        "--group",
        "g",
        "--minimize",
        "rmse",
        "--json",
    )
    assert [
        project.git("rev-parse", "HEAD"),
        project.git("status", "--porcelain"),
        (project.root / ".git/index").read_bytes(),
    ] == before
    experiments = found(project)
    assert [dict(item.params) for item in experiments] == [
        {"lr": lr, "depth": depth} for lr in (0.1, 0.2, 0.3) for depth in range(1, 5)
    ]
    assert all(
        item.metrics == {"rmse": pytest.approx((item.params["lr"] - 0.3) ** 2)}
        for item in experiments
    )
    assert {(item.group, item.status, item.parent) for item in experiments} == {
        ("g", "finished", before[0])
    }
    assert len({item.name for item in experiments}) == 12
    last = experiments[-1]
    assert b"# edited" in last.read("train.py")
    assert last.read("staged.py") == b"1\n"
    assert last.command == "python train.py --lr 0.3 --depth 4"
    assert b"training with ['--lr', '0.3', '--depth', '4']" in last.read(".gitexp/output.log")
    assert b"# Python" in last.read(".gitexp/requirements.txt")
    assert last.read("metrics.csv").startswith(b'Name,Value,Timestamp,Step\n"rmse",')
    rows = json.loads(table)
    assert len(rows) == 12
    assert rows[0]["lr"] == 0.3
    assert project.git("worktree", "list").count("\n") == 0
    assert [
        item.relative_to(project.root).as_posix()
        for item in (project.root / ".git/gitexp/sweeps").rglob("*")
    ] == [
        ".git/gitexp/sweeps/ended"  # where folders go on their way out
    ]
    project.fsck()


def test_short_trials_are_recorded_together_a_few_times_in_a_second(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.commit()
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    values = ",".join(map(str, range(24)))
    project.gitexp("sweep", "-j", "4", "-p", f"lr={values}", "--no-append", "--", "true")
    assert len(found(project)) == 24
    transactions = re.findall("built-in.*gitexp: record", (tmp_path / "trace").read_text())
    assert 0 < len(transactions) < 20


def test_edits_made_meanwhile_reach_no_trial(project: Project) -> None:
    victim = str(project.root / "train.py")
    train(project, f"open({victim!r}, 'w').write('raise SystemExit(1)')")
    sweep(project, "-p", "lr=0.1,0.2,0.3")
    assert [item.status for item in found(project)] == ["finished"] * 3
    assert len({item.parent for item in found(project)}) == 1


def test_a_trial_leaves_nothing_behind_for_the_next(project: Project) -> None:
    project.write(".gitignore", "cache\n")
    train(
        project,
        "assert not os.path.exists('cache'), 'left over'\nopen('cache', 'w').close()\nopen('README.md', 'w').close()",
    )
    sweep(project, "-p", "lr=0.1,0.2,0.3")
    assert [item.status for item in found(project)] == ["finished"] * 3
    assert all(item.read("README.md") == b"# a project\n" for item in found(project))


def test_live_logging_and_artifacts_in_a_trial_join_its_run(project: Project) -> None:
    project.commit(
        train_py="import sys, gitexp\nfor at in range(3): gitexp.log_metric('loss', at)\nopen('m.bin', 'w').write(sys.argv[2])\ngitexp.log_artifact('m.bin')\ngitexp.start_run().set_label('deep')\n"
    )
    sweep(project, "-p", "lr=1,2", "--minimize", "loss")
    assert [item.read("m.bin") for item in found(project)] == [b"1", b"2"]
    assert all(len(item.history()) == 3 and item.labels == ("deep",) for item in found(project))


def test_metrics_that_a_trial_writes_or_prints_are_read_as_those_of_a_run_are(
    project: Project,
) -> None:
    project.commit(
        train_py="import json, sys\nlr = float(sys.argv[2])\nif lr < 1:\n"
        "    json.dump({'rmse': lr * 2}, open('metrics.json', 'w'))\n"
        "else:\n    print('epoch 3 loss=0.5')\n",
        results_json='{"old": 1}',
    )
    sweep(project, "-p", "lr=0.1,2")
    one, two = found(project)
    assert (one.metrics, two.metrics) == ({"rmse": 0.2}, {"loss": 0.5})
    assert [point.step for point in two.points()] == [3]


def test_a_trial_has_the_params_that_a_run_has_defaults_and_config_files_included(
    project: Project,
) -> None:
    project.write("c.yaml", "depth: 4\n")
    project.commit(
        train_py="import argparse; p = argparse.ArgumentParser(); p.add_argument('--lr', type=float)\n"
        "p.add_argument('--seed', default=3); p.add_argument('--cfg'); print('loss:', p.parse_args().lr)"
    )
    command = ("--", sys.executable, "train.py", "--cfg", "c.yaml")
    project.gitexp("sweep", "-p", "lr=1e-1,2", *command)
    assert [dict(item.params) for item in found(project)] == [
        {"lr": lr, "seed": 3, "cfg": "c.yaml", "depth": 4} for lr in (0.1, 2)
    ]
    project.write(".gitexp.toml", "parser_params = false\n")
    project.gitexp("sweep", "-p", "lr=3", *command)
    last = [dict(item.params) for item in found(project) if item.params["lr"] == 3]
    assert last == [{"lr": 3, "cfg": "c.yaml", "depth": 4}]


def test_it_runs_where_it_was_started_and_links_data_that_git_ignores(project: Project) -> None:
    project.write(".gitignore", "data\n")
    project.write("data/x.txt", "42")
    project.write("sub/train.py", "assert open('../data/x.txt').read() == '42'\n")
    project.commit()
    sweep(project, "-p", "lr=1", "--link", "../data", cwd=project.root / "sub")
    assert [item.status for item in found(project)] == ["finished"]
    assert (project.root / "data/x.txt").read_text() == "42"


def test_what_fails_is_recorded_with_its_output_and_the_sweep_goes_on(project: Project) -> None:
    train(project, "if point['lr'] == 0.2: sys.exit('diverged')")
    done = project.run("sweep", "-p", "lr=0.1,0.2,0.3", "--group", "g", "--", "python", "train.py")
    assert done.returncode == 0
    assert "1 failed" in done.stderr
    assert [item.status for item in found(project)] == ["finished", "failed", "finished"]
    assert b"diverged" in found(project)[1].read(".gitexp/output.log")
    assert found(project)[1].extra["error"] == "exit code 1: diverged"
    train(project, "raise RuntimeError('diverged')")
    sweep(project, "-p", "lr=0.2", code=1)
    assert gitexp.get("@").extra["error"] == "exit code 1: RuntimeError: diverged"


def test_a_trial_past_its_time_is_killed_with_all_that_it_started(project: Project) -> None:
    child = project.root.parent / "child"
    project.commit(
        train_sh=f'[ "$2" = 0.1 ] || exit 0\necho hanging\nsleep 600 &\necho $! > {child}\nwait\n'
    )
    project.gitexp("sweep", "-p", "lr=0.1,0.2", "--timeout", "5s", "--", "sh", "train.sh")
    hung, fine = found(project)
    assert (hung.status, hung.extra["error"]) == ("killed", "timed out after 5 s")
    assert b"hanging" in hung.read(".gitexp/output.log")
    assert fine.status == "finished"
    wait_for(lambda: not is_running(int(child.read_text())))


def test_a_worker_that_dies_takes_its_trial_with_it_and_no_other(project: Project) -> None:
    pid = project.root.parent / "pid"
    train(
        project,
        f"""
import signal
if point['lr'] == 0.2:
    open({str(pid)!r}, 'w').write(str(os.getpid()))
    open('metrics.csv', 'w').write('Name,Value,Timestamp,Step\\nloss,7,1,1\\n')
    print('killing the worker', flush=True)
    time.sleep(1)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
time.sleep(0.3)
""",
    )
    sweep(project, "-j", "2", "-p", "lr=0.1,0.2,0.3,0.4")
    assert [item.status for item in found(project)] == [
        "finished",
        "killed",
        "finished",
        "finished",
    ]
    dead = found(project)[1]
    assert dead.extra["error"] == "the worker died"
    assert dict(dead.params) == {"lr": 0.2}
    assert b"killing the worker" in dead.read(".gitexp/output.log")
    assert dict(dead.metrics) == {"loss": 7}, "what the command wrote went with its worker"
    assert 1 <= (dead.duration or 0) < 60
    wait_for(lambda: not is_running(int(pid.read_text())))
    project.fsck()


def test_trials_whose_workers_died_failed(project: Project) -> None:
    project.commit(train_py="import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n")
    done = project.run("sweep", "-p", "lr=0.1,0.2", "--", "python", "train.py")
    assert done.returncode == 1
    assert "2 failed; to see why: gitexp show exp-2" in done.stderr


def test_where_there_is_no_loky_that_of_joblib_is_taken(project: Project) -> None:
    pytest.importorskip("joblib.externals.loky")
    train(project)
    hide = project.root.parent / "hide"
    hide.mkdir()
    (hide / "sitecustomize.py").write_text("import sys\nsys.modules['loky'] = None\n")
    path = f"{hide}{os.pathsep}{HERE}"
    done = subprocess.run(
        [sys.executable, "-m", "gitexp", "sweep", "-p", "lr=0.1", "--", "python", "train.py"], cwd=project.root,
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [item.status for item in found(project)] == ["finished"]


def test_a_failed_trial_is_tried_again_where_asked(project: Project) -> None:
    mark = project.root.parent / "mark"
    train(project, f"if not os.path.exists({str(mark)!r}): open({str(mark)!r}, 'w'); sys.exit(1)")
    sweep(project, "-p", "lr=0.1,0.2", "--retries", "2")
    assert [
        (item.params["lr"], item.status, item.extra["sweep"].get("attempt"))
        for item in found(project)
    ] == [
        (0.1, "failed", None),
        (0.1, "finished", 1),
        (0.2, "finished", None),
    ]


def test_seeds_are_repeated_and_shown_as_mean_and_deviation(project: Project) -> None:
    project.commit(
        train_py="import sys\nopen('metrics.csv', 'w').write(f'Name,Value\\nrmse,{sys.argv[1]}{sys.argv[2]}.0\\n')\n"
    )
    args = [
        "sweep",
        "--group",
        "g",
        "-p",
        "lr=1,2",
        "--repeat",
        "3",
        "--seed",
        "4",
        "--minimize",
        "rmse",
        "--",
        "python",
        "train.py",
        "{lr}",
        "{seed}",
    ]
    assert project.gitexp(*args).splitlines()[1].split() == [
        "exp-1",
        "+2",
        "15",
        "±",
        "1",
        "1",
        "finished",
    ]
    assert [item.params["seed"] for item in found(project)] == [4, 5, 6] * 2


def test_a_file_says_it_all_and_the_command_line_wins(project: Project) -> None:
    train(project)
    project.write(
        "sweep.yml",
        "command: python train.py --rate {lr}\nparams:\n  lr: [0.1, 0.3]\n  wd: log(1e-3, 1e-1, 2)\nminimize: rmse\njobs: 2\ngroup: from-file\n",
    )
    project.gitexp("sweep", "-p", "wd=5", "sweep.yml")
    assert [dict(item.params) for item in found(project)] == [
        {"lr": 0.1, "rate": 0.1, "wd": 5},
        {"lr": 0.3, "rate": 0.3, "wd": 5},
    ]
    assert found(project)[0].command == "python train.py --rate 0.1 --wd 5"
    assert found(project)[0].group == "from-file"


def test_options_may_follow_a_file(project: Project) -> None:
    train(project)
    project.write("sweep.yml", "command: python train.py\nparams: {lr: [0.1, 0.3]}\n")
    for call in (
        ("-p", "lr=1", "sweep.yml", "--dry-run"),
        ("sweep.yml", "--dry-run", "-p", "lr=1"),
    ):
        assert project.gitexp("sweep", *call) == "python train.py --lr 1\n"
    shown = project.gitexp("sweep", "--dry-run", "sweep.yml", "--append", "--seed", "3")
    assert shown.splitlines() == ["python train.py --lr 0.1", "python train.py --lr 0.3"]
    assert project.error("sweep", "nope.yml", "--csv").startswith("there is no file nope.yml")
    assert "leave out: x.py -a" in project.error("sweep", "sweep.yml", "--", "x.py", "-a")
    assert "No such option" in project.error("sweep", "sweep.yml", "--nonsense")
    # a program's own
    project.write("tool.yml", "#!/bin/sh\n")
    (project.root / "tool.yml").chmod(0o755)
    dry = project.gitexp("sweep", "--dry-run", "-p", "x=1", "--", "./tool.yml", "--dry-run")
    assert dry == "./tool.yml --dry-run --x 1\n"


def test_a_misspelt_setting_of_a_file_is_named(project: Project) -> None:
    train(project)
    project.write("odd.yml", "comand: python train.py\n")
    assert (
        project.error("sweep", "odd.yml")
        == "odd.yml: there is no setting 'comand'. Did you mean 'command'?"
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('repeat: "3"', "'repeat' must be a whole number from 1, not '3'"),
        ("repeat: true", "'repeat' must be a whole number from 1, not true"),
        ("jobs: two", "'jobs' must be a whole number from 1, not 'two'"),
        ("jobs: 0", "'jobs' must be a whole number from 1, not 0"),
        ("trials: 2.5", "'trials' must be a whole number from 1, not 2.5"),
        ("retries: -1", "'retries' must be a whole number from 0, not -1"),
        ("prune: 1", "'prune' must be true or false, not 1"),
        ("timeout: [1]", "'timeout' must be a time like 90s, 10m or 2h, not [1]"),
        ("minimize: 3", "'minimize' must be text, not 3"),
        ("search: bayes", "'search' must be one of grid, random, tpe, cmaes, not 'bayes'"),
        ("search: [grid]", "'search' must be one of grid, random, tpe, cmaes, not ['grid']"),
        (
            "params: lr",
            "'params' must be a mapping of names to values, like lr: [0.1, 0.01], not 'lr'",
        ),
        (
            "params:",
            "'params' must be a mapping of names to values, like lr: [0.1, 0.01], not nothing",
        ),
        ("command: 5", "'command' must be a line of text, or a list of words, not 5"),
        ("command: [[a]]", "'command' must be a line of text, or a list of words, not [['a']]"),
        (
            "command: python '",
            "'command' has a quote that is never closed; it may be a list of words, too",
        ),
        ("params: {lr: rnge(1)}", "param 'lr': there is no rnge(...). Did you mean 'range'?"),
        (
            "engine: locky",
            "there is no engine 'locky'. Did you mean 'loky'? There are loky, dask, ray, slurm",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_in_a_file_is_named_in_one_line(
    project: Project, text: str, error: str
) -> None:
    """A file is no command line, whose values are checked as they are read."""
    rest = {"command": "python train.py", "params": "{lr: 1}"}
    rest.pop(text.partition(":")[0], None)
    project.write(
        "sweep.yml", "\n".join([text, *(f"{name}: {value}" for name, value in rest.items())])
    )
    assert project.error("sweep", "sweep.yml") in (f"sweep.yml: {error}", error)
    assert not project.git("for-each-ref", "refs/gitexp", "refs/tags")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["-p", "lr=1"], "say what to run"),
        (["--", "python"], "nothing to search"),
        (["-p", "lr=1", "--", "pythom"], "there is no such program"),
        (["-p", "lr=1", "--", "python", "{lrr}"], "Did you mean 'lr'?"),
        (["-p", "lr=1,2", "--search", "random", "--", "python"], "needs a number of points"),
        (["-p", "lr=1,2", "--trials", "3", "--", "python"], "a grid runs every point"),
        (["-p", "lr=1,2", "--search", "tpe", "-n", "3", "--", "python"], "needs a metric to go by"),
        (["-p", "lr=1", "--minimize", "a", "--maximize", "b", "--", "python"], "not both"),
        (["-p", "lr=1", "--timeout", "soon", "--", "python"], "'soon' is not a time"),
        (["-p", "lr=1", "--group", "a/b", "--", "python"], "cannot be a group's name"),
        (["-p", "lr=1", "--group", "ended", "--", "python"], "cannot be a group's name"),
        (["-p", "lr=1", "--link", "nowhere", "--", "python"], "no such file"),
        (["-p", "lr=1", "--again", "--", "python"], "goes with --resume"),
    ],
)
def test_what_cannot_be_swept_is_said_at_once_and_nothing_is_frozen(
    project: Project, args: list[str], error: str
) -> None:
    assert error in project.error("sweep", *args)
    assert not project.git("for-each-ref", "refs/gitexp", "refs/tags")


# -- going on --------------------------------------------------------------------------------------


def test_resume_runs_what_is_missing_from_the_old_snapshot_and_failed_ones_when_asked(
    project: Project,
) -> None:
    mark = project.root.parent / "mark"
    train(project, f"if point['lr'] == 0.2 and not os.path.exists({str(mark)!r}): sys.exit(1)")
    sweep(project, "--group", "g", "-p", "lr=0.1,0.2,0.3")
    project.commit(train_py="raise SystemExit('another time')\n")
    project.git("tag", "-d", "exp-1")
    told = project.run("sweep", "--resume", "g").stderr.splitlines()
    assert [item.name for item in found(project)] == ["exp-4", "exp-2", "exp-3"]
    assert [line[:9] for line in told[1:3]] == ["2/3 recor", "3/3 exp-4"]
    mark.touch()
    project.gitexp("sweep", "--resume", "g", "--again")
    assert [(item.params["lr"], item.status) for item in found(project)] == [
        (0.1, "finished"),
        (0.2, "failed"),
        (0.2, "finished"),
        (0.3, "finished"),
    ]
    told = project.run("sweep", "--resume", "g", "--again").stderr.splitlines()
    assert told[1:] == ["3/3 recorded before"]
    assert len(found(project)) == 4
    assert "there is no sweep 'gg'. Did you mean 'g'?" in project.error(
        "sweep", "--resume", "gg", code=3
    )
    assert "there is a sweep 'g' already" in project.error(
        "sweep", "--group", "g", "-p", "lr=1", "--", "python", "train.py"
    )
    assert "--param would change" in project.error("sweep", "--resume", "g", "-p", "lr=1")
    assert "--append, --seed would change" in project.error(
        "sweep", "--resume", "g", "--no-append", "--seed", "0"
    )
    assert "--link would change" in project.error("sweep", "--resume", "g", "--link", "train.py")
    assert "leave out --resume" in project.error("sweep", "--resume", "g", "--dry-run")


def test_a_driver_killed_in_mid_sweep_loses_nothing_that_ended_and_resume_does_the_rest(
    project: Project,
) -> None:
    ran, go = project.root.parent / "ran", project.root.parent / "go"
    ran.mkdir()
    train(
        project,
        f"open({str(ran)!r} + f'/{{point[\"lr\"]}}-{{os.getpid()}}', 'w')\n"
        f"while point['lr'] > 0.4 and not os.path.exists({str(go)!r}): time.sleep(0.05)",
    )
    process = started(project, "--group", "g", "-j", "2", "-p", "lr=0.1,0.2,0.3,0.4,0.5,0.6")
    wait_for(lambda: len(project.tags()) >= 2)
    assert "sweep g is running\n" in project.gitexp("status")
    assert json.loads(project.gitexp("status", "--json"))["sweeps"][0]["running"]
    process.kill()
    process.communicate()
    go.touch()
    assert "was killed; to continue it: gitexp sweep --resume g\n" in project.gitexp("status")
    before = {item.params["lr"]: item.name for item in found(project)}
    wait_for(
        lambda: not any(is_running(int(item.name.rpartition("-")[2])) for item in ran.iterdir())
    )
    project.gitexp("sweep", "--resume", "g", "-j", "2")
    assert project.gitexp("status") == "no run is active\n"
    after = {item.params["lr"]: item.name for item in found(project) if item.status == "finished"}
    assert sorted(after) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert before.items() <= after.items()
    runs = [item.name.partition("-")[0] for item in ran.iterdir()]
    assert all(runs.count(str(lr)) == 1 for lr in before), "a recorded trial was run again"
    assert len(runs) <= 6 + 2
    project.fsck()


def test_what_ended_while_nobody_could_record_it_is_recorded_by_resume(project: Project) -> None:
    train(project)
    tags = project.root / ".git/refs/tags"
    tags.rmdir()
    tags.write_text("in the way")
    done = project.run("sweep", "--group", "g", "-p", "lr=0.1,0.2", "--", "python", "train.py")
    assert done.returncode == 1
    assert "could not be recorded" in done.stderr
    assert "Traceback" not in done.stderr
    tags.unlink()
    train(project, "sys.exit('not again')")
    project.gitexp("sweep", "--resume", "g")
    assert [(item.params["lr"], item.status) for item in found(project)] == [
        (0.1, "finished"),
        (0.2, "finished"),
    ]


@pytest.mark.parametrize(("presses", "statuses"), [(1, ["finished"]), (2, ["killed"])])
def test_ctrl_c_lets_running_trials_end_and_twice_stops_them(
    project: Project, presses: int, statuses: list[str]
) -> None:
    mark, go = project.root.parent / "mark", project.root.parent / "go"
    train(
        project,
        f"open({str(mark)!r}, 'w').close()\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)",
    )
    process = started(project, "--group", "g", "-p", "lr=0.1,0.2,0.3")
    wait_for(mark.exists)
    press(process, presses)
    if presses == 1:
        go.touch()
    said = process.communicate(timeout=300)[1].decode()
    assert process.returncode == 130
    assert "gitexp sweep --resume g" in said
    assert "Traceback" not in said
    assert [item.status for item in found(project)] == statuses
    go.touch()
    project.gitexp("sweep", "--resume", "g")
    assert sum(item.status == "finished" for item in found(project)) == 3


def test_a_folder_that_takes_nothing_is_named_and_no_other_process_blamed(project: Project) -> None:
    train(project)
    sweep(project, "--group", "g", "-p", "lr=0.1")
    (project.root / ".git/gitexp/sweeps/g/alive").mkdir(parents=True)
    said = project.error("sweep", "--resume", "g")
    assert "sweeps/g cannot be written: Is a directory" in said


def test_one_sweep_has_one_driver(project: Project) -> None:
    mark, go = project.root.parent / "mark", project.root.parent / "go"
    train(
        project,
        f"open({str(mark)!r}, 'w').close()\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)",
    )
    process = started(project, "--group", "g", "-p", "lr=0.1")
    wait_for(mark.exists)
    assert "is running in another process" in project.error("sweep", "--resume", "g")
    go.touch()
    process.communicate()
    assert process.returncode == 0


# -- Optuna ----------------------------------------------------------------------------------------


def test_tpe_learns_from_git_alone_when_it_is_gone_on_with(project: Project) -> None:
    pytest.importorskip("optuna")
    train(project)
    sweep(
        project,
        "--group",
        "g",
        "-p",
        "lr=uniform(0,1)",
        "-p",
        "kind=a,b",
        "--search",
        "tpe",
        "-n",
        "6",
        "--minimize",
        "rmse",
    )
    assert len(found(project)) == 6
    project.gitexp("sweep", "--resume", "g", "-n", "16")
    lrs = [item.params["lr"] for item in found(project)]
    assert len({repr(dict(item.params)) for item in found(project)}) == len(lrs) == 16
    assert sorted(item.extra["sweep"]["index"] for item in found(project)) == [*range(16)]
    project.gitexp("sweep", "--resume", "g")
    assert len(found(project)) == 16


def test_a_search_tells_its_study_what_it_was_told() -> None:
    pytest.importorskip("optuna")
    forms = space.parse(["a=log(1e-4,1)", "b=x,y", "c=range(2,9,2)"])
    rng = random.Random(0)
    points = [{name: form.sample(rng) for name, form in forms.items()} for _ in range(30)]
    history = [(point, abs(point["c"] - 4) + (point["b"] == "x")) for point in points]
    asked_for = plans.Plan(("true",), forms, "tpe", 80, objective="rmse", direction="min")
    made, total = search.make(asked_for, history, tried=30)
    asked = []
    while item := made.ask():
        asked.append(item.point)
        made.tell(item, [abs(item.point["c"] - 4) + (item.point["b"] == "x")])
    assert (total, len(asked)) == (80, 50)
    assert sum(point["b"] == "y" and point["c"] == 4 for point in asked) > 15, (
        "it went on as one that knew nothing"
    )
    assert all(point["c"] in (2, 4, 6, 8) for point in asked)


def test_a_trial_worse_than_the_others_so_far_is_pruned_and_says_so(project: Project) -> None:
    pytest.importorskip("optuna")
    project.commit(
        train_py="""
import sys, time, gitexp
lr = float(sys.argv[2])
for step in range(5 if lr < 9 else 6000):
    gitexp.log_metric("loss", lr)
    time.sleep(0.1)
"""
    )
    sweep(project, "-p", "lr=1,2,3,4,5,9", "--prune", "--minimize", "loss")
    *fine, pruned = found(project)
    assert [item.status for item in fine] == ["finished"] * 5
    assert (pruned.status, pruned.labels) == ("killed", ("pruned",))
    assert len(pruned.history()) < 6000


@pytest.mark.slow
def test_a_trial_is_pruned_also_while_others_end_all_the_time(project: Project) -> None:
    """The driver once looked at running trials only when for a while none had ended."""
    pytest.importorskip("optuna")
    marks = project.root.parent / "marks"
    marks.mkdir()
    project.commit(
        train_sh=f"""
row() {{ printf '"loss",%s,1,%s\\r\\n' "$1" "$2" >> "$GITEXP_RUN/metrics.csv"; }}
echo $PPID >> {marks.parent}/workers
set -- {marks}/*
if [ $# -gt 8 ] && mkdir {marks}.bad 2>/dev/null; then
    row 1000000 0
    sleep 600
fi
row 1 0
: > {marks}/$$
"""
    )
    command = [
        sys.executable,
        "-m",
        "gitexp",
        "sweep",
        "-j",
        "2",
        "-p",
        "lr=uniform(0,1)",
        "--search",
        "random",
        "-n",
        "5000",
    ]
    process = subprocess.Popen(
        [*command, "--prune", "--minimize", "loss", "--", "sh", "train.sh"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": HERE},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: any(item.labels == ("pruned",) for item in found(project)))
    finally:
        process.kill()
        process.wait()
        wait_for(
            lambda: (
                not any(
                    is_running(int(pid)) for pid in (marks.parent / "workers").read_text().split()
                )
            )
        )


# -- from Python -----------------------------------------------------------------------------------


def test_python_sweeps_a_function_in_processes_of_their_own_from_the_snapshot(
    project: Project,
) -> None:
    project.write("src/models/__init__.py", "")
    project.write(
        "src/models/fit.py",
        "from __future__ import annotations\nimport enum, os\n"
        "class Loss(enum.Enum):\n    MSE = 1\n"
        "def fit(model, lr=0, loss: Loss = None, seed: int | None = None):\n"
        "    return {'rmse': lr * model['depth'] * loss.value, 'pid': os.getpid()}\n",
    )
    main = """
import sys
sys.path.insert(0, "src")
import gitexp
from models.fit import Loss, fit
if __name__ == "__main__":
    frame = gitexp.sweep(fit, {"lr": [1, 2], "model.depth": range(3, 5), "loss": [Loss.MSE]}, minimize="rmse", n_jobs=2)
    print(frame[["name", "lr", "model.depth", "rmse"]].to_json(orient="values"), frame["pid"].nunique(), frame.attrs["group"])
"""
    project.commit(main_py=main)
    done = subprocess.run(
        [sys.executable, "main.py"],
        env={**os.environ, "PYTHONPATH": HERE},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows, pids, group = done.stdout.split()
    assert [row[1:] for row in json.loads(rows)] == [[1, 3, 3], [1, 4, 4], [2, 3, 6], [2, 4, 8]]
    assert (pids, group) == ("4", found(project)[0].group)
    assert (
        found(project)[0].command
        == """python -m gitexp.sweeps.call src models.fit:fit '{"lr": 1, "model.depth": 3, "loss": "MSE"}' rmse 0"""
    )


def test_a_function_of_the_script_itself_can_be_swept(project: Project) -> None:
    project.commit(
        main_py="import gitexp\ndef f(x): return x * 2\nif __name__ == '__main__': print(gitexp.sweep(f, {'x': [1, 2]}, maximize='double')['double'].tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "main.py"],
        env={**os.environ, "PYTHONPATH": HERE},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[2, 4]\n", done.stderr


@pytest.mark.parametrize("odd", [math.nan, -1, 0.5])
@pytest.mark.parametrize("name", ["repeat", "retries", "trials", "n_jobs"])
def test_a_number_that_cannot_be_is_refused(project: Project, name: str, odd: Any) -> None:
    with pytest.raises(UsageError, match=f"--{name.removeprefix('n_')} must be"):
        gitexp.sweep("python --version", {"x": [1]}, **{name: odd})
    assert not project.tags()


@pytest.mark.parametrize("odd", [math.nan, -1])
def test_a_time_that_cannot_be_is_refused(project: Project, odd: float) -> None:
    with pytest.raises(UsageError, match="--timeout must be"):
        gitexp.sweep("python --version", {"x": [1]}, timeout=odd)
    assert not project.tags()


def test_what_could_not_be_recorded_is_said_to_python_too(project: Project) -> None:
    train(project)
    tags = project.root / ".git/refs/tags"
    tags.rmdir()
    tags.write_text("in the way")
    with pytest.warns(RuntimeWarning, match="trial 0 could not be recorded.*--resume g"):
        assert not len(gitexp.sweep("python train.py", {"lr": [0.1]}, group="g"))
    tags.unlink()
    project.gitexp("sweep", "--resume", "g")
    assert len(found(project)) == 1


def test_what_no_trial_could_import_is_refused(project: Project) -> None:
    with pytest.raises(UsageError, match="put it at the top of a module"):
        gitexp.sweep(lambda x: x, {"x": [1]})
    with pytest.raises(UsageError, match="outside of the repository"):
        gitexp.sweep(json.dumps, {"obj": [1]})
    assert not project.tags()


# -- the end ---------------------------------------------------------------------------------------


def rows_of(function: Any, count: int = 20) -> tuple[plans.Plan, list[summary.Row]]:
    """Return a plan and rows with a made-up result."""
    rng = random.Random(1)
    asked = plans.Plan(
        ("x",),
        space.parse(["a=uniform(0,1)", "b=x,y", "c=uniform(0,1)"]),
        objective="m",
        direction="min",
    )
    points = [{name: form.sample(rng) for name, form in asked.space.items()} for _ in range(count)]
    return asked, [summary.Row(point, (), function(point), None) for point in points]


def test_importance_finds_the_params_that_matter() -> None:
    for count in (20, 60):
        # also with the best in the middle
        for function in (lambda point: point["a"] ** 3, lambda point: abs(point["a"] - 0.5)):
            shares = summary.importance(*rows_of(function, count))
            assert next(iter(shares)) == "a"
            assert shares["a"] > 0.5
            assert shares["b"] < 0.3 > shares["c"]
        shares = summary.importance(
            *rows_of(lambda point: 5.0 * (point["b"] == "x") + point["c"], count)
        )
        assert next(iter(shares)) == "b"
        assert shares["a"] < 0.3
    assert summary.importance(*rows_of(lambda point: 1.0)) == {}
    assert summary.importance(*rows_of(lambda point: point["a"], 4)) == {}


def test_a_table_without_a_metric_to_go_by_shows_all_metrics(project: Project) -> None:
    train(project)
    lines = [line.split() for line in sweep(project, "-p", "lr=0.1,0.3").splitlines()]
    assert lines == [
        ["experiment", "rmse", "lr", "status"],
        ["exp-1", "0.04", "0.1", "finished"],
        ["exp-2", "0", "0.3", "finished"],
    ]
    assert (
        sweep(project, "-p", "lr=0.3", "--csv")
        == "experiment,rmse,lr,status\nexp-3,0.0,0.3,finished\n"
    )


@pytest.mark.slow
def test_the_example_of_a_sweep_file_runs_as_it_is(project: Project) -> None:
    for file in (Path(HERE) / "examples/sweep").iterdir():
        project.write(file.name, file.read_text())
    table = project.gitexp("sweep", "sweep.yml")
    assert [item.status for item in found(project)] == ["finished"] * 12
    assert all(
        0.001 <= item.params["lr"] <= 0.5 and len(item.history()) == 20 for item in found(project)
    )
    assert table.splitlines()[0].split() == ["experiment", "rmse", "lr", "decay", "batch", "status"]
    assert table.splitlines()[-1].startswith("importance: lr ")


# -- other engines ---------------------------------------------------------------------------------


def check_engine(project: Project, count: int) -> None:
    """Require that each trial was recorded once, with what belongs to it."""
    experiments = found(project)
    assert [item.params["lr"] for item in experiments] == [*range(count)]
    assert all(
        item.metrics == {"rmse": pytest.approx((item.params["lr"] - 0.3) ** 2)}
        for item in experiments
    )
    assert {item.status for item in experiments} == {"finished"}
    assert len({item.name for item in experiments}) == count
    assert all(
        f"'{item.params['lr']}'".encode() in item.read(".gitexp/output.log") for item in experiments
    )
    assert not project.git("for-each-ref", "refs/gitexp/sweeping")
    project.fsck()


@contextmanager
def dask_cluster(folder: Path, workers: int = 2) -> Iterator[str]:
    """A real scheduler and workers, each in a folder of its own as if on a machine of its own;
    yields the address."""
    distributed = pytest.importorskip("distributed")
    env = {**os.environ, "PYTHONPATH": HERE}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    file = folder / "scheduler.json"
    start = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    spawn = [sys.executable, "-m", "distributed.cli.dask_scheduler", *start]
    processes = [subprocess.Popen(spawn, env=env, cwd=folder, **quiet)]  # type: ignore[call-overload]
    try:
        wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        address = json.loads(file.read_text())["address"]
        for number in range(workers):
            home = folder / f"machine-{number}"
            home.mkdir()
            options = [address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(home)]
            spawn = [sys.executable, "-m", "distributed.cli.dask_worker", *options]
            processes.append(
                subprocess.Popen(  # type: ignore[call-overload]
                    spawn, env={**env, "TMPDIR": str(home)}, cwd=home, **quiet
                )
            )
        with distributed.Client(address, timeout=300, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=300)
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(60)
            # a worker that is just starting another in a dead one's place may miss the signal
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.mark.slow
def test_dask_workers_in_folders_of_their_own_need_no_clone_and_each_trial_is_recorded_once(
    project: Project, tmp_path: Path
) -> None:
    train(project, "print('in', os.getcwd())")
    with dask_cluster(tmp_path) as address:
        said = project.run(
            "sweep",
            "--engine",
            "dask",
            "--address",
            address,
            "-p",
            "lr=0",
            "--group",
            "one",
            "--",
            "python",
            "train.py",
        )
        assert (
            "there is room for 2 trials at once; one runs at a time without --jobs" in said.stderr
        )
        project.gitexp("rm", "exp-1")
        sweep(
            project,
            "--engine",
            "dask",
            "--address",
            address,
            "-j",
            "2",
            "-p",
            "lr=range(20)",
            "--minimize",
            "rmse",
        )
        project.write(
            "train.sh",
            f"case $2 in 1) echo hanging; sleep 600;; 2) mkdir {tmp_path}/once 2>/dev/null && exit 3;; esac; exit 0\n",
        )
        again = [
            "-j",
            "2",
            "-p",
            "lr=0,1,2",
            "--timeout",
            "10s",
            "--retries",
            "1",
            "--group",
            "troubled",
            "--",
            "sh",
            "train.sh",
        ]
        project.gitexp("sweep", "--engine", "dask", "--address", address, *again)
    troubled = [item for item in found(project) if item.group == "troubled"]
    assert [(item.params["lr"], item.status) for item in troubled] == [
        (0, "finished"),
        (1, "killed"),
        (1, "killed"),
        (2, "failed"),
        (2, "finished"),
    ]
    assert all(item.read(".gitexp/output.log") == b"hanging\n" for item in troubled[1:3])
    for item in troubled:
        project.gitexp("rm", item.name)
    check_engine(project, 20)
    places = {
        item.read(".gitexp/output.log").decode().splitlines()[1].removeprefix("in ")
        for item in found(project)
    }
    assert all(place.startswith(str(tmp_path / "machine-")) for place in places)
    assert {item.extra["sweep"]["tree"] for item in found(project)} == {
        project.git("rev-parse", "HEAD^{tree}")
    }


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_dask_worker_that_is_killed_costs_no_trial_and_what_it_ran_is_ended(
    project: Project, tmp_path: Path, workers: int
) -> None:
    """Dask gives the trial to another worker; the command that the dead one left is ended by the
    next worker on its machine.

    The only worker takes with it what the trial needs, and it has to be sent again; of two, the one
    that Dask left it to may be it.
    """
    orphan = tmp_path / "orphan"
    train(
        project,
        f"""
import signal
if point['lr'] == 2 and not os.path.exists({str(orphan)!r}):
    open({str(orphan)!r}, 'w').write(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
""",
    )
    with dask_cluster(tmp_path, workers) as address:
        sweep(
            project,
            "--engine",
            "dask",
            "--address",
            address,
            "-j",
            str(workers),
            "-p",
            "lr=range(6)",
            "--minimize",
            "rmse",
        )
        check_engine(project, 6)
        distributed = pytest.importorskip("distributed")
        with distributed.Client(address, timeout=300, set_as_default=False) as client:
            # Dask starts another in the dead one's place
            client.wait_for_workers(workers, timeout=300)
        more = 0
        # the machine's next trial ends it, and either machine may get that
        while is_running(int(orphan.read_text())):
            more += 1
            assert more < 30, "nobody ended what the dead worker ran"
            sweep(
                project,
                "--engine",
                "dask",
                "--address",
                address,
                "-j",
                str(workers),
                "-p",
                "lr=0,1",
                "--group",
                f"more-{more}",
            )


@pytest.mark.slow
def test_ray_records_each_trial_once(project: Project) -> None:
    pytest.importorskip("ray")
    train(project)
    sweep(project, "--engine", "ray", "-j", "2", "-p", "lr=range(6)", env={"RAY_TMPDIR": "/tmp"})
    check_engine(project, 6)


@pytest.mark.slow
def test_submitit_records_each_trial_once(project: Project) -> None:
    pytest.importorskip("submitit")
    sizes = project.root.parent / "sizes"
    ours = project.root / ".git/gitexp/submitit"
    train(
        project,
        f"import glob; open({str(sizes)!r}, 'a').write(f\"{{max(map(os.path.getsize, glob.glob('{ours}/*/*.pkl')))}}\\n\")",
    )
    project.commit(data_bin="".join(random.Random(0).choices("abcdefgh", k=300_000)))
    sweep(project, "--engine", "slurm", "--address", "local", "-j", "2", "-p", "lr=range(3)")
    check_engine(project, 3)
    assert all(int(size) < 50_000 for size in sizes.read_text().split()), (
        "the snapshot went into each job's own file"
    )
    assert not list(ours.iterdir())


@pytest.mark.slow
def test_jobs_of_submitit_end_with_their_sweep(project: Project) -> None:
    pytest.importorskip("submitit")
    marks = project.root.parent / "marks"
    marks.mkdir()
    train(project, f"open({str(marks)!r} + f'/{{os.getpid()}}', 'w').close(); time.sleep(600)")
    process = started(
        project,
        "--group",
        "g",
        "--engine",
        "slurm",
        "--address",
        "local",
        "-j",
        "2",
        "-p",
        "lr=0.1,0.2,0.3",
    )
    wait_for(lambda: len(list(marks.iterdir())) == 2)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    while b"again stops them" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode == 130
    wait_for(lambda: not any(is_running(int(mark.name)) for mark in marks.iterdir()))
    assert len(list(marks.iterdir())) == 2
    assert not list((project.root / ".git/gitexp/submitit").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_ctrl_c_twice_ends_what_runs_on_other_engines_too(project: Project, engine: str) -> None:
    pytest.importorskip("distributed" if engine == "dask" else engine)
    mark = project.root.parent / "mark"
    train(project, f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    process = started(project, "--group", "g", "--engine", engine, "-p", "lr=0.1,0.2")
    wait_for(lambda: mark.exists() and mark.read_text())
    press(process, 2)
    process.communicate(timeout=300)
    assert process.returncode == 130
    wait_for(lambda: not is_running(int(mark.read_text())))
    assert [(item.status, item.extra["error"]) for item in found(project)] == [
        ("killed", "interrupted")
    ]


@pytest.mark.slow
def test_an_engine_that_is_not_there_is_named(project: Project) -> None:
    train(project)
    pytest.importorskip("distributed")
    text = project.error(
        "sweep",
        "--engine",
        "dask",
        "--address",
        "tcp://127.0.0.1:9",
        "-p",
        "lr=1",
        "--",
        "python",
        "train.py",
    )
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in text
    assert not project.git("for-each-ref", "refs/gitexp")


def test_a_new_worker_ends_what_a_dead_one_on_its_machine_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    commands = []
    try:
        for name in ("dead", "living"):
            folder = tmp_path / f"gitexp-trial-{name}"
            folder.mkdir()
            with process_group.held(folder) as apart:
                commands.append(
                    subprocess.Popen(
                        [sys.executable, "-c", "import time; time.sleep(600)"], **apart
                    )
                )
            process_group.note(folder, commands[-1].pid)
            owner = journal.hold(folder)
            if name == "dead":
                owner.close()
        worker._end_orphans.__wrapped__()
        assert commands[0].wait(300) == -signal.SIGKILL
        assert [path.name for path in tmp_path.iterdir()] == ["gitexp-trial-living"]
        owner.close()
        assert commands[1].poll() is None
    finally:
        for command in commands:
            command.kill()
            command.wait()


def test_a_process_group_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """After a restart of the machine the number that a trial noted may be anybody's."""
    stranger = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    try:
        (tmp_path / process_group.GROUP).write_text(str(stranger.pid))
        process_group.kill(tmp_path)
        (tmp_path / process_group.HELD).mkdir()
        journal.hold(tmp_path / process_group.HELD).close()
        (tmp_path / process_group.GROUP).write_text(str(stranger.pid))
        process_group.kill(tmp_path)
        time.sleep(0.2)
        assert stranger.poll() is None
        with journal.hold(tmp_path / process_group.HELD):
            (tmp_path / process_group.GROUP).write_text(str(stranger.pid))
            process_group.kill(tmp_path)
        assert stranger.wait(300) == -signal.SIGKILL
    finally:
        stranger.kill()
        stranger.wait()
