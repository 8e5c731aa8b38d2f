"""Acts of a user's beside their floor, in turn, in processor time of the process and its children.

python benchmarks/speed.py [EXPERIMENTS] [ROWS]

Floors are what git, pandas or Python take for the same without gitexp. What lists all (list,
doctor) is asked at ten times EXPERIMENTS.
"""

from __future__ import annotations

import functools
import gc
import io
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import measuring
import pandas as pd
import repositories
import sweep
import tracking

import gitexp
from gitexp.compare import verify
from gitexp.formats import metrics
from gitexp.formats.experiment import MetricPoint
from gitexp.repo import Repo
from gitexp.runs import log
from gitexp.store.index import Index

ROUNDS = 5
_READ = """
import io, subprocess
import pandas as pd
names = subprocess.run(
    ["git", "for-each-ref", "--format=%(*objectname):metrics.csv", "refs/tags"], capture_output=True
).stdout
out = subprocess.run(["git", "cat-file", "--batch"], input=names, capture_output=True).stdout
pd.read_csv(io.BytesIO(out), names=[*"abcd"], on_bad_lines="skip", dtype=str)
"""


def cost(act: Callable[[], object]) -> float:
    """Return the processor seconds of an act, children included, and without those that Python
    takes to collect what an act before it left."""
    gc.collect()
    before = measuring.spent()
    act()
    return (measuring.spent() - before) / 1000


def compare(
    what: str, act: Callable[[], object], floor: Callable[[], object], target: float
) -> None:
    """Print the best of some rounds of both, in turn, as a row of docs/performance.md."""
    both = [(cost(act), cost(floor)) for _ in range(ROUNDS)]
    row(what, *(min(times) for times in zip(*both)), target)


def row(what: str, ours: float, least: float, target: float) -> None:
    """Print two times in seconds as a row."""
    ratio = ours / least
    met = "met" if ratio <= target else "missed"
    print(
        f"| {what} | {1000 * least:,.0f} ms | {1000 * ours:,.0f} ms | {ratio:.1f} x"
        f" | ≤ {target} x, {met} |",
        flush=True,
    )


def main(experiments: int = 1_000, rows: int = 1_000_000) -> None:
    """Measure in repositories of its own."""
    print("| act | floor | gitexp | ratio | target |\n|---|--:|--:|--:|---|")
    with tempfile.TemporaryDirectory() as folder:
        of_many_files(Path(folder, "files"), 300, 10_000)
        of_many_experiments(Path(folder, "many"), experiments)
        of_all(Path(folder, "all"), 10 * experiments)
        of_sweeps(Path(folder, "sweeps"))
        of_mlflow(Path(folder, "mlflow"), experiments)
        of_data(Path(folder, "data"))
        of_a_long_file(Path(folder, "long"), rows)
        on_disk(Path(folder, "disk"), 500)


def of_many_files(root: Path, few: int, many: int) -> None:
    """Recording and checking out, which go by the number of files."""
    new(root, few)
    run = functools.partial(ours, "run", "--", "true")
    compare(f"`gitexp run -- true`, {few} files / git add, commit, tag", run, by_hand, 6)
    fresh = iter(range(10**6))

    def with_a_new_file() -> None:
        Path(f"new{next(fresh)}.py").write_text("def learning_rate(step):\n    return 0.1\n")
        run()

    compare("the same with one new untracked file / without", with_a_new_file, run, 1.1)
    new(root.with_name("large"), many)
    ours("log", "-M", "a=1")
    for at in range(0, many, 100):
        Path(f"f{at}.py").write_text("changed\n")
    ours("log", "-M", "a=2")
    there = iter([1, 2] * 100)
    back = iter([1, 2] * 100)
    compare(
        f"`gitexp checkout`, {many:,} files / `git checkout`",
        lambda: ours("checkout", f"exp-{next(there)}"),
        lambda: git("checkout", "-q", "--detach", f"exp-{3 - next(back)}"),
        2.5,
    )


