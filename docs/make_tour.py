"""Run the commands of the README's tour in a scratch repository and put what they print below them,
so that the tour cannot lie.

python docs/make_tour.py            # write it
python docs/make_tour.py --check    # exit code 1 where it shows something else than what is printed
now

Times, durations, hashes and measured values differ from run to run; ``--check`` leaves them out,
and how columns are padded.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "README.md"
_BLOCK = re.compile(r"^```text\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = (
    (r"\b[0-9a-f]{10,64}\b", "HASH"),
    (r"\b\d+[smhd] ago\b", "AGO"),
    (r"\b\d+(\.\d+)?s\b|\b\d+m\d\ds\b", "TIME"),
    (r"[+-]?\d+\.\d+(e[+-]?\d+)?", "VALUE"),
    (r"[ \t]+", " "),
)


def commands(page: str) -> list[str]:
    """Return the command lines of a page's blocks, in order."""
    return [
        line[2:]
        for block in _BLOCK.findall(page)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def prepare(folder: Path) -> None:
    """Make the repository that the tour begins with: the ``train.py`` that it shows, committed."""
    script = re.search(r"^```python\n(# train.py.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert script, "the tour shows no train.py"
    (folder / "train.py").write_text(script[1])
    for line in (
        "git init --quiet --initial-branch=main",
        "git config user.name Ada",
        "git config user.email ada@example.org",
        "git add train.py",
        "git commit --quiet --message start",
    ):
        printed(folder, line)


def printed(folder: Path, line: str) -> str:
    """Return what a command prints, as a terminal shows it: stdout and stderr as they come."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(
        shlex.split(line), cwd=folder, env=environment, stdin=subprocess.DEVNULL, text=True, **both
    )
    if done.returncode:
        sys.exit(f"$ {line}\n{done.stdout}ended with exit code {done.returncode}")
    return done.stdout


def made(page: str, folder: Path) -> str:
    """Return the page with what its commands print in ``folder``."""

    def block(match: re.Match[str]) -> str:
        lines = [line for line in match[1].splitlines() if line.startswith("$ ")]
        shown = (f"{line}\n{printed(folder, line[2:])}" for line in lines)
        return "```text\n" + "\n".join(shown) + "```"

    return _BLOCK.sub(block, page)


def shape(page: str) -> list[str]:
    """Return the lines of a page's blocks without what differs from run to run."""
    return [_normal(line) for block in _BLOCK.findall(page) for line in block.splitlines()]


def _normal(line: str) -> str:
    for pattern, word in _VARYING:
        line = re.sub(pattern, word, line)
    return line.strip()


def differences(page: str) -> Iterator[str]:
    """Yield the lines of a diff between what the page shows and what is printed now."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        yield from difflib.unified_diff(
            shape(page), shape(made(page, Path(folder))), "shown", "printed", lineterm=""
        )


def main() -> None:
    """Write the page, or check it."""
    page = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        found = "\n".join(differences(page))
        sys.exit(
            f"{found}\n{PAGE.name} shows what is not printed any more; run: python"
            " docs/make_tour.py"
            if found
            else 0
        )
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        PAGE.write_text(made(page, Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main()
