"""Whether an experiment is what it says: whole, the same in its tag, commit and files, its inputs
unchanged, its signature good.

Nothing of the repository is run for that, and nothing is fetched. A signature is checked by git
beside the repository, where none of its settings holds, with the signers and programs that the
user's own configuration names; a relative path there would be one in the repository, and counts as
none.
"""

from __future__ import annotations

import functools
import io
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.formats import message, metrics, params, readers, result_files
from gitexp.formats.errors import FormatError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Object, Repo, dvc_pointers
from gitexp.store import conditions, gathering

GOOD, BAD, UNSIGNED = "good", "bad", "unsigned"
_OF_THE_KERNEL = re.compile(r"/(dev(?!/shm)|proc|sys)\b")


@dataclass(frozen=True)
class Checked:
    """What was found of one experiment."""

    experiment: Experiment
    signature: str  # good, bad or unsigned
    signed: str = ""  # what the signature's program said about it, in one line
    problems: tuple[str, ...] = ()  # what is wrong
    unchecked: tuple[str, ...] = ()  # what could not be looked at


def verify(
    repo: Repo, experiments: Sequence[Experiment], allowed_signers: Path | None = None
) -> Iterator[Checked]:
    """Check each experiment.

    Args:
        allowed_signers: a file of the SSH signers to trust, instead of the one that the user's git
            configuration names.
    """
    trusted = trust_of_user(repo, allowed_signers)
    tags = [item.tag for item in experiments]
    commits = [item.id for item in experiments]
    absent = {*repo.absent([*tags, *commits])}
    gathering.restore(repo, absent.intersection(tags))
    there = {*commits} - absent
    holes = _incomplete(repo, sorted(there))
    contents = _contents(repo, [item for item in experiments if item.id in there - holes])
    with ExitStack() as stack:
        beside = functools.cache(lambda: stack.enter_context(repo.offline()))
        for experiment, tag in zip(experiments, repo.objects(tags)):
            problems: list[str] = []
            unchecked: list[str] = []
            if experiment.id not in there:
                problems.append(f"its commit {experiment.short} is not in this clone")
            elif experiment.id in holes:
                how = "into a partial one, this brings them: gitexp pull --all-files"
                problems.append(f"files of its commit are missing in this clone; {how}")
            else:
                problems += _contradictions(repo, experiment, tag, *next(contents))
                problems += _data(repo, experiment)
                for problem, text in _inputs(repo, experiment):
                    (problems if problem else unchecked).append(text)
            signature, said = _signature(beside, experiment, tag, trusted)
            if signature == BAD:
                problems.insert(0, f"its signature is not good: {said}")
            yield Checked(experiment, signature, said, tuple(problems), tuple(unchecked))


