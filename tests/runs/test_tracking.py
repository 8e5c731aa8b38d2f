"""``@gitexp.track``: a call is a run, its arguments are params that people can compare, its result
the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project
from gitexp.formats.errors import UsageError


def test_track_records_arguments_and_returned_metrics(project: Project) -> None:
    @gitexp.track(labels=["tracked"])
    def train(lr: float, depth: int = 3) -> dict[str, float]:
        return {"rmse": lr * depth}

    assert train(0.5) == {"rmse": 1.5}
    assert dict(gitexp.get("exp-1").params) == {"lr": 0.5, "depth": 3}
    assert dict(gitexp.get("exp-1").metrics) == {"rmse": 1.5}


def test_data_and_objects_among_the_arguments_are_named_and_not_written_out(
    project: Project,
) -> None:
    import numpy as np
    import pandas as pd

    class Model:
        @gitexp.track
        def fit(
            self, x: Any, table: Any, rows: Any, loss: Any, few: Any, *more: Any, **options: Any
        ) -> None:
            """A method's own object is no param."""

    Model().fit(
        np.zeros((200, 10)),
        pd.DataFrame({"a": [1]}),
        [0] * 5000,
        max,
        np.arange(3),
        Model(),
        seed=np.int64(7),
    )
    assert dict(gitexp.get("exp-1").params) == {
        "x": "ndarray of shape (200, 10)",
        "table": "DataFrame of shape (1, 1)",
        "rows": "list of 5,000",
        "loss": "max",
        "few": [0, 1, 2],
        "more": [f"{Model.__qualname__}"],
        "options.seed": 7,
    }


def test_an_async_function_is_a_run_until_it_is_done(project: Project) -> None:
    @gitexp.track
    async def train(lr: float) -> dict[str, float]:
        await asyncio.sleep(0)
        gitexp.log_metric("inside", 1)
        return {"rmse": lr}

    assert asyncio.run(train(0.5)) == {"rmse": 0.5}
    assert dict(gitexp.get("exp-1").metrics) == {"inside": 1, "rmse": 0.5}


def test_a_generator_is_refused_where_it_is_defined() -> None:
    with pytest.raises(UsageError, match="is a generator"):

        @gitexp.track
        def train() -> Iterator[dict[str, float]]:
            yield {"rmse": 1.0}


def test_one_text_where_a_list_is_wanted_is_a_list_of_one(project: Project) -> None:
    project.write("a.txt", "data\n")
    alone: Any = Path("a.txt")
    made = gitexp.log(metrics={"a b": 1.0, "b": 2.0}, labels="abc", artifacts="a.txt", inputs=alone)
    assert made.labels == ("abc",)
    assert [*made.extra["artifacts"]] == ["a.txt"]
    assert [*made.extra["inputs"]] == ["a.txt"]
    assert gitexp.log(labels=None).labels == ()  # type: ignore[arg-type]
    with gitexp.start_run(labels="abc", inputs="a.txt"):
        pass
    assert gitexp.get("@").labels == ("abc",)
    assert [*gitexp.get("@").extra["inputs"]] == ["a.txt"]
    assert {*gitexp.histories(metrics="a b").name} == {"a b"}


def test_what_is_refused_counts_no_step_and_spaces_make_no_second_series(project: Project) -> None:
    with gitexp.start_run() as run:
        run.log_metric("loss", 0.5)
        with pytest.raises(UsageError):
            run.log_metrics({"loss": 1, "a\nb": 1})
        run.log_metric(" loss", 0.25)
    points = [(point.name, point.step) for point in gitexp.get("exp-1").points()]
    assert points == [("loss", 0), ("loss", 1)]


def test_a_checkpoint_of_the_current_folder_keeps_the_folder(project: Project) -> None:
    with gitexp.start_run() as run:
        (project.root / "state").mkdir()
        for name in ("state/a", "state/b"):
            project.write(name, "x")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(project.root / "state")
            run.checkpoint(".", 1)
        last = run.last_checkpoint()
        assert last is not None
        assert sorted(path.name for path in last.path.iterdir()) == ["a", "b"]
