"""The same experiments in other trackers, asked for as a table: rows for scale.py.

Each peer makes the first experiment by its own code, and all others are written as that one lies
there, since making 10,000 takes hours. Each is asked through its own command or function, in a
process of its own. What is not installed is not compared.

- DVC: ``dvc exp save``, listed by ``dvc exp show``; cold without its cache of them.
- MLflow: a SQLite store, ``mlflow.search_runs``.
- Trackio: ``trackio list runs`` gives names only; ``trackio.Api().runs()`` params too, one query
  each, and no metrics.
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
from repositories import Made, build, data, experiments, fast_import, git

_DVC = """
import json, sys
from pathlib import Path
from dvc.repo import Repo
Path("params.yaml").write_text("{}"); Path("metrics.json").write_text("{}")
Path("dvc.yaml").write_text("params: [params.yaml]\\nmetrics: [metrics.json]\\n")
Repo.init().scm_context.scm.add([".dvc", ".dvcignore", "dvc.yaml", "params.yaml", "metrics.json"])
repo = Repo()
repo.scm.commit("start")
name, params, metrics = json.loads(sys.stdin.readline())
Path("params.yaml").write_text(json.dumps(params)); Path("metrics.json").write_text(json.dumps(metrics))
repo.experiments.save(name=name)
"""
_MLFLOW = """
import itertools, json, sys, uuid, mlflow, sqlalchemy
from mlflow.entities import Metric, Param
from mlflow.store.tracking.dbmodels import models
client = mlflow.MlflowClient(sys.argv[1])
experiment = client.create_experiment("bench")
name, params, metrics, points = json.loads(sys.stdin.readline())
first = client.create_run(experiment, run_name=name).info
given = [Param(key, str(value)) for key, value in params.items()]
client.log_batch(first.run_id, metrics=[Metric(*point) for point in points], params=given)
client.set_terminated(first.run_id)
tables = [getattr(models, name).__table__ for name in ("SqlRun", "SqlTag", "SqlParam", "SqlMetric", "SqlLatestMetric")]
with sqlalchemy.create_engine(sys.argv[1]).begin() as db:
    found = [db.execute(sqlalchemy.select(table).where(table.c.run_uuid == first.run_id)).mappings().all() for table in tables]
    (run,), tags, _, (metric, *_), _ = found
    while lines := list(itertools.islice(sys.stdin, 200)):
        rows = [[], [], [], [], []]
        for name, params, metrics, points in map(json.loads, lines):
            own = {"run_uuid": uuid.uuid4().hex}
            values = [{**metric, **own, "key": key, "value": value, "timestamp": at, "step": step} for key, value, at, step in points]
            rows[0].append({**run, **own, "name": name, "artifact_uri": run["artifact_uri"].replace(first.run_id, own["run_uuid"])})
            rows[1] += [{**tag, **own, "value": name if tag["key"] == "mlflow.runName" else tag["value"]} for tag in tags]
            rows[2] += [{**own, "key": key, "value": str(value)} for key, value in params.items()]
            rows[3] += values
            rows[4] += {item["key"]: item for item in values}.values()
        for table, new in zip(tables, rows):
            db.execute(table.insert(), new)
"""
_TRACKIO = """
import json, sqlite3, sys
from trackio.sqlite_storage import SQLiteStorage
name, params, metrics, points = json.loads(sys.stdin.readline())
SQLiteStorage.bulk_log("bench", name, [metrics], steps=[0], config=params)
with sqlite3.connect(SQLiteStorage.get_project_db_path("bench")) as db:
    (at,) = db.execute("SELECT created_at FROM configs").fetchone()
    for name, params, metrics, points in map(json.loads, sys.stdin):
        steps = {}
        for key, value, _, step in points:
            steps.setdefault(step, {})[key] = value
        values = [(name, at, name, step, json.dumps(found).encode()) for step, found in steps.items()]
        db.executemany("INSERT INTO metrics(run_id, timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?, ?)", values)
        config = (name, name, json.dumps(params).encode(), at)
        db.execute("INSERT INTO configs(run_id, run_name, config, created_at) VALUES (?, ?, ?, ?)", config)
