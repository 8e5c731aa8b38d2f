"""Experiments to commits and tags: the one place where something is recorded.

A recording either is there whole (one commit, one annotated tag, created in one transaction that
also moves the branch) or not at all. The branch moves only where that is a fast-forward that undoes
nobody's work; else only its tag holds the experiment.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.formats import environment, message, params, redaction, settings
from gitexp.formats.errors import FormatError, GitError, NotFoundError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, collector, filters, lock_files, trees
from gitexp.repo import snapshot as snapshots
from gitexp.repo.snapshot import OUTPUTS, Snapshot, remember_outputs
from gitexp.store import git_index, result_paths

REMOVED = "removed"  # in state_dir: the hashes of tags that were taken away on purpose
RECORDED = "recorded"  # there: tag, commit and name of each experiment that was recorded here
_TRIES = 20
_AGAIN = 4  # times that objects are made anew which a collector took away before a ref held them
_LOOSE = 12  # tags
_LARGE = 50 * 10**6  # bytes of a pack that is left alone
_PACKED = 20_000  # bytes of packed tags for which one more may lie loose
# all loose objects into one pack, with those packs that are not much larger
_REPACK = (
    "-c", "pack.threads=1", "repack", "-d", "-l", "-q", "--geometric=2", "--no-write-bitmap-index"
)  # fmt: skip
_OWN_NAME = re.compile(r"exp-[0-9]+")
_GITS_OWN = {"HEAD", "FETCH_HEAD", "ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD"}


@dataclass(frozen=True)
class Draft:
    """All that is known of a run that is over, except what it will be called.

    Attributes:
        params: nested.
        metrics: the ``metrics.csv``, on disk or as bytes.
        last: the last value of each metric.
        files: where params and metrics go in the tree.
        artifacts: ``{path in the tree: file on disk, or content}``.
        outputs: those of them that the command made, which are no sources of later runs.
        trailers: more ``Gitexp-*`` lines of the commit message.
        extra: more of the tag's summary.
        advance: whether the branch may move.
        beside: a reason to stand beside the branch that only the caller knows.
        sign: have git sign the tag.
        author: who ran it, ``Name <email>``; the user, unless it is said.
        recorded: the time of the tag; now, unless it is said.
        hidden: the params whose values may be secrets and read ``***``.
    """

    params: Mapping[str, Any]
    metrics: Path | bytes
    last: Mapping[str, float]
    started: datetime
    files: result_paths.Places
    status: str = "finished"
    duration: float | None = None
    title: str | None = None
    note: str = ""
    labels: tuple[str, ...] = ()
    group: str | None = None
    name: str | None = None
    command: str | None = None
    requirements: str = ""
    artifacts: Mapping[str, Path | bytes] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    trailers: Mapping[str, object] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    advance: bool = True
    beside: str | None = None
    sign: bool = False
    author: str | None = None
    recorded: datetime | None = None
    id: str = field(default_factory=lambda: os.urandom(8).hex())
    hidden: tuple[str, ...] = ()


class Recorded(NamedTuple):
    """An experiment that was just recorded, and where the branch went.

    Attributes:
        advanced: the branch's short name where it moved onto the experiment, else None.
        beside: why it did not, None where it did or was not asked to.
        warnings: what could not be kept.
    """

    experiment: Experiment
    advanced: str | None
    beside: str | None
    warnings: tuple[str, ...] = ()


def alias(repo: Repo, experiment: Experiment, name: str) -> dict[str, str]:
    """Return the event that gives an experiment a second name; its first name, or none, takes that
    away.

    Raises:
        UsageError: it cannot be a name, or is another's.
    """
    name = name.strip()
    if name in ("", experiment.name):
        return {"alias": ""}
    return {"alias": name if name == experiment.alias else check_name(repo, name)}


def check_name(repo: Repo, name: str) -> str:
    """Return a tag name of the user's own, without spaces around it, if it can be one and is free;
    else raise UsageError."""
    name = name.strip()
    if _OWN_NAME.fullmatch(name):
        raise UsageError(
            f"names like '{name}' are given by gitexp; choose a word, for example baseline"
        )
    if name in _GITS_OWN or repo.refs(f"refs/heads/{name}"):
        whose = "a branch" if name not in _GITS_OWN else "git's own"
        raise UsageError(f"'{name}' is {whose} already; choose another name, as baseline-2")
    odd = name[:1] in "-@" or name.isdigit() or any(mark in name for mark in (":", "..", "~", "^"))
    if odd or not repo.succeeds("check-ref-format", f"refs/tags/{name}"):
        raise UsageError(
            f"'{name}' cannot be a tag's name; use letters, digits, dots and dashes, for example"
            " baseline-2"
        )
    if repo.refs(f"refs/tags/{name}"):
        raise UsageError(f"there is a tag '{name}' already; choose another name")
    from gitexp.store.index import Index

    if known := Index(repo).named(name):
        raise UsageError(f"'{name}' is a name of {known.name} already; choose another name")
    return name


def without_secrets(repo: Repo, draft: Draft) -> Draft:
    """Return a draft with ``***`` in the place of what may be a secret, in all that gitexp itself
    puts into words; artifacts that somebody named are theirs."""
    if not settings_of(repo).scan_secrets:
        return draft
    hidden: list[str] = []
    artifacts = dict(draft.artifacts)
    if log := artifacts.get(result_paths.OUTPUT):
        data = log if isinstance(log, bytes) else log.read_bytes()
        artifacts[result_paths.OUTPUT] = redaction.redact_bytes(data)
    return replace(
        draft,
        params=redaction.without_secrets(draft.params, hidden=hidden),
        artifacts=artifacts,
        trailers=redaction.without_secrets(draft.trailers),
        extra=redaction.without_secrets(draft.extra),
        title=draft.title and redaction.redact_all(draft.title),
        note=redaction.redact_all(draft.note),
        command=draft.command and redaction.redact_all(draft.command),
        hidden=tuple(hidden),
    )


def settings_of(repo: Repo) -> settings.Settings:
    """Return the settings, the usual ones where they cannot be read: what is over is recorded."""
    try:
        return settings.load(repo.root, repo.project)
    except FormatError:
        return settings.Settings()


def _unguarded(repo: Repo, snapshot: Snapshot, draft: Draft) -> list[str]:
    """Return what to say of secrets: params that were hidden, and what the repository's settings,
    which anybody may have written, let pass."""
    known = settings_of(repo)
    said = []
    if draft.hidden:
        said.append(
            f"{', '.join(draft.hidden)} may be secrets and read {redaction.HIDDEN}; to record them,"
            " set scan_secrets = false"
        )
    if not known.scan_secrets:
        said.append("secrets are not looked for: the settings say scan_secrets = false")
    elif known.include and snapshot.taken:
        risky = snapshots.risky(repo, snapshot.taken)
        said += [
            f"{path} may be a secret ({why}), and the setting 'include' takes it"
            for path, why in risky.items()
        ]
    return said


def record(repo: Repo, snapshot: Snapshot, draft: Draft, pending: str | None = None) -> Recorded:
    """Make one commit and one tag of a snapshot and its results.

    Args:
        pending: the ref that holds the snapshot's tree until now; it is deleted.

    Raises:
        UsageError: the draft's own name is taken.
        GitError: git cannot write; nothing was recorded.
    """
    for attempt in range(_AGAIN + 1):
        try:
            with collector.guarded(repo) as guard:
                guard.index, guard.tree = snapshot.index, snapshot.tree
                return _record(repo, snapshot, draft, pending)
        except GitError as error:
            # `git gc --prune=now` beside us takes objects that nothing points to yet
            if not collector.has_taken(error) or attempt == _AGAIN:
                raise
    raise AssertionError


def _record(repo: Repo, snapshot: Snapshot, draft: Draft, pending: str | None) -> Recorded:
    draft = _placed(draft, snapshot.project)
    contents, files, warnings = _files(repo, snapshot, draft)
    with locked(repo) as fd, git_index.NextIndex(repo, snapshot, files, fd) as index:
        back = result_paths.to_write(repo, draft.files, contents, snapshot)
        why = _why_beside(repo, snapshot, draft, back)
        if why is None:
            index.begin()
        tree = trees.edited(repo, snapshot.tree, files)
        number = highest(repo) + 1
        # a file that can just go, afterwards
        pin = pending if pending and repo.is_pin(pending) else None
        if pin:
            pending = None
        for _ in range(_TRIES):
            name = draft.name or f"exp-{number}"
            with repo.transaction(f"gitexp: record {name}", [fd]) as change:
                commit, tag, found = _objects(repo, snapshot, draft, tree, name)
                why = why or index.why_not(tree)
                if why is None:
                    result_paths.owe(repo, commit, back, snapshot)
                move = (
                    [f"update {snapshot.head.branch} {commit} {snapshot.head.commit or repo.zero}"]
                    if why is None
                    else []
                )
                try:
                    change.prepare(
                        [
                            f"create refs/tags/{name} {tag}",
                            *move,
                            *([f"delete {pending}"] if pending else []),
                        ]
                    )
                except GitError as error:
                    if pending and ("packed-refs" in error.stderr or pending in error.stderr):
                        # somebody packs refs just now; a leftover pin costs nothing, and doctor
                        # finds it
                        pending = None
                    elif other := _other_number(repo, draft, error, name, number):
                        number = other
                    elif move:
                        why = _why_not_moved(repo, snapshot, error)
                    else:
                        raise
                    continue
                if move and not index.lock():
                    continue
                change.commit()
                if move:
                    index.swap()
                if pin:
                    repo.unpin(pin)
            break
        else:
            raise GitError(f"no free name was found in {_TRIES} tries; try again")
        pack(repo, fd)
        if not draft.name:
            remember_highest(repo, number)
        remember(repo, [(tag, commit, name)])
        if why is None:
            warnings += result_paths.write_back(repo, back, contents, snapshot)
        else:
            result_paths.forgive(repo)
    remember_outputs(repo, (*snapshot.outputs, *draft.outputs))
    branch = (
        snapshot.head.branch.removeprefix("refs/heads/")
        if why is None and snapshot.head.branch
        else None
    )
    experiment = message.experiment(name, tag, found, tuple(sorted(set(draft.labels))), (), repo)
    return Recorded(experiment, branch, why, tuple(warnings))


def _files(
    repo: Repo, snapshot: Snapshot, draft: Draft
) -> tuple[dict[str, bytes | Path], dict[str, str | None], list[str]]:
    """Return the experiment's own files, ``{path in the tree: content}``; what changes in the
    snapshot's tree, ``{path: hash}``, None for what goes; and warnings."""
    contents = _contents(draft, snapshot.project)
    files, warnings = blobs(repo, draft, contents)
    warnings += _unguarded(repo, snapshot, draft)
    if known := {path: files[path] for path in draft.outputs if path in files}:
        noted = snapshot.project + OUTPUTS
        contents[noted] = listed = json.dumps(known, indent=1).encode()
        files[noted] = repo.write_object("blob", listed)
    gone = dict.fromkeys((*snapshot.previous, *snapshot.outputs))
    return contents, {**gone, **files}, warnings


