"""What one repository costs as it grows, and many clients that push and pull at once: the figures
of docs/scale.md.

    python benchmarks/hosting.py                          1,000 and 10,000 experiments, 8 clients x
        3
    python benchmarks/hosting.py --sizes 100000 --clients 0 --no-page

Two ways to host the same experiments, in turn (A B A B ...) in one run: ``tags`` is plain git, one
ref for each experiment, and ``gathering`` is ``gitexp push`` with ``push_tags_up_to = 0``, one
branch for all. Over file:// and over smart HTTP on loopback. Each figure is a median in
milliseconds, with the load of the machine beside it; the ratio is what counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measuring import made_by, publish
from remotes import ROOT, Clone, measured, sealed  # puts the project and its tests on sys.path
from repositories import build, git

from git_server import serving
from gitexp.repo import Repo
from gitexp.store.index import Index
from gitexp.store.remote import sync

PAGE = ROOT / "docs" / "scale.md"
WAYS = ("tags", "gathering")
TAGS = "+refs/tags/*:refs/tags/*"


def hosted(served: Path, name: str) -> str:
    """Make a bare repository and return its name."""
    git(served, "init", "--quiet", "--bare", "--initial-branch=main", f"{name}.git")
    git(served / f"{name}.git", "config", "http.receivepack", "true")
    return name


class Way:
    """One way to host what a clone holds: a remote of its own, and a reader that cloned it."""

    def __init__(self, name: str, source: Clone, served: Path, start: str) -> None:
        self.name, self.source = name, source
        self.remote = hosted(served, f"{name}-{start.partition(':')[0]}")
        self.address = f"{start}{self.remote}.git"
        self.reader = Clone(source.root.parent / f"reader-{self.remote}")
        git(source.root, "remote", "add", self.remote, self.address)
        git(source.root, "push", "--quiet", self.remote, "main")

    def push_all(self) -> None:
        """Send everything."""
        if self.name == "tags":
            git(self.source.root, "push", "--quiet", self.remote, TAGS)
        else:
            self.push()

    def push(self) -> None:
        """Send what is new: the newest tag as plain git does it, or all that gitexp finds."""
        if self.name == "tags":
            newest = git(
                self.source.root,
                "for-each-ref",
                "--sort=-creatordate",
                "--count=1",
                "--format=%(refname)",
                "refs/tags",
            ).strip()
            git(self.source.root, "push", "--quiet", self.remote, newest)
        else:
            sync.push(Index(Repo.discover(self.source.root)), self.remote)

    def fetch(self) -> None:
        """Bring what is new."""
        if self.name == "tags":
            git(self.reader.root, "fetch", "--quiet", "origin", TAGS)
        else:
            sync.pull(Repo.discover(self.reader.root), "origin")

    def clone(self) -> None:
        """Clone, so that all experiments are known."""
        git(self.reader.root.parent, "clone", "--quiet", self.address, self.reader.root.name)
        self.fetch()

    def one_more(self) -> None:
        """Have one more here, and nothing else that the remote lacks."""
        self.push()
        self.source.one_more()

    def one_there(self) -> None:
        """Have one more on the remote, and nothing else that the reader lacks."""
        self.push()
        self.fetch()
        self.source.one_more()
        self.push()


def known(clone: Clone) -> int:
    """Count the experiments that a clone can show."""
    return len({item.id for item in Index(Repo.discover(clone.root)).select(everybody=True)})


def taken(work: Callable[[], object]) -> float:
    """Return the milliseconds of one call."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def grown(home: Path, count: int, rounds: int) -> list[str]:
    """Measure both ways with a repository of ``count`` experiments, and return the rows of the
    table."""
    rows = []
    source = Clone(build(home / "source", count))
    (source.root / ".gitexp.toml").write_text("push_tags_up_to = 0\n")
    served = home / "served"
    served.mkdir()
    with serving(served) as address:
        for title, start in (("file://", f"{served.as_uri()}/"), ("smart HTTP", address)):
            ways = [Way(name, source, served, start) for name in WAYS]
            found = {"first push of all": {way.name: taken(way.push_all) for way in ways}}
            found["clone, all known"] = {way.name: taken(way.clone) for way in ways}
            for way in ways:
                assert known(way.reader) == known(source), (
                    f"{way.name}: {known(way.reader)} of {known(source)} arrived"
                )
            found["push of one new"] = measured(
                {way.name: (way.one_more, way.push) for way in ways}, rounds
            )
            found["fetch, nothing new"] = measured(
                {way.name: (way.fetch, way.fetch) for way in ways}, rounds
            )
            found["fetch of one new"] = measured(
                {way.name: (way.one_there, way.fetch) for way in ways}, rounds
            )
            for what, values in found.items():
                tags, gathered = values["tags"], values["gathering"]
                load = os.getloadavg()[0]
                rows.append(
                    f"| {count:,} | {title} | {what} | {tags:,.0f} | {gathered:,.0f} |"
                    f" {gathered / tags:.2f} | {load:.0f} |"
                )
    for name in WAYS:
        place = served / f"{name}-file.git"
        refs = len(git(place, "for-each-ref", "--format=x").split())
        git(place, "gc", "--quiet")
        size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        rows.append(
            f"| {count:,} | on the remote | {name}: {refs:,} refs, {size / 1e6:.1f} MB packed | |"
            " | | |"
        )
    shutil.rmtree(home)
    return rows


