"""What several threads or processes write at once is all there afterwards, and who looks meanwhile
sees it whole."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Project
from gitexp.repo import Repo
from gitexp.report import server
from gitexp.runs import checkpoints, journal, process_group
from gitexp.store import clone, result_paths
from gitexp.sweeps import worker
from recording import record

MANY = range(40)


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Let threads take turns at every step."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(what: Callable[[int], Any]) -> list[Any]:
    """Return what a function gives for many numbers, eight of them in the same moment."""
    together = threading.Barrier(8)

    def one(at: int) -> Any:
        together.wait()
        return what(at)

    with ThreadPoolExecutor(8) as pool:
        return [*pool.map(one, MANY)]


@pytest.mark.filterwarnings("ignore:gitexp. warning")
def test_what_threads_say_of_a_run_is_all_recorded(project: Project) -> None:
    with gitexp.start_run() as run:

        def say(at: int) -> None:
            run.set_label(f"label-{at}")
            run.set_fact(f"Fact-{at}", at)
            run.add_facts("warnings", [f"warning {at}"])
            run.set_condition("mlflow", {f"condition-{at}": at})
            run.log_table({"a": [at]}, "table")

        at_once(say)
        known = journal.facts(run.folder)
        assert len(known["warnings"]) == len(MANY)
    found = gitexp.get("exp-1")
    assert len(found.labels) == len(found.extra["mlflow"]) == len(MANY)
    assert project.git("log", "-1", "--format=%B").count("Gitexp-Fact-") == len(MANY)
    tables = project.git("ls-tree", "--name-only", "HEAD", ".gitexp/artifacts/tables/table/")
    assert len(tables.split()) == len(MANY)


def test_checkpoints_of_several_threads_are_kept_whole(project: Project) -> None:
    repo = Repo.discover(project.root)
    for at in MANY:
        for name in ("weights", "state"):
            project.write(f"step-{at}/{name}", f"{at}")
    at_once(lambda at: checkpoints.keep(repo, "one", project.root / f"step-{at}", at))
    top = repo.state_dir / "checkpoints/one"
    kept = {path.name: sorted(path.rglob("*/*")) for path in top.glob("*-*")}
    assert len({name.partition("-")[0] for name in kept}) == len(kept)
    for name, files in kept.items():
        assert [file.read_text() for file in files] == [name.partition("-")[2]] * 2


def test_a_checkpoint_that_is_being_taken_over_is_seen_whole(project: Project) -> None:
    repo = Repo.discover(project.root)
    for name in range(1000):
        project.write(f"model/{name}", "1")
    checkpoints.keep(repo, "one", project.root / "model", 1)
    taking = threading.Thread(target=checkpoints.take_over, args=(repo, "one", "two", None))
    taking.start()
    seen = set()
    while taking.is_alive():
        if found := checkpoints.last(repo, "two"):
            seen.add(len([*found.path.iterdir()]))
    taking.join()
    assert seen <= {1000}
    assert checkpoints.last(repo, "two")


def test_two_first_pushes_are_of_one_clone(project: Project) -> None:
    repo = Repo.discover(project.root)
    found = at_once(lambda at: clone.ensure(repo, f"remote-{at}", None))
    known = clone.load(repo)
    assert known is not None
    assert {item.id for item, _ in found} == {known.id}
    assert len(known.owners) == len(MANY)


def test_params_files_that_are_brought_at_once_are_all_ours(project: Project) -> None:
    repo = Repo.discover(project.root)

    def bring(at: int) -> None:
        for turn in range(5):
            result_paths.adopt(repo, project.write(f"{at}/{turn}/params.yml", "a: 1\n").as_posix())

    at_once(bring)
    assert len(result_paths._written(repo)) == 5 * len(MANY)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        (worker.STOP, lambda folder: worker.ask_to_stop(folder, worker.PRUNED)),
        (process_group.GROUP, lambda folder: process_group.note(folder, 12345)),
    ],
    ids=["stop", "group"],
)
def test_a_small_note_is_never_seen_empty(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path)

    def often() -> None:
        for _ in range(500):
            write(tmp_path)

    writing = threading.Thread(target=often)
    writing.start()
    seen = set()
    while writing.is_alive():
        seen.add((tmp_path / name).read_text())
    writing.join()
    assert len(seen) == 1


def test_each_edit_of_the_page_has_a_number_of_its_own(project: Project) -> None:
    made = record(project, {"lr": 1}, {"rmse": 1.0})
    live = server.Live(Repo.discover(project.root))
    numbers = at_once(lambda at: live.edit({"commits": [made.id], "label": f"+label-{at}"}))
    assert sorted(numbers) == [at + 1 for at in MANY]
    at_once(lambda at: live.edit({"undo": numbers[at]}) if at % 2 else None)
    assert sorted(gitexp.get("exp-1").labels) == sorted(f"label-{at}" for at in MANY if not at % 2)
