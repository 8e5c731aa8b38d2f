"""Make the pictures of a report: a repository with a small, believable history, its report, and
Chromium.

python docs/images/make.py            # needs gitexp[report], playwright and a chromium on the PATH
"""

from __future__ import annotations

import io
import math
import random
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from gitexp.formats import settings  # noqa: E402
from gitexp.repo import Repo  # noqa: E402
from gitexp.report import data, page  # noqa: E402
from gitexp.store import notes  # noqa: E402
from gitexp.store.index import Index  # noqa: E402
from recording import record  # noqa: E402

TRAIN = """\"\"\"Train a small convolutional network on images of ten kinds.\"\"\"

import argparse

import torch
from torch import nn

import gitexp
from model import Net


def train(lr: float, depth: int, epochs: int = 40) -> float:
    net = Net(depth)
    loss_of = nn.CrossEntropyLoss()
    {optimizer}
    with gitexp.start_run(params={{"lr": lr, "depth": depth}}) as run:
        for epoch in range(epochs):
            loss = sum(step(net, batch, loss_of, optimizer) for batch in batches(128))
            run.log_metrics({{"loss": loss, "accuracy": accuracy(net)}}, step=epoch){more}
    return accuracy(net)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lr", type=float, default=0.01)
    arguments.add_argument("--depth", type=int, default=3)
    train(**vars(arguments.parse_args()))
"""
CHOICES = {
    "adam": "optimizer = torch.optim.Adam(net.parameters(), lr=lr)",
    "sgd": "optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)",
    "adamw": "optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.05)",
}


NOTE = """The **schedule** made the difference:

- the last ten epochs still gain
- `lr` can be three times what it was without it
"""
BECAUSE = {
    25: "a cosine schedule should let the higher rates settle",
    27: "the best so far was at depth 4; is it the schedule or the depth?",
    41: "sgd with the schedule, at the rate that was best for it",
    44: "half the rate, for a flatter end",
}


def experiments(folder: Path, count: int = 48) -> Repo:
    """Record a history in ``folder``: three optimizers, rates and depths, with curves that follow
    from them."""
    chance = random.Random(4)
    project = SimpleNamespace(root=folder)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.org")
    git(folder, "remote", "add", "origin", "https://github.com/example/ten-kinds.git")
    (folder / "train.py").write_text(TRAIN.format(optimizer=CHOICES["sgd"], more=""))
    (folder / "data.dvc").write_text(
        "outs:\n- md5: 8d5f0a7e4c2b9d31\n  size: 170498071\n  path: data\n"
    )
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Start")
    moment = datetime(2026, 11, 2, 9, 0, tzinfo=timezone.utc)
    for at in range(count):
        name, depth, lr = (
            chance.choice([*CHOICES]),
            chance.choice([2, 3, 4, 6]),
            round(10 ** chance.uniform(-4, -0.7), 5),
        )
        schedule = at > count // 2
        (folder / "train.py").write_text(
            TRAIN.format(
                optimizer=CHOICES[name], more="\n            schedule.step()" if schedule else ""
            )
        )
        ideal = {"sgd": -1.5, "adam": -2.8, "adamw": -2.6}[name]
        top = (
            0.93
            - 0.035 * (math.log10(lr) - ideal) ** 2
            - 0.012 * abs(depth - 4)
            + 0.012 * schedule
            + chance.gauss(0, 0.006)
        )
        pace = 0.06 + 0.05 * (math.log10(lr) + 4)
        accuracy = [
            round(max(0.1, top - (top - 0.1) * math.exp(-pace * epoch) + chance.gauss(0, 0.007)), 4)
            for epoch in range(40)
        ]
        loss = [
            round(max(0.02, 2.3 * (1 - value) ** 1.3 + chance.gauss(0, 0.012)), 4)
            for value in accuracy
        ]
        bad = lr > 0.12 and name != "sgd"
        figure(folder / "confusion.svg", top, chance)
        steps = range(0, 40, 13)
        for step in steps:
            samples(folder / f"images/samples/{step}.png", name, accuracy[step], at)
        moment += timedelta(minutes=chance.randint(12, 300))
        record(
            project,
            {
                "lr": lr,
                "model": {"depth": depth, "optimizer": name},
                "batch_size": 128,
                "schedule": schedule,
            },
            {"accuracy": accuracy[: 6 if bad else 40], "loss": loss[: 6 if bad else 40]},
            moment,
            status="failed" if bad else "finished",
            duration=60.0 + depth * chance.uniform(20, 40),
            labels=tuple(
                word
                for word, on in (("conv", True), ("cosine", schedule), ("paper", top > 0.93))
                if on
            ),
            command=f"python train.py --lr {lr} --depth {depth}",
            group="rates" if at % 3 else None,
            requirements=(
                "# Python 3.11.7 (CPython, linux,"
                f" x86_64)\nnumpy==1.26.4\ntorch==2.{2 + schedule}.0\n"
            ),
            extra={
                "artifacts": [
                    "confusion.svg",
                    *(f"images/samples/{step}.png" for step in steps),
                ],
                **({"because": BECAUSE[at]} if at in BECAUSE else {}),
            },
        )
    repo = Repo.discover(folder)
    best = max(Index(repo).select(), key=lambda item: item.metrics["accuracy"])
    notes.add(
        repo,
        [best.id],
        [{"note": NOTE}, {"verdict": "kept", "because": "best on both metrics"}],
    )
    failed = [item.id for item in Index(repo).select() if item.status == "failed"]
    notes.add(repo, failed, [{"verdict": "discarded", "because": "diverges at this rate"}])
    return repo


