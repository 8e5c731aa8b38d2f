"""Whether an untracked file looks like a secret, so that it does not enter history (and a remote)
by itself.

Each line is judged as our own words are (``formats/redaction.py``), then by detect-secrets (Yelp),
without its verification, which would send what it finds over the network. A verdict is remembered
per path, size and modification time: the scanner takes 0.1 s to import and some ms a file, and most
snapshots see the same files again. Not meant for tracked files: those are in history already.
"""

from __future__ import annotations

import fnmatch
import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gitexp.formats import redaction

MAX_SCANNED = 2**20  # bytes of a file that are looked at
_RULES = 2  # a verdict by older ones is none
MAX_LINE = 2_000  # characters; longer lines are data (minified, images in notebooks), not source
_NAMES = (
    ".env", ".env.*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx",
    "id_rsa*", "id_dsa*", "id_ecdsa*",
    "id_ed25519*", ".netrc", "_netrc", ".pypirc", ".npmrc", ".pgpass", ".htpasswd",
    ".git-credentials", "credentials", "credentials.*",
    "*credentials.json", "service[-_]account*.json", "client_secret*.json", "secrets.*",
    ".dockercfg", "kubeconfig", "*.ovpn",
)  # fmt: skip
_HARMLESS = ("*.example", "*.sample", "*.template", "*.dist", "*.pub")
_FILTERS = (
    "allowlist.is_line_allowlisted", "heuristic.is_sequential_string",
    "heuristic.is_potential_uuid", "heuristic.is_likely_id_string",
    "heuristic.is_templated_secret", "heuristic.is_prefixed_with_dollar_sign",
    "heuristic.is_indirect_reference",
    "heuristic.is_not_alphanumeric_string", "heuristic.is_lock_file", "heuristic.is_swagger_file",
)  # fmt: skip
# addresses and hashes are none, and names are judged by ``redaction``
_NO_SECRET = {"IPPublicDetector", "HexHighEntropyString", "KeywordDetector"}


def find(root: Path, paths: Iterable[str], memory: Path) -> dict[str, str]:
    """Return ``{path: why}`` for those of ``paths`` (relative to ``root``) that look like a secret.

    ``memory`` is the file that keeps verdicts between calls; unreadable, it is started anew.
    """
    known = _recalled(memory)
    verdicts: dict[str, list[Any]] = {}
    unknown = []
    for path in paths:
        by_name = _suspicious_name(path)
        try:
            status = os.lstat(root / path)
        except OSError:
            continue
        stamp = [status.st_size, status.st_mtime_ns, _RULES]
        old = known.get(path)
        if by_name:
            verdicts[path] = [*stamp, by_name]
        elif isinstance(old, list) and old[:-1] == stamp:
            verdicts[path] = old
        else:
            verdicts[path] = [*stamp, None]
            unknown.append(path)
    if unknown:
        for path, why in _scanned(root, unknown).items():
            verdicts[path][-1] = why
        _remember(memory, verdicts)
    return {path: verdict[-1] for path, verdict in verdicts.items() if verdict[-1]}


def _suspicious_name(path: str) -> str | None:
    name = os.path.basename(path).lower()
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in _HARMLESS) or name.endswith(
        (".py", ".ipynb", ".md")
    ):
        return None
    return "its name" if any(fnmatch.fnmatchcase(name, pattern) for pattern in _NAMES) else None


def _scanned(root: Path, paths: list[str]) -> dict[str, str]:
    shown = warnings.showwarning
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
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
        return {path: why for path in paths if (why := _first_secret(root, path))}


def _first_secret(root: Path, path: str) -> str | None:
    from detect_secrets.core.scan import _process_line_based_plugins

    try:
        if not os.path.isfile(root / path) or os.path.islink(root / path):
            return None
        with open(root / path, "rb") as file:
            data = file.read(MAX_SCANNED)
    except OSError:
        return None
    if b"\0" in data[:8000]:  # git's own test for binary
        return None
    lines = [
        (at, line)
        for at, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1)
        if 8 <= len(line) <= MAX_LINE
    ]
    for at, line in lines:
        if kind := redaction.why(line):
            return f"line {at}: {kind}"
    for secret in _process_line_based_plugins(lines=lines, filename=path):
        return f"line {secret.line_number}: {secret.type}"
    return None


def _recalled(memory: Path) -> dict[str, Any]:
    try:
        known = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(memory: Path, verdicts: dict[str, list[Any]]) -> None:
    part = memory.with_name(f"{memory.name}.{os.getpid()}")
    try:
        part.write_text(json.dumps(verdicts))
        os.replace(part, memory)
    except OSError:  # only speed is lost
        part.unlink(missing_ok=True)
