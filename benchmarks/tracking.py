"""What MLflow costs on ``gitexp:.``, beside its own SQLite store in the same run.

    python benchmarks/tracking.py [--experiments 1000] [--rounds 7]

All calls go through MlflowClient, as scripts make them, in turn (A B A B ...); a figure is the
median of the rounds. Processor time is that of this process and of the git processes that it
started, which on a busy machine says more than the clock.

    log_metric      200 values one by one, and what is logged is then read back, so the journal's
        replay into the database is included
    start and end   a run is created and set to FINISHED; for gitexp with its snapshot, commit and
        tag, waited for
    search_runs     all runs of --experiments, once as they are and once filtered and sorted;
                    MLflow's own store has a copy of the database,
                    so both read the same rows
    rebuild         the database of --experiments with 100 rows each, made anew from git, the index
        of experiments included
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import repositories

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
VALUES = 200


class Spent(NamedTuple):
    """Seconds by the clock, and of processors."""

    clock: float
    processor: float


def spent(work: Callable[[], object]) -> Spent:
    """Do something and return what it took."""
    before = _processor()
    begun = time.perf_counter()
    work()
    return Spent(time.perf_counter() - begun, _processor() - before)


def in_turn(rounds: int, *ways: Callable[[], object]) -> list[Spent]:
    """Return the medians of each way, measured in turn after one round that does not count."""
    for way in ways:
        way()
    taken = [[spent(way) for way in ways] for _ in range(rounds)]
    return [Spent(*map(statistics.median, zip(*some))) for some in zip(*taken)]


def log_values(client: Any) -> Callable[[], object]:
    """Return the work of logging values one by one and reading them back."""
    run = client.create_run("0").info.run_id
    step = iter(range(10_000_000))

    def work() -> None:
        for _ in range(VALUES):
            client.log_metric(run, "loss", 0.5, step=next(step))
        assert client.get_run(run).data.metrics["loss"] == 0.5

    return work


def one_run(client: Any) -> Callable[[], object]:
    """Return the work of one run from its start to its record."""
    from gitexp.runs import deferred

    def work() -> None:
        run = client.create_run("0").info.run_id
        client.set_terminated(run)
        deferred.end_now()

    return work


def search(client: Any, count: int) -> Callable[[], object]:
    """Return the work of searching all runs."""

    def work() -> None:
        assert len(client.search_runs(["0"], max_results=count)) == count
        assert (
            0
            < len(
                client.search_runs(
                    ["0"], "params.depth = '5' and metrics.rmse < 1", order_by=["metrics.loss ASC"]
                )
            )
            < count
        )

    return work


def rebuild(repo: Path) -> None:
    """Make the database anew."""
    from gitexp.integrations.mlflow.sync import Follower
    from gitexp.repo import Repo

    for file in (repo / ".git/gitexp/index.sqlite", repo / ".git/gitexp/mlflow/tracking.sqlite"):
        file.unlink(missing_ok=True)
    Follower(Repo.discover(repo)).catch_up()


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    import mlflow

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        small, large = (
            repositories.build(Path(folder, name), count)
            for name, count in (("small", 10), ("large", given.experiments))
        )
        theirs = mlflow.MlflowClient(f"sqlite:///{folder}/theirs.db")
        ours = mlflow.MlflowClient(f"gitexp:{small}")
        made = in_turn(min(given.rounds, 3), lambda: rebuild(large))[0]
        with (
            closing(sqlite3.connect(f"{folder}/copy.db")) as copy,
            closing(sqlite3.connect(large / ".git/gitexp/mlflow/tracking.sqlite")) as db,
        ):
            db.backup(copy)
        searches = [
            search(mlflow.MlflowClient(uri), given.experiments)
            for uri in (f"sqlite:///{folder}/copy.db", f"gitexp:{large}")
        ]
        logged = in_turn(given.rounds, log_values(theirs), log_values(ours))
        mlflow.MlflowClient(f"gitexp:{small}").set_terminated(
            ours.search_runs(["0"], "attributes.status = 'RUNNING'")[0].info.run_id
        )
        rows = [
            ("log_metric, calls per second", "≥ 8 × as many", *logged, VALUES),
            (
                "run start and end, ms",
                "≤ 150 more",
                *in_turn(given.rounds, one_run(theirs), one_run(ours)),
                None,
            ),
            ("search_runs, ms", "no slower", *in_turn(given.rounds, *searches), None),
        ]
    print(
        f"{given.experiments:,} experiments, {given.rounds} rounds, load {os.getloadavg()[0]:.1f}"
        f" on {os.cpu_count()} cores;",
        end=" ",
    )
    print(f"MLflow {mlflow.__version__}; by the clock, and in brackets by processor time\n")
    print(
        "| what | MLflow's SQLite store | gitexp | goal | ratio, or difference"
        " |\n|---|--:|--:|---|--:|"
    )
    for what, goal, first, second, calls in rows:
        a, b = (
            [calls / value if calls else value * 1000 for value in some] for some in (first, second)
        )
        told = [f"{y / x:.1f}" if "more" not in goal else f"{y - x:.0f}" for x, y in zip(a, b)]
        print(
            f"| {what} | {a[0]:,.0f} ({a[1]:,.0f}) | {b[0]:,.0f} ({b[1]:,.0f}) | {goal} | {told[0]}"
            f" ({told[1]}) |"
        )
    print(f"| rebuild, s | | {made.clock:.1f} ({made.processor:.1f}) | < 10 | |")


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


if __name__ == "__main__":
    main()
