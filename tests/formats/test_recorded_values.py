"""Numbers, names and files are recorded as their writers meant them."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gitexp
import terminal
from conftest import Project
from gitexp.cli import plot
from gitexp.formats import params
from gitexp.repo import Repo
from gitexp.report import chart, curves
from gitexp.runs.arguments import as_params, unclear
from gitexp.store import query
from gitexp.store.groups import spread
from gitexp.store.index import Index
from recording import record


@pytest.mark.parametrize(
    "text", ["1e+3", "1E+05", "+1e+3", "-1.5e+16", "1e-05", "+7", ".5", "-.5e-3", "1."]
)
def test_each_spelling_of_a_number_is_one(text: str) -> None:
    assert params.parse_value(text) == float(text)


def test_what_python_prints_of_a_number_is_read_as_that_number() -> None:
    chosen = random.Random(1)
    for _ in range(2_000):
        value = chosen.uniform(-10, 10) * 10.0 ** chosen.randint(-300, 300)
        assert params.parse_value(repr(value)) == value
        assert params.load(params.dump({"a": value})) == {"a": value}


def test_a_name_with_a_dot_beside_the_same_nested_name_is_refused(project: Project) -> None:
    with pytest.raises(gitexp.UsageError, match="'a\\.b' is there twice"):
        gitexp.log(params={"a.b": 1, "a": {"b": 2}})
    project.write("p.yaml", "a.b: 1\na: {b: 2}\n")
    assert "'a.b' is there twice" in project.error("log", "--params-file", "p.yaml")
    assert project.tags() == []


def test_an_option_and_a_dotted_option_below_it_are_both_params() -> None:
    found = as_params(["train.py", "--optimizer", "Adam", "--optimizer.lr", "0.1"])
    assert params.flatten(found) == {"optimizer": "Adam", "optimizer.lr": 0.1}


def test_a_value_that_only_begins_like_a_list_stays_text() -> None:
    assert as_params(["t.py", "--pattern", "[a-z", "--x", "{lr"]) == {"pattern": "[a-z", "x": "{lr"}


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("papermill a.ipynb b.ipynb -p lr 0.7 -r id 007 -k python3", {"lr": 0.7, "id": "007"}),
        ("python -m papermill a.ipynb b.ipynb --parameters lr 1", {"lr": 1}),
        ("dvc repro -q --force train", {}),
        ("dvc exp run -n try -S train.lr=0.9 --queue", {"train": {"lr": 0.9}}),
        ("jupyter nbconvert --to notebook --execute a.ipynb", {}),
        ("python -c 'lr=input(); print(lr)' --depth 3", {"depth": 3}),
        ("bash -c 'lr=1 python t.py'", {}),
        ("env lr=1 python train.py --dvc papermill -p 1", {"lr": 1, "dvc": "papermill", "p": 1}),
    ],
)
def test_options_of_tools_and_code_are_no_params(command: str, found: dict[str, Any]) -> None:
    assert as_params(shlex.split(command)) == found
    assert unclear(shlex.split(command)) == []


def test_a_number_of_tokens_is_no_secret_but_a_password_of_digits_is() -> None:
    command = ["t.py", "--max-tokens", "512", "--num_tokens=8", "--password", "512", "--token=9"]
    assert as_params(command) == {"max_tokens": 512, "num_tokens": 8}


@pytest.mark.parametrize("value", [0.1, 123456789.123, 1e-9, 7])
def test_equal_values_have_no_spread(value: float) -> None:
    assert spread([value] * 15) == (value, 0, 15)
    assert spread([value]) == (value, None, 1)


def test_the_spread_of_large_values_is_a_number() -> None:
    found = spread([1e308, 1.5e308, 1.2e308])
    assert math.isclose(found.mean, 1.2333333333333333e308)
    assert found.std is not None
    assert math.isclose(found.std, 2.516611478423583e307)
    assert math.isclose(spread([-1.7e308, 0, 1.7e308]).std or 0, 1.7e308)


@pytest.mark.parametrize("name", ["HEAD", "FETCH_HEAD", "main", "head", "stash", "refs/x", "far/b"])
def test_names_of_gits_own_and_of_branches_are_refused(project: Project, name: str) -> None:
    project.git("update-ref", "refs/remotes/far/b", "HEAD")
    project.gitexp("log", "--name", "attention_head", "-M", "a=1")
    assert f"'{name}'" in project.error("log", "--name", name, "-M", "a=1")


def test_logging_nothing_at_all_is_refused_and_moves_nothing(project: Project) -> None:
    before = project.git("rev-parse", "HEAD")
    assert "gitexp list" in project.error("log")
    assert project.git("rev-parse", "HEAD") == before
    assert project.tags() == []


def rows(project: Project, text: str) -> list[tuple[str, float, int, int]]:
    """Record a metrics file of this text, and return its points."""
    project.write("m.csv", text)
    project.gitexp("log", "--metrics-file", "m.csv")
    return [tuple(point) for point in gitexp.get("@").points()]  # type: ignore[misc]


def test_times_may_be_iso_or_seconds_and_steps_may_be_fractions(project: Project) -> None:
    found = rows(
        project,
        "Name,Value,Timestamp,Step\n"
        "loss,3,2026-01-01T00:00:00Z,0.25\nloss,2,1767225601,0.5\nloss,1,1767225602000,0.75\n",
    )
    assert found == [
        ("loss", 3, 1767225600000, 0),
        ("loss", 2, 1767225601000, 1),
        ("loss", 1, 1767225602000, 2),
    ]


def test_a_step_beyond_the_whole_numbers_of_a_double_stays_exact(project: Project) -> None:
    (point,) = rows(project, f"Name,Value,Step\nloss,1,{2**53 + 1}\n")
    assert point[3] == 2**53 + 1


def test_decimal_commas_of_a_spreadsheet_are_read_in_every_column(project: Project) -> None:
    assert rows(project, "Name;Value;Timestamp;Step\nloss;0,5;1,76722560E+12;3\n") == [
        ("loss", 0.5, 1767225600000, 3)
    ]


def test_rows_that_cannot_be_read_are_counted_and_the_first_is_shown(project: Project) -> None:
    project.write("m.csv", "Name,Value,Timestamp,Step\nloss,0.5,1,0\nacc,95%,1,0\nf1,n/a,1,0\n")
    done = project.run("log", "--metrics-file", "m.csv")
    assert "2 rows without a readable number left out, the first: acc,95%,1,0" in done.stderr
    assert dict(gitexp.get("@").metrics) == {"loss": 0.5}


@pytest.mark.parametrize(
    ("name", "text"), [("m.csv", "Name,Value\nacc,95%\n"), ("m.json", '{"acc": "high"}')]
)
def test_a_metrics_file_without_any_metric_is_an_error(
    project: Project, name: str, text: str
) -> None:
    project.write(name, text)
    assert "there is no metric in it" in project.error("log", "--metrics-file", name)
    assert project.tags() == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.json", '{"a": {"b": 1.5}, "ok": true, "why": "x"}'),
        ("m.yaml", "a: {b: 1.5}\nok: true\nwhy: x\n"),
        ("m.toml", 'ok = true\nwhy = "x"\n[a]\nb = 1.5\n'),
    ],
)
def test_texts_in_a_metrics_file_are_named_and_the_numbers_kept(
    project: Project, name: str, text: str
) -> None:
    project.write(name, text)
    done = project.run("log", "--metrics-file", name)
    assert "why: no number, left out" in done.stderr
    assert dict(gitexp.get("@").metrics) == {"a.b": 1.5, "ok": 1}


def test_a_truth_value_among_metrics_stops_no_import(project: Project) -> None:
    project.commit("one", metrics_json='{"a": 1, "ok": true}\n')
    project.commit("two", metrics_json='{"a": 2, "ok": false}\n')
    project.gitexp("import", "git")
    found = json.loads(project.gitexp("list", "--json"))
    assert sorted(item["metrics"]["ok"] for item in found) == [0, 1]


def test_ticks_of_a_logarithmic_axis_are_numbers(project: Project) -> None:
    pytest.importorskip("matplotlib")
    for value in ("1", "0.1", "0.001"):
        project.gitexp("log", "-p", f"lr={value}", "-M", f"loss={value}")
    project.gitexp("plot", "bars", "-m", "loss", "--log", "-o", "s.svg")
    assert "mathdefault" not in Path("s.svg").read_text()


def test_experiments_without_any_result_can_be_left_out(project: Project) -> None:
    for name, what in [("a", ("-M", "loss=1")), ("b", ("-p", "lr=1")), ("c", ("-M", "f1=2"))]:
        project.gitexp("log", "--name", name, *what)

    def names(*args: str) -> list[str]:
        return [item["name"] for item in json.loads(project.gitexp("list", *args, "--json"))]

    assert names("--only-with", "metrics") == ["c", "a"]
    assert names("--only-with", "metrics,f1") == ["c"]
    assert names("--only-with", "params", "--where", "lr = 1 or f1 = 2") == ["b"]
    assert names("--where", "metrics is missing") == ["b"]
    assert project.gitexp("compare", "--only-with", "metrics", "--csv").startswith("key,c,a\n")


def test_a_file_that_grows_from_commit_to_commit_says_when_each_run_went(project: Project) -> None:
    text, hour = "Name,Value,Timestamp,Step\n", 3_600_000
    for at, name in enumerate(("one", "two")):
        start = 1_700_000_000_000 + at * 376 * hour
        text += f"loss,{2 - at},{start},1\nloss,{1 - at},{start + hour},2\n"
        project.commit(name, metrics_csv=text)
    project.gitexp("import", "git")
    found = json.loads(project.gitexp("list", "--json"))
    assert [item["duration"] for item in found] == [3600, 3600]


def test_a_group_with_a_nan_says_so(project: Project) -> None:
    for value in ("1", "nan"):
        project.gitexp("log", "-p", "lr=1", "-M", f"loss={value}")
    assert "nan (not every one of 2 is a number)" in project.gitexp("list", "-g", "lr")


def test_curves_are_interrupted_at_nan_and_a_lone_point_shows() -> None:
    nan = math.nan
    values = [0.0, 0.0, nan, nan, 1.0, nan, 0.0, nan]
    drawn = [
        "".join(char for char, _ in row)
        for _, row in plot.lines({"x": list(enumerate(values))}, 16, 2)
    ]
    assert [len(row.split()) for row in drawn] == [1, 2]
    assert chart._alone(values) == [4, 6]


def test_thinned_curves_keep_every_gap() -> None:
    values = [math.nan if at in (300, 301, 700) else float(at) for at in range(1_000)]
    thin = curves.lttb(([*range(1_000)], [*range(1_000)], values), 50)
    assert [at for at, value in zip(thin[0], thin[2]) if math.isnan(value)] == [300, 700]
    assert [x for x, y in plot.thinned(enumerate(values), 50) if math.isnan(y)] == [300, 301, 700]


def test_what_parallel_coordinates_lack_is_grey_and_marked(project: Project) -> None:
    pytest.importorskip("matplotlib")
    for args in (("-p", "depth=1"), ("-p", "depth=2"), ()):
        project.gitexp("log", "-p", f"lr={len(args)}{args}", *args, "-M", f"loss={len(args)}")
    project.gitexp("plot", "parallel", "-m", "loss", "-o", "p.svg")
    text = Path("p.svg").read_text()
    assert "missing" in text
    assert "#808080" in text


def test_no_line_of_a_difference_is_endless_and_the_difference_shows(project: Project) -> None:
    for end in ("a", "b"):
        gitexp.log(params={"long": "x" * 900 + end, "on": end == "a"}, metrics={"loss": 1})
    for command in (("diff", "exp-1", "exp-2"), ("compare", "exp-1", "exp-2")):
        lines = project.gitexp(*command).splitlines()
        assert max(map(len, lines)) < 450
        assert any(line.split() == ["on", "true", "false"] for line in lines)
    assert "…xxxa" in project.gitexp("diff", "exp-1", "exp-2")
    assert "x" * 900 + "b" in project.gitexp("diff", "exp-1", "exp-2", "--whole")


def test_a_narrow_terminal_cuts_lines_and_wraps_none(project: Project) -> None:
    for end in ("a", "b"):
        gitexp.log(params={"long": end * 300, "n": 1}, note="some words " * 20)
    for command in (["show"], ["diff", "exp-1", "exp-2"], ["compare", "exp-1", "exp-2"]):
        person = terminal.Terminal(
            project.root, sys.executable, "-m", "gitexp", *command, lines=200
        )
        lines = person.done().splitlines()
        person.close()
        assert max(map(len, lines)) <= 80
        assert "…" in "".join(lines)


def test_floats_that_differ_are_never_shown_as_equal(project: Project) -> None:
    for value in (0.1, 0.1 + 2**-40, 0.1 + 2**-50, 1e5, 100_001.0):
        gitexp.log(params={"lr": value}, metrics={"loss": value})
    for command in (("list",), ("compare", "exp-1..exp-5"), ("diff", "exp-1", "exp-2")):
        rows = project.gitexp(*command).splitlines()
        texts = [  # hashes have ten digits, and times a colon
            word
            for row in rows
            for word in row.split()
            if re.fullmatch(r"(0\.|10)\d*", word) and len(word) != 10
        ]
        assert "0.1" in texts
        assert len({*texts}) == {"diff": 2}.get(command[0], 5)


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'gitexp[report]'"),
        ({"url": "file:///a%20b", "dir_info": {"editable": True}}, "-e '/a b[report]'"),
        ({"url": "file:///c", "dir_info": {}}, "pip install '/c[report]'"),
        (
            {"url": "https://h/g.git", "vcs_info": {"vcs": "git", "requested_revision": "v1"}},
            "pip install 'gitexp[report] @ git+https://h/g.git@v1'",
        ),
    ],
)
def test_a_hint_installs_from_where_gitexp_came(
    tmp_path: Path, origin: dict[str, object] | None, command: str
) -> None:
    info = tmp_path / "gitexp-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: gitexp\nVersion: 1\n")
    if origin:
        (info / "direct_url.json").write_text(json.dumps(origin))
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import gitexp"
    program += "; print(gitexp.MissingExtraError('a page', 'report'))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert command in said.stdout


def test_nothing_imports_dagshub_unless_asked(project: Project) -> None:
    for command in (
        ["run", "-p", "a=1", "--", "true"],
        ["log", "-p", "a=2", "-M", "loss=1"],
        ["list"],
        ["show"],
        ["diff", "exp-1", "exp-2"],
        ["push"],
    ):
        program = f"import sys; from gitexp.cli import main\ntry: main({command})\n"
        program += "except SystemExit: pass\nassert 'dagshub' not in sys.modules"
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.yaml", "lr: 1\nlr: 2\n"),
        ("p.yaml", "a: {lr: 1, x: [1], 'lr': 2}\n"),
        ("p.json", '{"a": {"lr": 1, "lr": 2}}'),
        ("p.toml", "lr = 1\nlr = 2\n"),
    ],
)
def test_a_name_that_is_there_twice_is_named(project: Project, name: str, text: str) -> None:
    project.write(name, text)
    said = project.error("log", "--params-file", name)
    assert name in said
    assert "lr" in said or name == "p.toml"


def test_merge_keys_and_lists_are_no_names_twice() -> None:
    text = b"base: &b {<<: {x: 1}, x: 2}\nmore:\n  <<: *b\n  x: 3\nl: [a, a]\nm: [{x: 1}, {x: 1}]\n"
    assert params.load(text)["more"] == {"x": 3}


def test_names_are_taken_without_the_spaces_around_them(project: Project) -> None:
    project.write("m.csv", "Name,Value,Timestamp,Step\n loss ,1,1,1\n")
    project.write("p.yaml", '" lr ": 1\n')
    project.gitexp("log", "--metrics-file", "m.csv", "--params-file", "p.yaml")
    gitexp.log({" a ": {" b": 1}}, {" f1": 1}, name=" first ", labels=[" good "], group=" some ")
    with gitexp.start_run(name=" second ") as run:
        run.log_param(" c ", 1)
        run.log_metric(" f1 ", 1)
    found = {item.name: item for item in map(gitexp.get, ("exp-1", "first", "second"))}
    assert [dict(item.params) for item in found.values()] == [{"lr": 1}, {"a.b": 1}, {"c": 1}]
    assert [list(item.metrics) for item in found.values()] == [["loss"], ["f1"], ["f1"]]
    assert (found["first"].labels, found["first"].group) == (("good",), "some")
    with pytest.raises(gitexp.UsageError, match="twice, but for spaces"):
        gitexp.log({"a": 1, "a ": 2})


def any_value(chosen: random.Random, deep: int = 2) -> object:
    """Return a value as people log them, or as nobody does."""
    text = "".join(chosen.choice("aé0.:-+e_ '\"#{}[],\\~!&*|>%@`") for _ in range(5))
    number = chosen.uniform(-1, 1) * 10.0 ** chosen.randint(-300, 300)
    plain = [text, chosen.choice(WORDS), number, chosen.randint(-(10**20), 10**20), True, None]
    if deep and chosen.random() < 0.2:
        return [any_value(chosen, 0) for _ in range(chosen.randint(0, 3))]
    return chosen.choice(plain)


WORDS = ["1e5", "1e+3", "0x1F", "007", "yes", "true", "null", "nan", ".inf", "1_000", "", " x", "~"]


def test_what_is_logged_comes_back_the_same_from_everywhere(project: Project) -> None:
    chosen = random.Random(18)
    given = {f"p{at}": any_value(chosen) for at in range(150)}
    measured = {f"m{at}": chosen.uniform(-1, 1) * 10.0 ** (2 * at - 200) for at in range(200)}
    gitexp.log(params=given, metrics=measured)
    assert params.load(Path("params.yml").read_bytes()) == given
    listed = json.loads(project.gitexp("list", "--json"))[0]
    shown = json.loads(project.gitexp("show", "--json"))
    found = gitexp.get("@")
    for values in (listed, shown, {"params": dict(found.params), "metrics": dict(found.metrics)}):
        assert values["params"] == given
        assert values["metrics"] == measured
    assert [tuple(point)[:2] for point in found.points()] == [*measured.items()]
    gitexp.log(params=given, metrics=measured)
    assert not json.loads(project.gitexp("diff", "exp-1", "exp-2", "--json"))["params"]
    index = Index(Repo.discover())
    for name, value in {**given, **measured}.items():
        if value is None or isinstance(value, list):
            continue
        asked = repr(value) if not isinstance(value, str) else "'" + value.replace("'", "''") + "'"
        asked = {True: "true"}.get(value, asked) if isinstance(value, bool) else asked
        condition = query.where(index, f"{name} = {asked}")
        assert index.count(*condition, everybody=True) == 2, (name, value)


@pytest.fixture
def monorepo(project: Project) -> Project:
    """A repository with two projects that have settings of their own."""
    project.write("one/pyproject.toml", '[tool.gitexp]\nroot = true\nmetrics = {acc = "max"}\n')
    project.write("two/.gitexp.toml", "")
    project.write("two/src/train.py", "open('o.txt', 'w')\n")
    project.commit("two projects")
    return project


def files_of(project: Project, name: str) -> set[str]:
    """Return the paths in an experiment's tree that are gitexp's own."""
    listed = project.git("ls-tree", "-r", "--name-only", name).splitlines()
    return {path for path in listed if ".gitexp/" in path or path.endswith(("s.yml", "s.csv"))}


def test_a_reproduction_and_a_merge_are_of_the_project_that_they_come_from(
    monorepo: Project,
) -> None:
    two = monorepo.root / "two"
    for part in "ab":
        monorepo.write(f"two/{part}", part)
        command = (sys.executable, "-c", "print('loss=0.5')")
        monorepo.gitexp("run", "--no-advance", "--", *command, cwd=two)
        (two / part).unlink()
    monorepo.gitexp("reproduce", "--record", "--yes", "exp-1", cwd=two)
    monorepo.gitexp("merge", "--yes", "--metric", "loss", "exp-1", "exp-2", cwd=two)
    own = {".gitexp/requirements.txt", ".gitexp/output.log", "metrics.csv", "params.yml"}
    assert files_of(monorepo, "exp-3") == {f"two/{path}" for path in own}
    assert files_of(monorepo, "exp-4") == {f"two/{path}" for path in own}
    found = json.loads(monorepo.gitexp("list", "--json", cwd=two))
    assert len(found) == 4


def test_a_command_is_run_again_by_the_settings_of_its_project(monorepo: Project) -> None:
    two = monorepo.root / "two"
    monorepo.write("two/.gitexp.toml", 'metrics_files = ["two/numbers.dat.json"]\n')
    monorepo.commit("settings")
    command = (sys.executable, "-c", "open('numbers.dat.json', 'w').write('{\"acc\": 1}')")
    monorepo.gitexp("run", "--", *command, cwd=two)
    assert "same: exp-1" in monorepo.gitexp("reproduce", "--yes", "exp-1", cwd=two)


def test_the_trials_of_a_sweep_are_of_the_project_that_it_began_in(monorepo: Project) -> None:
    two = monorepo.root / "two"
    monorepo.gitexp("sweep", "-p", "lr=1,2", "--", sys.executable, "src/train.py", cwd=two)
    found = json.loads(monorepo.gitexp("list", "--json", cwd=two))
    assert {item["name"] for item in found} == {"exp-1", "exp-2"}
    own = {".gitexp/requirements.txt", "metrics.csv", "params.yml"}
    assert files_of(monorepo, "exp-1") == {f"two/{path}" for path in own}
    monorepo.gitexp("verify", "exp-1", "exp-2")


def test_outputs_of_other_projects_may_be_more_than_a_command_line_holds(
    monorepo: Project,
) -> None:
    for at, name in enumerate(["a.txt", "b.txt"]):
        many = [f"one/{name}/{number:0120}" for number in range(2000)]
        for path in many[:1200]:
            monorepo.write(path, str(at))
        monorepo.write(f"one/{name}.py", "code")
        monorepo.commit(name)
        record(Project(monorepo.root / "one"), {}, {"acc": at}, extra={"outputs": many})
        record(Project(monorepo.root / "two"), {}, {"loss": at})
    narrow = ["sh", "-c", 'ulimit -s 512 && exec gitexp "$@"', "sh"]  # git has a quarter of it

    def said(*args: str) -> str:
        done = subprocess.run([*narrow, *args], cwd=monorepo.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (step,) = [one for one in json.loads(said("tree", "--json")) if one["name"] == "exp-4"]
    assert step["code_changed"] == ["one/b.txt.py"]
    assert [one["path"] for one in json.loads(said("diff", "2", "4", "--json"))["code"]] == [
        "one/b.txt.py"
    ]
    assert "b.txt/0" not in said("diff", "2", "4", "--code")
    assert json.loads(said("tried", "--like", "4", "--json"))


def test_each_project_of_a_repository_has_results_of_its_own(monorepo: Project) -> None:
    one, two = monorepo.root / "one", monorepo.root / "two" / "src"
    own = {".gitexp/requirements.txt", "metrics.csv", "params.yml"}
    monorepo.gitexp("log", "-p", "lr=1", "-M", "acc=1", cwd=one)
    command = ("run", "-p", "lr=2", "--", sys.executable, "train.py")
    monorepo.gitexp(*command, cwd=two)
    monorepo.gitexp("log", "-p", "lr=3", "-M", "acc=3", cwd=one)
    monorepo.gitexp("log", "-p", "lr=4", "-M", "acc=4")
    assert files_of(monorepo, "exp-1") == {f"one/{path}" for path in own}
    third = files_of(monorepo, "exp-3")
    assert third > {f"{folder}/{path}" for folder in ("one", "two") for path in own}
    assert files_of(monorepo, "exp-4") == third | own
    assert (monorepo.root / "one/params.yml").read_text() == "lr: 3\n"
    assert (monorepo.root / "two/params.yml").read_text() == "lr: 2\n"
    assert monorepo.git("status", "--porcelain", "--", "one", "two", ":(exclude)two/src") == ""

    def names(where: Path, *args: str) -> list[str]:
        found = json.loads(monorepo.gitexp("list", "--json", *args, cwd=where))
        return [item["name"] for item in found]

    assert names(one) == ["exp-3", "exp-1"]
    assert names(two) == ["exp-2"]
    assert names(two, "--all") == names(monorepo.root) == ["exp-4", "exp-3", "exp-2", "exp-1"]
    assert names(two, "exp-1") == ["exp-1"]
    assert "3 experiments of other projects" in monorepo.run("list", cwd=two).stderr
    for name in ("exp-1", "exp-2", "exp-3"):
        assert json.loads(monorepo.gitexp("show", name, "--json"))["environment"]
        monorepo.gitexp("verify", name)
    told = json.loads(monorepo.gitexp("diff", "exp-1", "exp-3", "--json"))
    assert [item["name"] for item in told["params"]] == ["lr"]
    assert not [item for item in told["code"] if item["path"].startswith("one/")]
    assert monorepo.gitexp("best", "acc", "--only-with", "metrics", cwd=one).startswith("exp-3")


def test_what_is_given_no_names_keeps_to_the_project(monorepo: Project) -> None:
    one, two = monorepo.root / "one", monorepo.root / "two" / "src"
    trained = "open('o.txt', 'w').write('x'); print('loss: 2')"
    monorepo.gitexp("log", "-p", "lr=1", "-M", "loss=1", cwd=one)
    monorepo.gitexp("run", "-p", "lr=2", "--", sys.executable, "-c", trained, cwd=two)
    monorepo.gitexp("log", "-p", "lr=3", "-M", "loss=3", cwd=one)
    every, own = ["exp-3", "exp-2", "exp-1"], ["exp-3", "exp-1"]

    def named(*command: str, cwd: Path = one) -> list[str]:
        return re.findall(r"exp-\d\b", monorepo.gitexp(*command, cwd=cwd))

    def exported(*more: str, cwd: Path = one) -> list[str]:
        rows = csv.reader(monorepo.gitexp("export", "csv", *more, cwd=cwd).splitlines())
        return [row[0] for row in rows][1:]

    assert exported() == own
    assert exported("--all") == exported(cwd=monorepo.root) == every
    assert [*gitexp.experiments(repo=one)["name"]] == own
    assert [*gitexp.experiments(repo=one, everybody=True)["name"]] == every
    assert {*gitexp.histories(repo=two)["experiment"]} == {"exp-2"}
    assert named("tree") == ["exp-1", "exp-3"]
    assert "  code:" not in monorepo.gitexp("tree", "--all", cwd=one)
    for text in monorepo.gitexp("book", cwd=one), monorepo.gitexp("book", "--all", cwd=one):
        assert text.count("- from: ") == text.count("- from: exp-1") == 1
    assert named("leaderboard", "-m", "loss") == ["exp-1", "exp-3"]
    assert named("best", "loss", cwd=two)[0] == "exp-2"
    assert named("show", "best:loss", cwd=two)[0] == "exp-2"
    assert named("show", cwd=two)[0] == named("diff", cwd=two)[0] == "exp-2"
    assert named("show")[0] == named("show", cwd=monorepo.root)[0] == "exp-3"
    assert (gitexp.get("@~1", one).name, gitexp.get("@~1").name) == ("exp-1", "exp-2")
    assert named("gate", "-m", "loss", "--min", "1", cwd=two)[0] == "exp-2"
    monorepo.git("remote", "add", "origin", "nowhere.git")
    assert named("status", "--where", "lr > 0") == [*reversed(own)]
    assert named("status") == [*reversed(every)]
    assert named("compare", "--where", "lr > 0", "--csv")[:2] == own
    assert {*named("curve", "loss", "--where", "lr > 0", "--csv")} == {*own}
    assert "1 experiment of other projects left out (at the repository's top" in (
        monorepo.run("label", "--where", "lr > 0", "+x", cwd=one).stderr
    )
    assert gitexp.get("exp-2", one).labels == ()
    told = json.loads(monorepo.gitexp("diff", "exp-1", "exp-3", "--json", cwd=one))
    assert (told["code"], told["outputs"]) == ([], [])
    assert monorepo.gitexp("diff", "exp-1", "exp-3", "--code", cwd=one) == ""
    monorepo.gitexp("rm", "--where", "lr > 0", "--yes", cwd=one)
    assert monorepo.tags() == ["exp-2"]


def test_a_projects_experiment_is_checked_out_and_a_dead_run_recorded(monorepo: Project) -> None:
    one = monorepo.root / "one"
    monorepo.gitexp("log", "-p", "lr=1", cwd=one)
    monorepo.gitexp("log", "-p", "lr=2", cwd=one)
    monorepo.gitexp("checkout", "exp-1", cwd=one)
    assert (one / "params.yml").read_text() == "lr: 1\n"
    monorepo.git("checkout", "-q", "main")
    program = "import gitexp, os; gitexp.start_run(params={'lr': 3}); os._exit(9)"
    subprocess.run([sys.executable, "-c", program], cwd=one)
    (monorepo.root / "three").mkdir()
    monorepo.write("three/.gitexp.toml", "")
    command = ("run", "--resume", "@", "--", sys.executable, "-c", "")
    said = monorepo.error(*command, cwd=monorepo.root / "three", code=3)
    assert said.startswith(
        "there is no experiment in this project yet (in others: gitexp list --all)"
    )
    monorepo.gitexp(*command, cwd=one)
    assert (gitexp.get(4).extra["resumes"], gitexp.get(4).params) == (gitexp.get(3).id, {"lr": 3})
    assert "one/params.yml" in files_of(monorepo, "exp-3")
    assert "params.yml" not in files_of(monorepo, "exp-3")
    monorepo.fsck()


@pytest.mark.parametrize("command", [("report",), ("export", "csv"), ("export", "json")])
def test_what_is_written_to_a_device_does_not_replace_it(
    project: Project, tmp_path: Path, command: tuple[str, ...]
) -> None:
    pytest.importorskip("jinja2")
    gitexp.log(metrics={"loss": 1})
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    project.gitexp(*command, "-o", str(tmp_path / "pipe"))
    assert b"loss" in reader.communicate(timeout=60)[0]
    assert not (tmp_path / "pipe").is_file()
