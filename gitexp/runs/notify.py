"""Notifications that a run ended, or that something asked for happened in it: by a command, a
webhook or the terminal.

The address of a webhook is a secret, and given as the name of a variable of the environment. A
process of its own looks after the run: it sees what is asked for while it goes on, and tells where
gitexp itself was killed, which it knows by the end of a pipe.
"""

from __future__ import annotations

import json
import math
import operator
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gitexp.formats import message, redaction
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.printed import read_output
from gitexp.runs import journal

BELL = "bell"
_PATIENCE = 10  # seconds
_WEBHOOK = re.compile(r"webhook:([A-Za-z_]\w*)")
_LOOK = 0.5  # seconds between two looks at a run
_THRESHOLD = re.compile(r"(\S+?)\s*(<=|>=|<|>)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)")
_SILENT = re.compile(r"silent\s+(\S+)")
_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_START = "from gitexp.runs.notify import run_watcher; run_watcher()"


def check(targets: Sequence[str]) -> None:
    """Raise UsageError where a target cannot be told anything."""
    for target in targets:
        if re.match(r"(webhook:)?https?://", target):
            raise UsageError(
                "the address of a webhook is a secret: put it into a variable of the environment,"
                " and write its name: --notify webhook:GITEXP_WEBHOOK"
            )
        match = _WEBHOOK.fullmatch(target)
        if match and not os.environ.get(match[1], "").startswith(("http://", "https://")):
            raise UsageError(f"${match[1]} holds no address; set it to where the webhook listens")
        if not target.strip() or (target.startswith("webhook:") and not match):
            raise UsageError(
                f"'{target}' cannot be notified; write bell, webhook:VARIABLE or a command"
            )


def tell(targets: Sequence[str], facts: Mapping[str, Any]) -> list[str]:
    """Tell all targets but ``bell`` how a run ended, and return what went wrong. A command gets the
    facts as JSON on its standard input, and as variables: GITEXP_NAME, GITEXP_STATUS..."""
    faults = []
    for target in targets:
        if target == BELL:
            continue
        try:
            match = _WEBHOOK.fullmatch(target)
            if match:
                _post(os.environ[match[1]], facts)
            else:
                _call(target, facts)
        except Exception as error:  # whatever a library raises, the run is over and recorded
            what = "the webhook" if match else f"'{redaction.redact_all(target)}'"
            faults.append(f"notifying {what} failed: {_without_address(error)}")
    return faults


def text_of(facts: Mapping[str, Any]) -> str:
    """Return how a run ended, in a line."""
    values = ", ".join(f"{name}={value:.6g}" for name, value in list(facts["metrics"].items())[:3])
    why = f": {facts['error']}" if facts.get("error") else ""
    who = facts["name"] or facts.get("command") or "a run"
    return f"{who} {facts['status']}{why}" + (f" ({values})" if values else "")


def _call(command: str, facts: Mapping[str, Any]) -> None:
    words = {f"GITEXP_{key.upper()}": str(facts[key] or "") for key in ("name", "status", "error")}
    shell = ["sh", "-c", command] if os.name == "posix" else ["cmd", "/c", command]
    env = {**os.environ, **words, "GITEXP_TEXT": text_of(facts)}
    said = json.dumps(message.portable(facts)).encode()
    done = subprocess.run(shell, input=said, env=env, timeout=_PATIENCE, capture_output=True)
    if done.returncode:
        raise OSError(f"it ended with {done.returncode}")


def _post(address: str, facts: Mapping[str, Any]) -> None:
    import httpx

    # text is what Slack and its like show
    body = {"text": text_of(facts), **message.portable(facts)}
    httpx.post(address, json=body, timeout=_PATIENCE).raise_for_status()


