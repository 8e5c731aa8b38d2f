"""Calls of MLflow's API, a line each, made on MLflow's own SQLite store and on ``gitexp:.``.

    python tests/mlflow_calls.py theirs.db      # in a git repository; prints what differs

Answers are compared with the codes and texts of errors; ids, addresses, times of now and names that
MLflow made up are replaced first. What is known to differ stands in docs/mlflow.md, and not here.
"""

# ruff: noqa: F401

from __future__ import annotations

import math
import re
import sqlite3
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
    ViewType,
)

from gitexp.runs import deferred

EXPERIMENTS = """
    a = made("a", tags={"k": "1", "t.x": "y"})
    c.get_experiment(a), c.get_experiment_by_name("a"), c.get_experiment_by_name("nope")
    each(c.create_experiment, "a", "", None, "x" * 501, "Default", 3)
    b = made("b", artifact_location="/tmp/somewhere")
    c.get_experiment(b)
    c.get_experiment(made("here", artifact_location="relative/dir"))
    each(lambda at: made(at, artifact_location=at), "file:///x#frag", "mysql://u@h/db?a=b")
    each(c.get_experiment, "987654321", "abc", "", "-1", None)
    each(c.delete_experiment, "987654321", "abc", "")
    each(c.restore_experiment, "987654321", "abc", "")
    each(lambda at: c.rename_experiment(at, "q"), "987654321", "abc", "")
    each(c.create_run, "987654321", "abc")
    each(lambda name: c.rename_experiment(b, name), "", None, "a", "x" * 501, "Default", "b2", "b")
    each(lambda pair: c.set_experiment_tag(a, *pair), *TAGS)
    c.get_experiment(a)
    each(lambda at: c.delete_experiment_tag(at, "k"), a, a, "12345678")
    c.delete_experiment(b)
    c.get_experiment(b), c.get_experiment_by_name("b")
    each(lambda call: call(b), c.delete_experiment, c.create_run)
    c.rename_experiment(b, "zz")
    c.set_experiment_tag(b, "k", "v")
    each(c.create_experiment, "b")
    mlflow.set_experiment("b")
    each(c.restore_experiment, b, b)
    [item.name for item in c.search_experiments(filter_string="name ILIKE 'B%'")]
    each(lambda it: [x.name for x in c.search_experiments(filter_string=it)], *lines(ABOUT_EXPERIMENTS))
    each(lambda it: [x.name for x in c.search_experiments(order_by=[it])], "name", "name DESC", "last_update_time, name", "tags.x", "nope", "name BOGUS")
    each(lambda it: len(c.search_experiments(max_results=it)), 0, -1, 2, 50001, "a")
    first = c.search_experiments(max_results=2, order_by=["name"], view_type=ViewType.ALL)
    c.search_experiments(max_results=2, order_by=["name"], view_type=ViewType.ALL, page_token=first.token)
    c.search_experiments(page_token="nope")
"""
ABOUT_EXPERIMENTS = """
    name = 'a'
    name != 'a'
    name LIKE 'he%'
    attribute.name ILIKE 'HE%'
    tags.k = '1'
    tags.`k` != '1'
    tags.`t.x` LIKE 'y'
    name = 'a' and tags.`t.x` = 'y'
    name = 'a' or name = 'b'
    creation_time > 0
    creation_time = 'x'
    last_update_time < 5
    name > 'a'
    name IN ('a')
    params.x = '1'
    tags.k IS NULL
    nonsense
"""
RUNS = """
    e = c.create_experiment("runs")
    c.create_run(e)
    c.create_run(e, run_name="one", start_time=1000, tags={"a": "b", "mlflow.user": "bob"})
    c.create_run(e, tags={"mlflow.runName": "tagged"}, start_time=1)
    c.create_run(e, run_name="x", tags={"mlflow.runName": "y"}, start_time=1)
    each(lambda tags: c.create_run(e, run_name="t", start_time=3, tags=tags), {"k": "v" * 8001}, {"k" * 251: "v"}, {"k": 3}, {"../k": "3"})
    r = c.create_run(e, run_name="life", start_time=1000).info.run_id
    each(lambda word: c.set_terminated(r, word, 5000), "SCHEDULED", "BOGUS", "RUNNING", "FINISHED", "FAILED")
    c.get_run(r).info
    each(lambda more: c.update_run(r, **more), {"status": "RUNNING"}, {"name": "new"}, {"name": ""}, {}, {"status": "nope"})
    c.get_run(r).info.status, c.get_run(r).info.run_name
    c.set_tag(r, "mlflow.runName", "t3")
    c.get_run(r).info.run_name, c.get_run(r).data.tags
    c.delete_tag(r, "mlflow.runName")
    c.get_run(r).info.run_name, c.get_run(r).data.tags
    each(lambda call: call("0" * 32), c.get_run, c.delete_run, c.restore_run, c.set_terminated)
    each(lambda call: call("x"), c.get_run, c.delete_run, c.restore_run, c.set_terminated)
    each(lambda at: c.get_metric_history(at, "x"), "0" * 32, "", None)
    d = c.create_run(e, run_name="del", start_time=1).info.run_id
    each(c.delete_run, d, d)
    each(lambda call: call(), lambda: c.log_metric(d, "m", 1), lambda: c.log_param(d, "p", 1), lambda: c.set_tag(d, "t", 1), lambda: c.log_batch(d, [Metric("m", 1, 1, 1)]), lambda: c.log_batch(d), lambda: c.delete_tag(d, "t"), lambda: c.set_terminated(d), lambda: c.update_run(d, name="q"))
    mlflow.start_run(run_id=d)
    each(c.restore_run, d, d)
    c.log_metric(d, "m", 1)
    c.set_terminated(d, "FINISHED", 9)
    gone = c.create_experiment("gone")
    open = c.create_run(gone, run_name="open", start_time=7).info.run_id
    over = c.create_run(gone, run_name="over", start_time=8).info.run_id
    c.set_terminated(over, end_time=9)
    c.delete_experiment(gone)
    [c.get_run(at).info.lifecycle_stage for at in (open, over)]
    each(lambda at: c.log_metric(at, "m", 1), open, over)
    c.restore_experiment(gone)
    [c.get_run(at).info.lifecycle_stage for at in (open, over)]
    c.log_metric(open, "m", 1)
    c.set_terminated(open, end_time=10)
    c.rename_experiment(gone, "back")
    c.create_run(gone, run_name="after", start_time=9).info.experiment_id
    c.search_runs([gone], order_by=["attributes.start_time"])
"""
TAGS = [
    ("k", 1), ("k", 2), ("n", None), ("l", "x" * 5000), ("", 1), (None, 1), ("k" * 250, 1), ("k" * 251, 1), ("a//b", 1), ("../x", 1),
    ("mlflow.user", "eve"), ("mlflow.note.content", "n"), ("mlflow.parentRunId", "0" * 32), ("multi\nline", "a\nb"), ("a=b", "x"),
]  # fmt: skip
PARAMS = [
    ("p", 1), ("p", "1"), ("p", 2), ("q", None), ("q2", ""), ("l", [1, 2]), ("d", {"a": 1}), ("f", 1e-5), ("b", True), ("e", "1e5"), ("z", "007"),
    ("u", "ü\n"), ("long", "x" * 6001), ("", 1), (None, 1), ("k" * 250, 1), ("k" * 251, 1), ("a/b", 1), ("a//b", 1), ("../x", 1), ("a%b", 1),
]  # fmt: skip
METRICS = [
    ("m", 1, 5), ("m", "2", 6), ("m", "x", 7), ("m", None, 7), ("m", True, 8), ("m", [1], 9), ("", 1), (None, 1), ("m" * 250, 1), ("m" * 251, 1),
    ("a/b", 1, 5), ("a//b", 1), ("/a", 1), (".", 1), ("a b", 1), ("a:b", 1), ("a%b", 1), ("ü", 1), ("a\nb", 1), ("t", 1, "x"), ("t", 1, -5), ("t", 1, 5, "x"),
    ("t", 1, 5, -3), ("t", 3, 6, 2**63 - 1), ("nan", math.nan, 1), ("nan", 1.0, 1), ("inf", math.inf, 1), ("inf", -math.inf, 1, 2), ("int", 2**60, 1), ("big", 10**400),
]  # fmt: skip
LOGGED = """
    e = c.create_experiment("logged")
    r = c.create_run(e, start_time=1, run_name="r").info.run_id
    each(lambda some: c.log_metric(r, *some), *METRICS)
    c.get_run(r).data.metrics
    each(lambda key: c.get_metric_history(r, key), "m", "t", "nan", "inf", "int", "nothing", "", None)
    each(lambda pair: c.log_param(r, *pair), *PARAMS)
    each(lambda pair: c.set_tag(r, *pair), *TAGS)
    each(lambda key: c.delete_tag(r, key), "k", "k", "", None, "a//b")
    c.get_run(r)
    each(lambda some: c.log_batch(r, *some), ([], [], []), (None, None, None), (5,), ([metric("m", at) for at in range(1000)],), ([metric("m", at) for at in range(1001)],))
    each(lambda count: c.log_batch(r, [], [Param(f"p{at}", "1") for at in range(count)]), 100, 101)
    each(lambda count: c.log_batch(r, [], [], [RunTag(f"t{at}", "1") for at in range(count)]), 100, 101)
    each(lambda some: c.log_batch(r, [], [Param(*pair) for pair in some]), (("r", "1"), ("r", "1")), (("s", "1"), ("s", "2")), (("p", "9"), ("new", "1")), (("ok", "1"), ("", "1")), (("none", None),))
    each(lambda some: c.log_batch(r, [], [], [RunTag(*pair) for pair in some]), (("dt", "1"), ("dt", "2")), (("ok", "1"), ("", "1")), (("mlflow.runName", "by batch"),))
    each(lambda some: c.log_batch(r, [Metric(*item) for item in some]), (("ok", 1, 1, 1), ("bad//x", 1, 1, 1)), (("x", "a", 1, 1),), (("x", 1, None, 1),), (("x", 1, 1, None),), (("twice", 1, 1, 1), ("twice", 1, 1, 1), ("twice", 3, 1, 1), ("twice", 2, 1, 1)), (("twice", 9, 1, 0),), (("nan", math.nan, 1, 1), ("up", math.inf, 1, 1)))
    c.log_batch(r, [metric("rolled back", 1)], [Param("p", "77")], [RunTag("rolled", "back")])
    c.get_run(r), c.get_metric_history(r, "rolled back"), sorted(item.value for item in c.get_metric_history(r, "twice"))
    each(lambda count: [len(s.get_metric_history(r, "m", max_results=count))], 300, 0, 25001, None)
    s.get_metric_history(r, "m", max_results=3, page_token="nope")
    s.get_metric_history(r, "m", max_results=3, page_token=s.get_metric_history(r, "m", max_results=3).token)
    [point(item) for item in s.get_metric_history_bulk([r, "0" * 32], "m", 2)]
    [point(item) for item in s.get_metric_history_bulk_interval([r], "m", 5, 10, 20)]
    [point(item) for item in s.get_metric_history_bulk_interval_from_steps(r, "m", [1, 5, 9999], 10)]
    s.get_max_step_for_metric(r, "m"), s.get_max_step_for_metric(r, "nothing")
    c.set_terminated(r, end_time=2)
    settle()
    c.get_run(r), [point(item) for item in c.get_metric_history(r, "m")], sorted(item.value for item in c.get_metric_history(r, "twice"))
    c.log_metric(r, "late", 1, 5, 5)
    c.log_param(r, "late", "1e5")
    each(lambda pair: c.log_param(r, *pair), ("p", "3"), ("late", "2"))
    c.set_tag(r, "late", "1")
    c.delete_tag(r, "t1")
    c.log_batch(r, [metric("lb", math.nan), metric("late", 9)], [Param("lb", "x")], [RunTag("lb", "y")])
    c.log_batch(r, [metric("lb", 5)], [Param("lb", "z")], [RunTag("lb", "z")])
    c.get_run(r), c.get_metric_history(r, "late"), c.get_metric_history(r, "lb")
"""
SEARCHED = """
    e = c.create_experiment("searched")
    filled(e)
    each(lambda it: names(e, filter_string=it), *lines(ABOUT_RUNS))
    each(lambda it: names(e, order_by=[it]), *lines(ORDERS))
    each(lambda it: names(e, run_view_type=it), ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL)
    each(lambda it: names(e, max_results=it), 0, -1, 1, 3, 50000, 50001, "a")
    first = c.search_runs([e], max_results=2, order_by=["metrics.m DESC"])
    names(e, max_results=3, order_by=["metrics.m DESC"], page_token=first.token)
    each(lambda it: names(e, page_token=it), "nope", "", "e30=")
    each(lambda it: [run.info.run_name for run in c.search_runs(it)], [], ["987654"], "0", [None], [e, e], ["x"])
    c.search_runs([e], run_view_type=ViewType.ALL, order_by=["attributes.start_time"])
    sorted(str((item.name, item.digest, item.context)) for item in s._search_datasets([e]))
"""
ORDERS = """
    metrics.m
    metrics.m DESC
    metric.m asc
    metrics.nope
    params.p
    params.p DESC
    params.`p space`
    tags.t
    tags.`t.dot` DESC
    attributes.start_time
    start_time DESC
    attributes.end_time
    attributes.end_time DESC
    attributes.status
    attributes.`Run name` DESC
    Created DESC
    tag.mlflow.source.name DESC
    attributes.nope
    metrics.m BOGUS
    metrics
    dataset.name
"""
ABOUT_RUNS = """
    metrics.m = 1
    metrics.m > 0
    metrics.m >= 1
    metrics.m < 2
    metrics.m != 1
    metrics.m = 'x'
    metrics.m LIKE '1'
    metrics.`a/m` > -1.5e0
    metrics.m > '1'
    metrics.m = nan
    metrics.m IN (1)
    metrics.m IS NULL
    params.p = '1'
    params.p != '1'
    params.p LIKE '1%'
    params.p ILIKE 'X'
    params.p = 1
    params.p IN ('1', '2')
    params.p NOT IN ('1')
    parameters.`p space` = 'x'
    params.p IS NULL
    params.p IS NOT NULL
    params.p > '1'
    tags.t = 'blue'
    tags.t != 'blue'
    tags.t LIKE '%e%'
    tags.t ILIKE 'R%'
    tag.`t.dot` = 'red'
    tags.t = "a'b"
    tags.t IS NULL
    tags.t IS NOT NULL
    tags.t IN ('red', 'blue')
    tags.mlflow.user = 'u1'
    tags.t = red
    attributes.status = 'FINISHED'
    status != 'FINISHED'
    attributes.status IN ('FAILED', 'KILLED')
    attributes.status ILIKE 'f%'
    start_time >= 1020
    attributes.start_time < '1020'
    attributes.end_time > 2010
    attributes.Created > 1020
    run_name LIKE 'Run%'
    attributes.`Run name` = 'Run1'
    run_name IN ('Run1', 'Run2')
    user_id LIKE 'u%'
    attributes.artifact_uri LIKE '%artifacts'
    run_id NOT IN ('x')
    attributes.lifecycle_stage = 'active'
    attributes.nope = 'x'
    dataset.name = 'iris'
    datasets.name ILIKE 'IRIS'
    dataset.digest = 'd2'
    dataset.context = 'train'
    dataset.name IN ('iris', 'wine')
    dataset.nope = 'x'
    metrics.m > 0 AND params.p = '1' AND tags.t = 'blue' AND status = 'FINISHED'
    metrics.m > 0 or params.p = '1'
    (metrics.m > 0)
    metrics.m > 0 and
    tags.t = 'x
    1 = 1
    foo.bar = '1'
    .x = 1
    params.p = '1'; drop table runs
"""
MODELS = """
    e = c.create_experiment("models")
    r = c.create_run(e, run_name="models", start_time=1).info.run_id
    each(lambda item: c.log_inputs(r, [item]), *DATASETS)
    sorted((item.dataset.name[:5], item.dataset.digest, len(item.tags)) for item in c.get_run(r).inputs.dataset_inputs)
    m = c.create_logged_model(e, name="m", source_run_id=r, tags={"a": "b"}, params={"p": "q"}, model_type="x").model_id
    other = c.create_logged_model(e, name="other").model_id
    each(lambda name: type(c.create_logged_model(e, name=name)).__name__, "", "a/b", "a:b")
    c.log_inputs(r, models=[LoggedModelInput(m)])
    each(lambda at: c.log_outputs(r, [LoggedModelOutput(m, at)]), 3, 4)
    c.log_metric(r, "acc", 0.5, step=1, timestamp=5, model_id=m, dataset_name="n", dataset_digest="d")
    c.log_batch(r, [Metric("acc", 0.7, 6, 2, model_id=m), metric("plain", 1)])
    each(lambda state: c.finalize_logged_model(m, state), LoggedModelStatus.READY, LoggedModelStatus.FAILED, "READY", "x")
    each(c.get_logged_model, m, "m-nope")
    c.set_logged_model_tags(m, {"x": "y"})
    each(lambda at: c.delete_logged_model_tag(at, "x"), m, m, "m-nope")
    each(lambda value: s.log_logged_model_params(m, [LoggedModelParameter("z", value)]), "1", "2")
    each(lambda it: [item.name for item in c.search_logged_models([e], filter_string=it)], "name = 'm'", "metrics.acc > 0.6", "params.z = '1'", "tags.a = 'b'", "status = 'READY'", "name > 'a'", "nope")
    each(lambda it: [item.name for item in c.search_logged_models([e], order_by=[it])][:1], {"field_name": "name"}, {"field_name": "metrics.acc", "ascending": False}, {"field_name": "nope"}, "name")
    c.set_terminated(r, end_time=9)
    settle()
    c.get_run(r), c.get_logged_model(m), c.get_metric_history(r, "acc")
    c.log_metric(r, "acc", 0.9, step=3, timestamp=7, model_id=m)
    c.log_inputs(r, [DatasetInput(Dataset("late", "1", "t", "s"), [])])
    c.get_run(r).data.metrics, c.get_metric_history(r, "acc"), c.get_logged_model(m)
    c.set_logged_model_tags(m, {"late": "y"})
    c.delete_logged_model_tag(m, "a")
    c.set_tag(r, "again", "1")
    c.get_logged_model(m), c.get_run(r)
    each(c.delete_logged_model, other, m)
    c.set_tag(r, "again", "2")
    each(c.get_logged_model, other, m)
    c.search_logged_models([e])
"""


