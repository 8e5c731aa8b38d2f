"""Share experiments through a git remote: ``push`` sends mine, ``pull`` brings everybody's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gitexp.formats import settings
from gitexp.formats.errors import GitError, GitexpError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Progress, Repo, dvc
from gitexp.repo.dvc_pointers import Data
from gitexp.store import clone, gathering, notes
from gitexp.store.gathering import SEEN, Carried
from gitexp.store.index import Index
from gitexp.store.ref_scan import REMOTES
from gitexp.store.remote import transport
from gitexp.store.remote.push import Outgoing
from gitexp.store.remote.transport import Remote


@dataclass(frozen=True)
class Pushed:
    """What went to a remote.

    Attributes:
        remote: its name.
        owner: what this clone is called there; empty where nothing ever went.
        experiments: ``{name here: name there}`` of those that are new there; ``OWNER/exp-7`` where
            no tag carries it.
        tags: ``{name here: name there}`` of the tags that went.
        branch: the branch that went along, None where none did.
        kept_back: why the branch did not go although it should have.
        notes: whether labels and notes went.
        data: how many files and folders of DVC's are on its remote for them.
        data_missing: how many of their files are not in DVC's cache here, and could not go.
        notes_problem: why labels and notes did not go although they should have.
    """

    remote: str
    owner: str = ""
    experiments: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    branch: str | None = None
    kept_back: str | None = None
    notes: bool = False
    data: int = 0
    data_missing: int = 0
    notes_problem: str | None = None


@dataclass(frozen=True)
class Pulled:
    """What came from a remote.

    Attributes:
        remote: its name.
        experiments: how many are new here.
        notes: whether labels and notes came.
        data: how many files and folders of DVC's are in its cache for them.
        data_problem: why data did not come, None where it did.
        files: how many files and folders of experiments came into a partial clone.
        notes_problem: why labels and notes did not come, None where they did.
    """

    remote: str
    experiments: int = 0
    notes: bool = False
    data: int = 0
    data_problem: str | None = None
    files: int = 0
    notes_problem: str | None = None


def push(
    index: Index,
    remote: str | None = None,
    experiments: Sequence[Experiment] = (),
    *,
    tags: bool | None = None,
    branch: bool = True,
    dry_run: bool = False,
    verify: bool = True,
    data: bool = True,
    progress: Progress | None = None,
) -> Pushed:
    """Do what ``sharing.push`` says.

    Args:
        index: of the repository, as it is now.
        verify: let the user's pre-push hook have its say.
        data: send it first, where DVC has a remote: nobody should see an experiment whose data is
            not there.
    """
    repo = index.repo
    known = settings.load(repo.root, repo.project)
    head = repo.found_at or repo.head()
    there = transport.find_remote(repo, remote, head)
    new = _lacking(index, there, experiments)
    named = dvc.of_experiments(repo, [item.commit for item in new]) if data and not dry_run else ()
    missing = _send_data(repo, named)
    prefix, noted = f"{REMOTES}{there.name}/", repo.tip(notes.REF)
    taken = {ref.removeprefix(prefix): tag for ref, tag in repo.refs(prefix).items()}
    going = Outgoing(
        repo, there, new, _tags(index, new, taken, experiments, tags, known.push_tags_up_to), taken,
        noted if noted != repo.tip(notes.of_remote(there.name)) else None,
        wanted=clone.slug(known.owner) if known.owner else None,
        moving=head.branch if branch and not experiments else None,
        dry_run=dry_run, verify=verify, progress=progress,
    )  # fmt: skip
    here = {**going.tags, **{item.tag: item.name for item in new}}
    going.send()
    return Pushed(
        there.name,
        going.owner,
        {item.name: going.name(item) for item in going.gathered},
        {here[tag]: name for tag, name in going.names.items()},
        going.branch,
        going.kept_back,
        going.notes,
        len(named),
        missing,
        going.notes_problem,
    )


def pull(
    repo: Repo,
    remote: str | None = None,
    *,
    prune: bool = False,
    data: bool = True,
    all_files: bool = False,
    progress: Progress | None = None,
) -> Pulled:
    """Do what ``sharing.pull`` says; the user's own refs and branches stay as they are.

    Args:
        data: bring that of new experiments, where DVC has a remote.
        all_files: bring every file of all experiments into a partial clone, not only their results.
    """
    there = transport.find_remote(repo, remote, repo.found_at)
    before = _seen(repo, there)
    if transport.has_news(repo, there, before, prune):
        transport.fetch(repo, there, prune=prune, progress=progress)
    files = _fill(repo, there, all_files) if there.promisors else 0
    new = _arrived(repo, there, before, _seen(repo, there))
    noted, unread = False, None
    try:
        noted = notes.merge(repo, there.name)
    except GitError as error:
        unread = str(error)
    named = dvc.of_experiments(repo, new) if data else ()
    problem = _bring_data(repo, named)
    return Pulled(there.name, len(new), noted, 0 if problem else len(named), problem, files, unread)


def unpushed(index: Index, remote: str) -> list[Experiment]:
    """Return the experiments of this clone that a remote lacks as far as is known here, oldest
    first; the remote is not asked."""
    repo, waiting = index.repo, index.unpushed(remote)
    if waiting and not index.knows(remote) and clone.load(repo) is None:
        # a new clone: git itself brought what others' pushes gathered
        tips = repo.refs(f"refs/remotes/{remote}/{gathering.HEADS.removeprefix('refs/heads/')}")
        there = {item.tag for tip in tips.values() for item in gathering.read(repo, tip)[1]}
        waiting = [item for item in waiting if item.tag not in there]
    return waiting


def _lacking(index: Index, remote: Remote, chosen: Sequence[Experiment]) -> list[Carried]:
    """Return the experiments, or of the chosen ones those, that a remote lacks, oldest first. Looks
    there first where this clone never did, or where `git fetch` brought others' tags."""
    repo, new = index.repo, index.unpushed(remote.name)
    me = repo.committer.rpartition(" <")[2][:-1]
    if not index.knows(remote.name) or any(item.email != me for item in new):
        transport.fetch(repo, remote)
        index = Index(repo)
        new = index.unpushed(remote.name)
    if chosen:
        mine = {row[0] for row in index.rows("tag.id", "ref.remote = ''", everybody=True)}
        if foreign := next((item.name for item in chosen if item.tag not in mine), None):
            raise UsageError(
                f"{foreign} is not of this clone and cannot be pushed; to see those that are:"
                " gitexp list"
            )
        lacking = {item.tag for item in new}
        new = [item for item in chosen if item.tag in lacking]
    found = zip(new, repo.objects(item.tag for item in new))
    return [Carried(item.name, item.tag, item.id, tag.data) for item, tag in found if tag]


