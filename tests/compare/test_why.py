"""Attributing: packages from the real index, data of both kinds, and what two changes do only
together."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import Project
from gitexp.compare import why

PYTHON = sys.executable
UV = shutil.which("uv") or shutil.which("uv", path=str(Path(PYTHON).parent))
OLD, NEW = ("six==1.15.0", "idna==2.10"), ("six==1.16.0", "idna==3.4")


def writes(expression: str, first: str = "import sys") -> str:
    """Return a script that writes one metric and a line into ``.git/runs`` for each time that it
    really ran."""
    count = 'import os, subprocess\ntop = subprocess.check_output(["git", "rev-parse", "--path-format=absolute", "--git-common-dir"], text=True)\n'
    count += 'open(os.path.join(top.strip(), "runs"), "a").write("run\\n")\n'
    return f'{count}{first}\nvalue = {expression}\nopen("metrics.csv", "w").write(f"Name,Value,Timestamp,Step\\nrmse,{{value}},0,0\\n")\n'


def changes(project: Project, *options: str) -> dict[str, tuple[float | None, str]]:
    """Return what ``why`` found: each row's change and remark."""
    rows = json.loads(project.gitexp("why", "exp-1", "exp-2", "--yes", "--json", *options))
    return {row["what"]: (row["change"], row["remark"]) for row in rows}


def runs(project: Project) -> int:
    """Return how many times the training ran since it was asked last."""
    file = project.root / ".git" / "runs"
    count = len(file.read_text().splitlines()) if file.exists() else 0
    file.unlink(missing_ok=True)
    return count


