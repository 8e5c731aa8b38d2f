"""What was tried, why, and what came of it: reasons and verdicts, the tree and the lab book."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from conftest import Project
from recording import record

ODD = 'it "diverges"\n`after` 2k <b>steps</b>, \U0001f600 & | so'


@pytest.fixture
def line(project: Project) -> Project:
    """Three experiments: exp-2 and exp-3 came from exp-1, and exp-3 is worse."""
    record(project, {"lr": 0.1}, {"rmse": 20.0})
    project.write("train.py", "print('wider')\n")
    record(project, {"lr": 0.2}, {"rmse": 19.0}, advance=False, extra={"because": "wider helps"})
    project.write("train.py", "print('training')\n")
    record(project, {"lr": 9.0}, {"rmse": 50.0}, advance=False)
    return project


def names(project: Project, *args: str) -> list[str]:
    return [item["name"] for item in json.loads(project.gitexp("list", "--json", *args))]


def test_a_discarded_experiment_leaves_the_list_and_is_not_lost(line: Project) -> None:
    assert line.gitexp("discard", "exp-3", "--because", ODD) == "exp-3: discarded\n"
    line.gitexp("keep", "exp-2")
    done = line.run("list", "--json")
    assert [item["name"] for item in json.loads(done.stdout)] == ["exp-2", "exp-1"]
    assert "left out: 1 discarded (--all-verdicts)" in done.stderr
    assert names(line, "--discarded") == ["exp-3"]
    assert names(line, "--all-verdicts") == ["exp-3", "exp-2", "exp-1"]
    assert names(line, "exp-3") == ["exp-3"]
    assert names(line, "--where", "verdict = discarded") == ["exp-3"]
    assert names(line, "--where", "verdict is missing") == ["exp-1"]
    assert names(line, "--where", "because ~ wider") == ["exp-2"]
    assert 'discarded by Ada: it "diverges"' in line.gitexp("show", "exp-3")
    line.gitexp("keep", "exp-3")
    assert names(line) == ["exp-3", "exp-2", "exp-1"]
    line.fsck()


def test_the_reason_of_a_run_is_recorded_even_where_the_run_fails(project: Project) -> None:
    project.gitexp("run", "--because", ODD, "--", "python", "-c", "raise SystemExit(3)", code=3)
    project.gitexp("log", "--metric", "rmse=1", "--because", "by hand")
    told = {item["name"]: item["because"] for item in json.loads(project.gitexp("list", "--json"))}
    assert told == {"exp-1": ODD, "exp-2": "by hand"}
    assert "by hand" in project.gitexp("show", "exp-2")


def test_verdicts_reach_another_clone_and_merge_there(line: Project, tmp_path: Path) -> None:
    line.git("init", "-q", "--bare", str(tmp_path / "hub"))
    line.git("remote", "add", "origin", str(tmp_path / "hub"))
    line.git("push", "-q", "origin", "main")
    line.gitexp("discard", "exp-3", "--because", "diverges")
    line.gitexp("push")
    line.git("clone", "-q", str(tmp_path / "hub"), str(tmp_path / "other"))
    other = Project(tmp_path / "other")
    other.gitexp("pull")
    other.gitexp("keep", "exp-2", "--because", "mine too")
    other.gitexp("push")
    line.gitexp("keep", "exp-1")
    line.gitexp("pull")
    assert names(line) == ["exp-2", "exp-1"]
    assert names(line, "--where", "verdict = kept") == ["exp-2", "exp-1"]


def test_the_tree_says_what_came_from_what_and_what_that_did(line: Project) -> None:
    line.gitexp("discard", "exp-3", "--because", "diverges")
    lines = line.gitexp("tree").splitlines()
    assert lines == [
        "exp-1  rmse=20",
        "├─ exp-2  rmse=19 (-1 better)  lr: 0.1 → 0.2  code: train.py  “wider helps”",
        "└─ exp-3  rmse=50 (+30 worse)  lr: 0.1 → 9  [discarded by Ada: diverges]",
    ]
    rows = json.loads(line.gitexp("tree", "--json"))
    assert {row["name"]: row["origin"] for row in rows} == {
        "exp-1": None, "exp-2": "exp-1", "exp-3": "exp-1",
    }  # fmt: skip
    assert rows[1]["code_changed"] == ["train.py"]


def test_an_experiment_on_a_commit_of_ones_own_came_from_the_one_before(line: Project) -> None:
    line.commit("by hand", model_py="x = 1\n")
    record(line, {"lr": 0.1}, {"rmse": 20.0})
    assert "└─ exp-4  rmse=20  code: model.py" in line.gitexp("tree")


def test_the_tree_is_as_deep_as_the_night_was_long(project: Project) -> None:
    for _ in range(6):
        record(project, {}, {"rmse": 1.0})
    assert project.gitexp("tree").splitlines()[-1].startswith("   " * 4 + "└─ exp-6")


def test_the_book_tells_the_day_and_shows_no_text_as_markup(line: Project) -> None:
    line.gitexp("discard", "exp-3", "--because", ODD)
    line.gitexp("keep", "exp-2")
    line.gitexp("book", "BOOK.md")
    text = (line.root / "BOOK.md").read_text()
    assert "Experiments: 3, 1 kept, 1 discarded." in text
    assert "- because: wider helps\n- from: exp-1\n- changed: lr: 0.1 → 0.2, code: train.py" in text
    assert "- rmse: 19 (-1 better)" in text
    assert 'it "diverges" \\`after\\` 2k &lt;b&gt;steps' in text
    assert text == f"<!-- gitexp:book -->\n{line.gitexp('book')}<!-- /gitexp:book -->\n"
    line.write("BOOK.md", f"# Ours\n\n{text}\nAfter it.\n")
    line.gitexp("book", "BOOK.md", "--check")
    line.gitexp("keep", "exp-1")
    assert "gitexp book BOOK.md" in line.error("book", "BOOK.md", "--check", code=1)
    line.gitexp("book", "BOOK.md")
    new = (line.root / "BOOK.md").read_text()
    assert "Experiments: 3, 2 kept" in new
    assert new.startswith("# Ours\n\n<!--")
    assert new.endswith("-->\n\nAfter it.\n")


def test_a_param_that_one_of_them_lacks_is_none(project: Project) -> None:
    record(project, {"lr": 0.1}, {"rmse": 20.0})
    record(project, {"depth": 2}, {"rmse": 20.0})
    assert "depth: none → 2  lr: 0.1 → none" in project.gitexp("tree")


def test_the_book_in_a_file_is_the_same_in_every_time_zone(line: Project) -> None:
    east, west = {"TZ": "EAST-14"}, {"TZ": "WEST11"}  # never the same day
    line.gitexp("book", "BOOK.md", env=east)
    line.gitexp("book", "BOOK.md", "--check", env=west)
    times = [line.gitexp("compare", "1", "2", "--same", env=env) for env in (east, west)]
    assert times[0] != times[1]


def test_the_book_shows_pictures_and_copies_each_once(line: Project) -> None:
    pictures = {"images/roc/2.png": b"old", "images/roc/10.png": b"new", "p (1).svg": b"<svg/>"}
    made = record(line, {}, {"rmse": 1.0}, artifacts={**pictures, "model.bin": b"1"})
    line.gitexp("book", "BOOK.md")
    text = (line.root / "BOOK.md").read_text()
    shown = [f"BOOK.pictures/{made.short}-{name}" for name in ("images-roc-10.png", "p (1).svg")]
    for path in shown:
        assert f"![]({path.replace(' ', '%20').replace('(', '%28').replace(')', '%29')})" in text
    assert [(line.root / path).read_bytes() for path in shown] == [b"new", b"<svg/>"]
    assert len([*(line.root / "BOOK.pictures").iterdir()]) == 2
    (line.root / shown[0]).write_bytes(b"cropped")
    line.gitexp("book", "BOOK.md")
    assert (line.root / shown[0]).read_bytes() == b"cropped"
    assert "- pictures: images/roc/10.png, p (1).svg" in line.gitexp("book")
    line.commit("book")
    record(line, {}, {"rmse": 2.0})
    assert "BOOK" not in line.gitexp("tree", "--json")


def test_the_book_in_a_link_leaves_the_link_and_a_device_is_refused(line: Project) -> None:
    line.write("docs/BOOK.md", "# Ours\n")
    (line.root / "BOOK.md").symlink_to("docs/BOOK.md")
    line.gitexp("book", "BOOK.md")
    assert (line.root / "BOOK.md").is_symlink()
    assert "exp-3" in (line.root / "docs/BOOK.md").read_text()
    os.mkfifo(line.root / "pipe")
    assert "not a regular file" in line.error("book", "pipe")


def test_an_empty_repository_has_an_empty_book_and_tree(empty: Project) -> None:
    assert empty.gitexp("tree") == ""
    assert empty.gitexp("book") == "# Lab book\n"


def test_an_earlier_reason_is_kept_or_said(project: Project) -> None:
    project.gitexp("log", "--metric", "loss=1")
    project.gitexp("discard", "exp-1", "--because", "diverges")
    project.gitexp("discard", "exp-1")
    assert "diverges" in project.gitexp("show", "exp-1")
    done = project.run("keep", "exp-1")
    assert "exp-1 was discarded: diverges" in done.stderr
    assert "diverges" not in project.gitexp("show", "exp-1")
