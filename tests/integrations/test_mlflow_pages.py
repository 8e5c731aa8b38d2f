"""``gitexp ui``: MLflow's pages over all experiments of a repository, by the API that they use and
in a real browser."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import gitexp
from conftest import Project, seal
from mlflow_scripts import Training
from recording import record
from warm import DEADLINE, Warm

pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mlflow")]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NESTED = """
import mlflow
with mlflow.start_run(run_name="search"):
    mlflow.log_param("kind", "forest")
    for depth in (1, 2):
        with mlflow.start_run(nested=True, run_name=f"depth {depth}"):
            mlflow.log_param("depth", depth)
            mlflow.log_metric("score", 1 / depth)
    mlflow.log_text("made with MLflow", "report.txt")
"""


@dataclass
class Pages:
    """The pages of a repository: exp-1 and exp-2 were recorded without MLflow, the others with
    it."""

    project: Project
    address: str

    def ask(self, what: str, **body: Any) -> Any:
        """Call MLflow's REST API."""
        address = f"{self.address}/api/2.0/mlflow/{what}"
        ask = urllib.request.Request(
            address, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(ask, timeout=DEADLINE) as answer:
            return json.load(answer)

    def groups(self) -> dict[str, str]:
        """Return the ids of MLflow's experiments by their names."""
        return {
            item["name"]: item["experiment_id"]
            for item in self.ask("experiments/search", max_results=10)["experiments"]
        }

    def runs(self) -> dict[str, Any]:
        """Return all runs by the names of their experiments in git: with dicts of params, metrics
        and tags."""
        found = self.ask("runs/search", experiment_ids=[*self.groups().values()], max_results=10)[
            "runs"
        ]
        for run in found:
            for family in ("params", "metrics", "tags"):
                run[family] = {item["key"]: item["value"] for item in run["data"].get(family, ())}
        return {run["tags"]["gitexp.name"]: run for run in found}


@pytest.fixture(scope="module")
def pages(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """One server for all tests of this module. It has to go when its terminal does, and with it
    what it started."""
    with pytest.MonkeyPatch.context() as patch:
        seal(tmp_path_factory.mktemp("home"), patch)
        project = Project(tmp_path_factory.mktemp("pages"))
        project.git("init", "-q")
        project.commit("start", train_py="x = 1\n")
        record(
            project,
            {"lr": 0.1, "model": {"depth": 3}},
            {"rmse": [3.0, 2.0, 2.5]},
            group="small",
            note="a first try",
            labels=["blue"],
        )
        record(project, {"lr": 0.2}, {"rmse": 1.5})
        Training(project, warm, tmp_path_factory.getbasetemp() / "cache").run(
            NESTED, name="search.py"
        )
        command = [sys.executable, "-m", "gitexp", "ui", "--mlflow", "--no-browser"]
        with subprocess.Popen(
            command, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as server:
            try:
                assert server.stdout is not None
                assert server.stderr is not None
                address = server.stdout.readline().strip()
                assert address.startswith("http://127.0.0.1:"), server.stderr.read()
                yield Pages(project, address)
                server.send_signal(signal.SIGTERM)
                server.wait(DEADLINE)
            finally:
                server.kill()
        assert server.returncode == 0
    until = time.monotonic() + DEADLINE
    while _answers(address):
        assert time.monotonic() < until, "MLflow's server outlived gitexp ui"
        time.sleep(0.1)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def test_experiments_are_runs_and_groups_are_mlflows_experiments(pages: Pages) -> None:
    assert {"Default", "small"} <= pages.groups().keys()
    runs = pages.runs()
    assert runs["exp-1"]["params"] == {"lr": "0.1", "model.depth": "3"}
    assert runs["exp-1"]["metrics"] == {"rmse": 2.5}
    assert runs["exp-1"]["tags"]["mlflow.note.content"] == "a first try"
    assert runs["exp-1"]["info"]["experiment_id"] == pages.groups()["small"]
    assert (runs["exp-2"]["params"], runs["exp-2"]["metrics"]) == ({"lr": "0.2"}, {"rmse": 1.5})
    commits = {name: run["tags"]["mlflow.source.git.commit"] for name, run in runs.items()}
    assert commits == {
        name: pages.project.git("rev-parse", f"{name}^{{commit}}") for name in pages.project.tags()
    }
    (search,) = (run for run in runs.values() if run["info"]["run_name"] == "search")
    children = {
        run["info"]["run_name"]
        for run in runs.values()
        if run["tags"].get("mlflow.parentRunId") == search["info"]["run_id"]
    }
    assert children == {"depth 1", "depth 2"}


def test_what_is_edited_in_the_pages_is_in_git_at_once(pages: Pages) -> None:
    run = pages.runs()["exp-2"]["info"]["run_id"]
    before = pages.project.git("rev-parse", "exp-2")
    pages.ask("runs/set-tag", run_id=run, key="mlflow.note.content", value="better than it looks")
    pages.ask("runs/set-tag", run_id=run, key="gitexp.labels", value='["keep"]')
    pages.ask("runs/set-tag", run_id=run, key="team", value="green")
    pages.ask("runs/update", run_id=run, run_name="the good one")
    made = gitexp.get("exp-2", pages.project.root)
    assert made.notes == ("better than it looks",)
    assert made.labels == ("keep",)
    assert "better than it looks" in pages.project.gitexp("show", "exp-2")
    assert pages.project.git("rev-parse", "exp-2") == before, (
        "the tag and its commit are what they were"
    )
    pages.ask("runs/set-tag", run_id=run, key="gitexp.labels", value="[]")
    assert gitexp.get("exp-2", pages.project.root).labels == ()
    shown = pages.runs()["exp-2"]
    assert shown["tags"]["team"] == "green"
    assert shown["tags"]["mlflow.note.content"] == "better than it looks"
    assert shown["info"]["run_name"] == "the good one"


def test_the_server_records_no_runs_for_its_snapshot_would_not_be_of_what_ran(pages: Pages) -> None:
    before = pages.project.tags()
    with pytest.raises(urllib.error.HTTPError) as refused:
        pages.ask("runs/create", experiment_id="0")
    assert "records no runs" in refused.value.read().decode()
    assert pages.project.tags() == before
    assert list((pages.project.root / ".git/gitexp/runs").iterdir()) == [], "and begins none"


def test_a_port_that_is_taken_is_refused_for_another_server_would_answer(pages: Pages) -> None:
    error = pages.project.error(
        "ui", "--mlflow", "--no-browser", "--port", pages.address.rpartition(":")[2]
    )
    assert "choose another" in error


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_shows_the_runs_their_params_charts_and_files_and_asks_nobody_else(
    pages: Pages,
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    asked: list[str] = []
    runs, groups = pages.runs(), pages.groups()
    page = {
        name: f"{pages.address}/#/experiments/{run['info']['experiment_id']}/runs/{run['info']['run_id']}"
        for name, run in runs.items()
    }
    (search,) = (name for name, run in runs.items() if run["info"]["run_name"] == "search")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page()
        tab.set_default_timeout(120_000)
        tab.on("request", lambda request: asked.append(request.url))

        def see(*texts: str) -> None:
            for text in texts:
                tab.get_by_text(text, exact=True).first.wait_for()

        tab.goto(f"{pages.address}/#/experiments")
        see("Default", "small")
        tab.goto(f"{pages.address}/#/experiments/{groups['small']}/runs")
        see("exp-1")
        tab.goto(f"{pages.address}/#/experiments/{groups['Default']}/runs")
        see("search")
        tab.goto(page["exp-1"])
        see("a first try", "model.depth", "rmse")
        tab.goto(f"{page['exp-1']}/model-metrics")
        tab.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for(state="attached")
        tab.goto(f"{page[search]}/artifacts")
        see("report.txt")
        browser.close()
    assert [url for url in asked if not url.startswith((pages.address, "data:", "blob:"))] == []
