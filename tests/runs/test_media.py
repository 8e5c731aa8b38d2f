"""Images, tables and confusion matrices of a run, as artifacts with steps."""

from __future__ import annotations

import io
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project

np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")
TOP = ".gitexp/artifacts"


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(project.root)
    project.commit()
    return project


def pixels(name: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(gitexp.get("@").read(f"{TOP}/images/{name}.png"))))


def test_images_of_all_kinds_are_png_files_with_steps(here: Project) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    first = np.zeros((3, 8, 9), dtype=np.float32)
    first[0] = 1
    with gitexp.start_run() as run:
        run.log_image(grey, "grey")
        run.log_image(grey[:, :, None] > 2, "grey")
        run.log_image(grey / 255, "grey", step=10)
        run.log_image(first, "channels/first")
        gitexp.log_image(Image.new("CMYK", (4, 5)), "pillow")
        gitexp.log_image(figures.Figure(), "figure")
    assert pixels("grey/0").tolist() == grey.tolist() == pixels("grey/10").tolist()
    assert pixels("grey/1").tolist() == [[0, 0, 0], [255, 255, 255]]
    assert pixels("channels/first/0").shape == (8, 9, 3)
    assert pixels("channels/first/0")[0, 0].tolist() == [255, 0, 0]
    assert pixels("pillow/0").shape == (5, 4, 3)
    assert pixels("figure/0").size
    assert f"{TOP}/images/grey/10.png" in here.gitexp("show", "@")


def test_what_is_no_image_or_table_is_said_at_once(here: Project) -> None:
    with gitexp.start_run() as run:
        for bad in (np.zeros((2, 2, 2, 2)), np.zeros(3), "text", np.full((2, 2), 2.0), None):
            with pytest.raises(gitexp.UsageError, match="an image"):
                run.log_image(bad, "bad")
        with pytest.raises(gitexp.UsageError, match="a table must be"):
            run.log_table(3, "bad")
        with pytest.raises(gitexp.UsageError, match="no confusion matrix"):
            run.log_confusion_matrix([1, 2], [1], name="bad")
        with pytest.raises(gitexp.UsageError, match="cannot be an artifact's name"):
            run.log_image(np.zeros((2, 2)), "../bad")
        with pytest.raises(gitexp.UsageError, match="step"):
            run.log_image(np.zeros((2, 2)), "bad", step=1.5)  # type: ignore[arg-type]
        assert not (run.folder / "artifacts").exists()


