"""The settings of a repository: ``[tool.gitexp]`` in ``pyproject.toml``, or ``.gitexp.toml`` beside
it.

Few, typed, all optional. ``.gitexp.toml`` wins where both exist. Nothing here reads the
environment.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gitexp.formats.errors import FormatError, did_you_mean

_UNITS = {
    "": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30,
}  # fmt: skip
FILE_NAME = ".gitexp.toml"
MAX_BYTES = 10**6


@dataclass(frozen=True)
class Settings:
    """What a repository may set."""

    # a folder below the top is a project of its own (so is one with a ``.gitexp.toml``): its
    # results lie there, and the settings go before the top's
    root: bool = False
    advance: bool = True  # move the branch onto an experiment where that is a fast-forward
    max_file_size: int = 10 * 10**6  # bytes; a larger untracked file stays out of a snapshot
    max_untracked_files: int = 1000  # more of them than this, and none are taken
    max_untracked_size: int = 100 * 10**6  # bytes in all; more than this, and none are taken
    include: tuple[str, ...] = ()  # globs of untracked paths that are taken in any case
    exclude: tuple[str, ...] = ()  # globs of those that are never taken
    scan_secrets: bool = True  # look for secrets in untracked files
    metrics: dict[str, str] = field(default_factory=dict)  # what is better: ``{"rmse": "min"}``
    owner: str | None = None  # this clone's name on remotes; None takes what ``user.name`` says
    push_tags_up_to: int = 1000  # with more on a remote the gathering branch alone has what is new
    sign: bool = False  # sign the tags of experiments, the way git is set up to sign
    dvc_commit: bool | None = None  # bring DVC's files up to date before a snapshot; None asks once
    outputs: tuple[str, ...] = ()  # globs of files that `gitexp run` keeps, ignored or not
    metrics_files: tuple[str, ...] = ()  # globs of files that it reads metrics from
    params: tuple[str, ...] = ()  # globs of files that it reads params from
    parser_params: bool = True  # record what the program's own parser arrived at
    # read metrics from what the command of `gitexp run` prints: always, never, or by these regular
    # expressions; None where nothing else gave any
    stdout: bool | tuple[str, ...] | None = None
    maintenance: bool = True  # have git pack objects now and then, unless its settings say no
    # ``bell``, ``webhook:VARIABLE``; a command only on the command line: a repository is anybody's
    notify: tuple[str, ...] = ()
    notify_when: tuple[str, ...] = ()  # as ``--notify-when`` has it
    protect: tuple[str, ...] = ()  # globs of what a judge needs, by the trusted commit alone


def load(root: Path, project: str = "") -> Settings:
    """Read the settings of the work tree at ``root``, and over them a project's; raises FormatError
    where a file is not TOML, a key is unknown, or a value has the wrong type."""
    top = _of_folder(root)
    return _of_folder(root / project, top) if project else top


def _of_folder(folder: Path, base: Settings | None = None) -> Settings:
    return of_files(lambda name: _content(folder / name), base)


def of_files(read: Callable[[str], bytes], base: Settings | None = None) -> Settings:
    """Return what settings files say over ``base``; ``read`` gives the content of one, if any."""
    values: dict[str, Any] = {}
    for name, table in (("pyproject.toml", ("tool", "gitexp")), (FILE_NAME, ())):
        values.update(_section(name, table, read(name)))
    return replace(base or Settings(), **values)


def project(root: Path, where: Path) -> str:
    """Return the nearest folder with settings of its own on the way from ``where`` up to the root,
    as ``models/nlp/``; empty where there is none below the root."""
    if not where.is_relative_to(root):
        return ""
    for folder in (where, *where.parents):
        if folder == root:
            break
        if (folder / FILE_NAME).is_file() or _of_folder(folder).root:
            return f"{folder.relative_to(root).as_posix()}/"
    return ""


def _section(name: str, table: tuple[str, ...], data: bytes) -> dict[str, Any]:
    """Return the checked settings in one file, ``{}`` where it has no table of ours."""
    # saves the import of a TOML parser, and foreign syntax errors
    if not data or (table and b"gitexp" not in data):
        return {}
    from gitexp.formats.assigned import by_toml

    try:
        section: Any = by_toml(data.decode("utf-8"))
    except RecursionError:
        raise FormatError(f"{name} is nested too deep to be read") from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise FormatError(f"{name} cannot be read as TOML: {error}") from None
    for key in table:
        section = section.get(key, {}) if isinstance(section, dict) else {}
    if not isinstance(section, dict):
        raise FormatError(f"{name}: [tool.gitexp] must be a table of settings")
    return {key: _checked(name, key, value) for key, value in section.items()}


def _content(path: Path) -> bytes:
    """Return what a settings file holds, nothing for none; it may be a device without an end."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(f"{path.name} is not a regular file; remove or replace it")
        if status.st_size > MAX_BYTES:
            raise FormatError(
                f"{path.name} is larger than {MAX_BYTES // 10**6} MB, too large for settings;"
                " shorten it"
            )
        return path.read_bytes()
    except OSError:
        return b""


def parse_size(text: str | int) -> int:
    """Return bytes for ``10MB``, ``1.5 GiB`` or a plain number; raises FormatError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(text))
    if not match or match[2].upper() not in _UNITS or len(match[1]) > 300:
        raise FormatError(
            f"'{text}' is not a size; write a number of bytes, or like '10MB' or '1.5GiB'"
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])


def reading(known: Settings, said: Any) -> Settings:
    """Return settings with what ``gitexp run`` was told, or anybody's tag says that it was, of
    where metrics are: ``metrics_files`` and ``stdout``."""
    said = said if isinstance(said, dict) else {}
    files, stdout = said.get("metrics_files"), said.get("stdout")
    files = [item for item in files if isinstance(item, str)] if isinstance(files, list) else []
    always = (known.stdout or True) if stdout else False
    return replace(
        known,
        metrics_files=(*known.metrics_files, *files),
        stdout=always if isinstance(stdout, bool) else known.stdout,
    )


def _pattern(text: str) -> str:
    """Return a regular expression that names metrics; raise FormatError where it is none."""
    try:
        if re.compile(text).groupindex:
            return text
        why = "no group in it has a name"
    except re.error as error:
        why = str(error)
    raise FormatError(
        f"'{text}' is no pattern for the setting stdout: {why}; write loss=(?P<loss>\\S+)"
    )


def _checked(file: str, name: str, value: Any) -> Any:
    kinds = {item.name: str(item.type) for item in fields(Settings)}
    if name not in kinds:
        raise FormatError(f"{file}: there is no setting '{name}'.{did_you_mean(name, kinds)}")
    if name in ("max_file_size", "max_untracked_size"):
        return parse_size(value)
    kind = kinds[name]
    if type(value).__name__ == kind.partition(" ")[0]:  # bool, int or str
        return value
    if "tuple" in kind and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value) if name != "stdout" else tuple(map(_pattern, value))
    ways = [*value.values()] if name == "metrics" and isinstance(value, dict) else [None]
    if all(way in ("min", "max") for way in ways):
        return value
    wanted = {"metrics": 'a table like {rmse = "min", accuracy = "max"}'}.get(
        name, kind.removesuffix(" | None").replace("tuple[str, ...]", "a list of strings")
    )
    raise FormatError(f"{file}: setting '{name}' must be {wanted}, not {value!r}")