def data(*facts: Any, tags: Iterable[tuple[str, str]] = ()) -> Any:
    """Return an input: name, digest, type and source of a dataset."""
    return DatasetInput(Dataset(*facts), [InputTag(*pair) for pair in tags])


DATASETS = [
    data("n", "d", "t", "s", tags=[("a", "b")]),
    data("n", "d", "t", "s", tags=[("a", "c")]),
    data("n", "d2", "t", "s", "schema", "profile"),
    data("n" * 501, "d", "t", "s"),
    data("", "d", "t", "s"),
    data("n", "d" * 37, "t", "s"),
    data("n", "s", "t", "s", tags=[("k" * 256, "b")]),
    data("n", "t", "t", "s", tags=[("k", "b" * 501)]),
]


def settle() -> None:
    """Have what waits recorded."""
    deferred.end_now()


def lines(text: str) -> list[str]:
    """Return the lines of a text, without what they are indented by."""
    return [line.strip() for line in text.strip().splitlines()]


def metric(key: str, at: float) -> Any:
    """Return a value of a metric whose time and step are the value."""
    when = 1 if math.isnan(at) else int(at)
    return Metric(key, at, when, when)


def point(item: Any) -> tuple[Any, ...]:
    """Return what a value of a metric says."""
    return item.key, item.value, item.timestamp, item.step


