"""The live report: a web server, for this machine only, that tells the page what is new.

Who asks must know the token of the address and name this server as host, so that no other page
of the browser (or name that an attacker's DNS points here) reads or writes anything.
"""

from __future__ import annotations

import hmac
import json
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gitexp.formats import settings
from gitexp.formats.errors import GitexpError, UsageError
from gitexp.formats.experiment import VERDICTS, Experiment
from gitexp.repo import Repo
from gitexp.repo.files import modified
from gitexp.report import data, page
from gitexp.runs import journal, unrecorded
from gitexp.store import names, notes, query, record, result_paths
from gitexp.store.index import Index

EVERY = 0.4  # seconds between two looks at what goes on
_LARGEST = 100_000  # bytes of an edit
Points = dict[str, dict[str, list[list[Any]]]]


class Live:
    """What is known now, collected again only when something but points of runs has changed.

    Args:
        everybody: the experiments that others pushed, too.
    """

    def __init__(self, repo: Repo, everybody: bool = False) -> None:
        self.repo = repo
        self.token = secrets.token_urlsafe(24)
        self._everybody = everybody
        self._lock, self._blocks_lock = threading.Lock(), threading.Lock()
        self._mark: Any = None
        self._folders: dict[str, int] = {}
        self._number = 0
        self._report = data.Report({}, {})
        self._experiments: dict[str, Experiment] = {}
        self._blocks: dict[str, str] = {}
        self._curves: dict[Any, Any] = {}
        self._offsets: dict[str, int] = {}
        self._undo: list[Callable[[], None]] = []

    def now(self) -> tuple[int, data.Report, dict[str, int]]:
        """Return the number of the state, its report, and how far each run's metrics are in it."""
        with self._lock:
            mark = self._state()
            if mark != self._mark:
                runs = unrecorded.runs(self.repo)
                index = Index(self.repo)
                condition, _ = query.in_reach(index, query.EVERYTHING, self._everybody)
                condition, _ = query.current(index, condition, self._everybody)
                recorded = index.select(*condition, everybody=self._everybody)
                known = settings.load(self.repo.root, self.repo.project)
                report = data.collect(self.repo, known, [*runs, *recorded], known=self._curves)
                self._number += 1
                report.table["live"] = self._number
                self._report, self._mark, self._blocks = report, mark, {}
                self._experiments = {item.id: item for item in recorded}
                self._offsets = {item.name: unrecorded.size(item) for item in runs}
            return self._number, self._report, dict(self._offsets)

    def outdate(self) -> None:
        """Have everything collected again, since a run logged what the table has no column for."""
        with self._lock:
            self._mark = None

    def points(self, offsets: dict[str, int]) -> Points:
        """Return the points that runs logged beyond the offsets, and move those."""
        found: Points = {}
        for name, offset in offsets.items():
            folder = journal.folder_of(self.repo, name)
            points, offsets[name] = journal.points(folder, offset)
            for point in points:
                value = point.value if math.isfinite(point.value) else None
                row = [point.step, point.timestamp, value]
                found.setdefault(name, {}).setdefault(point.name, []).append(row)
        return found

    def block(self, name: str) -> str | None:
        """Return a part of the report as JSON, None where there is no such part."""
        _, report, _ = self.now()
        with self._blocks_lock:  # two pages at once ask for the same
            if name in report.details and name not in self._blocks:
                self._blocks[name] = "".join(page.pieces(report.details[name]))
            return self._blocks.get(name)

    def edit(self, wanted: Any) -> int:
        """Write what the page asks for into git, and return the number by which it is undone:
        a label, note or verdict of experiments, the removal of their tags, or an undoing.

        Raises:
            UsageError: it is no edit, or of no experiment here.
        """
        if not isinstance(wanted, dict):
            raise UsageError("an edit is an object")
        number = wanted.get("undo")
        if isinstance(number, int) and 0 < number <= len(self._undo):
            self._undo[number - 1]()
            return 0
        self.now()
        commits = wanted.get("commits")
        if not isinstance(commits, list) or not commits:
            raise UsageError("an edit names commits")
        if not all(isinstance(one, str) and one in self._experiments for one in commits):
            raise UsageError("there is no such experiment here")
        found = [self._experiments[commit] for commit in commits]
        if wanted.get("delete") is True:
            record.remove(self.repo, found)
            undo = partial(record.restore, self.repo, found)
        else:
            lines = notes.add(self.repo, commits, [self._event(wanted, found)])
            undo = partial(notes.take_back, self.repo, commits, lines)
        with self._lock:  # of two edits at once each has a number of its own
            self._undo.append(undo)
            return len(self._undo)

    def _event(self, wanted: dict[str, Any], found: list[Experiment]) -> dict[str, str]:
        """Return what the notes are to say."""
        label, note, verdict = wanted.get("label"), wanted.get("note"), wanted.get("verdict")
        name = wanted.get("name")
        if isinstance(label, str) and label[:1] in ("+", "-"):
            return {"label": label[0] + names.check_label(label[1:])}
        if isinstance(note, str) and note.strip():
            return {"note": note.strip()}
        if verdict in VERDICTS:
            because = str(wanted.get("because") or "").strip()
            return {"verdict": str(verdict)} | ({"because": because} if because else {})
        if isinstance(name, str) and len(found) == 1:
            return names.alias(self.repo, found[0], name)
        raise UsageError("an edit is a label to add or remove, a note, a second name or a verdict")

    def _state(self) -> Any:
        """Return what differs when an experiment, a label, a param or a run comes or goes."""
        runs = journal.folders(self.repo)
        return (
            self._refs(),
            [(folder.name, modified(folder / "params.yml"), _pictures(folder)) for folder in runs],
            [journal.is_alive(folder) for folder in runs],
        )

    def _refs(self) -> dict[str, int]:
        """Return when the folders of refs changed: git renames a file into them at each change."""
        common = str(self.repo.common_dir)
        while True:
            seen = {folder: modified(Path(folder)) for folder in self._folders}
            if not seen or seen != self._folders:
                tops = ("tags", "notes", "gitexp/remotes")
                walks = (os.walk(f"{common}/refs/{top}") for top in tops)
                folders = [folder for walk in walks for folder, _, _ in walk]
                kept = ("refs", "refs/gitexp", "packed-refs", "reftable/tables.list")
                folders += [f"{common}/{name}" for name in kept]
                seen = {folder: modified(Path(folder)) for folder in folders}
            self._folders = seen
            # a change within the same tick of the clock would not be seen
            if time.time_ns() - max(seen.values()) > 20_000_000:
                return seen
            time.sleep(0.02)