def _other_number(repo: Repo, draft: Draft, error: GitError, name: str, number: int) -> int | None:
    """Return the number to try next where git refused since a name is taken; None where that is
    not why.

    Raises:
        UsageError: the taken name is the one that was asked for.
    """
    if repo.refs(f"refs/tags/{name}"):
        if draft.name:
            raise UsageError(f"there is a tag '{name}' already; choose another name") from None
        return highest(repo, scan=True) + 1
    return None if draft.name or not lock_files.met(error, f"refs/tags/{name}") else number + 1


def _why_not_moved(repo: Repo, snapshot: Snapshot, error: GitError) -> str:
    """Return why git would not move the branch; raise the error where the branch is not why."""
    if repo.head() != snapshot.head:
        return "the branch moved meanwhile"
    if lock_files.met(error, ""):
        return str(error).partition(";")[0]
    raise error


def check_present(repo: Repo, commit: str) -> bytes:
    """Return a commit's raw data; raise NotFoundError where this clone does not have it."""
    found = next(repo.objects([commit]))
    if found is None:
        hint = (
            "this clone is shallow: git fetch --unshallow"
            if repo.is_shallow
            else "to look for it: gitexp pull"
        )
        raise NotFoundError(f"the commit {commit[:10]} is not in this repository; {hint}")
    return found.data


