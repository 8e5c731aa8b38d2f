"""Programs run in forks of one process that has their imports done already: scripts that would
take seconds to import MLflow, and gitexp's own command line, thousands of times.

Run as a program it is that process: it reads one JSON line for each, forks, and the fork runs it as
``python FILE`` or ``python -m gitexp`` would, to the end of its interpreter: exit handlers, uncaught
exceptions and exit codes are real. Before scripts nothing of gitexp is imported but what ``import
mlflow`` itself loads (the plugin). Where forking is not safe, each has a process of its own.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import runpy
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

DEADLINE = 600.0  # seconds; a script that takes longer is hung, however busy the machine
_FORKS = sys.platform == "linux"
LIBRARIES = {  # of commands that tests run often
    "sweep": ("loky.process_executor", "loky.backend.popen_loky_posix"),
    "plot": ("matplotlib.pyplot",),
}


class Ended(NamedTuple):
    """How a script ended: its exit code (negative for a signal), and what it printed."""

    code: int
    out: str
    err: str


class Script:
    """A script that goes on."""

    def __init__(
        self, pid: int, out: Path, err: Path, process: subprocess.Popen[bytes] | None, warm: Warm
    ) -> None:
        self.pid = pid
        self._out, self._err = out, err
        self._process, self._warm = process, warm

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def printed(self) -> str:
        """Return what it printed until now."""
        return self._out.read_text() if self._out.exists() else ""

    def wait(self) -> Ended:
        """Wait for its end."""
        code = self._process.wait(DEADLINE) if self._process else self._warm.wait(self.pid)
        return Ended(code, self._out.read_text(), self._err.read_text())


class Warm:
    """The process that has the imports done."""

    def __init__(self, folder: Path, modules: Sequence[str]) -> None:
        self.folder = folder
        self._count = 0
        self._lock = threading.Lock()
        self._parent: subprocess.Popen[str] | None = None
        environ = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
        }
        self._interpreter = _of_interpreter(environ)
        if _FORKS:
            command = [sys.executable, __file__, *modules]
            self._parent = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=folder,
                env=environ,
            )
            assert self._answer() == "ready"

    def start(self, file: Path, *args: str, cwd: Path | None = None, **environ: str) -> Script:
        """Start a script with the environment of now and more variables, in its own folder unless
        another is said."""
        out, err = self._outputs()
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environ}
        if self._parent is None:
            command = [sys.executable, str(file), *args]
            with open(out, "wb") as first, open(err, "wb") as second:
                own = subprocess.Popen(
                    command,
                    cwd=cwd or file.parent,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=first,
                    stderr=second,
                )
            return Script(own.pid, out, err, own, self)
        task = {
            "argv": [str(file), *args],
            "cwd": str(cwd or file.parent),
            "env": env,
            "out": str(out),
            "err": str(err),
        }
        return Script(int(self.ask(task)), out, err, None, self)

    def run(
        self, file: Path, *args: str, cwd: Path | None = None, code: int = 0, **environ: str
    ) -> Ended:
        """Run a script to its end, and require its exit code."""
        ended = self.start(file, *args, cwd=cwd, **environ).wait()
        assert ended.code == code, f"exit code {ended.code}\n{ended.out}\n{ended.err}"
        return ended

    def module(
        self, name: str, *args: str, cwd: Path, env: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python -m name`` with this environment, as ``subprocess.run`` would."""
        command = [sys.executable, "-m", name, *args]
        if self._parent is None or _of_interpreter(env) != self._interpreter:
            return subprocess.run(
                command, cwd=cwd, env=env, timeout=timeout, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="surrogateescape",
            )  # fmt: skip
        out, err = self._outputs()
        task = {"module": name, "argv": command, "cwd": str(cwd), "env": env}
        pid = int(self.ask({**task, "out": str(out), "err": str(err)}))
        code = self.wait(pid, timeout)
        texts = [path.read_text(errors="surrogateescape") for path in (out, err)]
        for path in (out, err):
            path.unlink()
        return subprocess.CompletedProcess(command, code, *texts)

    def wait(self, pid: int, timeout: float = DEADLINE) -> int:
        """Wait until a fork has ended, and return its exit code."""
        watched = os.pidfd_open(pid)
        try:
            if not select.select([watched], [], [], timeout)[0]:
                os.kill(pid, 9)
                raise subprocess.TimeoutExpired(str(pid), timeout)
        finally:
            os.close(watched)
        return int(self.ask({"wait": pid}))

    def ask(self, what: dict[str, Any]) -> str:
        assert self._parent is not None
        assert self._parent.stdin is not None
        with self._lock:
            self._parent.stdin.write(json.dumps(what) + "\n")
            self._parent.stdin.flush()
            return self._answer()

    def _outputs(self) -> tuple[Path, Path]:
        with self._lock:
            self._count += 1
            return self.folder / f"{self._count}.out", self.folder / f"{self._count}.err"

    def close(self) -> None:
        """End it."""
        if self._parent is not None:
            self._parent.communicate(timeout=DEADLINE)

    def _answer(self) -> str:
        assert self._parent is not None
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().strip()


def _of_interpreter(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a Python reads as it starts, which no fork does again."""
    own = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC")
    return {name: value for name, value in env.items() if name.startswith(own)}


@functools.cache
def command_line(command: str = "") -> Warm:
    """Return the process that has imported what gitexp's commands import, one for each that runs
    tests; and those of ``LIBRARIES``, one with what these import beyond."""
    import gitexp

    rooms = ("cli", "compare", "formats", "repo", "runs", "store")
    top = Path(gitexp.__file__).parent
    modules = [f"gitexp.{room}.{file.stem}" for room in rooms for file in (top / room).glob("*.py")]
    made = Warm(Path(tempfile.mkdtemp()), [*modules, *LIBRARIES.get(command, ())])
    atexit.register(made.close)
    return made


@contextmanager
def warmed(folder: Path, *modules: str) -> Iterator[Warm]:
    """Have a process that imported these modules, and end it."""
    made = Warm(folder, modules)
    try:
        yield made
    finally:
        made.close()


def _serve() -> dict[str, Any]:
    """Answer the tests until they close the pipe; returns only in a fork, with what it shall do."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an import prints is no answer
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        if "wait" in task:
            print(
                os.waitstatus_to_exitcode(os.waitpid(task["wait"], 0)[1]), file=answers, flush=True
            )
            continue
        child = os.fork()
        if child:
            print(child, file=answers, flush=True)
            continue
        answers.close()
        _become(task)
        return dict(task)
    sys.stdout.flush()
    os._exit(0)


def _become(task: dict[str, Any]) -> None:
    """Give a fork the streams, the folder and the environment that the test wants."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, path in ((1, task["out"]), (2, task["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  it ends with the interpreter
    os.chdir(task["cwd"])
    os.environ.clear()
    os.environ.update(task["env"])


if __name__ == "__main__":
    import importlib
    from contextlib import suppress

    for module in sys.argv[1:]:
        with suppress(ImportError):
            importlib.import_module(module)
    gc.freeze()  # pages that the forks' collectors need not touch
    task = _serve()
    if "module" in task:
        sys.orig_argv, sys.argv = task["argv"], task["argv"][2:]
        sys.path[0] = task["cwd"]
        runpy.run_module(task["module"], run_name="__main__", alter_sys=True)
    else:
        sys.argv = task["argv"]
        sys.path[0] = os.path.dirname(sys.argv[0])
        runpy.run_path(sys.argv[0], run_name="__main__")
