"""Hydra's ``--multirun``: one command runs many jobs, and each of them is an experiment.

They share a group, named by the folder that their outputs lie in, and stand beside the branch. All
have the snapshot of the command that ran them; a job's params and files are its own, and so is its
command, which runs it alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gitexp.formats import environment, message, params
from gitexp.formats.errors import GitexpError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.repo import Repo, files
from gitexp.runs import arguments, capture, command, finish, journal, parsed, written
from gitexp.runs.journal import JOIN
from gitexp.runs.journal_writer import Journal
from gitexp.runs.run import Run
from gitexp.store import result_paths

_CLAIMED = "claimed"  # the folders of jobs that record themselves, a line each
_OF_ALL = ("Exit-Code", "CPU-Time", "Peak-Memory")  # trailers of a command as a whole


def record(
    run: Run, repo: Repo, ended: command.Ended, known: Settings, given: Mapping[str, Any]
) -> list[Experiment] | None:
    """Record each job of a command that is over as an experiment, with params that are ``given`` to
    all, but for those that recorded themselves; None where it had no jobs, or a GitexpError is
    raised, and the run is left as it is."""
    facts = journal.facts(run.folder)
    notes = parsed.jobs(run.folder) if run.reads_arguments else []
    jobs = [note for note in notes if Path(note["folder"]).is_relative_to(repo.root)]
    if not jobs:
        return None
    claimed = files.read_text(run.folder / _CLAIMED).splitlines()
    folders = []
    for job in jobs:
        if job["folder"] in claimed:
            continue
        values = params.merge(job["values"], given)
        shared = {**facts, **_end(job, ended, facts.get("trailers", {}))}
        folders.append(_folder(run, repo, shared, {**job, "values": values}, known))
    return finish.record_beside(repo, folders) if folders else []


def _end(
    job: Mapping[str, Any], ended: command.Ended, trailers: Mapping[str, Any]
) -> dict[str, Any]:
    """Return how a job ended; one that did not come to an end of its own ended with the command."""
    own = {name: value for name, value in trailers.items() if name not in _OF_ALL}
    status, error = ended.status, ended.error
    if "ended" in job:
        status, error = ("failed", job["error"]) if job["error"] else ("finished", None)
    if status != "finished":
        own["Exit-Code"] = ended.code
    error = error and environment.redact([message.one_line(error)[:300]])[0]
    return {"status": status, "error": error, "trailers": own}


def claim() -> bool:
    """Take over the multirun's job that this process is at, if any: it records itself."""
    config: Any = getattr(sys.modules.get("hydra.core.hydra_config"), "HydraConfig", None)
    run = Path(os.environ.get(JOIN, ""))
    if config is None or not config.initialized() or not (run / "run.json").exists():
        return False
    job = str(config.get().runtime.output_dir)
    if job not in [note["folder"] for note in parsed.jobs(run)]:
        return False
    with open(run / _CLAIMED, "a", encoding="utf-8") as file:
        file.write(f"{job}\n")
    return True


def _folder(
    run: Run, repo: Repo, facts: Mapping[str, Any], job: Mapping[str, Any], known: Settings
) -> Path:
    """Return the folder of a job's run, as if it had run alone."""
    place = Path(job["folder"])
    path = place.relative_to(repo.root).as_posix()
    looks = {f"{path}/{name}": look for name, look in written.below(place, 0).files.items()}
    overrides = _overrides(place)
    written_last = ((repo.root / item).stat().st_mtime for item in looks)
    ended = job.get("ended") or max(written_last, default=job["at"])
    artifacts = journal.artifacts(run.folder)
    mine = {name: file for name, file in artifacts.items() if name in {*looks, result_paths.OUTPUT}}
    run_id = os.urandom(8).hex()
    owned = Journal.create(repo, run_id)
    own = {
        "id": run_id,
        "group": facts.get("group") or os.path.dirname(path),
        "title": facts.get("title") or ", ".join(overrides) or None,
        "started": message.format_time(datetime.fromtimestamp(job["at"], timezone.utc)),
        "duration": max(0.0, ended - job["at"]),
        "command": _command(facts["command"], overrides),
        "written": sorted({*mine} & {*looks}),
        "arguments": None,
        "name": None,
        "beside": "it is a job of a multirun",
    }
    owned.write_facts({**facts, **own})
    live = Run(None, owned.folder, {}, owned)
    live.log_params(job["values"])
    found = capture.Findings(repo.root, known, looks)
    capture.read(found, _printed(place))
    for points in found.points.values():
        live.log_points(points)
    for name, file in mine.items():
        owned.write_artifact(name, file)
    owned.close()
    owned.release()
    return owned.folder


def _overrides(place: Path) -> list[str]:
    with suppress(OSError, GitexpError):
        lines = (place / ".hydra/overrides.yaml").read_text("utf-8").splitlines()
        return [str(params.parse_value(line[2:])) for line in lines if line.startswith("- ")]
    return []


def _printed(place: Path) -> str:
    """Return what Hydra's logging kept of a job's output."""
    logs = sorted(file for file in place.glob("*.log") if file.stat().st_size <= capture.MOST_BYTES)
    return "\n".join(file.read_text("utf-8", "replace") for file in logs)


def _command(words: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return the command of one job: what was swept over in one call, as it was for this job."""
    own = arguments.start(words)
    kept = list(words[:own])
    for name, _, said in arguments.options(["", *words[own:]], 1):
        assigned = name is not None and not said[0].startswith("-")
        swept = assigned or said[0] in ("-m", "--multirun", "")
        kept += () if swept else said
    return [*kept, *overrides]