def of_many_experiments(root: Path, count: int) -> None:
    """Reading all there is."""
    os.chdir(repositories.build(root, count))
    ours("list")
    found = Index(Repo.discover()).select()

    def read_all() -> None:
        names = "".join(f"{item.id}:metrics.csv\n" for item in found).encode()
        out = subprocess.run(
            ["git", "cat-file", "--batch"], input=names, capture_output=True, check=True
        ).stdout
        pd.read_csv(io.BytesIO(out), names=[*"abcd"], on_bad_lines="skip", dtype=str)

    what = f"{count:,} experiments of 100 rows"
    compare(f"`gitexp.histories()`, {what} / reading them", gitexp.histories, read_all, 1.3)
    compare(
        f"`gitexp export csv --metrics`, {what} / reading them",
        functools.partial(ours, "export", "csv", "--metrics"),
        lambda: subprocess.run([sys.executable, "-c", _READ], check=True, capture_output=True),
        2,
    )
    compare(
        f"verifying {count:,} / `git fsck`",
        lambda: [*verify.verify(Repo.discover(), found)],
        lambda: git("fsck", "--no-progress"),
        4,
    )


def of_all(root: Path, count: int) -> None:
    """Listing and looking after all there is."""
    os.chdir(repositories.build(root, count))
    start = functools.partial(ours, "--version")
    compare(f"`gitexp list` of {count:,} / `--version`", functools.partial(ours, "list"), start, 5)
    compare(
        f"`gitexp list -n 20` of {count:,} / `--version`", lambda: ours("list", "-n20"), start, 2.5
    )
    quick = ["-c", "log.excludeDecoration=refs/tags/exp-*", "log", "-20"]
    compare(
        f"`git log -20 --decorate`, {count:,} tags, `log.excludeDecoration` / `--no-decorate`",
        functools.partial(git, *quick, "--decorate"),
        functools.partial(git, *quick, "--no-decorate"),
        1.5,
    )
    connected = [
        ("fsck", "--unreachable", "--connectivity-only", "--no-reflogs", "--no-progress"),
        ("rev-list", "--objects", "--no-walk", "--missing=print", "--tags"),
    ]
    apart = sum(
        min(cost(functools.partial(git, *args)) for _ in range(ROUNDS)) for args in connected
    )
    doctor = min(cost(lambda: ours("doctor", ok=1)) for _ in range(ROUNDS))
    least = min(cost(start) for _ in range(ROUNDS))
    what = f"`gitexp doctor` at {count:,}, git's connectivity check ({1000 * apart:.0f} ms) apart"
    row(f"{what} / `--version`", doctor - apart, least, 5)
    print(f"\n| peak memory, MB | {count:,} experiments |\n|---|--:|")
    for command in (["list"], ["show"], ["curve", "loss"], ["export", "csv", "--metrics"]):
        print(f"| `gitexp {' '.join(command)}` | {peak(command):.0f} |", flush=True)
    print()


def of_sweeps(root: Path) -> None:
    """Sweeps beside what joblib and git take; each in a repository of its own."""
    for trials in (4, 40):
        made = iter([sweep.repository(root / f"{trials}-{at}", 100) for at in range(2 * ROUNDS)])

        def sweeping(
            way: str,
            made: Iterator[Path] = made,
            count: tuple[str, str] = ("--trials", str(trials)),
        ) -> None:
            command = [sys.executable, sweep.__file__, "--only", way, str(next(made)), *count]
            subprocess.run([*command, "--jobs", "2"], check=True, capture_output=True)

        compare(
            f"a sweep of {trials} trials / bare joblib, git add, commit, tag",
            functools.partial(sweeping, "gitexp sweep"),
            functools.partial(sweeping, "bare joblib + git add, commit, tag"),
            1.3,
        )


def of_mlflow(root: Path, count: int) -> None:
    """``search_runs`` beside MLflow's own store of the same rows."""
    import mlflow

    repo = repositories.build(root, count)
    tracking.rebuild(repo)
    with (
        closing(sqlite3.connect(root.with_suffix(".db"))) as copy,
        closing(sqlite3.connect(repo / ".git/gitexp/mlflow/tracking.sqlite")) as db,
    ):
        db.backup(copy)
    stores = f"gitexp:{repo}", f"sqlite:///{root.with_suffix('.db')}"
    searches = [tracking.search(mlflow.MlflowClient(uri), count) for uri in stores]
    for act in searches:
        act()
    compare(f"`mlflow.search_runs` at {count:,} / MLflow's SQLite", searches[0], searches[1], 1.1)


