"""``gitexp mcp``: the commands that an agent needs as tools of the Model Context Protocol, over
stdin and stdout. None of them deletes anything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import click

from gitexp.formats.extras import needed
from gitexp.repo import Repo

TOOLS = ("run", "tried", "list", "show", "diff", "compare", "tree", "curve", "gate", "status",
         "keep", "discard", "merge")  # fmt: skip
_WRITES = ("run", "keep", "discard", "merge", "gate")  # gate may run a judge


@click.command("mcp")
def mcp_command() -> None:
    """Serve this repository's experiments to an agent, as an MCP server over stdin and stdout.

    Its tools are the commands that read, and run, keep, discard and merge; nothing that deletes.
    Needs gitexp[mcp].

    \b
    Example:
      gitexp -C my-project mcp
    """
    server = needed("mcp.server.mcpserver", "gitexp mcp", "mcp").MCPServer(
        "gitexp", instructions="Experiments of a git repository: each run is a commit with a tag."
    )
    annotations = needed("mcp_types", "gitexp mcp", "mcp").ToolAnnotations
    repo = Repo.discover()
    for name in TOOLS:
        hints = annotations(read_only_hint=name not in _WRITES, destructive_hint=False)
        server.add_tool(_tool(repo, name), name, description=_help(name), annotations=hints)
    server.run("stdio")


def _tool(repo: Repo, name: str) -> Callable[[list[str]], str]:
    def tool(arguments: list[str]) -> str:
        if name == "diff" and any(word.startswith("--html") for word in arguments):
            return "--html writes a file, which this tool does not; leave it out"
        done = subprocess.run(
            [sys.executable, "-m", "gitexp", "--no-pager", name, *arguments],
            cwd=repo.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        said = [done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")]
        return "\n".join([*filter(None, said), f"exit code {done.returncode}"])

    return tool


def _help(name: str) -> str:
    from gitexp.cli import named

    command = named(name)
    return command.get_help(click.Context(command, info_name=f"gitexp {name}"))
