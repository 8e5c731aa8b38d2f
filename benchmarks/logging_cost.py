"""What logging costs while a training runs, beside the loggers that people use: writes
docs/logging.md.

    python benchmarks/logging_cost.py             everything that is installed (about ten minutes)
    python benchmarks/logging_cost.py --ends      start and end of a run only, printed (a minute)
    python benchmarks/logging_cost.py --dry-run   print, and leave the page alone

A row is one value of one metric. Each logger runs in processes of its own, in turn, and only the
calls of the training are timed, not what happens before the first row and after the last. The floor
writes the same rows as gitexp with one bare `os.write` each. To see what survives, a process logs a
row each millisecond, says after each that it has, and is sent SIGKILL after 1 to 3 seconds; then
whatever of it is still there (helper processes, which are left alone) has time to finish, and the
rows that can be read are counted.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from measuring import ENV, GITEXP, ROOT, Row, in_turn, made_by, of, table, waited
from repositories import git

import gitexp
from gitexp.formats.trackers import tensorboard, wandb
from gitexp.formats.trackers.found import Run

PAGE = ROOT / "docs" / "logging.md"
PEERS = ("dagshub", "tensorboardX", "trackio", "wandb", "mlflow", "dvclive")
# seconds without a new row, after which a killed logger's helpers have nothing more to write
QUIET = 3.0


class Logger(NamedTuple):
    """A way to log.

    Attributes:
        prepare: Python that defines ``log(i)``, which logs a row.
        kept: counts the rows that can be read in the folder where it ran.
        rows: how many are timed.
    """

    prepare: str
    kept: Callable[[Path], int]
    rows: int


def _lines(name: str, header: int) -> Callable[[Path], int]:
    return lambda folder: (
        max(0, (folder / name).read_bytes().count(b"\n") - header)
        if (folder / name).exists()
        else 0
    )


def _selected(pattern: str, query: str) -> Callable[[Path], int]:
    def kept(folder: Path) -> int:
        found = 0
        for file in folder.glob(pattern):
            found += sqlite3.connect(file).execute(query).fetchone()[0]
        return found

    return kept


def _imported(find: Callable[[Path], Iterable[object]], folder: str) -> Callable[[Path], int]:
    def kept(top: Path) -> int:
        for file in (top / folder).rglob("*"):
            os.utime(file, (0, 0))  # or it would be taken for a run that goes on, and left out
        return sum(1 for run in find(top / folder) if isinstance(run, Run) for _ in run.points())

    return kept


def _recovered(folder: Path) -> int:
    if list(folder.glob(".git/refs/tags/*")):
        return len(gitexp.get("@", repo=folder).history())
    subprocess.run([*GITEXP, "recover"], cwd=folder, env=ENV, check=True, capture_output=True)
    return len(gitexp.get("@", repo=folder).history())


LOGGERS = {
    "bare `os.write`": Logger(
        "import os, time\nf = os.open('rows.csv', os.O_WRONLY | os.O_CREAT | os.O_APPEND)\ndef"
        ' log(i): os.write(f, f\'"loss",{1 / (i + 1)!r},{int(time.time() *'
        " 1000)},{i}\\r\\n'.encode())",
        _lines("rows.csv", 0),
        20_000,
    ),
    "gitexp": Logger(
        "import gitexp\nrun = gitexp.start_run()\ndef log(i): run.log_metric('loss', 1 / (i + 1),"
        " step=i)",
        _recovered,
        20_000,
    ),
    "DagsHub's logger": Logger(
        "from dagshub.logger import DAGsHubLogger\nlogger = DAGsHubLogger()\n"
        "def log(i): logger.log_metrics({'loss': 1 / (i + 1)}, step_num=i)",
        _lines("metrics.csv", 1),
        20_000,
    ),
    "tensorboardX": Logger(
        "import tensorboardX\nwriter = tensorboardX.SummaryWriter('tb')\ndef log(i):"
        " writer.add_scalar('loss', 1 / (i + 1), i)",
        _imported(tensorboard.find, "tb"),
        20_000,
    ),
    "trackio": Logger(
        "import trackio\ntrackio.init(project='bench', embed=False, auto_log_gpu=False,"
        " auto_log_cpu=False)\ndef log(i): trackio.log({'loss': 1 / (i + 1)}, step=i)",
        _selected("trackio/bench.db", "SELECT count(*) FROM metrics"),
        5_000,
    ),
    "wandb, offline": Logger(
        "import wandb\nrun = wandb.init(mode='offline', project='bench',"
        " settings=wandb.Settings(silent=True, x_disable_stats=True))\ndef log(i): run.log({'loss':"
        " 1 / (i + 1)}, step=i)",
        _imported(wandb.find, "wandb"),
        5_000,
    ),
    "MLflow, SQLite": Logger(
        "import mlflow\nmlflow.set_tracking_uri('sqlite:///mlflow.db')\nmlflow.start_run()\n"
        "def log(i): mlflow.log_metric('loss', 1 / (i + 1), step=i)",
        _selected("mlflow.db", "SELECT count(*) FROM metrics"),
        300,
    ),
    "dvclive": Logger(
        "import dvclive\nlive = dvclive.Live(save_dvc_exp=False, dvcyaml=None)\n"
        "def log(i):\n    live.log_metric('loss', 1 / (i + 1))\n    live.next_step()",
        _lines("dvclive/plots/metrics/loss.tsv", 1),
        1_000,
    ),
}
SIDE_BY_SIDE = """
import statistics, sys, time
def block(way, at):
    begun = time.perf_counter()
    for i in range(at, at + 1000): way(i)
    return time.perf_counter() - begun
