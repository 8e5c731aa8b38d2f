"""The language of --where and --sort: what it selects, what it refuses, and that nothing in it is
ever taken for SQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from conftest import Project
from gitexp.formats.errors import NotFoundError, UsageError
from gitexp.repo import Repo
from gitexp.store import groups, query
from gitexp.store.groups import Spread
from gitexp.store.index import Index
from gitexp.store.query import Key
from recording import record

NOW = datetime.now(timezone.utc)
ODD = (
    "it's",
    'a "quoted" one',
    "with.dot and space",
    "grün/β",
    "a,b",
    "$.x",
    "back\\slash",
    "x') OR 1 --",
    "100%",
    "and",
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Eight experiments of many kinds, recorded once for all tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Ada")
            patch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")
        project = Project(tmp_path_factory.mktemp("query"))
        project.git("init", "-q", "-b", "main")
        project.commit("start", train_py="1\n")
        record(
            project,
            {"lr": 0.1, "opt": "adam", "depth": 3},
            {"rmse": 20.0},
            NOW - timedelta(days=9),
            labels=("conv",),
            group="a",
            duration=5,
        )
        record(
            project,
            {"lr": 0.01, "opt": "sgd", "depth": 10},
            {"rmse": 18.0},
            NOW - timedelta(days=3),
            labels=("conv", "wide"),
            duration=300,
        )
        record(
            project,
            {"lr": 1, "opt": "Adam W", "flag": True},
            {"rmse": float("nan")},
            NOW - timedelta(days=1),
            group="b",
            status="failed",
        )
        record(
            project,
            {"lr": "auto", "version": "007", "layers": [1, 2]},
            {"rmse": float("inf"), "loss": 1},
            NOW - timedelta(hours=5),
        )
        record(
            project,
            {"loss": "mse", "empty": None},
            {"acc": 0.5, "rmse": -3},
            NOW - timedelta(hours=4),
            title="Try the β-net",
            name="baseline",
        )
        record(
            project,
            dict.fromkeys((), 0),
            {name: float(at) for at, name in enumerate(ODD)},
            NOW - timedelta(hours=3),
        )
        record(
            project,
            {"lr": 0.5, "version": 1.1},
            {},
            NOW - timedelta(hours=2),
            status="killed",
            command="python train.py",
        )
        record(project, {}, {"acc": 0.75}, NOW - timedelta(hours=1), advance=False)
        yield Index(Repo.discover(project.root))


def names(index: Index, where: str, order: str | None = None) -> list[str]:
    condition, by = query.where(index, where), query.order(query.sort(index, order, {}))
    return [
        item.name for item in index.select(condition.text, [*condition.values, *by.values], by.text)
    ]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("", "7 6 5 baseline 4 3 2 1"),
        ("lr < 0.1", "2"),
        ("lr<=0.1", "2 1"),
        ("lr > .05 and lr != 1", "6 1"),
        ("lr = 1 or lr=1e-2", "3 2"),
        ("lr == 0.5", "6"),
        ("lr = auto", "4"),
        ("lr != auto", "6 3 2 1"),  # a missing one is not different, it is missing
        ("not lr = auto", "6 3 2 1"),
        ("not (lr < 0.1 or opt = adam)", "3"),
        ("lr is missing", "7 5 baseline"),
        ("lr is not missing and rmse < 19", "2"),
        ("opt ~ adam", "3 1"),
        ("opt ~ '^adam$'", "1"),
        ("opt = 'Adam W'", "3"),
        ('opt = "Adam W"', "3"),
        ("opt in (adam, sgd)", "2 1"),
        ("opt not in (adam, sgd)", "3"),
        ("depth > 5", "2"),  # 10 is more than 5 as a number, not as text
        ("flag = true", "3"),
        ("version = 007", "4"),  # as it was typed: text
        ("version = '007'", "4"),
        ("version = 1.10", "6"),
        ("version = '1.1'", ""),  # quoted is text, and the value is a number
        ("version > 0", "6"),  # the text 007 is no number
        ("layers = '[1, 2]'", "4"),
        ("empty = null", "baseline"),
        ("empty != 1", "baseline"),
        ("empty not in (1, a) and not empty = ''", "baseline"),
        ("empty is missing", "7 6 5 4 3 2 1"),
        ("rmse = nan", "3"),
        ("rmse is missing", "7 6 5"),
        ("rmse != 18", "baseline 4 1"),  # NaN is neither equal nor different
        ("rmse = inf", "4"),
        ("rmse > 1e300", "4"),
        ("rmse<-1", "baseline"),
        ("metrics.loss = 1", "4"),
        ("params.loss = mse", "baseline"),
        ("label = conv", "2 1"),
        ("label = conv and not label = wide", "1"),
        ("label != conv", "7 6 5 baseline 4 3"),
        ("labels in (wide, x)", "2"),
        ("label is missing", "7 6 5 baseline 4 3"),
        ("label ~ ^wi", "2"),
        ("group = a", "1"),
        ("group != a", "3"),
        ("status = failed", "3"),
        ("status in (failed, killed)", "6 3"),
        ("not status = finished", "6 3"),
        ("name = exp-2", "2"),
        ("author = Ada and email ~ example", "7 6 5 baseline 4 3 2 1"),
        ("branch = main", "7 6 5 baseline 4 3 2 1"),
        ("message ~ β-net", "baseline"),
        ("command ~ train", "6"),
        ("duration > 1m", "2"),
        ("duration <= 5", "1"),
        ("started > 2d", "7 6 5 baseline 4 3"),  # younger than two days
        ("started < 1w", "1"),
        ("date > 270m", "7 6 5 baseline"),
        ("started < 2020-01-01", ""),
        ("started > 2020-01-01T10:00:00Z", "7 6 5 baseline 4 3 2 1"),
        ("AND_ is missing", None),
        ("NOT lr IS missing AND lr IN (1)", "3"),
    ],
)
def test_a_condition_selects(index: Index, where: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(UsageError):
            names(index, where)
    else:
        assert [name.removeprefix("exp-") for name in names(index, where)] == expected.split()


def test_a_date_is_the_whole_day(index: Index) -> None:
    day = f"{(NOW - timedelta(days=9)).astimezone():%Y-%m-%d}"
    assert names(index, f"started = {day}") == ["exp-1"]
    assert names(index, f"started <= {day}") == ["exp-1"]
    assert names(index, f"started >= {day} and started < 5d") == ["exp-1"]
    assert (
        names(index, f"started > {day} and started < 5d") == names(index, f"started < {day}") == []
    )
    assert len(names(index, f"started != {day}")) == 7


@pytest.mark.parametrize("name", ODD)
def test_any_name_can_be_asked_for(index: Index, name: str) -> None:
    quoted = "'" + name.replace("'", "''") + "'"
    value = float(ODD.index(name))
    assert names(index, f"{quoted} = {value}") == ["exp-5"]
    assert names(index, f"{quoted} > {value}") == []
    assert len(names(index, f"{quoted} is missing")) == 7


@pytest.mark.parametrize(
    "value", ["' OR 1 --", "'; DROP TABLE tag; --", '"', "\\", "%", "{}", "{0}", "?"]
)
def test_a_value_is_never_taken_for_sql(index: Index, value: str) -> None:
    quoted = "'" + value.replace("'", "''") + "'"
    assert names(index, f"opt = {quoted}") == []
    assert names(index, f"opt != {quoted}") == ["exp-3", "exp-2", "exp-1"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("lr <", "where 'lr <', at the end: expected a value"),
        ("lr < < 3", "where 'lr < < 3', at '< 3' (character 6): expected a value"),
        ("lr", "where 'lr', at the end: expected an operator (= != < <= > >= ~ in, is missing)"),
        ("lr <> 3", "where 'lr <> 3', at '> 3' (character 5): expected a value"),
        ("< 3", "where '< 3', at '< 3' (character 1): expected a name"),
        (
            "lr = 1 rmse = 2",
            "where 'lr = 1 rmse = 2', at 'rmse = 2' (character 8): expected 'and', 'or' or the end",
        ),
        ("lr = 1 and", "where 'lr = 1 and', at the end: expected a name"),
        ("(lr = 1", "where '(lr = 1', at the end: expected ')'"),
        ("lr = 1)", "where 'lr = 1)', at ')' (character 7): expected 'and', 'or' or the end"),
        ("lr in 3", "where 'lr in 3', at '3' (character 7): expected '('"),
        ("lr in ()", "where 'lr in ()', at ')' (character 8): expected a value"),
        ("lr not 3", "where 'lr not 3', at '3' (character 8): expected 'in'"),
        ("lr is 3", "where 'lr is 3', at '3' (character 7): expected 'missing'"),
        ("lr = 'x", "where 'lr = 'x', at ''x' (character 6): this quote is not closed"),
        ("lr ! 3", "where 'lr ! 3', at '! 3' (character 4): '!' means nothing here; write !="),
        (
            "rmse < big",
            "where 'rmse < big', at 'big' (character 8): 'rmse' is a number, and big is not",
        ),
        (
            "started > soon",
            "where 'started > soon', at 'soon' (character 11): expected a time like 2d, 3h, today, 2026-01-31 or 2026-01-31T10:00",
        ),
        ("started > 99999999999999w", "expected a time like"),
        (
            "label < a",
            "where 'label < a', at '< a' (character 7): 'labels' is a set and has no order; use = or ~",
        ),
        (
            "status = finishd",
            "there is no status 'finishd', only finished, failed, killed. Did you mean 'finished'?",
        ),
        ("opt ~ '('", "not a regular expression"),
        (
            "rmsee < 3",
            "no experiment has a param, metric or attribute 'rmsee'. Did you mean 'rmse'?",
        ),
        ("loss = 3", "'loss' is a metric and a param; write metrics.loss or params.loss"),
        ("metrics.nothing = 3", "no experiment has a param, metric or attribute 'metrics.nothing'"),
        ("(" * 500 + "lr = 1" + ")" * 500, "more than 50 levels deep"),
        ("not " * 500 + "lr = 1", "more than 50 levels deep"),
        (" or ".join(["lr = 1"] * 2000), "more than 2,000 words are too many"),
        ("\udcff = 1", "no experiment has a param"),
    ],
)
def test_a_malformed_condition_says_where(index: Index, where: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        names(index, where)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_chain_of_conditions_works(index: Index) -> None:
    """SQLite refuses expressions deeper than 1,000: what the parser lets through must pass there
    too."""
    assert names(index, " or ".join(["lr = 1"] * 490)) == ["exp-3"]
    assert names(index, f"lr in ({', '.join(map(str, range(900)))})") == ["exp-3"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("rmse", "baseline 2 1 4 7 6 5 3"),  # lower is better; NaN and missing last
        ("rmse:desc", "4 1 2 baseline 7 6 5 3"),
        ("acc", "7 baseline 6 5 4 3 2 1"),  # higher is better
        ("acc:asc", "baseline 7 6 5 4 3 2 1"),
        ("started", "1 2 3 4 baseline 5 6 7"),
        ("name:desc", "baseline 7 6 5 4 3 2 1"),
        ("group:desc,started", "3 1 2 4 baseline 5 6 7"),
        ("labels", "1 2 7 6 5 baseline 4 3"),
    ],
)
def test_sorting_puts_the_best_first_and_the_missing_last(
    index: Index, order: str, expected: str
) -> None:
    assert [name.removeprefix("exp-") for name in names(index, "", order)] == expected.split()


def test_settings_say_which_way_a_metric_sorts(index: Index) -> None:
    assert query.sort(index, "rmse", {"rmse": "max"}) == (
        query.Sort(Key("metrics", "rmse", "number"), True),
    )


@pytest.mark.parametrize("order", ["nothing", "loss", "rmse:dsc", "rmse:up:asc"])
def test_a_malformed_sort_key_is_refused(index: Index, order: str) -> None:
    with pytest.raises(UsageError):
        query.sort(index, order, {})


def test_a_list_of_names_may_quote_a_comma() -> None:
    assert query.split('rmse, "a,b",lr') == ["rmse", "a,b", "lr"]
    assert query.split(None) == query.split(" , ") == []


def test_a_metric_can_be_named_in_full(index: Index) -> None:
    assert (
        query.find_metric(index, "metrics.loss")
        == query.find_metric(index, "loss")
        == Key("metrics", "loss", "number")
    )
    with pytest.raises(NotFoundError, match="Did you mean 'rmse'"):
        query.find_metric(index, "rmsee")


def test_groups_have_mean_and_sample_deviation(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.git("init", "-q")
    for seed, rmse in enumerate((1.0, 2.0, 3.0)):
        record(
            project,
            {"depth": 2 if seed else 2.0, "seed": seed},
            {"rmse": rmse, **({"acc": 1} if seed else {})},
        )
    record(project, {"depth": 5}, {"rmse": 7.0})
    index = Index(Repo.discover(tmp_path))
    five, two = groups.group(index.select(), [query.find_key(index, "depth")])
    assert (five.values, five.n, five.metrics) == ((5,), 1, {"rmse": Spread(7.0, None, 1)})
    assert (two.values, two.n, two.metrics) == (
        (2,),
        3,
        {"rmse": Spread(2.0, 1.0, 3), "acc": Spread(1.0, 0.0, 2)},
    )
    whole = groups.group(index.select(), [query.find_key(index, "seed")])
    assert [group.values for group in whole] == [(None,), (2,), (1,), (0,)]
