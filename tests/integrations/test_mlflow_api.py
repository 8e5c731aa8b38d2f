"""What scripts call of MLflow's API, against ``gitexp:.``: it answers as with MLflow's own store,
and git has what was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_scripts import Training
from recording import record

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mlflow")]


def test_nested_runs_stand_beside_as_a_group_and_the_branch_gets_the_whole(
    training: Training,
) -> None:
    done = training.run("""
        import mlflow
        with mlflow.start_run(run_name="whole") as whole:
            for depth in (1, 2):
                with mlflow.start_run(nested=True, run_name=f"depth {depth}") as child:
                    mlflow.log_param("depth", depth)
                    with mlflow.start_run(nested=True):
                        mlflow.log_metric("inner", depth)
            mlflow.log_metric("best", 1.0)
        print(mlflow.get_parent_run(child.info.run_id).info.run_name)
    """)
    assert done.out.strip() == "whole"
    found = training.experiments()
    (whole,) = [item for item in found.values() if "best" in item["metrics"]]
    assert whole["group"] is None
    assert training.project.git("rev-parse", "HEAD") == whole["id"]
    assert training.project.git("rev-list", "--count", "HEAD") == "2"
    children = [item for item in found.values() if "depth" in item["params"]]
    assert [item["group"] for item in children] == ["whole", "whole"]
    assert len([item for item in found.values() if "inner" in item["metrics"]]) == 2


def test_a_finished_run_that_is_taken_up_again_becomes_one_more_experiment_with_all_that_it_had(
    training: Training,
) -> None:
    training.project.commit("ignore", _gitignore="*.pyc\n")
    training.run("""
        import mlflow
        with mlflow.start_run(run_name="long") as run:
            mlflow.log_param("lr", 0.1)
            mlflow.log_metric("loss", 2.0, step=0)
            mlflow.log_text("first", "a.txt")
        open("run_id", "w").write(run.info.run_id)
    """)
    before = training.project.git("rev-parse", "refs/tags/exp-1")
    done = training.run("""
        import mlflow
        run_id = open("run_id").read()
        with mlflow.start_run(run_id=run_id):
            print(mlflow.get_run(run_id).info.status)
            mlflow.log_metric("loss", 1.0, step=1)
            mlflow.log_text("second", "b.txt")
        found = mlflow.get_run(run_id)
        print(found.info.status, found.info.run_name, found.data.params, found.data.metrics)
        print([item.value for item in mlflow.MlflowClient().get_metric_history(run_id, "loss")], len(mlflow.search_runs()))
    """)
    assert done.out.splitlines() == [
        "RUNNING",
        "FINISHED long {'lr': '0.1'} {'loss': 1.0}",
        "[2.0, 1.0] 1",
    ]
    assert training.project.git("rev-parse", "refs/tags/exp-1") == before
    found = training.experiments()
    assert (found["exp-2"]["params"], found["exp-2"]["metrics"]) == ({"lr": 0.1}, {"loss": 1.0})
    files = training.project.git(
        "ls-tree", "-r", "--name-only", "exp-2", ".gitexp/artifacts"
    ).split()
    assert files == [".gitexp/artifacts/a.txt", ".gitexp/artifacts/b.txt"]


def test_a_model_is_logged_and_loaded_again_by_another_process(training: Training) -> None:
    pytest.importorskip("sklearn")
    training.run("""
        import mlflow
        from sklearn.linear_model import LinearRegression
        with mlflow.start_run() as run:
            model = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
            kept = {"pip_requirements": ["scikit-learn"], "serialization_format": "pickle", "registered_model_name": "line"}
            info = mlflow.sklearn.log_model(model, name="model", **kept)
        mlflow.MlflowClient().set_registered_model_alias("line", "best", 1)
        open("uris", "w").write(f"{info.model_uri} runs:/{run.info.run_id}/model models:/line/1 models:/line@best")
    """)
    done = training.run(
        """
        import mlflow
        for uri in open("uris").read().split():
            print(round(mlflow.sklearn.load_model(uri).predict([[2.0]])[0], 6))
        (model,) = mlflow.search_logged_models(output_format="list")
        print(model.name, model.status)
        """,
        MLFLOW_ALLOW_PICKLE_DESERIALIZATION="true",
    )
    assert done.out.splitlines() == ["5.0", "5.0", "5.0", "5.0", "model READY"], (
        "by its id, its run, its registered version and alias"
    )
    assert "MLmodel" in training.project.git(
        "ls-tree", "-r", "--name-only", "exp-1", ".gitexp/models"
    )


def test_traces_go_along_with_a_run_and_another_process_reads_them(training: Training) -> None:
    training.run("""
        import mlflow

        @mlflow.trace
        def predict(x):
            return x + 1

        with mlflow.start_run():
            predict(1)
            with mlflow.start_span("outer"):
                predict(2)
            mlflow.log_metric("loss", 1.0)
        mlflow.flush_trace_async_logging()
    """)
    done = training.run("""
        import mlflow
        traces = mlflow.search_traces(return_type="list")
        print(sorted([span.name for span in trace.data.spans] for trace in traces), {trace.info.state.value for trace in traces})
    """)
    assert done.out.strip() == "[['outer', 'predict'], ['predict']] {'OK'}"
    assert training.experiments()["exp-1"]["metrics"] == {"loss": 1.0}


def test_artifacts_of_every_kind_are_in_the_commit_and_come_back(training: Training) -> None:
    done = training.run("""
        import pathlib
        import mlflow, pandas
        folder = pathlib.Path("out")
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "c.txt").write_text("c")
        (folder / "b.txt").write_text("b")
        with mlflow.start_run() as run:
            mlflow.log_artifact(str(folder / "b.txt"), "one")
            mlflow.log_artifacts(str(folder), "all")
            mlflow.log_dict({"a": [1, 2]}, "config/c.json")
            mlflow.log_table({"x": [1, 2]}, "table.json")
            mlflow.log_table({"x": [3]}, "table.json")
        client = mlflow.MlflowClient()
        print(mlflow.artifacts.load_dict(run.info.artifact_uri + "/config/c.json"))
        print(mlflow.load_table("table.json")["x"].tolist())
        print(sorted(path.relative_to(got).as_posix() for got in [pathlib.Path(mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, artifact_path="all"))] for path in got.rglob("*.txt")))
        print([(item.path, item.is_dir) for item in client.list_artifacts(run.info.run_id)])
        address = run.info.artifact_uri
        print([item.path for item in mlflow.artifacts.list_artifacts(artifact_uri=address)])
        got = pathlib.Path(mlflow.artifacts.download_artifacts(artifact_uri=address))
        print(sorted(path.name for path in got.iterdir()), (got / "one/b.txt").read_text())
    """)
    assert done.out.splitlines() == [
        "{'a': [1, 2]}",
        "[1, 2, 3]",
        "['b.txt', 'deep/c.txt']",
        "[('all', True), ('config', True), ('one', True), ('table.json', False)]",
        "['artifacts/all', 'artifacts/config', 'artifacts/one', 'artifacts/table.json']",
        "['all', 'config', 'one', 'table.json'] b",
    ]
    files = training.project.git(
        "ls-tree", "-r", "--name-only", "exp-1", ".gitexp/artifacts"
    ).split()
    assert [path.removeprefix(".gitexp/artifacts/") for path in files] == [
        "all/b.txt",
        "all/deep/c.txt",
        "config/c.json",
        "one/b.txt",
        "table.json",
    ]


def test_figures_and_datasets_are_kept_with_the_run(training: Training) -> None:
    pytest.importorskip("matplotlib")
    training.run("""
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        import mlflow, pandas
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        with mlflow.start_run():
            mlflow.log_figure(figure, "curve.png")
            data = mlflow.data.from_pandas(pandas.DataFrame({"x": [1.0, 2.0]}), source="data.csv", name="houses")
            mlflow.log_input(data, context="training", tags={"split": "a"})
    """)
    assert training.project.git("cat-file", "-s", "exp-1:.gitexp/artifacts/curve.png") > "1"
    for database in ("the one that logged it", "one made anew from git"):
        done = training.run(
            """
            import mlflow
            (run,) = mlflow.search_runs(output_format="list")
            (given,) = run.inputs.dataset_inputs
            print(given.dataset.name, {tag.key: tag.value for tag in given.tags})
            """,
            name="look.py",
        )
        assert done.out.strip() == "houses {'mlflow.data.context': 'training', 'split': 'a'}", (
            database
        )
        (training.project.root / ".git/gitexp/mlflow/tracking.sqlite").unlink()


SEARCHES = """
    import json
    import mlflow
    for lr, loss, team in ((0.1, 3.0, "blue"), (0.2, 1.0, "red"), (0.3, 2.0, "blue")):
        with mlflow.start_run(run_name=f"lr {lr}"):
            mlflow.log_param("lr", lr)
            mlflow.log_metric("loss", loss)
            mlflow.set_tags({"team": team, "mlflow.note.content": f"about {lr}"})
    client = mlflow.MlflowClient()
    def names(**search):
        return [run.info.run_name for run in mlflow.search_runs(output_format="list", **search)]
    print(names(filter_string="metrics.loss < 2.5", order_by=["metrics.loss DESC"]))
    print(names(filter_string="tags.team = 'blue' AND params.lr != '0.1'"))
    print(names(filter_string="attributes.run_name LIKE '%0.2' AND attributes.status = 'FINISHED'"))
    print(names(order_by=["params.lr ASC"], max_results=2))
    (first,) = mlflow.search_runs(filter_string="params.lr = '0.1'", output_format="list")
    print(first.data.tags["mlflow.note.content"], first.data.tags["gitexp.name"])
    client.delete_run(first.info.run_id)
    print(len(names()), client.get_run(first.info.run_id).info.lifecycle_stage, len(names(run_view_type=2)))
    client.restore_run(first.info.run_id)
    client.set_tag(first.info.run_id, "gitexp.labels", '["good"]')
    client.set_tag(first.info.run_id, "verdict", "keep")
    client.delete_tag(first.info.run_id, "team")
    client.set_tag(first.info.run_id, "mlflow.note.content", "changed my mind")
    client.update_run(first.info.run_id, name="the first")
    print(len(names()), client.get_run(first.info.run_id).info.run_name)
