"""What sharing costs: a push of one new experiment, a pull with nothing new, and many clones that
push at the same time.

    python benchmarks/remotes.py                  10,000 experiments, 8 clones x 10
    python benchmarks/remotes.py --count 100000

The floor is a bare ``git push`` of a branch with one new commit of the same files, from the same
clone to a remote of few refs, in the same run and in turn with ours: over file://, and over smart
HTTP with basic authentication on loopback. ``in-process`` is what the library takes, ``command``
adds the start of Python.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from repositories import build, git

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from git_server import helper, serving  # noqa: E402
from gitexp.repo import Repo  # noqa: E402
from gitexp.store.index import Index  # noqa: E402
from gitexp.store.remote import sync  # noqa: E402
from recording import record  # noqa: E402

GITEXP = [sys.executable, "-m", "gitexp"]


class Clone:
    """A clone to record in."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def one_more(self) -> None:
        """Record an experiment beside the branch."""
        record(self, {"lr": time.time()}, {"rmse": [0.5, 0.4, 0.3]}, advance=False)

    def commit(self) -> None:
        """Commit files as an experiment has them."""
        for name in ("params.yml", "metrics.csv", "requirements.txt"):
            (self.root / name).write_text(f"{name}: {time.time()}\n")
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message=more")

    def command(self, *args: str) -> None:
        """Run gitexp's command line."""
        subprocess.run([*GITEXP, *args], cwd=self.root, check=True, capture_output=True)


@contextmanager
def sealed() -> Iterator[Path]:
    """Yield a folder that is the home of all that is started, with a git that can log in to the
    server and knows one author."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ.update(HOME=folder, PYTHONPATH=str(ROOT), GIT_CONFIG_NOSYSTEM="1")
        for key, value in (
            ("credential.helper", helper()),
            ("user.name", "Ada"),
            ("user.email", "ada@example.org"),
            ("gc.auto", "0"),
        ):
            git(home, "config", "--global", key, value)
        yield home


def measured(
    ways: dict[str, tuple[Callable[[], object], Callable[[], object]]], rounds: int
) -> dict[str, float]:
    """Return the median of the milliseconds of each way; each is prepared before its turn."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (prepare, work) in ways.items():
            prepare()
            begun = time.perf_counter()
            work()
            taken[name].append((time.perf_counter() - begun) * 1000)
    return {name: statistics.median(times) for name, times in taken.items()}


def one_at_a_time(clone: Clone, title: str, many: str, few: str, rounds: int) -> None:
    """Measure pushes and pulls of one clone against the floor."""

    def nothing() -> None:
        """Prepare nothing."""

    def push() -> None:
        assert len(sync.push(Index(Repo.discover(clone.root)), many).experiments) == 1

    ways = {
        "git push, few refs": (
            clone.commit,
            lambda: git(clone.root, "push", "--quiet", few, "main"),
        ),
        "gitexp push, in-process": (clone.one_more, push),
        "gitexp push, command": (clone.one_more, lambda: clone.command("push", many)),
        "git fetch, few refs": (nothing, lambda: git(clone.root, "fetch", "--quiet", few, "main")),
        "gitexp pull, in-process": (nothing, lambda: sync.pull(Repo.discover(clone.root), many)),
        "gitexp pull, command": (nothing, lambda: clone.command("pull", many)),
    }
    found = measured(ways, rounds)
    for name, value in found.items():
        floor = found["git push, few refs"]
        print(f"| {title} | {name} | {value:.0f} | {value / floor:.2f} |")


def many_clones(folder: Path, clones: int, each: int) -> None:
    """Measure clones that push at the same time."""
    git(folder, "init", "--quiet", "--bare", "shared.git")
    made = []
    for at in range(clones):
        clone = Clone(folder / f"clone{at}")
        git(folder, "clone", "--quiet", (folder / "shared.git").as_uri(), clone.root.name)
        for key, value in (("user.name", f"P{at % 4}"), ("user.email", f"p{at % 4}@example.org")):
            git(clone.root, "config", key, value)
        (clone.root / "train.py").write_text("print(1)\n")
        git(clone.root, "add", "--all")
        git(clone.root, "commit", "--quiet", "--message=start")
        for _ in range(each):
            clone.one_more()
        made.append(clone)
    begun, spent = time.perf_counter(), sum(os.times()[2:4])
    started = [
        subprocess.Popen([*GITEXP, "push"], cwd=clone.root, stdout=subprocess.DEVNULL)
        for clone in made
    ]
    assert [process.wait() for process in started] == [0] * clones
    took, spent = time.perf_counter() - begun, sum(os.times()[2:4]) - spent
    arrived = git(
        folder / "shared.git", "for-each-ref", "--format=%(*objectname)", "refs/tags"
    ).split()
    assert len(set(arrived)) == clones * each, f"{len(set(arrived))} arrived"
    print(
        f"\n{clones} clones x {each} experiments, one command each: {clones * each / took:.0f} a"
        f" second, {spent:.1f} CPU seconds in all"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clones", type=int, default=8)
    parser.add_argument("--each", type=int, default=10)
    given = parser.parse_args()
    with sealed() as home:
        clone = Clone(build(home / "project", given.count))
        served = home / "served"
        served.mkdir()
        with serving(served) as address:
            places = {"file://": (served / "x").as_uri()[:-1], "smart HTTP": address}
            print(
                f"| over | {given.count:,} experiments there; median of {given.rounds} | ms | x"
                " bare push |\n|---|---|---|---|"
            )
            for at, (title, start) in enumerate(places.items()):
                for name in (f"many{at}", f"few{at}"):
                    git(served, "init", "--quiet", "--bare", f"{name}.git")
                    git(served / f"{name}.git", "config", "http.receivepack", "true")
                    git(clone.root, "remote", "add", name, f"{start}{name}.git")
                    git(clone.root, "push", "--quiet", name, "main")
                begun = time.perf_counter()
                sync.push(Index(Repo.discover(clone.root)), f"many{at}")
                print(
                    f"| {title} | first push of them all, in-process |"
                    f" {(time.perf_counter() - begun) * 1000:.0f} | |"
                )
                one_at_a_time(clone, title, f"many{at}", f"few{at}", given.rounds)
        shutil.rmtree(clone.root)
        many_clones(home, given.clones, given.each)


if __name__ == "__main__":
    main()