def full_message(repo: Repo, commit: str) -> str:
    """Return a commit's message."""
    return check_present(repo, commit).decode("utf-8", "replace").partition("\n\n")[2]


def remove(repo: Repo, experiment: Experiment) -> str:
    """Remove an experiment's tag and return the command that brings it back; its commit stays
    until git collects it."""
    ref = f"refs/tags/{experiment.name}"
    if not repo.refs(ref):
        raise UsageError(f"{experiment.name} lies on a remote and has no tag of its own here")
    with locked(repo) as fd:
        remember_highest(repo, highest(repo))
        repo.update_refs([f"delete {ref} {experiment.tag}"], f"gitexp: rm {experiment.name}", [fd])
        # so that doctor does not take it for lost
        with suppress(OSError), open(repo.state_dir / REMOVED, "a") as file:
            file.write(f"{experiment.tag}\n")
    return f"git update-ref {shlex.quote(ref)} {experiment.tag}"


def restore(repo: Repo, experiments: Iterable[Experiment]) -> None:
    """Bring tags back that ``remove`` took, where their names are still free."""
    commands = [f"create refs/tags/{item.name} {item.tag}" for item in experiments]
    with locked(repo) as fd:
        repo.update_refs(commands, "gitexp: undo rm", [fd])


@contextmanager
def locked(repo: Repo) -> Iterator[int]:
    """Hold the lock of all writers, after finishing what a killed one left half done."""
    with repo.lock() as fd:
        git_index.finish(repo)
        result_paths.finish(repo)
        yield fd


