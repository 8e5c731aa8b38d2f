"""For coding agents: ``gitexp agent init`` writes what they have to know into the file that they
read, and ``gitexp mcp`` serves the commands that they need over stdin and stdout. None of these
deletes anything."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from gitexp.cli import COMMANDS, named
from gitexp.cli.declare import FILE, argument, option
from gitexp.cli.markdown import keep_block
from gitexp.formats.extras import needed
from gitexp.repo import Repo

_FOR_AGENTS = ("run", "tried", "list", "show", "diff", "gate", "keep", "discard", "merge", "tree",
               "book", "checkout", "curve", "recover")  # fmt: skip
TOOLS = ("run", "tried", "list", "show", "diff", "compare", "tree", "curve", "gate", "status",
         "keep", "discard", "merge")  # fmt: skip
_LONGEST = 100_000  # characters of an answer, which costs its reader more than a screen
_WRITES = ("run", "keep", "discard", "merge", "gate")  # gate may run a judge

_HEAD = """## Experiments: gitexp

Run every training through gitexp, never directly. Do not commit first: a run records the code as it
is when it starts, new files too, and `git reset --hard` loses none of it.

    gitexp tried -p lr=0.01
    gitexp run --because "why it should help" -- python train.py --lr 0.01
    gitexp keep exp-7 --because "what was seen"
    gitexp discard exp-8 --because "what was seen"

The answer is on stdout, talk on stderr; `--json` on whatever reads. Exit code 1: a check says no;
2: asked wrongly, and one line says what to do; 3: no such experiment. `gitexp run` passes on the
code of its command. What the commands say of themselves (`gitexp COMMAND --help` says all):
"""


@click.group("agent")
def agent_command() -> None:
    """Tell a coding agent how experiments are run here."""


@agent_command.command("init")
@argument("[FILE]", type=FILE)
@option("--check", "Write nothing; exit with 1 where the section is not up to date.")
def init_command(file: Path | None, check: bool) -> None:
    """Write a section on gitexp into an agent's instructions file.

    FILE is AGENTS.md at the top of the repository, or CLAUDE.md where only that is there. The
    section is made of the commands' own help and stands between two comments; what else is in the
    file stays, and writing it again brings it up to date.

    \b
    Examples:
      gitexp agent init
      gitexp agent init --check
    """
    if file is None:
        agents, claude = (Repo.discover().root / name for name in ("AGENTS.md", "CLAUDE.md"))
        file = claude if claude.exists() and not agents.exists() else agents
    keep_block(file, "agent", section(), check)


def section() -> str:
    """Return the section: how to work, and what each command says of itself."""
    lines = [f"- `{usage(name)}`: {COMMANDS[name][1]}" for name in _FOR_AGENTS]
    return "\n".join([_HEAD, *lines])


def usage(name: str) -> str:
    """Return how a command is called."""
    command = named(name)
    words = command.collect_usage_pieces(click.Context(command, info_name=name))
    return " ".join(["gitexp", name, *words])


@click.command("mcp")
def mcp_command() -> None:
    """Serve this repository's experiments to an agent, as an MCP server over stdin and stdout.

    Its tools are list, show, diff, compare, tree, curve, tried and status, and run, keep, discard,
    merge and gate; none of them deletes anything. Needs gitexp[mcp].

    \b
    Example:
      gitexp -C my-project mcp
    """
    server = needed("mcp.server.mcpserver", "gitexp mcp", "mcp").MCPServer(
        "gitexp", instructions="Experiments of a git repository: each run is a commit with a tag."
    )
    annotations = needed("mcp_types", "gitexp mcp", "mcp").ToolAnnotations
    Repo.discover()
    for name in TOOLS:
        hints = annotations(read_only_hint=name not in _WRITES, destructive_hint=False)
        command = named(name)
        told = command.get_help(click.Context(command, info_name=f"gitexp {name}"))
        server.add_tool(_tool(name), name, description=told, annotations=hints)
    server.run("stdio")


def _tool(name: str) -> Callable[[list[str]], str]:
    import subprocess

    def tool(arguments: list[str]) -> str:
        if name == "diff" and any(word.startswith("--html") for word in arguments):
            return "--html writes a file, which this tool does not; leave it out"
        done = subprocess.run(
            [sys.executable, "-m", "gitexp", name, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        said = [done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")]
        return "\n".join([*map(_cut, filter(None, said)), f"exit code {done.returncode}"])

    return tool


def _cut(text: str) -> str:
    """Return the beginning and the end of what is too long."""
    if (left := len(text) - _LONGEST) <= 0:
        return text
    half = _LONGEST // 2
    told = f"[... {left:,} characters left out; a run's output: gitexp get REF .gitexp/output.log]"
    return f"{text[:half]}\n{told}\n{text[-half:]}"
