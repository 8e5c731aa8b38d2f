"""``gitexp list`` and ``gitexp.experiments()``: what they show, in which form, and how little they
load for it."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.cli import output
from gitexp.formats.errors import UsageError
from recording import record

HEAVY = {"pandas", "numpy", "dagshub", "git", "yaml", "tabulate", "portalocker", "detect_secrets"}


def three(project: Project) -> None:
    """Record three experiments that differ in lr, depth and rmse, and agree in seed; their ages are
    those at the call."""
    now = datetime.now(timezone.utc)
    record(
        project,
        {"lr": 0.1, "model.depth": 3, "seed": 1},
        {"rmse": 20.123456789},
        now - timedelta(hours=3),
    )
    record(
        project,
        {"lr": 0.01, "model.depth": 3, "seed": 1},
        {"rmse": 18.5},
        now - timedelta(hours=2, minutes=1),
        labels=("conv",),
    )
    record(
        project,
        {"lr": 0.001, "model.depth": 10, "seed": 1},
        {"rmse": 17},
        now - timedelta(minutes=5),
        duration=75,
        title="A third try",
    )


def on_terminal(project: Project, *args: str, columns: int = 100) -> str:
    """Run gitexp on a pseudo-terminal of that width and return all that it prints, stderr
    included."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "COLUMNS": str(columns),
        "LINES": "50",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "gitexp", *args],
        cwd=project.root,
        stdout=theirs,
        stderr=theirs,
        stdin=theirs,
        env=env,
    )
    os.close(theirs)
    output = b""
    try:
        while chunk := os.read(ours, 65536):
            output += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0, output
    return output.decode().replace("\r\n", "\n")


def test_a_pipe_gets_every_column(project: Project) -> None:
    three(project)
    assert project.gitexp("list") == (
        "name   started  duration  labels    rmse     lr  model.depth  seed  subject\n"
        "exp-3  5m ago      1m15s              17  0.001           10     1  A third try\n"
        "exp-2  2h ago             conv      18.5   0.01            3     1\n"
        "exp-1  3h ago                     20.123    0.1            3     1\n"
    )


def test_a_terminal_gets_what_varies_and_fits(project: Project) -> None:
    three(project)
    assert on_terminal(project, "ls", columns=56) == (
        "name   started  duration  labels    rmse     lr\n"
        "exp-3  5m ago      1m15s              17  0.001\n"
        "exp-2  2h ago             conv      18.5   0.01\n"
        "exp-1  3h ago                     20.123    0.1\n"
        "the same wherever they are: seed=1; no room for: model.depth, subject"
        " (--columns picks, --all-columns shows all)\n"
    )


def test_what_is_sorted_by_is_never_dropped(project: Project) -> None:
    three(project)
    shown = on_terminal(project, "list", "--sort", "model.depth", columns=30)
    assert shown.splitlines()[0].split() == ["name", "started", "model.depth"]


def test_everything_can_be_asked_for_on_a_terminal(project: Project) -> None:
    three(project)
    assert "seed" in on_terminal(project, "list", "--no-only-varying", columns=200).splitlines()[0]
    header = on_terminal(project, "list", "--all-columns", columns=40).splitlines()[0].split()
    assert {"name", "id", "command", "email", "seed", "rmse", "subject"} <= set(header)


def test_where_sort_limit_and_refs(project: Project) -> None:
    three(project)

    def names(*args: str) -> list[str]:
        return [item["name"] for item in json.loads(project.gitexp("list", "--json", *args))]

    assert names("--where", "lr < 0.1 and label is missing") == ["exp-3"]
    assert names("--sort", "rmse", "-n", "2") == ["exp-3", "exp-2"]
    assert names("1", "@") == ["exp-3", "exp-1"]
    assert names("1..2", "--where", "rmse < 19") == ["exp-2"]


def test_json_and_csv_have_full_precision(project: Project) -> None:
    three(project)
    record(
        project,
        {"layers": [1, 2], "x": None},
        {"rmse": float("nan"), "up": float("inf")},
        advance=False,
    )
    first, *_, last = json.loads(project.gitexp("list", "--json"))
    assert last["metrics"] == {"rmse": 20.123456789}
    assert last["params"] == {"lr": 0.1, "model.depth": 3, "seed": 1}
    assert (last["status"], last["labels"], last["author"]) == ("finished", [], "Ada")
    assert (first["metrics"], first["params"]) == (
        {"rmse": "nan", "up": "inf"},
        {"layers": [1, 2], "x": None},
    )
    rows = list(csv.DictReader(io.StringIO(project.gitexp("list", "--csv"))))
    assert rows[-1]["metrics.rmse"] == "20.123456789"
    assert (rows[0]["params.layers"], rows[0]["metrics.up"], rows[2]["labels"]) == (
        "[1, 2]",
        "inf",
        "conv",
    )
    assert "| exp-1  |" in project.gitexp("list", "--md")


