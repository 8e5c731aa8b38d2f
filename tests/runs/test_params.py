"""``gitexp run`` records what a script's own parser arrived at, and nothing of it changes the
script."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project
from gitexp.runs import parsed
from gitexp.runs.arguments import as_params, unclear

SCRIPTS = {
    "argparse": """
import argparse, enum, pathlib
class Kind(enum.Enum):
    SMALL = 1
parser = argparse.ArgumentParser()
parser.add_argument("--lr", "--learning-rate", type=float, default=1e-3)
parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs"))
parser.add_argument("--kind", type=Kind.__getitem__, default=Kind.SMALL)
parser.add_argument("--layers", type=int, nargs="+", default=[1, 2])
parser.add_argument("--resume")
parser.add_argument("--pad-token", default="<pad>")
parser.add_argument("--amp", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--api-key", default="Zx81hQ2vTn7LpR4s")
commands = parser.add_subparsers(dest="command")
train = commands.add_parser("train")
train.add_argument("--epochs", type=int, default=3)
train.set_defaults(call=print)
print(parser.parse_args().lr)
""",
    "click": """
import click
@click.group()
@click.option("--seed", default=1)
def main(seed): pass
@main.command()
@click.option("--lr", default=0.1)
@click.option("--amp/--no-amp", default=True)
@click.option("--pin", default="1234", prompt=True, hide_input=True)
@click.argument("data", default="d.csv")
def train(lr, amp, data, pin): print(lr)
main()
""",
    "typer": """
import enum, pathlib, typer
class Opt(str, enum.Enum):
    adam = "adam"
def main(data: str = "d", lr: float = 0.1, opt: Opt = Opt.adam, out: pathlib.Path = pathlib.Path("o")):
    print(lr)
typer.run(main)
""",
    "tyro": """
import dataclasses, tyro
@dataclasses.dataclass
class Opt:
    lr: float = 0.1
@dataclasses.dataclass
class Args:
    opt: Opt = dataclasses.field(default_factory=Opt)
    seed: int = 1
    name: str | None = None
    track: bool = False
print(tyro.cli(Args).opt.lr)
""",
    "fire": """
import fire
class Train:
    def __init__(self, seed=1): self.seed = seed
    def fit(self, data, lr=0.1, *, layers=(1, 2)): print(lr)
fire.Fire(Train)
""",
    "simple-parsing": """
import dataclasses
from simple_parsing import parse
@dataclasses.dataclass
class Args:
    lr: float = 0.1
    seed: int = 1
    layers: list[int] = dataclasses.field(default_factory=lambda: [1])
print(parse(Args).lr)
""",
    "jsonargparse": """
from jsonargparse import ArgumentParser
parser = ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--model.depth", type=int, default=2)
print(parser.parse_args().lr)
""",
    "absl": """
from absl import app, flags
FLAGS = flags.FLAGS
flags.DEFINE_float("lr", 0.1, "")
flags.DEFINE_multi_string("tag", None, "")
flags.DEFINE_bool("amp", True, "")
app.run(lambda _: print(FLAGS.lr))
""",
    "hydra": """
import hydra
@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config): print(config.lr)
main()
""",
    "script": """
lr = 6e-4
steps = 10
dtype = 'bfloat16' if steps else 'float16'
config_keys = [k for k,v in globals().items() if not k.startswith('_') and isinstance(v, (int, float, bool, str))]
exec(open('configurator.py').read()) # overrides from command line or config file
config = {k: globals()[k] for k in config_keys} # will be useful for logging
steps //= 2
print(lr)
""",
}
CONFIGURATOR = """
import sys
from ast import literal_eval
for arg in sys.argv[1:]:
    if '=' not in arg:
        config_file = arg
        exec(open(config_file).read())
    else:
        key, val = arg.split('=')
        globals()[key[2:]] = literal_eval(val)
