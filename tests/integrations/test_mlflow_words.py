"""What an experiment is called in MLflow, and that nothing is lost between the two."""

from __future__ import annotations

import json
import math
import random
import string
from datetime import datetime, timezone
from typing import Any

import pytest

from gitexp.formats import mlflow_words as convert
from gitexp.formats.experiment import STATUSES, Experiment, MetricPoint


def made(**fields: Any) -> Experiment:
    facts: dict[str, Any] = {
        "name": "exp-7",
        "id": "c" * 40,
        "tag": "t" * 40,
        "subject": "exp-7: rmse=1",
        "status": "finished",
    }
    return Experiment(**{**facts, "started": datetime(2026, 1, 1, tzinfo=timezone.utc), **fields})


def test_the_code_link_is_the_experiments_own_commit_and_not_the_one_before() -> None:
    tags = convert.tags(
        made(
            parent="p" * 40, branch="main", author="Ada", command="python train.py", group="sweep-a"
        )
    )
    assert tags["mlflow.source.git.commit"] == "c" * 40
    assert tags["gitexp.parent"] == "p" * 40
    assert (tags["mlflow.source.git.branch"], tags["mlflow.user"], tags["mlflow.source.name"]) == (
        "main",
        "Ada",
        "python train.py",
    )
    assert (tags["mlflow.runName"], tags["gitexp.group"]) == ("exp-7", "sweep-a")


def test_what_an_experiment_has_not_makes_no_tag() -> None:
    assert not {"mlflow.note.content", "gitexp.labels", "gitexp.group", "mlflow.user"} & {
        *convert.tags(made())
    }


def test_identity_is_the_id_that_was_recorded_and_for_adopted_history_the_commit() -> None:
    assert convert.identity(made(extra={"id": "0123abcd"})) == "0123abcd"
    assert convert.identity(made()) == convert.identity(made(extra={"id": 7})) == "c" * 40


def test_the_description_holds_what_people_wrote_and_nothing_that_gitexp_made_up() -> None:
    assert convert.note(made()) == ""
    assert (
        convert.note(made(subject="try a wide net", notes=("later",)), "body")
        == "try a wide net\n\nbody\n\nlater"
    )


def test_labels_come_back_and_nonsense_is_none() -> None:
    assert convert.labels(convert.tags(made(labels=("a", "größe")))) == ("a", "größe")
    for nonsense in ("", "{}", "[[", "7", "[1]", "[" * 100_000):
        assert convert.labels({"gitexp.labels": nonsense}) == ()


def test_each_status_has_a_word_and_a_run_that_goes_on_has_none() -> None:
    assert [convert.status(convert.run_status(item)) for item in STATUSES] == [*STATUSES]
    assert convert.status("RUNNING") is convert.status("SCHEDULED") is None


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("val/loss.mean-1 x", "val/loss.mean-1 x"),
        ("loss%", "loss_x0025_"),
        ("größe", "größe"),
        ("a//b", "a_x002F__x002F_b"),
        ("/a", "_x002F_a"),
        ("..", "_x002E_."),
        (".", "_x002E_"),
        ("_x0025_", "_x005F_x0025_"),
        ("_x002", "_x002"),
        ("😀", "_x1F600_"),
        ("a\n", "a_x000A_"),
    ],
)
def test_names_that_mlflow_refuses_are_spelled_and_read_back(name: str, spelled: str) -> None:
    assert convert.key(name) == spelled
    assert convert.name(spelled) == name


def test_any_name_is_read_back_and_mlflow_itself_takes_its_spelling() -> None:
    validation = pytest.importorskip("mlflow.utils.validation")
    dice = random.Random(1)
    for _ in range(20_000):
        name = "".join(
            dice.choices("_x0041F/.%:äb\ud800" + string.printable, k=dice.randint(1, 12))
        )
        spelled = convert.key(name)
        assert convert.name(spelled) == name
        validation._validate_metric_name(spelled)
        validation._validate_param_name(spelled)


def test_names_that_are_too_long_stay_distinct() -> None:
    first, second = convert.key("n" * 300 + "1"), convert.key("n" * 300 + "2")
    assert first != second
    assert len(first) == len(second) == convert.KEY_LENGTH


@pytest.mark.parametrize(
    "value",
    [
        1,
        -3,
        0.1,
        1e-05,
        1e300,
        True,
        None,
        "text",
        "01234",
        "3.10",
        "-0",
        "1_000",
        [1, "a", None],
        {"a": [1.5]},
        [],
        {},
    ],
)
def test_params_come_back_with_their_types(value: Any) -> None:
    found = convert.param_value(convert.param_text(value))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        "[1,2]",
        "1e-4",
        "['a', 1]",
        "{'a': 1}",
        "[" * 5000,
        "{1: 2}",
        "[1, (2)]",
        "nan",
        "0x10",
        "1e999",
        " 1",
    ],
)
def test_text_that_others_logged_can_always_be_read(text: str) -> None:
    assert convert.param_text(convert.param_value(text))


def test_python_lists_that_mlflow_wrote_are_lists() -> None:
    assert convert.param_value("['a', 1]") == ["a", 1]
    assert convert.param_value("{'a': None}") == {"a": None}
    assert convert.param_value("{1: 2}") == "{1: 2}"


def test_long_and_broken_text_becomes_what_a_database_takes() -> None:
    assert len(convert.param_text("x" * 7000)) == convert.PARAM_LENGTH
    assert convert.param_text("x" * 7000).endswith("...")
    assert convert.param_text("a\0b\ud800").encode() == "a\N{REPLACEMENT CHARACTER}b?".encode()


@pytest.mark.parametrize("value", [0.1, -7, math.inf, -math.inf])
def test_metric_values_survive_mlflows_databases(value: float) -> None:
    assert convert.metric_value(*convert.metric_row(value)) == value
    assert math.isnan(convert.metric_value(*convert.metric_row(math.nan)))


def test_points_are_json_that_every_server_takes() -> None:
    points = [
        MetricPoint("a%", value, -5, 10**30)
        for value in (math.nan, math.inf, -math.inf, 10**400, 2)
    ]
    found = [convert.metric_json(point) for point in points]
    assert [item["value"] for item in found] == ["NaN", "Infinity", "-Infinity", "Infinity", 2.0]
    assert {(item["key"], item["timestamp"], item["step"]) for item in found} == {
        ("a_x0025_", 0, 2**63 - 1)
    }
    json.dumps(found, allow_nan=False)


def test_a_group_is_an_mlflow_experiment_and_no_group_is_the_default_one() -> None:
    assert convert.group(convert.experiment_name("sweep-a")) == "sweep-a"
    assert convert.group(convert.experiment_name(None)) is None
    assert convert.experiment_name(None, "my-project") == "my-project"