def test_columns_are_picked(project: Project) -> None:
    three(project)
    assert project.gitexp("list", "-n", "1", "--columns", "lr,name,lr").splitlines()[0].split() == [
        "name",
        "lr",
    ]
    assert (
        project.gitexp("list", "-n", "1", "--columns", "rmse,lr", "--csv") == "rmse,lr\n17,0.001\n"
    )
    assert json.loads(project.gitexp("list", "1", "-c", "params.lr", "--json")) == [
        {"name": "exp-1", "lr": 0.1}
    ]
    assert project.gitexp("list", "1", "-c", "branch") == "name   branch\nexp-1  main\n"
    assert "Did you mean 'rmse'" in project.error("list", "--columns", "rmsee")


def test_a_metric_and_a_param_of_one_name_are_told_apart(project: Project) -> None:
    record(project, {"loss": "mse"}, {"loss": 0.5})
    assert project.gitexp("list").splitlines()[0].split() == [
        "name",
        "started",
        "metrics.loss",
        "params.loss",
    ]
    assert "write metrics.loss or params.loss" in project.error("list", "--where", "loss < 1")


def test_hints_about_odd_names_can_be_typed(project: Project) -> None:
    record(project, {"a b": 1, "it's": 2}, {"a b": 2.0, "it's": 3.0, 'q"x"': 4.0})
    for name in ("'a b'", "'it''s'"):
        said = project.error("list", "--where", f"{name} > 1")
        hint = re.search(r"write (.+) or params", said.replace("'params", "params"))
        assert hint
        assert len(project.gitexp("list", "--where", f"{hint[1]} > 1").splitlines()) == 2
    hint = re.search(r"set (.+) \(or .+\) in", project.error("best", 'q"x"'))
    assert hint
    project.write("pyproject.toml", f"[tool.gitexp.metrics]\n{hint[1]}\n")
    assert "exp-1" in project.gitexp("best", 'q"x"')


def test_status_is_shown_only_where_something_went_wrong(project: Project) -> None:
    record(project)
    assert "status" not in project.gitexp("list")
    record(project, status="killed")
    assert "killed" in project.gitexp("list")


def test_groups_show_the_mean_and_the_spread_of_their_metrics(project: Project) -> None:
    for depth, rmse in ((3, 10.0), (3, 12.0), (5, 4.0)):
        record(project, {"depth": depth}, {"rmse": rmse, **({"acc": 1.0} if rmse == 12 else {})})
    assert project.gitexp("list", "--group-by", "depth", "--sort", "rmse") == (
        "depth  n  rmse      acc\n"
        "    5  1  4\n"
        "    3  2  11 ± 1.4  1 (1)\n"
    )  # fmt: skip
    best, _ = json.loads(
        project.gitexp("list", "--group-by", "depth", "--sort", "rmse:desc", "--json")
    )
    assert best["group"] == {"depth": 3}
    assert best["metrics"]["rmse"] == {"mean": 11.0, "std": pytest.approx(2**0.5), "n": 2}
    assert (
        project.gitexp("list", "-g", "depth", "-c", "acc", "--csv")
        == "depth,n,acc.mean,acc.std,acc.n\n5,1,,,\n3,2,1.0,,1\n"
    )
    assert "groups can be sorted by" in project.error("list", "-g", "depth", "--sort", "started")


