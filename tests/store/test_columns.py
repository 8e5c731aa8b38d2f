"""A DataFrame made of packed columns is the one that the summaries themselves would give, whatever
values they hold."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gitexp
from conftest import Project
from gitexp.formats import message
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo
from gitexp.store.api import _series
from gitexp.store.columns import pack, unpack
from gitexp.store.index import Index
from recording import record

PARAMS: list[dict[str, Any]] = [
    {
        "lr": 0.1,
        "depth": 3,
        "name": "a",
        "on": True,
        "layers": [1, 2],
        "big": 2**63,
        "wide": 2**62 + 1,
        "gone": None,
    },
    {
        "lr": 1,
        "depth": 4,
        "name": "b",
        "on": False,
        "layers": [],
        "big": 1,
        "wide": 2**62 + 3,
        "gone": None,
    },
    {
        "lr": math.inf,
        "depth": 5,
        "name": "ü\u2028",
        "on": 1,
        "layers": [[1.5, None], {"k": "v"}],
        "big": -(2**64),
        "wide": 1,
    },
    {
        "lr": math.nan,
        "depth": 6,
        "name": "",
        "on": None,
        "layers": [math.inf],
        "big": 10**30,
        "wide": -(2**63),
        "extra": "only here",
    },
    {},
    {"depth": 7, "lr": "adaptive", "wide": 5, "some": 2**60 + 1},
    {"depth": 8, "lr": 0.5, "wide": 6, "some": 0.5, "new\nline": 1, 'q"uo.te': 2},
]
METRICS: list[dict[str, Any]] = [
    {"rmse": 1.5, "count": 3},
    {"rmse": math.nan, "count": 4},
    {"rmse": math.inf},
    {"rmse": -math.inf, "count": 10**400},
    {},
    {"other": -0.0, "rmse": 2},
    {"rmse": 5e-324},
]


@pytest.fixture
def odd(project: Project) -> Project:
    """A repository whose experiments have values of all kinds."""
    for at, (params, metrics) in enumerate(zip(PARAMS, METRICS)):
        last = (
            {"status": "failed", "group": "some"}
            if at == 2
            else {"labels": ("x", "y"), "duration": 1.5}
            if at == 3
            else {}
        )
        record(
            project,
            params,
            {name: value for name, value in metrics.items() if value != 10**400},
            **last,
        )
    return project


def same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Require two tables to be equal; pandas 2 takes whole numbers past 64 bits for floats where it
    infers a table from records."""
    pd.testing.assert_frame_equal(found, wanted, check_dtype=pd.__version__ >= "3")


def slowly(root: Path) -> pd.DataFrame:
    """Make the table from the summaries, one value at a time, as pandas infers it from Python's
    own."""
    index = Index(Repo.discover(root))
    rows = list(
        index.rows('ref.name, tag."commit", tag.author, tag.subject, tag.labels, tag.summary')
    )
    summaries = [json.loads(row[-1]) for row in rows]
    columns: dict[str, Any] = {
        "name": [row[0] for row in rows],
        "id": [row[1] for row in rows],
        "status": [item["status"] for item in summaries],
        "started": pd.to_datetime(
            pd.Series([item["started"] for item in summaries]), format="ISO8601", utc=True
        ),
        "duration": pd.Series([item.get("duration") for item in summaries], dtype=float),
        "author": [row[2] for row in rows],
        "branch": [item.get("branch") for item in summaries],
        "group": [item.get("group") for item in summaries],
        "labels": [tuple(json.loads(row[4])) for row in rows],
        "subject": [row[3] for row in rows],
    }
    for family, kind in (("params", None), ("metrics", float)):
        for key in dict.fromkeys(key for item in summaries for key in item.get(family, {})):
            columns[f"{family}.{key}"] = pd.Series(
                [item.get(family, {}).get(key) for item in summaries], dtype=kind
            )
    return pd.DataFrame(columns)


def test_odd_values_come_out_as_from_the_summaries(odd: Project) -> None:
    same(gitexp.experiments(), slowly(odd.root))


