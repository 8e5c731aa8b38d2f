"""Where an MLflow server is, and what to log in with."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from gitexp.formats import message
from gitexp.formats.errors import UsageError


class Login(NamedTuple):
    """Who asks: name and password, or a bearer token alone."""

    user: str = ""
    password: str = ""
    token: str = ""


def login(uri: str, environment: Mapping[str, str]) -> Login | None:
    """Return what MLflow itself would log in with: its variables, the address, or
    ``~/.mlflow/credentials``."""
    parts = urlsplit(uri)
    if token := environment.get("MLFLOW_TRACKING_TOKEN"):
        return Login(token=token)
    if user := environment.get("MLFLOW_TRACKING_USERNAME"):
        return Login(user, environment.get("MLFLOW_TRACKING_PASSWORD", ""))
    if parts.username:
        return Login(unquote(parts.username), unquote(parts.password or ""))
    known = configparser.ConfigParser(interpolation=None)
    try:
        known.read(Path.home() / ".mlflow" / "credentials")
        section = known["mlflow"]
        return Login(
            section["mlflow_tracking_username"], section.get("mlflow_tracking_password", "")
        )
    except (configparser.Error, KeyError, OSError, UnicodeDecodeError, RuntimeError):
        return None


def address(uri: str) -> str:
    """Return a server's address without credentials, query or the fragment that a browser shows.

    Raises:
        UsageError: it is not an http(s) address.
    """
    try:
        parts = urlsplit(uri.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        netloc = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        shown = message.one_line(uri.rpartition("@")[2])
        raise UsageError(
            f"'{shown}' is not an address of an MLflow server; write for example"
            " http://localhost:5000 "
            "(for a database or folder, run one: mlflow server --backend-store-uri ...)"
        ) from None
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
