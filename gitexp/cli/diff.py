"""``gitexp diff``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gitexp.cli import output, pager
from gitexp.cli.declare import FILE, argument, option
from gitexp.cli.opened import Selection, chosen, opened, where_option
from gitexp.compare import diff
from gitexp.compare.diff import Diff, FileChange, MetricChange
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import readable, some
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.repo.dvc_pointers import DataChange
from gitexp.store import reference
from gitexp.store.index import Index

_SHORT = {"added": "A", "removed": "D", "changed": "M", "renamed": "R", "type changed": "T"}
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_HEADLINES = ("diff ", "index ", "--- ", "+++ ", "new file", "deleted file", "rename ",
              "similarity ")  # fmt: skip
_MOST_FILES = 4
_MOST = 20  # characters in which two long values may agree
Row = tuple[str, ...]


@click.command("diff")
@argument("[A]")
@argument("[B]")
@option("--code", "Print the code's difference as a patch, and nothing else.")
@option("--path PATH...", "Limit the code to this file or folder, from the top of the repository.")
@where_option
@output.renamed("--all", "--same", "everything")
@option("--same", "Also show the params and metrics that are equal.", "everything")
@option("--exit-code", "Exit with 1 where anything differs.")
@option(
    "--cells",
    "Show what differs inside notebooks (by cell), CSV files (by row) and binary files (size).",
)
@option("--html FILE", "Write it as an HTML page (a report of the two).", type=FILE)
@output.whole_option
@output.output_options
@pager.paged
def diff_command(
    a: str | None,
    b: str | None,
    code: bool,
    path: tuple[str, ...],
    where: str | None,
    everything: bool,
    exit_code: bool,
    cells: bool,
    html: Path | None,
    whole: bool,
    form: str | None,
) -> int:
    """Show what differs between the experiments A and B: params, metrics, code, packages, data and
    command.

    Without B the other side is the work tree as it is now; without A, too, it is compared with the
    latest experiment. With --where it is the two experiments that match, the older one first.

    \b
    Examples:
      gitexp diff exp-3 exp-7
      gitexp diff exp-3..best:rmse
      gitexp diff @ --code
      gitexp diff exp-3 exp-7 --html why.html
    """
    repo, settings, index = opened()
    one, other = _sides(index, settings, a, b, where)
    if code:
        patch = diff.patch(index, settings, one, other, path)
        _print_patch(patch)
        return int(exit_code and bool(patch))
    found = diff.compare(index, settings, one, other, path)
    if html:
        _write_html(repo, settings, one, other, html)
    elif form == "json":
        facts = {**asdict(found), "data": [item._asdict() for item in found.data]}.items()
        output.print_json(
            {name: value for name, value in facts if everything or not name.startswith("same_")}
        )
    elif form == "csv":
        headers = ("kind", "name", "change", "a", "b")
        output.print_records(form, headers, [*_records(found, everything)])
    elif form == "md":
        click.echo("\n".join(_markdown(found, everything)))
    else:
        output.print_lines(_text(found, one, other, everything, whole), whole)
    if cells and other and not form:
        _print_cells(repo, one, other, found)
    for name, why in found.left_out:
        output.say(f"not compared: {name} ({why})")
    return int(exit_code and found.differs)


def _sides(
    index: Index, settings: Settings, a: str | None, b: str | None, where: str | None
) -> tuple[Experiment, Experiment | None]:
    """Return the experiments that ``A B``, ``A..B``, ``A..`` (up to the work tree, None), ``..B``
    (from the latest) or a condition names; for that the older one first."""
    if where is None:
        if a and b is None and ".." in a and not index.named(a):
            a, _, b = a.partition("..")
        second = reference.resolve(index, b, settings) if b else None
        return reference.resolve(index, a or "@", settings), second
    found = chosen(index, settings, Selection((), where))
    if a is not None:
        raise UsageError("name experiments, or use --where, not both")
    if len(found) != 2:
        more = "to compare them all: gitexp compare" if found[2:] else "to see them: gitexp list"
        raise UsageError(
            f"--where must match two experiments, and matches {len(found)}; {more} --where"
            f" {shlex.quote(where)}"
        )
    return found[1], found[0]


def _records(found: Diff, everything: bool) -> Iterator[tuple[Any, ...]]:
    """Yield ``(kind, name, change, a, b)`` for each difference; files have no ``a`` and ``b``."""
    for kind, changes in (("param", found.params), ("package", found.environment)):
        for change in changes:
            yield kind, change.name, change.kind, change.a, change.b
    for one in found.metrics:
        way = "added" if one.a is None else "removed" if one.b is None else "changed"
        yield "metric", one.name, way, one.a, one.b
    for item in found.outputs:
        yield "output", item.path, item.status, *(side and side[0] for side in (item.a, item.b))
    for data in found.data:
        yield "data", data.path, data.status, data.a, data.b
    for kind, files in (("code", found.code), ("artifact", found.artifacts)):
        for file in files:
            yield kind, file.path, file.status, None, None
    if found.command:
        yield "command", "", "changed", *found.command
    if everything:
        for kind, same in (("param", found.same_params), ("metric", found.same_metrics)):
            for name, value in same.items():
                yield kind, name, "same", value, value


def _write_html(
    repo: Repo, settings: Settings, one: Experiment, other: Experiment | None, path: Path
) -> None:
    from gitexp.cli.report import pair_address, write_page

    if other is None:
        raise UsageError(
            "--html compares two experiments, and the work tree is none; name both: gitexp diff"
            " exp-3 exp-7 --html FILE"
        )
    write_page(
        repo, settings, [one, other], path, f"{one.name} → {other.name}", pair_address(one, other)
    )
    output.say(f"wrote {path}")


def _print_cells(repo: Repo, one: Experiment, other: Experiment, found: Diff) -> None:
    from gitexp.report import file_diffs

    paths = [item.path for item in (*found.code, *found.artifacts)]
    for path, lines in file_diffs.described(repo, one.id, other.id, paths):
        click.echo(f"\n{output.styled(output.clean(path), bold=True)}")
        for line in lines:
            click.echo(f"  {output.clean(line)}")


def _text(
    found: Diff, one: Experiment, other: Experiment | None, everything: bool, whole: bool
) -> Iterator[str]:
    names = [f"{side.name} ({side.short})" if side else diff.WORK_TREE for side in (one, other)]
    yield output.clean(" -> ".join(names))
    if not found.differs:
        yield "no difference" + (" but in files that were not compared" if found.left_out else "")
    for title, headers, rows in _sections(found, everything, whole):
        cells = [[*map(output.clean, row)] for row in rows]
        cells = cells if whole else [*map(_from_difference, cells)]
        right = [
            (title == "metrics" and 0 < at < 5) or header in ("+", "-")
            for at, header in enumerate(headers)
        ]
        yield ""
        yield output.styled(title, bold=True)
        for line in output.fitted_table(headers, cells, right, whole):
            yield f"  {_judged(line) if title == 'metrics' else line}"


def _judged(line: str) -> str:
    """Colour the last word of a metric's line."""
    for word, colour in (("better", "green"), ("worse", "red")):
        if line.endswith(f" {word}"):
            return line.removesuffix(word) + output.styled(word, fg=colour)
    return line


