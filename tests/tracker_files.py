"""Small files as other trackers leave them, in the form that the release named with each of them
was seen to write.

Run as a program with a folder, it writes them all there: ``python tests/tracker_files.py FOLDER``.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

NAN = float("nan")


def sacred(place: Path) -> None:
    """sacred 0.8.7: one run that ended, one that was killed before its first heartbeat."""
    stamps = [f"2026-11-29T06:04:15.65272{at}" for at in range(3)]
    run = {
        "experiment": {"name": "train"},
        "heartbeat": "2026-11-29T06:04:15.660521",
        "meta": {"options": {"--comment": None}},
        "result": 0.5,
        "start_time": "2026-11-29T06:04:15.644678",
        "status": "COMPLETED",
        "stop_time": "2026-11-29T06:04:15.652812",
    }
    weights = {"dtype": "float64", "py/object": "numpy.ndarray", "values": [1.0, 2.0]}
    write(place / "1/run.json", run)
    config = {"lr": 0.1, "model": {"depth": 3}, "seed": 1, "weights": weights}
    write(place / "1/config.json", {**config, "costs": {"json://0": 1.0, "json://1": weights}})
    acc = {"steps": [0], "timestamps": stamps[:1], "values": [NAN]}
    write(
        place / "1/metrics.json",
        {
            "acc": acc,
            "loss": {"steps": [0, 1, 2], "timestamps": stamps, "values": [1.0, 0.5, 0.25]},
        },
    )
    dead = {
        "start_time": "2026-11-29T07:00:00.000001",
        "status": "RUNNING",
        "stop_time": None,
        "result": None,
    }
    write(place / "2/run.json", {**run, **dead})
    write(place / "2/config.json", {"lr": 0.2})


def trackio(place: Path) -> None:
    """trackio 0.43.0: a project with one run; nested values, NaN as text."""
    with database(place / "p.db") as db:
        db.execute(
            "CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_id, timestamp, run_name, step INTEGER, metrics, log_id, space_id)"
        )
        db.execute(
            "CREATE TABLE configs (id INTEGER PRIMARY KEY, run_id, run_name, config, created_at)"
        )
        stamp = "2026-11-29T06:04:20.634745+00:00"
        for step, row in enumerate(
            [{"loss": 1.0, "val": {"acc": 0}}, {"loss": 0.5, "val": {"acc": 1}}, {"last": "NaN"}]
        ):
            values = ("4295", stamp, "r1", step, json.dumps(row).encode())
            db.execute(
                "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?, ?)",
                values,
            )
        config = {
            "lr": 0.1,
            "model": {"depth": 3},
            "_Username": None,
            "_Created": "2026-11-29T06:04:20.633983+00:00",
            "_Group": "g",
        }
        whole = ("4295", "r1", json.dumps(config).encode(), stamp)
        db.execute(
            "INSERT INTO configs (run_id, run_name, config, created_at) VALUES (?, ?, ?, ?)", whole
        )


def goodseed(place: Path) -> None:
    """goodseed 0.4.0: one run."""
    with database(place / "projects/p/runs/ivory-toucan.sqlite") as db:
        db.execute("CREATE TABLE run_meta (key TEXT, value TEXT)")
        db.execute(
            "CREATE TABLE configs (path TEXT, type_tag TEXT, value TEXT, updated_at TEXT, uploaded INTEGER)"
        )
        db.execute("CREATE TABLE metric_series (id INTEGER PRIMARY KEY, path TEXT)")
        db.execute(
            "CREATE TABLE metric_points (series_id INTEGER, step REAL, y REAL, ts INTEGER, uploaded INTEGER)"
        )
        meta = {
            "run_id": "ivory-toucan",
            "project": "p",
            "created_at": "2026-11-29T06:04:22.158043+00:00",
            "status": "finished",
        }
        db.executemany("INSERT INTO run_meta VALUES (?, ?)", meta.items())
        configs = [
            ("sys/id", "str", "ivory-toucan"),
            ("lr", "float", "0.1"),
            ("model/depth", "int", "3"),
            ("fast", "bool", "True"),
        ]
        db.executemany("INSERT INTO configs VALUES (?, ?, ?, '', 0)", configs)
        db.executemany(
            "INSERT INTO metric_series VALUES (?, ?)", [(1, "monitoring/d552/cpu"), (2, "loss")]
        )
        points = [(1, 0.0, 0.0), (2, 0.0, 1.0), (2, 1.0, float("inf"))]
        db.executemany("INSERT INTO metric_points VALUES (?, ?, ?, 1795932262, 0)", points)


def comet(place: Path) -> None:
    """comet-ml 3.58.8: a whole experiment, and the empty zip that a killed training leaves."""
    facts = {
        "offline_id": "58a60cd1207b",
        "project_name": "demo",
        "start_time": 1795932266889,
        "stop_time": 1795932269326,
    }
    said: list[tuple[str, dict[str, Any]]] = [("log_other", {"key": "Name", "value": "my run"})]
    params = {"lr": 0.1, "model|depth": 3, "curr_step": 0}
    said += [
        ("parameter_msg", {"param": {"paramName": name, "paramValue": value}})
        for name, value in params.items()
    ]
    metrics = [
        ("loss", 1.0, 0),
        ("loss", 0.5, 1),
        ("acc", "NaN", 1),
        ("sys.cpu", 7, 1),
        ("process duration", 1, 1),
    ]
    for name, value, step in metrics:
        metric = {"epoch": None, "metricName": name, "metricValue": value, "step": step}
        said.append(("metric_msg", {"local_timestamp": 1795932267061, "metric": metric}))
    place.mkdir(parents=True)
    with zipfile.ZipFile(place / "58a60cd1207b.zip", "w") as whole:
        whole.writestr("experiment.json", json.dumps({**facts, "tags": ["base"]}))
        whole.writestr(
            "messages.json",
            "".join(
                json.dumps({"payload": payload, "type": kind}) + "\n" for kind, payload in said
            ),
        )
    (place / "dead.zip").write_bytes(b"")


def clearml(place: Path) -> None:
    """clearml 2.1.12: one session."""
    folder = place / "offline-58d6"
    lr, depth = {"type": "float", "value": "0.1"}, {"type": "int", "value": "3"}
    task = {
        "hyperparams": {"General": {"lr": lr, "model/depth": depth}},
        "id": "offline-58d6",
        "name": "train",
    }
    write(
        folder / "task.json",
        {
            **task,
            "offline_folder": str(folder),
            "project_name": "demo",
            "tags": ["base"],
            "script": {},
        },
    )
    kind = {"type": "training_stats_scalar", "task": "offline-58d6", "timestamp": 1795932277873}
    rows = [
        {**kind, "iter": at, "metric": "loss", "variant": "train", "value": 1.0 / (at + 1)}
        for at in range(2)
    ]
    best = {**kind, "iter": -2147483648, "metric": "Summary", "variant": "best", "value": 0.5}
    (folder / "metrics.jsonl").write_text(json.dumps([*rows, best]) + "\n\n")


def neptune(place: Path) -> None:
    """neptune 1.14.0: one run, and the empty log that a killed one leaves."""
    folder = place / "offline/run__df85f985-a5f9__8328__kxyaw23y"
    said: list[tuple[str, str, dict[str, Any]]] = [
        ("AssignString", "sys/name", {"value": "nn"}),
        ("AssignBool", "sys/failed", {"value": False}),
        ("AssignString", "monitoring/a626/hostname", {"value": "vm"}),
        ("AssignFloat", "parameters/lr", {"value": 0.1}),
        ("AssignInt", "parameters/model/depth", {"value": 3}),
        ("AddStrings", "sys/tags", {"values": ["base"]}),
        ("LogFloats", "train/loss", {"values": [{"value": 1.0, "step": 0, "ts": 1795932302.2}]}),
        ("LogFloats", "train/loss", {"values": [{"value": 0.5, "step": None, "ts": 1795932302.3}]}),
        ("AssignFloat", "best", {"value": 0.5}),
    ]
    rows = [
        {"obj": {"type": kind, "path": path.split("/"), **rest}, "version": at, "at": 1795932302.2}
        for at, (kind, path, rest) in enumerate(said, 1)
    ]
    folder.mkdir(parents=True)
    (folder / "data-1.log").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dead = place / "offline/run__dead__1__x"
    dead.mkdir()
    (dead / "data-1.log").write_bytes(b"")


def ray(place: Path) -> None:
    """ray 2.60.0: a trial of which the last line is torn, since it was killed."""
    config = {"lr": 0.1, "model": {"depth": 3}}
    own = {
        "trial_id": "8f1c_00000",
        "timestamp": 1795932400,
        "time_total_s": 2.0,
        "pid": 7,
        "done": False,
        "config": config,
    }
    rows = [
        {"loss": 1.0, "training_iteration": 1, **own},
        {"loss": NAN, "val": {"acc": 0.9}, "training_iteration": 2, **own},
    ]
    folder = place / "train_8f1c_00000_0"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(
        "".join(json.dumps(row) + "\n" for row in rows) + '{"loss": 0.1, "tri'
    )
    (folder / "progress.csv").write_text("loss,training_iteration\n1.0,1\nnan,2\n")


def catboost(place: Path) -> None:
    """catboost 1.2.10: two metrics, a training and a test set."""
    metrics = [{"best_value": "Min", "name": "RMSE"}, {"best_value": "Min", "name": "MAE"}]
    meta: dict[str, Any] = {
        "learn_metrics": metrics,
        "test_metrics": metrics,
        "learn_sets": ["learn"],
        "test_sets": ["test"],
        "name": "experiment",
    }
    rows = [
        {
            "learn": [2.0 - at, 1.5],
            "test": [3.0 - at, 2.5],
            "iteration": at,
            "passed_time": 0.5 * at,
        }
        for at in range(2)
    ]
    write(
        place / "catboost_training.json",
        {"meta": dict(meta, iteration_count=2), "iterations": rows},
    )


def swanlab(place: Path) -> None:
    """swanlab 0.10.3: a run that ended, and the header that a killed one leaves."""
    at = field(1, 1795932262) + field(2, 5 * 10**8)
    start = [field(1, "demo"), field(4, "first"), field(5, "why"), field(6, "base")]
    start += [field(10, "m9d2"), field(12, at)]
    said = [field(10, b"".join(start))]
    columns = [("loss", 1), ("__swanlab__.cpu", 2)]
    said += [field(12, field(1, kind) + field(2, 1) + field(3, name)) for name, kind in columns]
    for step, (name, value) in enumerate([("loss", 1.0), ("loss", NAN), ("__swanlab__.cpu", 7.0)]):
        scalar = field(1, name) + field(2, step) + field(3, 1) + field(4, at)
        said.append(field(13, scalar + field(5, field(1, value))))
    said.append(field(11, field(1, 1) + field(3, at)))
    folder = place / "run-20261129_120506-m9d2"
    write(folder / "files/swanlab-metadata.json", {"runtime": {"command": "python sw.py"}})
    config = "lr:\n  desc: ''\n  sort: 0\n  value: 0.1\nmodel:\n  value:\n    depth: 3\n"
    (folder / "files/config.yaml").write_text(config)
    log = b":SWL\xd6\xe1\x02"
    (folder / "run-m9d2.swanlab").write_bytes(log + b"".join(map(logged, said)))
    (place / "dead.swanlab").write_bytes(log)


def field(number: int, value: int | float | str | bytes) -> bytes:
    """Return a field of a protobuf message."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """Return a whole number as protobuf has it."""
    head = value & 0x7F
    return bytes([head]) if value < 0x80 else bytes([head | 0x80]) + varint(value >> 7)


def logged(data: bytes) -> bytes:
    """Return a record of a log in LevelDB's format."""
    return struct.pack("<IHB", zlib.crc32(b"\x01" + data), len(data), 1) + data


