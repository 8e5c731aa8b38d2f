"""params.yml and metrics.csv: typed as people expect, the bytes of DagsHub's client, and safe to
read from anybody."""

from __future__ import annotations

import enum
import io
import math
import subprocess
import sys
import time
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitexp.formats import message, metrics, params
from gitexp.formats.errors import FormatError, UsageError
from gitexp.formats.experiment import MetricPoint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        (".5", 0.5),
        ("-1", -1),
        ("+3", 3),
        ("0x1f", 31),
        ("0o17", 15),
        ("0", 0),
        ("5.", 5.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("007", "007"),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("nan", "nan"),
        ("12e4567", "12e4567"),
        ("2020-01-01", "2020-01-01"),
        ("'true'", "true"),
        ('"1"', "1"),
        ("[1, 2e3, a]", [1, 2000.0, "a"]),
        ("{a: 1}", {"a": 1}),
        ("a: b", "a: b"),
        ("@home", "@home"),
        ("-", "-"),
        ("a b", "a b"),
        ("http://x:80/?q=1", "http://x:80/?q=1"),
        ("#1", "#1"),
        ("*.py", "*.py"),
        ("&x", "&x"),
        ("!x", "!x"),
        ("%d", "%d"),
        ("1:30", "1:30"),
    ],
)
def test_a_value_on_the_command_line_is_typed_as_yaml_1_2_would(text: str, value: object) -> None:
    found = params.parse_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["[1", "'a", "{a: ", "[" * 100])
def test_an_unfinished_value_is_refused_not_guessed(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        params.parse_value(text)


def test_text_that_looks_like_another_type_survives_a_round_trip() -> None:
    values = {
        "a": "1e-3",
        "b": "007",
        "c": "true",
        "d": "1_000",
        "e": "null",
        "f": "0o7",
        "g": "",
        "h": ".5",
        "i": "yes",
        "j": "~",
        "k": "a: b",
    }
    assert params.load(params.dump(values)) == values


def test_typed_values_survive_a_round_trip() -> None:
    values = {
        "lr": 1e-5,
        "n": 3,
        "on": True,
        "none": None,
        "list": [1, 2.5, "x", {"q": 1}],
        "deep": {"er": {"x": -0.0}},
        "big": 1e22,
    }
    assert params.load(params.dump(values)) == values


def test_simple_lines_are_written_and_read_as_yaml_does_but_without_it() -> None:
    words = ["adam", "resnet-50", "a/b.csv", "y", "No", "on", "NULL", "nan", "a ", "x" * 90]
    numbers: list[Any] = [0, -3, 10**16, 0.1, -0.0, 1e-5, 1e16, True, None, [1], {"a": 1}]
    for name in words:
        for value in [*words, *numbers]:
            text = params.dump({name: value, "lr": 0.5})
            assert text.decode() == yaml.safe_dump({name: value, "lr": 0.5})
            assert params.load(text) == params.load(text + b"# and with a comment through YAML\n")
    for said in ("caf\udce9", "1\nb: 2", "a: b", "x\n"):
        assert params.parse_value(said) == said
    code = (
        "import sys; from gitexp.formats import params;"
        "values = {'lr': 0.1, 'n': 3, 'opt': 'adam', 'amp': params.parse_value('true')};"
        "print(params.load(params.dump(values)) == values, 'yaml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"


def test_plain_values_give_the_bytes_of_dagshubs_own_client(tmp_path: Path) -> None:
    from dagshub.logger import DAGsHubLogger

    values = {
        "lr": 0.001,
        "layers": 3,
        "name": "wide net",
        "on": True,
        "none": None,
        "opt": {"beta": 0.9, "eps": 1e-8},
        "text": "yes",
    }
    logger: Any = DAGsHubLogger(
        str(tmp_path / "metrics.csv"), hparams_path=str(tmp_path / "params.yml")
    )
    logger.log_hyperparams(values)
    logger.log_metrics(
        {"loss": 0.25, 'odd "name", really': 3, "tiny": 1e-09, "nan": math.nan, "inf": -math.inf},
        step_num=7,
    )
    logger.log_metrics(loss=0.125, step_num=8)
    logger.close()
    assert params.dump(values) == (tmp_path / "params.yml").read_bytes()
    written = (tmp_path / "metrics.csv").read_bytes()
    points = list(metrics.read(io.BytesIO(written)))
    assert metrics.gather(points)[0] == written
    assert [point.step for point in points] == [7, 7, 7, 7, 7, 8]


Kind = enum.Enum("Kind", {"SMALL": object()})
Kind2 = enum.Enum("Kind2", {"LARGE": "large"}, type=str)
Kind3 = enum.IntEnum("Kind3", {"HUGE": 3})


def falls(step: int) -> float:
    return 1 / step


def test_lists_stay_lists_where_dagshubs_client_makes_text_of_them() -> None:
    import numpy as np

    given = {
        "layers": (64, 32),
        "size": np.int64(3),
        "rate": np.float32(0.1),
        "halves": np.array([0.1, 65504], dtype="float16"),
        "kinds": [Kind.SMALL, Kind2.LARGE, Kind3.HUGE],
        "weights": np.array([1, 2]),
        "path": Path("a/b"),
        "s": {"b", "a"},
        "exact": Decimal("0.10"),
        "part": Fraction(1, 4),
        "huge": Fraction(10**400),
        "big": np.int64(2**60 + 1),
        "loss": falls,
        "objects": [object(), partial(falls, 1)],
    }
    assert params.plain(given) == {
        "layers": [64, 32],
        "size": 3,
        "rate": 0.1,
        "halves": [0.1, 65504.0],
        "kinds": ["SMALL", "large", 3],
        "weights": [1, 2],
        "path": "a/b",
        "s": ["a", "b"],
        "exact": 0.1,
        "part": 0.25,
        "huge": str(10**400),
        "big": 2**60 + 1,
        "loss": "<function falls>",
        "objects": ["<object object>", "functools.partial(<function falls>, 1)"],
    }


def test_a_yaml_bomb_is_refused_in_milliseconds() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)
    ]
    start = time.perf_counter()
    with pytest.raises(FormatError, match="aliases that multiply"):
        params.load("\n".join(lines).encode())
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"[" * 100_000, "nested more than"),
        (b"a: &a [*a]", "contains itself"),
        (b"- 1\n- 2", "must hold a mapping"),
        (b"a: [", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"x" * (params.MAX_BYTES + 1), "larger than"),
        (b"a: !!python/object/apply:os.system [x]", "cannot be read"),
    ],
)
def test_a_params_file_that_is_none_is_refused_in_one_line(data: bytes, says: str) -> None:
    with pytest.raises(FormatError, match=says) as caught:
        params.load(data)
    assert "\n" not in str(caught.value)


