"""An MLflow server, over its REST API.

Not through MLflow's own client: that weighs some 50 packages, takes seconds to import, and answers
an unreachable server with minutes of retries. The few calls that a mirror needs are a stable,
documented API (``/api/2.0/mlflow``), and httpx is here anyway. Every fault is one line. Credentials
go into a header and are never part of a message.
"""

from __future__ import annotations

import configparser
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from gitexp.formats import message
from gitexp.formats import mlflow_words as convert
from gitexp.formats.errors import GitexpError, UsageError
from gitexp.formats.experiment import MetricPoint

if TYPE_CHECKING:
    import httpx

TIMEOUT = 60.0  # seconds; a server under load answers a batch of 1,000 values in less than one
CONNECTING = 10.0
CONNECTIONS = 8
_PAGE = 1000
_BUSY = (429, 502, 503, 504)
_TRIES = 5
_LARGEST = 900_000  # characters of one request; MLflow takes a million
_FIRST = 0.2  # seconds before the second try


class Login(NamedTuple):
    """Who asks: name and password, or a bearer token alone."""

    user: str = ""
    password: str = ""
    token: str = ""


class Refusal(GitexpError):
    """The server understood a request and refuses it; the others may still go well."""


@dataclass(frozen=True)
class Run:
    """An MLflow run as a search gives it; ``end`` in ms, None while it goes on; ``metrics`` are the
    names of those it has."""

    id: str
    status: str
    end: int | None
    artifacts: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: tuple[str, ...]
    start: int = 0
    name: str = ""
    experiment: str = ""
    user: str = ""
    deleted: bool = False


def login(uri: str, environment: Mapping[str, str]) -> Login | None:
    """Return what MLflow itself would log in with: its variables, the address, or
    ``~/.mlflow/credentials``."""
    parts = urlsplit(uri)
    if token := environment.get("MLFLOW_TRACKING_TOKEN"):
        return Login(token=token)
    if user := environment.get("MLFLOW_TRACKING_USERNAME"):
        return Login(user, environment.get("MLFLOW_TRACKING_PASSWORD", ""))
    if parts.username:
        return Login(unquote(parts.username), unquote(parts.password or ""))
    known = configparser.ConfigParser(interpolation=None)
    try:
        known.read(Path.home() / ".mlflow" / "credentials")
        section = known["mlflow"]
        return Login(
            section["mlflow_tracking_username"], section.get("mlflow_tracking_password", "")
        )
    except (configparser.Error, KeyError, OSError, UnicodeDecodeError, RuntimeError):
        return None


def address(uri: str) -> str:
    """Return a server's address without credentials, query or the fragment that a browser shows.

    Raises:
        UsageError: it is not an http(s) address.
    """
    try:
        parts = urlsplit(uri.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        netloc = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        shown = message.one_line(uri.rpartition("@")[2])
        raise UsageError(
            f"'{shown}' is not an address of an MLflow server; write for example"
            " http://localhost:5000 "
            "(for a database or folder, run one: mlflow server --backend-store-uri ...)"
        ) from None
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))