def _without_address(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"it answered {response.status_code}"
    return re.sub(r"https?://\S+", "…", str(error)) or type(error).__name__


# -- while it goes on ------------------------------------------------------------------------------


def check_when(conditions: Sequence[str]) -> None:
    """Raise UsageError where a condition is none."""
    for text in conditions:
        _is_met(text, (), 0)


@contextmanager
def watcher(
    folder: Path, targets: Sequence[str], conditions: Sequence[str], command: str
) -> Iterator[None]:
    """Have a process look after this folder's run meanwhile; the caller tells of the end."""
    asked = {"folder": str(folder), "here": os.getcwd(), "targets": list(targets),
             "conditions": list(conditions), "command": command}  # fmt: skip
    start = [sys.executable, "-c", _START]
    process = subprocess.Popen(start, cwd=folder, stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdin
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    process.stdin.flush()
    try:
        yield
    finally:
        with suppress(OSError, subprocess.TimeoutExpired):
            process.communicate(b"told\n", timeout=_PATIENCE)


def run_watcher() -> None:
    """Be the process that looks after a run; its standard input says which, and ends with it."""
    asked = json.loads(sys.stdin.buffer.readline())
    os.chdir(asked["here"])
    ended = threading.Event()
    rest: list[bytes] = []

    def wait() -> None:
        rest.append(sys.stdin.buffer.read())
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    watch = _Watch(Path(asked["folder"]), asked["conditions"])
    facts = {"name": None, "id": None, "command": asked["command"]}
    while not ended.wait(_LOOK):
        for text in watch.look():
            _tell_all(asked["targets"], {**facts, "status": "running", "error": text}, watch)
    if not any(rest):
        why = "gitexp itself was killed; to record what was logged: gitexp recover"
        _tell_all(asked["targets"], {**facts, "status": "killed", "error": why}, watch)


def _tell_all(targets: Sequence[str], facts: dict[str, Any], watch: _Watch) -> None:
    said = "\a" if BELL in targets else ""
    faults = tell(targets, {**facts, "metrics": dict(watch.last)})
    said += "".join(f"warning: {message.one_line(fault)}\n" for fault in faults)
    with suppress(OSError):
        sys.stderr.write(said)


class _Watch:
    """What a run logged or printed since the last look, and which conditions that meets."""

    def __init__(self, folder: Path, conditions: Sequence[str]) -> None:
        self.last: dict[str, float] = {}
        self._folder = folder
        self._left = list(conditions)
        self._rows = self._printed = 0  # bytes of metrics.csv and output.log that are read
        self._size = 0  # of output.log
        self._moved = time.monotonic()

    def look(self) -> list[str]:
        """Return what is to be told now."""
        before = self._rows, self._size
        logged, self._rows = journal.points(self._folder, self._rows)
        points = [*logged, *read_output(self._lines().decode("utf-8", "replace"))]
        if (self._rows, self._size) != before:
            self._moved = time.monotonic()
        self.last.update({point.name: point.value for point in points})
        silent = time.monotonic() - self._moved
        met = [text for text in self._left if _is_met(text, points, silent)]
        self._left = [text for text in self._left if text not in met]
        return met

    def _lines(self) -> bytes:
        """Return the whole lines that were printed since the last look."""
        with suppress(OSError), open(self._folder / "output.log", "rb") as file:
            file.seek(self._printed)
            data = file.read()
            self._size = file.tell()
            whole = data[: data.rfind(b"\n") + 1]
            self._printed += len(whole)
            return whole
        return b""


def _is_met(text: str, points: Sequence[MetricPoint], silent: float) -> bool:
    """Whether points, or the seconds of silence, meet a condition; raises UsageError for none."""
    if match := _SILENT.fullmatch(text):
        return silent >= message.parse_seconds(match[1])
    if text == "nan":
        return any(math.isnan(point.value) for point in points)
    with suppress(ValueError):
        if match := _THRESHOLD.fullmatch(text.strip()):
            name, bound, reached = match[1], float(match[3]), _SIGNS[match[2]]
            return any(point.name == name and reached(point.value, bound) for point in points)
    raise UsageError(
        f"'{text}' is not a condition; write a threshold like 'loss < 0.2', nan, or 'silent 10m'"
    )