def test_json_and_toml_params_files() -> None:
    assert params.load(b'{"a": {"b": 1e-3}}', "x.json") == {"a": {"b": 0.001}}
    assert params.load(b"[a]\nb = 0.5\n", "x.toml") == {"a": {"b": 0.5}}
    with pytest.raises(FormatError, match="nested too deep"):
        params.load(b'{"a":' * 100_000, "x.json")


@pytest.mark.parametrize(
    ("base", "over", "both"),
    [
        ({"a": 1}, {"a": {"b": 2, "c": {"d": 3}}}, {"a": 1, "a.b": 2, "a.c.d": 3}),
        ({"a": {"b": 2, "c": {}}, "d": 3}, {"a": 1}, {"a": 1, "a.b": 2, "a.c": {}, "d": 3}),
        ({"a": 1, "a.b": 2}, {"a": {"b": 3}}, {"a": 1, "a.b": 3}),
        ({"a.b": 2}, {"a": {"b": 3, "c": 4}}, {"a": {"b": 3, "c": 4}}),
        ({"a": {"c": 1}, "a.b": 2}, {"a": {"b": 3, "c": 4}}, {"a": {"c": 4, "b": 3}}),
        ({"x": {"a": 1}}, {"x": {"a": {"b": 2}}}, {"x": {"a": 1}, "x.a.b": 2}),
        ({"a": {}}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {}}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": {}}, {"a": {}}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
        ({}, {"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1}}}),
        ({"a": [1]}, {"a": None}, {"a": None}),
    ],
)
def test_what_a_run_logs_takes_no_other_name(
    base: dict[str, Any], over: dict[str, Any], both: dict[str, Any]
) -> None:
    assert params.joined(base, over) == both
    assert params.joined(both, over) == both


def test_nesting_and_its_conflicts() -> None:
    assert params.nest([("a.b", 1), ("a.c", 2), ("d", 3)]) == {"a": {"b": 1, "c": 2}, "d": 3}
    assert params.flatten({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "a.c": {}, "d": [1]}
    for pairs in ([("a", 1), ("a.b", 2)], [("a.b", 1), ("a", 2)], [("a..b", 1)], [(".a", 1)]):
        with pytest.raises(UsageError):
            params.nest(pairs)


@pytest.mark.parametrize(
    ("data", "points"),
    [
        (b"Name,Value,Timestamp,Step\r\nloss,0.5,1,2\r\n", [("loss", 0.5, 1, 2)]),
        (b'\xef\xbb\xbfName,Value,Timestamp,Step\n"a,b",1,1,1\n', [("a,b", 1, 1, 1)]),
        (b"step,value,name\n3,.nan,x\n", [("x", math.nan, 0, 3)]),
        (b"Name,Value\nx,True\n", [("x", 1, 0, 0)]),
        (b"Name,Value,Timestamp,Step\n", []),
        (b"", []),
        (b"Name,Value,Timestamp,Step\nx,1,2,3\nx,2,4", [("x", 1, 2, 3)]),
        (b"Name,Value,Timestamp,Step\nx,abc,1,1\nx,,1,1\ny,2,1.0,1.0\n", [("y", 2, 1, 1)]),
    ],
)
def test_metrics_files_of_all_kinds_are_read(
    data: bytes, points: list[tuple[str, float, int, int]]
) -> None:
    found = list(metrics.read(io.BytesIO(data)))
    assert str(found) == str([MetricPoint(*point) for point in points])


def test_a_file_that_is_no_metrics_file_is_named() -> None:
    with pytest.raises(FormatError, match="has no header"):
        list(metrics.read(io.BytesIO(b"epoch,loss\n1,2\n"), "other.csv"))


def test_a_metric_must_be_one_real_number_and_the_error_names_it() -> None:
    import numpy as np

    assert metrics.number("x", np.float32(0.5)) == 0.5
    assert metrics.number("x", np.array(3)) == 3
    assert metrics.number("x", True) == 1
    assert math.isnan(metrics.number("x", math.nan))
    wrong: list[Any] = [None, "0.5", np.zeros(3), [1], 1j, {}, b"1"]
    for bad in wrong:
        with pytest.raises(UsageError, match="'loss'"):
            metrics.number("loss", bad)


def test_the_last_value_is_that_of_the_highest_step() -> None:
    rows = [
        ("a", 1.0, 0, 1),
        ("a", 9.0, 0, 5),
        ("a", 2.0, 0, 2),
        ("b", 1.0, 0, 0),
        ("b", 2.0, 0, 0),
    ]
    assert metrics.last_values(MetricPoint(*row) for row in rows) == {"a": 9.0, "b": 2.0}


@pytest.mark.parametrize(
    "more",
    [
        b"",
        b'"a",True,1,9\r\n',
        b'"a",nan,1,9\r\n"b, ""c""",-inf,1,3\r\n"stra\xc3\x9fe",1e-7,1,0\r\n',
        b'"a",7,1,9\n',
        b"a,7,1,9\r\n",
        b'"a",oops,1,9\r\n',
        b'"a",7,1,"9"\r\n"a",8,1,2.0\r\n',
        b'"a",7',
        b'"a",123456789012345678901234567890,1,9\r\n',
    ],
)
def test_the_last_values_of_a_file_are_found_quickly_and_are_the_same(
    tmp_path: Path, more: bytes
) -> None:
    points = (MetricPoint(name, at * 0.5, 0, at % 70) for at in range(100) for name in ("a", "b"))
    data = metrics.gather(points)[0] + more
    file = tmp_path / "metrics.csv"
    file.write_bytes(data)
    found = metrics.last_in(file)
    assert repr(found) == repr(metrics.last_values(metrics.read(io.BytesIO(data))))
    assert found["b"] == 34.5


def test_the_summary_is_plain_json_and_keeps_infinities() -> None:
    import json

    summary = {
        "status": "finished",
        "started": "2026-01-01T00:00:00.000Z",
        "metrics": {"a": math.inf, "b": -math.inf, "c": math.nan, "d": 1.5},
    }
    text = message.tag_message("title", summary)
    line = text.splitlines()[2]
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    raw = f"object {'0' * 40}\ntype commit\ntag exp-1\ntagger A <a@b> 1 +0000\n\n{text}".encode()
    tag = message.parse_tag(raw)
    assert tag is not None
    found = message.experiment("exp-1", "t", tag, (), (), None)
    assert str(dict(found.metrics)) == "{'a': inf, 'b': -inf, 'c': nan, 'd': 1.5}"


@pytest.mark.parametrize(
    "line",
    [
        '{"gitexp":1}',
        '{"gitexp":99,"status":"finished","started":"2026-01-01T00:00:00.000Z"}',
        '{"gitexp":1,"status":"odd","started":"x"}',
        "{" * 99999,
        '{"gitexp":1,"status":"finished","started":"2026-01-01T00:00:00.000Z","metrics":{"a":"text"}}',
        '{"gitexp":1,"status":"finished","started":"2026-01-01T00:00:00.000Z","params":[]}',
    ],
)
def test_a_tag_that_says_odd_things_is_no_experiment(line: str) -> None:
    assert (
        message.parse_tag(
            f"object x\ntype commit\ntag t\ntagger A <a> 1 +0000\n\ntitle\n\n{line}\n".encode()
        )
        is None
    )


def test_a_message_keeps_note_and_trailers_apart() -> None:
    text = message.commit_message(
        "title", "first\n\nsecond", {"Id": "7", "None": None, "Command": "a\nb"}
    )
    assert message.body(text) == "first\n\nsecond"
    assert message.trailers(text) == {"Id": "7", "Command": "a b"}
