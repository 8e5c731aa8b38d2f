"""An agent speaks to ``gitexp mcp`` with the official SDK's own client."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Project
from recording import record

CLIENT = """
import asyncio, os, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

async def main():
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "gitexp", "mcp"], env=dict(os.environ))
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        print(*sorted(tool.name for tool in (await session.list_tools()).tools))
        for name, arguments in (
            ("discard", ["exp-1", "--because", "diverges"]),
            ("run", ["--", sys.executable, "-c", "print('loss=0.5')"]),
            ("list", ["--json"]),
            ("show", ["exp-9"]),
        ):
            told = await session.call_tool(name, {"arguments": arguments})
            print(told.content[0].text)

asyncio.run(main())
"""


def test_an_agent_lists_runs_and_discards_and_cannot_delete(project: Project) -> None:
    pytest.importorskip("mcp.server.mcpserver")
    record(project, {}, {"loss": 1.0})
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], capture_output=True, text=True, env=env, timeout=120
    )
    assert done.returncode == 0, done.stderr
    tools = done.stdout.splitlines()[0].split()
    assert {"run", "list", "keep", "discard", "tried", "merge"} <= {*tools}
    assert not {"rm", "checkout", "doctor", "import"} & {*tools}
    assert "exp-1: discarded" in done.stdout
    assert "exp-2 " in done.stdout
    assert '"loss": 0.5' in done.stdout
    assert "no experiment 'exp-9'" in done.stdout
    assert "exit code 3" in done.stdout


def test_without_the_sdk_a_line_says_what_to_install(project: Project) -> None:
    try:
        import mcp.server.mcpserver  # noqa: F401
    except ImportError:
        assert "[mcp]" in project.error("mcp")
