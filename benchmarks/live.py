"""What ``gitexp ui`` costs while runs go on, and how soon a point is on the screen.

python benchmarks/live.py [RUNS] [SECONDS]     # 20 runs that log 10 points a second each, 30 s
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from gitexp.repo import Repo

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
RUN = """import sys, time, gitexp
run = gitexp.start_run({"lr": float(sys.argv[1])}, advance=False)
end = time.monotonic() + float(sys.argv[2])
step = 0
while time.monotonic() < end:
    run.log_metrics({"loss": time.time()}, step=step)
    step += 1
    time.sleep(0.1)
run.end()
"""
LATE = """() => { const times = [...document.querySelectorAll('tr:has(.running) td.number')]
    .map((cell) => Number((cell.title.match(/loss = ([\\d.]+)/) ?? [])[1])).filter((at) => at > 0);
    return times.length ? Date.now() / 1000 - Math.max(...times) : null; }"""


def main() -> None:
    """Start the runs, the server and a page, and print what they cost."""
    runs, seconds = (int(word) for word in (sys.argv[1:] + ["20", "30"][len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        subprocess.run(["git", "init", "-q", folder], check=True)
        for key in ("user.name", "user.email"):
            subprocess.run(["git", "-C", folder, "config", key, "ada@example.org"], check=True)
        (root / "train.py").write_text(RUN)
        subprocess.run(["git", "-C", folder, "add", "-A"], check=True)
        subprocess.run(["git", "-C", folder, "commit", "-qm", "Start"], check=True)
        command = [sys.executable, "-m", "gitexp", "ui", "--no-browser"]
        server: subprocess.Popen[Any] = subprocess.Popen(
            command, cwd=root, stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        started: list[subprocess.Popen[Any]] = [
            subprocess.Popen([sys.executable, "train.py", str(at), str(seconds + 30)], cwd=root)
            for at in range(runs)
        ]
        try:
            watched(address, server.pid, root, runs, seconds)
        finally:
            for one in (*started, server):
                one.terminate()
                one.wait()


def watched(address: str, pid: int, root: Path, runs: int, seconds: int) -> None:
    """Look at the page while the runs go on."""
    state = Repo.discover(root).state_dir / "runs"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1360, "height": 900})
        tab.goto(address)
        while len([*state.glob("*/metrics.csv")]) < runs:
            time.sleep(0.5)
        tab.wait_for_selector("tr:has(.running) td.number")
        time.sleep(3)
        before, start = used(pid), time.monotonic()
        late = []
        while time.monotonic() < start + seconds:
            time.sleep(1)
            late.append(tab.evaluate(LATE))
        cores = (used(pid) - before) / (time.monotonic() - start)
        browser.close()
    seen = sorted(one for one in late if one is not None)
    print(
        f"{runs} runs: the server takes {cores:.3f} of a core; the newest point on the screen is"
        f" {seen[len(seen) // 2]:.2f} s old (median), {seen[-1]:.2f} s at most"
    )


def used(pid: int) -> float:
    """Return the processor time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
