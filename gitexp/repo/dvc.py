"""The one door to DVC: every process of it starts here. Its package is never imported, since that
takes a second.

Content goes into DVC's cache, and between cache and remote, through a project of its own in a
temporary folder, which has the repository's configuration and just the pointers in question. So no
file, ``.gitignore`` or index of the user's is touched, and experiments on any commit can be served
with one process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitexp.formats import message
from gitexp.formats.errors import GitexpError, MissingExtraError, UsageError
from gitexp.repo import Repo, dvc_pointers
from gitexp.repo.dvc_pointers import FOLDER, SUFFIX, Data
from gitexp.repo.files import link_or_copy
from gitexp.repo.process import chunks

if TYPE_CHECKING:
    import configparser

_OUR_HELPER = "dagshub-credential"  # in git's configuration, where gitexp itself answers for a host


def run(folder: Path, *args: str) -> str:
    """Run DVC in a folder and return what it prints.

    Raises:
        MissingExtraError: DVC is not installed.
        GitexpError: it failed; in one line what it said.
    """
    done = _started(folder, args)
    if done.returncode:
        raise _failed(args[0], done)
    return done.stdout


def keep(repo: Repo, files: Mapping[str, Path]) -> dict[str, bytes]:
    """Take files into the cache, and return their pointers, ``{path in the tree: text}``.

    Raises:
        GitexpError: DVC failed.
    """
    with _faults(), _project(repo) as project:
        names = {path: path.rpartition("/")[2] for path in files}
        places = {path: project / str(at) / names[path] for at, path in enumerate(files)}
        for path, place in places.items():
            place.parent.mkdir()
            link_or_copy(files[path].resolve(), place)
        for chunk in chunks([*map(str, places.values())]):
            run(project, "add", "--no-relink", *chunk)
        return {
            f"{path}{SUFFIX}": place.with_name(place.name + SUFFIX).read_bytes()
            for path, place in places.items()
        }


def takes(repo: Repo, path: str, size: int, limit: int) -> bool:
    """Whether an artifact is too large for git and can go into DVC's cache.

    Raises:
        UsageError: it is too large, and DVC is not in use here, or keeps it already under a pointer
            that is not its own.
    """
    if size <= limit:
        return False
    if not dvc_pointers.in_use(repo.root):
        raise UsageError(
            f"artifact {path} is {message.readable(size)}, over the limit of"
            f" {message.readable(limit)}; raise max_file_size in the settings, or keep it with DVC"
            " or Git LFS"
        )
    held = dvc_pointers.holder(dvc_pointers.in_work_tree(repo), path)
    if held and held.pointer != f"{path}{SUFFIX}":
        raise UsageError(
            f"artifact {path} is part of what {held.pointer} tracks, so DVC keeps it: dvc commit"
            f" {held.path}"
        )
    return True


def has_remote(repo: Repo) -> bool:
    """Whether the repository's own configuration has a default remote for data."""
    return _config(repo.root).has_option("core", "remote")


def checkout(repo: Repo, tree: Path, data: Sequence[Data]) -> tuple[str, ...]:
    """Bring data from the cache, else from the remote, into a work tree of the repository; returns
    the paths that are nowhere.

    Args:
        tree: the user's own, or one beside it.

    Raises:
        GitexpError: DVC failed for another reason.
    """
    if not data:
        return ()
    top = tree.resolve()
    for item in data:
        if not (tree / item.path).parent.resolve().is_relative_to(top):
            raise GitexpError(f"'{item.path}' lies behind a link that leaves the repository")
    if tree != repo.root:
        with _faults():
            _adapt(repo, tree)
    todo = _brought(tree, data)
    if todo and has_remote(repo):
        with suppress(GitexpError):
            transfer(repo, "fetch", todo)
            todo = _brought(tree, todo)
    return tuple(item.path for item in todo)


def bring(repo: Repo, item: Data, target: Path) -> bool:
    """Bring one piece of data from the cache, else from the remote, to a path elsewhere; whether it
    was found.

    Raises:
        GitexpError: DVC failed.
    """
    with _faults(), _project(repo) as project:
        entry = {**item.entry, "path": "data"}
        (project / f"data{SUFFIX}").write_text(json.dumps({"outs": [entry]}))
        for how in ("checkout", "pull"):
            if not (project / "data").exists():
                _started(project, (how,))
        if not (project / "data").exists():
            return False
        shutil.move(project / "data", target)
        return True


