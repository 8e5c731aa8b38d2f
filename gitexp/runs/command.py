"""``gitexp run``: a command as a run. Its output is shown as it comes and kept, its signals and
exit code are passed on, and what it wrote and logged itself becomes part of the experiment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, TextIO
from urllib.parse import quote

from gitexp.formats import environment, settings
from gitexp.formats.errors import not_started
from gitexp.formats.settings import Settings
from gitexp.repo import Repo, files
from gitexp.runs import capture, outputs, parsed, process_group, written
from gitexp.runs.journal import JOIN
from gitexp.runs.run import ROOT, Run
from gitexp.runs.system_metrics import Sampler

_FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT")
_ENDED = {  # by somebody or something else; other signals are faults of the command's own
    128 + getattr(signal, name)
    for name in ("SIGINT", "SIGKILL", *_FORWARDED)
    if hasattr(signal, name)
}
_TRACKING = "MLFLOW_TRACKING_URI"
_HERE = ("", "gitexp:", "gitexp:.")  # whoever names another store gets it


class Ended(NamedTuple):
    """How a command ended: its exit code as a shell's (128 + n for signal n), its last word."""

    code: int
    # the line that ends a traceback, where the command printed one last
    exception: str | None = None
    told: int | None = None  # the last signal by which we were told to end
    found: str = ""  # a line that says which metrics and params were found in what it wrote

    @property
    def status(self) -> str:
        if self.code in _ENDED:
            return "killed"
        return "failed" if self.code else "finished"

    @property
    def error(self) -> str | None:
        """What went wrong, in a line; None where nothing did."""
        if self.code == 0:
            return None
        by = ""
        if self.code in _ENDED:
            name = signal.Signals(self.code - 128).name
            by = f" ({name}{', as where memory runs out' if name == 'SIGKILL' else ''})"
        return f"exit code {self.code}{by}" + (f": {self.exception}" if self.exception else "")


def execute(
    run: Run,
    repo: Repo,
    command: Sequence[str],
    system_metrics: bool = False,
    *,
    directory: Path | None = None,
    environ: Mapping[str, str] | None = None,
    shown: TextIO | None = None,
    apart: Path | None = None,
    known: Settings | None = None,
    keep: bool = False,
) -> Ended:
    """Run a command inside a run, and log what it used and wrote; the caller ends the run.

    Args:
        directory: where it runs, here by itself.
        environ: its environment, ours by itself.
        shown: takes all its output; by itself the two outputs go to ours.
        known: the settings, by itself those of the repository.
        keep: keep what it writes as its outputs, as where it runs here.
        apart: run it as a process group of its own, which is noted in this folder
            (``process_group.py``) and ends with the command.

    Raises:
        UsageError: there is no such program, or it may not be executed.
    """
    folder = run.folder
    known = known or settings.load(repo.root, repo.project)
    watched = outputs.watch(repo.root, directory or Path.cwd())
    env = _environ(run, repo, command[0], os.environ if environ is None else environ)
    if known.parser_params and run.reads_arguments:
        env = parsed.environ(env)
    if requirements := environment.of_interpreter(command[0]):
        with suppress(OSError):
            files.replace(folder, folder / "requirements.txt", requirements.encode())
    begun = written.mark(folder, repo)
    before = _usage()
    log = outputs.Output(folder / "output.log")
    try:
        code, told = _supervised(command, env, log, run, system_metrics, directory, shown, apart)
    except OSError as error:
        log.close()
        raise not_started(command[0], error.strerror) from None
    used = _used(before)
    run.silence()
    rest = log.close()
    outputs.pick_up(run, repo.root, watched)
    if run.snapshot:
        outputs.pick_up_data(run, repo, run.snapshot.tree)
    printed = outputs.printed(folder, rest)
    keep = keep or directory is None
    try:
        found = capture.capture(run, repo, begun, known, printed, keep, failed=bool(code))
    except Exception as error:  # the training is over, and how it ended counts
        found = capture.not_looked_through(error)
    outputs.keep_output(run, rest)
    for name, value in {"Exit-Code": code or None, **used}.items():
        run.set_fact(name, value)
    return Ended(code, outputs.exception(log.last_words, code) if code else None, told, found)


