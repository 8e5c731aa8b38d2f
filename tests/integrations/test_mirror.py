"""Experiments on a real MLflow server: all of them there, each once, as they are here."""

from __future__ import annotations

import base64
import json
import math
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from gitexp.formats import mlflow_words as convert
from gitexp.formats.errors import GitexpError, UsageError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.mlflow import Stored
from gitexp.integrations.mlflow import login
from gitexp.integrations.mlflow.client import Server, batches
from gitexp.integrations.mlflow.login import Login
from gitexp.integrations.mlflow.mirror import WHOLE, repository
from gitexp.repo import Repo
from mlflow_server import free_port, served
from recording import record

STARTED = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    with served(tmp_path_factory.mktemp("mlflow")) as found:
        yield found


@pytest.fixture
def mlflow(address: str) -> Iterator[Server]:
    """The server without any experiment but its own."""
    with Server(address) as found:
        for name, place in found.experiments().items():
            if name != "Default":
                found._call(
                    "experiments/update",
                    {"experiment_id": place, "new_name": f"{name}-{time.time_ns()}"},
                )
                found._call("experiments/delete", {"experiment_id": place})
        yield found


def runs(mlflow: Server) -> dict[str, Stored]:
    """Return all runs by their names, and require that each name is there once."""
    found = [*mlflow.runs([*mlflow.experiments().values()], "")]
    assert len({run.tags["mlflow.runName"] for run in found}) == len(found)
    return {run.tags["mlflow.runName"]: run for run in found}


def settled(mlflow: Server) -> None:
    """Wait until the server makes no more runs of requests whose client is gone."""
    counts = [-1]
    end = time.monotonic() + 60
    while (len(counts) < 10 or len({*counts[-10:]}) > 1) and time.monotonic() < end:
        counts.append(len([*mlflow.runs([*mlflow.experiments().values()], "")]))
        time.sleep(0.1)


def values(mlflow: Server, run: Stored, key: str) -> list[float]:
    return [
        convert.metric_value(value)
        for value, _, _ in sorted(mlflow.history(run.id, key), key=lambda point: point[2])
    ]


