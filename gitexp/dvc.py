"""The one door to DVC: every process of it starts here. Its package is never imported, since that takes a second.

DVC is asked only where something may have moved. What a file or folder looked like (sizes and times) when DVC last said that
it is what its pointer says is kept in ``.git/gitexp/data.json``; while that holds, nothing is started.

Content goes into DVC's cache, and between cache and remote, through a project of its own in a temporary folder, which has the
repository's configuration and just the pointers in question. So no file, ``.gitignore`` or index of the user's is touched,
and experiments on any commit can be served with one process.
"""

from __future__ import annotations

import configparser
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitexp import datafiles, message
from gitexp.datafiles import FOLDER, SUFFIX, Data
from gitexp.errors import GitexpError, MissingExtraError, UsageError
from gitexp.repo import Repo
from gitexp.settings import Settings
from gitexp.snapshot import readable

_STATE = "data.json"
_ANSWER = "dvc_commit"  # holds yes or no: what the user said when asked
_FRESH = 0.1  # seconds: a file written so recently may be written again without a visible change of its times
_MANY = 500  # words of one command line
_STAGE = "DVC_STAGE"  # set for what `dvc repro` runs, which DVC itself takes note of when it ends


@dataclass(frozen=True)
class Stale:
    """Data that is not what its pointer says, and ``target``, the file or stage that ``dvc commit`` takes."""

    path: str
    target: str


@dataclass(frozen=True)
class Settled:
    """What is known of the data when a snapshot is about to be taken.

    Attributes:
        conditions: for the experiment: ``data``, the hashes, and ``data_stale``, the paths for which they are not true.
        told: what the user should know, None where all is well.
    """

    conditions: Mapping[str, Any] = field(default_factory=dict)
    told: str | None = None


def settle(repo: Repo, settings: Settings, ask: Callable[[Sequence[Stale]], bool] | None = None) -> Settled:
    """Have the pointers in the work tree say what the data is, as far as the user allows that; nothing is raised.

    Args:
        ask: asks the user, where nobody has said yet whether ``dvc commit`` may be run. The answer holds for this clone.
    """
    if not datafiles.in_use(repo.root):
        return Settled()
    told = None
    data = datafiles.here(repo)
    found: tuple[Stale, ...] = ()
    try:
        found = stale(repo, data)
        allowed = settings.dvc_commit if settings.dvc_commit is not None else _answer(repo)
        if found and allowed is None and ask:
            allowed = ask(found)
            (repo.make_state_dir() / _ANSWER).write_text("yes" if allowed else "no")
        if found and allowed:
            commit(repo, found)
            found, data = (), datafiles.here(repo)
        elif found and allowed is None:
            names = listed(item.path for item in found)
            told = f"{names} changed since the last dvc commit, so the older data is recorded; to have it committed: dvc_commit = true"
    except (GitexpError, OSError) as error:
        told = f"{error}; whether its data changed is not known"
    apart = sorted({item.path for item in found})
    return Settled({"data": datafiles.summary(data), "data_stale": apart}, told)


def listed(paths: Iterable[str], most: int = 5) -> str:
    """Return paths for a sentence."""
    names = [message.one_line(path) for path in paths]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def run(folder: Path, *args: str) -> str:
    """Run DVC in a folder and return what it prints.

    Raises:
        MissingExtraError: DVC is not installed.
        GitexpError: it failed; in one line what it said.
    """
    done = _started(folder, args)
    if done.returncode:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.strip()]
        raise GitexpError(f"dvc {args[0]} failed: {message.one_line(said[0]) if said else f'exit code {done.returncode}'}")
    return done.stdout