"""
MODULES = {"simple-parsing": "simple_parsing", "script": "os"}
FILES = {
    "conf/config.yaml": "lr: 0.1\nmodel:\n  depth: 2\n  width: ${model.depth}\n",
    "configurator.py": CONFIGURATOR,
    "config/small.py": "# a small one\nsteps = 4 * 5\n",
}


@pytest.mark.parametrize(
    ("kind", "line", "found"),
    [
        (
            "argparse",
            "--learn 0.5 --layers 3 4 --no-amp train",
            {"lr": 0.5, "out": "runs", "kind": "SMALL", "layers": [3, 4], "resume": None,
             "pad_token": "<pad>", "amp": False, "api_key": "***", "command": "train", "epochs": 3},
        ),
        (
            "click",
            "--seed 3 train --no-amp --lr 0.5 --pin 5678",
            {"seed": 3, "lr": 0.5, "amp": False, "data": "d.csv"},
        ),
        ("typer", "--lr 0.5", {"data": "d", "lr": 0.5, "opt": "adam", "out": "o"}),
        ("tyro", "--opt.lr 0.5 --track",
         {"opt.lr": 0.5, "seed": 1, "name": None, "track": True}),
        ("fire", "fit d.csv --lr 0.5", {"seed": 1, "data": "d.csv", "lr": 0.5, "layers": [1, 2]}),
        ("simple-parsing", "--lr 0.5", {"lr": 0.5, "seed": 1, "layers": [1]}),
        ("jsonargparse", "--lr 0.5", {"lr": 0.5, "model.depth": 2}),
        ("absl", "--lr 0.5 --noamp --tag a --tag b", {"lr": 0.5, "amp": False, "tag": ["a", "b"]}),
        ("hydra", "lr=0.5", {"lr": 0.5, "model.depth": 2, "model.width": 2}),
        ("script", "config/small.py --lr=0.5", {"lr": 0.5, "steps": 20, "dtype": "bfloat16"}),
    ],
)  # fmt: skip
def test_each_parser_tells_all_of_its_params_with_their_types(
    project: Project, kind: str, line: str, found: dict[str, Any]
) -> None:
    pytest.importorskip(MODULES.get(kind, kind))
    for path, text in FILES.items():
        project.write(path, text)
    project.commit(train_py=SCRIPTS[kind])
    done = project.run("run", "--", sys.executable, "train.py", *line.split())
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "0.5"), done.stderr
    assert dict(gitexp.get("exp-1").params) == found
    assert f"params: {len(found)} ({kind} " in done.stderr


_FILLED = "; a.size = a.steps * 2; a.lr = 0.5; a.other = 3; a.late = None"


@pytest.mark.parametrize(
    ("package", "script"),
    [
        (
            "argparse",
            (
                "import argparse; p = argparse.ArgumentParser(); p.add_argument('--steps', default=4)\n"
                "[p.add_argument(f'--{n}', default=v) for n, v in dict(size=0, lr=1, late=0).items()]\n"
                "a = p.parse_args()"
            ),
        ),
        (
            "tyro",
            (
                "import dataclasses, tyro\n@dataclasses.dataclass\nclass Args:\n"
                "    steps: int = 4\n    size: int = 0\n    lr: float = 1\n    late: int = 0\n"
                "a = tyro.cli(Args)"
            ),
        ),
        (
            "absl",
            (
                "from absl import flags; a = flags.FLAGS; flags.DEFINE_float('lr', 1, '')\n"
                "[flags.DEFINE_integer(n, v, '') for n, v in dict(steps=4, size=0, late=0).items()]\n"
                "import sys; a(sys.argv)"
            ),
        ),
    ],
)
def test_what_was_empty_and_is_filled_by_the_script_has_that_value(
    project: Project, package: str, script: str
) -> None:
    pytest.importorskip(package)
    filled = _FILLED.replace("a.other = 3", "0") if package == "absl" else _FILLED
    project.write("t.py", script + filled)
    done = project.run("run", "--", sys.executable, "t.py")
    assert done.returncode == 0, done.stderr
    wanted = {"steps": 4, "size": 8, "lr": 1, "late": 0}
    assert dict(gitexp.get("exp-1").params) == wanted


def _parsing(**options: str) -> str:
    lines = [f"p.add_argument('--{name}', default={value})" for name, value in options.items()]
    return "\n".join(["import argparse; p = argparse.ArgumentParser()", *lines, "p.parse_args()"])


_JOB = """
import hydra, json, logging, os
from hydra.core.hydra_config import HydraConfig
@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    logging.getLogger().info(f"loss: {config.lr * 2}")
    with open(os.path.join(HydraConfig.get().runtime.output_dir, "metrics.json"), "w") as file:
        json.dump({"acc": config.lr}, file)
    assert config.lr < 9, f"{config.lr} is too large"
