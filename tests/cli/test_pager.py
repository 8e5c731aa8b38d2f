"""Long output on a real terminal goes through the user's pager, and nothing else does."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import recording
from conftest import Project
from terminal import Terminal

LINES = 12
SHOUT = "sed -e s/^/paged:/"
less = pytest.mark.skipif(shutil.which("less") is None, reason="less is not installed")


@pytest.fixture
def terminal(project: Project) -> Iterator[Callable[..., Terminal]]:
    """Runs gitexp in terminals, in a project with more experiments than a terminal has lines."""
    opened: list[Terminal] = []

    def run(*command: str, **env: str) -> Terminal:
        opened.append(
            Terminal(project.root, sys.executable, "-m", "gitexp", *command, lines=LINES, **env)
        )
        return opened[-1]

    for at in range(LINES + 3):
        recording.record(project, {"lr": at}, {"rmse": [float(at), at + 0.5]}, advance=False)
    yield run
    for one in opened:
        one.close()


Run = Callable[..., Terminal]


def paged(seen: str) -> list[str]:
    """Return the lines that went through ``SHOUT``."""
    return [line.removeprefix("paged:") for line in seen.splitlines() if line.startswith("paged:")]


def test_a_table_longer_than_the_terminal_goes_through_the_pager_whole_and_in_colour(
    terminal: Run,
) -> None:
    seen = terminal("list", GITEXP_PAGER=SHOUT).done()
    lines = paged(seen)
    assert len(lines) == LINES + 4
    assert lines[0].startswith("\x1b[1mname")
    assert lines[-1].startswith("exp-1 ")


def test_what_fits_is_printed_without_a_pager(terminal: Run) -> None:
    seen = terminal("list", "-n", str(LINES - 2), GITEXP_PAGER=SHOUT).done()
    assert not paged(seen)
    assert len(seen.splitlines()) == LINES - 1
    assert paged(terminal("list", "-n", str(LINES - 1), GITEXP_PAGER=SHOUT).done())


def test_lines_that_wrap_count_as_the_rows_that_they_take(terminal: Run, project: Project) -> None:
    recording.record(
        project, {f"{'x' * 70}{at}": "long " * 30 for at in range(4)}, name="wide", advance=False
    )
    assert paged(terminal("diff", "exp-1", "wide", GITEXP_PAGER=SHOUT).done())


@pytest.mark.parametrize(
    "command",
    [
        "list --json",
        "list --csv",
        "show exp-1",
        "best rmse",
        "curve rmse",
        "compare exp-1 exp-2 --same",
        "leaderboard -n 30 --metric rmse",
    ],
)
def test_each_reading_command_is_paged(terminal: Run, command: str) -> None:
    assert len(paged(terminal(*command.split(), GITEXP_PAGER=SHOUT).done())) >= LINES - 1


def test_a_patch_is_paged_in_colour_and_keeps_the_exit_code(
    terminal: Run, project: Project
) -> None:
    project.write("train.py", "".join(f"step({at})\n" for at in range(LINES)))
    seen = terminal("diff", "exp-1", "--code", "--exit-code", GITEXP_PAGER=SHOUT).done(code=1)
    assert "\x1b[32m+step(0)" in paged(seen)[-LINES]


def test_into_a_pipe_nothing_is_paged(terminal: Run, project: Project) -> None:
    assert "paged:" not in project.gitexp("list", env={"GITEXP_PAGER": SHOUT, "LINES": "3"})


@pytest.mark.parametrize(
    "env",
    [
        {"GITEXP_PAGER": "cat"},
        {"GITEXP_PAGER": ""},
        {"GIT_PAGER": "cat"},
        {"PAGER": "cat"},
        {"TERM": "dumb"},
    ],
)
def test_a_pager_can_be_switched_off_by_a_variable(terminal: Run, env: dict[str, str]) -> None:
    assert len(terminal("list", **{"PAGER": SHOUT, **env}).done().splitlines()) == LINES + 4
    assert not paged(terminal("list", **{"PAGER": SHOUT, **env}).done())


def test_no_pager_switches_it_off(terminal: Run) -> None:
    assert not paged(terminal("--no-pager", "list", GITEXP_PAGER=SHOUT).done())
    assert not paged(terminal("-P", "list", GITEXP_PAGER=SHOUT).done())


def test_the_pagers_come_in_gits_order(terminal: Run, project: Project) -> None:
    def named(word: str) -> str:
        return f"sed -e s/^/{word}:/"

    chain = {"GITEXP_PAGER": named("a"), "GIT_PAGER": named("b"), "PAGER": named("d")}
    project.git("config", "--global", "core.pager", named("c"))
    for word in "abcd":
        assert f"\n{word}:exp-1 " in terminal("list", **chain).done()
        chain.pop({"a": "GITEXP_PAGER", "b": "GIT_PAGER"}.get(word, ""), None)
        if word == "c":
            project.git("config", "--global", "--unset", "core.pager")


@pytest.mark.parametrize("scope", ["--local", "--worktree"])
def test_the_pager_of_the_repositorys_own_configuration_is_never_run(
    terminal: Run, project: Project, scope: str
) -> None:
    project.git("config", "extensions.worktreeConfig", "true")
    project.git("config", scope, "core.pager", "touch hostile; cat")
    project.git("config", scope, "pager.list", "touch hostile; cat")
    terminal("list", PAGER=SHOUT).done()
    assert not (project.root / "hostile").exists()


def test_a_pager_with_a_pipe_in_it_runs_in_a_shell_as_for_git(terminal: Run) -> None:
    assert "got exp-1 " in terminal("list", GIT_PAGER="grep '^exp-1 ' | sed 's/^/got /'").done()


@pytest.mark.parametrize("pager", ["no-such-pager", "no-such-pager 'quoted'"])
def test_a_missing_pager_is_no_error(terminal: Run, pager: str) -> None:
    seen = terminal("list", GIT_PAGER=pager).done()
    assert "\nexp-1 " in seen
    assert f"the pager '{pager}' could not be started" in seen.splitlines()[-1]


def test_without_less_the_text_is_just_printed(terminal: Run, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    git = shutil.which("git")
    assert git
    (tmp_path / "bin/git").symlink_to(git)
    seen = terminal("list", PATH=str(tmp_path / "bin")).done()
    assert len(seen.splitlines()) == LINES + 4


def test_a_pager_that_reads_nothing_is_no_error(terminal: Run) -> None:
    assert "Broken" not in terminal("list", "--json", GIT_PAGER="true").done()


@less
def test_less_shows_the_first_page_and_q_leaves_it(terminal: Run) -> None:
    shown = terminal("list")
    first = shown.until(f"exp-{LINES - 3} ")
    assert "exp-1 " not in first
    shown.type("q")
    shown.done()


@less
def test_ctrl_c_is_for_the_pager_and_does_not_end_gitexp(terminal: Run) -> None:
    shown = terminal("list")
    shown.until(f"exp-{LINES - 3} ")
    shown.type("\x03")
    shown.type_until("G", "exp-1 ")  # to the end: the pager is still there, with all of the text
    shown.type("q")
    assert "interrupted" not in shown.done()


def test_a_pager_that_ctrl_c_ends_ends_quietly(terminal: Run) -> None:
    shown = terminal("list", GIT_PAGER="head -n 1; echo waiting; exec sleep 1000")
    shown.until("waiting")
    shown.type("\x03")
    assert "interrupted" not in shown.done()


def test_talk_comes_after_the_pager_where_it_can_be_seen(terminal: Run) -> None:
    columns = "id,author,email,branch,started,duration,status,rmse,lr,labels,group,notes,command"
    seen = terminal("list", "--columns", columns, GITEXP_PAGER=SHOUT).done()
    assert paged(seen)
    assert seen.splitlines()[-1].startswith("no room for: ")


def test_what_a_failing_command_said_is_one_line_as_ever(terminal: Run) -> None:
    seen = terminal("show", "exp-99", GITEXP_PAGER=SHOUT).done(code=3)
    assert len(seen.splitlines()) == 1
    assert seen.startswith("gitexp: ")
