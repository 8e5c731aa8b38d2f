"""Scores that a run cannot fake: planted cheats are caught, and honest runs are not accused.

The judge compares predictions.csv with the labels of the branch ``trusted``. Each cheat is what an
agent might do to get 1.0 out of a model that earns 0.5.
"""

from __future__ import annotations

import json
import os
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Project

EVAL = """import csv, sys
import helper
labels = [row[0] for row in csv.reader(open("data/labels.csv"))]
made = [row[0] for row in csv.reader(open("predictions.csv"))]
print(f"score={helper.share(labels, made)}")
"""
HELPER = "def share(a, b):\n    return sum(x == y for x, y in zip(a, b)) / len(a)\n"
LABELS = "1\n0\n1\n0\n"
TRAIN = "open('predictions.csv', 'w').write('1\\n1\\n1\\n1\\n')\n"
RIGHT = "open('predictions.csv', 'w').write('1\\n0\\n1\\n0\\n')\n"
SETTINGS = '[tool.gitexp]\nprotect = ["eval.py", "helper.py", "data/**"]\n'
CSV = "from _csv import *\n"
TESTED = Path(__file__).parents[2]
GATE = ("--metric", "score", "--min", "0.9", "--judge", "python eval.py", "--trusted", "trusted")
# for the judge alone: gitexp itself is trusted, see docs/agents.md
SITE = """import builtins, sys
if "eval.py" in getattr(sys, "orig_argv", ()):
    builtins.zip = lambda a, b: [(x, x) for x in a]
"""


@pytest.fixture
def judged(project: Project) -> Project:
    """A project with a judge on the branch ``trusted``, and the agent's branch checked out."""
    project.write("pyproject.toml", SETTINGS)
    project.write("data/labels.csv", LABELS)
    project.write(".gitignore", "cache/\n")
    project.commit("judge", eval_py=EVAL, helper_py=HELPER, train_py=TRAIN)
    project.git("branch", "trusted")
    project.git("checkout", "-q", "-b", "agent")
    return project


def run(project: Project, *command: str, code: int | None = 0) -> None:
    done = project.run("run", "--", *(command or ("python", "train.py")))
    assert done.returncode == code, done.stderr


