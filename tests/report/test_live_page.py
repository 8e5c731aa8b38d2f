"""``gitexp ui``: the report, live, in a real browser, and what a stranger cannot do with it."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

import gitexp
from conftest import Project
from gitexp.cli import ui
from gitexp.repo import Repo
from gitexp.report import server
from gitexp.runs import unrecorded
from gitexp.store.index import Index
from recording import record

pytest.importorskip("jinja2", reason="needs gitexp[report]")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def answer(address: str, path: str, headers: dict[str, str], body: Any = None) -> int:
    """Return the status that a request gets."""
    parts = urlsplit(address)
    sent = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{parts.scheme}://{parts.netloc}{path}", sent, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as got:
            return int(got.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_run_that_goes_on_is_a_row(project: Project) -> None:
    project.commit("start", train_py="x = 1")
    with gitexp.start_run({"lr": 0.1}) as run:
        run.log_metrics({"loss": 0.5}, step=1)
        found = unrecorded.runs(Repo.discover(project.root))
    assert [(item.status, item.id, item.params) for item in found] == [("running", "", {"lr": 0.1})]
    assert unrecorded.runs(Repo.discover(project.root)) == []


def test_only_who_has_the_address_reads_and_only_the_page_writes(project: Project) -> None:
    made = record(project, {"lr": 1}, {"rmse": 1.0})
    repo = Repo.discover(project.root)
    with server.served(repo) as address:
        parts = urlsplit(address)
        token, ours = f"?{parts.query}", f"http://{parts.netloc}"
        assert answer(address, f"/table{token}", {}) == 200
        assert answer(address, "/table", {}) == 403
        assert answer(address, "/table?token=x", {}) == 403
        assert answer(address, f"/table{token}", {"Host": "evil.example"}) == 403
        assert answer(address, f"/block/../x{token}", {}) == 404
        edit = {"commits": [made.id], "label": "+good"}
        kind = {"Content-Type": "application/json"}
        assert answer(address, f"/edit{token}", kind, edit) == 403
        evil = {**kind, "Origin": "http://evil.example"}
        assert answer(address, f"/edit{token}", evil, edit) == 403
        assert answer(address, "/edit", {**kind, "Origin": ours}, edit) == 403
        assert Index(repo).select()[0].labels == ()
        mine = {**kind, "Origin": ours}
        assert answer(address, f"/edit{token}", mine, {**edit, "commits": ["HEAD"]}) == 400
        assert answer(address, f"/edit{token}", mine, {**edit, "label": "+a b"}) == 400
        assert answer(address, f"/edit{token}", mine, edit) == 200
        assert Index(repo).select()[0].labels == ("good",)


def test_what_is_wrong_in_the_repository_is_told_in_a_line(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    record(project, {"lr": 1}, {"rmse": 1.0})
    project.write(".gitexp.toml", "sign = maybe")
    with server.served(Repo.discover(project.root)) as address:
        for path in ("/", "/table", "/block/curves"):
            assert answer(address, f"{path}?{urlsplit(address).query}", {}) == 500
        with urllib.request.urlopen(address.replace("/?", "/events?"), timeout=20) as events:
            assert events.read() == b""
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_page_follows_a_run_and_writes_labels(project: Project) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    record(project, {"lr": 1}, {"loss": [2.0, 1.5]})
    repo = Repo.discover(project.root)
    with server.served(repo) as address, sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(address)
        tab.wait_for_selector("tr[data-name=exp-1]")
        with gitexp.start_run({"lr": 2}) as run:
            run.log_metrics({"loss": 0.75}, step=0)
            tab.wait_for_selector("tr:has(.running)")
            run.log_metrics({"loss": 0.625}, step=1)
            tab.wait_for_selector("tr:has(.running) >> text=0.625", timeout=5000)
        tab.wait_for_selector("tr[data-name=exp-2]")
        tab.click("tr[data-name=exp-2] .link")
        tab.fill("input[aria-label='Label']", "good")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("text=Saved in git")
        tab.fill("input[aria-label='Second name']", "wide")
        tab.click("text=Rename")
        tab.wait_for_selector("dd:has-text('wide')")
        tab.wait_for_selector(".editor .chip:has-text('good')")
        tab.fill("input[aria-label='Reason']", "worse")
        tab.click("text=Discard")
        tab.wait_for_selector("dd:has-text('discarded by')")
        tab.click("text=Delete")
        tab.wait_for_selector("text=Deleted 1 experiment")
        assert [item.name for item in Index(repo).select()] == ["exp-1"]
        tab.click("#toast button")
        tab.wait_for_selector("text=Undone")
        browser.close()
    found = Index(repo).select()[0]
    assert (found.name, found.labels, found.verdict) == ("exp-2", ("good",), "discarded")


def test_what_the_page_writes_is_undone(project: Project) -> None:
    made = [record(project, {"lr": at}, {"rmse": 1.0}) for at in (1, 2)]
    live = server.Live(Repo.discover(project.root))
    commits = [item.id for item in made]

    def seen() -> list[tuple[Any, ...]]:
        found = Index(live.repo).select()
        return [(item.name, item.labels, item.notes, item.verdict) for item in found]

    before = seen()
    for edit in ({"label": "+a"}, {"note": "b"}, {"verdict": "kept", "because": "c"}):
        number = live.edit({"commits": commits, **edit})
        assert seen() != before
        assert live.edit({"undo": number}) == 0
        assert seen() == before
    number = live.edit({"commits": commits, "delete": True})
    assert seen() == []
    live.edit({"undo": number})
    assert seen() == before
    number = live.edit({"commits": commits[:1], "name": "wide"})
    assert [item.alias for item in Index(live.repo).select()] == [None, "wide"]
    with pytest.raises(gitexp.UsageError, match="is a name of exp-1 already"):
        live.edit({"commits": commits[1:], "name": "wide"})
    live.edit({"undo": number})
    assert seen() == before
    for wrong in (
        {"name": "both"},
        {"verdict": "no"},
        {"undo": 9},
        {"undo": -1},
        {"delete": 1},
        {"commits": [1]},
    ):
        with pytest.raises(gitexp.UsageError):
            live.edit({"commits": commits, **wrong})


def test_images_of_a_run_that_goes_on_are_on_the_page(project: Project) -> None:
    pytest.importorskip("PIL", reason="needs gitexp[media]")
    record(project, {"lr": 1}, {"rmse": 1.0})
    live = server.Live(Repo.discover(project.root))
    with gitexp.start_run({"lr": 2}) as run:
        states = {live.now()[0]}
        for step in (1, 2):
            run.log_image([[0, 255], [255, 0]], "sample", step=step)
            states.add(live.now()[0])
        made = json.loads(live.block("files") or "")
    assert len(states) == 3  # the page is told of each
    paths = [made["paths"][int(number)] for number in made["trees"][0]]
    assert [Path(path).name for path in paths] == ["1.png", "2.png"]
    assert all(
        made["blobs"][at]["image"].startswith("data:image/png") for at in made["trees"][0].values()
    )
    assert made["trees"][1] == {}


def test_what_others_push_is_on_the_page(project: Project, tmp_path: Path) -> None:
    project.git("init", "-q", "--bare", str(tmp_path / "remote.git"))
    project.git("remote", "add", "origin", str(tmp_path / "remote.git"))
    project.commit("start", train_py="x = 1")
    project.git("push", "-q", "-u", "origin", "HEAD")
    project.git("clone", "-q", str(tmp_path / "remote.git"), str(tmp_path / "other"))
    live = server.Live(Repo.discover(project.root), everybody=True)
    assert live.now()[1].table["experiments"]["name"] == []
    other = SimpleNamespace(root=tmp_path / "other")
    record(other, {"lr": 1}, {"rmse": 1.0})
    gitexp.push(repo=other.root)
    assert ui._pulled(live.repo) == ""
    assert live.now()[1].table["experiments"]["name"] == ["ada/exp-1"]
    shutil.rmtree(tmp_path / "remote.git")
    assert "\n" not in ui._pulled(live.repo) != ""
