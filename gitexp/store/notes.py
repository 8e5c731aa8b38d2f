"""Labels and notes that people add after the fact: lines of JSON in git notes, so that the commit
never changes.

Each line of a note on ``refs/notes/gitexp`` is one event, ``{"at": time, "by": who, "label":
"+conv"}``. Lines begin with their time, so the order of text is the order of time, and git's own
``cat_sort_uniq`` merges what two people added.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from gitexp.formats import message, redaction
from gitexp.formats.errors import GitError
from gitexp.repo import Repo, collector, trees
from gitexp.store import names, ref_scan

REF = ref_scan.NOTES
_Lines = dict[str, list[str]]  # of each commit
_TRIES = 5
_WHY = "gitexp: notes"
_FLAT = 256  # notes that lie in one folder
SEEN = "refs/gitexp/noted/"  # with a remote's name and gitexp: its notes as they were last seen


class Notes(NamedTuple):
    """What was added to one experiment: label changes in order (``+conv``, ``-old``), texts as they
    read now, other events, and for each text what an event that replaces it has to name."""

    changes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    keys: tuple[str, ...] = ()

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


def alias(events: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the last event that gave an experiment its second name, or took it away (``""``)."""
    return ([event for event in events if isinstance(event.get("alias"), str)] or [{}])[-1]


