"""An agent speaks to ``gitexp mcp`` with the official SDK's own client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Project
from recording import record

CLIENT = """
import asyncio, json, os, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

async def main():
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "gitexp", "mcp"], env=dict(os.environ))
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        print(*sorted(tool.name for tool in (await session.list_tools()).tools))
        for name, *arguments in json.loads(sys.argv[1]):
            told = await session.call_tool(name, {"arguments": arguments})
            print(told.content[0].text)

asyncio.run(main())
"""


def spoken(folder: Path, *calls: tuple[str, ...]) -> str:
    """Return the tools that a server in this folder has, and what these calls answered."""
    pytest.importorskip("mcp.server.mcpserver")
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(calls)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_agent_lists_runs_and_discards_and_cannot_delete(project: Project) -> None:
    record(project, {}, {"loss": 1.0})
    said = spoken(
        project.root,
        ("discard", "exp-1", "--because", "diverges"),
        ("run", "--", sys.executable, "-c", "print('loss=0.5')"),
        ("list", "--json"),
        ("show", "exp-9"),
    )
    tools = said.splitlines()[0].split()
    assert {"run", "list", "keep", "discard", "tried", "merge"} <= {*tools}
    assert not {"rm", "checkout", "doctor", "import"} & {*tools}
    assert "exp-1: discarded" in said
    assert "exp-2 " in said
    assert '"loss": 0.5' in said
    assert "no experiment 'exp-9'" in said
    assert "exit code 3" in said


def test_it_works_in_the_folder_where_it_began_and_cuts_what_is_too_long(project: Project) -> None:
    record(project, {"of_the_top": 1}, {"loss": 1.0})
    project.write("a/pyproject.toml", "[tool.gitexp]\nroot = true\n")
    project.write("a/train.py", "print('loss=0.5\\n' + 'x' * 999_999)")
    run = ("run", "--", sys.executable, "train.py")
    said = spoken(project.root / "a", run, ("list",), run, ("merge", "exp-2", "exp-3"))
    assert 200_000 < len(said) < 205_000
    assert "characters left out" in said
    assert "1 from its output" in said
    assert "of_the_top" not in said
    assert "to run this command: gitexp merge exp-2 exp-3 --yes" in said


def test_without_the_sdk_a_line_says_what_to_install(project: Project) -> None:
    try:
        import mcp.server.mcpserver  # noqa: F401
    except ImportError:
        assert "[mcp]" in project.error("mcp")
