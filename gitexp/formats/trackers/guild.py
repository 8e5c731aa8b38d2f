"""Guild AI's runs (guildai 0.9.0): a folder for each, with ``.guild/opref``, ``.guild/attrs`` and
event files of what the script printed (``loss: 0.5``), beside those that it wrote itself.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gitexp.formats import params
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.found import Run, Unread, files_in, moment, shown, status
from gitexp.formats.trackers.tensorboard import scalars

_ATTRS = (
    "id", "flags", "label", "tags", "comments", "started", "stopped", "exit_status", "cmd",
    "vcs_commit",
)  # fmt: skip


def read(path: Path) -> Iterator[Run]:
    """Yield the run of a folder."""
    root = path.parent.parent
    facts = _attrs(path.parent / "attrs")
    files, partly = files_in(root, "*")
    started, stopped = facts["started"] / 1e6, facts.get("stopped")
    source = _source(path.with_name("manifest"))
    commit = str(facts.get("vcs_commit", "")).removeprefix("git:").rstrip("*")
    yield Run(
        facts["id"],
        facts.get("label") or path.read_text("utf-8", "replace").split()[-1],
        moment(started),
        _points(root, [file for file in files if "tfevents" in file.name], partly),
        facts.get("flags") or {},
        status(facts.get("exit_status")),
        stopped / 1e6 - started if stopped else None,
        "\n\n".join(str(item["body"]) for item in facts.get("comments") or ()),
        tuple(facts.get("tags") or ()),
        command=shlex.join(map(str, facts.get("cmd") or ())) or None,
        commit=commit or None,
        artifacts={
            name: file
            for file in files
            if not (name := file.relative_to(root).as_posix()).startswith(".guild/")
            and name not in source
            and "tfevents" not in name
        },
        partly=tuple(partly),
        where=shown(root),
    )


def _attrs(folder: Path) -> dict[str, Any]:
    """Return the attributes, each a file of YAML."""
    texts = [
        f"{name}:\n{textwrap.indent((folder / name).read_text('utf-8'), '  ')}"
        for name in _ATTRS
        if (folder / name).exists()
    ]
    return params.load("\n".join(texts).encode(), "attrs.yaml")


def _source(path: Path) -> set[str]:
    """Return the files that Guild copied, by lines like ``s train.py HASH train.py``."""
    lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    return {words[1] for line in lines if len(words := shlex.split(line)) > 1 and words[0] in "sd"}


def _points(root: Path, files: Sequence[Path], partly: list[Unread]) -> Iterator[MetricPoint]:
    """Yield the scalars; those of a folder below the run's are called by it."""
    for file in files:
        folder = file.parent.relative_to(root).as_posix()
        prefix = "" if folder in (".", ".guild") else f"{folder.removeprefix('.guild/')}/"
        for point in scalars(file, partly):
            yield point._replace(name=f"{prefix}{point.name}")