def settle(repo: Repo) -> None:
    """Finish what a killed writer left half done, where one did."""
    if result_paths.owes(repo) or (repo.git_dir / git_index.OWNER).exists():
        with locked(repo):
            """Taking the lock finishes it."""


def _placed(draft: Draft, project: str) -> Draft:
    """Return a draft of a project's, whose own files lie in the project's folder."""
    if not project:
        return draft
    artifacts = {
        project + path if path.startswith(f"{result_paths.FOLDER}/") else path: content
        for path, content in draft.artifacts.items()
    }
    return replace(
        draft,
        artifacts=artifacts,
        extra={**draft.extra, "project": project},
        trailers={**draft.trailers, "Project": project},
    )


def _contents(draft: Draft, project: str = "") -> dict[str, bytes | Path]:
    """Return the experiment's own files, ``{path in the tree: content}``."""
    contents: dict[str, bytes | Path] = {
        draft.files.params: params.dump(draft.params),
        draft.files.metrics: draft.metrics,
        project + environment.PATH: draft.requirements.encode(),
        **draft.artifacts,
    }
    return {
        path: content for path, content in contents.items() if path not in draft.files.as_they_are
    }


def blobs(
    repo: Repo, draft: Draft, contents: Mapping[str, bytes | Path] | None = None
) -> tuple[dict[str, str | None], list[str]]:
    """Write the experiment's own files as blobs: ``{path: hash}``, and what could not be added."""
    files: dict[str, str | None] = {}
    warnings: list[str] = []
    contents = _contents(draft) if contents is None else contents
    changed = filters.changed(repo, filter(trees.is_path, contents))
    for path, content in contents.items():
        try:
            if not trees.is_path(path):
                raise GitError("git takes no such path")
            oid = filters.blob(repo, path, content, changed.get(path))
            files[path] = trees.Executable(oid) if _may_run(content) else oid
        except (GitError, OSError) as error:
            if path not in draft.artifacts or "clean filter" in getattr(error, "stderr", ""):
                raise
            warnings.append(f"artifact {path} was not kept: {error}")
    return files, warnings


def _may_run(content: bytes | Path) -> bool:
    return isinstance(content, Path) and bool(content.stat().st_mode & stat.S_IXUSR)


def _objects(
    repo: Repo, snapshot: Snapshot, draft: Draft, tree: str, name: str
) -> tuple[str, str, message.Tag]:
    """Write the commit and the tag object; nothing points to them yet."""
    commit = write_commit(repo, draft, tree, snapshot.head.commit, name)
    branch = snapshot.head.branch
    tag, found = write_tag(
        repo,
        draft,
        commit,
        snapshot.head.commit,
        name,
        branch.removeprefix("refs/heads/") if branch else None,
    )
    return commit, tag, found


def write_commit(repo: Repo, draft: Draft, tree: str, parent: str | None, name: str) -> str:
    """Write an experiment's commit object and return its hash; nothing points to it yet."""
    trailers = {
        "Id": draft.id,
        "Status": draft.status,
        "Started": message.format_time(draft.started),
        "Duration": None if draft.duration is None else f"{draft.duration:.3f} s",
        "Command": draft.command,
        "Group": draft.group,
        **draft.trailers,
    }
    author = f"{draft.author or repo.author} {_stamp(draft.started)}"
    above = f"parent {parent}\n" if parent else ""
    header = f"tree {tree}\n{above}author {author}\ncommitter {repo.committer} {_stamp()}\n\n"
    return repo.write_object(
        "commit",
        (header + message.commit_message(_title(draft, name), draft.note, trailers)).encode(
            "utf-8", "replace"
        ),
    )


