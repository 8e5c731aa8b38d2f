"""A run that is going on, as files: ``.git/gitexp/runs/<id>/``.

run.json      who, when, which command, which snapshot
params.yml    the params so far; inherited.yml those of the experiment that it goes on from
metrics.csv   append-only: a row is in the kernel when the call returns, on the disk in a second
artifacts/    copies of what was logged, at the path that they will have in the tree
index         the private git index that holds the snapshot
alive         locked by the owner as long as it lives
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitexp.formats import message, metrics, params
from gitexp.formats.errors import GitexpError, RepositoryError
from gitexp.formats.experiment import MetricPoint
from gitexp.repo import Repo, files, locks
from gitexp.runs import FOLDER, fallback

JOIN = "GITEXP_RUN"  # names the folder of the run that a child process is to join
INHERITED = "inherited.yml"
ALIVE = "alive"  # begins the names of what its owner and those who joined hold
RECOVERING = "recovering"
SYNC_SECONDS = 1.0  # from one time to the next that the owner has the disk take what was logged
_ROW = (  # as ``metrics.format_row`` writes it
    r'"(?:[^"\ufffd\0]|"")*",(?:-?\d+(?:\.\d+)?(?:e[-+]?\d+)?|-?inf|nan),\d+,-?\d+\r\n'
)
ASIDE = "ended"  # beside the folder that runs lie in: where they go on their way out


def facts(folder: Path, name: str = "run.json") -> dict[str, Any]:
    """Return what the owner wrote of a run; empty where nothing readable was written."""
    return files.read_mapping(folder / name)


def all_facts(folder: Path) -> dict[str, Any]:
    """Return what is known of a run, with what the processes that joined it added."""
    known = facts(folder)
    for file in sorted(folder.glob("joined-*.json")):
        for key, value in facts(folder, file.name).items():
            if key in ("trailers", "extra"):
                known[key] = params.merge(known.get(key, {}), value)
            elif key == "labels":
                known[key] = sorted({*known.get(key, []), *value})
            elif key == "unkept":
                known[key] = [*known.get(key, []), *value]
            elif value and not known.get(key):
                known[key] = value
    return known


def read_params(folder: Path, strict: bool = False) -> dict[str, Any]:
    """Return the params of a run so far: those of the experiment that it goes on from, over them
    those of its command, and over them what it has logged."""
    return params.merge(logged_params(folder, strict, INHERITED), own_params(folder, strict))


def own_params(folder: Path, strict: bool = False) -> dict[str, Any]:
    """Return the params of a run so far, without those of the experiment that it goes on from."""
    known = facts(folder)
    if not known.get("arguments"):
        return logged_params(folder, strict)
    from gitexp.runs import parsed

    return params.joined(parsed.of_run(folder, known).params, logged_params(folder, strict))


def logged_params(folder: Path, strict: bool = False, name: str = "params.yml") -> dict[str, Any]:
    """Return the params that a run has logged, or was given; ``strict``: raises OSError."""
    try:
        return params.load((folder / name).read_bytes())
    except (OSError, GitexpError) as error:
        if strict and isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise
        return {}


def points(folder: Path, start: int = 0) -> tuple[list[MetricPoint], int]:
    """Return what a run has logged from byte ``start`` of its ``metrics.csv`` on, as far as the
    rows are whole, and the byte where these end."""
    data = b""
    with contextlib.suppress(OSError), open(folder / "metrics.csv", "rb") as file:
        file.seek(start)
        data = file.read()
    rows = data[: data.rfind(b"\n") + 1]
    head = metrics.HEADER if start else b""
    with contextlib.suppress(GitexpError):  # what cannot be read is passed over
        return [*metrics.read(io.BytesIO(head + rows))], start + len(rows)
    return [], start + len(rows)


def own_metrics(folder: Path) -> set[str]:
    """Return the names of those that are not of the experiment that it goes on from."""
    begin, end = all_facts(folder).get("inherited", (0, 0))[:2]
    with contextlib.suppress(FileNotFoundError):
        data = (folder / "metrics.csv").read_bytes()
        return {*metrics.last_of(io.BytesIO(data[:begin] + data[end:]))}
    return set()


def last_sign(folder: Path) -> int:
    """Return when a dead run was last seen alive, in ns: its owner says so each second."""
    # who recovers it writes into the others
    signs = (ALIVE, "metrics.csv", "output.log")[: 1 if (folder / RECOVERING).exists() else 3]
    return max(files.modified(folder / name) for name in signs) + int(SYNC_SECONDS * 10**9)


def lived(folder: Path, started: str) -> float | None:
    """Return the seconds from the start of a dead run to its last sign."""
    with contextlib.suppress(ValueError):
        began = message.parse_time(started).timestamp()
        return max(0.0, last_sign(folder) / 10**9 - began)
    return None


def begin_recovery(folder: Path) -> Path:
    """Keep when a dead run was last seen alive, and return the file to lock while it is written
    to."""
    seen = last_sign(folder) - int(SYNC_SECONDS * 10**9)
    with contextlib.suppress(OSError):
        os.utime(folder / ALIVE, ns=(seen, seen))
    return folder / RECOVERING


def trim(path: Path) -> bool:
    """Cut a torn last row off a journaled ``metrics.csv``, and return whether there was one."""
    with contextlib.suppress(OSError):
        keep = fallback.whole_rows(path)
        if keep != path.stat().st_size:
            os.truncate(path, keep)
            return True
    return False


def mend(folder: Path) -> int:
    """Leave out of a dead run's ``metrics.csv`` what is no row, as a fault of the disk leaves it,
    and return how many lines that was; what it had taken over from another run stays. Raises
    OSError where the file cannot be read."""
    path, head = folder / "metrics.csv", len(metrics.HEADER)
    start = max(head, all_facts(folder).get("inherited", (0, 0))[1])
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    end = data.rfind(b"\n") + 1  # ``trim`` cuts a torn row
    lines = data[start:end].splitlines(keepends=True)
    rows = [line for line in lines if re.fullmatch(_ROW, line.decode("utf-8", "replace"))]
    if len(rows) < len(lines) or not data.startswith(metrics.HEADER):
        content = b"".join([metrics.HEADER, data[head:start], *rows, data[end:]])
        files.replace(folder, path, content)
    return len(lines) - len(rows)


def artifacts(folder: Path) -> dict[str, Path]:
    """Return ``{path in the tree: file}`` for what a run has logged, linked folders included."""
    top = folder / "artifacts"
    found = (file for here in (top, *linked(folder)) for file in _below(here))
    return {file.relative_to(top).as_posix(): file for file in found if file.is_file()}


def linked(folder: Path) -> list[Path]:
    """Return the folders elsewhere into which a run's script writes by itself, as links to them."""
    return [path for path in _below(folder / "artifacts") if path.is_symlink()]


