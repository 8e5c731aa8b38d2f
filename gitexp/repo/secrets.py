"""Whether an untracked file looks like a secret, so that it does not enter history (and a remote)
by itself.

Each line is judged as our own words are (``formats/redaction.py``), then by detect-secrets (Yelp),
without its verification, which would send what it finds over the network. A verdict is remembered
per path, size and modification time, and most snapshots see the same files again. Importing the
scanner takes more than all else of a short run, so it is asked only of files with a line that can
hold something for it. Not meant for tracked files: those are in history already.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gitexp.formats import redaction
from gitexp.repo import files

MAX_SCANNED = 2**20  # bytes of a file that are looked at
_RULES = 3  # a verdict by older ones is none
MAX_LINE = 2_000  # characters; longer lines are data (minified, images in notebooks), not source
_NAMES = (
    ".env", ".env.*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx",
    "id_rsa*", "id_dsa*", "id_ecdsa*",
    "id_ed25519*", ".netrc", "_netrc", ".pypirc", ".npmrc", ".pgpass", ".htpasswd",
    ".git-credentials", "credentials", "credentials.*",
    "*credentials.json", "service[-_]account*.json", "client_secret*.json", "secrets.*",
    ".dockercfg", "kubeconfig", "*.ovpn",
)  # fmt: skip
_HARMLESS = ("*.example", "*.sample", "*.template", "*.dist", "*.pub", "*.py", "*.ipynb", "*.md")
_FILTERS = (
    "allowlist.is_line_allowlisted", "heuristic.is_sequential_string",
    "heuristic.is_potential_uuid", "heuristic.is_likely_id_string",
    "heuristic.is_templated_secret", "heuristic.is_prefixed_with_dollar_sign",
    "heuristic.is_indirect_reference",
    "heuristic.is_not_alphanumeric_string", "heuristic.is_lock_file", "heuristic.is_swagger_file",
)  # fmt: skip
# addresses and hashes are none, and names are judged by ``redaction``
_NO_SECRET = {"IPPublicDetector", "HexHighEntropyString", "KeywordDetector"}


_MARK = re.compile(
    r"://\S*:\S*@|PRIVATE KEY|PuTTY|_authToken|xox|eyJ|AKC|AP[0-9A-F]|A(?:3T|KIA|SIA|BIA|CCA)"
)
_LONG = re.compile(r"[A-Za-z0-9+/=_-]{20,}")


def find(root: Path, paths: Iterable[str], memory: Path) -> dict[str, str]:
    """Return ``{path: why}`` for those of ``paths`` (relative to ``root``) that look like a secret.

    ``memory`` is the file that keeps verdicts between calls; unreadable, it is started anew.
    """
    known = files.read_mapping(memory)
    verdicts: dict[str, list[Any]] = {}
    unknown = []
    for path in paths:
        try:
            status = os.lstat(root / path)
        except OSError:
            continue
        stamp = [status.st_size, status.st_mtime_ns, _RULES]
        old: Any = known.get(path)
        by_name = _suspicious_name(path)
        is_known = isinstance(old, list) and old[:-1] == stamp and not by_name
        verdicts[path] = old if is_known else [*stamp, by_name]
        if not is_known and not by_name:
            unknown.append(path)
    if unknown:
        lines = {path: _lines(root / path) for path in unknown}
        for path in unknown:
            kinds = ((at, redaction.why(line)) for at, line in lines[path])
            verdicts[path][-1] = next((f"line {at}: {kind}" for at, kind in kinds if kind), None)
        todo = {
            path: lines[path]
            for path in unknown
            if not verdicts[path][-1] and any(_may_hold(line) for _, line in lines[path])
        }
        for path, why in _scanned(todo).items() if todo else ():
            verdicts[path][-1] = why
        with suppress(OSError):  # only speed is lost
            files.replace(memory.parent, memory, json.dumps(verdicts).encode())
    return {path: verdict[-1] for path, verdict in verdicts.items() if verdict[-1]}


def _suspicious_name(path: str) -> str | None:
    name = os.path.basename(path).lower()
    secret, harmless = (
        any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        for patterns in (_NAMES, _HARMLESS)
    )
    return "its name" if secret and not harmless else None


def _may_hold(line: str) -> bool:
    """Whether the scanner can find something in a line: its tokens have marks, or are long and no
    row of words."""
    return _MARK.search(line) is not None or any(
        redaction.is_random(run) or re.search(r"[a-z]{20}|[A-Z]{20}", run)
        for run in _LONG.findall(line)
    )


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a file that are looked at, with their numbers: none of a binary one."""
    try:
        if not os.path.isfile(path) or os.path.islink(path):
            return []
        with open(path, "rb") as file:
            data = file.read(MAX_SCANNED)
    except OSError:
        return []
    if b"\0" in data[:8000]:  # git's own test for binary
        return []
    return [
        (at, line)
        for at, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1)
        if 8 <= len(line) <= MAX_LINE
    ]


def _scanned(files: Mapping[str, list[tuple[int, str]]]) -> dict[str, str]:
    """Return ``{path: why}`` for those of the files in which detect-secrets finds something."""
    shown = warnings.showwarning
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.core.scan import _process_line_based_plugins
    from detect_secrets.settings import transient_settings

    # importing it sends all warnings of the process, the user's too, to a logger that shows none
    if warnings.showwarning is not shown:
        import logging

        logging.captureWarnings(False)
    kinds: list[type] = list(get_mapping_from_secret_type_to_class().values())
    plugins = [{"name": kind.__name__} for kind in kinds if kind.__name__ not in _NO_SECRET]
    filters = [{"path": f"detect_secrets.filters.{name}"} for name in _FILTERS]
    with transient_settings({"plugins_used": plugins, "filters_used": filters}) as settings:
        settings.disable_filters(
            "detect_secrets.filters.common.is_invalid_file",
            "detect_secrets.filters.heuristic.is_non_text_file",
        )
        return {
            path: f"line {secret.line_number}: {secret.type}"
            for path, lines in files.items()
            if (secret := next(iter(_process_line_based_plugins(lines, filename=path)), None))
        }