def of_experiments(repo: Repo, commits: Iterable[str]) -> tuple[Data, ...]:
    """Return the data that the commits' pointers name, each content once; none where there is no
    remote that it could go to."""
    if not dvc_pointers.in_use(repo.root) or not has_remote(repo):
        return ()
    found: dict[str, Data] = {}
    for commit in commits:
        found |= {item.hash: item for item in dvc_pointers.of_commit(repo, commit).values()}
    return tuple(item for item in found.values() if item.entry.get("push") is not False)


# -- DVC as a process ------------------------------------------------------------------------------


def _started(folder: Path, args: Sequence[str]) -> subprocess.CompletedProcess[str]:
    env = {name: one for name, one in os.environ.items() if not re.match("GIT_(?!SSH)", name)}
    env["DVC_NO_ANALYTICS"] = "1"  # what we start is no use of DVC by the user
    try:
        return subprocess.run(
            [*_program(), *args],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise GitexpError(f"DVC could not be started: {error.strerror}; try: dvc version") from None


def _failed(what: str, done: subprocess.CompletedProcess[str]) -> GitexpError:
    said = [line for line in done.stderr.splitlines() if line.strip()]
    first = next((at for at, line in enumerate(said) if line.startswith("ERROR: ")), 0)
    words = " ".join(said[first : first + 2]).removeprefix("ERROR: ")
    why = message.one_line(words) or f"exit code {done.returncode}"
    return GitexpError(f"dvc {what} failed: {why}")


def _program() -> list[str]:
    """Return what starts DVC: that of this environment, else the one on the PATH. Never ``python -m
    dvc``, which would take a folder ``dvc`` of the repository for it, nor a program that lies where
    we stand, which Windows looks at first.
    """
    import sysconfig

    for folder in (sysconfig.get_path("scripts"), None):
        program = shutil.which("dvc", path=folder)
        if program and os.path.isabs(program) and Path(program).parent != Path.cwd():
            return [program]
    raise MissingExtraError("this repository's data, which lies in DVC", "dvc")


def _brought(tree: Path, data: Sequence[Data]) -> list[Data]:
    """Run ``dvc checkout``, and return the data that is in no cache."""
    missing: list[Data] = []
    for chunk in chunks([item.path for item in data]):
        done = _started(tree, ("checkout", *chunk))
        if not done.returncode:
            continue
        if "missing-files" not in done.stderr and "Checkout failed for" not in done.stderr:
            raise _failed("checkout", done)
        lines = [f"{line.strip().replace(os.sep, '/')}/" for line in done.stderr.splitlines()]
        asked = [item for item in data if item.path in chunk]
        failed = [item for item in asked if any(line.startswith(f"{item.path}/") for line in lines)]
        missing += failed or [item for item in asked if not (tree / item.path).exists()]
    return missing


def transfer(repo: Repo, how: str, data: Iterable[Data]) -> int:
    """Send data from the cache to DVC's default remote (``push``), or bring it from there
    (``fetch``); returns how many files are in neither.

    Raises:
        GitexpError: DVC failed; some may be there nevertheless.
    """
    wanted = {item.hash: item for item in data}
    if not wanted:
        return 0
    with _faults(), _project(repo) as project:
        for number, item in enumerate(wanted.values()):
            entry = {**item.entry, "path": f"d{number}"}
            # JSON is YAML
            (project / f"d{number}{SUFFIX}").write_text(json.dumps({"outs": [entry]}))
        done = _started(project, (how,))
    if done.returncode:
        raise _failed(how, done)
    return len(re.findall(r"^md5: [0-9a-f]{32}", done.stderr, re.MULTILINE))


@contextmanager
def _faults() -> Iterator[None]:
    """Say in a line what the machine refuses."""
    try:
        yield
    except OSError as error:
        raise GitexpError(
            f"data could not be moved: {error.strerror or error}; check permissions and disk space"
        ) from None


@contextmanager
def _project(repo: Repo) -> Iterator[Path]:
    """Yield a DVC project outside of git that shares the repository's cache and remotes."""
    import tempfile

    with tempfile.TemporaryDirectory(
        prefix="dvc-", dir=repo.make_state_dir(), ignore_cleanup_errors=True
    ) as name:
        project = Path(name)
        (project / FOLDER).mkdir()
        more = {"core": {"no_scm": "True", "check_update": "False"}, **_logins(repo)}
        _write_config(repo, project, {"cache": {"type": "reflink,copy"}, **more})
        yield project


def _logins(repo: Repo) -> dict[str, dict[str, str]]:
    """Return what to log in with for remotes on a host whose credentials git asks gitexp for
    (``gitexp remote dagshub``).

    DVC itself cannot ask. It finds them in the temporary project's configuration, which only its
    owner can read and which is gone with the project. Remotes that say themselves how to log in are
    left alone.
    """
    hosts = {
        key.removeprefix("credential.").removesuffix(".helper")
        for _, key, value in repo.scoped_config(r"^credential\..*\.helper$")
        if _OUR_HELPER in value
    }
    logins = {}
    for section, values in _config(repo.root).items() if hosts else ():
        host = "/".join(values.get("url", "").strip("\"'").split("/")[:3])
        if host in hosts and not {"auth", "user", "password", "ask_password"} & {*values}:
            nobody = {"GIT_ASKPASS": "", "SSH_ASKPASS": ""}
            answer = repo.git(
                "credential", "fill", stdin=f"url={host}\n\n".encode(), env=nobody, ok=(0, 128)
            ).decode("utf-8", "replace")
            found = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
            user, password = found.get("username", ""), found.get("password")
            if password is not None and not {*user, *password} & {*"\"'#,"}:
                logins[section] = {"auth": "basic", "user": user, "password": password}
    return logins


def _adapt(repo: Repo, tree: Path) -> None:
    """Have a work tree beside the user's share the cache and the local configuration, in a file
    that git ignores."""
    if not dvc_pointers.in_use(repo.root):
        return
    # that of its commit is relative, or somebody's idea
    own = _config(tree).has_option("cache", "dir")
    _write_config(repo, tree, _cache(repo) if own else {}, "config.local")


def _cache(repo: Repo) -> dict[str, dict[str, str]]:
    """Return the repository's cache as a section of configuration; DVC is asked."""
    return {"cache": {"dir": run(repo.root, "cache", "dir").strip()}}


def _write_config(
    repo: Repo, top: Path, more: Mapping[str, Mapping[str, str]], name: str = "config"
) -> None:
    """Write the repository's configuration for a project elsewhere: relative paths made whole, and
    ``more`` over it.

    Where the repository says nothing of the cache, the user's or the machine's configuration may.
    So its usual place leads to the repository's own by a link, and no process has to be asked.
    """
    config = _config(repo.root)
    for section in config.sections():
        for key in ("url", "dir"):
            value = config[section].get(key, "").strip("\"'")
            whole = "://" in value or os.path.isabs(value) or value.startswith("~")
            if value and not whole:
                config[section][key] = os.path.normpath(repo.root / FOLDER / value)
    cache = top / FOLDER / "cache"
    if not config.has_option("cache", "dir") and not os.path.lexists(cache):
        try:
            cache.symlink_to(repo.root / FOLDER / "cache", target_is_directory=True)
        except OSError:  # Windows without the right to
            config.read_dict(_cache(repo))
    (repo.root / FOLDER / "cache").mkdir(exist_ok=True)
    config.read_dict(more)
    place = top / FOLDER / name
    place.unlink(missing_ok=True)  # it may be a link in somebody's repository, to anywhere
    place.touch(mode=0o600, exist_ok=False)  # it may hold a password
    with open(place, "w", encoding="utf-8") as file:
        config.write(file)


def _config(top: Path) -> configparser.RawConfigParser:
    """Return the configuration of DVC in a work tree, the local one over the other; a damaged file
    counts as none."""
    import configparser

    how: dict[str, Any] = {"comment_prefixes": ("#",), "strict": False, "default_section": "\0"}
    whole = configparser.RawConfigParser(**how)
    for name in ("config", "config.local"):
        config = configparser.RawConfigParser(**how)
        with suppress(OSError, configparser.Error, UnicodeDecodeError):
            config.read_string((top / FOLDER / name).read_text("utf-8"))
            whole.read_dict(config)
    return whole