def _signature(
    beside: Callable[[], Repo], experiment: Experiment, tag: Object | None, trusted: Trust
) -> tuple[str, str]:
    if tag is None or not message.is_signed(tag.data):
        return UNSIGNED, ""
    good, said = beside().judged(*trusted.options, "verify-tag", experiment.tag)
    if not good and "No principal matched" in said:
        key = re.search(r"\w+ key SHA256:\S+", said)
        but = " (the repository's own list does not count)" if trusted.signers_passed_over else ""
        return BAD, (
            f"nobody whom you trust has its {key[0] if key else 'key'}{but}; to name one:"
            " git config --global gpg.ssh.allowedSignersFile FILE, or --allowed-signers FILE"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    word = re.compile(r"(?i)(good|bad) |error|no public key|no principal")
    telling = next(filter(word.search, lines), lines[-1] if lines else "")
    plain = message.one_line(telling.removeprefix("gpg: ").removeprefix("error: "))
    return (GOOD if good else BAD), plain


def _incomplete(repo: Repo, commits: Sequence[str]) -> set[str]:
    """Return those of the commits whose tree has a hole. Almost always there is none, which one
    call tells for all."""
    wanted = "".join(f"{commit}\n" for commit in commits).encode()
    arguments = ("rev-list", "--objects", "--no-walk", "--missing=print", "--stdin")
    listed = repo.git(*arguments, stdin=wanted, ok=(0, 128)) if commits else b"-"
    if listed and not re.search(rb"^\?", listed, re.MULTILINE):
        return set()
    if len(commits) == 1:
        return {*commits}
    middle = len(commits) // 2
    return _incomplete(repo, commits[:middle]) | _incomplete(repo, commits[middle:])


def _contents(
    repo: Repo, experiments: Sequence[Experiment]
) -> Iterator[tuple[Object, list[Object | None]]]:
    """Yield the commit of each experiment, and its files; one process reads them all."""
    names = [
        [item.id, *(f"{item.id}:{path}" for path in item.files.values())] for item in experiments
    ]
    found = repo.objects(repo.zero if "\n" in name else name for some in names for name in some)
    for some in names:
        commit, *files = [next(found) for _ in some]
        assert commit is not None
        yield commit, files


def _contradictions(
    repo: Repo,
    experiment: Experiment,
    tag: Object | None,
    commit: Object,
    files: Sequence[Object | None],
) -> Iterator[str]:
    """Yield where tag, commit and files do not say the same, or an object is not what its hash
    says."""
    for what, item in (("tag", tag), ("commit", commit), *zip(experiment.files, files)):
        if item is not None and repo.hash_of(item.kind, item.data) != item.id:
            yield f"the {what} object is not what its hash says: it was changed on disk"
    text = commit.data.decode("utf-8", "replace")
    head, _, said = text.partition("\n\n")
    trailers = message.trailers(said)
    imported = bool(experiment.extra.get("source")) and "Id" not in trailers
    parsed = message.parse_tag(tag.data) if tag else None
    if parsed and parsed.name.rpartition("/")[2] != experiment.name.rpartition("/")[2]:
        yield f"its tag object is that of {parsed.name}: somebody renamed it"
    if not imported:
        if trailers.get("Id") != experiment.extra.get("id"):
            yield "the tag points to another commit than the one that was recorded"
        parents = re.findall("^parent (.*)$", head, re.MULTILINE)
        if experiment.parent != (parents[0] if parents else None):
            yield "the tag and the commit disagree on the parent"
        if trailers.get("Status") != experiment.status:
            yield f"the tag says {experiment.status}, the commit says {trailers.get('Status')}"
    yield from _differing(experiment, parsed, files)


def _differing(
    experiment: Experiment, tag: message.Tag | None, files: Sequence[Object | None]
) -> Iterator[str]:
    """Yield where the summary and the files do not say the same, without what came late."""
    own = message.experiment(tag.name, experiment.tag, tag, (), (), None) if tag else experiment
    contents = {path: item.data for path, item in zip(experiment.files.values(), files) if item}
    lacking = [path for path in experiment.files.values() if path not in contents]
    yield from (f"its file {path} is not in the commit" for path in lacking)
    for kind, read in _READ.items():
        paths = result_files.paths(experiment.files, kind)
        if paths and {*paths} <= contents.keys():
            try:
                found = read(experiment.files, contents.__getitem__)
                yield from _compared(kind[:-1], getattr(own, kind), found)
            except FormatError as error:
                yield f"{', '.join(paths)}: {error}"


_READ: dict[str, Callable[[Mapping[str, str], Callable[[str], bytes]], Mapping[str, Any]]] = {
    "params": lambda files, read: result_files.params_of(
        {path: params.load(read(path), path) for path in result_files.paths(files, "params")}
    ),
    "metrics": lambda files, read: _last(files, read),
}


def _last(files: Mapping[str, str], read: Callable[[str], bytes]) -> Mapping[str, Any]:
    paths = result_files.paths(files, "metrics")
    data = read(paths[0]) if len(paths) == 1 else b""
    head = data.partition(b"\n")[0]
    if data.startswith(metrics.HEADER) or (data and readers.is_long(paths[0], head)):
        return metrics.last_of(io.BytesIO(data), paths[0])
    return metrics.last_values(result_files.points_of(files, read))


def _compared(kind: str, summary: Mapping[str, Any], file: Mapping[str, Any]) -> Iterable[str]:
    names = {*summary, *file} if message.MORE not in summary else {*summary} - {message.MORE}
    for name in sorted(names):
        a, b = summary.get(name), file.get(name)
        if not _same(a, b) or (name in summary) != (name in file):
            yield f"{kind} {name} is {_shown(a)} in the tag and {_shown(b)} in the file"


def _same(a: Any, b: Any) -> bool:
    if a == b:
        return True
    # the summary holds long values cut
    if isinstance(a, str) and a.endswith("...") and len(a) > 1000:
        return True
    if a is None and b == "nan":  # a param as summaries had it once
        return True
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    return isinstance(b, (list, dict, tuple)) and bool(a == params.plain(b))


def _shown(value: Any) -> str:
    return "missing" if value is None else message.one_line(str(value))[:60]


def _data(repo: Repo, experiment: Experiment) -> Iterator[str]:
    """Yield where the recorded hash of data is not what the pointers in the commit say."""
    recorded = conditions.texts(experiment.extra, "data")
    if not recorded:
        return
    found = dvc_pointers.of_commit(repo, experiment.id)
    there = {path: item.hash for path, item in found.items()}
    if "*" in recorded:
        there = dvc_pointers.summary(found)
    for path, hashed in recorded.items():
        if there.get(path) != hashed:
            said, now = message.one_line(hashed)[:19], there.get(path, "missing")[:19]
            yield f"data {message.one_line(path)} is {said} in the tag and {now} in its pointer"


def _inputs(repo: Repo, experiment: Experiment) -> Iterator[tuple[bool, str]]:
    """Yield ``(is a problem, text)`` for declared inputs that are not what they were, or not
    here."""
    for path, recorded in conditions.texts(experiment.extra, "inputs").items():
        in_commit = conditions.hash_recorded(repo, experiment.id, path)
        if in_commit == recorded:
            continue
        read = _may_be_read(repo, path)
        here = conditions.hash_input(repo.root / path) if read else None
        shown = message.one_line(path)
        # of a link the commit holds where it leads
        if here is None and (in_commit is None or (repo.root / path).is_symlink()):
            why = " is not here" if read else ": a folder outside the repository is not read"
            yield False, f"input {shown}{why}"
        elif here != recorded:
            now = (in_commit or here or "")[:19]
            yield True, f"input {shown} is not what it was: {now}, recorded {recorded[:19]}"


def _may_be_read(repo: Repo, path: str) -> bool:
    """Whether an input may be read: a folder outside of the repository may not, since a tag may
    name any, the root of the disk too. One behind a link that lies in the work tree may, unless
    the link leads to a folder that holds the repository, or to what the kernel makes up."""
    place, root = Path(repo.root, path), Path(os.path.realpath(repo.root))
    if not os.path.isdir(place) or Path(os.path.realpath(place)).is_relative_to(root):
        return True
    way = (one for one in (*reversed(place.parents), place) if one.is_relative_to(repo.root))
    link = next((one for one in way if one != repo.root and one.is_symlink()), place)
    target = link.resolve()
    inside = link.is_symlink() and place.resolve().is_relative_to(target)
    return inside and not root.is_relative_to(target) and not _OF_THE_KERNEL.match(str(target))


_SIGNERS = "gpg.ssh.allowedsignersfile"
_DEFAULTS = {
    "gpg.program": "gpg", "gpg.openpgp.program": "gpg", "gpg.x509.program": "gpgsm",
    "gpg.ssh.program": "ssh-keygen",
    _SIGNERS: os.devnull, "gpg.ssh.revocationfile": os.devnull, "gpg.mintrustlevel": "undefined",
}  # fmt: skip
_OWN = ("system", "global", "command")  # the scopes of git's configuration that are the user's


class Trust(NamedTuple):
    """Options for git by which a signature is judged, and whether the repository named signers that
    do not count."""

    options: tuple[str, ...]
    signers_passed_over: bool


def trust_of_user(repo: Repo, allowed_signers: Path | None = None) -> Trust:
    """Return what the user trusts.

    Args:
        allowed_signers: a file of SSH signers, instead of the configured one.
    """
    found = [one for one in repo.scoped_config("^gpg[.]") if one[1] in _DEFAULTS]
    own = _usable((name, value) for scope, name, value in found if scope in _OWN)
    chosen = {**_DEFAULTS, **dict(own)}
    if allowed_signers:
        chosen[_SIGNERS] = os.path.abspath(allowed_signers)
    passed_over = chosen[_SIGNERS] == os.devnull and any(name == _SIGNERS for _, name, _ in found)
    options = (word for name, value in chosen.items() for word in ("-c", f"{name}={value}"))
    return Trust(tuple(options), passed_over)


def _usable(settings: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, value in settings:
        is_path = name in (_SIGNERS, "gpg.ssh.revocationfile") or os.path.basename(value) != value
        if not value or (
            is_path
            and name != "gpg.mintrustlevel"
            and not (os.path.isabs(value) or value.startswith(("~", "%(prefix)/")))
        ):
            continue
        yield name, value
        if name == "gpg.program":  # the older name of the same thing
            yield "gpg.openpgp.program", value