def _markdown(found: Diff, everything: bool) -> Iterator[str]:
    yield f"## {_escaped(found.a)} -> {_escaped(found.b)}"
    if not found.differs:
        yield "\nNo difference."
    for title, headers, rows in _sections(found, everything, full=True):
        yield f"\n### {title.capitalize()}\n"
        yield output.markdown(headers, [[*map(_escaped, row)] for row in rows])


def _escaped(text: str) -> str:
    return output.clean(text).replace("<", "&lt;")


def _sections(found: Diff, everything: bool, full: bool) -> list[tuple[str, Row, list[Row]]]:
    """Return ``(title, headers, rows)`` of what differs."""
    sides = (found.a, found.b)
    params = [(item.name, item.a, item.b, item.kind) for item in found.params]
    measured = [*found.metrics]
    if everything:
        params += [(name, value, value, "same") for name, value in found.same_params.items()]
        same = found.same_metrics.items()
        measured += [MetricChange(name, value, value, 0, None, None) for name, value in same]
    packages = [(item.name, item.a, item.b, item.kind) for item in found.environment]
    outputs = [(item.path, _kept(item.a), _kept(item.b), item.status) for item in found.outputs]
    commands = [(name, command or "(none)") for name, command in zip(sides, found.command or ())]
    sections: list[tuple[str, Row, list[Row]]] = [
        ("params", ("", *sides, ""), [_change_row(*item, full) for item in params]),
        (
            "metrics",
            ("", *sides, "difference", "%", ""),
            [_metric_row(item, full) for item in measured],
        ),
        ("code", ("", "file", "+", "-"), [*map(_file_row, found.code)]),
        ("artifacts", ("", "file", "+", "-"), [*map(_file_row, found.artifacts)]),
        ("outputs", ("", *sides, ""), [*outputs]),
        ("data", ("", "file or folder", *sides, "", ""), [*map(_data_row, found.data)]),
        ("environment", ("", *sides, ""), [_change_row(*item, full) for item in packages]),
        ("command", ("", ""), [*commands]),
    ]
    return [section for section in sections if section[2]]


