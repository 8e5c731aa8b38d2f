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
            self.last_words = (self.last_words + data)[-4096:]
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
    data, half = b"", MAX_OUTPUT // 2
    with suppress(OSError), open(run.folder / "output.log", "rb") as log:
        data = log.read(MAX_OUTPUT)
        if left := log.seek(0, os.SEEK_END) - len(data):
            log.seek(-half, os.SEEK_END)
            data = data[:half] + f"\n[... {left:,} bytes left out ...]\n".encode() + log.read()
    if data or rest:
        run.keep(result_paths.OUTPUT, data + rest)


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


def note_dead(repo: Repo) -> bool:
    """Have what dead runs left count as outputs, and return whether other runs are alive."""
    alive = False
    for folder in journal.folders(repo):
        if journal.is_alive(folder):
            alive = True
        elif not (folder / _NOTED).exists() and (time := _lifetime(repo, folder)):
            found = written.below(repo.root, *time)
            snapshot.remember_outputs(repo, [*found.files, *found.odd])
            with suppress(OSError):
                (folder / _NOTED).touch()
    return alive


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
    """Return what a run's command printed, the first of it, and after that ``rest``, which its file
    did not take."""
    data = b""
    with suppress(OSError), open(folder / "output.log", "rb") as file:
        data = file.read(10 * MAX_OUTPUT)
    return (data + rest).decode("utf-8", "replace")


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
        settled = dvc_status.settle(repo, settings.load(repo.root, repo.project))
        if not settled.conditions:
            return
        run.replace_conditions(settled.conditions)
        pointers = sorted({item.pointer for item in dvc_pointers.here(repo).values()})
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


def exception(last_words: bytes) -> str | None:
    """Return the last line that a command printed, where it names an exception or, as parsers do of
    wrong options, an error."""
    lines = [line for line in last_words.decode("utf-8", "replace").splitlines() if line.strip()]
    if lines and lines[-1].startswith("Set the environment variable HYDRA_FULL_ERROR=1"):
        lines.pop()
    found = lines and re.fullmatch(
        r"([A-Za-z_][\w.]*\.)?[A-Z]\w*(Error|Exception|Interrupt|Exit|Warning)(: .*)?"
        r"|(.{1,80}: e|E)rror: .+",
        lines[-1],
    )
    return environment.redact([message.one_line(lines[-1])[:300]])[0] if found else None
