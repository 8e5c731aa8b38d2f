"""TAB in real shells offers experiments, metrics, params and files, and puts nothing on the line
that would run by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Project
from recording import record
from terminal import Terminal

SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "PS1='ready> '; bind 'set enable-bracketed-paste off'; ",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "PS1='ready> '; bindkey -e; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u; ",
    ),
}
ENV = {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "TERM": "dumb",
    "HISTFILE": "",
}


@pytest.fixture
def project(project: Project) -> Project:
    """Two experiments, one of them with names that no shell should run."""
    record(project, {"lr": 1, "model.depth": 3}, {"rmse": 2.0, "val_loss": 0.5}, advance=False)
    record(
        project,
        {"lr": 2},
        {"rmse": 3.0, "z$(touch hostile)": 1.0, "z`touch hostile`": 1.0},
        advance=False,
    )
    return project


class Shell:
    """A shell that says what is on its line after TAB."""

    def __init__(self, folder: Path, name: str) -> None:
        command, settings = SHELLS[name]
        self.terminal = Terminal(folder, *command, lines=24, **ENV)
        self.number = 0
        self.terminal.type(
            f'{settings}eval "$(_GITEXP_COMPLETE={name}_source gitexp)"; echo "be"gin\r'
        )
        self.terminal.until("begin")

    def words(self, typed: str) -> list[str]:
        """Type something and TAB, and return the words that the shell makes of the line."""
        self.number += 1
        self.terminal.type(f"{typed}\t")
        self.terminal.type(f"\x01printf '<%s>' sta'rt'{self.number} \x05 e'nd'{self.number}\r")
        seen = self.terminal.until(f"<end{self.number}>")
        printed = seen[seen.rindex(f"<start{self.number}>") :]
        return (
            printed.removeprefix(f"<start{self.number}>")
            .partition(f"<end{self.number}>")[0]
            .strip("<>")
            .split("><")
        )


@pytest.fixture
def shell(project: Project, request: pytest.FixtureRequest) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    opened = Shell(project.root, request.param)
    yield opened
    opened.terminal.close()


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS, indirect=True)
def test_tab_completes_what_a_person_types(shell: Shell) -> None:
    assert shell.words("gitexp lea") == ["gitexp", "leaderboard"]
    assert shell.words("gitexp list --group") == ["gitexp", "list", "--group-by"]
    assert shell.words("gitexp show best:v") == ["gitexp", "show", "best:val_loss"]
    assert shell.words("gitexp diff exp-1..worst:v") == ["gitexp", "diff", "exp-1..worst:val_loss"]
    assert shell.words("gitexp list --columns rmse,va") == [
        "gitexp",
        "list",
        "--columns",
        "rmse,val_loss",
    ]
    assert shell.words("gitexp list --sort=val") == ["gitexp", "list", "--sort=val_loss"]
    assert shell.words("gitexp list --where 'lr < 2 and val")[3].strip() == "lr < 2 and val_loss"
    assert shell.words("gitexp log --param mod")[3:] == ["model.depth="]
    assert shell.words("gitexp run -- python tr") == ["gitexp", "run", "--", "python", "train.py"]


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS, indirect=True)
def test_a_name_of_somebody_elses_is_never_run(shell: Shell, project: Project) -> None:
    assert shell.words("gitexp best z\\$")[2] in ("z$", "z$(touch hostile)")
    assert shell.words("gitexp best z\\`")[2] in ("z`", "z`touch hostile`")
    assert not (project.root / "hostile").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("gitexp show exp-", ["exp-2", "exp-1"]),
        ("gitexp show best:v", ["best:val_loss"]),
        ("gitexp list --columns rmse,va", ["rmse,val_loss"]),
        ("gitexp list --sort=val", ["--sort=val_loss"]),
        ("gitexp log --param mod", ["model.depth="]),
        ("gitexp run -- python tr", ["train.py"]),
    ],
)
def test_fish_offers_the_same(project: Project, typed: str, offered: list[str]) -> None:
    script = f"_GITEXP_COMPLETE=fish_source gitexp | source; complete --do-complete '{typed}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, **ENV},
    )
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == offered, done.stderr
