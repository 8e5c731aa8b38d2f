"""What people may call an experiment, and what they hear when there is none of that name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest

from conftest import Project
from gitexp.formats.errors import GitexpError, NotFoundError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.settings import Settings
from gitexp.repo import Repo
from gitexp.store import reference
from gitexp.store.index import Index
from recording import record

NOW = datetime.now(timezone.utc)


@dataclass(frozen=True)
class World:
    project: Project
    index: Index
    made: dict[str, Experiment]

    def name(self, ref: str, settings: Settings = Settings()) -> str:  # noqa: B008 - frozen
        return reference.resolve(self.index, ref, settings).name

    def names(self, *refs: str) -> list[str]:
        return [item.name for item in reference.resolve_many(self.index, refs, Settings())]

    def refused(self, *refs: str) -> GitexpError:
        with pytest.raises(GitexpError) as caught:
            reference.resolve_many(self.index, refs, Settings())
        return caught.value


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Four experiments of one's own and two on a remote, one of which is the first of one's own."""
    with pytest.MonkeyPatch.context() as patch:
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Ada")
            patch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")
        project = Project(tmp_path_factory.mktemp("reference"))
        project.git("init", "-q", "-b", "main")
        project.commit("start", train_py="1\n")
        made = [
            record(project, {"lr": 1}, {"rmse": 3.0, "size": 7}, NOW - timedelta(hours=9)),
            record(project, {"lr": 2}, {"rmse": 1.0, "size": 8}, NOW - timedelta(hours=8)),
            record(project, {"lr": 3}, {"rmse": 2.0}, NOW - timedelta(hours=7), name="baseline"),
            record(project, {"lr": 4}, {"rmse": float("nan")}, NOW - timedelta(hours=6)),
            record(project, {"lr": 5}, {"rmse": 0.1}, NOW - timedelta(hours=5)),
        ]
        project.git("update-ref", "refs/gitexp/remotes/origin/exp-4", made[4].tag)
        project.git("update-ref", "refs/gitexp/remotes/origin/exp-1", made[0].tag)
        project.git("update-ref", "-d", "refs/tags/exp-4")
        yield World(project, Index(Repo.discover(project.root)), {item.name: item for item in made})


def test_names_numbers_and_positions(world: World) -> None:
    assert world.name("exp-1") == world.name("1") == world.name("01") == "exp-1"
    assert world.name("baseline") == world.name("@~1") == "baseline"
    assert world.name("@") == world.name("@~0") == "exp-3"
    assert world.name("@~") == "baseline"
    assert world.name("origin/exp-4") == "origin/exp-4"
    assert world.name("origin/exp-1") == "origin/exp-1"


def test_the_latest_is_the_search_that_a_user_began_and_none_of_its_trials(
    project: Project,
) -> None:
    project.commit("start", train_py="1\n")
    record(project, started=NOW - timedelta(hours=4), name="before")
    record(
        project, started=NOW - timedelta(hours=3), name="search", extra={"mlflow": {"run": "a1"}}
    )
    record(
        project,
        started=NOW - timedelta(hours=2),
        name="trial",
        extra={"mlflow": {"run": "b2", "parent": "a1"}},
    )

    def found(ref: str) -> str:
        return reference.resolve(Index(Repo.discover(project.root)), ref, Settings()).name

    assert [found(ref) for ref in ("@", "@~1", "trial")] == ["search", "before", "trial"]
    record(
        project,
        started=NOW - timedelta(hours=1),
        name="orphan",
        extra={"mlflow": {"run": "c3", "parent": "never recorded"}},
    )
    assert found("@") == "orphan", "what has no run around it here is somebody's latest"


def test_commits_by_prefix_and_by_whatever_git_resolves(world: World) -> None:
    two = world.made["exp-2"].id
    assert world.name(two) == world.name(two[:7]) == world.name(two[:12].upper()) == "exp-2"
    assert world.name("exp-2~0") == world.name("baseline^") == "exp-2"
    assert world.name("HEAD") == "origin/exp-4"
    # and not origin/exp-1, the same commit
    assert world.name(world.made["exp-1"].id[:10]) == "exp-1"


