"""``gitexp status``, ``watch`` and ``recover``: active runs, and runs that died."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from gitexp.cli import output, plot
from gitexp.cli.declare import NUMBER, argument, option
from gitexp.cli.opened import where_option
from gitexp.formats import message, settings
from gitexp.formats.errors import GitexpError, NotFoundError, UsageError
from gitexp.repo import Repo
from gitexp.runs import finish, journal, unrecorded
from gitexp.store import record, reference
from gitexp.store.index import Index
from gitexp.sweeps import folders

_NAMED = 5  # experiments that a line names
_FIELDS = ("state", "id", "started", "command")
_CURVE = 30  # columns of a small curve


@click.command("status")
@where_option
@output.output_options
def status_command(where: str | None, form: str | None) -> None:
    """Show active runs with their latest values, dead runs, sweeps that have not come to their end,
    and what is not pushed yet.

    With --where, of the experiments that are not pushed only those that match.
    """
    repo = Repo.discover()
    live, dead = finish.live_runs(repo), finish.dead_runs(repo)
    remote, waiting = _unpushed(repo, where)
    sweeps = folders.unfinished(repo)
    if form in ("csv", "md"):
        output.print_records(form, _FIELDS, _rows(live, dead, sweeps, waiting))
        return
    if form:
        facts = {"live": [*map(_described, live)], "dead": [*map(_described, dead)]}
        told = [{"name": name, "running": running} for name, running in sweeps.items()]
        output.print_json({**facts, "sweeps": told, "remote": remote, "not_pushed": waiting})
        return
    for folder in live:
        click.echo("\n".join(_lines(folder, _terminal())))
    for name, running in sweeps.items():
        again = f"gitexp sweep --resume {shlex.quote(name)}"
        how = "is running" if running else f"was killed; to continue it: {again}"
        click.echo(output.clean(f"sweep {name} {how}"))
    if not live and not any(sweeps.values()):
        click.echo("no run is active")
    for folder in dead:
        known = _described(folder)
        command = output.clean(known["command"] or "no command")
        click.echo(f"dead: {known['id']}, started {known['started']}, {command}")
    if dead:
        click.echo("to record dead runs with what they had logged: gitexp recover")
    if remote and waiting:
        text = f"not on {remote}, as far as is known here: {message.some(waiting, _NAMED)}"
        click.echo(f"{output.clean(text)}; to send them: gitexp push")


def _rows(
    live: Sequence[Path], dead: Sequence[Path], sweeps: Mapping[str, bool], waiting: Sequence[str]
) -> list[list[Any]]:
    """Return a row for each run and sweep, and one for each experiment that is not pushed."""
    runs = [
        [state, *(known[name] for name in _FIELDS[1:])]
        for state, folders in (("live", live), ("dead", dead))
        for known in map(_described, folders)
    ]
    runs += [[f"sweep {'live' if on else 'dead'}", name, None, None] for name, on in sweeps.items()]
    return [*runs, *(["not pushed", name, None, None] for name in waiting)]


def _unpushed(repo: Repo, where: str | None) -> tuple[str | None, list[str]]:
    """Return the remote that a push would go to, and the names of the experiments that it lacks; no
    remote is asked."""
    from gitexp.store import query
    from gitexp.store.remote import sync, transport

    try:
        remote = transport.find_remote(repo, head=repo.found_at).name
    except UsageError:
        return None, []
    index = Index(repo)
    waiting = sync.unpushed(index, remote)
    if where is not None:
        condition, _ = query.in_reach(index, query.where(index, where), False)
        fitting = {item.id for item in index.select(*condition)}
        waiting = [item for item in waiting if item.id in fitting]
    return remote, [item.name for item in waiting]


@click.command("watch")
@argument("[RUN]", "wanted")
@option("--every SECONDS", "How often to look.", type=NUMBER, default=1.0)
def watch_command(wanted: str | None, every: float) -> None:
    """Follow the active runs until they end: their latest values and curves. RUN is the start of
    an id; without it, all of them, and those that begin meanwhile."""
    repo = Repo.discover()
    live = finish.live_runs(repo)
    if wanted and not any(folder.name.startswith(wanted) for folder in live):
        known = settings.load(repo.root, repo.project)
        with suppress(NotFoundError, UsageError):
            over = reference.resolve(Index(repo), wanted, known).name
            click.echo(f"{over} has ended; gitexp show {over}")
            return
    folders = [_chosen(live, wanted)] if wanted or not live else live
    seen, drawn = {*folders}, 0
    while folders := [one for one in folders if one.exists() and journal.is_alive(one)]:
        height = shutil.get_terminal_size().lines // len(folders)
        lines = [line for one in folders for line in _lines(one, _terminal(height))]
        back = f"\x1b[{drawn}A\x1b[J" if drawn and sys.stdout.isatty() else ""
        click.echo(back + "\n".join(lines))
        drawn = len(lines)
        time.sleep(min(max(every, 0.1), 3600))
        folders = folders if wanted else finish.live_runs(repo)
        seen.update(folders)
    died = sum(one.exists() for one in seen)
    alone = len(seen) == 1
    if died:
        click.echo(f"{'the run' if alone else f'{died} of {len(seen)} runs'} died; gitexp recover")
    else:
        click.echo("the run ended; gitexp show @" if alone else "all runs ended; gitexp list")


@click.command("recover")
@argument("[RUN]...", "wanted")
@option(
    "--no-sign",
    "Do not sign them, even where the setting 'sign' or --sign asked for it.",
    "unsigned",
)
def recover_command(wanted: Sequence[str], unsigned: bool) -> int:
    """Turn dead runs into experiments, with all that they had logged and the status killed. RUN is
    the start of an id."""
    repo = Repo.discover()
    record.finish_interrupted(repo)
    dead = finish.dead_runs(repo)
    chosen = [_chosen(dead, name) for name in wanted] if wanted else dead
    if not chosen:
        click.echo("there is no dead run")
    failed = 0
    for folder in chosen:
        try:
            recorded = finish.recover(repo, folder, False if unsigned else None)
        except GitexpError as error:
            output.say(f"{folder.name} could not be recovered: {error}")
            failed = 2
            continue
        if recorded is None:
            why = "it was recorded already, or died before it had started"
            output.say(f"{folder.name} needed nothing: {why}")
            continue
        for warning in recorded.warnings:
            output.warn(warning)
        made = recorded.experiment
        click.echo(f"{made.name} {made.short} ({made.status})")
    return failed


def _chosen(folders: Sequence[Path], wanted: str | None) -> Path:
    found = [folder for folder in folders if folder.name.startswith(wanted or "")]
    if found:
        return found[-1]
    if not wanted:
        raise NotFoundError("no run is active")
    raise NotFoundError(f"there is no run '{wanted}'; to see them: gitexp status")


def _lines(folder: Path, size: tuple[int, int] | None = None) -> list[str]:
    """Return what there is to see of a run; with the terminal's size, no line is wrapped there and
    nothing scrolls away."""
    columns, height = size or (10_000, 10_000)
    known = _described(folder)
    lasted = output.duration(known["seconds"])
    room = columns - len(folder.name) - len(lasted) - 4
    command = _shortened(output.clean(known["command"] or ""), room)
    head = f"{output.styled(known['id'], bold=True)}  {lasted}  {command}".rstrip()
    latest = [*unrecorded.latest(folder).items()]
    shown = latest if len(latest) <= height - 2 else latest[: max(1, height - 3)]
    cells = [
        (output.number(values[-1]), str(step), plot.sparkline(values, min(_CURVE, columns // 4)))
        for _, (values, step) in shown
    ]
    beside = 2 + sum(2 + max(map(output.width, column)) for column in zip(*cells))
    rows = [
        [_shortened(output.clean(name), columns - beside), *row]
        for (name, _), row in zip(shown, cells)
    ]
    lines = output.text_table(["", "", "", ""], rows, [False, True, True, False])
    if not rows:
        line = output.clean(unrecorded.last_line(folder))
        said = f"no metric yet; it says: {line}" if line else "no metric yet"
        lines.append(_shortened(said, columns - 2))
    if len(shown) < len(latest):
        lines.append(f"and {output.counted(len(latest) - len(shown), 'metric')} more")
    return [head, *(f"  {line}" for line in lines)]


def _shortened(text: str, columns: int) -> str:
    """Return a text without its middle where it is too wide: names of metrics differ at their
    beginnings and ends."""
    columns = max(columns, 8)
    if output.width(text) <= columns:
        return text
    keep = columns - 1
    while output.width(text[: keep - keep // 2] + text[len(text) - keep // 2 :]) > columns - 1:
        keep -= 1
    return f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"


def _terminal(height: int = 10_000) -> tuple[int, int] | None:
    """Return columns and lines that may be filled, None where stdout is no terminal."""
    columns = output.terminal_width()
    # the last column stays free: some terminals wrap when it is filled
    return (columns - 1, height) if columns else None


def _described(folder: Path) -> dict[str, Any]:
    """Return id, started (as it was noted), seconds, command, params (nested) and metrics (their
    last values) of a run."""
    facts = journal.all_facts(folder)
    started = facts.get("started", "")
    now = begun = datetime.now(timezone.utc)
    with suppress(ValueError):
        begun = message.parse_time(started)
    return {
        "id": folder.name,
        "started": started,
        "seconds": (now - begun).total_seconds(),
        "command": " ".join(facts.get("command") or []) or None,
        "params": journal.read_params(folder),
        "metrics": {name: values[-1] for name, (values, _) in unrecorded.latest(folder).items()},
    }
