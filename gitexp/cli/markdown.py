"""Markdown: tables whose cells are text, and a block of ours in a file of the user's."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from gitexp.cli import output
from gitexp.cli.files import write_file
from gitexp.formats.errors import GateError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings


def keep_block(file: Path, name: str, content: str, check: bool) -> None:
    """Bring a block of ours in a text file up to date; the rest of the file stays.

    Args:
        name: what the comments around it call it, ``leaderboard rmse``.
        check: write nothing, and raise GateError where it is not up to date.
    """
    try:
        if file.exists() and not file.is_file():
            raise UsageError(f"{file} is not a regular file; name one that is")
        text = file.read_bytes().decode() if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read as text: {error}") from None
    new = with_block(text, name, content)
    if check:
        if new != text:
            call = shlex.join(["gitexp", *(word for word in sys.argv[1:] if word != "--check")])
            raise GateError(f"{file} is out of date; to bring it up to date: {call}")
    elif new == text:
        output.say(f"{file} is up to date")
    else:
        write_file(file, new.encode("utf-8", "replace"))
        output.say(f"wrote {file}")


def with_block(text: str, name: str, content: str) -> str:
    """Return a file's text with a block of ours replaced; one that has none gets it at the end."""
    name = re.sub(r"-{2,}|[<>]", "-", name)  # what would end the comment
    start, end = f"<!-- gitexp:{name} -->", f"<!-- /gitexp:{name.partition(' ')[0]} -->"
    block = f"{start}\n{content}\n{end}"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda _: block, text, count=1)
    return f"{text.rstrip()}\n\n{block}\n" if text.strip() else f"{block}\n"


def varying(experiments: Sequence[Experiment]) -> list[str]:
    """Return the params in which experiments differ."""
    names = dict.fromkeys(name for item in experiments for name in item.params)
    return [
        name for name in names if len({repr(item.params.get(name)) for item in experiments}) > 1
    ]


def measured(item: Experiment, metric: str, base: Experiment | None, settings: Settings) -> str:
    """Return a metric's value, with its distance from the base's and a mark for better or worse
    where that is known."""
    from gitexp.formats.metrics import direction, is_better

    value = item.metrics.get(metric)
    before = base.metrics.get(metric) if base and base.id != item.id else None
    if value is None or before is None or value == before:
        return output.number(value)
    way = direction(metric, settings.metrics)
    better = is_better(way, value, before) if way else None
    mark = {True: " ✓", False: " ✗", None: ""}[better]
    return f"{output.number(value)} ({value - before:+.3g}{mark})"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose cells are text, whatever they hold."""
    return output.markdown(
        [escaped(cell) for cell in headers], [[escaped(cell) for cell in row] for row in rows]
    )


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is: no tag, link, picture or end of a comment in it."""
    plain = output.clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{char}" if char in "\\`*[]" else char for char in plain)