def guild(place: Path) -> None:
    """guildai 0.9.0: a run with one file of its own; the events are tensorboardX's."""
    from tensorboardX import SummaryWriter

    root = place / "d5ed"
    (root / ".guild/attrs").mkdir(parents=True)
    attrs = {
        "id": "d5ed",
        "flags": "lr: 0.1\nmodel:\n  depth: 3",
        "label": "first",
        "tags": "- base",
        "comments": "- body: why\n  time: 1",
        "started": "1795932262500000",
        "stopped": "1795932264500000",
        "exit_status": "0",
        "cmd": "- python\n- -um\n- train",
    }
    for name, text in attrs.items():
        (root / f".guild/attrs/{name}").write_text(f"{text}\n")
    (root / ".guild/opref").write_text("script:/home/x '' '' train.py")
    (root / "model.txt").write_text("x")
    (root / "train.py").write_text("")
    (root / ".guild/manifest").write_text("s train.py 1763 train.py\n")
    for folder, name in ((".guild", "loss"), ("logs", "acc")):
        with SummaryWriter(str(root / folder)) as writer:
            writer.add_scalar(name, 0.5, 1)


def aim(place: Path) -> None:
    """aim 3.29.1, by itself."""
    from aim import Run

    run = Run(repo=str(place), system_tracking_interval=None, log_system_params=False)
    run["hparams"] = {"lr": 0.1, "model": {"depth": 3}}
    run.name = "first"
    run.track(0.5, name="loss", step=0, context={"subset": "train"})
    run.close()


