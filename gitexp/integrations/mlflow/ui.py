"""MLflow's own server on a repository, on this machine only, as a child process that ends with the caller.

A process of its own and not a thread: MLflow's server is made of worker processes in any case, and one group of them is
what can be stopped for sure.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

from gitexp.errors import GitexpError
from gitexp.extras import needed
from gitexp.repo import Repo

PATIENCE = 600.0  # seconds until the server must answer; its first import takes ten on a slow disk, and more on a busy machine
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@contextmanager
def served(repo: Repo, port: int | None = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run MLflow's server on a repository; yields its address and its process once it answers, and stops it.

    Args:
        port: a free one unless it is said.

    Raises:
        MissingExtraError: MLflow is not installed.
        GitexpError: the server ended, or does not answer.
    """
    needed("mlflow", "MLflow's pages", "mlflow")
    port = port or _free()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"gitexp:{quote(repo.root.as_posix())}"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    folder = repo.make_state_dir("mlflow")
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **_QUIET},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(server, address, str(folder / "server.log"))
        yield address, server
    finally:
        _stop(server)


def _wait(server: subprocess.Popen[bytes], address: str, log: str) -> None:
    until = time.monotonic() + PATIENCE
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the environment is not for this machine
    while time.monotonic() < until:
        if server.poll() is not None:
            raise GitexpError(f"MLflow's server ended with exit code {server.returncode}; {log} says why")
        with suppress(OSError), ask.open(f"{address}/health", timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise GitexpError(f"MLflow's server does not answer after {PATIENCE:.0f} s; {log} may say why")


def _stop(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(server.pid, number)
            else:
                server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
