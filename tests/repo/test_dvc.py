"""Data with DVC: what a recording says of it, how it comes back, and that nobody else pays for it.

Each DVC process takes a second, so one repository is prepared for all and copied, and a test asks
DVC as little as it can.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import gitexp
from conftest import Project
from gitexp.formats.errors import GitexpError, UsageError
from gitexp.repo import Repo, dvc, dvc_pointers, dvc_status

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("dvc"),
    pytest.mark.skipif(not find_spec("dvc"), reason="dvc is not installed"),
]
OURS = "data/raw.csv", "data/imgs", "prep.csv"
CONFIG = "[core]\n    analytics = false\n    check_update = false\n    remote = store\n['remote \"store\"']\n    url = ../../store\n"
PIPELINE = """\
stages:
  prep:
    cmd: python prep.py
    deps: [data/raw.csv]
    outs: [prep.csv]
"""


def run_dvc(folder: Path, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *args],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC keeps state outside of the repository, by itself in /var/tmp."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)


def environment(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"DVC_SITE_CACHE_DIR": str(folder / "site"), "DVC_NO_ANALYTICS": "1", "PATH": path}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a tracked file, a tracked folder, and a pipeline that was run."""
    folder = tmp_path_factory.mktemp("prepared")
    made = Project(folder / "project")
    made.write(".dvc/config", CONFIG)
    made.write(".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")
    made.write("data/raw.csv", "1\n2\n")
    for name in "abc":
        made.write(f"data/imgs/{name}.png", f"picture {name}\n")
    made.write("dvc.yaml", PIPELINE)
    made.write("prep.py", "open('prep.csv', 'w').write(open('data/raw.csv').read() * 2)\n")
    made.write("train.py", "print('training')\n")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        made.git("init", "-q", "-b", "main")
        run_dvc(made.root, "add", "-q", "data/raw.csv", "data/imgs")
        run_dvc(made.root, "repro", "-q")
        made.git("add", "-A")
        made.git(
            "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "data"
        )
    for path in OURS:  # old enough to be trusted
        os.utime(made.root / path, (1e9, 1e9))
    return made.root