class Heard:
    """What one store answers."""

    def __init__(self, uri: str) -> None:
        mlflow.set_tracking_uri(uri)
        self.client = mlflow.MlflowClient(uri)
        self.store = self.client._tracking_client.store
        self.answers: list[tuple[str, Any]] = []
        self.known: dict[str, str] = {}

    def hear(self, script: str) -> None:
        """Make the calls of a script."""
        here = {
            **globals(),
            "c": self.client,
            "s": self.store,
            "each": self.each,
            "names": self.names,
            "filled": self.filled,
            "made": self.made,
        }
        for line in lines(script):
            name, call = line.split(" = ", 1) if re.match(r"\w+ = ", line) else ("_", line)
            here[name] = self.answer(line, lambda call=call: eval(call, here))

    def answer(self, call: str, make: Any) -> Any:
        """Make one call, and note what it said."""
        found = None
        try:
            found = make()
            said = self.plain(found)
        except mlflow.MlflowException as error:
            said = f"{error.error_code}: {self.text(error.message)}"
        except Exception as error:
            said = f"{type(error).__name__}: {self.text(str(error))}"
        self.answers.append((call, said))
        return found

    def each(self, call: Any, *values: Any) -> None:
        """Make a call with each of some values."""
        for value in values:
            self.answer(f"each {value!r:.60}", lambda value=value: call(value))

    def names(self, experiment: str, **search: Any) -> list[Any]:
        """Return the names of the runs that a search finds, and whether there are more."""
        found = self.client.search_runs([experiment], **search)
        return [*(run.info.run_name for run in found), bool(found.token)]

    def made(self, name: str, **more: Any) -> str:
        """Make an experiment later than the one before: they are sorted by the millisecond."""
        time.sleep(0.002)
        return str(self.client.create_experiment(name, **more))

    def filled(self, experiment: str) -> None:
        """Make runs to be searched for."""
        values = (1.0, 3.0, math.nan, None, math.inf, -1.0, -math.inf)
        params = ("1", "10", "x", None, "2", "1e5", "3")
        teams = ("blue", "Red", None, "red", "GREEN", "a'b", "a b")
        ends = ("FINISHED", "FAILED", "KILLED", "FINISHED", None, "FINISHED", "FINISHED")
        for at, (value, param, team, end) in enumerate(zip(values, params, teams, ends)):
            tags = {"mlflow.user": f"u{at % 2}", "mlflow.source.name": f"{at}.py"}
            tags |= {"t": team, "t.dot": team} if team else {}
            run = self.client.create_run(experiment, 1000 + at * 10, tags, f"Run{at}").info.run_id
            for key in ("p", "p space") if param else ():
                self.client.log_param(run, key, param)
            for key in ("m", "a/m"):
                if value is not None:
                    self.client.log_metric(run, key, value, timestamp=1)
            if at < 2:
                context = [("mlflow.data.context", ("train", "eval")[at])]
                self.client.log_inputs(run, [data("iris", "d1", "local", "s", tags=context)])
                self.client.log_inputs(run, [data("wine", f"d{at + 1}", "local", "s")])
            if end:
                self.client.set_terminated(run, end, 2000 + at * 10)
            if at == 6:
                self.client.delete_run(run)

    def text(self, text: str) -> str:
        """Return a text without what differs by nature."""
        text = re.sub(r"\(sqlite3.*", "", text, flags=re.DOTALL)  # SQLite's own words
        text = text.replace(str(self.store.artifact_root_uri), "ROOT")
        text = re.sub(r"\b[a-z]+-[a-z]+-\d{1,3}\b", "NAME", text)
        return re.sub(r"\b[0-9a-f]{32}\b|\b\d{12,15}\b|\b70000\d\d\b", self._known, text)

    def _known(self, match: re.Match[str]) -> str:
        """Return what stands for an id: its place among those that were seen."""
        return self.known.setdefault(match[0], f"ID{len(self.known)}")

    def plain(self, value: Any) -> Any:
        """Return an answer as what can be compared."""
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, (int, float)):
            return "NOW" if abs(time.time() * 1000 - value) < 1e8 else repr(value)
        if isinstance(value, dict):
            ours = ("gitexp.", "mlflow.source.git")
            pairs = sorted(value.items(), key=lambda pair: str(pair[0]))
            return {key: self.plain(item) for key, item in pairs if not str(key).startswith(ours)}
        if isinstance(value, (list, tuple)):
            return [self.plain(item) for item in value]
        if type(value).__module__.startswith("mlflow"):
            return self.plain(dict(value))
        return self.text(str(value))


