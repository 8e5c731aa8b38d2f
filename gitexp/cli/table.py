"""Tables of columns that are chosen to fit onto the terminal: what ``list`` prints, of experiments
or of groups of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import click

from gitexp.cli import output
from gitexp.formats.message import one_line, portable, some
from gitexp.store.query import Key

WIDEST = 40  # columns of the terminal for one cell
NAMED = 12  # columns that a line on stderr names
_NARROW = 20  # of one cell before the last numbers, where not all columns have room


class Column(NamedTuple):
    """One column of a table for people."""

    header: str
    cells: list[str]
    right: bool = False

    @property
    def size(self) -> int:
        """How much room it needs, with the space after it."""
        return max(map(output.width, (self.header, *self.cells))) + 2

    def cut(self, most: int) -> Column:
        """Return it with no cell wider than that."""
        return self._replace(cells=[output.cut(cell, most) for cell in self.cells])


def headers_of(keys: Sequence[Key]) -> list[str]:
    """Return a header for each key: its bare name, unless a param and a metric share it."""
    names = [key.name for key in keys]
    return [output.clean(key.full if names.count(key.name) > 1 else key.name) for key in keys]


def texts(key: Key, values: Sequence[Any], started: Callable[[datetime], str]) -> list[str]:
    """Return the values of a key as a table shows them to people; ``started`` spells a time."""
    if key.family != "attribute":
        return output.numbers(values)
    if key.kind == "set":
        return [output.clean(", ".join(value)) for value in values]
    spelt: dict[str, Callable[[Any], str]] = {
        "started": started,
        "duration": output.duration,
        "id": lambda value: value[:10],
        "because": lambda value: output.clean(one_line(value or "")),
    }
    return [*map(spelt.get(key.name, output.number), values)]


def flat(value: Any) -> Any:
    """Return a value as a cell for programs holds it."""
    return ", ".join(value) if isinstance(value, tuple) else portable(value)


def print_columns(
    columns: list[Column], pinned: Sequence[str], whole: bool, hidden: str | None = None
) -> None:
    """Print the columns that fit, and the ``pinned`` in any case; say what is hidden or has no
    room."""
    said = [hidden] if hidden else []
    room = output.terminal_width()
    if room is not None and not whole:
        columns, dropped = _fitting([column.cut(WIDEST) for column in columns], pinned, room + 2)
        said += [f"no room for: {some(dropped, NAMED)}"] if dropped else []
    headers, cells, right = zip(*columns)
    lines = output.text_table(headers, [*zip(*cells)], right)
    click.echo(output.styled(lines[0], bold=True))
    for start in range(1, len(lines), 1000):  # in parts, which take less memory than the whole
        click.echo("\n".join(lines[start : start + 1000]))
    if said:
        output.say(f"{'; '.join(said)} (--columns picks, --all-columns shows all)")


def _fitting(
    columns: list[Column], pinned: Sequence[str], room: int
) -> tuple[list[Column], list[str]]:
    """Return the columns that have room, and the headers of the others."""
    sizes = [column.size for column in columns]
    if sum(sizes) > room:
        numbers = max((at for at, column in enumerate(columns) if column.right), default=0)
        columns = [
            column.cut(_NARROW) if 0 < at < numbers else column for at, column in enumerate(columns)
        ]
        sizes = [column.size for column in columns]
    first = sorted(range(len(columns)), key=lambda at: (at > 0, columns[at].header not in pinned))
    kept = set()
    for at in first:
        if at == 0 or columns[at].header in pinned or sizes[at] <= room:
            kept.add(at)
            room -= sizes[at]
    dropped = [column.header for at, column in enumerate(columns) if at not in kept]
    return [columns[at] for at in sorted(kept)], dropped
