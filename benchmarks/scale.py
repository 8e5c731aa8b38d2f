"""What thousands of experiments cost: writes its section of docs/performance.md.

    make bench                                    1,000 and 10,000 experiments, and peers at 50 and
        500
    python benchmarks/scale.py --large            100,000 too; about ten minutes more
    python benchmarks/scale.py --dry-run          print, and leave the page alone
    python benchmarks/scale.py --keep --sizes --peers 500    one part; the others stay as the page
        has them

measuring.py says how it is measured. The repositories are those of repositories.py.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import peers
from measuring import (
    GITEXP,
    PAGE,
    ROOT,
    Row,
    command,
    in_turn,
    load,
    made_by,
    of,
    peak,
    process,
    publish,
    spent,
    table,
)
from repositories import build, data, experiments, fast_import, git

sys.path.insert(0, str(ROOT))

import gitexp
from gitexp.formats import metrics, params
from gitexp.repo import Repo
from gitexp.store.index import Index

ROWS = 1_000_000
LARGE = 100_000


# -- what is measured ------------------------------------------------------------------------------


def starting(root: Path) -> Iterator[Row]:
    """The price of starting at all."""
    ways = {
        "pass": process(sys.executable, "-c", "pass", cwd=root),
        "version": command("--version", cwd=root),
    }
    yield of(in_turn(ways, 15), "version", "pass", 4.5, "`gitexp --version` / `python -c pass`")


def reading(root: Path, count: int, goal: float | None) -> Iterator[Row]:
    """A warm index: lists, and one experiment."""
    ways = {
        "version": command("--version", cwd=root),
        "list": command("list", "-n", "20", cwd=root),
        "where": command(
            "list", "-n", "20", "--where", "lr < 0.01 and depth > 5", "--sort", "rmse", cwd=root
        ),
        "show": command("show", f"exp-{count // 2}", cwd=root),
        "best": command("best", "rmse", cwd=root),
    }
    times = in_turn(ways, 5)
    yield of(
        times,
        "list",
        "version",
        goal,
        f"`gitexp list -n 20`, warm, at {count:,} / `gitexp --version`",
    )
    for name, text in (("where", "list --where --sort"), ("show", "show"), ("best", "best rmse")):
        yield of(
            times,
            name,
            "version",
            None,
            f"`gitexp {text}`, warm, at {count:,} / `gitexp --version`",
        )


def indexing(root: Path, count: int) -> Iterator[Row]:
    """A cold index against reading the same objects and parsing nothing."""
    repo = Repo.discover(root)

    def floor() -> None:
        refs = git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags")
        names = "".join(f"{line.split(' ')[0]}\n" for line in refs.splitlines())
        subprocess.run(
            ["git", "cat-file", "--batch"],
            cwd=root,
            input=names.encode(),
            check=True,
            capture_output=True,
        )

    def forget() -> None:
        for file in repo.state_dir.glob("index.sqlite*"):
            file.unlink()

    times = in_turn(
        {"floor": floor, "index": lambda: Index(repo)}, 5 if count < LARGE else 2, forget
    )
    yield of(
        times,
        "index",
        "floor",
        2.5,
        f"cold index of {count:,}, in-process / `for-each-ref` and `cat-file --batch` of the same"
        " objects",
    )


def growing(small: Path, hundred: Path, large: Path, count: int) -> Iterator[Row]:
    """Recording one more, and the index that takes it up."""
    log = {
        str(root): command("log", "--param", "lr=1", "--metric", "rmse=1", "--no-advance", cwd=root)
        for root in (small, large)
    }
    yield of(in_turn(log, 7), str(large), str(small), 1.2, f"`gitexp log` at {count:,} / at 10")
    taken: dict[Path, list[float]] = {hundred: [], large: []}
    for root in (hundred, large) * 15:
        repo = Repo.discover(root)
        Index(repo)
        gitexp.log(params={"lr": 2}, metrics={"rmse": 1}, advance=False, repo=root)
        start = spent()
        Index(repo)
        taken[root].append(spent() - start)
    medians = {str(root): statistics.median(values) for root, values in taken.items()}
    yield of(
        medians,
        str(large),
        str(hundred),
        1.2,
        f"taking one more into a warm index at {count:,}, in-process / at 100",
    )


def framing(root: Path, count: int, folder: Path) -> Iterator[Row]:
    """All experiments as a DataFrame, against pandas reading the same table."""
    import pandas as pd

    gitexp.experiments(repo=root).to_csv(folder / "table.csv", index=False)
    ways = {
        "ours": lambda: gitexp.experiments(repo=root),
        "csv": lambda: pd.read_csv(folder / "table.csv"),
    }
    goal = 3 if count == 10_000 else None
    yield of(
        in_turn(ways, 9),
        "ours",
        "csv",
        goal,
        f"`gitexp.experiments()` at {count:,} / `pandas.read_csv` of the same table",
    )


def large_file(folder: Path) -> Iterator[Row]:
    """A metrics.csv of a million rows: peak memory as a multiple of the file."""
    root = build(folder / "large", 10)
    file = folder / "large.csv"
    with open(file, "wb") as target:
        target.write(metrics.HEADER)
        for step in range(ROWS):
            target.write(
                metrics.format_row("loss", 1 / (step + 1), 1_767_225_600_000 + step, step).encode()
            )
    size = file.stat().st_size
    calls = {
        "log --metrics-file": ("log", "--metrics-file", str(file), "--no-advance"),
        "list": ("list",),
        "show": ("show", "@"),
        "curve": ("curve", "@", "loss"),
        "diff": ("diff", "exp-1", "@"),
    }
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
            yield (
                "commit refs/heads/plain\ncommitter Ada <ada@example.org>"
                f" {int(made.started.timestamp())} +0000\n".encode()
            )
            yield data(f"exp-{made.number}".encode())
            yield b"M 100644 inline params.yml\n" + data(params.dump(made.params))
            yield b"M 100644 inline metrics.csv\n" + data(metrics.gather(made.points)[0])

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
    yield Row(
        f"packed size at {count:,} / plain commits of the same results",
        sizes[copy] / sizes[plain],
        1.2,
        f"{shown} bytes each",
    )


# -- the page --------------------------------------------------------------------------------------


_ABOUT = """\
Each figure is the ratio of two medians that were measured in turn in the same run; 5 params, 5 metrics and a metrics.csv of 100 rows
for each experiment. What is measured is CPU time, of the process and all that it starts: waiting times would say more about other
work on the machine, whose load stands beside each part. "Cold index" is the index step alone, in one process: `gitexp list` adds to it
what it takes when warm. Memory is that of the largest process.
"""
_GROWTH = """\
The growth that missed its goal is the price of the summary: of some 2,370 bytes, the files take 1,490, the tag object 460. It repeats
params and last metrics, so that `list` reads no file and no commit, and git finds no smaller delta between two of them: hashes and
digits do not compress. Without the parent, the file names and the subject in it, it would still be 350. The longer a metrics.csv, the
less it counts.
"""
_PEERS = """\
Peers are asked for their own table: `benchmarks/peers.py`. Weights & Biases lists runs only from a server; Trackio has no table of values.
Where memory is less than ten times ours, that is by nature: a bare `python -c pass` takes 9 MB, one with click and SQLite 15, and pandas
alone 107. So it is with time where a peer takes 0.6 s: starting Python and click is two thirds of our 70 ms, and `gitexp list` shows all
values where `trackio list runs` shows names. At 10,000 one `dvc exp show` takes two and a half minutes.
"""


def at(root: Path, count: int, folder: Path) -> list[Iterator[Row]]:
    """Return what is measured at each size."""
    goal = {1_000: 1.5, 10_000: 2.5, LARGE: 8}.get(count)
    return [indexing(root, count), reading(root, count, goal), framing(root, count, folder)]


def kept() -> tuple[str, dict[str, list[str]]]:
    """Return what the page says: how it was made, and its parts by their titles."""
    section = (
        PAGE.read_text(encoding="utf-8")
        .partition("<!-- scale.py writes from here -->\n")[2]
        .partition("\n\n<!-- scale.py")[0]
    )
    head, *parts = section.split("\n\n## ")
    titles = {
        re.sub(r" \(load .*\)$", "", part.partition("\n")[0]): ["", *f"## {part}".split("\n")]
        for part in parts
    }
    return head.partition("\n")[0], titles


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--large", action="store_true", help=f"also {LARGE:,} experiments")
    parser.add_argument(
        "--peers",
        type=int,
        nargs="*",
        default=[50, 500],
        help="how many experiments peers are compared at",
    )
    parser.add_argument(
        "--trackio",
        default=sys.executable,
        metavar="PYTHON",
        help="a Python that has Trackio (default: this one)",
    )
    parser.add_argument(
        "--repositories", type=Path, metavar="FOLDER", help="take FOLDER/COUNT where it is there"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the parts of the page that are not measured now"
    )
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="gitexp-bench-"))
    sizes, beside = (" ".join(map(str, counts)) for counts in (options.sizes, options.peers))
    words = (
        f"python benchmarks/scale.py --sizes {sizes}{' --large' if options.large else ''} --peers"
        f" {beside}"
    )
    made, parts = kept() if options.keep else (made_by(words), {})

    def take(title: str, *found: Iterator[Row]) -> None:
        rows = []
        for row in (row for part in found for row in part):
            print(f"{row.ratio:8.2f}  {row.what}  ({row.detail})", flush=True)
            rows.append(row)
            parts[title] = ["", f"## {title}" + (f" ({load()})" if load() else ""), "", table(rows)]
            if not options.dry_run:  # at once: the next may take long
                told = [line for part in parts.values() for line in part]
                publish("scale.py", [made, "", _ABOUT, _GROWTH, _PEERS.rstrip(), *told, ""])

    def repository(count: int) -> Path:
        kept = options.repositories / str(count) if options.repositories else folder
        return kept if (kept / ".git").exists() else build(folder / str(count), count)

    try:
        small, hundred = build(folder / "small", 10), build(folder / "hundred", 100)
        if options.sizes:
            take("Starting", starting(small))
        for count in options.sizes:
            root = repository(count)
            size = packed(root, count, folder / f"packed-{count}")
            take(
                f"{count:,} experiments",
                *at(root, count, folder),
                size,
                growing(small, hundred, root, count),
            )
        if options.large:
            root = repository(LARGE)
            take(
                f"{LARGE:,} experiments",
                *at(root, LARGE, folder),
                growing(small, hundred, root, LARGE),
            )
        if options.sizes:
            take("A large file", large_file(folder))
        for count in sorted(options.peers):
            (folder / f"peers-{count}").mkdir()
            take(
                f"Other trackers, {count:,} experiments",
                peers.rows(folder / f"peers-{count}", count, options.trackio),
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