def _tags(
    index: Index,
    new: Sequence[Carried],
    taken: Mapping[str, str],
    chosen: Sequence[Experiment],
    tags: bool | None,
    up_to: int,
) -> dict[str, str]:
    """Return the tags that should get one on a remote which has the ``taken`` ones, ``{hash: name
    here}``; without ``tags`` being said, as long as there are at most ``up_to``."""
    if not tags and (tags is not None or len(taken) + len(new) > up_to):
        return {}
    every = chosen or (index.select()[::-1] if tags else ()) or new
    there = {*taken.values()}
    return {item.tag: item.name for item in every if item.tag not in there}


def _seen(repo: Repo, remote: Remote) -> dict[str, str]:
    """Return ``{ref: hash}`` of all that was fetched from a remote."""
    return repo.refs(
        f"{REMOTES}{remote.name}/", f"{SEEN}{remote.name}/", f"{notes.SEEN}{remote.name}/"
    )


def _fill(repo: Repo, remote: Remote, all_files: bool) -> int:
    """Bring what reading needs into a partial clone: labels, notes, and the results of all
    experiments, with DVC's pointers. Return how much."""
    from gitexp.repo import dvc_pointers
    from gitexp.store import result_paths

    noted = [*repo.refs(notes.SEEN, notes.REF).values()]
    both = repo.git("merge-base", "--octopus", *noted, ok=(0, 1)).decode().split() if noted else []
    came = transport.fill(repo, remote, [*noted, *both])
    said = ", ".join(
        f"json_extract(tag.summary, '$.{name}')" for name in ("files", "project", "data")
    )
    rows = [*Index(repo).rows(f'tag."commit", {said}', everybody=True)]
    tips, places = [row[0] for row in rows], {row[1:] for row in rows}
    if all_files or remote.treeless:
        compared = [*tips, *(f"{tip}^@" for tip in tips)]
        came += transport.fill(repo, remote, compared, folders=not all_files)
    paths = {path for files, *_ in places for path in json.loads(files or "{}").values()}
    paths |= {f"{project or ''}{result_paths.FOLDER}" for _, project, _ in places}
    data = {path for *_, data in places for path in json.loads(data or "{}")}
    paths |= {pointer for path in data for pointer in dvc_pointers.places(path)}
    wanted = sorted(path for path in paths if "\n" not in path)
    return came + transport.fill(repo, remote, tips, wanted)


def _arrived(
    repo: Repo, remote: Remote, before: Mapping[str, str], after: Mapping[str, str]
) -> list[str]:
    """Return the commits of the experiments that came and are nobody's here."""
    if before == after:
        return []
    new = {oid for ref, oid in after.items() if ref.startswith(REMOTES)} - {*before.values()}
    for ref, tip in after.items():
        if ref.startswith(SEEN) and before.get(ref) != tip:
            new |= {item.tag for item in gathering.read(repo, tip, before.get(ref))[1]}
    index = Index(repo)
    mine = {row[0] for row in index.rows("tag.id")}
    there = dict(
        index.rows('tag.id, tag."commit"', "ref.remote = ?", [remote.name], everybody=True)
    )
    return [commit for tag, commit in there.items() if tag in new and tag not in mine]


def _send_data(repo: Repo, named: Sequence[Data]) -> int:
    """Send data, and return how many files of it are not here."""
    try:
        return dvc.transfer(repo, "push", named)
    except GitexpError as error:
        raise GitexpError(
            f"{error}; nothing was pushed; to push the experiments without their data: gitexp push"
            " --no-data"
        ) from None


def _bring_data(repo: Repo, named: Sequence[Data]) -> str | None:
    """Bring data, and return why it did not come: the experiments are here, and a checkout tries
    again."""
    try:
        missing = dvc.transfer(repo, "fetch", named)
    except GitexpError as error:
        return str(error)
    return f"{missing:,} files are not on DVC's remote" if missing else None
