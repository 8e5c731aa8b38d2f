"""What thousands of experiments cost: writes docs/performance.md.

    make bench                                    1,000 and 10,000 experiments
    python benchmarks/scale.py --sizes 1000 10000 100000
    python benchmarks/scale.py --dry-run          print, and leave the page alone

Every figure is a ratio of two medians that were measured in turn (A B A B ...) in this run. Processes are timed as a whole, as a
user waits for them. The repositories are those of repositories.py.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from repositories import build, data, experiments, fast_import, git

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import gitexp  # noqa: E402
from gitexp import metrics, params  # noqa: E402
from gitexp.index import Index  # noqa: E402
from gitexp.repo import Repo  # noqa: E402

PAGE = ROOT / "docs" / "performance.md"
GITEXP = [sys.executable, "-m", "gitexp"]
ENV = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},  # as installed: compiled once
    "PYTHONPATH": str(ROOT),
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "1",
}
ROWS = 1_000_000
_HOW = """\
Each figure is the ratio of two medians that were measured in turn in the same run; 5 params, 5 metrics and a metrics.csv of 100
rows for each experiment. A load of other work on the machine moves times, and ratios less."""
_OTHERS = """\
What logging costs, beside other loggers, is on [a page of its own](logging.md). Sharing is measured by `benchmarks/remotes.py`,
sweeps by `benchmarks/sweep.py`, the report by `benchmarks/report.py`, the mirror by `benchmarks/mirror.py`."""


class Row(NamedTuple):
    """One line of the page: the ratio of two medians, and what was asked of it (None: nothing)."""

    what: str
    ratio: float
    goal: float | None
    detail: str
    least: bool = False  # the goal is a lower bound


# -- measuring -----------------------------------------------------------------------------------------------------------


def in_turn(ways: dict[str, Callable[[], object]], rounds: int, before: Callable[[], object] = lambda: None) -> dict[str, float]:
    """Return the median milliseconds of each way, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            before()
            start = time.perf_counter()
            way()
            if turn:
                times[name].append((time.perf_counter() - start) * 1000)
    return {name: statistics.median(taken) for name, taken in times.items()}


