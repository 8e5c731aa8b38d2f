"""What it costs to mirror experiments to an MLflow server: gitexp against MLflow's own client, on a
real server of this machine.

    python benchmarks/mirror.py [--experiments 1000] [--peer 10]

The peer logs the same params, tags and metrics, 100 rows for each experiment, with one `log_param`,
`set_tag` or `log_metric` for each value, as scripts do; it is given --peer experiments, and its
time for one is what is compared. "log_batch" is the same client with one call for all values of an
experiment. Each way has a server of its own with an empty SQLite database, started beforehand.
gitexp's time includes starting the program and reading git; the peer's does not include importing
MLflow.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import repositories

from gitexp.formats import message
from gitexp.formats.params import flatten
from mlflow_server import served


def gitexp(repo: Path, address: str) -> float:
    """Mirror all experiments of a repository and return the seconds."""
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "gitexp", "export", "mlflow", address],
        cwd=repo,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - begun


def value_by_value(client: Any, place: str, made: repositories.Made) -> None:
    """Log one experiment with one call for each value."""
    run = client.create_run(
        place, start_time=made.points[0].timestamp, run_name=f"exp-{made.number}"
    ).info.run_id
    for key, value in flatten(made.params).items():
        client.log_param(run, key, value)
    for key, value in tags(made).items():
        client.set_tag(run, key, value)
    for name, value, timestamp, step in made.points:
        client.log_metric(run, name, value, timestamp, step)
    client.set_terminated(run)


def in_batches(client: Any, place: str, made: repositories.Made) -> None:
    """Log one experiment with one call for all values."""
    from mlflow.entities import Metric, Param, RunTag

    run = client.create_run(
        place, start_time=made.points[0].timestamp, run_name=f"exp-{made.number}"
    ).info.run_id
    client.log_batch(
        run,
        [Metric(name, value, timestamp, step) for name, value, timestamp, step in made.points],
        [Param(key, str(value)) for key, value in flatten(made.params).items()],
        [RunTag(key, value) for key, value in tags(made).items()],
    )
    client.set_terminated(run)


def tags(made: repositories.Made) -> dict[str, str]:
    """Return as many tags as gitexp gives a run of such an experiment."""
    return {f"tag.{at}": message.format_time(made.started) for at in range(14)}


def peer(log: Callable[[Any, str, repositories.Made], None], count: int, address: str) -> float:
    """Log experiments with MLflow's own client and return the seconds for one."""
    import mlflow

    client = mlflow.MlflowClient(address)
    place = client.create_experiment("peer")
    todo = [*repositories.experiments(count + 1)]
    log(client, place, todo.pop())  # connections, imports, the server's first request
    begun = time.perf_counter()
    for made in todo:
        log(client, place, made)
    return (time.perf_counter() - begun) / count


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--peer", type=int, default=10, help="experiments that the peers log")
    given = parser.parse_args()
    os.environ.update(
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
        MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
    )
    os.environ.update(PYTHONPATH=str(Path(__file__).parents[1]))
    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        repo = repositories.build(Path(folder) / "repo", given.experiments)
        rows: list[tuple[str, float]] = []
        for name, log in (
            ("one call for each value", value_by_value),
            ("one log_batch for each experiment", in_batches),
        ):
            place = Path(folder) / name
            place.mkdir()
            with served(place) as address:
                rows.append((f"MLflow's client, {name}", peer(log, given.peer, address)))
        place = Path(folder) / "gitexp"
        place.mkdir()
        with served(place) as address:
            rows.append(("gitexp export mlflow", gitexp(repo, address) / given.experiments))
            rows.append(
                ("gitexp export mlflow, once more", gitexp(repo, address) / given.experiments)
            )
    print(
        f"{given.experiments:,} experiments, {given.peer} by the peers, 100 rows each; ms for one"
        " experiment\n"
    )
    print("| way | ms | times as fast |\n|---|---|---|")
    for name, seconds in rows:
        print(f"| {name} | {seconds * 1000:.1f} | {rows[0][1] / seconds:.1f} |")


if __name__ == "__main__":
    main()