# -- on a server -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_mlflows_own_client_finds_everything_that_was_recorded(
    project: Project, mlflow: Server, address: str
) -> None:
    import mlflow as library

    loss = [1 / (step + 1) for step in range(2500)]
    odd = {
        "big": "x" * 7000,
        "net": {"depth": 3, "sizes": [1, 2], "on": True, "none": None},
        "a%b": 1,
    }
    made = record(
        project,
        odd,
        {"loss": loss, "val%": [math.nan, math.inf, -math.inf]},
        STARTED,
        duration=12.5,
        labels=("conv",),
        note="why",
    )
    project.git("remote", "add", "origin", "https://ada:hunter2@example.org/team/nets.git")
    project.gitexp("export", "mlflow", address)
    client = library.MlflowClient(address)
    place = client.get_experiment_by_name("nets")
    assert place is not None
    (run,) = client.search_runs([place.experiment_id])
    assert (run.info.run_name, run.info.status) == ("exp-1", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (
        int(STARTED.timestamp() * 1000),
        int(STARTED.timestamp() * 1000) + 12_500,
    )
    assert run.data.tags["mlflow.source.git.commit"] == made.id
    assert run.data.tags["mlflow.source.git.repoURL"] == "https://example.org/team/nets.git"
    assert (run.data.tags["mlflow.note.content"], run.data.tags["gitexp.labels"]) == (
        "why",
        '["conv"]',
    )
    big = run.data.params.pop("big")
    assert (len(big), big[-5:]) == (6000, "xx...")
    assert run.data.params == {
        "net.depth": "3",
        "net.sizes": "[1, 2]",
        "net.on": "True",
        "net.none": "None",
        "a_x0025_b": "1",
    }
    history = sorted(
        client.get_metric_history(run.info.run_id, "loss"), key=lambda metric: metric.step
    )
    assert [metric.value for metric in history] == loss
    assert [metric.timestamp for metric in history] == [int(STARTED.timestamp() * 1000)] * 2500
    strange = values(mlflow, runs(mlflow)["exp-1"], "val_x0025_")
    assert math.isnan(strange[0])
    assert strange[1:] == [math.inf, -math.inf]


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_a_second_mirror_changes_nothing_and_later_labels_and_notes_arrive(
    project: Project, mlflow: Server, address: str
) -> None:
    record(project, {"lr": 1}, {"rmse": 2}, group="sweep-a", status="failed")
    record(project, {"lr": 2}, {"rmse": 3})
    assert "2 new" in project.run("export", "mlflow", address).stderr
    before = runs(mlflow)
    assert {"sweep-a", "project"} <= {*mlflow.experiments()}
    assert (before["exp-1"].status, before["exp-2"].status) == ("FAILED", "FINISHED")
    assert (
        project.run("export", "mlflow", address).stderr
        == f"mirrored to {address}: 2 there already\n"
    )
    assert runs(mlflow) == before
    project.gitexp("label", "exp-1", "+good")
    project.gitexp("note", "exp-1", "a thought")
    assert "1 updated, 1 there already" in project.run("export", "mlflow", address).stderr
    assert (
        runs(mlflow)["exp-1"].tags["gitexp.labels"],
        runs(mlflow)["exp-1"].tags["mlflow.note.content"],
    ) == ('["good"]', "a thought")
    project.gitexp("label", "exp-1", "-good")
    project.gitexp("export", "mlflow", address, "exp-1")
    assert "gitexp.labels" not in runs(mlflow)["exp-1"].tags


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_a_description_that_somebody_edited_in_mlflow_stays_theirs(
    project: Project, mlflow: Server, address: str
) -> None:
    record(project, metrics={"rmse": 2}, note="ours")
    project.gitexp("export", "mlflow", address)
    mlflow.log(runs(mlflow)["exp-1"].id, {}, (), {"mlflow.note.content": "theirs"})
    project.gitexp("note", "exp-1", "more of ours")
    project.gitexp("export", "mlflow", address)
    assert runs(mlflow)["exp-1"].tags["mlflow.note.content"] == "theirs"


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_a_run_that_was_interrupted_is_given_what_it_lacks_and_nothing_twice(
    project: Project, mlflow: Server, address: str
) -> None:
    made = record(project, {"lr": 1, "depth": 3}, {"loss": [3, 2, 1, math.nan]}, STARTED)
    stamp = int(STARTED.timestamp() * 1000)
    run, _ = mlflow.create_run(
        mlflow.create_experiment("elsewhere"), "exp-1", stamp, convert.tags(made)
    )
    mlflow.log(
        run, {"lr": "1"}, [MetricPoint("loss", 3, stamp, 0), MetricPoint("loss", 2, stamp, 1)], {}
    )
    assert "1 completed" in project.run("export", "mlflow", address).stderr
    found = runs(mlflow)["exp-1"]
    assert (found.id, found.status, found.end) == (run, "FINISHED", stamp)
    assert found.params == {"lr": "1", "depth": "3"}
    assert values(mlflow, found, "loss")[:3] == [3, 2, 1]
    assert len(values(mlflow, found, "loss")) == 4
    assert WHOLE in found.tags


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_mirror_is_finished_by_the_next(
    project: Project, mlflow: Server, address: str
) -> None:
    for at in range(25):
        record(project, {"at": at}, {"loss": [at, at + 1, at + 2]})
    process = subprocess.Popen(
        [sys.executable, "-m", "gitexp", "export", "mlflow", address], stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while len([*mlflow.runs([*mlflow.experiments().values()], "")]) < 4 and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # while the server may still be at what the killed one asked for last
    project.gitexp("export", "mlflow", address)
    settled(mlflow)
    project.gitexp("export", "mlflow", address)  # so one that came of that is taken away here
    found = runs(mlflow)
    assert len(found) == 25
    assert all(WHOLE in run.tags and run.status == "FINISHED" for run in found.values())
    for at in (0, 12, 24):
        assert values(mlflow, found[f"exp-{at + 1}"], "loss") == [at, at + 1, at + 2]


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_a_half_run_beside_a_whole_one_goes_and_another_whole_one_stays(
    project: Project, mlflow: Server, address: str
) -> None:
    name = record(project, metrics={"loss": 1}).name
    project.gitexp("export", "mlflow", address)
    whole = runs(mlflow)[name]
    mlflow.create_run(whole.experiment, "half", 1, {convert.ID: whole.tags[convert.ID]})
    again, _ = mlflow.create_run(
        whole.experiment, "again", 1, {convert.ID: whole.tags[convert.ID], WHOLE: "yes"}
    )
    other, _ = mlflow.create_run(whole.experiment, "another's", 1, {convert.ID: "f" * 40})
    project.gitexp("export", "mlflow", address)
    assert {run.id for run in runs(mlflow).values()} == {whole.id, again, other}


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_what_somebody_deleted_there_stays_deleted(
    project: Project, mlflow: Server, address: str
) -> None:
    theirs, _ = mlflow.create_run(mlflow.create_experiment("theirs"), "theirs", 1, {})
    record(project, metrics={"rmse": 1}, extra={"source": {"kind": "mlflow", "id": theirs}})
    record(project, {"lr": 1}, {"rmse": 2})
    project.gitexp("export", "mlflow", address)
    for run in runs(mlflow).values():
        mlflow.delete_run(run.id)
    assert (
        project.run("export", "mlflow", address).stderr
        == f"mirrored to {address}: 2 there already\n"
    )
    assert not runs(mlflow)


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_params_that_mlflow_logged_are_spelled_there_as_it_did(
    project: Project, mlflow: Server, address: str
) -> None:
    project.write(
        "train.py",
        "import mlflow\nwith mlflow.start_run():\n    mlflow.log_params({'a': '1e5', 'n': float('nan')})\n",
    )
    project.gitexp(
        "run", "--", sys.executable, "train.py", env={"MLFLOW_DISABLE_TELEMETRY": "true"}
    )
    project.gitexp("export", "mlflow", address)
    assert runs(mlflow)["exp-1"].params == {"a": "1e5", "n": "nan"}


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_what_was_imported_from_a_server_does_not_go_back_to_it_a_second_time(
    project: Project, mlflow: Server, address: str
) -> None:
    run, _ = mlflow.create_run(mlflow.create_experiment("theirs"), "theirs", 1, {})
    for source in (run, "0" * 32):
        record(project, metrics={"rmse": 1}, extra={"source": {"kind": "mlflow", "id": source}})
    assert "1 new, 1 there already" in project.run("export", "mlflow", address).stderr
    assert {*runs(mlflow)} == {"theirs", "exp-2"}


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_adopted_history_goes_there_in_whichever_form_it_lies(
    project: Project, mlflow: Server, address: str
) -> None:
    project.write("metrics.json", '{"rmse": 2.5, "eval": {"auc": 0.5}}')
    project.write("params.yaml", "lr: 0.1\n")
    commit = project.commit("history")
    project.gitexp("import", "git")
    project.gitexp("export", "mlflow", address)
    (run,) = runs(mlflow).values()
    assert run.tags["mlflow.source.git.commit"] == commit
    assert (run.params, {*run.metrics}) == ({"lr": "0.1"}, {"rmse", "eval.auc"})


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_artifacts_go_along_when_asked_for_and_once(
    project: Project, mlflow: Server, address: str
) -> None:
    import mlflow as library

    file = project.write("out/näme x.bin", b"\0\1model")
    record(project, metrics={"rmse": 1}, artifacts={"models/näme x.bin": file})
    project.gitexp("export", "mlflow", address)
    run = runs(mlflow)["exp-1"]
    client = library.MlflowClient(address)
    assert client.list_artifacts(run.id) == []
    assert "1 updated" in project.run("export", "mlflow", address, "--artifacts").stderr
    assert (
        Path(
            client.download_artifacts(run.id, "models/näme x.bin", str(project.root.parent))
        ).read_bytes()
        == b"\0\1model"
    )
    assert "1 there already" in project.run("export", "mlflow", address, "--artifacts").stderr


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_one_that_cannot_be_read_does_not_stop_the_others(
    project: Project, mlflow: Server, address: str
) -> None:
    record(project, metrics={"rmse": 1})
    broken = record(project, metrics={"rmse": 2})
    blob = project.git("rev-parse", f"{broken.id}:metrics.csv")
    (project.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    done = project.run("export", "mlflow", address)
    assert done.returncode == 1
    assert "exp-2 was not mirrored: its metrics.csv is not in this clone" in done.stderr
    assert {*runs(mlflow)} == {"exp-1"}


# -- where something is wrong ----------------------------------------------------------------------


class _Answers(BaseHTTPRequestHandler):
    """Lets in who knows the password, and is no MLflow server."""

    seen: list[str | None] = []  # noqa: RUF012

    def do_POST(self) -> None:
        given = self.headers.get("Authorization")
        self.seen.append(given)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(
            401 if self.path.startswith("/closed") and given != "Bearer right" else 200
        )
        self.end_headers()
        self.wfile.write(b"{}" if self.path.startswith("/json") else b"<html>hello</html>")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


def test_a_server_that_is_not_there_is_one_line(project: Project) -> None:
    record(project, metrics={"rmse": 1})
    said = project.error("export", "mlflow", f"http://127.0.0.1:{free_port()}")
    assert said.startswith("no MLflow server answers at http://127.0.0.1:")
    assert said.endswith("check the address, and that it runs")


def test_a_wrong_password_is_one_line_that_does_not_tell_it(
    project: Project, stranger: str
) -> None:
    record(project, metrics={"rmse": 1})
    said = project.error("export", "mlflow", f"{stranger.replace('//', '//ada:hunter2@')}/closed")
    assert said == (
        f"{stranger}/closed refused the login (401); check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    )
    assert "MLFLOW_TRACKING_TOKEN" in project.error(
        "export", "mlflow", f"{stranger}/closed", env={"MLFLOW_TRACKING_TOKEN": "wrong"}
    )


def test_what_is_no_mlflow_server_is_one_line(project: Project, stranger: str) -> None:
    record(project, metrics={"rmse": 1})
    for path in ("", "closed", "json"):
        said = project.error(
            "export", "mlflow", f"{stranger}/{path}", env={"MLFLOW_TRACKING_TOKEN": "right"}
        )
        assert "is not an MLflow server: it answers with something else; check the address" in said


@pytest.mark.parametrize(
    "uri", ["", "localhost:5000", "ftp://x", "http://", "http://[::1", "http://x:port"]
)
def test_what_is_no_address_is_said(uri: str) -> None:
    with pytest.raises(UsageError, match="is not an address of an MLflow server"):
        login.address(uri)


def test_an_address_is_taken_as_the_browser_shows_it() -> None:
    assert (
        login.address("https://ada:pw@example.org:8443/team.mlflow/#/experiments/0?x=1")
        == "https://example.org:8443/team.mlflow"
    )


def test_mlflows_own_ways_to_log_in_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert login.login("http://x", {}) is None
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow/credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = ada\nmlflow_tracking_password = %a\n"
    )
    assert login.login("http://x", {}) == Login("ada", "%a")
    assert login.login("http://b%40b:p%3Aw@x", {}) == Login("b@b", "p:w")
    assert login.login(
        "http://b:c@x", {"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}
    ) == Login("u", "p")
    assert login.login("http://b:c@x", {"MLFLOW_TRACKING_TOKEN": "t"}) == Login(token="t")


def test_batches_keep_mlflows_limits_and_lose_nothing() -> None:
    params = {f"p{at}": '"' * 6000 for at in range(250)}
    points = [MetricPoint("m" * 250, at, 1, at) for at in range(4321)]
    found = [*batches(params, points, {f"t{at}": "x" * 8000 for at in range(30)})]
    for batch in found:
        assert len(batch.get("params", ())) <= 100
        assert len(batch.get("metrics", ())) <= 1000
        assert sum(map(len, batch.values())) <= 1000
        assert len(json.dumps(batch, ensure_ascii=False)) < 1_000_000
    assert [item["key"] for batch in found for item in batch.get("params", ())] == [*params]
    assert [item["step"] for batch in found for item in batch.get("metrics", ())] == [*range(4321)]
    assert [*found[-1]] == ["tags"] or "tags" in found[-1]
    assert [*batches({}, (), {})] == []


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("https://ada:pw@example.org/t/n.git", "https://example.org/t/n.git"),
        ("git@example.org:t/n.git", "https://example.org/t/n.git"),
        ("ssh://git@example.org:22/t/n.git", "https://example.org/t/n.git"),
        ("/srv/git/n.git", None),
        ("file:///srv/n.git", None),
    ],
)
def test_the_link_to_the_code_has_no_credentials(
    project: Project, remote: str, shown: str | None
) -> None:
    project.git("remote", "add", "origin", remote)
    assert repository(Repo.discover()) == shown


def test_the_server_is_the_one_named_else_mlflows_own_setting_else_dagshubs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitexp.cli import sync

    project.git("remote", "add", "origin", "git@dagshub.com:ada/nets.git")
    monkeypatch.setenv("DAGSHUB_CLIENT_TOKENS_CACHE", str(project.root / "none"))
    repo = Repo.discover()
    assert sync.target(repo, None).uri == "https://dagshub.com/ada/nets.mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "gitexp:.")
    assert sync.target(repo, None).uri == "https://dagshub.com/ada/nets.mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://usual:5000")
    monkeypatch.setenv("DAGSHUB_CLIENT_HOST", "nonsense")
    assert sync.target(repo, None).uri == "http://usual:5000"
    assert sync.target(repo, "http://named").uri == "http://named"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT")
def test_ctrl_c_says_how_to_go_on(project: Project) -> None:
    record(project, metrics={"rmse": 1})
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "gitexp", "export", "mlflow", uri],
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.accept()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.split("\n") == [
        "what is missing goes there when the same command is run again",
        "",
        "gitexp: interrupted",
        "",
    ]