def histories(place: Path, name: str, text: str, args: str = "") -> None:
    """A history, and a file of params beside it."""
    place.mkdir(parents=True)
    (place / name).write_text(text)
    if args:
        (place / args).write_text("lr: 0.1\nmodel:\n  depth: 3\n")


def fastai(place: Path) -> None:
    """fastai 2.8.12."""
    rows = "0,0.5,0.25,00:00\n1,0.4,nan,00:00\n"
    histories(place, "history.csv", f"epoch,train_loss,valid_loss,time\n{rows}")


def keras(place: Path) -> None:
    """keras 3.15.1: resumed by BackupAndRestore with a further metric, whose header is not there."""
    rows = "0,0.9,NA\n1,0.8,NA\n2,0.0056,0.0634,NA,NA\n"
    histories(place, "training.csv", f"epoch,loss,val_loss\n{rows}")


def lightning(place: Path) -> None:
    """lightning 2.6.6."""
    rows = "0,0.1,1,0.5,\n0,,1,,0.25\n"
    histories(place, "metrics.csv", f"epoch,lr-SGD,step,loss,val_loss\n{rows}", "hparams.yaml")


def skorch(place: Path) -> None:
    """skorch 1.4.0."""
    epoch = {"batches": [{"train_loss": 2.0}], "epoch": 1, "valid_loss": 0.5}
    history = [{**epoch, "valid_loss_best": True}, {**epoch, "epoch": 2, "event_cp": True}]
    histories(place, "history.json", json.dumps(history))


