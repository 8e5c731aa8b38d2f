"""A corpus of what lies in repositories of the wild under the names of metric and param files, as
``{path: content}``.

Each entry says what an import must make of it: the last values of its metrics, its params, or a
word of the reason for which it cannot be read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

HEAD = "Name,Value,Timestamp,Step\n"


class Odd(NamedTuple):
    """Files of one commit, and what they hold: ``metrics`` and ``params``, and ``told``, a part of
    what is said about them."""

    files: dict[str, str | bytes]
    metrics: dict[str, Any] = {}  # noqa: RUF012
    params: dict[str, Any] = {}  # noqa: RUF012
    told: str = ""


READABLE = {
    "other columns": Odd(
        {"metrics.csv": "epoch,loss,accuracy\n1,0.5,0.9\n"}, {"loss": 0.5, "accuracy": 0.9}
    ),
    "CRLF": Odd(
        {"metrics.csv": b'Name,Value,Timestamp,Step\r\n"loss",0.5,1600000000000,1\r\n'},
        {"loss": 0.5},
    ),
    "a BOM": Odd(
        {"metrics.csv": b"\xef\xbb\xbfName,Value,Timestamp,Step\nloss,0.5,1600000000000,1\n"},
        {"loss": 0.5},
    ),
    "semicolons and decimal commas": Odd(
        {"metrics.csv": "Name;Value;Timestamp;Step\nloss;0,5;1600000000000;1\n"}, {"loss": 0.5}
    ),
    "tabs": Odd(
        {"metrics.csv": "Name\tValue\tTimestamp\tStep\nloss\t0.5\t1600000000000\t1\n"},
        {"loss": 0.5},
    ),
    "quoted numbers": Odd(
        {"metrics.csv": '"Name","Value","Timestamp","Step"\n"loss","0.5","1600000000000","1"\n'},
        {"loss": 0.5},
    ),
    "a text and an array": Odd(
        {
            "metrics.csv": HEAD
            + 'note,best so far,1600000000000,1\nconf,"[1, 2]",1600000000000,1\nloss,0.5,1600000000000,1\n'
        },
        {"loss": 0.5},
        told="2 rows without a readable number",
    ),
    "YAML's nan and inf": Odd(
        {"metrics.csv": HEAD + "a,.nan,1,1\nb,.inf,1,1\nc,nan,1,1\nd,1e999,1,1\n"},
        {"a": "nan", "b": "inf", "c": "nan", "d": "inf"},
    ),
    "a duplicate of a step": Odd(
        {"metrics.csv": HEAD + "loss,0.9,1,5\nloss,0.5,2,5\nloss,0.7,3,4\n"}, {"loss": 0.5}
    ),
    "no timestamps or steps": Odd(
        {"metrics.csv": "Name,Value\nloss,0.9\nloss,0.5\n"}, {"loss": 0.5}
    ),
    "no end of the last line": Odd({"metrics.csv": "Value,Name\n0.5,loss"}, {"loss": 0.5}),
    "a torn last row": Odd(
        {"metrics.csv": HEAD + "loss,0.5,1600000000000,1\nloss,0.4"}, {"loss": 0.5}, told="torn"
    ),
    "numbers of any size": Odd(
        {"metrics.csv": HEAD + f"a,{10**30},1,1\nb,{'9' * 5000},1,1\nc,1,1e300,1\n"},
        {"a": 1e30, "b": "inf", "c": 1},
    ),
    "thousands of columns": Odd(
        {"metrics.csv": "Name,Value," + ",".join(f"c{at}" for at in range(5000)) + "\nloss,0.5\n"},
        {"loss": 0.5},
    ),
    "capitals": Odd(
        {"Metrics.CSV": HEAD + "loss,0.5,1,1\n", "Params.YAML": "lr: 1\n"}, {"loss": 0.5}, {"lr": 1}
    ),
    "names with marks": Odd(
        {"metrics.csv": HEAD + '"a ""b"", c/d",0.5,1,1\n'}, {'a "b", c/d': 0.5}
    ),
    "several in one commit": Odd(
        {
            "metrics.csv": HEAD + "rmse,1,1,1\n",
            "test_metrics.csv": HEAD + "rmse,2,1,1\n",
            "sub/eval.metric.csv": HEAD + "rmse,3,1,1\n",
        },
        {"rmse": 1, "test/rmse": 2, "sub/eval/rmse": 3},
    ),
    "one good and one bad": Odd(
        {"metrics.csv": HEAD + "rmse,1,1,1\n", "keras_metrics.csv": "epoch,loss\nfirst,low\n"},
        {"rmse": 1},
        told="keras_metrics.csv: ",
    ),
    "DVC's JSON": Odd(
        {"metrics.json": '{"test": {"f1": 0.5, "n": 3}, "curve": [1, 2, 3], "name": "x"}'},
        {"test.f1": 0.5, "test.n": 3, "curve": 3},
        told="name: no number",
    ),
    "JSON with NaN": Odd(
        {"metrics.json": '{"f1": NaN, "inf": Infinity, "text": "0.25"}'},
        {"f1": "nan", "inf": "inf", "text": 0.25},
    ),
    "metrics in YAML": Odd(
        {"eval/metrics.yaml": "f1: 0.5\nwhen: 2024-01-01\n"}, {"f1": 0.5}, told="when"
    ),
    "dvclive": Odd(
        {
            "dvclive/metrics.json": '{"train": {"loss": 0.25}, "best": 7, "step": 2}',
            "dvclive/plots/metrics/train/loss.tsv": "step\tloss\n0\t1.0\n1\t0.5\n2\t0.25\n",
            "dvclive/params.yaml": "lr: 0.1\n",
        },
        {"train/loss": 0.25, "best": 7},
        {"lr": 0.1},
    ),
    "params of every kind": Odd(
        {
            "params.yml": "lr: 1e-3\non: yes\nnone: ~\nlist: [1, [2]]\ndeep: {er: {x: .inf}}\n3: three\nday: 2024-01-01\nhash: 12e4567\n"
        },
        {},
        {
            "lr": 0.001,
            "on": "yes",
            "none": None,
            "list": [1, [2]],
            "deep.er.x": "inf",
            "3": "three",
            "day": "2024-01-01",
            "hash": "12e4567",
        },
    ),
    "params in JSON": Odd(
        {"model_params.json": '{"a": {"b": 1}}', "metrics.csv": HEAD + "loss,1,1,1\n"},
        {"loss": 1},
        {"a.b": 1},
    ),
    "an alias": Odd(
        {"params.yaml": "base: &b {lr: 1}\ntrain: {<<: *b, depth: 2}\n"},
        {},
        {"base.lr": 1, "train.lr": 1, "train.depth": 2},
    ),
}

UNREADABLE = {
    "an empty file": Odd({"metrics.csv": b""}, told="nothing is logged"),
    "only a header": Odd({"metrics.csv": HEAD}, told="nothing is logged"),
    "only a header, unended": Odd(
        {"metrics.csv": "Name,Value,Timestamp,Step"}, told="nothing is logged"
    ),
    "an HTML page": Odd({"metrics.csv": "<!DOCTYPE html>\n<html></html>\n"}, told="no header"),
    "not UTF-8": Odd(
        {"metrics.csv": HEAD.encode() + "précision,0.5,1,1\n".encode("latin-1")},
        told="cannot be read",
    ),
    "UTF-16": Odd({"metrics.csv": (HEAD + "loss,1,1,1\n").encode("utf-16")}, told="metrics.csv"),
    "binary": Odd({"metrics.csv": b"PK\x03\x04\x00\x00\xff" * 50}, told="metrics.csv"),
    "a pointer of LFS": Odd(
        {
            "metrics.csv": "version https://git-lfs.github.com/spec/v1\noid sha256:"
            + "0" * 64
            + "\nsize 3\n"
        },
        told="Git LFS",
    ),
    "a billion laughs": Odd(
        {
            "params.yml": "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi")
            )
        },
        told="aliases",
    ),
    "a deep hole": Odd({"params.yml": "a: " + "[" * 5000 + "]" * 5000}, told="deep"),
    "a deep hole in JSON": Odd({"metrics.json": "[" * 100_000}, told="deep"),
    "a Python object": Odd(
        {"params.yml": "!!python/object/apply:os.system ['touch /tmp/owned']\n"},
        told="cannot be read",
    ),
    "a list": Odd({"params.yaml": "- lr\n- depth\n"}, told="mapping"),
    "a template": Odd({"params.yml": "lr: {{ lr }}\n  depth: {{ depth\n"}, told="cannot be read"),
    "merge marks": Odd(
        {"params.yml": "<<<<<<< HEAD\nlr: 1\n=======\nlr: 2\n>>>>>>> x\n"}, told="cannot be read"
    ),
    "two documents": Odd({"params.yml": "lr: 1\n---\nlr: 2\n"}, told="cannot be read"),
    "data": Odd(
        {"scaler_params.json": "{" + ",".join(f'"{at}": 1' for at in range(3000)) + "}"},
        told="more than 2,000",
    ),
}
