"""Runs in a notebook, through a real kernel: the notebook is recorded as it is on disk at the
start, and an unsaved one is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kernels")]
RUN = "with gitexp.start_run() as run:\n    run.log_metric('a', 1)"


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


def notebook(*cells: str) -> Any:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    return made


def execute(project: Project, book: Any) -> str:
    """Run all cells in a kernel of their own, and return what came on stderr."""
    # an output that comes later is dropped without a word
    patience = {"timeout": 600, "iopub_timeout": 600, "startup_timeout": 600}
    nbclient.NotebookClient(
        book, **patience, resources={"metadata": {"path": str(project.root)}}
    ).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(
        output.text
        for output in outputs
        if output.output_type == "stream" and output.name == "stderr"
    )


def test_the_example_notebook_records_itself_its_figures_and_shows_a_table(
    project: Project,
) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    shutil.copy(ROOT / "examples/notebook.ipynb", project.root)
    on_disk = (project.root / "notebook.ipynb").read_bytes()
    book = nbformat.reads(on_disk.decode(), 4)
    assert not any(cell.outputs for cell in book.cells if cell.cell_type == "code"), (
        "the example lies in git without outputs"
    )
    said = execute(project, book)
    assert "gitexp" not in said, said
    assert project.tags() == ["exp-1", "exp-2", "exp-3"]
    for name in project.tags():
        found = gitexp.get(name)
        assert found.read("notebook.ipynb") == on_disk
        assert found.read(".gitexp/artifacts/learning.png").startswith(b"\x89PNG")
        assert len(found.history()) == 60
        assert found.command == "jupyter notebook notebook.ipynb"
    shown = [
        output["data"]
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "data" in output
    ]
    tables = [data["text/html"] for data in shown if "<table" in data.get("text/html", "")]
    assert any("params.depth" in table and "metrics.rmse" in table for table in tables)
    assert project.git("status", "--porcelain") == ""


@pytest.mark.parametrize("known", [True, False], ids=["named by Jupyter", "found by its cells"])
def test_a_saved_notebook_is_recorded_without_a_word(
    project: Project, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = notebook("import gitexp", "%time x = 1\n" + RUN)  # IPython's own history has no magics
    file = project.write("book.ipynb", nbformat.writes(book))
    project.write("other.ipynb", nbformat.writes(notebook("other = 1")))
    if known:
        monkeypatch.setenv("JPY_SESSION_NAME", str(file))
    assert "gitexp" not in execute(project, book)
    assert gitexp.get("exp-1").read("book.ipynb") == file.read_bytes()
    assert gitexp.get("exp-1").command == "jupyter notebook book.ipynb"


def test_a_notebook_that_was_not_saved_is_named_and_recorded_as_it_is_on_disk(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project.write(
        "book.ipynb", nbformat.writes(notebook("import gitexp", "# the run comes here"))
    )
    monkeypatch.setenv("JPY_SESSION_NAME", str(file))
    said = execute(project, notebook("import gitexp", RUN))
    assert (
        "gitexp: book.ipynb was not saved since its cell changed; the run records it as it is on disk"
        in said
    )
    assert gitexp.get("exp-1").read("book.ipynb") == file.read_bytes()
    assert "book.ipynb was not saved" in project.git(
        "log", "-1", "--format=%(trailers:key=Gitexp-Notebook)", "exp-1"
    )


def test_vs_codes_variable_names_the_notebook_also_outside_the_kernels_folder(
    project: Project,
) -> None:
    file = project.write("deep/book.ipynb", nbformat.writes(notebook("nothing = 1")))
    said = execute(project, notebook(f"import gitexp\n__vsc_ipynb_file__ = {str(file)!r}", RUN))
    assert "gitexp: book.ipynb was not saved" in said


def test_a_notebook_whose_file_nobody_names_is_asked_to_be_saved(project: Project) -> None:
    said = execute(project, notebook("import gitexp", RUN))
    assert "this notebook's file is not known" in said
    assert gitexp.get("exp-1").status == "finished"


def test_a_notebook_kept_as_text_counts_as_saved_where_it_holds_the_cell(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project.write("book.py", f"# %%\nimport gitexp\n\n# %%\n{RUN}\n")
    monkeypatch.setenv("JPY_SESSION_NAME", str(file))
    assert "gitexp" not in execute(project, notebook("import gitexp", RUN))


def test_the_example_is_a_notebook_that_any_jupyter_opens() -> None:
    nbformat.validate(json.loads((ROOT / "examples/notebook.ipynb").read_text()))


def test_a_run_is_shown_and_what_is_shown_follows_it(project: Project) -> None:
    project.commit("start", train_py="x = 1")
    book = notebook(
        "import gitexp, time\nrun = gitexp.start_run()\ngitexp.show(0.1)",
        "run.log_metric('loss', 0.125)\ntime.sleep(2)\nrun.end()\ntime.sleep(1)",
    )
    execute(project, book)
    (shown,) = [one for one in book.cells[0].outputs if "text/html" in one.get("data", {})]
    assert "0.125" in shown["data"]["text/html"]
    assert "exp-1" in shown["data"]["text/html"]