def write_tag(
    repo: Repo, draft: Draft, commit: str, parent: str | None, name: str, branch: str | None = None
) -> tuple[str, message.Tag]:
    """Write an experiment's tag object; returns its hash and what it says. Nothing points to it
    yet."""
    facts = {
        "id": draft.id,
        "status": draft.status,
        "started": message.format_time(draft.started),
        "duration": draft.duration,
        "params": {key: shortened(value) for key, value in params.flatten(draft.params).items()},
        "metrics": dict(draft.last),
        "labels": sorted(set(draft.labels)),
        "group": draft.group,
        "branch": branch,
        "parent": parent,
        "command": draft.command,
        "files": {"params": draft.files.params, "metrics": draft.files.metrics},
        "artifacts": sorted(draft.artifacts),
        **draft.extra,
    }
    summary = {key: value for key, value in facts.items() if value not in (None, [], {}, "")}
    tagger = f"{draft.author or repo.committer} {_stamp(draft.recorded)}"
    header = f"object {commit}\ntype commit\ntag {name}\ntagger {tagger}\n\n"
    raw = (header + message.tag_message(_title(draft, name), summary)).encode("utf-8", "replace")
    found = message.parse_tag(raw)
    assert found is not None, "a tag that gitexp writes must be one that it reads"
    return _signed(repo, raw) if draft.sign else repo.write_object("tag", raw), found


def _title(draft: Draft, name: str) -> str:
    title = message.one_line(draft.title) if draft.title else ""
    return title or message.subject(name, params.flatten(draft.params), draft.last)


def _stamp(moment: datetime | None = None) -> str:
    """Return a time as git's objects have it: seconds, which git does not read below 0, and the
    time zone."""
    moment = moment or datetime.now().astimezone()
    return f"{max(0, int(moment.timestamp()))} {moment.strftime('%z')[:5] or '+0000'}"


def _signed(repo: Repo, raw: bytes) -> str:
    """Have git itself sign a tag object, and return the hash of the signed one; no ref is made.

    ``git tag --sign`` makes a ref where it finds no tag of that name yet, outside of our
    transaction. So it works in an empty repository beside, which writes into this one's objects and
    reads this one's configuration.
    """
    import tempfile

    head, _, text = raw.decode().partition("\n\n")
    headers = dict(line.split(" ", 1) for line in head.split("\n"))
    with tempfile.TemporaryDirectory(prefix="sign-", dir=repo.make_state_dir()) as folder:
        repo.git(
            "init",
            "--quiet",
            "--bare",
            "--template=",
            f"--object-format={repo.object_format}",
            folder,
        )
        env = {
            **repo.identity,
            "GIT_DIR": folder,
            "GIT_OBJECT_DIRECTORY": str(repo.common_dir / "objects"),
        }
        env["GIT_COMMITTER_DATE"] = headers["tagger"].rpartition("> ")[2]
        config = ("-c", f"include.path={repo.common_dir / 'config'}", "-c", "core.bare=true")
        name = headers["tag"]
        try:
            repo.git(
                *config,
                "tag",
                "--sign",
                "--cleanup=verbatim",
                "-F",
                "-",
                name,
                headers["object"],
                stdin=text.encode(),
                env=env,
            )
        except GitError as error:
            why = " ".join(error.stderr.replace("error: ", "").split())
            raise GitError(
                f"git could not sign the tag: {why}; see git config user.signingKey, or use"
                " --no-sign"
            ) from None
        tag = repo.line("rev-parse", f"refs/tags/{name}", env=env)
    made = next(repo.objects([tag]))
    # git 2.39 says nothing where an SSH key is not there
    if made is None or not message.is_signed(made.data):
        raise GitError(
            "git could not sign the tag; check git config user.signingKey, or use --no-sign"
        )
    return tag


def shortened(value: Any) -> Any:
    """Return a param as the summary holds it: text, lists and mappings only so long that ``list``
    stays quick."""
    text = (
        value if isinstance(value, str) else str(value) if isinstance(value, (list, dict)) else ""
    )
    return text[:1000] + "..." if len(text) > 1000 else value