pairs = [(block(log, at), block(bare, at)) for at in range(0, 40_000, 1000)][2:]
print(*(statistics.median(taken) / 1000 for taken in zip(*pairs)), flush=True)
import os
os._exit(0)
"""
TIMED = """
import os, sys, time
for i in range(50): log(i)
begun = time.perf_counter()
for i in range(50, 50 + ROWS): log(i)
print((time.perf_counter() - begun) / ROWS, flush=True)
os._exit(0)
"""
KILLED = """
import time
i = 0
while True:
    log(i)
    i += 1
    print(i, flush=True)
    time.sleep(0.001)
"""
LONG = """
import os, resource, time
TENTH = STEPS // 10
def memory():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
def steps(first, last):
    begun = time.perf_counter()
    for step in range(first, last):
        row(step, {f"metric {at}": at / (step + 1) for at in range(10)})
    return (time.perf_counter() - begun) / (last - first)
start, before = steps(0, TENTH), memory()
steps(TENTH, STEPS - TENTH)
print(start, steps(STEPS - TENTH, STEPS), before, memory(), flush=True)
os._exit(0)
"""
TRAININGS = {
    "gitexp": (
        10_000,
        (
            "import gitexp\nrun = gitexp.start_run()\ndef row(step, values):"
            " run.log_metrics(values, step=step)"
        ),
    ),
    "dvclive": (  # all 10,000 would take minutes
        1_000,
        (
            "import dvclive\nlive = dvclive.Live(save_dvc_exp=False, dvcyaml=None)\ndef row(step,"
            " values):\n    for name, value in values.items(): live.log_metric(name, value)\n   "
            " live.next_step()"
        ),
    ),
}


# -- rows ------------------------------------------------------------------------------------------


def repository(folder: Path, files: int = 1) -> Path:
    """Make a repository of some files and return it."""
    for at in range(files):
        path = folder / f"src/{at // 100}/{at}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"VALUE = {at}\n")
    (folder / ".gitignore").write_text(
        "/tb/\n/trackio/\n/wandb/\n/mlflow.db*\n/mlruns/\n/dvclive/\n/rows.csv\n"
    )
    git(folder, "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org"), ("gc.auto", "0")):
        git(folder, "config", key, value)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=start")
    return folder


@contextmanager
def python(script: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run a script in a folder; yields it and the file of what it prints. What it leaves running is
    ended at last."""
    # not a pipe, which a helper process would keep open
    said = folder.with_name(f"{folder.name}.txt")
    env = {**ENV, "TRACKIO_DIR": str(folder / "trackio"), "WANDB_SILENT": "true"}
    with open(said, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=folder,
            env=env,
            stdout=file,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield process, said
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answer(script: str, folder: Path) -> list[float]:
    """Run a script and return the numbers of its last line."""
    with python(script, folder) as (process, said):
        if process.wait():
            raise ChildProcessError(script.partition("\n")[0])
        return [float(word) for word in said.read_text().splitlines()[-1].split()]


def killed(logger: Logger, folder: Path) -> tuple[int, int]:
    """Kill a logger some seconds after its first row, and return how many it had logged and how
    many can be read."""
    with python(logger.prepare + KILLED, folder) as (process, said):
        while not said.stat().st_size and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.uniform(1, 3))
        process.kill()
        process.wait()
        kept, since = -1, time.monotonic()
        while time.monotonic() - since < QUIET:
            if (now := logger.kept(folder)) != kept:
                kept, since = now, time.monotonic()
            time.sleep(0.2)
        return said.read_bytes().count(b"\n"), kept


