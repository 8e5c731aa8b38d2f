"""Packages that only some commands need, imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gitexp.formats.errors import MissingExtraError


def needed(module: str, what: str, extra: str) -> Any:
    """Return an optional package's module; raise MissingExtraError with the way to install it."""
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtraError(what, extra) from None