def main(theirs: str) -> None:
    """Make all calls on both stores, and print what differs."""
    heard = []
    for uri in (f"sqlite:///{theirs}", "gitexp:."):
        store = Heard(uri)
        if uri.startswith("sqlite"):  # ids that nothing else is taken for
            with sqlite3.connect(theirs) as db:
                db.execute(
                    "INSERT INTO experiments(experiment_id, name, workspace, lifecycle_stage)"
                    " VALUES (7000000, 'high', 'default', 'deleted')"
                )
        store.client.create_experiment("begin")
        if uri.startswith("sqlite"):
            with sqlite3.connect(theirs) as db:
                db.execute("DELETE FROM experiments WHERE name = 'high'")
        for script in (EXPERIMENTS, RUNS, LOGGED, SEARCHED, MODELS):
            store.hear(script)
        heard.append(store.answers)
    for (call, first), (_, second) in zip(*heard):
        if first != second:
            one, other = str(first), str(second)
            same = next((at for at, pair in enumerate(zip(one, other)) if len({*pair}) > 1), 0)
            print(call, *(f"\n    {text[max(0, same - 60) :][:200]}" for text in (one, other)))
    print(len(heard[0]), len(heard[1]), "answers")


if __name__ == "__main__":
    main(sys.argv[1])
