"""The address of an MLflow run's artifacts is a folder, while the run goes on and afterwards, here
and in any clone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from mlflow_scripts import Training, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mlflow")]

LOOK = """
    import json, os, sys, mlflow
    for run in mlflow.search_runs(output_format="list", order_by=["start_time"]):
        top = mlflow.get_run(run.info.run_id).info.artifact_uri
        found = {os.path.relpath(os.path.join(at, name), top): open(os.path.join(at, name)).read()[:9]
                 for at, _, names in os.walk(top) for name in names}
        print(json.dumps(found, sort_keys=True))
"""


def tree(training: Training, name: str, top: str = ".gitexp/artifacts") -> list[str]:
    """Return the paths below a folder of an experiment's tree."""
    listed = training.project.git("ls-tree", "-r", "--name-only", name, f"{top}/").split()
    return [path.removeprefix(f"{top}/") for path in listed]


def test_the_address_is_a_folder_for_plain_python_for_mlflow_for_threads_and_for_children(
    training: Training,
) -> None:
    training.project.write(".gitexp.toml", "max_file_size = 1000\nmax_untracked_size = 3000\n")
    done = training.run("""
        import os, subprocess, sys, threading
        from pathlib import Path
        import mlflow
        with mlflow.start_run() as run:
            top = Path(mlflow.get_artifact_uri())
            mlflow.log_text("MLflow's", "notes/a.txt")
            (top / "plain.txt").write_text("a path's")
            (top / "large.txt").write_text("x" * 2000)
            log = mlflow.MlflowClient().log_text
            names = [f"t/{n}.txt" for n in range(4)]
            threads = [threading.Thread(target=log, args=(run.info.run_id, "x" * 900, name)) for name in names]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            code = "import mlflow; mlflow.MlflowClient().log_text('%s', 'child', 'child.txt')" % run.info.run_id
            subprocess.run([sys.executable, "-c", code], check=True)
            print(sorted(os.listdir(top)))
            got = Path(mlflow.artifacts.download_artifacts(artifact_uri=mlflow.get_artifact_uri()))
            print((got / "notes/a.txt").read_text(), mlflow.artifacts.load_text(str(top / "plain.txt")))
            print([item.path for item in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)])
        mlflow.get_run(run.info.run_id)
        print((top / "notes/a.txt").read_text(), len((top / "large.txt").read_text()))
        mlflow.MlflowClient().log_text(run.info.run_id, "late", "late.txt")
        print(sorted(os.listdir(top)), top.is_symlink())
    """)
    held = "['child.txt', 'large.txt', 'notes', 'plain.txt', 't']"
    assert done.out.splitlines() == [
        held,
        "MLflow's a path's",
        held,
        "MLflow's 2000",
        "['child.txt', 'large.txt', 'late.txt', 'notes', 'plain.txt', 't'] False",
    ]
    kept = ["child.txt", "notes/a.txt", "plain.txt", "t/0.txt", "t/1.txt", "t/2.txt"]
    assert tree(training, "exp-1") == kept, "each and all within the limits"
    (said,) = re.findall("Not-Kept: (.*)", training.project.git("log", "-1", "exp-1"))
    assert [word.strip() for word in said.split(",")] == [
        "the artifact .gitexp/artifacts/large.txt (2.0 kB)",
        "the artifact .gitexp/artifacts/t/3.txt (900 bytes)",
    ]
    assert training.project.git("status", "--porcelain") == ""


def test_a_folder_comes_from_git_in_a_clone_where_it_is_gone_and_where_its_run_went_on_elsewhere(
    training: Training, tmp_path: Path
) -> None:
    project = training.project
    training.run("""
        import mlflow
        with mlflow.start_run() as run:
            mlflow.log_text("first", "a.txt")
            mlflow.log_text("first", "b/c.txt")
        mlflow.get_run(run.info.run_id)
    """)
    first = '{"a.txt": "first", "b/c.txt": "first"}'
    shutil.rmtree(next(project.root.glob(".git/gitexp/mlflow/0/*/artifacts")))
    assert training.run(LOOK, name="look.py").out.strip() == first
    project.git("clone", "-q", str(project.root), str(tmp_path / "clone"))
    clone = training.elsewhere(tmp_path / "clone")
    clone.run("""
        import mlflow
        (run,) = mlflow.search_runs(output_format="list")
        with mlflow.start_run(run_id=run.info.run_id):
            mlflow.log_text("second", "a.txt")
            mlflow.log_text("second", "d.txt")
    """)
    project.git("pull", "-q", "--tags", str(clone.project.root), "HEAD:refs/heads/theirs")
    second = '{"a.txt": "second", "b/c.txt": "first", "d.txt": "second"}'
    assert tree(clone, "exp-2") == ["a.txt", "b/c.txt", "d.txt"]
    for here in (clone, training):
        assert here.run(LOOK, name="look.py").out.strip() == second