main()
"""


def test_each_job_of_a_multirun_is_an_experiment_of_one_group(project: Project) -> None:
    pytest.importorskip("hydra")
    project.write("conf/config.yaml", FILES["conf/config.yaml"])
    before = project.commit(train_py=_JOB)
    done = project.run(
        "run", "-p", "by=me", "--", sys.executable, "train.py", "-m", "lr=1,9,2", "model.depth=4"
    )
    assert done.returncode == 1
    names = ["exp-1", "exp-2", "exp-3"]
    assert [line.split()[0] for line in done.stdout.splitlines()[-3:]] == names
    # Hydra runs what comes after a job that failed, and fails then
    assert [gitexp.get(name).status for name in names] == ["finished", "failed", "finished"]
    shown = [project.gitexp("show", name) for name in names]
    assert ["exit-code" in text for text in shown] == [False, True, False]
    assert ["AssertionError: 9 is too large" in text for text in shown] == [False, True, False]
    assert all((gitexp.get(name).duration or 9) < 0.5 for name in names)
    first, second = (gitexp.get(name) for name in ("exp-1", "exp-2"))
    assert dict(first.params) == {"lr": 1, "model.depth": 4, "model.width": 4, "by": "me"}
    assert (second.params["lr"], second.metrics["acc"]) == (9, 9)
    assert (first.status, second.status) == ("finished", "failed")
    assert first.group == second.group
    assert str(first.group).startswith("multirun/")
    assert str(first.command).endswith("train.py lr=1 model.depth=4")
    assert all(path.startswith(f"{first.group}/0/") for path in first.extra["outputs"])
    assert f"{first.group}/0/metrics.json" in first.extra["outputs"]
    assert project.git("rev-parse", "HEAD") == before
    assert project.git("for-each-ref", "refs/gitexp/pending") == ""
    project.fsck()


def test_what_is_given_elsewhere_wins_over_defaults(project: Project) -> None:
    project.write("c.yaml", "a: 2\nb: 2\nnew: 2\n")
    project.write("t.py", _parsing(a="1", b="1", c="1", config="None"))
    given = ("-p", "c=3", "--", sys.executable, "t.py", "--config", "c.yaml", "--b", "4")
    done = project.run("run", *given)
    wanted = {"a": 2, "b": "4", "c": 3, "new": 2, "config": "c.yaml"}
    assert dict(gitexp.get("exp-1").params) == wanted
    assert "params: 5 (argparse 1, c.yaml 2, command line 2)" in done.stderr


def test_what_a_parser_left_is_read_from_the_command_line(project: Project) -> None:
    project.write("t.py", _parsing(a="1").replace("parse_args", "parse_known_args"))
    project.run("run", "--", sys.executable, "t.py", "--a", "2", "-b", "3", "x.c=[4, 5]")
    assert dict(gitexp.get("exp-1").params) == {"a": "2", "b": 3, "x.c": [4, 5]}


@pytest.mark.parametrize("how", ["setting", "--no-parser-params", "--no-args"])
def test_parsers_are_left_alone_where_that_is_asked_for(project: Project, how: str) -> None:
    project.write("t.py", _parsing(a="1"))
    if how == "setting":
        project.write(".gitexp.toml", "parser_params = false\n")
    options = [how] if how.startswith("-") else []
    project.run("run", *options, "--", sys.executable, "t.py")
    assert dict(gitexp.get("exp-1").params) == {}


@pytest.mark.parametrize(
    ("launcher", "found"),
    [
        ("{python} launch.py --gpus 2 train.py --lr 3", {"gpus": 2, "lr": "3", "seed": 1}),
        ("sh train.sh", {"lr": "4", "seed": 1}),
        (
            "env --ignore-signal {python} train.py --lr 7",
            {"ignore_signal": True, "lr": "7", "seed": 1},
        ),
        ("{python} -m cProfile train.py --lr 5", {"lr": "5", "seed": 1}),
        ("{python} -m pack.train --lr 6", {"lr": "6", "seed": 1}),
    ],
)
def test_the_training_is_found_behind_its_launcher(
    project: Project, launcher: str, found: dict[str, Any]
) -> None:
    training = _parsing(lr="1", seed="1")
    project.write("train.py", training)
    project.write("pack/train.py", training)
    project.write("train.sh", f"{sys.executable} train.py --lr 4\n")
    project.write(
        "launch.py",
        "import argparse, subprocess, sys; p = argparse.ArgumentParser()\n"
        "p.add_argument('--gpus', type=int); p.add_argument('rest', nargs='...')\n"
        "subprocess.run([sys.executable, *p.parse_args().rest], check=True)\n",
    )
    project.run("run", "--", *launcher.format(python=sys.executable).split())
    assert dict(gitexp.get("exp-1").params) == found


def test_what_parses_something_else_is_no_param(project: Project) -> None:
    project.write(
        "t.py",
        "import argparse, multiprocessing, subprocess, sys\n"
        "p = argparse.ArgumentParser(); p.add_argument('--a', default=1)\n"
        "q = argparse.ArgumentParser(); q.add_argument('--b', default=2); q.parse_args(['--b', '3'])\n"
        "subprocess.run([sys.executable, 'other.py', '--c', '3'], check=True) if p.parse_args() else 0\n",
    )
    project.write("other.py", _parsing(c="1", d="1"))
    project.run("run", "--", sys.executable, "t.py", "--a", "2")
    assert dict(gitexp.get("exp-1").params) == {"a": "2"}
    project.run("run", "--", sys.executable, "-m", "json.tool", "--json-lines", "x.json")
    assert dict(gitexp.get("exp-2").params) == {"json_lines": "x.json"}


def test_a_tools_name_among_the_arguments_of_a_program_is_a_value() -> None:
    for line in ("./train --data dvc --lr 0.1", "uv run --with jupyter python t.py --lr 0.1"):
        assert as_params(line.split())["lr"] == 0.1
    for line in ("dvc exp run -S lr=0.1 --force", "uv run dvc exp run -S lr=0.1 --force"):
        assert as_params(line.split()) == {"lr": 0.1}


def test_what_starts_a_librarys_workers_is_no_param(project: Project, tmp_path: Path) -> None:
    """Joblib's begin with a parser, as module, and torch's compiler's, by its path; the training
    has none."""
    worker = tmp_path / "site-packages/torch/_inductor/compile_worker/__main__.py"
    worker.parent.mkdir(parents=True)
    worker.write_text(
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--parent')\nparser.parse_args()\n"
    )
    project.write(
        "train.py",
        "import math, subprocess, sys\nfrom joblib import Parallel, delayed\n"
        "print('loss=', sum(Parallel(2)(delayed(math.sqrt)(at) for at in range(4))))\n"
        f"subprocess.run([sys.executable, {str(worker)!r}, '--parent=7'], check=True)\n",
    )
    project.gitexp("run", "--", sys.executable, "train.py")
    assert dict(gitexp.get("exp-1").params) == {}


def test_a_run_that_was_killed_keeps_what_its_parser_said(project: Project) -> None:
    project.write("t.py", _parsing(a="1") + "\nimport os; os.kill(os.getpid(), 9)\n")
    done = project.run("run", "--", sys.executable, "t.py")
    assert done.returncode == 137
    assert gitexp.get("exp-1").extra["error"].startswith("exit code 137 (SIGKILL, as where memory")
    assert dict(gitexp.get("exp-1").params) == {"a": 1}


_SHOW = """
import argparse, json, os, sys
argparse.ArgumentParser().parse_known_args()
own = [name for name in sys.modules if name.startswith("_gitexp")]
print(json.dumps([sys.path, sys.flags.isolated, "sitecustomize" in sys.modules, len(own)]))
"""


@pytest.mark.parametrize("flags", [[], ["-I"], ["-S"], ["-E", "-s"]])
def test_the_path_and_the_users_own_start_stay_as_they_are(
    project: Project, tmp_path: Path, flags: list[str]
) -> None:
    project.write("t.py", _SHOW)
    (tmp_path / "sitecustomize.py").write_text(
        "import builtins; builtins.mine = True\nprint('mine')"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "GITEXP_RUN": str(tmp_path)}
    command = [sys.executable, *flags, "t.py"]
    plain, hooked = (
        subprocess.run(command, env=one, capture_output=True, text=True, check=True)
        for one in (env, parsed.environ(env))
    )
    before, after = (json.loads(one.stdout.splitlines()[-1]) for one in (plain, hooked))
    assert plain.stdout.splitlines()[:-1] == hooked.stdout.splitlines()[:-1]
    if "-S" in flags:  # nothing of ours runs, and nobody takes the folder off the path
        after[0].remove(str(Path(parsed.__file__).with_name("startup")))
    assert before[:3] == after[:3]
    assert after[3] == (0 if flags else 3)  # the one that waits, parsers and notes
    assert plain.stderr == hooked.stderr


def test_a_hook_that_cannot_write_is_silent(project: Project, tmp_path: Path) -> None:
    project.write("t.py", _parsing(a="object()") + "\nprint('well')")
    env = parsed.environ({**os.environ, "GITEXP_RUN": str(tmp_path / "gone")})
    command = [sys.executable, "t.py"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("well\n", "")


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("c.yaml", "lr: 1e-3\nm: {d: 2}\n", {"lr": 0.001, "m.d": 2}),
        ("c.json", '{"lr": 0.1}', {"lr": 0.1}),
        ("c.toml", "lr = 0.1\n[m]\nd = 2\n", {"lr": 0.1, "m.d": 2}),
        ("c.py", "import time\nlr = 0.1\nname = 'x' + str(time.time())\n", {"lr": 0.1}),
        ("c.py", "lr = 0.1\nprint(lr)\n", {}),
        ("c.json", "[1, 2]", {}),
        ("c.ini", "[m]\nD = 2\nx = [1\n[n]\nv = 50%\n", {"m.D": 2, "m.x": "[1", "n.v": "50%"}),
        ("c.ini", "[m]\n[m]\n", {}),
        ("c.py", "m = dict(d=dict(k=[dict(a=1)]))\nx = dict(f())\n", {"m.d.k": [{"a": 1}]}),
    ],
)
@pytest.mark.parametrize("how", ["{}", "--config={}", "--cfg {}", "config={}", "-c {}"])
def test_config_files_on_the_command_line_are_read(
    project: Project, name: str, text: str, found: dict[str, Any], how: str
) -> None:
    project.write(name, text)
    assert {
        key: value
        for values in parsed.config_files(
            ["python", "train.py", *how.format(name).split()]
        ).values()
        for key, value in gitexp.formats.params.flatten(values).items()
    } == found


def test_data_files_on_the_command_line_are_not(project: Project) -> None:
    project.write("metrics.json", '{"acc": 1}')
    assert parsed.config_files(["python", "t.py", "metrics.json"]) == {}
    project.write("d.yaml", "names: [a, b]\n")
    assert parsed.config_files(["python", "d.yaml", "--data", "d.yaml", "--x=d.yaml"]) == {}


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("--layers 64 128 --lr 1", {"layers": [64, 128], "lr": 1}),
        ("--files a b --lr 1", {"files": ["a", "b"], "lr": 1}),
        ("--tag a --tag b --v --v", {"tag": ["a", "b"], "v": True}),
        ("--no-amp --no-layers 3", {"amp": False, "no_layers": 3}),
        ("-lr 0.1 -j8 -v", {"lr": 0.1, "j": 8, "v": True}),
        ("--opt=name:adam", {"opt": "name:adam"}),
        ("--o.lr 0.1 --o Adam", {"o.lr": 0.1, "o": "Adam"}),
        ("--o {a: 1} --o.b 2", {"o": {"a": 1, "b": 2}}),
        ("--range -5 5 --d -.5 --e -1e-3", {"range": [-5, 5], "d": -0.5, "e": -0.001}),
        ("--prompt '- hello' --empty ''", {"prompt": "- hello", "empty": ""}),
        ("--l=[64,128] +m={a:1} x[0]=3", {"l": [64, 128], "m": {"a": 1}, "x[0]": 3}),
        (
            '--q \'"x"\' --z "it\'s" db/engine=innodb',
            {"q": "x", "z": "it's", "db/engine": "innodb"},
        ),
    ],
)
def test_nothing_on_a_command_line_vanishes(command: str, found: dict[str, Any]) -> None:
    words = shlex.split(command.replace("{a: 1}", "'{a: 1}'"))
    assert as_params(["./train", *words]) == found
    assert as_params(["python", "-u", "-W", "ignore", "train.py", *words]) == found


def test_what_may_be_a_value_or_not_is_said(project: Project) -> None:
    assert unclear(["./train", "data.csv", "--name", "x", "more.csv"]) == ["more.csv"]
    assert unclear(["./train", "--lr=1", "data.csv"]) == []
    done = project.run("run", "--", sys.executable, "train.py", "--name", "x", "more.csv")
    assert "no params: more.csv" in done.stderr
