"""What goes wrong between MLflow and git unless somebody minds it: a test for each trap, with the
real MLflow."""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest

from conftest import Project
from gitexp.formats.params import load
from gitexp.integrations.mlflow import ui
from gitexp.repo import Repo
from gitexp.runs import start as starting
from mlflow_scripts import Training, until
from recording import record

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mlflow")]

SEARCH = """
    import mlflow
    import numpy as np
    mlflow.sklearn.autolog(log_models=False)
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import GridSearchCV

    X = np.array([[float(i), float(i % 3)] for i in range(40)])
    y = np.array([i > 20 for i in range(40)])
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)
    search.fit(X, y)
    X_val, y_val = X[::2], y[::2]
    accuracy_score(y_val, search.predict(X_val))
"""


def test_a_grid_search_is_one_experiment_and_its_trials_are_grouped_children(
    training: Training,
) -> None:
    pytest.importorskip("sklearn")
    training.run(SEARCH)
    found = training.experiments()
    (whole,) = [item for item in found.values() if "best_C" in item["params"]]
    assert training.project.git("rev-parse", "HEAD") == whole["id"]
    assert "accuracy_score_X_val" in whole["metrics"], (
        "what is computed after fit belongs to the search"
    )
    trials = [item for item in found.values() if item is not whole]
    assert sorted(item["params"]["C"] for item in trials) == [0.1, 1.0]
    assert len({item["group"] for item in trials}) == 1
    assert all("mean_test_score" in item["metrics"] for item in trials)
    training.project.fsck()


def test_a_grid_search_inside_a_run_that_goes_on_is_that_run(training: Training) -> None:
    pytest.importorskip("sklearn")
    training.project.write("train.py", "")
    outer = starting.begin(Repo.discover(training.project.root))
    training.run(SEARCH, name="train.py", GITEXP_RUN=str(outer.folder))
    assert outer.end() is not None
    found = training.experiments()
    (whole,) = [item for item in found.values() if "best_C" in item["params"]]
    assert training.project.git("rev-parse", "HEAD") == whole["id"]
    assert "accuracy_score_X_val" in whole["metrics"]
    assert sorted(item["params"]["C"] for item in found.values() if item is not whole) == [0.1, 1.0]


LATE = """
    import subprocess
    import mlflow
    with mlflow.start_run() as run:
        for step in range(3):
            mlflow.log_metric("loss", 3.0 - step, step=step)
    mlflow.get_run(run.info.run_id)  # it is recorded now
    print(subprocess.check_output(["git", "rev-parse", "refs/tags/exp-1"], text=True))
    client = mlflow.MlflowClient()
    client.log_metric(run.info.run_id, "test_score", 0.75)
    client.log_metric(run.info.run_id, "loss", 9.0, step=1)
    client.log_param(run.info.run_id, "threshold", "0.50")
"""


def test_what_comes_after_the_recording_is_in_the_experiment_and_its_tag_stays(
    training: Training,
) -> None:
    project = training.project
    before = training.run(LATE).out.strip()
    assert project.git("rev-parse", "refs/tags/exp-1") == before, (
        "a tag that may have been pushed is never rewritten"
    )
    shown = training.experiments()["exp-1"]
    assert shown["metrics"] == {"loss": 1.0, "test_score": 0.75}, (
        "the last value is that of the highest step"
    )
    assert shown["params"] == {"threshold": "0.50"}
    assert "test_score" in project.gitexp("show", "exp-1")
    assert (
        project.gitexp("list", "--where", "test_score > 0.7", "--columns", "name").split()[-1]
        == "exp-1"
    )
    assert project.gitexp("export", "csv", "--metrics").count("\n") == 6, (
        "a header, three rows, and the two that came late"
    )
    assert "differ" not in project.gitexp("verify", "exp-1")
    again = training.run(
        "import mlflow\nfound = mlflow.search_runs().iloc[0]\nprint(found['metrics.test_score'], found['params.threshold'])"
    )
    assert again.out.split() == ["0.75", "0.50"], "another process, which reads git, says the same"


