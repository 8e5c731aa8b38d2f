"""DVC's configuration, edited as text: comments and order stay, and DVC need not be installed.

``.dvc/config`` is the project's and goes into git, so it gets the address and never a secret.
``.dvc/config.local`` is this clone's own, which DVC has git ignore; it is the one place where DVC
looks for a password that it does not ask for.
"""

from __future__ import annotations

import configparser
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from gitexp.formats.errors import FormatError, GitexpError, UsageError
from gitexp.repo import Repo

CONFIG = ".dvc/config"
LOCAL = ".dvc/config.local"


def has_remote(root: Path, name: str, url: str) -> bool:
    """Whether there is such a remote.

    Raises:
        UsageError: there is another one of that name, or that can be no name.
        FormatError: the configuration cannot be read.
    """
    (_, known), section = _read(root / CONFIG), _section(name)
    if known.has_section(section) and known.get(section, "url", fallback=None) != url:
        raise UsageError(
            f"DVC has a remote '{name}' already, with another address; choose another name:"
            " --dvc-name NAME"
        )
    return known.has_section(section)


def add_remote(root: Path, name: str, url: str) -> bool:
    """Make ``url`` a remote, and the default one where there is none yet; return whether that
    changed anything.

    Raises:
        UsageError, FormatError: as ``has_remote``.
    """
    if has_remote(root, name, url):
        return False
    text, known = _read(root / CONFIG)
    if not known.has_option("core", "remote"):
        core = f"[core]\n    remote = {name}\n"
        there = re.compile(r"^\[core\]\s*?\n", re.MULTILINE)
        text = there.sub(core, text, count=1) if known.has_section("core") else core + text
    _write(root / CONFIG, _joined(text, _section(name), {"url": url}), 0o644)
    return True


def check_ignored(repo: Repo) -> None:
    """Raise UsageError where git does not ignore this clone's own file, so that a token in it could
    be committed."""
    if not repo.succeeds("check-ignore", "--quiet", "--", LOCAL) or repo.git(
        "ls-files", "--", LOCAL
    ):
        raise UsageError(
            f"git does not ignore {LOCAL}, so a token in it could be committed; add '/config.local'"
            " to .dvc/.gitignore"
        )


def keep_login(repo: Repo, name: str, user: str, password: str) -> None:
    """Keep what to log in to a remote with in this clone's own file, which only its owner can read.

    Raises:
        UsageError: git does not ignore that file.
    """
    check_ignored(repo)
    path, section = repo.root / LOCAL, _section(name)
    text, _ = _read(path)
    before = rf"(?m)^\[{re.escape(section)}\][^\n]*\n(?:(?!\[).*\n?)*"
    login = {"auth": "basic", "user": user, "password": password}
    _write(path, _joined(re.sub(before, "", text), section, login), 0o600)


def _section(name: str) -> str:
    if not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(f"'{name}' cannot be a DVC remote's name; use letters, digits and dashes")
    return f"'remote \"{name}\"'"


def _read(path: Path) -> tuple[str, configparser.ConfigParser]:
    """Return a configuration as text and as it reads; both are empty where there is none."""
    found = configparser.ConfigParser(interpolation=None)
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        found.read_string(text, path.name)
    except (configparser.Error, UnicodeDecodeError, OSError) as error:
        raise FormatError(
            f"{path.parent.name}/{path.name} cannot be read: {str(error).splitlines()[0]}"
        ) from None
    return text, found


def _joined(text: str, section: str, values: Mapping[str, str]) -> str:
    lines = "".join(f"    {key} = {_quoted(value)}\n" for key, value in values.items())
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}[{section}]\n{lines}"


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w.:/@+-]+", value):
        return value
    if '"' in value or not value.isprintable():
        raise UsageError("this token has characters that DVC's configuration cannot hold")
    return f'"{value}"'


def _write(path: Path, text: str, mode: int) -> None:
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(text.encode())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise GitexpError(
            f"{path} cannot be written: {error.strerror}; check the permissions"
        ) from None