def compare(folder: Path, rounds: int, kills: int) -> tuple[list[str], Iterator[Row]]:
    """Time a row of each logger and kill each: the lines of a table, and the rows that have a
    goal."""
    times: dict[str, list[float]] = {}
    missing: list[str] = []
    for turn in range(rounds):
        for name, logger in LOGGERS.items():
            if name in missing:
                continue
            try:
                [taken] = answer(
                    logger.prepare + TIMED.replace("ROWS", str(logger.rows)),
                    repository(fresh(folder)),
                )
                times.setdefault(name, []).append(taken)
            except ChildProcessError as error:
                print(f"{name} is not installed or failed, and is not compared: {error}")
                missing.append(name)
        print(
            f"round {turn + 1} of {rounds}",
            {name: round(taken[-1] * 1e6, 1) for name, taken in times.items()},
            flush=True,
        )
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    floor = medians["bare `os.write`"]
    lines = [
        "| logger | µs a row | against `os.write` | rows that SIGKILL lost |",
        "|---|--:|--:|--:|",
    ]
    safe: dict[str, float] = {}
    for name, taken in medians.items():
        ends = [killed(LOGGERS[name], repository(fresh(folder))) for _ in range(kills)]
        lost, logged = (
            sum(max(0, logged - kept) for logged, kept in ends),
            sum(logged for logged, _ in ends),
        )
        lines.append(
            f"| {name} | {taken * 1e6:,.1f} | {taken / floor:,.1f} × | {lost:,} of {logged:,} |"
        )
        print(lines[-1], flush=True)
        if not lost and name not in ("gitexp", "bare `os.write`"):
            safe[name] = taken

    def goals() -> Iterator[Row]:
        bare = LOGGERS["bare `os.write`"].prepare.replace("def log", "def bare")
        ours, alone = answer(
            f"{bare}\n{LOGGERS['gitexp'].prepare}{SIDE_BY_SIDE}", repository(fresh(folder))
        )
        detail = f"{ours * 1e6:.2f} µs against {alone * 1e6:.2f}"
        yield Row(
            "`log_metric` / a bare `os.write` of the same row, in turn in one process",
            ours / alone,
            1.5,
            detail,
        )
        ours = medians["gitexp"]
        if safe:
            best = min(safe, key=lambda name: safe[name])
            what = f"{best}, the fastest that lost no row / `log_metric`"
            yield Row(
                what,
                safe[best] / ours,
                4,
                f"{safe[best] * 1e6:.1f} µs against {ours * 1e6:.1f}",
                True,
            )

    return lines, goals()


def fresh(folder: Path) -> Path:
    """Return a new folder."""
    return Path(tempfile.mkdtemp(dir=folder))


# -- a long training, and starting and ending ------------------------------------------------------


def long(folder: Path) -> Iterator[Row]:
    """Many steps of 10 metrics: what the last tenth of them cost, and what memory was added after
    the first."""
    for name, (count, prepare) in TRAININGS.items():
        try:
            first, last, before, after = answer(
                prepare + LONG.replace("STEPS", str(count)), repository(fresh(folder))
            )
        except ChildProcessError as error:
            print(f"{name} is not installed or failed, and is not compared: {error}")
            continue
        what, ours = f"{count:,} steps of 10 metrics, {name}", name == "gitexp"
        detail = f"{last * 1e6:,.0f} µs a step against {first * 1e6:,.0f}"
        yield Row(
            f"{what}: a step of the last tenth / of the first",
            last / first,
            1.2 if ours else None,
            detail,
        )
        detail = f"{after / 1e6:.1f} MB against {before / 1e6:.1f}"
        yield Row(
            f"{what}: memory at the end / after a tenth",
            after / before,
            1.05 if ours else None,
            detail,
        )