def _log_in_worker(at: int) -> None:
    gitexp.log_image(np.full((400, 400), at, np.uint8), "image")
    gitexp.log_table({"a": [at]}, "table")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_never_take_each_others_step(
    here: Project, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    monkeypatch.setenv("PYTHONPATH", str(Path(gitexp.__file__).parents[1]))
    context: Any = multiprocessing.get_context(method)
    with gitexp.start_run():
        workers = [context.Process(target=_log_in_worker, args=(at,)) for at in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 4
    assert sorted(int(pixels(f"image/{at}")[0, 0]) for at in range(4)) == [*range(4)]
    tables = {gitexp.get("@").read(f"{TOP}/tables/table/{at}.csv") for at in range(4)}
    assert tables == {f"a\n{at}\n".encode() for at in range(4)}


def test_a_name_that_the_disk_refuses_only_warns(here: Project) -> None:
    with gitexp.start_run() as run:
        with pytest.warns(RuntimeWarning, match="was not kept: File name too long"):
            run.log_image(np.zeros((2, 2)), "x" * 300)
        run.log_table({"a": [1]}, "x" * 300)
        for name in (".", "", "a\0b"):
            for log in (run.log_image, run.log_table, lambda _, name: run.log_text("t", name)):
                with pytest.raises(gitexp.UsageError, match="cannot be an artifact's name"):
                    log(np.zeros((2, 2)) if log == run.log_image else {"a": [1]}, name)
        with pytest.warns(RuntimeWarning, match="could not be saved"):
            run.end()
    assert gitexp.get("@").status == "finished"


def test_steps_count_on_where_the_folder_takes_nothing(here: Project) -> None:
    with gitexp.start_run() as run:
        in_the_way = run.folder / "artifacts"
        in_the_way.write_bytes(b"")
        with pytest.warns(RuntimeWarning, match="could not be written"):
            for at in range(3):
                run.log_table({"a": [at]}, "table")
        in_the_way.unlink()
    tables = [gitexp.get("@").read(f"{TOP}/tables/table/{at}.csv") for at in range(3)]
    assert tables == [b"a\n0\n", b"a\n1\n", b"a\n2\n"]


def test_a_figure_of_an_unknown_format_is_refused_in_a_line(here: Project) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    said = r"'a\.xyz' cannot be drawn: .*'xyz'"
    with gitexp.start_run() as run, pytest.raises(gitexp.UsageError, match=said):
        run.log_figure(figures.Figure(), "a.xyz")


def test_tables_are_csv_files_with_steps_and_show_folds_many(here: Project) -> None:
    pd = pytest.importorskip("pandas")
    with gitexp.start_run() as run:
        for step in range(5):
            run.log_table({"a": [step, 2], "b": ["x", None]}, "rows")
        gitexp.log_table([{"a": 1}, {"b": 2}], "records")
        gitexp.log_table(pd.DataFrame({"n": [1]}, index=pd.Index(["k"], name="key")), "indexed")
    found = gitexp.get("@")
    assert found.read(f"{TOP}/tables/rows/4.csv") == b"a,b\n4,x\n2,\n"
    assert found.read(f"{TOP}/tables/records/0.csv") == b"a,b\n1.0,\n,2.0\n"
    assert found.read(f"{TOP}/tables/indexed/0.csv") == b"key,n\nk,1\n"
    shown = here.gitexp("show", "@")
    assert f"  {TOP}/tables/rows/….csv (5 files)" in shown
    assert f"{TOP}/tables/rows/3.csv" not in shown
    assert f"{TOP}/tables/rows/3.csv" in json.loads(here.gitexp("show", "@", "--json"))["artifacts"]


def test_a_confusion_matrix_is_an_image_and_a_table(here: Project) -> None:
    pytest.importorskip("sklearn")
    with gitexp.start_run() as run:
        run.log_confusion_matrix(["cat", "dog", "cat"], np.array(["cat", "cat", "cat"]))
        gitexp.log_confusion_matrix([1, 0], [1, 1], labels=[1, 0], name="numbers", step=7)
        gitexp.log_table({"a": [1]}, "both")
        gitexp.log_confusion_matrix([1, 0], [1, 1], name="both")
    found = gitexp.get("@")
    assert found.read(f"{TOP}/tables/confusion_matrix/0.csv") == b"true,cat,dog\ncat,2,0\ndog,1,0\n"
    assert found.read(f"{TOP}/tables/numbers/7.csv") == b"true,1,0\n1,1,0\n0,1,0\n"
    assert pixels("confusion_matrix/0").size
    assert pixels("numbers/7").size
    assert found.read(f"{TOP}/tables/both/1.csv").startswith(b"true,0,1\n")
    assert pixels("both/1").size, "an image and a table of one matrix have one step"


def test_a_missing_library_is_named_with_its_extra(
    here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gitexp.start_run() as run:
        monkeypatch.setitem(sys.modules, "PIL.Image", None)
        with pytest.raises(gitexp.MissingExtraError, match=r"log_image.*\[report\]"):
            run.log_image(np.zeros((2, 2)), "x")
        monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
        with pytest.raises(gitexp.MissingExtraError, match=r"\[demo\]"):
            run.log_confusion_matrix([1], [1])


@pytest.mark.slow
def test_mlflows_pages_have_them_as_artifacts(here: Project) -> None:
    pytest.importorskip("mlflow")
    with gitexp.start_run() as run:
        run.log_image(np.zeros((2, 2)), "samples", step=3)
    script = (
        "import mlflow; mlflow.set_tracking_uri('gitexp:.'); client = mlflow.MlflowClient()\n"
        "run = client.search_runs(['0'])[0].info.run_id\n"
        "print([file.path for file in client.list_artifacts(run, 'images/samples')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "['images/samples/3.png']", done.stderr
