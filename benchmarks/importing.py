"""What importing runs of other tools costs, beside the time in which the tool's own reader lists the
same values.

    python benchmarks/importing.py [--runs 300] [--rounds 3]

Each run has two metrics of 100 steps and two params. gitexp's time is CPU time of ``gitexp import``
and of all that it starts, with Python's start, into a new repository; the reader's is CPU time of a
process, without importing the tool and with it. They take turns. W&B 0.31 has no reader in Python; its
own messages are read from the log by a loop here.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from measuring import ENV, GITEXP, spent

STEPS = 100
READERS = {
    "wandb": """
from wandb.proto import wandb_internal_pb2 as pb
import json, pathlib, struct, zlib
def values(place):
    for path in pathlib.Path(place).rglob("*.wandb"):
        data, at, parts = path.read_bytes(), 7, b""
        while at + 7 <= len(data):
            if 32_768 - at % 32_768 < 7:
                at += 32_768 - at % 32_768
                continue
            check, size, kind = struct.unpack_from("<IHB", data, at)
            part = data[at + 7 : at + 7 + size]
            assert check == zlib.crc32(data[at + 6 : at + 7 + size])
            at, parts = at + 7 + size, parts + part
            if kind in (1, 4):
                record, parts = pb.Record.FromString(parts), b""
                for item in record.history.item:
                    yield json.loads(item.value_json)
""",
    "tensorboard": """
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
import pathlib
def values(place):
    for path in pathlib.Path(place).iterdir():
        events = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            yield from events.Scalars(tag)
""",
    "mlflow": """
from mlflow import MlflowClient
def values(place):
    client = MlflowClient("sqlite:///" + place)
    token = None
    while token != "":
        page = client.search_runs(["0"], page_token=token)
        for run in page:
            for name in run.data.metrics:
                yield from client.get_metric_history(run.info.run_id, name)
        token = page.token or ""
""",
}
TIMED = """
import sys, time
begun = time.process_time()
count = sum(1 for _ in values(sys.argv[1]))
print(count, (time.process_time() - begun) * 1000)
"""


def write_wandb(place: Path, runs: int) -> Path:
    """Write runs with W&B's own messages."""
    from wandb.proto import wandb_internal_pb2 as pb

    for number in range(runs):
        folder = place / f"offline-run-20261129_060000-r{number:05}"
        folder.mkdir(parents=True)
        log = bytearray(b":W&B\xe1\xbe\x00")
        start = pb.Record(run=pb.RunRecord(run_id=f"r{number:05}", project="p"))
        start.run.start_time.FromSeconds(1_795_900_000 + number)
        start.run.config.update.add(key="lr", value_json="0.1")
        start.run.config.update.add(key="depth", value_json="3")
        append(log, start.SerializeToString())
        for step in range(STEPS):
            row = {"loss": 1 / (step + 1 + number), "acc": step / STEPS, "_step": step}
            history = pb.HistoryRecord()
            for name, value in {**row, "_timestamp": 1_795_900_000.5 + step}.items():
                history.item.add(nested_key=[name], value_json=json.dumps(value))
            append(log, pb.Record(history=history).SerializeToString())
        end = pb.Record(exit=pb.RunExitRecord(exit_code=0, runtime=100))
        append(log, end.SerializeToString())
        (folder / f"run-r{number:05}.wandb").write_bytes(log)
    return place


def append(log: bytearray, data: bytes) -> None:
    """Add a record to a log in LevelDB's format."""
    first = True
    while first or data:
        left = 32_768 - len(log) % 32_768
        if left < 7:
            log += bytes(left)
            continue
        part, data = data[: left - 7], data[left - 7 :]
        kind = bytes([(2 if data else 1) if first else (3 if data else 4)])
        log += struct.pack("<IH", zlib.crc32(kind + part), len(part)) + kind + part
        first = False


def write_tensorboard(place: Path, runs: int) -> Path:
    """Write runs with tensorboardX."""
    from tensorboardX import SummaryWriter

    for number in range(runs):
        with SummaryWriter(str(place / f"r{number:05}")) as writer:
            for step in range(STEPS):
                at = 1_795_900_000.5 + step
                writer.add_scalar("loss", 1 / (step + 1 + number), step, at)
                writer.add_scalar("acc", step / STEPS, step, at)
    return place


def write_mlflow(place: Path, runs: int) -> Path:
    """Write runs with MLflow's client."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    place.mkdir(parents=True)
    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    for number in range(runs):
        run = client.create_run("0").info.run_id
        points = [
            Metric(name, value, 1_795_900_000_000 + step, step)
            for step in range(STEPS)
            for name, value in (("loss", 1 / (step + 1 + number)), ("acc", step / STEPS))
        ]
        client.log_batch(run, points, [Param("lr", "0.1"), Param("depth", "3")])
        client.set_terminated(run)
    return place / "mlflow.db"


WRITERS: dict[str, Callable[[Path, int], Path]] = {
    "wandb": write_wandb,
    "tensorboard": write_tensorboard,
    "mlflow": write_mlflow,
}


def reader(tool: str, place: Path) -> tuple[int, float, float]:
    """Return how many values the tool's own reader lists, and in how many ms, without its start
    and with it."""
    before = spent()
    command = [sys.executable, "-c", READERS[tool] + TIMED, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENV)
    count, took = done.stdout.split()
    return int(count), float(took), spent() - before


def gitexp(tool: str, place: Path, folder: Path) -> float:
    """Return the ms of importing into a new repository."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    for name in ("name", "email"):
        subprocess.run(["git", "config", f"user.{name}", "a@b.c"], cwd=folder, check=True)
    before = spent()
    command = [*GITEXP, "import", tool, str(place)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=ENV)
    return spent() - before


def main() -> None:
    """Measure the tools in turn and print a row for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tools", nargs="*", default=[*WRITERS])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for tool in args.tools:
            begun = time.time()
            place = WRITERS[tool](Path(scratch, tool), args.runs)
            print(f"{tool}: {args.runs} runs written in {time.time() - begun:.0f} s", flush=True)
            pairs = [
                (reader(tool, place), gitexp(tool, place, Path(scratch, "repo")))
                for _ in range(args.rounds)
            ]
            theirs, whole = (statistics.median(one[at] for one, _ in pairs) for at in (1, 2))
            ours = statistics.median(took for _, took in pairs)
            print(
                f"  {pairs[0][0][0]:,} values: {theirs:.0f} ms, {whole:.0f} with its start;",
                end=" ",
            )
            print(f"gitexp {ours:.0f} ms, {ours / theirs:.2f}x, {ours / whole:.2f}x")


if __name__ == "__main__":
    main()
