"""What a sweep costs beside the training itself: the same no-op trials through gitexp, bare joblib,
Optuna and DVC.

    python benchmarks/sweep.py --trials 40 --jobs 2 [--dvc PATH/TO/dvc]

Each trial runs `sh train.sh`, which writes params.yml and metrics.csv, in a repository of --files
files. "bare joblib" runs it in one work tree for each worker and then records it by `git add`, `git
commit` and `git tag` in the driver, which keeps no environment, no output and no summary; "joblib
alone" and "Optuna" record nothing. Every way runs --rounds times, in turn; the least time counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRAIN = """printf 'lr: %s\\n' "$2" > params.yml
printf 'Name,Value,Timestamp,Step\\nrmse,%s,1,0\\n' "$2" > metrics.csv
"""
DVC = """stages:
  train:
    cmd: sh train.sh --lr ${lr}
    deps: [train.sh]
    params: [lr]
    metrics: [metrics.json]
"""


def repository(folder: Path, files: int) -> Path:
    """Make a repository of some files and the training script."""
    for at in range(files):
        path = folder / f"src/{at // 100}/{at}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"VALUE = {at}\n")
    (folder / "train.sh").write_text(TRAIN)
    for args in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run(["git", *args], cwd=folder, check=True)
    return folder


def work(folder: str, lr: float) -> tuple[float, bytes, bytes]:
    """Run one trial in a work tree."""
    subprocess.run(["sh", "train.sh", "--lr", str(lr)], cwd=folder, check=True)
    return lr, Path(folder, "params.yml").read_bytes(), Path(folder, "metrics.csv").read_bytes()


def nothing(_: str, lr: float) -> float:
    """Run one trial where nothing is kept."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["sh", "-c", TRAIN, "sh", "--lr", str(lr)], cwd=folder, check=True)
    return lr


def with_gitexp(repo: Path, trials: int, jobs: int) -> None:
    values = ",".join(str(at / 1000) for at in range(trials))
    command = [
        sys.executable,
        "-m",
        "gitexp",
        "sweep",
        "-j",
        str(jobs),
        "-p",
        f"lr={values}",
        "--minimize",
        "rmse",
        "--",
        "sh",
        "train.sh",
    ]
    subprocess.run(command, cwd=repo, check=True, capture_output=True)
    tags = subprocess.run(
        ["git", "tag"], cwd=repo, capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(tags) == trials, f"{len(tags)} of {trials} recorded"


def with_bare_joblib(repo: Path, trials: int, jobs: int) -> None:
    from joblib import Parallel, delayed

    places = [str(repo.parent / f"{repo.name}-{at}") for at in range(jobs)]
    for place in places:
        subprocess.run(["git", "worktree", "add", "-q", "--detach", place], cwd=repo, check=True)
    tasks = (delayed(work)(places[at % jobs], at / 1000) for at in range(trials))
    for at, (_, params, metrics) in enumerate(
        Parallel(jobs, batch_size=1, return_as="generator_unordered")(tasks)
    ):
        (repo / "params.yml").write_bytes(params)
        (repo / "metrics.csv").write_bytes(metrics)
        for args in (
            ["add", "params.yml", "metrics.csv"],
            ["commit", "-q", "--allow-empty", "-m", f"exp-{at}"],
            ["tag", f"exp-{at}"],
        ):
            subprocess.run(["git", *args], cwd=repo, check=True)


def with_joblib_alone(repo: Path, trials: int, jobs: int) -> None:
    from joblib import Parallel, delayed

    list(
        Parallel(jobs, batch_size=1, return_as="generator_unordered")(
            delayed(nothing)("", at / 1000) for at in range(trials)
        )
    )


def with_optuna(repo: Path, trials: int, jobs: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study().optimize(
        lambda trial: nothing("", trial.suggest_float("lr", 0, 1)), n_trials=trials, n_jobs=jobs
    )


def with_dvc(program: str) -> Callable[[Path, int, int], None]:
    def run(repo: Path, trials: int, jobs: int) -> None:
        def dvc(*args: str) -> str:
            return subprocess.run(
                [program, *args], cwd=repo, check=True, capture_output=True, text=True
            ).stdout

        (repo / "params.yaml").write_text("lr: 1\n")
        (repo / "dvc.yaml").write_text(DVC)
        (repo / "train.sh").write_text('printf \'{"rmse": %s}\' "$2" > metrics.json\n')
        dvc("init", "-q")
        dvc("config", "core.analytics", "false")
        subprocess.run(["git", "add", "-A"], cwd=repo, check=True)
        subprocess.run(["git", "commit", "-q", "-m", "dvc"], cwd=repo, check=True)
        dvc("exp", "run", "--queue", "-S", "lr=" + ",".join(str(at / 1000) for at in range(trials)))
        dvc("queue", "start", "-j", str(jobs))
        while any(word in dvc("queue", "status") for word in ("Queued", "Running")):
            time.sleep(0.5)
        dvc("queue", "stop")

    return run


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dvc", default=shutil.which("dvc"), help="the dvc program")
    parser.add_argument("--dvc-trials", type=int, default=6)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.update(
        GIT_AUTHOR_NAME="a",
        GIT_AUTHOR_EMAIL="a@example.org",
        GIT_COMMITTER_NAME="a",
        GIT_COMMITTER_EMAIL="a@example.org",
    )
    ways: dict[str, tuple[Callable[[Path, int, int], Any], int]] = {
        "gitexp sweep": (with_gitexp, given.trials),
        "bare joblib + git add, commit, tag": (with_bare_joblib, given.trials),
        "joblib alone, nothing kept": (with_joblib_alone, given.trials),
        "Optuna alone, nothing kept": (with_optuna, given.trials),
    }
    if given.dvc:
        ways["dvc exp run --queue, dvc queue start"] = (with_dvc(given.dvc), given.dvc_trials)
    if given.only:
        ways[given.only[0]][0](Path(given.only[1]), given.trials, given.jobs)
        return
    best: dict[str, float] = {}
    for at in range(given.rounds):
        for name, (_, trials) in ways.items():
            if "dvc" in name and at:
                continue
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                repo = repository(Path(folder) / "repo", given.files)
                begun = time.perf_counter()
                again = [
                    sys.executable,
                    __file__,
                    "--only",
                    name,
                    str(repo),
                    "--trials",
                    str(trials),
                    "--jobs",
                    str(given.jobs),
                ]
                # a process of its own: nothing is warm from before
                subprocess.run([*again, "--dvc", given.dvc or ""], check=True)
                best[name] = min(best.get(name, 1e9), (time.perf_counter() - begun) / trials)
    print(
        f"{given.trials} trials, {given.jobs} jobs, {given.files} files; ms a trial, start-up"
        f" included, the least of {given.rounds}\n"
    )
    print("| way | ms a trial |\n|---|---|")
    for name, seconds in best.items():
        print(f"| {name} | {seconds * 1000:.1f} |")


if __name__ == "__main__":
    main()
