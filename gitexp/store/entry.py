"""An experiment on its way into git: its commit and its tag object, to which nothing points yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.formats import message, params, redaction, settings
from gitexp.formats.errors import FormatError, GitError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, trees
from gitexp.store import result_paths

_OR_NOT = "check git config user.signingKey, or use --no-sign"


class Draft(NamedTuple):
    """All that is known of a run that is over, except what it will be called."""

    id: str
    params: Mapping[str, Any]  # nested
    metrics: Path | bytes  # the ``metrics.csv``, on disk or as bytes
    last: Mapping[str, float]  # the last value of each metric
    started: datetime
    files: result_paths.Places  # where params and metrics go in the tree
    status: str = "finished"
    duration: float | None = None
    title: str | None = None
    note: str = ""
    labels: tuple[str, ...] = ()
    group: str | None = None
    name: str | None = None
    command: str | None = None
    requirements: str = ""
    artifacts: Mapping[str, Path | bytes] = {}  # ``{path in the tree: file on disk, or content}``
    # those of them that the command made, which are no sources of later runs
    outputs: tuple[str, ...] = ()
    trailers: Mapping[str, object] = {}  # more ``Gitexp-*`` lines of the commit message
    extra: Mapping[str, Any] = {}  # more of the tag's summary
    advance: bool = True  # whether the branch may move
    beside: str | None = None  # a reason to stand beside the branch that only the caller knows
    sign: bool = False  # have git sign the tag
    author: str | None = None  # who ran it, ``Name <email>``; the user, unless it is said
    recorded: datetime | None = None  # the time of the tag; now, unless it is said
    hidden: tuple[str, ...] = ()  # the params whose values may be secrets and read ``***``


class Entry(NamedTuple):
    """An experiment that has no name yet."""

    draft: Draft  # what is known of it
    # the tree of the commit that is to be written; None where ``commit`` exists already and gets
    # the tag
    tree: str | None
    commit: str | None  # that commit
    parent: str | None  # the commit that its run started from


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
    return draft._replace(
        params=redaction.without_secrets(draft.params, hidden=hidden),
        artifacts=artifacts,
        trailers=redaction.without_secrets(draft.trailers),
        extra=redaction.without_secrets(draft.extra),
        title=draft.title and redaction.redact_all(draft.title),
        group=draft.group and redaction.redact_all(draft.group),
        labels=tuple(map(redaction.redact_all, draft.labels)),
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


def placed(draft: Draft, project: str) -> Draft:
    """Return a draft of a project's, whose own files lie in the project's folder."""
    if not project:
        return draft
    artifacts = {
        project + path if path.startswith(f"{result_paths.FOLDER}/") else path: content
        for path, content in draft.artifacts.items()
    }
    return draft._replace(
        artifacts=artifacts,
        extra={**draft.extra, "project": project},
        trailers={**draft.trailers, "Project": project},
    )


def write_objects(repo: Repo, entry: Entry, name: str, branch: str | None = None) -> Experiment:
    """Write an experiment's objects under a name; ``branch`` is the one that its run started on."""
    draft = entry.draft
    title = (message.one_line(draft.title) if draft.title else "") or message.subject(
        name, params.flatten(draft.params), draft.last
    )
    commit = entry.commit or _commit(repo, entry, title)
    raw = _tag(repo, entry, commit, name, title, branch)
    tag = _signed(repo, raw) if draft.sign else repo.write_object("tag", raw)
    found = message.parse_tag(raw)
    assert found is not None, "a tag that gitexp writes must be one that it reads"
    return message.experiment(name, tag, found, tuple(sorted(set(draft.labels))), (), repo)


def _commit(repo: Repo, entry: Entry, title: str) -> str:
    draft = entry.draft
    trailers = {
        "Id": draft.id,
        "Status": draft.status,
        "Started": message.format_time(draft.started),
        "Duration": None if draft.duration is None else f"{draft.duration:.3f} s",
        "Command": draft.command,
        "Group": draft.group,
        **draft.trailers,
    }
    author = f"{draft.author or repo.author} {trees.stamp(draft.started)}"
    text = message.commit_message(title, draft.note, trailers).removesuffix("\n")
    committer = f"{repo.committer} {trees.stamp()}"
    return trees.bare_commit(repo, entry.tree or "", entry.parent, text, author, committer)


def _tag(repo: Repo, entry: Entry, commit: str, name: str, title: str, branch: str | None) -> bytes:
    draft = entry.draft
    facts = {
        "id": draft.id,
        "status": draft.status,
        "started": message.format_time(draft.started),
        "duration": draft.duration,
        "params": {key: _shortened(value) for key, value in params.flatten(draft.params).items()},
        "metrics": dict(draft.last),
        "labels": sorted(set(draft.labels)),
        "group": draft.group,
        "branch": branch,
        "parent": entry.parent,
        "command": draft.command,
        "files": {"params": draft.files.params, "metrics": draft.files.metrics},
        "artifacts": sorted(draft.artifacts),
        **draft.extra,
    }
    summary = {key: value for key, value in facts.items() if value not in (None, [], {}, "")}
    tagger = f"{draft.author or repo.committer} {trees.stamp(draft.recorded)}"
    header = f"object {commit}\ntype commit\ntag {name}\ntagger {tagger}\n\n"
    return (header + message.tag_message(title, summary)).encode("utf-8", "replace")


def _shortened(value: Any) -> Any:
    """Return a param as the summary holds it: text, lists and mappings only so long that ``list``
    stays quick."""
    text = str(value) if isinstance(value, (str, list, dict)) else ""
    return text[:1000] + "..." if len(text) > 1000 else value


def _signed(repo: Repo, raw: bytes) -> str:
    """Have git itself sign a tag object, and return the hash of the signed one; no ref is made.

    ``git tag --sign`` makes a ref where it finds no tag of that name yet, outside of our
    transaction. So it works in an empty repository beside, which writes into this one's objects and
    reads this one's configuration.
    """
    import tempfile

    head, _, text = raw.decode().partition("\n\n")
    headers = dict(line.split(" ", 1) for line in head.split("\n"))
    name = headers["tag"]
    with tempfile.TemporaryDirectory(prefix="sign-", dir=repo.make_state_dir()) as folder:
        form = f"--object-format={repo.object_format}"
        repo.git("init", "--quiet", "--bare", "--template=", form, folder)
        env = {
            **repo.identity,
            "GIT_DIR": folder,
            "GIT_OBJECT_DIRECTORY": str(repo.common_dir / "objects"),
            "GIT_COMMITTER_DATE": headers["tagger"].rpartition("> ")[2],
        }
        config = ("-c", f"include.path={repo.common_dir / 'config'}", "-c", "core.bare=true")
        sign = ("tag", "--sign", "--cleanup=verbatim", "-F", "-", name, headers["object"])
        try:
            repo.git(*config, *sign, stdin=text.encode(), env=env)
        except GitError as error:
            why = "; ".join(error.stderr.replace("error: ", "").splitlines())
            raise GitError(f"git could not sign the tag: {why}; {_OR_NOT}") from None
        tag = repo.line("rev-parse", f"refs/tags/{name}", env=env)
    made = next(repo.objects([tag]))
    # git 2.39 says nothing where an SSH key is not there
    if made is None or not message.is_signed(made.data):
        raise GitError(f"git could not sign the tag; {_OR_NOT}")
    return tag