def stale(repo: Repo, data: Mapping[str, Data] | None = None) -> tuple[Stale, ...]:
    """Return the data in the work tree that is not what its pointer says. What is not there does not count.

    Raises:
        MissingExtraError: DVC is needed to tell, and is not installed.
        GitexpError: DVC failed.
    """
    data = datafiles.here(repo) if data is None else data
    if not data or os.environ.get(_STAGE):
        return ()
    now = time.time()
    known = _known(repo)
    looks = {path: look for path in data if (look := _look(repo.root / path))}
    seen = {path: [data[path].hash, look[0]] for path, look in looks.items()}
    if all(known.get(path) == entry for path, entry in seen.items()):
        return ()
    found = tuple(_modified(repo, data))
    apart = {item.path for item in found}
    _remember(repo, {path: entry for path, entry in seen.items() if path not in apart and looks[path][1] < now - _FRESH})
    return found


def commit(repo: Repo, found: Iterable[Stale]) -> None:
    """Take changed data into the cache and bring its pointers up to date; the data itself stays as it is.

    Raises:
        GitexpError: DVC failed.
    """
    items = list(found)
    now = time.time()
    looks = {item.path: look for item in items if (look := _look(repo.root / item.path))}
    for targets in _chunks(sorted({item.target for item in items})):
        run(repo.root, "commit", "--force", "--no-relink", *targets)
    data = datafiles.here(repo)
    known = {path: [data[path].hash, look] for path, (look, at) in looks.items() if path in data and at < now - _FRESH}
    _remember(repo, known)


def keep(repo: Repo, files: Mapping[str, Path]) -> dict[str, bytes]:
    """Take files into the cache, and return their pointers, ``{path in the tree: text}``.

    Raises:
        GitexpError: DVC failed.
    """
    with _project(repo) as project:
        places = {}
        for number, (path, file) in enumerate(files.items()):
            place = project / str(number) / path.rpartition("/")[2]
            place.parent.mkdir()
            try:
                os.link(file, place)
            except OSError:
                shutil.copyfile(file, place)
            places[path] = place
        for chunk in _chunks([str(place) for place in places.values()]):
            run(project, "add", "--no-relink", *chunk)
        return {f"{path}{SUFFIX}": place.with_name(place.name + SUFFIX).read_bytes() for path, place in places.items()}


def takes(repo: Repo, path: str, size: int, limit: int) -> bool:
    """Whether an artifact is too large for git and can go into DVC's cache.

    Raises:
        UsageError: it is too large, and DVC is not in use here, or keeps it already under a pointer that is not its own.
    """
    if size <= limit:
        return False
    if not datafiles.in_use(repo.root):
        raise UsageError(
            f"artifact {path} has {readable(size)}, over the limit of {readable(limit)}; raise max_file_size in the settings, or keep it"
            " with DVC or Git LFS"
        )
    held = datafiles.holder(datafiles.here(repo), path)
    if held and held.pointer != f"{path}{SUFFIX}":
        raise UsageError(f"artifact {path} is part of what {held.pointer} tracks, so DVC keeps it: dvc commit {held.path}")
    return True


def has_remote(repo: Repo) -> bool:
    """Whether a default remote for data is set up, as far as the repository's own configuration says."""
    return any(config.has_option("core", "remote") for config in _configs(repo))


def push(repo: Repo, data: Iterable[Data]) -> None:
    """Send data from the cache to DVC's default remote.

    Raises:
        GitexpError: DVC failed.
    """
    _transfer(repo, "push", data)


def fetch(repo: Repo, data: Iterable[Data]) -> None:
    """Bring data from DVC's default remote into the cache.

    Raises:
        GitexpError: DVC failed; some may be there nevertheless.
    """
    _transfer(repo, "fetch", data)