def test_late_values_that_nobody_can_have_logged_are_passed_over(project: Project) -> None:
    record(project, {}, {"loss": 1.0})
    events = [
        '{"metrics": 7}',
        '{"metrics": [["a"], ["b", "x", 0, 0], ["c", 1.0, 0, 1e400], ["d\\n", 1, 0, 0], ["\\ud800", 1, 0, 0], 5]}',
        '{"params": [1]}',
        '{"params": {"p": {"q": 1}, "r": 2}}',
        '{"metrics": [["ok", 2.0, 0, 0]]}',
    ]
    project.git(
        "notes", "--ref", "refs/notes/gitexp", "add", "-m", "\n".join(events), "exp-1^{commit}"
    )
    (shown,) = json.loads(project.gitexp("list", "--json"))
    assert (shown["metrics"], shown["params"]) == ({"loss": 1.0, "ok": 2.0}, {"r": 2})
    project.git("update-ref", "-d", "refs/notes/gitexp")
    (shown,) = json.loads(project.gitexp("list", "--json"))
    assert (shown["metrics"], shown["params"]) == ({"loss": 1.0}, {}), (
        "with the note goes what it added"
    )


ONE_RUN = """
    import sys
    import mlflow
    with mlflow.start_run(run_name=sys.argv[1]):
        mlflow.log_param("who", sys.argv[1])
        mlflow.log_metric("loss", 0.5)
"""


def test_processes_that_race_to_make_the_database_all_record(
    training: Training, tmp_path: Path
) -> None:
    training.project.commit("script", train_py=dedent(ONE_RUN))
    start = training.project.git("rev-parse", "HEAD")
    scripts = [
        training.start(ONE_RUN, f"p{at}", XDG_CACHE_HOME=str(tmp_path / "cache")) for at in range(4)
    ]
    ends = [script.wait() for script in scripts]
    assert [ended.code for ended in ends] == [0] * 4, ends
    found = training.experiments()
    assert sorted(item["params"]["who"] for item in found.values()) == ["p0", "p1", "p2", "p3"]
    parents = [training.project.git("rev-parse", f"{name}^") for name in found]
    assert start in parents, "each stands on the commit that it started from"
    assert set(parents) <= {start, *(item["id"] for item in found.values())}
    training.project.fsck()


@pytest.mark.parametrize(
    ("ending", "status", "error"),
    [
        ("raise ValueError('no data')", "failed", "ValueError: no data"),
        ("import sys; sys.exit('no data')", "failed", "exit code 1: no data"),
        (
            "try: 1 / 0\nexcept ZeroDivisionError: mlflow.end_run('FAILED')\nraise SystemExit(1)",
            "failed",
            "ZeroDivisionError: division by zero",
        ),
        ("", "finished", None),
    ],
)
def test_an_exception_that_ends_the_script_makes_its_open_run_a_failed_one(
    training: Training, ending: str, status: str, error: str | None
) -> None:
    training.run(
        f"import mlflow\nmlflow.start_run()\nmlflow.log_metric('loss', 0.5)\n{ending}\n",
        code=1 if ending else 0,
    )
    (shown,) = json.loads(training.project.gitexp("export", "json"))
    assert (shown["status"], shown["metrics"], shown["extra"].get("error")) == (
        status,
        {"loss": 0.5},
        error,
    )


