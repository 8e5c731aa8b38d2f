"""MLflow's own server on a repository, on this machine only, as a child process that ends with the
caller.

A process of its own and not a thread: MLflow's server is made of worker processes in any case, and
one group of them is what can be stopped for sure.
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
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from gitexp.formats.errors import GitexpError, UsageError
from gitexp.formats.extras import needed
from gitexp.repo import Repo
from gitexp.runs import process_group

# seconds until the server must answer; its first import takes ten on a slow disk, and more on a
# busy machine
PATIENCE = 600.0
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


@contextmanager
def served(repo: Repo, port: int | None = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run MLflow's server on a repository; yields its address and its process once it answers, and
    stops it.

    Args:
        port: a free one unless it is said.

    Raises:
        MissingExtraError: MLflow is not installed.
        UsageError: the port is taken.
        GitexpError: its pages cannot work here, the server ended, or does not answer.
    """
    needed("mlflow", "MLflow's web UI", "mlflow")
    port = _free(port)
    with suppress(PackageNotFoundError):
        # MLflow takes it, but with the graphql-core of now the page of a run stays empty
        if version("graphene").startswith("2."):
            raise GitexpError(
                "MLflow's pages fail with graphene 2; install a newer one: pip install"
                " 'graphene>=3' dagshub"
            )
    address = f"http://127.0.0.1:{port}"
    store = f"gitexp:{quote(repo.root.as_posix())}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    folder = repo.make_state_dir("mlflow")
    with _signals_interrupt():
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


def _signals_interrupt() -> AbstractContextManager[None]:
    """Have a closed terminal and ``kill`` stop us as Ctrl-C does: the server has a session of its
    own, and would stay for ever."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]

    def interrupt(_number: int, _frame: Any) -> None:
        for number in numbers:  # only the first counts, so that the server is ended whole
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    # nohup means that it stays
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    return process_group.handling(dict.fromkeys(heeded, interrupt))


def _wait(server: subprocess.Popen[bytes], address: str, log: str) -> None:
    until = time.monotonic() + PATIENCE
    # a proxy of the environment is not for this machine
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < until:
        if server.poll() is not None:
            raise GitexpError(
                f"MLflow's server ended with exit code {server.returncode}; {log} says why"
            )
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


def _free(port: int | None) -> int:
    """Return a port that nobody listens on; raise UsageError where it is the wanted one, or
    another's server would answer us."""
    with socket.socket() as probe:
        # one that was let go of a moment ago is free; Windows means something else by it
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port or 0))
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used: {error.strerror}; choose another, or leave out --port"
            ) from None
        return int(probe.getsockname()[1])