def test_a_killed_run_has_what_was_written_into_its_folder_also_in_a_project(
    training: Training,
) -> None:
    training.project.write("ml/.gitexp.toml", "")
    script = training.start(
        """
        import os, time
        import mlflow, gitexp
        os.chdir("ml")
        with mlflow.start_run():
            with open(mlflow.get_artifact_uri() + "/a.txt", "w") as file:
                file.write("kept")
            print("ready", flush=True)
            time.sleep(3600)
    """,
        MLFLOW_TRACKING_URI="gitexp:ml",
    )
    until(lambda: "ready" in script.printed())
    assert training.run(LOOK, name="look.py").out.strip() == '{"a.txt": "kept"}'
    script.send(signal.SIGKILL)
    script.wait()
    training.project.gitexp("recover")
    for file in training.project.root.glob(".git/gitexp/mlflow/0/*/artifacts/a.txt"):
        file.unlink()
        file.parent.rmdir()
    assert tree(training, "exp-1", "ml/.gitexp/artifacts") == ["a.txt"]
    assert training.run(LOOK, name="look.py").out.strip() == '{"a.txt": "kept"}'


def test_a_run_of_a_command_keeps_what_it_logged_before_mlflow_came_and_a_look_disturbs_nothing(
    training: Training,
) -> None:
    script = training.start("""
        import time
        import gitexp, mlflow
        with gitexp.start_run() as run:
            run.log_text("ours", "a.txt")
            print("ready", flush=True)
            while not __import__("os").path.exists("go"):
                time.sleep(0.05)
            with mlflow.start_run():
                mlflow.log_text("MLflow's", "b.txt")
                run.log_text("more", "c.txt")
                print(sorted(__import__("os").listdir(mlflow.get_artifact_uri())))
    """)
    until(lambda: "ready" in script.printed())
    assert training.run(LOOK, name="look.py").out.strip() == '{"a.txt": "ours"}'
    training.project.write("go", "")
    ended = script.wait()
    assert (ended.code, ended.out.splitlines()[1:]) == (0, ["['a.txt', 'b.txt', 'c.txt']"]), ended
    assert tree(training, "exp-1") == ["a.txt", "b.txt", "c.txt"]


def test_the_doctor_removes_the_folders_of_runs_that_are_no_experiment_any_more(
    training: Training,
) -> None:
    training.run("""
        import mlflow
        for name in ("first", "second"):
            with mlflow.start_run():
                mlflow.log_text(name, f"{name}.txt")
    """)
    project = training.project
    undo = project.gitexp("rm", "exp-2", "--yes").splitlines()[-1]
    old = time.time() - 10**6
    for folder in project.root.glob(".git/gitexp/mlflow/*/*"):
        os.utime(folder, (old, old))
    assert project.gitexp("doctor", "--fix").count("the MLflow artifacts of run") == 1
    left = project.root.glob(".git/gitexp/mlflow/0/*/artifacts/*.txt")
    assert [path.name for path in left] == ["first.txt"]
    assert undo.startswith("git ")
    project.git(*undo.split()[1:])
    assert training.run(LOOK, name="look.py").out.splitlines() == [
        '{"first.txt": "first"}',
        '{"second.txt": "second"}',
    ]


def test_a_partial_clone_shows_what_the_tags_say_and_the_rest_when_it_has_come(
    training: Training,
) -> None:
    training.project.git("config", "uploadpack.allowFilter", "true")
    training.run("""
        import mlflow
        for name in ("one", "two"):
            with mlflow.start_run(run_name=name):
                mlflow.log_metrics({"loss": 2.0}, step=0)
                mlflow.log_metrics({"loss": 1.0}, step=1)
                mlflow.log_text("hello", "a.txt")
    """)
    root = training.project.root
    clone = ("clone", "-q", "--filter=blob:none", f"file://{root}", "../partial")
    training.project.git(*clone)
    partial = training.elsewhere(root.parent / "partial")
    look = """
        import mlflow
        client = mlflow.MlflowClient()
        for run in client.search_runs(["0"]):
            try:
                told = [item.value for item in client.get_metric_history(run.info.run_id, "loss")]
            except mlflow.MlflowException as error:
                told = error
            print(client.get_run(run.info.run_id).info.run_name, run.data.metrics, told)
    """
    assert partial.run(look, name="look.py").out.splitlines() == [
        "two {'loss': 1.0} [2.0, 1.0]",
        "exp-1 {'loss': 1.0} 'metrics.csv' of exp-1 is not in this clone; to get it: gitexp pull",
    ]
    partial.project.gitexp("pull")
    assert partial.run(look, name="look.py").out.splitlines() == [
        "two {'loss': 1.0} [2.0, 1.0]",
        "one {'loss': 1.0} [2.0, 1.0]",
    ]


def test_a_registered_model_is_found_again_where_its_folder_is_gone(training: Training) -> None:
    training.run("""
        import mlflow
        client = mlflow.MlflowClient()
        client.create_registered_model("line")
        with mlflow.start_run() as run:
            mlflow.log_text("by run", "files/MLmodel")
            client.create_model_version("line", f"runs:/{run.info.run_id}/files", run.info.run_id)
            model = mlflow.initialize_logged_model(name="model")
            client.log_model_artifact(model.model_id, __file__)
            mlflow.finalize_logged_model(model.model_id, "READY")
            client.create_model_version("line", f"models:/{model.model_id}")
    """)
    top = training.project.root / ".git/gitexp/mlflow"
    shutil.rmtree(top / "0")
    (top / "tracking.sqlite").unlink()
    done = training.run(
        """
        import os
        import mlflow
        for version in (1, 2):
            found = os.listdir(mlflow.artifacts.download_artifacts(f"models:/line/{version}"))
            print({*found} - {"registered_model_meta"})
        """,
        name="look.py",
    )
    assert done.out.splitlines() == ["{'MLmodel'}", "{'train.py'}"]
