"""DagsHub as a remote, with a real git server that asks for a password: the token opens it and is
written nowhere."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from conftest import Project
from git_server import TOKEN, USER, serving
from gitexp.formats.errors import UsageError
from gitexp.integrations import dagshub_remote
from gitexp.integrations.dagshub_remote import HOST, Home
from gitexp.repo import Repo, dvc, dvc_pointers
from recording import record

CONFIG = "[core]\n    analytics = false  # mine\n['remote \"old\"']\n    url = /tmp/x\n"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A host with the empty repository ada/nets, and an environment that knows it and the token."""
    monkeypatch.setenv("DAGSHUB_CLIENT_TOKENS_CACHE", str(tmp_path / "tokens"))
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "served/ada/nets.git"], check=True)
    subprocess.run(
        ["git", "-C", tmp_path / "served/ada/nets.git", "config", "http.receivepack", "true"],
        check=True,
    )
    with serving(tmp_path / "served") as address:
        monkeypatch.setenv("DAGSHUB_CLIENT_HOST", address.rstrip("/"))
        monkeypatch.setenv("DAGSHUB_USERNAME", USER)
        yield address.rstrip("/")


def everything(folder: Path) -> bytes:
    """Return all that lies in a repository's folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("way", ["variable", "login"])
def test_git_itself_gets_the_token_and_nobody_else_does(
    project: Project, hub: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "variable":
        monkeypatch.setenv("DAGSHUB_USER_TOKEN", TOKEN)
    else:
        item = {"access_token": TOKEN, "expiry": "never", "token_type": "app-token"}
        Path(os.environ["DAGSHUB_CLIENT_TOKENS_CACHE"]).write_text(
            yaml.dump({"version": "1", hub: [item]})
        )
    made = record(project, metrics={"rmse": 1})
    done = project.run("remote", "dagshub", "ada/nets")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"git: added the remote origin, {hub}/ada/nets.git"
    pushed = project.run(
        "push", env={"GIT_TRACE": "1", "GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1"}
    )
    assert pushed.returncode == 0, pushed.stderr
    trace = subprocess.run(
        ["git", "fetch"],
        cwd=project.root,
        capture_output=True,
        text=True,
        env={**os.environ, "GIT_TRACE": "1"},
    )
    assert trace.returncode == 0, trace.stderr
    assert "dagshub-credential" in trace.stderr
    assert TOKEN not in done.stdout + done.stderr + pushed.stdout + pushed.stderr + trace.stderr
    assert TOKEN.encode() not in everything(project.root)
    assert TOKEN.encode() not in b"".join(
        path.read_bytes() for path in Path(os.environ["HOME"]).rglob("*") if path.is_file()
    )
    assert made.id in project.git("ls-remote", "origin")


def test_no_other_helper_gets_to_store_the_token(
    project: Project, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSHUB_USER_TOKEN", TOKEN)
    project.git("config", "--global", "credential.helper", "store")
    project.gitexp("remote", "dagshub", "ada/nets")
    record(project, metrics={"rmse": 1})
    project.gitexp("push")
    assert not (Path(os.environ["HOME"]) / ".git-credentials").exists()


def test_a_wrong_token_is_one_line_without_it(
    project: Project, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSHUB_USER_TOKEN", "wr0ng")
    project.gitexp("remote", "dagshub", "ada/nets")
    record(project, metrics={"rmse": 1})
    said = project.error("push")
    assert said.startswith("origin refused the login")
    assert "wr0ng" not in said


def test_the_helper_answers_for_its_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"DAGSHUB_USER_TOKEN": "t0ken"}
    ask = dagshub_remote.answer
    assert (
        ask("protocol=https\nhost=dagshub.com\n", HOST, known) == "username=t0ken\npassword=t0ken\n"
    )
    assert (
        ask("protocol=https\nhost=dagshub.com\n", HOST, {**known, "DAGSHUB_USERNAME": "ada"})
        == "username=ada\npassword=t0ken\n"
    )
    for other in (
        "protocol=http\nhost=dagshub.com",
        "protocol=https\nhost=dagshub.com.evil.org",
        "protocol=https\nhost=dagshub.com:8443",
        "",
    ):
        assert ask(other, HOST, known) == ""
    assert (
        ask(
            "protocol=https\nhost=dagshub.com",
            HOST,
            {**known, "DAGSHUB_CLIENT_HOST": "https://hub.example.org"},
        )
        == ""
    )
    assert (
        ask("protocol=https\nhost=dagshub.com", HOST, {"DAGSHUB_USER_TOKEN": "a\nhost=evil"}) == ""
    )


def test_the_helper_runs_nothing_of_the_repository_that_git_works_in(
    project: Project, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSHUB_USER_TOKEN", TOKEN)
    project.gitexp("remote", "dagshub", "ada/nets")
    for name in ("gitexp/__init__.py", "gitexp/__main__.py", "click.py", "yaml.py"):
        project.write(name, "open('ran', 'w')\nraise SystemExit")
    asked = subprocess.run(
        ["git", "credential", "fill"],
        cwd=project.root,
        input=f"url={hub}\n",
        capture_output=True,
        text=True,
        env=without_path(),
    )
    assert f"password={TOKEN}" in asked.stdout
    assert not (project.root / "ran").exists()


def without_path() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_setting_it_up_twice_changes_nothing_and_another_remote_is_left_alone(
    project: Project, hub: str
) -> None:
    project.git("remote", "add", "origin", "https://example.org/a.git")
    assert "added the remote dagshub" in project.gitexp("remote", "dagshub", "ada/nets")
    before = (project.root / ".git/config").read_text()
    assert "there is already the remote dagshub" in project.gitexp(
        "remote", "dagshub", f"{hub}/ada/nets"
    )
    assert (project.root / ".git/config").read_text() == before
    said = project.error("remote", "dagshub", "ada/other")
    assert (
        said
        == "there is a remote 'dagshub' already, with another address; choose another name: --name NAME"
    )
    assert project.git("remote", "get-url", "origin") == "https://example.org/a.git"


def test_a_helper_that_somebody_chose_for_the_host_stays(project: Project, hub: str) -> None:
    project.git("config", f"credential.{hub}.helper", "mine")
    project.gitexp("remote", "dagshub", "ada/nets")
    assert project.git("config", "--get-all", f"credential.{hub}.helper") == "mine"


def test_without_a_token_the_next_step_is_said(project: Project, hub: str) -> None:
    done = project.run("remote", "dagshub", "ada/nets")
    assert done.returncode == 0
    assert done.stderr == f"{dagshub_remote.NO_TOKEN}\n"


# -- DVC -------------------------------------------------------------------------------------------


def test_dvc_gets_the_address_in_its_config_and_no_secret(
    project: Project, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSHUB_USER_TOKEN", TOKEN)
    project.write(".dvc/config", CONFIG)
    done = project.run("remote", "dagshub", "ada/nets")
    assert f"DVC: added the remote dagshub, {hub}/ada/nets.dvc" in done.stdout
    assert "commit it" in done.stderr
    text = (project.root / ".dvc/config").read_text()
    assert text.startswith("[core]\n    remote = dagshub\n    analytics = false  # mine\n")
    assert TOKEN not in text
    assert not (project.root / ".dvc/config.local").exists()
    project.gitexp("remote", "dagshub", "ada/nets")
    assert (project.root / ".dvc/config").read_text() == text


def test_the_token_for_dvc_is_kept_only_when_asked_for_and_only_where_git_ignores_it(
    project: Project, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSHUB_USER_TOKEN", TOKEN)
    project.write(".dvc/config", "")
    assert "git does not ignore .dvc/config.local" in project.error(
        "remote", "dagshub", "ada/nets", "--save-dvc-token"
    )
    project.write(".dvc/.gitignore", "/config.local\n")
    local = project.write(
        ".dvc/config.local",
        "[cache]\n    dir = /x\n['remote \"dagshub\"']\n    password = old\n[core]\n    autostage = true\n",
    )
    local.chmod(0o644)
    done = project.run("remote", "dagshub", "ada/nets", "--save-dvc-token")
    assert TOKEN not in done.stdout + done.stderr
    assert local.read_text() == (
        "[cache]\n    dir = /x\n[core]\n    autostage = true\n"
        f"['remote \"dagshub\"']\n    auth = basic\n    user = {USER}\n    password = {TOKEN}\n"
    )
    if sys.platform != "win32":
        assert stat.S_IMODE(local.stat().st_mode) == 0o600


def test_another_dvc_remote_of_that_name_stops_it_before_anything_changes(
    project: Project, hub: str
) -> None:
    project.write(".dvc/config", "['remote \"dagshub\"']\n    url = s3://mine\n")
    assert "DVC has a remote 'dagshub' already" in project.error("remote", "dagshub", "ada/nets")
    assert project.git("remote") == ""
    project.gitexp("remote", "dagshub", "ada/nets", "--dvc-name", "hub")


@pytest.mark.slow
def test_dvc_itself_reads_what_was_written(
    project: Project, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = pytest.importorskip("dvc.config", reason="DVC is not installed")
    monkeypatch.setenv("DAGSHUB_USER_TOKEN", "a#b;c=d ")
    project.write(".dvc/config", CONFIG)
    project.write(".dvc/.gitignore", "/config.local\n")
    project.gitexp("remote", "dagshub", "ada/nets", "--save-dvc-token")
    found = config.Config(dvc_dir=str(project.root / ".dvc"))
    assert found["core"]["remote"] == "dagshub"
    assert found["remote"]["dagshub"] == {
        **found["remote"]["dagshub"],
        "url": f"{hub}/ada/nets.dvc",
        "auth": "basic",
        "user": USER,
    }
    assert found["remote"]["dagshub"]["password"] == "a#b;c=d "
    assert found["remote"]["old"]["url"]


class _Storage(BaseHTTPRequestHandler):
    """What DVC needs of a server: it keeps what is posted, and lets in who knows the token."""

    protocol_version = "HTTP/1.1"
    kept: dict[str, bytes] = {}  # noqa: RUF012
    refused = 0

    def _answer(self, code: int, body: bytes = b"") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def _is_let_in(self) -> bool:
        right = (
            self.headers.get("Authorization")
            == "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
        )
        type(self).refused += not right
        return right

    def do_GET(self) -> None:
        found = self.kept.get(self.path)
        self._answer(401) if not self._is_let_in() else self._answer(
            404
        ) if found is None else self._answer(200, found)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._is_let_in():
            self.kept[self.path] = body
        self._answer(200 if self._is_let_in() else 401)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
@pytest.mark.xdist_group("dvc")
def test_a_push_hands_dvc_the_token_and_leaves_it_nowhere(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dvc_http", reason="DVC is not installed")
    for name, value in {
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
        "DVC_NO_ANALYTICS": "1",
        "DAGSHUB_USER_TOKEN": TOKEN,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSHUB_USERNAME", USER)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Storage) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("DAGSHUB_CLIENT_HOST", f"http://127.0.0.1:{server.server_port}")
        project.write(".dvc/config", "")
        project.write(".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")
        project.write("raw.csv", "1\n2\n")
        subprocess.run(
            [sys.executable, "-m", "dvc", "add", "-q", "raw.csv"],
            cwd=project.root,
            check=True,
            capture_output=True,
        )
        project.gitexp("remote", "dagshub", "ada/nets")
        data = dvc_pointers.in_work_tree(Repo.discover())
        assert dvc.transfer(Repo.discover(), "push", data.values()) == 0, "files are missing"
        assert [
            body for path, body in _Storage.kept.items() if path.startswith("/ada/nets.dvc/")
        ] == [b"1\n2\n"]
        assert _Storage.refused == 0
        server.shutdown()
        thread.join()
    assert TOKEN.encode() not in everything(project.root)


def test_dvc_gets_no_token_for_another_host_or_where_it_has_a_login(
    project: Project, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSHUB_USER_TOKEN", TOKEN)
    project.write(
        ".dvc/config", "['remote \"other\"']\n    url = https://evil.example.org/ada/nets.dvc\n"
    )
    project.gitexp("remote", "dagshub", "ada/nets")
    assert {*dvc._logins(Repo.discover())} == {"'remote \"dagshub\"'"}
    project.write(".dvc/config.local", "['remote \"dagshub\"']\n    ask_password = true\n")
    assert dvc._logins(Repo.discover()) == {}


def test_doctor_removes_what_a_killed_transfer_left(project: Project) -> None:
    left = project.write(".git/gitexp/dvc-abc/.dvc/config", TOKEN)
    assert project.gitexp("doctor") == "all is well\n"
    os.utime(left.parents[1], (1e9, 1e9))
    assert "mended: dvc-abc in .git/gitexp is left over and no longer used" in project.gitexp(
        "doctor", "--fix"
    )
    assert not left.parents[1].exists()


# -- words -----------------------------------------------------------------------------------------


def test_a_repository_is_told_by_its_name_or_address() -> None:
    wanted = Home(HOST, "ada", "my.nets")
    for text in (
        "ada/my.nets",
        f"{HOST}/ada/my.nets",
        f"{HOST}/ada/my.nets.git",
        " ada/my.nets.mlflow/ ",
    ):
        assert dagshub_remote.parse(text, HOST) == wanted
    for text in ("ada", "a/b/c", "../x", "-a/b", "https://evil.org/a/b", "a b/c", "a/b\n", ""):
        if text.strip() != "a/b":
            with pytest.raises(UsageError, match="write OWNER/REPO"):
                dagshub_remote.parse(text, HOST)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://dagshub.com/ada/nets.git", True),
        ("https://ada:pw@dagshub.com/ada/nets", True),
        ("git@dagshub.com:ada/nets.git", True),
        ("https://dagshub.com.evil.org/ada/nets", False),
        ("https://example.org/dagshub.com/ada/nets", False),
        ("/srv/nets", False),
    ],
)
def test_the_mlflow_server_is_known_from_the_git_remote(
    project: Project, url: str, found: bool
) -> None:
    project.git("remote", "add", "upstream", url)
    home = dagshub_remote.find_home(Repo.discover(), HOST)
    assert (home.mlflow if home else None) == (
        "https://dagshub.com/ada/nets.mlflow" if found else None
    )


@pytest.mark.parametrize(
    "value",
    ["dagshub.com", "ftp://x", "http://dagshub.com", "https://", "https://a@b", "http://[::1"],
)
def test_a_host_where_the_token_would_not_be_safe_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="DAGSHUB_CLIENT_HOST"):
        dagshub_remote.host({"DAGSHUB_CLIENT_HOST": value})


def test_tokens_that_expired_are_passed_over_and_those_without_an_end_come_first(
    tmp_path: Path,
) -> None:
    soon = datetime.now(timezone.utc) + timedelta(hours=1)
    known = [
        {"access_token": "old", "expiry": "2020-01-01T00:00:00.000000Z", "token_type": "bearer"},
        {
            "access_token": "soon",
            "expiry": soon.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "token_type": "bearer",
        },
        {"access_token": "app", "expiry": "never", "token_type": "app-token"},
    ]
    cache = tmp_path / "tokens"
    cache.write_text(yaml.dump({"version": "1", HOST: known}))
    environment = {"DAGSHUB_CLIENT_TOKENS_CACHE": str(cache)}
    assert dagshub_remote.token(HOST, environment) == "app"
    cache.write_text(yaml.dump({"version": "1", HOST: known[:2]}))
    assert dagshub_remote.token(HOST, environment) == "soon"
    for spoilt in (
        "",
        "[",
        "- 1",
        f"{HOST}: 7",
        f"{HOST}: [7]",
        "!!python/object/apply:os.system [ls]",
    ):
        cache.write_text(spoilt)
        assert dagshub_remote.token(HOST, environment) is None


def test_the_cache_is_where_and_how_the_dagshub_package_writes_it(tmp_path: Path) -> None:
    tokens = pytest.importorskip("dagshub.auth.tokens")
    storage = tokens.TokenStorage(cache_location=str(tmp_path / "tokens"))
    storage.add_token(tokens.AppDagshubToken("t0ken"), HOST, skip_validation=True)
    assert (
        dagshub_remote.token(HOST, {"DAGSHUB_CLIENT_TOKENS_CACHE": str(tmp_path / "tokens")})
        == "t0ken"
    )


def test_dvc_is_not_in_use_where_there_is_no_such_folder(tmp_path: Path) -> None:
    assert not dvc_pointers.in_use(tmp_path)
