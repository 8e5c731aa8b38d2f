"""Help for a command with many options: listed in sections, by what they are for, with examples at
the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click


class Sectioned(click.Command):
    """A command whose options come in sections.

    Args:
        sections: the name of the option that each section begins with, and the section's title.
        examples: shown last, a line each.
    """

    def __init__(
        self, *args: Any, sections: Mapping[str, str], examples: str, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._sections, self._examples = sections, examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: dict[str, list[tuple[str, str]]] = {}
        title = "Options"
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            title = self._sections.get(param.name or "", title)
            if record:
                found.setdefault(title, []).append(record)
        for title, records in found.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for line in self._examples.strip().splitlines():
                formatter.write(f"{'':{formatter.current_indent}}{line}\n" if line else "\n")