def test_experiments_of_others_are_listed_on_demand(project: Project) -> None:
    found = record(project, {}, {"rmse": 1})
    project.git("update-ref", "refs/gitexp/remotes/origin/exp-9", found.tag)
    project.git("tag", "-d", "exp-1")
    done = project.run("list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "gitexp list --all" in done.stderr
    assert "origin/exp-9" in project.gitexp("list", "--all")
    assert "origin/exp-9" in project.gitexp("list", "origin/exp-9")


def test_what_was_pushed_is_listed_once(project: Project) -> None:
    for remote in ("origin", "backup"):
        project.git(
            "update-ref",
            f"refs/gitexp/remotes/{remote}/exp-1",
            record(project, name=f"for-{remote}").tag,
        )
    project.git("tag", "-d", "for-backup")
    project.git(
        "update-ref", "refs/gitexp/remotes/mirror/exp-1", "refs/gitexp/remotes/backup/exp-1"
    )
    assert [item["name"] for item in json.loads(project.gitexp("list", "--all", "--json"))] == [
        "backup/exp-1",
        "for-origin",
    ]
    assert list(gitexp.experiments(everybody=True)["name"]) == ["backup/exp-1", "for-origin"]


def test_no_experiment_is_no_error_and_says_what_to_do(empty: Project) -> None:
    done = empty.run("list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "gitexp run" in done.stderr
    assert empty.gitexp("list", "--json") == "[]\n"
    assert list(gitexp.experiments(repo=empty.root))[:2] == ["name", "id"]


def test_text_from_a_repository_cannot_write_over_the_screen(project: Project) -> None:
    record(project, {"a\x1b[2J": "b\x1b[2J"}, {"c\x1b]0;d\x07": 1.0}, title="e\x1b[1A")
    for args in (["list"], ["list", "--md"], ["list", "-g", "branch"], ["show"]):
        assert "\x1b" not in project.gitexp(*args)
    for _ in range(2):
        record(project, metrics={"c\x1b[2J": 1.0, "d\x1b[2J": 1.0})
    asked = project.error("why", "exp-2", "exp-3")
    assert asked.startswith("which metric?")
    assert asked.isprintable()


def test_a_tag_name_that_is_not_utf8_harms_nobody(project: Project) -> None:
    made = record(project, {"lr": 1})
    project.git("update-ref", "refs/tags/caf\udce9", made.tag)
    assert len(json.loads(project.gitexp("list", "--json"))) == 2


def test_a_tag_that_is_no_clean_json_is_no_experiment(project: Project) -> None:
    """Tags come from anybody's remote: NaN as a literal, and half a surrogate pair, are more than
    SQLite and a terminal can take."""
    record(project, {"path": "C:\\udata", "text": "Infinity"}, {"rmse": float("inf")})
    for at, value in enumerate(('"\\ud800"', "NaN", "Infinity", "1}{")):
        line = f'{{"gitexp":1,"status":"finished","started":"2026-01-01T00:00:00.000Z","params":{{"x":{value}}}}}'
        project.git("tag", "-a", f"odd-{at}", "-m", "odd", "-m", line)
    (found,) = json.loads(project.gitexp("list", "--json", "--where", "rmse = inf"))
    assert found["params"] == {"path": "C:\\udata", "text": "Infinity"}


def test_listing_loads_nothing_heavy(project: Project) -> None:
    three(project)
    arguments = ["list", "-n", "20", "--where", "lr < 1", "--sort", "rmse"]
    code = f"import sys, gitexp.cli\ntry: gitexp.cli.main({arguments})\nexcept SystemExit: pass\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        env=_path(),
    )
    assert "exp-3" in done.stdout
    assert not HEAVY & set(done.stderr.split())


def test_a_dataframe_has_one_row_for_each(project: Project) -> None:
    three(project)
    record(
        project,
        {"layers": [1, 2]},
        {"rmse": float("nan"), "acc": float("inf")},
        advance=False,
        group="g",
    )
    frame = gitexp.experiments()
    assert list(frame) == [
        "name", "id", "status", "started", "duration", "author", "branch", "group", "labels",
        "subject",
        "params.layers", "params.lr", "params.model.depth", "params.seed", "metrics.rmse",
        "metrics.acc",
    ]  # fmt: skip
    assert list(frame["name"]) == ["exp-4", "exp-3", "exp-2", "exp-1"]
    assert list(frame["metrics.rmse"])[1:] == [17.0, 18.5, 20.123456789]
    assert frame["metrics.rmse"].isna().tolist() == [True, False, False, False]
    assert frame["metrics.acc"][0] == float("inf")
    assert frame["params.layers"][0] == [1, 2]
    assert str(frame["started"].dtype).endswith("UTC]")
    assert frame["labels"][2] == ("conv",)
    assert list(
        gitexp.experiments(where="lr < 0.1", sort="lr", repo=project.root / ".")["name"]
    ) == ["exp-3", "exp-2"]
    with pytest.raises(UsageError):
        gitexp.experiments(where="lr <")


def test_python_gets_one_experiment(project: Project) -> None:
    three(project)
    found = gitexp.get("best:rmse")
    assert (found.name, found.params["lr"], found.metrics) == ("exp-3", 0.001, {"rmse": 17})
    assert gitexp.get(1).read("train.py") == b"print('training')\n"
    assert list(found.history()["value"]) == [17]
    assert found.commit.hexsha == found.id


def _path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_what_reproduce_found_is_marked_and_data_stays_data(project: Project) -> None:
    from gitexp.repo import Repo
    from gitexp.store import notes

    made = [record(project, {"lr": at}) for at in (1, 2, 3)]
    notes.add(Repo.discover(), [made[0].id], [{"verified": {"verdict": "same"}}])
    notes.add(Repo.discover(), [made[1].id], [{"verified": {"verdict": "drifted"}}])
    lines = project.gitexp("list").splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "exp-3",
        "exp-2 (drifted)",
        "exp-1 (verified)",
    ]
    assert [item["name"] for item in json.loads(project.gitexp("list", "--json"))] == [
        "exp-3",
        "exp-2",
        "exp-1",
    ]


