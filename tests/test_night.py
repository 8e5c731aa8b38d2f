"""A night with two agents in work trees of one repository: edits, runs, crashes, and whatever git
does to what nobody holds. In the morning no experiment, reason or verdict is missing.

``TESTS_NIGHT=500`` makes it a whole night; ``TESTS_SEED`` another one.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import Project
from gitexp.cli import cli

STEPS, SEED = (int(os.environ.get(name, given)) for name, given in
               (("TESTS_NIGHT", "60"), ("TESTS_SEED", "0")))  # fmt: skip
CRASH = "import os, time, gitexp; gitexp.log_metric('loss', 1.0); os.kill(os.getppid(), 9)"


class Night:
    """Two agents, and what they did, by the reason that each experiment was given."""

    def __init__(self, project: Project, other: Path) -> None:
        self.dice = random.Random(SEED)
        self.main, self.other = project, Project(other)
        self.reasons: dict[str, str | None] = {}  # with the verdict
        self.whys: dict[str, str] = {}  # of verdicts
        self.add_worktree()

    def add_worktree(self) -> None:
        branch = f"other-{self.dice.getrandbits(40)}"
        self.main.git("worktree", "add", "-q", "-b", branch, str(self.other.root))

    def call(self, at: Project, *args: str) -> str:
        """Run the command line in this process, which is quicker."""
        done = CliRunner().invoke(cli, ["-C", str(at.root), *args])
        os.chdir(self.main.root)
        assert done.exit_code == 0, (args, done.output, done.exception)
        return done.stdout

    def reason(self) -> str:
        text = f'because "{len(self.reasons)}"\n`odd` <b>| \U0001f600'
        self.reasons[text] = None
        return text

    # -- what may happen ---------------------------------------------------------------------------

    def edit(self, at: Project) -> None:
        at.write(f"part{self.dice.randrange(4)}.py", f"x = {self.dice.random()}\n")

    def log(self, at: Project) -> None:
        words = ("--param", f"lr={self.dice.random():.3f}", "--metric", "loss=1")
        self.call(at, "log", *words, "--because", self.reason())

    def run(self, at: Project) -> None:
        code = self.dice.choice(["print('loss=0.5')", "raise SystemExit(3)"])
        done = at.run("run", "--because", self.reason(), "--", sys.executable, "-c", code)
        assert done.returncode in (0, 3), done.stderr

    def both_run(self, _: Project) -> None:
        words = [sys.executable, "-m", "gitexp", "run", "--because"]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        ran = [
            subprocess.Popen([*words, self.reason(), "--", sys.executable, "-c", "print('loss=1')"],
                             cwd=at.root, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for at in (self.main, self.other)
        ]  # fmt: skip
        for one in ran:
            said = one.communicate()[1]
            assert one.returncode == 0, said

    def crash(self, at: Project) -> None:
        env = {"PYTHONPATH": str(Path(__file__).parents[1])}
        done = at.run("run", "--because", self.reason(), "--", sys.executable, "-c", CRASH, env=env)
        assert done.returncode == -9, done.stderr

    def recover(self, at: Project) -> None:
        self.call(at, "recover")

    def judge(self, at: Project) -> None:
        rows = json.loads(self.call(at, "list", "--json", "--all-verdicts"))
        rows = [row for row in rows if row["because"] in self.reasons and row["id"]]
        if rows:
            row, verdict = self.dice.choice(rows), self.dice.choice(["keep", "discard"])
            why = f"seen {self.dice.getrandbits(40)}\nso"
            self.call(at, verdict, row["name"], "--because", why)
            self.reasons[row["because"]] = f"{verdict}ed".replace("keeped", "kept")
            self.whys[row["because"]] = why

    def commit(self, at: Project) -> None:
        at.commit("by hand")

    def reset(self, at: Project) -> None:
        at.git("reset", "-q", "--hard", f"HEAD~{self.dice.randrange(3)}", check=False)
        at.git("reset", "-q", "--hard")

    def clean(self, at: Project) -> None:
        at.git("clean", "-q", "-fdx")

    def stash(self, at: Project) -> None:
        at.git("stash", "-q", "-u", check=False)
        at.git("stash", "drop", "-q", check=False)

    def branch(self, at: Project) -> None:
        at.git("checkout", "-q", "-f", "-b", f"try-{self.dice.getrandbits(40)}")
        for name in at.git("branch", "--format=%(refname:short)").split():
            if self.dice.random() < 0.5:
                at.git("branch", "-q", "-D", name, check=False)

    def collect(self, at: Project) -> None:
        at.git("reflog", "expire", "--expire=now", "--all")
        at.git("gc", "-q", "--prune=now")

    def drop_worktree(self, _: Project) -> None:
        self.main.git("worktree", "remove", "--force", str(self.other.root))
        self.add_worktree()

    def step(self) -> None:
        at = self.dice.choice([self.main, self.other])
        usual = [self.edit, self.log, self.judge, self.reset]
        rare = [self.run, self.both_run, self.crash, self.recover, self.commit, self.clean]
        rare += [self.stash, self.branch, self.collect, self.drop_worktree]
        self.dice.choice(2 * usual + rare)(at)


@pytest.mark.slow
def test_after_a_night_nothing_is_lost_and_the_book_tells_it(
    project: Project, tmp_path: Path
) -> None:
    night = Night(project, tmp_path / "other")
    for _ in range(STEPS):
        night.step()
    for at in (night.main, night.other):
        night.collect(at)
        night.recover(at)
    rows = json.loads(project.gitexp("list", "--json", "--all-verdicts"))
    assert sorted(row["because"] for row in rows) == sorted(night.reasons)
    assert {row["because"]: row["verdict"] for row in rows} == night.reasons
    project.fsck()
    project.gitexp("verify", "--all")

    book = project.gitexp("book")
    assert f"Experiments: {len(rows)}" in book or book.count("\n## ") > 1  # past midnight
    for row in rows:
        part = book.partition(f"\n### {row['name']}\n")[2].partition("\n### ")[0]
        number = re.findall(r"\d+", row["because"])[0]
        assert f'because: because "{number}" \\`odd\\` &lt;b&gt;| \U0001f600\n' in part
        assert (f"status: {row['status']}" in part) == (row["status"] != "finished")
        why = night.whys.get(row["because"], "")
        told = f"verdict: {row['verdict']} by Ada: {' '.join(why.split())}\n"
        assert (told in part) == bool(row["verdict"])
    tree = project.gitexp("tree")
    assert all(re.search(rf"{row['name']}\b", tree) for row in rows)