def record_push_pull(clone: Clone, each: int) -> list[tuple[float, float]]:
    """Return what each push and pull took, as commands."""
    times = []
    for _ in range(each):
        clone.one_more()
        times.append((taken(lambda: clone.command("push")), taken(lambda: clone.command("pull"))))
    return times


def crowd(home: Path, clients: int, each: int) -> str:
    """Many clients that record, push and pull at the same time, each in processes of its own; all
    must know all at the end."""
    served = home / "served"
    served.mkdir(parents=True)
    hosted(served, "shared")
    with serving(served) as address:
        made = []
        for at in range(clients):
            clone = Clone(home / f"client{at}")
            git(home, "clone", "--quiet", f"{address}shared.git", clone.root.name)
            git(clone.root, "config", "user.name", f"P{at}")
            git(clone.root, "config", "user.email", f"p{at}@example.org")
            (clone.root / "train.py").write_text("print(1)\n")
            git(clone.root, "add", "--all")
            git(clone.root, "commit", "--quiet", "--message=start")
            made.append(clone)
        begun = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            times = [
                pair
                for pairs in pool.map(record_push_pull, made, [each] * clients)
                for pair in pairs
            ]
        took = time.perf_counter() - begun
        for clone in made:
            clone.command("pull")
            assert known(clone) == clients * each, f"{clone.root.name} knows {known(clone)}"
        subprocess.run(
            ["git", "fsck", "--strict", "--no-dangling"],
            cwd=served / "shared.git",
            check=True,
            capture_output=True,
        )
    pushes, pulls = (statistics.median(column) for column in zip(*times))
    return (
        f"{clients} clients that record, push and pull {each} times each, all at once over smart"
        f" HTTP: {clients * each / took:.1f} experiments a second; a push took {pushes:,.0f} ms, a"
        f" pull {pulls:,.0f} ms (medians; load {os.getloadavg()[0]:.0f}). After that all knew all,"
        " and `git fsck` found nothing.\n"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--no-page", action="store_true", help="only print")
    given = parser.parse_args()
    head = [
        (
            f"| experiments | over | median of {given.rounds} | tags, ms | gathering, ms | ratio |"
            " load |"
        ),
        "|--:|---|---|--:|--:|--:|--:|",
    ]
    rows: list[str] = []
    told: list[str] = []
    made = made_by(f"python benchmarks/hosting.py {' '.join(sys.argv[1:])}".rstrip())
    with sealed() as home:
        if given.clients:
            told.append(crowd(home / "crowd", given.clients, given.each))
        for count in given.sizes:
            rows += grown(home / str(count), count, given.rounds)
            if not given.no_page:  # after each, since the largest takes long
                publish("hosting.py", [*head, *rows, "", *told, made], PAGE)
    print("\n".join([*head, *rows, "", *told]))


if __name__ == "__main__":
    sys.exit(main())
