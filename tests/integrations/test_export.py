"""Experiments for other tools: everything arrives, with full precision, and reads back as what it
was."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project
from gitexp.formats.experiment import MetricPoint
from gitexp.integrations import export
from recording import record

STARTED = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=timezone.utc)


@pytest.fixture
def some(project: Project) -> Project:
    """A project with three experiments that have little in common."""
    record(
        project,
        {"lr": 0.1, "net": {"sizes": [1, 2], "on": True}},
        {"loss": [0.1 + 0.2, math.nan, math.inf], "acc": 1},
        STARTED,
    )
    record(
        project,
        {"lr": 1, "name": 'a,"b"\n'},
        {"loss": 2},
        STARTED.replace(minute=1),
        labels=("x", "y"),
        group="g",
        duration=1.5,
    )
    record(project, {"lr": 3, "name": 7}, {}, STARTED.replace(minute=2), status="failed")
    return project


def rows(text: str) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(text))]


def test_csv_has_the_columns_of_the_data_frame_and_full_precision(some: Project) -> None:
    found = rows(some.gitexp("export", "csv"))
    assert [*found[0]] == [*gitexp.experiments().columns]
    assert [row["name"] for row in found] == ["exp-3", "exp-2", "exp-1"]
    assert (found[1]["params.name"], found[1]["labels"], found[1]["duration"]) == (
        'a,"b"\n',
        '["x", "y"]',
        "1.5",
    )
    assert (found[2]["params.net.sizes"], found[2]["params.net.on"], found[2]["metrics.loss"]) == (
        "[1, 2]",
        "True",
        "inf",
    )
    assert (found[2]["started"], found[0]["metrics.loss"]) == ("2026-03-01T12:00:00.250Z", "")


def test_the_long_table_has_every_value_in_order(some: Project) -> None:
    found = rows(some.gitexp("export", "csv", "--metrics", "--sort", "started:asc"))
    assert [(row["name"], row["metric"], row["value"], row["step"]) for row in found] == [
        ("exp-1", "loss", "0.30000000000000004", "0"), ("exp-1", "loss", "nan", "1"),
        ("exp-1", "loss", "inf", "2"), ("exp-1", "acc", "1", "0"),
        ("exp-2", "loss", "2", "0"),
    ]  # fmt: skip
    assert {row["timestamp"] for row in found[:4]} == {"2026-03-01T12:00:00.250Z"}


def test_json_has_everything_and_params_as_they_were_logged(some: Project) -> None:
    some.gitexp("note", "exp-1", "a thought")
    found = {item["name"]: item for item in json.loads(some.gitexp("export", "json", "--metrics"))}
    assert found["exp-1"]["params"] == {"lr": 0.1, "net": {"sizes": [1, 2], "on": True}}
    assert (found["exp-1"]["notes"], found["exp-2"]["labels"], found["exp-2"]["group"]) == (
        ["a thought"],
        ["x", "y"],
        "g",
    )
    assert found["exp-1"]["files"] == {"metrics": "metrics.csv", "params": "params.yml"}
    assert found["exp-1"]["metrics"] == {"loss": "inf", "acc": 1}
    first, second, *_ = found["exp-1"]["history"]
    assert first == {
        "metric": "loss",
        "value": 0.1 + 0.2,
        "timestamp": "2026-03-01T12:00:00.250Z",
        "step": 0,
    }
    assert second["value"] == "nan"
    assert found["exp-3"]["history"] == []
    assert "history" not in json.loads(some.gitexp("export", "json", "exp-1"))[0]


def test_json_keeps_long_params_that_the_summary_cuts(project: Project) -> None:
    record(project, {"prompt": "x" * 5000})
    assert json.loads(project.gitexp("export", "json"))[0]["params"] == {"prompt": "x" * 5000}


def test_parquet_has_types_and_a_param_of_two_kinds_is_text(some: Project, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    some.gitexp("export", "parquet", "-o", str(tmp_path / "all.parquet"))
    table = pq.read_table(tmp_path / "all.parquet")
    kinds = {name: str(kind) for name, kind in zip(table.schema.names, table.schema.types)}
    assert (kinds["started"], kinds["params.lr"], kinds["params.net.on"]) == (
        "timestamp[ms, tz=UTC]",
        "double",
        "bool",
    )
    assert (kinds["params.name"], kinds["labels"]) in (
        ("string", "list<element: string>"),
        ("string", "list<item: string>"),
    )
    found = {row["name"]: row for row in table.to_pylist()}
    assert found["exp-3"]["params.name"] == "7"
    assert found["exp-2"]["labels"] == ["x", "y"]
    assert found["exp-1"]["started"] == STARTED
    assert (found["exp-1"]["metrics.loss"], found["exp-3"]["metrics.loss"]) == (math.inf, None)


def test_the_long_table_in_parquet_is_that_of_csv(some: Project, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    some.gitexp("export", "parquet", "--metrics", "-o", str(tmp_path / "long.parquet"))
    found = pq.read_table(tmp_path / "long.parquet").to_pylist()
    assert [(row["name"], row["metric"], row["step"]) for row in found] == [
        (row["name"], row["metric"], int(row["step"]))
        for row in rows(some.gitexp("export", "csv", "--metrics"))
    ]
    assert [row["timestamp"] for row in found if row["name"] == "exp-1"] == [STARTED] * 4


def test_only_those_that_are_asked_for_are_written(some: Project) -> None:
    assert [row["name"] for row in rows(some.gitexp("export", "csv", "exp-1..exp-2"))] == [
        "exp-1",
        "exp-2",
    ]
    assert [
        row["name"] for row in rows(some.gitexp("export", "csv", "--where", "status = failed"))
    ] == ["exp-3"]
    assert (
        some.error("export", "csv", "--where", "lr > 99", code=3)
        == "no experiment matches; to see them all: gitexp list"
    )


def test_a_file_that_is_there_is_not_written_over_unless_forced(some: Project) -> None:
    file = some.write("mine.csv", "precious")
    assert (
        some.error("export", "csv", "-o", "mine.csv")
        == "mine.csv is there already; to write over it: --force"
    )
    assert file.read_text() == "precious"
    done = some.run("export", "csv", "-o", "mine.csv", "--force")
    assert done.stderr == "wrote mine.csv: 3 experiments\n"
    assert len(rows(file.read_text())) == 3
    assert not [*some.root.glob(".mine*")]


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(some: Project) -> None:
    assert some.error("export", "json", "-o", "nowhere/a.json").startswith(
        "nowhere/a.json cannot be written: No such file"
    )
    assert some.error("export", "csv", "-o", ".", "--force") == ". is a folder; name a file"
    assert some.error("export", "parquet").startswith("Parquet cannot be printed")


def test_adopted_history_is_read_in_whichever_form_it_lies(project: Project) -> None:
    project.write("metrics.json", '{"rmse": 2.5, "auc": [0.5, 0.75]}')
    project.write("params.yaml", "net:\n  lr: 0.1\n")
    project.commit("history")
    project.gitexp("import", "git")
    found = rows(project.gitexp("export", "csv", "--metrics"))
    assert [(row["metric"], row["value"], row["step"]) for row in found] == [
        ("rmse", "2.5", "0"),
        ("auc", "0.5", "0"),
        ("auc", "0.75", "1"),
    ]
    assert json.loads(project.gitexp("export", "json"))[0]["params"] == {"net": {"lr": 0.1}}


def test_a_file_that_this_clone_lacks_is_told_and_the_rest_is_written(some: Project) -> None:
    blob = some.git("rev-parse", "exp-1:metrics.csv")
    (some.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    done = some.run("export", "csv", "--metrics")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "the values of exp-1 are missing: its metrics.csv is not in this clone"
    )
    assert [row["name"] for row in rows(done.stdout)] == ["exp-2"]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_hostile_values_harm_no_form(project: Project, form: str, tmp_path: Path) -> None:
    odd: dict[str, Any] = {"a": 10**30, "b": "\ud800", "c": None, "d": math.nan, "e": [math.inf]}
    record(project, odd, {"m": 10**400, "n": -0.0})
    for extra in ([], ["--metrics"]):
        target = tmp_path / f"odd{len(extra)}.{form}"
        if form == "parquet":
            pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        project.gitexp("export", form, *extra, "-o", str(target))
        assert target.stat().st_size
        if form == "json":
            json.loads(
                target.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON")
            )


def test_points_that_no_column_can_hold_are_empty_cells(project: Project, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    made = record(project)
    points = [
        MetricPoint("a\ud800", 10**400, 10**30, -(10**30)),
        MetricPoint("b", -math.inf, 10**17, 1),
    ]
    export.write_points([(made, point) for point in points], tmp_path / "odd.parquet")
    first, second = pq.read_table(tmp_path / "odd.parquet").to_pylist()
    assert (first["metric"], first["value"], first["timestamp"], first["step"]) == (
        "a?",
        math.inf,
        None,
        None,
    )
    assert (second["value"], second["timestamp"]) == (-math.inf, None)