def index_url() -> str:
    """Return the package index that pip asks here."""
    said = subprocess.run(
        [PYTHON, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True
    )
    return os.environ.get("PIP_INDEX_URL") or said.stdout.strip() or "https://pypi.org/simple"


@pytest.fixture
def index() -> str:
    """The real package index; without it there is nothing to test."""
    url = index_url()
    try:
        urllib.request.urlopen(f"{url.rstrip('/')}/six/", timeout=20).close()
    except OSError as error:
        pytest.skip(f"the package index cannot be reached: {error}")
    return url


@pytest.fixture
def built(project: Project, tmp_path: Path, index: str) -> Project:
    """Two experiments between which two packages, a param and the code changed, run with the Python
    of a real environment."""
    place = tmp_path / "venv"
    subprocess.run([PYTHON, "-m", "venv", str(place)], check=True)
    python = str(place / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-i", index]
    first = "import sys, six, idna\nminor = int(six.__version__.split('.')[1])\nmajor = int(idna.__version__.split('.')[0])"
    project.commit(train_py=writes("minor + 10 * major + float(sys.argv[2])", first))
    subprocess.run([*install, *OLD], check=True)
    project.gitexp("run", "--", python, "train.py", "--lr", "1")
    project.commit(train_py=writes("minor + 10 * major + float(sys.argv[2]) + 100", first))
    subprocess.run([*install, *NEW], check=True)
    project.gitexp("run", "--", python, "train.py", "--lr", "3")
    runs(project)
    return project


@pytest.mark.slow
@pytest.mark.parametrize(
    "tool",
    [pytest.param("uv", marks=pytest.mark.skipif(not UV, reason="uv is not installed")), "pip"],
)
def test_packages_of_the_real_index_are_taken_apart_from_code_and_params(
    built: Project, tmp_path: Path, tool: str, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both environments are built, by uv where it is installed and else by venv and pip; the user's
    own stays as it is."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if tool == "uv":
        (folder / "uv").symlink_to(str(UV))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("UV_DEFAULT_INDEX", index)
    site = sorted(path.name for path in (tmp_path / "venv").rglob("*.dist-info"))
    found = changes(built)
    assert found == {
        "exp-1": (None, "recorded"),
        "packages: idna 2.10 -> 3.4, six 1.15.0 -> 1.16.0": (11, ""),
        "code: train.py": (100, ""),
        "lr: 1 -> 3": (2, ""),
        "together, and noise": (0, ""),
        "exp-2": (113, "recorded"),
    }
    assert runs(built) == 4
    assert sorted(path.name for path in (tmp_path / "venv").rglob("*.dist-info")) == site
    assert not list((built.root / ".git" / "gitexp" / "worktrees").iterdir())


@pytest.fixture
def with_input(project: Project) -> Project:
    """Two experiments between which a declared input that git ignores changed, and the code."""
    project.commit(_gitignore="data.csv\n", train_py=writes("float(open('data.csv').read())"))
    project.write("data.csv", "1")
    project.gitexp("run", "--input", "data.csv", "--", PYTHON, "train.py")
    project.commit(train_py=writes("2 * float(open('data.csv').read())"))
    project.write("data.csv", "4")
    project.gitexp("run", "--input", "data.csv", "--", PYTHON, "train.py")
    runs(project)
    return project


def test_data_that_lies_here_is_taken_apart_from_the_code(with_input: Project) -> None:
    """The second's data is here, as after two runs in a row: the first is run with it, and the rest
    on top of that."""
    assert changes(with_input) == {
        "exp-1": (None, "recorded"),
        "data: data.csv": (3, "exp-1 run with it; all below too"),
        "code: train.py": (4, ""),
        "together, and noise": (0, ""),
        "exp-2": (7, "recorded"),
    }
    assert runs(with_input) == 2
    assert (with_input.root / "data.csv").read_text() == "4"


@pytest.mark.parametrize(
    ("present", "base", "says"),
    [("1", 1, "exp-2's is not here"), ("2", 2, "neither's is here: all was run with what is")],
)
def test_data_that_is_not_here_is_said_to_be_untried(
    with_input: Project, present: str, base: float, says: str
) -> None:
    """Then what it did is in the rest, whose name says so."""
    with_input.write("data.csv", present)
    found = changes(with_input)
    assert found["data: data.csv"] == (None, f"not tried: {says}")
    assert found["code: train.py"] == (base, "")
    assert found["not tried, together, and noise"] == (8 - base - base, "")


def test_data_alone_is_the_reason_without_a_run(project: Project) -> None:
    project.commit(_gitignore="data.csv\n", train_py=writes("float(open('data.csv').read())"))
    for text in "14":
        project.write("data.csv", text)
        project.gitexp("run", "--no-advance", "--input", "data.csv", "--", PYTHON, "train.py")
    runs(project)
    assert changes(project)["data: data.csv"] == (3, "nothing else differs")
    assert runs(project) == 0


@pytest.mark.slow
@pytest.mark.xdist_group("dvc")
@pytest.mark.skipif(not find_spec("dvc"), reason="dvc is not installed")
def test_data_in_dvc_is_laid_over_by_its_pointer(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC brings either data, whatever lies here; a declared input that DVC tracks counts once."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}")
    dvc = [PYTHON, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q"], check=True)
    for at, (text, factor) in enumerate((("1", 1), ("4", 2))):
        project.write("data.csv", text)
        subprocess.run([*dvc, "add", "-q", "data.csv"], check=True)
        project.commit(f"data {at}", train_py=writes(f"{factor} * float(open('data.csv').read())"))
        project.gitexp("run", "--no-advance", "--input", "data.csv", "--", PYTHON, "train.py")
    runs(project)
    project.write("data.csv", "the user's present work")
    assert changes(project) == {
        "exp-1": (None, "recorded"),
        "code: train.py": (1, ""),
        "data: data.csv": (3, ""),
        "together: code + data": (3, ""),
        "together, and noise": (0, ""),
        "exp-2": (7, "recorded"),
    }
    assert runs(project) == 4
    assert (project.root / "data.csv").read_text() == "the user's present work"


@pytest.fixture
def interacting(project: Project) -> Project:
    """The new code multiplies by the param instead of adding it, knows an option more, and another
    param does nothing."""
    options = "import sys\ngiven = dict(zip(sys.argv[1::2], map(float, sys.argv[2::2])))\n"
    strict = "set(given) <= {'--lr', '--seed'} or sys.exit('unrecognized arguments')"
    project.commit(train_py=writes("10 + given['--lr']", options + strict))
    project.gitexp("run", "--", PYTHON, "train.py", "--lr", "2", "--seed", "1")
    project.commit(train_py=writes("10 * given['--lr'] + given.get('--momentum', 0)", options))
    project.gitexp("run", "--", PYTHON, "train.py", "--lr", "5", "--seed", "2", "--momentum", "7")
    runs(project)
    return project


def test_what_changes_do_only_together_is_named(interacting: Project) -> None:
    """12 -> 57. An option that the old code does not know is explained by the pair with the code,
    which is tried first."""
    found = changes(interacting)
    assert found["code: train.py"] == (8, "")
    assert found["lr: 2 -> 5"] == (3, "")
    assert found["seed: 1 -> 2"] == (0, "")
    assert found["momentum: none -> 7"][0] is None
    assert "unrecognized arguments" in found["momentum: none -> 7"][1]
    assert found["together: code + momentum"] == (7, "")
    assert found["together: code + lr"] == (27, "")
    assert found["not tried, together, and noise"][0] == 0
    assert list(found)[-1] == "exp-2"


@pytest.mark.parametrize("budget", [2, 4, 6])
def test_a_budget_is_never_overrun_and_what_was_left_is_said(
    interacting: Project, budget: int
) -> None:
    """Params are taken together where they would not fit; pairs come last."""
    found = changes(interacting, "--budget", str(budget))
    assert runs(interacting) == budget
    if budget == 2:
        assert found["code: train.py"] == (8, "")
        assert [remark for what, (_, remark) in found.items() if what.startswith("params: ")] == [
            "not tried: over the budget"
        ]
        assert found["not tried, together, and noise"] == (37, "")


@pytest.mark.parametrize("after", [math.nan, math.inf])
def test_what_diverged_has_no_rest_of_zero(after: float) -> None:
    assert repr(why.Attribution(1.0, after, 1.0, (), 1).rest) == repr(after)
    assert why.Attribution(0.3, 0.1 + 0.2, 0.3, (), 1).rest == 0


def test_flags_and_lists_are_told_as_values_and_rounding_is_no_noise(project: Project) -> None:
    first = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--aug', action='store_true')\n"
    first += "parser.add_argument('--layers', type=int, nargs='+', default=[1])\nasked = parser.parse_args()"
    project.commit(train_py=writes("sum(asked.layers) * 0.1 - 3 * asked.aug", first))
    project.gitexp("run", "--", PYTHON, "train.py")
    project.gitexp("run", "--", PYTHON, "train.py", "--aug", "--layers", "4", "5")
    found = changes(project)
    assert {"aug: False -> True", "layers: [1] -> [4, 5]"} <= found.keys()
    assert found["together, and noise"][0] == 0
