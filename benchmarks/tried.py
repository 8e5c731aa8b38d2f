"""How well and how fast ``gitexp tried`` finds: recall among planted changes, and processor time.

Each experiment changes one or two functions of a program of forty in one of several ways. A query
is one of them again, with renamed variables, with the function moved, or with another constant.

    python benchmarks/tried.py 5000
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from repositories import FIRST, data, fast_import, git

from gitexp.compare import tried
from gitexp.formats import message
from gitexp.repo import Repo
from gitexp.store.index import Index

WORDS = [
    "loss",
    "rate",
    "batch",
    "model",
    "state",
    "grad",
    "scale",
    "noise",
    "weight",
    "bias",
    "mask",
    "depth",
    "width",
    "cache",
    "queue",
    "score",
]
QUERIES = 100


def program() -> list[str]:
    """Return the functions of the program that every experiment begins with."""
    dice = random.Random(7)
    return [
        f"def part_{at}(x, y):\n"
        + "".join(f"    {_line(dice)}\n" for _ in range(6))
        + "    return x\n\n"
        for at in range(40)
    ]


def _line(dice: random.Random) -> str:
    a, b, c = (dice.choice(WORDS) for _ in range(3))
    value = round(dice.uniform(0, 10), 2)
    return dice.choice(
        [
            f"{a} = {b} * {value} + {c}",
            f"{a} = max({b}, {value}) - {c}",
            f"if {a} > {value}: {b} = {c}",
            f"{a} = [{b} for {c} in range({int(value) + 2})]",
            f"{a} = {b}.clip({value}).mean() / {c}",
            f"{a} -= {b} ** {value} * {c}",
        ]
    )


def changed(seed: int) -> list[str]:
    """Return the program with what experiment number ``seed`` changed."""
    dice, parts = random.Random(seed), program()
    for _ in range(dice.randint(1, 2)):
        at = dice.randrange(len(parts))
        lines = parts[at].splitlines(keepends=True)
        place = dice.randint(1, 6)
        lines[place : place + dice.randint(0, 1)] = [
            f"    {_line(dice)}\n" for _ in range(dice.randint(1, 4))
        ]
        parts[at] = "".join(lines)
    return parts


def disguised(seed: int, how: str) -> list[str]:
    """Return that again, told otherwise."""
    dice, base = random.Random(-seed), program()
    parts = changed(seed)
    mine = [at for at, part in enumerate(parts) if part != base[at]]
    for at in mine if how != "constant" else mine[:1]:
        if how == "renamed":
            for word in dice.sample(WORDS, 5):
                parts[at] = re.sub(rf"\b{word}\b", f"{word}_new", parts[at])
        elif how == "constant":
            new = [line for line in parts[at].splitlines() if line not in base[at].splitlines()]
            for line in new[:1]:
                parts[at] = parts[at].replace(line, re.sub(r"\d+(\.\d+)?", "3.7", line, count=1))
    if how == "moved" and mine:
        parts.insert(dice.randrange(len(parts)), parts.pop(mine[0]))
    return parts


def stream(count: int, base: str) -> Iterator[bytes]:
    """Yield the experiments as fast-import takes them."""
    for number in range(1, count + 1):
        stamp = int(FIRST.timestamp()) + 30 * number
        when = message.format_time(FIRST.fromtimestamp(stamp, FIRST.tzinfo))
        values = {"lr": random.Random(number).choice([0.1, 0.03, 0.01]), "depth": number % 5}
        summary = {"id": f"{number:016x}", "status": "finished", "started": when, "params": values,
                   "metrics": {"loss": 1.0}, "parent": base, "files": {}}  # fmt: skip
        who = f"Ada <ada@example.org> {stamp} +0000"
        yield f"commit refs/x\nmark :{number}\ncommitter {who}\n".encode() + data(b"x")
        yield f"from {base}\nM 100644 inline train.py\n".encode()
        yield data("".join(changed(number)).encode())
        yield f"tag exp-{number}\nfrom :{number}\ntagger {who}\n".encode()
        yield data(message.tag_message(f"exp-{number}", summary).encode())
    yield b"reset refs/x\nfrom 0000000000000000000000000000000000000000\n"


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        git(root, "init", "--quiet", "--initial-branch=main")
        git(root, "config", "user.name", "Ada")
        git(root, "config", "user.email", "ada@example.org")
        (root / "train.py").write_text("".join(program()))
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--message=start")
        fast_import(root, stream(count, git(root, "rev-parse", "HEAD").strip()))
        git(root, "pack-refs", "--all")  # as gitexp does when they pile up
        os.chdir(root)
        index = Index(Repo.discover(root))
        start = cpu()
        tried.like_tree(index, git(root, "rev-parse", "HEAD^{tree}").strip(), {})
        print(f"indexing {count}: {cpu() - start:.1f} s")
        times = [measure(root, index, how, count) for how in ("renamed", "moved", "constant")]
        found = sorted(one for part in times for one in part)
        print(
            f"search: median {1000 * found[len(found) // 2]:.0f} ms, worst {1000 * found[-1]:.0f} ms"
        )
        print("gitexp tried, the whole command:", whole())


def cpu() -> float:
    """Return the seconds of processor time that this process and its children have taken."""
    return sum(os.times()[:4])


def whole() -> str:
    """Return the least that the whole command took in ten calls."""
    used, passed = [], []
    for _ in range(10):
        start, begun = cpu(), time.perf_counter()
        subprocess.run([sys.executable, "-m", "gitexp", "tried"], check=True, capture_output=True)
        used.append(cpu() - start)
        passed.append(time.perf_counter() - begun)
    return f"{1000 * min(used):.0f} ms of processor time, {1000 * min(passed):.0f} ms by the clock"


def measure(root: Path, index: Index, how: str, count: int) -> list[float]:
    """Print the recall of one disguise, and return how long each search took."""
    hits, times = 0, []
    for seed in random.Random(3).sample(range(1, count + 1), QUERIES):
        (root / "train.py").write_text("".join(disguised(seed, how)))
        git(root, "add", "--all")
        tree = git(root, "write-tree").strip()
        start = cpu()
        found = tried.like_tree(index, tree, {}, limit=5)
        times.append(cpu() - start)
        hits += f"exp-{seed}" in [match.experiment.name for match in found]
    print(f"recall@5, {how}: {hits / QUERIES:.2f}")
    return times


if __name__ == "__main__":
    main()
