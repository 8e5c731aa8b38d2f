"""Experiments as other tools keep them: TensorBoard's event files, W&B's offline runs, a project of
trackio, and an RO-Crate for an archive.

Each is written by the tool's own package. What a format cannot hold is said in the help of
``gitexp export``.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from gitexp.formats import message, params
from gitexp.formats.experiment import Experiment
from gitexp.formats.extras import needed
from gitexp.integrations import export
from gitexp.repo import Repo

Record = Mapping[str, Any]  # of one experiment, as ``export.records`` gives it with its history
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"  # runs of programs, as RO-Crate describes them


def write_tensorboard(records: Iterator[Record], folder: Path) -> None:
    """Write a folder of event files for each experiment: scalars and hparams.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """
    writing = needed(
        "tensorboard.summary.writer.record_writer", "writing event files", "tensorboard"
    )
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
    from tensorboard.plugins.scalar import summary_v2 as scalar

    ends = {"finished": api_pb2.STATUS_SUCCESS}
    for record in records:
        # what was recorded by hand was measured before
        times = [point["timestamp"] for point in record["history"] if point["timestamp"]]
        start = min([record["started"], *times]).timestamp()
        file = folder / record["name"] / f"events.out.tfevents.{start:.0f}.{record['id'][:10]}"
        file.parent.mkdir(parents=True, exist_ok=True)
        events = writing.RecordWriter(file.open("wb"))
        event = Event(wall_time=start, file_version="brain.Event:2")
        events.write(event.SerializeToString())
        given = {name: _simple(value) for name, value in params.flatten(record["params"]).items()}
        hparams = summary_v2.hparams_pb(given, trial_id=record["id"], start_time_secs=start)
        event = Event(wall_time=start, summary=hparams)
        events.write(event.SerializeToString())
        for point in record["history"]:
            at = point["timestamp"]
            value = scalar.scalar_pb(point["metric"], point["value"])
            when = at.timestamp() if at else start
            event = Event(wall_time=when, step=point["step"], summary=value)
            events.write(event.SerializeToString())
        lasted = record["duration"]
        end = start if lasted is None else record["started"].timestamp() + lasted
        how = ends.get(record["status"], api_pb2.STATUS_FAILURE)
        info = plugin_data_pb2.SessionEndInfo(status=how, end_time_secs=end)
        said = plugin_data_pb2.HParamsPluginData(session_end_info=info)
        about = metadata.create_summary_metadata(said)
        tag, nothing = metadata.SESSION_END_INFO_TAG, metadata.NULL_TENSOR
        ended = Summary.Value(tag=tag, tensor=nothing, metadata=about)
        event = Event(wall_time=end, summary=Summary(value=[ended]))
        events.write(event.SerializeToString())
        events.close()


def write_wandb(records: Iterator[Record], folder: Path, project: str) -> None:
    """Write an offline run for each experiment below ``folder/wandb``, for ``wandb sync``.

    Raises:
        MissingExtraError: wandb is not installed.
    """
    wandb = needed("wandb", "writing runs of W&B", "wandb")
    for record in records:
        off = ("disable_git", "disable_code", "x_disable_stats", "x_disable_meta", "silent")
        how = {"mode": "offline", "console": "off", **dict.fromkeys(off, True)}
        settings = wandb.Settings(x_start_time=record["started"].timestamp(), **how)
        run = wandb.init(
            dir=str(folder),
            project=project,
            id=record["id"][:16],
            name=record["name"],
            group=record["group"],
            config=record["params"],
            tags=[label[:64] for label in record["labels"]],
            notes="\n\n".join(filter(None, [record["subject"], *record["notes"]])),
            settings=settings,
        )
        for step, when, values in _rows(record):
            run.log({**values, "_timestamp": when.timestamp()}, step=step)
        run.finish(exit_code=0 if record["status"] == "finished" else 1)


def write_trackio(records: Iterator[Record], folder: Path | None, project: str) -> int:
    """Add a run for each experiment to a project of trackio, and return how many were there.

    Args:
        folder: where the project's database lies; None for trackio's own place.

    Raises:
        MissingExtraError: trackio is not installed.
    """
    if folder is not None:
        os.environ["TRACKIO_DIR"] = str(folder)
    store = needed("trackio.sqlite_storage", "writing a project of trackio", "trackio")
    store = store.SQLiteStorage
    known = {run["id"] for run in store.get_run_records(project)}
    there = 0
    for record in records:
        if record["id"] in known:
            there += 1
            continue
        rows = list(_rows(record)) or [(0, record["started"], {})]
        config = {"_Created": record["started"].isoformat(), "_Group": record["group"]}
        store.bulk_log(
            project,
            record["name"],
            [{name: message.portable(value) for name, value in row[2].items()} for row in rows],
            steps=[row[0] for row in rows],
            timestamps=[row[1].isoformat() for row in rows],
            config={**message.portable(record["params"]), **config},
            run_id=record["id"],
        )
    return there


def write_crate(repo: Repo, experiment: Experiment, record: Record, folder: Path) -> None:
    """Write an RO-Crate (1.1, with the profile Process Run Crate) of one experiment: its code as
    ``code.zip``, its result files and artifacts, and what ran when, with which params and metrics.

    Raises:
        MissingExtraError: rocrate is not installed.
    """
    module = needed("rocrate.rocrate", "writing an RO-Crate", "crate")
    from rocrate.model import ContextEntity, Person

    crate = module.ROCrate()
    root = crate.root_dataset
    crate.name, crate.description = f"{record['name']}: {record['subject']}", record["subject"]
    root["conformsTo"] = crate.add(
        ContextEntity(crate, PROFILE, {"@type": "CreativeWork", "name": "Process Run Crate"})
    )
    author = Person(crate, f"mailto:{record['email']}", {"name": record["author"]})
    zipped = repo.git("archive", "--format=zip", record["id"])
    facts = {"@type": ["File", "SoftwareSourceCode"], "version": record["id"]}
    code = crate.add_file(io.BytesIO(zipped), "code.zip", properties=facts)
    paths = dict.fromkeys([*record["files"].values(), *experiment.extra.get("artifacts", ())])
    results = [crate.add_file(io.BytesIO(experiment.read(path)), path) for path in paths]

    def value(kind: str, name: str, given: Any) -> Any:
        facts = {"@type": "PropertyValue", "name": name, "value": message.portable(given)}
        return crate.add(ContextEntity(crate, f"#{kind}/{name}", facts))

    start = record["started"]
    end = start + timedelta(seconds=record["duration"] or 0)
    action = ContextEntity(crate, f"#{record['name']}", {"@type": "CreateAction"})
    crate.add(author, action)
    action["name"] = record["command"] or record["subject"] or record["name"]
    action["agent"], action["instrument"] = author, code
    action["startTime"], action["endTime"] = message.format_time(start), message.format_time(end)
    ended = "Completed" if record["status"] == "finished" else "Failed"
    action["actionStatus"] = f"http://schema.org/{ended}ActionStatus"
    given = params.flatten(record["params"])
    action["object"] = [value("param", name, item) for name, item in given.items()]
    measured = [value("metric", name, item) for name, item in record["metrics"].items()]
    action["result"] = [*results, *measured]
    root["author"], root["mentions"] = author, action
    crate.write(folder)


def _rows(record: Record) -> Iterator[tuple[int, datetime, dict[str, float]]]:
    """Yield the step, the last time and the values of each step, in the order of steps."""
    points = sorted(record["history"], key=lambda point: point["step"])
    for step, some in groupby(points, key=lambda point: point["step"]):
        found = list(some)
        times = [point["timestamp"] for point in found if point["timestamp"]]
        values = {point["metric"]: point["value"] for point in found}
        yield step, max(times, default=record["started"]), values


def _simple(value: Any) -> Any:
    """Return a param as TensorBoard takes it: numbers, truth values, else text."""
    if isinstance(value, (bool, float, str)):
        return value
    if isinstance(value, int) and abs(value) < math.ldexp(1, 53):
        return float(value)
    return export.text(value)