"""


def test_searches_filter_and_sort_and_edits_become_labels_and_notes_at_once(
    training: Training,
) -> None:
    done = training.run(SEARCHES)
    assert done.out.splitlines() == [
        "['lr 0.3', 'lr 0.2']",
        "['lr 0.3']",
        "['lr 0.2']",
        "['lr 0.1', 'lr 0.2']",
        "about 0.1 exp-1",
        "2 deleted 1",
        "3 the first",
    ]
    shown = training.experiments()["exp-1"]
    assert (shown["labels"], shown["notes"]) == (["good"], ["changed my mind"])
    training.project.git("clone", "-q", str(training.project.root), "../clone")
    training.project.git(
        "fetch",
        "-q",
        "origin",
        "refs/notes/gitexp:refs/notes/gitexp",
        cwd=training.project.root.parent / "clone",
    )
    look = """
        import mlflow
        (run,) = mlflow.search_runs(filter_string="params.lr = '0.1'", output_format="list")
        tags = run.data.tags
        print(run.info.run_name, tags["verdict"], "team" in tags, tags["mlflow.note.content"], tags["gitexp.labels"])
    """
    there = (
        training.elsewhere(training.project.root.parent / "clone")
        .run(look, name="look.py")
        .out.strip()
    )
    assert there == 'the first keep False changed my mind ["good"]', (
        "notes carry the edits to another clone"
    )


def test_a_run_deleted_while_it_goes_on_is_deleted_takes_nothing_more_and_is_recorded_as_deleted(
    training: Training,
) -> None:
    done = training.run("""
        import os, sqlite3, time
        import mlflow

        client = mlflow.MlflowClient()
        run = mlflow.start_run().info.run_id
        mlflow.log_metric("loss", 1.0)
        client.delete_run(run)
        mlflow.set_experiment("other")  # anything that makes the database follow what goes on
        print(client.get_run(run).info.lifecycle_stage)

        def refused(call):
            try:
                call()
            except mlflow.exceptions.MlflowException as error:
                return "must be in the 'active' state" in str(error)

        print(refused(lambda: client.log_param(run, "late", 1)), refused(mlflow.end_run))

        def deleted():
            return sqlite3.connect(".git/gitexp/mlflow/tracking.sqlite").execute("SELECT deleted_time FROM runs").fetchall()[0][0]

        before = deleted()
        while time.time() * 1000 < before + 2:
            time.sleep(0.001)
        open(".git/gitexp/runs/" + os.listdir(".git/gitexp/runs")[0] + "/touched.json", "w").write("{}")
        print(client.get_run(run).info.lifecycle_stage, deleted() == before)
    """)
    assert done.out.splitlines() == ["deleted", "True True", "deleted True"], (
        "mlflow gc asks how long ago it was"
    )
    again = 'import mlflow\nprint(len(mlflow.search_runs(experiment_ids=["0"])), len(mlflow.search_runs(experiment_ids=["0"], run_view_type=2)))\n'
    training.project.git("clone", "-q", str(training.project.root), "../clone")
    there = training.elsewhere(training.project.root.parent / "clone")
    assert there.run(again, name="look.py").out.split() == ["0", "1"], (
        "git has it, so another clone knows"
    )


def test_a_run_may_have_ended_before_1970(training: Training) -> None:
    done = training.run("""
        import mlflow
        client = mlflow.MlflowClient()
        run = client.create_run("0", start_time=-5000).info.run_id
        client.set_terminated(run, end_time=-123)
        found = client.get_run(run).info
        print(found.start_time, found.end_time)
    """)
    assert done.out.strip() == "-5000 -123"


def test_groups_are_mlflow_experiments_and_mlflows_own_commands_list_them(
    training: Training,
) -> None:
    record(training.project, {"lr": 0.5}, {"loss": 0.1}, group="sweep")
    training.run("""
        import mlflow
        mlflow.set_experiment("nets")
        with mlflow.start_run():
            mlflow.log_param("lr", 0.1)
    """)
    assert {item["group"] for item in training.experiments().values()} == {"sweep", "nets"}
    done = training.run("""
        import sys
        import mlflow
        from mlflow.cli import cli
        cli(["experiments", "search"], standalone_mode=False)
        for name in ("sweep", "nets"):
            cli(["runs", "list", "--experiment-id", mlflow.get_experiment_by_name(name).experiment_id], standalone_mode=False)
            print(mlflow.search_runs(experiment_names=[name])["params.lr"].tolist())
    """)
    assert all(
        word in done.out for word in ("Default", "sweep", "nets", "exp-1", "['0.5']", "['0.1']")
    )


def test_the_store_answers_as_mlflows_own_does(training: Training, tmp_path: Path) -> None:
    calls = Path(__file__).parents[1] / "mlflow_calls.py"
    said = training.run(calls.read_text(), str(tmp_path / "theirs.db")).out.strip()
    assert "\n" not in said, said
    assert said.split()[0] == said.split()[1] > "500", said
    training.project.fsck()


def test_metrics_are_taken_in_when_they_are_asked_for(training: Training) -> None:
    training.run("""
        import math, mlflow
        with mlflow.start_run():
            for value, step in ((3.0, 2), (1.0, 0), (2.0, 1)):
                mlflow.log_metric("loss", value, step=step, timestamp=5)
            mlflow.log_metric("odd", math.nan, timestamp=5)
            mlflow.log_metric("odd", -1.0, timestamp=5)
    """)
    record(training.project, {"lr": 0.5}, {"loss": 0.1})
    database = training.project.root / ".git/gitexp/mlflow/tracking.sqlite"
    database.unlink()
    done = training.run(
        """
        import sqlite3, mlflow
        runs = mlflow.search_runs(order_by=["metrics.loss DESC"], output_format="list")
        counted = "SELECT count(*) FROM metrics"
        database = sqlite3.connect(".git/gitexp/mlflow/tracking.sqlite")
        print([run.data.metrics for run in runs], database.execute(counted).fetchone())
        client = mlflow.MlflowClient()
        for run in runs:
            print([(item.value, item.step) for item in client.get_metric_history(run.info.run_id, "loss")])
        print(database.execute(counted).fetchone())
        """,
        name="look.py",
    )
    assert done.out.splitlines() == [
        "[{'loss': 3.0, 'odd': nan}, {'loss': 0.1}] (0,)",
        "[(1.0, 0), (2.0, 1), (3.0, 2)]",
        "[(0.1, 0)]",
        "(6,)",
    ]


def test_a_step_that_no_database_holds_is_refused_and_spoils_nothing(training: Training) -> None:
    done = training.run("""
        import mlflow
        with mlflow.start_run() as run:
            try:
                mlflow.log_metric("loss", 1.0, step=2**63)
            except mlflow.MlflowException as error:
                print(error)
            folder, = __import__("pathlib").Path(".git/gitexp/runs").glob("*/")
            with open(folder / "metrics.csv", "a") as file:
                file.write(f'"loss",1.0,1,{2**63}\\r\\n')
            print(mlflow.get_run(run.info.run_id).data.metrics)
    """)
    assert done.out.splitlines() == [
        "the step 9223372036854775808 is larger than SQLite can hold",
        "{'loss': 1.0}",
    ]


def test_an_experiment_that_was_renamed_takes_what_its_group_records_and_deletion_is_in_git(
    training: Training,
) -> None:
    done = training.run("""
        import subprocess, sys
        import mlflow
        nets = mlflow.set_experiment("nets").experiment_id
        for at in range(2):
            mlflow.start_run(run_name=f"run {at}")
            mlflow.end_run()
        client = mlflow.MlflowClient()
        client.rename_experiment(nets, "networks")
        subprocess.run([sys.executable, "-m", "gitexp", "log", "--group", "nets", "--metric", "loss=1"], check=True, capture_output=True)
        print(len(mlflow.search_runs(experiment_names=["networks"])))
        client.delete_experiment(nets)
    """)
    assert done.out.strip() == "3"
    training.project.git("clone", "-q", str(training.project.root), "../clone")
    clone = training.elsewhere(training.project.root.parent / "clone")
    clone.project.git("fetch", "-q", "origin", "refs/notes/gitexp:refs/notes/gitexp")
    again = 'import mlflow\nprint([len(mlflow.search_runs(experiment_names=["nets"], run_view_type=view)) for view in (1, 2)])\n'
    assert clone.run(again, name="look.py").out.strip() == "[0, 3]"


def test_an_adopted_commit_has_the_metrics_and_params_of_all_its_files(training: Training) -> None:
    header = "Name,Value,Timestamp,Step\n"
    training.project.write("metrics.csv", f'{header}"rmse",1.0,1700000000000,0\r\n')
    training.project.write("test_metrics.csv", f'{header}"rmse",2.0,1700000000000,0\r\n')
    training.project.write("params.yml", f"prompt: {'x' * 2000}\n")
    training.project.write("model_params.yml", "depth: 3\n")
    training.project.commit("by hand")
    training.project.gitexp("import", "git")
    done = training.run("""
        import mlflow
        run, = mlflow.search_runs(output_format="list")
        print(run.data.metrics, {name: len(text) for name, text in run.data.params.items()})
    """)
    assert done.out.strip() == "{'rmse': 1.0, 'test/rmse': 2.0} {'depth': 1, 'prompt': 2000}"


def test_a_run_that_is_taken_up_and_discarded_is_what_it_was(training: Training) -> None:
    done = training.run("""
        import gitexp, mlflow
        client = mlflow.MlflowClient()
        with mlflow.start_run() as run:
            mlflow.log_metric("loss", 2.0)
        client.get_run(run.info.run_id)  # which records it
        client.update_run(run.info.run_id, status="RUNNING")
        client.log_param(run.info.run_id, "more", 1)

        def look():
            found, = client.search_runs(["0"])
            print(found.info.status, found.data.params, found.data.metrics)

        look()
        gitexp.active_run().discard()
        look()
    """)
    assert done.out.splitlines() == [
        "RUNNING {'more': '1'} {'loss': 2.0}",
        "FINISHED {} {'loss': 2.0}",
    ]


def test_what_came_late_is_kept_where_the_run_is_taken_up_again(training: Training) -> None:
    training.run("""
        import mlflow
        client = mlflow.MlflowClient()
        with mlflow.start_run() as run:
            mlflow.log_metric("loss", 2.0)
        id = run.info.run_id
        client.get_run(id)  # which records it
        client.log_metric(id, "test_score", 0.75)
        client.log_param(id, "threshold", "0.50")
        with mlflow.start_run(run_id=id):
            mlflow.log_metric("loss", 1.0, step=1)
    """)
    found = training.experiments()["exp-2"]
    assert found["metrics"] == {"loss": 1.0, "test_score": 0.75}
    assert found["params"] == {"threshold": "0.50"}


def test_who_began_a_run_logs_into_it_when_another_process_took_it_up_again(
    training: Training,
) -> None:
    first = training.start("""
        import time, mlflow
        from pathlib import Path
        client, told = mlflow.MlflowClient(), Path(".git/told")
        with mlflow.start_run() as run:
            mlflow.log_metric("loss", 2.0)
        client.get_run(run.info.run_id)  # which records it
        told.write_text(run.info.run_id)
        while told.exists():
            time.sleep(0.05)
        client.log_metric(run.info.run_id, "loss", 1.0, step=1)
        told.touch()
    """)
    training.run(
        """
        import time, mlflow
        from pathlib import Path
        told = Path(".git/told")
        while not told.exists() or not (run_id := told.read_text()):
            time.sleep(0.05)
        with mlflow.start_run(run_id=run_id):
            told.unlink()
            while not told.exists():
                time.sleep(0.05)
        """,
        name="second.py",
    )
    assert first.wait().code == 0
    found = training.experiments()
    assert {name: item["metrics"]["loss"] for name, item in found.items()} == {
        "exp-1": 2.0,
        "exp-2": 1.0,
    }


def test_an_open_store_sees_what_was_pulled(training: Training) -> None:
    project = training.project
    record(project, {}, {"loss": 1.0})
    there = project.root.parent / "there.git"
    project.git("init", "-q", "--bare", str(there))
    project.git("remote", "add", "origin", str(there))
    project.gitexp("push")
    project.git("clone", "-q", str(there), "../clone")
    record(project, {}, {"loss": 0.5})
    project.gitexp("push")
    clone = training.elsewhere(project.root.parent / "clone")
    ended = clone.run("""
        import subprocess, sys, mlflow
        print(len(mlflow.search_runs(["0"])))
        subprocess.run([sys.executable, "-m", "gitexp", "pull"], check=True, capture_output=True)
        print(len(mlflow.search_runs(["0"])))
    """)
    assert ended.out.split() == ["1", "2"]