def of_data(root: Path) -> None:
    """A file of DVC's that was touched."""
    if not shutil.which("dvc"):
        print("(no dvc here, so no line of a file that was touched)")
        return
    new(root, 1)
    Path("data.bin").write_bytes(os.urandom(20_000_000))
    for command in (["dvc", "init", "-q"], ["dvc", "add", "-q", "data.bin"]):
        subprocess.run(command, check=True, capture_output=True)
    git("add", "-A")
    git("commit", "-q", "-m", "data")
    run = functools.partial(ours, "run", "--", "true")
    run()

    def touched() -> None:
        Path("data.bin").touch()
        run()

    both = [(cost(touched), cost(run)) for _ in range(ROUNDS)]
    added = min(item[0] for item in both) - min(item[1] for item in both)
    print(
        f"| a DVC file of 20 MB touched but unchanged adds | | {1000 * added:.0f} ms | | ≤ 200 ms |"
    )


def of_a_long_file(root: Path, rows: int) -> None:
    """One metrics.csv that is long."""
    new(root, 1)
    points = (MetricPoint("loss", at / 7, 1_700_000_000_000 + at, at) for at in range(rows))
    file = Path("course.csv")
    file.write_bytes(metrics.gather(points)[0])
    repo = Repo.discover()
    read = functools.partial(pd.read_csv, file)
    compare(
        f"`gitexp log --metrics-file`, {rows:,} rows / `pandas.read_csv`",
        lambda: log.check(repo, given={}, metrics_files=[file], limit=10**9),
        read,
        3,
    )
    ours("log", "--metrics-file", str(file))
    long = gitexp.get("@")
    compare(f"`history()`, {rows:,} rows / `pandas.read_csv`", long.history, read, 1.5)
    print("\n| peak memory, MB | a metrics.csv of 51 MB |\n|---|--:|")
    for command in (["list"], ["show"], ["curve", "loss"], ["export", "csv", "--metrics"]):
        print(f"| `gitexp {' '.join(command)}` | {peak(command):.0f} |", flush=True)
    print()


def on_disk(root: Path, count: int) -> None:
    """What experiments take on the disk before anybody collects garbage."""
    new(root, 1)
    worst = 0
    for at in range(count + 60):
        gitexp.log({"lr": at / 7}, {"loss": [at / (s + 3) for s in range(100)]}, advance=False)
        worst = max(worst, size() if at > count else 0)
    git("gc", "-q")
    print(f"disk after {count} experiments / after git gc: {worst / size():.2f} x (target 1.5 x)")


def size() -> int:
    """Return the kB of the repository's blocks, without what gitexp keeps beside git's own."""
    command = ["du", "-sk", "--exclude=gitexp", "--exclude=logs", ".git"]
    return int(subprocess.run(command, capture_output=True, text=True).stdout.split()[0])


def peak(command: list[str]) -> float:
    """Return the MB that a command takes at most, of a process that starts nothing else large."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], capture_output=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, "-m", "gitexp", *command],
        capture_output=True,
        text=True,
    )
    return int(done.stdout) / 1024


def new(root: Path, files: int) -> None:
    """Make a repository with some files and go there."""
    root.mkdir()
    os.chdir(root)
    git("init", "-q", "-b", "main")
    git("config", "user.name", "Ada")
    git("config", "user.email", "ada@example.org")
    for at in range(files):
        Path(f"f{at}.py").write_text(f"value = {at}\n" * 20)
    git("add", ".")
    git("commit", "-q", "-m", "start")


def by_hand() -> None:
    """Do what people do without gitexp."""
    git("add", "-A")
    git("commit", "-q", "--allow-empty", "-m", "by hand")
    git("tag", "-a", "-m", "by hand", f"by-hand-{os.urandom(8).hex()}")


def git(*args: str) -> None:
    """Run git."""
    subprocess.run(["git", *args], check=True, capture_output=True)


def ours(*args: str, ok: int = 0) -> None:
    """Run gitexp as people do; ``python -m`` would list the folder that they are in."""
    command = Path(sys.executable).with_name("gitexp")
    done = subprocess.run([command, *args], capture_output=True)
    assert done.returncode in (0, ok), done.stderr


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