"""


MANY = 5_000  # experiments from which on one run has to do


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
    if subprocess.run([trackio, "-c", "import trackio"], env=ENV, capture_output=True).returncode:
        print("trackio is not installed and not compared: pip install trackio, or --trackio PYTHON")
    else:
        yield from _trackio(root, folder / "trackio", count, trackio)
    if find_spec("dvc"):
        yield from _dvc(root, folder / "dvc", count)


def _dvc(root: Path, folder: Path, count: int) -> Iterator[Row]:
    folder.mkdir()
    git(folder, "init", "--quiet")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        git(folder, "config", key, value)
    made = experiments(count)
    first = next(made)
    _fill(
        [sys.executable, "-c", _DVC],
        folder,
        iter([[f"exp-{first.number}", first.params, first.last]]),
    )
    fast_import(folder, _like_the_first(folder, made))
    show = [sys.executable, "-m", "dvc", "exp", "show", "--csv"]
    listed = subprocess.run(
        show, cwd=folder, env=ENV, check=True, capture_output=True, text=True
    ).stdout
    assert listed.count("\n") >= count, listed[-500:]

    def forget() -> None:
        shutil.rmtree(folder / ".dvc" / "tmp" / "exps" / "cache", ignore_errors=True)
        for file in (root / ".git" / "gitexp").glob("index.sqlite*"):
            file.unlink()

    ours = process(*GITEXP, "list", cwd=root)
    ways = {"theirs": process(*show, cwd=folder), "ours": ours}
    once = 0 if count >= MANY else 1
    what = f"`dvc exp show` at {count:,}, {{}} / `gitexp list`, {{}}"
    yield _faster(
        in_turn(ways, once, forget), what.format("without its cache", "without its index")
    )
    yield _faster(in_turn(ways, 2 * once), what.format("again", "again"))
    yield _leaner(peak(folder, *show), peak(root, *GITEXP, "list"))


def _like_the_first(folder: Path, made: Iterator[Made]) -> Iterator[bytes]:
    """Yield experiments for git, as DVC saved the first one."""
    ref, saved = git(
        folder, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps/*/*/exp-1"
    ).split()
    said = git(folder, "show", "--no-patch", "--format=%B", saved).encode()
    cache = git(folder, "rev-parse", f"{saved}:.dvc/tmp/repro.dat").strip()
    base = git(folder, "rev-parse", f"{saved}^").strip()
    for item in made:
        yield f"commit {ref.removesuffix('1')}{item.number}\n".encode()
        yield f"committer Ada <ada@example.org> {int(item.started.timestamp())} +0000\n".encode()
        yield data(said) + f"from {base}\nM 100644 {cache} .dvc/tmp/repro.dat\n".encode()
        for path, content in (("params.yaml", item.params), ("metrics.json", item.last)):
            yield f"M 100644 inline {path}\n".encode() + data(json.dumps(content).encode())


def _mlflow(root: Path, folder: Path, count: int) -> Iterator[Row]:
    store = f"sqlite:///{folder / 'mlflow.db'}"
    lines = (
        [f"exp-{made.number}", made.params, made.last, made.points] for made in experiments(count)
    )
    _fill([sys.executable, "-c", _MLFLOW, store], folder, lines)
    search = (
        f"import mlflow; mlflow.set_tracking_uri({store!r}); assert"
        f" len(mlflow.search_runs(search_all_experiments=True, max_results=100000)) == {count}"
    )
    frame = f"import gitexp; assert len(gitexp.experiments(repo={str(root)!r})) >= {count}"
    words = {
        "theirs": [sys.executable, "-c", search],
        "list": [*GITEXP, "list"],
        "frame": [sys.executable, "-c", frame],
    }
    times = in_turn(
        {name: process(*line, cwd=root) for name, line in words.items()}, 3 if count < MANY else 1
    )
    memory = {name: peak(root, *line) for name, line in words.items()}
    for name, text in (
        ("list", "`gitexp list`"),
        ("frame", "`gitexp.experiments()` in a process of its own"),
    ):
        taken = {"theirs": times["theirs"], "ours": times[name]}
        yield _faster(taken, f"`mlflow.search_runs` (SQLite) at {count:,} / {text}")
        yield _leaner(memory["theirs"], memory[name])


def _trackio(root: Path, folder: Path, count: int, python: str) -> Iterator[Row]:
    folder.mkdir()
    ENV["TRACKIO_DIR"] = str(folder)
    lines = (
        [f"exp-{made.number}", made.params, made.last, made.points] for made in experiments(count)
    )
    _fill([python, "-c", _TRACKIO], folder, lines)
    show = [python, "-m", "trackio.cli", "list", "runs", "--project", "bench", "--json"]
    listed = subprocess.run(
        show, cwd=folder, env=ENV, check=True, capture_output=True, text=True
    ).stdout
    assert listed.count('"exp-') == count, listed[-500:]
    program = (
        "import trackio; assert len([run.config['lr'] for run in trackio.Api().runs('bench')]) =="
        f" {count}"
    )
    asks = {
        "`trackio list runs` at {} (names only)": show,
        "`trackio.Api().runs()` at {} (names and params)": [python, "-c", program],
    }
    for text, words in asks.items():
        ways = {"theirs": process(*words, cwd=folder), "ours": process(*GITEXP, "list", cwd=root)}
        yield _faster(
            in_turn(ways, 3 if count < MANY else 1), f"{text.format(f'{count:,}')} / `gitexp list`"
        )
        yield _leaner(peak(folder, *words), peak(root, *GITEXP, "list"))


def _fill(words: list[str], folder: Path, lines: Iterator[list[object]]) -> None:
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    done = subprocess.run(words, cwd=folder, env=ENV, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def _faster(times: dict[str, float], what: str) -> Row:
    ratio = times["theirs"] / times["ours"]
    return Row(
        f"{what}, time", ratio, 10, f"{times['theirs']:,.0f} ms against {times['ours']:,.0f}", True
    )


def _leaner(theirs: int, ours: int) -> Row:
    return Row(
        "the same, peak memory",
        theirs / ours,
        10,
        f"{theirs / 1e6:.0f} MB against {ours / 1e6:.0f}",
        True,
    )
