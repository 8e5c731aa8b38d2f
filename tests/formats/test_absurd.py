"""Absurd input from somebody else's repository: what is beyond all bounds is cut and said, and
nothing else suffers."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

import gitexp
from conftest import Project
from gitexp.formats import message, params, settings
from gitexp.formats.errors import FormatError, UsageError


@pytest.fixture
def forged(project: Project) -> Project:
    """A repository with one experiment, and none yet that somebody made up."""
    project.gitexp("log", "-p", "lr=1", "-M", "m=1")
    return project


def forge(project: Project, params: str) -> None:
    """Make exp-2 of exp-1, with other params in its tag."""
    text = project.git("cat-file", "tag", "exp-1").replace("tag exp-1", "tag exp-2", 1)
    new = text.replace('{"lr":1}', params) + "\n"
    assert new != text + "\n"
    made = subprocess.run(
        ["git", "hash-object", "-t", "tag", "-w", "--stdin"],
        input=new.encode(), capture_output=True, check=True, cwd=project.root,
    )  # fmt: skip
    project.git("update-ref", "refs/tags/exp-2", made.stdout.decode().strip())


def test_a_tag_with_50000_params_is_listed_and_says_what_is_not_shown(forged: Project) -> None:
    forge(forged, json.dumps({f"p{at}": at for at in range(50_000)}))
    assert forged.run("list", timeout=20).returncode == 0
    found = gitexp.get("exp-2")
    assert len(found.params) == message.MAX_NAMES + 1
    assert found.params[message.MORE] == "40,000 more, too large to show"
    assert gitexp.get("exp-1").params == {"lr": 1}
    forged.gitexp("diff", "exp-1", "exp-2")


def test_a_param_nested_900_deep_is_too_large_to_show(forged: Project) -> None:
    forge(forged, '{"lr":' * 900 + "1" + "}" * 900)
    for command in (["list", "--json"], ["diff", "exp-1", "exp-2"], ["show", "exp-2", "--json"]):
        forged.gitexp(*command)
    assert gitexp.get("exp-2").params == {"lr": message.TOO_LARGE}


@pytest.mark.parametrize("unit", ["x y ", "1", "0123456789abcdef"])
def test_a_text_of_5_mb_is_recorded_in_seconds(project: Project, unit: str) -> None:
    value = unit * (5_000_000 // len(unit))
    start = time.process_time()
    with gitexp.start_run(params={"text": value}):
        pass
    assert time.process_time() - start < 15, "a letter at a time that was 20 s, and hours of hex"
    assert params.load(gitexp.get("exp-1").read("params.yml")) == {"text": value}


def test_numbers_that_python_does_not_write_are_recorded(project: Project) -> None:
    number = 10**5_000
    with gitexp.start_run(params={"n": number, "list": [-number]}) as run:
        run.log_metric("m", number)
    found = gitexp.get("exp-1")
    recorded = params.load(found.read("params.yml"))
    assert recorded == {"n": hex(number), "list": [hex(-number)]}
    assert found.metrics == {"m": float("inf")}
    project.gitexp("log", "-p", f"n={number // 10**1_000}", "-m", f"m=1{'0' * 5_000}")


def test_what_is_data_is_named_and_too_many_params_are_refused(project: Project) -> None:
    with gitexp.start_run(params={"rows": list(range(300_000))}):
        pass
    assert gitexp.get("exp-1").params == {"rows": "list of 300000 values"}
    with pytest.raises(UsageError, match="more than 100,000 params"):
        gitexp.start_run(params={f"p{at}": at for at in range(100_001)})


def test_a_run_of_many_params_is_recorded_whole_and_verifies(project: Project) -> None:
    values = {f"p{at}": at for at in range(message.MAX_NAMES + 5)}
    with gitexp.start_run(params=values):
        pass
    assert len(gitexp.get("exp-1").read("params.yml").splitlines()) == message.MAX_NAMES + 5
    project.gitexp("verify", "exp-1")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such device")
def test_an_input_without_an_end_is_not_hashed(project: Project) -> None:
    project.write("data.csv", "1\n")
    project.gitexp("log", "-M", "m=1", "--input", "data.csv")
    text = project.git("cat-file", "tag", "exp-1")
    for path, why in (
        ("/dev/zero", " is not here"),
        ("/", ": a folder outside the repository is not read"),
    ):
        new = text.replace('"data.csv"', f'"{path}"').replace("tag exp-1", "tag exp-2", 1)
        assert new != text
        made = subprocess.run(
            ["git", "hash-object", "-t", "tag", "-w", "--stdin"],
            input=f"{new}\n".encode(), capture_output=True, check=True, cwd=project.root,
        )  # fmt: skip
        project.git("update-ref", "refs/tags/exp-2", made.stdout.decode().strip())
        said = project.run("verify", "exp-2", timeout=30).stdout
        assert f"not checked: input {path}{why}" in said


def test_json_holds_nothing_that_steers_a_terminal(forged: Project) -> None:
    forge(forged, '{"lr":"a\u202eb\u009bc"}')
    shown = forged.gitexp("show", "exp-2", "--json")
    assert not {"\u202e", "\u009b"} & {*shown}
    assert json.loads(shown)["params"] == {"lr": "a\u202eb\u009bc"}


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such device")
def test_settings_that_have_no_end_or_no_bottom_are_one_line(project: Project) -> None:
    (project.root / settings.FILE_NAME).symlink_to("/dev/zero")
    with pytest.raises(FormatError, match="regular file"):
        settings.load(project.root)
    (project.root / settings.FILE_NAME).unlink()
    project.write(settings.FILE_NAME, "include = " + "[" * 100_000)
    assert settings.FILE_NAME in project.error("log", "-M", "a=1")
    project.write(settings.FILE_NAME, b"#" * (settings.MAX_BYTES + 1))
    assert "larger than" in project.error("log", "-M", "a=1")