def test_settings_of_a_projects_folder_say_what_is_protected(
    project: Project, tmp_path: Path
) -> None:
    project.write("sub/.gitexp.toml", 'protect = ["sub/eval.py"]\n')
    project.write("sub/eval.py", "print('score=1')\n")
    project.commit("two folders")
    project.git("branch", "trusted")
    project.git("checkout", "-q", "-b", "agent")
    folder = project.root / "sub"
    project.gitexp("log", "-M", "a=1", cwd=folder)
    judge = ("--judge", "python sub/eval.py", "--trusted", "trusted")
    env = {"GIT_TRACE2_EVENT": str(tmp_path / "trace")}
    done = project.run("gate", "--metric", "score", "--min", "0.9", *judge, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    begun = [line for line in (tmp_path / "trace").read_text().splitlines() if '"start"' in line]
    assert sum('"--no-replace-objects"' in one and '"cat-file"' in one for one in begun) == 1


def test_an_honest_run_gets_what_it_earned(judged: Project) -> None:
    run(judged)
    assert "exp-1 has score=0.5" in judged.run("gate", *GATE).stderr
    judged.write("train.py", RIGHT)
    run(judged)
    assert judged.gitexp("gate", *GATE) == "passed: exp-2 has score=1\n"
    row = json.loads(judged.gitexp("gate", "2", *GATE, "--against", "1", "--json"))[0]
    assert (row["value"], row["before"], row["passed"]) == (1.0, 0.5, True)


def prints_it(project: Project) -> None:
    project.write("train.py", TRAIN + "print('score=1.0')\n")
    run(project)


def writes_metrics_by_hand(project: Project) -> None:
    rows = "Name,Value,Timestamp,Step\nscore,1.0,1,0\n"
    project.write("train.py", TRAIN + f"open('metrics.csv', 'w').write({rows!r})\n")
    run(project)


def writes_a_metrics_file(project: Project) -> None:
    project.write("train.py", TRAIN + "open('metrics.json', 'w').write('{\"score\": 1.0}')\n")
    run(project)


def logs_it_by_hand(project: Project) -> None:
    project.gitexp("log", "--metric", "score=1.0")


def logs_it_as_judged(project: Project) -> None:
    project.gitexp("log", "--metric", "judged.score=1.0", "--metric", "score=1.0")


def changes_the_judge(project: Project) -> None:
    project.write("eval.py", "print('score=1.0')\n")
    run(project)


def changes_and_commits_the_judge(project: Project) -> None:
    project.commit("better", eval_py="print('score=1.0')\n")
    run(project)


def changes_what_the_judge_imports(project: Project) -> None:
    project.write("helper.py", "def share(a, b):\n    return 1.0\n")
    run(project)


def changes_the_labels(project: Project) -> None:
    project.write("data/labels.csv", "1\n1\n1\n1\n")
    run(project)


def changes_the_labels_while_it_runs(project: Project) -> None:
    project.write("train.py", TRAIN + "open('data/labels.csv', 'w').write('1\\n1\\n1\\n1\\n')\n")
    run(project)


def adds_protected_data(project: Project) -> None:
    project.write("data/more.csv", "1\n")
    run(project)


def links_the_judge(project: Project) -> None:
    project.write("mine.py", "print('score=1.0')\n")
    (project.root / "eval.py").unlink()
    (project.root / "eval.py").symlink_to("mine.py")
    run(project)


def links_the_folder_of_the_data(project: Project) -> None:
    project.write("mine/labels.csv", "1\n1\n1\n1\n")
    project.git("rm", "-rq", "data")
    (project.root / "data").symlink_to("mine")
    run(project)


def makes_the_judge_executable(project: Project) -> None:
    (project.root / "eval.py").chmod(0o755)
    run(project)


def leaves_sitecustomize(project: Project) -> dict[str, str]:
    project.write("train.py", TRAIN + f"open('sitecustomize.py', 'w').write({SITE!r})\n")
    run(project)
    return {"PYTHONPATH": f"{TESTED}{os.pathsep}{project.root}"}


def leaves_a_library_in_the_work_tree(project: Project) -> None:
    project.write("train.py", TRAIN + f"open('csv.py', 'w').write({SITE + CSV!r})\n")
    run(project)


def leaves_a_package_in_the_work_tree(project: Project) -> None:
    made = f"import os\nos.mkdir('csv'); open('csv/__init__.py', 'w').write({SITE + CSV!r})\n"
    project.write("train.py", TRAIN + made)
    run(project)


def leaves_a_conftest(project: Project) -> None:
    project.write("train.py", TRAIN + f"open('conftest.py', 'w').write({SITE!r})\n")
    run(project)


def rewrites_what_the_judge_imports(project: Project) -> None:
    new = "def share(a, b):\n    return 1.0\n"
    project.write("train.py", TRAIN + f"open('helper.py', 'w').write({new!r})\n")
    run(project)


def leaves_bytecode(project: Project) -> None:
    made = (
        "import os, py_compile, shutil\n"
        "old = os.stat('helper.py')\n"
        "open('h.py', 'w').write('def share(a, b): return 1.0\\n'.ljust(old.st_size))\n"
        "os.utime('h.py', (old.st_atime, old.st_mtime))\n"
        "import importlib.util\n"
        "place = importlib.util.cache_from_source('helper.py')\n"
        "py_compile.compile('h.py', place)\n"
    )
    project.write("train.py", TRAIN + made)
    run(project)


def sets_python_variables(project: Project) -> dict[str, str]:
    project.write("lib/sitecustomize.py", SITE)
    run(project)
    return {"PYTHONPATH": f"{TESTED}{os.pathsep}{project.root / 'lib'}", "PYTHONOPTIMIZE": "2"}


def leaves_usercustomize(project: Project) -> dict[str, str]:
    base = Path(os.environ["HOME"], "base")
    place = base / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    made = f"import os\nos.makedirs({str(place)!r})\n"
    made += f"open({str(place / 'usercustomize.py')!r}, 'w').write({SITE!r})\n"
    project.write("train.py", TRAIN + made)
    run(project)
    return {"PYTHONUSERBASE": str(base)}


def keeps_predictions_from_before(project: Project) -> None:
    project.write("predictions.csv", LABELS)
    project.commit("cache")
    project.write("train.py", "print('score=1.0')\n")
    run(project)


def keeps_predictions_in_an_ignored_cache(project: Project) -> None:
    project.write("cache/predictions.csv", LABELS)
    project.write("train.py", "import os\nos.path.exists('cache/predictions.csv')\n")
    run(project)


def links_its_predictions_to_the_labels(project: Project) -> None:
    project.write("train.py", "import os\nos.symlink('data/labels.csv', 'predictions.csv')\n")
    run(project)


def replaces_an_object_in_git(project: Project) -> None:
    run(project)
    new = project.write("new.py", "print('score=1.0')\n")
    blob = project.git("hash-object", "-w", str(new))
    project.git("replace", project.git("rev-parse", "trusted:eval.py"), blob)


def filters_the_judge(project: Project) -> None:
    run(project)
    project.write(".git/info/attributes", "eval.py filter=fake\n")
    project.git("config", "filter.fake.smudge", "echo \"print('score=1.0')\"")
    project.git("config", "filter.fake.clean", "cat")


def leaves_a_hook(project: Project) -> None:
    run(project)
    hook = project.write(
        ".git/hooks/post-checkout", "#!/bin/sh\necho \"print('score=1')\" > eval.py\n"
    )
    hook.chmod(0o755)


def drops_the_protection(project: Project) -> None:
    project.write("pyproject.toml", "[tool.gitexp]\nprotect = []\n")
    changes_the_judge(project)


def has_the_trusted_branch_moved_onto_it(project: Project) -> None:
    project.git("checkout", "-q", "trusted")
    changes_the_judge(project)
    assert project.git("log", "-1", "--format=%s", "trusted").startswith("exp-1")


CHEATS = [value for name, value in [*globals().items()]
          if callable(value) and getattr(value, "__module__", "") == __name__
          and name not in ("judged", "run") and not name.startswith("test_")]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
def test_a_cheat_does_not_count(
    judged: Project, cheat: Callable[[Project], dict[str, str] | None]
) -> None:
    env = cheat(judged)
    done = judged.run("gate", *GATE, env={"PYTHONSAFEPATH": "1", **(env or {})})
    assert done.returncode == 1, done.stdout + done.stderr
    assert "score=0.5" in done.stderr or "does not count" in done.stderr
    assert "Traceback" not in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("score", [1, "text", {"faults": 3}, {"faults": [{}], "by": 2}, []])
def test_a_note_of_anybodys_about_a_score_is_shown_or_passed_over(
    project: Project, score: object
) -> None:
    project.gitexp("log", "--metric", "score=1")
    event = json.dumps({"at": "2026-01-01T00:00:00Z", "by": "x", "score": score})
    project.git("notes", "--ref", "gitexp", "add", "-f", "-m", event, "exp-1^{commit}")
    assert "exp-1" in project.gitexp("show", "exp-1")


def test_what_differs_is_named(judged: Project) -> None:
    changes_the_judge(judged)
    short = judged.git("rev-parse", "trusted")[:10]
    assert judged.run("gate", *GATE).stderr.splitlines()[-1] == (
        f"gitexp: exp-1: eval.py is protected and differs from trusted ({short}); its score does"
        " not count"
    )
    without = ("gate", "--metric", "loss", "--min", "0", "--trusted", "trusted")
    judged.gitexp("log", "--metric", "loss=1")
    assert "does not count" in judged.run(*without).stderr


def test_a_patched_package_of_the_judges_python_is_named(judged: Project, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env/bin/python"
    place = next((tmp_path / "env/lib").iterdir()) / "site-packages"
    judge = ("--judge", f"{python} eval.py", "--trusted", "trusted")
    run(judged, str(python), "train.py")
    assert "score=0.5" in judged.run("gate", *GATE[:4], *judge).stderr
    for name in ("fake.pth", "csv_fast.py"):
        judged.write("train.py", TRAIN + f"open({str(place / name)!r}, 'w').write('')\n")
        run(judged, str(python), "train.py")
        assert (
            f"{name} of Python's own packages was changed"
            in judged.run("gate", *GATE[:4], *judge).stderr
        )


@pytest.mark.slow
def test_honest_runs_are_not_accused(judged: Project) -> None:
    """Edits beside the protected files, outputs of all kinds, failures and new files: of each, a
    score that is what the labels say."""
    count = int(os.environ.get("TESTS_HONEST", "12"))
    extra = [
        "import json; json.dump({'a': 1}, open('model.json', 'w'))\n",
        "open('weights.bin', 'wb').write(bytes(1000))\n",
        "import os; os.makedirs('out', exist_ok=True); open('out/log.txt', 'w').write('x')\n",
        "open('generated.py', 'w').write('x = 1')\n",
        "print('score=0.1')\n",
        "import pathlib; pathlib.Path('cache').mkdir(exist_ok=True)\n",
    ]
    for at in range(count):
        made = "".join(f"{(at >> bit) & 1}\n" for bit in range(4))
        judged.write(f"notes/{at}.md", f"try {at}\n")
        judged.write("train.py", extra[at % 6] + f"open('predictions.csv','w').write({made!r})\n")
        judge = ("--judge", "python eval.py", "--trusted", "trusted")
        done = judged.run("run", *judge, "--", "python", "train.py")
        share = sum(a == b for a, b in zip(made.split(), LABELS.split())) / 4
        assert done.returncode == 0, done.stderr
        assert f"score of exp-{at + 1}: score={share:.6g}" in done.stderr
    rows = json.loads(judged.gitexp("list", "--json", "-n", "1"))
    assert rows[0]["metrics"]["judged.score"] == share


def test_a_judge_that_gives_no_metric_is_said_to(judged: Project) -> None:
    run(judged)
    silent = ("-m", "score", "--min", "0.1", "--judge", "python -c pass", "--trusted", "trusted")
    assert "the judge gave no metric" in judged.run("gate", *silent).stderr


def test_without_a_judge_protected_files_are_compared_and_no_score_is_told(judged: Project) -> None:
    said = judged.run("run", "--trusted", "trusted", "--", "python", "train.py").stderr
    assert "exp-1: protected files are as in trusted (" in said
    assert "score of" not in said
    assert "protected files are as in" in judged.gitexp("show")


def test_a_run_that_cheats_ends_with_1_and_says_so_wherever_it_is_shown(judged: Project) -> None:
    judged.write("eval.py", "print('score=1.0')\n")
    judge = ("--judge", "python eval.py", "--trusted", "trusted")
    done = judged.run("run", *judge, "--", "python", "train.py")
    assert done.returncode == 1
    assert "exp-1: eval.py is protected and differs" in done.stderr
    assert "does not count: eval.py is protected" in judged.gitexp("show", "exp-1")
    assert "judged.score" not in judged.gitexp("show", "exp-1", "--json")


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--judge", "python eval.py"), "whose judge?"),
        (("--judge", " ", "--trusted", "trusted"), "is no command"),
        (("--judge", "python 'eval.py", "--trusted", "trusted"), "is no command"),
        (("--trusted", "main~0"), "protects nothing"),
    ],
)
def test_a_judge_that_is_none_is_refused_before_the_run(
    judged: Project, args: tuple[str, ...], why: str
) -> None:
    judged.git("checkout", "-q", "main")
    judged.commit("bare", pyproject_toml="[tool.gitexp]\nsign = false\n")
    assert why in judged.error("run", *args, "--", "python", "train.py")
    assert judged.tags() == []
    assert "no commit 'nowhere'" in judged.error("run", "--trusted", "nowhere", "--", "x", code=3)
