"""A score that a run cannot fake: the judge of a trusted commit, run afterwards over what the
experiment made.

The judge's code, settings and protected data come from the trusted commit. Of the experiment only
its outputs are brought in, and none that Python or a test runner would load by itself. What this
cannot see, docs/agents.md says.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TextIO

from gitexp.compare import rerun
from gitexp.formats import message, settings
from gitexp.formats.errors import CannotRunError, NotFoundError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo
from gitexp.runs import worktree
from gitexp.store import artifacts, result_paths

_CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".pth", ".egg-link", ".ini", ".cfg",
         ".toml", ".sh")  # fmt: skip
_LOADED = (".py", ".pyd", ".so", ".dll", ".dylib", ".pth", ".egg-link")
_FOREIGN = re.compile(r"(PYTHON|GITEXP_|GIT_|PYTEST_|DYLD_|LD_PRELOAD$|LD_AUDIT$|BASH_ENV$|ENV$).*")
_WHERE = "import json, sys; print(json.dumps(sys.path))"
_TICK = 0.02  # seconds within which two files may have the same time


class Trusted(NamedTuple):
    """A commit whose files are believed, and the judge there, None for its files alone."""

    name: str  # what the user called it
    commit: str
    protect: tuple[str, ...]
    command: str | None

    @property
    def shown(self) -> str:
        return f"{self.name} ({self.commit[:10]})"


class Score(NamedTuple):
    """What a judge said of an experiment."""

    metrics: Mapping[str, float]
    faults: tuple[str, ...]  # why it does not count, empty where it does
    left_out: tuple[str, ...] = ()  # outputs that the judge did not get, since they are code


def trusted(repo: Repo, name: str, command: str | None) -> Trusted:
    """Return the newest commit of a branch that is no experiment: gitexp moves branches onto
    experiments, and what those changed nobody has looked at.

    Raises:
        NotFoundError: there is no such commit.
        UsageError: its settings protect nothing.
    """
    safe = repo.distrusting()
    start = safe.resolve(name)
    if start is None:
        raise NotFoundError(f"there is no commit '{name}' to trust; name a branch, tag or commit")
    walk = ("--first-parent", "--invert-grep", "--grep=^Gitexp-Id:", "--format=%H", "-1")
    commit = safe.line("log", *walk, start)
    if not commit:
        raise UsageError(f"all commits of '{name}' are experiments; trust one that you made")
    tops, known = dict.fromkeys(("", repo.project)), settings.Settings()
    names = ("pyproject.toml", settings.FILE_NAME)
    found = safe.objects(f"{commit}:{top}{name}" for top in tops for name in names)
    for _ in tops:
        texts = {name: item.data if item else b"" for name, item in zip(names, found)}
        known = settings.of_files(texts.__getitem__, known)
    if not known.protect:
        raise UsageError(
            f"'{name}' protects nothing; commit there, in [tool.gitexp] of pyproject.toml, say"
            ' protect = ["eval.py", "data/**"]'
        )
    return Trusted(name, commit, known.protect, command)


def differing(repo: Repo, item: Experiment, by: Trusted) -> list[str]:
    """Return the protected paths that an experiment has otherwise than the trusted commit. One that
    it has not at all is none of them, unless something stands in the place of its folder."""
    globs = [f":(top,glob){glob}" for glob in by.protect]
    safe = repo.distrusting()
    how = ("-r", "-z", "--no-renames", "--name-status")
    words = safe.entries("diff-tree", *how, by.commit, item.id, "--", *globs)
    changed = dict(zip(words[1::2], words[0::2]))
    lacking = [PurePosixPath(path) for path, status in changed.items() if status == "D"]
    above = sorted({str(top) for path in lacking for top in path.parents if str(top) != "."})
    there = zip(above, safe.objects(f"{item.id}:{path}" for path in above))
    replaced = [path for path, found in there if found and found.kind != "tree"]
    return sorted([*(path for path, status in changed.items() if status != "D"), *replaced])


def score(repo: Repo, item: Experiment, by: Trusted, shown: TextIO) -> Score:
    """Run the judge over an experiment's outputs, in a work tree of the trusted commit; without a
    command, say only whether its protected files are as they are there."""
    changed = differing(repo, item, by)
    faults = [f"{path} is protected and differs from {by.shown}" for path in changed]
    if faults or by.command is None:
        return Score({}, tuple(faults))
    words = words_of(by.command)
    with worktree.checkout(repo.distrusting(), by.commit, "judge") as tree:
        faults = [f"{path} was changed while it ran" for path in _patched(words[0], item)]
        left_out = _bring(repo, tree, item)
        todo = rerun.Task("the judge", words)
        try:
            ran = rerun.execute(repo, tree, todo, environ=_environ(tree.parent), shown=shown)
        except CannotRunError as error:
            return Score({}, (*faults, str(error)), left_out)
        globs = [f":(top,glob){glob}" for glob in by.protect]
        touched = repo.entries("diff", "--name-only", "-z", by.commit, "--", *globs, cwd=tree)
        faults += [f"{path} changed while it was judged" for path in touched]
    if not ran.metrics:
        faults.append("the judge gave no metric (let it print one, score=0.9, or log it)")
    return Score(ran.metrics, tuple(faults), left_out)


def words_of(command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError:
        words = ()
    if not words:
        raise UsageError(f"'{command}' is no command; write --judge 'python eval.py'")
    return words


def _environ(place: Path) -> dict[str, str]:
    """Return an environment in which nothing that a run left is loaded: no PYTHON variables, no
    user's packages, no bytecode beside the sources, and a folder for temporary files of its own."""
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)}
    (place / "tmp").mkdir()
    return {
        **kept,
        "PYTHONNOUSERSITE": "1",
        "PYTHONPYCACHEPREFIX": str(place / "pycache"),
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(place / "tmp")),
    }