def test_without_any_address_the_ways_to_give_one_are_said(project: Project) -> None:
    from gitexp.cli import sync

    with pytest.raises(GitexpError, match="which MLflow server"):
        sync.target(Repo.discover(), None)


def test_a_push_of_some_experiments_mirrors_only_those(project: Project) -> None:
    for value in (1, 2):
        record(project, metrics={"rmse": value})
    for args in (["exp-1", "--mlflow", "http://here"], ["--mlflow", "http://here", "exp-1"]):
        assert (
            project.gitexp("push", *args, "--dry-run")
            == "would mirror 1 experiment to http://here\n"
        )


@pytest.mark.slow
@pytest.mark.xdist_group("mirror")
def test_push_sends_to_the_git_remote_and_then_mirrors(
    project: Project, mlflow: Server, address: str, tmp_path: Path
) -> None:
    project.git("init", "-q", "--bare", str(tmp_path / "remote.git"))
    made = record(project, metrics={"rmse": 1})
    assert "there is no git remote" in project.run("push", "--mlflow", address, "--dry-run").stderr
    project.git("remote", "add", "origin", str(tmp_path / "remote.git"))
    assert "would mirror 1 experiment to" in project.gitexp(
        "push", "--mlflow", address, "--dry-run"
    )
    assert runs(mlflow) == {}
    done = project.run("push", "--mlflow", "origin", "exp-1", env={"MLFLOW_TRACKING_URI": address})
    assert done.returncode == 0, done.stderr
    assert "pushed 1 experiment to origin" in done.stdout
    assert done.stderr.endswith(f"mirrored to {address}: 1 new\n")
    assert made.id in project.git("ls-remote", "origin")
    assert runs(mlflow)["exp-1"].tags["mlflow.source.git.commit"] == made.id


def test_dagshubs_server_and_token_are_filled_in_by_themselves(
    project: Project, stranger: str
) -> None:
    record(project, metrics={"rmse": 1})
    _Answers.seen.clear()
    hub = {
        "DAGSHUB_CLIENT_HOST": stranger,
        "DAGSHUB_USER_TOKEN": "t0ken",
        "DAGSHUB_CLIENT_TOKENS_CACHE": "/nowhere",
    }
    project.gitexp("remote", "dagshub", "ada/nets", env=hub)
    # git finds no repository there, and goes first
    said = project.error("push", "--mlflow", "--dry-run", env=hub)
    assert "origin" in said
    to = project.error("export", "mlflow", f"{stranger}/ada/nets.mlflow", env=hub)
    assert to.startswith(f"{stranger}/ada/nets.mlflow is not an MLflow server")
    assert _Answers.seen == ["Basic " + base64.b64encode(b"t0ken:t0ken").decode()]
    _Answers.seen.clear()
    project.error(
        "export", "mlflow", f"{stranger.replace('127.0.0.1', 'localhost')}/ada/nets.mlflow", env=hub
    )
    assert _Answers.seen == [None], "the token went to another host"
