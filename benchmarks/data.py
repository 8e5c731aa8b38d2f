"""What data that DVC tracks costs a recording: gitexp against itself without DVC, and against
asking DVC each time.

    python benchmarks/data.py [--pointers 1,100,1000] [--files 20000]

"look" is what a recording adds while nothing changed (pointers read, sizes and times compared, none
of it by DVC), "of it" its share of the whole `gitexp log` in the same repository. "dvc" is `dvc
data status`, which is asked only where something looks different. A folder of --files files stands
for a data set of pictures.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from gitexp.formats import settings
from gitexp.repo import Repo, dvc_pointers, dvc_status

TIMES = 5


def seconds(work: Callable[[], object], times: int = TIMES) -> float:
    """Return the median time of a call."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return median(taken)


def made(top: Path, pointers: int, files: int) -> Repo:
    """Make a repository with tracked files, and one tracked folder."""
    git = ["git", "-C", str(top), "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=top, check=True)
    names = [f"part-{at}.csv" for at in range(pointers)]
    for name in names:
        (top / name).write_text(f"{name}\n")
    (top / "pictures").mkdir()
    for at in range(files):
        (top / "pictures" / f"{at}.png").write_text(f"{at}\n")
    subprocess.run(
        [sys.executable, "-m", "dvc", "add", "-q", *names, "pictures"], cwd=top, check=True
    )
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "data"], check=True)
    return Repo.discover(top)


def measured(top: Path, pointers: int, files: int) -> str:
    """Return one line of the table."""
    repo = made(top, pointers, files)
    known = settings.load(repo.root)
    time.sleep(0.2)  # a file written just now is not trusted yet
    found = dvc_status.stale(repo)  # asks DVC, once
    assert not found, "the data is as it was added"
    assert len(dvc_pointers.in_work_tree(repo)) == pointers + 1
    look = seconds(lambda: dvc_status.commit_changed(repo, known))
    log = seconds(lambda: started(top, "gitexp", "log"))
    dvc = seconds(lambda: started(top, "dvc", "data", "status", "--json"), 3)
    return (
        f"{pointers:8}  {files:17}  {look * 1000:9.1f}  {look / log:5.0%}  {dvc * 1000:8.0f}  1 :"
        f" {dvc / look:.0f}"
    )


def started(top: Path, *words: str) -> None:
    """Run a module's program in a folder."""
    subprocess.run([sys.executable, "-m", *words], cwd=top, check=True, capture_output=True)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pointers", default="1,100,1000")
    parser.add_argument("--files", type=int, default=20_000)
    given = parser.parse_args()
    print("pointers  files in a folder  look (ms)  of it  dvc (ms)  look : dvc")
    for pointers, files in [
        *((int(count), 1) for count in given.pointers.split(",")),
        (1, given.files),
    ]:
        with tempfile.TemporaryDirectory() as folder:
            print(measured(Path(folder), pointers, files))


if __name__ == "__main__":
    main()