def _bring(repo: Repo, tree: Path, item: Experiment) -> tuple[str, ...]:
    """Copy an experiment's outputs into the judge's work tree, and return those that are code.

    Only plain files: a link would lead the judge elsewhere.
    """
    lists = [item.extra.get(key) for key in ("outputs", "artifacts")]
    named = {str(path) for paths in lists if isinstance(paths, list) for path in paths}
    wanted = sorted(named - {*item.files.values(), result_paths.OUTPUT})
    if not wanted:
        return ()
    safe = repo.distrusting()
    listed = artifacts.listed(safe, item.id, wanted)
    plain = [path for path, (mode, *_) in listed.items() if mode.startswith("100")]
    left_out = tuple(path for path in plain if _is_code(path))
    brought = [path for path in plain if path not in left_out]
    if brought:
        safe.git("--literal-pathspecs", "checkout", "-q", item.id, "--", *brought, cwd=tree)
        time.sleep(_TICK)  # else they might count as what the judge wrote
    return left_out


def _is_code(path: str) -> bool:
    inside = path.removeprefix(f"{result_paths.ARTIFACTS}/")
    return inside.lower().endswith(_CODE) or any(
        part.startswith(".") for part in PurePosixPath(inside).parts
    )


def _patched(program: str, item: Experiment) -> Iterator[str]:
    """Yield the files that the judge's Python would load and that were changed while the experiment
    ran, but for those of packages as their installer wrote them."""
    if item.duration is None or not re.fullmatch(r"(.*/)?python[\d.]*", program):
        return
    began = item.started.timestamp()
    for top in _import_path(program):
        for path in _changed(top, began, began + item.duration):
            if not _as_installed(top, path):
                yield f"{path.relative_to(top)} of Python's own packages"


def _import_path(program: str) -> list[Path]:
    with suppress(OSError, ValueError):
        done = subprocess.run([program, "-I", "-c", _WHERE], capture_output=True, cwd="/")
        return [Path(entry) for entry in json.loads(done.stdout) if os.path.isdir(entry)]
    return [Path(entry) for entry in sys.path if os.path.isdir(entry)]


def _changed(top: Path, began: float, ended: float) -> Iterator[Path]:
    for folder, below, files in os.walk(top):
        # one that is on the path itself, as site-packages below the standard library, has its turn
        below[:] = [name for name in below if name not in ("__pycache__", "site-packages")]
        for name in files:
            path = os.path.join(folder, name)
            with suppress(OSError):
                if name.endswith(_LOADED) and began <= os.lstat(path).st_ctime <= ended:
                    yield Path(path)


def _as_installed(top: Path, path: Path) -> bool:
    """Whether an installer's list has a file with the content that it has."""
    name = path.relative_to(top).as_posix()
    for record in top.glob("*.dist-info/RECORD"):
        with suppress(OSError, csv.Error, UnicodeDecodeError), open(record, newline="") as lines:
            for row in csv.reader(lines):
                if len(row) > 1 and row[0] == name and row[1]:
                    digest = hashlib.sha256(path.read_bytes()).digest()
                    wanted = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                    return row[1] == f"sha256={wanted}"
    return False


def score_problem(item: Experiment, found: Score) -> str | None:
    """Return why a score does not count, in a line; None where it does."""
    why = message.some(found.faults) if found.faults else ""
    return f"{item.name}: {why}; its score does not count" if why else None


def event(found: Score, by: Trusted) -> dict[str, object]:
    """Return what is noted on an experiment that was judged: its metrics as ``judged.NAME``."""
    now = int(time.time() * 1000)
    rows = [[f"judged.{name}", value, now, 0] for name, value in found.metrics.items()]
    said = {"by": by.commit, "command": by.command or "", "faults": [*found.faults]}
    return {"score": said, **({} if found.faults else {"metrics": rows})}
