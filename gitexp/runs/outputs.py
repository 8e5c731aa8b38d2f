"""What a command printed, and what it wrote into ``params.yml`` and ``metrics.csv`` by itself: both
go into the run.

None of this can fail the run: the command is over, and what cannot be read becomes a warning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from gitexp.formats import environment, message, metrics, params, settings
from gitexp.formats.errors import FormatError, GitexpError
from gitexp.repo import Repo, dvc_pointers, dvc_status, files, snapshot
from gitexp.runs import finish, journal, written
from gitexp.runs.run import Run, join
from gitexp.store import result_paths

_NOTED = "noted"  # in the folder of a dead run whose leftovers are known as outputs
MAX_OUTPUT = 1_000_000  # bytes of output that enter the experiment: its head and its tail
_LAST_WORDS = 1 << 14  # bytes
# after the last frame, what else is printed may be more lines of the message
_TRACEBACK = r'(?m)^  File ".+", line \d+.*\n(?:[ \t].*\n)*([A-Za-z_][\w.]*(?:: .*)?)$'
_NAMED = (  # or what argparse or click says
    r"(?m)^((?:(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning)(?:: .*)?)"
    r"|(?:.{1,80}: e|E)rror: .+)\Z"
)
# by sys.exit: no line of a log or a progress bar, and no metric
_SAID = r"(?!INFO|DEBUG|WARN|[\d\s\[(])(?!.*(?:%\||[:=] ?[-+.\d]|\d\.\d)).*[^\W\d]"
_GROUP = r"(?m)^  \| ([A-Za-z_][\w.]*: .+)$"  # the outermost one


class Output:
    """What a command prints, on its way into a file, or kept here where that takes nothing;
    ``last_words`` are the end of its stderr, or of the terminal that both outputs share."""

    def __init__(self, path: Path) -> None:
        self.last_words = b""
        self._rest = bytearray()
        self._file: IO[bytes] | None = None
        with suppress(OSError):
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115  closed by close()

    def write(self, data: bytes, is_error: bool = False) -> None:
        if is_error:
            self.last_words = (self.last_words + data)[-_LAST_WORDS:]
        written = 0
        if self._file is not None and not self._rest:  # else the order would be lost
            # closed: a grandchild prints on when the command is over
            with suppress(OSError, ValueError):
                written = self._file.write(data)
        self._rest += data[written:]
        if len(self._rest) > MAX_OUTPUT:
            del self._rest[: -MAX_OUTPUT // 2]

    def close(self) -> bytes:
        """Let go of the file, and return what it did not take."""
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        return bytes(self._rest)


def keep_output(run: Run, rest: bytes = b"") -> None:
    """Keep what a command printed as an artifact: ``output.log``, and ``rest`` after it."""
    head, tail, left = _ends(run.folder, MAX_OUTPUT // 2)
    if left:
        head += f"\n[... {left:,} bytes left out ...]\n".encode()
    if data := head + tail + rest:
        run.keep(result_paths.OUTPUT, data)


def of_dead(repo: Repo, folder: Path) -> None:
    """Take what a killed run's command left into its folder: files that are as it left them."""
    if (time := _lifetime(repo, folder)) is None:
        return
    from gitexp.runs import capture  # which a run in a script's own process never needs

    run = join(folder, repo)
    run.snapshot = finish.snapshot_of(folder, journal.facts(folder))
    try:
        known, said = settings.load(repo.root, repo.project), printed(folder)
        # nobody knows which experiments DVC made since
        begun = written.Begun(time[0], written.dvc_experiments(repo))
        capture.capture(run, repo, begun, known, said, True, time[1])
        keep_output(run)
    finally:
        run.end()


def note_dead(repo: Repo) -> None:
    """Have what dead runs left count as outputs."""
    for folder in journal.folders(repo):
        if journal.is_alive(folder) or (folder / _NOTED).exists():
            continue
        if time := _lifetime(repo, folder):
            found = written.below(repo.root, *time)
            snapshot.remember_outputs(repo, [*found.files, *found.odd])
            with suppress(OSError):
                (folder / _NOTED).touch()


def _lifetime(repo: Repo, folder: Path) -> tuple[int, int] | None:
    """Return from when to when a dead run's command wrote in this work tree, as far as known."""
    facts = journal.facts(folder)
    if "snapshot" not in facts or facts.get("root") != str(repo.root):
        return None
    try:
        return (folder / written.BEGUN).stat().st_ctime_ns, journal.last_sign(folder)
    except OSError:
        return None