def figure(path: Path, top: float, chance: random.Random) -> None:
    """Write a confusion matrix as a picture."""
    cells = []
    for row in range(10):
        for column in range(10):
            share = (
                top + chance.uniform(-0.06, 0.03)
                if row == column
                else chance.uniform(0, 2 * (1 - top) / 9)
            )
            shade = 255 - int(230 * min(1, share * (1 if row == column else 4)))
            cells.append(
                f'<rect x="{column * 20}" y="{row * 20}" width="20" height="20"'
                f' fill="rgb({shade},{shade},255)"/>'
            )
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" width="400"'
        f' height="400">{"".join(cells)}</svg>'
    )


def samples(path: Path, name: str, accuracy: float, seed: int) -> None:
    """Write what a model of that accuracy might paint: a pattern that comes out of noise."""
    from PIL import Image

    chance = random.Random(seed)
    waves = {"sgd": (5, 9), "adam": (9, 4), "adamw": (7, 7)}[name]
    pixels = bytes(
        int(
            255
            * (
                accuracy * (0.5 + 0.5 * math.sin(x / waves[0]) * math.cos(y / waves[1]))
                + (1 - accuracy) * chance.random()
            )
        )
        for y in range(96)
        for x in range(96)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.frombytes("L", (96, 96), pixels).quantize(16).save(path, optimize=True)


def git(folder: Path, *args: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *args],
        cwd=folder,
        check=True,
    )


def report(repo: Repo) -> Path:
    """Write the report of all experiments beside the repository and return its path."""
    path = repo.root.parent / "report.html"
    path.write_text(
        page.render(data.collect(repo, settings.load(repo.root), Index(repo).select(), "ten-kinds"))
    )
    return path


def shoot(url: str, path: Path, width: int = 1360, height: int = 800, dark: bool = False) -> None:
    """Take a picture of the page, as a PNG of 128 colours."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        context: Any = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        shown = context.new_page()
        shown.on("console", lambda said: print("console:", said.text))
        shown.on("pageerror", lambda error: print("error:", error))
        shown.goto(url)
        shown.wait_for_timeout(2500)
        picture = shown.screenshot()
        browser.close()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(128).save(path, optimize=True)


def main() -> None:
    """Make the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "ten-kinds")
        root.mkdir()
        repo = experiments(root)
        names = [
            item.name
            for item in sorted(Index(repo).select(), key=lambda item: -item.metrics["accuracy"])[:4]
        ]
        url = report(repo).as_uri()
        for name, address, dark in (
            ("table", f"view=table&sort=-m.accuracy&sel={','.join(names)}", False),
            ("curves", "view=curves&shade=p.lr", True),
            ("parallel", "view=parallel&color=m.accuracy&f.m.accuracy=0.88..0.96", True),
            ("images", f"view=images&sel={','.join(names)}", False),
        ):
            shoot(f"{url}#{address}", ROOT / f"docs/images/report-{name}.png", dark=dark)


if __name__ == "__main__":
    main()
