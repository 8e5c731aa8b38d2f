"""What --json prints has the form that docs/json-schema.json promises to programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from conftest import Project
from gitexp.cli import COMMANDS, cli
from recording import record

Draft202012Validator = pytest.importorskip("jsonschema").Draft202012Validator
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/json-schema.json").read_text())
RUNS = [
    ("reproduce", ("exp-1", "--yes")),
    ("why", ("exp-1", "exp-3", "-m", "loss", "--yes", "--budget", "4")),
    ("merge", ("exp-2", "exp-3", "--yes")),
    ("sweep", ("-p", "lr=1,2", "--minimize", "loss", "--", sys.executable, "train.py")),
]
READS = [
    ("list", ()),
    ("list", ("--group-by", "lr")),
    ("list", ("--columns", "name,loss")),
    ("show", ("exp-3",)),
    ("best", ("loss",)),
    ("curve", ("exp-1", "exp-4", "loss")),
    ("diff", ("exp-1", "exp-3")),
    ("diff", ("exp-4",)),
    ("compare", ("exp-1", "exp-3", "exp-4")),
    ("gate", ("exp-1", "-m", "loss", "--min", "0")),
    ("gate", ("exp-2", "-m", "loss", "--against", "exp-1", "--max-regression", "50%")),
    ("verify", ("--all",)),
    ("status", ()),
    ("tried", ("--like", "exp-1")),
    ("tree", ()),
]


@pytest.fixture
def project_of_all(project: Project) -> Project:
    """Experiments of all kinds: a plain one, one of other code, one of other params with a reason
    and a verdict, one with NaN that failed."""
    code = "import sys\nwide = 0\n\n\nprint(f'loss={len(sys.argv) - wide}')\n"
    project.commit("train", train_py=code)
    command = f"{sys.executable} train.py"
    record(project, {"lr": 0.1}, {"loss": 1.0}, command=command, advance=False)
    project.write("train.py", code.replace("wide = 0", "wide = 1"))
    record(project, {"lr": 0.1}, {"loss": 0.0}, command=command, advance=False)
    project.write("train.py", code)
    record(
        project,
        {"n": 1},
        {"loss": 2.0},
        command=f"{command} --n 1",
        advance=False,
        extra={"because": "more words"},
        labels=("a",),
        note="text",
    )
    nan = float("nan")
    record(project, {"x": [1, None]}, {"loss": [nan, nan]}, status="failed", advance=False)
    project.gitexp("keep", "exp-3", "--because", "so")
    project.gitexp("note", "exp-3", "seen")
    return project


def check(project: Project, name: str, args: tuple[str, ...]) -> None:
    done = project.run(name, "--json", *args)
    assert done.returncode == 0, done.stderr
    schema: dict[str, Any] = {**SCHEMA["properties"][name], "$defs": SCHEMA["$defs"]}
    validator = Draft202012Validator(schema)
    value = json.loads(done.stdout)
    assert value
    assert [error.message for error in validator.iter_errors(value)] == []
    # what the schema does not name is a promise that nobody wrote down
    for item in value if isinstance(value, list) else [value]:
        known = _named(schema)
        free = name in ("compare", "why", "sweep") or "--columns" in args
        assert free or {*item} <= known, {*item} - known


def _named(schema: dict[str, Any]) -> set[str]:
    parts = [schema, schema.get("items", {}), *schema.get("items", {}).get("anyOf", ())]
    parts += [SCHEMA["$defs"]["experiment"]] if "anyOf" in schema.get("items", {}) else []
    return {name for part in parts for name in part.get("properties", {})}


def test_each_command_with_json_has_its_form() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    found = set()
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        if any("--json" in option.opts for option in command.params):
            found.add(name)
    assert found == {*SCHEMA["properties"]} == {name for name, _ in READS + RUNS}


def test_what_is_read_has_its_form(project_of_all: Project) -> None:
    for name, args in READS:
        check(project_of_all, name, args)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "args"), RUNS, ids=[name for name, _ in RUNS])
def test_what_is_run_has_its_form(
    project_of_all: Project, name: str, args: tuple[str, ...]
) -> None:
    check(project_of_all, name, args)