def printed(folder: Path, rest: bytes = b"") -> str:
    """Return what a run's command printed, of very much the head and the tail, and after that
    ``rest``, which its file did not take."""
    head, tail, left = _ends(folder, 5 * MAX_OUTPUT)
    if left:  # a number that is cut would be another one
        head = head[: max(map(head.rfind, (b"\n", b"\r"))) + 1]
        tail = re.split(rb"[\r\n]", tail, maxsplit=1)[-1]
    return (head + tail + rest).decode("utf-8", "replace")


def _ends(folder: Path, half: int) -> tuple[bytes, bytes, int]:
    """Return the head and the tail of what was printed, and how many bytes lie between; where none
    do, all is in the tail."""
    with suppress(OSError), open(folder / "output.log", "rb") as log:
        if (left := os.fstat(log.fileno()).st_size - 2 * half) <= 0:
            return b"", log.read(), 0
        head = log.read(half)
        log.seek(left, os.SEEK_CUR)
        return head, log.read(), left
    return b"", b"", 0


def watch(*folders: Path) -> dict[Path, Any]:
    """Return how params.yml and metrics.csv look in these folders, before a command runs."""
    names = (result_paths.PARAMS, result_paths.METRICS)
    paths = [folder / name for folder in dict.fromkeys(folders) for name in names]
    return {path: files.stamp(path) for path in paths}


def pick_up(run: Run, root: Path, watched: Mapping[Path, Any]) -> None:
    """Log what a command wrote itself into the files that ``watch`` looked at before."""
    from gitexp.runs import outputs_kept

    if written.is_shared(run.folder):
        return
    changed = (path for path, old in watched.items() if files.stamp(path) not in (old, None))
    for path in sorted(changed):
        said: list[str] = []
        try:
            if path.name == result_paths.PARAMS:
                given = params.load_file(path)
                run.log_params(given)
                if path.parent == root and (data := path.read_bytes()) != params.dump(given):
                    run.keep(path.name, data)  # in a form of the command's own, which stays
                    run.add_facts("aside", [path.name])
            elif not outputs_kept.is_long(path):  # the user's own form, which capture reads
                continue
            else:
                with open(path, "rb") as file:
                    run.log_points(metrics.read(file, path.name, said))
        except (FormatError, OSError) as error:
            said.append(f"{path.name} was written by the command, but {error}")
        else:
            if path.parent == root:
                run.add_facts("outputs", [path.name])
        run.add_facts("warnings", said)


def pick_up_data(run: Run, repo: Repo, tree: str) -> None:
    """Keep the pointers to data that the command wrote, with ``dvc repro`` or by itself."""
    try:
        settled = dvc_status.commit_changed(repo, settings.load(repo.root, repo.project))
        if not settled.conditions:
            return
        run.replace_conditions(settled.conditions)
        pointers = sorted({item.pointer for item in dvc_pointers.in_work_tree(repo).values()})
        for path, found in zip(pointers, repo.objects(f"{tree}:{path}" for path in pointers)):
            data = (repo.root / path).read_bytes()
            if found is None or found.data != data:
                run.keep(path, data)
        told = settled.told
    # the run is over, and no fault of its data may take it away
    except (GitexpError, OSError) as error:
        told = f"the data that it wrote is not recorded: {error}"
    if told and told != run.told:
        run.add_facts("warnings", [told])


def last_exception(folder: Path, code: int = 1) -> str | None:
    """Return what ``exception`` finds in the output of a run."""
    return exception(_ends(folder, _LAST_WORDS)[1], code)


def exception(last_words: bytes, code: int) -> str | None:
    """Return the first line of the exception whose traceback a command printed last, where it
    exited as Python does then; or its last line, where that names an exception, or may be what
    ``sys.exit("no such data")`` said."""
    text = re.sub(r"\x1b\[[\d;]*m", "", last_words.decode("utf-8", "replace"))
    lines = text.replace("\r\n", "\n").strip()
    last = re.split(r"[\r\n]", text.rstrip())[-1]
    form = _GROUP if "Exception Group Traceback" in lines else _TRACEBACK
    found = (code == 1 and re.findall(form, lines)) or re.findall(_NAMED, lines)
    if code == 1 and not found and re.match(_SAID, last):
        found = [last]
    return environment.redact([message.one_line(found[-1])[:300]])[0] if found else None
