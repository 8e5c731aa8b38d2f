"""How large a report gets, how long it takes to write, and how fast it is in Chromium.

python benchmarks/report.py [COUNT...]     # 1,000 and 10,000 experiments, five metrics of 200 steps
each
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import repositories

from gitexp.formats import settings
from gitexp.repo import Repo
from gitexp.report import data, page
from gitexp.store.index import Index

STEPS = 200
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FILTER = """(text) => new Promise((done) => {
    const box = document.querySelector('#search'), from = performance.now();
    box.value = text;
    box.dispatchEvent(new Event('input'));
    document.body.offsetHeight;
    const took = performance.now() - from;
    requestAnimationFrame(() => setTimeout(() => done(took)));
})"""
SORT = """(key) => new Promise((done) => {
    const from = performance.now();
    document.querySelector(`th[data-key="${key}"] button`).click();
    document.body.offsetHeight;
    const took = performance.now() - from;
    requestAnimationFrame(() => setTimeout(() => done(took)));
})"""
TIMES = """() => ({ paint: performance.getEntriesByType('paint').find((entry) => entry.name === 'first-contentful-paint')?.startTime,
    ready: performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd })"""


def best(tab: Any, script: str, word: str) -> float:
    """Return the least time of five: others use this machine, too."""
    return min(float(tab.evaluate(script, word)) for _ in range(5))


def main() -> None:
    """Measure for each count that is given."""
    for count in [int(word) for word in sys.argv[1:]] or [1_000, 10_000]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "report.html")
            written(Path(folder, "repository"), count, path)
            measured(path)


def written(root: Path, count: int, path: Path) -> None:
    """Make a repository and write its report."""
    repositories.STEPS = STEPS
    repositories.build(root, count)
    repo = Repo.discover(root)
    experiments = Index(repo).select()
    start = perf_counter()
    report = data.collect(repo, settings.load(root), experiments)
    path.write_text(page.render(report), encoding="utf-8")
    size, kept, whole = (
        path.stat().st_size / 1e6,
        report.details["curves"]["kept"],
        report.details["curves"]["all"],
    )
    print(
        f"{count:,} experiments: written in {perf_counter() - start:.1f} s, {size:.1f} MB, {kept:,}"
        f" of {whole:,} points"
    )


def measured(path: Path) -> None:
    """Open a report in Chromium and print how long things take, in milliseconds."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser: Any = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1360, "height": 800})
        tab.goto(path.as_uri())
        tab.wait_for_selector("tr[data-row]")
        times = tab.evaluate(TIMES)
        print(f"  first paint {times['paint']:.0f}, ready {times['ready']:.0f}")
        tab.wait_for_selector("svg.spark")
        for text in ("lr<0.01", "lr<0.01 depth>6", "exp-77", ""):
            print(f"  filter '{text}': {best(tab, FILTER, text):.0f}")
        for key in ("m.loss", "p.lr", "name"):
            print(f"  sort by {key}: {best(tab, SORT, key):.0f}")
        for view, sign in (
            ("parallel", ".parallel canvas"),
            ("curves", "canvas[data-lines]"),
            ("scatter", "#scatter canvas"),
            ("diff", "table"),
            ("compare", ".side"),
        ):
            start = perf_counter()
            tab.click(f"#tab-{view}")
            tab.wait_for_selector(f"#view {sign}")
            print(f"  view {view}: {1000 * (perf_counter() - start):.0f}")
        browser.close()


if __name__ == "__main__":
    main()