def test_ctrl_c_outside_of_with_makes_a_killed_run(training: Training) -> None:
    script = training.start(
        "import mlflow, time\nmlflow.start_run()\nmlflow.log_metric('loss', 0.5)\nprint('ready', flush=True)\ntime.sleep(3600)"
    )
    until(lambda: "ready" in script.printed())
    script.send(signal.SIGINT)
    assert script.wait().code != 0
    (shown,) = training.experiments().values()
    assert (shown["status"], shown["metrics"]) == ("killed", {"loss": 0.5})


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@pytest.mark.parametrize("number", ["SIGTERM", "SIGKILL"])
def test_a_run_whose_process_was_killed_is_recovered_with_all_that_it_logged(
    training: Training, number: str
) -> None:
    script = training.start("""
        import time
        import mlflow
        mlflow.start_run(run_name="long")
        mlflow.log_params({"lr": 0.1})
        mlflow.set_tag("team", "blue")
        mlflow.log_text("kept", "a.txt")
        for step in range(5):
            mlflow.log_metric("loss", 5.0 - step, step=step)
        print("ready", flush=True)
        time.sleep(3600)
    """)
    until(lambda: "ready" in script.printed())
    look = "import mlflow\nfor run in mlflow.search_runs(output_format='list'): print(run.info.status, run.info.run_name, run.data.metrics)"
    assert training.run(look, name="look.py").out.strip() == "RUNNING long {'loss': 1.0}"
    script.send(getattr(signal, number))
    assert script.wait().code == -getattr(signal, number)
    assert training.run(look, name="look.py").out.strip() == "KILLED long {'loss': 1.0}", (
        "before anybody recovered it, too"
    )
    training.project.gitexp("recover")
    (shown,) = training.experiments().values()
    assert (shown["status"], shown["params"], shown["metrics"]) == (
        "killed",
        {"lr": 0.1},
        {"loss": 1.0},
    )
    assert training.project.git("show", "exp-1:.gitexp/artifacts/a.txt") == "kept"
    assert training.run(look, name="look.py").out.strip() == "KILLED long {'loss': 1.0}"


def test_a_run_during_which_head_moved_stands_beside(training: Training) -> None:
    project = training.project
    start = project.git("rev-parse", "HEAD")
    training.run("""
        import subprocess
        import mlflow
        with mlflow.start_run():
            subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "mine"], check=True)
            mlflow.log_metric("loss", 0.5)
    """)
    assert project.git("log", "-1", "--format=%s") == "mine", "nobody's branch is moved over work"
    assert project.git("rev-parse", "exp-1^") == start


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_a_run_on_another_rank_makes_no_experiment_and_works_all_the_same(
    training: Training, variable: str
) -> None:
    done = training.run(
        """
        import mlflow
        with mlflow.start_run() as run:
            mlflow.log_param("lr", 0.1)
            mlflow.log_metric("loss", 0.5)
            mlflow.log_text("mine", "a.txt")
        found = mlflow.get_run(run.info.run_id)
        print(found.info.status, found.data.params, found.data.metrics, mlflow.artifacts.load_text(found.info.artifact_uri + "/a.txt"))
        """,
        code=0,
        **{variable: "1"},
    )
    assert done.out.strip() == "FINISHED {'lr': '0.1'} {'loss': 0.5} mine"
    assert training.project.tags() == []
    assert training.project.git("for-each-ref", "refs/gitexp") == ""


def test_artifacts_and_plain_mlflows_folders_are_not_swallowed_by_the_next_snapshot(
    training: Training,
) -> None:
    project = training.project
    project.write("mlruns/0/abc/artifacts/model.bin", b"\0" * 1000)
    project.write("mlflow.db", b"SQLite format 3\0" + b"\0" * 1000)
    training.run("""
        import mlflow
        for name in ("first", "second"):
            with mlflow.start_run():
                mlflow.log_text(name, f"{name}.txt")
    """)
    for name, text in (("exp-1", "first"), ("exp-2", "second")):
        tree = project.git("ls-tree", "-r", "--name-only", name).split()
        assert [
            path for path in tree if path.startswith(("mlruns", "mlflow.db", ".gitexp/artifacts"))
        ] == [f".gitexp/artifacts/{text}.txt"]
    assert project.git("rev-parse", "exp-2^") == project.git("rev-parse", "exp-1^{commit}"), (
        "the second stands on the first"
    )
    assert project.git("status", "--porcelain").split("\n") == ["?? mlflow.db", "?? mlruns/"]


