"""Random sequences of runs, edits, commits and checkouts: an experiment has the code of its start and
its own outputs byte for byte, no other run's file, and a checkout of it leaves a clean tree.

``SEQUENCES=200`` tries that many instead of a few.
"""

from __future__ import annotations

import os
import random

import pytest

from conftest import Project

OUTPUTS = (
    *("out.bin", "models/a.bin", "models/b.bin", "metrics.json", "metrics.csv", "log.txt"),
    *("params.yml", "kept/große datei.bin", "runs/1/results.csv"),
)
IGNORED = ("cache/x.bin", "cache/kept.ckpt")  # the second is asked for
SOURCES = ("code.py", "lib/a.py", "lib/deep/b.py", "config.yaml")
CONTENTS = {
    "metrics.json": '{"acc": %d}',
    "metrics.csv": "epoch,loss\n0,%d\n",
    "params.yml": "lr: %d\n",
    "runs/1/results.csv": "epoch,m\n0,1\n1,%d\n",
}
Files = dict[str, bytes]


class Sequence:
    """A repository with what is known of it: the code of each experiment's start, and its outputs."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project, self.chance = project, random.Random(seed)
        self.written: list[tuple[Files, Files]] = []
        self.done: list[str] = []
        project.write(".gitexp.toml", 'outputs = ["*.ckpt"]\n')
        project.commit(_gitignore="cache/\n", t_sh='cp -R "$1"/. . && rm -f $2; exit $3\n')

    def step(self) -> None:
        what = self.chance.choice(
            ("run", "run", "run", "edit", "edit", "commit", "checkout", "back")
        )
        self.done.append(what)
        getattr(self, what)()

    def edit(self) -> None:
        path = self.chance.choice(SOURCES)
        if path in self.sources() and self.chance.random() < 0.3:
            (self.project.root / path).unlink()
        else:
            self.project.write(path, f"x = {self.chance.randrange(5)}\n")

    def run(self) -> None:
        """Have a command write some outputs, maybe over those of others, remove one, and maybe fail."""
        number = len(self.written) + 1
        place = self.project.root.parent / f"written-{number}"
        files = {name: self.content(name) for name in self.some(OUTPUTS) + self.some(IGNORED)}
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        place.mkdir(exist_ok=True)
        code, sources = self.chance.choice((0, 0, 0, 3)), self.sources()
        gone = self.chance.choice(
            [name for name in OUTPUTS if name not in files and " " not in name]
        )
        done = self.project.run("run", "--", "sh", "t.sh", str(place), gone, str(code))
        assert done.returncode == code, done.stderr
        self.done[-1] = f"exp-{number} wrote {[*files]}, removed {gone}"
        files.pop("cache/x.bin", None)
        self.written.append((sources, files))

    def commit(self) -> None:
        """Commit the code, or all that git sees, as people do."""
        if self.chance.random() < 0.5 and self.sources():
            self.project.git("add", "--", *self.sources())
            self.project.git("commit", "-qm", "code", check=False)
        else:
            self.commit_code()

    def commit_code(self) -> None:
        there = [path for path in SOURCES if self.project.git("status", "-s", "--", path)]
        if there:
            self.project.git("add", "--", *there)
            self.project.git("commit", "-qm", "code", "--", *there)

    def checkout(self) -> None:
        if not self.written:
            return
        self.commit_code()
        number = self.chance.randrange(len(self.written)) + 1
        self.done[-1] = f"checkout exp-{number}"
        self.check(number)

    def back(self) -> None:
        """Go back to the branch by git alone, as the line that undoes a checkout has it."""
        self.commit_code()
        if not self.project.git("status", "--porcelain"):
            self.project.git("checkout", "-q", "main")

    def check(self, number: int) -> None:
        """Check an experiment out, and compare all files with what it is known to have."""
        done = self.project.run("checkout", f"exp-{number}")
        assert done.returncode == 0, done.stderr + self.project.git("status", "--porcelain")
        sources, outputs = self.written[number - 1]
        assert self.sources() == sources
        for name in (*OUTPUTS, IGNORED[1]):
            path = self.project.root / name
            if name in outputs:
                assert path.read_bytes() == outputs[name], name
            elif name not in ("metrics.csv", "params.yml") and name not in IGNORED:
                assert not path.exists(), name  # gitexp's own may lie at those two
        assert self.project.git("status", "--porcelain") == ""

    def sources(self) -> Files:
        files = (self.project.root / path for path in SOURCES)
        return {
            str(file.relative_to(self.project.root)): file.read_bytes()
            for file in files
            if file.exists()
        }

    def some(self, names: tuple[str, ...]) -> list[str]:
        return self.chance.sample(names, self.chance.randrange(min(5, len(names))))

    def content(self, name: str) -> bytes:
        """Return what a run writes: some contents come again, and most are no text."""
        number = self.chance.randrange(1000 if self.chance.random() < 0.7 else 2)
        if name in CONTENTS:
            return (CONTENTS[name] % number).encode()
        return b"\0\r\n%d" % number + random.Random(number).randbytes(99)


SEEDS = range(int(os.environ["SEQUENCES"])) if "SEQUENCES" in os.environ else (0, 1, 2, 39, 126)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_sequence_of_runs_edits_and_checkouts(project: Project, seed: int) -> None:
    sequence = Sequence(project, seed)
    try:
        for _ in range(16):
            sequence.step()
        sequence.commit_code()
        for number in range(1, len(sequence.written) + 1):
            sequence.check(number)
    except BaseException:
        print(*sequence.done, sep="\n")
        raise
    project.fsck()