@pytest.mark.parametrize("chosen", [[0], [4], [0, 1], [1, 6], [5, 6], [2, 3, 4]])
def test_so_do_the_types_of_some_of_them(project: Project, chosen: list[int]) -> None:
    for at in chosen:
        record(
            project,
            PARAMS[at],
            {name: value for name, value in METRICS[at].items() if value != 10**400},
        )
    same(gitexp.experiments(), slowly(project.root))


def test_an_empty_repository_gives_an_empty_table_with_its_columns(project: Project) -> None:
    frame = gitexp.experiments()
    assert len(frame) == 0
    assert list(frame)[:4] == ["name", "id", "status", "started"]


def test_the_table_is_its_owners_to_change(odd: Project) -> None:
    frame = gitexp.experiments()
    frame.loc[0, "metrics.rmse"] = 1.0
    frame["params.depth"] += 1
    assert frame["metrics.rmse"][0] == 1.0


def rows(count: int, **more: Any) -> list[tuple[int, Experiment]]:
    """Return the numbers and values of experiments that have one param and one metric each."""
    summary = {"status": "finished", "started": "2026-11-25T10:00:00.000Z", **more}
    found = []
    for at in range(count):
        said = {"gitexp": 1, **summary, "params": {"lr": at / 2}, "metrics": {"rmse": at}, **more}
        tag = message.Tag(f"{at:040x}", "exp-1", "Ada", "", "a try", said, "")
        found.append((at, message.experiment("exp-1", "", tag, (), (), None)))
    return found


def test_a_number_beyond_all_floats_is_infinite() -> None:
    found = unpack({0: pack(rows(1, metrics={"a": 10**400, "b": -(10**400)}))}, [0])
    assert list(_series("metrics.a", found["metrics.a"])) == [math.inf]
    assert list(_series("metrics.b", found["metrics.b"])) == [-math.inf]


def test_it_does_not_matter_in_which_blocks_experiments_lie(odd: Project) -> None:
    index = Index(Repo.discover(odd.root))
    numbers = {row[0]: row[1] for row in index.rows('tag."commit", tag.number')}
    given = sorted((numbers[item.id], item) for item in index.select())
    wanted = [number for number, _ in reversed(given)]
    for size in (1, 2, 3, len(given)):
        # an experiment has as many rows as names
        for some in (wanted, wanted[2:4], [wanted[4], *wanted[:1] * len(wanted)]):
            blocks = {at: pack(given[at : at + size]) for at in range(0, len(given), size)}
            found, whole = unpack(blocks, some), unpack({0: pack(given)}, some)
            assert repr(found) == repr(whole)  # nan is nan
            by_id = {item.id: item for _, item in given}
            items = [by_id[commit] for commit in found["id"]]
            assert [numbers[item.id] for item in items] == some
            for name in ("subject", "labels", "status", "group", "duration", "author", "command"):
                assert found[name] == [getattr(item, name) for item in items]


@pytest.mark.parametrize("cut", [1, 8, 100, 500])
def test_a_block_that_is_torn_is_no_silent_wrong_answer(cut: int) -> None:
    block = pack(rows(10))
    for torn in (b"", block[:-cut], block[cut:], block + b"x" * cut):
        with pytest.raises((ValueError, TypeError, LookupError)):
            unpack({0: torn}, [*range(10)])


@pytest.mark.parametrize(
    "head",
    ["5", "[5]", "[[]]", '[["", "number", "numbers", -9]]', '[["", "lr", "numbers", 9]]', "{}"],
)
def test_a_block_with_another_head_is_no_silent_wrong_answer(head: str) -> None:
    with pytest.raises((ValueError, TypeError, LookupError)):
        unpack({0: head.encode() + b"\n" + b"q" + bytes(8)}, [0])


def test_a_block_that_holds_others_is_no_silent_wrong_answer() -> None:
    for wanted in ([0, 1, 2, 3], [-1], [7]):
        with pytest.raises(ValueError, match="do not hold"):
            unpack({0: pack(rows(3))}, wanted)