def process(*words: str, cwd: Path) -> Callable[[], object]:
    """Return what runs a whole process."""
    return lambda: subprocess.run(words, cwd=cwd, env=ENV, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def command(*args: str, cwd: Path) -> Callable[[], object]:
    """Return what runs gitexp's command line."""
    return process(*GITEXP, *args, cwd=cwd)


_METER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(cwd: Path, *words: str) -> int:
    """Run a process and return its peak memory in bytes.

    Through a small process: one that is forked from here would count with what is loaded here.
    """
    done = subprocess.run([sys.executable, "-c", _METER, *words], cwd=cwd, env=ENV, check=True, capture_output=True, text=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)  # Linux counts in kB


def of(times: dict[str, float], one: str, other: str, goal: float | None, what: str) -> Row:
    """Return the row that compares two ways."""
    return Row(what, times[one] / times[other], goal, f"{times[one]:.1f} ms against {times[other]:.1f}")


# -- what is measured ----------------------------------------------------------------------------------------------------


def starting(root: Path) -> Iterator[Row]:
    """The price of starting at all."""
    ways = {"pass": process(sys.executable, "-c", "pass", cwd=root), "version": command("--version", cwd=root)}
    yield of(in_turn(ways, 15), "version", "pass", 4.5, "`gitexp --version` / `python -c pass`")


def reading(root: Path, count: int, goal: float | None) -> Iterator[Row]:
    """A warm index: lists, and one experiment."""
    ways = {
        "version": command("--version", cwd=root),
        "list": command("list", "-n", "20", cwd=root),
        "where": command("list", "-n", "20", "--where", "lr < 0.01 and depth > 5", "--sort", "rmse", cwd=root),
        "show": command("show", f"exp-{count // 2}", cwd=root),
        "best": command("best", "rmse", cwd=root),
    }
    times = in_turn(ways, 7)
    yield of(times, "list", "version", goal, f"`gitexp list -n 20`, warm, at {count:,} / `gitexp --version`")
    for name, text in (("where", "list --where --sort"), ("show", "show"), ("best", "best rmse")):
        yield of(times, name, "version", None, f"`gitexp {text}`, warm, at {count:,} / `gitexp --version`")


def indexing(root: Path, count: int) -> Iterator[Row]:
    """A cold index against reading the same objects and parsing nothing."""
    repo = Repo.discover(root)

    def floor() -> None:
        refs = git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags")
        names = "".join(f"{line.split(' ')[0]}\n" for line in refs.splitlines())
        subprocess.run(["git", "cat-file", "--batch"], cwd=root, input=names.encode(), check=True, capture_output=True)

    def forget() -> None:
        for file in repo.state_dir.glob("index.sqlite*"):
            file.unlink()

    times = in_turn({"floor": floor, "index": lambda: Index(repo)}, 5, forget)
    yield of(times, "index", "floor", 2.5, f"cold index of {count:,} / `for-each-ref` and `cat-file --batch` of the same objects")


def growing(small: Path, large: Path, count: int) -> Iterator[Row]:
    """Recording one more, and the index that takes it up."""
    times = in_turn(
        {str(root): command("log", "--param", "lr=1", "--metric", "rmse=1", "--no-advance", cwd=root) for root in (small, large)}, 7
    )
    yield of(times, str(large), str(small), 1.2, f"`gitexp log` at {count:,} / at 10")
    taken: dict[Path, list[float]] = {small: [], large: []}
    for root in (small, large) * 7:
        repo = Repo.discover(root)
        Index(repo)
        gitexp.log(params={"lr": 2}, metrics={"rmse": 1}, advance=False, repo=root)
        start = time.perf_counter()
        Index(repo)
        taken[root].append((time.perf_counter() - start) * 1000)
    medians = {str(root): statistics.median(values) for root, values in taken.items()}
    yield of(medians, str(large), str(small), 1.2, f"taking one more into a warm index at {count:,} / at 10")


def framing(root: Path, count: int, folder: Path) -> Iterator[Row]:
    """All experiments as a DataFrame, against pandas reading the same table."""
    import pandas as pd

    gitexp.experiments(repo=root).to_csv(folder / "table.csv", index=False)
    ways = {"ours": lambda: gitexp.experiments(repo=root), "csv": lambda: pd.read_csv(folder / "table.csv")}
    yield of(in_turn(ways, 5), "ours", "csv", 3, f"`gitexp.experiments()` at {count:,} / `pandas.read_csv` of the same table")


def beside_mlflow(root: Path, count: int, folder: Path) -> Iterator[Row]:
    """The same experiments in MLflow's SQLite store, asked for as a DataFrame; it is filled in bulk, which is not measured."""
    try:
        import mlflow
        from mlflow.entities import Metric, Param
    except ImportError:
        print("MLflow is not installed and not compared: pip install mlflow")
        return
    store = f"sqlite:///{folder / 'mlflow.db'}"
    client = mlflow.MlflowClient(store)
    experiment = client.create_experiment("bench")
    for made in experiments(count):
        run = client.create_run(experiment, start_time=int(made.started.timestamp() * 1000))
        points = [Metric(point.name, point.value, point.timestamp, point.step) for point in made.points]
        client.log_batch(run.info.run_id, metrics=points, params=[Param(key, str(value)) for key, value in made.params.items()])
        client.set_terminated(run.info.run_id)
    ours = f"import gitexp; assert len(gitexp.experiments(repo={str(root)!r})) >= {count}"
    theirs = (
        f"import mlflow; mlflow.set_tracking_uri({store!r});"
        f" assert len(mlflow.search_runs([{experiment!r}], max_results=100000)) == {count}"
    )
    words = {"ours": [sys.executable, "-c", ours], "theirs": [sys.executable, "-c", theirs], "list": [*GITEXP, "list"]}
    times = in_turn({name: process(*line, cwd=root) for name, line in words.items()}, 3)
    memory = {name: peak(root, *line) for name, line in words.items()}
    for name, text in (("list", "`gitexp list`"), ("ours", "`gitexp.experiments()` in a process of its own")):
        least = f"{times['theirs'] / times[name]:.1f} times as fast"
        yield Row(f"`mlflow.search_runs` (SQLite) at {count:,} / {text}, time", times["theirs"] / times[name], 10, least, True)
        yield Row(
            "the same, peak memory",
            memory["theirs"] / memory[name],
            10,
            f"{memory['theirs'] / 1e6:.0f} MB against {memory[name] / 1e6:.0f}",
            True,
        )


def large_file(folder: Path) -> Iterator[Row]:
    """A metrics.csv of a million rows: peak memory as a multiple of the file."""
    root = build(folder / "large", 10)
    file = folder / "large.csv"
    with open(file, "wb") as target:
        target.write(metrics.HEADER)
        for step in range(ROWS):
            target.write(metrics.format_row("loss", 1 / (step + 1), 1_767_225_600_000 + step, step).encode())
    size = file.stat().st_size
    calls = {
        "log --metrics-file": ("log", "--metrics-file", str(file), "--no-advance"), "list": ("list",), "show": ("show", "@"),
        "curve": ("curve", "@", "loss"), "diff": ("diff", "exp-1", "@"),
    }  # fmt: skip
    for name, args in calls.items():
        used = peak(root, *GITEXP, *args)
        yield Row(
            f"peak memory of `gitexp {name}`, metrics.csv of {ROWS:,} rows / the file",
            used / size,
            3,
            f"{used / 1e6:.0f} MB, file {size / 1e6:.0f}",
        )


def packed(root: Path, count: int, folder: Path) -> Iterator[Row]:
    """What an experiment adds to a packed repository, against plain commits of the same results."""

    def stream() -> Iterator[bytes]:
        for made in experiments(count):
            yield f"commit refs/heads/plain\ncommitter Ada <ada@example.org> {int(made.started.timestamp())} +0000\n".encode()
            yield data(f"exp-{made.number}".encode())
            yield b"M 100644 inline params.yml\n" + data(params.dump(made.params))
            yield b"M 100644 inline metrics.csv\n" + data(metrics.dump(made.points))

    plain = folder / "plain"
    plain.mkdir(parents=True)
    git(plain, "init", "--quiet")
    fast_import(plain, stream())
    copy = folder / "copy"
    git(folder, "clone", "--quiet", "--mirror", str(root), str(copy))
    sizes = {}
    for place in (copy, plain):
        git(place, "repack", "-adfq")
        sizes[place] = sum(pack.stat().st_size for pack in place.rglob("*.pack"))
    shown = " against ".join(f"{sizes[place] / count:.0f}" for place in (copy, plain))
    yield Row(f"packed size at {count:,} / plain commits of the same results", sizes[copy] / sizes[plain], 1.2, f"{shown} bytes each")


# -- the page ------------------------------------------------------------------------------------------------------------


def made_by(command: str) -> str:
    """Return the sentence that says how and where a page was made."""
    return (
        f"Made by `{command}` on {date.today():%Y-%m-%d}: {os.cpu_count()} cores,"
        f" {platform.system()} {platform.machine()}, Python {platform.python_version()}, {git(ROOT, 'version').strip()}."
    )


def table(rows: list[Row]) -> str:
    """Return a Markdown table that holds each ratio against its goal."""
    lines = ["| what | ratio | goal | measured |", "|---|--:|--:|---|"]
    for row in rows:
        met = row.goal is None or (row.ratio >= row.goal if row.least else row.ratio <= row.goal)
        goal = "" if row.goal is None else f"{'≥' if row.least else '≤'} {row.goal:g}" + ("" if met else ", **missed**")
        lines.append(f"| {row.what} | {row.ratio:.2f} | {goal} | {row.detail} |")
    return "\n".join(lines)


def page(rows: list[Row], sizes: list[int]) -> str:
    """Return docs/performance.md."""
    made = made_by(f"python benchmarks/scale.py --sizes {' '.join(map(str, sizes))}")
    return f"""\
# Performance

{made}
{_HOW}

{table(rows)}

{_OTHERS}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--peers", type=int, nargs="+", default=[500], help="how many experiments peers are compared at")
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    rows: list[Row] = []
    folder = Path(tempfile.mkdtemp(prefix="gitexp-bench-"))

    def take(found: Iterator[Row]) -> None:
        for row in found:
            print(f"{row.ratio:8.2f}  {row.what}  ({row.detail})", flush=True)
            rows.append(row)

    try:
        small = build(folder / "small", 10)
        take(starting(small))
        for count in options.sizes:
            root = build(folder / str(count), count)
            take(indexing(root, count))
            take(reading(root, count, {1_000: 1.5, 10_000: 2.5, 100_000: 8}.get(count)))
            if count <= 10_000:
                take(framing(root, count, folder))
            take(packed(root, count, folder / f"packed-{count}"))
            take(growing(small, root, count))
        for count in options.peers:
            take(beside_mlflow(build(folder / f"peer-{count}", count), count, folder))
        take(large_file(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not options.dry_run:
        PAGE.write_text(page(rows, options.sizes), encoding="utf-8")


if __name__ == "__main__":
    main()
