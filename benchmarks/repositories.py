"""Repositories with any number of experiments, written by ``git fast-import`` in seconds.

Each experiment has five params, five metrics, a ``metrics.csv`` of a hundred rows and the annotated
tag that gitexp itself would have written; all are children of one first commit.

    python benchmarks/repositories.py 10000 /tmp/ten-thousand
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.formats import environment, message, metrics, params
from gitexp.formats.experiment import MetricPoint

STEPS = 20
FIRST = datetime(2026, 1, 1, tzinfo=timezone.utc)
_WHO = "Ada <ada@example.org>"


class Made(NamedTuple):
    """What one experiment says."""

    number: int
    started: datetime
    params: dict[str, Any]
    points: list[MetricPoint]
    last: dict[str, float]


def experiments(count: int) -> Iterator[Made]:
    """Yield the same ``count`` experiments at every call."""
    dice = random.Random(1)
    for number in range(1, count + 1):
        started = FIRST + timedelta(seconds=30 * number)
        given = {
            "lr": round(10 ** dice.uniform(-4, -1), 6),
            "depth": dice.randint(2, 12),
            "seed": number,
            "model": "forest",
            "dropout": dice.random(),
        }
        stamp = int(started.timestamp() * 1000)
        curves = {name: dice.uniform(0.5, 2) for name in ("rmse", "mae", "loss", "val_loss", "r2")}
        points = [
            MetricPoint(name, height / (step + 1) + dice.random() / 100, stamp + step, step)
            for step in range(STEPS)
            for name, height in curves.items()
        ]
        yield Made(number, started, given, points, metrics.last_values(points))


def build(root: Path, count: int) -> Path:
    """Make a repository of ``count`` experiments at ``root``, packed as after a clone, and return
    ``root``."""
    root.mkdir(parents=True)
    git(root, "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org"), ("gc.auto", "0")):
        git(root, "config", key, value)
    (root / "train.py").write_text("print('training')\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=start")
    base = git(root, "rev-parse", "HEAD").strip()
    fast_import(root, _stream(count, base))
    git(root, "pack-refs", "--all")
    # a folder stays as large as it was once, and no clone has one that held all tags as files
    tags = root / ".git/refs/tags"
    shutil.rmtree(tags)
    tags.mkdir()
    return root


def git(root: Path, *args: str) -> str:
    """Run git and return what it prints."""
    return subprocess.run(
        ["git", *args], cwd=root, check=True, capture_output=True, text=True
    ).stdout


def fast_import(root: Path, stream: Iterator[bytes]) -> None:
    """Feed a stream to ``git fast-import``."""
    with subprocess.Popen(
        ["git", "fast-import", "--quiet"], cwd=root, stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        for part in stream:
            process.stdin.write(part)
        process.stdin.close()
    assert process.returncode == 0


def data(content: bytes) -> bytes:
    """Return content as fast-import takes it."""
    return b"data %d\n%b\n" % (len(content), content)


def _stream(count: int, base: str) -> Iterator[bytes]:
    environment_file = environment.requirements().encode()
    yield b"blob\nmark :1\n" + data(environment_file)
    for made in experiments(count):
        name, when = f"exp-{made.number}", int(made.started.timestamp())
        flat = params.flatten(made.params)
        title = message.subject(name, flat, made.last)
        trailers = {
            "Id": f"{made.number:016x}",
            "Status": "finished",
            "Started": message.format_time(made.started),
            "Duration": "12.500 s",
        }
        summary = {
            "id": f"{made.number:016x}", "status": "finished",
            "started": message.format_time(made.started), "duration": 12.5,
            "params": flat, "metrics": made.last, "branch": "main", "parent": base,
            "command": "python train.py",
            "files": {"params": "params.yml", "metrics": "metrics.csv"},
        }  # fmt: skip
        mark = made.number + 1
        yield f"commit refs/gitexp/import\nmark :{mark}\ncommitter {_WHO} {when} +0000\n".encode()
        yield data(message.commit_message(title, "", trailers).encode()) + f"from {base}\n".encode()
        yield b"M 100644 inline params.yml\n" + data(params.dump(made.params))
        yield b"M 100644 inline metrics.csv\n" + data(metrics.gather(made.points)[0])
        yield b"M 100644 :1 .gitexp/requirements.txt\n"
        yield f"tag {name}\nfrom :{mark}\ntagger {_WHO} {when} +0000\n".encode() + data(
            message.tag_message(title, summary).encode()
        )
    yield b"reset refs/gitexp/import\nfrom 0000000000000000000000000000000000000000\n"


if __name__ == "__main__":
    build(Path(sys.argv[2]), int(sys.argv[1]))