def last_reproduced(events: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return what the last ``gitexp reproduce`` of an experiment noted, None where nobody tried."""
    found = [event for event in events if isinstance(event.get("verified"), Mapping)]
    said = found[-1]["verified"].get("verdict") if found else None
    return found[-1] if said in ("same", "drifted") else None


def as_labels(words: Iterable[str]) -> Iterator[str]:
    """Yield what other tools call a run as labels: one word each."""
    for text in words:
        word = re.sub(r'[\s,"]+', "-", message.one_line(text)).strip("-+")
        if word:
            yield names.check_label(word)


def add(repo: Repo, commits: Iterable[str], events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Add the events to each of the commits and return their lines; raise GitError where notes
    cannot be written."""
    who = repo.committer.partition(" <")[0]
    stamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lines = [
        json.dumps({"at": stamp, "by": who, **_without_secrets(repo, event)}, ensure_ascii=False)
        for event in events
    ]
    _rewrite(repo, commits, lambda old: {commit: [*old[commit], *lines] for commit in old})
    return lines


def _without_secrets(repo: Repo, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event with ``***`` in the place of secrets in what somebody wrote, and say so."""
    from gitexp.store.entry import settings_of

    told = {key: event[key] for key in ("note", "because") if key in event}
    if str(event.get("label", ""))[:1] == "+":  # an old one can still be taken away
        told["label"] = event["label"]
    hidden: list[str] = []
    if told and settings_of(repo).scan_secrets:
        told = redaction.without_secrets(told, hidden=hidden)
    if hidden:
        warnings.warn(
            "gitexp: the text may hold a secret, which reads ***; to record it, set scan_secrets ="
            " false",
            RuntimeWarning,
            stacklevel=3,
        )
    return {**event, **told}


def take_back(repo: Repo, commits: Iterable[str], lines: Iterable[str]) -> None:
    """Remove lines that ``add`` wrote; where they were pushed, the remote keeps them."""
    gone = {*lines}
    _rewrite(
        repo,
        commits,
        lambda old: {at: [line for line in old[at] if line not in gone] for at in old},
    )


def _rewrite(repo: Repo, commits: Iterable[str], change: Callable[[_Lines], _Lines]) -> None:
    """Change the lines of some commits, all in one commit of the notes; a commit without lines has
    no note.

    What ``git notes`` itself writes, a ``git gc --prune=now`` beside it could take away. The lock
    is held until all is there for sure, since the next writer builds upon it.
    """
    commits = [*dict.fromkeys(commits)]
    for left in reversed(range(_TRIES)):
        with repo.lock() as fd:
            tip = repo.tip(REF)
            try:
                with collector.guarded(repo):
                    new = _committed(repo, tip, _changed(repo, tip, commits, change))
                    repo.update_refs([f"update {REF} {new} {tip or repo.zero}"], _WHY, [fd])
                return
            except GitError as error:  # else git itself wrote notes meanwhile
                if not left or (repo.tip(REF) == tip and not collector.has_taken(error)):
                    raise


def _changed(
    repo: Repo, tip: str | None, commits: Sequence[str], change: Callable[[_Lines], _Lines]
) -> dict[str, str | None]:
    """Write the notes anew that change: ``{path: hash}``, None for one that goes."""
    paths = _paths(repo, tip)
    old: _Lines = {commit: [] for commit in commits}
    held = [commit for commit in commits if commit in paths]
    for commit, item in zip(held, repo.objects(paths[commit][1] for commit in held)):
        if item is None:
            raise _unreadable("missing")
        old[commit] = [*filter(None, item.data.decode("utf-8", "replace").splitlines())]
    files: dict[str, str | None] = {}
    for commit, lines in change(old).items():
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        # git reads notes at any depth
        new = commit if len(paths) < _FLAT else f"{commit[:2]}/{commit[2:]}"
        path = paths[commit][0] if commit in paths else new
        files[path] = repo.write_object("blob", data) if data else None
    return files


def _committed(repo: Repo, tip: str | None, files: Mapping[str, str | None]) -> str:
    """Write the commit of notes that comes after ``tip``, with other files, and return its hash."""
    if tip:
        tree = trees.edited(repo, f"{tip}^{{tree}}", files)
    else:
        tree = trees.write(repo, {path: blob for path, blob in files.items() if blob})
    people = (f"{who} {trees.stamp()}" for who in (repo.author, repo.committer))
    return trees.bare_commit(repo, tree, tip, "Notes added by gitexp", *people)


def _paths(repo: Repo, tip: str | None) -> dict[str, tuple[str, str]]:
    """Return ``{commit: path and hash of its note}``."""
    try:
        listed = repo.entries("ls-tree", "-r", "-z", tip) if tip else ()
    except GitError as error:
        raise _unreadable(error.stderr) from None
    entries = (entry.partition("\t") for entry in listed)
    return {path.replace("/", ""): (path, about.split(" ")[2]) for about, _, path in entries}


def _unreadable(stderr: str) -> GitError:
    return GitError(f"{REF} cannot be read; to mend it: gitexp doctor --fix", stderr=stderr)


def events_of(repo: Repo, commit: str) -> Notes:
    """Return what was added to one experiment."""
    return parse(repo.git("notes", "--ref", REF, "show", commit, ok=(0, 1)))


def move(repo: Repo, commits: Mapping[str, str]) -> None:
    """Give the notes of some commits to others, ``{old: new}``; what those have already stays."""

    def moved(old: _Lines) -> _Lines:
        given = {new: sorted({*old[before], *old[new]}) for before, new in commits.items()}
        return {**{before: [] for before in commits}, **given}

    _rewrite(repo, [*commits, *commits.values()], moved)


def of_remote(remote: str) -> str:
    """Return the ref of a remote's notes as they were last seen."""
    return f"{SEEN}{remote}/gitexp"


def merge(repo: Repo, remote: str) -> bool:
    """Merge the notes that were last seen on a remote into those here; whether that changed
    anything.

    Raises:
        GitError: those of the remote cannot be read; ours stay as they are.
    """
    theirs, mine = repo.tip(of_remote(remote)), repo.tip(REF)
    if theirs is None or theirs == mine:
        return False
    if not is_readable(repo, theirs):
        raise GitError(
            f"{REF} on {remote} holds no notes that can be read, and was left alone; to put a sound"
            f" one there: git push --force {remote} {REF}"
        )
    with repo.lock() as fd:
        if repo.tip(REF) is None:
            repo.update_refs([f"create {REF} {theirs}"], "gitexp: pull", [fd])
        else:
            how = ("notes", "--ref", REF, "merge", "-q", "-s", "cat_sort_uniq", theirs)
            repo.git(*how, env=repo.identity, pass_fds=[fd])
    return repo.tip(REF) != mine


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
    notes.

    A text that was edited keeps its place: the event with the new text names the old one in
    ``replaces``, and one without a text removes it. So the union of two clones' lines reads alike
    everywhere, and what was written once stays in the history.
    """
    changes, events = [], []
    texts: dict[str, str] = {}
    for line in sorted(set(data.decode("utf-8", "replace").splitlines())):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(event, dict):
            continue
        label, text, old = event.get("label"), event.get("note"), event.get("replaces")
        if isinstance(label, str) and len(label) > 1 and label[0] in "+-":
            changes.append(label)
        elif isinstance(text, str):
            at = str(event.get("at"))
            texts[old if isinstance(old, str) else line if at in texts else at] = text
        elif isinstance(old, str):
            texts.pop(old, None)
        else:
            events.append(event)
    return Notes(tuple(changes), tuple(texts.values()), tuple(events), tuple(texts))
