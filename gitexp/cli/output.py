"""How commands print: tables for people, JSON, CSV and Markdown with full precision for programs,
talk on stderr."""

from __future__ import annotations

import collections
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import click

from gitexp.cli.declare import Command, option, together
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import portable

_DIGITS = 5  # significant, of a number for people
_LONGEST, _SHORTEST = 200, 8  # columns that a cell is cut to


def _form(ctx: click.Context, option: click.Parameter, given: bool) -> None:
    """Note which form was asked for; there is one."""
    before = ctx.params.setdefault("form", None)
    if given and before:
        raise UsageError(f"--{before} and --{option.name} are two forms; leave one out")
    ctx.params["form"] = option.name if given else before


_FORM: dict[str, Any] = {"expose_value": False, "callback": _form}
# a reading command gets as ``form`` which of them it is: None, json, csv or md
output_options = together(
    option("--json", "Print JSON.", **_FORM),
    option("--csv", "Print CSV.", **_FORM),
    option("--md", "Print a Markdown table.", **_FORM),
)
whole_option = option("--whole", "Show long lines and values whole, not cut with ….")


def renamed(old: str, new: str, name: str) -> Callable[[Command], Command]:
    """Have a flag's old name work for a release, with a line that says the new one; ``name`` is the
    parameter that it sets."""

    def set_by_old(ctx: click.Context, _: click.Parameter, given: bool) -> None:
        if given:
            say(f"{old} is now called {new}; the next release knows only that")
            ctx.default_map = {**(ctx.default_map or {}), name: True}

    how: Any = {"hidden": True, "is_eager": True, "expose_value": False, "callback": set_by_old}
    return option(old, f"The old name of {new}.", f"old_{name}", **how)


def say(text: str) -> None:
    """Print a line of talk for people, on stderr, without control characters."""
    click.echo(clean(text), err=True)


def discard_rest() -> None:
    """Have what is still to be printed go nowhere: nobody reads it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(text: object) -> None:
    """Say what went wrong, where the rest goes on."""
    say(f"warning: {text}")


class Progress:
    """How far something is: a line on stderr that is written over, where that is a terminal."""

    def __init__(self) -> None:
        self.on = sys.stderr.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        if self.on and text != self._shown:
            import shutil

            room = shutil.get_terminal_size().columns - 1
            click.echo(f"\r\x1b[K{cut(clean(text), room)}", err=True, nl=False)
            self._shown = text

    def clear(self) -> None:
        """Take it away, so that other text can follow."""
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)
            self._shown = ""


def styled(text: str, **style: Any) -> str:
    """Return text in colour where stdout is a terminal and NO_COLOR is not set."""
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR")
    return text if plain else click.style(text, **style)


# beyond those that JSON itself escapes
_STEERING = "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"


def print_json(value: Any) -> None:
    """Print JSON that every reader takes: NaN and infinities as the strings "nan", "inf" and
    "-inf"; characters that would steer a terminal are escaped."""
    text = json.dumps(portable(value), indent=2, ensure_ascii=False)
    click.echo(re.sub(_STEERING, lambda match: f"\\u{ord(match[0]):04x}", text))


def print_records(form: str | None, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in a form for programs, with full precision: json, csv or md."""
    if form == "json":
        print_json([dict(zip(headers, row)) for row in rows])
        return
    cells = [[exact(cell) for cell in row] for row in rows]
    if form == "csv":
        import csv

        csv.writer(sys.stdout, lineterminator="\n").writerows([headers, *cells])
    else:
        click.echo(markdown(headers, cells))


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    from tabulate import tabulate

    safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return tabulate(safe, headers=[*headers], tablefmt="pipe", disable_numparse=True)


def text_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] | None = None
) -> list[str]:
    """Return the lines of a plain table: columns two spaces apart, those marked in ``right``
    aligned to the right; without the headers where all are empty.

    Not through tabulate: `list` would take half as long again to start (its import reads package
    metadata).
    """
    columns, form = [], []
    for cells, at_right in zip(zip(headers, *rows), right or [False] * len(headers)):
        whole = "".join(cells)
        if whole.isascii() and "\x1b" not in whole:
            form.append(f"%{'' if at_right else '-'}{max(map(len, cells))}s")
        else:  # as wide as a terminal shows them
            widest, form = max(map(width, cells)), [*form, "%s"]
            room = [" " * (widest - width(cell)) for cell in cells]
            cells = tuple((f"{b}{a}" if at_right else f"{a}{b}") for a, b in zip(cells, room))
        columns.append(cells)
    line = "  ".join(form)
    lines = [(line % row).rstrip() for row in zip(*columns)]
    return lines if any(headers) else lines[1:]


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] | None = None
) -> None:
    """Print a plain table, line by line."""
    for line in text_table(headers, rows, right):
        click.echo(line)