def test_params_keep_their_text_and_odd_metric_values_come_back(training: Training) -> None:
    done = training.run("""
        import json, math
        import mlflow
        with mlflow.start_run() as run:
            mlflow.log_params({"zip": "01234", "rate": "1e-4", "depth": "3", "on": True, "none": None, "sizes": [1, 2], "f": "3.10", "h": "0x10"})
            mlflow.log_param("long", "x" * 6000)
            for name, value in (("up", math.inf), ("down", -math.inf), ("odd", math.nan), ("big", 1.7976931348623157e308)):
                mlflow.log_metric(name, value)
        found = mlflow.get_run(run.info.run_id).data
        print(json.dumps({**found.params, "long": len(found.params["long"])}))
        print(json.dumps({key: repr(value) for key, value in found.metrics.items()}))
        with mlflow.start_run() as run:
            mlflow.log_param("longer", "x" * 7000)
        print(len(mlflow.get_run(run.info.run_id).data.params["longer"]))
    """)
    texts, numbers, longer = done.out.strip().split("\n")
    assert json.loads(texts) == {
        "zip": "01234",
        "rate": "1e-4",
        "depth": "3",
        "on": "True",
        "none": "None",
        "sizes": "[1, 2]",
        "f": "3.10",
        "h": "0x10",
        "long": 6000,
    }
    assert json.loads(numbers) == {
        "up": "1.7976931348623157e+308",
        "down": "-1.7976931348623157e+308",
        "odd": "nan",
        "big": "1.7976931348623157e+308",
    }
    found = load((training.project.git("show", "exp-1:params.yml") + "\n").encode())
    long = found.pop("long")
    assert found == {
        "zip": "01234",
        "rate": 1e-4,
        "depth": 3,
        "on": True,
        "none": None,
        "sizes": [1, 2],
        "f": "3.10",
        "h": "0x10",
    }
    assert len(long) == 6000
    rows = dict(
        line.split(",")[:2]
        for line in training.project.git("show", "exp-1:metrics.csv").splitlines()[1:]
    )
    assert {name.strip('"'): float(value) for name, value in rows.items() if "odd" not in name} == {
        "up": math.inf,
        "down": -math.inf,
        "big": 1.7976931348623157e308,
    }
    assert len(training.experiments()["exp-2"]["params"]["longer"]) <= int(longer) == 6000, (
        "MLflow cuts it, and so it is recorded"
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_children_of_forked_processes_are_experiments_of_the_parents_group(
    training: Training,
) -> None:
    done = training.run("""
        import multiprocessing, os
        import mlflow

        def trial(at):
            with mlflow.start_run(nested=True, run_name=f"trial {at}") as child:
                mlflow.log_param("at", at)
                mlflow.log_metric("loss", float(at))
            return child.info.run_id

        with mlflow.start_run(run_name="whole") as run:
            mlflow.log_metric("before", 1.0)
            child = os.fork()
            if child == 0:
                trial(0)
                mlflow.log_metric("from_child", 2.0, run_id=run.info.run_id)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            with multiprocessing.get_context("fork").Pool(2) as pool:
                pool.map(trial, [1, 2])
            mlflow.log_metric("after", 3.0)
        children = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{run.info.run_id}'")
        print(sorted(children["params.at"]), set(children["status"]))
    """)
    assert done.out.strip() == "['0', '1', '2'] {'FINISHED'}"
    found = training.experiments()
    (whole,) = [item for item in found.values() if "before" in item["metrics"]]
    assert whole["metrics"] == {"before": 1.0, "from_child": 2.0, "after": 3.0}
    assert training.project.git("rev-parse", "HEAD") == whole["id"]
    trials = [item for item in found.values() if item is not whole]
    assert sorted(item["params"]["at"] for item in trials) == [0, 1, 2]
    assert len({item["group"] for item in trials}) == 1
    assert training.project.gitexp("recover", code=0) is not None, "nothing is left over"
    training.project.fsck()


def test_children_of_spawned_processes_are_experiments_of_the_parents_group(
    training: Training,
) -> None:
    training.run("""
        import multiprocessing
        import mlflow

        def trial(parent, at):
            with mlflow.start_run(nested=True, parent_run_id=parent):
                mlflow.log_metric("at", at)

        if __name__ == "__main__":
            with mlflow.start_run(run_name="whole") as run:
                process = multiprocessing.get_context("spawn").Process(target=trial, args=(run.info.run_id, 1))
                process.start()
                process.join()
                mlflow.log_metric("after", process.exitcode)
    """)
    found = {
        (item["group"], *item["metrics"]): item["id"] for item in training.experiments().values()
    }
    assert found.keys() == {("whole", "at"), (None, "after")}
    assert training.project.git("rev-parse", "HEAD") == found[None, "after"], (
        "the parent moves the branch"
    )


def test_a_process_that_begins_anew_logs_into_the_run_of_its_parent(training: Training) -> None:
    done = training.run("""
        import multiprocessing
        import mlflow

        def work(run_id, at):
            mlflow.log_metric("from_child", at, run_id=run_id)
            with mlflow.start_run(run_id=run_id):
                mlflow.log_param("child", at)

        if __name__ == "__main__":
            with mlflow.start_run() as run:
                process = multiprocessing.get_context("spawn").Process(target=work, args=(run.info.run_id, 2))
                process.start()
                process.join()
                mlflow.log_metric("after", process.exitcode)
            found = mlflow.get_run(run.info.run_id)
            print(found.info.status, found.data.params, sorted(found.data.metrics.items()))
    """)
    assert done.out.strip() == "FINISHED {'child': '2'} [('after', 0.0), ('from_child', 2.0)]"
    (made,) = training.experiments().values()
    assert (made["status"], made["params"], made["metrics"]) == (
        "finished",
        {"child": 2},
        {"after": 0.0, "from_child": 2.0},
    )
    assert training.project.git("rev-parse", "HEAD") == made["id"]


@pytest.mark.parametrize("damage", ["another version", "no database"])
def test_a_database_that_is_not_ours_of_now_is_made_anew_from_git(
    training: Training, damage: str
) -> None:
    training.run(ONE_RUN, "first")
    path = training.project.root / ".git/gitexp/mlflow/tracking.sqlite"
    if damage == "another version":
        with closing(sqlite3.connect(path)) as db:
            db.execute("UPDATE gitexp_state SET made_by = replace(made_by, 'MLflow ', 'MLflow 0.')")
            db.execute("DROP TABLE metrics")
            db.commit()
    else:
        path.write_bytes(b"no database" * 1000)
    look = "import mlflow\nfor run in mlflow.search_runs(output_format='list'): print(run.info.run_name, run.data.params, run.data.metrics)"
    assert training.run(look, name="look.py").out.strip() == "first {'who': 'first'} {'loss': 0.5}"


def test_artifacts_are_found_in_a_clone_and_where_the_repository_was_moved_to(
    training: Training, tmp_path: Path
) -> None:
    project = training.project
    project.write(".gitexp.toml", "max_file_size = 1000\n")
    training.run("""
        import mlflow
        with mlflow.start_run() as run:
            mlflow.log_text("small", "notes/a.txt")
            mlflow.log_text("large" * 1000, "b.txt")
    """)
    look = """
        import mlflow
        (run,) = mlflow.search_runs(output_format="list")
        client = mlflow.MlflowClient()
        found = [item.path for item in client.list_artifacts(run.info.run_id)]
        print(found, mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/a.txt"))
    """
    moved = project.root.with_name("moved")
    project.git("clone", "-q", str(project.root), str(tmp_path / "clone"))
    project.root.rename(moved)
    assert (
        training.elsewhere(tmp_path / "clone").run(look, name="look.py").out.strip()
        == "['notes'] small"
    ), "a large one stayed at home"
    assert (
        training.elsewhere(moved).run(look, name="look.py").out.strip()
        == "['b.txt', 'notes'] small"
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_first_signal_ends_the_pages_and_later_ones_do_not_disturb_that(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), ui._signals_interrupt():
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
    assert signal.getsignal(number) is before