class Server:
    """A connection to an MLflow server; its methods may be called from several threads.

    Args:
        uri: its address, as ``address`` returns it.
        who: what to log in with, None for a server that asks for nothing.
        advice: the next step where it refuses that.
    """

    def __init__(self, uri: str, who: Login | None = None, advice: str = "") -> None:
        import httpx

        self.uri = uri
        self._advice = advice or (
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            if who is None
            else (
                "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or"
                " MLFLOW_TRACKING_TOKEN"
            )
        )
        headers = {"Authorization": f"Bearer {who.token}"} if who and who.token else {}
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        try:
            self._client = httpx.Client(
                auth=(who.user, who.password) if who and not who.token else None,
                headers=headers,
                timeout=httpx.Timeout(TIMEOUT, connect=CONNECTING),
                limits=limits,
            )
        # a header of odd characters, a broken proxy or certificate setting
        except (UnicodeEncodeError, ValueError, OSError):
            raise UsageError(
                f"no connection to {uri} can be made with these settings; {self._advice}"
            ) from None

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    # -- what there is -----------------------------------------------------------------------------

    def experiments(self) -> dict[str, str]:
        """Return ``{name: id}`` of its experiments."""
        with self._as_expected():
            found = self._pages("experiments/search", {"max_results": _PAGE}, "experiments")
            return {str(item["name"]): str(item["experiment_id"]) for item in found}

    def runs(
        self, experiments: Sequence[str], condition: str, view: str = "ACTIVE_ONLY"
    ) -> Iterator[Run]:
        """Yield the runs of experiments (their ids) for which MLflow's filter holds; deleted ones
        where the view is ``ALL``."""
        for at in range(0, len(experiments), 100):
            asked = {
                "experiment_ids": experiments[at : at + 100],
                "filter": condition,
                "max_results": _PAGE,
                "run_view_type": view,
            }
            for item in self._pages("runs/search", asked, "runs"):
                with self._as_expected():
                    found = _run(item)
                yield found

    def has_run(self, run: str) -> bool:
        """Whether there is a run of that id, be it deleted."""
        try:
            self._call("runs/get", {"run_id": run}, method="GET")
        except Refusal:
            return False
        return True

    def history(self, run: str, key: str) -> Iterator[tuple[float, int, int]]:
        """Yield ``(value, timestamp, step)`` for each point of a metric, values as MLflow's
        databases hold them."""
        for item in self._pages(
            "metrics/get-history", {"run_id": run, "metric_key": key}, "metrics", method="GET"
        ):
            with self._as_expected():
                found = (
                    float(item["value"]),
                    int(item.get("timestamp", 0)),
                    int(item.get("step", 0)),
                )
            yield found

    def files(self, run: str, folder: str = "") -> Iterator[tuple[str, int]]:
        """Yield path and size in bytes of each artifact of a run."""
        asked = {"run_id": run, **({"path": folder} if folder else {})}
        for item in self._pages("artifacts/list", asked, "files", method="GET"):
            with self._as_expected():
                path, is_folder, size = (
                    str(item["path"]),
                    bool(item.get("is_dir")),
                    int(item.get("file_size") or 0),
                )
            if is_folder:
                yield from self.files(run, path)
            else:
                yield path, size

    def download(self, artifacts: str, path: str) -> bytes:
        """Return an artifact of a run whose artifacts go through the server; raise Refusal where
        they lie elsewhere."""
        return self._send("GET", self._artifact(artifacts, path)).content

    # -- what is written ---------------------------------------------------------------------------

    def create_experiment(self, name: str) -> str:
        """Make an experiment and return its id."""
        with self._as_expected():
            return str(
                self._call("experiments/create", {"name": name}, again=False)["experiment_id"]
            )

    def create_run(
        self, experiment: str, name: str, start: int, tags: Mapping[str, str]
    ) -> tuple[str, str]:
        """Start a run at ``start`` (ms since the epoch) and return its id and where its artifacts
        go."""
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        asked = {"experiment_id": experiment, "start_time": start, "run_name": name, "tags": pairs}
        with self._as_expected():
            info = self._call("runs/create", asked, again=False)["run"]["info"]
            return str(info["run_id"]), str(info.get("artifact_uri", ""))

    def log(
        self,
        run: str,
        params: Mapping[str, str],
        points: Iterable[MetricPoint],
        tags: Mapping[str, str],
    ) -> None:
        """Log to a run, in as few calls as MLflow's limits allow; the tags come last, when all else
        is there."""
        for batch in batches(params, points, tags):
            self._call("runs/log-batch", {"run_id": run, **batch})

    def remove_tag(self, run: str, key: str) -> None:
        """Remove a tag from a run."""
        self._call("runs/delete-tag", {"run_id": run, "key": key}, again=False)

    def end_run(self, run: str, status: str, end: int) -> None:
        """End a run with MLflow's status at ``end`` (ms since the epoch)."""
        self._call("runs/update", {"run_id": run, "status": status, "end_time": end})

    def delete_run(self, run: str) -> None:
        """Put a run into the server's trash, from where MLflow can restore it."""
        self._call("runs/delete", {"run_id": run})

    def upload(self, artifacts: str, path: str, content: bytes) -> None:
        """Store a file of a run whose artifacts go through the server (``mlflow-artifacts:``, the
        default).

        Raises:
            Refusal: they go elsewhere (``s3:``, a folder of the server's), which needs MLflow
                itself.
        """
        self._send("PUT", self._artifact(artifacts, path), content=content)

    def _artifact(self, artifacts: str, path: str) -> str:
        parts = urlsplit(artifacts)
        if parts.scheme != "mlflow-artifacts":
            raise Refusal(
                f"the server keeps artifacts at '{message.one_line(artifacts)}', outside of itself;"
                " start it with --serve-artifacts"
            )
        return f"/api/2.0/mlflow-artifacts/artifacts/{quote(parts.path.strip('/'))}/{quote(path)}"

    # -- requests ----------------------------------------------------------------------------------

    def _pages(
        self, name: str, asked: Mapping[str, Any], key: str, method: str = "POST"
    ) -> Iterator[dict[str, Any]]:
        token: str | None = None
        while True:
            answer = self._call(
                name, {**asked, **({"page_token": token} if token else {})}, method=method
            )
            yield from answer.get(key, ())
            token = answer.get("next_page_token")
            if not token:
                return

    def _call(
        self, name: str, asked: Mapping[str, Any], again: bool = True, method: str = "POST"
    ) -> dict[str, Any]:
        path = f"/api/2.0/mlflow/{name}"
        if method == "GET":
            answer = self._send(
                "GET", path, again, params={key: str(value) for key, value in asked.items()}
            )
        else:
            body = json.dumps(asked, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
            answer = self._send(
                "POST", path, again, content=body, headers={"Content-Type": "application/json"}
            )
        with self._as_expected():
            found: dict[str, Any] = {**answer.json()}
        return found

    @contextmanager
    def _as_expected(self) -> Iterator[None]:
        """Say that this is not an MLflow server where an answer is not what one answers."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError):
            raise GitexpError(
                f"{self.uri} is not an MLflow server: it answers with something else; check the"
                " address"
            ) from None

    def _send(self, method: str, path: str, again: bool = True, **more: Any) -> httpx.Response:
        """Send a request until the server is not busy; ``again`` where doing it twice does no
        harm."""
        import httpx

        unreachable = httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            try:
                answer = self._client.request(method, f"{self.uri}{path}", **more)
                if last or answer.status_code not in _BUSY:
                    break
            except httpx.TransportError as error:
                if again and not last and not isinstance(error, unreachable):
                    time.sleep(_FIRST * 2**attempt)
                    continue
                raise GitexpError(
                    f"no MLflow server answers at {self.uri}:"
                    f" {message.one_line(str(error)) or type(error).__name__}; check the address,"
                    " and that it runs"
                ) from None
            except (httpx.InvalidURL, httpx.HTTPError) as error:
                raise GitexpError(
                    f"{self.uri} cannot be asked: {message.one_line(str(error))}; check the address"
                ) from None
            time.sleep(_FIRST * 2**attempt)
        self._check(answer)
        return answer

    def _check(self, answer: httpx.Response) -> None:
        code = answer.status_code
        if code in (401, 403):
            raise GitexpError(f"{self.uri} does not let us in ({code}); {self._advice}")
        if 300 <= code < 400:
            to = message.one_line(answer.headers.get("location", "elsewhere"))
            raise GitexpError(f"{self.uri} sends us to {to}; use that address")
        if code >= 400:
            try:
                said = answer.json()
                why = f"{said['error_code']}: {said.get('message', '')}"
            except (ValueError, KeyError, TypeError, AttributeError):
                if code in _BUSY or code == 500:
                    raise GitexpError(
                        f"the MLflow server at {self.uri} is in trouble ({code}); try again later"
                    ) from None
                raise GitexpError(
                    f"{self.uri} is not an MLflow server: it answers {code}; check the address"
                ) from None
            raise Refusal(convert.cut(message.one_line(f"the server says {why}"), 300))


def _run(item: Mapping[str, Any]) -> Run:
    info, data = item["info"], item.get("data", {})
    tags, params = (
        {str(pair["key"]): str(pair.get("value", "")) for pair in data.get(kind, ())}
        for kind in ("tags", "params")
    )
    return Run(
        id=info["run_id"],
        status=info.get("status", ""),
        end=int(info.get("end_time") or 0) or None,
        artifacts=info.get("artifact_uri", ""),
        tags=tags,
        params=params,
        metrics=tuple(str(pair["key"]) for pair in data.get("metrics", ())),
        start=int(info.get("start_time") or 0),
        name=str(info.get("run_name", "")),
        experiment=str(info.get("experiment_id", "")),
        user=str(info.get("user_id", "")),
        deleted=info.get("lifecycle_stage") == "deleted",
    )


def batches(
    params: Mapping[str, str], points: Iterable[MetricPoint], tags: Mapping[str, str]
) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Yield the bodies of ``log-batch`` calls: within MLflow's limits of entities and size, params
    first and tags last."""
    limits = {
        "params": convert.PARAMS_AT_ONCE,
        "metrics": convert.METRICS_AT_ONCE,
        "tags": convert.TAGS_AT_ONCE,
    }
    batch: dict[str, list[dict[str, Any]]] = {}
    count = size = 0
    for kind, item in _entities(params, points, tags):
        long = kind != "metrics" and len(json.dumps(item, ensure_ascii=False))
        length = long or len(item["key"]) + 110
        full = len(batch.get(kind, ())) == limits[kind] or count == convert.ENTITIES_AT_ONCE
        if full or (batch and size + length > _LARGEST):
            yield batch
            batch, count, size = {}, 0, 0
        batch.setdefault(kind, []).append(item)
        count += 1
        size += length
    if batch:
        yield batch


def _entities(
    params: Mapping[str, str], points: Iterable[MetricPoint], tags: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in params.items():
        yield "params", {"key": key, "value": value}
    for point in points:
        yield "metrics", convert.metric_json(point)
    for key, value in tags.items():
        yield "tags", {"key": key, "value": value}