def _why_beside(repo: Repo, snapshot: Snapshot, draft: Draft, back: Sequence[str]) -> str | None:
    """Return the reason for which the branch must stay where it is, None where it may move and
    ``back`` be written into the work tree."""
    if not draft.advance:
        return "--no-advance" if draft.beside is None else draft.beside
    if draft.beside:
        return draft.beside
    if snapshot.head.branch is None:
        return "HEAD is detached"
    if under_way := repo.in_progress():
        return f"{under_way} is under way"
    if snapshot.staged_apart:
        return f"'{snapshot.staged_apart[0]}' is staged with other content than it has on disk"
    if link := result_paths.linked(repo.root, (*back, *snapshot.previous)):
        return f"'{link}' is a symbolic link, and gitexp writes nothing through one"
    if not repo.head_unmoved(snapshot.head):
        return "another branch was checked out since the start"
    if repo.tip(snapshot.head.branch) != snapshot.head.commit:
        return "the branch moved since the start"
    return None


# -- names -----------------------------------------------------------------------------------------


def highest_known(repo: Repo) -> int:
    """Return the highest number given in this clone so far; it changes whenever somebody records
    here."""
    try:
        return int((repo.state_dir / "highest").read_text())
    except (OSError, ValueError):
        return 0


def highest(repo: Repo, scan: bool = False) -> int:
    """Return the highest number that any experiment here ever had.

    Kept in a file, so that a name is not given again after ``rm``. The tags are looked through only
    where somebody changed them since: their folder and ``packed-refs`` are newer than the file. DVC
    looks a name up among the tags before its own ``refs/exps``, so a number that one of its
    experiments has is not given either.
    """
    number, stamp = highest_known(repo), 0
    with suppress(OSError):
        stamp = (repo.state_dir / "highest").stat().st_mtime_ns
    if not scan and number and stamp >= _tags_changed(repo):
        return number
    taken = repo.refs("refs/tags", "refs/exps")
    names = (re.fullmatch(r"refs/(?:tags|exps)/(?:.*/)?exp-(\d{1,15})", ref) for ref in taken)
    return max([number, *(int(match[1]) for match in names if match)])


def remember_highest(repo: Repo, number: int) -> None:
    repo.write_state("highest", str(number).encode())


def remember(repo: Repo, made: Iterable[tuple[str, str, str]]) -> None:
    """Note the tag, commit and name of what was recorded, for doctor to name what is gone."""
    with suppress(OSError), open(repo.state_dir / RECORDED, "a", encoding="utf-8") as file:
        file.write("".join(f"{tag} {commit} {name}\n" for tag, commit, name in made))


def pack(repo: Repo, fd: int) -> None:
    """Pack the tags when they pile up, each a file that every reading of the refs has to open; and
    have git pack the objects, which goes on when we have ended."""
    with suppress(OSError, GitError):  # another git may be at it, or the refs lie in a reftable
        tags, packed = (repo.common_dir / name for name in ("refs/tags", "packed-refs"))
        # all packed ones are written again
        many = _LOOSE + (packed.stat().st_size // _PACKED if packed.exists() else 0)
        if len(os.listdir(tags)) > many:
            repo.git("pack-refs", pass_fds=[fd])
            if settings_of(repo).maintenance and _may_maintain(repo):
                packs = (repo.common_dir / "objects/pack").glob("*.pack")
                large = [path.name for path in packs if path.stat().st_size > _LARGE]
                # to write these again may take the machine minutes
                repo.leave(*_REPACK, *(f"--keep-pack={name}" for name in large))


def _may_maintain(repo: Repo) -> bool:
    """Whether git's own configuration lets it tidy up by itself; a partial clone is left alone."""
    asked = r"^(gc[.]auto|maintenance[.]auto|extensions[.]partialclone)$"
    said = {name: value for scope, name, value in repo.scoped_config(asked) if scope != "command"}
    partial = said.pop("extensions.partialclone", None)
    return not partial and not {*map(str.lower, said.values())} & {"0", "false", "no", "off"}


def _tags_changed(repo: Repo) -> int:
    stamps = [0]
    refs = repo.common_dir / "refs"
    places = (refs / "tags", repo.common_dir / "packed-refs", repo.common_dir / "reftable")
    of_dvc = refs.glob("exps/*/*") if (refs / "exps").is_dir() else ()
    for path in (*places, *of_dvc):
        with suppress(OSError):
            stamps.append(path.stat().st_mtime_ns)
    return max(stamps)
