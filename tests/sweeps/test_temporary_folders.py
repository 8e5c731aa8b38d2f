"""What a sweep's worker makes in the folder for temporary files goes when it ends, also where it
was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAKE = "from gitexp.sweeps import worktrees\nplace = worktrees.make_home()\n(place / 'big.bin').write_bytes(b'0')\nprint(place, flush=True)\n"


def _worker(folder: Path, then: str) -> subprocess.Popen[str]:
    env = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", MAKE + then],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _place(worker: subprocess.Popen[str]) -> Path:
    assert worker.stdout is not None
    return Path(worker.stdout.readline().strip())


@pytest.mark.skipif(sys.platform == "win32", reason="TMPDIR and SIGKILL")
def test_a_workers_folder_goes_with_it_or_with_the_next_and_never_before(tmp_path: Path) -> None:
    living, killed = _worker(tmp_path, "input()"), _worker(tmp_path, "input()")
    with living, killed:
        assert (_place(living) / "big.bin").exists()
        left = _place(killed)
        killed.kill()
        killed.wait()
        assert left.exists(), "nobody could remove it"
        with _worker(tmp_path, "") as another:
            assert not _place(another).is_relative_to(left.parent)
        assert len([*tmp_path.glob("*/*/big.bin")]) == 1
        assert not left.exists()
        living.communicate("\n", timeout=600)
    assert list(tmp_path.iterdir()) == []