def checkout(repo: Repo, tree: Path, data: Sequence[Data]) -> tuple[str, ...]:
    """Bring data from the cache, else from the remote, into a work tree of the repository; returns the paths that are nowhere.

    Args:
        tree: the user's own, or one beside it.

    Raises:
        GitexpError: DVC failed for another reason.
    """
    if not data:
        return ()
    if tree != repo.root:
        _adapt(repo, tree)
    todo = _brought(tree, data)
    if todo and has_remote(repo):
        with suppress(GitexpError):
            fetch(repo, todo)
            todo = _brought(tree, todo)
    if tree == repo.root:
        now = time.time()
        looks = {item.path: (item.hash, look) for item in data if item not in todo and (look := _look(tree / item.path))}
        _remember(repo, {path: [said, look[0]] for path, (said, look) in looks.items() if look[1] < now - _FRESH})
    return tuple(item.path for item in todo)


def _answer(repo: Repo) -> bool | None:
    try:
        return {"yes": True, "no": False}.get((repo.state_dir / _ANSWER).read_text().strip())
    except OSError:
        return None


# -- DVC as a process ----------------------------------------------------------------------------------------------------


def _started(folder: Path, args: Sequence[str]) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith("GIT_SSH")}
    env["DVC_NO_ANALYTICS"] = "1"  # what we start is no use of DVC by the user
    try:
        return subprocess.run(
            [*_program(), *args], cwd=folder, env=env, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise GitexpError(f"DVC could not be started: {error.strerror}; try: dvc version") from None


def _program() -> list[str]:
    if importlib.util.find_spec("dvc"):
        return [sys.executable, "-m", "dvc"]
    program = shutil.which("dvc")
    if program is None:
        raise MissingExtraError("this repository's data lies in DVC, which", "dvc")
    return [program]


def _modified(repo: Repo, data: Mapping[str, Data]) -> Iterator[Stale]:
    """Yield what DVC calls modified. Not through ``dvc status``, which does not look at a file whose old content is in no cache."""
    try:
        said = json.loads(run(repo.root, "data", "status", "--json") or "{}")
        modified = {os.path.normpath(path).replace(os.sep, "/") for path in said.get("uncommitted", {}).get("modified", ())}
    except (ValueError, AttributeError):
        raise GitexpError("dvc data status gave no JSON; gitexp needs DVC 3 or newer: pip install --upgrade dvc") from None
    yield from (Stale(path, item.target) for path, item in data.items() if path in modified)


def _brought(tree: Path, data: Sequence[Data]) -> list[Data]:
    """Run ``dvc checkout``, and return the data that is in no cache."""
    for chunk in _chunks([item.path for item in data]):
        done = _started(tree, ("checkout", *chunk))
        if done.returncode and "missing-files" not in done.stderr and "Checkout failed for" not in done.stderr:
            said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.strip()]
            raise GitexpError(f"dvc checkout failed: {message.one_line(' '.join(said[:2])) if said else done.returncode}")
        if done.returncode:
            lines = [line.strip().replace(os.sep, "/") for line in done.stderr.splitlines()]
            failed = [item for item in data if any(line == item.path or line.startswith(f"{item.path}/") for line in lines)]
            return failed or [item for item in data if not (tree / item.path).exists()]
    return []


def _transfer(repo: Repo, how: str, data: Iterable[Data]) -> None:
    wanted = {item.hash: item for item in data}
    if not wanted:
        return
    with _project(repo) as project:
        for number, item in enumerate(wanted.values()):
            entry = {**item.entry, "path": f"d{number}"}
            (project / f"d{number}{SUFFIX}").write_text(json.dumps({"outs": [entry]}))  # JSON is YAML
        run(project, how)


@contextmanager
def _project(repo: Repo) -> Iterator[Path]:
    """Yield a DVC project outside of git that shares the repository's cache and remotes."""
    with tempfile.TemporaryDirectory(prefix="dvc-", dir=repo.make_state_dir(), ignore_cleanup_errors=True) as name:
        project = Path(name)
        (project / FOLDER).mkdir()
        _write_config(repo, project, {"core": {"no_scm": "True", "check_update": "False"}, "cache": {"type": "reflink,copy"}})
        yield project