def _kept(file: tuple[str, int | None] | None) -> str:
    return f"{file[0][:10]} {readable(file[1])}".rstrip() if file else ""


def _change_row(name: str, a: Any, b: Any, kind: str, full: bool) -> Row:
    old, new = _distinct(a, b, full or kind != "changed")
    said = "" if kind == "changed" else kind
    return name, "" if kind == "added" else old, "" if kind == "removed" else new, said


def _metric_row(item: MetricChange, full: bool) -> Row:
    old, new = _distinct(item.a, item.b, full)
    if item.a is None:
        return item.name, "", new, "", "", "added"
    if item.b is None:
        return item.name, old, "", "", "", "removed"
    same = diff.same(item.a, item.b)
    judged = {True: "better", False: "worse", None: "same" if same else ""}[item.better]
    by = share = ""
    if item.difference is not None and not same:
        by = f"{item.difference:+}" if full else f"{item.difference:+.4g}"
    if item.percent is not None and abs(item.percent) < 1000:
        share = f"{item.percent:+.2f}%"
    elif item.percent and 0 < item.b / item.a < 10_000:
        share = f"x{item.b / item.a:.0f}"
    return item.name, old, new, by, share, judged


def _distinct(a: Any, b: Any, full: bool) -> tuple[str, str]:
    """Return two values for people: rounded where that does not make them look alike."""
    if full:
        return _spelt(a), _spelt(b)
    old, new = (
        text if type(value) is float else _spelt(value)
        for text, value in zip(output.numbers([a, b]), (a, b))
    )
    return (old, new) if old != new else (_spelt(a), _spelt(b))


def _from_difference(row: list[str]) -> list[str]:
    """Let two long values of a row, which would be cut before they differ, begin a little before
    that."""
    old, new = row[1:3] if len(row) > 2 else ("", "")
    at = next((at for at, pair in enumerate(zip(old, new)) if len({*pair}) > 1), 0)
    if at < _MOST:
        return row
    return [row[0], *(f"…{text[at - 3 :]}" for text in (old, new)), *row[3:]]


def _spelt(value: Any) -> str:
    """Return a param as YAML would have it: null and true, and text in quotes where it would read
    as something else."""
    if value is None:
        return "null"
    if not isinstance(value, str):
        return output.exact(value)
    from gitexp.formats import params

    with suppress(UsageError):  # which a lone quote or bracket raises
        if isinstance(params.parse_value(value), str) and value.strip() == value:
            return value
    return repr(value)


def _file_row(item: FileChange) -> Row:
    name = f"{item.old_path} -> {item.path}" if item.old_path else item.path
    letter = _SHORT.get(item.status, "M")
    if item.binary:
        return letter, f"{name} (binary)", "", ""
    return letter, name, f"+{item.added}", f"-{item.removed}"


def _data_row(item: DataChange) -> Row:
    marked = (("+", item.added), ("-", item.removed), ("~", item.changed))
    inside = some([f"{sign}{path}" for sign, paths in marked for path in paths or ()], _MOST_FILES)
    by = ""
    if item.a and item.b and item.size_a is not None and item.size_b is not None:
        by = f"{item.size_b - item.size_a:+,} bytes"
    old = _amount(item.a, item.size_a, item.files_a)
    new = _amount(item.b, item.size_b, item.files_b)
    return _SHORT.get(item.status, "M"), item.path, old, new, by, inside


def _amount(oid: str | None, size: int | None, files: int | None) -> str:
    if oid is None:
        return ""
    counted = "" if files is None else output.counted(files, "file")
    held = "" if size is None else readable(size)
    return ", ".join(filter(None, [counted, held, oid.removeprefix("md5:")[:8]]))


def _print_patch(patch: bytes) -> None:
    """Print a patch: as it is for programs; for people in colour and without control characters."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(patch)
        return
    for line in patch.decode("utf-8", "replace").split("\n")[:-1]:
        headline = line.startswith(_HEADLINES)
        style: dict[str, Any] = {"bold": True} if headline else {"fg": _COLOURS.get(line[:1])}
        click.echo(output.styled(output.clean(line.replace("\t", "    ")), **style))
