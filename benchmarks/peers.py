"""The same experiments in other trackers, asked for as a table: rows for scale.py.

Each peer is filled by its own code, which is not measured, and asked through its own command or function, in a process of its own. What
is not installed is not compared.

- DVC: experiments made by ``dvc exp save``, listed by ``dvc exp show``; cold without its cache of them.
- MLflow: a SQLite store, ``mlflow.search_runs``.
- Trackio: ``trackio list runs``, which gives names only, no params and no metrics.
- Weights & Biases has no way to list offline runs with their values: a server is asked for them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from measuring import ENV, GITEXP, Row, in_turn, peak, process
from repositories import build, experiments, git

_DVC = """
import json, sys
from pathlib import Path
from dvc.repo import Repo
Path("params.yaml").write_text("{}"); Path("metrics.json").write_text("{}")
Path("dvc.yaml").write_text("params: [params.yaml]\\nmetrics: [metrics.json]\\n")
Repo.init().scm_context.scm.add([".dvc", ".dvcignore", "dvc.yaml", "params.yaml", "metrics.json"])
repo = Repo()
repo.scm.commit("start")
for line in sys.stdin:
    name, params, metrics = json.loads(line)
    Path("params.yaml").write_text(json.dumps(params)); Path("metrics.json").write_text(json.dumps(metrics))
    repo.experiments.save(name=name)
"""
_MLFLOW = """
import json, sys, mlflow
from mlflow.entities import Metric, Param
client = mlflow.MlflowClient(sys.argv[1])
experiment = client.create_experiment("bench")
for line in sys.stdin:
    name, params, metrics, points = json.loads(line)
    run = client.create_run(experiment, run_name=name)
    given = [Param(key, str(value)) for key, value in params.items()]
    client.log_batch(run.info.run_id, metrics=[Metric(*point) for point in points], params=given)
    client.set_terminated(run.info.run_id)
"""
_TRACKIO = """
import json, sys, trackio
for line in sys.stdin:
    name, params, metrics, points = json.loads(line)
    trackio.init(project="bench", name=name, config=params)
    steps = {}
    for key, value, _, step in points:
        steps.setdefault(step, {})[key] = value
    for step, values in steps.items():
        trackio.log(values, step=step)
    trackio.finish()
"""  # fmt: skip


def rows(folder: Path, count: int, trackio: str) -> Iterator[Row]:
    """Yield what each peer takes for ``count`` experiments, against gitexp.

    Args:
        folder: a new one for all that is made.
        trackio: a Python that has Trackio: its dependencies get in the way of others'.
    """
    root = build(folder / "gitexp", count)
    for name in ("dvc", "mlflow"):
        if not find_spec(name):
            print(f"{name} is not installed and not compared: pip install {name}")
    if find_spec("mlflow"):
        yield from _mlflow(root, folder, count)
    if find_spec("dvc"):
        yield from _dvc(root, folder / "dvc", count)
    if subprocess.run([trackio, "-c", "import trackio"], env=ENV, capture_output=True).returncode:
        print("trackio is not installed and not compared: pip install trackio, or --trackio PYTHON")
    else:
        yield from _trackio(root, folder / "trackio", count, trackio)


def _dvc(root: Path, folder: Path, count: int) -> Iterator[Row]:
    folder.mkdir()
    git(folder, "init", "--quiet")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        git(folder, "config", key, value)
    _fill([sys.executable, "-c", _DVC], folder, ([f"exp-{made.number}", made.params, made.last] for made in experiments(count)))
    show = [sys.executable, "-m", "dvc", "exp", "show", "--csv"]
    listed = subprocess.run(show, cwd=folder, env=ENV, check=True, capture_output=True, text=True).stdout
    assert listed.count("\n") >= count, listed[-500:]

    def forget() -> None:
        shutil.rmtree(folder / ".dvc" / "tmp" / "exps" / "cache", ignore_errors=True)
        for file in (root / ".git" / "gitexp").glob("index.sqlite*"):
            file.unlink()

    ours = process(*GITEXP, "list", cwd=root)
    ways = {"theirs": process(*show, cwd=folder), "ours": ours}
    what = f"`dvc exp show` at {count:,}, {{}} / `gitexp list`, {{}}"
    yield _faster(in_turn(ways, 1, forget), what.format("without its cache", "without its index"))
    yield _faster(in_turn(ways, 2), what.format("again", "again"))
    yield _leaner(peak(folder, *show), peak(root, *GITEXP, "list"))


def _mlflow(root: Path, folder: Path, count: int) -> Iterator[Row]:
    store = f"sqlite:///{folder / 'mlflow.db'}"
    lines = ([f"exp-{made.number}", made.params, made.last, made.points] for made in experiments(count))
    _fill([sys.executable, "-c", _MLFLOW, store], folder, lines)
    search = (
        f"import mlflow; mlflow.set_tracking_uri({store!r});"
        f" assert len(mlflow.search_runs(search_all_experiments=True, max_results=100000)) == {count}"
    )
    frame = f"import gitexp; assert len(gitexp.experiments(repo={str(root)!r})) >= {count}"
    words = {"theirs": [sys.executable, "-c", search], "list": [*GITEXP, "list"], "frame": [sys.executable, "-c", frame]}
    times = in_turn({name: process(*line, cwd=root) for name, line in words.items()}, 3)
    memory = {name: peak(root, *line) for name, line in words.items()}
    for name, text in (("list", "`gitexp list`"), ("frame", "`gitexp.experiments()` in a process of its own")):
        taken = {"theirs": times["theirs"], "ours": times[name]}
        yield _faster(taken, f"`mlflow.search_runs` (SQLite) at {count:,} / {text}")
        yield _leaner(memory["theirs"], memory[name])


def _trackio(root: Path, folder: Path, count: int, python: str) -> Iterator[Row]:
    folder.mkdir()
    ENV["TRACKIO_DIR"] = str(folder)
    lines = ([f"exp-{made.number}", made.params, made.last, made.points] for made in experiments(count))
    _fill([python, "-c", _TRACKIO], folder, lines)
    show = [python, "-m", "trackio.cli", "list", "runs", "--project", "bench", "--json"]
    listed = subprocess.run(show, cwd=folder, env=ENV, check=True, capture_output=True, text=True).stdout
    assert listed.count('"exp-') == count, listed[-500:]
    times = in_turn({"theirs": process(*show, cwd=folder), "ours": process(*GITEXP, "list", cwd=root)}, 3)
    yield _faster(times, f"`trackio list runs` at {count:,} (names only) / `gitexp list`")
    yield _leaner(peak(folder, *show), peak(root, *GITEXP, "list"))


def _fill(words: list[str], folder: Path, lines: Iterator[list[object]]) -> None:
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    done = subprocess.run(words, cwd=folder, env=ENV, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def _faster(times: dict[str, float], what: str) -> Row:
    ratio = times["theirs"] / times["ours"]
    return Row(f"{what}, time", ratio, 10, f"{times['theirs']:,.0f} ms against {times['ours']:,.0f}", True)


def _leaner(theirs: int, ours: int) -> Row:
    return Row("the same, peak memory", theirs / ours, 10, f"{theirs / 1e6:.0f} MB against {ours / 1e6:.0f}", True)
