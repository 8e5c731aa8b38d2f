"""What trackers leave on disk becomes experiments, each once; a cut or foreign file is named and
stops nothing."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from test_import_runs import imported

import gitexp
from conftest import Project
from gitexp.formats.errors import UsageError
from gitexp.formats.trackers import tensorboard, wandb
from gitexp.formats.trackers.found import Run, Unread
from gitexp.formats.trackers.tools import TOOLS, find
from tracker_files import WRITERS, field, logged

PARAMS = {"lr": 0.1, "model.depth": 3}
NAN = float("nan")
SEEN: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "sacred": (
        {**PARAMS, "seed": 1, "weights": [1.0, 2.0], "costs.0": 1.0, "costs.1": [1.0, 2.0]},
        {"loss": 0.25, "acc": NAN, "result": 0.5},
    ),
    "trackio": (PARAMS, {"loss": 0.5, "val.acc": 1, "last": NAN}),
    "goodseed": ({**PARAMS, "fast": True}, {"loss": math.inf}),
    "comet": (PARAMS, {"loss": 0.5, "acc": NAN}),
    "clearml": (PARAMS, {"loss/train": 0.5, "best": 0.5}),
    "neptune": (PARAMS, {"train/loss": 0.5, "best": 0.5}),
    "ray": (PARAMS, {"loss": NAN, "val.acc": 0.9}),
    "catboost": ({}, {"learn/RMSE": 1.0, "learn/MAE": 1.5, "test/RMSE": 2.0, "test/MAE": 2.5}),
    "swanlab": (PARAMS, {"loss": NAN}),
    "guild": (PARAMS, {"loss": 0.5, "logs/acc": 0.5}),
    "aim": (PARAMS, {"train/loss": 0.5}),
    "fastai": ({}, {"train_loss": 0.4, "valid_loss": NAN}),
    "keras": ({}, {"loss": 0.8}),
    "lightning": (PARAMS, {"loss": 0.5, "val_loss": 0.25, "lr-SGD": 0.1}),
    "skorch": ({}, {"valid_loss": 0.5}),
    "transformers": ({}, {"loss": 0.5, "eval_loss": NAN}),
    "ultralytics": (PARAMS, {"train/box_loss": 0.5}),
}


NEEDED = {"aim": "aim", "guild": "tensorboardX"}


def left(tool: str, place: Path) -> None:
    """Write what a tool leaves; where its own package has to, it is there or the test is not."""
    if tool in NEEDED:
        pytest.importorskip(NEEDED[tool], reason=f"{NEEDED[tool]} is not installed")
    WRITERS[tool](place)


def files(place: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in place.rglob("*")}


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_a_run_comes_with_params_and_metrics_and_only_once(
    project: Project, tmp_path: Path, tool: str
) -> None:
    place = tmp_path / "there"
    left(tool, place)
    before = files(place)
    names = imported(project, tool, str(place))
    assert names == (["exp-1", "exp-2"] if tool == "sacred" else ["exp-1"])
    assert files(place) == before
    found = gitexp.get("exp-1")
    params, metrics = SEEN[tool]
    assert found.params == params
    assert found.metrics == pytest.approx(metrics, nan_ok=True)
    assert (found.status, found.started.year) == ("finished", 2026) or tool == "catboost"
    if tool in ("swanlab", "guild"):
        assert (found.subject, found.labels) == ("first", ("base",))
        assert "why" in project.git("log", "-1", "--format=%B", "exp-1")
    if tool == "guild":
        assert found.read(".gitexp/artifacts/model.txt") == b"x"
        assert found.extra["artifacts"] == [".gitexp/artifacts/model.txt"]


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_a_cut_or_foreign_file_is_named_and_stops_nothing(
    project: Project, tmp_path: Path, tool: str
) -> None:
    place = tmp_path / "there"
    left(tool, place)
    file = next(
        path
        for path in sorted(place.rglob("*"))
        if path.name != "dead.zip"
        and path.stat().st_size > 10
        and any(path.match(one) for one in TOOLS[tool].files)
    )
    whole = file.read_bytes()
    for name, data in {
        "a": whole[:40],
        "b": b"",
        "c": b"[1]",
        "d": b'{"x": 1}',
        "e": b"\xff",
    }.items():
        other = place / name / file.name
        other.parent.mkdir()
        other.write_bytes(data)
    done = project.run("import", tool, str(place))
    assert done.returncode == 0, done.stderr
    assert "exp-1" in done.stdout
    for name in "abcde":
        assert f"not read: {place}/{name}/{file.name}: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_run_is_killed_and_says_what_is_missing(project: Project, tmp_path: Path) -> None:
    WRITERS["sacred"](tmp_path / "left")
    done = project.run("import", "sacred", str(tmp_path / "left"))
    assert gitexp.get("exp-2").status == "killed"
    assert "no metrics.json is there" in done.stderr


def test_from_python_and_without_files(project: Project, tmp_path: Path) -> None:
    WRITERS["ray"](tmp_path / "left")
    (made,) = gitexp.import_runs("ray", tmp_path / "left", repo=project.root).experiments
    assert json.loads(json.dumps(made.params)) == PARAMS
    with pytest.raises(UsageError, match=r"there is no run.json below .*; give the folder"):
        gitexp.import_runs("sacred", tmp_path / "left", repo=project.root)


def test_what_neptunes_exporter_wrote(project: Project, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    import pyarrow as pa

    now = datetime(2026, 11, 29, 6, tzinfo=timezone.utc)
    none = dict.fromkeys(
        (
            *("step", "timestamp", "int_value", "float_value", "string_value", "bool_value"),
            *("datetime_value", "string_set_value"),
        )
    )

    def row(path: str, kind: str, value: Any, step: int | None = None) -> dict[str, Any]:
        place = "float_value" if kind == "float_series" else f"{kind}_value"
        at = {"step": Decimal(step), "timestamp": now} if step is not None else {}
        whole = {"project_id": "w/p", "run_id": "SAN-1", **none, **at}
        return {**whole, "attribute_path": path, "attribute_type": kind, place: value}

    parts = [
        [
            row("sys/creation_time", "datetime", now),
            row("sys/tags", "string_set", ["base"]),
            row("parameters/lr", "float", 0.1),
            row("parameters/model/depth", "int", 3),
            row("loss", "float_series", 1.0, 0),
        ],
        [row("loss", "float_series", NAN, 1), row("best", "float", 0.5)],
    ]
    place = tmp_path / "data/w_p"
    place.mkdir(parents=True)
    for at, rows in enumerate(parts):
        parquet.write_table(pa.Table.from_pylist(rows), place / f"SAN-1_part_{at}.parquet")
    (place / "SAN-2_part_0.parquet").write_bytes(b"PAR1")
    assert imported(project, "neptune", str(tmp_path / "data")) == ["exp-1"]
    found = gitexp.get("exp-1")
    assert (found.params, found.labels, found.started) == (PARAMS, ("base",), now)
    assert found.metrics == pytest.approx({"loss": NAN, "best": 0.5}, nan_ok=True)
    assert (
        "SAN-2_part_0.parquet: part 0 is missing, cut or no Parquet"
        in project.run("import", "neptune", str(tmp_path / "data")).stderr
    )


def test_rows_under_the_wrong_header_are_named(project: Project) -> None:
    WRITERS["keras"](project.root / "log")
    wrong = "1 of its rows are torn, or have other columns than the header"
    assert wrong in project.run("import", "keras", "log").stderr
    assert wrong in project.run("log", "--metrics-file", "log/training.csv").stderr


def test_the_link_to_the_latest_run_of_wandb_is_a_folder_like_others(tmp_path: Path) -> None:
    run = field(1, b"r1") + field(17, field(1, 1_700_000_000))
    said = (field(17, run), field(18, field(2, 60)))
    (tmp_path / "run-1").mkdir()
    log = b":W&B\xe1\xbe\x00" + b"".join(map(logged, said))
    (tmp_path / "run-1/run-r1.wandb").write_bytes(log)
    (tmp_path / "latest-run").symlink_to("run-1")
    for folder in (tmp_path, tmp_path / "latest-run"):
        (found,) = wandb.find(folder)
        assert isinstance(found, Run)
        assert (found.id, found.status, found.duration) == ("r1", "finished", 60)


@pytest.mark.parametrize("tool", WRITERS)
def test_a_place_beside_says_the_same_as_a_whole_path(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(tool, tmp_path / "runs")

    def seen(place: Path) -> set[tuple[str, str, str | None]]:
        runs = (item for item in find(tool, place) if isinstance(item, Run))
        return {(run.id, run.title, run.group) for run in runs}

    for path in [path for form in TOOLS[tool].files for path in tmp_path.rglob(form)]:
        monkeypatch.chdir(path.parent)
        assert seen(Path(path.name)) == seen(path)


def test_help_says_once_whether_a_tool_is_needed(project: Project) -> None:
    for tool, needs in (("aim", "has to"), ("keras", "need not")):
        said = " ".join(project.gitexp("import", tool, "--help").split())
        assert said.count("installed") == 1
        assert f"The tool {needs} be installed." in said


VANISHING = """
import os, sys
def hook(event, args):  # a folder goes when somebody begins to look into it
    if event == "os.scandir" and str(args[0]).endswith("gone") and os.path.isdir(args[0]):
        os.rmdir(args[0])
