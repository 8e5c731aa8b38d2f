"""Write docs/commands.md from the help of the commands themselves, so that the page cannot drift
from them.

python docs/make_commands.py            # write it
python docs/make_commands.py --check    # exit code 1 where it is not up to date
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from gitexp.cli import ALIASES, COMMANDS, cli

PAGE = Path(__file__).with_name("commands.md")
_HEAD = """# Commands

What `gitexp COMMAND --help` prints, for every command. This page is made by `make docs`.
"""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD, _section("gitexp", cli)]
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        parts += [
            _section(f"gitexp {path}", found) for path, found in _with_subcommands(name, command)
        ]
    return "\n".join(parts)


def _with_subcommands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _with_subcommands(f"{path} {name}", found)


def _section(path: str, command: click.Command) -> str:
    help_options = {"help_option_names": ["-h", "--help"]}
    context = click.Context(
        command, info_name=path, terminal_width=100, max_content_width=100, **help_options
    )  # type: ignore[arg-type]
    aliases = [alias for alias, name in ALIASES.items() if path == f"gitexp {name}"]
    also = f"\nAlso: `gitexp {aliases[0]}`.\n" if aliases else ""
    return f"## {path}\n{also}\n```text\n{command.get_help(context).rstrip()}\n```\n"


def main() -> None:
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{os.path.relpath(PAGE)} is not what the commands say; run: make docs")


if __name__ == "__main__":
    main()