def _adapt(repo: Repo, tree: Path) -> None:
    """Have a work tree beside the user's share the cache and the local configuration, in a file that git ignores."""
    (tree / FOLDER).mkdir(exist_ok=True)
    _write_config(repo, tree, {}, "config.local")


def _write_config(repo: Repo, top: Path, more: Mapping[str, Mapping[str, str]], name: str = "config") -> None:
    """Write the repository's configuration for a project elsewhere: relative paths made whole, and ``more`` over it.

    Where the repository says nothing of the cache, the user's or the machine's configuration may. So its usual place leads to
    the repository's own by a link, and no process has to be asked.
    """
    config = _parser()
    for known in _configs(repo):
        config.read_dict({section: dict(known[section]) for section in known.sections()})
    for section in config.sections():
        for key in ("url", "dir"):
            value = config[section].get(key, "").strip("\"'")
            if value and "://" not in value and not os.path.isabs(value) and not value.startswith("~"):
                config[section][key] = os.path.normpath(repo.root / FOLDER / value)
    cache = top / FOLDER / "cache"
    if not config.has_option("cache", "dir") and not os.path.lexists(cache):
        try:
            cache.symlink_to(repo.root / FOLDER / "cache", target_is_directory=True)
        except OSError:  # Windows without the right to
            more = {**more, "cache": {**more.get("cache", {}), "dir": run(repo.root, "cache", "dir").strip()}}
    (repo.root / FOLDER / "cache").mkdir(exist_ok=True)
    config.read_dict(more)
    place = top / FOLDER / name
    place.touch(mode=0o600)  # it may hold a password
    with open(place, "w", encoding="utf-8") as file:
        config.write(file)


def _configs(repo: Repo) -> list[configparser.RawConfigParser]:
    """Return the repository's configuration of DVC, the local one last."""
    found = []
    for name in ("config", "config.local"):
        config = _parser()
        with suppress(OSError, configparser.Error, UnicodeDecodeError):
            config.read_string((repo.root / FOLDER / name).read_text("utf-8"))
            found.append(config)
    return found


def _parser() -> configparser.RawConfigParser:
    return configparser.RawConfigParser(comment_prefixes=("#",), strict=False, default_section="\0")


def _chunks(words: Sequence[str]) -> Iterator[Sequence[str]]:
    yield from (words[at : at + _MANY] for at in range(0, len(words), _MANY))


# -- what data looked like when it was last known to be right --------------------------------------------------------------


def _look(path: Path) -> tuple[str, float] | None:
    """Return what changes whenever a file, or one of a folder's, is written; and the newest time of them. None: not there."""
    try:
        if not path.is_dir():
            status = path.stat()
            return f"{status.st_mtime_ns} {status.st_size} {status.st_ino}", status.st_mtime
        lines, newest, todo = [], 0.0, [str(path)]
        while todo:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir():
                        todo.append(entry.path)
                        continue
                    status = entry.stat()
                    lines.append(f"{entry.path} {status.st_mtime_ns} {status.st_size} {status.st_ino}")
                    newest = max(newest, status.st_mtime)
    except OSError:
        return None
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest(), newest


def _known(repo: Repo) -> dict[str, Any]:
    try:
        known = json.loads((repo.state_dir / _STATE).read_bytes()).get(str(repo.root), {})
    except (OSError, ValueError, AttributeError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(repo: Repo, entries: Mapping[str, Any]) -> None:
    """Keep what was seen; a work tree has its own, and a lost update costs no more than one question to DVC."""
    folder = repo.make_state_dir()
    try:
        whole = json.loads((folder / _STATE).read_bytes())
    except (OSError, ValueError):
        whole = {}
    top = str(repo.root)
    with suppress(OSError):
        part = folder / f"{_STATE}.{os.getpid()}.new"
        part.write_text(json.dumps({**whole, top: {**whole.get(top, {}), **entries}}))
        os.replace(part, folder / _STATE)