@pytest.fixture
def data(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    shutil.copytree(prepared, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(tmp_path / "project")
    made = Project(tmp_path / "project")
    repo = Repo.discover(made.root)
    looks = {path: dvc_status._look(made.root / path) for path in dvc_pointers.in_work_tree(repo)}
    known = {
        path: [item.hash, look[0], False]
        for path, item in dvc_pointers.in_work_tree(repo).items()
        if (look := looks[path])
    }
    dvc_status._remember(repo, known)
    return made


def test_a_recording_names_its_data_and_asks_dvc_nothing_while_it_is_unchanged(
    data: Project,
) -> None:
    data.write(".dvc/config", "this is not a configuration, so DVC would fail")
    done = data.run("log", "-M", "rmse=1")
    assert done.returncode == 0
    assert "warning" not in done.stderr
    known = gitexp.get("@").extra["data"]
    assert set(known) == set(OURS)
    assert known["data/raw.csv"] == "md5:6ddb4095eb719e2a9f0a3f95677d24e0"
    shown = json.loads(data.gitexp("show", "--json"))["data"]
    assert [item["files"] for item in shown if item["path"] == "data/imgs"] == [3]
    assert "md5:6ddb4095eb719e2a9f0a3f95677d24e0" in data.gitexp("show")
    data.write("data/raw.csv", "1\n2\n")
    assert "warning" not in data.run("log", "-M", "rmse=2").stderr, "touched, and still the same"
    data.write("data/raw.csv", "3\n")
    assert "whether its data changed is not known" in data.run("log", "-M", "rmse=2").stderr, (
        "DVC is asked once data looks different"
    )


def test_changed_data_is_told_and_recorded_as_such(data: Project) -> None:
    os.utime(data.write("data/raw.csv", "3\n"), (1.2e9, 1.2e9))
    before = data.git("status", "--porcelain")
    done = data.run("log", "-M", "rmse=1", "--no-advance")
    assert "data/raw.csv changed since the last dvc commit" in done.stderr
    assert "dvc_commit = true" in done.stderr
    assert gitexp.get("@").extra["data_stale"] == ["data/raw.csv"]
    assert data.git("status", "--porcelain") == before
    assert 'Gitexp-Data-Stale: ["data/raw.csv"]' in data.git("log", "-1", "--format=%B", "exp-1")
    assert "not committed in DVC" in data.gitexp("show")
    data.write(".dvc/config", "this is not a configuration, so DVC would fail")
    assert "data/raw.csv changed since" in data.run("log", "-M", "rmse=2").stderr, (
        "known, without asking DVC again"
    )


def test_with_the_setting_changed_data_is_committed_and_a_checkout_brings_the_old_back(
    data: Project,
) -> None:
    data.gitexp("log", "-M", "rmse=1")
    data.commit("settings", **{"_gitexp_toml": "dvc_commit = true\n"})
    data.write("data/raw.csv", "3\n")
    data.write("data/imgs/d.png", "picture d\n")
    (data.root / "data/imgs/a.png").unlink()
    assert (
        "not compared: data/raw.csv (looks changed since the last dvc commit)"
        in data.run("diff", "@").stderr
    )
    done = data.run("log", "-M", "rmse=2")
    assert "warning" not in done.stderr
    assert "committed in DVC: data/imgs, data/raw.csv" in done.stderr
    assert data.git("status", "--porcelain") == ""
    found = {item.path: item for item in gitexp.diff("exp-1", "exp-2").data}
    assert (found["data/raw.csv"].size_a, found["data/raw.csv"].size_b) == (4, 2)
    assert (found["data/imgs"].added, found["data/imgs"].removed) == (("d.png",), ("a.png",))
    assert "+d.png, -a.png" in data.gitexp("diff", "1", "2")

    done = data.run("checkout", "1")
    assert (data.root / "data/raw.csv").read_text() == "1\n2\n"
    assert sorted(path.name for path in (data.root / "data/imgs").iterdir()) == [
        "a.png",
        "b.png",
        "c.png",
    ]
    assert "to undo it: gitexp checkout main && dvc checkout" in done.stderr
    data.gitexp("checkout", "2", "--no-data")
    assert (data.root / "data/raw.csv").read_text() == "1\n2\n"
    data.gitexp("sweep", "-p", "lr=1,2", "--group", "rates", "--", "python", "train.py")
    made = gitexp.get("@")
    assert made.group == "rates"
    assert made.extra["data"]["data/raw.csv"] == gitexp.get("1").extra["data"]["data/raw.csv"], (
        "what lay there"
    )


def test_a_checkout_stops_before_data_that_is_in_no_cache_is_lost(data: Project) -> None:
    data.gitexp("log", "-M", "rmse=1")
    pointer = (data.root / "data/raw.csv.dvc").read_text()
    data.commit("other data", **{"data/raw_csv_dvc": pointer.replace("6ddb", "7ddb")})
    data.write("data/raw.csv", "only here\n")
    said = data.error("checkout", "1")
    assert "data that is not committed would be lost: 'data/raw.csv'" in said
    assert (data.root / "data/raw.csv").read_text() == "only here\n"
    assert data.git("symbolic-ref", "--short", "HEAD") == "main"


def test_changed_data_that_stays_is_named(data: Project) -> None:
    data.gitexp("log", "-M", "rmse=1")
    data.gitexp("log", "-M", "rmse=2")
    assert "data" not in data.run("checkout", "1").stderr
    data.write("data/raw.csv", "only here\n")
    said = data.run("checkout", "2").stderr
    assert "changed since the last dvc commit, left as it is: 'data/raw.csv'; to bring" in said
    assert (data.root / "data/raw.csv").read_text() == "only here\n"


def test_data_that_is_nowhere_is_named_and_the_code_is_checked_out(data: Project) -> None:
    data.gitexp("log", "-M", "rmse=1")
    data.commit("later", later_py="1\n")
    (data.root / "data/raw.csv").unlink()
    shutil.rmtree(data.root / ".dvc/cache")
    done = data.run("checkout", "1")
    assert done.returncode == 0
    assert "neither in DVC's cache nor on its remote: 'data/raw.csv'" in done.stderr
    assert "dvc pull data/raw.csv" in done.stderr
    assert not (data.root / "later.py").exists()


def test_get_brings_what_a_pointer_stands_for(data: Project, tmp_path: Path) -> None:
    data.gitexp("log", "-M", "rmse=1")
    out = tmp_path / "out"
    data.gitexp("get", "1", "data/raw.csv", "data/imgs", "-o", str(out))
    assert (out / "raw.csv").read_text() == "1\n2\n"
    assert (out / "imgs/b.png").read_text() == "picture b\n"
    assert not (out / "imgs/b.png").is_symlink()
    shutil.rmtree(data.root / ".dvc/cache")
    said = data.error("get", "1", "data/raw.csv", "-o", str(tmp_path / "no"), code=3)
    assert "'data/raw.csv' is neither in DVC's cache nor on its remote" in said
    assert not (tmp_path / "no").exists()


def test_a_large_artifact_becomes_a_pointer_and_travels_through_the_remote(
    data: Project, tmp_path: Path
) -> None:
    data.commit("settings", **{"_gitexp_toml": "max_file_size = '1kB'\n"})
    data.write("model.pt", os.urandom(5000))
    before = data.git("status", "--porcelain"), data.git("ls-files", "-s")
    data.gitexp("log", "-M", "rmse=1", "--artifact", "model.pt", "--no-advance")
    assert (data.git("status", "--porcelain"), data.git("ls-files", "-s")) == before
    made = gitexp.get("@")
    assert made.extra["artifacts"] == ["model.pt.dvc"]
    assert b"size: 5000" in made.read("model.pt.dvc")
    assert "model.pt" not in data.git("ls-tree", "--name-only", "exp-1").split()

    data.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    data.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    data.git("push", "-q", "-u", "origin", "main")
    assert "data: 4 files and folders are on DVC's remote" in data.run("push").stderr
    data.git("clone", "-q", "--no-tags", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    assert "data: 4 files and folders are in DVC's cache" in clone.run("pull").stderr
    shutil.move(tmp_path / "store", tmp_path / "away")
    clone.gitexp("checkout", "origin/exp-1")
    assert (clone.root / "model.pt").read_bytes() == (data.root / "model.pt").read_bytes()
    assert (clone.root / "data/imgs/c.png").exists()
    done = clone.run("log", "-M", "rmse=2")
    assert "kept by DVC, see model.pt.dvc" in done.stderr, (
        "it is untracked, and for git still too large"
    )
    assert not list((data.root / ".git/gitexp").glob("dvc-*"))


def test_a_run_keeps_a_large_artifact_as_it_was_when_it_was_logged(data: Project) -> None:
    data.commit("settings", **{"_gitexp_toml": "max_file_size = '1kB'\n"})
    model = data.write("out/model.pt", b"first" * 1000)
    with gitexp.start_run() as run:
        run.log_artifact(model)
        model.write_bytes(b"later" * 1000)
        big = data.write("data/imgs/big.png", b"x" * 2000)
        with pytest.raises(UsageError, match=r"part of what data/imgs\.dvc tracks"):
            run.log_artifact(big)
    assert run.experiment
    assert data.git("status", "--porcelain") == "?? out/model.pt", (
        "its pointer is there, as the branch moved"
    )
    repo = Repo.discover(data.root)
    kept = dvc_pointers.of_commit(repo, run.experiment.id)["out/model.pt"]
    assert (
        data.root / ".dvc/cache/files/md5" / kept.oid[:2] / kept.oid[2:]
    ).read_bytes() == b"first" * 1000


def test_what_a_pipeline_made_belongs_to_the_run_that_made_it(data: Project) -> None:
    data.commit("other", prep_py="open('prep.csv', 'w').write('other')\n")
    data.gitexp("run", "--", "dvc", "repro", "-q", "--force")
    made = gitexp.get("@")
    kept = dvc_pointers.of_commit(Repo.discover(data.root), made.id)["prep.csv"]
    assert kept.size == 5
    assert made.extra["data"]["prep.csv"] == kept.hash
    assert data.git("status", "--porcelain") == ""


def test_a_pipeline_that_is_up_to_date_runs_to_be_reproduced(data: Project) -> None:
    script = "open('score.json', 'w').write('{\"rmse\": 2}'); print('it runs')"
    data.write("prep.py", f"open('prep.csv', 'w').write('b')\n{script}\n")
    data.write("dvc.yaml", PIPELINE + "    metrics: [{score.json: {cache: false}}]\n")
    data.gitexp("run", "--", "dvc", "repro", "-q")
    done = data.run("reproduce", "exp-1", "--yes")
    assert "same: exp-1" in done.stdout
    assert "it runs" in done.stdout + done.stderr


def test_reproducing_brings_the_data_of_that_time(data: Project) -> None:
    data.write(
        "train.py",
        "open('metrics.csv', 'w').write('Name,Value,Timestamp,Step\\nn,%d,1,0\\n' % len(open('data/raw.csv').read()))\n",
    )
    data.gitexp("run", "--", "python", "train.py")
    data.write("data/raw.csv", "now it is longer\n")
    before = data.git("status", "--porcelain"), (data.root / "data/raw.csv").read_text()
    assert "same: exp-1" in data.gitexp("reproduce", "exp-1", "--yes")
    assert (data.git("status", "--porcelain"), (data.root / "data/raw.csv").read_text()) == before
    shutil.rmtree(data.root / ".dvc/cache")
    done = data.run("reproduce", "exp-1", "--yes")
    assert done.returncode == 125
    assert (
        "its data is neither in DVC's cache nor on a remote: data/imgs, data/raw.csv" in done.stderr
    )
    assert not list((data.root / ".git/gitexp/worktrees").iterdir())


def test_a_drift_from_data_that_was_never_committed_is_explained(data: Project) -> None:
    data.write(
        "train.py",
        "open('metrics.csv', 'w').write('Name,Value,Timestamp,Step\\nn,%d,1,0\\n' % len(open('data/raw.csv').read()))\n",
    )
    data.write("data/raw.csv", "only ever here\n")
    data.gitexp("run", "--", "python", "train.py")
    assert "input data changed: data/raw.csv (was not committed in DVC)" in data.gitexp(
        "reproduce", "exp-1", "--yes", code=1
    )


def test_verify_holds_the_recorded_hashes_against_the_pointers(data: Project) -> None:
    data.gitexp("log", "-M", "rmse=1")
    data.gitexp("verify", "exp-1")
    message = data.git("cat-file", "tag", "exp-1").replace("md5:6ddb", "md5:7ddb")
    forged = subprocess.run(
        ["git", "mktag"],
        input=message + "\n",
        cwd=data.root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    data.git("update-ref", "refs/tags/exp-1", forged)
    assert "data data/raw.csv is md5:7ddb" in data.gitexp("verify", "exp-1", code=1)


def test_dvc_itself_reads_what_gitexp_wrote(data: Project) -> None:
    data.write("metrics.json", '{"rmse": 1.5}')
    data.gitexp("log", "-p", "lr=0.1", "-p", "model.depth=3", "--metrics-file", "metrics.json")
    data.gitexp("log", "-p", "lr=1e-3", "-p", "model.depth=3", "-M", "rmse=2@0", "-M", "rmse=1@1")
    found = json.loads(
        run_dvc(data.root, "params", "diff", "exp-1", "exp-2", "--targets", "params.yml", "--json")
    )
    assert found["params.yml"]["lr"] == {"old": 0.1, "new": 0.001, "diff": -0.099}
    assert json.loads(run_dvc(data.root, "metrics", "show", "metrics.json", "--json"))[""]["data"][
        "metrics.json"
    ]["data"] == {"rmse": 1.5}
    drawn = json.loads(
        run_dvc(data.root, "plots", "show", "metrics.csv", "--json", "-x", "Step", "-y", "Value")
    )
    values = drawn["data"]["metrics.csv"][0]["content"]["data"]["values"]
    assert [(row["Name"], row["Value"]) for row in values] == [("rmse", "2"), ("rmse", "1")]


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_on_a_terminal_it_asks_once(data: Project) -> None:
    import pty

    def answered(*args: str) -> str:
        reader, writer = pty.openpty()
        program = [sys.executable, "-m", "gitexp", *args]
        with subprocess.Popen(
            program,
            stdin=writer,
            stdout=writer,
            stderr=writer,
            cwd=data.root,
            start_new_session=True,
        ) as process:
            os.write(reader, b"n\n")
            os.close(writer)
            said = b""
            try:
                while part := os.read(reader, 65536):
                    said += part
            except OSError:  # how Linux ends a pseudo-terminal
                pass
        os.close(reader)
        assert process.returncode == 0, said
        return said.decode()

    data.write("data/raw.csv", "3\n")
    said = answered("log", "-M", "rmse=1")
    assert "Run `dvc commit` for changed data before each recording?" in said
    assert "dvc_commit = false in .gitexp.toml" in said
    data.write("data/raw.csv", "3, and more\n")
    assert "dvc commit" not in answered("log", "-M", "rmse=2"), "neither asked nor told again"
    assert gitexp.get("@").extra["data_stale"] == ["data/raw.csv"]


def test_a_remote_that_is_away_stops_a_push_and_a_link_out_of_the_repository_a_checkout(
    data: Project, tmp_path: Path
) -> None:
    data.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    data.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    (tmp_path / "store").write_text("a file, where the remote's folder should be")
    data.gitexp("log", "-M", "rmse=1", "--no-advance")
    said = data.error("push")
    assert (
        "nothing was pushed; to push the experiments without their data: gitexp push --no-data"
        in said
    )
    assert data.git("ls-remote", "origin") == ""
    assert "pushed 1 experiment" in data.gitexp("push", "--no-data")

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/raw.csv").write_text("mine")
    pointer = (data.root / "data/raw.csv.dvc").read_text()
    data.write("out/raw.csv.dvc", pointer)
    data.gitexp("log", "-M", "rmse=2")
    shutil.rmtree(data.root / "out")
    (data.root / "out").symlink_to(tmp_path / "mine")
    found = dvc_pointers.of_commit(Repo.discover(data.root), "exp-2")["out/raw.csv"]
    with pytest.raises(GitexpError, match="behind a link"):
        dvc.checkout(Repo.discover(data.root), data.root, [found])
    assert (tmp_path / "mine/raw.csv").read_text() == "mine"