def _below(folder: Path) -> list[Path]:
    """Return all below a folder, which may vanish meanwhile, sorted."""
    walked = os.walk(folder)
    return sorted(Path(top, name) for top, below, names in walked for name in (*below, *names))


def folder_of(repo: Repo, run_id: str) -> Path:
    """Return where a run lies until it is recorded."""
    return repo.state_dir / FOLDER / run_id


def folders(repo: Repo) -> list[Path]:
    """Return the folders of all runs, dead or alive, oldest first."""
    found = (entry for entry in (repo.state_dir / FOLDER).glob("*") if entry.is_dir())
    return sorted(found, key=lambda entry: (facts(entry).get("started", ""), entry.name))


def other_active(repo: Repo, own: Path, root: str) -> Iterator[Path]:
    """Yield the folders of the other active runs of a work tree, but for the one whose command
    started this process (a Makefile that calls ``gitexp run`` itself)."""
    around = os.environ.get(JOIN)
    others = (item for item in folders(repo) if item != own and str(item) != around)
    yield from (item for item in others if facts(item).get("root") == root and is_alive(item))


def hold(folder: Path, name: str = ALIVE) -> locks.Held:
    """Lock a folder as its owner, for as long as the file that is returned stays open."""
    return locks.Held(folder / name, wait=False)


def is_alive(folder: Path) -> bool:
    """Whether a process that logs into a run still lives: each holds a lock that ends with it."""
    try:
        held = [name for name in os.listdir(folder) if name.startswith(ALIVE)]
    except OSError:
        held = []
    if not held:  # killed before it had one, or just being made
        return time.time_ns() - files.modified(folder) < 2 * 10**9
    return any(locks.is_held(folder / name) for name in sorted(held))


def refused(folder: Path, error: OSError) -> RepositoryError:
    """Return the error that a run's folder takes nothing."""
    return RepositoryError(
        f"{folder} cannot be written: {error.strerror}; check permissions and disk space"
    )


def holds_anything(folder: Path) -> bool:
    """Whether a run's folder holds what cannot be made again: rows, params, artifacts or facts."""
    rows = folder / "metrics.csv"
    return (rows.exists() and rows.stat().st_size > len(metrics.HEADER)) or any(
        (folder / name).exists() for name in ("run.json", "params.yml", "artifacts")
    )


def delete(folder: Path) -> None:
    """Remove a run's folder, whose content is recorded: moved aside first, so that a killed process
    leaves no half folder among the runs."""
    aside = folder.parent.with_name(ASIDE)
    with contextlib.suppress(OSError):
        aside.mkdir(exist_ok=True)
        folder.rename(aside / folder.name)
        for name in os.listdir(aside):
            shutil.rmtree(aside / name, ignore_errors=True)
    if folder.exists():  # it could not be moved
        shutil.rmtree(folder, ignore_errors=True)
