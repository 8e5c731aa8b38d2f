"""What the run ran on: installed distributions, Python, host and hardware."""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gitexp.formats import redaction

PATH = ".gitexp/requirements.txt"
_INFO = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+?)(?:-py[\d.]+)?\.(?:dist|egg)-info")
_PINNED = r"([\w.-]+)(?:==|\s*@\s*)(\S+)|# ([\w.-]+)==(\S+) \(editable"
_REDACT_NAME = re.compile(
    r"(?i)(pass(word|wd|phrase)?|secret|token|api[-_]?key|access[-_]?key|credential|auth)s?$"
)


def requirements(paths: Iterable[str] | None = None, python: str | None = None) -> str:
    """Return a ``requirements.txt``: the Python version as a comment, then every distribution,
    pinned, of here or another interpreter (see ``of_interpreter``). Names of ``*.dist-info``
    folders say it all (PEP 376), fifty times as fast as ``importlib.metadata``; addresses and
    folders are written so (PEP 610)."""
    folders = [folder or "." for folder in (sys.path if paths is None else paths)]
    return _listed(tuple((folder, _changed(folder)) for folder in folders), python or _python())


@functools.cache
def _python() -> str:
    made = f"{platform.python_implementation()}, {sys.platform}, {platform.machine()}"
    return f"{platform.python_version()} ({made})"


@functools.lru_cache(maxsize=4)
def _listed(folders: tuple[tuple[str, int], ...], python: str) -> str:
    """Return the requirements of ``(folder, its time)``: after an installation it is read anew."""
    found: dict[str, str] = {}
    for folder, _ in folders:
        infos = (entry for entry in _names(folder) if entry.endswith("-info"))
        for match in filter(None, map(_INFO.fullmatch, infos)):
            name = re.sub(r"[-_.]+", "-", match["name"]).lower()  # PEP 503
            if name not in found:  # the first on the path is the one that is imported
                direct = f"{folder}/{match[0]}/direct_url.json"
                found[name] = _requirement(name, match["version"], direct)
    return "\n".join([f"# Python {python}", *(found[name] for name in sorted(found))]) + "\n"


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


def is_python(program: str) -> bool:
    """Whether a command's first word calls a Python."""
    return re.fullmatch(r"(?i)(python|pypy)[\d.]*(\.exe)?", os.path.basename(program)) is not None


def of_interpreter(program: str) -> str | None:
    """Return the requirements of the Python that a command starts, unless it is this one."""
    if not is_python(program):
        return None
    import shutil
    import subprocess

    found = shutil.which(program)
    if found is None or os.path.abspath(found) == os.path.abspath(sys.executable):
        return None
    ask = (
        "import json, platform as p, sys; print(json.dumps([sys.path[1:], f'{p.python_version()}"
        " ({p.python_implementation()}, {sys.platform}, {p.machine()})']))"
    )
    try:
        done = subprocess.run([found, "-c", ask], capture_output=True, timeout=20, check=True)
        paths, python = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return requirements(paths, python)


def understands_gitexp(program: str, root: Path) -> bool:
    """Whether the first environment with MLflow has gitexp beside it: that of the program, of the
    first Python on the path, or ``.venv``. Else ``gitexp:`` means nothing there."""
    import glob
    import shutil

    called = map(shutil.which, (program, "python", "python3"))
    for name in (*filter(None, called), str(root / ".venv/bin/python")):
        top = os.path.dirname(os.path.dirname(os.path.abspath(name)))
        for site in glob.iglob(f"{glob.escape(top)}/lib/python*/*-packages"):
            infos = (entry for entry in _names(site) if entry.endswith(".dist-info"))
            known = {entry.partition("-")[0] for entry in infos}
            if any(entry.startswith("mlflow") for entry in known):
                return "gitexp" in known
    return True


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def parse_requirements(text: str) -> dict[str, str]:
    """Return ``{"python": "3.11.7", "numpy": "1.26.4"}`` for what ``requirements`` wrote."""
    versions = {}
    for line in text.splitlines():
        if match := re.match(r"# Python (\S+)", line):
            versions["python"] = match[1]
        elif match := re.match(_PINNED, line):
            versions[match[1] or match[3]] = match[2] or match[4]
    return versions


def host() -> str:
    """Return the name of this machine."""
    return platform.node() or "unknown"


def hardware() -> str:
    """Return the processor, its cores and the memory in one line: ``x86_64, 8 cores, 32 GB``."""
    parts = [platform.machine() or "unknown", f"{os.cpu_count() or 1} cores"]
    try:
        parts.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB")
    except (AttributeError, ValueError, OSError):  # Windows
        pass
    return ", ".join(parts)


def redact(arguments: Iterable[str]) -> list[str]:
    """Return a command line whose values of secret-looking options, tokens and credentials in
    addresses read ``***``; ``--max-tokens 512`` counts tokens and is none."""
    shown: list[str] = []
    before = ""  # the option whose value comes next
    for argument in arguments:
        name, sign, value = argument.partition("=")
        if before and not argument.startswith("-") and is_secret(before, argument):
            shown.append(redaction.HIDDEN)
        elif sign and re.fullmatch(r"[+-]*[\w.-]+", name) and is_secret(name, value):
            shown.append(f"{name}={redaction.HIDDEN}")
        else:
            plain = re.sub(r"(?<=://)[^/@\s]+@", "***@", argument)
            shown.append(redaction.redact_all(plain))
        before = argument if not sign and argument.startswith("-") else ""
    return shown


def is_secret(name: str, value: str) -> bool:
    """Whether the value of an option is a secret; a password is one even where it is a word."""
    is_count = "tokens" in name.lower() and re.fullmatch(r"\d{1,7}", value)
    harmless = is_count or re.search(redaction.NO_SECRET, name.replace("-", "_"))
    named = _REDACT_NAME.search(name) and not harmless  # --pad-token "<pad>" is none
    return bool(named) or redaction.is_secret(name, value) or redaction.is_opaque(value)


def _requirement(name: str, version: str, direct: str) -> str:
    # most have none, and to find that out by opening takes five times as long
    if not os.access(direct, os.F_OK):
        return f"{name}=={version}"
    try:
        source: dict[str, Any] = json.loads(Path(direct).read_bytes())
        url = re.sub(r"(?<=://)[^/@\s]+@", "", str(source["url"]))
        url = url if url.startswith("file:") else redaction.redact(url)
        if "vcs_info" in source:
            return f"{name} @ {source['vcs_info']['vcs']}+{url}@{source['vcs_info']['commit_id']}"
        if source.get("dir_info", {}).get("editable"):
            return f"# {name}=={version} (editable, from {url})"
        return f"# {name}=={version} (from {url})" if "dir_info" in source else f"{name} @ {url}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{name}=={version}"
