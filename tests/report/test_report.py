"""What a report holds, and the commands around it: plot, compare, leaderboard, gate, and the
difference of two as HTML."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import os
import re
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project
from gitexp.cli.markdown import with_block
from gitexp.compare.gate import Allowance, parse_allowance
from gitexp.compare.importance import importance
from gitexp.formats import settings
from gitexp.formats.errors import UsageError
from gitexp.repo import Repo
from gitexp.report import curves, data, page
from gitexp.store.index import Index
from recording import record


def block(html: str, name: str) -> Any:
    """Return the data of a compressed block of a page."""
    packed = re.search(rf'id="block-{name}">([^<]*)<', html)
    assert packed
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def collected(project: Project) -> data.Report:
    repo = Repo.discover(project.root)
    return data.collect(repo, settings.load(repo.root), Index(repo).select())


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("git@github.com:ada/house.git", "https://github.com/ada/house/commit/{}"),
        ("https://ada:token@dagshub.com/ada/house.git", "https://dagshub.com/ada/house/commit/{}"),
        ("https://gitlab.example.org/group/sub/house", "https://gitlab.example.org/group/sub/house/-/commit/{}"),
        ("ssh://git@bitbucket.org:22/ada/house.git", "https://bitbucket.org/ada/house/commits/{}"),
        ("http://localhost:3000/ada/house.git", "http://localhost:3000/ada/house/commit/{}"),
        ("/srv/git/house.git", None),
        ("C:\\git\\house", None),
        ("https://evil.example/\"onclick=alert(1)/x", None),
        (None, None),
    ],
)  # fmt: skip
def test_a_commit_links_to_its_page_on_the_host_and_no_password_gets_into_it(
    remote: str | None, page: str | None
) -> None:
    assert data.commit_page(remote) == page


def test_thinning_keeps_the_ends_the_peak_and_the_first_gap() -> None:
    values = [math.sin(at / 300) for at in range(10_000)]
    values[5_432], values[7_000] = 50.0, math.nan
    steps, times, kept = curves.lttb(([*range(10_000)], [*range(0, 20_000, 2)], values), 100)
    assert len(steps) <= 101
    assert (steps[0], steps[-1]) == (0, 9_999)
    assert 50.0 in kept
    assert sum(math.isnan(value) for value in kept) == 1
    assert times == [2 * step for step in steps]


def test_short_curves_are_not_thinned() -> None:
    series = ([0, 1, 2], [0, 5, 9], [1.0, math.inf, 3.0])
    assert curves.lttb(series, 20) == series


def test_curves_fit_the_budget_and_say_so(project: Project) -> None:
    record(project, metrics={"loss": [1 / (step + 1) for step in range(500)]})
    experiments = Index(Repo.discover(project.root)).select()
    made = curves.collect(Repo.discover(project.root), experiments, budget=50)
    assert (made["all"], made["kept"]) == (500, 50)
    steps, _, values = json.loads(made["experiments"][0])["loss"]
    assert sum(steps) == 499
    assert values[0] == 1.0


def test_files_are_told_by_their_difference_from_the_newest(project: Project) -> None:
    for at in (1, 2, 2):
        project.write("train.py", f"lr = {at}\n")
        record(project, {"lr": at}, {"rmse": at})
    made = collected(project).details["files"]
    assert made["paths"] == ["train.py"]
    assert [len(tree) for tree in made["trees"]] == [0, 0, 1]
    assert [made["blobs"][number]["text"] for number in (made["base"][0], made["trees"][2][0])] == [
        "lr = 2\n",
        "lr = 1\n",
    ]


def test_a_large_file_and_a_binary_one_are_named_with_their_size(project: Project) -> None:
    for at in (1, 2):
        project.write("model.bin", bytes([0, 255, at]) * 10)
        project.write("big.txt", f"{at}" * 500_000)
        record(project, {"at": at})
    made = collected(project).details["files"]
    assert made["paths"] == ["big.txt", "model.bin"]
    assert sorted(blob["size"] for blob in made["blobs"]) == [30, 30, 500_000, 500_000]
    assert not any("text" in blob or "image" in blob for blob in made["blobs"])


def test_importance_finds_the_param_that_matters(project: Project) -> None:
    for at in range(8):
        record(
            project,
            {"lr": at, "noise": at % 2, "name": "ab"[at % 2], "same": 1},
            {"rmse": 10.0 - at},
            started=datetime(2026, 1, 1 + at, tzinfo=timezone.utc),
        )
    found = importance(Index(Repo.discover(project.root)).select(), "rmse")
    assert found[0].param == "lr"
    assert found[0].correlation == -1.0
    assert {item.param for item in found} == {"lr", "noise", "name"}


def test_a_page_keeps_numbers_that_json_has_no_word_for(project: Project) -> None:
    pytest.importorskip("jinja2")
    record(
        project,
        {"lr": math.inf, "list": [1, "a"], "none": None},
        {"rmse": math.nan, "loss": -math.inf},
    )
    project.gitexp("report", "-o", "r.html")
    html = (project.root / "r.html").read_text()
    table = json.loads(re.search(r'id="data">(.*?)</script>', html)[1])  # type: ignore[index]
    assert table["params"] == {"lr": ["inf"], "list": ['[1, "a"]'], "none": ["null"]}
    assert table["metrics"] == {"rmse": ["nan"], "loss": ["-inf"]}


def test_a_page_allows_just_its_own_script(project: Project) -> None:
    pytest.importorskip("jinja2")
    record(
        project,
        {"x": "</script><script>alert(1)</script>\u2028\u202e"},
        {"rmse": 1.0},
        title="<b>\u202e",
    )
    project.gitexp("report", "-o", "r.html", "--title", "<i>\u202e")
    html = (project.root / "r.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]  # type: ignore[index]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1]  # type: ignore[index]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert html.count("<script>") == 1
    assert "alert(1)</script>" not in html
    assert "\u202e" not in html
    assert "&lt;i&gt;[U+202E]" in html
    assert block(html, "messages")[0]["trailers"]["Status"] == "finished"


def test_a_report_of_the_chosen_and_its_errors(project: Project) -> None:
    pytest.importorskip("jinja2")
    assert "no experiment" in project.error("report", code=3)
    for at in (1, 2, 3):
        record(project, {"lr": at}, {"rmse": at})
    done = project.run("report", "--where", "lr > 1", "-o", "some.html")
    assert done.stderr.startswith("wrote some.html: 2 experiments")
    assert "no experiment matches" in project.error("report", "--where", "lr > 9", code=3)
    assert "cannot be written" in project.error("report", "-o", "nowhere/r.html")
    assert not [*project.root.glob(".*.part")]


def test_a_report_is_no_source_and_no_secret(project: Project) -> None:
    record(project, {"lr": 1}, {"rmse": 1})
    project.gitexp("report")
    done = project.run("diff")
    assert done.returncode == 0, done.stderr
    assert "not compared" not in done.stderr
    assert "left out" not in project.run("log", "-M", "rmse=2").stderr
    assert "report.html" not in project.git("ls-tree", "-r", "--name-only", "exp-2")


def test_markdown_compares_with_a_base_and_shows_hostile_text_as_text(project: Project) -> None:
    record(project, {"opt": "a|b", "seed": 1}, {"rmse": 2.0})
    record(project, {"opt": "<img src=x>[a](b)", "seed": 1}, {"rmse": 1.5})
    printed = project.gitexp("report", "exp-1..exp-2", "--md", "--against", "exp-1")
    assert "### 2 experiments, against exp-1" in printed
    assert "1.5 (-0.5 ✓)" in printed
    assert "a\\|b" in printed
    assert "&lt;img src=x&gt;\\[a\\](b)" in printed
    assert "seed" not in printed  # the same in all
    assert "belongs to --md" in project.error("report", "--against", "exp-1")


def test_compare_shows_what_differs_with_the_best_marked(project: Project) -> None:
    record(project, {"lr": 0.1, "seed": 1}, {"rmse": 2.0, "accuracy": 0.5})
    record(project, {"lr": 0.2, "seed": 1}, {"rmse": 1.0, "accuracy": 0.4})
    lines = project.gitexp("compare", "1", "2").splitlines()
    assert lines[0].split() == ["exp-1", "exp-2"]
    assert [line.split() for line in lines if line.startswith(("lr", "rmse", "accuracy"))] == [
        ["lr", "0.1", "0.2"],
        ["rmse", "2.0", "1.0", "★"] if "2.0" in lines[-2] else ["rmse", "2", "1", "★"],
        ["accuracy", "0.5", "★", "0.4"],
    ]  # fmt: skip
    assert "seed" not in "".join(lines)
    assert "seed" in project.gitexp("compare", "1", "2", "--same")
    assert "params.lr,0.1,0.2" in project.gitexp("compare", "1", "2", "--csv").splitlines()
    assert "two experiments or more" in project.error("compare", "1")


@pytest.mark.parametrize("kind", ["curves", "scatter", "parallel", "importance", "bars"])
def test_a_chart_is_drawn_whatever_it_is_called(project: Project, kind: str) -> None:
    pytest.importorskip("matplotlib")
    for at in range(1, 4):
        record(project, {"$l_r": at / 10, "opt": "ab"[at % 2]}, {"ä$x^{": [1.0, 1 / at]})
    project.gitexp("plot", kind, "-m", "ä$x^{", "-x", "$l_r", "-o", "chart.svg")
    assert (project.root / "chart.svg").read_text().startswith("<?xml")
    project.gitexp("plot", kind, "-m", "ä$x^{", "-x", "opt", "-o", "chart.PNG")
    assert (project.root / "chart.PNG").read_bytes().startswith(b"\x89PNG")


def test_a_file_below_a_file_is_refused_in_a_line(project: Project) -> None:
    record(project, metrics={"rmse": 1.0})
    for args in (["report", "-o"], ["leaderboard", "-m", "rmse"], ["export", "csv", "-o"]):
        assert "README.md/x cannot be written: Not a directory" in project.error(
            *args, "README.md/x"
        )
    for args in (["get", "1", "README.md", "-o", "README.md/x"], ["book", "x" * 300]):
        assert project.error(*args).endswith("; check the path")


def test_a_folder_whose_name_is_not_utf8_has_a_report(project: Project) -> None:
    record(project, metrics={"rmse": 1.0})
    there = Project(project.root.rename(project.root.parent / "caf\udce9"))
    there.gitexp("report", "-o", "report.html")
    assert "<title>caf? " in (there.root / "report.html").read_text()


def test_a_chart_that_cannot_be_drawn_says_why(project: Project) -> None:
    pytest.importorskip("matplotlib")
    record(project, {"lr": 1}, {"rmse": 1.0})
    assert "must end with" in project.error("plot", "bars", "-m", "rmse", "-o", "chart.txt")
    assert "needs an x axis: -x PARAM" in project.error(
        "plot", "scatter", "-m", "rmse", "-o", "chart.png"
    )
    assert "need two experiments" in project.error(
        "plot", "parallel", "-m", "rmse", "-o", "chart.png"
    )
    assert "'rsme'. Did you mean 'rmse'?" in project.error(
        "plot", "bars", "-m", "rsme", "-o", "chart.png", code=3
    )
    assert not (project.root / "chart.png").exists()


def test_a_leaderboard_is_replaced_in_place(project: Project) -> None:
    record(project, {"lr": 0.1, "opt": "<!-- /gitexp:leaderboard -->"}, {"rmse": 2.0})
    project.write(
        "BOARD.md",
        "before\n\n<!-- gitexp:leaderboard rmse -->\nold\n<!-- /gitexp:leaderboard -->\n\nafter\n",
    )
    project.gitexp("leaderboard", "-m", "rmse", "BOARD.md")
    project.gitexp("leaderboard", "-m", "rmse", "BOARD.md", "--check")
    record(project, {"lr": 0.2, "opt": "x"}, {"rmse": 1.0})
    check = ("leaderboard", "-m", "rmse", "BOARD.md", "--check", "--all", "-w", "lr < 1")
    said, _, call = project.error(*check, code=1).rpartition("to bring it up to date: ")
    assert "out of date" in said
    project.type(call)
    project.gitexp(*check)
    text = (project.root / "BOARD.md").read_text()
    assert text.startswith("before\n\n<!-- gitexp:leaderboard rmse -->\n| #")
    assert text.endswith("|\n<!-- /gitexp:leaderboard -->\n\nafter\n")
    assert text.index("exp-2") < text.index("exp-1")
    assert text.count("old") == 0


def test_a_file_without_a_leaderboard_gets_it_at_the_end() -> None:
    assert (
        with_block("# Title\n", "leaderboard a-->b", "T")
        == "# Title\n\n<!-- gitexp:leaderboard a--b -->\nT\n<!-- /gitexp:leaderboard -->\n"
    )


def test_a_gate_lets_through_what_is_no_worse_than_allowed(project: Project) -> None:
    record(project, {}, {"rmse": 100.0})
    record(project, {}, {"rmse": 101.0})
    assert (
        project.gitexp("gate", "2", "-m", "rmse", "--against", "1", "--max-regression", "1%")
        == "passed: exp-2 has rmse=101, exp-1 has 100\n"
    )
    said = project.error(
        "gate", "2", "-m", "rmse", "--against", "1", "--max-regression", "0.5%", code=1
    )
    assert said == "exp-2 has rmse=101: it is worse than exp-1 (100) by 1 (1%), and 0.5% is allowed"
    record(project, {}, {"rmse": 1600})
    assert "by 1500, and 0" in project.error("gate", "3", "-m", "rmse", "--against", "1", code=1)
    assert "it is above 100.5" in project.error("gate", "2", "-m", "rmse", "--max", "100.5", code=1)
    assert "something to compare with" in project.error("gate", "-m", "rmse")
    assert "is not an allowance" in project.error(
        "gate", "-m", "rmse", "--max", "1", "--max-regression", "lots"
    )
    shown = json.loads(project.run("gate", "2", "-m", "rmse", "--against", "1", "--json").stdout)
    assert shown[0]["passed"] is False
    assert shown[0]["worse_by"] == 1.0


def test_a_gate_finds_the_branch_s_own_experiment_and_the_base_s(project: Project) -> None:
    record(project, {}, {"rmse": 1.0})
    project.git("checkout", "-qb", "try")
    record(project, {}, {"rmse": 2.0})
    assert "exp-2 has rmse=2: it is worse than exp-1 (1)" in project.error(
        "gate", "-m", "rmse", "--against", "main", code=1
    )
    record(project, {}, {"rmse": 0.5}, advance=False)  # stands beside the branch
    assert project.gitexp("gate", "-m", "rmse", "--against", "main").startswith("passed: exp-3")
    project.git("checkout", "-q", "main")
    assert "that main has not" in project.error("gate", "-m", "rmse", "--against", "main", code=3)


def test_a_gate_names_a_newer_run_that_failed_before_it_had_the_metric(project: Project) -> None:
    record(project, {}, {"rmse": 1.0})
    project.run("run", "--", sys.executable, "-c", "raise SystemExit(3)")
    done = project.run("gate", "-m", "rmse", "--max", "2")
    assert "passed: exp-1" in done.stdout
    assert "exp-2, which is newer and failed, has no 'rmse'" in done.stderr
    project.run("run", "--", sys.executable, "-c", "print('rmse=1'); raise SystemExit(3)")
    done = project.run("gate", "-m", "rmse", "--max", "2")
    assert ("passed: exp-3" in done.stdout, "newer" in done.stderr) == (True, False)


def test_nan_passes_no_gate(project: Project) -> None:
    record(project, {}, {"rmse": 1.0})
    record(project, {}, {"rmse": math.nan})
    assert "it is not a number" in project.error(
        "gate", "2", "-m", "rmse", "--against", "1", code=1
    )
    assert "nothing can be measured against" in project.error(
        "gate", "1", "-m", "rmse", "--against", "2"
    )


@pytest.mark.parametrize(
    "call",
    ["agent init", "leaderboard -m rmse", "book", "diff 1 2 --html", "report -o", "export csv -o"],
)
def test_a_place_that_takes_no_file_is_said(project: Project, call: str) -> None:
    """With no option that the command has not."""
    for value in (1.0, 2.0):
        record(project, {}, {"rmse": value})
    project.write("plain", "")
    for folder in ("nodir", "plain"):
        said = project.error(*call.split(), f"{folder}/X.md")
        assert said.startswith(f"{folder}/X.md cannot be written: ")
        assert said.endswith("choose another place")


@pytest.mark.parametrize("bound", ["nan", "NaN", "inf", "-inf", "1e999", ""])
def test_a_bound_that_is_no_number_is_refused(project: Project, bound: str) -> None:
    """A threshold that CI computed wrongly, or not at all, must not keep it green."""
    for value in (1.0, 2.0):
        record(project, {}, {"rmse": value})
    for call in (
        ("gate", "1", "-m", "rmse", "--max", bound),
        ("gate", "1", "-m", "rmse", "--min", bound),
        ("gate", "2", "-m", "rmse", "--against", "1", "--max-regression", bound),
        ("bisect", "1", "2", "-m", "rmse", "--max", bound),
        ("reproduce", "1", "--tolerance", f"rmse={bound}"),
        ("watch", "--every", bound),
    ):
        assert project.error(*call)


def test_an_unknown_direction_is_asked_for(project: Project) -> None:
    for value in (1.0, 2.0):
        record(project, {}, {"thing": value})
    assert "--direction" in project.error("gate", "2", "-m", "thing", "--against", "1")
    assert project.gitexp(
        "gate", "2", "-m", "thing", "--against", "1", "--direction", "max"
    ).startswith("passed")


def test_allowances() -> None:
    assert parse_allowance("1%") == Allowance(0.01, True)
    assert parse_allowance(" .5 ") == Allowance(0.5, False)
    with pytest.raises(UsageError):
        parse_allowance("-1%")


def test_diff_tells_notebooks_by_cell_tables_by_row_and_binaries_by_size(project: Project) -> None:
    pytest.importorskip("nbdime")

    def write(at: int) -> None:
        cell = {
            "cell_type": "code",
            "id": "a",
            "source": f"x = {at}",
            "outputs": [],
            "metadata": {},
            "execution_count": at,
        }
        project.write(
            "look.ipynb",
            json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}),
        )
        project.write(
            "scores.csv",
            "name,score\nann,1\n" + (f"bob,{at}\n" if at == 1 else f"bob,{at}\ncy,3\n"),
        )
        project.write("weights.bin", bytes(at * 1000))
        record(project, {"at": at})

    write(1)
    write(2)
    printed = project.gitexp("diff", "1", "2", "--cells")
    assert "-  x = 1" in printed
    assert "+  x = 2" in printed
    assert "row 2: score 1 -> 2" in printed
    assert "row 3 added: cy, 3" in printed
    assert "1.0 kB -> 2.0 kB" in printed or "1 kB -> 2 kB" in printed


def test_diff_as_html_needs_two_experiments(project: Project) -> None:
    record(project, {"lr": 1})
    assert "name both" in project.error("diff", "1", "--html", "x.html")


def test_an_experiment_and_a_run_show_as_cards_in_a_notebook(project: Project) -> None:
    import gitexp

    made = record(project, {"<b>": "<script>"}, {"rmse": 1.25})
    assert "<script>" not in made._repr_html_()
    assert "&lt;script&gt;" in made._repr_html_()
    with gitexp.start_run() as run:
        run.log_metric("loss", 0.5)
        run.log_param("lr", 0.1)
        card = run._repr_html_()
    assert "loss" in card
    assert "0.1" in card
    assert "exp-2" in run._repr_html_()


def test_many_experiments_are_read_with_few_processes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(12):
        record(project, {"lr": at}, {"loss": [1.0, 0.5]})
    repo = Repo.discover(project.root)
    experiments = Index(repo).select()
    calls: list[str] = []
    run = Repo.git

    def counted(self: Repo, *args: str, **options: Any) -> bytes:
        calls.append(args[0])
        return run(self, *args, **options)

    monkeypatch.setattr(Repo, "git", counted)
    data.collect(repo, settings.load(repo.root), experiments)
    assert len(calls) < 15


def test_the_page_s_files_are_part_of_the_package() -> None:
    from importlib.resources import files

    assets = Path(str(files("gitexp.report") / "assets"))
    assert all((assets / name).is_file() for name in ("report.html", "report.css"))
    scripts = {path.stem: path.read_text() for path in (assets / "js").glob("*.js")}
    assert sorted(scripts) == sorted(page._SCRIPTS)  # none is left out of the page
    assert max(len(text.splitlines()) for text in scripts.values()) <= 400
    assert sum(map(len, scripts.values())) < 200_000


@pytest.mark.parametrize(
    ("package", "extra", "command"),
    [
        ("jinja2", "report", ("report",)),
        ("jinja2", "report", ("plot", "curves", "-m", "rmse", "-o", "a.html")),
        ("matplotlib", "report", ("plot", "curves", "-m", "rmse", "-o", "a.png")),
        ("pyarrow", "parquet", ("export", "parquet", "-o", "a.parquet")),
        ("mlflow", "mlflow", ("ui", "--mlflow")),
    ],
)
def test_a_missing_extra_is_said_before_any_work(
    project: Project, tmp_path: Path, package: str, extra: str, command: tuple[str, ...]
) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / f"{package}.py").write_text("raise ImportError\n")
    gitexp.log(metrics={"rmse": 1})
    path = f"{tmp_path / 'without'}{os.pathsep}{Path(__file__).parents[2]}"
    said = project.error(*command, env={"PYTHONPATH": path})
    assert re.search(rf"pip install .*\[{extra}\]", said)
    assert not (project.root / ".git" / "gitexp" / "index.sqlite").exists()


def test_only_who_asks_for_the_forest_waits_for_it(project: Project) -> None:
    for at in range(9):
        gitexp.log({"lr": at}, {"rmse": at * 2})
    for options, imported in (([], False), (["--forest"], True)):
        done = project.run("report", *options, env={"PYTHONPROFILEIMPORTTIME": "1"})
        assert (done.returncode, "sklearn.ensemble" in done.stderr) == (0, imported)
