"""Metrics that pandas parses are those that the careful reader finds, and histories are those of
each experiment."""

from __future__ import annotations

import io
import random

import pytest

import gitexp
from conftest import Project
from gitexp.formats import frames, metrics
from gitexp.formats.errors import NotFoundError
from gitexp.formats.experiment import MetricPoint

ROWS = [
    b'"loss",0.5,1700000000000,1\r\n"loss",0.25,1700000000001,2\r\n"n",3,1,0\r\n"n",4.5,1,0\r\n',
    b'"NA",nan,1,1\r\n"x",inf,1,-1\r\n"x",-inf,1,7\r\n',
    b"loss,1,2,3\nacc,2,3,4\n",
    b"loss,1,2,3\nacc,2,3,4",
    b"loss,1,2,3\nacc,2",
    b"loss,1,2,3,4\n",
    b"loss,True,2,3\n\nloss,.nan,2,4\nloss,x,2,5\n",
    b'"a ""b"" c",1,2,3\r\n"d,e",1,2,3\r\n',
    b'"a\nb",1,2,3\n\n',
    b"a,1,2,3\rb,1,2,3\r",
    b"a,1,-5,3\na,1,999999999999999,4\n",
    b"a,18446744073709551615,1,1\n",
    b"a,9007199254740993,1,1\na,0.5,1,0\n",
    b"a,1_0,1,1\nb,0x10,1,1\nc,1,1.0,2\n",
    b'"",1,1,1\n',
    b"a,1,1e30,1\n",
    b"a,1,1,1e300\n",
    b"a,1,1,1e18\n",
    b"a,1,1,1.5\n",
    b"a,1,1.5,1\n",
    b"a,1,1,nan\n",
    b"",
]


def _same(a: object, b: object) -> bool:
    return repr(a) == repr(b)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", ROWS)
def test_what_pandas_parses_is_what_the_careful_reader_finds(rows: bytes) -> None:
    points = [*metrics.read(io.BytesIO(metrics.HEADER + rows))]
    frame = frames.read(metrics.HEADER + rows)
    if frame is not None:
        found = [MetricPoint(*row) for row in frame.itertuples(index=False, name=None)]
        assert [(p.name, float(p.value).hex(), *p[2:]) for p in found] == [
            (p.name, float(p.value).hex(), *p[2:]) for p in points
        ]
    at_once = frames.gathered(metrics.HEADER + rows)
    if at_once is not None:
        assert _same(at_once, metrics.gather(points))


@pytest.mark.parametrize("rows", ROWS[:3])
def test_plain_files_take_the_quick_way(rows: bytes) -> None:
    found = frames.gathered(metrics.HEADER + rows)
    assert found is not None
    # as a csv writer of Python's ends its header
    assert _same(frames.gathered(metrics.HEADER.replace(b"\n", b"\r\n") + rows), found)


def test_floats_come_back_to_the_last_bit() -> None:
    chance = random.Random(1)
    values = [chance.random() * 10.0 ** chance.randint(-300, 300) for _ in range(2_000)]
    points = (MetricPoint("x", value, 1, at) for at, value in enumerate(values))
    frame = frames.read(metrics.gather(points)[0])
    assert frame is not None
    assert frame["value"].tolist() == values


def test_a_large_metrics_file_is_recorded_as_a_small_one(project: Project) -> None:
    rows = "".join(
        f"{name},{at / 7!r},1700000000000,{at}\n"
        for at in range(40_000)
        for name in ("loss", "acc")
    )
    file = project.write("course.csv", "Name,Value,Timestamp,Step\n" + rows)
    project.gitexp("log", "--metrics-file", "course.csv")
    made = gitexp.get("exp-1")
    assert (made.read("metrics.csv"), dict(made.metrics)) == metrics.gather(
        metrics.read(io.BytesIO(file.read_bytes()))
    )


def test_histories_are_those_of_each_experiment(project: Project) -> None:
    gitexp.log(metrics={"loss": [0.5, 0.25], "acc": 1})
    project.write("odd.csv", "Step,Value,Name\n1,True,loss\n2,0.125,loss\n")
    project.gitexp("log", "--metrics-file", "odd.csv", "--param", "lr=1")
    gitexp.log(metrics={'quo"ted': 3, "loss": float("nan")})
    gitexp.log(params={"lr": 2})
    every = gitexp.histories()
    assert [*every.columns] == ["experiment", "name", "value", "timestamp", "step"]
    for name in gitexp.experiments()["name"]:
        of_it = every[every["experiment"] == name].drop(columns="experiment").reset_index(drop=True)
        wanted = gitexp.get(name).history()
        assert (
            of_it.astype(str).values.tolist()
            == wanted.astype({"value": float}).astype(str).values.tolist()
        )
    assert [*every["experiment"].unique()] == ["exp-3", "exp-2", "exp-1"]
    assert gitexp.histories("lr = 1", ["loss"])["value"].tolist() == [1.0, 0.125]
    assert len(gitexp.histories("lr > 9")) == 0
    with pytest.raises(NotFoundError, match="nope"):
        gitexp.histories(metrics=["nope"])


def test_one_spoilt_file_spoils_no_other(project: Project) -> None:
    gitexp.log(metrics={"loss": [0.5, 0.25]})
    project.write(".gitexp-odd.csv", "Name,Value,Timestamp,Step\nloss,x,1,1\nloss,2,1,1\n")
    project.gitexp("log", "--metrics-file", ".gitexp-odd.csv")
    project.write("metrics.csv", 'Name,Value,Timestamp,Step\n"loss",True,1,1\n\n')
    project.git("add", "-f", "metrics.csv")
    project.gitexp("log", "--metrics-file", "metrics.csv")
    assert gitexp.histories()["value"].tolist() == [1.0, 2.0, 0.5, 0.25]


def test_a_damaged_file_is_no_shorter_history(project: Project) -> None:
    course = [at / 7 for at in range(50_000)]
    made = gitexp.log(metrics={"loss": course})
    assert gitexp.get("@").history()["value"].tolist() == course
    oid = project.git("rev-parse", f"{made.id}:metrics.csv")
    file = project.root / ".git/objects" / oid[:2] / oid[2:]
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(NotFoundError, match=r"metrics\.csv"):
        gitexp.get("@").history()