sys.addaudithook(hook)
from gitexp.cli import main
main()
"""


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (("import", "trackio", "runs"), "runs/a/gone"),
        (("run", "--", "git", "status"), ".home/ray_results/gone"),
        (("log", "-m", "a=1"), ".git/refs/exps/gone"),
        (("doctor",), ".git/refs/heads/gone"),
    ],
)
def test_what_vanishes_while_folders_are_looked_through_is_passed_over(
    project: Project, command: tuple[str, ...], place: str
) -> None:
    left("trackio", project.root / "runs")
    project.gitexp("log", "-m", "a=0")
    (project.root / place).mkdir(parents=True)
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(project.root / ".home"),
    }
    words = [sys.executable, "-c", VANISHING, *command]
    done = subprocess.run(words, env=env, cwd=project.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (project.root / place).exists(), "nobody looked there"


def test_words_that_are_numbers_are_text_and_a_step_without_end_is_named(tmp_path: Path) -> None:
    for tool, old, new in (
        ("clearml", '["base"]', "[1.5]"),
        ("clearml", '"demo"', "7"),
        ("catboost", '"iteration": 1', '"iteration": 1e999'),
    ):
        place = tmp_path / f"{tool}{new}"
        WRITERS[tool](place)
        file = next(path for path in place.rglob("*.json") if old in path.read_text())
        file.write_text(file.read_text().replace(old, new))
        (item,) = find(tool, place)
        if isinstance(item, Run):
            assert (item.labels, item.group) in ((("1.5",), "demo"), (("base",), "7"))
        else:
            assert isinstance(item, Unread)
            assert (tool, "infinity" in item.why) == ("catboost", True)


def test_event_files_are_read_up_to_where_they_are_damaged(tmp_path: Path) -> None:
    whole = [loss(step, step) for step in range(4)]
    for at in range(8):  # in the length of the third
        data = bytearray(b"".join(whole))
        data[2 * len(whole[0]) + (len(whole[1]) - len(whole[0])) + at] ^= 0xFF
        (tmp_path / "events.out.tfevents.1").write_bytes(data)
        (found,) = tensorboard.find(tmp_path)
        assert isinstance(found, Run)
        assert "the length of a record is wrong" in found.partly[0].why
        assert [point.step for point in found.points] == [0, 1]


def test_a_resumed_training_takes_back_what_is_from_its_step_on(tmp_path: Path) -> None:
    begun = event(field(3, "brain.Event:2")) + event(field(2, 2) + field(7, field(1, 1)))
    files = {
        "events.out.tfevents.1": b"".join(loss(step, 1.0) for step in range(5)),
        "events.out.tfevents.2": begun + loss(2, 2.0) + loss(3, 2.0),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (found,) = tensorboard.find(tmp_path)
    assert isinstance(found, Run)
    assert [(point.step, point.value) for point in found.points] == [
        (0, 1.0), (1, 1.0), (2, 2.0), (3, 2.0),
    ]  # fmt: skip


def loss(step: int, value: float) -> bytes:
    scalar = field(1, "loss") + b"\x15" + struct.pack("<f", value)
    return event(field(2, step) + field(5, field(1, scalar)))


def event(data: bytes) -> bytes:
    data = field(1, 1_700_000_000.0) + data
    size = struct.pack("<Q", len(data))
    sums = (struct.pack("<I", crc32c(part)) for part in (size, data))
    return size + next(sums) + data + next(sums)


def crc32c(data: bytes) -> int:
    """Return the masked CRC-32C of TensorFlow's records."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
