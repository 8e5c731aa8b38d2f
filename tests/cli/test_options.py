"""One language of options: the same thing is called the same on every command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import click
import pytest

from conftest import Project
from gitexp.cli import COMMANDS, cli

READING = ("list", "compare", "curve", "verify", "status", "diff")
SHORT = {
    "-n": {"--limit", "--trials"},
    "-m": {"--message", "--metric"},
    "-w": {"--where"},
    "-s": {"--sort", "--search"},
}


@pytest.fixture
def two(project: Project) -> Project:
    for rate in ("0.1", "0.2"):
        project.gitexp("log", "-p", f"lr={rate}", "-M", f"rmse={rate}", "-l", f"at{rate[-1]}")
    return project


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in COMMANDS if group is cli else group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def test_a_letter_means_the_same_on_every_command() -> None:
    odd = [
        (name, letter, option.opts)
        for name, command in commands(cli, "gitexp")
        for option in command.params
        for letter in option.opts
        if letter in SHORT
        and not getattr(option, "hidden", False)
        and SHORT[letter].isdisjoint(option.opts)
    ]
    assert odd == []


@pytest.mark.parametrize("name", READING)
def test_each_reading_command_takes_a_condition_and_prints_for_programs(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert {"--where", "--json", "--csv", "--md"} <= {
        word for option in command.params for word in option.opts
    }


def test_a_condition_chooses_what_is_compared_plotted_and_verified(two: Project) -> None:
    assert "exp-1" in two.gitexp("compare", "--where", "lr > 0", "--csv").splitlines()[0]
    assert two.gitexp("curve", "--where", "lr = 0.1", "rmse", "--csv").count("exp-") == 1
    assert [
        row["name"] for row in json.loads(two.gitexp("verify", "-w", "lr = 0.2", "--json"))
    ] == ["exp-2"]
    assert "exp-2" not in two.gitexp("verify", "--all", "-w", "label = at1")
    assert two.gitexp("diff", "--where", "lr > 0") == two.gitexp("diff", "exp-1", "exp-2")


def test_an_error_says_what_was_typed(two: Project) -> None:
    """Not the condition that --only-with stands for."""
    for name in ("list", "curve", "verify"):
        said = two.error(name, *["rmse"][: name == "curve"], "--only-with", "rmse,nosuch")
        assert said.startswith("no experiment has a param, metric or attribute 'nosuch'")
    said = two.error("list", "--only-with", "rmse", "--where", "lr >")
    assert said == "where 'lr >', at the end: expected a value"
    assert "'worse'" in two.error("list", "--only-with", "rmse", "--sort", "worse")


@pytest.mark.parametrize("name", ["list", "show", "status", "tried", "sweep", "why"])
def test_one_form_at_a_time(two: Project, name: str) -> None:
    given = {"show": ["1"], "sweep": ["-p", "x=1", "ls"], "why": ["1", "2"]}.get(name, [])
    said = two.error(name, "--json", "--csv", *given)
    assert said == "--json and --csv are two forms; leave one out"
    assert two.gitexp("list", "--json", "--json") == two.gitexp("list", "--json")


def test_a_condition_for_a_diff_must_match_two(two: Project) -> None:
    assert "must match two experiments, and matches 1" in two.error("diff", "-w", "lr = 0.1")
    assert "not both" in two.error("diff", "exp-1", "-w", "lr > 0")


def test_a_diff_prints_csv(two: Project) -> None:
    rows = two.gitexp("diff", "exp-1", "exp-2", "--csv").splitlines()
    assert rows[0] == "kind,name,change,a,b"
    assert "param,lr,changed,0.1,0.2" in rows
    assert "metric,rmse,changed,0.1,0.2" in rows


def test_a_diff_prints_the_files_that_commands_wrote_as_csv(project: Project) -> None:
    for text in "ab":
        program = f"open('out.txt', 'w').write({text!r})"
        project.gitexp("run", "--", sys.executable, "-c", program)
    rows = project.gitexp("diff", "exp-1", "exp-2", "--csv").splitlines()
    assert [row.split(",")[:3] for row in rows[1:2]] == [["output", "out.txt", "changed"]]


def test_status_is_csv_and_takes_a_condition(two: Project) -> None:
    two.git("init", "--bare", "--quiet", "there.git")
    two.git("remote", "add", "origin", "there.git")
    assert two.gitexp("status", "--csv").splitlines()[0] == "state,id,started,command"
    assert "not pushed,exp-1,," in two.gitexp("status", "--csv").splitlines()
    assert "exp-2" not in two.gitexp("status", "--where", "lr = 0.1")


def test_an_old_name_works_and_names_the_new_one(two: Project) -> None:
    done = two.run("diff", "exp-1", "exp-2", "--all")
    assert done.stdout == two.gitexp("diff", "exp-1", "exp-2", "--same")
    assert "--all is now called --same" in done.stderr
    done = two.run("export", "csv", "-m")
    assert done.stdout == two.gitexp("export", "csv", "--metrics")
    assert "-m is now called --metrics" in done.stderr
    assert "-n is now called --dry-run" in two.run("push", "-n").stderr
