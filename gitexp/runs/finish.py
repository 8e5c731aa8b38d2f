"""A run's folder becomes an experiment: by its owner, or later by ``gitexp recover``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gitexp.formats import environment, message, metrics
from gitexp.formats.errors import GitexpError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.repo import Head, Repo, collector, files, locks, snapshot, trees
from gitexp.runs import fallback, journal
from gitexp.store import conditions, result_paths
from gitexp.store import record as store
from gitexp.store.entry import Entry, placed

# with a run's id: the ref that holds its snapshot while it goes on
PENDING = "refs/gitexp/pending/"
_MET = "met"  # in a run's folder: another went on in its work tree
_OTHERS = "other runs were going on"
_SAVED = (  # of a snapshot, in run.json
    "taken", "left_out", "staged_apart", "index_stamp", "assumed", "previous", "outputs", "project"
)  # fmt: skip


def record(repo: Repo, folder: Path, sign: bool | None = None) -> store.Recorded:
    """Make an experiment of a run's folder, and remove the folder; where a GitexpError is raised,
    it stays. The owner does it at the end, ``recover`` for a dead one. Whether it is signed is what
    was said at its start, unless ``sign`` says it."""
    with repo.introduced():
        facts, torn = _read(folder)
        facts = facts if sign is None else {**facts, "sign": sign}
        shot, made = snapshot_of(folder, facts), draft(repo, folder, facts)
        wanted, pending = None, PENDING + facts["id"]
        try:
            recorded = store.record(repo, shot, made, pending=pending)
        except UsageError:
            if not made.name or not repo.refs(f"refs/tags/{made.name}"):
                raise
            wanted = made.name  # another took it since this run began
            recorded = store.record(repo, shot, made._replace(name=None), pending=pending)
    journal.delete(folder)
    cut = ["the last metric row was torn and left out"] if torn else []
    if wanted:
        how = f"gitexp rename {recorded.experiment.name} NAME"
        cut.append(f"the name '{wanted}' was given meanwhile; to give it another: {how}")
    warnings = (*recorded.warnings, *facts.get("warnings", ()), *cut)
    return recorded._replace(warnings=warnings)


def draft(repo: Repo, folder: Path, facts: Mapping[str, Any]) -> store.Draft:
    """Return what is to be recorded of a run's folder."""
    values = journal.read_params(folder, strict=True)
    metrics_file = folder / "metrics.csv"
    if facts.get("inherited"):
        from gitexp.runs import resume

        metrics_file = resume.merged(folder, facts)
    # what the draft below needs in another form than the facts have it
    is_there = metrics_file.exists()
    error = facts.get("error")
    words = facts.get("command") or ()
    command = " ".join(word if word == "***" else shlex.quote(word) for word in words)
    directory = facts.get("directory", ".")
    kept = files.read_bytes(folder / "requirements.txt")  # of another interpreter
    requirements = environment.requirements() if kept is None else kept.decode("utf-8", "replace")
    extra = facts.get("extra", {})
    outputs = sorted({*facts.get("written", ()), *facts.get("rewritten", ())})
    artifacts, large = _artifacts(folder, facts)
    made = store.Draft(
        id=facts["id"],
        params=values,
        metrics=metrics_file if is_there else metrics.HEADER,
        last=metrics.last_in(metrics_file) if is_there else {},
        started=message.parse_time(facts["started"]).astimezone(),
        files=result_paths.choose(_writable(repo, facts), project=project(facts)),
        status=facts.get("status") or "killed",
        duration=facts.get("duration") or journal.lived(folder, facts["started"]),
        title=facts.get("title"),
        note=facts.get("note", ""),
        labels=tuple(facts.get("labels", ())),
        group=facts.get("group"),
        name=facts.get("name"),
        command=command or None,
        requirements=requirements,
        artifacts=artifacts,
        outputs=tuple(path for path in facts.get("written", ()) if path in artifacts),
        trailers={
            "Error": error,
            "Not-Kept": ", ".join([*facts.get("unkept", ()), *large]) or None,
            "Directory": None if directory == "." else directory,
            "Python": environment.parse_requirements(requirements).get("python"),
            "Host": facts.get("host"),
            "Hardware": environment.hardware(),
            **conditions.trailers(extra),
            **facts.get("trailers", {}),
        },
        extra={"error": error, "outputs": outputs, **extra},
        sign=facts.get("sign", False),
        advance=facts.get("advance", True),
        beside=facts.get("beside") or overlap(repo, folder, facts.get("root", "")),
    )
    return store.without_secrets(repo, made)


def _artifacts(folder: Path, facts: Mapping[str, Any]) -> tuple[dict[str, Path], list[str]]:
    """Return a run's artifacts, and words for those the script wrote that are over the limits."""
    most = facts.get("max_file_size", Settings.max_file_size)
    left = facts.get("max_untracked_size", Settings.max_untracked_size)
    found = journal.artifacts(folder)
    tops = tuple(f"{path}{os.sep}" for path in journal.linked(folder))
    large = []
    for path, file in [*found.items()] if tops else ():
        if str(file).startswith(tops):
            size = file.stat().st_size
            if size > min(most, left):
                del found[path]
                large.append(f"the artifact {path} ({message.readable(size)})")
            else:
                left -= size
    return found, large


def overlap(repo: Repo, folder: Path, root: str) -> str | None:
    """Return why a run stands beside the branch: another went on in its work tree meanwhile. Two
    that meet leave a mark with each other, for the one that ends last; those that stand beside
    anyway, as trials and MLflow's nested runs, leave none."""
    alive = journal.is_alive(folder)  # else it is recovered now, and meets nobody
    for other in journal.other_active(repo, folder, root):
        if journal.facts(other).get("beside") in (None, _OTHERS):
            for met in (other, folder) if alive else (folder,):
                with suppress(OSError):
                    (met / _MET).touch()
    return _OTHERS if (folder / _MET).exists() else None


