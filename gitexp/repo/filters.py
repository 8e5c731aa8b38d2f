"""Content on its way into a tree, as ``git add`` would take it: filters, line ends, attributes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from gitexp.repo.process import joined
from gitexp.repo.repository import Repo

_ALWAYS = ("filter", "ident", "working-tree-encoding")
_LINE_ENDS = ("text", "eol", "crlf")
_NOT = ("unspecified", "unset")


def write(repo: Repo, contents: Mapping[str, bytes | Path]) -> dict[str, str]:
    """Write files as blobs and return ``{path in the tree: hash}``.

    Raises:
        GitError: a filter that is required refuses one; it is named.
    """
    asked = changed(repo, contents)
    return {path: blob(repo, path, content, asked.get(path)) for path, content in contents.items()}


def changed(repo: Repo, paths: Iterable[str]) -> dict[str, str]:
    """Return the paths whose content git may change on the way in, and why: ``filter``, ``line
    ends``."""
    converted = repo.told.get("core.autocrlf", "").lower() in ("true", "input", "yes", "on", "1")
    paths = [*paths]
    if not converted and not _has_attributes(repo, paths):
        return {}
    names = (*_ALWAYS, *_LINE_ENDS)
    fields = repo.entries("check-attr", "-z", "--stdin", *names, stdin=joined(paths))
    found: dict[str, str] = {}
    for path, name, value in zip(fields[0::3], fields[1::3], fields[2::3]):
        by_default = name == "text" and value == "unspecified" and converted
        if by_default or value not in _NOT:
            found[path] = "filter" if name in _ALWAYS else found.get(path, "line ends")
    return found


def blob(repo: Repo, path: str, content: bytes | Path, by: str | None) -> str:
    """Write one file as a blob and return its hash; ``by`` is what ``changed`` says of its path."""
    if by == "line ends":
        data = content if isinstance(content, bytes) else content.read_bytes()
        by = "filter" if b"\r" in data else None
    if by:
        command = ("hash-object", "-w", f"--path={path}")
        if isinstance(content, bytes):
            return repo.remembered(partial(repo.line, *command, "--stdin", stdin=content))
        return repo.remembered(partial(repo.line, *command, "--", os.path.abspath(content)))
    if isinstance(content, bytes):
        return repo.write_object("blob", content)
    return repo.write_file(content)


def _has_attributes(repo: Repo, paths: Iterable[str]) -> bool:
    """Whether any file of attributes can apply, as gitattributes(5) lists them."""
    settings = ("core.attributesfile", "GIT_ATTR_SYSTEM", "GIT_ATTR_GLOBAL")
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    files = [
        repo.common_dir / "info" / "attributes",
        Path(home, "git", "attributes"),
        Path("/etc/gitattributes"),
        *(Path(repo.told[name]).expanduser() for name in settings if repo.told.get(name)),
        *(repo.root / folder / ".gitattributes" for path in paths for folder in Path(path).parents),
    ]
    return any(file.exists() for file in dict.fromkeys(files))