def _pictures(folder: Path) -> list[int]:
    """Return when files of figures and images came to a run last, folder by folder."""
    own = folder / "artifacts" / result_paths.ARTIFACTS
    return [modified(own), *map(modified, (own / "images").glob("*"))]


@contextmanager
def served(repo: Repo, port: int | None = None, everybody: bool = False) -> Iterator[str]:
    """Serve the page of a repository in a thread; yields its address.

    Args:
        everybody: the experiments that others pushed, too.

    Raises:
        MissingExtraError: Jinja2 is not installed.
        UsageError: the port is taken.
    """
    page.needs()
    live = Live(repo, everybody)
    handler = type("Handler", (_Handler,), {"live": live})
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port or 0), handler)
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be used: {error.strerror}; choose another, or leave --port out"
        ) from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/?token={live.token}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    live: Live
    protocol_version = "HTTP/1.0"  # an answer ends with its connection

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is the user's."""

    def do_GET(self) -> None:
        if not self._allowed():
            return
        path = urlsplit(self.path).path
        if path == "/events":
            # the page was closed, or asks again and is told what is wrong
            with suppress(OSError, GitexpError):
                self._follow()
            return
        try:
            self._answer(path)
        except GitexpError as error:  # in the repository, such as its settings
            self._send(str(error), "text/plain; charset=utf-8", 500)

    def _answer(self, path: str) -> None:
        _, report, _ = self.live.now()
        kind, _, name = path[1:].partition("/")
        if path == "/":
            self._send(page.render(report), "text/html; charset=utf-8")
        elif kind == "table":
            self._send(json.dumps(report.table))
        elif kind == "block" and (block := self.live.block(name)):
            self._send(block)
        else:
            self._send("there is nothing here", "text/plain", 404)

    def do_POST(self) -> None:
        origin = self.headers.get("Origin")
        if not self._allowed(origin == f"http://{self.headers.get('Host')}"):
            return
        try:
            size = int(self.headers.get("Content-Length", 0))
            if not 0 < size <= _LARGEST or self.headers.get_content_type() != "application/json":
                raise UsageError("an edit is a little JSON")
            undo = self.live.edit(json.loads(self.rfile.read(size)))
        except (GitexpError, OSError, ValueError) as error:
            self._send(str(error), "text/plain; charset=utf-8", 400)
        else:
            self._send(json.dumps({"undo": undo}))

    def _allowed(self, same_origin: bool = True) -> bool:
        port = self.connection.getsockname()[1]
        host = self.headers.get("Host") in (f"127.0.0.1:{port}", f"localhost:{port}")
        given = parse_qs(urlsplit(self.path).query).get("token", [""])[0].encode()
        known = hmac.compare_digest(given, self.live.token.encode())
        site = self.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        if host and known and (site or self.command == "GET") and same_origin:
            return True
        self._send("open the address that gitexp ui printed", "text/plain", 403)
        return False

    def _send(self, text: str, kind: str = "application/json", code: int = 200) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(code)
        self._headers(kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _headers(self, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")

    def _follow(self) -> None:
        """Tell what is new until the page is closed."""
        self.send_response(200)
        self._headers("text/event-stream")
        self.end_headers()
        known, quiet = -1, 0.0
        offsets: dict[str, int] = {}
        while True:
            number, report, start = self.live.now()
            if number != known:
                known, offsets = number, start
                self._tell("table", number)
            if found := self.live.points(offsets):
                self._tell("points", {"state": number, "runs": found})
                logged = {name for run in found.values() for name in run}
                if not logged <= report.table["metrics"].keys():
                    self.live.outdate()
            quiet += EVERY
            if quiet > 15:  # notice a page that is gone
                quiet = 0.0
                self.wfile.write(b":\n\n")
            time.sleep(EVERY)

    def _tell(self, event: str, what: Any) -> None:
        self.wfile.write(f"event: {event}\ndata: {json.dumps(what)}\n\n".encode())
        self.wfile.flush()