def _environ(run: Run, repo: Repo, program: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which a command finds its run."""
    ours = {JOIN: str(run.folder), ROOT: str(repo.root), "PYTHONUNBUFFERED": "1"}
    env = {**environ, **ours}
    if env.get(_TRACKING, "") in _HERE and environment.understands_gitexp(program, repo.root):
        # the same wherever the command goes
        env[_TRACKING] = f"gitexp:{quote(repo.root.as_posix())}"
    return env


def _supervised(
    command: Sequence[str],
    env: Mapping[str, str],
    log: outputs.Output,
    run: Run,
    system_metrics: bool,
    directory: Path | None,
    shown: TextIO | None,
    apart: Path | None,
) -> tuple[int, int | None]:
    """Run the command to its end; returns its exit code, and the last signal we got for it."""
    on_terminal = shown is None and sys.stdout.isatty() and os.name == "posix"
    reader, writer = _terminal() if on_terminal else os.pipe()
    with _signals_handed_on(apart is not None) as handed:
        outputs_to = {"stdout": writer, "stderr": writer if on_terminal else subprocess.PIPE}
        own: AbstractContextManager[dict[str, Any]] = nullcontext({})
        if apart:
            own = process_group.held(apart)
        try:
            with own as group:
                options = {**outputs_to, **group}
                process = subprocess.Popen(command, cwd=directory, env=env, **options)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        if apart:
            process_group.note(apart, process.pid)
        handed.start(process)
        lock = threading.Lock()
        sampler = Sampler(run, process.pid) if system_metrics else None
        sources: list[tuple[IO[bytes] | None, Any, bool]] = [
            (os.fdopen(reader, "rb", 0), shown or sys.stdout, process.stderr is None),
            (process.stderr, shown or sys.stderr, True),
        ]
        given = [(*source, log, lock) for source in sources if source[0]]
        copiers = [threading.Thread(target=_copy, args=args, daemon=True) for args in given]
        for copier in copiers:
            copier.start()
        code = process.wait()
        if apart:
            process_group.kill(apart)
        # a grandchild may hold the pipe open for ever: the command is over all the same
        for copier in copiers:
            copier.join(timeout=2)
    if sampler:
        sampler.stop()
    return code if code >= 0 else 128 - code, handed.got[-1] if handed.got else None


class _Handed:
    """The signals that we got for a command; it gets those that came before, once it runs."""

    def __init__(self, group: bool) -> None:
        self.group = group
        self.got: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        for number in self.got:
            self.send(number)

    def take(self, number: int, _frame: Any) -> None:
        again = number == signal.SIGINT and number in self.got
        self.got.append(number)
        self.send(getattr(signal, "SIGKILL", number) if again and self.group else number)

    def note(self, number: int, _frame: Any) -> None:
        """Take a signal that reaches the command by itself."""
        self.got.append(number)

    def send(self, number: int) -> None:
        with suppress(OSError):
            if self.process and self.group and sys.platform != "win32":
                os.killpg(self.process.pid, number)
            elif self.process:
                self.process.send_signal(number)


@contextmanager
def _signals_handed_on(group: bool) -> Iterator[_Handed]:
    """Hand signals on to the command; Ctrl-C twice kills a group. On a terminal both get it."""
    handed = _Handed(group)
    numbers = [getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)]
    shared = sys.platform == "win32" or (not group and _on_foreground())
    handlers = dict.fromkeys(numbers, handed.take)
    handlers[signal.SIGINT] = handed.note if shared else handed.take
    with process_group.handling(handlers):
        yield handed


def _on_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):
        return False


def _terminal() -> tuple[int, int]:
    """Return a pseudo-terminal, so that the command's colours and bars are as without us."""
    import pty

    reader, writer = pty.openpty()
    with suppress(Exception):
        import fcntl
        import termios

        size = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(writer, termios.TIOCSWINSZ, size)
        attributes = termios.tcgetattr(writer)
        attributes[1] &= ~termios.OPOST  # line ends as the command writes them
        termios.tcsetattr(writer, termios.TCSANOW, attributes)
    return reader, writer


def _copy(
    source: IO[bytes], shown: Any, is_error: bool, log: outputs.Output, lock: threading.Lock
) -> None:
    target = getattr(shown, "buffer", None)
    while True:
        try:
            data = os.read(source.fileno(), 65536)
        except OSError:  # EIO: a pseudo-terminal whose other side is closed
            return
        if not data:
            return
        with lock:
            log.write(data, is_error)
        with suppress(OSError, ValueError):
            if target is not None:
                target.write(data)
            else:
                shown.write(data.decode("utf-8", "replace"))
            shown.flush()


def _usage() -> tuple[float, int] | None:
    """Return what commands used until now, seconds and bytes; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _used(before: tuple[float, int] | None) -> dict[str, str | None]:
    """Return what was used since, as trailers have it."""
    after = _usage()
    if not (before and after):
        return {}
    seconds, megabytes = after[0] - before[0], after[1] / 1e6
    return {"CPU-Time": f"{seconds:.2f} s", "Peak-Memory": f"{megabytes:.0f} MB"}