def transformers(place: Path) -> None:
    """transformers 5.24.0."""
    rows = [{"epoch": 1.0, "step": 2, "loss": 0.5}, {"epoch": 1.0, "step": 2, "eval_loss": NAN}]
    histories(place, "trainer_state.json", json.dumps({"log_history": rows, "max_steps": 2}))


def ultralytics(place: Path) -> None:
    """ultralytics 8: an older release, which pads names with blanks."""
    rows = "                  1,            0.5\n"
    histories(place, "results.csv", f"  epoch,   train/box_loss\n{rows}", "args.yaml")


def write(path: Path, value: object) -> None:
    """Write JSON, with the bare NaN of Python's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def database(path: Path) -> sqlite3.Connection:
    """Return a new SQLite database."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return sqlite3.connect(path)


WRITERS = {
    "sacred": sacred,
    "trackio": trackio,
    "goodseed": goodseed,
    "comet": comet,
    "clearml": clearml,
    "neptune": neptune,
    "ray": ray,
    "catboost": catboost,
    "swanlab": swanlab,
    "guild": guild,
    "aim": aim,
    "fastai": fastai,
    "keras": keras,
    "lightning": lightning,
    "skorch": skorch,
    "transformers": transformers,
    "ultralytics": ultralytics,
}

if __name__ == "__main__":
    for name, writer in WRITERS.items():
        writer(Path(sys.argv[1]) / name)
