"""The numbered examples run as they are, and show what they promise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBERED = sorted(path for path in EXAMPLES.iterdir() if re.match(r"\d\d_", path.name))
SHOWN = {  # lines that each prints, with runs of spaces as one
    "01_record_by_hand.sh": [
        "exp-2 N ago try 19.7 0.1 3 A larger step",
        "loss 0.4 0.4 (min, step 1) 2",
        "The best so far",
    ],
    "02_live_run.py": ["exp-1 {'lr': 0.3, 'model.depth': 3} {'loss': 1.208925819614632e-14}"],
    "03_unchanged_script.sh": [
        "command python train.py --lr 0.03",
        "loss 8.4162 8.4162 (min, step 19) 20",
    ],
    "04_compare.sh": [
        "0.01 3 17.2 ± 0.1",
        "rmse 19.1 17.1 -2 -10.47% better",
        "-depth = 3",
        "rmse 19.1 17.1 ★ 17.3",
        "depth = 3",
    ],
    "06_night.sh": [
        "exp-4: discarded",
        "└─ exp-5 judged.score=1 (+0.25 better) code: train.py merges exp-2, exp-3",
        "Experiments: 5, 2 kept, 1 discarded.",
    ],
    "05_team.sh": [
        "bob/exp-1 N ago 17.5 0.01",
        "exp-1 N ago 19.7 0.1",
        "rmse 19.7 17.5 -2.2 -11.17% better",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("example", NUMBERED, ids=lambda path: path.name)
def test_a_numbered_example_runs_as_it_is_and_shows_what_it_promises(
    example: Path, tmp_path: Path
) -> None:
    shell = shutil.which("sh")
    if example.suffix == ".sh" and not shell:
        pytest.skip("there is no sh here")
    done = subprocess.run(
        [shell or "", str(example)] if example.suffix == ".sh" else [sys.executable, str(example)],
        cwd=tmp_path, capture_output=True,
        text=True, encoding="utf-8", stdin=subprocess.DEVNULL,
        env={
            **os.environ, "TMPDIR": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(EXAMPLES.parent), "PYTHONUTF8": "1",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [
        re.sub(r"\d+[smhd] ago", "N ago", " ".join(line.split()))
        for line in done.stdout.splitlines()
    ]
    missing = [line for line in SHOWN[example.name] if line not in lines]
    assert not missing, "\n".join(lines)


def test_each_example_is_in_the_list_of_examples() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert not [
        path.name
        for path in EXAMPLES.iterdir()
        if path.is_file() and path.name != "README.md" and f"({path.name})" not in page
    ]