def record_beside(repo: Repo, folders: Sequence[Path], new: bool = True) -> list[Experiment]:
    """Make experiments of the folders of runs that stand beside every branch, all or none, and
    remove the folders; they stay where a GitexpError is raised. Without ``new``, some may be
    recorded, and have no place in what is returned."""
    from gitexp.store import batch

    with collector.guarded(repo):
        entries = [entry(repo, folder) for folder in folders]
        recorded = batch.record(repo, entries, "record", new=new)
    for folder in folders:
        journal.delete(folder)
    return recorded


def entry(repo: Repo, folder: Path) -> Entry:
    """Write the files of a run beside every branch; returns what its experiment will be."""
    facts, _ = _read(folder)
    made = placed(draft(repo, folder, facts), project(facts))
    shot = facts["snapshot"]
    written, _ = store.blobs(repo, made)
    earlier = dict.fromkeys((*shot["previous"], *shot.get("outputs", ())))
    tree = trees.edited(repo, shot["tree"], {**earlier, **written})
    return Entry(made, tree, None, shot["commit"])


def _read(folder: Path) -> tuple[dict[str, Any], bool]:
    """Return what is known of a run that is over, and whether its last metric row was torn."""
    gather(folder)
    facts = journal.all_facts(folder)
    if not facts:
        raise UsageError(f"{folder} holds no readable run")
    return facts, journal.trim(folder / "metrics.csv")


def recover(repo: Repo, folder: Path, sign: bool | None = None) -> store.Recorded | None:
    """Record a dead run with what it had logged; None where it was recorded already, or died before
    it had started. Where a GitexpError is raised, the folder stays. Whoever else does it at the
    same time waits, and finds it done."""
    try:
        with locks.Held(journal.begin_recovery(folder)):
            return _recover(repo, folder, sign) if folder.exists() else None
    except FileNotFoundError:
        if folder.exists():
            raise
        return None
    except OSError as error:
        raise journal.refused(folder, error) from None


def _recover(repo: Repo, folder: Path, sign: bool | None) -> store.Recorded | None:
    gather(folder)
    facts = journal.facts(folder)
    if not facts and journal.holds_anything(folder):
        raise UsageError(
            f"its run.json cannot be read; what it logged stays in {folder}, for gitexp log"
            f" --params-file and --metrics-file; to let it go: rm -r '{folder}'"
        )
    began = "snapshot" in facts and (facts.get("inherited") or not facts.get("resuming"))
    if not began or _is_recorded(repo, facts["id"]):
        repo.unpin(f"{PENDING}{facts.get('id', folder.name)}")
        journal.delete(folder)
        return None
    from gitexp.runs import outputs

    lost = journal.mend(folder)
    with suppress(GitexpError, OSError):  # what it logged counts
        outputs.of_dead(repo, folder)
    recorded = record(repo, folder, sign)
    said = [f"metric rows left out, which cannot be read: {lost}"] if lost else []
    return recorded._replace(warnings=(*recorded.warnings, *said))


def _is_recorded(repo: Repo, run_id: str) -> bool:
    from gitexp.store.index import Index

    with repo.lock():
        pass  # a git that the dead owner had started to record it has the lock, and is over now
    return Index(repo).count("json_extract(tag.summary, '$.id') = ?", [run_id]) > 0


def gather(folder: Path) -> None:
    """Bring all that is known of a run into its folder; raises RepositoryError."""
    try:
        fallback.take_back(folder)
    except OSError as error:
        raise journal.refused(folder, error) from None


def dead_runs(repo: Repo) -> list[Path]:
    """Return the folders of runs whose process is gone."""
    return [folder for folder in journal.folders(repo) if not journal.is_alive(folder)]


def live_runs(repo: Repo) -> list[Path]:
    """Return the folders of runs that are going on."""
    return [folder for folder in journal.folders(repo) if journal.is_alive(folder)]


def saved(shot: snapshot.Snapshot) -> dict[str, Any]:
    """Return a snapshot as ``run.json`` holds it."""
    head = {"tree": shot.tree, "commit": shot.head.commit, "branch": shot.head.branch}
    return {**head, **{name: getattr(shot, name) for name in _SAVED}}


def snapshot_of(folder: Path, facts: Mapping[str, Any]) -> snapshot.Snapshot:
    """Return the snapshot that a run's folder holds."""
    saved, index = facts["snapshot"], folder / "index"
    rest = {name: _frozen(saved[name]) for name in _SAVED if name in saved}
    if not index.exists():
        rest["index_stamp"] = ()  # which is no index's
    return snapshot.Snapshot(saved["tree"], Head(saved["commit"], saved["branch"]), index, **rest)


def _frozen(value: Any) -> Any:
    """Return the lists of JSON as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _writable(repo: Repo, facts: Mapping[str, Any]) -> frozenset[str]:
    """Return the places that were ours at the start and are, and those the command wrote."""
    outputs = frozenset(facts.get("outputs", ()))
    free = (frozenset(facts["free"]) | outputs) - {*facts.get("aside", ())}
    # it ran in a work tree of its own, and nothing will be written into the user's
    if facts.get("apart"):
        return free
    return free & result_paths.ours(repo, outputs, project(facts))


def project(facts: Mapping[str, Any]) -> str:
    """Return the folder of the project that a run began in."""
    return str(facts.get("snapshot", {}).get("project", ""))