def print_lines(lines: Iterable[str], whole: bool) -> None:
    """Print lines for people, on a terminal cut where it ends, unless they are wanted ``whole``."""
    room = None if whole else terminal_width()
    click.echo("\n".join(lines if room is None else (cut(line, room) for line in lines)))


def fitted(
    headers: Sequence[str], rows: Sequence[Sequence[str]], whole: bool, indent: int = 0
) -> list[list[str]]:
    """Return the rows of a table with the longest cells cut, so that its lines fit on the terminal;
    elsewhere no cell is longer than some lines of it."""
    room, most = terminal_width(), _LONGEST
    if room is not None:
        sizes = [max(map(width, cells)) for cells in zip(headers, *rows)]
        room -= indent + 2 * (len(sizes) - 1)
        caps = range(room, _SHORTEST, -1)
        fits = (cap for cap in caps if sum(min(size, cap) for size in sizes) <= room)
        most = next(fits, _SHORTEST)
    return [[cell if whole else cut(cell, most) for cell in row] for row in rows]


def fitted_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], whole: bool
) -> list[str]:
    """Return the lines of a table that fits below a title, indented by two; none without rows."""
    return text_table(headers, fitted(headers, rows, whole, indent=2), right) if rows else []


def cut(text: str, most: int) -> str:
    """Return text of at most so many columns, with … at its end where it had more."""
    if width(text) <= most:
        return text
    kept, left = "", most - 1
    for part in re.findall("\x1b\\[[0-9;]*m|.", text):
        left -= width(part)
        if left < 0:
            break
        kept += part
    return f"{kept}…" + ("\x1b[0m" if "\x1b" in kept else "")


def width(text: str) -> int:
    """Return how many columns a terminal needs for text: colours none, wide East Asian characters
    two."""
    if "\x1b" in text:
        text = click.unstyle(text)
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def terminal_width() -> int | None:
    """Return the terminal's width in columns, None where stdout is none."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def number(value: Any) -> str:
    """Return a value for people: five significant digits."""
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else clean(exact(value))


def numbers(values: Sequence[Any]) -> list[str]:
    """Return values for people that stand beside each other: floats that differ get as many digits
    as show it."""
    alike = [*{value + 0.0 for value in values if isinstance(value, float)}]  # -0 is 0
    shown: dict[float, str] = {}
    for digits in range(_DIGITS, 18):
        texts = [f"{value:.{digits}g}" for value in alike]
        shown.update(zip(alike, texts))
        times = collections.Counter(texts)
        alike = [value for value, text in zip(alike, texts) if times[text] > 1 and text != "nan"]
        if not alike:
            break
    return [
        shown[value] if isinstance(value, float) and value == value else number(value)
        for value in values
    ]


def number_rows(rows: Sequence[Sequence[Any]]) -> list[tuple[str, ...]]:
    """Return the rows of a table with each column as ``numbers`` shows it."""
    return [*zip(*map(numbers, zip(*rows)))] or [()] * len(rows)


def values(found: Mapping[str, Any], most: int | None = None) -> str:
    """Return the first of some named values for people: ``lr=0.1, depth=3``."""
    return ", ".join(f"{name}={number(found[name])}" for name in [*found][:most])


def exact(value: Any) -> str:
    """Return a value with full precision: lists and mappings as JSON, true and false as JSON and
    YAML have them."""
    if isinstance(value, (list, dict, tuple, bool)):
        return json.dumps(portable(value), ensure_ascii=False)
    return "" if value is None else str(value)


def clean(text: str) -> str:
    """Return text without control characters, which a repository of somebody else's may hold to
    write over the screen."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


def counted(number: int, what: str) -> str:
    """Return a number with what it counts: ``1 trial``, ``2,000 trials``."""
    return f"{number:,} {what}" + "s" * (number != 1)


def duration(seconds: float | None) -> str:
    """Return a duration for people: ``0.4s``, ``3m12s``, ``2h05m``."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f}s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
    return f"{int(seconds // 3600)}h{int(seconds % 3600 // 60):02d}m"


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment is, for people: ``3h ago``; the date where that is more than
    some weeks."""
    seconds = (now - moment).total_seconds()
    if seconds >= 30 * 86_400 or seconds < -60:
        return date.fromtimestamp(moment.timestamp()).isoformat()
    units = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
    size, unit = next((item for item in units if seconds >= item[0]), units[-1])
    return f"{max(seconds, 0) // size:.0f}{unit} ago"


def verdict(experiment: Experiment) -> str | None:
    """Return the verdict on an experiment, with who gave it and why."""
    event = experiment.judged
    if not event:
        return None
    by = f" by {event['by']}" if event.get("by") else ""
    return f"{event['verdict']}{by}" + (f": {event['because']}" if event.get("because") else "")