def test_the_best_and_the_worst(world: World) -> None:
    assert world.name("best:rmse") == world.name("best:metrics.rmse") == "exp-2"
    assert world.name("worst:rmse") == "exp-1"
    assert world.name("best:rmse", Settings(metrics={"rmse": "max"})) == "exp-1"
    assert world.name("worst:size", Settings(metrics={"size": "max"})) == "exp-1"


def test_an_unknown_direction_says_how_to_set_it(world: World) -> None:
    error = world.refused("best:size")
    assert isinstance(error, UsageError)
    assert '"size" = "min"' in str(error)
    assert "[tool.gitexp.metrics]" in str(error)


def test_ranges_go_by_time_and_include_both_ends(world: World) -> None:
    assert (
        world.names("exp-1..exp-3")
        == world.names("3..1")
        == ["exp-1", "exp-2", "baseline", "exp-3"]
    )
    assert world.names("baseline..") == ["baseline", "exp-3"]
    assert world.names("..2") == ["exp-1", "exp-2"]
    assert world.names("@", "2..baseline", "2") == ["exp-3", "exp-2", "baseline"]
    assert world.names("3..origin/exp-4") == ["exp-3", "origin/exp-4"]


@pytest.mark.parametrize(
    ("ref", "kind", "said"),
    [
        ("exp-22", NotFoundError, "there is no experiment 'exp-22'. Did you mean 'exp-2'?"),
        ("77", NotFoundError, "there is no experiment 'exp-77'."),
        ("basline", NotFoundError, "there is no experiment 'basline'. Did you mean 'baseline'?"),
        ("main~5", NotFoundError, "is a commit, "),
        (
            "@~99",
            NotFoundError,
            "there is no experiment @~99, only 4 in all; to see them: gitexp list",
        ),
        ("best:rmsee", NotFoundError, "no experiment has a metric 'rmsee'. Did you mean 'rmse'?"),
        ("best:", NotFoundError, "no experiment has a metric ''."),
        ("..", UsageError, "'..' has no end; write exp-3..exp-7"),
        ("1..zzz", NotFoundError, "there is no experiment 'zzz'"),
        ("", NotFoundError, "there is no experiment ''"),
        ("--all", NotFoundError, "there is no experiment '--all'"),
        ("a\nb", NotFoundError, "there is no experiment"),
        ("9" * 40, NotFoundError, "there is no experiment"),
        ("\udcff", NotFoundError, "there is no experiment"),
    ],
)
def test_what_is_not_there_is_one_clear_error(
    world: World, ref: str, kind: type[GitexpError], said: str
) -> None:
    error = world.refused(ref)
    assert type(error) is kind
    assert said in str(error)


def test_one_experiment_is_not_a_range(world: World) -> None:
    with pytest.raises(UsageError, match="is a range"):
        world.name("1..2")


def test_a_prefix_that_fits_several_names_them(project: Project) -> None:
    """Commit hashes cannot be chosen, so a tag each for many commits makes some share four digits
    sooner or later; here a short cut."""
    made = [record(project, {"n": at}, advance=False) for at in range(3)]
    index = Index(Repo.discover(project.root))
    index._db.execute(
        'UPDATE tag SET "commit" = ? WHERE id = ?', ["beef1" + made[0].id[5:], made[0].tag]
    )
    index._db.execute(
        'UPDATE tag SET "commit" = ? WHERE id = ?', ["beef2" + made[1].id[5:], made[1].tag]
    )
    with pytest.raises(
        NotFoundError, match=r"'beef' fits 2 commits: (exp-1, exp-2|exp-2, exp-1); write more of it"
    ):
        reference.resolve(index, "beef", Settings())
    assert reference.resolve(index, "beef2", Settings()).name == "exp-2"


def test_an_empty_repository_says_so(project: Project) -> None:
    index = Index(Repo.discover(project.root))
    for ref in ("@", "exp-1", "best:rmse"):
        with pytest.raises(NotFoundError):
            reference.resolve(index, ref, Settings())


def test_best_without_a_metric_says_how_it_is_written(project: Project) -> None:
    project.gitexp("log", "--metric", "loss=1")
    assert "best:METRIC" in project.error("show", "best", code=3)
