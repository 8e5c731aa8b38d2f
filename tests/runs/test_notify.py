"""A word when a run ends, to a command, a webhook or the terminal; none of it harms the run."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from conftest import Project


@pytest.fixture
def heard() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on this machine that keeps what is posted to it, and its address."""
    kept: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", kept
    server.shutdown()
    server.server_close()


def test_a_webhook_hears_of_an_end_and_of_a_crash(
    project: Project, heard: tuple[str, list[dict[str, Any]]]
) -> None:
    address, kept = heard
    project.write(".gitexp.toml", 'notify = ["webhook:HOOK"]\n')
    env = {"HOOK": address}
    project.gitexp("run", "--", "python", "-c", "print('loss=0.5')", env=env)
    project.gitexp(
        "run", "--", "python", "-c", "print('loss=nan'); raise SystemExit(3)", code=3, env=env
    )
    assert [(one["name"], one["status"]) for one in kept] == [
        ("exp-1", "finished"),
        ("exp-2", "failed"),
    ]
    assert kept[0]["text"] == "exp-1 finished (loss=0.5)"
    assert kept[1]["metrics"] == {"loss": "nan"}
    assert address not in project.git("log", "-p", "--all")


def test_a_webhook_that_fails_is_told_without_its_address(
    project: Project, heard: tuple[str, list[dict[str, Any]]]
) -> None:
    env = {"HOOK": f"{heard[0]}/broken"}
    done = project.run("run", "--notify", "webhook:HOOK", "--", "python", "-c", "", env=env)
    assert done.returncode == 0
    assert "warning: notifying the webhook failed: it answered 500" in done.stderr
    assert heard[0] not in done.stderr


def test_a_command_gets_the_facts(project: Project) -> None:
    told = "cat > told.json; echo $GITEXP_STATUS > status.txt"
    fails = "print('loss=nan'); raise SystemExit(1)"
    project.gitexp("run", "--notify", told, "--", "python", "-c", fails, code=1)
    strict = json.loads((project.root / "told.json").read_text(), parse_constant=lambda word: None)
    assert (strict["name"], strict["metrics"]) == ("exp-1", {"loss": "nan"})
    assert (project.root / "status.txt").read_text() == "failed\n"
    done = project.run("run", "--notify", "exit 4", "--notify", "bell", "--", "python", "-c", "")
    assert done.returncode == 0
    assert "notifying 'exit 4' failed: it ended with 4" in done.stderr
    assert "\a" in done.stderr


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("https://example.org/secret", "a variable of the environment"),
        ("webhook:https://example.org/secret", "a variable of the environment"),
        ("webhook:NOWHERE", "$NOWHERE holds no address"),
        ("webhook:", "cannot be notified"),
        (" ", "cannot be notified"),
    ],
)
def test_what_cannot_be_told_is_said_before_the_run(
    project: Project, target: str, why: str
) -> None:
    assert why in project.error("run", "--notify", target, "--", "python", "-c", "")
    assert project.tags() == []


LIVE = """import time, gitexp
with gitexp.start_run() as run:
    for loss in (0.9, 0.15, float('nan')):
        run.log_metric("loss", loss)
        time.sleep(1)
"""


def test_a_threshold_nan_and_silence_are_told_while_it_goes_on(
    project: Project, heard: tuple[str, list[dict[str, Any]]]
) -> None:
    address, kept = heard
    project.write("live.py", LIVE + "time.sleep(4)\n")
    when = ("loss < 0.2", "loss >= 5", "nan", "silent 3s")
    words = [word for text in when for word in ("--notify-when", text)]
    env = {"HOOK": address}
    project.gitexp(
        "run", "--notify", "webhook:HOOK", *words, "--", "python", "live.py", "a", env=env
    )
    told = [(one["status"], one["error"]) for one in kept]
    assert [text for status, text in told if status == "running"] == [
        "loss < 0.2", "nan", "silent 3s",
    ]  # fmt: skip
    assert told[-1] == ("finished", None)
    assert kept[0]["text"] == "python live.py a running: loss < 0.2 (loss=0.15)"


def test_the_settings_say_what_is_told_before_the_end(
    project: Project, heard: tuple[str, list[dict[str, Any]]]
) -> None:
    address, kept = heard
    project.write(".gitexp.toml", 'notify = ["webhook:HOOK"]\nnotify_when = ["loss < 0.2"]\n')
    project.write("live.py", LIVE)
    project.gitexp("run", "--", "python", "live.py", env={"HOOK": address})
    assert [one["error"] for one in kept] == ["loss < 0.2", None]
    project.write(".gitexp.toml", 'notify_when = ["loss"]\n')
    assert "is not a condition" in project.error("run", "--", "true")


def test_what_is_only_printed_counts_too(project: Project) -> None:
    script = "import time; print('epoch 1 loss: 0.1', flush=True); time.sleep(3)"
    when = ("--notify", "echo $GITEXP_TEXT >> told.txt", "--notify-when", "loss<0.2")
    project.gitexp("run", *when, "--", "python", "-c", script)
    first, last = (project.root / "told.txt").read_text().splitlines()
    assert first.endswith("running: loss<0.2 (loss=0.1)")
    assert last == "exp-1 finished (loss=0.1)"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("loss", "is not a condition"),
        ("loss < x", "is not a condition"),
        ("silent x", "is not a time"),
        ("nan", "--notify-when needs --notify"),
    ],
)
def test_a_condition_that_is_none_is_refused_before_the_run(
    project: Project, text: str, why: str
) -> None:
    targets = () if "needs --notify" in why else ("--notify", "bell")
    assert why in project.error("run", *targets, "--notify-when", text, "--", "true")
    assert project.tags() == []


@pytest.mark.slow
def test_every_end_is_told_once_that_of_a_killed_gitexp_too(
    project: Project, heard: tuple[str, list[dict[str, Any]]]
) -> None:
    address, kept = heard
    count = int(os.environ.get("TESTS_TOLD", "8"))
    for at in range(count):
        before = len(kept)
        script = ("pass", "raise SystemExit(3)", "import os; os.kill(os.getpid(), 9)",
                  "import os; os.kill(os.getppid(), 9)")[at % 4]  # fmt: skip
        done = project.run(
            "run", "--notify", "webhook:HOOK", "--", "python", "-c", script, env={"HOOK": address}
        )
        deadline = time.monotonic() + 20
        while len(kept) == before and time.monotonic() < deadline:
            time.sleep(0.05)
        expected = ("finished", "failed", "killed", "killed")[at % 4]
        assert [one["status"] for one in kept[before:]] == [expected], (at, done.stderr)
        assert ("gitexp recover" in kept[-1]["text"]) == (at % 4 == 3)
    time.sleep(1)
    assert len(kept) == count
    assert len(project.gitexp("recover").splitlines()) == count // 4


def test_a_command_of_the_repository_is_never_started(project: Project) -> None:
    project.write(".gitexp.toml", 'notify = ["touch owned"]\n')
    assert "on the command line" in project.error("run", "--", "python", "-c", "")
    assert not (project.root / "owned").exists()
