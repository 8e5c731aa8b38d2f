"""What differs inside files that lines say little about: notebooks by cell, CSV files by row,
pictures and other binaries by size."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from gitexp.formats.errors import MissingExtraError
from gitexp.formats.message import readable
from gitexp.repo import Repo, blobs

_ROWS = 20  # of a CSV file that are shown
_LARGEST = 20 * 10**6


def described(repo: Repo, a: str, b: str, paths: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the paths of the files of that kind, and the lines that say what differs in each
    between two commits.

    Raises:
        MissingExtraError: there is a notebook among them, and nbdime is not installed.
    """
    for path in paths:
        (_, old), (_, new) = blobs.contents(repo, [f"{a}:{path}", f"{b}:{path}"], _LARGEST)
        if old is not None and new is not None and path.endswith(".ipynb"):
            yield path, notebook(old, new)
        elif old is not None and new is not None and path.endswith((".csv", ".tsv")):
            yield path, rows(old, new, "\t" if path.endswith(".tsv") else ",")
        elif b"\0" in (old or b"")[:8000] or b"\0" in (new or b"")[:8000]:
            sizes = ["not there" if data is None else readable(len(data)) for data in (old, new)]
            yield path, [" -> ".join(sizes)]


def notebook(old: bytes, new: bytes) -> list[str]:
    """Return the difference of two notebooks by cell, as nbdime tells it."""
    try:
        import nbdime
        import nbformat
        from nbdime.prettyprint import PrettyPrintConfig, pretty_print_diff
    except ImportError:
        raise MissingExtraError("a notebook's difference by cell", "notebook") from None
    try:
        before, after = (nbformat.reads(data.decode(), as_version=4) for data in (old, new))
    except (nbformat.reader.NotJSONError, UnicodeDecodeError, ValueError, AttributeError):
        return ["at least one cannot be read as a notebook"]
    target = io.StringIO()
    how = PrettyPrintConfig(out=target, use_git=False, use_diff=False, use_color=False)
    pretty_print_diff(before, nbdime.diff_notebooks(before, after), "", how)
    return target.getvalue().splitlines()


def rows(old: bytes, new: bytes, delimiter: str = ",") -> list[str]:
    """Return the rows of two CSV files that differ; of changed ones the cells, by the names of
    their columns."""
    try:
        before, after = (
            [*csv.reader(io.StringIO(data.decode("utf-8-sig")), delimiter=delimiter)]
            for data in (old, new)
        )
    except (UnicodeDecodeError, csv.Error):
        return ["at least one cannot be read as CSV"]
    header = after[0] if after else []
    found: list[str] = []
    for kind, i, j, k, m in SequenceMatcher(
        None, [*map(tuple, before)], [*map(tuple, after)], autojunk=False
    ).get_opcodes():
        if kind == "equal":
            continue
        paired = min(j - i, m - k)
        found += [
            f"row {k + at}: {_cells(before[i + at], after[k + at], header)}" for at in range(paired)
        ]
        found += [
            f"row {i + at} removed: {', '.join(before[i + at])}" for at in range(paired, j - i)
        ]
        found += [f"row {k + at} added: {', '.join(after[k + at])}" for at in range(paired, m - k)]
    return found if len(found) <= _ROWS else [*found[:_ROWS], f"and {len(found) - _ROWS} more rows"]


def _cells(old: list[str], new: list[str], header: list[str]) -> str:
    wide = max(len(old), len(new))
    names = [header[at] if at < len(header) else str(at + 1) for at in range(wide)]
    filled = ([*row, *[""] * (wide - len(row))] for row in (old, new))
    return ", ".join(
        f"{name} {before} -> {after}"
        for name, before, after in zip(names, *filled)
        if before != after
    )