def ends(folder: Path, files: int, rounds: int) -> Iterator[Row]:
    """Starting and ending a run of 100 points in this process, against three whole processes of git
    that keep the same results."""
    ours, theirs = repository(fresh(folder), files), repository(fresh(folder), files)
    turn = iter(range(1, 10**9))

    def recorded() -> None:
        at = next(turn)
        (ours / "src/0/0.py").write_text(f"VALUE = {at}\n")
        run = gitexp.start_run(params={"lr": at}, repo=ours)
        for step in range(100):
            run.log_metric("loss", 1 / (step + 1))
        run.end()
        assert run.recorded is not None
        assert run.recorded.advanced == "main"

    def committed() -> None:
        at = next(turn)
        (theirs / "src/0/0.py").write_text(f"VALUE = {at}\n")
        (theirs / "params.yml").write_text(f"lr: {at}\n")
        with open(theirs / "metrics.csv", "w") as file:
            for step in range(100):
                file.write(f'"loss",{1 / (step + 1)!r},{int(time.time() * 1000)},{step}\r\n')
        for args in (["add", "-A"], ["commit", "-q", "-m", f"exp-{at}"], ["tag", f"exp-{at}"]):
            subprocess.run(["git", *args], cwd=theirs, check=True)

    times = in_turn({"ours": recorded, "git": committed}, rounds, clock=waited)
    yield of(
        times,
        "ours",
        "git",
        1.5,
        f"start and end of a run at {files:,} files / `git add -A`, `git commit`, `git tag`",
    )


# -- the page --------------------------------------------------------------------------------------


def page(options: argparse.Namespace, load: str, lines: list[str], rows: list[Row]) -> str:
    """Return docs/logging.md."""
    made = made_by(
        f"{options.under}python benchmarks/logging_cost.py --rounds {options.rounds} --kills"
        f" {options.kills}"
    )
    versions = ", ".join(f"{name} {version}" for name in PEERS if (version := version_of(name)))
    listed = "\n".join(lines)
    priority = " `chrt` gave this priority over other work." if "chrt" in options.under else ""
    return f"""\
# What logging costs

{made}
The load of the machine was {load} (1, 5 and 15 minutes before the end).{priority} Compared with
{versions}.

A row is one value of one metric, logged by one call of the training; times are medians of processes that ran in turn. What a logger
does in a thread or process of its own is not in them. For the last column each logged a row about every millisecond and was killed
after 1 to 3 seconds, {options.kills} times; what could be read afterwards was counted: of the rows whose call had returned, how many were
gone.

{listed}

{table(rows)}

gitexp's row is one `write` to the kernel, which a killed process cannot take back; a thread has the disk take it each second. A
run's start and end are whole: snapshot, commit, tag, index, and results in the work tree, with one edited file in each. Starting
Python is not in them; the peer is three programs. At few files what counts is the start of six git processes (five of them beside
another or beside work of our own) and making some twenty small files, half of them objects and refs that the peer makes, too; at many,
git's look through the work tree.
"""


def version_of(name: str) -> str | None:
    """Return the version of an installed package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=3, help="of each logger")
    parser.add_argument(
        "--files",
        type=int,
        nargs="+",
        default=[300, 10_000],
        help="sizes of the repository for start and end",
    )
    parser.add_argument("--under", default="", help="what this was started by, for the page")
    parser.add_argument("--ends", action="store_true", help="measure start and end only, and print")
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="gitexp-logging-"))
    rows: list[Row] = []
    try:
        if not options.ends:
            lines, goals = compare(folder, options.rounds, options.kills)
            rows += [*goals, *long(folder)]
        for files in options.files:
            rows += ends(folder, files, 4 * options.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    load = (
        " ".join(Path("/proc/loadavg").read_text().split()[:3])
        if os.path.exists("/proc/loadavg")
        else "not known"
    )
    print(table(rows))
    if not options.dry_run and not options.ends:
        PAGE.write_text(page(options, load, lines, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
