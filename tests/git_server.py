"""A git server over smart HTTP on loopback: ``git http-backend`` behind a small WSGI server, with
basic authentication."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

USER, TOKEN = "ada", "s3cret-token"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the bare repositories in a folder, and yield the address that a repository's name
    completes. A file ``no-pushes`` in it has what is sent refused, though not the question before."""
    with make_server(
        "127.0.0.1", 0, _application(folder), server_class=_Server, handler_class=_Quiet
    ) as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def helper(token: str = TOKEN) -> str:
    """Return a git credential helper that knows the token: the way that keeps it out of addresses
    and arguments."""
    return f"!f() {{ echo username={USER}; echo password={token}; }}; f"


def _application(folder: Path) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    allowed = "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        sent = environ["PATH_INFO"].endswith("/git-receive-pack")
        refused = sent and (folder / "no-pushes").exists()
        if refused or environ.get("HTTP_AUTHORIZATION") != allowed:
            start(
                "401 Unauthorized",
                [("WWW-Authenticate", 'Basic realm="git"'), ("Content-Length", "0")],
            )
            return [b""]
        length = int(environ.get("CONTENT_LENGTH") or 0)
        cgi = {
            "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": USER,
            "PATH_INFO": environ["PATH_INFO"],
            "QUERY_STRING": environ.get("QUERY_STRING", ""),
            "REQUEST_METHOD": environ["REQUEST_METHOD"],
            "CONTENT_TYPE": environ.get("CONTENT_TYPE", ""), "CONTENT_LENGTH": str(length),
            "REMOTE_ADDR": "127.0.0.1",
        }  # fmt: skip
        for name, variable in (
            ("HTTP_GIT_PROTOCOL", "GIT_PROTOCOL"),
            ("HTTP_CONTENT_ENCODING", "HTTP_CONTENT_ENCODING"),
        ):
            if name in environ:
                cgi[variable] = environ[name]
        body = (
            _chunked(environ)
            if environ.get("HTTP_TRANSFER_ENCODING") == "chunked"
            else environ["wsgi.input"].read(length)
        )
        cgi.update({} if length else {"CONTENT_LENGTH": str(len(body))})
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            env={**os.environ, **cgi},
            check=False,
        )
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        headers = [
            (name, value.strip())
            for name, _, value in (line.partition(":") for line in head.decode().split("\r\n"))
        ]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        start(
            status,
            [
                *((name, value) for name, value in headers if name != "Status"),
                ("Content-Length", str(len(answer))),
            ],
        )
        return [answer]

    return application


def _chunked(environ: dict[str, Any]) -> bytes:
    source, body = environ["wsgi.input"], b""
    while size := int(source.readline().split(b";")[0], 16):
        body += source.read(size)
        source.readline()
    source.readline()
    return body