def test_dead_runs_are_mentioned_beside_the_data(project: Project) -> None:
    record(project, {"lr": 1})
    code = "import gitexp, os, signal; gitexp.start_run(); os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    done = project.run("list", "--json")
    assert done.stderr == "1 dead run; to record it: gitexp recover\n"
    assert [item["status"] for item in json.loads(done.stdout)] == ["dead", "finished"]
    assert len(json.loads(project.gitexp("list", "--json", "--where", "lr = 1"))) == 1


def test_a_run_that_goes_on_is_a_row(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    record(project, {"lr": 1}, {"loss": 1})
    monkeypatch.chdir(project.root)
    with gitexp.start_run(params={"model": {"lr": 7}}) as run:
        run.log_metric("loss", 0.5)
        going, done = json.loads(project.gitexp("list", "--json"))
        assert (going["status"], going["params"]) == ("running", {"model.lr": 7})
        assert (going["name"], going["metrics"]) == (run.id, {"loss": 0.5})
        assert done["status"] == "finished"
        assert "running" in project.gitexp("list").splitlines()[1]
        assert len(project.gitexp("list", "-n", "1").splitlines()) == 2


def test_metrics_and_what_is_sorted_by_stay_visible(project: Project) -> None:
    for at in range(3):
        params = {"data": f"{at}" * 200, **({"only": 5} if at == 1 else {})}
        record(project, params, {"aa": at, "zz_a_long_name": at}, labels=("wide" * 20,))
    shown = on_terminal(project, "list", "--sort", "zz_a_long_name", columns=62).splitlines()
    assert {"aa", "zz_a_long_name"} < set(shown[0].split())
    assert shown[-1].startswith("the same wherever they are: only=5; no room for: ")
    assert "zz_a_long_name" in on_terminal(project, "list", "--sort", "zz_a_long_name", columns=12)


def test_columns_show_what_tells_their_values_apart(project: Project) -> None:
    for lr in ("1.0000001", "1.0000002", "1.0000003"):
        project.gitexp("log", "-M", "loss=1.5", "-p", f"lr={lr}")
    for call in (
        ("list", "--group-by", "lr"), ("leaderboard", "-m", "loss"), ("report", "1..3", "--md")
    ):  # fmt: skip
        shown = project.gitexp(*call)
        assert all(lr in shown for lr in ("1.0000001", "1.0000002", "1.0000003"))


def test_a_param_that_is_no_number_is_found_and_is_no_null(project: Project) -> None:
    gitexp.log(params={"clip": math.nan})
    project.gitexp("log", "-p", "clip=.nan")
    project.gitexp("log", "-p", "clip=null")
    assert [found.params["clip"] for found in map(gitexp.get, (1, 2, 3))] == ["nan", "nan", None]
    for value, names in (("nan", [2, 1]), ("NaN", [2, 1]), (".nan", [2, 1]), ("null", [3])):
        found = gitexp.experiments(where=f"clip = {value}")
        assert [*found.name] == [f"exp-{number}" for number in names]


def test_a_group_with_a_nan_says_so(project: Project) -> None:
    for value in (1.0, float("nan")):
        record(project, {"lr": 1}, {"loss": value})
    shown = project.gitexp("list", "--group-by", "lr")
    assert "nan (not every one of 2 is a number)" in shown


def test_numbers_of_a_column_get_the_digits_that_tell_them_apart() -> None:
    shown = output.numbers([1.000001, 1.0, math.nan, -0.0, 3, True, None, "a"])
    assert shown == ["1.000001", "1", "nan", "0", "3", "true", "", "a"]


def test_a_table_aligns_wide_characters_as_a_terminal_shows_them() -> None:
    lines = output.text_table(["name", "n"], [["日本", "1"], ["abc", "22"]], [False, True])
    assert lines == ["name   n", "日本   1", "abc   22"]
