"""``gitexp run`` reads the results of scripts that nobody adapted, and keeps their files with their
own run."""

from __future__ import annotations

import sys

import pytest

import gitexp
from conftest import Project
from gitexp.formats import readers
from gitexp.formats.errors import FormatError


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        (
            "metrics.csv",
            "epoch,step,a,b\n0,9,1,\n0,19,,2\n1,29,NA,3\n",
            {"a": [(9, 1)], "b": [(19, 2), (29, 3)]},
        ),
        (
            "results.csv",
            "  epoch,  x/y(B)\n  1,  0.5\n  2,  0.7\n  3\n",
            {"x/y(B)": [(1, 0.5), (2, 0.7)]},
        ),
        ("learn_error.tsv", "iter\tRMSE\n0\t2\n1\t1\n", {"RMSE": [(0, 2), (1, 1)]}),
        ("metrics.csv", 'Name,Value,Timestamp,Step\n"a",0.5,1,7\r\n', {"a": [(7, 0.5)]}),
        (
            "metrics.json",
            '{"acc": 0.9, "v": {"f1": 1}, "by": "me"}',
            {"acc": [(0, 0.9)], "v.f1": [(0, 1)]},
        ),
        (
            "metrics.json",
            '{"loss": {"steps": [3, 5], "values": [2, 1]}}',
            {"loss": [(3, 2), (5, 1)]},
        ),
        (
            "trainer_state.json",
            '{"log_history": [{"epoch": 0.5, "step": 4, "loss": 1}]}',
            {"loss": [(4, 1)]},
        ),
        (
            "log.jsonl",
            '{"step": 1, "loss": 2}\n{"step": 2, "loss": 1}\n{"st',
            {"loss": [(1, 2), (2, 1)]},
        ),
        ("scores.yaml", "acc: 1e-3\n", {"acc": [(0, 0.001)]}),
        ("plots/metrics/train/loss.tsv", "step\tloss\n0\t2\n", {"train/loss": [(0, 2)]}),
    ],
)
def test_each_form_is_read(
    path: str, text: str, wanted: dict[str, list[tuple[int, float]]]
) -> None:
    series: dict[str, list[tuple[int, float]]] = {}
    for point in readers.read_metrics(path, text.encode()).points:
        series.setdefault(point.name, []).append((point.step, point.value))
    assert series == wanted


def test_what_is_no_form_is_refused() -> None:
    with pytest.raises(FormatError):
        readers.read_metrics("metrics.json", b"{")


def test_printed_metrics_are_read_and_nothing_else() -> None:
    text = "step 3 | loss 0.5 | acc 0.9\nfoo 12:30\nlr: 0.1\n10%| loss=9\rloss=1\nloaded 5 files\n"
    found = [(point.name, point.step, point.value) for point in readers.read_output(text)]
    assert found == [("loss", 3, 0.5), ("acc", 3, 0.9), ("loss", 4, 1)]


def test_outputs_belong_to_the_run_that_wrote_them(project: Project) -> None:
    project.write("t.py", "import sys; open(f'out-{sys.argv[1]}.txt', 'w').write(sys.argv[1])")
    for run in "12":
        project.run("run", "--", sys.executable, "t.py", run)
    for mine, other in (("1", "2"), ("2", "1")):
        files = project.git("ls-tree", "-r", "--name-only", f"exp-{mine}").splitlines()
        assert f".gitexp/artifacts/out-{mine}.txt" in files
        assert not [path for path in files if f"out-{other}" in path]


def test_a_result_that_git_has_is_recorded_as_it_ended_and_code_as_it_began(
    project: Project,
) -> None:
    project.commit(**{"metrics.json": '{"a": 1}', "t.py": "x = 1\n"})
    script = "open('metrics.json', 'w').write('{\"a\": 2}'); open('t.py', 'w').write('x = 2')"
    done = project.run("run", "--", sys.executable, "-c", script)
    assert project.git("show", "exp-1:metrics.json") == '{"a": 2}'
    assert project.git("show", "exp-1:t.py") == "x = 1"
    assert "changed by the command, recorded as at the start: t.py" in done.stderr
    assert gitexp.get("exp-1").metrics["a"] == 2


def test_caches_and_environments_are_no_sources(project: Project) -> None:
    for path in (
        "a/__pycache__/b.pyc",
        ".ipynb_checkpoints/n.ipynb",
        ".DS_Store",
        "env/pyvenv.cfg",
        "env/x.py",
    ):
        project.write(path, "x")
    project.run("log", "-M", "a=1")
    files = project.git("ls-tree", "-r", "--name-only", "exp-1")
    assert not [
        word
        for word in ("pyc", "ipynb", "DS_Store", "env/")
        if word in files.replace(".gitexp/", "")
    ]


def test_a_run_without_results_says_so(project: Project) -> None:
    done = project.run("run", "--", sys.executable, "-c", "print('done')")
    assert "no metric found" in done.stderr
