"""``gitexp run``: any command becomes an experiment, with nothing changed in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.runs.arguments import as_params

PYTHON = sys.executable


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("python train.py --lr 0.01 --epochs=3 --fast", {"lr": 0.01, "epochs": 3, "fast": True}),
        ("python train.py lr=1e-3 model.depth=2 data.csv", {"lr": 0.001, "model": {"depth": 2}}),
        ("python train.py --weight-decay -0.5 --name x", {"weight_decay": -0.5, "name": "x"}),
        ("python -m pkg.train --a 1 -- --b 2", {"a": 1, "b": 2}),
        ("python t.py --fast lr=1", {"fast": True, "lr": 1}),
        ("python t.py --api-key abc --token=abc --lr 1", {"lr": 1}),
        ("python t.py ++trainer.lr=1", {"trainer": {"lr": 1}}),
        ("./train", {}),
    ],
)
def test_params_are_taken_from_the_arguments(command: str, found: dict[str, object]) -> None:
    assert as_params(command.split()) == found


def test_a_script_is_recorded_with_what_it_logs_and_prints(project: Project) -> None:
    project.write(
        "go.py",
        "import gitexp, sys\nwith gitexp.start_run(params={'inner': 1}) as run:\n    run.log_metric('a', 0.5)\n    run.set_label('in')\nprint('out')\nprint('err', file=sys.stderr)\n",
    )
    done = project.run("run", "-l", "outer", "--", PYTHON, "go.py", "--lr", "0.1")
    assert done.stdout == f"out\nexp-1 {project.git('rev-parse', '--short=10', 'HEAD')}\n"
    assert done.stderr.startswith("err\n")
    found = gitexp.get("exp-1")
    assert dict(found.params) == {"lr": 0.1, "inner": 1}
    assert dict(found.metrics) == {"a": 0.5}
    assert found.labels == ("in", "outer")
    kept = found.read(".gitexp/output.log")
    assert b"out" in kept
    assert b"err" in kept
    body = project.git("log", "-1", "--format=%b")
    for trailer in (
        "Gitexp-Command: ",
        "Gitexp-Duration: ",
        "Gitexp-CPU-Time: ",
        "Gitexp-Peak-Memory: ",
        "Gitexp-Hardware: ",
        "Gitexp-Python: ",
    ):
        assert trailer in body
    assert project.git("status", "--porcelain") == ""


def test_dagshubs_own_logger_is_recorded_with_no_change_at_all(project: Project) -> None:
    text = "from dagshub.logger import dagshub_logger\nwith dagshub_logger() as log:\n    log.log_hyperparams(lr=0.5)\n    log.log_metrics(acc=0.9, step_num=3)\n"
    project.write("go.py", text)
    for at in (1, 2):
        project.gitexp("run", "--", PYTHON, "go.py")
        found = gitexp.get(f"exp-{at}")
        assert dict(found.params) == {"lr": 0.5}
        assert dict(found.metrics) == {"acc": 0.9}
        assert dict(found.files) == {"params": "params.yml", "metrics": "metrics.csv"}
        assert project.git("status", "--porcelain") == ""


def test_changing_one_import_makes_dagshub_code_record_itself(project: Project) -> None:
    from gitexp.integrations.dagshub import dagshub_logger

    with dagshub_logger() as logger:
        logger.log_hyperparams({"layers": [1, 2]}, lr=0.5)
        logger.log_metrics({"acc": 0.9}, step_num=3)
    found = gitexp.get("exp-1")
    assert dict(found.params) == {"layers": [1, 2], "lr": 0.5}
    assert list(found.history().step) == [3]
    assert project.git("status", "--porcelain") == ""


def test_a_stale_results_file_of_the_run_before_is_not_picked_up(project: Project) -> None:
    project.gitexp("log", "-p", "old=1", "-M", "old=1")
    project.gitexp("run", "--", PYTHON, "train.py", "--new", "2")
    assert dict(gitexp.get("exp-2").params) == {"new": 2}
    assert dict(gitexp.get("exp-2").metrics) == {}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", "failed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "killed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGHUP)", "killed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGUSR1)", "killed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "failed"),
    ],
)
def test_the_exit_code_is_passed_through(project: Project, code: str, status: str) -> None:
    project.write("go.py", code)
    done = project.run("run", "--", PYTHON, "go.py")
    name = code.partition("signal.")[2].rstrip(")")
    assert done.returncode == (128 + getattr(signal, name) if name else 3)
    assert gitexp.get("exp-1").status == status


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_are_forwarded_and_the_run_is_recorded_as_killed(
    project: Project, name: str
) -> None:
    number = getattr(signal, name)
    project.write(
        "go.py",
        "import gitexp, time\ngitexp.log_metric('a', 1)\nprint('ready', flush=True)\ntime.sleep(60)\n",
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [PYTHON, "-m", "gitexp", "run", "--", PYTHON, "go.py"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.communicate(timeout=50)
    assert process.returncode == 128 + number
    assert gitexp.get("exp-1").status == "killed"
    assert dict(gitexp.get("exp-1").metrics) == {"a": 1}


def test_output_is_shown_while_the_command_runs(project: Project) -> None:
    project.write("go.py", "import time\nprint('first')\ntime.sleep(60)\n")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [PYTHON, "-m", "gitexp", "run", "--", PYTHON, "go.py"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    assert process.poll() is None, "the line came only after the end"
    process.send_signal(signal.SIGTERM)
    process.communicate()


def test_a_program_that_is_not_there_records_nothing(project: Project) -> None:
    assert "'nosuchprogram' could not be started" in project.error("run", "--", "nosuchprogram")
    assert "before it all: A=1 gitexp run" in project.error("run", "--", "A=1", "python", "t.py")
    assert "each word of the command by itself" in project.error("run", "--", "python t.py")
    assert project.tags() == []
    assert list((project.root / ".git" / "gitexp" / "runs").iterdir()) == []


def test_a_failed_command_says_which_exception_it_was(project: Project) -> None:
    project.write(
        "go.py", "import sys\nprint('working')\nraise ValueError('no such column: price')\n"
    )
    assert project.run("run", "--", PYTHON, "go.py").returncode == 1
    project.run(
        "run",
        "--",
        PYTHON,
        "-c",
        "import logging\ntry: 1 / 0\nexcept Exception: logging.exception('again')\nlogging.error('no disk')\nraise SystemExit(3)",
    )  # what was handled is no reason
    assert gitexp.get("exp-1").extra["error"] == "exit code 1: ValueError: no such column: price"
    assert gitexp.get("exp-2").extra["error"] == "exit code 3"
    group = "raise ExceptionGroup('both', [ValueError('a'), OSError('b')])"
    if sys.version_info < (3, 11):
        group = "exit('ExceptionGroup: both (2 sub-exceptions)')"
    for number, code, said in (
        (3, "print('loss 0.5'); exit('no such data')", "no such data"),
        (4, group, "ExceptionGroup: both (2 sub-exceptions)"),
        (5, "sys.stderr.write('  | Params: 10\\n'); 1 / 0", "ZeroDivisionError: division by zero"),
        (6, "sys.stderr.write('INFO: done\\n'); exit(1)", ""),
        (7, "sys.stderr.write('Epoch 2: 50%|### | 5/10'); exit(1)", ""),
    ):
        assert project.run("run", "--", PYTHON, "-c", f"import sys; {code}").returncode == 1
        assert gitexp.get(number).failure == f"exit code 1: {said}".removesuffix(": ")
    parsers = (
        "import argparse; argparse.ArgumentParser('fit.py').parse_args()",
        "import click; click.command()(print)()",
    )
    for number, (parser, said) in enumerate(
        zip(
            parsers,
            ("fit.py: error: unrecognized arguments: --learn", "Error: No such option '--learn'."),
        ),
        8,
    ):
        project.gitexp("run", "--", PYTHON, "-c", parser, "--learn", code=2)
        assert gitexp.get(number).failure == f"exit code 2: {said}"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("RuntimeError('out of memory\\nfor more see\\n  the log')", "RuntimeError: out of memory"),
        ("KeyError('a' * 5000)", "KeyError: 'aaaa"),
        ("type('Diverged', (Exception,), {})", "Diverged"),
        ("ValueError", "ValueError"),
        (
            "(__import__('argparse').ArgumentParser('go.py').error('no --lr'))",
            "go.py: error: no --lr",
        ),
    ],
)
def test_an_exception_is_named_by_its_first_line(project: Project, raised: str, said: str) -> None:
    project.write("go.py", f"import atexit\natexit.register(print, 'bye')\nraise {raised}\n")
    assert project.run("run", "--", PYTHON, "go.py").returncode
    assert gitexp.get("@").extra["error"].partition(": ")[2].startswith(said)


def test_params_given_win_and_arguments_can_be_left_alone(project: Project) -> None:
    project.write("p.yml", "lr: 1\na: 1\n")
    project.gitexp(
        "run", "--params-file", "p.yml", "-p", "a=3", "--", PYTHON, "train.py", "--lr", "2"
    )
    project.gitexp("run", "--no-args", "--", PYTHON, "train.py", "--lr", "2")
    assert dict(gitexp.get("exp-1").params) == {"lr": 2, "a": 3}
    assert dict(gitexp.get("exp-2").params) == {}


def test_secrets_in_the_command_line_do_not_enter_history(project: Project) -> None:
    project.gitexp(
        "run",
        "--",
        PYTHON,
        "train.py",
        "--api-key",
        "hunter2hunter2",
        "https://me:hunter2hunter2@example.org",
    )
    assert "hunter2" not in project.git("log", "-1", "--format=%B") + project.git(
        "cat-file", "tag", "exp-1"
    )
    assert "hunter2" not in project.git("show", "exp-1:params.yml")


def test_the_environment_of_another_interpreter_is_the_one_recorded(
    project: Project, tmp_path: Path
) -> None:
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    other = tmp_path / "venv" / "bin" / "python"
    if not other.exists():
        pytest.skip("no such layout here")
    project.gitexp("run", "--", str(other), "train.py")
    lines = gitexp.get("exp-1").read(".gitexp/requirements.txt").decode().splitlines()
    assert lines[0].startswith("# Python 3")
    assert not any(line.startswith("click==") for line in lines)


def test_system_metrics_on_request(project: Project) -> None:
    pytest.importorskip("psutil")
    project.gitexp("run", "--system-metrics", "--", PYTHON, "train.py")
    assert gitexp.get("exp-1").metrics["system.cpu_percent"] >= 0
