"""Labels and notes that people add after the fact: lines of JSON in git notes, so that the commit
never changes.

Each line of a note on ``refs/notes/gitexp`` is one event, ``{"at": time, "by": who, "label":
"+conv"}``. Lines begin with their time, so the order of text is the order of time, and git's own
``cat_sort_uniq`` merges what two people added.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from gitexp.formats.errors import GitError, UsageError
from gitexp.repo import Repo
from gitexp.store import ref_scan

REF = ref_scan.NOTES
SEEN = "refs/gitexp/noted/"  # with a remote's name and gitexp: its notes as they were last seen


class Notes(NamedTuple):
    """What was added to one experiment: label changes in order (``+conv``, ``-old``), texts, and
    other events."""

    changes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()

    def labels(self, given: Iterable[str]) -> tuple[str, ...]:
        """Return the labels that hold now, of those given at once and those changed later;
        sorted."""
        labels = set(given)
        for change in self.changes:
            (labels.add if change[0] == "+" else labels.discard)(change[1:])
        return tuple(sorted(labels))


def verdict(events: Iterable[Mapping[str, Any]]) -> str | None:
    """Return how the last ``gitexp reproduce`` of an experiment ended: ``same`` or ``drifted``;
    None where nobody tried."""
    return str(event["verified"]["verdict"]) if (event := last_reproduced(events)) else None


def last_reproduced(events: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return what the last ``gitexp reproduce`` of an experiment noted, None where nobody tried."""
    found = [event for event in events if isinstance(event.get("verified"), Mapping)]
    return (
        found[-1] if found and found[-1]["verified"].get("verdict") in ("same", "drifted") else None
    )


def check_label(label: str) -> str:
    """Return a label if it can be one: a word without spaces, commas or a leading sign; else raise
    UsageError."""
    if (
        not label
        or not label.isprintable()
        or any(char in label for char in ' ,"')
        or label[0] in "+-"
    ):
        raise UsageError(
            f"'{label}' cannot be a label; use a word without spaces and commas that does not start"
            " with + or -"
        )
    return label


def add(repo: Repo, commits: Iterable[str], events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Add the events to each of the commits and return their lines; raise GitError where notes
    cannot be written."""
    who = repo.committer.partition(" <")[0]
    stamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lines = [json.dumps({"at": stamp, "by": who, **event}, ensure_ascii=False) for event in events]
    _rewrite(repo, commits, lambda old: [*old, *lines])
    return lines


def take_back(repo: Repo, commits: Iterable[str], lines: Iterable[str]) -> None:
    """Remove lines that ``add`` wrote; where they were pushed, the remote keeps them."""
    gone = {*lines}
    _rewrite(repo, commits, lambda old: [line for line in old if line not in gone])


def _rewrite(repo: Repo, commits: Iterable[str], change: Callable[[list[str]], list[str]]) -> None:
    with repo.lock() as fd:
        for commit in commits:
            old = (
                repo.git("notes", "--ref", REF, "show", commit, ok=(0, 1))
                .decode("utf-8", "replace")
                .splitlines()
            )
            merged = change([*filter(None, old)])
            blob = repo.write_object("blob", ("\n".join(merged) + "\n").encode("utf-8", "replace"))
            repo.git(
                "notes",
                "--ref",
                REF,
                "add",
                "-f",
                "-C",
                blob,
                commit,
                env=repo.identity,
                pass_fds=[fd],
            )


def move(repo: Repo, commits: Mapping[str, str]) -> None:
    """Give the notes of some commits to others, ``{old: new}``; what those have already stays."""
    found = read(repo)
    with repo.lock() as fd:
        for old, new in commits.items():
            given = [
                item.data
                for item in repo.objects([found[old], *([found[new]] if new in found else [])])
                if item
            ]
            lines = sorted({line for data in given for line in data.split(b"\n") if line})
            blob = repo.write_object("blob", b"\n".join([*lines, b""]))
            repo.git(
                "notes",
                "--ref",
                REF,
                "add",
                "-f",
                "-C",
                blob,
                new,
                env=repo.identity,
                pass_fds=[fd],
            )
        gone = "".join(f"{old}\n" for old in commits).encode()
        repo.git(
            "notes",
            "--ref",
            REF,
            "remove",
            "--stdin",
            "--ignore-missing",
            stdin=gone,
            env=repo.identity,
            pass_fds=[fd],
        )


def read(repo: Repo) -> dict[str, str]:
    """Return ``{commit: hash of its note}`` for all notes."""
    try:
        listed = repo.git("notes", "--ref", REF, "list").decode().split()
    except GitError:  # damaged, which doctor says and mends; the experiments are all there
        return {}
    return dict(zip(listed[1::2], listed[0::2]))


def is_readable(repo: Repo, tip: str) -> bool:
    """Whether a tip is a commit whose list of notes can be read."""
    found = next(repo.objects([tip]))
    return found is not None and found.kind == "commit" and repo.succeeds("ls-tree", "-r", tip)


def last_readable(repo: Repo) -> str | None:
    """Return the tip that the notes had last, of those that can be read; None where git remembers
    none."""
    try:
        lines = (repo.common_dir / "logs" / REF).read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    tips = [line.split(" ")[0] for line in reversed(lines)]
    tips += repo.refs(SEEN).values()
    return next((tip for tip in tips if tip.strip("0") and is_readable(repo, tip)), None)


def parse(data: bytes) -> Notes:
    """Read one note; lines that are no events of ours are passed over, since anybody may write
    notes."""
    changes, texts, events = [], [], []
    for line in sorted(set(data.decode("utf-8", "replace").splitlines())):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(event, dict):
            continue
        label, text = event.get("label"), event.get("note")
        if isinstance(label, str) and len(label) > 1 and label[0] in "+-":
            changes.append(label)
        elif isinstance(text, str):
            texts.append(text)
        else:
            events.append(event)
    return Notes(tuple(changes), tuple(texts), tuple(events))
